//! What follows from one request's outcome: a pure function, no clock, no luck.
//!
//! Money first: nothing is repeated that may have been billed. `usage.image_count` decides what
//! was billed, never the HTTP status; that an error answer without it is unbilled is documented
//! for the sister models of the endpoint and assumed for this one.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder as _, ExponentialBuilder};

use super::detector::Finding;
use super::wire::{Answer, Count};
use crate::report::{Billing, Certainty, Reason, ReasonCode};
use crate::rules::BBox;

/// How one request ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// No byte of the body left this process.
    NotSent {
        /// What stood in the way.
        error: String,
    },
    /// A complete body that is the service's JSON.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The Retry-After header, verbatim.
        retry_after: Option<String>,
        /// What the body says.
        answer: Answer,
    },
    /// A complete body that is not the service's JSON: somebody in front of the service spoke.
    Foreign {
        /// The HTTP status.
        status: u16,
        /// The Retry-After header, verbatim.
        retry_after: Option<String>,
        /// Who must answer, what was found and what to do.
        what: String,
    },
    /// Anything else once the request may have left.
    Lost {
        /// The HTTP status, when one arrived.
        status: Option<u16>,
        /// What happened instead of an answer.
        what: String,
    },
}

/// What went before an attempt at one question, and its luck.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetryState {
    /// The repeats made of the question so far.
    pub(crate) repeats: Repeats,
    /// Seeds the jitter of a pause.
    pub(crate) seed: u64,
    /// No pause is longer.
    pub(crate) longest_pause: Duration,
}

impl RetryState {
    /// How long a Retry-After is obeyed.
    fn bounded(&self, wait: Option<Duration>) -> Duration {
        wait.unwrap_or_default().min(self.longest_pause)
    }
}

/// How often a question was repeated, for each kind of trouble: a service that has trouble of its
/// own after it had asked to slow down has not used up its patience yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Repeats {
    not_sent: usize,
    download: usize,
    throttled: usize,
    server: usize,
}

impl Repeats {
    /// No more repeats, whatever the trouble.
    #[cfg(feature = "ledger")]
    pub(crate) const SPENT: Self = Self {
        not_sent: usize::MAX,
        download: usize::MAX,
        throttled: usize::MAX,
        server: usize::MAX,
    };

    fn of(&mut self, patience: Patience) -> &mut usize {
        match patience {
            Patience::NotSent => &mut self.not_sent,
            Patience::Download => &mut self.download,
            Patience::Throttled => &mut self.throttled,
            Patience::Server => &mut self.server,
        }
    }
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Decision {
    pub(crate) disposition: Disposition,
    /// It is worth a repeat.
    pub(crate) repeat: Option<Repeat>,
    pub(crate) billing: Billing,
    /// No other source's call can fare better: the run is over.
    pub(crate) stops_run: bool,
    /// Everyone is asked to slow down, and to send nothing for at least this long.
    pub(crate) throttled: Option<Duration>,
}

/// What an attempt makes of its question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Disposition {
    /// The service gave its answer; it is not asked again.
    Settled(Judgement),
    /// No verdict and no bill; the question may be asked another time.
    Refused(Reason),
    /// May have been billed, and no verdict: it is not asked again.
    Unknown(Reason),
}

/// How a refused call is repeated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Repeat {
    /// The pause before it.
    pub(crate) after: Duration,
    /// With this one.
    pub(crate) repeats: Repeats,
}

/// What the service answered about an image.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Judgement {
    /// The image passed, with both boxes.
    Passed {
        /// The face's box.
        face: BBox,
        /// The dynamic area's box.
        ext: BBox,
    },
    /// The image did not pass.
    Rejected(Reason),
    /// Billed, and no verdict can be read from it.
    Unusable(Reason),
}

/// Decides. `now` is the wall clock, for a Retry-After that is a date.
pub(crate) fn decide(outcome: &Outcome, attempt: RetryState, now: SystemTime) -> Decision {
    let read = |value: &Option<String>| {
        value.as_deref().and_then(|value| crate::net::retry_after::parse(value, now))
    };
    match outcome {
        Outcome::NotSent { error } => {
            let reason = Reason::new(
                ReasonCode::Network,
                format!("the service could not be reached, nothing was sent: {error}"),
            );
            repeat(Patience::NotSent, reason, None, attempt, Billing::NONE)
        }
        Outcome::Lost { status, what } => unknown(*status, what, Billing::UNKNOWN),
        Outcome::Foreign { status, retry_after, what } => {
            let reason = Reason::new(ReasonCode::NotTheService, what);
            match status {
                429 => {
                    repeat(Patience::Throttled, reason, read(retry_after), attempt, Billing::NONE)
                }
                // The service may have worked behind who gave up waiting for it.
                300..=407 | 409..=498 => Disposition::Refused(reason).with(Billing::NONE),
                // The service may have worked behind it.
                _ => unknown(Some(*status), NOT_ITS_JSON, Billing::UNKNOWN),
            }
        }
        Outcome::Answered { status, retry_after, answer } => {
            answered(*status, read(retry_after), answer, attempt)
        }
    }
}

