//! A ledger in PostgreSQL that any number of machines share.
//!
//! Two connections a process. One is the **owner's session**: it holds an advisory lock for life and
//! makes the reservations, so that none is made by a session whose lock is gone. A session that died
//! is followed by a new owner. The other does everything else.
//!
//! Reservations take turns, by an advisory lock that ends with their transaction. All else is kept
//! apart by the locks of rows: of an attempt, of its question and of the pace. Two writes about one attempt
//! may take them in different orders; of a deadlock one is told, and tries again.

mod connect;
mod gathering;
mod owner;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgPool;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::quota::{Pace, micros};
use super::sql::driver::{Connection, Fault, POOLED, Session, Transaction, in_time, values};
use super::sql::lookup::{look_up, look_up_one};
use super::sql::{Backend, Reading, SqlLedger};
use super::{Found, LedgerAction, LedgerError, LedgerTiming, Query};

use connect::Target;
pub(super) use connect::ddl;
#[cfg(feature = "cli")]
pub(super) use connect::place_of;
use gathering::{Gathering, Waiting};
use owner::{OwnerSession, lock_of};

/// An open database.
pub(super) struct Postgres {
    /// Absent in a ledger that is only read.
    owner: Option<OwnerSession>,
    other: PgPool,
    reading: Arc<Semaphore>,
    lookups: Gathering,
    clock: Clock,
    timing: LedgerTiming,
}

/// Connects for writing; makes the schema where it is not there. Whatever may pass is waited for, now and
/// later.
pub(super) async fn connect(url: &str, timing: LedgerTiming) -> Result<SqlLedger, LedgerError> {
    let target = Target::of(url, timing)?;
    let (owner, other) = target.connect().await?;
    let ledger = Postgres::ledger(Some(owner), other, timing);
    ledger.read_clock().await?;
    // Once more, now that the statement is prepared: what is left is the round trip.
    let begun = Instant::now();
    ledger.read_clock().await?;
    // How far away the database is, before there was a write to show it. What is written for the first
    // time takes another round trip to be prepared.
    let round_trips = begun.elapsed() * 2;
    ledger.booking.note(round_trips);
    ledger.marking.note(round_trips);
    ledger.abandon_the_dead().await?;
    Ok(ledger)
}

/// Connects for reading; `None` where there is no schema.
pub(super) async fn connect_read_only(
    url: &str,
    timing: LedgerTiming,
) -> Result<Option<SqlLedger>, LedgerError> {
    let found = Target::of(url, timing)?.connect_read_only().await?;
    let Some(other) = found else { return Ok(None) };
    let ledger = Postgres::ledger(None, other, timing);
    ledger.read_clock().await?;
    Ok(Some(ledger))
}

impl Postgres {
    fn ledger(owner: Option<OwnerSession>, other: PgPool, timing: LedgerTiming) -> SqlLedger {
        let engine = Self {
            owner,
            other,
            reading: Arc::new(Semaphore::new(1)),
            lookups: Gathering::default(),
            clock: Clock::default(),
            timing,
        };
        SqlLedger::new(Backend::Postgres(engine), timing)
    }

    pub(super) async fn read(&self) -> Result<Session, Fault> {
        // One at a time: the writes before and after a call must not wait behind what many images ask
        // at once. The semaphore is never closed. Who waits for the turn waits for the same server.
        let session = in_time(self.timing.free_within(), async {
            let turn = Arc::clone(&self.reading).acquire_owned().await.ok();
            let connection = self.other.acquire().await?;
            Ok(Session::Postgres { connection, _turn: turn })
        });
        session.await.map_err(Fault::reading)
    }

    /// What is known of a question. Whoever has the turn to read asks for those that wait too.
    pub(super) async fn lookup(&self, query: Query<'_>) -> Result<Option<Found>, Fault> {
        let within = self.timing.answer_within();
        let found = tokio::time::timeout(within, self.lookup_by_turns(query)).await;
        found.unwrap_or_else(|_| Err(Fault::reading(sqlx::Error::PoolTimedOut)))
    }

