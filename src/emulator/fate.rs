//! What befalls a call instead of the plain judgement.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

/// How one paid call for an image ends: what is answered, how late, over what kind of transport, and
/// whether the call is billed.
///
/// Start from a constructor and compose: `Fate::judge().late(d).reset()` looks at the image, books
/// what the service would have booked, waits, and resets the connection. Hand fates to
/// [`Emulator::script`](super::Emulator::script); each call takes one.
///
/// Statuses are 200 to 599; any other is sent as 500.
///
/// ```
/// use emo_preflight::emulator::Fate;
/// use std::time::Duration;
///
/// let fates = Fate::throttled().times(2).into_iter().chain([
///     Fate::judge().late(Duration::from_millis(300)),
///     Fate::error(500, "InternalError").billed(true),
/// ]);
/// assert_eq!(fates.count(), 4);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Fate {
    /// `None`: judge the image.
    pub(super) answer: Option<Answer>,
    pub(super) delay: Duration,
    pub(super) transport: Transport,
    billed: Option<bool>,
    without_usage: bool,
    extra_fields: bool,
    cut_json: bool,
}

/// An answer before a request id is put into it.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) content: Content,
    pub(super) billed: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// The service's own JSON; gets the request id.
    Json(Value),
    /// Sent byte for byte.
    Raw(String, Bytes),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Transport {
    #[default]
    Whole,
    CutOff,
    Reset,
}

impl Fate {
    /// The image is fetched, decoded and measured, as without any script. Billed if it passes.
    pub fn judge() -> Self {
        Self::default()
    }

    /// HTTP 200, `check_pass` false, `code` and `message` empty, `usage` 1. Billed.
    ///
    /// Source: vendor page (shape 1).
    pub fn refused_by_model() -> Self {
        Self::fixed(Answer::refused("", ""))
    }

    /// As [`refused_by_model`](Self::refused_by_model), with a code and a message in `output`. Billed.
    ///
    /// Source: vendor page (shape 1).
    pub fn refused_with(code: &str) -> Self {
        Self::fixed(Answer::refused(code, message_of(code)))
    }

    /// An error with top-level `code` and `message` and no `usage`. Not billed.
    ///
    /// Source: vendor page for refused requests; seen in public code for failed images (shape 2).
    pub fn error(status: u16, code: &str) -> Self {
        Self::fixed(Answer::error(status, code, message_of(code)))
    }

    /// An error with `code` and `message` inside `output`, no `usage`. Not billed.
    ///
    /// Source: seen in public code (shape 3).
    pub fn error_in_output(status: u16, code: &str) -> Self {
        Self::fixed(Answer::json(
            status,
            false,
            json!({"output": {"code": code, "message": message_of(code)}}),
        ))
    }

    /// An error with top-level `code` inside HTTP 200. Not billed.
    ///
    /// Source: vendor page, for `BailianGateway.Workspace.NotAuthorised`.
    pub fn error_inside_200(code: &str) -> Self {
        Self::error(200, code)
    }

    /// An error that nevertheless carries `usage.image_count` 1. Billed.
    ///
    /// Source: neither documented nor seen; it tells whether a client reads the bill or the status.
    pub fn error_with_usage(status: u16, code: &str) -> Self {
        Self::fixed(Answer::json(
            status,
            true,
            json!({"code": code, "message": message_of(code), "usage": {"image_count": 1}}),
        ))
    }

    /// 429 `Throttling.RateQuota` without Retry-After. Not billed.
    ///
    /// Source: vendor page. For several in a row see [`times`](Self::times).
    pub fn throttled() -> Self {
        Self::error(429, "Throttling.RateQuota")
    }

    /// 429 `Throttling.RateQuota` with `Retry-After: seconds`. Not billed.
    ///
    /// Source: none; the vendor documents no Retry-After, but a gateway may send it.
    pub fn throttled_retry_after(seconds: u64) -> Self {
        let mut answer =
            Answer::error(429, "Throttling.RateQuota", message_of("Throttling.RateQuota"));
        answer.headers.push(("retry-after", seconds.to_string()));
        Self::fixed(answer)
    }

