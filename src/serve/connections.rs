//! Connections: how many, how long, and how they end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, sink};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::answer::{error_json, own_request_id};
use super::router::router;
use super::server::Server;
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
    let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let refusals = Arc::new(Semaphore::new(MOST_REFUSALS));
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
            // Out of file descriptors, or the peer is gone already: a busy loop cures neither.
            sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let socket = Socket::new(stream);
        if let Ok(permit) = Arc::clone(&connections).try_acquire_owned() {
            let (app, ending) = (app.clone(), ending.clone());
            tasks.spawn(async move {
                let _permit = permit;
                connection(socket, app, ending, timing).await;
            });
        } else if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
            tasks.spawn(async move {
                let _permit = permit;
                refuse(socket, StatusCode::SERVICE_UNAVAILABLE, TOO_MANY).await;
            });
        }
    }
    drop(listener);
    server.stop.interrupt();
    ending.cancel();
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    let _ = timeout(grace, all_ended).await;
}

/// One connection until its end.
async fn connection(socket: Socket, app: Router, ending: CancellationToken, timing: Timing) {
    let mut stream = TimeoutStream::new(socket.clone());
    stream.set_write_timeout(Some(timing.most_blocked));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timing.head_within)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(app));
    let mut hung_up = pin!(socket.clone().hung_up(LOOK_EVERY));
    let mut is_ending = false;
    let ended = loop {
        tokio::select! {
            biased;
            () = ending.cancelled(), if !is_ending => {
                is_ending = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            ended = &mut connection => break ended,
            // What is done for a client that hung up ends with its connection.
            () = &mut hung_up => return,
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
            refuse(socket, StatusCode::REQUEST_TIMEOUT, why).await;
        }
        Err(_) if parts.read_buf.starts_with(HTTP_2) => {
            let status = StatusCode::HTTP_VERSION_NOT_SUPPORTED;
            refuse(socket, status, NOT_HTTP_1).await;
        }
        _ => finish(socket).await,
    }
}

/// Says why there is no answer, where the HTTP library says nothing.
async fn refuse(mut socket: Socket, status: StatusCode, (code, message): (&str, &str)) {
    let id = own_request_id();
    tracing::info!(id, status = status.as_u16(), "request_done");
    let body = error_json(code, message, &id);
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = timeout(FAREWELL, socket.write_all(answer.as_bytes())).await;
    finish(socket).await;
}

/// Closes a connection so that its last answer arrives: the system resets one that has bytes which the
/// server did not read.
async fn finish(mut socket: Socket) {
    let farewell = async {
        socket.shutdown().await?;
        copy(&mut socket.take(MOST_DRAINED), &mut sink()).await
    };
    let _ = timeout(FAREWELL, farewell).await;
}

const MOST_CONNECTIONS: usize = 1_024;
const LONGEST_HEAD: usize = 16 * 1_024;

const ACCEPT_AGAIN: Duration = Duration::from_millis(10);
/// How often a connection with bytes that the server does not read yet is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a connection that is closed may take its last answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// Connections beyond the most that are told so, at a time.
const MOST_REFUSALS: usize = 64;
const MOST_DRAINED: u64 = 2 * 1_024 * 1_024;

/// How a client begins that takes HTTP/2 for granted (RFC 9113, section 3.4).
const HTTP_2: &[u8] = b"PRI * HTTP/2.0";

const TOO_MANY: (&str, &str) =
    ("Preflight.Busy", "at most 1024 connections must be open, found more; ask again");
const NOT_HTTP_1: (&str, &str) =
    ("Preflight.NotServed", "the protocol must be HTTP/1.1, found HTTP/2 without TLS");
