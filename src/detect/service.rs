//! Where a detector is asked, under which name, and which base URLs are one service.

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
    base_url: String,
    name: String,
}

impl Service {
    /// `name` says that it is the service of that name, whatever its base URL.
    pub(crate) fn new(
        detector: &'static Detector,
        base_url: &str,
        name: Option<&str>,
        model: String,
    ) -> Result<Self, ConfigError> {
        let base = parse_base_url(base_url)?;
        let name = match name.map(str::trim) {
            Some("") => {
                let message = "the service must have a name, found an empty one";
                return Err(ConfigError::Option(message.to_owned()));
            }
            Some(name) => name.to_owned(),
            None => name_of(&base),
        };
        let base_url = normalized(&base);
        let endpoint = endpoint(base, detector)?;
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
        Ok(Self { detector, endpoint, model, base_url, name })
    }

    /// The service's name: one for all base URLs of the vendor's service in Beijing, else the base
    /// URL in its normal form, unless another was given.
    pub(crate) fn identity(&self) -> &str {
        &self.name
    }

    /// What is said of an answer that is none of its own.
    pub(crate) fn must_answer(&self, status: u16) -> String {
        format!(
            "the base URL {} must lead to the service, found an answer that is not its JSON (HTTP \
             {status}); give one like {DEFAULT_BASE_URL} (--base-url, DASHSCOPE_HTTP_BASE_URL)",
            self.base_url
        )
    }

    pub(crate) fn is_on_loopback(&self) -> bool {
        is_loopback(&self.endpoint)
    }
}

/// A base URL that calls may go to.
fn parse_base_url(base_url: &str) -> Result<Url, ConfigError> {
    let invalid = |what: String| ConfigError::Option(format!("the base URL {what}"));
    if base_url.trim().is_empty() {
        return Err(invalid("must not be empty, found nothing".to_owned()));
    }
    let url = Url::parse(base_url.trim())
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
    let shown = normalized(&url);
    // What a user has at hand: the base URL of another API of the vendor's, or this one's endpoint.
    for not_its_own in ["/compatible-mode/", "/services/aigc/"] {
        if let Some(at) = format!("{}/", url.path()).find(not_its_own) {
            let mut right = url.clone();
            let before = url.path().get(..at).unwrap_or_default();
            right.set_path(if before.ends_with(API) { before } else { API });
            return Err(invalid(format!(
                "must be the one that ends in {API}, found {shown}; give {}",
                normalized(&right)
            )));
        }
    }
    if !shown.ends_with(API) {
        tracing::warn!("the base URL should end in {API}, found {shown}");
    }
    Ok(url)
}

/// Where a detector's calls go, from the service's base URL.
fn endpoint(mut base: Url, detector: &Detector) -> Result<Url, ConfigError> {
    let no_host = "the base URL must have a host, found none";
    base.path_segments_mut()
        .map_err(|()| ConfigError::Option(no_host.to_owned()))?
        .pop_if_empty()
        .extend(detector.path);
    Ok(base)
}

/// As it is printed and compared: the parser has put scheme and host into lower case and has left
/// out a default port.
fn normalized(base: &Url) -> String {
    printable(base).trim_end_matches('/').to_owned()
}

