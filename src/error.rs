//! What can go wrong with the gate itself. What is wrong with a picture is in its report.

/// A setting that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// An option is out of its range; the text says which, what is required and what was found.
    #[error("{0}")]
    Option(String),
    /// No HTTPS client could be made of this machine's TLS settings.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}

/// Why the gate gave no report. Never says anything about the picture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// A setting that cannot work; no call has left.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The books failed before the next call for this source could leave; earlier ones, if there
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

/// Why the books cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The books cannot be opened: someone has to mend the path, the file or the disk.
    #[error("cannot open the ledger {path}: {why}")]
    Open {
        /// The file.
        path: String,
        /// What was found and what to do.
        why: String,
    },
    /// The books were written by a newer version of this crate.
    #[error(
        "the ledger {path} has schema version {found}, this program knows up to {known}: update it"
    )]
    Newer {
        /// The file.
        path: String,
        /// The version found.
        found: i64,
        /// The newest version known.
        known: i64,
    },
    /// A read or write failed: a full disk, a lock held for too long, a damaged file.
    #[error("the ledger cannot be {action}: {why}")]
    Failed {
        /// `read` or `written`.
        action: &'static str,
        /// The database's own words.
        why: String,
    },
}
