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
mod prefix;
mod progress;
mod range;
mod redirect;
#[cfg(feature = "faces")]
mod screen;

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
use crate::header::{Header, HeaderError, Orientation, Problem};
use crate::net::ConfigError;
use crate::net::tls::RootCertificate;
use crate::report::{Fetch, Reason, ReasonCode, Report, Verdict};
use crate::rules::Limits;
use crate::run::{Run, RunOptions, Source, Stop, drive, http_url, looks_like_url};
use fetch::ImageFetch;
use prefix::Prefix;
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
            match done {
                Err(rejection) if rejection.says_changed() && !local.has_changed => {
                    let fetch = local.fetch;
                    *local = LocalOutcome { has_changed: true, fetch, ..LocalOutcome::default() };
                }
                done => local.rejection = done.err(),
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
        let mut image = None;
        let found = if self.0.options.local_files && !looks_like_url(&source.text) {
            file::header_of(source.text.clone()).await
        } else {
            let url = http_url(&source.text).map_err(LocalRejection::rejected)?;
            let before = local.fetch.unwrap_or_default();
            let image = image.insert(ImageFetch::new(Arc::clone(&self.0), url, before));
            let found = image.header().await;
            local.fetch = Some(image.fetch());
            found
        };
        if found.is_ok() {
            local.image = image.map(Box::new);
        }
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
        // One that has changed is read in one go: one answer is of one version.
        image.ranges &= !local.has_changed;
        let content = image.content(header.format).await;
        local.fetch = Some(image.fetch());
        local.content = Some(content?);
        Ok(())
    }
}

/// How much must be known of an image, in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// That its header breaks no limit.
    Header,
    /// Which image it is.
    Content,
    /// What the face screen says of it, where there is one.
    Look,
}

/// What the local stage found out about one source.
#[derive(Default)]
pub(crate) struct LocalOutcome {
    pub(crate) header: Option<Header>,
    image: Option<Box<ImageFetch>>,
    /// What it is known by, once it was read.
    pub(crate) content: Option<Content>,
    fetch: Option<Fetch>,
    #[cfg(feature = "faces")]
    screened: Screened,
    /// It was another image when it was first looked at.
    has_changed: bool,
    /// Why no call is worth its money; absent when one is.
    pub(crate) rejection: Option<LocalRejection>,
}

impl LocalOutcome {
    /// Where the image was met, if that can be told again without its content: not without a strong tag.
    pub(crate) fn sighting(&self, url: &str) -> Option<Sighting> {
        let progress = &self.image.as_ref()?.progress;
        let (etag, total) = (progress.version.etag.as_deref()?, progress.version.total?);
        let start = usize::try_from(total.min(content::SAMPLE)).ok()?;
        Some(Sighting::new(url, etag, total, progress.prefix.bytes().get(..start)?))
    }

    /// A report of what was found, with `verdict`.
    pub(crate) fn report(self, source: Source, verdict: Verdict) -> Report {
        Report {
            index: source.index.unwrap_or(0),
            image_id: source.image_id,
            image: self.header,
            #[cfg(feature = "faces")]
            screen: self.screened.into_screen(),
            reasons: self.rejection.map(|rejection| rejection.reasons).unwrap_or_default(),
            fetch: self.fetch,
            input: source.input,
            ..Report::new(source.text, source.ratio, verdict)
        }
    }
}

/// Why no call is made for a source.
#[derive(Clone, Debug)]
pub(crate) struct LocalRejection {
    pub(crate) verdict: Verdict,
    pub(crate) reasons: Vec<Reason>,
    /// What its header says, where that could be read.
    pub(crate) header: Option<Box<Header>>,
}

impl LocalRejection {
    fn rejected(reason: Reason) -> Self {
        Self { verdict: Verdict::RejectedLocal, reasons: vec![reason], header: None }
    }

    fn undetermined(reason: Reason) -> Self {
        Self { verdict: Verdict::Undetermined, reasons: vec![reason], header: None }
    }

    /// Whether the image was another than it was before.
    fn says_changed(&self) -> bool {
        self.reasons.iter().any(|reason| reason.code == ReasonCode::ChangedMeanwhile)
    }

    fn of_header(error: &HeaderError) -> Self {
        let reason = Reason::from(error);
        match error {
            HeaderError::SizeDeferred { .. } => Self::undetermined(reason),
            HeaderError::Corrupt {
                format,
                problem: Problem::FileLength { width, height, .. },
                ..
            } => {
                let header = Header::new(*format, *width, *height, Some(Orientation::NORMAL));
                Self { header: Some(Box::new(header)), ..Self::rejected(reason) }
            }
            HeaderError::Unsupported { .. }
            | HeaderError::NotAnImage { .. }
            | HeaderError::Corrupt { .. }
            | HeaderError::Truncated { .. } => Self::rejected(reason),
        }
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

    fn prefix(&self) -> Prefix {
        Prefix::new(self.most_kept())
    }
}

const FIRST_SAMPLE: usize = content::SAMPLE as usize;
const NO_URL: &str = "source must be an http or https URL where a call may follow";
