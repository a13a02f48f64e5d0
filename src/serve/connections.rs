//! Connections: how many, how long, and how they end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use super::answer::{error_json, own_request_id};
use super::body::holding;
use super::router::{Server, router};
use super::socket::Socket;
use super::timing::Timing;

/// Accepts until `shutdown` is done, then lets what is under way end.
pub(super) async fn accept(
    listener: TcpListener,
    server: Arc<Server>,
    grace: Duration,
    shutdown: impl Future<Output = ()> + Send,
) {
    let app = router(Arc::clone(&server));
    let timing = server.timing;
    let connections = Arc::new(Connections::default());
    let farewells = Arc::new(Semaphore::new(MOST_FAREWELLS));
    let ending = CancellationToken::new();
    // Dropped with this future, and with them all connections.
    let mut tasks = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, or the peer is gone already: a busy loop cures neither, and an
            // idle connection less may cure the first.
            connections.close_longest_idle();
            sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let stream = Socket::new(stream);
        match connections.admit() {
            Some(place) => {
                tasks.spawn(connection(stream, app.clone(), place, ending.clone(), timing));
            }
            None => {
                let Ok(permit) = Arc::clone(&farewells).try_acquire_owned() else { continue };
                tasks.spawn(async move {
                    let status = StatusCode::SERVICE_UNAVAILABLE;
                    refuse(stream, status, TOO_MANY, timing.farewell).await;
                    drop(permit);
                });
            }
        }
    }
    drop(listener);
    server.stop.interrupt();
    ending.cancel();
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    let _ = timeout(grace, all_ended).await;
}

/// One connection until its end.
async fn connection(
    socket: Socket,
    app: Router,
    place: Place,
    ending: CancellationToken,
    timing: Timing,
) {
    let closed = place.close.clone();
    let place = Arc::new(place);
    let at_work = Arc::clone(&place);
    let service = service_fn(move |request: Request<Incoming>| {
        let busy = Busy::begin(Arc::clone(&at_work));
        let mut app = app.clone();
        async move {
            // A router is always ready.
            let response = app.call(request.map(Body::new)).await?;
            Ok::<_, Infallible>(response.map(|body| holding(body, busy)))
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timing.head_within)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(socket.clone()), service);
    let mut is_ending = false;
    let mut is_watched = false;
    let mut look = interval(timing.look_every);
    look.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let ended = loop {
        tokio::select! {
            biased;
            // Dropping it closes it.
            () = closed.cancelled() => return,
            () = ending.cancelled(), if !is_ending => {
                if place.is_idle() {
                    return;
                }
                is_ending = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            ended = &mut connection => break ended,
            () = place.asked.notified(), if !is_watched => is_watched = true,
            _ = look.tick(), if is_watched => {
                is_watched = !place.is_idle();
                // Dropping it ends what is done for a client that hung up, or that takes nothing.
                if is_watched && socket.is_hung_up() || socket.blocked_for() > timing.most_blocked {
                    return;
                }
            }
        }
    };
    let parts = connection.into_parts();
    match ended {
        // An answer broke off: to clients that take its end for the connection's it must not look whole.
        Err(error) if error.is_user() => socket.reset_on_close(),
        // An idle connection that is closed needs no words.
        Err(error) if error.is_timeout() && !parts.read_buf.is_empty() => {
            let what = format!(
                "the head of a request must arrive within {:?}, found a part of it",
                timing.head_within
            );
            let why = ("Preflight.Timeout", what.as_str());
            refuse(socket, StatusCode::REQUEST_TIMEOUT, why, timing.farewell).await;
        }
        Err(_) if parts.read_buf.starts_with(HTTP_2) => {
            let status = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
            refuse(socket, status, NOT_HTTP_1, timing.farewell).await;
        }
        _ => finish(socket, timing.farewell).await,
    }
}

/// Says why there is no answer, where the HTTP library says nothing.
async fn refuse(
    mut socket: Socket,
    status: StatusCode,
    (code, message): (&str, &str),
    within: Duration,
) {
    let id = own_request_id();
    tracing::info!(id, status = status.as_u16(), "request_done");
    let body = error_json(code, message, &id);
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = timeout(within, socket.write_all(answer.as_bytes())).await;
    finish(socket, within).await;
}

/// Closes a connection so that its last answer arrives: over bytes that nobody read, the system would
/// reset it.
async fn finish(mut socket: Socket, within: Duration) {
    let farewell = async {
        socket.shutdown().await?;
        let mut rest = [0; 4_096];
        let mut left = MOST_DRAINED;
        while left > 0 {
            match socket.read(&mut rest).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        std::io::Result::Ok(())
    };
    let _ = timeout(within, farewell).await;
}

/// All connections that are open.
#[derive(Default)]
struct Connections(Mutex<Open>);

#[derive(Default)]
struct Open {
    next: u64,
    all: HashMap<u64, State>,
}

struct State {
    /// Since when nothing is asked on it; absent while something is.
    idle_since: Option<Instant>,
    close: CancellationToken,
}

impl Connections {
    /// A place for one more; the longest idle one makes room. None when all are at work.
    fn admit(self: &Arc<Self>) -> Option<Place> {
        if self.lock().all.len() >= MOST_CONNECTIONS && !self.close_longest_idle() {
            return None;
        }
        let mut open = self.lock();
        let (id, close) = (open.next, CancellationToken::new());
        open.next += 1;
        let idle_since = Some(Instant::now());
        open.all.insert(id, State { idle_since, close: close.clone() });
        drop(open);
        let asked = Notify::new();
        Some(Place { connections: Arc::clone(self), id, close, asked })
    }

    /// Whether there was one.
    fn close_longest_idle(&self) -> bool {
        let mut open = self.lock();
        let idle = open.all.iter().filter_map(|(id, state)| Some((state.idle_since?, *id)));
        let longest = idle.min().and_then(|(_, id)| open.all.remove(&id));
        if let Some(state) = &longest {
            state.close.cancel();
        }
        longest.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place.
struct Place {
    connections: Arc<Connections>,
    id: u64,
    /// Another needs the place.
    close: CancellationToken,
    /// A request has begun on it.
    asked: Notify,
}

impl Place {
    fn is_idle(&self) -> bool {
        let open = self.connections.lock();
        open.all.get(&self.id).is_none_or(|state| state.idle_since.is_some())
    }

    fn set_idle_since(&self, since: Option<Instant>) {
        if let Some(state) = self.connections.lock().all.get_mut(&self.id) {
            state.idle_since = since;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().all.remove(&self.id);
    }
}

/// A request under way on a connection, until its answer was sent.
struct Busy(Arc<Place>);

impl Busy {
    fn begin(place: Arc<Place>) -> Self {
        place.set_idle_since(None);
        place.asked.notify_one();
        Self(place)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set_idle_since(Some(Instant::now()));
    }
}

const MOST_CONNECTIONS: usize = 1_024;
const LONGEST_HEAD: usize = 16 * 1_024;

const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// Connections that are told why they are closed, at a time.
const MOST_FAREWELLS: usize = 64;
const MOST_DRAINED: usize = 2 * 1_024 * 1_024;

/// How a client begins that takes HTTP/2 for granted (RFC 9113, section 3.4).
const HTTP_2: &[u8] = b"PRI * HTTP/2.0";

const TOO_MANY: (&str, &str) =
    ("Preflight.Busy", "at most 1024 connections must be open, found more; ask again");
const NOT_HTTP_1: (&str, &str) =
    ("Preflight.NotServed", "the protocol must be HTTP/1.1, found HTTP/2 without TLS");
