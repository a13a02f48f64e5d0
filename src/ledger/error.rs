//! Why a ledger cannot be used.

use std::fmt;

/// Why the ledger cannot be used.
///
/// For an example see [`Ledger`](crate::Ledger).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The ledger cannot be opened: someone has to mend the path, the file or the disk.
    #[error("cannot open the ledger {path}: {why}")]
    Open {
        /// The file.
        path: String,
        /// What was found and what to do.
        why: String,
    },
    /// The ledger was written by another version of this crate.
    #[error(
        "the ledger {path} must have schema version {known}, found {found}: {}",
        if found > known { UPDATE } else { START_OVER }
    )]
    Version {
        /// The file.
        path: String,
        /// The version found.
        found: i64,
        /// The only version that this crate reads.
        known: i64,
    },
    /// The ledger's file was copied or mounted without the folder of its processes' locks:
    /// [`Ledger::adopt`](crate::Ledger::adopt) goes on with a copy.
    #[error(
        "the ledger {path} must come with its folder {folder}, found {found}: mount or copy the two \
         together, from one place"
    )]
    Separated {
        /// The file.
        path: String,
        /// The folder that belongs beside it.
        folder: String,
        /// What is there: `none`, or `another ledger's`.
        found: &'static str,
    },
    /// A read or write failed: a full disk, a lock held for too long, a damaged file.
    #[error("the ledger cannot be {action}: {why}")]
    Failed {
        /// What was being done.
        action: LedgerAction,
        /// The database's own words.
        why: String,
    },
}

/// What a ledger was asked to do.
///
/// For an example see [`Ledger`](crate::Ledger).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LedgerAction {
    /// To say what it knows.
    Read,
    /// To write down a reservation or an outcome.
    Write,
}

impl fmt::Display for LedgerAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "written",
        })
    }
}

const UPDATE: &str = "a newer version of this program wrote it, update this one";
const START_OVER: &str = "it is from before the first release, move it away and start a new one";
