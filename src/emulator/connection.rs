//! Connections: accepting, routing, and ending them well or badly.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::server::conn::http1;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::fate::{JSON, Transport};
use super::reply::{Reply, status_of};
use super::state::State;
use super::{download, endpoint, judge};

/// Accepts until its task is aborted.
pub(super) async fn run(listener: TcpListener, state: Arc<State>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => state.spawn(connection(stream, Arc::clone(&state))),
            // Out of file descriptors, or the peer is gone already: neither is cured by a busy loop.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<State>) {
    // A small answer must not wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request| handle(Arc::clone(&state), request));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service);
    let Err(error) = (&mut connection).await else {
        return;
    };
    if matches!(error.source().and_then(|source| source.downcast_ref()), Some(Fault::Reset)) {
        // With a linger of zero the close that follows sends RST in place of FIN.
        let _ = connection.into_parts().io.into_inner().set_zero_linger();
    }
}

async fn handle(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, Fault>>, Fault> {
    let reply = route(state, request).await;
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    if reply.transport == Transport::Reset {
        return Err(Fault::Reset);
    }
    Ok(response(reply))
}

async fn route(state: Arc<State>, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if head.method == Method::POST && path == endpoint::PATH {
        let Ok(body) = Limited::new(body, MAX_REQUEST).collect().await else {
            return error(&state, 400, "InvalidParameter", "the body is incomplete or too long");
        };
        let (answered, answer) = oneshot::channel();
        let ledger = Arc::clone(&state);
        // Its own task: a client that hangs up must not undo a call that the service would bill.
        state.spawn(async move {
            let reply = endpoint::call(&ledger, head, body.to_bytes()).await;
            let _ = answered.send(reply);
        });
        return match answer.await {
            Ok(reply) => reply,
            Err(_) => error(&state, 500, "InternalError", "the emulator failed"),
        };
    }
    if head.method == Method::GET {
        let agent = head.headers.get(USER_AGENT).map(HeaderValue::as_bytes);
        let own = agent == Some(judge::AGENT.as_bytes());
        if let Some(exhibit) = state.exhibit(path, own) {
            return download::answer(&exhibit.image, &exhibit.etag, &head.headers);
        }
    } else if state.serves(path) {
        state.complain(format!("{} {path}: images are served to GET only", head.method));
        let mut reply = error(&state, 405, "MethodNotAllowed", "images are served to GET only");
        reply.headers.push(("allow", "GET".to_owned()));
        return reply;
    }
    state.complain(format!("{} {path}: nobody serves this path", head.method));
    error(&state, 404, "NotFound", "nobody serves this path")
}

fn error(state: &State, status: u16, code: &str, message: &str) -> Reply {
    let body = json!({"code": code, "message": message, "request_id": state.fresh_id()});
    Reply::new(status, JSON, Bytes::from(body.to_string()))
}

fn response(reply: Reply) -> Response<UnsyncBoxBody<Bytes, Fault>> {
    let length = reply.body.len();
    let whole = reply.transport != Transport::CutOff;
    let body = if whole {
        Full::new(reply.body).map_err(|never| match never {}).boxed_unsync()
    } else {
        let half = Frame::data(reply.body.slice(..length / 2));
        let parts = stream::unfold(Some(half), |half| async move {
            match half {
                Some(half) => Some((Ok(half), None)),
                None => {
                    // Gives the connection a turn to flush the half before the error ends it.
                    tokio::time::sleep(FLUSH).await;
                    Some((Err(Fault::CutOff), None))
                }
            }
        });
        StreamBody::new(parts).boxed_unsync()
    };
    let mut response = Response::new(body);
    *response.status_mut() = status_of(reply.status);
    let headers = response.headers_mut();
    if !whole {
        // At least one byte is promised and withheld.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length.max(1)));
    }
    if let Ok(content_type) = HeaderValue::try_from(reply.content_type) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// How a connection ends that was scripted to end badly.
#[derive(Debug, thiserror::Error)]
enum Fault {
    /// Without an answer.
    #[error("scripted reset")]
    Reset,
    /// In the middle of one.
    #[error("scripted end inside the body")]
    CutOff,
}

/// Bytes of a request's body.
const MAX_REQUEST: usize = 1024 * 1024;

const FLUSH: Duration = Duration::from_millis(5);
