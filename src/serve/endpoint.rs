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
use url::Url;

use super::answer::{self, Refusal};
use super::body::whole;
use super::router::Server;
use crate::run::Source;

/// Whatever has no route of its own: the endpoint, what is passed on, and what nobody serves.
pub(super) async fn any(State(server): State<Arc<Server>>, request: Request) -> Response {
    if is_it(request.uri().path()) {
        return detect(&server, request).await.unwrap_or_else(Refusal::into_response);
    }
    pass_on(&server, request).await
}

async fn pass_on(server: &Server, request: Request) -> Response {
    let Some(upstream) = &server.upstream else {
        return Refusal::new(
            StatusCode::NOT_FOUND,
            "Preflight.NotServed",
            "this server must be asked for emo-detect-v1's face-detect alone; start it with \
             --pass-through to have everything else passed on to the service",
        )
        .into_response();
    };
    if server.shows_token_as_key(request.headers()) {
        return Refusal::new(
            StatusCode::UNAUTHORIZED,
            "Preflight.Unauthorized",
            "what is passed on must have the caller's own key in Authorization, found this server's \
             token; show the token as x-emo-preflight-token",
        )
        .into_response();
    }
    server.metrics.count_passed_on();
    upstream.forward(request).await.unwrap_or_else(Refusal::into_response)
}

/// Whether a path is the endpoint's, in any spelling that the service might take for it: what is not
/// told here would be passed on and paid for unbooked.
pub(super) fn is_it(path: &str) -> bool {
    let mut path = path.to_owned();
    // Decoded as often as anything on the way might.
    for _ in 0..3 {
        path = percent_decode_str(&path).decode_utf8_lossy().into_owned();
    }
    // Dot segments and backslashes go by the URL's own rules.
    let Ok(url) = Url::parse("http://any/").and_then(|base| base.join(&path.replace("//", "/")))
    else {
        return false;
    };
    let Some(segments) = url.path_segments() else { return false };
    // Some servers take `;…` for parameters of a segment.
    let mut segments = segments
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .filter(|segment| !segment.is_empty())
        .rev();
    PATH.iter().rev().all(|name| segments.next().is_some_and(|s| s.eq_ignore_ascii_case(name)))
}

async fn detect(server: &Server, request: Request) -> Result<Response, Refusal> {
    if request.method() != Method::POST {
        let message = format!("the method must be POST, found {}", request.method());
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(Refusal::new(status, "Preflight.NotServed", message));
    }
    let (head, body) = request.into_parts();
    let body = whole(body).await?;
    let call = parse(&head.headers, &body)?;
    let gated = &server.gate.service().model;
    let model = call.model.as_deref().map(str::trim).filter(|model| !model.is_empty());
    match model {
        Some(model) if model.eq_ignore_ascii_case(gated) => {}
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
    let source = call.source(&head.headers)?;
    Ok(match server.gate.ask(source, &server.stop.child()).await {
        Some(checked) => {
            server.count(&checked.report);
            answer::of(checked)
        }
        None => Refusal::stopped().about_an_image(),
    })
}

fn rejoined(head: Parts, body: Bytes) -> Request {
    Request::from_parts(head, Body::from(body))
}

/// The documented request (vendor page). What it says beyond that is passed over; what it says twice is
/// an error, for the service might read the other.
#[derive(Deserialize)]
struct Call {
    model: Option<String>,
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
    // Serde would read an array as the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(bad("InvalidParameter", "the body must be a JSON object"));
    }
    serde_json::from_slice(body).map_err(|error| {
        bad("InvalidParameter", format!("the body must be the documented request: {error}"))
    })
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
