//! An HTTP/2 origin that does what a test tells it to.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::authority::Authority;
use super::front::Front;
use crate::common::{Request, in_time};

/// What is done about one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// The part asked for.
    Part(Vec<u8>),
    /// The part asked for, as the last thing on this connection: GOAWAY comes before it.
    Last(Vec<u8>),
    /// The file from its first byte, whatever was asked, and filler without end.
    Endless(Vec<u8>),
    /// An answer without a body.
    Bare(u16, &'static [(&'static str, &'static str)]),
    /// RST_STREAM before any answer.
    Reset(Reason),
    /// The head of a 200, and then RST_STREAM.
    ResetBehindHead(Reason),
    /// GOAWAY, and the connection ends.
    GoAway(Reason),
    /// Nothing, on a connection that is otherwise alive.
    Silence,
    /// Nothing any more on this connection, which stays open.
    Death,
    /// The head of a 206 and so many bytes of the part asked for, and then [`Reply::Death`].
    DeathInBody(Vec<u8>, usize),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<Request>,
    /// DATA bytes that the windows of each endless answer let out before it was reset.
    pub(crate) aborted: Vec<usize>,
}

type Script = dyn Fn(&Request) -> Reply + Send + Sync;

struct Shared {
    script: Box<Script>,
    seen: Mutex<Seen>,
    changed: Notify,
}

/// A listening HTTP/2 origin; it ends when dropped.
pub(crate) struct Http2 {
    pub(crate) front: Front,
    shared: Arc<Shared>,
}

impl Http2 {
    pub(crate) async fn start<F>(authority: &Authority, script: F) -> Self
    where
        F: Fn(&Request) -> Reply + Send + Sync + 'static,
    {
        let shared = Arc::new(Shared {
            script: Box::new(script),
            seen: Mutex::default(),
            changed: Notify::new(),
        });
        let talking = Arc::clone(&shared);
        let front =
            Front::start(authority.acceptor(|m| m.alpn = &["h2"]), move |stream, number| {
                talk(stream, number, Arc::clone(&talking))
            })
            .await;
        Self { front, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.front.url(path)
    }

    pub(crate) fn seen(&self) -> Seen {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The number of the connection that each request came on.
    pub(crate) fn connections(&self) -> Vec<usize> {
        self.seen().requests.iter().map(|request| request.connection).collect()
    }

    /// Waits until so many endless answers have been reset.
    pub(crate) async fn until_aborted(&self, times: usize) -> Seen {
        let wait = async {
            loop {
                let changed = self.shared.changed.notified();
                let seen = self.seen();
                if seen.aborted.len() >= times {
                    return seen;
                }
                changed.await;
            }
        };
        in_time("the end of all streams", wait).await
    }
}

async fn talk(stream: TlsStream<TcpStream>, connection: usize, shared: Arc<Shared>) {
    let mut builder = server::Builder::new();
    // The peer's windows are to say how much is sent, and nothing of ours.
    builder.max_send_buffer_size(64 * 1_024 * 1_024);
    let Ok(mut http) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, respond))) = http.accept().await {
        let request = shared.note(&request, connection);
        let reply = (shared.script)(&request);
        match reply {
            Reply::Death => std::future::pending().await,
            Reply::GoAway(reason) => http.abrupt_shutdown(reason),
            Reply::Last(_) => http.graceful_shutdown(),
            _ => {}
        }
        let dies = matches!(reply, Reply::DeathInBody(..));
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // The peer may end a stream at any moment.
            let _ = shared.answer(reply, &request, respond).await;
        });
        if dies {
            // What is said first is to leave.
            let _ = timeout(Duration::from_millis(100), http.accept()).await;
            std::future::pending().await
        }
    }
}

impl Shared {
    fn note(&self, request: &http::Request<RecvStream>, connection: usize) -> Request {
        let headers = request.headers().iter();
        let mut seen = self.seen.lock().unwrap();
        let request = Request {
            method: request.method().to_string(),
            path: request.uri().path_and_query().unwrap().to_string(),
            headers: headers
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect(),
            index: seen.requests.len(),
            connection,
            at: Instant::now(),
        };
        seen.requests.push(request.clone());
        request
    }

    async fn answer(
        &self,
        reply: Reply,
        request: &Request,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        match reply {
            Reply::Part(file) | Reply::Last(file) => {
                let (head, part) = part(request, &file);
                respond.send_response(head, false)?.send_data(part, true)?;
            }
            Reply::DeathInBody(file, length) => {
                let (head, part) = part(request, &file);
                respond.send_response(head, false)?.send_data(part.slice(..length), false)?;
            }
            Reply::Endless(start) => {
                let head = Response::builder().header("content-length", 1_u64 << 40);
                let mut body = respond.send_response(head.body(()).unwrap(), false)?;
                let mut sent = 0;
                loop {
                    body.reserve_capacity(1 << 20);
                    let granted = std::future::poll_fn(|cx| body.poll_capacity(cx)).await;
                    let Some(Ok(granted)) = granted else { break };
                    let mut piece = start.get(sent..).unwrap_or_default().to_vec();
                    piece.resize(granted, 0);
                    body.send_data(piece.into(), false)?;
                    sent += granted;
                }
                self.seen.lock().unwrap().aborted.push(sent);
                self.changed.notify_waiters();
            }
            Reply::Bare(status, headers) => {
                let mut head = Response::builder().status(status);
                for (name, value) in headers {
                    head = head.header(*name, *value);
                }
                respond.send_response(head.body(()).unwrap(), true)?;
            }
            Reply::Reset(reason) => respond.send_reset(reason),
            Reply::ResetBehindHead(reason) => {
                respond.send_response(Response::new(()), false)?.send_reset(reason);
            }
            Reply::Silence => {
                std::future::poll_fn(|cx| respond.poll_reset(cx)).await?;
            }
            Reply::GoAway(_) | Reply::Death => {}
        }
        Ok(())
    }
}

fn part(request: &Request, file: &[u8]) -> (Response<()>, Bytes) {
    let (first, last) = request.range().unwrap();
    let last = last.min(file.len() - 1);
    let range = format!("bytes {first}-{last}/{}", file.len());
    let head = Response::builder().status(206).header("content-range", range);
    (head.body(()).unwrap(), Bytes::copy_from_slice(&file[first..=last]))
}

/// Waits for a request, answers it with GOAWAY (RFC 9113, section 6.8) saying that it was not
/// looked at, and leaves the connection open.
pub(crate) async fn refuse_by_goaway(mut stream: TlsStream<TcpStream>, reason: Reason) {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const PREFACE: usize = 24;
    const HEADERS: u8 = 1;
    stream.write_all(&SETTINGS).await.unwrap();
    stream.read_exact(&mut [0; PREFACE]).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        stream.read_exact(&mut vec![0; usize::try_from(length).unwrap()]).await.unwrap();
        if head[3] == HEADERS {
            break;
        }
    }
    let mut goaway = vec![0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    goaway.extend(u32::from(reason).to_be_bytes());
    stream.write_all(&goaway).await.unwrap();
    stream.flush().await.unwrap();
    while stream.read(&mut [0; 1_024]).await.is_ok_and(|length| length > 0) {}
}
