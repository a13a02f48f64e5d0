//! The files of an open ledger, where they were found.

use std::io;
use std::path::{Path, PathBuf};

use crate::ledger::{LedgerAction, LedgerError};

/// Once one of them was removed, or another put in its place, what is written goes to a file that
/// no other process finds.
pub(super) struct OpenFiles(Vec<(PathBuf, FileId)>);

/// The device and the inode.
type FileId = (u64, u64);

impl OpenFiles {
    pub(super) fn new(paths: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let found = paths.into_iter().map(|path| id_of(&path).map(|id| (path, id)));
        found.collect::<io::Result<_>>().map(Self)
    }

    /// Whether all of them are still at their paths.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        for (path, id) in &self.0 {
            let found = match id_of(path) {
                Ok(found) if found == *id => continue,
                Ok(_) => "another file in its place".to_owned(),
                Err(error) => error.to_string(),
            };
            let path = path.display();
            let why = format!("{path} must stay where it is while it is in use, found {found}");
            return Err(LedgerError::Failed { action: LedgerAction::Write, why });
        }
        Ok(())
    }
}

/// Asked by name: to open and close a ledger's file would end all locks that SQLite holds on it.
#[cfg(unix)]
fn id_of(path: &Path) -> io::Result<FileId> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

/// An open file cannot be removed there.
#[cfg(not(unix))]
fn id_of(path: &Path) -> io::Result<FileId> {
    std::fs::metadata(path).map(|_| (0, 0))
}
