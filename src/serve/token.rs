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

    /// Whether a caller shows it. Compared in a time that says nothing of how much of it was right.
    pub(super) fn is_shown_in(&self, headers: &HeaderMap) -> bool {
        let is_token = |bytes: &[u8]| bool::from(self.0.as_bytes().ct_eq(bytes));
        let key = headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()));
        let own = headers.get(HEADER).map(|value| value.as_bytes());
        key.is_some_and(is_token) || own.is_some_and(is_token)
    }

    /// Whether anything but its own header has it in it, in whatever form: that must go no further.
    pub(super) fn is_elsewhere_in(&self, headers: &HeaderMap) -> bool {
        let token = self.0.as_bytes();
        headers
            .iter()
            .filter(|(name, _)| *name != HEADER)
            .any(|(_, value)| value.as_bytes().windows(token.len()).any(|part| part == token))
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
