//! The vendor's endpoint: which requests are for the gate, and what they ask.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::answer::{self, Refusal};
use super::body::whole;
use super::router::Server;
use crate::report::Fields;
use crate::run::Source;

/// Whatever has no route of its own: the endpoint, what is passed on, and what nobody serves.
pub(super) async fn any(State(server): State<Arc<Server>>, request: Request) -> Response {
    if is_it(request.uri().path()) {
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

/// Whether a path is the endpoint's, in any spelling that the service, or anything on the way, might
/// take for it: what is not told here would be passed on and paid for unbooked.
pub(super) fn is_it(path: &str) -> bool {
    let mut path = path.to_owned();
    for _ in 0..=MOST_DECODED {
        // Some read `?` and `#` that were encoded as the path's end, and some as a part of it.
        let cut = path.split(['?', '#']).next().unwrap_or_default();
        if leads_here(&path) || leads_here(cut) {
            return true;
        }
        path = percent_decode_str(&path).decode_utf8_lossy().into_owned();
    }
    false
}

/// Whether a path's last segments are the endpoint's, dot segments resolved.
fn leads_here(path: &str) -> bool {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split(['/', '\\']) {
        // Some servers take `;…` for parameters of a segment, `..;` too, and `.json` for a wish about
        // the answer.
        let segment = segment.split([';', '?', '#']).next().unwrap_or_default();
        match segment.trim_matches(|c: char| c.is_whitespace() || c.is_control()) {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    let last = segments.iter().rev();
    let name_of = |segment: &str| segment.split('.').next().map(str::to_ascii_lowercase);
    segments.len() >= PATH.len()
        && PATH.iter().rev().zip(last).all(|(name, found)| name_of(found).as_deref() == Some(*name))
}

async fn detect(server: &Server, request: Request) -> Result<Response, Refusal> {
    if request.method() != Method::POST {
        let message = format!("the method must be POST, found {}", request.method());
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(Refusal::new(status, "Preflight.NotServed", message));
    }
    let (head, body) = request.into_parts();
    let body = server
        .stop
        .unless_interrupted(whole(body, server.timing))
        .await
        .ok_or_else(Refusal::stopped)??;
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
            server.count(&checked.report);
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

/// How often a path might be decoded on the way.
const MOST_DECODED: usize = 3;

const PATH: [&str; 4] = ["services", "aigc", "image2video", "face-detect"];

#[cfg(test)]
mod tests {
    use super::is_it;

    #[test]
    fn no_spelling_of_the_path_goes_round_the_gate() {
        for (path, expected) in [
            ("/api/v1/services/aigc/image2video/face-detect", true),
            ("/api/v1/services/aigc/image2video/face-detect/", true),
            ("/api/v1//services/aigc///image2video/face-detect", true),
            ("//api/v1/services/aigc/image2video/face-detect", true),
            ("/api/v1/services/aigc/image2video/face%2Ddetect", true),
            ("/api/v1/services/aigc/image2video/face%252Ddetect", true),
            ("/api/v1/services/aigc/image2video%2Fface-detect", true),
            ("/api/v1/services/aigc/x/../image2video/face-detect", true),
            ("/api/v1/services/aigc/x/%2e%2e/image2video/face-detect", true),
            ("/api/v1/services/aigc/image2video/./face-detect", true),
            ("/api/v1/services/aigc/image2video/Face-Detect", true),
            ("/api/v1/services/aigc/image2video/face-detect;x=1", true),
            ("/api/v1/services/aigc;y/image2video/face-detect/;x", true),
            ("/api/v1\\services\\aigc\\image2video\\face-detect", true),
            ("/services/aigc/image2video/face-detect", true),
            ("/api/v1/x%3F/../services/aigc/image2video/face-detect", true),
            ("/api/v1/x%23/../services/aigc/image2video/face-detect", true),
            ("/api/v1/x%3f/%2e%2e/services/aigc/image2video/face-detect", true),
            ("/api/v1/x%253F/../services/aigc/image2video/face-detect", true),
            ("///[/../api/v1/services/aigc/image2video/face-detect", true),
            ("////services/aigc/image2video/face-detect", true),
            ("/api/v1/services/aigc/x/..;/image2video/face-detect", true),
            ("/api/v1/services/aigc/.;/image2video/face-detect", true),
            ("/api/v1/services/aigc/image2video/face-detect/x/..;/", true),
            ("/api/v1/services/aigc/image2video/face-detect%3Fx", true),
            ("/api/v1/services/aigc/image2video/face-detect.json", true),
            ("/api/v1/services/aigc/image2video/face-detect.", true),
            ("/api/v1/services/aigc/image2video/face-detect%00", true),
            ("/api/v1/services/aigc/image2video/face-detect%20", true),
            ("/api/v1/services/aigc/image2video/aa-detect", false),
            ("/api/v1/services/aigc/image2video/video-synthesis", false),
            ("/api/v1/services/aigc/image2video/face-detect/x", false),
            ("/image2video/face-detect", false),
            ("/", false),
            ("*", false),
        ] {
            assert_eq!(is_it(path), expected, "{path}");
        }
    }
}
