//! An SQLite file as a ledger is kept in: private, on a local disk, of a known schema.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteLockingMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};

use super::{location, owner};
use crate::ledger::sql::driver::said;
use crate::ledger::sql::{schema, statements as sql};
use crate::ledger::{LedgerError, LedgerTiming};

/// The pools for reading and for writing.
pub(super) struct Pools {
    pub(super) reader: SqlitePool,
    /// A single connection: SQLite lets one write at a time, and who waits here waits in order
    /// and without polling, unlike at SQLite's own lock.
    pub(super) writer: SqlitePool,
}

/// Opens a ledger for writing; makes the file, its folder and its tables where they are not there.
pub(super) async fn open(
    path: &Path,
    timing: LedgerTiming,
) -> Result<(PathBuf, Pools), LedgerError> {
    let cannot = |why: String| cannot_open(path, why);
    location::check_name(path).map_err(cannot)?;
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)
            .map_err(|e| cannot(format!("its folder cannot be made: {e}")))?;
    }
    // In this order: of processes that make one ledger at once each makes the file before the id.
    let folder = beside(path, OWNERS);
    if owner::has_any_id(&folder) && !path.exists() {
        return Err(cannot(format!(
            "it is gone, and its folder {} is still there: put the file back, or remove the folder to \
             begin a new ledger",
            folder.display()
        )));
    }
    make_private_file(path).map_err(|e| cannot(e.to_string()))?;
    let path = real_path(path)?;
    let writer = connect_in_turn(&path, 1, timing).await?;
    // What is refused is let go of before it is said: its user may go on to adopt it.
    if let Err(error) = prepare(&writer, &path).await {
        writer.close().await;
        return Err(error);
    }
    let reader = connect_in_turn(&path, READERS, timing).await?;
    Ok((path, Pools { reader, writer }))
}

/// Opens a ledger for reading; `None` where there is none.
pub(super) async fn open_read_only(
    path: &Path,
    timing: LedgerTiming,
) -> Result<Option<(PathBuf, SqlitePool)>, LedgerError> {
    location::check_name(path).map_err(|why| cannot_open(path, why))?;
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot_open(path, error.to_string())),
        Ok(_) => {}
    }
    let path = real_path(path)?;
    let cannot = |e: sqlx::Error| cannot_open(&path, said(&e));
    // What reads may tidy up: the last to leave a ledger must leave nothing outside its file.
    let reader = connect(&path, Purpose::Read, READERS, timing).await.map_err(cannot)?;
    match is_ledger(&reader, &path).await {
        Ok(true) => Ok(Some((path, reader))),
        refused => {
            reader.close().await;
            refused.map(|_| None)
        }
    }
}

/// Whether there is one in the file; an error where there is one that may not be used.
async fn is_ledger(reader: &SqlitePool, path: &Path) -> Result<bool, LedgerError> {
    let cannot = |e: sqlx::Error| cannot_open(path, said(&e));
    let mut connection = reader.acquire().await.map_err(cannot)?;
    if is_blank(&mut connection).await.map_err(cannot)? {
        return Ok(false);
    }
    check_schema(&mut connection, path).await?;
    check_id(&mut connection, path).await?;
    Ok(true)
}

/// Makes a ledger's file and the folder beside it belong together, by a new id.
pub(in crate::ledger) async fn adopt(path: &Path) -> Result<(), LedgerError> {
    location::check_name(path).map_err(|why| cannot_open(path, why))?;
    let path = real_path(path)?;
    let cannot = |e: sqlx::Error| match is_busy(&e) {
        true => cannot_open(&path, IN_USE.to_owned()),
        false => cannot_open(&path, said(&e)),
    };
    let pool =
        connect(&path, Purpose::HaveAlone, 1, LedgerTiming::default()).await.map_err(cannot)?;
    let adopted = async {
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(cannot)?;
        check_schema(&mut transaction, &path).await?;
        let id = give_id(&path)?;
        sqlx::query(sql::WRITE_LEDGER_ID)
            .bind(&id)
            .execute(&mut *transaction)
            .await
            .map_err(cannot)?;
        transaction.commit().await.map_err(cannot)
    };
    let adopted = adopted.await;
    pool.close().await;
    adopted
}

/// The path by which SQLite and this crate find the files beside a ledger: the same whatever links
/// lead to it. And whether a ledger may be there.
fn real_path(path: &Path) -> Result<PathBuf, LedgerError> {
    let real = path.canonicalize().map_err(|e| cannot_open(path, e.to_string()))?;
    location::check_file(&real).map_err(|why| cannot_open(path, why))?;
    Ok(real)
}

/// A file beside the ledger, by what its name ends with.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

pub(super) fn cannot_open(path: &Path, why: String) -> LedgerError {
    LedgerError::Open { path: path.display().to_string(), why }
}

/// Connects for writing. Of processes that turn a new file to WAL at once, SQLite tells all but one
/// that it is locked, and at once: its busy timeout does not hold there.
async fn connect_in_turn(
    path: &Path,
    connections: u32,
    timing: LedgerTiming,
) -> Result<SqlitePool, LedgerError> {
    let until = Instant::now() + timing.busy;
    loop {
        match connect(path, Purpose::Write, connections, timing).await {
            Err(error) if is_busy(&error) && Instant::now() < until => {
                tokio::time::sleep(CONNECT_AGAIN).await;
            }
            connected => return connected.map_err(|e| cannot_open(path, said(&e))),
        }
    }
}

