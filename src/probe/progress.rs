//! What of an image has been read, and which part is wanted next. Knows no network.

use std::borrow::Cow;

use super::content::{Content, SAMPLE, Sampler};
use super::prefix::Prefix;
use super::range::ByteRange;
use crate::header::{Format, Header, HeaderError, HeaderReader, Shortcut, Step};

/// The way through one image.
pub(super) struct ImageProgress {
    pub(super) goal: Goal,
    /// The file's length in bytes, where the origin says it.
    pub(super) total: Option<u64>,
    /// Its strong entity tag (RFC 9110, section 8.8.3).
    pub(super) etag: Option<String>,
    /// Whether an answer has said whether it has one.
    is_noted: bool,
    /// What was read from the first byte on.
    pub(super) prefix: Prefix,
}

/// What is wanted of the image.
pub(super) enum Goal {
    Header(Box<HeaderWalk>),
    Samples {
        format: Format,
        /// Absent while the file's length is not known.
        sampler: Option<Sampler>,
    },
    /// All of it, from where the prefix ends.
    #[cfg(feature = "faces")]
    Whole,
}

/// What the way has led to.
pub(super) enum Answer {
    Header(Result<Header, HeaderError>),
    Content(Content),
    #[cfg(feature = "faces")]
    Whole,
}

// Where a function answers whether the file is the same: false says that it is another than it was.
impl ImageProgress {
    /// The way to a header; what is read on it is kept as `prefix` allows.
    pub(super) fn to_header(prefix: Prefix) -> Self {
        let goal = Goal::Header(Box::new(HeaderWalk::new(0)));
        Self { goal, total: None, etag: None, is_noted: false, prefix }
    }

    /// Goes on to the content.
    pub(super) fn want_content(&mut self, format: Format) {
        if self.total.is_none() {
            self.prefix.limit(MOST_KEPT);
        }
        self.goal = Goal::Samples { format, sampler: None };
        self.take_samples();
    }

    /// Takes the samples from the first byte on, where the length says which they are.
    fn take_samples(&mut self) {
        if let (Goal::Samples { format, sampler }, Some(total)) = (&mut self.goal, self.total) {
            sampler.insert(Sampler::new(total, *format)).feed(0, self.prefix.bytes());
        }
    }

    /// Begins a header at byte 0 again, of whatever version the file now is. A proven liar stays one.
    pub(super) fn begin_again(&mut self) {
        if let Goal::Header(walk) = &mut self.goal {
            **walk = HeaderWalk::new(walk.bad_landings);
            (self.total, self.etag, self.is_noted) = (None, None, false);
            self.prefix.clear();
        }
    }

    /// Notes what an answer says of the file. One with a tag and one without are of two replicas at least.
    #[must_use]
    pub(super) fn note(&mut self, etag: Option<Cow<'_, str>>, total: Option<u64>) -> bool {
        // A weak tag does not promise equal bytes, and one without quotes is no tag.
        let is_strong = |tag: &str| tag.len() > 1 && tag.starts_with('"') && tag.ends_with('"');
        let etag = etag.filter(|tag| is_strong(tag)).map(Cow::into_owned);
        let is_same = self.has_length(total) && (!self.is_noted || self.etag == etag);
        if is_same {
            self.total = self.total.or(total);
            (self.etag, self.is_noted) = (etag, true);
        }
        is_same
    }

    /// Whether the file may have that length.
    pub(super) fn has_length(&self, total: Option<u64>) -> bool {
        self.total.is_none() || total.is_none() || self.total == total
    }

    /// Notes what is said of the whole file with all of it: where it was met before, its tag may be
    /// another replica's, for its bytes are compared.
    #[must_use]
    pub(super) fn note_whole(&mut self, etag: Option<Cow<'_, str>>, total: Option<u64>) -> bool {
        self.is_noted = false;
        let is_same = self.note(etag, total);
        self.take_samples();
        is_same
    }

    /// The part wanted next, of a header at most `most` bytes.
    pub(super) fn next_range(&self, most: u64) -> ByteRange {
        let (first, end) = match &self.goal {
            Goal::Header(walk) => {
                return walk.next_range(self.total, self.missing_from(), most);
            }
            Goal::Samples { sampler, .. } => {
                let next = sampler.as_ref().and_then(Sampler::next).unwrap_or(0..1);
                (next.start, next.end)
            }
            #[cfg(feature = "faces")]
            Goal::Whole => (self.prefix.length(), self.total.unwrap_or(self.prefix.most())),
        };
        ByteRange::new(first, end.saturating_sub(first))
    }

    /// The first byte that is still lacking of the least that an origin has to give of an image.
    fn missing_from(&self) -> Option<u64> {
        let have = self.prefix.length();
        let is_whole = self.total.is_some_and(|total| have >= total);
        (have < LEAST && !is_whole).then_some(have)
    }

    /// A part was answered: the next may be longer.
    pub(super) fn lengthen(&mut self) {
        if let Goal::Header(walk) = &mut self.goal {
            walk.next_length = walk.next_length.saturating_mul(2).min(LONGEST_RANGE);
        }
    }

    /// A jump worth taking.
    pub(super) fn jump(&self) -> Option<Shortcut> {
        match &self.goal {
            Goal::Header(walk) if self.missing_from().is_none() => walk.jump(self.total),
            _ => None,
        }
    }

