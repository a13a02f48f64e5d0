//! An SQLite file as a ledger is kept in: private, on a local disk, of a known schema.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};

use super::owner;
use crate::ledger::sql::driver::said;
use crate::ledger::sql::{schema, statements as sql};
use crate::ledger::{LedgerAction, LedgerError, LedgerTiming};

/// The pools for reading and for writing.
pub(super) struct Pools {
    pub(super) reader: SqlitePool,
    /// A single connection: SQLite lets one write at a time, and who waits here waits in order
    /// and without polling, unlike at SQLite's own lock.
    pub(super) writer: SqlitePool,
}

/// Opens a ledger for writing; makes the file, its folder and its tables where they are not there.
pub(super) async fn open(path: &Path, timing: LedgerTiming) -> Result<Pools, LedgerError> {
    let cannot = |why: String| cannot_open(path, why);
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)
            .map_err(|e| cannot(format!("its folder cannot be made: {e}")))?;
    }
    make_private_file(path).map_err(|e| cannot(e.to_string()))?;
    refuse_network(path).map_err(cannot)?;
    let writer = connect_in_turn(path, 1, timing).await?;
    migrate(&writer, path).await?;
    let reader = connect_in_turn(path, READERS, timing).await?;
    Ok(Pools { reader, writer })
}

/// Opens a ledger for reading; `None` where there is none.
pub(super) async fn open_read_only(
    path: &Path,
    timing: LedgerTiming,
) -> Result<Option<SqlitePool>, LedgerError> {
    let cannot = |why: String| cannot_open(path, why);
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(error.to_string())),
        Ok(_) => {}
    }
    refuse_network(path).map_err(cannot)?;
    let reader = connect(path, true, READERS, timing).await.map_err(|e| cannot(said(&e)))?;
    let mut connection = reader.acquire().await.map_err(|e| cannot(said(&e)))?;
    let found = check_version(&mut connection, path).await?;
    drop(connection);
    if found < schema::VERSION {
        // Only to read, but by its present names.
        migrate(&connect_in_turn(path, 1, timing).await?, path).await?;
    }
    Ok(Some(reader))
}

