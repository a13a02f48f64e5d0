//! `--output` and `--resume`: a results file that ends with exactly one line an index, however
//! often the run that fills it is broken off.

use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead, BufReader, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use futures_util::stream::{Stream, StreamExt as _};

use crate::cli::status::Status;
use crate::{AspectRatio, Certainty, Report, Source, Verdict};

/// Results that are done with, from an earlier run.
#[derive(Default)]
pub(super) struct Kept {
    /// By index, a fingerprint of the line's source and ratio; 0 where there is no line.
    fingerprints: Vec<u32>,
    pub(super) lines: u64,
    pub(super) worst: Option<Status>,
}

/// What the run that resumes would do over.
#[derive(Clone, Copy)]
pub(super) struct Redo {
    /// A call is asked for, so `eligible` is not the end.
    pub(super) eligible: bool,
    /// `--retry-unknown`.
    pub(super) unknown: bool,
}

/// Opens a results file for writing at its end. With `resume` its lines are sorted first into
/// those that stand and those to be done over, which are taken out.
pub(super) fn open(path: &Path, resume: Option<Redo>) -> anyhow::Result<(File, Kept)> {
    let shown = path.display();
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .with_context(|| format!("cannot write the output {shown}"))?;
    lock(&file, path)?;
    let length = file.metadata().with_context(|| format!("cannot read {shown}"))?.len();
    match resume {
        _ if length == 0 => Ok((file, Kept::default())),
        None => bail!("the output {shown} is not empty: --resume goes on with it"),
        Some(redo) => {
            let (kept, rest) = sort_out(&file, path, redo)?;
            let mut file = rest.unwrap_or(file);
            file.seek(SeekFrom::End(0)).with_context(|| format!("cannot write {shown}"))?;
            Ok((file, kept))
        }
    }
}

/// Reads all lines; where any has to go, puts a file without them in the old one's place and
/// returns it.
fn sort_out(file: &File, path: &Path, redo: Redo) -> anyhow::Result<(Kept, Option<File>)> {
    let temporary = beside(path);
    let cannot = || format!("cannot write {}", temporary.display());
    let copy = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&temporary)
        .with_context(cannot)?;
    lock(&copy, &temporary)?;
    let mut to = BufWriter::new(copy);
    let mut from = BufReader::new(file);
    let (mut kept, mut dropped) = (Kept::default(), false);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read = from
            .read_until(b'\n', &mut line)
            .with_context(|| format!("cannot read {}", path.display()))?;
        if read == 0 {
            break;
        }
        if line.last() != Some(&b'\n') {
            // Broken off in the middle of a write: its result is in the books, or done over.
            dropped = true;
            break;
        }
        let report: Report = serde_json::from_slice(&line)
            .with_context(|| format!("line {number} of {} is no result", path.display()))?;
        if redo.wants(&report) || !kept.keep(&report) {
            dropped = true;
        } else {
            to.write_all(&line).with_context(cannot)?;
        }
    }
    if !dropped {
        drop(to);
        fs::remove_file(&temporary).with_context(cannot)?;
        return Ok((kept, None));
    }
    let copy = to.into_inner().map_err(|e| e.into_error()).with_context(cannot)?;
    copy.sync_all().with_context(cannot)?;
    fs::rename(&temporary, path).with_context(cannot)?;
    sync_folder(path);
    Ok((kept, Some(copy)))
}

impl Redo {
    fn wants(self, report: &Report) -> bool {
        match report.verdict {
            Verdict::Skipped | Verdict::Undetermined => true,
            Verdict::Failed => match report.billing.certainty {
                Certainty::None => true,
                Certainty::Unknown => self.unknown,
                Certainty::Certain => false,
            },
            Verdict::Eligible => self.eligible,
            _ => false,
        }
    }
}

impl Kept {
    /// Notes a line; false when its index has one already.
    fn keep(&mut self, report: &Report) -> bool {
        let Ok(index) = usize::try_from(report.index) else { return false };
        if index >= MOST_LINES {
            return false;
        }
        if self.fingerprints.len() <= index {
            self.fingerprints.resize(index + 1, 0);
        }
        let Some(slot) = self.fingerprints.get_mut(index).filter(|slot| **slot == 0) else {
            return false;
        };
        *slot = fingerprint(&report.source, report.ratio);
        self.lines += 1;
        self.worst = self.worst.max(Some(Status::of(report)));
        true
    }

    pub(super) fn has(&self, index: u64) -> bool {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.fingerprints.get(index).is_some_and(|print| *print != 0)
    }

    /// Holds every kept line against the input, and says how many sources that has. To be done
    /// before any call: a file that belongs to another input must cost nothing.
    pub(super) async fn verify(&self, input: impl Stream<Item = Source>) -> anyhow::Result<u64> {
        let mut input = std::pin::pin!(input.enumerate());
        let mut sources = 0_usize;
        while let Some((index, source)) = input.next().await {
            sources = index + 1;
            match self.fingerprints.get(index) {
                Some(0) | None => {}
                Some(print) if *print == fingerprint(&source.text, source.ratio) => {}
                Some(_) => bail!(
                    "the output has a result of another source or ratio at index {index}: \
                     it belongs to another input"
                ),
            }
        }
        if self.fingerprints.len() > sources {
            bail!(
                "the output has a result at index {} and the input only {sources} sources: \
                 it belongs to another input",
                self.fingerprints.len() - 1
            );
        }
        Ok(u64::try_from(sources).unwrap_or(u64::MAX))
    }
}

/// 32 bits a source: all that is kept of a line in memory. Never 0.
fn fingerprint(source: &str, ratio: AspectRatio) -> u32 {
    let mut hasher = DefaultHasher::new();
    (source, ratio).hash(&mut hasher);
    u32::try_from(hasher.finish() >> 32).unwrap_or(0).max(1)
}

fn lock(file: &File, path: &Path) -> anyhow::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            bail!("another process is writing to {}", path.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".resuming");
    name.into()
}

/// Makes the rename itself last through a power loss, where folders can be synced.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Four bytes an index: a wild index in a damaged line must not take all memory.
const MOST_LINES: usize = 1 << 30;
