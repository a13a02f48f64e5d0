//! The ledger: which questions were asked and what came of them, so that none is paid for twice.
//!
//! A question is free, booked, sending, settled, or unknown. [`Ledger::reserve`] is the compare-and-set
//! that books a free question, a slot and one call of the cap, all or nothing. [`Ledger::mark_sending`]
//! is the second, just before the request leaves: a process that has lost its booking sends nothing. So
//! what a dead process had booked is free again, and only what it had marked is unknown.
//! [`Ledger::record`] writes down how the attempt ended; one that came to nothing leaves its question as
//! it was before.
//!
//! | word | what it is |
//! |---|---|
//! | question | what is asked of the service: service, model, ratio and the image's content |
//! | content | a digest of the image's length and sampled bytes |
//! | sighting | a URL with ETag, length and first bytes, and the content that was found there |
//! | attempt | one request for a question, which may have left |
//! | booked | has a slot and counts for the cap, and has not left |
//! | sending | may have left |
//! | slot | when an attempt may leave |
//! | account | whose quota the slots share |
//! | run | whose calls one cap counts |
//! | owner | the process, or database session, that holds a lock as long as it lives |
//!
//! A ledger is kept in memory, for one process, or (feature `ledger`) in an SQLite file that any
//! number of processes on one machine share, or (feature `postgres`) in a database for many machines.

mod booking;
mod error;
mod identity;
mod lookup;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(test)]
mod protocol_tests;
mod quota;
mod record;
#[cfg(test)]
mod samples;
#[cfg(feature = "ledger")]
mod sql;
#[cfg(feature = "ledger")]
mod sqlite;
#[cfg(feature = "ledger")]
mod timing;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use booking::{OtherAttempt, Reservation, ReserveResult, Terms};
pub use error::{LedgerAction, LedgerError};
pub(crate) use identity::{Ask, Identity, ImageKey, Question};
pub(crate) use lookup::{Found, Lookup, Moment, Query, Reuse};
pub(crate) use quota::{MOST_LATE, spacing};
#[cfg(feature = "ledger")]
pub(crate) use record::KeptVerdict;
pub(crate) use record::{AttemptOutcome, CallRecord, ServiceAnswer};
#[cfg(feature = "cli")]
pub(crate) use sql::beijing_day;
#[cfg(feature = "ledger")]
pub use sql::{DaySpend, Spend, UnknownCall};
#[cfg(feature = "ledger")]
pub use timing::LedgerTiming;

/// Where a gate keeps its ledger. Cheap to clone; clones are the same one.
/// ```
/// use emo_preflight::{ApiKey, Ledger, Preflight};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let ledger = Ledger::in_memory(); // with the feature `ledger`: `Ledger::open("calls.db").await?`
/// let gate = Preflight::builder(ApiKey::new("sk-…")?).ledger(ledger.clone()).build().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Ledger(Arc<Engine>);

enum Engine {
    Memory(memory::Memory),
    #[cfg(feature = "ledger")]
    Sql(sql::SqlLedger),
}

/// The same of either engine, where both can answer; one in memory never fails.
macro_rules! ask {
    ($ledger:expr, $engine:ident => $memory:expr, $sql:expr) => {
        match &*$ledger.0 {
            Engine::Memory($engine) => Ok($memory),
            #[cfg(feature = "ledger")]
            Engine::Sql($engine) => $sql.await,
        }
    };
}

impl Ledger {
    /// A ledger in memory: what it promises ends with the process. Gates of the same account that
    /// share it share their pace, those of the same run their cap.
    #[must_use]
    pub fn in_memory() -> Self {
        Self(Arc::new(Engine::Memory(memory::Memory::new())))
    }

    /// A ledger in an SQLite file, made (readable for its owner only) if it is not there.
    ///
    /// Beside it SQLite keeps its own files, and a folder named like the file with `-owners` holds
    /// a lock for each process at work. The file and the folder belong together: mount or copy the
    /// folder that both are in, never the file alone. They must lie on a local disk: locks, and so
    /// the promises, do not hold on network file systems.
    ///
    /// [Close](Self::close) it in the end. Dropping the future is harmless: the file is then a ledger
    /// or empty, never half of one.
    ///
    /// # Errors
    /// [`LedgerError`] when the file cannot be opened for writing, is no ledger, has another schema
    /// than this version of the crate knows, was separated from its folder, has several hard links,
    /// is a mount point of its own, or lies on a network or cluster file system.
    #[cfg(feature = "ledger")]
    pub async fn open(path: impl AsRef<std::path::Path>) -> Result<Self, LedgerError> {
        Self::open_with(path, LedgerTiming::default()).await
    }

