//! The local stage: is this image worth a call? Free, a few KB, no key.

mod answer;
mod body;
mod content;
mod error;
mod fetch;
mod file;
mod guard;
mod head;
mod hosts;
mod http;
mod local;
mod prefix;
mod progress;
mod range;
mod redirect;
#[cfg(feature = "faces")]
mod screen;
mod time_budget;
mod turns;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use content::{Content, Sighting};
use futures_util::stream::Stream;
pub use guard::AddressPolicy;
#[cfg(fuzzing)]
pub(crate) use range::{ByteRange, ContentRange};

#[cfg(feature = "faces")]
use crate::faces::FaceScreen;
use crate::net::ConfigError;
use crate::net::tls::RootCertificate;
use crate::report::{Reason, ReasonCode, Report, Verdict};
use crate::rules::Limits;
use crate::run::{Run, RunOptions, Source, Stop, drive, http_url, looks_like_url};
use fetch::ImageFetch;
pub(crate) use local::{LocalOutcome, LocalRejection, Need};
#[cfg(feature = "faces")]
use screen::Screened;

/// Settings of the local stage.
///
/// For an example see [`Probe`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProbeOptions {
    /// What an image must satisfy. Default: the documented limits.
    pub limits: Limits,
    /// The longest the local stage of one source may take, redirects and retries included. Waiting
    /// for one's turn at a host does not count, but no longer than this is waited for a host that
    /// asked to be left alone (`Retry-After`). Default 20 s.
    pub timeout: Duration,
    /// The longest an origin may do nothing for us, above 0 s: within each such span an answer has
    /// to begin (one that does not is asked for once more), and then at least 1,024 bytes of its
    /// body arrive, or all that is left of it. Default 10 s.
    pub progress_timeout: Duration,
    /// Body bytes taken of one image before the answer is `undetermined`. At least 1,024.
    /// Default 4 MiB.
    pub max_header_bytes: u64,
    /// The most bytes that are read of an image whose origin gives no ranges or no length, where its
    /// content must be known: before a call. Default 64 MiB.
    pub max_image_bytes: u64,
    /// Requests under way to one host at a time, at least 1. Default 16.
    pub per_host: usize,
    /// Which addresses may be connected to. Default: public ones. For its sake no proxy is taken
    /// from the environment, see [`AddressPolicy`].
    pub addresses: AddressPolicy,
    /// Authorities whose certificates are accepted from origins beside the platform's, for
    /// portraits behind a company's own. The paid call does not trust them. Default: none.
    pub extra_roots: Vec<RootCertificate>,
    /// The User-Agent of image fetches. Default `emo-preflight/VERSION`.
    pub user_agent: String,
    /// Whether a source that is no URL is read as a local file's path. Default off: the service
    /// takes URLs only.
    pub local_files: bool,
    /// The face screen, if there is to be one.
    #[cfg(feature = "faces")]
    pub(crate) face_screen: Option<FaceScreen>,
}

impl ProbeOptions {
    /// Fetches the whole of an image that passed by its header, and looks for a face in it. What an
    /// origin gives it within [`timeout`](Self::timeout) and 20 MiB; an image that could not be looked
    /// at passes. Default: none.
    ///
    /// ```
    /// use emo_preflight::{FaceScreen, ProbeOptions, ScreenAction};
    /// let screen = FaceScreen::new().action(ScreenAction::Reject);
    /// let options = ProbeOptions::default().face_screen(screen);
    /// ```
    #[cfg(feature = "faces")]
    #[must_use]
    pub fn face_screen(mut self, screen: FaceScreen) -> Self {
        self.face_screen = Some(screen);
        self
    }
}

impl Default for ProbeOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            timeout: Duration::from_secs(20),
            progress_timeout: Duration::from_secs(10),
            max_header_bytes: 4 * 1_024 * 1_024,
            max_image_bytes: 64 * 1_024 * 1_024,
            per_host: 16,
            addresses: AddressPolicy::default(),
            extra_roots: Vec::new(),
            user_agent: concat!("emo-preflight/", env!("CARGO_PKG_VERSION")).to_owned(),
            local_files: false,
            #[cfg(feature = "faces")]
            face_screen: None,
        }
    }
}

