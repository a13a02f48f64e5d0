//! What a gate's calls have cost, and how they are going.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
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
pub(crate) struct Counters {
    calls: AtomicU64,
    images: AtomicU64,
    unknown: AtomicU64,
    waiting: AtomicU64,
    /// In microseconds.
    waited: AtomicU64,
    reservations: AtomicU64,
    /// In microseconds.
    reserving: AtomicU64,
    in_flight: AtomicU64,
    throttled: AtomicU64,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    next_slot: Option<Instant>,
    total: Duration,
}

/// A call that waits for its turn, for as long as this is held.
pub(crate) struct Waiting<'a> {
    counters: &'a Counters,
    since: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.counters.waited.fetch_add(micros(self.since.elapsed()), Ordering::Relaxed);
        self.counters.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Counters {
    /// A call wants to leave.
    pub(crate) fn waits(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting { counters: self, since: Instant::now() }
    }

    /// The ledger took so long to reserve a slot.
    pub(crate) fn reserved(&self, took: Duration) {
        self.reservations.fetch_add(1, Ordering::Relaxed);
        self.reserving.fetch_add(micros(took), Ordering::Relaxed);
    }

    /// A call leaves at `slot`.
    pub(crate) fn leaves(&self, slot: Instant, spacing: Duration) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let unused = idle.next_slot.map(|next| slot.saturating_duration_since(next));
        idle.total += unused.unwrap_or_default();
        idle.next_slot = Some(slot + spacing);
    }

    /// A call is over, however it ended.
    pub(crate) fn returns(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// A request that may have reached the service has ended.
    pub(crate) fn count(&self, billing: Billing, throttled: bool) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.images.fetch_add(billing.images, Ordering::Relaxed);
        let unknown = u64::from(billing.certainty == Certainty::Unknown);
        self.unknown.fetch_add(unknown, Ordering::Relaxed);
        self.throttled.fetch_add(u64::from(throttled), Ordering::Relaxed);
    }

    pub(crate) fn spent(&self) -> Spent {
        Spent {
            calls: self.calls.load(Ordering::Relaxed),
            images: self.images.load(Ordering::Relaxed),
            unknown: self.unknown.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn activity(&self) -> Activity {
        Activity {
            waiting: self.waiting.load(Ordering::Relaxed),
            in_flight: self.in_flight.load(Ordering::Relaxed),
            waited: Duration::from_micros(self.waited.load(Ordering::Relaxed)),
            reservations: self.reservations.load(Ordering::Relaxed),
            reserving: Duration::from_micros(self.reserving.load(Ordering::Relaxed)),
            unwritten: 0,
            calls_per_second: 0.0,
            throttled: self.throttled.load(Ordering::Relaxed),
            quota_idle: self.idle.lock().unwrap_or_else(PoisonError::into_inner).total,
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