    /// Takes bytes of the file.
    #[must_use]
    pub(super) fn feed(&mut self, at: u64, bytes: &[u8]) -> bool {
        let is_same = self.prefix.agrees(at, bytes);
        self.prefix.feed(at, bytes);
        match &mut self.goal {
            Goal::Header(walk) => walk.feed(self.total, at, bytes),
            Goal::Samples { sampler, .. } => {
                if let Some(sampler) = sampler {
                    sampler.feed(at, bytes);
                }
            }
            #[cfg(feature = "faces")]
            Goal::Whole => {}
        }
        is_same
    }

    /// Takes the part behind a jump. If the landing is bad, the progress goes on from where it was.
    pub(super) fn land(&mut self, jump: Shortcut, landing: &[u8]) {
        if let Goal::Header(walk) = &mut self.goal {
            walk.land(jump, landing);
        }
    }

    /// The file ends after `total` bytes. Without an answer then it has to be read once more, now that its
    /// length is known.
    #[must_use]
    pub(super) fn end(&mut self, total: u64) -> bool {
        let known = self.total.replace(total);
        if let Goal::Header(walk) = &mut self.goal {
            walk.reader.set_total(total);
            // An error is sticky in the reader: `answer` gives it.
            let _ = walk.reader.eof(total);
            return true;
        }
        if known.is_none() {
            self.take_samples();
        }
        // One of a known length may have ended before it.
        known.is_none_or(|known| known == total && self.answer().is_some())
    }

    /// The answer, once nothing more is wanted.
    pub(super) fn answer(&self) -> Option<Answer> {
        match &self.goal {
            Goal::Header(walk) => match walk.reader.step() {
                Ok(Step::Need { .. }) => None,
                Ok(Step::Done(_)) if self.missing_from().is_some() => None,
                Ok(Step::Done(header)) => Some(Answer::Header(Ok(header))),
                Err(error) => Some(Answer::Header(Err(error))),
            },
            Goal::Samples { sampler, .. } => {
                let sampler = sampler.as_ref().filter(|sampler| sampler.next().is_none())?;
                Some(Answer::Content(sampler.clone().finish()))
            }
            #[cfg(feature = "faces")]
            Goal::Whole => {
                let is_here = self.total.is_some_and(|total| self.prefix.length() >= total);
                is_here.then_some(Answer::Whole)
            }
        }
    }
}

/// The way to a header.
pub(super) struct HeaderWalk {
    reader: HeaderReader,
    next_length: u64,
    /// Behind the last byte that was read.
    reached: u64,
    /// Gaps that were left unread.
    hops: u32,
    bad_landings: u32,
}

impl HeaderWalk {
    fn new(bad_landings: u32) -> Self {
        let reader = HeaderReader::new();
        Self { reader, next_length: FIRST_RANGE, reached: 0, hops: 0, bad_landings }
    }

    fn next_range(&self, total: Option<u64>, missing: Option<u64>, most: u64) -> ByteRange {
        let jump = self.jump(total).filter(|_| missing.is_none()).map(|jump| (jump.at, jump.len));
        let wish = match self.reader.step() {
            Ok(Step::Need { at, len }) => Some((at, len)),
            _ => None,
        };
        let wish = jump.or(wish);
        let first = missing.into_iter().chain(wish.map(|(at, _)| at)).min().unwrap_or(0);
        let end = wish.map_or(first, |(at, length)| at.saturating_add(length_of(length)));
        let least = if self.hops_to(first) { FIRST_RANGE } else { self.next_length };
        ByteRange::new(first, end.saturating_sub(first).max(least).min(most))
    }

    /// A jump worth taking: not announced by a proven liar, and within the file.
    fn jump(&self, total: Option<u64>) -> Option<Shortcut> {
        let jump = self.reader.shortcut().filter(|_| self.bad_landings < MOST_BAD_LANDINGS)?;
        let end = jump.at.saturating_add(length_of(jump.len));
        total.is_some_and(|total| end <= total).then_some(jump)
    }

    /// Whether what lies between here and there is worth a request of its own. Behind such a gap most
    /// headers are about to end. Not for ever, since each gap costs a request.
    fn hops_to(&self, to: u64) -> bool {
        to.saturating_sub(self.reached) >= FIRST_RANGE && self.hops < MOST_HOPS
    }

    fn feed(&mut self, total: Option<u64>, at: u64, bytes: &[u8]) {
        if self.hops_to(at) {
            self.hops += 1;
            self.next_length = FIRST_RANGE;
        }
        self.reached = at.saturating_add(length_of(bytes.len()));
        if let Some(total) = total {
            self.reader.set_total(total);
        }
        // An error is sticky in the reader: `answer` gives it.
        let _ = self.reader.feed(at, bytes);
    }

    fn land(&mut self, jump: Shortcut, landing: &[u8]) {
        if self.reader.land(jump.at, landing) {
            self.reached = jump.at.saturating_add(length_of(landing.len()));
            self.next_length = FIRST_RANGE;
        } else {
            self.bad_landings += 1;
        }
    }
}

pub(super) fn length_of(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Most headers end within it, the first sample is as long, and with its headers it arrives in TCP's
/// first window.
const FIRST_RANGE: u64 = SAMPLE;

/// What an origin must give of an image, or all of it, before anything is believed.
pub(super) const LEAST: u64 = 1_024;

/// As many gaps are hopped over one by one; then ranges double.
const MOST_HOPS: u32 = 20;

/// Ranges double up to this while a header goes on.
const LONGEST_RANGE: u64 = 64 * 1_024;

/// Each costs a request; a chain that is uneven once needs the third.
const MOST_BAD_LANDINGS: u32 = 3;

/// Bytes kept of each file on the way to its header where the face screen will want all of them, and of
/// one whose length is not known.
pub(super) const MOST_KEPT: usize = 1_024 * 1_024;
