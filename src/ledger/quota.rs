//! The pace of paid calls: the generic cell rate algorithm (GCRA, ITU-T I.371) without burst.
//!
//! Pure arithmetic on a clock that the caller reads, for every kind of ledger.

use std::time::Duration;

/// The least time between two calls at a rate: a second and a margin, divided by the rate.
///
/// A spacing of exactly 1/R puts R + 1 arrivals into a strict second at the first jitter.
pub(crate) fn spacing(calls_per_second: f64) -> Duration {
    (ONE_SECOND + MARGIN).div_f64(calls_per_second)
}

/// An account's pace, in microseconds on the ledger's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    /// From when on the next slot is free.
    pub(crate) next: i64,
    /// The time at which the last slot was booked.
    pub(crate) booked: i64,
}

impl Pace {
    /// How long until the next slot is free. A clock that stands before the last booking was set
    /// back: then it is what it was at that booking. That is never sooner than what is booked, and
    /// never later than the queue was long.
    pub(crate) fn wait(&self, now: i64) -> Duration {
        let wait = self.next.saturating_sub(now.max(self.booked));
        Duration::from_micros(u64::try_from(wait).unwrap_or(0))
    }

    /// Books the next free slot that lies at least `ahead` of now, and says when it is. A slot
    /// unused is lost: there is no burst.
    pub(crate) fn book(&mut self, now: i64, ahead: Duration, spacing: Duration) -> i64 {
        let slot = now.saturating_add(micros(self.wait(now).max(ahead)));
        *self = Self { next: slot.saturating_add(micros(spacing)), booked: now };
        slot
    }

    /// The service asked for a pause: no slot before it is over, at most a minute from now.
    pub(crate) fn push_back(&mut self, now: i64, pause: Duration) {
        let until = now.max(self.booked).saturating_add(micros(pause.min(LONGEST_PUSH)));
        self.next = self.next.max(until);
    }
}

impl From<(i64, i64)> for Pace {
    /// As it is read from a ledger.
    fn from((next, booked): (i64, i64)) -> Self {
        Self { next, booked }
    }
}

/// A span in microseconds.
pub(crate) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// A slot that is used later than this is booked again: the pace was promised for its own time.
pub(crate) const MOST_LATE: Duration = MARGIN;

const ONE_SECOND: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_millis(35);
pub(crate) const LONGEST_PUSH: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000;
    const SOON: Duration = Duration::ZERO;

    #[test]
    fn slots_are_a_spacing_apart_and_none_is_saved_up() {
        let mut pace = Pace::default();
        let slots = [0, 0, 1_000, 1_000].map(|now| pace.book(now * MS, SOON, spacing(5.0)) / MS);
        assert_eq!(slots, [0, 207, 1_000, 1_207]);
        assert_eq!(pace.book(1_400 * MS, Duration::from_millis(50), spacing(5.0)) / MS, 1_450);
    }

    #[test]
    fn a_push_is_bounded_and_never_pulls_forward() {
        let mut pace = Pace::default();
        pace.push_back(0, Duration::from_millis(500));
        pace.push_back(0, Duration::from_millis(100));
        assert_eq!(pace.book(0, SOON, spacing(5.0)), 500 * MS);
        pace.push_back(1_000 * MS, Duration::from_secs(900));
        assert_eq!(pace.book(1_000 * MS, SOON, spacing(5.0)), 61_000 * MS);
    }

    #[test]
    fn no_clock_reaches_past_the_end_of_time() {
        for now in [i64::MIN, 0, i64::MAX] {
            let mut pace = Pace { next: i64::MAX, booked: 0 };
            let slot = pace.book(now, Duration::MAX, Duration::MAX);
            assert!(slot >= i64::MAX.saturating_add(now.min(0)), "{now}: {slot}");
            pace.push_back(now, Duration::MAX);
            assert!(pace.next >= slot, "{now}: {pace:?}");
        }
    }

    proptest! {
        /// Each call arrives up to 30 ms after its slot: still at most R in any strict second.
        #[test]
        fn no_second_sees_more_than_the_rate(
            rate in 1_u32..50,
            ahead in 0_u64..100,
            steps in prop::collection::vec((0_i64..400, 0_i64..=30), 1..200),
        ) {
            let (mut pace, mut now) = (Pace::default(), 0);
            let ahead = Duration::from_millis(ahead);
            let mut arrivals: Vec<i64> = steps
                .iter()
                .map(|(pause, jitter)| {
                    now += pause * MS;
                    pace.book(now, ahead, spacing(f64::from(rate))) + jitter * MS
                })
                .collect();
            arrivals.sort_unstable();
            for window in arrivals.windows(rate as usize + 1) {
                let (first, last) = (window[0], window[window.len() - 1]);
                prop_assert!(last - first >= micros(ONE_SECOND), "{window:?}");
            }
        }
    }
}
