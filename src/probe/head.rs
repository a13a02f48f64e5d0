//! What the head of an answer says.

use std::borrow::Cow;
use std::time::Duration;

use hyper::header::{CONTENT_ENCODING, HeaderMap, HeaderName, RETRY_AFTER, TRANSFER_ENCODING};

use super::LocalRejection;
use crate::net::inflate::Coding;
use crate::report::{Reason, ReasonCode};

/// How a body is compressed although identity was asked for; an error where it cannot be unpacked.
/// Chunks are no coding of the image where they come last; before another coding nobody undoes them
/// (RFC 9112, section 6.1).
pub(super) fn coding(headers: &HeaderMap) -> Result<Option<Coding>, LocalRejection> {
    let mut content = codings(headers, CONTENT_ENCODING);
    // Some say it here; nothing is meant by it.
    content.retain(|coding| !is_chunked(coding));
    let mut transfer = codings(headers, TRANSFER_ENCODING);
    transfer.pop_if(|last| is_chunked(last));
    let codings = content.iter().chain(&transfer);
    let codings: Vec<&String> =
        codings.filter(|coding| !coding.eq_ignore_ascii_case("identity")).collect();
    let Some(coding) = codings.first() else { return Ok(None) };
    if let ([coding], true) = (&*codings, transfer.is_empty())
        && let Some(known) = Coding::named(coding)
    {
        return Ok(Some(known));
    }
    let coding = excerpt(coding);
    let message =
        format!("body must come as it is, or as gzip or deflate, found it encoded as \"{coding}\"");
    let reason = Reason::new(ReasonCode::EncodedBody, message);
    Err(LocalRejection::undetermined(reason.found(coding).required("identity")))
}

/// A body that does not unpack.
pub(super) fn packed_wrong(error: &std::io::Error) -> LocalRejection {
    let message = format!("compressed body must unpack, found: {error}");
    LocalRejection::undetermined(Reason::new(ReasonCode::EncodedBody, message))
}

fn codings(headers: &HeaderMap, name: HeaderName) -> Vec<String> {
    let values = headers.get_all(name).into_iter();
    let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
    let split = |value: Cow<'_, str>| -> Vec<String> {
        value.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
    };
    values.flat_map(split).collect()
}

fn is_chunked(coding: &str) -> bool {
    coding.eq_ignore_ascii_case("chunked")
}

/// Retry-After in seconds or as a date (RFC 9110, section 10.2.3).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    crate::net::retry_after::parse(&text_of(headers, RETRY_AFTER)?, std::time::SystemTime::now())
}

/// Code and message of an object store's error, as OSS and S3 write them: XML with an `Error` of a
/// `Code` and a `Message` of plain text. Nothing else of it is shown: it may repeat what was signed.
pub(super) fn error_words(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body)
        .or_else(|error| std::str::from_utf8(body.get(..error.valid_up_to()).unwrap_or_default()));
    let (_, error) = text.ok()?.split_once("<Error>")?;
    let between = |name: &str| {
        let (_, rest) = error.split_once(&format!("<{name}>"))?;
        let (inner, _) = rest.split_once(&format!("</{name}>"))?;
        // A URL in it would have a query, and that its signature.
        (!inner.contains(['<', '?', '=', '\n'])).then(|| excerpt(inner.trim()))
    };
    match (between("Code"), between("Message")) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (code, message) => code.or(message),
    }
}

/// What a report shows of a text that the origin chose: not all of it, and nothing that steers a
/// terminal.
pub(super) fn excerpt(text: &str) -> String {
    let escaped = |c: char| match c.is_control() {
        true => c.escape_debug().to_string(),
        false => c.to_string(),
    };
    let shown: String = text.chars().map(escaped).collect();
    match shown.char_indices().nth(LONGEST_EXCERPT) {
        Some((end, _)) => format!("{}…", shown.get(..end).unwrap_or_default()),
        None => shown,
    }
}

pub(super) fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<Cow<'_, str>> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
}

const LONGEST_EXCERPT: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_an_origins_text() {
        for (text, shown) in [
            ("br", "br".to_owned()),
            ("a\u{1b}[2J\n", r"a\u{1b}[2J\n".to_owned()),
            (&"ü".repeat(100), "ü".repeat(100)),
            (&"ü".repeat(70_000), format!("{}…", "ü".repeat(100))),
        ] {
            assert_eq!(excerpt(text), shown);
        }
    }
}
