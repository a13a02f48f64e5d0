//! An origin server that does exactly what a test tells it to, on loopback.
//!
//! It speaks raw bytes, without an HTTP library: most of what origins do wrong, a library would
//! set right or refuse to send.

// Each test binary uses its own part of this, here and below.
#![allow(dead_code)]

mod answers;
mod images;
pub(crate) mod table;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

#[allow(unused_imports)]
pub(crate) use answers::*;
#[allow(unused_imports)]
pub(crate) use images::*;

/// One thing an origin does on its connection.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Bytes(Vec<u8>),
    /// The bytes in pieces of this length, this long apart.
    Paced(Vec<u8>, usize, Duration),
    /// The same bytes again and again, this long apart, until the peer hangs up.
    Forever(Vec<u8>, Duration),
    Wait(Duration),
    /// Nothing until so many requests have come.
    UntilRequests(usize),
    /// Nothing more until the peer hangs up.
    Hang,
    /// An orderly end.
    Close,
    /// A TCP reset.
    Reset,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Counts the origin's requests from 0.
    pub(crate) index: usize,
    /// Counts the origin's connections from 0.
    pub(crate) connection: usize,
    pub(crate) at: Instant,
}

impl Request {
    fn parse(head: &str, index: usize, connection: usize) -> Self {
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        assert_eq!(first.next(), Some("HTTP/1.1"), "{head}");
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let (method, path) = (method.to_owned(), path.to_owned());
        Self { method, path, headers, index, connection, at: Instant::now() }
    }

    /// The one value of a header; a test that meets two fails.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let value = values.next();
        assert_eq!(values.next(), None, "{name} comes twice");
        value
    }

    /// First and last byte asked for.
    pub(crate) fn range(&self) -> Option<(usize, usize)> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    }

    pub(crate) fn range_length(&self) -> Option<usize> {
        self.range().map(|(first, last)| last + 1 - first)
    }
}

/// What an origin has seen so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<Request>,
    pub(crate) connections: usize,
    /// Connections that the peer ended before the script did.
    pub(crate) hung_up: usize,
    /// Bytes that the kernel took from the origin.
    pub(crate) written: usize,
    /// Requests being answered, now and at most.
    pub(crate) busy: usize,
    pub(crate) busiest: usize,
    open: usize,
    pub(crate) most_open: usize,
}

type Script = dyn Fn(&Request) -> Vec<Step> + Send + Sync;

struct Shared {
    script: Box<Script>,
    seen: Mutex<Seen>,
    changed: Notify,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen());
        self.changed.notify_waiters();
    }

    async fn until(&self, holds: impl Fn(&Seen) -> bool) -> Seen {
        loop {
            let changed = self.changed.notified();
            let seen = self.seen().clone();
            if holds(&seen) {
                return seen;
            }
            changed.await;
        }
    }
}

/// A listening origin; it ends when dropped.
pub(crate) struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Origin {
    /// Listens on 127.0.0.1 and answers each request with what `script` makes of it.
    pub(crate) async fn start<F>(script: F) -> Self
    where
        F: Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
    {
        Self::listen([127, 0, 0, 1].into(), 0, script).await
    }

    pub(crate) async fn start_on<F>(ip: IpAddr, script: F) -> Self
    where
        F: Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
    {
        Self::listen(ip, 0, script).await
    }

    /// Resets the first so many connections as soon as they are made.
    pub(crate) async fn start_slamming<F>(slams: usize, script: F) -> Self
    where
        F: Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
    {
        Self::listen([127, 0, 0, 1].into(), slams, script).await
    }

    async fn listen<F>(ip: IpAddr, slams: usize, script: F) -> Self
    where
        F: Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            seen: Mutex::default(),
            changed: Notify::new(),
        });
        let task = tokio::spawn(accept(listener, slams, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://ADDRESS/` and `path`, which is given without its slash.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Seen {
        self.shared.seen().clone()
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen().requests
    }

    /// Waits until what was seen satisfies `holds`.
    pub(crate) async fn until(&self, holds: impl Fn(&Seen) -> bool) -> Seen {
        in_time("what the origin was to see", self.shared.until(holds)).await
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A test that waits for ever tells nothing.
pub(crate) async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
    waited.unwrap_or_else(|_| panic!("{what} did not happen within 60 s"))
}

/// Waits until something holds that only a look can tell.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time(what, wait).await;
}

/// Tries what must hold of any span of time, with a short one first. What was found wrong counts only if
/// this thread was never held up for a fortieth of the span: else the machine is too slow for it, and
/// a longer one is tried.
pub(crate) async fn in_a_span<T>(mut attempt: impl AsyncFnMut(Duration) -> Result<T, String>) -> T {
    for millis in [300, 1_000, 4_000, 15_000] {
        let span = Duration::from_millis(millis);
        let mut held_up = Duration::ZERO;
        let watch = async {
            loop {
                let begun = Instant::now();
                tokio::time::sleep(Duration::from_millis(2)).await;
                held_up = held_up.max(begun.elapsed());
            }
        };
        let found = tokio::select! {
            found = attempt(span) => found,
            () = watch => unreachable!("it has no end"),
        };
        match found {
            Ok(found) => return found,
            Err(wrong) if held_up * 40 <= span => panic!("within {span:?}: {wrong}"),
            Err(wrong) => println!("held up for {held_up:?} of {span:?}: {wrong}"),
        }
    }
    panic!("this machine stood still for a fortieth of every span");
}

