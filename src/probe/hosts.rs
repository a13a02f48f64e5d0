//! Courtesy to origins: how many requests one host gets at a time, and how long it asked to be
//! left alone (`Retry-After`, RFC 9110, section 10.2.3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What is known of the hosts in use. A host nobody uses is forgotten.
pub(super) struct Hosts {
    per_host: usize,
    known: Mutex<HashMap<String, Host>>,
}

struct Host {
    places: Arc<Semaphore>,
    /// When it may be asked again, and how long it had asked to be left alone.
    not_before: Option<(Instant, Duration)>,
}

impl Hosts {
    pub(super) fn new(per_host: usize) -> Self {
        // No semaphore takes more.
        Self { per_host: per_host.min(Semaphore::MAX_PERMITS), known: Mutex::default() }
    }

    /// Waits for a place at `host`.
    pub(super) async fn enter(&self, host: &str) -> Option<OwnedSemaphorePermit> {
        let places = self.with(host, |host| Arc::clone(&host.places));
        // The semaphore is never closed; without a permit the request is merely not counted.
        places.acquire_owned().await.ok()
    }

    /// Waits until `host` wants to be asked again. If that takes longer than `patience`, does not
    /// wait and says what Retry-After the host had sent: else it would hold up all that comes
    /// behind, batch after batch.
    pub(super) async fn until_welcome(
        &self,
        host: &str,
        patience: Duration,
    ) -> Result<(), Duration> {
        let begun = Instant::now();
        while let Some((until, asked)) = self.with(host, |host| host.not_before) {
            if until <= Instant::now() {
                break;
            }
            if until.saturating_duration_since(begun) > patience {
                return Err(asked);
            }
            tokio::time::sleep_until(until).await;
        }
        Ok(())
    }

    /// `host` asked not to be bothered for `wait`, of which at most a minute is granted.
    pub(super) fn leave_alone(&self, host: &str, wait: Duration) {
        let until = Instant::now() + wait.min(LONGEST_WAIT);
        self.with(host, |host| host.not_before = host.not_before.max(Some((until, wait))));
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Host) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= FORGET_FROM && !known.contains_key(name) {
            let now = Instant::now();
            known.retain(|_, host| {
                Arc::strong_count(&host.places) > 1
                    || host.not_before.is_some_and(|(until, _)| until > now)
            });
        }
        act(known.entry(name.to_owned()).or_insert_with(|| Host {
            places: Arc::new(Semaphore::new(self.per_host)),
            not_before: None,
        }))
    }
}

const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Memory must not grow with the number of hosts met.
const FORGET_FROM: usize = 1_024;
