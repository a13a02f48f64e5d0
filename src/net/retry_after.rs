//! `Retry-After`, which origins and the service both may send.

use std::time::{Duration, SystemTime};

/// Reads a Retry-After value: whole seconds or a date (RFC 9110, section 10.2.3).
pub(crate) fn parse(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // A date that has passed asks for no wait.
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}
