//! The paid call: one request, sent at most once, and what became of it.
//!
//! Unlike an image fetch it is led nowhere else, is not made again, and comes over a connection that
//! was not idle for long. Nothing here decides whether to ask again; that is [`decide`]'s, on the
//! outcome.

mod body;
mod decide;
mod detector;
mod emo_detect;
mod key;
mod service;
mod wire;

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER,
};

pub(crate) use decide::{
    Decision, Disposition, Judgement, Outcome, Repeats, RetryState, decide, is_rejection,
};
pub(crate) use detector::Detector;
pub(crate) use emo_detect::EMO_DETECT;
pub use key::{ApiKey, KeyError};
pub(crate) use service::{DEFAULT_BASE_URL, Service};
pub(crate) use wire::Answer;

use detector::Ask;

use tokio::time::Instant;

use crate::net::http_error::describe;
use crate::net::inflate::{Coding, Inflater};
use crate::net::{ConfigError, tls};
use crate::rules::AspectRatio;

/// Where and how to call.
#[derive(Clone, Debug)]
pub(crate) struct DetectOptions {
    pub(crate) detector: &'static Detector,
    pub(crate) base_url: String,
    /// The service's name, where it is not the base URL's.
    pub(crate) service: Option<String>,
    pub(crate) model: String,
    pub(crate) workspace: Option<String>,
    pub(crate) timeout: Duration,
}

impl Default for DetectOptions {
    fn default() -> Self {
        Self {
            detector: &EMO_DETECT,
            base_url: DEFAULT_BASE_URL.to_owned(),
            service: None,
            model: EMO_DETECT.model.to_owned(),
            workspace: None,
            timeout: Duration::from_secs(60),
        }
    }
}

/// The client that may cost money.
pub(crate) struct PaidClient {
    http: reqwest::Client,
    service: Service,
    authorization: HeaderValue,
    workspace: Option<HeaderValue>,
    timeout: Duration,
}

impl PaidClient {
    pub(crate) fn new(key: &ApiKey, options: DetectOptions) -> Result<Self, ConfigError> {
        let service = Service::new(
            options.detector,
            &options.base_url,
            options.service.as_deref(),
            options.model,
        )?;
        let invalid = |what: &str| ConfigError::Option(what.to_owned());
        if options.timeout.is_zero() || options.timeout > A_DAY {
            let found = options.timeout;
            return Err(invalid(&format!(
                "the call's time-out must be above 0 s and at most a day, found {found:?}"
            )));
        }
        let workspace = options.workspace.as_deref();
        if workspace.is_some_and(|id| id.is_empty() || !id.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(invalid("the workspace id must be printable ASCII without spaces"));
        }
        let workspace = workspace
            .map(HeaderValue::from_str)
            .transpose()
            .map_err(|_| invalid("the workspace id must fit a header"))?;
        let tls = tls::config(&[b"http/1.1"], &[])?;
        let mut http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            // A connection the service is about to close is the likeliest way to lose an answer.
            .pool_idle_timeout(IDLE)
            .tls_backend_preconfigured(tls);
        if service.is_on_loopback() {
            // The emulator is never behind a proxy.
            http = http.no_proxy();
        }
        Ok(Self {
            http: http
                .build()
                .map_err(|e| invalid(&format!("cannot set up the paid client: {e}")))?,
            authorization: key
                .bearer()
                .ok_or_else(|| invalid("the API key must be printable ASCII"))?,
            service,
            workspace,
            timeout: options.timeout,
        })
    }

    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// Sends one request. **From the first poll of its body on it may be billed.**
    ///
    /// Dropping this future abandons a request that may have left, so only a task that nobody
    /// drops may poll it.
    pub(crate) async fn send(&self, image_url: &str, ratio: AspectRatio) -> Sent {
        let Service { detector, endpoint, model, .. } = &self.service;
        let json = match (detector.body)(&Ask { model, image_url, ratio }) {
            Ok(json) => Bytes::from(json),
            Err(error) => return Outcome::NotSent { error: error.to_string() }.into(),
        };
        let (body, recall) = body::OnceBody::new(json);
        let mut request = self
            .http
            .post(endpoint.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, self.authorization.clone())
            .body(reqwest::Body::wrap(body));
        if let Some(workspace) = &self.workspace {
            request = request.header("X-DashScope-WorkSpace", workspace.clone());
        }
        let mut received = Received::default();
        let begun = Instant::now();
        let mut exchange = Box::pin(exchange(request, &mut received));
        let mut exchanged = tokio::time::timeout(self.timeout, &mut exchange).await;
        // Of a process that stood still meanwhile the answer may be here, not yet read.
        if exchanged.is_err() && begun.elapsed() > self.timeout + STOOD_STILL {
            exchanged = tokio::time::timeout(STOOD_STILL, &mut exchange).await;
        }
        drop(exchange);
        let lost = match exchanged {
            Ok(Ok(())) => None,
            Ok(Err(what)) => Some(what),
            Err(_) => Some(format!("no complete answer within {:?}", self.timeout)),
        };
        let Received { status, retry_after, body } = received;
        let answer = lost.is_none().then(|| Answer::parse(&body, detector)).flatten();
        let outcome = match (status, answer, lost) {
            (Some(status), Some(answer), _) => Outcome::Answered { status, retry_after, answer },
            (Some(status), None, None) => {
                Outcome::Foreign { status, retry_after, what: self.service.must_answer(status) }
            }
            (status, _, what) => Outcome::Lost { status, what: what.unwrap_or_default() },
        };
        // Judged by what was handed out, never by an error's text or kind.
        match outcome {
            Outcome::Lost { what: error, .. } | Outcome::Foreign { what: error, .. }
                if recall.take_back() =>
            {
                Outcome::NotSent { error }.into()
            }
            outcome => {
                Sent { outcome, raw: Some(body.into()).filter(|raw: &Bytes| !raw.is_empty()) }
            }
        }
    }
}

