//! What the first range's length costs: bytes against requests, without a network.

use std::path::PathBuf;
use std::{fs, io};

use emo_preflight::header::{HeaderReader, Step};
use serde_json::Value;

use crate::files::Picture;
use crate::markdown::{bytes, table};

pub(crate) fn run(images: &[Picture]) -> io::Result<()> {
    println!("### Bytes and requests by the first range's length\n");
    let mut groups = vec![(
        "the twelve".to_owned(),
        images.iter().map(|image| image.bytes.clone()).collect::<Vec<_>>(),
    )];
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
    let fixtures: io::Result<Vec<_>> =
        fs::read_dir(folder)?.map(|entry| fs::read(entry?.path())).collect();
    groups.push(("fixtures".to_owned(), with_a_header(fixtures?)));
    let corpus = std::env::var_os("EMO_PREFLIGHT_CORPUS")
        .map_or_else(|| PathBuf::from(DEFAULT_CORPUS), PathBuf::from);
    match fs::read_to_string(corpus.join("truth.jsonl")) {
        Ok(truth) => {
            let mut files = Vec::new();
            for line in truth.lines() {
                let line: Value = serde_json::from_str(line)?;
                files.push(fs::read(corpus.join(line["path"].as_str().expect("a path")))?);
            }
            groups.push(("real files".to_owned(), with_a_header(files)));
        }
        Err(_) => println!("There is no corpus at {}; it is left out.\n", corpus.display()),
    }

    let head: Vec<String> =
        groups.iter().map(|(name, files)| format!("{name} ({} files)", files.len())).collect();
    let mut heads = vec!["first range"];
    heads.extend(head.iter().map(String::as_str));
    let row = |first: u64| {
        let mut row = vec![format!("{first} B")];
        for (_, files) in &groups {
            let walks = files.iter().map(|file| walk(file, first).expect("a header"));
            let (taken, requests) =
                walks.fold((0, 0), |sum, walk| (sum.0 + walk.0, sum.1 + walk.1));
            row.push(format!("{}, {requests}", bytes(taken as f64)));
        }
        row
    };
    table(&heads, &LENGTHS.map(row));
    Ok(())
}

fn with_a_header(files: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    files.into_iter().filter(|file| walk(file, LENGTHS[0]).is_some()).collect()
}

/// Bytes and requests until the sides of `file` are known, ranges doubling from `first` but for those
/// behind a long gap, as the local stage's do; `None` when they are not to be known.
fn walk(file: &[u8], first: u64) -> Option<(u64, u64)> {
    let mut reader = HeaderReader::new();
    let (mut taken, mut requests, mut length) = (0, 0, first);
    let mut reached = 0;
    loop {
        let Step::Need { at, len } = reader.step().ok()? else { return Some((taken, requests)) };
        let jump = reader.shortcut().filter(|jump| jump.at < file.len() as u64);
        let (at, len) = jump.map_or((at, len), |jump| (jump.at, jump.len));
        let part = file.get(usize::try_from(at).ok()?..).filter(|part| !part.is_empty())?;
        let is_long_gap = at.saturating_sub(reached) >= first;
        let least = usize::try_from(if is_long_gap { first } else { length }).ok()?;
        let part = &part[..part.len().min(len.max(least))];
        (taken, requests) = (taken + part.len() as u64, requests + 1);
        match jump {
            // Where it lands well, the next part is no longer than this one.
            Some(jump) if reader.land(jump.at, part) => continue,
            // Where it lands badly, the wish is what it was.
            Some(_) => {}
            None => {
                reached = at + part.len() as u64;
                reader.feed(at, part).ok()?;
            }
        }
        length = if is_long_gap { first } else { (2 * length).min(LONGEST) };
    }
}

const LENGTHS: [u64; 5] = [512, 1_024, 2_048, 4_096, 8_192];
const LONGEST: u64 = 64 * 1_024;
const DEFAULT_CORPUS: &str = "../shared/corpus";
