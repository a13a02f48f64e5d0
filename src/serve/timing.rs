//! How long a server waits, and for what.

use std::time::Duration;

/// How long a server waits for its clients, its ledger and the service; the setting
/// [`ServeOptions::timing`](super::ServeOptions::timing).
///
/// The defaults suit production; shorter times are for tests. Each is at least 1 ms and at most a day.
///
/// ```
/// use std::time::Duration;
/// use emo_preflight::serve::{ServeOptions, Timing};
/// let mut options = ServeOptions::default();
/// options.timing = Timing::default().with_head_within(Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Timing {
    pub(super) head_within: Duration,
    pub(super) body_within: Duration,
    pub(super) stream_pause: Duration,
    pub(super) drain_within: Duration,
    pub(super) most_blocked: Duration,
    pub(super) farewell: Duration,
    pub(super) look_every: Duration,
    pub(super) health_within: Duration,
    pub(super) connect_within: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            head_within: Duration::from_secs(30),
            body_within: Duration::from_secs(30),
            stream_pause: Duration::from_secs(300),
            drain_within: Duration::from_secs(1),
            most_blocked: Duration::from_secs(60),
            farewell: Duration::from_secs(1),
            look_every: Duration::from_millis(100),
            // Who asks waits for a second, mostly.
            health_within: Duration::from_millis(900),
            connect_within: Duration::from_secs(10),
        }
    }
}

impl Timing {
    /// How long the head of a request may take to arrive. Default 30 s.
    pub fn with_head_within(self, span: Duration) -> Self {
        Self { head_within: bounded(span), ..self }
    }

    /// How long a whole body may take to arrive. Default 30 s.
    pub fn with_body_within(self, span: Duration) -> Self {
        Self { body_within: bounded(span), ..self }
    }

    /// How long a stream of sources may pause between two parts. Default 300 s.
    pub fn with_stream_pause(self, span: Duration) -> Self {
        Self { stream_pause: bounded(span), ..self }
    }

    /// How long the rest of a body that is too long is taken before its refusal is sent. Default 1 s.
    pub fn with_drain_within(self, span: Duration) -> Self {
        Self { drain_within: bounded(span), ..self }
    }

    /// How long a client may take nothing of its answer. Default 60 s.
    pub fn with_most_blocked(self, span: Duration) -> Self {
        Self { most_blocked: bounded(span), ..self }
    }

    /// How long a connection that is closed may take its last answer. Default 1 s.
    pub fn with_farewell(self, span: Duration) -> Self {
        Self { farewell: bounded(span), ..self }
    }

    /// How often the server looks whether a client that waits for its answer is still there. Default
    /// every 100 ms.
    pub fn with_look_every(self, span: Duration) -> Self {
        Self { look_every: bounded(span), ..self }
    }

    /// How long `/healthz` waits for the ledger. Default 900 ms.
    pub fn with_health_within(self, span: Duration) -> Self {
        Self { health_within: bounded(span), ..self }
    }

    /// How long connecting to the service may take for a request that is passed on. Default 10 s.
    pub fn with_connect_within(self, span: Duration) -> Self {
        Self { connect_within: bounded(span), ..self }
    }
}

/// A timer takes no span of zero, and no clock one without end.
fn bounded(span: Duration) -> Duration {
    span.clamp(Duration::from_millis(1), Duration::from_secs(86_400))
}
