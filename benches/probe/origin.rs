//! An HTTP/1.1 origin on loopback that counts what it hands over, and can be made as slow as a
//! network is.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};

use crate::files::Picture;

/// How an origin behaves.
#[derive(Clone, Copy)]
pub(crate) struct Manners {
    /// Whether it knows ranges; one that does not sends the whole file whatever is asked.
    pub(crate) ranges: bool,
    /// Whether bodies come at `PACE`, in pieces of `PIECE`.
    pub(crate) paced: bool,
    /// What a network would add: one on a connection's first request for TCP's handshake, one on
    /// every request, and one whenever the congestion window is used up.
    pub(crate) round_trip: Duration,
}

impl Manners {
    /// As fast as it can.
    pub(crate) const PLAIN: Self = Self { ranges: true, paced: false, round_trip: Duration::ZERO };
}

/// A running origin; its tasks end with the runtime.
pub(crate) struct Origin {
    address: SocketAddr,
    site: Arc<Site>,
}

struct Site {
    manners: Manners,
    files: HashMap<String, Vec<u8>>,
    requests: AtomicU64,
    bytes: AtomicU64,
    busy: AtomicU64,
}

impl Origin {
    pub(crate) async fn start(manners: Manners, images: &[Picture]) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        if manners.paced {
            // What lies in a large buffer would count as handed over.
            socket.set_send_buffer_size(16 * 1_024)?;
        }
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let listener = socket.listen(1_024)?;
        let address = listener.local_addr()?;
        let files = images.iter().map(|p| (format!("/{}", p.name), p.bytes.clone())).collect();
        let [requests, bytes, busy] = [const { AtomicU64::new(0) }; 3];
        let site = Arc::new(Site { manners, files, requests, bytes, busy });
        let served = Arc::clone(&site);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let site = Arc::clone(&served);
                // A client that hangs up is no failure of ours.
                tokio::spawn(async move { Connection::new(stream, &site).serve().await });
            }
        });
        Ok(Self { address, site })
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    /// Body bytes handed over and requests since it was last asked, once no answer is under way.
    pub(crate) async fn taken(&self) -> (u64, u64) {
        while self.site.busy.load(SeqCst) > 0 {
            sleep(Duration::from_millis(1)).await;
        }
        (self.site.bytes.swap(0, SeqCst), self.site.requests.swap(0, SeqCst))
    }
}

struct Connection<'a> {
    stream: TcpStream,
    site: &'a Site,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// TCP's congestion window.
    window: usize,
}

impl<'a> Connection<'a> {
    fn new(stream: TcpStream, site: &'a Site) -> Self {
        let (inbox, outbox) = (Vec::with_capacity(4_096), Vec::with_capacity(2 * PIECE));
        Self { stream, site, inbox, outbox, window: FIRST_WINDOW }
    }

    async fn serve(mut self) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        let mut delay = self.site.manners.round_trip * 2;
        while let Some(request) = self.next_request().await? {
            self.site.requests.fetch_add(1, SeqCst);
            self.site.busy.fetch_add(1, SeqCst);
            wait(delay).await;
            delay = self.site.manners.round_trip;
            let answered = self.answer(&request).await;
            self.site.busy.fetch_sub(1, SeqCst);
            answered?;
        }
        Ok(())
    }

    /// The head of the next request; `None` when the client has hung up.
    async fn next_request(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.inbox.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = self.inbox.drain(..end + 4).collect();
                return String::from_utf8(head).map(Some).map_err(io::Error::other);
            }
            if self.stream.read_buf(&mut self.inbox).await? == 0 {
                return Ok(None);
            }
        }
    }

    async fn answer(&mut self, request: &str) -> io::Result<()> {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let Some(file) = self.site.files.get(path) else {
            return self
                .stream
                .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                .await;
        };
        let asked = self.site.manners.ranges.then(|| range(request, file.len())).flatten();
        let part = asked.clone().unwrap_or(0..file.len());
        let mut head = match asked {
            None => "HTTP/1.1 200 OK\r\n".to_owned(),
            Some(Range { start, end }) => format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{}\r\n",
                end - 1,
                file.len()
            ),
        };
        head += &format!("Content-Length: {}\r\nETag: \"{:x}\"\r\n\r\n", part.len(), file.len());
        self.send(head.as_bytes(), &file[part]).await
    }

    async fn send(&mut self, head: &[u8], mut body: &[u8]) -> io::Result<()> {
        let Manners { paced, round_trip, .. } = self.site.manners;
        let begun = Instant::now();
        let mut room = self.window.saturating_sub(head.len());
        let mut sent = 0;
        self.outbox.clear();
        self.outbox.extend(head);
        while !body.is_empty() {
            let mut piece = if paced { PIECE } else { 16 * PIECE };
            if paced {
                sleep_until(begun + Duration::from_secs_f64(sent as f64 / PACE)).await;
            }
            if !round_trip.is_zero() {
                if room == 0 {
                    wait(round_trip).await;
                    self.window = (2 * self.window).min(LAST_WINDOW);
                    room = self.window;
                }
                piece = piece.min(room);
            }
            let (now, later) = body.split_at(piece.min(body.len()));
            self.outbox.extend(now);
            self.stream.write_all(&self.outbox).await?;
            self.outbox.clear();
            self.site.bytes.fetch_add(now.len() as u64, SeqCst);
            room = room.saturating_sub(now.len());
            sent += now.len();
            body = later;
        }
        Ok(())
    }
}

/// Sleeps to the microsecond. tokio's timers are up to two milliseconds late, which a network is not.
async fn wait(span: Duration) {
    if span.is_zero() {
        return;
    }
    let end = Instant::now() + span;
    sleep(span.saturating_sub(Duration::from_millis(2))).await;
    while Instant::now() < end {
        tokio::task::yield_now().await;
    }
}

/// The one range that a request asks for, if the file has it.
fn range(request: &str, length: usize) -> Option<Range<usize>> {
    let lines = request.lines().filter_map(|line| line.split_once(": "));
    let (_, value) = lines.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("range"))?;
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse::<usize>().ok()?);
    (first < length && first <= last).then(|| first..length.min(last + 1))
}

/// Bytes a second, and in one write.
const PACE: f64 = 2_000.0 * 1_024.0;
const PIECE: usize = 4 * 1_024;

/// RFC 6928: ten segments of 1,460 bytes.
const FIRST_WINDOW: usize = 14_600;
const LAST_WINDOW: usize = 4 * 1_024 * 1_024;