/// What became of one request.
pub(crate) struct Sent {
    pub(crate) outcome: Outcome,
    /// The body as far as it came.
    pub(crate) raw: Option<Bytes>,
}

impl From<Outcome> for Sent {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, raw: None }
    }
}

/// What has come of an answer so far: a time-out must not lose it.
#[derive(Default)]
struct Received {
    status: Option<u16>,
    retry_after: Option<String>,
    body: Vec<u8>,
}

impl Received {
    fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let room = LONGEST_ANSWER.saturating_sub(self.body.len());
        self.body.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        match bytes.len() > room {
            true => Err(format!("the answer must be at most {LONGEST_ANSWER} bytes, found more")),
            false => Ok(()),
        }
    }
}

/// One request and its whole answer; the error says what came instead.
async fn exchange(request: reqwest::RequestBuilder, received: &mut Received) -> Result<(), String> {
    let mut response = request.send().await.map_err(|e| said(&e))?;
    received.status = Some(response.status().as_u16());
    let retry_after = response.headers().get(RETRY_AFTER);
    received.retry_after = retry_after.and_then(|v| v.to_str().ok()).map(str::to_owned);
    // A company's proxy may compress what nobody asked it to.
    let mut inflater = match coding(response.headers()) {
        Ok(coding) => coding.map(Inflater::new),
        Err(coding) => return Err(format!("the answer is encoded as {coding:?}")),
    };
    while let Some(bytes) = response.chunk().await.map_err(|e| said(&e))? {
        let Some(inflater) = &mut inflater else {
            received.take(&bytes)?;
            continue;
        };
        inflater.push(&bytes);
        while let Some(part) = inflater.next().map_err(|e| unpacked(&e))? {
            received.take(&part)?;
        }
    }
    if let Some(inflater) = &mut inflater {
        received.take(&inflater.finish().map_err(|e| unpacked(&e))?)?;
    }
    Ok(())
}

/// How the answer is compressed; the error is a coding that is not read.
fn coding(headers: &HeaderMap) -> Result<Option<Coding>, String> {
    let all = headers.get_all(CONTENT_ENCODING).into_iter();
    let all: Vec<_> = all.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    let all = all.join(",");
    match all.trim() {
        "" => Ok(None),
        identity if identity.eq_ignore_ascii_case("identity") => Ok(None),
        name => Coding::named(name).map(Some).ok_or_else(|| name.chars().take(40).collect()),
    }
}

fn unpacked(error: &std::io::Error) -> String {
    format!("the answer must unpack, found: {error}")
}

/// What an error says but for its own text, which names the URL.
fn said(error: &reqwest::Error) -> String {
    error.source().map_or_else(|| "the request could not be made".to_owned(), describe)
}

/// A timer that is so late was not looked at.
const STOOD_STILL: Duration = Duration::from_secs(1);

const IDLE: Duration = Duration::from_secs(5);

const A_DAY: Duration = Duration::from_secs(86_400);
const LONGEST_ANSWER: usize = 1_024 * 1_024;