    async fn lookup_by_turns(&self, query: Query<'_>) -> Result<Option<Found>, Fault> {
        let mut answered = self.lookups.add(query);
        loop {
            tokio::select! {
                biased;
                answer = &mut answered => match answer {
                    Ok(found) => return found,
                    // Who asked for this one too was dropped, or the database is away.
                    Err(_) => answered = self.lookups.add(query),
                },
                session = self.read() => self.answer_next(session?).await?,
            }
        }
    }

    async fn answer_next(&self, mut session: Session) -> Result<(), Fault> {
        let mut ledger = session.connection();
        let next = self.lookups.take();
        let all: Vec<_> = next.iter().map(Waiting::query).collect();
        let found = match look_up(&mut ledger, &all, self.now()).await {
            Ok(found) => found.into_iter().map(Ok).collect(),
            Err(fault) if fault.may_pass => return Err(fault),
            // A row of one must not fail the others.
            Err(_) => {
                let mut found = Vec::with_capacity(all.len());
                for query in all {
                    found.push(look_up_one(&mut ledger, query, self.now()).await);
                }
                found
            }
        };
        for (waiting, found) in next.into_iter().zip(found) {
            // It may not be waited for any more.
            let _ = waiting.answer.send(found);
        }
        Ok(())
    }

    pub(super) async fn begin(&self) -> Result<Transaction, Fault> {
        begin(&self.other, self.turn()).await.map(Transaction::Postgres)
    }

    /// A connection for one statement, which is a transaction of its own.
    pub(super) async fn for_writing(&self) -> Result<Session, Fault> {
        let connection = self.other.acquire().await.map_err(Fault::writing)?;
        Ok(Session::Postgres { connection, _turn: None })
    }

    /// A transaction in the owner's session, behind all other reservations.
    pub(super) async fn begin_reserving(
        &self,
        identity: &str,
    ) -> Result<(Transaction, String), Fault> {
        let Some(owner) = &self.owner else { return Err(read_only().into()) };
        let mut transaction = begin(&owner.pool, self.turn()).await?;
        let turn = sqlx::query_as(TAKE_TURNS).fetch_one(&mut *transaction);
        let (_, name): (String, Option<String>) =
            in_time(self.turn(), turn).await.map_err(Fault::writing)?;
        let mut transaction = Transaction::Postgres(transaction);
        let mut ledger = transaction.connection();
        let Some(name) = name.filter(|name| owner.is_name_ours(Some(name))) else {
            return Err(pooled().into());
        };
        // A late answer to this question waits until the reservation is made or not.
        ledger.execute(LOCK_QUESTION, values![identity]).await?;
        Ok((transaction, name))
    }

    /// One round trip for all, since other reservations wait meanwhile.
    pub(super) async fn read_clock_and_pace(
        &self,
        ledger: &mut Connection<'_>,
        account: &str,
    ) -> Result<(Reading, i64, Pace), Fault> {
        let begun = Instant::now();
        let (last, next, booked, now): (i64, Option<i64>, Option<i64>, i64) =
            ledger.one(READ_CLOCK_AND_PACE, values![account]).await?;
        let pace = next.zip(booked).map(Pace::from).unwrap_or_default();
        Ok((self.clock.read(begun, now), last, pace))
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.now()
    }

    /// Which of these owners are gone: those whose lock, held for life, can be taken. However many, it
    /// is one round trip.
    pub(super) async fn gone(&self, mut owners: HashSet<String>) -> Result<HashSet<String>, Fault> {
        let keys = owners.iter().filter_map(|owner| lock_of(owner)).map(|key| key.to_string());
        let keys = keys.collect::<Vec<_>>().join(",");
        if !keys.is_empty() {
            // A transaction of its own without saying so: what it locked is free again at its end.
            let mut connection = self.other.acquire().await.map_err(Fault::reading)?;
            let mut connection = Connection::Postgres(&mut connection);
            let held: Vec<(i64,)> = connection.all(HELD_OWNERS, values![&keys]).await?;
            let held: HashSet<i64> = held.into_iter().map(|(key,)| key).collect();
            owners.retain(|owner| lock_of(owner).is_none_or(|key| !held.contains(&key)));
        }
        Ok(owners)
    }

