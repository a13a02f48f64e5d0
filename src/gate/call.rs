//! One question from its reservation to its recorded answer: the only code that lets a paid call go.
//!
//! Before a byte leaves, the ledger holds a committed reservation; after it has left, whatever comes
//! is written down before anyone is told. All of this runs in a task of the gate's own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::{Mutex, Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::counters::{Activity, Counters, Spent};
use super::foreign::ForeignAnswers;
use super::recorder::Recorder;
use super::single_flight::Leader;
use super::throttle::Throttle;
use super::timing::GateTiming;
use super::verdict::verdict_of;
use crate::detect::{End, Outcome, PaidClient, Repeats, RetryState, Sent, decide};
use crate::header::Header;
use crate::ledger::{
    AttemptOutcome, CallEnd, CallRecord, Ledger, LedgerError, Lookup, MOST_LATE, OtherAttempt,
    Question, Reservation, ReserveResult, ServiceAnswer, Terms, spacing,
};
use crate::report::{Reason, ReasonCode};
use crate::run::Stop;

/// What every call of one gate shares.
pub(super) struct Caller {
    paid: PaidClient,
    ledger: Ledger,
    terms: Terms,
    pub(super) closing: CancellationToken,
    /// How many calls may be booked and not yet sent. The fewer, the sooner a slot that is not used
    /// is another process's.
    admission: Semaphore,
    /// Held to reserve: one at a time, so that one finds for all that the queue is long enough.
    reserving: Mutex<()>,
    booked: Booked,
    recorder: Recorder,
    counters: Counters,
    throttle: Throttle,
    foreign: ForeignAnswers,
    /// How often another process's answer, or a place under the cap, is looked for.
    look_again: Duration,
    /// Before a call is repeated.
    longest_pause: Duration,
}

/// One question, ready to be asked.
pub(super) struct CallRequest {
    pub(super) question: Question,
    /// The URL as it is sent.
    pub(super) image_url: String,
    pub(super) header: Option<Header>,
    /// The place of the source that asked first, for the log.
    pub(super) index: Option<u64>,
}

/// What came of a call, for those who asked for it.
pub(crate) enum CallOutcome {
    /// Nothing more is to be asked now. What the ledger holds, unless it says that nothing was sent.
    Recorded(CallRecord),
    /// The run or the gate ended, the cap was reached or nobody waited any more before there was an
    /// answer: the last attempt until then.
    CutShort(CallRecord),
    /// The answer is here and could not be written down.
    Unrecorded(CallRecord, Reason),
    /// The ledger failed. No attempt is under way, and those before were answered without a bill.
    LedgerFailed(LedgerError),
}

/// Nothing more is to leave: the run or the gate has ended, the cap is reached, or nobody waits.
struct Ended;

/// What follows from a request's outcome.
struct Conclusion {
    /// For the ledger.
    outcome: AttemptOutcome,
    /// How long to wait before the next attempt, if there is to be one.
    pause: Option<Duration>,
    /// Why the run stops, where the outcome itself does not say so.
    note: Option<Reason>,
}

/// What came of the wish to call.
enum Turn<'a> {
    /// It was booked at `booked` and is this caller's alone to send at `slot`, once it was marked as
    /// being sent, from `mark` on. `admission` is held until then.
    Ours {
        attempt: Reservation,
        booked: Instant,
        mark: Instant,
        slot: Instant,
        admission: Admission<'a>,
    },
    /// There is nothing to call for any more.
    Over(Box<CallOutcome>),
}

/// How many are booked and not yet sent.
#[derive(Default)]
struct Booked {
    count: AtomicUsize,
    /// The last of them is gone.
    none_left: Notify,
}

/// A place among those that are booked and not yet sent, for as long as this is held.
struct Admission<'a> {
    _permit: SemaphorePermit<'a>,
    booked: &'a Booked,
}

impl<'a> Admission<'a> {
    fn of(permit: SemaphorePermit<'a>, booked: &'a Booked) -> Self {
        booked.count.fetch_add(1, Ordering::Relaxed);
        Self { _permit: permit, booked }
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.booked.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.booked.none_left.notify_one();
        }
    }
}

impl Turn<'_> {
    fn recorded(record: CallRecord) -> Self {
        Self::Over(Box::new(CallOutcome::Recorded(record)))
    }
}

