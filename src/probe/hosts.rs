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
    not_before: Option<Instant>,
}

impl Hosts {
    pub(super) fn new(per_host: usize) -> Self {
        Self { per_host, known: Mutex::default() }
    }

    /// Waits for a place at `host`, and until it wants to be asked again.
    pub(super) async fn enter(&self, host: &str) -> Option<OwnedSemaphorePermit> {
        let places = self.with(host, |host| Arc::clone(&host.places));
        // The semaphore is never closed; without a permit the request is merely not counted.
        let permit = places.acquire_owned().await.ok();
        while let Some(until) = self.with(host, |host| host.not_before) {
            if until <= Instant::now() {
                break;
            }
            tokio::time::sleep_until(until).await;
        }
        permit
    }

    /// `host` asked not to be bothered for `wait`, of which at most a minute is granted.
    pub(super) fn leave_alone(&self, host: &str, wait: Duration) {
        let until = Instant::now() + wait.min(LONGEST_WAIT);
        self.with(host, |host| host.not_before = host.not_before.max(Some(until)));
    }

    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Host) -> T) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= FORGET_FROM && !known.contains_key(name) {
            let now = Instant::now();
            known.retain(|_, host| {
                Arc::strong_count(&host.places) > 1 || host.not_before.is_some_and(|t| t > now)
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
