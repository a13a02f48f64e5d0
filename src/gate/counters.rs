//! What a gate's calls have cost, and how they are going.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::report::{Billing, Certainty};

/// What a gate's calls have cost.
///
/// For an example see [`Preflight`](crate::Preflight).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spent {
    /// Requests that may have reached the service.
    pub calls: u64,
    /// Images surely billed.
    pub images: u64,
    /// Calls of which nobody knows whether they were billed. The vendor's count lies between
    /// `images` and `images + unknown`.
    pub unknown: u64,
}

/// How a gate's calls are going.
///
/// For an example see [`Preflight`](crate::Preflight).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Activity {
    /// Calls that wait for their turn: images that passed the local stage, are not in the ledger,
    /// and are not on their way.
    pub waiting: u64,
    /// Calls that have left and are not answered yet.
    pub in_flight: u64,
    /// Calls that were refused for their pace (429).
    pub throttled: u64,
    /// The most calls in any second: what was asked for, and less once calls were refused for their
    /// pace. It does not go up again.
    pub calls_per_second: f64,
    /// How long calls have waited for their turn, all of them together.
    pub waited: Duration,
    /// Slots reserved in the ledger so far.
    pub reservations: u64,
    /// How long the ledger took for them, all together. The mean says how far the ledger is away, and
    /// how busy.
    pub reserving: Duration,
    /// Answers that came and are not in the ledger yet, because it cannot be written.
    pub unwritten: u64,
    /// How long slots of the quota went unused since the first call: there was nothing to ask, or
    /// other gates on the same ledger took them.
    pub quota_idle: Duration,
}

/// The counters behind both.
#[derive(Default)]
pub(crate) struct Counters(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    spent: Spent,
    activity: Activity,
    next_slot: Option<Instant>,
}

/// A call that waits for its turn, for as long as this is held.
pub(crate) struct Waiting<'a> {
    counters: &'a Counters,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let activity = &mut self.counters.lock().activity;
        activity.waited += self.since.elapsed();
        activity.waiting = activity.waiting.saturating_sub(1);
    }
}

impl Counters {
    /// A call wants to leave.
    pub(crate) fn waits(&self) -> Waiting<'_> {
        self.lock().activity.waiting += 1;
        Waiting { counters: self, since: Instant::now() }
    }

    /// The ledger took so long to reserve a slot.
    pub(crate) fn reserved(&self, took: Duration) {
        let activity = &mut self.lock().activity;
        activity.reservations += 1;
        activity.reserving += took;
    }

    /// A call leaves at `slot`.
    pub(crate) fn leaves(&self, slot: Instant, spacing: Duration) {
        let mut counts = self.lock();
        let unused = counts.next_slot.map(|next| slot.saturating_duration_since(next));
        counts.activity.quota_idle += unused.unwrap_or_default();
        counts.activity.in_flight += 1;
        counts.next_slot = Some(slot + spacing);
    }

    /// A call is over, however it ended.
    pub(crate) fn returns(&self) {
        let activity = &mut self.lock().activity;
        activity.in_flight = activity.in_flight.saturating_sub(1);
    }

    /// A request that may have reached the service has ended.
    pub(crate) fn count(&self, billing: Billing, throttled: bool) {
        let Counts { spent, activity, .. } = &mut *self.lock();
        spent.calls += 1;
        spent.images = spent.images.saturating_add(billing.images);
        spent.unknown += u64::from(billing.certainty == Certainty::Unknown);
        activity.throttled += u64::from(throttled);
    }

    pub(crate) fn spent(&self) -> Spent {
        self.lock().spent
    }

    pub(crate) fn activity(&self) -> Activity {
        self.lock().activity
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
