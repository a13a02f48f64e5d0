//! Answers that are none of the service's: after three in a row no call leaves for a while.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::detect::{Decision, Outcome};
use crate::report::{Reason, ReasonCode};

/// Whether what answers this gate is the service.
#[derive(Default)]
pub(super) struct ForeignAnswers(Mutex<State>);

#[derive(Default)]
struct State {
    in_a_row: u32,
    /// Why no call leaves, and since when.
    held: Option<(Reason, Instant)>,
}

impl ForeignAnswers {
    /// Takes note of who answered; says why the run is to stop, where what answers is not the service.
    pub(super) fn heed(
        &self,
        outcome: &Outcome,
        decision: &Decision,
        now: Instant,
    ) -> Option<Reason> {
        match outcome {
            // It asks to come again.
            Outcome::Foreign { .. } if decision.repeat.is_some() => None,
            Outcome::Foreign { what, .. } => {
                let reason = Reason::new(ReasonCode::NotTheService, what);
                self.met(&reason, now).then_some(reason)
            }
            Outcome::Answered { .. } => {
                self.service_answered();
                None
            }
            Outcome::Lost { .. } | Outcome::NotSent { .. } => None,
        }
    }

    /// Another one: whether calls are to stop.
    fn met(&self, reason: &Reason, now: Instant) -> bool {
        let mut state = self.lock();
        state.in_a_row = state.in_a_row.saturating_add(1);
        let is_enough = state.in_a_row >= ENOUGH;
        if is_enough {
            state.held = Some((reason.clone(), now));
        }
        is_enough
    }

    /// The service answered.
    fn service_answered(&self) {
        *self.lock() = State::default();
    }

    /// Why no call may leave now. Once in a while one may, to see whether the service is back.
    pub(super) fn holds(&self, now: Instant) -> Option<Reason> {
        let mut state = self.lock();
        let (reason, since) = state.held.as_mut()?;
        if now.saturating_duration_since(*since) >= TRY_AGAIN {
            *since = now;
            return None;
        }
        Some(reason.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const ENOUGH: u32 = 3;

/// A server must not need a restart because a proxy in front of the service was out of order.
const TRY_AGAIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_in_a_row_hold_all_calls_but_one_now_and_then() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let reason = Reason::new(ReasonCode::NotTheService, "why");
        let answers = ForeignAnswers::default();
        assert!(!answers.met(&reason, start) && !answers.met(&reason, start));
        answers.service_answered();
        assert!(!answers.met(&reason, start) && !answers.met(&reason, start));
        assert_eq!(answers.holds(start), None);
        assert!(answers.met(&reason, start));
        assert_eq!(answers.holds(at(29)), Some(reason.clone()));
        assert_eq!(answers.holds(at(30)), None, "one may try");
        assert_eq!(answers.holds(at(30)), Some(reason.clone()), "and no other meanwhile");
        assert!(answers.met(&reason, at(31)), "one more is enough");
        assert_eq!(answers.holds(at(60)), Some(reason.clone()));
        assert_eq!(answers.holds(at(61)), None);
        answers.service_answered();
        assert_eq!(answers.holds(at(61)), None);
    }
}
