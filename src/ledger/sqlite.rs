//! Books in an SQLite file that any number of processes on one machine share.
//!
//! Every write is one explicit transaction that takes the write lock at once (`BEGIN IMMEDIATE`)
//! and whose commit is checked: a statement with RETURNING in autocommit would swallow the
//! commit's error. WAL with synchronous=FULL: a commit that returned survives power loss.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sqlx::Transaction;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::time::Instant;

use super::file::{self, Pools, said};
use super::identity::hex;
use super::owner::{self, Owner};
use super::quota::{Pace, micros};
use super::rows::{self, Row};
use super::{
    Booked, Elsewhere, Ending, Intent, Look, Moment, Question, Reuse, Terms, micros_of, sql,
};
use crate::error::LedgerError;

pub(super) struct Sqlite {
    pub(super) reader: SqlitePool,
    writer: SqlitePool,
    /// Absent when the books are only read.
    owner: Option<Owner>,
    owners: PathBuf,
    clock: fn() -> i64,
    /// How long the last booking took to reach the disk, in microseconds.
    booking_us: AtomicU64,
    counted: Mutex<HashMap<String, Counted>>,
}

/// How many places under its cap a run had taken when the last attempt was this one.
#[derive(Clone, Copy)]
struct Counted {
    taken: i64,
    last: i64,
}

impl Sqlite {
    pub(super) async fn open(path: &Path, clock: fn() -> i64) -> Result<Self, LedgerError> {
        let Pools { reader, writer } = file::open(path).await?;
        let owners = file::owners_of(path)?;
        let owner = Owner::take(&owners)
            .map_err(|e| file::cannot_open(path, format!("{}: {e}", owners.display())))?;
        let (owner, booking_us, counted) = (Some(owner), AtomicU64::new(0), Mutex::default());
        let books = Self { reader, writer, owner, owners, clock, booking_us, counted };
        books.abandon_the_dead().await?;
        Ok(books)
    }

    pub(super) async fn open_read_only(path: &Path) -> Result<Option<Self>, LedgerError> {
        let Some(reader) = file::open_read_only(path).await? else { return Ok(None) };
        let (writer, owners) = (reader.clone(), file::owners_of(path)?);
        let (clock, booking_us, counted) = (wall_clock, AtomicU64::new(0), Mutex::default());
        Ok(Some(Self { reader, writer, owner: None, owners, clock, booking_us, counted }))
    }

    fn now(&self) -> i64 {
        (self.clock)()
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.owner.is_none()
    }

    pub(super) async fn moment(&self) -> Result<Moment, LedgerError> {
        let attempt = sqlx::query_scalar(sql::READ_LAST_ATTEMPT)
            .fetch_one(&self.reader)
            .await
            .map_err(unread)?;
        Ok(Moment { time: self.now(), attempt })
    }

    pub(super) async fn look(
        &self,
        question: &Question,
        reuse: &Reuse,
    ) -> Result<Look, LedgerError> {
        let mut connection = self.reader.acquire().await.map_err(unread)?;
        self.look_on(&mut connection, question, reuse).await
    }

    async fn look_on(
        &self,
        connection: &mut SqliteConnection,
        question: &Question,
        reuse: &Reuse,
    ) -> Result<Look, LedgerError> {
        let row: Option<Row> = sqlx::query_as(sql::READ_QUESTION)
            .bind(question.identity.to_string())
            .fetch_optional(connection)
            .await
            .map_err(unread)?;
        Ok(row.map_or(Look::Free, |row| rows::judge(row, question, reuse, self.now())))
    }

