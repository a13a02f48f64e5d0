//! What the head of an answer says.

use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, HeaderMap, HeaderName, RETRY_AFTER};

use super::Refusal;
use crate::report::{Reason, ReasonCode};

/// Refuses a body that is not sent as it is, though that was asked for.
pub(super) fn identity_only(headers: &HeaderMap) -> Result<(), Refusal> {
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes());
        let mut codings = value.split(',').map(str::trim).filter(|coding| !coding.is_empty());
        if let Some(coding) = codings.find(|coding| !coding.eq_ignore_ascii_case("identity")) {
            let message = format!("body is sent as it is, found it encoded as {coding:?}");
            let reason = Reason::new(ReasonCode::EncodedBody, message);
            return Err(Refusal::undetermined(reason.found(coding).required("identity")));
        }
    }
    Ok(())
}

/// Retry-After in seconds or as a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    crate::retry_after::parse(&text_of(headers, RETRY_AFTER)?, std::time::SystemTime::now())
}

pub(super) fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