fn answered(status: u16, wait: Option<Duration>, answer: &Answer, attempt: RetryState) -> Decision {
    let is_success = (200..300).contains(&status);
    let billing = bill(answer, is_success);
    // Something between us and the service spoke, whoever wrote the body: only a bill counts.
    if (300..400).contains(&status) || matches!(status, 408 | 499 | 502 | 504) {
        let billing = match answer.image_count {
            Count::Images(images) => Billing::certain(images),
            Count::Absent | Count::Unreadable => Billing::UNKNOWN,
        };
        return unknown(Some(status), "not a status of the service's own", billing);
    }
    match (&answer.finding, &answer.code) {
        (&Finding::Passed { face, ext }, _) if is_success => {
            settled(Judgement::Passed { face, ext }, billing)
        }
        (Finding::Incomplete(required), _) if is_success => unusable(required, billing),
        // An account that may not call is no verdict on an image, wherever it is said.
        (_, Some(code)) if class_of(code, status) == Class::StopsRun => {
            coded(status, code, wait, answer, attempt, billing)
        }
        (Finding::Failed, code) if is_success => {
            let code = code.clone().map_or(ReasonCode::CheckPassFalse, ReasonCode::Service);
            settled(Judgement::Rejected(said(code, answer)), billing)
        }
        (
            Finding::Absent
            | Finding::Unreadable
            | Finding::Passed { .. }
            | Finding::Incomplete(_)
            | Finding::Failed,
            Some(code),
        ) => coded(status, code, wait, answer, attempt, billing),
        (Finding::Failed, None) => {
            settled(Judgement::Rejected(said(ReasonCode::CheckPassFalse, answer)), billing)
        }
        (
            Finding::Absent | Finding::Unreadable | Finding::Passed { .. } | Finding::Incomplete(_),
            None,
        ) => unusable(
            &format!(
                "answer must be a verdict with HTTP 200 or have a code, found neither (HTTP {status})"
            ),
            billing,
        ),
    }
}

fn coded(
    status: u16,
    code: &str,
    wait: Option<Duration>,
    answer: &Answer,
    attempt: RetryState,
    billing: Billing,
) -> Decision {
    let reason = said(ReasonCode::Service(code.to_owned()), answer);
    // One and the same 429 code is used for "slow down" and for "your free quota is gone".
    let free_quota_gone =
        status == 429 && answer.message.as_deref().is_some_and(|m| m.contains(FREE_QUOTA_GONE));
    let class = if free_quota_gone { Class::StopsRun } else { class_of(code, status) };
    let is_free = billing.images == 0 && billing.certainty != Certainty::Unknown;
    let disposition = match class {
        Class::Judged => Disposition::Settled(Judgement::Rejected(reason)),
        Class::Disputed if !is_free => Disposition::Settled(Judgement::Rejected(reason)),
        _ if billing.certainty == Certainty::Unknown => Disposition::Unknown(reason),
        _ if billing.images > 0 => Disposition::Settled(Judgement::Unusable(reason)),
        Class::Repeat(patience) => return repeat(patience, reason, wait, attempt, billing),
        Class::Disputed | Class::StopsRun | Class::Refused => Disposition::Refused(reason),
    };
    let throttled = (class == Class::Repeat(Patience::Throttled)).then(|| attempt.bounded(wait));
    Decision { stops_run: class == Class::StopsRun, throttled, ..disposition.with(billing) }
}

/// Whether a refusal with this code says that the image was rejected, though its question is free
/// to be asked another time.
pub(crate) fn is_rejection(code: &ReasonCode) -> bool {
    matches!(code, ReasonCode::Service(code) if listed(code) == Some(Class::Disputed))
}

fn bill(answer: &Answer, is_success: bool) -> Billing {
    // A code that no table has, with HTTP 200, may be a gateway's word for success around the answer.
    let is_error = |code: &String| !is_success || listed(code).is_some();
    match answer.image_count {
        Count::Images(images) => Billing::certain(images),
        Count::Absent
            if answer.finding == Finding::Absent && answer.code.as_ref().is_some_and(is_error) =>
        {
            Billing::NONE
        }
        Count::Absent | Count::Unreadable => Billing::UNKNOWN,
    }
}

