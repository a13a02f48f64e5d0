//! What this process knows of an account's queue without asking, or by asking without making others
//! wait.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::driver::Fault;
use super::{Reading, SqlLedger};
use crate::ledger::Terms;

/// From when on an account's next slot is free at the earliest, as this process last saw it, and whether
/// that was a long time ahead. Others only make it later.
#[derive(Default)]
pub(super) struct Queue(Mutex<Option<(String, Instant, bool)>>);

impl Queue {
    pub(super) fn note(&self, account: &str, free: Instant, is_long: bool) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some((account.to_owned(), free, is_long));
    }

    fn known(&self, account: &str) -> Option<(Instant, bool)> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(of, ..)| of == account).map(|(_, free, is_long)| (*free, *is_long))
    }
}

impl SqlLedger {
    /// How far beyond `most` from now the account's next slot is, by what can be known without others
    /// having to wait. It is worth a look where the queue was long.
    pub(super) async fn peek_at_queue(
        &self,
        most: Duration,
        terms: &Terms,
    ) -> Result<Option<Duration>, Fault> {
        let account = &terms.account;
        let Some((free, was_long)) = self.queue.known(account) else { return Ok(None) };
        let beyond = |free: Instant| {
            free.checked_duration_since(Instant::now() + most).filter(|too_far| !too_far.is_zero())
        };
        if let Some(too_far) = beyond(free) {
            return Ok(Some(too_far));
        }
        if !was_long {
            return Ok(None);
        }
        let mut session = self.backend.read().await?;
        let (Reading { here, now, .. }, _, next) =
            self.backend.read_clock_and_pace(&mut session.connection(), account).await?;
        let ahead = next.map_or(0, |next| next.saturating_sub(now));
        let free = here + Duration::from_micros(u64::try_from(ahead).unwrap_or(0));
        let too_far = beyond(free);
        self.queue.note(account, free, too_far.is_some());
        Ok(too_far)
    }
}
