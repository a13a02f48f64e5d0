//! The endpoint: checks a request as the service would, then judges the image or does as scripted.

use std::time::Instant;

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{HeaderMap, header};
use serde_json::Value;
use url::Url;

use super::boxes::Ratio;
use super::fate::{Answer, Content, Fate, JSON, Transport, message_of};
use super::judge;
use super::reply::{Reply, status_of};
use super::state::{Received, State, Ticket};

pub(super) const PATH: &str = "/api/v1/services/aigc/image2video/face-detect";

/// Answers one POST to the endpoint and books it.
pub(super) async fn call(state: &State, head: Parts, body: Bytes) -> Reply {
    let parsed = serde_json::from_slice::<Value>(&body).ok();
    let ticket = state.arrive(received(&head, &body, parsed.as_ref()));
    let (fate, answer) = match checked(state, &head.headers, parsed.as_ref(), &ticket) {
        Ok((fate, request)) => {
            let answer = match &fate.answer {
                Some(answer) => answer.clone(),
                None => judge::judge(state, &request.image_url, request.ratio).await,
            };
            (fate, answer)
        }
        Err(refusal) => {
            if refusal.unscripted {
                state.complain(format!("POST {PATH}: {}", refusal.message));
            }
            let answer = Answer::error(refusal.status, refusal.code, &refusal.message);
            (Fate::judge(), answer)
        }
    };
    let answer = fate.shape(answer, &ticket.request_id);
    let status = status_of(answer.status).as_u16();
    let sent = (fate.transport != Transport::Reset).then_some(status);
    state.settle(&ticket, sent, answer.billed);
    let (content_type, body) = match answer.content {
        Content::Json(value) => (JSON.to_owned(), Bytes::from(value.to_string())),
        Content::Raw(content_type, bytes) => (content_type, bytes),
    };
    Reply {
        status,
        content_type,
        headers: answer.headers,
        body,
        delay: fate.delay,
        transport: fate.transport,
    }
}

/// What is left to know of a request that passed the checks.
struct Call {
    image_url: Url,
    ratio: Ratio,
}

struct Refusal {
    status: u16,
    code: &'static str,
    message: String,
    /// No correct client sends this, so a test that sees it has found something.
    unscripted: bool,
}

impl Refusal {
    fn new(status: u16, code: &'static str) -> Self {
        Self { status, code, message: message_of(code).to_owned(), unscripted: false }
    }

    fn unscripted(status: u16, code: &'static str) -> Self {
        Self { unscripted: true, ..Self::new(status, code) }
    }

    fn because(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }
}

/// The key comes first, then the rate, then the body; a fate is taken only by a call that passed all.
fn checked(
    state: &State,
    headers: &HeaderMap,
    body: Option<&Value>,
    ticket: &Ticket,
) -> Result<(Fate, Call), Refusal> {
    check_headers(state, headers)?;
    if !ticket.within_rate {
        return Err(Refusal::new(429, "Throttling.RateQuota"));
    }
    let call = check_body(state, body)?;
    let fate = state.next_fate(ticket).ok_or_else(|| {
        let path = call.image_url.path();
        Refusal::unscripted(400, "InvalidURL")
            .because(format!("this emulator does not serve {path}"))
    })?;
    if fate.answer.is_none() && !judge::is_loopback(&call.image_url) {
        return Err(Refusal::unscripted(400, "InvalidURL").because(judge::NOT_LOOPBACK));
    }
    Ok((fate, call))
}

fn check_headers(state: &State, headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let key = text(header::AUTHORIZATION)
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(str::trim)
        .filter(|key| !key.is_empty());
    match (key, &state.config.api_key) {
        (None, _) => return Err(Refusal::unscripted(401, "InvalidApiKey")),
        (Some(key), Some(expected)) if key != expected => {
            return Err(Refusal::new(401, "InvalidApiKey"));
        }
        _ => {}
    }
    if headers.contains_key("x-dashscope-async") {
        return Err(Refusal::unscripted(403, "AccessDenied"));
    }
    let media_type =
        text(header::CONTENT_TYPE).and_then(|value| value.split(';').next()).map(str::trim);
    if !media_type.is_some_and(|value| value.eq_ignore_ascii_case(JSON)) {
        return Err(Refusal::unscripted(400, "InvalidParameter")
            .because("the Content-Type must be application/json"));
    }
    Ok(())
}

fn check_body(state: &State, body: Option<&Value>) -> Result<Call, Refusal> {
    let Some(body) = body.and_then(Value::as_object) else {
        return Err(
            Refusal::unscripted(400, "InvalidParameter").because("the body must be a JSON object")
        );
    };
    let filled = |value: Option<&Value>| {
        let text = value.and_then(Value::as_str).filter(|text| !text.is_empty());
        text.map(str::to_owned)
    };
    let Some(model) = filled(body.get("model")) else {
        return Err(Refusal::unscripted(400, "BadRequest.EmptyModel"));
    };
    let Some(image_url) = filled(body.get("input").and_then(|input| input.get("image_url"))) else {
        return Err(Refusal::unscripted(400, "BadRequest.EmptyInput"));
    };
    let Some(parameters) = body.get("parameters").and_then(Value::as_object) else {
        return Err(Refusal::unscripted(400, "BadRequest.EmptyParameters"));
    };
    let ratio = parameters.get("ratio").and_then(Value::as_str).and_then(Ratio::parse);
    let Some(ratio) = ratio else {
        return Err(Refusal::unscripted(400, "InvalidParameter.Ratio"));
    };
    if model != state.config.model {
        return Err(Refusal::new(404, "ModelNotFound"));
    }
    match Url::parse(&image_url) {
        Ok(image_url) if matches!(image_url.scheme(), "http" | "https") => {
            Ok(Call { image_url, ratio })
        }
        _ => Err(Refusal::new(400, "InvalidURL")),
    }
}

fn received(head: &Parts, body: &[u8], parsed: Option<&Value>) -> Received {
    let image_url =
        parsed.and_then(|body| body.get("input")?.get("image_url")?.as_str()).map(str::to_owned);
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Received {
        arrived: Instant::now(),
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
            .collect(),
        body: parsed.cloned().unwrap_or_else(|| Value::String(text(body))),
        image_url,
        status: None,
        billed: false,
    }
}
