//! Waiting one's turn to call: the quota's arithmetic on this process's clock.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::ledger::{Gcra, LATEST, spacing};

/// The pace of paid calls within one process.
pub(crate) struct Pace {
    zero: Instant,
    slots: Mutex<Gcra>,
}

impl Pace {
    pub(crate) fn new(calls_per_second: f64) -> Self {
        Self { zero: Instant::now(), slots: Mutex::new(Gcra::new(spacing(calls_per_second))) }
    }

    /// Returns when a call may leave, at its slot or a few milliseconds after it.
    pub(crate) async fn turn(&self) {
        loop {
            let slot = self.zero + self.with(|slots, now| slots.book(now));
            tokio::time::sleep_until(slot).await;
            // A process that slept must not send a flock of calls on promises of long ago.
            if slot.elapsed() <= LATEST {
                return;
            }
        }
    }

    /// The service asked everyone to slow down for `pause`.
    pub(crate) fn push_back(&self, pause: Duration) {
        self.with(|slots, now| slots.push_back(now, now + pause));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Gcra, Duration) -> T) -> T {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut slots, self.zero.elapsed())
    }
}
