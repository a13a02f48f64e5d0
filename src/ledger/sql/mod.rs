//! A ledger in a database, whichever it is: the same states, the same statements. What differs is
//! behind [`Backend`].
//!
//! Every write is one explicit transaction whose commit is checked: a statement with RETURNING in
//! autocommit would swallow the commit's error.

/// Does something until it succeeds, fails for good, or what may pass has lasted for too long. No
/// function that takes a closure: what it awaits would be `Send` for some lifetimes only.
macro_rules! patiently {
    ($ledger:expr, $work:expr) => {{
        let mut patience = $ledger.patience();
        loop {
            match $work {
                Ok(done) => break Ok(done),
                Err(fault) => {
                    if let Err(error) = patience.after(fault).await {
                        break Err(error);
                    }
                }
            }
        }
    }};
}

mod backend;
mod cap;
pub(super) mod driver;
mod export;
pub(super) mod lookup;
mod queue;
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
use cap::Counts;
use driver::{Connection, Fault, Value, values};
use lookup::look_up_one;
use queue::Queues;
use rows::{State, name_of};
use statements as sql;

use super::identity::hex;
use super::quota::{LONGEST_PUSH, MOST_LATE, micros};
#[cfg(test)]
use super::timing::AHEAD;
use super::{
    AttemptOutcome, Found, LedgerError, LedgerTiming, Lookup, Moment, OtherAttempt, Query,
    Question, Reservation, ReserveResult, Terms,
};

/// A ledger in a database.
pub(super) struct SqlLedger {
    pub(super) backend: Backend,
    timing: LedgerTiming,
    /// How long the last of each of the two writes before a call took to reach the disk.
    pub(super) booking: CommitTime,
    pub(super) marking: CommitTime,
    queues: Queues,
    counts: Counts,
}

impl SqlLedger {
    pub(super) fn new(backend: Backend, timing: LedgerTiming) -> Self {
        Self {
            backend,
            timing,
            booking: CommitTime::default(),
            marking: CommitTime::default(),
            queues: Queues::default(),
            counts: Counts::default(),
        }
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.backend.is_read_only()
    }

    /// A server that is gone without a word must not hold up the end.
    pub(super) async fn close(&self) {
        let _ = tokio::time::timeout(CLOSE, self.backend.close()).await;
    }

    pub(super) async fn moment(&self) -> Result<Moment, LedgerError> {
        patiently!(self, self.try_moment().await)
    }

    async fn try_moment(&self) -> Result<Moment, Fault> {
        let mut session = self.backend.read().await?;
        let mut ledger = session.connection();
        // In this order: what ends between the two had ended, and what is booked then is later.
        let (last,): (i64,) = ledger.one(sql::READ_LAST_ATTEMPT, values![]).await?;
        let under_way: Vec<InFlight> = ledger.all(sql::READ_IN_FLIGHT, values![]).await?;
        Ok(Moment { last, under_way: under_way.into_iter().map(|(attempt, ..)| attempt).collect() })
    }

    /// Reads the ledger's clock.
    #[cfg(feature = "postgres")]
    pub(super) async fn read_clock(&self) -> Result<i64, LedgerError> {
        patiently!(self, self.try_read_clock().await)
    }

    async fn try_read_clock(&self) -> Result<i64, Fault> {
        let mut session = self.backend.read().await?;
        let mut ledger = session.connection();
        let (Reading { now, .. }, ..) =
            self.backend.read_clock_and_pace(&mut ledger, NO_ACCOUNT).await?;
        Ok(now)
    }

    pub(super) async fn lookup(&self, query: Query<'_>) -> Result<Option<Found>, LedgerError> {
        patiently!(self, self.backend.lookup(query).await)
    }

    /// See [`Ledger::reserve`](super::Ledger::reserve).
    pub(super) async fn reserve(
        &self,
        question: &Question,
        terms: &Terms,
        horizon: Option<Duration>,
    ) -> Result<ReserveResult, LedgerError> {
        patiently!(self, self.try_reserve(question, terms, horizon).await)
    }

