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
#[cfg(not(feature = "faces"))]
#[path = "no_screen.rs"]
mod screen;
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
use crate::header::{Header, HeaderError, Orientation, Problem};
use crate::net::ConfigError;
use crate::net::tls::RootCertificate;
use crate::report::{Fetch, Reason, ReasonCode, Report, Verdict};
use crate::rules::Limits;
use crate::run::{Run, RunOptions, Source, Stop, drive, http_url, looks_like_url};
use fetch::Origin;
use prefix::Prefix;
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
            let mut local = probe.inspect(&source).await;
            while probe.is_to_screen(&local) {
                probe.take_whole(&source, &mut local).await;
                probe.screen(&mut local).await;
            }
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

    pub(crate) async fn inspect(&self, source: &Source) -> LocalOutcome {
        self.inspect_after(source, Fetch::default()).await
    }

    async fn inspect_after(&self, source: &Source, spent: Fetch) -> LocalOutcome {
        if let Some(problem) = &source.problem {
            return LocalRejection::rejected(Reason::new(ReasonCode::BadInput, problem)).into();
        }
        if self.0.options.local_files && !looks_like_url(&source.text) {
            let read = file::header_of(source.text.clone()).await;
            return read.map_or_else(
                |rejection| self.reject(rejection, None),
                |header| self.judge(header, None),
            );
        }
        let url = match http_url(&source.text) {
            Ok(url) => url,
            Err(reason) => return LocalRejection::rejected(reason).into(),
        };
        match fetch::fetch(&self.0, url, spent).await {
            (Ok((header, origin)), spent) => {
                LocalOutcome { origin: Some(origin), ..self.judge(header, Some(spent)) }
            }
            (Err(rejection), spent) => self.reject(rejection, Some(spent)),
        }
    }

    /// Reads what an image lacks of its content. One that changes meanwhile is looked at once more, and its
    /// content then read in one go. What has no content afterwards has a rejection.
    pub(crate) async fn take_content(&self, source: &Source, local: &mut LocalOutcome) {
        while local.rejection.is_none() {
            let (Some(header), Some(mut origin)) = (local.header, local.origin.take()) else {
                return;
            };
            origin.ranges &= !local.has_changed;
            let spent = local.fetch.unwrap_or_default();
            let (found, spent) = fetch::fetch_content(&self.0, origin, header.format, spent).await;
            local.fetch = Some(spent);
            match found {
                Ok((content, origin)) => {
                    (local.content, local.origin) = (Some(content), Some(origin));
                    return;
                }
                Err(rejection) if rejection.says_changed() => self.look_again(source, local).await,
                Err(rejection) => local.rejection = Some(rejection),
            }
        }
    }

    /// Looks once more at an image that has changed since it was looked at.
    async fn look_again(&self, source: &Source, local: &mut LocalOutcome) {
        if local.has_changed {
            local.rejection = Some(fetch::changed());
            return;
        }
        let spent = local.fetch.unwrap_or_default();
        *local = LocalOutcome { has_changed: true, ..self.inspect_after(source, spent).await };
    }

    fn judge(&self, header: Header, fetch: Option<Fetch>) -> LocalOutcome {
        let broken = self.0.options.limits.check(&header);
        let rejection = (!broken.is_empty()).then(|| LocalRejection {
            verdict: Verdict::RejectedLocal,
            reasons: broken.iter().map(Reason::from).collect(),
            header: Some(Box::new(header)),
        });
        LocalOutcome { header: Some(header), fetch, rejection, ..LocalOutcome::none() }
    }

    /// A header that could be read, of a file that cannot be right, is held against the limits: what
    /// breaks one says so, and nothing else.
    fn reject(&self, mut rejection: LocalRejection, fetch: Option<Fetch>) -> LocalOutcome {
        let limits = &self.0.options.limits;
        let broken =
            rejection.header.as_deref().map(|header| limits.check(header)).unwrap_or_default();
        if !broken.is_empty() {
            rejection.reasons = broken.iter().map(Reason::from).collect();
        }
        LocalOutcome { fetch, ..rejection.into() }
    }
}

/// What the local stage found out about one source.
pub(crate) struct LocalOutcome {
    pub(crate) header: Option<Header>,
    origin: Option<Origin>,
    /// What it is known by, once it was read.
    pub(crate) content: Option<Content>,
    pub(crate) fetch: Option<Fetch>,
    screened: Screened,
    /// It was another image when it was first looked at.
    has_changed: bool,
    /// Why no call is worth its money; absent when one is.
    pub(crate) rejection: Option<LocalRejection>,
}

impl LocalOutcome {
    /// Of a source that nothing was looked at for.
    pub(crate) fn none() -> Self {
        Self {
            header: None,
            origin: None,
            content: None,
            fetch: None,
            screened: Default::default(),
            has_changed: false,
            rejection: None,
        }
    }

    /// Where the image was met, if that can be told again without its content: not without a strong tag.
    pub(crate) fn sighting(&self, url: &str) -> Option<Sighting> {
        let Origin { version, prefix, .. } = self.origin.as_ref()?;
        let (etag, total) = (version.etag.as_deref()?, version.total?);
        let start = usize::try_from(total.min(content::SAMPLE)).ok()?;
        Some(Sighting::new(url, etag, total, prefix.bytes().get(..start)?))
    }

    /// A report of what was found, with `verdict`.
    pub(crate) fn report(self, source: Source, verdict: Verdict) -> Report {
        Report {
            index: source.index.unwrap_or(0),
            image_id: source.image_id,
            image: self.header,
            screen: self.screened.into_screen(),
            reasons: self.rejection.map(|rejection| rejection.reasons).unwrap_or_default(),
            fetch: self.fetch,
            input: source.input,
            ..Report::new(source.text, source.ratio, verdict)
        }
    }
}

impl From<LocalRejection> for LocalOutcome {
    fn from(rejection: LocalRejection) -> Self {
        let header = rejection.header.as_deref().copied();
        Self { header, rejection: Some(rejection), ..Self::none() }
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
    fn prefix(&self) -> Prefix {
        Prefix::new(if self.screens() { MOST_KEPT } else { FIRST_SAMPLE })
    }
}

/// Bytes kept of each file on the way to its header, and while what the ledger knows is asked.
const MOST_KEPT: usize = 1_024 * 1_024;
const FIRST_SAMPLE: usize = content::SAMPLE as usize;
