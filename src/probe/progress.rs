//! What of an image has been read, and which part is wanted next. Knows no network.

use std::borrow::Cow;

use super::content::{Content, SAMPLE, Sampler};
use super::prefix::Prefix;
use super::range::ByteRange;
use crate::header::{Format, Header, HeaderError, HeaderReader, Shortcut, Step};

/// Which version of a file its answers speak of.
#[derive(Clone, Debug, Default)]
pub(super) struct Version {
    /// Its length in bytes, where the origin says it.
    pub(super) total: Option<u64>,
    /// A strong entity tag (RFC 9110, section 8.8.3).
    pub(super) etag: Option<String>,
}

impl Version {
    /// Notes what an answer says of the file; false when it contradicts an earlier answer.
    #[must_use]
    fn note(&mut self, etag: Option<Cow<'_, str>>, total: Option<u64>) -> bool {
        let etag = etag.filter(|tag| is_strong(tag));
        if known_and_different(self.total.as_ref(), total.as_ref())
            || known_and_different(self.etag.as_deref(), etag.as_deref())
        {
            return false;
        }
        self.total = self.total.or(total);
        self.etag = self.etag.take().or_else(|| etag.map(Cow::into_owned));
        true
    }
}

/// A weak tag does not promise equal bytes, and one without quotes is no tag.
fn is_strong(tag: &str) -> bool {
    tag.len() > 1 && tag.starts_with('"') && tag.ends_with('"')
}

fn known_and_different<T: PartialEq + ?Sized>(a: Option<&T>, b: Option<&T>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if a != b)
}

/// The way through one image.
pub(super) struct ImageProgress {
    goal: Goal,
    pub(super) version: Version,
    /// What was read from the first byte on.
    pub(super) prefix: Prefix,
}

/// What is wanted of the image.
enum Goal {
    Header(Box<HeaderWalk>),
    Samples(Samples),
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
    /// The file is another than it was before.
    Changed,
}

impl ImageProgress {
    /// The way to a header; what is read on it is kept as `prefix` allows.
    pub(super) fn to_header(prefix: Prefix) -> Self {
        let goal = Goal::Header(Box::new(HeaderWalk::new(0)));
        Self { goal, version: Version::default(), prefix }
    }

    /// The way to the content of a file whose first bytes are known.
    pub(super) fn to_content(format: Format, version: Version, prefix: Prefix) -> Self {
        let goal = Goal::Samples(Samples::new(format, &version, &prefix));
        Self { goal, version, prefix }
    }

    /// The way to the whole of a file whose first bytes are known.
    #[cfg(feature = "faces")]
    pub(super) fn to_whole(version: Version, prefix: Prefix) -> Self {
        Self { goal: Goal::Whole, version, prefix }
    }

    /// Whether the header is what is wanted.
    pub(super) fn is_header(&self) -> bool {
        matches!(self.goal, Goal::Header(_))
    }

    /// How many bytes may be taken where the whole is wanted.
    pub(super) fn most(&self) -> Option<u64> {
        match self.goal {
            #[cfg(feature = "faces")]
            Goal::Whole => Some(self.prefix.most()),
            _ => None,
        }
    }

    /// Begins a header at byte 0 again, of whatever version the file now is. A proven liar stays one.
    pub(super) fn begin_again(&mut self) {
        if let Goal::Header(walk) = &mut self.goal {
            **walk = HeaderWalk::new(walk.bad_landings);
            self.version = Version::default();
            self.prefix = self.prefix.emptied();
        }
    }

    /// Notes what an answer says of the file; false when it contradicts an earlier answer.
    #[must_use]
    pub(super) fn note(&mut self, etag: Option<Cow<'_, str>>, total: Option<u64>) -> bool {
        self.version.note(etag, total)
    }

    /// Notes what is said of the whole file with all of it: where it was met before, its tag may be
    /// another replica's, for its bytes are compared.
    #[must_use]
    pub(super) fn note_whole(&mut self, etag: Option<Cow<'_, str>>, total: Option<u64>) -> bool {
        self.version.etag = None;
        let is_same = self.version.note(etag, total);
        if let Goal::Samples(samples) = &mut self.goal {
            samples.begin_again(&self.version);
        }
        is_same
    }