    async fn try_reserve(
        &self,
        question: &Question,
        terms: &Terms,
        horizon: Option<Duration>,
    ) -> Result<ReserveResult, Fault> {
        if let Some(horizon) = horizon
            && let Some(too_far) = self.peek_at_queue(self.ahead() + horizon, terms).await
        {
            return Ok(ReserveResult::QueueIsLong(too_far));
        }
        let identity = question.identity.to_string();
        let (mut transaction, owner) = self.backend.begin_reserving(&identity).await?;
        let mut ledger = transaction.connection();
        let query = question.query(&terms.reuse);
        match look_up_one(&mut ledger, query, self.backend.now()).await?.map(|found| found.lookup) {
            Some(Lookup::Known(record)) => return Ok(ReserveResult::Known(record)),
            Some(Lookup::InFlight(other)) => return Ok(ReserveResult::InFlight(other)),
            Some(Lookup::Free) | None => {}
        }
        let now = self.backend.now();
        if let Some(refused) = self.counts.hold_against_cap(&mut ledger, terms, now).await? {
            return Ok(refused);
        }
        let (Reading { here, now, uncertainty }, last, mut pace) =
            self.backend.read_clock_and_pace(&mut ledger, &terms.account).await?;
        let (marking, ahead) = (self.marking.allow(&self.timing), self.ahead());
        // What the clock's reading leaves open must not bring two calls closer together.
        let slot = pace.book(now, ahead, terms.spacing.saturating_add(uncertainty));
        let wait = Duration::from_micros(u64::try_from(slot.saturating_sub(now)).unwrap_or(0));
        if let Some(horizon) = horizon {
            let too_far = wait.saturating_sub(ahead.saturating_add(horizon));
            if !too_far.is_zero() {
                self.queues.note(&terms.account, here + wait, true);
                return Ok(ReserveResult::QueueIsLong(too_far));
            }
        }
        // About the time of booking, and always a new one, whatever the clock does.
        let id = now.max(last.saturating_add(1));
        let content = hex(question.content.0);
        let sighting = question.sighting.map(|sighting| hex(sighting.0));
        let attempt = values![
            id,
            &identity,
            &terms.account,
            &terms.run,
            &owner,
            &question.source,
            question.ask.ratio.as_str(),
            &question.ask.model,
            slot,
            &question.ask.service,
            &content,
            question.image_id.as_deref(),
        ];
        self.backend.write_reservation(&mut ledger, attempt, &pace, sighting.as_deref()).await?;
        if let Err(fault) = transaction.commit().await
            && !self.is_ours(id, &owner, &fault).await?
        {
            return Err(fault);
        }
        self.booking.note(here);
        // From here on the monotonic clock counts, whatever happens to the other.
        let slot = here + wait;
        let is_long = wait > ahead + self.backend.horizon().unwrap_or_default();
        self.queues.note(&terms.account, slot + terms.spacing, is_long);
        let attempt = Reservation { identity: question.identity, id };
        Ok(ReserveResult::Reserved {
            attempt,
            mark: slot.checked_sub(marking).unwrap_or(here),
            slot,
        })
    }

    /// How far ahead a slot must lie: two commits come before it, the reservation's and the mark's.
    fn ahead(&self) -> Duration {
        self.booking.allow(&self.timing).saturating_add(self.marking.allow(&self.timing))
    }

    /// Whether a reservation whose commit failed is in the ledger all the same: the answer may have
    /// been lost behind the commit.
    async fn is_ours(&self, id: i64, owner: &str, fault: &Fault) -> Result<bool, Fault> {
        if !fault.may_pass {
            return Ok(false);
        }
        // Behind the lock that the lost transaction held: it has ended by then, either way.
        let found: Result<_, LedgerError> = patiently!(self, self.try_read_owner(id).await);
        Ok(found?.is_some_and(|found| found == owner))
    }

    async fn try_read_owner(&self, id: i64) -> Result<Option<String>, Fault> {
        let (mut transaction, _) = self.backend.begin_reserving("").await?;
        let found = transaction.connection().optional(sql::READ_OWNER, values![id]).await?;
        Ok(found.map(|(owner,): (String,)| owner))
    }

    /// See [`Ledger::mark_sending`](super::Ledger::mark_sending).
    pub(super) async fn mark_sending(&self, attempt: &Reservation) -> Result<bool, LedgerError> {
        let begun = Instant::now();
        let mut is_repeat = false;
        let marked: Result<_, LedgerError> =
            patiently!(self, self.try_mark(attempt, std::mem::replace(&mut is_repeat, true)).await);
        self.marking.note(begun);
        marked
    }

