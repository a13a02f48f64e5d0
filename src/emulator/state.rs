//! What the emulator knows: images, scripts, the rate window, the ledger.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use url::{Host, Url};

use super::fate::Fate;
use super::picture::Picture;

/// One POST as it arrived at the endpoint; see [`Emulator::received`](super::Emulator::received).
///
/// For an example see [the module](super).
#[derive(Clone)]
#[non_exhaustive]
pub struct Received {
    /// When the last byte of the request had arrived.
    pub arrived: Instant,
    /// The method: always `POST`.
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// Names in lower case and values, in the order of the request. The API key is among them;
    /// `Debug` leaves it out.
    pub headers: Vec<(String, String)>,
    /// The body; a JSON string of the text when it was not JSON.
    pub body: Value,
    /// `input.image_url` of the body, if it was there.
    pub image_url: Option<String>,
    /// The HTTP status; `None` when the connection was reset instead, and while the image is judged.
    pub status: Option<u16>,
    /// Whether the call was billed.
    pub billed: bool,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(name, value): &(String, String)| match name.as_str() {
            "authorization" => (name.clone(), "…".to_owned()),
            _ => (name.clone(), value.clone()),
        };
        let Self { arrived, method, path, headers, body, image_url, status, billed } = self;
        f.debug_struct("Received")
            .field("arrived", arrived)
            .field("method", method)
            .field("path", path)
            .field("headers", &headers.iter().map(shown).collect::<Vec<_>>())
            .field("body", body)
            .field("image_url", image_url)
            .field("status", status)
            .field("billed", billed)
            .finish()
    }
}

/// What the builder was told.
pub(super) struct Config {
    pub(super) address: SocketAddr,
    pub(super) api_key: Option<String>,
    pub(super) model: String,
    pub(super) rps: Option<u32>,
    pub(super) fetch_timeout: Duration,
    pub(super) forgiving: bool,
}

/// Shared by the handle and by every task.
pub(super) struct State {
    pub(super) config: Config,
    pub(super) decoders: Arc<Semaphore>,
    ledger: Mutex<Ledger>,
    tasks: Mutex<JoinSet<()>>,
}

/// An image with its validator.
pub(super) struct Exhibit {
    pub(super) image: Picture,
    pub(super) etag: String,
}

/// A call's place in the ledger.
pub(super) struct Ticket {
    pub(super) request_id: String,
    pub(super) within_rate: bool,
    image: Option<Key>,
    received: Option<usize>,
}

/// What an image goes by in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Served here: the path, without query.
    Here(String),
    /// Served by somebody else: the whole URL.
    Elsewhere(String),
}

/// Counters of the whole emulator or of one image.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) billed: u64,
    pub(super) fetches: u64,
}

#[derive(Default)]
struct Ledger {
    total: Counts,
    answers: u64,
    arrivals: VecDeque<Instant>,
    slots: HashMap<Key, Slot>,
    received: Vec<Received>,
    unscripted: Vec<String>,
}

#[derive(Default)]
struct Slot {
    /// `None` for an image elsewhere.
    exhibit: Option<Arc<Exhibit>>,
    fates: VecDeque<Fate>,
    counts: Counts,
}

impl State {
    pub(super) fn new(config: Config) -> Self {
        Self {
            config,
            decoders: Arc::new(Semaphore::new(DECODERS)),
            ledger: Mutex::default(),
            tasks: Mutex::default(),
        }
    }