    /// The part wanted next, of at most `most` bytes.
    pub(super) fn next_range(&self, most: u64) -> ByteRange {
        match &self.goal {
            Goal::Header(walk) => walk.next_range(self.version.total, self.missing_from(), most),
            Goal::Samples(samples) => {
                let next = samples.sampler.as_ref().and_then(Sampler::next).unwrap_or(0..1);
                ByteRange::new(next.start, next.end.saturating_sub(next.start))
            }
            #[cfg(feature = "faces")]
            Goal::Whole => {
                let first = self.prefix.length();
                let total = self.version.total.unwrap_or(u64::MAX);
                ByteRange::new(first, total.saturating_sub(first).min(most))
            }
        }
    }

    /// The first byte that is still lacking of the least that an origin has to give of an image.
    fn missing_from(&self) -> Option<u64> {
        let have = self.prefix.length();
        let is_whole = self.version.total.is_some_and(|total| have >= total);
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
            Goal::Header(walk) if self.missing_from().is_none() => walk.jump(self.version.total),
            _ => None,
        }
    }

    /// Takes bytes of the file; false when they contradict those that were met before.
    #[must_use]
    pub(super) fn feed(&mut self, at: u64, bytes: &[u8]) -> bool {
        let is_same = self.prefix.agrees(at, bytes);
        self.prefix.feed(at, bytes);
        match &mut self.goal {
            Goal::Header(walk) => walk.feed(self.version.total, at, bytes),
            Goal::Samples(samples) => samples.feed(at, bytes),
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

    /// The file ends after `total` bytes. No answer where it has to be read once more.
    pub(super) fn end(&mut self, total: u64) -> Option<Answer> {
        if known_and_different(self.version.total.as_ref(), Some(&total)) && !self.is_header() {
            return Some(Answer::Changed);
        }
        self.version.total = Some(total);
        match &mut self.goal {
            Goal::Header(walk) => {
                walk.reader.set_total(total);
                Some(Answer::Header(walk.reader.eof(total)))
            }
            Goal::Samples(samples) => samples.end(total),
            #[cfg(feature = "faces")]
            Goal::Whole => self.answer(),
        }
    }

    /// The answer, once nothing more is wanted.
    pub(super) fn answer(&self) -> Option<Answer> {
        match &self.goal {
            Goal::Header(walk) => match walk.reader.step() {
                Ok(Step::Need { .. }) => None,
                Ok(Step::Done(header)) => {
                    self.missing_from().is_none().then_some(Answer::Header(Ok(header)))
                }
                Err(error) => Some(Answer::Header(Err(error))),
            },
            Goal::Samples(samples) => samples.answer(),
            #[cfg(feature = "faces")]
            Goal::Whole => {
                let is_here = self.version.total.is_some_and(|total| self.prefix.length() >= total);
                is_here.then_some(Answer::Whole)
            }
        }
    }
}

/// The samples of a file.
struct Samples {
    format: Format,
    /// Absent while the file's length is not known.
    sampler: Option<Sampler>,
    /// The first bytes of a file of unknown length, and how many have passed by. One that is longer than
    /// what is kept is read once more, when its length is known.
    kept: Vec<u8>,
    passed: u64,
}

impl Samples {
    fn new(format: Format, version: &Version, prefix: &Prefix) -> Self {
        let mut samples = Self { format, sampler: None, kept: Vec::new(), passed: 0 };
        samples.begin_again(version);
        if let Some(sampler) = &mut samples.sampler {
            sampler.feed(0, prefix.bytes());
        }
        samples
    }

    fn begin_again(&mut self, version: &Version) {
        self.sampler = version.total.map(|total| Sampler::new(total, self.format));
        (self.kept, self.passed) = (Vec::new(), 0);
    }

    fn feed(&mut self, at: u64, bytes: &[u8]) {
        match &mut self.sampler {
            Some(sampler) => sampler.feed(at, bytes),
            None => {
                let room = MOST_KEPT.saturating_sub(self.kept.len());
                self.kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
                self.passed += u64::try_from(bytes.len()).unwrap_or(0);
            }
        }
    }

    fn end(&mut self, total: u64) -> Option<Answer> {
        if self.sampler.is_none() {
            let mut sampler = Sampler::new(total, self.format);
            if self.passed <= u64::try_from(self.kept.len()).unwrap_or(u64::MAX) {
                sampler.feed(0, &self.kept);
            }
            self.kept = Vec::new();
            self.sampler = Some(sampler);
            return self.answer();
        }
        // A file of a known length that ended before it.
        self.answer().or(Some(Answer::Changed))
    }

    fn answer(&self) -> Option<Answer> {
        let sampler = self.sampler.as_ref().filter(|sampler| sampler.next().is_none())?;
        Some(Answer::Content(sampler.clone().finish()))
    }
}

/// The way to a header.
struct HeaderWalk {
    reader: HeaderReader,
    next_length: u64,
    /// Behind the last byte that was read.
    reached: u64,
    has_jumped: bool,
    /// Long gaps that were left unread.
    long_gaps: u32,
    bad_landings: u32,
}

impl HeaderWalk {
    fn new(bad_landings: u32) -> Self {
        Self {
            reader: HeaderReader::new(),
            next_length: FIRST_RANGE,
            reached: 0,
            has_jumped: false,
            long_gaps: 0,
            bad_landings,
        }
    }

    fn next_range(&self, total: Option<u64>, missing: Option<u64>, most: u64) -> ByteRange {
        let jump = self.jump(total).filter(|_| missing.is_none());
        if let Some(guess) = jump.filter(|jump| jump.is_guess) {
            // Whether it is right is all that is wanted.
            return ByteRange::new(guess.at, GUESS_RANGE.min(most));
        }
        let jump = jump.map(|j| (j.at, u64::try_from(j.len).unwrap_or(u64::MAX)));
        let wish = match self.reader.step() {
            Ok(Step::Need { at, len }) => Some((at, u64::try_from(len).unwrap_or(u64::MAX))),
            _ => None,
        };
        let wish = jump.or(wish);
        let first = missing.into_iter().chain(wish.map(|(at, _)| at)).min().unwrap_or(0);
        let end = wish.map_or(first, |(at, length)| at.saturating_add(length));
        // Behind the first gap most headers are about to end; behind the next they may go on. One
        // that is longer than what would be read was worth a request.
        let is_short = (first > self.reached && !self.has_jumped) || self.is_long(first);
        let least = if is_short { FIRST_RANGE } else { self.next_length };
        ByteRange::new(first, end.saturating_sub(first).max(least).min(most))
    }

    /// A jump worth taking: not announced by a proven liar, and within the file.
    fn jump(&self, total: Option<u64>) -> Option<Shortcut> {
        let jump = self.reader.shortcut().filter(|_| self.bad_landings < MOST_BAD_LANDINGS)?;
        let end = jump.at.saturating_add(u64::try_from(jump.len).ok()?);
        total.is_some_and(|total| end <= total).then_some(jump)
    }

    /// Whether what lies between here and there is better jumped over, again and again: not for
    /// ever, since each gap costs a request.
    fn is_long(&self, to: u64) -> bool {
        to.saturating_sub(self.reached) >= self.next_length && self.long_gaps < MOST_LONG_GAPS
    }

    fn feed(&mut self, total: Option<u64>, at: u64, bytes: &[u8]) {
        if self.is_long(at) && self.has_jumped {
            self.long_gaps += 1;
            self.next_length = FIRST_RANGE;
        }
        self.has_jumped |= at > self.reached;
        self.reached = at.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if let Some(total) = total {
            self.reader.set_total(total);
        }
        // An error is sticky in the reader: `answer` gives it.
        let _ = self.reader.feed(at, bytes);
    }

    fn land(&mut self, jump: Shortcut, landing: &[u8]) {
        if self.reader.land(jump.at, landing) {
            let length = u64::try_from(landing.len()).unwrap_or(u64::MAX);
            self.reached = jump.at.saturating_add(length);
            self.has_jumped = true;
            self.next_length = FIRST_RANGE;
        } else {
            self.bad_landings += 1;
        }
    }
}

/// Most headers end within it, the first sample is as long, and with its headers it arrives in TCP's
/// first window.
const FIRST_RANGE: u64 = SAMPLE;

/// What an origin must give of an image, or all of it, before anything is believed.
pub(super) const LEAST: u64 = 1_024;

/// A segment's marker, length and name.
const GUESS_RANGE: u64 = 64;

/// This many long gaps are jumped one by one; then ranges double again.
const MOST_LONG_GAPS: u32 = 16;

/// Ranges double up to this while a header goes on.
const LONGEST_RANGE: u64 = 64 * 1_024;

/// Each costs a request; a chain that is uneven once needs the third.
const MOST_BAD_LANDINGS: u32 = 3;

/// Bytes kept of a file whose length is not known.
const MOST_KEPT: usize = 1_024 * 1_024;