    /// The name of the owner's session as it is now.
    #[cfg(test)]
    pub(super) async fn owner_name(&self) -> Option<String> {
        let pool = &self.owner.as_ref()?.pool;
        let read = sqlx::query_scalar("SELECT current_setting('emo_preflight.owner', true)");
        read.fetch_one(pool).await.ok()
    }

    /// Ends the owner's session behind its back.
    #[cfg(test)]
    pub(super) async fn end_session(&self) {
        let Some(OwnerSession { pool, .. }) = &self.owner else { return };
        let server = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").fetch_one(pool).await;
        let end = sqlx::query("SELECT pg_terminate_backend($1, 5000)").bind(server.unwrap());
        end.execute(&self.other).await.unwrap();
    }

    pub(super) async fn close(&self) {
        self.other.close().await;
        if let Some(owner) = &self.owner {
            owner.pool.close().await;
        }
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.owner.is_none()
    }

    pub(super) fn patience(&self) -> Duration {
        self.timing.wait
    }

    /// How long the others' reservations, and this process's own writes, are waited for: longer than
    /// one that stands still holds the others up.
    fn turn(&self) -> Duration {
        self.timing.wait.clamp(Duration::from_secs(20), Duration::from_secs(60))
    }
}

/// In a task of its own: dropped before its answer, the driver would take the connection for one
/// outside a transaction, and what it writes next would never be committed.
async fn begin(
    pool: &PgPool,
    turn: Duration,
) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, Fault> {
    let pool = pool.clone();
    let begun = in_time(turn, async {
        let begun = tokio::spawn(async move { pool.begin().await }).await;
        begun.unwrap_or_else(|ended| Err(sqlx::Error::Io(std::io::Error::other(ended))))
    });
    begun.await.map_err(Fault::writing)
}

/// The database's clock, as it was read last.
#[derive(Default)]
struct Clock(Mutex<Option<ClockReading>>);

#[derive(Clone, Copy)]
struct ClockReading {
    here: Instant,
    now: i64,
    /// The shortest round trip so far.
    shortest: Duration,
}

impl Clock {
    /// Takes a reading that was asked for at `begun`. It was taken half a round trip ago, at the shortest;
    /// whatever the way took longer is left open, and half a round trip in any case.
    fn read(&self, begun: Instant, now: i64) -> Reading {
        let took = begun.elapsed();
        let mut read = self.lock();
        let shortest = read.map_or(took, |before| before.shortest.min(took));
        let uncertainty = took.saturating_sub(shortest / 2);
        let here = begun + uncertainty;
        *read = Some(ClockReading { here, now, shortest });
        Reading { here, now, uncertainty }
    }

    fn now(&self) -> i64 {
        // It is read when the ledger is opened.
        self.lock().map_or(0, |read| read.now.saturating_add(micros(read.here.elapsed())))
    }

    fn lock(&self) -> MutexGuard<'_, Option<ClockReading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_only() -> LedgerError {
    LedgerError::Failed {
        action: LedgerAction::Write,
        why: "it is open for reading only".to_owned(),
    }
}

fn pooled() -> LedgerError {
    LedgerError::Failed { action: LedgerAction::Write, why: POOLED.to_owned() }
}

/// Locks of two keys are another space than those of one, which are owners'. The table stands for the
/// ledger, by whatever search_path it is found.
const TAKE_TURNS: &str = "
    SELECT CAST(pg_advisory_xact_lock(7210, CAST(CAST('attempt' AS REGCLASS) AS OID)::INT) AS TEXT),
           current_setting('emo_preflight.owner', true)";
const LOCK_QUESTION: &str = "SELECT 1 FROM question WHERE identity = $1 FOR UPDATE";
const READ_CLOCK_AND_PACE: &str = "
    SELECT (SELECT COALESCE(MAX(id), 0) FROM attempt), next_us, booked_us,
           CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)
    FROM (SELECT) AS clock LEFT JOIN pace ON account = $1";
/// Whose lock cannot be taken. The keys are one text: the statements of both databases take no lists.
const HELD_OWNERS: &str = "
    SELECT key FROM UNNEST(CAST(STRING_TO_ARRAY($1, ',') AS BIGINT[])) AS owner (key)
    WHERE NOT pg_try_advisory_xact_lock(key)";

#[cfg(test)]
mod lookup_tests;
#[cfg(test)]
mod tests;
