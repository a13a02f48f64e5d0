//! What is not for the gate goes on to the service: headers, body and answer as they come, nothing
//! held back, nothing sent again.

use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONNECTION, EXPECT, HOST, HeaderMap, HeaderName};
use axum::http::{StatusCode, response};
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use url::Url;

use super::answer::Refusal;
use super::token;
use crate::detect::Service;
use crate::net::http_error::describe;
use crate::net::{ConfigError, tls};

/// The service behind the server.
pub(super) struct Upstream {
    http: reqwest::Client,
    /// Where paths of the base URL's API begin.
    api: String,
    /// Where all others do.
    root: String,
}

impl Upstream {
    pub(super) fn new(service: &Service) -> Result<Self, ConfigError> {
        let endpoint = service.endpoint.as_str();
        let api = endpoint.strip_suffix(ENDPOINT).unwrap_or(endpoint).to_owned();
        let root = match api.strip_suffix(API) {
            Some(root) => root.to_owned(),
            None => service.endpoint.origin().ascii_serialization(),
        };
        let mut http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .connect_timeout(CONNECT_WITHIN)
            .tls_backend_preconfigured(tls::config(&[b"http/1.1"], &[])?);
        if service.is_on_loopback() {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| {
            ConfigError::Option(format!("cannot set up the client that passes on: {error}"))
        })?;
        Ok(Self { http, api, root })
    }

    pub(super) async fn forward(&self, request: Request) -> Result<Response, Refusal> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        if head.uri.scheme().is_some() {
            let message = "the target must be a path, found another: this is no proxy";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "InvalidParameter", message));
        }
        let url = self.url_of(path)?;
        strip_hop_by_hop(&mut head.headers);
        for name in [HOST, EXPECT, HeaderName::from_static(token::HEADER)] {
            head.headers.remove(name);
        }
        let sent = self
            .http
            .request(head.method, url)
            .headers(head.headers)
            .body(reqwest::Body::wrap(Forwarded(Mutex::new(body))))
            .send()
            .await;
        let answer = sent.map_err(|error| {
            // An error's own text names the URL.
            let why = std::error::Error::source(&error).map_or_else(String::new, describe);
            let message = format!("the service must answer, found none: {why}");
            Refusal::new(StatusCode::BAD_GATEWAY, "Preflight.NoAnswer", message)
        })?;
        let (mut head, body) = axum::http::Response::from(answer).into_parts();
        strip_hop_by_hop(&mut head.headers);
        Ok(joined(head, Body::new(body)))
    }

    fn url_of(&self, path: &str) -> Result<Url, Refusal> {
        let whole = match path.strip_prefix(API) {
            Some(rest) if rest.is_empty() || rest.starts_with(['/', '?']) => {
                format!("{}{rest}", self.api)
            }
            _ => format!("{}{path}", self.root),
        };
        Url::parse(&whole).map_err(|error| {
            let message = format!("the path must be one of a URL: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, "InvalidParameter", message)
        })
    }
}

fn joined(head: response::Parts, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// Takes out what is for the next hop alone (RFC 9110, section 7.6.1).
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// A body on its way on. Behind a mutex for the client, which shares what it never uses at once.
struct Forwarded(Mutex<Body>);

impl HttpBody for Forwarded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let body = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        Pin::new(body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

const CONNECT_WITHIN: Duration = Duration::from_secs(10);

const API: &str = "/api/v1";
const ENDPOINT: &str = "/services/aigc/image2video/face-detect";
