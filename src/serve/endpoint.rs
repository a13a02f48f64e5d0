//! The vendor's endpoint: which requests are for the gate, and what they ask.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;

use super::answer::{self, Refusal};
use super::server::Server;
use crate::report::Fields;
use crate::run::Source;

/// Whatever has no route of its own: the endpoint, what is passed on, and what nobody serves.
pub(super) async fn any(State(server): State<Arc<Server>>, request: Request) -> Response {
    let path = request.uri().path();
    if request.method() != Method::CONNECT && !is_canonical(path) {
        let message = "the path must be in its canonical form (RFC 3986, 6.2.2): nothing encoded that need \
                       not be, no empty or dot segments, no `;`, no control characters; found another";
        return bad("InvalidParameter", message).into_response();
    }
    if is_it(path) {
        return detect(&server, request).await.unwrap_or_else(Refusal::about_an_image);
    }
    pass_on(&server, request).await
}

async fn pass_on(server: &Server, request: Request) -> Response {
    if request.method() == Method::CONNECT {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let refusal = Refusal::new(status, "Preflight.NotServed", "this is no proxy");
        return refusal.into_response();
    }
    let Some(upstream) = &server.upstream else {
        return Refusal::new(
            StatusCode::NOT_FOUND,
            "Preflight.NotServed",
            "this server must be asked for emo-detect-v1's face-detect alone; start it with \
             --pass-through to have everything else passed on to the service",
        )
        .into_response();
    };
    if server.gives_token_away(request.headers()) {
        return Refusal::new(
            StatusCode::UNAUTHORIZED,
            "Preflight.Unauthorized",
            "what is passed on must have the caller's own key in Authorization and this server's token \
             in x-emo-preflight-token alone, found it elsewhere",
        )
        .into_response();
    }
    server.metrics.count_passed_on();
    upstream.forward(request).await.unwrap_or_else(Refusal::into_response)
}

/// Whether a path is the endpoint's, below whatever base.
pub(super) fn is_it(path: &str) -> bool {
    path.trim_end_matches('/').to_ascii_lowercase().ends_with(PATH)
}

/// Whether a path has one spelling only (RFC 3986, 6.2.2): nothing on its way to the service can take it
/// for another path than is judged here, and have it paid for unbooked. What is encoded stands for
/// nothing that could end a path or part it.
fn is_canonical(path: &str) -> bool {
    let Ok(plain) = percent_decode_str(path).decode_utf8() else { return false };
    let is_segment = |text: &str| !matches!(text, "" | "." | "..") && text.trim() == text;
    let segments = plain.strip_prefix('/').map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    let has_one = |all: &str| all.split('/').all(is_segment);
    (path == "/" || segments.is_some_and(has_one))
        && !plain.contains(|c: char| c.is_control() || "\\%?#;".contains(c))
        && utf8_percent_encode(&plain, &NEVER_PLAIN).to_string() == path
}

async fn detect(server: &Server, request: Request) -> Result<Response, Refusal> {
    if request.method() != Method::POST {
        let message = format!("the method must be POST, found {}", request.method());
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(Refusal::new(status, "Preflight.NotServed", message));
    }
    let (head, body) = request.into_parts();
    let body = server.whole(body).await?;
    let gated = &server.gate.service().model;
    match model_of(&body)?.as_deref() {
        // As the least careful reader would take it.
        Some(model) if plain(model).eq_ignore_ascii_case(&plain(gated)) => {}
        Some(_) if server.upstream.is_some() => {
            return Ok(pass_on(server, rejoined(head, body)).await);
        }
        Some(_) => {
            let message = format!(
                "the model must be {gated}; start this server with --pass-through to have others \
                 passed on to the service"
            );
            return Err(Refusal::new(StatusCode::NOT_FOUND, "Preflight.NotServed", message));
        }
        None => return Err(bad("BadRequest.EmptyModel", "the request must name its model")),
    }
    let source = parse(&head.headers, &body)?.source(&head.headers)?;
    Ok(match server.gate.ask(source, &server.stop.child()).await {
        Some(checked) => {
            server.metrics.count(&checked.report);
            answer::of(checked)
        }
        None => return Err(Refusal::stopped()),
    })
}

fn rejoined(head: Parts, body: Bytes) -> Request {
    Request::from_parts(head, Body::from(body))
}

