//! `/v1/check` and `/v1/probe`: the program's JSON, of one source or of a stream of them.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};

use super::answer::{self, Refusal};
use super::body::{BrokenOff, Places, sources};
use super::request_log::{Sent, Told};
use super::server::Server;
use crate::report::{Fields, Report};
use crate::rules::AspectRatio;
use crate::run::{Source, line};

#[derive(Clone, Copy)]
enum Stage {
    /// The local stage alone.
    Probe,
    /// With the paid call.
    Check,
}

pub(super) async fn check(State(server): State<Arc<Server>>, request: Request) -> Response {
    answer(server, request, Stage::Check).await
}

pub(super) async fn probe(State(server): State<Arc<Server>>, request: Request) -> Response {
    answer(server, request, Stage::Probe).await
}

async fn answer(server: Arc<Server>, request: Request, stage: Stage) -> Response {
    if let Some(media_type) = media_type_of_lines(request.headers()) {
        return many(server, request.into_body(), stage, media_type);
    }
    match one(&server, request.into_body(), stage).await {
        Ok(report) => {
            server.metrics.count(&report);
            answer::of_report(&report)
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn one(server: &Server, body: Body, stage: Stage) -> Result<Report, Refusal> {
    let body = server.whole(body).await?;
    let fields: Fields = serde_json::from_slice(&body).map_err(|error| {
        let message = format!(
            "the body must be a JSON object with image_url, or JSON Lines with the Content-Type \
             {LINES}: {}",
            line::json_error(&error)
        );
        Refusal::new(StatusCode::BAD_REQUEST, "InvalidParameter", message)
    })?;
    let ratio = AspectRatio::default();
    let source: Source = line::object(fields, "the body", String::new, ratio).index(0);
    let report = match stage {
        Stage::Check => {
            let checked = server.gate.ask(source, &server.stop.child()).await;
            checked.map(|checked| checked.report)
        }
        Stage::Probe => server.stop.unless_interrupted(server.gate.probe().check(source)).await,
    };
    report.ok_or_else(Refusal::stopped)
}

/// Reports come as they are done, and sources are taken as reports are.
fn many(server: Arc<Server>, body: Body, stage: Stage, media_type: &'static str) -> Response {
    let broken_off = BrokenOff::default();
    let (stop, options) = (server.stop.child(), server.run.clone());
    let places = Places::of(Arc::clone(&server.places));
    let sources = sources(body, broken_off.clone(), stop.clone(), Arc::clone(&places));
    let run = match stage {
        Stage::Check => server.gate.run_under(stop, sources, options),
        Stage::Probe => server.gate.probe().run_under(stop, sources, options),
    };
    let sent = Arc::new(Sent::default());
    let told = Told::stream(Arc::clone(&sent));
    let ends = server.stop.clone();
    let lines = run.map(move |report| {
        places.give_back();
        server.metrics.count(&report);
        sent.count(&report);
        let mut line = serde_json::to_vec(&report)?;
        line.push(b'\n');
        Ok(Bytes::from(line))
    });
    // Without its proper end nobody takes it for the whole.
    let end = stream::once(async move {
        let why = broken_off.why().map(str::to_owned);
        why.or_else(|| ends.is_over().then(|| "the server ends".to_owned())).map(io::Error::other)
    });
    let end = end.filter_map(|broken| std::future::ready(broken.map(Err)));
    let mut response = Response::new(Body::from_stream(lines.chain(end)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.extensions_mut().insert(told);
    response
}

/// The name by which the caller calls JSON Lines, if it sends them.
fn media_type_of_lines(headers: &HeaderMap) -> Option<&'static str> {
    let sent = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    ALL_LINES.into_iter().find(|name| name.eq_ignore_ascii_case(sent))
}

const LINES: &str = "application/x-ndjson";
const ALL_LINES: [&str; 4] =
    [LINES, "application/jsonl", "application/jsonlines", "application/x-jsonlines"];
