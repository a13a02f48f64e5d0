//! How a question waits for its turn: for a slot that is near, a place under the cap, or another
//! process's answer.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::call::{CallOutcome, CallRequest, Caller, Cancelled, ledger_failed};
use super::single_flight::Leader;
use crate::ledger::{
    CallRecord, LedgerError, Lookup, OtherAttempt, Reservation, ReserveResult, Terms, spacing,
};
use crate::report::{Reason, ReasonCode};
use crate::run::Stop;

/// A call that is booked, at `booked`, and is this caller's alone to send at `slot`, once it was marked
/// as being sent, from `mark` on. `admission` is held until then.
pub(super) struct Booking<'a> {
    pub(super) attempt: Reservation,
    pub(super) booked: Instant,
    pub(super) mark: Instant,
    pub(super) slot: Instant,
    pub(super) admission: Admission<'a>,
}

/// How many calls may be booked and not yet sent. The fewer, the sooner a slot that is not used is
/// another process's.
pub(super) struct Admissions {
    permits: Semaphore,
    booked: AtomicUsize,
    /// The last of them is gone.
    none_left: Notify,
}

impl Admissions {
    pub(super) fn new(most: usize) -> Self {
        let (booked, none_left) = (AtomicUsize::new(0), Notify::new());
        Self { permits: Semaphore::new(most), booked, none_left }
    }
}

/// A place among those that are booked and not yet sent, for as long as this is held.
pub(super) struct Admission<'a> {
    _permit: SemaphorePermit<'a>,
    all: &'a Admissions,
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if self.all.booked.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.all.none_left.notify_one();
        }
    }
}

impl Caller {
    /// Waits for this question's turn and reserves it; the error is what else came of it.
    pub(super) async fn book(
        &self,
        leader: &Leader,
        request: &CallRequest,
        stop: &Stop,
    ) -> Result<Booking<'_>, CallOutcome> {
        let failed = |error: LedgerError| ledger_failed(error, stop);
        loop {
            let permit = self.unless_ended(stop, self.admissions.permits.acquire()).await?;
            let permit = permit.map_err(|_| Cancelled)?;
            if let Some(reason) = self.foreign.holds(Instant::now()) {
                stop.because(reason);
                return Err(Cancelled.into());
            }
            let reserving = self.unless_ended(stop, self.reserving.lock()).await?;
            self.unless_ended(stop, self.recorder.until_idle()).await?;
            if !leader.is_awaited() {
                return Err(Cancelled.into());
            }
            self.write_unrecorded().await.map_err(failed)?;
            // One may always be booked, however long the queue.
            let has_others = self.admissions.booked.load(Ordering::Relaxed) > 0;
            let horizon = self.ledger.horizon().filter(|_| has_others);
            let begun = Instant::now();
            let spacing = spacing(self.throttle.calls_per_second());
            let terms = Terms { spacing, ..self.terms.clone() };
            // Never dropped half-way: a reservation that was committed must be recorded.
            let reserved = self.ledger.reserve(&request.question, &terms, horizon).await;
            match reserved.map_err(failed)? {
                ReserveResult::Reserved { attempt, mark, slot } => {
                    self.counters.reserved(begun.elapsed());
                    self.admissions.booked.fetch_add(1, Ordering::Relaxed);
                    let admission = Admission { _permit: permit, all: &self.admissions };
                    return Ok(Booking { attempt, booked: begun, mark, slot, admission });
                }
                ReserveResult::Known(record) => return Err(CallOutcome::Recorded(record)),
                ReserveResult::InFlight(other) => {
                    drop((reserving, permit));
                    if let Some(record) = self.wait_for(&other, request, stop).await? {
                        return Err(CallOutcome::Recorded(record));
                    }
                }
                ReserveResult::QueueIsLong(too_far) => {
                    // Not in step with all the other machines that wait.
                    let pause = too_far.mul_f64(1.0 + fastrand::f64() / 30.0);
                    // Once this process has none booked, it may book whatever the queue: one that
                    // slept on would have its turn half as often as others.
                    let none_left = self.admissions.none_left.notified();
                    let woken = tokio::time::timeout(pause, none_left);
                    let _ = self.unless_ended(stop, woken).await?;
                }
                ReserveResult::CapTaken => {
                    // One looks for all: the others wait for their turn. A place that is held by a
                    // process that is gone would otherwise be waited for without end.
                    self.ledger.abandon_the_dead().await.map_err(failed)?;
                    self.unless_ended(stop, tokio::time::sleep(self.look_again)).await?;
                }
                ReserveResult::CapReached => {
                    stop.because(Reason::new(
                        ReasonCode::CapReached,
                        format!(
                            "the run {:?} must have at most {} calls that may be billed, found as many",
                            self.terms.run,
                            self.terms.max_calls.unwrap_or(0)
                        ),
                    ));
                    return Err(Cancelled.into());
                }
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
    ) -> Result<Option<CallRecord>, CallOutcome> {
        let failed = |error: LedgerError| ledger_failed(error, stop);
        let begun = Instant::now();
        let patience = other.leaves_in.saturating_add(self.terms.answer_within);
        loop {
            // In this order: an owner that is gone has written all that it ever will.
            let is_held = self.ledger.is_held(other).await.map_err(failed)?;
            let query = request.question.query(&self.terms.reuse);
            let found = self.ledger.lookup(query).await.map_err(failed)?;
            match found.map_or(Lookup::Free, |found| found.lookup) {
                Lookup::Known(record) => return Ok(Some(record)),
                Lookup::Free => return Ok(None),
                Lookup::InFlight(now) if now.attempt != other.attempt => return Ok(None),
                Lookup::InFlight(_) if !is_held || begun.elapsed() >= patience => {
                    return Ok(Some(CallRecord::lost()));
                }
                Lookup::InFlight(_) => {}
            }
            self.unless_ended(stop, tokio::time::sleep(self.look_again)).await?;
        }
    }
}
