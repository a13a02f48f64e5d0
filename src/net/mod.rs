//! What both HTTP clients need, the free one in `probe` and the paid one in `detect`: TLS, URLs that
//! are safe to print, compressed bodies, `Retry-After`, and what an error says.

#[cfg(feature = "client")]
pub(crate) mod http_error;
#[cfg(feature = "client")]
pub(crate) mod inflate;
#[cfg(feature = "client")]
pub(crate) mod retry_after;
#[cfg(feature = "client")]
pub(crate) mod tls;
pub(crate) mod url_text;

/// A setting that cannot work.
///
/// For an example see [`Preflight`](crate::Preflight).
#[cfg(feature = "client")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// An option is out of its range; the text says which, what is required and what was found.
    #[error("{0}")]
    Option(String),
    /// No HTTPS client could be made of this machine's TLS settings.
    #[error("cannot set up TLS: {0}")]
    Tls(String),
}
