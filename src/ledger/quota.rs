//! The pace of paid calls: the generic cell rate algorithm (GCRA, ITU-T I.371) without burst.
//!
//! Pure arithmetic on a clock that the caller reads.

use std::time::Duration;

/// The least time between two calls at a rate: a second and a margin, divided by the rate.
///
/// A spacing of exactly 1/R puts R + 1 arrivals into a strict second at the first jitter.
pub(crate) fn spacing(calls_per_second: f64) -> Duration {
    (ONE_SECOND + MARGIN).div_f64(calls_per_second)
}

/// When the next call may leave, on a clock of the caller's that starts anywhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gcra {
    spacing: Duration,
    next: Duration,
}

impl Gcra {
    pub(crate) fn new(spacing: Duration) -> Self {
        Self { spacing, next: Duration::ZERO }
    }

    /// Books the next free slot and says when it is. A slot unused is lost: there is no burst.
    pub(crate) fn book(&mut self, now: Duration) -> Duration {
        let slot = self.next.max(now);
        self.next = slot + self.spacing;
        slot
    }

    /// The service asked for a pause: no slot before `until`, at most a minute from now.
    pub(crate) fn push_back(&mut self, now: Duration, until: Duration) {
        self.next = self.next.max(until.min(now + LONGEST_PUSH));
    }
}

/// A slot that is used later than this is booked again: the pace was promised for its own time.
pub(crate) const LATEST: Duration = MARGIN;

const ONE_SECOND: Duration = Duration::from_secs(1);
const MARGIN: Duration = Duration::from_millis(35);
const LONGEST_PUSH: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn slots_are_a_spacing_apart_and_none_is_saved_up() {
        let mut gcra = Gcra::new(spacing(5.0));
        let slots: Vec<_> = [0, 0, 1_000, 1_000].map(|now| gcra.book(now * MS).as_millis()).into();
        assert_eq!(slots, [0, 207, 1_000, 1_207]);
    }

    #[test]
    fn a_push_is_bounded_and_never_pulls_forward() {
        let mut gcra = Gcra::new(spacing(5.0));
        gcra.push_back(Duration::ZERO, 500 * MS);
        gcra.push_back(Duration::ZERO, 100 * MS);
        assert_eq!(gcra.book(Duration::ZERO), 500 * MS);
        gcra.push_back(1_000 * MS, 900_000 * MS);
        assert_eq!(gcra.book(1_000 * MS), 61_000 * MS);
    }

    proptest! {
        /// Each call arrives up to 30 ms after its slot: still at most R in any strict second.
        #[test]
        fn no_second_sees_more_than_the_rate(
            rate in 1_u32..50,
            steps in prop::collection::vec((0_u64..400, 0_u64..=30), 1..200),
        ) {
            let mut gcra = Gcra::new(spacing(f64::from(rate)));
            let mut now = Duration::ZERO;
            let mut arrivals: Vec<Duration> = steps
                .iter()
                .map(|(pause, jitter)| {
                    now += Duration::from_millis(*pause);
                    gcra.book(now) + Duration::from_millis(*jitter)
                })
                .collect();
            arrivals.sort_unstable();
            for window in arrivals.windows(rate as usize + 1) {
                let (first, last) = (window[0], window[window.len() - 1]);
                prop_assert!(last - first >= ONE_SECOND, "{window:?}");
            }
        }
    }
}