impl Caller {
    pub(super) fn new(
        paid: PaidClient,
        ledger: Ledger,
        terms: Terms,
        calls_per_second: f64,
        timing: GateTiming,
    ) -> Self {
        // One at a time below 10 calls a second, which leaves each 50 ms for each of its commits.
        let look_again = match ledger.horizon() {
            None => timing.look_again,
            Some(_) => timing.look_again_from_afar,
        };
        let horizon = ledger.horizon().unwrap_or(Duration::from_millis(100)).as_millis();
        let ahead = 1 + usize::try_from(horizon / terms.spacing.as_millis().max(1)).unwrap_or(0);
        Self {
            throttle: Throttle::new(calls_per_second, paid.service().detector.calls_per_second),
            foreign: ForeignAnswers::default(),
            paid,
            recorder: Recorder::new(ledger.clone(), timing),
            ledger,
            terms,
            closing: CancellationToken::new(),
            admission: Semaphore::new(ahead),
            reserving: Mutex::default(),
            booked: Booked::default(),
            counters: Counters::default(),
            look_again,
            longest_pause: timing.longest_pause,
        }
    }

    pub(super) fn spent(&self) -> Spent {
        self.counters.spent()
    }

    pub(super) fn activity(&self) -> Activity {
        Activity {
            unwritten: self.recorder.unwritten(),
            calls_per_second: self.throttle.calls_per_second(),
            ..self.counters.activity()
        }
    }

    /// Writes down what could not be written in its time.
    pub(super) async fn write_unrecorded(&self) -> Result<(), LedgerError> {
        self.recorder.write_unrecorded(&self.terms).await
    }

    /// Calls until there is an answer, or none can be had.
    pub(super) async fn call(
        &self,
        leader: &Leader,
        request: &CallRequest,
        stop: &Stop,
    ) -> CallOutcome {
        self.try_call(leader, request, stop).await.unwrap_or_else(|outcome| outcome)
    }

    /// As [`call`](Self::call); the error is an outcome too.
    async fn try_call(
        &self,
        leader: &Leader,
        request: &CallRequest,
        stop: &Stop,
    ) -> Result<CallOutcome, CallOutcome> {
        let mut last = CallRecord::not_sent();
        let mut repeats = Repeats::default();
        loop {
            let waiting = self.counters.waits();
            let turn = match self.turn(leader, request, stop).await {
                Ok(turn) => turn,
                Err(Ended) => return Ok(CallOutcome::CutShort(last)),
            };
            let (attempt, booked, mark, slot, admission) = match turn {
                Turn::Ours { attempt, booked, mark, slot, admission } => {
                    (attempt, booked, mark, slot, admission)
                }
                Turn::Over(outcome) => return Ok(*outcome),
            };
            let mut may_leave = self.may_leave_at(mark, leader, stop).await;
            let mut unmarked = None;
            if may_leave {
                match self.ledger.mark_sending(&attempt).await {
                    Ok(true) => may_leave = self.may_leave_at(slot, leader, stop).await,
                    // Somebody took us for gone, or the slot is over: nothing is sent.
                    Ok(false) => may_leave = false,
                    Err(error) => (may_leave, unmarked) = (false, Some(error)),
                }
            }
            // A process that slept must not send on a promise of long ago.
            if !may_leave || slot.elapsed() > MOST_LATE {
                tracing::debug!(index = request.index, attempt = attempt.id, "call_not_sent");
                let outcome = AttemptOutcome::not_sent();
                self.recorder.record(&attempt, request, outcome, &self.terms, stop).await?;
                match unmarked {
                    Some(error) => return Err(ledger_failed(error, stop)),
                    None => continue,
                }
            }
            drop((admission, waiting));
            tracing::info!(index = request.index, attempt = attempt.id, "call_sent");
            // A request may be billed from here on, and is marked as being sent.
            self.counters.leaves(slot, spacing(self.throttle.calls_per_second()));
            let sent = self.paid.send(&request.image_url, request.question.ask.ratio).await;
            self.counters.returns();
            let Conclusion { outcome, pause, note } =
                self.conclude(sent, booked, &mut repeats, request, stop);
            tracing::info!(
                index = request.index,
                attempt = attempt.id,
                request_id = outcome.record.request_id,
                status = outcome.status,
                verdict = outcome.verdict,
                images = outcome.record.billing.images,
                certainty = ?outcome.record.billing.certainty,
                "call_ended"
            );
            last = outcome.record.clone();
            self.recorder.record(&attempt, request, outcome, &self.terms, stop).await?;
            let Some(pause) = pause else {
                last.note = note.map(Box::new).or(last.note);
                return Ok(CallOutcome::Recorded(last));
            };
            tracing::info!(
                index = request.index,
                attempt = attempt.id,
                request_id = last.request_id,
                ?pause,
                "call_repeats"
            );
            if self.unless_ended(stop, tokio::time::sleep(pause)).await.is_err() {
                return Ok(CallOutcome::CutShort(last));
            }
        }
    }

