//! The pace of one gate, which comes down to what the service takes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many calls of this gate leave in a second. It only falls: a pace that was refused once is not
/// tried again.
pub(super) struct Throttle {
    /// The service is documented to take that.
    least: f64,
    state: Mutex<State>,
}

struct State {
    calls_per_second: f64,
    /// When it last fell.
    since: Option<Instant>,
    /// How often everyone was asked to slow down since a call was last let through.
    in_a_row: u32,
}

impl Throttle {
    pub(super) fn new(calls_per_second: f64, documented: f64) -> Self {
        let state = State { calls_per_second, since: None, in_a_row: 0 };
        Self { least: calls_per_second.min(documented), state: Mutex::new(state) }
    }

    pub(super) fn calls_per_second(&self) -> f64 {
        self.lock().calls_per_second
    }

    /// A call that was booked at `booked` was refused for its pace. Says for how long none may leave.
    pub(super) fn refused(&self, booked: Instant, now: Instant) -> Duration {
        let mut state = self.lock();
        // One that was booked before the pace came down tells nothing of the new one.
        if state.since.is_none_or(|since| booked >= since) {
            state.calls_per_second = (state.calls_per_second / 2.0).max(self.least);
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
    fn the_pace_comes_down_to_what_is_documented_once_for_all_that_were_booked_before() {
        let start = Instant::now();
        let throttle = Throttle::new(50.0, 5.0);
        // When a call was booked and when it was refused, in ms; the pace from then on; the pause in s.
        for (booked, now, pace, pause) in [
            (0, 10, 25.0, 1),
            (5, 11, 25.0, 1),
            (10, 30, 12.5, 2),
            (29, 31, 12.5, 2),
            (40, 50, 6.25, 4),
            (60, 70, 5.0, 8),
            (80, 90, 5.0, 16),
            (100, 110, 5.0, 32),
            (120, 130, 5.0, 32),
        ] {
            let found = throttle.refused(start + booked * MS, start + now * MS);
            assert_eq!((found.as_secs(), throttle.calls_per_second()), (pause, pace), "{booked}");
        }
        throttle.passed();
        assert_eq!(throttle.calls_per_second(), 5.0, "it does not go back up");
        assert_eq!(throttle.refused(start + 140 * MS, start + 150 * MS), PAUSE);
    }

    #[test]
    fn a_pace_that_is_slower_than_documented_stays() {
        let start = Instant::now();
        let throttle = Throttle::new(2.0, 5.0);
        throttle.refused(start, start);
        assert_eq!(throttle.calls_per_second(), 2.0);
    }
}
