//! Who is at work on a ledger: each process holds the lock of a file of its own for life.
//!
//! There is no lease that could run out: whoever can take a process's lock, or finds its file
//! gone, knows that the process is. A wrong guess (the file was deleted by hand) costs a false
//! `unknown`, never a second bill.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// This process's place in the ledger.
pub(super) struct Owner {
    name: String,
    path: PathBuf,
    /// Held open: the lock goes with it.
    _lock: File,
}

impl Owner {
    /// Takes a place in `folder`, which is made if it is not there.
    pub(super) fn take(folder: &Path) -> io::Result<Self> {
        make_private_folder(folder)?;
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
                Ok(()) if path.exists() => return Ok(Self { name, path, _lock: lock }),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
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

/// Whether any process is at work.
pub(super) fn any_at_work(folder: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        if !is_gone(folder, &name.to_string_lossy())? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes the files of processes that are gone.
pub(super) fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        // Removed under its lock: a process that has just made its file then notices.
        if let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(&path);
        }
    }
    Ok(())
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