/// Whether to run what needs a quiet machine; else it says that it was not run.
pub(crate) fn is_slow_tier(what: &str) -> bool {
    let runs = std::env::var_os("EMO_PREFLIGHT_SLOW").is_some();
    if !runs {
        println!("NOT RUN: {what} (EMO_PREFLIGHT_SLOW)");
    }
    runs
}

/// A port of 127.0.0.1 where nobody listens and which nobody else gets while the socket lives.
pub(crate) fn refusing_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// A port of 127.0.0.1 where connections hang half made, while what comes with it lives.
pub(crate) async fn hanging_port() -> (impl Sized, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts: once the queue is full, the kernel answers no more.
    let mut waiting = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await
    {
        waiting.push(stream.unwrap());
    }
    ((listener, waiting), address.port())
}

async fn accept(listener: TcpListener, slams: usize, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // An answer in several writes must not wait for acknowledgements.
        stream.set_nodelay(true).unwrap();
        let mut connection = 0;
        shared.change(|seen| {
            connection = seen.connections;
            seen.connections += 1;
            seen.open += 1;
            seen.most_open = seen.most_open.max(seen.open);
        });
        if connection < slams {
            stream.set_zero_linger().unwrap();
            shared.change(|seen| seen.open -= 1);
            continue;
        }
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            serve(stream, connection, &shared).await;
            shared.change(|seen| seen.open -= 1);
        });
    }
}

/// Answers one connection's requests until a side ends it.
async fn serve(mut stream: TcpStream, connection: usize, shared: &Shared) {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            match stream.read_buf(&mut read).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        };
        let head = String::from_utf8(read.drain(..end + 4).collect()).unwrap();
        let mut request = None;
        shared.change(|seen| {
            seen.busy += 1;
            seen.busiest = seen.busiest.max(seen.busy);
            let index = seen.requests.len();
            seen.requests.push(Request::parse(head.trim_end(), index, connection));
            request = seen.requests.last().cloned();
        });
        let steps = (shared.script)(&request.unwrap());
        let mut outcome = Outcome::Next;
        for step in steps {
            outcome = take(&mut stream, step, shared).await;
            if outcome != Outcome::Next {
                break;
            }
        }
        shared.change(|seen| {
            seen.busy -= 1;
            seen.hung_up += usize::from(outcome == Outcome::HungUp);
        });
        if outcome != Outcome::Next {
            return;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Next,
    Ended,
    HungUp,
}

async fn take(stream: &mut TcpStream, step: Step, shared: &Shared) -> Outcome {
    match step {
        Step::Bytes(bytes) => write(stream, &bytes, shared).await,
        Step::Paced(bytes, length, apart) => {
            write_paced(stream, bytes.chunks(length), apart, shared).await
        }
        Step::Forever(bytes, apart) => {
            write_paced(stream, std::iter::repeat(&bytes[..]), apart, shared).await
        }
        Step::Wait(time) => {
            tokio::time::sleep(time).await;
            Outcome::Next
        }
        Step::UntilRequests(count) => {
            shared.until(|seen| seen.requests.len() >= count).await;
            Outcome::Next
        }
        Step::Hang => {
            // Nobody pipelines here: what comes is the end.
            let _ = stream.read(&mut [0; 16]).await;
            Outcome::HungUp
        }
        Step::Close => {
            let _ = stream.shutdown().await;
            Outcome::Ended
        }
        Step::Reset => {
            // What was written must arrive before the reset, which overtakes it.
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.set_zero_linger().unwrap();
            Outcome::Ended
        }
    }
}

async fn write_paced(
    stream: &mut TcpStream,
    pieces: impl Iterator<Item = &[u8]>,
    apart: Duration,
    shared: &Shared,
) -> Outcome {
    let mut pace = tokio::time::interval(apart.max(Duration::from_nanos(1)));
    // What a slow machine missed is not made up for in a burst.
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for piece in pieces {
        if apart.is_zero() {
            // Without this the peer, on the same thread, might never get its turn.
            tokio::task::yield_now().await;
        } else {
            pace.tick().await;
        }
        if write(stream, piece, shared).await != Outcome::Next {
            return Outcome::HungUp;
        }
    }
    Outcome::Next
}

async fn write(stream: &mut TcpStream, mut bytes: &[u8], shared: &Shared) -> Outcome {
    while !bytes.is_empty() {
        match stream.write(bytes).await {
            Ok(0) | Err(_) => return Outcome::HungUp,
            Ok(written) => {
                shared.change(|seen| seen.written += written);
                bytes = &bytes[written..];
            }
        }
    }
    Outcome::Next
}
