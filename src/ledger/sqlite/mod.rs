//! A ledger in an SQLite file that any number of processes on one machine share.
//!
//! Every write takes the write lock at once (`BEGIN IMMEDIATE`). WAL with synchronous=FULL: a commit
//! that returned survives power loss.

mod file;
mod owner;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sqlx::sqlite::SqlitePool;

use file::{Place, Pools};
use owner::Owner;

use super::quota::micros;
use super::sql::driver::{Fault, Session, Transaction};
use super::sql::{Backend, SqlLedger};
use super::{LedgerAction, LedgerError};

/// An open file.
pub(super) struct Sqlite {
    pub(super) reader: SqlitePool,
    pub(super) writer: SqlitePool,
    /// Absent when the ledger is only read.
    owner: Option<Owner>,
    owners: PathBuf,
    place: Place,
    clock: fn() -> i64,
}

/// Opens a ledger for writing, by the clock given.
pub(super) async fn open(path: &Path, clock: fn() -> i64) -> Result<SqlLedger, LedgerError> {
    let Pools { reader, writer } = file::open(path).await?;
    let owners = file::owners_of(path)?;
    let owner = Owner::take(&owners)
        .map_err(|e| file::cannot_open(path, format!("{}: {e}", owners.display())))?;
    let engine = Sqlite { owner: Some(owner), ..Sqlite::of(reader, writer, path, clock)? };
    let ledger = SqlLedger::new(Backend::Sqlite(engine));
    ledger.abandon_the_dead().await?;
    Ok(ledger)
}

/// Opens a ledger for reading; `None` where there is none.
pub(super) async fn open_read_only(path: &Path) -> Result<Option<SqlLedger>, LedgerError> {
    let Some(reader) = file::open_read_only(path).await? else { return Ok(None) };
    let engine = Sqlite::of(reader.clone(), reader, path, wall_clock)?;
    Ok(Some(SqlLedger::new(Backend::Sqlite(engine))))
}

impl Sqlite {
    /// One that nobody writes to.
    fn of(
        reader: SqlitePool,
        writer: SqlitePool,
        path: &Path,
        clock: fn() -> i64,
    ) -> Result<Self, LedgerError> {
        let (owners, place) = (file::owners_of(path)?, Place::of(path)?);
        Ok(Self { reader, writer, owner: None, owners, place, clock })
    }

    pub(super) async fn read(&self) -> Result<Session, Fault> {
        self.place.check()?;
        self.reader.acquire().await.map(Session::Sqlite).map_err(Fault::reading)
    }

    pub(super) async fn begin(&self) -> Result<Transaction, Fault> {
        self.place.check()?;
        let begun = self.writer.begin_with("BEGIN IMMEDIATE").await;
        begun.map(Transaction::Sqlite).map_err(Fault::writing)
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

    pub(super) fn is_gone(&self, owner: &str) -> Result<bool, Fault> {
        owner::is_gone(&self.owners, owner).map_err(|e| {
            let why = format!("owner's lock: {e}");
            LedgerError::Failed { action: LedgerAction::Read, why }.into()
        })
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