    /// The image is judged, but the answer tells no `usage`. Billed if it passes.
    ///
    /// Source: none; the answer leaves the bill unknown to the client.
    pub fn without_usage() -> Self {
        Self { without_usage: true, ..Self::judge() }
    }

    /// A pass with these boxes, `[x1, y1, x2, y2]` in pixels, whatever the image. Billed.
    ///
    /// Whole numbers are written without a fraction, as the service does; JSON cannot hold a number
    /// that is not finite, it becomes `null`.
    pub fn boxes(face: [f64; 4], ext: [f64; 4]) -> Self {
        Self::pass(
            json!({"check_pass": true, "face_bbox": face.map(number), "ext_bbox": ext.map(number)}),
        )
    }

    /// A pass that lacks `ext_bbox`. Billed.
    pub fn missing_box() -> Self {
        Self::pass(json!({"check_pass": true, "face_bbox": [302, 286, 610, 593]}))
    }

    /// A pass whose `face_bbox` has three numbers and whose `ext_bbox` is text. Billed.
    pub fn malformed_box() -> Self {
        Self::pass(json!({
            "check_pass": true,
            "face_bbox": [302, 286, 610],
            "ext_bbox": ["71", "9", "840", "778"],
        }))
    }

    /// The image is judged, and the answer's JSON stops half-way though HTTP says it is complete.
    /// Billed if it passes.
    pub fn malformed_json() -> Self {
        Self { cut_json: true, ..Self::judge() }
    }

    /// A gateway's HTML page with status 504. Billed: the service behind the gateway did its work.
    pub fn html_504() -> Self {
        Self::raw(504, "text/html", GATEWAY_PAGE).billed(true)
    }

    /// A redirect with an empty body; 307 and 308 would have the client send the request again. Not
    /// billed.
    pub fn redirect(status: u16, to: &str) -> Self {
        let mut fate = Self::raw(status, "text/plain", "");
        if let Some(answer) = &mut fate.answer {
            answer.headers.push(("location", to.to_owned()));
        }
        fate
    }

    /// Any bytes at all; no request id is put in. Not billed.
    pub fn raw(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::fixed(Answer {
            status,
            headers: Vec::new(),
            content: Content::Raw(content_type.to_owned(), Bytes::from(body.into())),
            billed: false,
        })
    }

    /// A header more in a [`raw`](Self::raw) answer, such as a coding of its body.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Some(answer) = &mut self.answer {
            answer.headers.push((name, value.to_owned()));
        }
        self
    }

    /// The answer leaves this much later than it was ready. The call is billed before the wait, and
    /// stays billed if the client leaves meanwhile. Delays add up.
    #[must_use]
    pub fn late(mut self, delay: Duration) -> Self {
        self.delay = self.delay.saturating_add(delay);
        self
    }

    /// No answer: after the judgement (and the delay) the connection is reset (TCP RST). Billed as the
    /// answer would have been.
    #[must_use]
    pub fn reset(mut self) -> Self {
        self.transport = Transport::Reset;
        self
    }

    /// The head announces the whole body, half of it is sent, then the connection is closed. Billed as
    /// the answer would have been.
    #[must_use]
    pub fn cut_off(mut self) -> Self {
        self.transport = Transport::CutOff;
        self
    }

    /// Fields that no page names are added at the top, in `output` and in `usage` of a JSON answer.
    ///
    /// `output.humanoid` is seen in public code; the others are invented.
    #[must_use]
    pub fn with_extra_fields(mut self) -> Self {
        self.extra_fields = true;
        self
    }

    /// Whether the call counts as billed, whatever the answer says.
    #[must_use]
    pub fn billed(mut self, billed: bool) -> Self {
        self.billed = Some(billed);
        self
    }

    /// The same fate `count` times over, for as many calls.
    #[must_use]
    pub fn times(self, count: usize) -> Vec<Self> {
        vec![self; count]
    }

    /// Turns the judged or scripted answer into what is sent.
    pub(super) fn shape(&self, mut answer: Answer, request_id: &str) -> Answer {
        if let Some(billed) = self.billed {
            answer.billed = billed;
        }
        if let Content::Json(value) = &mut answer.content {
            if let Some(top) = value.as_object_mut() {
                top.insert("request_id".to_owned(), request_id.into());
                if self.without_usage {
                    top.remove("usage");
                }
                if self.extra_fields {
                    add_extra_fields(top);
                }
            }
            if self.cut_json {
                let mut text = value.to_string().into_bytes();
                text.truncate(text.len() / 2);
                answer.content = Content::Raw(JSON.to_owned(), Bytes::from(text));
            }
        }
        answer
    }

    fn fixed(answer: Answer) -> Self {
        Self { answer: Some(answer), ..Self::judge() }
    }

    fn pass(output: Value) -> Self {
        Self::fixed(Answer::judged(output))
    }
}

