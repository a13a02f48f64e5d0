//! A ledger in a database, whichever it is: the same states, the same statements. What differs is
//! behind [`Backend`].
//!
//! Every write is one explicit transaction whose commit is checked: a statement with RETURNING in
//! autocommit would swallow the commit's error.

/// Does something until it succeeds, fails for good, or what may pass has lasted for too long. No
/// function that takes a closure: what it awaits would be `Send` for some lifetimes only.
macro_rules! patiently {
    ($ledger:expr, $work:expr) => {{
        let mut deadline =
            $crate::ledger::sql::retry::RetryDeadline::new($ledger.backend.patience());
        loop {
            match $work.await {
                Ok(done) => break Ok(done),
                Err(fault) => {
                    if let Err(error) = deadline.after(fault).await {
                        break Err(error);
                    }
                }
            }
        }
    }};
}

mod abandon;
mod backend;
mod book;
mod commit_time;
pub(super) mod driver;
mod export;
pub(super) mod lookup;
mod queue;
pub(super) mod retry;
pub(super) mod rows;
pub(super) mod schema;
mod spend;
pub(super) mod statements;

use std::time::Duration;

use tokio::time::Instant;

#[cfg(feature = "cli")]
pub(crate) use spend::beijing_day;
pub use spend::{DaySpend, Spend, UnknownCall};

pub(super) use backend::{Backend, Reading};
use commit_time::CommitTime;
use driver::{Fault, values};
use queue::Queues;
use rows::{State, name_of};
use statements as sql;

use super::quota::{LONGEST_PUSH, micros};
use super::{
    AttemptOutcome, Found, LedgerError, LedgerTiming, Moment, Query, Question, Reservation,
    ReserveResult, Terms,
};

/// A ledger in a database.
pub(super) struct SqlLedger {
    pub(super) backend: Backend,
    timing: LedgerTiming,
    /// How long the last of each of the two writes before a call took to reach the disk.
    pub(super) booking: CommitTime,
    pub(super) marking: CommitTime,
    queues: Queues,
}

impl SqlLedger {
    pub(super) fn new(backend: Backend, timing: LedgerTiming) -> Self {
        Self {
            backend,
            timing,
            booking: CommitTime::default(),
            marking: CommitTime::default(),
            queues: Queues::default(),
        }
    }

    /// A server that is gone without a word must not hold up the end.
    pub(super) async fn close(&self) {
        let _ = tokio::time::timeout(CLOSE, self.backend.close()).await;
    }

    pub(super) async fn moment(&self) -> Result<Moment, LedgerError> {
        patiently!(self, async {
            let mut session = self.backend.read().await?;
            let mut ledger = session.connection();
            // In this order: what ends between the two had ended, and what is booked then is later.
            let (last,): (i64,) = ledger.one(sql::READ_LAST_ATTEMPT, values![]).await?;
            let under_way: Vec<InFlight> = ledger.all(sql::READ_IN_FLIGHT, values![]).await?;
            let under_way = under_way.into_iter().map(|(attempt, ..)| attempt).collect();
            Ok(Moment { last, under_way })
        })
    }

    /// Reads the ledger's clock.
    #[cfg(feature = "postgres")]
    pub(super) async fn read_clock(&self) -> Result<i64, LedgerError> {
        patiently!(self, self.backend.read_clock())
    }

    pub(super) async fn lookup(&self, query: Query<'_>) -> Result<Option<Found>, LedgerError> {
        patiently!(self, self.backend.lookup(query))
    }

    /// See [`Ledger::reserve`](super::Ledger::reserve).
    pub(super) async fn reserve(
        &self,
        question: &Question,
        terms: &Terms,
        horizon: Option<Duration>,
    ) -> Result<ReserveResult, LedgerError> {
        patiently!(self, self.book(question, terms, horizon))
    }

    /// See [`Ledger::mark_sending`](super::Ledger::mark_sending).
    pub(super) async fn mark_sending(&self, attempt: &Reservation) -> Result<bool, LedgerError> {
        let begun = Instant::now();
        let mut is_repeat = false;
        let marked: Result<_, LedgerError> =
            patiently!(self, self.try_mark(attempt.id, std::mem::replace(&mut is_repeat, true)));
        self.marking.note(begun.elapsed());
        marked
    }

    async fn try_mark(&self, attempt: i64, is_repeat: bool) -> Result<bool, Fault> {
        if self.backend.mark_sending(attempt).await? == 1 {
            return Ok(true);
        }
        // The write before this one may have come through without its answer: only the holder of an
        // attempt marks it.
        Ok(is_repeat && self.read_state(attempt).await?.is_some_and(|(s, _)| s == State::Sending))
    }

    /// An attempt's state and its slot.
    async fn read_state(&self, attempt: i64) -> Result<Option<(State, i64)>, Fault> {
        let mut session = self.backend.read().await?;
        let found: Option<(String, i64)> =
            session.connection().optional(sql::READ_STATE, values![attempt]).await?;
        Ok(found.map(|(state, slot)| (State::named(&state), slot)))
    }

    /// See [`Ledger::record`](super::Ledger::record).
    pub(super) async fn record(
        &self,
        attempt: &Reservation,
        outcome: &AttemptOutcome,
        terms: &Terms,
    ) -> Result<(), LedgerError> {
        let billing = outcome.billing();
        let state = State::of(outcome);
        let values = values![
            attempt.id,
            state.as_str(),
            self.backend.now(),
            outcome.verdict,
            outcome.status.map(i64::from),
            outcome.request_id(),
            i64::try_from(billing.images).unwrap_or(i64::MAX),
            name_of(billing.certainty),
            outcome.raw.as_deref(),
            &terms.account,
            outcome.push_back.map(|pause| micros(pause.min(LONGEST_PUSH))),
        ];
        let write = match state {
            State::Settled | State::Unknown => &sql::END_AND_DECIDE,
            _ => &sql::END_AND_RELEASE,
        };
        patiently!(self, self.backend.write(write, values)).map(|_| ())
    }
}

/// Of an attempt in flight: its number, its owner, its state and its slot.
type InFlight = (i64, String, String, i64);

/// How long the connections' end is waited for: longer than SQLite waits for another's lock.
const CLOSE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
pub(super) mod places;
#[cfg(test)]
mod tests;
