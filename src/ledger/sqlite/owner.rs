//! The folder beside a ledger: whose it is, and who is at work. Each process holds the lock of a file
//! of its own for life.
//!
//! There is no lease that could run out: whoever can take a process's lock, or finds its file
//! gone, knows that the process is. A wrong guess (the file was deleted by hand) costs a false
//! `unknown`, never a second bill.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::open_files::OpenFiles;
use crate::ledger::LedgerError;

/// This process's place in the ledger.
pub(super) struct Owner {
    name: String,
    path: PathBuf,
    /// Held open: the lock goes with it.
    _lock: File,
    file: OpenFiles,
}

impl Owner {
    /// Takes a place in `folder`.
    pub(super) fn take(folder: &Path) -> io::Result<Self> {
        loop {
            let name = format!("{:016x}", fastrand::u64(..));
            let path = folder.join(&name);
            let lock = match File::create_new(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            };
            // Between making and locking it, someone may have cleared it away as abandoned.
            match lock.try_lock() {
                Ok(()) => match OpenFiles::new([path.clone()]) {
                    Ok(file) => return Ok(Self { name, path, _lock: lock, file }),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                },
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether others still find its lock: else they take this process for gone.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        self.file.check()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the process of that name is gone.
pub(super) fn is_gone(folder: &Path, name: &str) -> io::Result<bool> {
    match File::open(folder.join(name)) {
        Ok(file) => match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Removes the files of processes that are gone.
pub(super) fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Removed under its lock: a process that has just made its file then notices.
        if !is_id(&entry)
            && let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

/// Makes the folder, where it is not there, that of a ledger with a new id, which is returned. It is
/// on the disk before the ledger names it: after a crash between the two no ledger has that id.
pub(super) fn give_id(folder: &Path) -> io::Result<String> {
    make_private_folder(folder)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_id(&entry) {
            fs::remove_file(entry.path())?;
        }
    }
    let id = format!("{:032x}", fastrand::u128(..));
    File::create_new(id_file(folder, &id))?;
    #[cfg(unix)]
    for folder in [Some(folder), folder.parent()].into_iter().flatten() {
        File::open(folder)?.sync_all()?;
    }
    Ok(id)
}

/// Whether the folder is that of any ledger.
pub(super) fn has_any_id(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| is_id(&entry)))
}

/// Whether the folder is that of the ledger with this id.
pub(super) fn has_id(folder: &Path, id: &str) -> io::Result<bool> {
    id_file(folder, id).try_exists()
}

/// A file whose name is all it says: it is there or not, whenever a crash comes.
fn id_file(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{ID}{id}"))
}

fn is_id(entry: &fs::DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(ID.as_bytes())
}

fn make_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

const ID: &str = "ledger-";
