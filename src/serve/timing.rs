//! How long a server waits for its clients.

use std::time::Duration;

/// How long a server waits for its clients; the setting [`ServeOptions::timing`](super::ServeOptions::timing).
///
/// The defaults suit production; shorter times are for tests. Each is at most a day.
///
/// ```
/// use std::time::Duration;
/// use emo_preflight::serve::ServeOptions;
/// let mut options = ServeOptions::default();
/// options.timing.head_within = Duration::from_secs(1);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// How long the head of a request may take to arrive. Default 30 s.
    pub head_within: Duration,
    /// How long a whole body may take to arrive. Default 30 s.
    pub body_within: Duration,
    /// How long a client may take nothing of its answer. Default 60 s.
    pub most_blocked: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            head_within: Duration::from_secs(30),
            body_within: Duration::from_secs(30),
            most_blocked: Duration::from_secs(60),
        }
    }
}

impl Timing {
    /// No clock takes a span without end.
    pub(super) fn bounded(self) -> Self {
        Self {
            head_within: self.head_within.min(DAY),
            body_within: self.body_within.min(DAY),
            most_blocked: self.most_blocked.min(DAY),
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);