    /// Waits for a moment, and says whether the call may still leave then: nobody sends while an
    /// outcome cannot be written, and nothing is paid for that nobody waits for any more.
    async fn may_leave_at(&self, moment: Instant, leader: &Leader, stop: &Stop) -> bool {
        let reached = self.unless_ended(stop, tokio::time::sleep_until(moment)).await;
        reached.is_ok() && self.recorder.is_up_to_date() && leader.is_awaited()
    }

    /// Waits for this question's turn and reserves it.
    async fn turn(
        &self,
        leader: &Leader,
        request: &CallRequest,
        stop: &Stop,
    ) -> Result<Turn<'_>, Ended> {
        let failed = |error| Ok(Turn::Over(Box::new(ledger_failed(error, stop))));
        loop {
            let permit = self.unless_ended(stop, self.admission.acquire()).await?;
            let Ok(permit) = permit else { return Err(Ended) };
            if let Some(reason) = self.foreign.holds(Instant::now()) {
                stop.because(reason);
                return Err(Ended);
            }
            let reserving = self.unless_ended(stop, self.reserving.lock()).await?;
            self.unless_ended(stop, self.recorder.until_idle()).await?;
            if !leader.is_awaited() {
                return Err(Ended);
            }
            if let Err(error) = self.write_unrecorded().await {
                return failed(error);
            }
            // Never dropped half-way: a reservation that was committed must be recorded.
            // One may always be booked, however long the queue.
            let has_others = self.booked.count.load(Ordering::Relaxed) > 0;
            let horizon = self.ledger.horizon().filter(|_| has_others);
            let begun = Instant::now();
            let spacing = spacing(self.throttle.calls_per_second());
            let terms = Terms { spacing, ..self.terms.clone() };
            match self.ledger.reserve(&request.question, &terms, horizon).await {
                Ok(ReserveResult::Reserved { attempt, mark, slot }) => {
                    self.counters.reserved(begun.elapsed());
                    let admission = Admission::of(permit, &self.booked);
                    return Ok(Turn::Ours { attempt, booked: begun, mark, slot, admission });
                }
                Ok(ReserveResult::Known(record)) => {
                    return Ok(Turn::recorded(record));
                }
                Ok(ReserveResult::InFlight(other)) => {
                    drop((reserving, permit));
                    match self.wait_for(&other, request, stop).await? {
                        Ok(None) => {}
                        Ok(Some(record)) => {
                            return Ok(Turn::recorded(record));
                        }
                        Err(error) => return failed(error),
                    }
                }
                Ok(ReserveResult::QueueIsLong(too_far)) => {
                    // Not in step with all the other machines that wait.
                    let pause = too_far.mul_f64(1.0 + fastrand::f64() / 30.0);
                    // Once this process has none booked, it may book whatever the queue: one that
                    // slept on would have its turn half as often as others.
                    let woken = tokio::time::timeout(pause, self.booked.none_left.notified());
                    let _ = self.unless_ended(stop, woken).await?;
                }
                Ok(ReserveResult::CapTaken) => {
                    // One looks for all: the others wait for their turn. A place that is held by a
                    // process that is gone would otherwise be waited for without end.
                    if let Err(error) = self.ledger.abandon_the_dead().await {
                        return failed(error);
                    }
                    self.unless_ended(stop, tokio::time::sleep(self.look_again)).await?;
                }
                Ok(ReserveResult::CapReached) => {
                    stop.because(Reason::new(
                        ReasonCode::CapReached,
                        format!(
                            "at most {} calls of the run {:?} may be billed, and so many were",
                            self.terms.max_calls.unwrap_or(0),
                            self.terms.run
                        ),
                    ));
                    return Err(Ended);
                }
                Err(error) => return failed(error),
            }
        }
    }

    /// Waits for another gate's or process's answer to the same question; `None` when it is free to
    /// ask.
    async fn wait_for(
        &self,
        other: &OtherAttempt,
        request: &CallRequest,
        stop: &Stop,
    ) -> Result<Result<Option<CallRecord>, LedgerError>, Ended> {
        let begun = Instant::now();
        let patience = other.leaves_in.saturating_add(self.terms.answer_within);
        loop {
            let looked_up = async {
                let held = self.ledger.is_held(other).await?;
                let query = request.question.query(&self.terms.reuse);
                let found = self.ledger.lookup(query).await?;
                Ok((held, found.map_or(Lookup::Free, |found| found.lookup)))
            };
            match looked_up.await {
                Ok((_, Lookup::Known(record))) => return Ok(Ok(Some(record))),
                Ok((_, Lookup::Free)) => return Ok(Ok(None)),
                Ok((_, Lookup::InFlight(now))) if now.attempt != other.attempt => {
                    return Ok(Ok(None));
                }
                Ok((held, Lookup::InFlight(_))) if !held || begun.elapsed() >= patience => {
                    return Ok(Ok(Some(CallRecord::lost())));
                }
                Ok((_, Lookup::InFlight(_))) => {}
                Err(error) => return Ok(Err(error)),
            }
            self.unless_ended(stop, tokio::time::sleep(self.look_again)).await?;
        }
    }

    /// What follows from the outcome of a request that was booked at `booked`.
    fn conclude(
        &self,
        sent: Sent,
        booked: Instant,
        repeats: &mut Repeats,
        request: &CallRequest,
        stop: &Stop,
    ) -> Conclusion {
        let attempt = RetryState {
            repeats: *repeats,
            seed: fastrand::u64(..),
            longest_pause: self.longest_pause,
        };
        let decision = decide(&sent.outcome, attempt, SystemTime::now());
        let was_sent = !matches!(sent.outcome, Outcome::NotSent { .. });
        let note = self.heed_who_answered(&sent.outcome, &decision.end, stop);
        let push_back =
            decision.throttled.map(|wait| wait.max(self.throttle.refused(booked, Instant::now())));
        if push_back.is_none() && matches!(sent.outcome, Outcome::Answered { .. }) {
            self.throttle.passed();
        }
        let (status, request_id, answer) = match sent.outcome {
            Outcome::Answered { status, answer, .. } => {
                let body = sent.raw.clone().unwrap_or_default();
                (Some(status), answer.request_id, Some(ServiceAnswer { status, body }))
            }
            Outcome::Foreign { status, .. } => (Some(status), None, None),
            Outcome::Lost { status, .. } => (status, None, None),
            Outcome::NotSent { .. } => (None, None, None),
        };
        let (end, pause) = match decision.end {
            End::Settled(judgement) => (CallEnd::Settled(judgement), None),
            End::Unknown(reason) => (CallEnd::Unknown(reason), None),
            End::Refused(reason) => (CallEnd::Refused(reason), None),
            End::Repeat { after, repeats: so_far, reason } => {
                *repeats = so_far;
                (CallEnd::Refused(reason), Some(after))
            }
        };
        let billing = decision.billing;
        let answer = answer.filter(|_| !matches!(end, CallEnd::Unknown(_)));
        let source = Some(request.question.source.as_str().into());
        let record =
            CallRecord { end, billing, request_id, answer, source, ..CallRecord::not_sent() };
        if was_sent {
            self.counters.count(billing, push_back.is_some());
        }
        if let (true, Some(reason)) = (decision.stops_run, record.reason()) {
            stop.because(reason.clone());
        }
        let verdict = match &record.end {
            _ if !was_sent => "not_sent",
            CallEnd::Unknown(_) => "unknown",
            CallEnd::Settled(judgement) => {
                verdict_of(judgement, request.question.ask.ratio, request.header.as_ref())
                    .0
                    .as_str()
            }
            CallEnd::Refused(_) | CallEnd::NotSent => "refused",
        };
        let outcome =
            AttemptOutcome { record, was_sent, status, verdict, raw: sent.raw, push_back };
        Conclusion { outcome, pause, note }
    }

    /// Stops the run where what answers is not the service, and says why.
    fn heed_who_answered(&self, outcome: &Outcome, end: &End, stop: &Stop) -> Option<Reason> {
        let what = match (outcome, end) {
            // It asks to come again.
            (Outcome::Foreign { .. }, End::Repeat { .. }) => return None,
            (Outcome::Foreign { what, .. }, _) => what,
            (Outcome::Answered { .. }, _) => {
                self.foreign.service_answered();
                return None;
            }
            (Outcome::Lost { .. } | Outcome::NotSent { .. }, _) => return None,
        };
        let reason = Reason::new(ReasonCode::NotTheService, what);
        if !self.foreign.met(&reason, Instant::now()) {
            return None;
        }
        stop.because(reason.clone());
        // A refusal says so itself.
        matches!(end, End::Unknown(_)).then_some(reason)
    }

    /// Does `wait`, unless the run or the gate ends first.
    async fn unless_ended<T>(
        &self,
        stop: &Stop,
        wait: impl Future<Output = T>,
    ) -> Result<T, Ended> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(Ended),
            () = stop.over() => Err(Ended),
            done = wait => Ok(done),
        }
    }
}

fn ledger_failed(error: LedgerError, stop: &Stop) -> CallOutcome {
    stop.because(Reason::new(ReasonCode::LedgerError, error.to_string()));
    CallOutcome::LedgerFailed(error)
}
