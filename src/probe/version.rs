//! Which version of an image was looked at: total length and the SHA-256 of its first bytes, so
//! that a verdict on one image is not given for another that took its place.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

/// An image's version, independent of how its bytes were fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// Total length in bytes, where the origin said it.
    pub(crate) length: Option<u64>,
    /// SHA-256 of the first min(1,024, length) bytes.
    pub(crate) start: [u8; 32],
    /// SHA-256 of the last min(1,024, length) bytes, where they were read.
    pub(crate) end: Option<[u8; 32]>,
    /// SHA-256 of all bytes, where they were read and kept.
    pub(crate) whole: Option<[u8; 32]>,
    /// A strong entity tag (RFC 9110, section 8.8.3).
    pub(crate) etag: Option<String>,
}

impl Version {
    /// Whether the image is the one that was asked about. What only one of the two knows tells
    /// nothing.
    pub(crate) fn compare(asked: Option<&Self>, now: Option<&Self>) -> Sameness {
        let (Some(asked), Some(now)) = (asked, now) else { return Sameness::Same };
        let ends = (asked.end, now.end);
        if asked.start != now.start
            || known_and_different(asked.length.as_ref(), now.length.as_ref())
            || known_and_different(ends.0.as_ref(), ends.1.as_ref())
        {
            return Sameness::Another;
        }
        if !known_and_different(asked.etag.as_ref(), now.etag.as_ref()) {
            return Sameness::Same;
        }
        // Replicas behind one name often give one file tags of their own.
        match ends {
            (Some(_), Some(_)) => Sameness::Same,
            (Some(_), None) => Sameness::NeedsLastBytes,
            (None, _) => Sameness::Another,
        }
    }
}

/// What comparing two versions tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sameness {
    Same,
    Another,
    /// The last bytes decide, if they can be had; else it is another.
    NeedsLastBytes,
}

/// Collects a version while the bytes pass by. Hashes nothing before someone wants to know.
#[derive(Clone, Default)]
pub(crate) struct VersionBuilder {
    start: Vec<u8>,
    /// The last bytes that were fed in a row, and where they end.
    last: Vec<u8>,
    last_ends: u64,
    total: Option<u64>,
    etag: Option<String>,
    whole: Option<[u8; 32]>,
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

    /// Takes what belongs to the start or the end of the file from bytes at `at`.
    pub(super) fn feed(&mut self, at: u64, bytes: &[u8]) {
        self.keep_last(at, bytes);
        let have = self.start.len();
        if let Some(skip) = u64::try_from(have).ok().and_then(|have| have.checked_sub(at))
            && let Some(news) = usize::try_from(skip).ok().and_then(|skip| bytes.get(skip..))
        {
            let lacking = START.saturating_sub(have).min(news.len());
            self.start.extend_from_slice(news.get(..lacking).unwrap_or_default());
        }
    }

    /// Keeps the last bytes of those that follow each other.
    fn keep_last(&mut self, at: u64, bytes: &[u8]) {
        if at != self.last_ends {
            self.last.clear();
        }
        self.last_ends = at.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let news = bytes.get(bytes.len().saturating_sub(END)..).unwrap_or_default();
        let kept = END.saturating_sub(news.len()).min(self.last.len());
        self.last.drain(..self.last.len() - kept);
        self.last.extend_from_slice(news);
    }

    /// These are all of the file's bytes.
    #[cfg(feature = "faces")]
    pub(super) fn of_whole(mut self, bytes: &[u8]) -> Self {
        self.whole = Some(Sha256::digest(bytes).into());
        self
    }

    /// Whether the file's last bytes were fed.
    pub(super) fn knows_end(&self) -> bool {
        let has_all = |total: u64| {
            let last = u64::try_from(self.last.len()).unwrap_or(u64::MAX);
            self.last_ends == total && last == total.min(END as u64)
        };
        self.total.is_some_and(has_all)
    }

    /// Where the last bytes begin, if the file's length is known and they are not.
    pub(super) fn end_from(&self) -> Option<u64> {
        self.total.filter(|_| !self.knows_end()).map(|total| total.saturating_sub(END as u64))
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
            end: self.knows_end().then(|| Sha256::digest(&self.last).into()),
            whole: self.whole,
            etag: self.etag.clone(),
        }
    }
}

fn known_and_different<T: PartialEq + ?Sized>(a: Option<&T>, b: Option<&T>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if a != b)
}

/// Bytes of an image that its version covers, at its start and at its end.
pub(super) const START: usize = 1_024;
const END: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tells_one_version_from_another() {
        let tagged = |etag: &str| Some(format!("\"{etag}\""));
        let asked = Version {
            length: Some(9),
            start: [1; 32],
            end: Some([2; 32]),
            whole: None,
            etag: tagged("a"),
        };
        let untold = Version { length: None, end: None, etag: None, ..asked.clone() };
        let without_end = Version { end: None, ..asked.clone() };
        use Sameness::{Another, NeedsLastBytes, Same};
        for (name, asked, now, expected) in [
            ("equal", &asked, asked.clone(), Same),
            ("little is known now", &asked, untold.clone(), Same),
            ("little was known", &untold, asked.clone(), Same),
            ("another length", &asked, Version { length: Some(8), ..asked.clone() }, Another),
            ("another start", &asked, Version { start: [3; 32], ..asked.clone() }, Another),
            ("another end", &asked, Version { end: Some([3; 32]), ..asked.clone() }, Another),
            ("a replica's tag", &asked, Version { etag: tagged("b"), ..asked.clone() }, Same),
            (
                "a replica's tag, no end yet",
                &asked,
                Version { etag: tagged("b"), ..without_end.clone() },
                NeedsLastBytes,
            ),
            (
                "another tag, no end was known",
                &without_end,
                Version { etag: tagged("b"), ..asked.clone() },
                Another,
            ),
        ] {
            assert_eq!(Version::compare(Some(asked), Some(&now)), expected, "{name}");
        }
        assert_eq!(Version::compare(None, Some(&asked)), Same);
        assert_eq!(Version::compare(Some(&asked), None), Same);
    }

    #[test]
    fn the_end_is_known_once_it_was_fed_in_a_row() {
        let bytes: Vec<u8> = (0..5_000_u32).map(|n| (n % 251) as u8).collect();
        for (total, parts, knows) in [
            (5_000_usize, &[(0, 5_000)][..], true),
            (5_000, &[(0, 4_000), (4_000, 5_000)], true),
            (5_000, &[(0, 100), (3_976, 5_000)], true),
            (5_000, &[(0, 100), (3_977, 5_000)], false),
            (5_000, &[(0, 3_000), (3_976, 4_500), (4_600, 5_000)], false),
            (5_000, &[(0, 4_999)], false),
            (700, &[(0, 700)], true),
            (700, &[(0, 300), (300, 700)], true),
        ] {
            let mut builder = VersionBuilder::default();
            for (from, to) in parts {
                builder.feed(*from as u64, &bytes[*from..*to]);
            }
            builder.note_end(total as u64);
            let end: [u8; 32] = Sha256::digest(&bytes[total.saturating_sub(1_024)..total]).into();
            assert_eq!(builder.build().end, knows.then_some(end), "{total} {parts:?}");
        }
    }
}
