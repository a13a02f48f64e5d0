//! What all requests to one server share, and who may ask.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, StatusCode};
use tokio::sync::Semaphore;

use super::answer::Refusal;
use super::body::whole;
use super::metrics::Metrics;
use super::pass_through::Upstream;
use super::timing::Timing;
use super::token::ServerToken;
use crate::gate::Preflight;
use crate::run::{RunOptions, Stop};

pub(super) struct Server {
    pub(super) gate: Preflight,
    /// The server's end.
    pub(super) stop: Stop,
    pub(super) upstream: Option<Upstream>,
    pub(super) token: Option<ServerToken>,
    pub(super) on_loopback: bool,
    pub(super) run: RunOptions,
    pub(super) timing: Timing,
    /// One for each source of a stream that is under way, or whose report the client has not taken yet.
    pub(super) places: Arc<Semaphore>,
    pub(super) metrics: Metrics,
}

impl Server {
    /// Whether a caller may ask.
    pub(super) fn admits(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        match &self.token {
            // The rest of a head may come while the server ends.
            _ if self.stop.is_over() => Err(Refusal::stopped()),
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

    /// A whole body; a refusal where the server ends before it is there.
    pub(super) async fn whole(&self, body: Body) -> Result<Bytes, Refusal> {
        let reading = whole(body, self.timing.body_within);
        self.stop.unless_interrupted(reading).await.unwrap_or_else(|| Err(Refusal::stopped()))
    }

    /// Whether a request that is passed on would give this server's token away.
    pub(super) fn gives_token_away(&self, headers: &HeaderMap) -> bool {
        self.token.as_ref().is_some_and(|token| token.is_elsewhere_in(headers))
    }
}
