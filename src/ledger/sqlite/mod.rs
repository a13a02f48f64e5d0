//! A ledger in an SQLite file that any number of processes on one machine share.
//!
//! Every write is one explicit transaction that takes the write lock at once (`BEGIN IMMEDIATE`)
//! and whose commit is checked: a statement with RETURNING in autocommit would swallow the
//! commit's error. WAL with synchronous=FULL: a commit that returned survives power loss.

mod file;
mod owner;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use sqlx::Transaction;
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use tokio::time::Instant;

use file::{Place, Pools, said};
use owner::Owner;

use super::quota::{Pace, micros};
use super::sql::rows::{Row, State, name_of};
use super::sql::statements as sql;
use super::{
    AttemptOutcome, Content, Lookup, Moment, OtherAttempt, Question, Reservation, ReserveResult,
    Reuse, Terms, micros_of,
};
use crate::ledger::{LedgerAction, LedgerError};

pub(super) struct Sqlite {
    pub(in crate::ledger) reader: SqlitePool,
    writer: SqlitePool,
    /// Absent when the ledger is only read.
    owner: Option<Owner>,
    owners: PathBuf,
    place: Place,
    clock: fn() -> i64,
    /// How long the last of each of the two writes before a call took to reach the disk.
    booking: CommitTime,
    marking: CommitTime,
    counted: Mutex<HashMap<String, Counted>>,
}

/// How long the last write of a kind took to reach the disk, in microseconds.
#[derive(Default)]
struct CommitTime(AtomicU64);

impl CommitTime {
    fn note(&self, begun: Instant) {
        let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.store(took, Ordering::Relaxed);
    }

