//! Which handler answers.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use super::answer::Refusal;
use super::endpoint;
use super::reports;
use super::request_log::LogLine;
use super::server::Server;

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
    match tokio::time::timeout(HEALTH_WITHIN, server.gate.try_ledger()).await {
        Ok(Ok(())) => {
            ([(CONTENT_TYPE, "application/json")], r#"{"ledger":"reachable"}"#).into_response()
        }
        Ok(Err(error)) => refuse(error.to_string()),
        Err(_) => refuse(format!(
            "the ledger must answer within {HEALTH_WITHIN:?}, found no answer; no call leaves meanwhile"
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

/// A client waits for a second, mostly.
const HEALTH_WITHIN: Duration = Duration::from_millis(900);

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