/// The local stage on its own: no key, no call, no ledger.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use emo_preflight::{Probe, ProbeOptions, Source, Verdict};
/// let probe = Probe::new(ProbeOptions::default())?;
/// let report = probe.check(Source::url("https://example.org/portrait.jpg")).await;
/// assert!(matches!(report.verdict, Verdict::Eligible));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Probe(Arc<Shared>);

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl Probe {
    /// A local stage with these settings.
    ///
    /// # Errors
    /// [`ConfigError`] when a setting is out of its range or TLS cannot be set up.
    pub fn new(options: ProbeOptions) -> Result<Self, ConfigError> {
        Shared::new(options, Arc::new(guard::SystemNames)).map(|shared| Self(Arc::new(shared)))
    }

    /// Looks at one image's header, and at its face if a screen is set: [`Verdict::Eligible`],
    /// [`Verdict::RejectedLocal`] or [`Verdict::Undetermined`].
    ///
    /// Dropping the future ends the transfer; nothing else is lost.
    ///
    /// # Panics
    /// Outside a Tokio runtime, as everything on Tokio does.
    pub fn check(&self, source: Source) -> impl Future<Output = Report> + Send + use<> {
        let probe = self.clone();
        async move {
            let mut local = LocalOutcome::default();
            probe.ensure(&source, &mut local, Need::Look).await;
            let verdict = local.rejection.as_ref().map_or(Verdict::Eligible, |r| r.verdict);
            local.report(source, verdict)
        }
    }

    /// Looks at many images: a stream of sources in, a stream of reports out, in the order in
    /// which they are done.
    ///
    /// The run owns its stream of sources, so give it values that it can keep: an iterator through
    /// `futures_util::stream::iter`, a channel's receiver. How to end it early is said at [`Run`].
    pub fn run<S>(&self, sources: S, options: RunOptions) -> Run
    where
        S: Stream<Item = Source> + Send + 'static,
    {
        self.run_under(Stop::default(), sources, options)
    }

    /// As [`run`](Self::run), ended by `stop` too.
    pub(crate) fn run_under<S>(&self, stop: Stop, sources: S, options: RunOptions) -> Run
    where
        S: Stream<Item = Source> + Send + 'static,
    {
        let probe = self.clone();
        drive(sources, &options, stop, move |source, stop| {
            let report = probe.check(source);
            async move { stop.unless_interrupted(report).await }
        })
    }

    /// Finds out what is needed of a source and not known yet. An image that changes meanwhile is looked at
    /// once more from its first byte. What is not known afterwards has a rejection.
    pub(crate) async fn ensure(&self, source: &Source, local: &mut LocalOutcome, need: Need) {
        while local.rejection.is_none() && !self.knows(local, need) {
            let done = match need {
                _ if local.header.is_none() => self.read_header(source, local).await,
                Need::Content => self.read_content(local).await,
                #[cfg(feature = "faces")]
                Need::Look => self.look(source, local).await,
                _ => Ok(()),
            };
            local.fetch = local.image.as_ref().map(|image| image.fetch()).or(local.fetch);
            let Err(rejection) = done else { continue };
            let image = local.image.as_mut().filter(|_| rejection.says_changed());
            if image.is_some_and(|image| image.begin_again()) {
                let (fetch, image) = (local.fetch, local.image.take());
                *local = LocalOutcome { fetch, image, ..LocalOutcome::default() };
            } else {
                local.rejection = Some(rejection);
            }
        }
    }

    /// Whether as much is known of an image.
    pub(crate) fn knows(&self, local: &LocalOutcome, need: Need) -> bool {
        local.header.is_some()
            && match need {
                Need::Content => local.content.is_some(),
                #[cfg(feature = "faces")]
                Need::Look => {
                    let has_no_screen = self.0.options.face_screen.is_none();
                    has_no_screen || matches!(local.screened, Screened::Looked(_))
                }
                _ => true,
            }
    }

    async fn read_header(
        &self,
        source: &Source,
        local: &mut LocalOutcome,
    ) -> Result<(), LocalRejection> {
        if let Some(problem) = &source.problem {
            return Err(LocalRejection::rejected(Reason::new(ReasonCode::BadInput, problem)));
        }
        let found = if self.0.options.local_files && !looks_like_url(&source.text) {
            file::header_of(source.text.clone()).await
        } else {
            let mut image = match local.image.take() {
                Some(image) => image,
                None => {
                    let url = http_url(&source.text).map_err(LocalRejection::rejected)?;
                    Box::new(ImageFetch::new(Arc::clone(&self.0), url))
                }
            };
            let found = image.header().await;
            local.fetch = Some(image.fetch());
            local.image = found.is_ok().then_some(image);
            found
        };
        local.header = match &found {
            Ok(header) => Some(*header),
            Err(rejection) => rejection.header.as_deref().copied(),
        };
        // A header that could be read is held against the limits, that of a file that cannot be right
        // too: what breaks one says so, and nothing else.
        let limits = &self.0.options.limits;
        let broken = local.header.map(|header| limits.check(&header)).unwrap_or_default();
        if broken.is_empty() {
            return found.map(drop);
        }
        let reasons = broken.iter().map(Reason::from).collect();
        Err(LocalRejection { verdict: Verdict::RejectedLocal, reasons, header: None })
    }

    async fn read_content(&self, local: &mut LocalOutcome) -> Result<(), LocalRejection> {
        // A local file has none: it is not called for.
        let (Some(header), Some(image)) = (local.header, &mut local.image) else {
            return Err(LocalRejection::rejected(Reason::new(ReasonCode::NotHttpUrl, NO_URL)));
        };
        local.content = Some(image.content(header.format).await?);
        Ok(())
    }
}

/// What every transfer of one probe shares.
struct Shared {
    options: ProbeOptions,
    http: http::Http,
    hosts: hosts::Hosts,
}

impl Shared {
    fn new(options: ProbeOptions, names: Arc<dyn guard::Names>) -> Result<Self, ConfigError> {
        let required = |holds: bool, what: &str| {
            if holds { Ok(()) } else { Err(ConfigError::Option(what.to_owned())) }
        };
        required(options.per_host > 0, "requests per host must be at least 1, found 0")?;
        required(
            !options.timeout.is_zero(),
            "the local stage's time-out must be above 0 s, found 0",
        )?;
        required(
            !options.progress_timeout.is_zero(),
            "the time-out on an origin's progress must be above 0 s, found 0",
        )?;
        required(
            options.max_header_bytes >= progress::LEAST,
            "header bytes allowed must be at least 1024, found fewer",
        )?;
        let http = http::Http::new(&options, names)?;
        let hosts = hosts::Hosts::new(options.per_host);
        Ok(Self { options, http, hosts })
    }

    /// What is kept of the bytes on the way to a header: the first sample, and more where the face screen
    /// will want all of them.
    fn most_kept(&self) -> usize {
        #[cfg(feature = "faces")]
        if self.options.face_screen.is_some() {
            return progress::MOST_KEPT;
        }
        FIRST_SAMPLE
    }
}

const FIRST_SAMPLE: usize = content::SAMPLE as usize;
const NO_URL: &str = "source must be an http or https URL where a call may follow";
