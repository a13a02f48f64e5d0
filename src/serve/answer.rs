//! What is answered: the service's own words where it was asked, and ours in its error shape where it
//! was not.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::request_log::Told;
use crate::gate::Checked;
use crate::report::{Billing, Certainty, Reason, ReasonCode, Report, Verdict};

/// An answer in the service's error shape that is not about an image.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// The server is about to end.
    pub(super) fn stopped() -> Self {
        let (status, code) = STOPPED;
        Self::new(status, code, "the server is about to end and made no call; ask again")
    }

    /// As the answer to a request about an image, of which nothing was asked.
    pub(super) fn about_an_image(self) -> Response {
        let is_stopped = self.code == STOPPED.1;
        let mut response = self.into_response();
        let verdict = if is_stopped { "skipped" } else { "rejected_local" };
        told(verdict, false, Billing::NONE, response.headers_mut());
        response
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let request_id = own_request_id();
        let body = error_json(self.code, &self.message, &request_id);
        let mut response = json_response(self.status, Body::from(body));
        response.extensions_mut().insert(Told::new(request_id));
        response
    }
}

/// The service's error shape.
pub(super) fn error_json(code: &str, message: &str, request_id: &str) -> String {
    json!({"code": code, "message": message, "request_id": request_id}).to_string()
}

/// The answer about an image.
pub(super) fn of(checked: Checked) -> Response {
    let Checked { report, answer } = checked;
    let (mut response, request_id) = match answer {
        Some(answer) => {
            // Every status that an answer of the service's can have is one.
            let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
            (json_response(status, Body::from(answer.body)), report.request_id.clone())
        }
        None => {
            let reason = report.reasons.first();
            let (status, code) = reason.map_or(STOPPED, |r| own_answer(&r.code, &report.verdict));
            let request_id = report.request_id.clone().unwrap_or_else(own_request_id);
            let body = error_json(code, &message_of(&report.reasons), &request_id);
            (json_response(status, Body::from(body)), Some(request_id))
        }
    };
    let verdict = report.verdict.as_str();
    told(verdict, report.from_ledger, report.billing, response.headers_mut());
    response.extensions_mut().insert(Told::of(&report, request_id));
    response
}

/// The report of one source.
pub(super) fn of_report(report: &Report) -> Response {
    let body = serde_json::to_vec(report).unwrap_or_default();
    let mut response = json_response(StatusCode::OK, Body::from(body));
    told(report.verdict.as_str(), report.from_ledger, report.billing, response.headers_mut());
    response.extensions_mut().insert(Told::of(report, report.request_id.clone()));
    response
}

