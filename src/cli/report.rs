//! `report`: a page to look at of a results file.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};

use crate::cli::args::ReportArguments;
use crate::cli::status::Status;
use crate::cli::{results, text};
use crate::html;

pub(super) fn run(arguments: &ReportArguments) -> anyhow::Result<Status> {
    let (from, to) = (&arguments.results, &arguments.output);
    if is_same_file(from, to) {
        bail!("the page must be another file than the results, found {} for both", to.display());
    }
    let title = from.file_name().map_or("results".into(), |name| name.to_string_lossy());
    let mut page = html::Report::new(if title == "-" { "results" } else { &title });
    let mut count = 0_u64;
    for result in results::read(from)? {
        page.add(&result?);
        count += 1;
    }
    let cannot = || format!("cannot write {}", to.display());
    let mut file = BufWriter::new(File::create(to).with_context(cannot)?);
    page.render(&mut file).and_then(|()| file.flush()).with_context(cannot)?;
    text::tell(format_args!("{}: {}", to.display(), text::count(count, "image", "images")));
    Ok(Status::Good)
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}
