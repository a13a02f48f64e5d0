//! One question from its reservation to its recorded answer: the only code that lets a paid call go.
//!
//! Before a byte leaves, the ledger holds a committed reservation; after it has left, whatever comes
//! is written down before anyone is told. All of this runs in a task of the gate's own.

use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::counters::{Activity, Counters, Spent};
use super::foreign::ForeignAnswers;
use super::recorder::Recorder;
use super::single_flight::Leader;
use super::throttle::Throttle;
use super::timing::GateTiming;
use super::turn::{Admissions, Booking};
use super::verdict::verdict_of;
use crate::detect::{Disposition, Outcome, PaidClient, Repeats, RetryState, Sent, decide};
use crate::header::Header;
use crate::ledger::{
    AttemptOutcome, CallRecord, Ledger, LedgerError, MOST_LATE, Question, ServiceAnswer, Terms,
    spacing,
};
use crate::report::{Reason, ReasonCode};
use crate::run::Stop;

/// What every call of one gate shares.
pub(super) struct Caller {
    paid: PaidClient,
    pub(super) ledger: Ledger,
    pub(super) terms: Terms,
    pub(super) closing: CancellationToken,
    pub(super) admissions: Admissions,
    /// Held to reserve: one at a time, so that one finds for all that the queue is long enough.
    pub(super) reserving: Mutex<()>,
    pub(super) recorder: Recorder,
    pub(super) counters: Counters,
    pub(super) throttle: Throttle,
    pub(super) foreign: ForeignAnswers,
    /// How often another process's answer, or a place under the cap, is looked for.
    pub(super) look_again: Duration,
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
    /// Nothing more is to be asked now. What the ledger holds.
    Recorded(CallRecord),
    /// The run or the gate ended, the cap was reached or nobody waited any more before there was an
    /// answer: the last attempt until then, if there was one.
    CutShort(Option<CallRecord>),
    /// The answer is here and could not be written down.
    Unrecorded(CallRecord, Reason),
    /// The ledger failed. No attempt is under way, and those before were answered without a bill.
    LedgerFailed(LedgerError),
}

/// Nothing more is to leave: the run or the gate has ended, the cap is reached, or nobody waits.
pub(super) struct Cancelled;

impl From<Cancelled> for CallOutcome {
    fn from(_: Cancelled) -> Self {
        Self::CutShort(None)
    }
}

/// What follows from a request's outcome.
struct Conclusion {
    /// For the ledger.
    outcome: AttemptOutcome,
    /// For those who asked.
    record: CallRecord,
    /// How long to wait before the next attempt, if there is to be one.
    pause: Option<Duration>,
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
            // Many machines look, and each look is a few statements of one database.
            Some(_) => timing.look_again * 7,
        };
        let horizon = ledger.horizon().unwrap_or(Duration::from_millis(100)).as_millis();
        let ahead = horizon / terms.spacing.as_millis().max(1);
        Self {
            throttle: Throttle::new(calls_per_second, paid.service().detector.calls_per_second),
            foreign: ForeignAnswers::default(),
            paid,
            recorder: Recorder::new(ledger.clone(), timing),
            ledger,
            terms,
            closing: CancellationToken::new(),
            admissions: Admissions::new(1 + usize::try_from(ahead).unwrap_or(0)),
            reserving: Mutex::default(),
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
        let mut last = None;
        match self.try_call(leader, request, stop, &mut last).await {
            Ok(record) => CallOutcome::Recorded(record),
            Err(CallOutcome::CutShort(_)) => CallOutcome::CutShort(last),
            Err(outcome) => outcome,
        }
    }

    /// As [`call`](Self::call); `last` is what came of the last attempt.
    async fn try_call(
        &self,
        leader: &Leader,
        request: &CallRequest,
        stop: &Stop,
        last: &mut Option<CallRecord>,
    ) -> Result<CallRecord, CallOutcome> {
        let mut repeats = Repeats::default();
        loop {
            let waiting = self.counters.waits();
            let booking = self.book(leader, request, stop).await?;
            let Booking { attempt, booked, mark, slot, admission } = booking;
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
            let Conclusion { outcome, record, pause } =
                self.conclude(sent, booked, &mut repeats, request, stop);
            tracing::info!(
                index = request.index,
                attempt = attempt.id,
                request_id = record.request_id,
                status = outcome.status,
                verdict = outcome.verdict,
                images = record.billing.images,
                certainty = ?record.billing.certainty,
                "call_ended"
            );
            self.recorder.record(&attempt, request, outcome, &self.terms, stop).await?;
            let Some(pause) = pause else { return Ok(record) };
            tracing::info!(
                index = request.index,
                attempt = attempt.id,
                request_id = record.request_id,
                ?pause,
                "call_repeats"
            );
            *last = Some(record);
            self.unless_ended(stop, tokio::time::sleep(pause)).await?;
        }
    }

    /// Waits for a moment, and says whether the call may still leave then: nobody sends while an
    /// outcome cannot be written, and nothing is paid for that nobody waits for any more.
    async fn may_leave_at(&self, moment: Instant, leader: &Leader, stop: &Stop) -> bool {
        let reached = self.unless_ended(stop, tokio::time::sleep_until(moment)).await;
        reached.is_ok() && self.recorder.is_up_to_date() && leader.is_awaited()
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
        let not_the_service = self.foreign.heed(&sent.outcome, &decision, Instant::now());
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
        let is_unknown = matches!(decision.disposition, Disposition::Unknown(_));
        let mut record = CallRecord {
            request_id,
            answer: answer.filter(|_| !is_unknown),
            source: Some(request.question.source.as_str().into()),
            ..CallRecord::new(decision.disposition, decision.billing)
        };
        if was_sent {
            self.counters.count(decision.billing, push_back.is_some());
        }
        let stops_run = record.disposition.reason().filter(|_| decision.stops_run);
        for reason in not_the_service.iter().chain(stops_run) {
            stop.because(reason.clone());
        }
        let ratio = request.question.ask.ratio;
        let verdict = match &record.disposition {
            _ if !was_sent => "not_sent",
            Disposition::Unknown(_) => "unknown",
            Disposition::Settled(judgement) => {
                verdict_of(judgement, ratio, request.header.as_ref()).0.as_str()
            }
            Disposition::Refused(_) => "refused",
        };
        let kept = Some(record.clone());
        let outcome =
            AttemptOutcome { record: kept, was_sent, status, verdict, raw: sent.raw, push_back };
        // A refusal says so itself.
        record.note = not_the_service.filter(|_| is_unknown).map(Box::new);
        let pause = decision.repeat.map(|repeat| {
            *repeats = repeat.repeats;
            repeat.after
        });
        Conclusion { outcome, record, pause }
    }

    /// Does `wait`, unless the run or the gate ends first.
    pub(super) async fn unless_ended<T>(
        &self,
        stop: &Stop,
        wait: impl Future<Output = T>,
    ) -> Result<T, Cancelled> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(Cancelled),
            () = stop.over() => Err(Cancelled),
            done = wait => Ok(done),
        }
    }
}

pub(super) fn ledger_failed(error: LedgerError, stop: &Stop) -> CallOutcome {
    stop.because(Reason::new(ReasonCode::LedgerError, error.to_string()));
    CallOutcome::LedgerFailed(error)
}