/// The folder of the locks beside the ledger: the same one whatever links lead to the file, for a
/// lock that is looked for other would seem gone.
pub(super) fn owners_of(path: &Path) -> Result<PathBuf, LedgerError> {
    let real = path.canonicalize().map_err(|e| cannot_open(path, e.to_string()))?;
    let mut name = real.into_os_string();
    name.push("-owners");
    Ok(name.into())
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
    let begun = Instant::now();
    loop {
        match connect(path, false, connections, timing).await {
            Err(error) if is_busy(&error) && begun.elapsed() < timing.busy => {
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

async fn connect(
    path: &Path,
    read_only: bool,
    connections: u32,
    timing: LedgerTiming,
) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(read_only)
        .busy_timeout(timing.busy)
        .thread_name(|n| format!("ledger-{n}"));
    let options = if read_only {
        options
    } else {
        options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // Where fsync stops short of the disk's platter (macOS); other without effect.
            .pragma("fullfsync", "1")
    };
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(timing.turn)
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

async fn migrate(pool: &SqlitePool, path: &Path) -> Result<(), LedgerError> {
    let cannot = |e: sqlx::Error| cannot_open(path, said(&e));
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(cannot)?;
    let tables: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'")
        .fetch_one(&mut *transaction)
        .await
        .map_err(cannot)?;
    let found = match tables {
        0 => None,
        _ => Some(check_version(&mut transaction, path).await?),
    };
    let (before, after): (&[&str], &[&str]) = match found {
        None => (&schema::TABLES, &[]),
        Some(schema::VERSION) => return Ok(()),
        Some(_) => {
            refuse_while_in_use(path)?;
            tracing::info!(path = %path.display(), "ledger_migrates");
            (&schema::FROM_1, &schema::DROP_1)
        }
    };
    for statement in before.iter().chain(after).chain(&schema::INDEXES).chain(&schema::TRIGGERS) {
        sqlx::query(sqlx::AssertSqlSafe(*statement))
            .execute(&mut *transaction)
            .await
            .map_err(cannot)?;
    }
    if found.is_none() {
        sqlx::query(sql::WRITE_SCHEMA_VERSION)
            .bind(schema::VERSION)
            .execute(&mut *transaction)
            .await
            .map_err(cannot)?;
    }
    transaction.commit().await.map_err(cannot)
}

/// A process of an older version would go on writing what it knows.
fn refuse_while_in_use(path: &Path) -> Result<(), LedgerError> {
    match owner::any_at_work(&owners_of(path)?) {
        Ok(false) => Ok(()),
        Ok(true) => Err(cannot_open(
            path,
            "it must not be in use while it is brought to this version, found a process of an \
             older one at work: let that end first"
                .to_owned(),
        )),
        Err(error) => Err(cannot_open(path, format!("owners' locks: {error}"))),
    }
}

/// The schema's version, if this program knows it.
async fn check_version(connection: &mut SqliteConnection, path: &Path) -> Result<i64, LedgerError> {
    let found: i64 =
        sqlx::query_scalar(sql::READ_SCHEMA_VERSION).fetch_one(connection).await.map_err(|e| {
            cannot_open(path, format!("it is an SQLite file but no ledger: {}", said(&e)))
        })?;
    if found > schema::VERSION {
        let path = path.display().to_string();
        return Err(LedgerError::Newer { path, found, known: schema::VERSION });
    }
    Ok(found)
}

/// Where the file of an open ledger is. Once it was removed, or another put in its place, what is
/// written goes to a file that nobody will find again.
pub(super) struct Place {
    path: PathBuf,
    #[cfg(unix)]
    file: (u64, u64),
}

impl Place {
    pub(super) fn of(path: &Path) -> Result<Self, LedgerError> {
        // Links are followed once: where they lead later is no word on the open file.
        let path = path.canonicalize().map_err(|e| cannot_open(path, e.to_string()))?;
        #[cfg(unix)]
        let file = file_at(&path).map_err(|e| cannot_open(&path, e.to_string()))?;
        Ok(Self {
            path,
            #[cfg(unix)]
            file,
        })
    }

    /// Whether the open file is still the one at its path.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        #[cfg(unix)]
        {
            let found = match file_at(&self.path) {
                Ok(file) if file == self.file => return Ok(()),
                Ok(_) => "another file in its place".to_owned(),
                Err(error) => error.to_string(),
            };
            let path = self.path.display();
            let why = format!("{path} must stay where it is while it is in use, found {found}");
            Err(LedgerError::Failed { action: LedgerAction::Write, why })
        }
        #[cfg(not(unix))]
        Ok(())
    }
}

/// The device and the inode of the file at a path.
#[cfg(unix)]
fn file_at(path: &Path) -> std::io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Made before SQLite does, for its mode: SQLite's own files beside it take theirs from it.
fn make_private_file(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(_) if path.is_dir() => Err(std::io::ErrorKind::IsADirectory.into()),
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

#[cfg(target_os = "linux")]
fn refuse_network(path: &Path) -> Result<(), String> {
    let found = rustix::fs::statfs(path).map_err(|e| e.to_string())?;
    match network_name(u64::try_from(found.f_type).unwrap_or(0)) {
        Some(name) => Err(format!(
            "it lies on a network file system ({name}), where locks do not hold: use a local disk"
        )),
        None => Ok(()),
    }
}

/// The name of a network file system, by the number statfs(2) gives it.
#[cfg(target_os = "linux")]
fn network_name(magic: u64) -> Option<&'static str> {
    // Some architectures give the number sign-extended.
    let magic = magic & 0xFFFF_FFFF;
    NETWORK_FILE_SYSTEMS.iter().find(|(known, _)| *known == magic).map(|(_, name)| *name)
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_: &Path) -> Result<(), String> {
    Ok(())
}

/// How soon a connection that was refused for another's lock is tried again.
const CONNECT_AGAIN: Duration = Duration::from_millis(20);

const SQLITE_BUSY: u32 = 5;

const READERS: u32 = 3;

/// statfs(2), `linux/magic.h`.
#[cfg(target_os = "linux")]
const NETWORK_FILE_SYSTEMS: [(u64, &str); 7] = [
    (0x6969, "NFS"),
    (0x517B, "SMB"),
    (0xFF53_4D42, "CIFS"),
    (0xFE53_4D42, "SMB2"),
    (0x0102_1997, "9P"),
    (0x00C3_6400, "Ceph"),
    (0x5346_414F, "AFS"),
];

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        for (magic, name) in [
            (0x6969, Some("NFS")),
            (0xFF53_4D42, Some("CIFS")),
            (0xFFFF_FFFF_FF53_4D42, Some("CIFS")),
            (0xEF53, None),
            (0x0102_1994, None),
            (0x9123_683E, None),
            (0x5846_5342, None),
            (0x794C_7630, None),
        ] {
            assert_eq!(network_name(magic), name, "{magic:x}");
        }
        assert_eq!(refuse_network(Path::new("/")), Ok(()));
    }
}
