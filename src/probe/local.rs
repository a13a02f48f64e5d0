//! What the local stage has found out about one source.

use super::content::{Content, SAMPLE, Sighting};
use super::fetch::ImageFetch;
#[cfg(feature = "faces")]
use super::screen::Screened;
use crate::header::{Header, HeaderError, Orientation, Problem};
use crate::report::{Fetch, Reason, ReasonCode, Report, Verdict};
use crate::run::Source;

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
    pub(super) image: Option<Box<ImageFetch>>,
    /// What it is known by, once it was read.
    pub(crate) content: Option<Content>,
    pub(super) fetch: Option<Fetch>,
    #[cfg(feature = "faces")]
    pub(super) screened: Screened,
    /// Why no call is worth its money; absent when one is.
    pub(crate) rejection: Option<LocalRejection>,
}

impl LocalOutcome {
    /// Where the image was met, if that can be told again without its content: not without a strong tag.
    pub(crate) fn sighting(&self, url: &str) -> Option<Sighting> {
        let progress = &self.image.as_ref()?.progress;
        let (etag, total) = (progress.etag.as_deref()?, progress.total?);
        let start = usize::try_from(total.min(SAMPLE)).ok()?;
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
    pub(super) fn rejected(reason: Reason) -> Self {
        Self { verdict: Verdict::RejectedLocal, reasons: vec![reason], header: None }
    }

    pub(super) fn undetermined(reason: Reason) -> Self {
        Self { verdict: Verdict::Undetermined, reasons: vec![reason], header: None }
    }

    /// Whether the image was another than it was before.
    pub(super) fn says_changed(&self) -> bool {
        self.reasons.iter().any(|reason| reason.code == ReasonCode::ChangedMeanwhile)
    }

    pub(super) fn of_header(error: &HeaderError) -> Self {
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