    /// As [`open`](Self::open), and waits for others as long as `timing` says.
    ///
    /// # Errors
    /// [`LedgerError`] as there.
    #[cfg(feature = "ledger")]
    pub async fn open_with(
        path: impl AsRef<std::path::Path>,
        timing: LedgerTiming,
    ) -> Result<Self, LedgerError> {
        sqlite::open(path.as_ref(), sqlite::wall_clock, timing).await.map(Self::of)
    }

    /// A ledger in an SQLite file, to be read only: for [`Ledger::spend`], [`Ledger::verdicts`] and
    /// dry runs. `None` when there is no such file. Dropping the future is harmless.
    ///
    /// # Errors
    /// [`LedgerError`] as [`Ledger::open`].
    #[cfg(feature = "ledger")]
    pub async fn open_read_only(
        path: impl AsRef<std::path::Path>,
    ) -> Result<Option<Self>, LedgerError> {
        Ok(sqlite::open_read_only(path.as_ref()).await?.map(Self::of))
    }

    /// Makes an SQLite file that was copied or moved without its folder a ledger again: it and the
    /// folder beside it get a new id. Two copies that are both gone on with know nothing of each
    /// other's calls, and pay for the same images twice.
    ///
    /// # Errors
    /// [`LedgerError`] as [`Ledger::open`], and when any process has the file open.
    #[cfg(feature = "ledger")]
    pub async fn adopt(path: impl AsRef<std::path::Path>) -> Result<(), LedgerError> {
        sqlite::adopt(path.as_ref()).await
    }

    /// Ends the ledger's connections, for all its clones and all gates that have one: close those
    /// first ([`Preflight::close`](crate::Preflight::close)). After it an SQLite ledger's file alone
    /// holds all calls, unless other processes still have it open: then the last of them to close
    /// sees to that. Dropping the future leaves that to the next who opens it.
    pub async fn close(&self) {
        match &*self.0 {
            Engine::Memory(_) => {}
            #[cfg(feature = "ledger")]
            Engine::Sql(engine) => engine.close().await,
        }
    }

