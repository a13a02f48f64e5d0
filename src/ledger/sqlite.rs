//! Books in an SQLite file that any number of processes on one machine share.
//!
//! Every write is one explicit transaction that takes the write lock at once (`BEGIN IMMEDIATE`)
//! and whose commit is checked: a statement with RETURNING in autocommit would swallow the
//! commit's error. WAL with synchronous=FULL: a commit that returned survives power loss.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{Sqlite as Engine, Transaction};
use tokio::time::Instant;

use super::memory::changed;
use super::owner::{self, Owner};
use super::{
    Booked, Disposition, Elsewhere, Ending, Identity, Intent, LedgerError, Look, Question,
    Settlement, Terms, micros, sql,
};
use crate::detect::{Answer, Attempt, End, Outcome, decide};
use crate::probe::Version;
use crate::report::{Billing, Certainty};

pub(super) struct Sqlite {
    pub(super) reader: SqlitePool,
    /// A single connection: SQLite lets one write at a time, and who waits here waits in order
    /// and without polling, unlike at SQLite's own lock.
    writer: SqlitePool,
    /// Absent when the books are only read.
    owner: Option<Owner>,
    owners: PathBuf,
    clock: fn() -> i64,
}

/// A question's row with its deciding attempt's.
type Row = (
    String,
    i64,
    Option<i64>,
    Option<String>,
    Option<String>,
    String,
    Option<i64>,
    Option<i64>,
    Option<String>,
    i64,
    Option<String>,
    Option<Vec<u8>>,
);

