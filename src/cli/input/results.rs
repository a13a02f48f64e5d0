//! A results file, line by line: what `emo-body` and `report` read.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::Context as _;

use crate::Report;
use crate::run::line::json_error;

/// The results in a file, or on stdin (`-`).
pub(in crate::cli) fn read(
    path: &Path,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Report>>> {
    let reader: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        let file = File::open(path)
            .with_context(|| format!("cannot read the results {}", path.display()))?;
        Box::new(BufReader::new(file))
    };
    Ok((1_u64..).zip(reader.lines()).filter_map(|(number, line)| match line {
        Ok(line) if line.trim().is_empty() => None,
        Ok(line) => Some(serde_json::from_str(&line).map_err(|error| {
            anyhow::anyhow!("line {number} is no result of check: {}", json_error(&error))
        })),
        Err(error) => {
            let error = anyhow::Error::new(error);
            Some(Err(error.context(format!("cannot read line {number} of the results"))))
        }
    }))
}
