//! What the exit status says.

use std::process::ExitCode;

use crate::{Report, Verdict};

/// How the program ended. The numbers are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Status {
    /// Everything was accepted or eligible.
    Good,
    /// Some were rejected, or have boxes that do not hold.
    Rejected,
    /// Wrong arguments or settings; stands alone.
    Usage,
    /// Some are undetermined or failed.
    Uncertain,
    /// The run ended before its input.
    Stopped,
    /// Ended by a signal, by its number.
    Signal(u8),
}

impl Status {
    /// What one report makes of the status; the highest of a run's applies.
    pub(super) fn of(report: &Report) -> Self {
        match report.verdict {
            Verdict::Eligible | Verdict::Accepted { .. } => Self::Good,
            Verdict::RejectedLocal | Verdict::RejectedRemote | Verdict::BoxMismatch { .. } => {
                Self::Rejected
            }
            Verdict::Undetermined | Verdict::Failed => Self::Uncertain,
            Verdict::Skipped => Self::Stopped,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(match status {
            Status::Good => 0,
            Status::Rejected => 1,
            Status::Usage => 2,
            Status::Uncertain => 3,
            Status::Stopped => 4,
            // As a shell reports a process that a signal ended.
            Status::Signal(number) => 128_u8.saturating_add(number),
        })
    }
}
