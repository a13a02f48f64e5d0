//! What differs between the databases.

use std::time::Duration;

use tokio::time::Instant;

use super::driver::{Connection, Fault, Session, Transaction};
#[cfg(feature = "postgres")]
use crate::ledger::postgres::Postgres;
use crate::ledger::sqlite::Sqlite;

pub(in crate::ledger) enum Backend {
    Sqlite(Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(Postgres),
}

/// The ledger's clock, as it was read.
pub(in crate::ledger) struct Reading {
    /// The moment of this machine that it was read at.
    pub(in crate::ledger) here: Instant,
    /// Microseconds since 1970.
    pub(in crate::ledger) now: i64,
    /// How far from `here` it may have been read.
    pub(in crate::ledger) uncertainty: Duration,
}

impl Backend {
    /// A connection for reading.
    pub(super) async fn read(&self) -> Result<Session, Fault> {
        match self {
            Self::Sqlite(engine) => engine.read().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(engine) => engine.read().await,
        }
    }

    /// A transaction for writing.
    pub(super) async fn begin(&self) -> Result<Transaction, Fault> {
        match self {
            Self::Sqlite(engine) => engine.begin().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(engine) => engine.begin().await,
        }
    }

    /// A transaction that no other of its kind runs beside, and its owner's name.
    pub(super) async fn begin_reserving(
        &self,
        identity: &str,
    ) -> Result<(Transaction, String), Fault> {
        match self {
            Self::Sqlite(engine) => Ok((engine.begin().await?, engine.owner_name().to_owned())),
            #[cfg(feature = "postgres")]
            Self::Postgres(engine) => engine.begin_reserving(identity).await,
        }
    }

    /// The clock, read for a slot.
    pub(super) async fn read_clock(&self, ledger: &mut Connection<'_>) -> Result<Reading, Fault> {
        match self {
            Self::Sqlite(engine) => {
                // In this order: stopped between the two, a process finds its slot over, not yet to
                // come.
                let here = Instant::now();
                Ok(Reading { here, now: engine.now(), uncertainty: Duration::ZERO })
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(engine) => engine.read_clock(ledger).await,
        }
    }

    /// About what the clock says. Microseconds since 1970.
    pub(super) fn now(&self) -> i64 {
        match self {
            Self::Sqlite(engine) => engine.now(),
            #[cfg(feature = "postgres")]
            Self::Postgres(engine) => engine.now(),
        }
    }

    /// Whether the owner of that name is gone.
    pub(super) async fn is_gone(&self, owner: &str) -> Result<bool, Fault> {
        match self {
            Self::Sqlite(engine) => engine.is_gone(owner),
            #[cfg(feature = "postgres")]
            Self::Postgres(engine) => engine.is_gone(owner).await,
        }
    }

    /// Tidies up behind owners that are gone, once nothing is theirs any more.
    pub(super) fn clear_owners(&self) -> Result<(), Fault> {
        match self {
            Self::Sqlite(engine) => engine.clear_owners(),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Ok(()),
        }
    }

    pub(super) fn is_read_only(&self) -> bool {
        match self {
            Self::Sqlite(engine) => engine.is_read_only(),
            #[cfg(feature = "postgres")]
            Self::Postgres(engine) => engine.is_read_only(),
        }
    }

    /// See [`Ledger::horizon`](crate::ledger::Ledger::horizon).
    pub(in crate::ledger) fn horizon(&self) -> Option<Duration> {
        match self {
            Self::Sqlite(_) => None,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Some(HORIZON),
        }
    }

    /// How long what may pass is waited for.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Sqlite(_) => Duration::ZERO,
            #[cfg(feature = "postgres")]
            Self::Postgres(engine) => engine.patience(),
        }
    }
}

#[cfg(feature = "postgres")]
const HORIZON: Duration = Duration::from_secs(2);