    async fn try_mark(&self, attempt: &Reservation, is_repeat: bool) -> Result<bool, Fault> {
        if self.backend.mark_sending(attempt.id).await? == 1 {
            return Ok(true);
        }
        if !is_repeat {
            return Ok(false);
        }
        // The write before this one may have come through without its answer: only the holder of an
        // attempt marks it.
        let mut session = self.backend.read().await?;
        let state = session.connection().optional(sql::READ_STATE, values![attempt.id]).await?;
        Ok(state.is_some_and(|(state, _): (String, i64)| state == State::Sending.as_str()))
    }

    /// See [`Ledger::record`](super::Ledger::record).
    pub(super) async fn record(
        &self,
        attempt: &Reservation,
        outcome: &AttemptOutcome,
        terms: &Terms,
    ) -> Result<(), LedgerError> {
        patiently!(self, self.try_record(attempt, outcome, terms).await)
    }

    async fn try_record(
        &self,
        attempt: &Reservation,
        outcome: &AttemptOutcome,
        terms: &Terms,
    ) -> Result<(), Fault> {
        let record = &outcome.record;
        let state = State::of(outcome);
        let now = self.backend.now();
        let identity = attempt.identity.to_string();
        let values = values![
            attempt.id,
            state.as_str(),
            now,
            outcome.verdict,
            outcome.status.map(i64::from),
            record.request_id.as_deref(),
            i64::try_from(record.billing.images).unwrap_or(i64::MAX),
            name_of(record.billing.certainty),
            outcome.raw.as_deref(),
            &identity,
        ];
        let decides = matches!(state, State::Settled | State::Unknown);
        let Some(pause) = outcome.push_back else {
            return self.backend.end_attempt(values, decides).await;
        };
        let mut transaction = self.backend.begin().await?;
        let mut ledger = transaction.connection();
        end_attempt(&mut ledger, values, decides).await?;
        let pause = micros(pause.min(LONGEST_PUSH));
        ledger.execute(sql::PUSH_BACK, values![&terms.account, now, pause]).await?;
        transaction.commit().await
    }

    pub(super) async fn is_held(&self, other: &OtherAttempt) -> Result<bool, LedgerError> {
        patiently!(self, self.try_is_held(other).await)
    }

    async fn try_is_held(&self, other: &OtherAttempt) -> Result<bool, Fault> {
        let is_gone = self.backend.is_gone(&other.owner).await?;
        if is_gone {
            self.take_away(other.attempt).await?;
        } else if self.is_over(other.attempt).await? {
            self.take_away_booked(other.attempt).await?;
        }
        Ok(!is_gone)
    }

    /// Whether an attempt is booked and its slot is over.
    async fn is_over(&self, attempt: i64) -> Result<bool, Fault> {
        let over = self.over().await?;
        let mut session = self.backend.read().await?;
        let found = session.connection().optional(sql::READ_STATE, values![attempt]).await?;
        Ok(found.is_some_and(|(state, slot): (String, i64)| {
            state == State::Booked.as_str() && slot < over
        }))
    }

    /// What is booked for a time before this is over: by the same clock its holder cannot mark it any
    /// more (`MARK_SENDING`), and so does not send it. A holder that lives stands still, and must hold
    /// up no other.
    async fn over(&self) -> Result<i64, Fault> {
        Ok(self.try_read_clock().await?.saturating_sub(micros(MOST_LATE)))
    }

    /// What processes left behind that ended without a word, or stand still: see
    /// [`take_away`](Self::take_away) and [`over`](Self::over).
    pub(super) async fn abandon_the_dead(&self) -> Result<(), LedgerError> {
        patiently!(self, self.try_abandon_the_dead().await)
    }

    async fn try_abandon_the_dead(&self) -> Result<(), Fault> {
        let over = self.over().await?;
        let in_flight: Vec<InFlight> =
            self.backend.read().await?.connection().all(sql::READ_IN_FLIGHT, values![]).await?;
        let is_over = |state: &str, slot| state == State::Booked.as_str() && slot < over;
        let asked = in_flight.iter().filter(|(_, _, state, slot)| !is_over(state, *slot));
        let gone = self.backend.gone(asked.map(|(_, owner, ..)| owner.clone()).collect()).await?;
        for (attempt, owner, state, slot) in &in_flight {
            if is_over(state, *slot) {
                self.take_away_booked(*attempt).await?;
            } else if gone.contains(owner) {
                self.take_away(*attempt).await?;
            }
        }
        self.backend.clear_owners()
    }