/// All hosts of the vendor's service in Beijing answer alike, for whichever account or workspace.
fn name_of(base: &Url) -> String {
    let host = base.host_str().unwrap_or_default().trim_end_matches('.');
    let is_below = |domain: &str| host.strip_suffix(domain).is_some_and(|label| !label.is_empty());
    let is_vendors = matches!(host, BEIJING | "vpc-cn-beijing.dashscope.aliyuncs.com")
        || is_below(".dashscope.cn-beijing.privatelink.aliyuncs.com") && host.starts_with("ep-")
        || is_below(".cn-beijing.maas.aliyuncs.com");
    match is_vendors && base.port().is_none() {
        true => BEIJING.to_owned(),
        false => normalized(base),
    }
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

const BEIJING: &str = "dashscope.aliyuncs.com";

/// How every base URL of the API ends.
const API: &str = "/api/v1";

/// Models of the same endpoint whose answers would be billed and not understood (vendor pages).
const SISTERS: [&str; 4] =
    ["emoji-detect-v1", "liveportrait-detect", "wan2.2-s2v-detect", "animate-anyone-detect-gen2"];

#[cfg(test)]
mod tests {
    use super::super::EMO_DETECT;
    use super::*;

    fn service(base_url: &str, name: Option<&str>) -> Result<Service, ConfigError> {
        Service::new(&EMO_DETECT, base_url, name, EMO_DETECT.model.to_owned())
    }

    #[test]
    fn which_base_urls_are_one_service() {
        const VENDOR: &str = "dashscope.aliyuncs.com";
        for (base_url, name, expected) in [
            (DEFAULT_BASE_URL, None, VENDOR),
            ("HTTPS://DashScope.AliYunCS.com:443/api/v1/", None, VENDOR),
            ("https://dashscope.aliyuncs.com./api/v1", None, VENDOR),
            ("https://vpc-cn-beijing.dashscope.aliyuncs.com/api/v1", None, VENDOR),
            ("https://ep-2ze1.dashscope.cn-beijing.privatelink.aliyuncs.com/api/v1", None, VENDOR),
            ("https://llm-abc123.cn-beijing.maas.aliyuncs.com/api/v1", None, VENDOR),
            ("https://proxy.example.org/api/v1", Some(VENDOR), VENDOR),
            ("https://proxy.example.org/api/v1", Some(" night "), "night"),
            (DEFAULT_BASE_URL, Some("night"), "night"),
            (
                "https://dashscope-intl.aliyuncs.com/api/v1",
                None,
                "https://dashscope-intl.aliyuncs.com/api/v1",
            ),
            (
                "https://dashscope-us.aliyuncs.com/api/v1",
                None,
                "https://dashscope-us.aliyuncs.com/api/v1",
            ),
            (
                "https://w.ap-southeast-1.maas.aliyuncs.com/api/v1",
                None,
                "https://w.ap-southeast-1.maas.aliyuncs.com/api/v1",
            ),
            (
                "https://cn-beijing.maas.aliyuncs.com/api/v1",
                None,
                "https://cn-beijing.maas.aliyuncs.com/api/v1",
            ),
            (
                "https://dashscope.aliyuncs.com.example.org/api/v1",
                None,
                "https://dashscope.aliyuncs.com.example.org/api/v1",
            ),
            (
                "https://evil-dashscope.aliyuncs.com/api/v1",
                None,
                "https://evil-dashscope.aliyuncs.com/api/v1",
            ),
            (
                "https://dashscope.aliyuncs.com:8443/api/v1",
                None,
                "https://dashscope.aliyuncs.com:8443/api/v1",
            ),
            ("HTTP://LocalHost:80/API/v1//", None, "http://localhost/API/v1"),
            ("http://127.0.0.1:8484/api/v1", None, "http://127.0.0.1:8484/api/v1"),
        ] {
            assert_eq!(service(base_url, name).unwrap().identity(), expected, "{base_url}");
        }
        let nameless = service(DEFAULT_BASE_URL, Some(" ")).unwrap_err().to_string();
        assert!(nameless.contains("must have a name"), "{nameless}");
    }

    #[test]
    fn a_base_url_that_cannot_be_right_names_the_one_that_is() {
        for (base_url, right) in [
            ("https://dashscope.aliyuncs.com/compatible-mode/v1", DEFAULT_BASE_URL),
            (
                "https://w.cn-beijing.maas.aliyuncs.com/compatible-mode/v1/",
                "https://w.cn-beijing.maas.aliyuncs.com/api/v1",
            ),
            (
                "http://127.0.0.1:8484/x/api/v1/services/aigc/image2video/face-detect",
                "http://127.0.0.1:8484/x/api/v1",
            ),
            (
                "https://dashscope.aliyuncs.com/api/v1/services/aigc/image2video/face-detect",
                DEFAULT_BASE_URL,
            ),
            ("https://dashscope.aliyuncs.com/services/aigc/", DEFAULT_BASE_URL),
            ("https://dashscope.aliyuncs.com/compatible-mode", DEFAULT_BASE_URL),
        ] {
            let error = service(base_url, None).unwrap_err().to_string();
            assert!(error.ends_with(&format!("; give {right}")), "{error}");
        }
        assert_eq!(
            service("https://dashscope.aliyuncs.com/compatible-mode/v1", None)
                .unwrap_err()
                .to_string(),
            "the base URL must be the one that ends in /api/v1, found \
             https://dashscope.aliyuncs.com/compatible-mode/v1; give \
             https://dashscope.aliyuncs.com/api/v1"
        );
        for base_url in [DEFAULT_BASE_URL, "https://proxy.example.org/compatible", "http://[::1]:1"]
        {
            assert!(service(base_url, None).is_ok(), "{base_url}");
        }
    }
}
