//! Why the gate gave no report. What is wrong with an image is in its report.

use crate::ledger::LedgerError;
use crate::net::ConfigError;

/// Why the gate gave no report. Never says anything about the image.
///
/// For an example see [`Preflight`](crate::Preflight).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// A setting that cannot work; no call has left.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The ledger failed before the next call for this source could leave; earlier ones, if there
    /// were any, were answered without a bill. (An answer that came and could not be written down
    /// is a report, which has its bill.)
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The gate was closed before this source's call; no call has left for it.
    #[error("the gate is closed: nothing was sent for this source")]
    Closed,
    /// The task that held this call was ended with its runtime; the call may have left.
    #[error("the runtime ended under the call: it may have left and been billed")]
    Lost,
}

impl GateError {
    /// Whether a paid call may have left whose answer this error withholds.
    ///
    /// ```
    /// use emo_preflight::GateError;
    /// assert!(!GateError::Closed.may_have_been_billed());
    /// assert!(GateError::Lost.may_have_been_billed());
    /// ```
    #[must_use]
    pub fn may_have_been_billed(&self) -> bool {
        matches!(self, Self::Lost)
    }
}