    pub(super) async fn intend(
        &self,
        question: &Question,
        terms: &Terms,
    ) -> Result<Intent, LedgerError> {
        let mut books = self.begin().await?;
        match self.look_on(&mut books, question, &terms.reuse).await? {
            Look::Known(settlement) => return Ok(Intent::Known(settlement)),
            Look::Sending(elsewhere) => return Ok(Intent::Sending(elsewhere)),
            Look::Free => {}
        }
        let last: i64 = sqlx::query_scalar(sql::READ_LAST_ATTEMPT)
            .fetch_one(&mut *books)
            .await
            .map_err(unread)?;
        if let Some(refused) = self.hold_against_cap(&mut books, terms, last).await? {
            return Ok(refused);
        }
        // In this order: stopped between the two, a process finds its slot over, not yet to come.
        let here = Instant::now();
        let now = self.now();
        let mut pace = read_pace(&mut books, terms).await?;
        if last > now.saturating_add(micros(CLOCKS_AGREE)) {
            pace.forget_the_far(now, terms.spacing);
        }
        let slot = pace.book(now, self.ahead(), terms.spacing);
        write_pace(&mut books, terms, pace).await?;
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
            .bind(version.map(|v| hex(v.start)))
            .bind(version.and_then(|v| v.etag.clone()))
            .execute(&mut *books)
            .await
            .map_err(unwritten)?;
        books.commit().await.map_err(unwritten)?;
        let took = u64::try_from(here.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.booking_us.store(took, Ordering::Relaxed);
        // From here on the monotonic clock counts, whatever happens to the other.
        let wait = Duration::from_micros(u64::try_from(slot.saturating_sub(now)).unwrap_or(0));
        let attempt = Booked { identity: question.identity, id };
        Ok(Intent::Send { attempt, slot: here + wait })
    }

    /// Why the cap leaves no place for another call; `None` when it does. `last` is the last attempt.
    async fn hold_against_cap(
        &self,
        books: &mut SqliteConnection,
        terms: &Terms,
        last: i64,
    ) -> Result<Option<Intent>, LedgerError> {
        let Some(most) = terms.max_calls else { return Ok(None) };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        // To count a run takes the longer the longer it is. While its cap is far off it is enough
        // that no more can have been taken since than were booked.
        let counted = self.counted().get(&terms.run).copied();
        if let Some(Counted { taken, last: by_then }) = counted {
            let since: i64 = sqlx::query_scalar(sql::COUNT_SINCE)
                .bind(by_then)
                .fetch_one(&mut *books)
                .await
                .map_err(unread)?;
            if since < COUNT_AGAIN && taken.saturating_add(since) < most {
                return Ok(None);
            }
        }
        let (sending, used): (i64, i64) = sqlx::query_as(sql::READ_CAP)
            .bind(&terms.run)
            .fetch_one(books)
            .await
            .map_err(unread)?;
        let taken = used.saturating_add(sending);
        self.counted().insert(terms.run.clone(), Counted { taken, last });
        Ok(match () {
            () if used >= most => Some(Intent::CapReached),
            () if taken >= most => Some(Intent::CapTaken),
            () => None,
        })
    }

    fn counted(&self) -> MutexGuard<'_, HashMap<String, Counted>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn end(
        &self,
        attempt: &Booked,
        ending: &Ending,
        terms: &Terms,
    ) -> Result<(), LedgerError> {
        let settlement = &ending.settlement;
        let state = rows::state_of(ending);
        let now = self.now();
        let mut books = self.begin().await?;
        sqlx::query(sql::END_ATTEMPT)
            .bind(attempt.id)
            .bind(state)
            .bind(now)
            .bind(ending.verdict)
            .bind(ending.status.map(i64::from))
            .bind(&settlement.request_id)
            .bind(i64::try_from(settlement.billing.images).unwrap_or(i64::MAX))
            .bind(rows::name_of(settlement.billing.certainty))
            .bind(ending.raw.as_deref())
            .execute(&mut *books)
            .await
            .map_err(unwritten)?;
        let identity = attempt.identity.to_string();
        let question = match state {
            "settled" | "unknown" => {
                sqlx::query(sql::DECIDE_QUESTION).bind(identity).bind(attempt.id).bind(state)
            }
            _ => sqlx::query(sql::RELEASE_QUESTION).bind(identity).bind(attempt.id),
        };
        question.execute(&mut *books).await.map_err(unwritten)?;
        if let Some(pause) = ending.push_back {
            let mut held = read_pace(&mut books, terms).await?;
            held.push_back(now, pause);
            write_pace(&mut books, terms, held).await?;
        }
        books.commit().await.map_err(unwritten)
    }

