//! A ledger in PostgreSQL that any number of machines share.
//!
//! Two connections a process. One is the **owner's session**: it holds an advisory lock for life and
//! makes the reservations, so that none is made by a session whose lock is gone. A session that died
//! is followed by a new owner. The other does everything else.
//!
//! Reservations take turns, by an advisory lock that ends with their transaction. All else is kept
//! apart by the locks of rows, which are always taken in the same order: attempt, sums, question.

mod connect;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgPool;
use tokio::time::Instant;

use super::sql::driver::{Connection, Fault, Session, Transaction, values};
use super::sql::{Backend, Reading, SqlLedger};
use super::{LedgerAction, LedgerError};

use connect::Target;
pub(super) use connect::{ddl, place_of};

/// An open database.
pub(super) struct Postgres {
    /// The owner's session.
    reserving: Option<PgPool>,
    other: PgPool,
    clock: Arc<Clock>,
    patience: Duration,
}

/// Connects for writing; makes the schema where it is not there. Whatever may pass is waited for, up
/// to `patience`, now and later.
pub(super) async fn connect(url: &str, patience: Duration) -> Result<SqlLedger, LedgerError> {
    let target = Target::of(url)?;
    let (reserving, other) = target.connect(patience).await?;
    let ledger = Postgres::ledger(Some(reserving), other, patience);
    ledger.moment().await?;
    ledger.abandon_the_dead().await?;
    Ok(ledger)
}

/// Connects for reading; `None` where there is no schema.
pub(super) async fn connect_read_only(
    url: &str,
    patience: Duration,
) -> Result<Option<SqlLedger>, LedgerError> {
    let found = Target::of(url)?.connect_read_only(patience).await?;
    let Some(other) = found else { return Ok(None) };
    let ledger = Postgres::ledger(None, other, patience);
    ledger.moment().await?;
    Ok(Some(ledger))
}

impl Postgres {
    fn ledger(reserving: Option<PgPool>, other: PgPool, patience: Duration) -> SqlLedger {
        let clock = Arc::default();
        SqlLedger::new(Backend::Postgres(Self { reserving, other, clock, patience }))
    }

    pub(super) async fn read(&self) -> Result<Session, Fault> {
        self.other.acquire().await.map(Session::Postgres).map_err(Fault::reading)
    }

    pub(super) async fn begin(&self) -> Result<Transaction, Fault> {
        self.other.begin().await.map(Transaction::Postgres).map_err(Fault::writing)
    }

    /// A transaction in the owner's session, behind all other reservations.
    pub(super) async fn begin_reserving(
        &self,
        identity: &str,
    ) -> Result<(Transaction, String), Fault> {
        let Some(pool) = &self.reserving else { return Err(read_only().into()) };
        let begun = pool.begin().await.map_err(Fault::writing)?;
        let mut transaction = Transaction::Postgres(begun);
        let mut ledger = transaction.connection();
        let (_, owner): (String, Option<String>) = ledger.one(TAKE_TURNS, values![]).await?;
        let Some(owner) = owner.filter(|owner| !owner.is_empty()) else {
            return Err(pooled().into());
        };
        // A late answer to this question waits until the reservation is made or not.
        ledger.execute(LOCK_QUESTION, values![identity]).await?;
        Ok((transaction, owner))
    }

    /// Half a round trip is left open: the clock was read somewhere in it.
    pub(super) async fn read_clock(&self, ledger: &mut Connection<'_>) -> Result<Reading, Fault> {
        let begun = Instant::now();
        let (now,): (i64,) = ledger.one(READ_CLOCK, values![]).await?;
        let uncertainty = begun.elapsed() / 2;
        let here = begun + uncertainty;
        self.clock.set(here, now);
        Ok(Reading { here, now, uncertainty })
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.now()
    }

    /// An owner is gone when the lock it holds for life can be taken.
    pub(super) async fn is_gone(&self, owner: &str) -> Result<bool, Fault> {
        let Some(key) = lock_of(owner) else { return Ok(true) };
        let mut transaction = self.begin().await?;
        let (taken,): (bool,) = transaction.connection().one(TRY_OWNER, values![key]).await?;
        Ok(taken)
    }

    /// The name of the owner's session as it is now.
    #[cfg(test)]
    pub(super) async fn owner_name(&self) -> Option<String> {
        let pool = self.reserving.as_ref()?;
        let read = sqlx::query_scalar("SELECT current_setting('emo_preflight.owner', true)");
        read.fetch_one(pool).await.ok()
    }

    /// Ends the owner's session behind its back.
    #[cfg(test)]
    pub(super) async fn end_session(&self) {
        let Some(pool) = &self.reserving else { return };
        let server = sqlx::query_scalar::<_, i32>("SELECT pg_backend_pid()").fetch_one(pool).await;
        let end = sqlx::query("SELECT pg_terminate_backend($1, 5000)").bind(server.unwrap());
        end.execute(&self.other).await.unwrap();
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.reserving.is_none()
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }
}

/// What the database's clock said last, and when.
#[derive(Default)]
struct Clock(Mutex<Option<(Instant, i64)>>);

impl Clock {
    fn set(&self, here: Instant, now: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((here, now));
    }

    fn now(&self) -> i64 {
        let read = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // It is read when the ledger is opened.
        read.map_or(0, |(here, now)| now.saturating_add(super::quota::micros(here.elapsed())))
    }
}

/// The key of an owner's lock; its name is the key in hexadecimal.
fn lock_of(owner: &str) -> Option<i64> {
    u64::from_str_radix(owner, 16).ok().map(u64::cast_signed)
}

fn read_only() -> LedgerError {
    LedgerError::Failed {
        action: LedgerAction::Write,
        why: "it is open for reading only".to_owned(),
    }
}

fn pooled() -> LedgerError {
    LedgerError::Failed {
        action: LedgerAction::Write,
        why: "its session must last, found one that was exchanged: connect to the server itself, not \
              to a pooler that pools transactions"
            .to_owned(),
    }
}

/// Locks of two keys are another space than those of one, which are owners'.
const TAKE_TURNS: &str = "
    SELECT CAST(pg_advisory_xact_lock(7210, hashtext(current_schema())) AS TEXT),
           current_setting('emo_preflight.owner', true)";
const LOCK_QUESTION: &str = "SELECT 1 FROM question WHERE identity = $1 FOR UPDATE";
const READ_CLOCK: &str = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)";
const TRY_OWNER: &str = "SELECT pg_try_advisory_xact_lock($1)";