impl Answer {
    /// A verdict, billed, with its `usage`.
    pub(super) fn judged(output: Value) -> Self {
        Self::json(200, true, json!({"output": output, "usage": {"image_count": 1}}))
    }

    /// A top-level error, not billed.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, false, json!({"code": code, "message": message}))
    }

    fn refused(code: &str, message: &str) -> Self {
        Self::judged(json!({"check_pass": false, "code": code, "message": message}))
    }

    fn json(status: u16, billed: bool, value: Value) -> Self {
        Self { status, headers: Vec::new(), content: Content::Json(value), billed }
    }
}

/// The text that goes with a code, in the vendor's manner.
pub(super) fn message_of(code: &str) -> &'static str {
    match code {
        "InvalidApiKey" => "Invalid API-key provided.",
        "Throttling.RateQuota" => "Requests rate limit exceeded, please try again later.",
        "AccessDenied" => "current user api does not support asynchronous calls.",
        "BadRequest.EmptyModel" => "The required parameter \"model\" is missing.",
        "BadRequest.EmptyInput" => "The required parameter \"input\" is missing.",
        "BadRequest.EmptyParameters" => "The required parameter \"parameters\" is missing.",
        "InvalidParameter.Ratio" => "The parameter \"ratio\" must be \"1:1\" or \"3:4\".",
        "ModelNotFound" => "Model not exist.",
        "InvalidURL" => "The URL is invalid or the image cannot be downloaded.",
        "InvalidURL.ConnectionRefused" => "The connection to the image's host was refused.",
        "InvalidURL.Timeout" => "The download of the image timed out.",
        "InvalidFile.Format" => "The image must be JPG, JPEG, PNG, BMP or WebP.",
        "InvalidFile.Openerror" => "The image cannot be opened.",
        "InvalidFile.Size" => "The image file is too large.",
        "InvalidFile.Resolution" => {
            "The shortest side must be at least 400 and the longest at most 7000 pixels."
        }
        "InvalidFile.NoHuman" => "No human is found in the image.",
        _ => "The request was refused.",
    }
}

fn number(value: f64) -> Value {
    // Up to 2^53 a whole f64 is exactly the integer.
    if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 {
        Value::from(value as i64)
    } else {
        Value::from(value)
    }
}

fn add_extra_fields(top: &mut serde_json::Map<String, Value>) {
    top.insert("trace".to_owned(), json!({"spans": [1, 2, 3]}));
    if let Some(output) = top.get_mut("output").and_then(Value::as_object_mut) {
        output.insert("humanoid".to_owned(), true.into());
        output.insert("score".to_owned(), json!(0.93));
    }
    if let Some(usage) = top.get_mut("usage").and_then(Value::as_object_mut) {
        usage.insert("image_tokens".to_owned(), Value::Null);
    }
}

pub(super) const JSON: &str = "application/json";

const GATEWAY_PAGE: &str = "<html>\r\n<head><title>504 Gateway Time-out</title></head>\r\n<body>\r\n\
    <center><h1>504 Gateway Time-out</h1></center>\r\n</body>\r\n</html>\r\n";