/// Whether another connection's lock was in the way. SQLite's primary result code is the low byte
/// of the extended one (<https://sqlite.org/rescode.html>).
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xFF == SQLITE_BUSY)
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    Write,
    /// To write while no other connection is open, by whatever name of the file.
    HaveAlone,
}

async fn connect(
    path: &Path,
    purpose: Purpose,
    connections: u32,
    timing: LedgerTiming,
) -> Result<SqlitePool, sqlx::Error> {
    let mut options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(if purpose == Purpose::HaveAlone { Duration::ZERO } else { timing.busy })
        .thread_name(|n| format!("ledger-{n}"));
    if purpose == Purpose::HaveAlone {
        options = options.locking_mode(SqliteLockingMode::Exclusive);
    }
    let options = match purpose {
        Purpose::Read => options.pragma("query_only", "1"),
        Purpose::Write | Purpose::HaveAlone => options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // Where fsync stops short of the disk's platter (macOS); other without effect.
            .pragma("fullfsync", "1"),
    };
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(timing.turn)
        // With its last connection SQLite removes the files beside the ledger, and the next makes
        // others: to this process that looks like a ledger pulled away.
        .idle_timeout(None)
        .max_lifetime(None)
        // A full disk makes SQLite roll back on its own; the driver's own rollback then fails and
        // the connection counts as within a transaction for ever. Such a one is closed.
        .after_release(|connection, _| {
            Box::pin(async move {
                // The answer comes after a rollback that is still queued.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            })
        })
        .connect_with(options)
        .await
}

/// Makes the tables where there are none, or holds them and the folder beside them against what they
/// must be.
async fn prepare(pool: &SqlitePool, path: &Path) -> Result<(), LedgerError> {
    let cannot = |e: sqlx::Error| cannot_open(path, said(&e));
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(cannot)?;
    if !is_blank(&mut transaction).await.map_err(cannot)? {
        check_schema(&mut transaction, path).await?;
        return check_id(&mut transaction, path).await;
    }
    let id = give_id(path)?;
    for statement in schema::TABLES.iter().chain(&schema::INDEXES) {
        sqlx::query(sqlx::AssertSqlSafe(*statement))
            .execute(&mut *transaction)
            .await
            .map_err(cannot)?;
    }
    sqlx::query(sql::WRITE_SCHEMA_VERSION)
        .bind(schema::VERSION)
        .execute(&mut *transaction)
        .await
        .map_err(cannot)?;
    sqlx::query(sql::WRITE_LEDGER_ID).bind(&id).execute(&mut *transaction).await.map_err(cannot)?;
    transaction.commit().await.map_err(cannot)?;
    // Into the file itself: who has the file alone must find whose it is, not an empty one.
    sqlx::query(CHECKPOINT).execute(pool).await.map_err(cannot)?;
    Ok(())
}

/// A file in which nothing was made yet, or whose making was broken off.
async fn is_blank(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'")
        .fetch_one(connection)
        .await?;
    Ok(tables == 0)
}

/// Whether this program knows the schema.
async fn check_schema(connection: &mut SqliteConnection, path: &Path) -> Result<(), LedgerError> {
    let found: i64 =
        sqlx::query_scalar(sql::READ_SCHEMA_VERSION).fetch_one(connection).await.map_err(|e| {
            cannot_open(path, format!("it is an SQLite file but no ledger: {}", said(&e)))
        })?;
    schema::check_version(found, path.display())
}

/// Whether the folder beside the file is this ledger's.
async fn check_id(connection: &mut SqliteConnection, path: &Path) -> Result<(), LedgerError> {
    let id: Option<String> = sqlx::query_scalar(sql::READ_LEDGER_ID)
        .fetch_one(connection)
        .await
        .map_err(|e| cannot_open(path, said(&e)))?;
    let folder = beside(path, OWNERS);
    match id.map(|id| owner::has_id(&folder, &id)).transpose() {
        Ok(Some(true)) => Ok(()),
        Ok(_) => Err(LedgerError::Separated {
            path: path.display().to_string(),
            folder: folder.display().to_string(),
            found: if folder.is_dir() { "another ledger's" } else { "none" },
        }),
        Err(error) => Err(cannot_open(path, format!("{}: {error}", folder.display()))),
    }
}

/// Gives the folder beside the file a new id, which is returned.
fn give_id(path: &Path) -> Result<String, LedgerError> {
    let folder = beside(path, OWNERS);
    owner::give_id(&folder).map_err(|e| cannot_open(path, format!("{}: {e}", folder.display())))
}

/// Made before SQLite does, for its mode: SQLite's own files beside it take theirs from it.
fn make_private_file(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(_) if path.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// How soon a connection that was refused for another's lock is tried again.
const CONNECT_AGAIN: Duration = Duration::from_millis(20);

const SQLITE_BUSY: u32 = 5;

const READERS: u32 = 3;

/// What is written so far goes from the `-wal` into the file, as far as no reader needs it there.
pub(super) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The folder of the owners' locks.
pub(super) const OWNERS: &str = "-owners";

const IN_USE: &str = "it must not be in use while it is adopted, found a process that has it open: \
                      end that first";
