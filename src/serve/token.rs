//! The token that callers show.

use std::fmt;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use subtle::ConstantTimeEq as _;

/// What every caller of a server must show: `Authorization: Bearer TOKEN`, or the header
/// `x-emo-preflight-token`. It cannot be printed.
///
/// ```
/// let token = emo_preflight::serve::ServerToken::new("a-long-random-text")?;
/// assert_eq!(format!("{token:?}"), "ServerToken(..)");
/// # Ok::<(), emo_preflight::serve::TokenError>(())
/// ```
#[derive(Clone)]
pub struct ServerToken(String);

/// Why a text is no token. Never shows the text.
///
/// For an example see [`ServerToken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's token must be printable ASCII without spaces; the one given is not")]
pub struct TokenError;

/// What a caller showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// Not the token.
    Wrong,
    /// The token, in its own header.
    InItsHeader,
    /// The token, where a caller's own key would be.
    AsKey,
}

impl ServerToken {
    /// A token from its text.
    ///
    /// # Errors
    /// [`TokenError`] unless it is printable ASCII without spaces, as a header's value must be.
    pub fn new(text: impl Into<String>) -> Result<Self, TokenError> {
        let text = text.into();
        let text = text.trim();
        let fits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.to_owned())).ok_or(TokenError)
    }

    /// Compared in a time that says nothing of how much of it was right.
    pub(super) fn shown_in(&self, headers: &HeaderMap) -> Shown {
        let is_token = |bytes: &[u8]| bool::from(self.0.as_bytes().ct_eq(bytes));
        let key = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        if key.is_some_and(is_token) {
            return Shown::AsKey;
        }
        match headers.get(HEADER) {
            Some(value) if is_token(value.as_bytes()) => Shown::InItsHeader,
            _ => Shown::Wrong,
        }
    }
}

/// The key of an Authorization header (RFC 6750, section 2.1); the scheme's case does not count.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(BEARER.len())?;
    scheme.eq_ignore_ascii_case(BEARER).then(|| key.trim_ascii())
}

impl fmt::Debug for ServerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerToken(..)")
    }
}

pub(super) const HEADER: &str = "x-emo-preflight-token";

const BEARER: &[u8] = b"Bearer ";