impl Sqlite {
    pub(super) async fn open(path: &Path, clock: fn() -> i64) -> Result<Self, LedgerError> {
        let cannot = |why: String| LedgerError::Open { path: path.display().to_string(), why };
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent)
                .map_err(|e| cannot(format!("its folder cannot be made: {e}")))?;
        }
        make_private_file(path).map_err(|e| cannot(e.to_string()))?;
        refuse_network(path).map_err(cannot)?;
        let writer = connect(path, false, 1).await.map_err(|e| cannot(said(&e)))?;
        migrate(&writer, path).await?;
        let reader = connect(path, false, READERS).await.map_err(|e| cannot(said(&e)))?;
        let owners = owners_of(path);
        let owner =
            Owner::take(&owners).map_err(|e| cannot(format!("{}: {e}", owners.display())))?;
        let books = Self { reader, writer, owner: Some(owner), owners, clock };
        books.abandon_the_dead().await?;
        Ok(books)
    }

    pub(super) async fn open_read_only(path: &Path) -> Result<Option<Self>, LedgerError> {
        let cannot = |why: String| LedgerError::Open { path: path.display().to_string(), why };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot(error.to_string())),
            Ok(_) => {}
        }
        refuse_network(path).map_err(cannot)?;
        let reader = connect(path, true, READERS).await.map_err(|e| cannot(said(&e)))?;
        check_version(&mut *reader.acquire().await.map_err(|e| cannot(said(&e)))?, path).await?;
        let writer = reader.clone();
        let owners = owners_of(path);
        Ok(Some(Self { reader, writer, owner: None, owners, clock: wall_clock }))
    }

    pub(super) fn now(&self) -> i64 {
        (self.clock)()
    }

    pub(super) async fn look(
        &self,
        question: &Question,
        terms: &Terms,
    ) -> Result<Look, LedgerError> {
        let mut connection = self.reader.acquire().await.map_err(unread)?;
        self.look_on(&mut connection, question, terms).await
    }

    async fn look_on(
        &self,
        connection: &mut SqliteConnection,
        question: &Question,
        terms: &Terms,
    ) -> Result<Look, LedgerError> {
        let row: Option<Row> = sqlx::query_as(sql::READ_QUESTION)
            .bind(question.identity.to_string())
            .fetch_optional(connection)
            .await
            .map_err(unread)?;
        Ok(row.map_or(Look::Free, |row| judge(row, question, terms, self.now())))
    }

    pub(super) async fn intend(
        &self,
        question: &Question,
        terms: &Terms,
    ) -> Result<Intent, LedgerError> {
        let mut books = self.begin().await?;
        match self.look_on(&mut books, question, terms).await? {
            Look::Known(settlement) => return Ok(Intent::Known(settlement)),
            Look::Sending(elsewhere) => return Ok(Intent::Sending(elsewhere)),
            Look::Free => {}
        }
        if let Some(most) = terms.max_calls {
            let (sending, used): (i64, i64) = sqlx::query_as(sql::READ_CAP)
                .bind(&terms.run)
                .fetch_one(&mut *books)
                .await
                .map_err(unread)?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            if used >= most {
                return Ok(Intent::CapReached);
            }
            if used.saturating_add(sending) >= most {
                return Ok(Intent::CapTaken);
            }
        }
        let (now, here) = (self.now(), Instant::now());
        let slot = book_slot(&mut books, terms, now).await?;
        let last: i64 = sqlx::query_scalar(sql::READ_LAST_ATTEMPT)
            .fetch_one(&mut *books)
            .await
            .map_err(unread)?;
        // About the time of booking, and always a new one, whatever the clock does.
        let id = now.max(last.saturating_add(1));
        let identity = question.identity.to_string();
        sqlx::query(sql::WRITE_ATTEMPT)
            .bind(id)
            .bind(&identity)
            .bind(&terms.account)
            .bind(&terms.run)
            .bind(self.owner_name())
            .bind(&question.source)
            .bind(question.ratio.as_str())
            .bind(&question.model)
            .bind(slot)
            .execute(&mut *books)
            .await
            .map_err(unwritten)?;
        let version = question.version.as_ref();
        sqlx::query(sql::WRITE_QUESTION)
            .bind(&identity)
            .bind(id)
            .bind(version.and_then(|v| v.length).and_then(|length| i64::try_from(length).ok()))
            .bind(version.map(|v| hex(&v.start)))
            .bind(version.and_then(|v| v.etag.clone()))
            .execute(&mut *books)
            .await
            .map_err(unwritten)?;
        books.commit().await.map_err(unwritten)?;
        // From here on the monotonic clock counts, whatever happens to the other.
        let wait = Duration::from_micros(u64::try_from(slot.saturating_sub(now)).unwrap_or(0));
        let attempt = Booked { identity: question.identity, id };
        Ok(Intent::Send { attempt, slot: here + wait })
    }

    pub(super) async fn end(
        &self,
        attempt: &Booked,
        ending: &Ending,
        terms: &Terms,
    ) -> Result<(), LedgerError> {
        let settlement = &ending.settlement;
        let (attempt_state, question_state) = match settlement.disposition {
            _ if !ending.was_sent => ("not_sent", "free"),
            Disposition::Settled(_) => ("settled", "settled"),
            Disposition::Unknown(_) => ("unknown", "unknown"),
            _ => ("refused", "free"),
        };
        let now = self.now();
        let mut books = self.begin().await?;
        sqlx::query(sql::END_ATTEMPT)
            .bind(attempt.id)
            .bind(attempt_state)
            .bind(now)
            .bind(ending.verdict)
            .bind(ending.status.map(i64::from))
            .bind(&settlement.request_id)
            .bind(i64::try_from(settlement.billing.images).unwrap_or(i64::MAX))
            .bind(certainty_name(settlement.billing.certainty))
            .bind(ending.raw.as_deref())
            .execute(&mut *books)
            .await
            .map_err(unwritten)?;
        sqlx::query(sql::END_QUESTION)
            .bind(attempt.identity.to_string())
            .bind(attempt.id)
            .bind(question_state)
            .execute(&mut *books)
            .await
            .map_err(unwritten)?;
        if let Some(pause) = ending.push_back {
            let next = read_pace(&mut books, terms).await?.unwrap_or(0);
            let until = now.saturating_add(span(pause.min(LONGEST_PUSH)));
            write_pace(&mut books, terms, next.max(until)).await?;
        }
        books.commit().await.map_err(unwritten)
    }

    pub(super) async fn is_held(&self, elsewhere: &Elsewhere) -> Result<bool, LedgerError> {
        if !self.is_gone(&elsewhere.owner)? {
            return Ok(true);
        }
        let mut books = self.begin().await?;
        self.abandon(&mut books, elsewhere.attempt.id, &elsewhere.attempt.identity.to_string())
            .await?;
        books.commit().await.map_err(unwritten)?;
        Ok(false)
    }

    fn is_gone(&self, owner: &str) -> Result<bool, LedgerError> {
        owner::is_gone(&self.owners, owner)
            .map_err(|e| LedgerError::Failed { action: "read", why: format!("owner's lock: {e}") })
    }

    /// What processes left behind that ended without a word has an unknown bill.
    async fn abandon_the_dead(&self) -> Result<(), LedgerError> {
        let sending: Vec<(i64, String, String)> =
            sqlx::query_as(sql::READ_SENDING).fetch_all(&self.reader).await.map_err(unread)?;
        for (attempt, identity, owner) in sending {
            if self.is_gone(&owner)? {
                let mut books = self.begin().await?;
                self.abandon(&mut books, attempt, &identity).await?;
                books.commit().await.map_err(unwritten)?;
            }
        }
        // Only now: a file that is gone would be as good as one that can be locked.
        owner::clear(&self.owners)
            .map_err(|e| LedgerError::Failed { action: "written", why: e.to_string() })
    }

    async fn abandon(
        &self,
        books: &mut SqliteConnection,
        attempt: i64,
        identity: &str,
    ) -> Result<(), LedgerError> {
        sqlx::query(sql::ABANDON_ATTEMPT)
            .bind(attempt)
            .bind(self.now())
            .execute(&mut *books)
            .await
            .map_err(unwritten)?;
        sqlx::query(sql::ABANDON_QUESTION)
            .bind(attempt)
            .bind(identity)
            .execute(books)
            .await
            .map_err(unwritten)?;
        Ok(())
    }

    async fn begin(&self) -> Result<Transaction<'static, Engine>, LedgerError> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(unwritten)
    }

    fn owner_name(&self) -> &str {
        self.owner.as_ref().map_or("nobody", Owner::name)
    }
}