fn json_response(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn told(verdict: &'static str, from_ledger: bool, billing: Billing, headers: &mut HeaderMap) {
    let certainty = match billing.certainty {
        Certainty::None => "none",
        Certainty::Certain => "certain",
        Certainty::Unknown => "unknown",
    };
    let billing = format!("images={}, certainty={certainty}", billing.images);
    headers.insert(VERDICT, HeaderValue::from_static(verdict));
    let from_ledger = if from_ledger { "true" } else { "false" };
    headers.insert(FROM_LEDGER, HeaderValue::from_static(from_ledger));
    if let Ok(billing) = HeaderValue::from_str(&billing) {
        headers.insert(BILLING, billing);
    }
}

fn message_of(reasons: &[Reason]) -> String {
    let messages: Vec<&str> = reasons.iter().map(|reason| reason.message.as_str()).collect();
    messages.join("; ")
}

/// As long as the service's own, and told apart from them.
pub(super) fn own_request_id() -> String {
    format!("preflight-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..))
}

/// Status and code for a reason where the service gave no answer; a code without a row of its own has its
/// verdict's.
fn own_answer(code: &ReasonCode, verdict: &Verdict) -> (StatusCode, &'static str) {
    use ReasonCode as R;
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    match (code, verdict) {
        (R::UnsupportedFormat | R::NotAnImage | R::CorruptHeader, _) => (BAD, "InvalidFile.Format"),
        (R::ShortestSideBelowMin | R::LongestSideAboveMax, _) => (BAD, "InvalidFile.Resolution"),
        (R::NoFace, _) => (BAD, "InvalidFile.NoHuman"),
        (R::SeveralFaces, _) => (BAD, "InvalidFile.MultiHuman"),
        (R::FaceTooSmall, _) => (BAD, "InvalidFile.BodyProportion"),
        (R::Undecodable, _) => (BAD, "InvalidFile.Openerror"),
        (R::UnreadableFile, _) | (_, Verdict::RejectedLocal) => (BAD, "InvalidURL"),
        (R::Timeout, _) => (BAD, "InvalidURL.Timeout"),
        (_, Verdict::Undetermined) => (BAD, "InvalidURL.ConnectionRefused"),
        (R::CapReached, _) => (StatusCode::TOO_MANY_REQUESTS, "Preflight.CapReached"),
        (R::LedgerError, _) => (StatusCode::SERVICE_UNAVAILABLE, "Preflight.LedgerError"),
        // The network to the service failed before a call left, or what stands in front of it refused.
        (R::Network | R::NotTheService, _) | (_, Verdict::Skipped) => STOPPED,
        // The service's own answer is given where there is one. Where there is none, its bill is not known.
        _ => (StatusCode::BAD_GATEWAY, "Preflight.BillingUnknown"),
    }
}

/// No call was made, and it says nothing about the image.
const STOPPED: (StatusCode, &str) = (StatusCode::SERVICE_UNAVAILABLE, "Preflight.Stopped");

const VERDICT: HeaderName = HeaderName::from_static("x-emo-preflight-verdict");
const FROM_LEDGER: HeaderName = HeaderName::from_static("x-emo-preflight-from-ledger");
const BILLING: HeaderName = HeaderName::from_static("x-emo-preflight-billing");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::BBox;

    /// Every code of ours, with a verdict that it comes with.
    #[test]
    fn every_reason_has_its_row() {
        use ReasonCode as R;
        let boxes = BBox::from([0.0, 0.0, 1.0, 1.0]);
        let mismatch = Verdict::BoxMismatch { face: boxes, ext: boxes };
        let rows = [
            (R::UnsupportedFormat, Verdict::RejectedLocal, 400, "InvalidFile.Format"),
            (R::NotAnImage, Verdict::RejectedLocal, 400, "InvalidFile.Format"),
            (R::CorruptHeader, Verdict::RejectedLocal, 400, "InvalidFile.Format"),
            (R::ShortestSideBelowMin, Verdict::RejectedLocal, 400, "InvalidFile.Resolution"),
            (R::LongestSideAboveMax, Verdict::RejectedLocal, 400, "InvalidFile.Resolution"),
            (R::NotHttpUrl, Verdict::RejectedLocal, 400, "InvalidURL"),
            (R::PrivateAddress, Verdict::RejectedLocal, 400, "InvalidURL"),
            (R::NotFound, Verdict::RejectedLocal, 400, "InvalidURL"),
            (R::BadInput, Verdict::RejectedLocal, 400, "InvalidURL"),
            (R::UnreadableFile, Verdict::Undetermined, 400, "InvalidURL"),
            (R::HttpStatus, Verdict::Undetermined, 400, "InvalidURL.ConnectionRefused"),
            (R::Network, Verdict::Undetermined, 400, "InvalidURL.ConnectionRefused"),
            (R::Timeout, Verdict::Undetermined, 400, "InvalidURL.Timeout"),
            (R::TooManyRedirects, Verdict::Undetermined, 400, "InvalidURL.ConnectionRefused"),
            (R::BadRedirect, Verdict::Undetermined, 400, "InvalidURL.ConnectionRefused"),
            (R::HeaderTooLong, Verdict::Undetermined, 400, "InvalidURL.ConnectionRefused"),
            (R::SizeDeferred, Verdict::Undetermined, 400, "InvalidURL.ConnectionRefused"),
            (R::EncodedBody, Verdict::Undetermined, 400, "InvalidURL.ConnectionRefused"),
            (R::ImageTooLong, Verdict::Undetermined, 400, "InvalidURL.ConnectionRefused"),
            (R::ChangedMeanwhile, Verdict::Undetermined, 400, "InvalidURL.ConnectionRefused"),
            (R::NoFace, Verdict::RejectedLocal, 400, "InvalidFile.NoHuman"),
            (R::SeveralFaces, Verdict::RejectedLocal, 400, "InvalidFile.MultiHuman"),
            (R::FaceTooSmall, Verdict::RejectedLocal, 400, "InvalidFile.BodyProportion"),
            (R::Undecodable, Verdict::RejectedLocal, 400, "InvalidFile.Openerror"),
            (R::CheckPassFalse, Verdict::RejectedRemote, 502, "Preflight.BillingUnknown"),
            (R::RatioMismatch, mismatch, 502, "Preflight.BillingUnknown"),
            (R::Ratio8To11, mismatch, 502, "Preflight.BillingUnknown"),
            (R::BoxOutOfImage, mismatch, 502, "Preflight.BillingUnknown"),
            (R::FaceOutsideExt, mismatch, 502, "Preflight.BillingUnknown"),
            (R::BoxDegenerate, mismatch, 502, "Preflight.BillingUnknown"),
            (R::MalformedAnswer, Verdict::Failed, 502, "Preflight.BillingUnknown"),
            (R::BillingUnknown, Verdict::Failed, 502, "Preflight.BillingUnknown"),
            (R::NotTheService, Verdict::Failed, 503, "Preflight.Stopped"),
            (R::LedgerError, Verdict::Failed, 503, "Preflight.LedgerError"),
            (R::CapReached, Verdict::Skipped, 429, "Preflight.CapReached"),
        ];
        let codes: Vec<_> = rows.iter().map(|(code, ..)| code.clone()).collect();
        assert_eq!(codes, R::ALL);
        let others = [
            (R::Network, Verdict::Failed, 503, "Preflight.Stopped"),
            (R::Service("Arrearage".to_owned()), Verdict::Skipped, 503, "Preflight.Stopped"),
            (R::Service("New".to_owned()), Verdict::Failed, 502, "Preflight.BillingUnknown"),
        ];
        for (code, verdict, status, expected) in rows.into_iter().chain(others) {
            let found = own_answer(&code, &verdict);
            assert_eq!((found.0.as_u16(), found.1), (status, expected), "{code}");
        }
    }
}
