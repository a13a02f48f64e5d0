//! Where the ledger is: the `--ledger` option.

use std::path::PathBuf;

use anyhow::Context as _;

use crate::cli::args::LedgerArguments;
use crate::cli::text;
use crate::{Ledger, LedgerError};

/// A place for a ledger.
pub(super) enum Place {
    Memory,
    File(PathBuf),
}

impl LedgerArguments {
    pub(super) fn place(&self) -> anyhow::Result<Place> {
        match self.ledger.as_deref() {
            Some("none") => Ok(Place::Memory),
            Some(":memory:") => {
                anyhow::bail!(
                    "the ledger must be a path or none, found :memory: (none is in memory)"
                )
            }
            Some("") => anyhow::bail!("the ledger must be a path or none, found an empty text"),
            // Not repeated: it may have a password in it.
            Some(url) if url.contains("://") => {
                anyhow::bail!(
                    "this build keeps its ledger in SQLite files only: the ledger must be a path or \
                     none, found a URL"
                )
            }
            Some(path) => Ok(Place::File(path.into())),
            None => dirs::state_dir()
                .or_else(dirs::data_local_dir)
                .map(|folder| Place::File(folder.join("emo-preflight").join("ledger.db")))
                .context("no home directory to keep the ledger in: give --ledger PATH or none"),
        }
    }
}

impl Place {
    /// Opens the ledger for writing and says on stderr where it is.
    pub(super) async fn open(&self) -> Result<Ledger, LedgerError> {
        match self {
            Self::Memory => {
                text::tell("ledger: none (in memory: what is paid for is forgotten at the end)");
                Ok(Ledger::in_memory())
            }
            Self::File(path) => {
                let ledger = Ledger::open(path).await?;
                text::tell(format_args!("ledger: {}", path.display()));
                Ok(ledger)
            }
        }
    }

    /// Opens the ledger for reading; none where there is none yet.
    pub(super) async fn open_read_only(&self) -> Result<Option<Ledger>, LedgerError> {
        match self {
            Self::Memory => Ok(None),
            Self::File(path) => Ledger::open_read_only(path).await,
        }
    }
}
