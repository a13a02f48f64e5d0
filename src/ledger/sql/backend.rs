//! What differs between the databases.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use super::driver::{Connection, Fault, Session, Transaction, Value, values};
use super::lookup::look_up_one;
use super::statements::{self as sql, Write};
#[cfg(feature = "postgres")]
use crate::ledger::postgres::Postgres;
use crate::ledger::quota::{MOST_LATE, Pace, micros};
use crate::ledger::sqlite::Sqlite;
use crate::ledger::{Found, Query};

pub(in crate::ledger) enum Backend {
    Sqlite(Sqlite),
    #[cfg(feature = "postgres")]
    Postgres(Postgres),
}

/// The same of either engine.
macro_rules! either {
    ($backend:expr, $engine:ident => $work:expr) => {
        match $backend {
            Backend::Sqlite($engine) => $work,
            #[cfg(feature = "postgres")]
            Backend::Postgres($engine) => $work,
        }
    };
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
        either!(self, engine => engine.read().await)
    }

    /// What is known of a question.
    pub(super) async fn lookup(&self, query: Query<'_>) -> Result<Option<Found>, Fault> {
        match self {
            Self::Sqlite(engine) => {
                let mut session = engine.read().await?;
                look_up_one(&mut session.connection(), query, engine.now()).await
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(engine) => engine.lookup(query).await,
        }
    }

    /// A transaction for writing.
    pub(super) async fn begin(&self) -> Result<Transaction, Fault> {
        either!(self, engine => engine.begin().await)
    }

    /// Marks an attempt as being sent, unless its slot is over: how many rows that changed.
    pub(super) async fn mark_sending(&self, attempt: i64) -> Result<u64, Fault> {
        match self {
            Self::Sqlite(engine) => {
                engine.check_owner()?;
                let earliest = engine.now().saturating_sub(micros(MOST_LATE));
                self.write(&sql::MARK_SENDING, values![attempt, earliest]).await
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => {
                let values = values![attempt, micros(MOST_LATE)];
                self.write(&sql::MARK_SENDING_BY_SERVER, values).await
            }
        }
    }

    /// A write that is a transaction of its own: how many rows the last of its parts changed.
    pub(super) async fn write(
        &self,
        write: &'static Write,
        values: &[Value<'_>],
    ) -> Result<u64, Fault> {
        match self {
            Self::Sqlite(engine) => {
                let mut transaction = engine.begin().await?;
                let changed = transaction.connection().write(write, values).await?;
                transaction.commit().await?;
                Ok(changed)
            }
            // The commit is part of the statement's answer.
            #[cfg(feature = "postgres")]
            Self::Postgres(engine) => {
                engine.for_writing().await?.connection().write(write, values).await
            }
        }
    }

    /// A transaction that no other of its kind runs beside, and its owner's name.
    #[cfg_attr(not(feature = "postgres"), expect(unused_variables, reason = "for PostgreSQL"))]
    pub(super) async fn begin_reserving(
        &self,
        identity: &str,
    ) -> Result<(Transaction, String), Fault> {
        match self {
            Self::Sqlite(engine) => {
                engine.check_owner()?;
                Ok((engine.begin().await?, engine.owner_name().to_owned()))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(engine) => engine.begin_reserving(identity).await,
        }
    }

    pub(super) async fn read_clock(&self) -> Result<i64, Fault> {
        let mut session = self.read().await?;
        let mut ledger = session.connection();
        Ok(self.read_clock_and_pace(&mut ledger, NO_ACCOUNT).await?.0.now)
    }

    /// The clock, the last attempt, and the account's pace.
    pub(super) async fn read_clock_and_pace(
        &self,
        ledger: &mut Connection<'_>,
        account: &str,
    ) -> Result<(Reading, i64, Pace), Fault> {
        match self {
            Self::Sqlite(engine) => {
                let reading = read_both_clocks(|| engine.now());
                let (last,) = ledger.one(sql::READ_LAST_ATTEMPT, values![]).await?;
                let pace: Option<(i64, i64)> =
                    ledger.optional(sql::READ_PACE, values![account]).await?;
                Ok((reading, last, pace.map(Pace::from).unwrap_or_default()))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(engine) => engine.read_clock_and_pace(ledger, account).await,
        }
    }

    /// About what the clock says. Microseconds since 1970.
    pub(super) fn now(&self) -> i64 {
        either!(self, engine => engine.now())
    }

    /// Whether the owner of that name is gone.
    pub(super) async fn is_gone(&self, owner: &str) -> Result<bool, Fault> {
        let gone = self.gone(HashSet::from([owner.to_owned()])).await?;
        Ok(!gone.is_empty())
    }

    /// Which of these owners are gone.
    pub(super) async fn gone(&self, owners: HashSet<String>) -> Result<HashSet<String>, Fault> {
        either!(self, engine => engine.gone(owners).await)
    }

    /// Tidies up behind owners that are gone, once nothing is theirs any more.
    pub(super) fn clear_owners(&self) -> Result<(), Fault> {
        match self {
            Self::Sqlite(engine) => engine.clear_owners(),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Ends all connections, each after what it is doing.
    pub(super) async fn close(&self) {
        either!(self, engine => engine.close().await)
    }

    pub(in crate::ledger) fn is_read_only(&self) -> bool {
        either!(self, engine => engine.is_read_only())
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
    pub(in crate::ledger) fn patience(&self) -> Duration {
        match self {
            Self::Sqlite(_) => Duration::ZERO,
            #[cfg(feature = "postgres")]
            Self::Postgres(engine) => engine.patience(),
        }
    }
}

/// This machine's two clocks, at one moment. A process that is held up between the two would send as much
/// before its slot: it reads them again.
fn read_both_clocks(now: impl Fn() -> i64) -> Reading {
    loop {
        let here = Instant::now();
        let now = now();
        if here.elapsed() < AT_ONCE {
            return Reading { here, now, uncertainty: Duration::ZERO };
        }
    }
}

/// A part of the margin that the spacing has.
const AT_ONCE: Duration = Duration::from_millis(5);

/// Where no account's pace is asked for.
const NO_ACCOUNT: &str = "";

#[cfg(feature = "postgres")]
const HORIZON: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_held_up_between_two_clocks_reads_them_again() {
        let reads = std::cell::Cell::new(0);
        let reading = read_both_clocks(|| {
            reads.set(reads.get() + 1);
            if reads.get() == 1 {
                std::thread::sleep(AT_ONCE);
            }
            reads.get()
        });
        assert!(reading.now > 1, "the first two were not of one moment");
    }
}
