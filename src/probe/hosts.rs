//! Courtesy to origins: how many requests one host gets at a time, and how long it asked to be
//! left alone (`Retry-After`, RFC 9110, section 10.2.3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// What is known of the hosts in use. A host nobody uses is forgotten.
pub(super) struct Hosts {
    per_host: usize,
    known: Mutex<HashMap<String, Arc<Host>>>,
}

/// What is known of one host.
pub(super) struct Host {
    pub(super) name: String,
    places: Arc<Semaphore>,
    /// When it may be asked again, and how long it had asked to be left alone.
    not_before: Mutex<Option<(Instant, Duration)>>,
}

impl Hosts {
    pub(super) fn new(per_host: usize) -> Self {
        // No semaphore takes more.
        Self { per_host: per_host.min(Semaphore::MAX_PERMITS), known: Mutex::default() }
    }

    pub(super) fn named(&self, name: &str) -> Arc<Host> {
        let mut known = locked(&self.known);
        if let Some(host) = known.get(name) {
            return Arc::clone(host);
        }
        if known.len() >= FORGET_FROM {
            let now = Instant::now();
            known.retain(|_, host| {
                let is_in_use = Arc::strong_count(host) > 1;
                is_in_use || host.not_before().is_some_and(|(until, _)| until > now)
            });
        }
        let host = Arc::new(Host {
            name: name.to_owned(),
            places: Arc::new(Semaphore::new(self.per_host)),
            not_before: Mutex::default(),
        });
        known.insert(name.to_owned(), Arc::clone(&host));
        host
    }
}

impl Host {
    /// Waits for a place.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed; without a permit the request is merely not counted.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Waits until it wants to be asked again. If that takes longer than `patience`, does not wait
    /// and says what Retry-After it had sent: else it would hold up all that comes behind, batch
    /// after batch.
    pub(super) async fn until_welcome(&self, patience: Duration) -> Result<(), Duration> {
        let mut begun = None;
        while let Some((until, asked)) = self.not_before() {
            let now = Instant::now();
            if until <= now {
                break;
            }
            if until.saturating_duration_since(*begun.get_or_insert(now)) > patience {
                return Err(asked);
            }
            tokio::time::sleep_until(until).await;
        }
        Ok(())
    }

    /// It asked not to be bothered for `wait`, of which at most a minute is granted.
    pub(super) fn leave_alone(&self, wait: Duration) {
        let until = Instant::now() + wait.min(LONGEST_WAIT);
        let mut not_before = locked(&self.not_before);
        *not_before = not_before.max(Some((until, wait)));
    }

    fn not_before(&self) -> Option<(Instant, Duration)> {
        *locked(&self.not_before)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Memory must not grow with the number of hosts met.
const FORGET_FROM: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_that_nobody_needs_are_forgotten() {
        let hosts = Hosts::new(1);
        let used = hosts.named("used");
        hosts.named("unwelcoming").leave_alone(LONGEST_WAIT);
        for number in 0..5 * FORGET_FROM {
            hosts.named(&number.to_string());
            assert!(locked(&hosts.known).len() <= FORGET_FROM);
        }
        assert!(Arc::ptr_eq(&used, &hosts.named("used")));
        assert!(hosts.named("unwelcoming").not_before().is_some());
        drop(used);
        for number in 0..FORGET_FROM {
            hosts.named(&number.to_string());
        }
        assert!(!locked(&hosts.known).contains_key("used"));
    }
}
