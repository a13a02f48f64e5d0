//! `report`: a page to look at of a results file.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use futures_util::stream::{self, StreamExt as _};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::args::ReportArguments;
use crate::cli::commands::pictures::{Picture, Pictures};
use crate::cli::input::results;
use crate::cli::status::Status;
use crate::cli::terminal::text;
use crate::{Probe, Report, html};

pub(in crate::cli) async fn run(arguments: ReportArguments) -> anyhow::Result<Status> {
    let (from, to) = (&arguments.results, &arguments.output);
    if is_same_file(from, to) {
        bail!("the page must be another file than the results, found {} for both", to.display());
    }
    let title = from.file_name().map_or("results".into(), |name| name.to_string_lossy());
    let mut page = html::Report::new(if title == "-" { "results" } else { &title });
    let mut count = 0_u64;
    let results = results::read(from)?;
    if arguments.embed {
        count = embed(&arguments, results, &mut page).await?;
    } else {
        for result in results {
            page.add(&result?);
            count += 1;
        }
    }
    let cannot = || format!("cannot write {}", to.display());
    let mut file = BufWriter::new(File::create(to).with_context(cannot)?);
    page.render(&mut file).and_then(|()| file.flush()).with_context(cannot)?;
    text::tell(format_args!("{}: {}", to.display(), text::count(count, "image", "images")));
    Ok(Status::Good)
}

/// Adds results with small copies of their images, as many as the page shows, and says how many there are.
async fn embed(
    arguments: &ReportArguments,
    results: impl Iterator<Item = anyhow::Result<Report>>,
    page: &mut html::Report,
) -> anyhow::Result<u64> {
    let pictures = Pictures::new(Probe::new(arguments.local.probe_options())?);
    let progress = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    progress.set_style(ProgressStyle::with_template("{pos} images fetched, {elapsed}")?);
    let making = stream::iter(results.enumerate()).map(|(at, result)| {
        let pictures = pictures.clone();
        async move {
            let result = result?;
            let is_shown = at < html::Report::MOST_SHOWN && result.image.is_some();
            let copy = match is_shown {
                true => pictures.of(&result, Picture::thumbnail).await.and_then(|copy| copy).ok(),
                false => None,
            };
            anyhow::Ok((result, copy))
        }
    });
    let mut making = making.buffered(arguments.local.run_options().concurrency.min(AT_A_TIME));
    let (mut count, mut without) = (0_u64, 0_u64);
    while let Some(made) = making.next().await {
        let (result, copy) = made?;
        match &copy {
            Some(copy) => page.add_with_picture(&result, copy),
            None => page.add(&result),
        }
        without += u64::from(copy.is_none());
        count += 1;
        progress.inc(1);
    }
    progress.finish_and_clear();
    if without > 0 {
        let without = text::count(without, "image is", "images are");
        text::tell(format_args!("{without} not in the page: shown by URL, where there is one"));
    }
    Ok(count)
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}

/// Images under way at a time, each of which is held whole.
const AT_A_TIME: usize = 8;
