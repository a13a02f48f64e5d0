//! How long one image may take.

use std::time::Duration;

use tokio::time::Instant;

/// The time that an image may take. Waiting for a place at a host is not the origin's fault, and is not in
/// it.
pub(super) struct TimeBudget {
    pub(super) most: Duration,
    pub(super) taken: Duration,
    /// When the budget is spent, unless the request under way ends before; none where no clock counts
    /// that far.
    pub(super) end: Option<Instant>,
}

impl TimeBudget {
    pub(super) fn new(most: Duration) -> Self {
        Self { most, taken: Duration::ZERO, end: None }
    }

    pub(super) fn left(&self) -> Duration {
        self.most.saturating_sub(self.taken)
    }

    pub(super) fn begin(&mut self) -> Instant {
        let now = Instant::now();
        self.end = now.checked_add(self.left());
        now
    }

    pub(super) fn end(&mut self, begun: Instant) {
        self.taken += begun.elapsed();
    }

    /// Sleeps before a repeat. `None` at once where no more than `least` is left: then the wait could only
    /// end in a time-out, which says less.
    pub(super) async fn pause(&mut self, pause: Duration, least: Duration) -> Option<()> {
        if least >= self.left() {
            return None;
        }
        tokio::time::sleep(pause).await;
        self.taken += pause;
        Some(())
    }
}