    pub(super) async fn is_held(&self, elsewhere: &Elsewhere) -> Result<bool, LedgerError> {
        if !self.is_gone(&elsewhere.owner)? {
            return Ok(true);
        }
        let mut books = self.begin().await?;
        self.abandon(&mut books, elsewhere.attempt.id).await?;
        books.commit().await.map_err(unwritten)?;
        Ok(false)
    }

    fn is_gone(&self, owner: &str) -> Result<bool, LedgerError> {
        owner::is_gone(&self.owners, owner)
            .map_err(|e| LedgerError::Failed { action: "read", why: format!("owner's lock: {e}") })
    }

    /// What processes left behind that ended without a word has an unknown bill.
    pub(super) async fn abandon_the_dead(&self) -> Result<(), LedgerError> {
        let sending: Vec<(i64, String)> =
            sqlx::query_as(sql::READ_SENDING).fetch_all(&self.reader).await.map_err(unread)?;
        for (attempt, owner) in sending {
            if self.is_gone(&owner)? {
                let mut books = self.begin().await?;
                self.abandon(&mut books, attempt).await?;
                books.commit().await.map_err(unwritten)?;
            }
        }
        // Only now: who looks for an owner's file and finds none takes that owner for gone.
        owner::clear(&self.owners)
            .map_err(|e| LedgerError::Failed { action: "written", why: e.to_string() })
    }

    async fn abandon(&self, books: &mut SqliteConnection, attempt: i64) -> Result<(), LedgerError> {
        sqlx::query(sql::ABANDON_ATTEMPT)
            .bind(attempt)
            .bind(self.now())
            .execute(books)
            .await
            .map(|_| ())
            .map_err(unwritten)
    }

    async fn begin(&self) -> Result<Transaction<'static, sqlx::Sqlite>, LedgerError> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(unwritten)
    }

    /// How far ahead the next slot is to lie at least. On a disk on which 50 ms are not enough,
    /// every call would come too late for its slot, and none would ever leave.
    fn ahead(&self) -> Duration {
        let took = Duration::from_micros(self.booking_us.load(Ordering::Relaxed));
        took.saturating_mul(2).clamp(AHEAD, MOST_AHEAD)
    }

    fn owner_name(&self) -> &str {
        self.owner.as_ref().map_or("nobody", Owner::name)
    }
}

async fn read_pace(books: &mut SqliteConnection, terms: &Terms) -> Result<Pace, LedgerError> {
    let next = sqlx::query_scalar(sql::READ_PACE)
        .bind(&terms.account)
        .fetch_optional(books)
        .await
        .map_err(unread)?;
    Ok(Pace { next })
}

async fn write_pace(
    books: &mut SqliteConnection,
    terms: &Terms,
    pace: Pace,
) -> Result<(), LedgerError> {
    sqlx::query(sql::WRITE_PACE)
        .bind(&terms.account)
        .bind(pace.next)
        .execute(books)
        .await
        .map(|_| ())
        .map_err(unwritten)
}

/// Microseconds since 1970.
pub(super) fn wall_clock() -> i64 {
    micros_of(SystemTime::now())
}

pub(super) fn unread(error: sqlx::Error) -> LedgerError {
    LedgerError::Failed { action: "read", why: said(&error) }
}

fn unwritten(error: sqlx::Error) -> LedgerError {
    LedgerError::Failed { action: "written", why: said(&error) }
}

/// A slot lies at least so far ahead that its commit reaches the disk before it.
const AHEAD: Duration = Duration::from_millis(50);

/// However long a booking took: the process may have been stopped meanwhile.
const MOST_AHEAD: Duration = Duration::from_secs(10);

/// Processes of one machine read one clock; what was booked later than this from now was booked on
/// another time.
const CLOCKS_AGREE: Duration = Duration::from_secs(1);

/// Attempts since a run was last counted, before it is counted again.
const COUNT_AGAIN: i64 = 10_000;

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
