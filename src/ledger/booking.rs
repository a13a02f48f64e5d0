//! What a call is booked by, and what comes of it.

use std::time::Duration;

use tokio::time::Instant;

use super::{CallRecord, Identity, Reuse};

/// What a gate's questions have in common.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Whose quota the calls count against.
    pub(crate) account: String,
    /// The least time between two calls of the account.
    pub(crate) spacing: Duration,
    /// Which run's cap the calls count against.
    pub(crate) run: String,
    /// The most calls of the run that may be billed.
    pub(crate) max_calls: Option<u64>,
    /// The answer to any call is here so long after its slot, or is waited for no more: a process that
    /// stands still must not hold up the others for ever. That another process has a longer time-out
    /// is not known: its call then counts as used, and its answer as lost, too early, which pays for
    /// nothing.
    pub(crate) answer_within: Duration,
    /// What the ledger knows and may be told again.
    pub(crate) reuse: Reuse,
}

/// What came of the wish to reserve a question.
pub(crate) enum ReserveResult {
    /// It is booked: from `mark` on turn it into one being sent, send it at `slot`, and end it
    /// whatever happens.
    Reserved { attempt: Reservation, mark: Instant, slot: Instant },
    /// It was asked: settled or unknown.
    Known(CallRecord),
    /// Another gate or process is asking it.
    InFlight(OtherAttempt),
    /// Nothing was reserved: its slot would lie this much beyond the horizon, which begins where the
    /// next possible one would.
    #[cfg_attr(not(feature = "ledger"), expect(dead_code, reason = "for a ledger on disk"))]
    QueueIsLong(Duration),
    /// Calls fill the cap, and some of them may still end without a bill.
    CapTaken,
    /// The cap is used up for good.
    CapReached,
}

/// An attempt that this process has booked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reservation {
    pub(crate) identity: Identity,
    pub(crate) id: i64,
}

/// An attempt of another gate or process.
#[derive(Clone, Debug)]
pub(crate) struct OtherAttempt {
    pub(crate) attempt: i64,
    /// The process's name in the ledger.
    #[cfg_attr(not(feature = "ledger"), expect(dead_code, reason = "for a ledger on disk"))]
    pub(crate) owner: String,
    /// How long until it leaves.
    pub(crate) leaves_in: Duration,
}