/// The documented request (vendor page). What it says beyond that is passed over; what it says twice is
/// an error, for the service might read the other.
#[derive(Deserialize)]
struct Call {
    input: Option<Input>,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
struct Input {
    image_url: Option<String>,
}

#[derive(Deserialize)]
struct Parameters {
    ratio: Option<String>,
}

fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Call, Refusal> {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case("application/json") {
        return Err(bad("InvalidParameter", "the Content-Type must be application/json"));
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(bad("InvalidParameter", "the body must not be compressed"));
    }
    serde_json::from_slice(body).map_err(malformed)
}

/// The model of any request to this path; none where it names none.
fn model_of(body: &[u8]) -> Result<Option<String>, Refusal> {
    #[derive(Deserialize)]
    struct Named {
        model: Option<String>,
    }
    // Serde would read an array as the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(bad("InvalidParameter", "the body must be a JSON object"));
    }
    let all: Fields = serde_json::from_slice(body).map_err(malformed)?;
    // Some readers of JSON take `Model` and `_model` for the same.
    let is_model = |name: &str| plain(name).replace(['_', '-'], "").eq_ignore_ascii_case("model");
    if all.names().any(|name| name != "model" && is_model(name)) {
        let message = "the model must be named once, as model, found another spelling too";
        return Err(bad("InvalidParameter", message));
    }
    let Named { model } = serde_json::from_slice(body).map_err(malformed)?;
    Ok(model.filter(|model| !plain(model).is_empty()))
}

/// A text without what nobody sees.
fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).collect()
}

fn malformed(error: serde_json::Error) -> Refusal {
    bad("InvalidParameter", format!("the body must be the documented request: {error}"))
}

impl Call {
    fn source(self, headers: &HeaderMap) -> Result<Source, Refusal> {
        // The service answers so too.
        if headers.contains_key("x-dashscope-async") {
            let message = "this endpoint must be called without X-DashScope-Async";
            return Err(Refusal::new(StatusCode::FORBIDDEN, "AccessDenied", message));
        }
        let url = self.input.and_then(|input| input.image_url).filter(|url| !url.is_empty());
        let url = url
            .ok_or_else(|| bad("BadRequest.EmptyInput", "the request must have input.image_url"))?;
        let parameters = self.parameters.ok_or_else(|| {
            bad("BadRequest.EmptyParameters", "the request must have parameters.ratio")
        })?;
        let ratio = parameters.ratio.unwrap_or_default();
        let ratio = ratio.parse().map_err(|error: crate::rules::UnknownRatio| {
            bad("InvalidParameter.Ratio", error.to_string())
        })?;
        Ok(Source::url(url).ratio(ratio).index(0))
    }
}

fn bad(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, code, message)
}

const PATH: &str = "/services/aigc/image2video/face-detect";

/// What a path holds encoded only (RFC 3986, 3.3).
const NEVER_PLAIN: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling_or_none() {
        for (path, expected) in [
            ("/", true),
            ("/api/v1/services/aigc/image2video/face-detect", true),
            ("/api/v1/services/aigc/image2video/face-detect/", true),
            ("/api/v1/tasks/7~a_b.c:d@e!$&'()*+,=", true),
            ("/api/v1/files/a%20b%E5%A4%B4", true),
            ("/api/v1/...", true),
            ("", false),
            ("*", false),
            ("api/v1", false),
            ("//", false),
            ("//api/v1/x", false),
            ("/api//v1", false),
            ("/api/v1//", false),
            ("/api/./v1", false),
            ("/api/../v1", false),
            ("/api/v1/..", false),
            ("/api/%2e/v1", false),
            ("/api/%2E%2E/v1", false),
            ("/api/.%2e/v1", false),
            ("/api/..;/v1", false),
            ("/api/v1;x=1", false),
            ("/api/v1%3Bx", false),
            ("/face%2Ddetect", false),
            ("/f%61ce", false),
            ("/face%252Ddetect", false),
            ("/face%25252Ddetect", false),
            ("/face%2525252Ddetect", false),
            ("/api%2Fv1", false),
            ("/api%2fv1", false),
            ("/api%5Cv1", false),
            ("/api\\v1", false),
            ("/api%3Fv1", false),
            ("/api%23v1", false),
            ("/v1%00", false),
            ("/v1%0A", false),
            ("/v1%7F", false),
            ("/v1%C2%85", false),
            ("/v1%20", false),
            ("/v1%E3%80%80", false),
            ("/v1%e5%a4%b4", false),
            ("/v1%C0%AF", false),
            ("/v1%", false),
            ("/v1%4", false),
            ("/v1%zz", false),
            ("/v1/a b", false),
            ("/v1/头", false),
            ("/v1/a|b", false),
            ("/v1/\"a\"", false),
            ("/v1/[a]", false),
        ] {
            assert_eq!(is_canonical(path), expected, "{path}");
        }
    }
}