    /// How long the next one is given. On a disk on which 50 ms are not enough, every call would
    /// come too late for its slot, and none would ever leave.
    fn allow(&self) -> Duration {
        let took = Duration::from_micros(self.0.load(Ordering::Relaxed));
        took.saturating_mul(2).clamp(AHEAD, MOST_AHEAD)
    }
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
        let ledger = Self { owner: Some(owner), ..Self::of(reader, writer, path, clock)? };
        ledger.abandon_the_dead().await?;
        Ok(ledger)
    }

    pub(super) async fn open_read_only(path: &Path) -> Result<Option<Self>, LedgerError> {
        let Some(reader) = file::open_read_only(path).await? else { return Ok(None) };
        Ok(Some(Self::of(reader.clone(), reader, path, wall_clock)?))
    }

    /// One that nobody writes to.
    fn of(
        reader: SqlitePool,
        writer: SqlitePool,
        path: &Path,
        clock: fn() -> i64,
    ) -> Result<Self, LedgerError> {
        Ok(Self {
            reader,
            writer,
            owner: None,
            owners: file::owners_of(path)?,
            place: Place::of(path)?,
            clock,
            booking: CommitTime::default(),
            marking: CommitTime::default(),
            counted: Mutex::default(),
        })
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

    pub(super) async fn lookup(
        &self,
        question: &Question,
        reuse: &Reuse,
    ) -> Result<Lookup, LedgerError> {
        self.place.check()?;
        let mut connection = self.reader.acquire().await.map_err(unread)?;
        self.lookup_on(&mut connection, question, reuse).await
    }

    async fn lookup_on(
        &self,
        connection: &mut SqliteConnection,
        question: &Question,
        reuse: &Reuse,
    ) -> Result<Lookup, LedgerError> {
        let now = self.now();
        let mut look = Lookup::Free;
        let row: Option<Row> = sqlx::query_as(sql::READ_QUESTION)
            .bind(question.identity.to_string())
            .fetch_optional(&mut *connection)
            .await
            .map_err(unread)?;
        if let Some(row) = row {
            let standing = row.standing();
            look = row.judge(question, reuse, now);
            if let (Lookup::Known(_), Some(attempt)) = (&look, standing) {
                let row: Option<Row> = sqlx::query_as(sql::READ_ATTEMPT)
                    .bind(attempt)
                    .fetch_optional(&mut *connection)
                    .await
                    .map_err(unread)?;
                match row.map(|row| row.judge_verdict(question)) {
                    Some(Lookup::Known(known)) => look = Lookup::Known(known.before_a_lost_call()),
                    Some(Lookup::NeedsLastBytes) => look = Lookup::NeedsLastBytes,
                    _ => {}
                }
            }
        }
        let content = question.content.filter(|_| reuse.same_content);
        if let (Lookup::Free, Some(content)) = (&look, content) {
            let row: Option<Row> = sqlx::query_as(sql::READ_CONTENT)
                .bind(content.as_bytes())
                .fetch_optional(connection)
                .await
                .map_err(unread)?;
            look = row.map_or(Lookup::Free, |row| row.judge_content(question, reuse, now));
        }
        Ok(look)
    }

    pub(super) async fn reserve(
        &self,
        question: &Question,
        terms: &Terms,
    ) -> Result<ReserveResult, LedgerError> {
        let mut transaction = self.begin().await?;
        match self.lookup_on(&mut transaction, question, &terms.reuse).await? {
            Lookup::Known(record) => return Ok(ReserveResult::Known(record)),
            Lookup::InFlight(other) => return Ok(ReserveResult::InFlight(other)),
            Lookup::NeedsLastBytes => return Ok(ReserveResult::NeedsLastBytes),
            Lookup::Free => {}
        }
        let last: i64 = sqlx::query_scalar(sql::READ_LAST_ATTEMPT)
            .fetch_one(&mut *transaction)
            .await
            .map_err(unread)?;
        if let Some(refused) = self.hold_against_cap(&mut transaction, terms, last).await? {
            return Ok(refused);
        }
        // In this order: stopped between the two, a process finds its slot over, not yet to come.
        let here = Instant::now();
        let now = self.now();
        let mut pace = read_pace(&mut transaction, terms).await?;
        if last > now.saturating_add(micros(CLOCKS_AGREE)) {
            pace.forget_the_far(now, terms.spacing);
        }
        // Two commits lie before it: this one, and that of the mark.
        let marking = self.marking.allow();
        let ahead = self.booking.allow().saturating_add(marking);
        let slot = pace.book(now, ahead, terms.spacing);
        write_pace(&mut transaction, terms, pace).await?;
        // About the time of booking, and always a new one, whatever the clock does.
        let id = now.max(last.saturating_add(1));
        let identity = question.identity.to_string();
        let version = question.version.as_ref();
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
            .bind(version.and_then(|v| v.length).and_then(|length| i64::try_from(length).ok()))
            .bind(version.map(|v| v.start.as_slice()))
            .bind(version.and_then(|v| v.end.as_ref()).map(<[u8; 32]>::as_slice))
            .bind(version.and_then(|v| v.etag.as_deref()))
            .bind(question.content.as_ref().map(Content::as_bytes))
            .execute(&mut *transaction)
            .await
            .map_err(unwritten)?;
        sqlx::query(sql::WRITE_QUESTION)
            .bind(&identity)
            .bind(id)
            .execute(&mut *transaction)
            .await
            .map_err(unwritten)?;
        transaction.commit().await.map_err(unwritten)?;
        self.booking.note(here);
        // From here on the monotonic clock counts, whatever happens to the other.
        let wait = Duration::from_micros(u64::try_from(slot.saturating_sub(now)).unwrap_or(0));
        let slot = here + wait;
        let attempt = Reservation { identity: question.identity, id };
        Ok(ReserveResult::Reserved {
            attempt,
            mark: slot.checked_sub(marking).unwrap_or(here),
            slot,
        })
    }

    pub(super) async fn mark_sending(&self, attempt: &Reservation) -> Result<bool, LedgerError> {
        let here = Instant::now();
        let mut transaction = self.begin().await?;
        let changed = sqlx::query(sql::MARK_SENDING)
            .bind(attempt.id)
            .execute(&mut *transaction)
            .await
            .map_err(unwritten)?
            .rows_affected();
        transaction.commit().await.map_err(unwritten)?;
        self.marking.note(here);
        Ok(changed == 1)
    }

    /// Why the cap leaves no place for another call; `None` when it does. `last` is the last attempt.
    async fn hold_against_cap(
        &self,
        connection: &mut SqliteConnection,
        terms: &Terms,
        last: i64,
    ) -> Result<Option<ReserveResult>, LedgerError> {
        let Some(most) = terms.max_calls else { return Ok(None) };
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        // To count a run takes the longer the longer it is. While its cap is far off it is enough
        // that no more can have been taken since than were booked.
        let counted = self.counted().get(&terms.run).copied();
        if let Some(Counted { taken, last: by_then }) = counted {
            let since: i64 = sqlx::query_scalar(sql::COUNT_SINCE)
                .bind(by_then)
                .fetch_one(&mut *connection)
                .await
                .map_err(unread)?;
            if since < COUNT_AGAIN && taken.saturating_add(since) < most {
                return Ok(None);
            }
        }
        let (sending, used): (i64, i64) = sqlx::query_as(sql::READ_CAP)
            .bind(&terms.run)
            .fetch_one(connection)
            .await
            .map_err(unread)?;
        let taken = used.saturating_add(sending);
        self.counted().insert(terms.run.clone(), Counted { taken, last });
        Ok(match () {
            () if used >= most => Some(ReserveResult::CapReached),
            () if taken >= most => Some(ReserveResult::CapTaken),
            () => None,
        })
    }

    fn counted(&self) -> MutexGuard<'_, HashMap<String, Counted>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn record(
        &self,
        attempt: &Reservation,
        outcome: &AttemptOutcome,
        terms: &Terms,
    ) -> Result<(), LedgerError> {
        let record = &outcome.record;
        let state = State::of(outcome);
        let now = self.now();
        let mut transaction = self.begin().await?;
        sqlx::query(sql::END_ATTEMPT)
            .bind(attempt.id)
            .bind(state.as_str())
            .bind(now)
            .bind(outcome.verdict)
            .bind(outcome.status.map(i64::from))
            .bind(&record.request_id)
            .bind(i64::try_from(record.billing.images).unwrap_or(i64::MAX))
            .bind(name_of(record.billing.certainty))
            .bind(outcome.raw.as_deref())
            .execute(&mut *transaction)
            .await
            .map_err(unwritten)?;
        let identity = attempt.identity.to_string();
        let question = match state {
            State::Settled | State::Unknown => sqlx::query(sql::DECIDE_QUESTION)
                .bind(identity)
                .bind(attempt.id)
                .bind(state.as_str()),
            _ => sqlx::query(sql::RELEASE_QUESTION).bind(identity).bind(attempt.id),
        };
        question.execute(&mut *transaction).await.map_err(unwritten)?;
        if let Some(pause) = outcome.push_back {
            let mut held = read_pace(&mut transaction, terms).await?;
            held.push_back(now, pause);
            write_pace(&mut transaction, terms, held).await?;
        }
        transaction.commit().await.map_err(unwritten)
    }

    pub(super) async fn is_held(&self, other: &OtherAttempt) -> Result<bool, LedgerError> {
        if !self.is_gone(&other.owner)? {
            return Ok(true);
        }
        self.take_away(other.attempt).await?;
        Ok(false)
    }

    fn is_gone(&self, owner: &str) -> Result<bool, LedgerError> {
        owner::is_gone(&self.owners, owner).map_err(|e| LedgerError::Failed {
            action: LedgerAction::Read,
            why: format!("owner's lock: {e}"),
        })
    }

    /// What processes left behind that ended without a word: see [`take_away`](Self::take_away).
    pub(super) async fn abandon_the_dead(&self) -> Result<(), LedgerError> {
        let in_flight: Vec<(i64, String)> =
            sqlx::query_as(sql::READ_IN_FLIGHT).fetch_all(&self.reader).await.map_err(unread)?;
        for (attempt, owner) in in_flight {
            if self.is_gone(&owner)? {
                self.take_away(attempt).await?;
            }
        }
        // Only now: who looks for an owner's file and finds none takes that owner for gone.
        owner::clear(&self.owners)
            .map_err(|e| LedgerError::Failed { action: LedgerAction::Write, why: e.to_string() })
    }

    /// Takes an attempt away from an owner that is gone: a booked one was not sent, and its question
    /// is as it was before; one that was being sent has an unknown bill.
    async fn take_away(&self, attempt: i64) -> Result<(), LedgerError> {
        let mut transaction = self.begin().await?;
        let booked = sqlx::query(sql::ABANDON_BOOKED)
            .bind(attempt)
            .bind(self.now())
            .execute(&mut *transaction)
            .await
            .map_err(unwritten)?
            .rows_affected();
        let statement = if booked == 1 {
            sqlx::query(sql::RELEASE_QUESTION)
                .bind(identity_of(&mut transaction, attempt).await?)
                .bind(attempt)
        } else {
            sqlx::query(sql::ABANDON_SENDING).bind(attempt).bind(self.now())
        };
        statement.execute(&mut *transaction).await.map_err(unwritten)?;
        transaction.commit().await.map_err(unwritten)
    }

    async fn begin(&self) -> Result<Transaction<'static, sqlx::Sqlite>, LedgerError> {
        self.place.check()?;
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(unwritten)
    }

    fn owner_name(&self) -> &str {
        self.owner.as_ref().map_or("nobody", Owner::name)
    }
}

