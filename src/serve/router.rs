//! Who may ask, and which handler answers.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use super::answer::Refusal;
use super::endpoint;
use super::metrics::Metrics;
use super::pass_through::Upstream;
use super::reports;
use super::request_log::LogLine;
use super::timing::Timing;
use super::token::ServerToken;
use crate::gate::Preflight;
use crate::report::Report;
use crate::run::{RunOptions, Stop};

/// What all requests to one server share.
pub(super) struct Server {
    pub(super) gate: Preflight,
    /// The server's end.
    pub(super) stop: Stop,
    pub(super) upstream: Option<Upstream>,
    pub(super) token: Option<ServerToken>,
    pub(super) on_loopback: bool,
    pub(super) run: RunOptions,
    pub(super) timing: Timing,
    /// One for each source of a stream that is under way, or whose report nobody has taken yet.
    pub(super) places: Arc<Semaphore>,
    pub(super) metrics: Metrics,
}

impl Server {
    /// Whether a caller may ask.
    fn admits(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        match &self.token {
            Some(token) if !token.is_shown_in(headers) => Err(Refusal::new(
                StatusCode::UNAUTHORIZED,
                "Preflight.Unauthorized",
                "the caller must show this server's token, as Authorization: Bearer TOKEN or \
                 x-emo-preflight-token: TOKEN; found none or another",
            )),
            Some(_) => Ok(()),
            // A page in a browser on this machine could spend money in its user's name.
            None if self.on_loopback && headers.contains_key(ORIGIN) => Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "Preflight.Unauthorized",
                "a web page (a request with Origin) must show this server's token, and it has none; \
                 set EMO_PREFLIGHT_TOKEN where it is started",
            )),
            None => Ok(()),
        }
    }

    /// Whether a request that is passed on would give this server's token away.
    pub(super) fn gives_token_away(&self, headers: &HeaderMap) -> bool {
        self.token.as_ref().is_some_and(|token| token.is_elsewhere_in(headers))
    }

    /// Counts a report on its way out.
    pub(super) fn count(&self, report: &Report) {
        self.metrics.count(report);
    }
}

pub(super) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route(CHECK, post(reports::check))
        .route(PROBE, post(reports::probe))
        .route(HEALTH, get(health))
        .route(METRICS, get(metrics))
        .method_not_allowed_fallback(wrong_method)
        .fallback(endpoint::any)
        .layer(from_fn_with_state(Arc::clone(&server), admit))
        .with_state(server)
}

async fn admit(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let line = LogLine::begin(method_of(request.method()), route_of(request.uri().path()));
    line.with(match server.admits(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    })
}

async fn health(State(server): State<Arc<Server>>) -> Response {
    let refuse = |why: String| {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Refusal::new(status, "Preflight.LedgerError", why).into_response()
    };
    let within = server.timing.health_within;
    match tokio::time::timeout(within, server.gate.try_ledger()).await {
        Ok(Ok(())) => {
            ([(CONTENT_TYPE, "application/json")], r#"{"ledger":"reachable"}"#).into_response()
        }
        Ok(Err(error)) => refuse(error.to_string()),
        Err(_) => refuse(format!(
            "the ledger must answer within {within:?}, found no answer; no call leaves meanwhile"
        )),
    }
}

async fn metrics(State(server): State<Arc<Server>>) -> Response {
    ([(CONTENT_TYPE, OPEN_METRICS)], server.metrics.text()).into_response()
}

async fn wrong_method(request: Request) -> Refusal {
    let allowed = match request.uri().path() {
        CHECK | PROBE => "POST",
        _ => "GET",
    };
    let message = format!("the method must be {allowed}, found {}", request.method());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Preflight.NotServed", message)
}

/// Names that a log may hold, whatever a caller sends.
fn method_of(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn route_of(path: &str) -> &'static str {
    match path {
        CHECK => CHECK,
        PROBE => PROBE,
        HEALTH => HEALTH,
        METRICS => METRICS,
        _ if endpoint::is_it(path) => "face-detect",
        _ => "other",
    }
}

const CHECK: &str = "/v1/check";
const PROBE: &str = "/v1/probe";
const HEALTH: &str = "/healthz";
const METRICS: &str = "/metrics";

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
