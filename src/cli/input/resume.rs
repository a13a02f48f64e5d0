//! `--output` and `--resume`: a results file that ends with exactly one line an index, however
//! often the run that fills it is broken off.
//!
//! Nothing of the file changes until all of it was read and held against the input: a slip in the
//! command costs neither money nor lines.

use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::io::{BufRead, BufReader, BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use futures_util::stream::{Stream, StreamExt as _};

use crate::cli::counts::Counts;
use crate::run::line::json_error;
use crate::{Report, Source, Verdict};

/// A results file, locked for as long as it is held.
pub(in crate::cli) struct Results {
    pub(in crate::cli) file: File,
    pub(in crate::cli) kept: Kept,
    /// What is to take the file's place.
    copy: Option<Rewrite>,
    shown: String,
}

/// Results that are done with, from an earlier run.
#[derive(Default)]
pub(in crate::cli) struct Kept {
    /// By index, a fingerprint of the line's source and ratio; 0 where there is no line.
    fingerprints: Vec<u32>,
    /// By index, one of the line's image_id and ratio; 0 where it has none. Empty while no line has one.
    ids: Vec<u32>,
    pub(in crate::cli) earlier: Counts,
}

/// What the run that resumes would do over.
pub(in crate::cli) struct Redo {
    /// The model that calls are for, if any are.
    pub(in crate::cli) model: Option<String>,
    /// A call is asked for, so `eligible` is not the end.
    pub(in crate::cli) eligible: bool,
    /// `--retry-unknown`.
    pub(in crate::cli) unknown: bool,
}

impl Results {
    /// A file that is new or empty.
    pub(in crate::cli) fn fresh(path: &Path) -> anyhow::Result<Self> {
        let file = open(path)?;
        let shown = path.display().to_string();
        if length(&file, &shown)? > 0 {
            bail!("the output {shown} is not empty: --resume goes on with it");
        }
        Ok(Self { file, kept: Kept::default(), copy: None, shown })
    }

    /// A file with results of an input of so many sources. Its lines are sorted into those that
    /// stand and those to be done over.
    pub(in crate::cli) fn resume(path: &Path, sources: u64, redo: Redo) -> anyhow::Result<Self> {
        let file = open(path)?;
        let shown = path.display().to_string();
        if length(&file, &shown)? == 0 {
            return Ok(Self { file, kept: Kept::default(), copy: None, shown });
        }
        // Of a link, the file itself is to be replaced.
        let path = path.canonicalize().with_context(|| format!("cannot read {shown}"))?;
        let (kept, copy) = sort_out(&file, &path, sources, redo)?;
        Ok(Self { file, kept, copy, shown })
    }

    /// Takes out the lines that are done over, and makes ready for those that come.
    pub(in crate::cli) fn begin(&mut self) -> anyhow::Result<()> {
        let cannot = || format!("cannot write {}", self.shown);
        if let Some(copy) = self.copy.take() {
            self.file = copy.replace_original().with_context(cannot)?;
        }
        if length(&self.file, &self.shown)? > 0 {
            self.file.seek(SeekFrom::End(0)).with_context(cannot)?;
        }
        Ok(())
    }
}

/// Reads all lines into a copy that has only those that stand; there is none where all do.
fn sort_out(
    file: &File,
    path: &Path,
    sources: u64,
    redo: Redo,
) -> anyhow::Result<(Kept, Option<Rewrite>)> {
    let shown = path.display();
    let copy = Rewrite::beside(path, file)?;
    let mut to = BufWriter::new(&copy.file);
    let mut from = BufReader::new(file);
    let (mut kept, mut dropped) = (Kept::of(sources), false);
    let mut line = Vec::new();
    for number in 1_u64.. {
        line.clear();
        let read =
            from.read_until(b'\n', &mut line).with_context(|| format!("cannot read {shown}"))?;
        if read == 0 {
            break;
        }
        if line.last() != Some(&b'\n') {
            // Broken off in the middle of a write: its result is in the ledger, or done over.
            dropped = true;
            break;
        }
        let report: Report = serde_json::from_slice(&line).map_err(|error| {
            let what = json_error(&error);
            anyhow::anyhow!("line {number} of {shown} is no result: {what}")
        })?;
        if report.index >= sources {
            bail!(
                "line {number} of {shown} has the index {} and the input only {sources} sources: \
                 the output belongs to another input",
                report.index
            );
        }
        if let (Some(wanted), Some(found)) = (&redo.model, &report.model)
            && wanted != found
        {
            bail!(
                "line {number} of {shown} must be a result of the model {wanted:?}, found \
                 {found:?}: the output belongs to another run"
            );
        }
        if redo.wants(&report) || !kept.keep(&report) {
            dropped = true;
        } else {
            to.write_all(&line).with_context(|| copy.cannot())?;
        }
    }
    to.flush().with_context(|| copy.cannot())?;
    drop(to);
    Ok((kept, dropped.then_some(copy)))
}

impl Redo {
    fn wants(&self, report: &Report) -> bool {
        match report.verdict {
            Verdict::Eligible => self.eligible,
            _ if report.is_unknown() => self.unknown,
            _ => !report.is_settled(),
        }
    }
}

impl Kept {
    fn of(sources: u64) -> Self {
        let fingerprints = vec![0; usize::try_from(sources).unwrap_or(0)];
        Self { fingerprints, ..Self::default() }
    }

    /// Notes a line; false when its index has one already.
    fn keep(&mut self, report: &Report) -> bool {
        let index = usize::try_from(report.index).unwrap_or(usize::MAX);
        let Some(slot) = self.fingerprints.get_mut(index).filter(|slot| **slot == 0) else {
            return false;
        };
        *slot = fingerprint(&(&report.source, report.ratio));
        if let Some(id) = &report.image_id {
            self.ids.resize(self.fingerprints.len(), 0);
            if let Some(slot) = self.ids.get_mut(index) {
                *slot = fingerprint(&(id, report.ratio));
            }
        }
        self.earlier.add(report);
        true
    }

    pub(in crate::cli) fn has(&self, index: u64) -> bool {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        self.fingerprints.get(index).is_some_and(|print| *print != 0)
    }

    fn has_id(&self, index: usize, source: &Source) -> bool {
        let id = source.image_id.as_ref().map(|id| fingerprint(&(id, source.ratio)));
        id.is_some() && self.ids.get(index).copied() == id
    }

    /// Holds every kept line against the input, and says how many sources that has. To be done
    /// before any call: a file that belongs to another input must cost nothing.
    pub(in crate::cli) async fn verify(
        &self,
        input: impl Stream<Item = Source>,
    ) -> anyhow::Result<u64> {
        let mut input = std::pin::pin!(input.enumerate());
        let mut sources = 0_usize;
        while let Some((index, source)) = input.next().await {
            sources = index + 1;
            match self.fingerprints.get(index) {
                Some(0) | None => {}
                Some(print) if *print == fingerprint(&(&source.text, source.ratio)) => {}
                // The same row, whose URL was signed again.
                Some(_) if self.has_id(index, &source) => {}
                Some(_) => bail!(
                    "the output must have results of the same ratio, and of the same source or \
                     image_id, as the input, found another at index {index}: it belongs to another \
                     input"
                ),
            }
        }
        Ok(u64::try_from(sources).unwrap_or(u64::MAX))
    }
}

/// 32 bits: all that is kept of a line in memory, and as many where it has an image_id. Never 0.
fn fingerprint<T: Hash + ?Sized>(of: &T) -> u32 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    u32::try_from(hasher.finish() >> 32).unwrap_or(0).max(1)
}

