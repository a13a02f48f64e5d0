//! What this process knows of an account's queue without asking, or by asking without making others
//! wait.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::driver::Fault;
use super::{Reading, SqlLedger};
use crate::ledger::Terms;

/// The accounts' queues, as this process last saw them.
#[derive(Default)]
pub(super) struct Queues(Mutex<HashMap<String, Seen>>);

#[derive(Clone, Copy)]
struct Seen {
    /// From when on the next slot is free at the earliest: others only make it later.
    free: Instant,
    /// That was far ahead.
    was_long: bool,
}

impl Queues {
    pub(super) fn note(&self, account: &str, free: Instant, was_long: bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(account.to_owned(), Seen { free, was_long });
    }

    fn seen(&self, account: &str) -> Option<Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(account).copied()
    }
}

impl SqlLedger {
    /// How far beyond `most` from now the account's next slot is, as far as that can be told without
    /// others having to wait. It is worth a look where the queue was long.
    pub(super) async fn peek_at_queue(&self, most: Duration, terms: &Terms) -> Option<Duration> {
        let seen = self.queues.seen(&terms.account)?;
        let beyond = |free: Instant| {
            free.checked_duration_since(Instant::now() + most).filter(|too_far| !too_far.is_zero())
        };
        if let too_far @ Some(_) = beyond(seen.free) {
            return too_far;
        }
        if !seen.was_long {
            return None;
        }
        // Where it cannot be read, the reservation says why.
        let free = self.read_queue(&terms.account).await.ok()?;
        let too_far = beyond(free);
        self.queues.note(&terms.account, free, too_far.is_some());
        too_far
    }

    /// From when on the next slot is free.
    async fn read_queue(&self, account: &str) -> Result<Instant, Fault> {
        let mut session = self.backend.read().await?;
        let (Reading { here, now, uncertainty }, _, pace) =
            self.backend.read_clock_and_pace(&mut session.connection(), account).await?;
        Ok(here.checked_sub(uncertainty).unwrap_or(here) + pace.wait(now))
    }
}
