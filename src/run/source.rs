//! What the caller asks about: an image's URL and how it is to be asked.

use url::Url;

use crate::net::url_text::{printable_text, starts_with_ignore_case};
use crate::report::{Fields, Reason, ReasonCode};
use crate::rules::AspectRatio;

/// One image to check.
/// ```
/// use emo_preflight::{AspectRatio, Source};
/// let source = Source::url("https://example.org/a.jpg").ratio(AspectRatio::Portrait);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub(crate) text: String,
    pub(crate) ratio: AspectRatio,
    pub(crate) image_id: Option<String>,
    pub(crate) input: Option<Fields>,
    pub(crate) problem: Option<String>,
    pub(crate) index: Option<u64>,
}

impl Source {
    /// An image by its http or https URL. The text is kept as it is; what is no such URL gets a
    /// report that says so.
    #[must_use]
    pub fn url(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ratio: AspectRatio::default(),
            image_id: None,
            input: None,
            problem: None,
            index: None,
        }
    }

    /// The aspect ratio to ask for. Default [`AspectRatio::Square`].
    #[must_use]
    pub fn ratio(mut self, ratio: AspectRatio) -> Self {
        self.ratio = ratio;
        self
    }

    /// The caller's label for the image: it comes back in the report and is kept beside the call. Which
    /// image it is only the bytes decide.
    #[must_use]
    pub fn image_id(mut self, id: impl Into<String>) -> Self {
        self.image_id = Some(id.into());
        self
    }

    /// Fields that come back untouched in the report.
    #[must_use]
    pub fn input(mut self, fields: impl Into<Fields>) -> Self {
        self.input = Some(fields.into());
        self
    }

    /// The source's place in its input, from 0, for its report. Default: a run counts.
    #[must_use]
    pub fn index(mut self, index: u64) -> Self {
        self.index = Some(index);
        self
    }

    /// A source that cannot be asked about; its report says why. So a bad line in a long input
    /// costs that line and no other.
    #[must_use]
    pub fn unreadable(text: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { problem: Some(problem.into()), ..Self::url(text) }
    }
}

/// The URL in a source's text, if the service could fetch it too.
pub(crate) fn http_url(text: &str) -> Result<Url, Reason> {
    let refuse = |message: String| Err(Reason::new(ReasonCode::NotHttpUrl, message));
    // The URL parser would drop tabs and newlines and trim blanks: what is fetched here would then
    // differ from what the service gets.
    if let Some(odd) = text.chars().find(|c| c.is_control() || c.is_whitespace()) {
        return refuse(format!("an http or https URL must have no {odd:?} in it"));
    }
    // Nor is a slip of the pen mended (`http:/x`, `http:\\\\x`): the service may not mend it, or
    // otherwise.
    let begins = |scheme| starts_with_ignore_case(text, scheme);
    let has_host = text.split_once("://").is_some_and(|(_, rest)| !rest.starts_with('/'));
    if (begins("http://") || begins("https://")) && has_host {
        // Some read it as a slash and some do not: of `http://a\@b/` the one asks a, the other b.
        if text.contains('\\') {
            return refuse("an http or https URL must have no '\\' in it".to_owned());
        }
        return Url::parse(text)
            .map_err(|e| Reason::new(ReasonCode::NotHttpUrl, format!("{REQUIRED}: {e}")));
    }
    refuse(match Url::parse(text) {
        _ if matches!(text.chars().next(), Some('"' | '\'' | '<')) => {
            format!("{REQUIRED}, found one in quotes or brackets; give it without them")
        }
        _ if text.is_empty() => format!("{REQUIRED}, found nothing"),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => {
            format!("{REQUIRED}, found the scheme {:?}", url.scheme())
        }
        _ if looks_like_url(text) => format!("{REQUIRED}, with // and a host"),
        _ if looks_like_a_host(text) => {
            format!(
                "{REQUIRED}, found no scheme; perhaps https://{} is meant",
                printable_text(text)
            )
        }
        _ => format!("{REQUIRED}, found a local path: the service takes URLs only"),
    })
}

/// Whether a text means a URL, rightly written or not, rather than a file's path.
pub(crate) fn looks_like_url(text: &str) -> bool {
    let is = |scheme| starts_with_ignore_case(text, scheme);
    text.contains("://") || is("http:") || is("https:") || is("data:")
}

/// Whether a text begins as a URL does behind its scheme: with a host name of two letters or more
/// behind its last dot, and a path.
fn looks_like_a_host(text: &str) -> bool {
    let Some((host, _)) = text.split_once('/') else { return false };
    let host = host.split_once(':').map_or(host, |(name, _)| name);
    let is_name = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let top = host.rsplit_once('.').map_or("", |(_, top)| top);
    host.split('.').all(is_name) && top.len() >= 2 && top.bytes().all(|b| b.is_ascii_alphabetic())
}

const REQUIRED: &str = "source must be an http or https URL";
