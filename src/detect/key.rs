//! The API key.

use std::fmt;

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
///
/// For an example see [`ApiKey`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No key was given.
    #[error("no API key: set DASHSCOPE_API_KEY to a Model Studio key of the Beijing region")]
    Missing,
    /// The key cannot be a header's value.
    #[error("the API key must be printable ASCII without spaces; the one given is not")]
    Malformed,
}

const ENV: &str = "DASHSCOPE_API_KEY";
