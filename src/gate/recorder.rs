//! Writes down how attempts ended. An answer that was paid for is not given up because the disk is
//! full for a moment: no new call leaves while it cannot be written, and after half a minute, or as
//! long as a ledger that is away is waited for, it goes to stderr.

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::call::{CallOutcome, CallRequest};
use super::timing::GateTiming;
use crate::detect::Disposition;
use crate::ledger::{
    AttemptOutcome, CallRecord, Ledger, LedgerAction, LedgerError, Reservation, Terms,
};
use crate::report::{Billing, Reason, ReasonCode};
use crate::run::Stop;

pub(super) struct Recorder {
    ledger: Ledger,
    timing: GateTiming,
    /// How many outcomes are waiting to be written down.
    waiting: watch::Sender<usize>,
    /// Outcomes that could not be written in their time.
    unrecorded: Mutex<Vec<(Reservation, AttemptOutcome)>>,
}

impl Recorder {
    pub(super) fn new(ledger: Ledger, timing: GateTiming) -> Self {
        Self { ledger, timing, waiting: watch::Sender::new(0), unrecorded: Mutex::default() }
    }

    /// Whether all outcomes so far are in the ledger: only then may a call leave.
    pub(super) fn is_up_to_date(&self) -> bool {
        *self.waiting.borrow() == 0 && self.unrecorded().is_empty()
    }

    /// How many outcomes are not in the ledger yet.
    pub(super) fn unwritten(&self) -> u64 {
        let outcomes = self.waiting.borrow().saturating_add(self.unrecorded().len());
        u64::try_from(outcomes).unwrap_or(u64::MAX)
    }

    /// Waits until no outcome is waiting to be written.
    pub(super) async fn until_idle(&self) {
        // The sender is `self`'s and is not dropped meanwhile.
        let _ = self.waiting.subscribe().wait_for(|outcomes| *outcomes == 0).await;
    }

    /// Writes down how an attempt ended, however often that takes within half a minute, or for
    /// as long as a ledger that is away is waited for. What
    /// cannot be written by then goes to stderr, with the answer as it came; the error is what to
    /// tell of the question.
    pub(super) async fn record(
        &self,
        attempt: &Reservation,
        request: &CallRequest,
        outcome: AttemptOutcome,
        terms: &Terms,
        stop: &Stop,
    ) -> Result<(), CallOutcome> {
        let within = self.ledger.patience().max(self.timing.write_within);
        let until = Instant::now() + within;
        // Recording twice is recording once, so a write that takes too long may be given up.
        let write = || timeout_at(until, self.ledger.record(attempt, &outcome, terms));
        let Err(mut error) = write().await.unwrap_or_else(|_| Err(too_slow(within))) else {
            return Ok(());
        };
        self.waiting.send_modify(|outcomes| *outcomes += 1);
        while Instant::now() < until {
            tracing::warn!(
                index = request.index,
                attempt = attempt.id,
                request_id = outcome.request_id(),
                %error,
                "answer_unwritten"
            );
            tokio::time::sleep(self.timing.write_again).await;
            match write().await {
                Ok(Ok(())) => {
                    self.waiting.send_modify(|outcomes| *outcomes -= 1);
                    return Ok(());
                }
                Ok(Err(next)) => error = next,
                Err(_) => {}
            }
        }
        let left = match outcome.was_sent {
            true => "the answer is on stderr and not in the ledger",
            false => "nothing was sent for this image",
        };
        let reason = Reason::new(ReasonCode::LedgerError, format!("{error}; {left}"));
        stop.because(reason.clone());
        let last_words = last_words(attempt, request, &outcome, &error);
        let record = outcome.record.clone().unwrap_or_else(|| {
            CallRecord::new(Disposition::Refused(reason.clone()), Billing::NONE)
        });
        // Before the others may go on: who goes on writes it first.
        self.unrecorded().push((*attempt, outcome));
        self.waiting.send_modify(|outcomes| *outcomes -= 1);
        // Not with `eprintln!`, which panics where nobody listens.
        let _ = writeln!(std::io::stderr(), "{last_words}");
        Err(CallOutcome::Unrecorded(record, reason))
    }

    /// Writes down what could not be written in its time: until then its question, and its place
    /// under the cap, are held by this process, which lives. May be dropped half-way: recording
    /// twice is recording once.
    pub(super) async fn write_unrecorded(&self, terms: &Terms) -> Result<(), LedgerError> {
        loop {
            let Some((attempt, outcome)) = self.unrecorded().first().cloned() else {
                return Ok(());
            };
            self.ledger.record(&attempt, &outcome, terms).await?;
            self.unrecorded().retain(|(written, _)| written.id != attempt.id);
        }
    }

    fn unrecorded(&self) -> MutexGuard<'_, Vec<(Reservation, AttemptOutcome)>> {
        self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_slow(within: Duration) -> LedgerError {
    let why = format!("it took more than {within:?}");
    LedgerError::Failed { action: LedgerAction::Write, why }
}

/// One JSON line with all that is known of an answer that no ledger holds.
fn last_words(
    attempt: &Reservation,
    request: &CallRequest,
    outcome: &AttemptOutcome,
    error: &LedgerError,
) -> String {
    let raw = outcome.raw.as_deref().map(String::from_utf8_lossy);
    serde_json::json!({
        "ledger_error": error.to_string(),
        "attempt": attempt.id,
        "source": request.question.source,
        "http_status": outcome.status,
        "request_id": outcome.request_id(),
        "billing": outcome.billing(),
        "answer": raw,
    })
    .to_string()
}