    /// Takes an attempt away from an owner that is gone: a booked one was not sent, and its question
    /// is as it was before; one that was being sent has an unknown bill.
    async fn take_away(&self, attempt: i64) -> Result<(), Fault> {
        if !self.take_away_booked(attempt).await? {
            let values = values![attempt, self.backend.now()];
            self.backend.write(sql::ABANDON_SENDING, values).await?;
        }
        Ok(())
    }

    /// Takes an attempt away that is booked: whether it was.
    async fn take_away_booked(&self, attempt: i64) -> Result<bool, Fault> {
        let mut transaction = self.backend.begin().await?;
        let mut ledger = transaction.connection();
        let values = values![attempt, self.backend.now()];
        if ledger.execute(sql::ABANDON_BOOKED, values).await? == 0 {
            return Ok(false);
        }
        let (identity,): (String,) = ledger.one(sql::READ_IDENTITY, values![attempt]).await?;
        ledger.execute(sql::RELEASE_QUESTION, values![&identity, attempt]).await?;
        transaction.commit().await?;
        Ok(true)
    }

    fn patience(&self) -> Patience {
        Patience::of(self.backend.patience())
    }
}

/// For how long what may pass is waited for.
pub(in crate::ledger) struct Patience {
    span: Duration,
    until: Instant,
    pause: Duration,
}

impl Patience {
    pub(in crate::ledger) fn of(span: Duration) -> Self {
        Self { span, until: Instant::now() + span, pause: FIRST_PAUSE }
    }

    /// Waits a moment before another try, unless there is none to be had.
    pub(in crate::ledger) async fn after(&mut self, fault: Fault) -> Result<(), LedgerError> {
        let Fault { error, may_pass } = fault;
        if !may_pass || Instant::now() >= self.until {
            return Err(error);
        }
        // Said once, however often it is tried.
        if self.pause == FIRST_PAUSE {
            tracing::warn!(%error, waiting_up_to = ?self.span, "ledger_unreachable");
        }
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

/// Ends an attempt, by the values of `END_ATTEMPT` and the question's identity, and decides its
/// question or leaves it as it was.
async fn end_attempt(
    ledger: &mut Connection<'_>,
    values: &[Value<'_>; 10],
    decides: bool,
) -> Result<(), Fault> {
    let [id, state, .., identity] = *values;
    let (attempt, _) = values.split_at(9);
    ledger.execute(sql::END_ATTEMPT, attempt).await?;
    match decides {
        true => ledger.execute(sql::DECIDE_QUESTION, &[identity, id, state]).await?,
        false => ledger.execute(sql::RELEASE_QUESTION, &[identity, id]).await?,
    };
    Ok(())
}

/// Of an attempt in flight: its number, its owner, its state and its slot.
type InFlight = (i64, String, String, i64);

/// How long the last write of a kind took to reach the disk, in microseconds.
#[derive(Default)]
pub(super) struct CommitTime(std::sync::atomic::AtomicU64);

impl CommitTime {
    pub(super) fn note(&self, begun: Instant) {
        self.expect(begun.elapsed());
    }

    pub(super) fn expect(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.store(took, std::sync::atomic::Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.0.store(0, std::sync::atomic::Ordering::Relaxed);
    }

    /// How long the next one is given. On a disk on which 50 ms are not enough, every call would
    /// come too late for its slot, and none would ever leave.
    fn allow(&self, timing: &LedgerTiming) -> Duration {
        let took = Duration::from_micros(self.0.load(std::sync::atomic::Ordering::Relaxed));
        took.saturating_mul(2).clamp(timing.commit_within, MOST_AHEAD)
    }
}

/// However long a write took: the process may have been stopped meanwhile. At least what a
/// [`LedgerTiming`] may give.
const MOST_AHEAD: Duration = Duration::from_secs(10);

/// Where no account's pace is asked for.
const NO_ACCOUNT: &str = "";

/// How long the connections' end is waited for: longer than SQLite waits for another's lock.
const CLOSE: Duration = Duration::from_secs(15);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
pub(super) mod places;
#[cfg(test)]
mod tests;