/// What a question's row says, now.
fn judge(row: Row, question: &Question, terms: &Terms, now: i64) -> Look {
    let (
        state,
        attempt,
        length,
        start,
        etag,
        owner,
        ended,
        status,
        request_id,
        images,
        certainty,
        answer,
    ) = row;
    let recalled = || recall(status, request_id, images, certainty.as_deref(), answer.as_deref());
    match state.as_str() {
        "sending" => {
            let attempt = Booked { identity: question.identity, id: attempt };
            Look::Sending(Elsewhere { attempt, owner })
        }
        "settled" => {
            let asked = start.as_deref().and_then(unhex).map(|start| Version {
                length: length.and_then(|length| u64::try_from(length).ok()),
                start,
                etag,
            });
            let age = now.saturating_sub(ended.unwrap_or(now));
            let stale = changed(asked.as_ref(), question.version.as_ref())
                || terms.max_age.is_some_and(|most| age > span(most));
            if stale { Look::Free } else { Look::Known(recalled()) }
        }
        "unknown" => match terms.retry_unknown_until {
            Some(until) if ended.is_some_and(|ended| ended <= until) => Look::Free,
            _ => Look::Known(recalled()),
        },
        _ => Look::Free,
    }
}

/// The settlement that an attempt's row holds: decided anew from the answer as it came, so that
/// the books need no second form of a verdict.
fn recall(
    status: Option<i64>,
    request_id: Option<String>,
    images: i64,
    certainty: Option<&str>,
    answer: Option<&[u8]>,
) -> Settlement {
    let billing = Billing {
        images: u64::try_from(images).unwrap_or(0),
        certainty: match certainty {
            Some("certain") => Certainty::Certain,
            Some("none") => Certainty::None,
            _ => Certainty::Unknown,
        },
    };
    let status = status.and_then(|status| u16::try_from(status).ok());
    let answer = answer.and_then(Answer::parse);
    let (Some(status), Some(answer)) = (status, answer) else {
        return Settlement { billing, request_id, ..Settlement::lost() };
    };
    let outcome = Outcome::Answered { status, retry_after: None, answer };
    let decision =
        decide(&outcome, Attempt { number: usize::MAX, seed: 0 }, SystemTime::UNIX_EPOCH);
    let disposition = match decision.end {
        End::Settled(judgement) => Disposition::Settled(judgement),
        End::Unknown(reason) => Disposition::Unknown(reason),
        End::Refused(reason) | End::Repeat { reason, .. } => Disposition::Refused(reason),
    };
    Settlement { disposition, billing, request_id, recalled: true }
}

/// Books the account's next slot and says when it is.
async fn book_slot(
    books: &mut SqliteConnection,
    terms: &Terms,
    now: i64,
) -> Result<i64, LedgerError> {
    // A slot further ahead than any pause was booked on a clock that has since been set back.
    let next = read_pace(books, terms)
        .await?
        .filter(|next| next.saturating_sub(now) <= span(LONGEST_PUSH))
        .unwrap_or(now);
    let slot = next.max(now.saturating_add(span(AHEAD)));
    write_pace(books, terms, slot.saturating_add(span(terms.spacing))).await?;
    Ok(slot)
}