/// A file in the making beside the one whose place it is to take; gone if it never does.
struct Rewrite {
    file: File,
    temporary: Option<PathBuf>,
    original: PathBuf,
}

impl Rewrite {
    /// `original`, which the caller holds the lock of, has one writer and so one copy.
    fn beside(original: &Path, like: &File) -> anyhow::Result<Self> {
        let mut temporary = original.as_os_str().to_owned();
        temporary.push(".resuming");
        let cannot = || format!("cannot write {}", temporary.display());
        // One that a crash left behind is overwritten.
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&temporary).with_context(cannot)?;
        let copy = Self {
            file,
            temporary: Some(PathBuf::from(&temporary)),
            original: original.to_owned(),
        };
        lock(&copy.file, original)?;
        // Results may hold signed URLs: who could not read them must not be able to now.
        let permissions = like.metadata().map(|metadata| metadata.permissions());
        permissions.and_then(|p| copy.file.set_permissions(p)).with_context(cannot)?;
        Ok(copy)
    }

    /// Once this has returned, a power loss leaves the one file or the other, whole.
    fn replace_original(mut self) -> std::io::Result<File> {
        self.file.sync_all()?;
        let file = self.file.try_clone()?;
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.original)?;
            self.temporary = None;
            sync_folder(&self.original);
        }
        Ok(file)
    }

    fn cannot(&self) -> String {
        format!("cannot write the copy of {}", self.original.display())
    }
}

impl Drop for Rewrite {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Opens and locks the file that is at `path`.
fn open(path: &Path) -> anyhow::Result<File> {
    loop {
        let mut options = File::options();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options
            .open(path)
            .with_context(|| format!("cannot write the output {}", path.display()))?;
        lock(&file, path)?;
        // Between the two another process may have put its copy there and let go of this one.
        if is_at(&file, path) {
            return Ok(file);
        }
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(there)) => id(held) == id(there),
        (Ok(_), Err(error)) => error.kind() != std::io::ErrorKind::NotFound,
        (Err(_), _) => true,
    }
}

/// Elsewhere a file that is open is not replaced.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
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

fn length(file: &File, shown: &str) -> anyhow::Result<u64> {
    Ok(file.metadata().with_context(|| format!("cannot read {shown}"))?.len())
}

/// Makes the rename itself last through a power loss, where folders can be synced.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who was about to lock a file that is replaced meanwhile must not take the old one for it:
    /// two processes would then write, one of them into nothing.
    #[cfg(unix)]
    #[test]
    fn a_file_that_was_replaced_is_not_the_one_at_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        fs::write(&path, "old").unwrap();
        let old = File::open(&path).unwrap();
        assert!(is_at(&old, &path));
        fs::write(folder.path().join("new"), "new").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        assert!(!is_at(&old, &path));
        assert!(is_at(&File::open(&path).unwrap(), &path));
        fs::remove_file(&path).unwrap();
        assert!(!is_at(&old, &path));
    }
}