    /// Runs a task for as long as the emulator lives, whatever becomes of the connection.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    pub(super) fn stop(&self) {
        lock(&self.tasks).abort_all();
    }

    /// A place for an image; what was there keeps its counters and fates.
    pub(super) fn serve(&self, key: Key, image: Option<Picture>) {
        let exhibit = image.map(|image| {
            let etag = image.etag();
            Arc::new(Exhibit { image, etag })
        });
        lock(&self.ledger).slots.entry(key).or_default().exhibit = exhibit;
    }

    pub(super) fn script(&self, key: &Key, fates: impl IntoIterator<Item = Fate>) {
        // The caller's iterator runs before the lock is taken: it may use the emulator itself.
        let fates: Vec<Fate> = fates.into_iter().collect();
        let mut ledger = lock(&self.ledger);
        match ledger.slots.get_mut(key) {
            Some(slot) => slot.fates.extend(fates),
            None => {
                ledger.unscripted.push(format!("fates for {key}, an image of another emulator"))
            }
        }
    }

    /// The image of a path; counted as a fetch unless the emulator itself asks.
    pub(super) fn exhibit(&self, path: &str, own: bool) -> Option<Arc<Exhibit>> {
        let mut ledger = lock(&self.ledger);
        let slot = ledger.slots.get_mut(&Key::Here(path.to_owned()))?;
        slot.counts.fetches += u64::from(!own);
        slot.exhibit.clone()
    }

    pub(super) fn serves(&self, path: &str) -> bool {
        let key = Key::Here(path.to_owned());
        lock(&self.ledger).slots.contains_key(&key)
    }

    /// An image's key by its URL.
    pub(super) fn key(&self, url: &Url) -> Key {
        let own = self.config.address;
        let host = match url.host() {
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip) == own.ip(),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip) == own.ip(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if host && url.port_or_known_default() == Some(own.port()) {
            Key::Here(url.path().to_owned())
        } else {
            Key::Elsewhere(url.to_string())
        }
    }

    /// Notes the arrival of a call, in the rate window too.
    pub(super) fn arrive(&self, received: Received) -> Ticket {
        let url = received.image_url.as_deref().map(Url::parse);
        let image = url.and_then(Result::ok).map(|url| self.key(&url));
        let mut ledger = lock(&self.ledger);
        ledger.total.calls += 1;
        ledger.answers += 1;
        let request_id = request_id(ledger.answers);
        let within_rate =
            self.config.rps.is_none_or(|limit| window(&mut ledger.arrivals, limit, Instant::now()));
        if let Some(slot) = image.as_ref().and_then(|key| ledger.slots.get_mut(key)) {
            slot.counts.calls += 1;
        }
        let place = (!self.config.forgiving).then(|| {
            ledger.received.push(received);
            ledger.received.len() - 1
        });
        Ticket { request_id, within_rate, image, received: place }
    }

    /// The fate of a call by its image. `None` when the URL names this emulator, which serves no such
    /// image.
    pub(super) fn next_fate(&self, ticket: &Ticket) -> Option<Fate> {
        let key = ticket.image.as_ref()?;
        match lock(&self.ledger).slots.get_mut(key) {
            Some(slot) => Some(slot.fates.pop_front().unwrap_or_else(Fate::judge)),
            None => matches!(key, Key::Elsewhere(_)).then(Fate::judge),
        }
    }

    /// Notes how a call ended, before a byte of the answer leaves.
    pub(super) fn settle(&self, ticket: &Ticket, status: Option<u16>, billed: bool) {
        let mut ledger = lock(&self.ledger);
        if billed {
            ledger.total.billed += 1;
            if let Some(slot) = ticket.image.as_ref().and_then(|key| ledger.slots.get_mut(key)) {
                slot.counts.billed += 1;
            }
        }
        if let Some(received) = ticket.received.and_then(|place| ledger.received.get_mut(place)) {
            received.status = status;
            received.billed = billed;
        }
    }

    /// An id for an answer outside the endpoint.
    pub(super) fn fresh_id(&self) -> String {
        let mut ledger = lock(&self.ledger);
        ledger.answers += 1;
        request_id(ledger.answers)
    }

    /// Notes what no test scripted.
    pub(super) fn complain(&self, what: String) {
        if !self.config.forgiving {
            lock(&self.ledger).unscripted.push(what);
        }
    }

    pub(super) fn totals(&self) -> Counts {
        lock(&self.ledger).total
    }

    pub(super) fn counts_of(&self, key: &Key) -> Counts {
        let ledger = lock(&self.ledger);
        ledger.slots.get(key).map_or_else(Counts::default, |slot| slot.counts)
    }

    pub(super) fn received(&self) -> Vec<Received> {
        lock(&self.ledger).received.clone()
    }

    pub(super) fn unscripted(&self) -> Vec<String> {
        lock(&self.ledger).unscripted.clone()
    }

    /// Per image, how many fates were never taken; sorted.
    pub(super) fn untaken(&self) -> Vec<(String, usize)> {
        let ledger = lock(&self.ledger);
        let left = ledger.slots.iter().filter(|(_, slot)| !slot.fates.is_empty());
        let mut left: Vec<_> =
            left.map(|(key, slot)| (key.to_string(), slot.fates.len())).collect();
        left.sort();
        left
    }
}

impl fmt::Display for Key {
    /// Without what may be secret in a URL: userinfo and query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(path) => f.write_str(path),
            Self::Elsewhere(url) => match Url::parse(url) {
                Ok(url) => write!(f, "{}{}", url.host_str().unwrap_or_default(), url.path()),
                Err(_) => f.write_str("an image elsewhere"),
            },
        }
    }
}

/// Whether a call at `now` is among the first `limit` of the second that ends with it.
///
/// Refused calls stay in the window too. Only the last `limit` arrivals can matter.
fn window(arrivals: &mut VecDeque<Instant>, limit: u32, now: Instant) -> bool {
    let limit = limit as usize;
    let full = arrivals.len() >= limit;
    let recent =
        arrivals.front().is_none_or(|&oldest| now.saturating_duration_since(oldest) < SECOND);
    let allowed = limit > 0 && !(full && recent);
    arrivals.push_back(now);
    while arrivals.len() > limit {
        arrivals.pop_front();
    }
    allowed
}

/// Looks like the service's ids, and is the same in every run.
fn request_id(number: u64) -> String {
    format!("c56f62df-724e-9c19-96bd-{:012x}", number & 0xffff_ffff_ffff)
}

/// A task that panicked while it held the lock leaves counters that are still worth reading.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const SECOND: Duration = Duration::from_secs(1);

/// Images decoded at a time: the largest the service takes is 200 MB when decoded.
const DECODERS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides_and_counts_the_refused() {
        let start = Instant::now();
        let mut arrivals = VecDeque::new();
        for (at, limit, allowed) in [
            (0, 2, true),
            (100, 2, true),
            (999, 2, false),
            (1_000, 2, false),
            (1_998, 2, false),
            (2_000, 2, true),
            (2_999, 2, true),
            (4_000, 2, true),
        ] {
            let now = start + Duration::from_millis(at);
            assert_eq!(window(&mut arrivals, limit, now), allowed, "at {at} ms");
        }
        assert!(arrivals.len() <= 2);
        assert!(!window(&mut VecDeque::new(), 0, start));
    }
}