async fn read_pace(
    books: &mut SqliteConnection,
    terms: &Terms,
) -> Result<Option<i64>, LedgerError> {
    sqlx::query_scalar(sql::READ_PACE)
        .bind(&terms.account)
        .fetch_optional(books)
        .await
        .map_err(unread)
}

async fn write_pace(
    books: &mut SqliteConnection,
    terms: &Terms,
    next: i64,
) -> Result<(), LedgerError> {
    sqlx::query(sql::WRITE_PACE)
        .bind(&terms.account)
        .bind(next)
        .execute(books)
        .await
        .map(|_| ())
        .map_err(unwritten)
}

async fn connect(
    path: &Path,
    read_only: bool,
    connections: u32,
) -> Result<SqlitePool, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(read_only)
        .busy_timeout(BUSY)
        .thread_name(|n| format!("ledger-{n}"));
    let options = if read_only {
        options
    } else {
        options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
    };
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(TURN)
        .connect_with(options)
        .await
}

async fn migrate(pool: &SqlitePool, path: &Path) -> Result<(), LedgerError> {
    let cannot =
        |e: sqlx::Error| LedgerError::Open { path: path.display().to_string(), why: said(&e) };
    let mut books = pool.begin_with("BEGIN IMMEDIATE").await.map_err(cannot)?;
    let tables: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'")
        .fetch_one(&mut *books)
        .await
        .map_err(cannot)?;
    if tables > 0 {
        return check_version(&mut books, path).await;
    }
    for statement in sql::SCHEMA_1 {
        sqlx::query(statement).execute(&mut *books).await.map_err(cannot)?;
    }
    sqlx::query(sql::WRITE_SCHEMA_VERSION)
        .bind(SCHEMA_VERSION)
        .execute(&mut *books)
        .await
        .map_err(cannot)?;
    books.commit().await.map_err(cannot)
}

async fn check_version(books: &mut SqliteConnection, path: &Path) -> Result<(), LedgerError> {
    let shown = path.display().to_string();
    let found: i64 = match sqlx::query_scalar(sql::READ_SCHEMA_VERSION).fetch_one(books).await {
        Ok(found) => found,
        Err(error) => {
            let why = format!("it is an SQLite file but no ledger: {}", said(&error));
            return Err(LedgerError::Open { path: shown, why });
        }
    };
    if found > SCHEMA_VERSION {
        return Err(LedgerError::Newer { path: shown, found, known: SCHEMA_VERSION });
    }
    Ok(())
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
    let kind = u64::try_from(found.f_type).unwrap_or(0) & 0xFFFF_FFFF;
    match NETWORK_FILE_SYSTEMS.iter().find(|(magic, _)| *magic == kind) {
        Some((_, name)) => Err(format!(
            "it lies on a network file system ({name}), where locks do not hold: use a local disk"
        )),
        None => Ok(()),
    }
}

#[cfg(not(target_os = "linux"))]
fn refuse_network(_: &Path) -> Result<(), String> {
    Ok(())
}

fn owners_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-owners");
    name.into()
}

/// Microseconds since 1970.
pub(super) fn wall_clock() -> i64 {
    micros(SystemTime::now())
}

fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn certainty_name(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::None => "none",
        Certainty::Certain => "certain",
        Certainty::Unknown => "unknown",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let bytes: Option<Vec<u8>> = (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect();
    bytes?.try_into().ok()
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(self.bytes()))
    }
}

pub(super) fn unread(error: sqlx::Error) -> LedgerError {
    LedgerError::Failed { action: "read", why: said(&error) }
}

fn unwritten(error: sqlx::Error) -> LedgerError {
    LedgerError::Failed { action: "written", why: said(&error) }
}

/// An error's text with what caused it.
fn said(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::PoolTimedOut => "no connection became free in time".to_owned(),
        other => other.to_string(),
    }
}

const SCHEMA_VERSION: i64 = 1;

/// How long another process may hold the write lock.
const BUSY: Duration = Duration::from_secs(10);

/// How long one of this process waits for the others.
const TURN: Duration = Duration::from_secs(30);

const READERS: u32 = 3;

/// A slot lies at least so far ahead that its commit reaches the disk before it.
const AHEAD: Duration = Duration::from_millis(50);

/// The service's 429 pushes slots back by at most this; what is further ahead is a clock's doing.
const LONGEST_PUSH: Duration = Duration::from_secs(60);

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

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