fn repeat(
    patience: Patience,
    reason: Reason,
    wait: Option<Duration>,
    attempt: RetryState,
    billing: Billing,
) -> Decision {
    let mut pauses = patience.pauses().with_jitter_seed(attempt.seed).build();
    let mut repeats = attempt.repeats;
    let so_far = repeats.of(patience);
    let pause = pauses.nth(*so_far);
    *so_far = so_far.saturating_add(1);
    let repeat = pause.map(|pause| Repeat {
        after: pause.max(attempt.bounded(wait)).min(attempt.longest_pause),
        repeats,
    });
    let throttled = (patience == Patience::Throttled).then(|| attempt.bounded(wait));
    Decision { throttled, repeat, ..Disposition::Refused(reason).with(billing) }
}

impl Disposition {
    /// Why, where there is anything to say.
    pub(crate) fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Settled(Judgement::Rejected(reason) | Judgement::Unusable(reason))
            | Self::Refused(reason)
            | Self::Unknown(reason) => Some(reason),
            Self::Settled(Judgement::Passed { .. }) => None,
        }
    }

    fn with(self, billing: Billing) -> Decision {
        Decision { disposition: self, repeat: None, billing, stops_run: false, throttled: None }
    }
}

fn settled(judgement: Judgement, billing: Billing) -> Decision {
    Disposition::Settled(judgement).with(billing)
}

fn unusable(what: &str, billing: Billing) -> Decision {
    let reason = Reason::new(ReasonCode::MalformedAnswer, what);
    match billing.certainty {
        Certainty::Unknown => Disposition::Unknown(reason).with(billing),
        _ => settled(Judgement::Unusable(reason), billing),
    }
}

fn unknown(status: Option<u16>, what: &str, billing: Billing) -> Decision {
    let status = status.map_or(String::new(), |status| format!(" (HTTP {status})"));
    let reason = Reason::new(
        ReasonCode::BillingUnknown,
        format!("the call may have been billed and is not repeated: {what}{status}"),
    );
    Disposition::Unknown(reason).with(billing)
}

fn said(code: ReasonCode, answer: &Answer) -> Reason {
    let message =
        answer.message.clone().unwrap_or_else(|| "the service gave no message".to_owned());
    Reason::new(code, message)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// A verdict on the image.
    Judged,
    /// A verdict on the URL, on the download, or against what our own header read: without a bill
    /// the question stays free, for a fresh signature or another day may do.
    Disputed,
    /// No verdict, and the same request would end the same way.
    Refused,
    /// As refused, and so would every other request.
    StopsRun,
    Repeat(Patience),
}

/// How often and how slowly a repeat is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    /// Nothing was sent.
    NotSent,
    /// The service could not download the image.
    Download,
    /// Too many requests.
    Throttled,
    /// The service's own trouble.
    Server,
}

impl Patience {
    fn pauses(self) -> ExponentialBuilder {
        let (first, most, times) = match self {
            Self::NotSent => (500, 8_000, 4),
            Self::Download => (2_000, 8_000, 2),
            Self::Throttled => (1_000, 30_000, 9),
            Self::Server => (1_000, 15_000, 4),
        };
        ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(first))
            .with_max_delay(Duration::from_millis(most))
            .with_max_times(times)
            .with_jitter()
    }
}

/// A code that no table has goes by its status.
fn class_of(code: &str, status: u16) -> Class {
    listed(code).unwrap_or(match status {
        429 => Class::Repeat(Patience::Throttled),
        500 | 503 => Class::Repeat(Patience::Server),
        _ => Class::Refused,
    })
}

fn listed(code: &str) -> Option<Class> {
    CODES
        .iter()
        .find(|(pattern, _)| match pattern {
            Code::Is(whole) => code == *whole,
            Code::StartsWith(start) => code.starts_with(start),
            Code::EndsWith(end) => code.ends_with(end),
        })
        .map(|(_, class)| *class)
}

