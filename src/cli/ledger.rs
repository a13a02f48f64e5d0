//! Where the ledger is: the `--ledger` option.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use crate::cli::args::LedgerArguments;
use crate::cli::terminal::text;
use crate::{Ledger, LedgerError, LedgerTiming};

/// A place for a ledger.
pub(super) enum Place {
    Memory,
    File(PathBuf),
    /// A PostgreSQL database, by its URL, and how long it is waited for.
    Server(String, Duration),
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
            Some(uri) if uri.starts_with("file:") => {
                anyhow::bail!(
                    "the ledger must be a path, found a file: URI: give the path alone (./file:… for \
                     a file of that name)"
                )
            }
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(Place::Server(url.to_owned(), self.ledger_wait))
            }
            // Not repeated: it may have a password in it.
            Some(url) if url.contains("://") => {
                anyhow::bail!(
                    "the ledger must be a path, a URL as postgres://user@host/database, or none; found \
                     another URL"
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

/// Where it is, without what is secret.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("none"),
            Self::File(path) => path.display().fmt(f),
            Self::Server(url, _) => f.write_str(&Ledger::printable_url(url)),
        }
    }
}

impl Place {
    /// How long it is waited for when it cannot be reached.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Memory | Self::File(_) => Duration::ZERO,
            Self::Server(_, wait) => *wait,
        }
    }

    /// Opens the ledger for `work` and closes it behind that, however it ends.
    pub(super) async fn with_ledger<T>(
        &self,
        timing: LedgerTiming,
        work: impl AsyncFnOnce(Ledger) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let ledger = self.open(timing).await?;
        let done = work(ledger.clone()).await;
        ledger.close().await;
        done
    }

    /// The same, for reading; none where there is no ledger yet.
    pub(super) async fn with_read_only<T>(
        &self,
        work: impl AsyncFnOnce(Option<&Ledger>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let ledger = match self {
            Self::Memory => None,
            Self::File(path) => Ledger::open_read_only(path).await?,
            Self::Server(url, wait) => {
                Ledger::connect_read_only(url, LedgerTiming::default().with_wait(*wait)).await?
            }
        };
        let done = work(ledger.as_ref()).await;
        if let Some(ledger) = ledger {
            ledger.close().await;
        }
        done
    }

    /// Opens the ledger for writing and says on stderr where it is, and whether it is a new one.
    async fn open(&self, timing: LedgerTiming) -> Result<Ledger, LedgerError> {
        let ledger = match self {
            Self::Memory => {
                text::say("ledger: none (in memory: what is paid for is forgotten at the end)");
                return Ok(Ledger::in_memory());
            }
            Self::File(path) => Ledger::open_with(path, timing).await?,
            Self::Server(url, wait) => Ledger::connect_with(url, timing.with_wait(*wait)).await?,
        };
        // One without calls must not pass for the one that was meant.
        match ledger.is_empty().await? {
            true => text::say(format_args!("new ledger: {self}")),
            false => text::say(format_args!("ledger: {self}")),
        }
        Ok(ledger)
    }
}
