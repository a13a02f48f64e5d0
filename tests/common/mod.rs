//! An origin server that does exactly what a test tells it to, on loopback.
//!
//! It speaks raw bytes, without an HTTP library: most of what origins do wrong, a library would
//! set right or refuse to send.

// Each test binary uses its own part of this.
#![allow(dead_code)]

pub(crate) mod table;

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// One thing an origin does on its connection.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Bytes(Vec<u8>),
    /// The same bytes again and again, this long apart, until the peer hangs up.
    Forever(Vec<u8>, Duration),
    Wait(Duration),
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
        Self::start_on([127, 0, 0, 1].into(), script).await
    }

    pub(crate) async fn start_on<F>(ip: IpAddr, script: F) -> Self
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
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
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
        let wait = async {
            loop {
                let changed = self.shared.changed.notified();
                let seen = self.seen();
                if holds(&seen) {
                    return seen;
                }
                changed.await;
            }
        };
        in_time("what the origin was to see", wait).await
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A test that waits for ever tells nothing.
pub(crate) async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(Duration::from_secs(10), wait).await;
    waited.unwrap_or_else(|_| panic!("{what} did not happen within 10 s"))
}

/// A port of 127.0.0.1 where nobody listens and which nobody else gets while the socket lives.
pub(crate) fn refusing_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
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
        Step::Forever(bytes, apart) => loop {
            if write(stream, &bytes, shared).await != Outcome::Next {
                return Outcome::HungUp;
            }
            // Without this the peer, on the same thread, might never get its turn.
            tokio::task::yield_now().await;
            if !apart.is_zero() {
                tokio::time::sleep(apart).await;
            }
        },
        Step::Wait(time) => {
            tokio::time::sleep(time).await;
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

// ---- answers

/// A head of these lines, without the body's length.
pub(crate) fn head(status: &str, headers: &[&str]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// A complete answer with a Content-Length.
pub(crate) fn answer(status: &str, headers: &[&str], body: &[u8]) -> Vec<Step> {
    let length = format!("Content-Length: {}", body.len());
    let mut bytes = head(status, &[headers, &[length.as_str()]].concat());
    bytes.extend_from_slice(body);
    vec![Step::Bytes(bytes)]
}

/// An answer without a body.
pub(crate) fn status(status: &str) -> Vec<Step> {
    answer(status, &[], b"")
}

pub(crate) fn redirect(to: &str) -> Vec<Step> {
    answer("302 Found", &[&format!("Location: {to}")], b"")
}

/// The whole file, whatever was asked.
pub(crate) fn whole(file: &[u8]) -> Vec<Step> {
    answer("200 OK", &[], file)
}

/// What a good origin answers: a range, the whole file, or 416.
pub(crate) fn ranged(request: &Request, file: &[u8]) -> Vec<Step> {
    ranged_with(request, file, &[])
}

/// [`ranged`] with further headers.
pub(crate) fn ranged_with(request: &Request, file: &[u8], headers: &[&str]) -> Vec<Step> {
    let Some((first, last)) = request.range() else { return answer("200 OK", headers, file) };
    let total = file.len();
    let last = last.min(total.saturating_sub(1));
    if first >= total {
        let range = format!("Content-Range: bytes */{total}");
        return answer("416 Range Not Satisfiable", &[headers, &[range.as_str()]].concat(), b"");
    }
    let range = format!("Content-Range: bytes {first}-{last}/{total}");
    let headers = [headers, &[range.as_str()]].concat();
    answer("206 Partial Content", &headers, &file[first..=last])
}

/// A body in chunks of at most `length` bytes.
pub(crate) fn chunked(status: &str, headers: &[&str], body: &[u8], length: usize) -> Vec<Step> {
    let mut bytes = head(status, &[headers, &["Transfer-Encoding: chunked"]].concat());
    for chunk in body.chunks(length) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    vec![Step::Bytes(bytes)]
}

// ---- pictures: the header is right, what follows is filler

/// A PNG of `length` bytes, at least 33.
pub(crate) fn png(width: u32, height: u32, length: usize) -> Vec<u8> {
    let mut ihdr = b"IHDR".to_vec();
    ihdr.extend_from_slice(&width.to_be_bytes());
    ihdr.extend_from_slice(&height.to_be_bytes());
    ihdr.extend_from_slice(&[8, 2, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    file.extend_from_slice(&ihdr);
    file.extend_from_slice(&crc_32(&ihdr).to_be_bytes());
    file.resize(length, 0x5a);
    file
}

/// A JPEG whose frame header comes behind segments of `metadata` bytes in all, and then filler up
/// to `length` bytes.
pub(crate) fn jpeg(width: u16, height: u16, metadata: usize, length: usize) -> Vec<u8> {
    let mut file = b"\xff\xd8".to_vec();
    let mut left = metadata;
    while left > 0 {
        // Marker and length take four bytes; no rest may be shorter than that.
        let segment = if left <= 65_537 { left } else { 65_537.min(left - 4) };
        file.extend_from_slice(b"\xff\xed");
        file.extend_from_slice(&u16::try_from(segment - 2).unwrap().to_be_bytes());
        file.resize(file.len() + segment - 4, 0);
        left -= segment;
    }
    file.extend_from_slice(b"\xff\xc0\0\x11\x08");
    file.extend_from_slice(&height.to_be_bytes());
    file.extend_from_slice(&width.to_be_bytes());
    file.extend_from_slice(b"\x03\x01\x22\0\x02\x11\x01\x03\x11\x01");
    file.resize(length.max(file.len()), 0x5a);
    file
}

/// Endless metadata: a segment that announces the next, to be sent for ever behind `FF D8`.
pub(crate) fn app_segment() -> Vec<u8> {
    let mut segment = b"\xff\xed\x04\x00".to_vec();
    segment.resize(2 + 0x400, 0);
    segment
}

/// PNG, Third Edition, annex D.
fn crc_32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}
