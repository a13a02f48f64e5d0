//! Where a redirect may lead.

use hyper::StatusCode;
use hyper::header::HeaderValue;
use percent_encoding::{CONTROLS, percent_encode};
use url::Url;

use super::LocalRejection;
use super::error::undetermined;
use super::head::excerpt;
use crate::report::ReasonCode;

/// Whether a status is a redirect that a GET follows.
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// A Location as a text. Bytes beyond ASCII that are no UTF-8 are some server's own encoding of a
/// path: they are kept, as percent-encoding keeps them.
pub(super) fn location(value: &HeaderValue) -> String {
    match str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => percent_encode(value.as_bytes(), CONTROLS).to_string(),
    }
}

/// The URL that an answer from `from` leads to with this Location.
pub(super) fn target(from: &Url, location: Option<&str>) -> Result<Url, LocalRejection> {
    let bad = |message: String| undetermined(ReasonCode::BadRedirect, message);
    let location =
        location.ok_or_else(|| bad("a redirect must have a Location, found none".to_owned()))?;
    let mut to = from.join(location).map_err(|e| bad(format!("a redirect leads to a URL: {e}")))?;
    // User and password are for the place that the caller named. These fail only for URLs that
    // cannot have them.
    let _ = to.set_username("");
    let _ = to.set_password(None);
    to.set_fragment(None);
    match (from.scheme(), to.scheme()) {
        (_, "https") | ("http", "http") => Ok(to),
        (from, to) => {
            Err(bad(format!("a redirect from {from} must lead to {from}, found {}", excerpt(to))))
        }
    }
}
