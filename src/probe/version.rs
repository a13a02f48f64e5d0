//! Which version of a picture was looked at: total length and the SHA-256 of its first bytes, so
//! that a verdict on one picture is not given for another that took its place.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

/// A picture's version, independent of how its bytes were fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Total length in bytes, where the origin said it.
    pub(crate) length: Option<u64>,
    /// SHA-256 of the first min(1,024, length) bytes.
    pub(crate) start: [u8; 32],
    /// A strong entity tag (RFC 9110, section 8.8.3).
    pub(crate) etag: Option<String>,
}

impl Version {
    /// Whether the picture is surely another than the one that was asked about.
    pub(crate) fn is_another(asked: Option<&Self>, now: Option<&Self>) -> bool {
        matches!((asked, now), (Some(asked), Some(now)) if asked.differs(now))
    }

    /// Whether `other` is surely another picture: what only one of the two knows tells nothing.
    fn differs(&self, other: &Self) -> bool {
        self.start != other.start
            || known_and_different(self.length.as_ref(), other.length.as_ref())
            || known_and_different(self.etag.as_ref(), other.etag.as_ref())
    }
}

/// Collects a version while the bytes pass by. Hashes nothing before someone wants to know.
#[derive(Default)]
pub(crate) struct VersionBuilder {
    start: Vec<u8>,
    total: Option<u64>,
    etag: Option<String>,
}

impl VersionBuilder {
    /// Notes what an answer says of the file; false when it contradicts an earlier answer.
    #[must_use]
    pub(super) fn note(&mut self, etag: Option<Cow<'_, str>>, total: Option<u64>) -> bool {
        // A weak tag does not promise equal bytes, and one without quotes is no tag (RFC 9110,
        // section 8.8.3).
        let etag = etag.filter(|tag| tag.len() > 1 && tag.starts_with('"') && tag.ends_with('"'));
        if known_and_different(self.total.as_ref(), total.as_ref())
            || known_and_different(self.etag.as_deref(), etag.as_deref())
        {
            return false;
        }
        self.total = self.total.or(total);
        self.etag = self.etag.take().or_else(|| etag.map(Cow::into_owned));
        true
    }

    /// The file turned out to end after `total` bytes.
    pub(super) fn note_end(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// Takes what belongs to the start of the file from bytes at `at`.
    pub(super) fn feed(&mut self, at: u64, bytes: &[u8]) {
        let have = self.start.len();
        if let Some(skip) = u64::try_from(have).ok().and_then(|have| have.checked_sub(at))
            && let Some(news) = usize::try_from(skip).ok().and_then(|skip| bytes.get(skip..))
        {
            let lacking = START.saturating_sub(have).min(news.len());
            self.start.extend_from_slice(news.get(..lacking).unwrap_or_default());
        }
    }

    pub(super) fn has_bytes(&self) -> bool {
        !self.start.is_empty()
    }

    /// The first byte that the version still lacks, if it lacks any.
    pub(super) fn missing_from(&self) -> Option<u64> {
        let have = u64::try_from(self.start.len()).unwrap_or(u64::MAX);
        let whole = self.total.is_some_and(|total| have >= total);
        (self.start.len() < START && !whole).then_some(have)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.missing_from().is_none()
    }

    pub(super) fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    pub(crate) fn build(&self) -> Version {
        Version {
            length: self.total,
            start: Sha256::digest(&self.start).into(),
            etag: self.etag.clone(),
        }
    }
}

fn known_and_different<T: PartialEq + ?Sized>(a: Option<&T>, b: Option<&T>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if a != b)
}

/// Bytes of a picture that its version covers.
pub(super) const START: usize = 1_024;