enum Code {
    Is(&'static str),
    StartsWith(&'static str),
    EndsWith(&'static str),
}

/// The documented codes, and some that were seen. The first that fits counts.
const CODES: &[(Code, Class)] = &[
    (Code::Is("InvalidFile.Resolution"), Class::Disputed),
    (Code::Is("InvalidFile.Format"), Class::Disputed),
    (Code::Is("InvalidFile.Size"), Class::Disputed),
    (Code::Is("InvalidFile.ImageSize"), Class::Disputed),
    (Code::Is("InvalidImage.ImageSize"), Class::Disputed),
    (Code::Is("InvalidImage.FileFormat"), Class::Disputed),
    (Code::Is("InvalidImageResolution"), Class::Disputed),
    (Code::Is("InvalidImageFormat"), Class::Disputed),
    (Code::Is("InvalidFile.DownloadFailed"), Class::Disputed),
    (Code::Is("InvalidFile.Openerror"), Class::Disputed),
    (Code::Is("InvalidURL"), Class::Disputed),
    (Code::StartsWith("InvalidFile."), Class::Judged),
    (Code::StartsWith("InvalidImage."), Class::Judged),
    (Code::Is("InvalidPerson"), Class::Judged),
    (Code::Is("IPInfringementSuspect"), Class::Judged),
    (Code::Is("DataInspectionFailed"), Class::Judged),
    (Code::Is("data_inspection_failed"), Class::Judged),
    (Code::Is("InvalidURL.ConnectionRefused"), Class::Repeat(Patience::Download)),
    (Code::Is("InvalidURL.Timeout"), Class::Repeat(Patience::Download)),
    (Code::Is("InvalidParameter.DataInspection"), Class::Repeat(Patience::Download)),
    (Code::StartsWith("InvalidURL."), Class::Refused),
    (Code::EndsWith("DownloadFailed"), Class::Refused),
    (Code::Is("InvalidParameter"), Class::Refused),
    (Code::StartsWith("InvalidParameter."), Class::Refused),
    (Code::Is("InvalidParamter.OutOfDefinition"), Class::Refused),
    (Code::Is("invalid_parameter_error"), Class::Refused),
    (Code::StartsWith("BadRequest."), Class::Refused),
    (Code::Is("UnsupportedOperation"), Class::Refused),
    (Code::Is("CustomRoleBlocked"), Class::Refused),
    (Code::Is("FaqRuleBlocked"), Class::Refused),
    (Code::Is("Contain.Forbidden.Label.Error"), Class::Refused),
    (Code::Is("isv.OUT_OF_SERVICE"), Class::Refused),
    (Code::Is("InternalError.Algo.InvalidParameter"), Class::Refused),
    (Code::Is("Arrearage"), Class::StopsRun),
    (Code::Is("InvalidApiKey"), Class::StopsRun),
    (Code::Is("invalid_api_key"), Class::StopsRun),
    (Code::Is("NOT AUTHORIZED"), Class::StopsRun),
    (Code::Is("invalid access token or token expired"), Class::StopsRun),
    (Code::EndsWith(".NotAuthorised"), Class::StopsRun),
    (Code::Is("AccessDenied"), Class::StopsRun),
    (Code::Is("access_denied"), Class::StopsRun),
    (Code::Is("AccessDenied.Unpurchased"), Class::StopsRun),
    (Code::Is("Model.AccessDenied"), Class::StopsRun),
    (Code::Is("Workspace.AccessDenied"), Class::StopsRun),
    (Code::Is("Endpoint.AccessDenied"), Class::StopsRun),
    (Code::Is("AllocationQuota.FreeTierOnly"), Class::StopsRun),
    (Code::Is("ModelNotFound"), Class::StopsRun),
    (Code::Is("model_not_found"), Class::StopsRun),
    (Code::Is("WorkSpaceNotFound"), Class::StopsRun),
    (Code::Is("NotFound"), Class::StopsRun),
    (Code::Is(FREE_QUOTA_GONE), Class::StopsRun),
    (Code::Is("insufficient_quota"), Class::StopsRun),
    (Code::Is("CommodityNotPurchased"), Class::StopsRun),
    (Code::Is("PrepaidBillOverdue"), Class::StopsRun),
    (Code::Is("PostpaidBillOverdue"), Class::StopsRun),
    (Code::Is("Throttling"), Class::Repeat(Patience::Throttled)),
    (Code::StartsWith("Throttling."), Class::Repeat(Patience::Throttled)),
    (Code::Is("limit_requests"), Class::Repeat(Patience::Throttled)),
    (Code::Is("LimitRequests"), Class::Repeat(Patience::Throttled)),
    (Code::Is("limit_burst_rate"), Class::Repeat(Patience::Throttled)),
    (Code::Is("InternalError"), Class::Repeat(Patience::Server)),
    (Code::Is("InternalError.Timeout"), Class::Repeat(Patience::Server)),
    (Code::Is("InternalError.Algo"), Class::Repeat(Patience::Server)),
    (Code::Is("InternalError.Upload"), Class::Repeat(Patience::Server)),
    (Code::Is("InternalError.FileUpload"), Class::Repeat(Patience::Server)),
    (Code::Is("internal_error"), Class::Repeat(Patience::Server)),
    (Code::Is("SystemError"), Class::Repeat(Patience::Server)),
    (Code::Is("ModelServiceFailed"), Class::Repeat(Patience::Server)),
    (Code::Is("RequestTimeOut"), Class::Repeat(Patience::Server)),
    (Code::Is("ResponseTimeout"), Class::Repeat(Patience::Server)),
    (Code::Is("ModelServingError"), Class::Repeat(Patience::Server)),
    (Code::Is("ModelUnavailable"), Class::Repeat(Patience::Server)),
    (Code::Is("ServiceUnavailable"), Class::Repeat(Patience::Server)),
];

const NOT_ITS_JSON: &str = "the answer is not the service's JSON";

const FREE_QUOTA_GONE: &str = "Free allocated quota exceeded";

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