    /// Whether no call was ever booked in it, as in one that was just made.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    pub async fn is_empty(&self) -> Result<bool, LedgerError> {
        Ok(self.moment().await?.last == 0)
    }

    #[cfg(feature = "ledger")]
    fn of(engine: sql::SqlLedger) -> Self {
        Self(Arc::new(Engine::Sql(engine)))
    }

    /// A ledger in PostgreSQL 14 or newer, for any number of machines. Its tables are made on first use,
    /// in the schema `emo_preflight` or the `search_path` of the URL's `options`.
    ///
    /// A password is taken from the URL, `PGPASSWORD` or a passfile, and printed nowhere. A database
    /// that cannot be reached is waited for, now and later ([`LedgerTiming::with_wait`]); meanwhile no
    /// call leaves. Dropping the future is harmless.
    ///
    /// It must be the server itself: a pooler that gives each transaction another session would break
    /// what the ledger promises, and is refused where it can be told.
    ///
    /// # Errors
    /// [`LedgerError`] when the database cannot be reached, or has another schema than this version of
    /// the crate knows.
    #[cfg(feature = "postgres")]
    pub async fn connect(url: &str) -> Result<Self, LedgerError> {
        Self::connect_with(url, LedgerTiming::default()).await
    }

    /// As [`connect`](Self::connect), and waits for the server and for others as long as `timing` says.
    ///
    /// # Errors
    /// [`LedgerError`] as there.
    #[cfg(feature = "postgres")]
    pub async fn connect_with(url: &str, timing: LedgerTiming) -> Result<Self, LedgerError> {
        postgres::connect(url, timing).await.map(Self::of)
    }

    /// A ledger in PostgreSQL, to be read only. `None` when there is no such schema.
    ///
    /// # Errors
    /// [`LedgerError`] as [`connect`](Self::connect).
    #[cfg(feature = "postgres")]
    pub async fn connect_read_only(
        url: &str,
        timing: LedgerTiming,
    ) -> Result<Option<Self>, LedgerError> {
        Ok(postgres::connect_read_only(url, timing).await?.map(Self::of))
    }

    /// A database's URL without what is secret: its host and its database.
    #[cfg(feature = "cli")]
    pub(crate) fn printable_url(url: &str) -> String {
        postgres::place_of(url)
    }

    /// The statements that make the schema in PostgreSQL, for a database administrator to run before
    /// the first use. Afterwards USAGE on the schema and SELECT, INSERT, UPDATE on its tables are
    /// enough.
    #[cfg(feature = "postgres")]
    #[must_use]
    pub fn postgres_schema() -> String {
        postgres::ddl()
    }

    /// What the calls in this ledger have cost, by Beijing days as on the vendor's bill.
    ///
    /// `since` and `until` are days (inclusive), counted from 1970-01-01. A ledger in memory keeps no
    /// attempts: theirs is empty. Only reads: dropping the future is harmless.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    #[cfg(feature = "ledger")]
    pub async fn spend(
        &self,
        since: Option<i64>,
        until: Option<i64>,
    ) -> Result<Spend, LedgerError> {
        ask!(self, engine => engine.none_kept(), engine.spend(since, until))
    }

    /// The calls of which nobody knows whether they were billed, oldest first. Only reads: dropping
    /// the future is harmless.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    #[cfg(feature = "ledger")]
    pub async fn unknown_calls(&self) -> Result<Vec<UnknownCall>, LedgerError> {
        ask!(self, engine => engine.none_kept(), engine.unknown_calls())
    }

    /// A page of the service's verdicts, those after an attempt. Only reads.
    #[cfg(feature = "ledger")]
    pub(crate) async fn kept_verdicts(&self, after: i64) -> Result<Vec<KeptVerdict>, LedgerError> {
        ask!(self, engine => engine.none_kept(), engine.verdicts(after))
    }

    /// How far ahead calls are booked, beyond the one that each gate may always book. On another machine
    /// it takes long to book: a slot must not go unused meanwhile.
    pub(crate) fn horizon(&self) -> Option<Duration> {
        match &*self.0 {
            Engine::Memory(_) => None,
            #[cfg(feature = "ledger")]
            Engine::Sql(engine) => engine.backend.horizon(),
        }
    }

    /// How long a ledger that is away is waited for.
    pub(crate) fn patience(&self) -> Duration {
        match &*self.0 {
            Engine::Memory(_) => Duration::ZERO,
            #[cfg(feature = "ledger")]
            Engine::Sql(engine) => engine.backend.patience(),
        }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        match &*self.0 {
            Engine::Memory(_) => false,
            #[cfg(feature = "ledger")]
            Engine::Sql(engine) => engine.backend.is_read_only(),
        }
    }

    /// This moment, on the ledger's clock.
    pub(crate) async fn moment(&self) -> Result<Moment, LedgerError> {
        ask!(self, engine => engine.moment(), engine.moment())
    }

    /// What the ledger knows of a question; nothing where its image is told by where it was met, and was
    /// not met there before. Writes nothing.
    pub(crate) async fn lookup(&self, query: Query<'_>) -> Result<Option<Found>, LedgerError> {
        ask!(self, engine => engine.lookup(query), engine.lookup(query))
    }

    /// Books a question that is to be sent. After [`ReserveResult::Reserved`] it is this caller's alone to
    /// send, and its duty to [`record`](Self::record); after anything else, an error above all, nothing
    /// may be sent.
    pub(crate) async fn reserve(
        &self,
        question: &Question,
        terms: &Terms,
        horizon: Option<Duration>,
    ) -> Result<ReserveResult, LedgerError> {
        // Booking in memory takes no time.
        let _ = horizon;
        ask!(self, engine => engine.reserve(question, terms), engine.reserve(question, terms, horizon))
    }

    /// Turns a booked attempt into one that is being sent: true when it was still this caller's, and
    /// only then may its request leave. After an error nothing may.
    pub(crate) async fn mark_sending(&self, attempt: &Reservation) -> Result<bool, LedgerError> {
        ask!(self, engine => engine.mark_sending(attempt), engine.mark_sending(attempt))
    }

    /// Writes down what came of an attempt. May be dropped half-way and done again: recording twice is
    /// recording once.
    pub(crate) async fn record(
        &self,
        attempt: &Reservation,
        outcome: &AttemptOutcome,
        terms: &Terms,
    ) -> Result<(), LedgerError> {
        ask!(self, engine => engine.record(attempt, outcome, terms), engine.record(attempt, outcome, terms))
    }

    /// Whether the process that holds another's attempt still lives; if it does not, the attempt is
    /// taken away: what was booked is free again, what was being sent has an unknown bill. What is
    /// booked for a time that is over is taken away too, from a process that stands still.
    pub(crate) async fn is_held(&self, other: &OtherAttempt) -> Result<bool, LedgerError> {
        ask!(self, engine => engine.is_held(other), engine.is_held(other))
    }

    /// Takes away what processes hold that are gone or stand still: see [`is_held`](Self::is_held).
    pub(crate) async fn abandon_the_dead(&self) -> Result<(), LedgerError> {
        ask!(self, engine => engine.abandon_the_dead(), engine.abandon_the_dead())
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").finish_non_exhaustive()
    }
}
