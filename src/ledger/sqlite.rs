//! Books in an SQLite file that any number of processes on one machine share.
//!
//! Every write is one explicit transaction that takes the write lock at once (`BEGIN IMMEDIATE`)
//! and whose commit is checked: a statement with RETURNING in autocommit would swallow the
//! commit's error. WAL with synchronous=FULL: a commit that returned survives power loss.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Sqlite as Engine, Transaction};
use tokio::time::Instant;

use super::file::{self, Pools, said};
use super::memory::changed;
use super::owner::{self, Owner};
use super::{
    Booked, Disposition, Elsewhere, Ending, Identity, Intent, Look, Moment, Question, Settlement,
    Terms, micros, sql,
};
use crate::detect::{Answer, Attempt, End, Outcome, decide};
use crate::error::LedgerError;
use crate::probe::Version;
use crate::report::{Billing, Certainty};

pub(super) struct Sqlite {
    pub(super) reader: SqlitePool,
    writer: SqlitePool,
    /// Absent when the books are only read.
    owner: Option<Owner>,
    owners: PathBuf,
    clock: fn() -> i64,
    /// How long the last booking took to reach the disk, in microseconds.
    booking_us: AtomicU64,
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
        let Pools { reader, writer } = file::open(path).await?;
        let owners = file::owners_of(path)?;
        let owner = Owner::take(&owners)
            .map_err(|e| file::cannot_open(path, format!("{}: {e}", owners.display())))?;
        let (owner, booking_us) = (Some(owner), AtomicU64::new(0));
        let books = Self { reader, writer, owner, owners, clock, booking_us };
        books.abandon_the_dead().await?;
        Ok(books)
    }

    pub(super) async fn open_read_only(path: &Path) -> Result<Option<Self>, LedgerError> {
        let Some(reader) = file::open_read_only(path).await? else { return Ok(None) };
        let (writer, owners) = (reader.clone(), file::owners_of(path)?);
        let (clock, booking_us) = (wall_clock, AtomicU64::new(0));
        Ok(Some(Self { reader, writer, owner: None, owners, clock, booking_us }))
    }

    fn now(&self) -> i64 {
        (self.clock)()
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
        // In this order: stopped between the two, a process finds its slot over, not yet to come.
        let here = Instant::now();
        let now = self.now();
        let last: i64 = sqlx::query_scalar(sql::READ_LAST_ATTEMPT)
            .fetch_one(&mut *books)
            .await
            .map_err(unread)?;
        let was_set_back = last > now.saturating_add(span(CLOCKS_AGREE));
        let slot = book_slot(&mut books, terms, now, self.ahead(), was_set_back).await?;
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
        let took = u64::try_from(here.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.booking_us.store(took, Ordering::Relaxed);
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
        let state = match settlement.disposition {
            _ if !ending.was_sent => "not_sent",
            Disposition::Settled(_) => "settled",
            Disposition::Unknown(_) => "unknown",
            _ => "refused",
        };
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
            .bind(certainty_name(settlement.billing.certainty))
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
    pub(super) async fn abandon_the_dead(&self) -> Result<(), LedgerError> {
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
        "unknown" => match terms.retry_unknown {
            Some(moment) if moment.is_after(attempt, ended) => Look::Free,
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
    ahead: Duration,
    was_set_back: bool,
) -> Result<i64, LedgerError> {
    // A clock that was set back leaves slots far ahead, and so does a long queue: only where the
    // books show that they were booked later than now is it the clock.
    let furthest = span(LONGEST_PUSH.saturating_add(terms.spacing));
    let next = read_pace(books, terms)
        .await?
        .filter(|next| !was_set_back || next.saturating_sub(now) <= furthest)
        .unwrap_or(now);
    let slot = next.max(now.saturating_add(span(ahead)));
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

/// A slot lies at least so far ahead that its commit reaches the disk before it.
const AHEAD: Duration = Duration::from_millis(50);

/// However long a booking took: the process may have been stopped meanwhile.
const MOST_AHEAD: Duration = Duration::from_secs(10);

/// Processes of one machine read one clock; what was booked later than this from now was booked on
/// another time.
const CLOCKS_AGREE: Duration = Duration::from_secs(1);

/// The service's 429 pushes slots back by at most this; what is further ahead is a clock's doing.
const LONGEST_PUSH: Duration = Duration::from_secs(60);

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
