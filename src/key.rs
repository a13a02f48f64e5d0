//! The API key, and URLs that are safe to print.

use std::fmt;

use url::Url;

/// A Model Studio API key. It cannot be printed: `Debug` shows a placeholder and there is no
/// `Display`.
///
/// ```
/// let key = emo_preflight::ApiKey::new("sk-0123456789abcdef")?;
/// assert_eq!(format!("{key:?}"), "ApiKey(..)");
/// # Ok::<(), emo_preflight::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// A key from its text.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] unless it is printable ASCII without spaces, as a header value must
    /// be.
    pub fn new(text: impl Into<String>) -> Result<Self, KeyError> {
        let text = text.into();
        let text = text.trim();
        if text.is_empty() {
            return Err(KeyError::Missing);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(KeyError::Malformed);
        }
        Ok(Self(text.to_owned()))
    }

    /// The key in the environment variable `DASHSCOPE_API_KEY`.
    ///
    /// # Errors
    /// [`KeyError::Missing`] when the variable is not set or empty, [`KeyError::Malformed`] as
    /// [`ApiKey::new`].
    pub fn from_env() -> Result<Self, KeyError> {
        match std::env::var(ENV) {
            Ok(text) => Self::new(text),
            Err(std::env::VarError::NotPresent) => Err(KeyError::Missing),
            Err(std::env::VarError::NotUnicode(_)) => Err(KeyError::Malformed),
        }
    }

    /// A name for the key's account that does not give the key away.
    pub(crate) fn digest(&self) -> String {
        use sha2::{Digest as _, Sha256};
        let digest: [u8; 32] = Sha256::digest(&self.0).into();
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The value of the Authorization header. The only way the key leaves this type.
    pub(crate) fn bearer(&self) -> Option<reqwest::header::HeaderValue> {
        let mut value =
            reqwest::header::HeaderValue::from_str(&format!("Bearer {}", self.0)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(..)")
    }
}

/// Why there is no key. Never shows the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No key was given.
    #[error("no API key: set DASHSCOPE_API_KEY to a Model Studio key of the Beijing region")]
    Missing,
    /// The key cannot be a header's value.
    #[error("the API key is printable ASCII without spaces; the one given is not")]
    Malformed,
}

/// A URL without userinfo, query values and fragment: what logs and errors may show.
pub(crate) fn printable(url: &Url) -> String {
    let mut shown = url.clone();
    // These fail only for URLs that cannot have userinfo.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    if let Some(query) = url.query() {
        // A part without a name is a value: `?TOKEN`.
        let parts: Vec<String> = query
            .split('&')
            .map(|part| {
                part.split_once('=').map_or("…".to_owned(), |(name, _)| format!("{name}=…"))
            })
            .collect();
        // Set by hand: the setter would percent-encode the ellipsis.
        shown.set_query(None);
        return format!("{shown}?{}", parts.join("&"));
    }
    shown.into()
}

/// As [`printable`], of a source's text; what is no URL is shown without anything after a `?`.
pub(crate) fn printable_text(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) => printable(&url),
        Err(_) => text.split('?').next().unwrap_or_default().to_owned(),
    }
}

const ENV: &str = "DASHSCOPE_API_KEY";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_of_a_url() {
        for (url, shown) in [
            ("https://h/a.jpg", "https://h/a.jpg"),
            ("https://user:pass@h:8/a#f", "https://h:8/a"),
            ("https://h/a?Signature=s&v=1", "https://h/a?Signature=…&v=…"),
            ("https://h/a?TOKEN", "https://h/a?…"),
            ("https://h/a?", "https://h/a?…"),
        ] {
            assert_eq!(printable(&Url::parse(url).unwrap()), shown);
        }
    }
}
