//! The pace of one gate, which comes down to what the service takes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How far apart this gate's calls leave. It only grows: a pace that was refused once is not tried
/// again.
pub(super) struct Throttle {
    /// As slow as it gets: the service is documented to take that.
    most: Duration,
    state: Mutex<State>,
}

struct State {
    spacing: Duration,
    /// When it last grew.
    since: Option<Instant>,
    /// How often everyone was asked to slow down since a call was last let through.
    in_a_row: u32,
}

impl Throttle {
    pub(super) fn new(spacing: Duration, documented: Duration) -> Self {
        let state = State { spacing, since: None, in_a_row: 0 };
        Self { most: spacing.max(documented), state: Mutex::new(state) }
    }

    pub(super) fn spacing(&self) -> Duration {
        self.lock().spacing
    }

    /// A call that left at `left` was refused for its pace. Says for how long none may leave.
    pub(super) fn refused(&self, left: Instant, now: Instant) -> Duration {
        let mut state = self.lock();
        // One that left before the pace came down tells nothing of the new one.
        if state.since.is_none_or(|since| left >= since) {
            state.spacing = state.spacing.saturating_mul(2).min(self.most);
            state.since = Some(now);
            state.in_a_row = state.in_a_row.saturating_add(1);
        }
        let doublings = state.in_a_row.saturating_sub(1).min(5);
        PAUSE.saturating_mul(1 << doublings)
    }

    /// The service took a call at this pace.
    pub(super) fn passed(&self) {
        self.lock().in_a_row = 0;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The service counts by the second.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_pace_comes_down_to_what_is_documented_once_for_all_that_left_before() {
        let start = Instant::now();
        let throttle = Throttle::new(20 * MS, 207 * MS);
        // (left, refused, spacing from then on, pause), in ms from the start.
        for (left, now, spacing, pause) in [
            (0, 10, 40, 1_000),
            (5, 11, 40, 1_000),
            (10, 30, 80, 2_000),
            (29, 31, 80, 2_000),
            (40, 50, 160, 4_000),
            (60, 70, 207, 8_000),
            (80, 90, 207, 16_000),
            (100, 110, 207, 32_000),
            (120, 130, 207, 32_000),
        ] {
            assert_eq!(throttle.refused(start + left * MS, start + now * MS), pause * MS, "{left}");
            assert_eq!(throttle.spacing(), spacing * MS, "{left}");
        }
        throttle.passed();
        assert_eq!(throttle.spacing(), 207 * MS, "it does not go back up");
        assert_eq!(throttle.refused(start + 140 * MS, start + 150 * MS), PAUSE);
    }

    #[test]
    fn a_pace_that_is_slower_than_documented_stays() {
        let start = Instant::now();
        let throttle = Throttle::new(500 * MS, 207 * MS);
        throttle.refused(start, start);
        assert_eq!(throttle.spacing(), 500 * MS);
    }
}
