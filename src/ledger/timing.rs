//! How long a ledger waits, and for what.

use std::time::Duration;

/// How long a ledger waits for others who use it; given to [`Ledger::open_with`](crate::Ledger::open_with)
/// and, for PostgreSQL, `Ledger::connect_with`.
///
/// The defaults suit production; shorter times are for tests.
///
/// ```
/// use std::time::Duration;
/// use emo_preflight::LedgerTiming;
/// let timing = LedgerTiming::default().with_busy(Duration::from_millis(100));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct LedgerTiming {
    pub(super) busy: Duration,
    pub(super) turn: Duration,
    #[cfg(feature = "postgres")]
    pub(super) stalled: Duration,
    pub(super) commit_within: Duration,
    #[cfg(feature = "postgres")]
    pub(super) wait: Duration,
}

impl Default for LedgerTiming {
    fn default() -> Self {
        Self {
            busy: Duration::from_secs(10),
            turn: Duration::from_secs(30),
            #[cfg(feature = "postgres")]
            stalled: Duration::from_secs(10),
            commit_within: AHEAD,
            #[cfg(feature = "postgres")]
            wait: Duration::from_secs(60),
        }
    }
}

impl LedgerTiming {
    /// SQLite: how long another process may hold the write lock. Default 10 s, at most a day.
    pub fn with_busy(self, busy: Duration) -> Self {
        Self { busy: busy.min(A_DAY), ..self }
    }

    /// How long one task waits until the others of its process leave it a connection. Default 30 s.
    pub fn with_turn(self, turn: Duration) -> Self {
        Self { turn, ..self }
    }

    /// PostgreSQL: how long a transaction of this process may stand still before the server ends its
    /// session, from 1 ms to a day. Default 10 s.
    #[cfg(feature = "postgres")]
    pub fn with_stalled(self, stalled: Duration) -> Self {
        Self { stalled: stalled.clamp(Duration::from_millis(1), A_DAY), ..self }
    }

    /// PostgreSQL: how long a server that cannot be reached is waited for, now and later. Default 60 s,
    /// at most a day.
    #[cfg(feature = "postgres")]
    pub fn with_wait(self, wait: Duration) -> Self {
        Self { wait: wait.min(A_DAY), ..self }
    }

    /// How long one task waits for a connection: for the others' work, or until the server is back.
    #[cfg(feature = "postgres")]
    pub(super) fn free_within(&self) -> Duration {
        self.wait.max(Duration::from_secs(5)).min(self.turn)
    }

    /// How long an answer to what is only read is waited for, tries and all: a healthy server that is
    /// slow is not one that is away.
    #[cfg(feature = "postgres")]
    pub(super) fn answer_within(&self) -> Duration {
        self.wait.max(Duration::from_secs(10))
    }

    /// What each of the two writes before a call is given to reach the disk, at least: a slow disk is
    /// given more. Default 50 ms, at most 10 s.
    pub fn with_commit_within(self, commit_within: Duration) -> Self {
        Self { commit_within: commit_within.min(Duration::from_secs(10)), ..self }
    }
}

/// What a write before a call is given to reach the disk.
pub(super) const AHEAD: Duration = Duration::from_millis(50);

/// The drivers take no span that is much longer.
const A_DAY: Duration = Duration::from_secs(86_400);
