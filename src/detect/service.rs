//! Where a detector is asked, and under which name.

use url::{Host, Url};

use super::detector::Detector;
use crate::net::ConfigError;
use crate::net::url_text::printable;

/// Who is asked.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) detector: &'static Detector,
    /// Where the calls go.
    pub(crate) endpoint: Url,
    pub(crate) model: String,
}

impl Service {
    pub(crate) fn new(
        detector: &'static Detector,
        base_url: &str,
        model: String,
    ) -> Result<Self, ConfigError> {
        let endpoint = endpoint(base_url, detector)?;
        if model.trim().is_empty() {
            let message = "the model must have a name, found an empty one";
            return Err(ConfigError::Option(message.to_owned()));
        }
        if let Some(sister) = SISTERS.iter().find(|sister| model.trim() == **sister) {
            let message = format!(
                "the model must speak as {} does, found {sister}, which does not",
                detector.model
            );
            return Err(ConfigError::Option(message));
        }
        Ok(Self { detector, endpoint, model })
    }

    pub(crate) fn is_on_loopback(&self) -> bool {
        is_loopback(&self.endpoint)
    }
}

/// Where a detector's calls go, from the service's base URL.
fn endpoint(base_url: &str, detector: &Detector) -> Result<Url, ConfigError> {
    let invalid = |what: String| ConfigError::Option(format!("the base URL {what}"));
    if base_url.trim().is_empty() {
        return Err(invalid("must not be empty, found nothing".to_owned()));
    }
    let mut url = Url::parse(base_url.trim())
        .map_err(|e| invalid(format!("must be a URL, found none: {e}")))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => {
            return Err(invalid(format!(
                "must be https (http on loopback only: the key would travel in clear), found {}",
                printable(&url)
            )));
        }
        other => return Err(invalid(format!("must be https, found the scheme {other:?}"))),
    }
    let has_userinfo = !url.username().is_empty() || url.password().is_some();
    if url.query().is_some() || url.fragment().is_some() || has_userinfo {
        return Err(invalid(
            "must have no userinfo, query or fragment, found one of them".to_owned(),
        ));
    }
    url.path_segments_mut()
        .map_err(|()| invalid("must have a host, found none".to_owned()))?
        .pop_if_empty()
        .extend(detector.path);
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(v4)) => v4.is_loopback(),
        Some(Host::Ipv6(v6)) => v6.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// The service in Beijing, which alone has this model (vendor page).
pub(crate) const DEFAULT_BASE_URL: &str = "https://dashscope.aliyuncs.com/api/v1";

/// Models of the same endpoint whose answers would be billed and not understood (vendor pages).
const SISTERS: [&str; 4] =
    ["emoji-detect-v1", "liveportrait-detect", "wan2.2-s2v-detect", "animate-anyone-detect-gen2"];
