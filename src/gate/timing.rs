//! How long a gate waits, and for what.

use std::time::Duration;

/// How long a gate waits for its ledger and for other processes; set with
/// [`PreflightBuilder::timing`](crate::PreflightBuilder::timing).
///
/// The defaults suit production; shorter times are for tests.
///
/// ```
/// use std::time::Duration;
/// use emo_preflight::GateTiming;
/// let timing = GateTiming::default().with_write_within(Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct GateTiming {
    pub(super) write_within: Duration,
    pub(super) write_again: Duration,
    pub(super) answer_grace: Duration,
    pub(super) look_again: Duration,
    pub(super) longest_pause: Duration,
}

impl Default for GateTiming {
    fn default() -> Self {
        Self {
            write_within: Duration::from_secs(30),
            write_again: Duration::from_millis(500),
            answer_grace: Duration::from_secs(10),
            look_again: Duration::from_millis(150),
            longest_pause: Duration::from_secs(60),
        }
    }
}

impl GateTiming {
    /// How long an answer that cannot be written to the ledger is kept and tried again, at least:
    /// a database that is away is waited for as long as its ledger says. Default 30 s, at most a day.
    pub fn with_write_within(self, write_within: Duration) -> Self {
        Self { write_within: write_within.min(A_DAY), ..self }
    }

    /// The pause before such an answer is tried again. Default 500 ms.
    pub fn with_write_again(self, write_again: Duration) -> Self {
        Self { write_again, ..self }
    }

    /// How long another process's answer is waited for beyond the call's own time-out. Default 10 s.
    pub fn with_answer_grace(self, answer_grace: Duration) -> Self {
        Self { answer_grace, ..self }
    }

    /// How often another process's answer, or a free call under the cap, is looked for in a ledger
    /// on this machine; in a database a seventh as often. Default every 150 ms.
    pub fn with_look_again(self, look_again: Duration) -> Self {
        Self { look_again, ..self }
    }

    /// The longest pause before a call is repeated, also where the service asks for a longer one.
    /// Default 60 s.
    pub fn with_longest_pause(self, longest_pause: Duration) -> Self {
        Self { longest_pause, ..self }
    }
}

/// No clock takes a span without end.
const A_DAY: Duration = Duration::from_secs(86_400);