async fn identity_of(
    connection: &mut SqliteConnection,
    attempt: i64,
) -> Result<String, LedgerError> {
    sqlx::query_scalar(sql::READ_IDENTITY).bind(attempt).fetch_one(connection).await.map_err(unread)
}

async fn read_pace(connection: &mut SqliteConnection, terms: &Terms) -> Result<Pace, LedgerError> {
    let next = sqlx::query_scalar(sql::READ_PACE)
        .bind(&terms.account)
        .fetch_optional(connection)
        .await
        .map_err(unread)?;
    Ok(Pace { next })
}

async fn write_pace(
    connection: &mut SqliteConnection,
    terms: &Terms,
    pace: Pace,
) -> Result<(), LedgerError> {
    sqlx::query(sql::WRITE_PACE)
        .bind(&terms.account)
        .bind(pace.next)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(unwritten)
}

/// Microseconds since 1970.
pub(super) fn wall_clock() -> i64 {
    micros_of(SystemTime::now())
}

pub(in crate::ledger) fn unread(error: sqlx::Error) -> LedgerError {
    LedgerError::Failed { action: LedgerAction::Read, why: said(&error) }
}

fn unwritten(error: sqlx::Error) -> LedgerError {
    LedgerError::Failed { action: LedgerAction::Write, why: said(&error) }
}

/// What a write before a call is given to reach the disk, at least.
const AHEAD: Duration = Duration::from_millis(50);

/// However long a write took: the process may have been stopped meanwhile.
const MOST_AHEAD: Duration = Duration::from_secs(10);

/// Processes of one machine read one clock; what was booked later than this from now was booked on
/// another time.
const CLOCKS_AGREE: Duration = Duration::from_secs(1);

/// Attempts since a run was last counted, before it is counted again.
const COUNT_AGAIN: i64 = 10_000;

#[cfg(test)]
mod tests;
