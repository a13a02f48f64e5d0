//! A ledger in an SQLite file that any number of processes on one machine share.
//!
//! Every write takes the write lock at once (`BEGIN IMMEDIATE`). WAL with synchronous=FULL: a commit
//! that returned survives power loss.

mod file;
mod location;
mod open_files;
mod owner;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sqlx::sqlite::SqlitePool;

use file::Pools;
pub(super) use file::adopt;
use open_files::OpenFiles;
use owner::Owner;

use super::quota::micros;
use super::sql::driver::{Fault, Session, Transaction};
use super::sql::{Backend, SqlLedger};
use super::{LedgerAction, LedgerError, LedgerTiming};

/// An open file.
pub(super) struct Sqlite {
    pub(super) reader: SqlitePool,
    pub(super) writer: SqlitePool,
    /// Absent when the ledger is only read.
    owner: Option<Owner>,
    owners: PathBuf,
    files: OpenFiles,
    clock: fn() -> i64,
}

/// Opens a ledger for writing, by the clock given.
pub(super) async fn open(
    path: &Path,
    clock: fn() -> i64,
    timing: LedgerTiming,
) -> Result<SqlLedger, LedgerError> {
    let (path, Pools { reader, writer }) = file::open(path, timing).await?;
    let cannot = |e: io::Error| file::cannot_open(&path, e.to_string());
    let owners = file::beside(&path, file::OWNERS);
    let owner = Some(Owner::take(&owners).map_err(cannot)?);
    let files = ["", "-wal", "-shm"].map(|end| file::beside(&path, end));
    let files = OpenFiles::new(files).map_err(cannot)?;
    let engine = Sqlite { reader, writer, owner, owners, files, clock };
    let ledger = SqlLedger::new(Backend::Sqlite(engine), timing);
    ledger.abandon_the_dead().await?;
    Ok(ledger)
}

/// Opens a ledger for reading; `None` where there is none.
pub(super) async fn open_read_only(path: &Path) -> Result<Option<SqlLedger>, LedgerError> {
    let timing = LedgerTiming::default();
    let Some((path, reader)) = file::open_read_only(path, timing).await? else { return Ok(None) };
    let owners = file::beside(&path, file::OWNERS);
    let files =
        OpenFiles::new([path.clone()]).map_err(|e| file::cannot_open(&path, e.to_string()))?;
    let engine =
        Sqlite { writer: reader.clone(), reader, owner: None, owners, files, clock: wall_clock };
    Ok(Some(SqlLedger::new(Backend::Sqlite(engine), timing)))
}

impl Sqlite {
    pub(super) async fn read(&self) -> Result<Session, Fault> {
        self.files.check()?;
        self.reader.acquire().await.map(Session::Sqlite).map_err(Fault::reading)
    }

    pub(super) async fn begin(&self) -> Result<Transaction, Fault> {
        self.files.check()?;
        let begun = self.writer.begin_with("BEGIN IMMEDIATE").await;
        begun.map(Transaction::Sqlite).map_err(Fault::writing)
    }

    /// Whether this process may still book and send: others must find its lock.
    pub(super) fn check_owner(&self) -> Result<(), Fault> {
        Ok(self.owner.as_ref().map_or(Ok(()), Owner::check)?)
    }

    /// Leaves nothing outside the file, unless others have the ledger open: the last to leave does.
    pub(super) async fn close(&self) {
        if !self.is_read_only() && self.files.check().is_ok() {
            let _ = sqlx::query(file::CHECKPOINT).execute(&self.writer).await;
        }
        self.reader.close().await;
        self.writer.close().await;
    }

    pub(super) fn now(&self) -> i64 {
        (self.clock)()
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.owner.is_none()
    }

    pub(super) fn owner_name(&self) -> &str {
        self.owner.as_ref().map_or("nobody", Owner::name)
    }

    pub(super) async fn gone(&self, owners: HashSet<String>) -> Result<HashSet<String>, Fault> {
        let mut gone = HashSet::new();
        for owner in owners {
            let is_gone = owner::is_gone(&self.owners, &owner).map_err(|e| {
                let why = format!("owner's lock: {e}");
                LedgerError::Failed { action: LedgerAction::Read, why }
            })?;
            if is_gone {
                gone.insert(owner);
            }
        }
        Ok(gone)
    }

    /// Only once nothing is theirs: who looks for an owner's file and finds none takes that owner for
    /// gone.
    pub(super) fn clear_owners(&self) -> Result<(), Fault> {
        owner::clear(&self.owners).map_err(|e| {
            LedgerError::Failed { action: LedgerAction::Write, why: e.to_string() }.into()
        })
    }

    /// The file that this process's lock is on.
    #[cfg(test)]
    pub(super) fn lock_file(&self) -> PathBuf {
        self.owners.join(self.owner_name())
    }
}

/// Microseconds since 1970.
pub(super) fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    micros(since)
}
