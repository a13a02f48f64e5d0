//! How long writes take to reach the disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::ledger::LedgerTiming;

/// How long the last write of a kind took to reach the disk, in microseconds.
#[derive(Default)]
pub(in crate::ledger) struct CommitTime(AtomicU64);

impl CommitTime {
    pub(in crate::ledger) fn note(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.store(took, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(in crate::ledger) fn forget(&self) {
        self.note(Duration::ZERO);
    }

    /// How long the next one is given. On a disk on which 50 ms are not enough, every call would
    /// come too late for its slot, and none would ever leave.
    pub(super) fn allow(&self, timing: &LedgerTiming) -> Duration {
        let took = Duration::from_micros(self.0.load(Ordering::Relaxed));
        took.saturating_mul(2).clamp(timing.commit_within, MOST_AHEAD)
    }
}

/// However long a write took: the process may have been stopped meanwhile. At least what a
/// [`LedgerTiming`] may give.
const MOST_AHEAD: Duration = Duration::from_secs(10);
