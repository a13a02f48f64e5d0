//! What of an image has been read, and which part is wanted next. Knows no network.

use super::prefix::Prefix;
use super::range::ByteRange;
use super::version::VersionBuilder;
use crate::header::{Header, HeaderError, HeaderReader, Shortcut, Step};

/// The way through one image's header.
pub(super) struct HeaderProgress {
    reader: HeaderReader,
    pub(super) version: VersionBuilder,
    next_length: u64,
    /// Behind the last byte that was read.
    reached: u64,
    has_jumped: bool,
    /// Long gaps that were left unread.
    long_gaps: u32,
    bad_landings: u32,
    /// The header, where only the file's last bytes are wanted any more, or the whole of it.
    known: Option<Header>,
    /// What was read from the first byte on, where it is kept.
    pub(super) prefix: Prefix,
    wants_whole: bool,
}

impl HeaderProgress {
    /// The way to a header; what is read on it is kept as `prefix` allows.
    pub(super) fn new(prefix: Prefix) -> Self {
        Self {
            reader: HeaderReader::new(),
            version: VersionBuilder::default(),
            next_length: FIRST_RANGE,
            reached: 0,
            has_jumped: false,
            long_gaps: 0,
            bad_landings: 0,
            known: None,
            prefix,
            wants_whole: false,
        }
    }

    /// The way to the last bytes of a file whose header is known.
    pub(super) fn to_the_end(header: Header, version: VersionBuilder) -> Self {
        Self { known: Some(header), version, ..Self::new(Prefix::default()) }
    }

    /// The way to the whole of a file whose header and first bytes are known.
    #[cfg(feature = "faces")]
    pub(super) fn to_the_whole(header: Header, version: VersionBuilder, prefix: Prefix) -> Self {
        Self { known: Some(header), version, wants_whole: true, ..Self::new(prefix) }
    }

    /// Whether only the last bytes are wanted. They may come from another replica of the file than
    /// its header.
    pub(super) fn wants_end(&self) -> bool {
        self.known.is_some() && !self.wants_whole
    }

    /// How many bytes may be taken, if not as many as a header may have.
    pub(super) fn most(&self) -> Option<u64> {
        self.wants_whole.then(|| self.prefix.most())
    }

    /// Begins at byte 0 again. A proven liar stays one.
    pub(super) fn begin_anew(&mut self) {
        let prefix = Prefix::new(usize::try_from(self.prefix.most()).unwrap_or(0));
        let (bad_landings, wants_whole) = (self.bad_landings, self.wants_whole);
        *self = Self { bad_landings, wants_whole, ..Self::new(prefix) };
    }

    /// The part wanted next, of at most `most` bytes.
    pub(super) fn next_range(&self, most: u64) -> ByteRange {
        if let (true, Some(end)) = (self.wants_end(), self.version.end_from()) {
            return ByteRange::new(end, self.version.total().unwrap_or(end).saturating_sub(end));
        }
        if self.wants_whole {
            let first = self.prefix.length();
            let total = self.version.total().unwrap_or(u64::MAX);
            return ByteRange::new(first, total.saturating_sub(first).min(most));
        }
        let wish = match self.reader.step() {
            Ok(Step::Need { at, len }) => Some((at, u64::try_from(len).unwrap_or(u64::MAX))),
            _ => None,
        };
        let jump = self.jump();
        if let Some(guess) = jump.filter(|jump| jump.is_guess) {
            // Whether it is right is all that is wanted.
            return ByteRange::new(guess.at, GUESS_RANGE.min(most));
        }
        let jump = jump.map(|j| (j.at, u64::try_from(j.len).unwrap_or(u64::MAX)));
        let wish = jump.or(wish);
        // The version may lack bytes that the reader does not want: of a tiny file whose length
        // nobody said, or behind a first transfer that broke off early.
        let missing = self.version.missing_from();
        let first = missing.into_iter().chain(wish.map(|(at, _)| at)).min().unwrap_or(0);
        let end = wish.map_or(first, |(at, length)| at.saturating_add(length));
        // Behind the first gap most headers are about to end; behind the next they may go on. One
        // that is longer than what would be read was worth a request.
        let is_short = (first > self.reached && !self.has_jumped) || self.is_long(first);
        let least = if is_short { FIRST_RANGE } else { self.next_length };
        let wanted = end.saturating_sub(first).max(least);
        ByteRange::new(first, wanted.min(most))
    }

    /// A part was answered: the next may be longer.
    pub(super) fn lengthen(&mut self) {
        self.next_length = self.next_length.saturating_mul(2).min(LONGEST_RANGE);
    }

    /// A jump worth taking: not announced by a proven liar, within the file, and nothing wanted
    /// before it.
    pub(super) fn jump(&self) -> Option<Shortcut> {
        if self.known.is_some() || self.wants_whole {
            return None;
        }
        let jump = self.reader.shortcut().filter(|_| self.bad_landings < MOST_BAD_LANDINGS)?;
        let end = jump.at.saturating_add(u64::try_from(jump.len).ok()?);
        let is_inside = self.version.total().is_some_and(|total| end <= total);
        (is_inside && self.version.is_complete()).then_some(jump)
    }

    /// Whether what lies between here and there is better jumped over, again and again: not for
    /// ever, since each gap costs a request.
    fn is_long(&self, to: u64) -> bool {
        to.saturating_sub(self.reached) >= self.next_length && self.long_gaps < MOST_LONG_GAPS
    }

    pub(super) fn feed(&mut self, at: u64, bytes: &[u8]) {
        if self.is_long(at) && self.has_jumped {
            self.long_gaps += 1;
            self.next_length = FIRST_RANGE;
        }
        self.has_jumped |= at > self.reached;
        self.reached = at.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.version.feed(at, bytes);
        self.prefix.feed(at, bytes);
        if self.known.is_none() {
            if let Some(total) = self.version.total() {
                self.reader.set_total(total);
            }
            // An error is sticky in the reader: `answer` gives it.
            let _ = self.reader.feed(at, bytes);
        }
    }

    /// Takes the part behind a jump. If the landing is bad, the progress goes on from where it was.
    pub(super) fn land(&mut self, jump: Shortcut, landing: &[u8]) {
        if self.reader.land(jump.at, landing) {
            let length = u64::try_from(landing.len()).unwrap_or(u64::MAX);
            self.reached = jump.at.saturating_add(length);
            self.has_jumped = true;
            self.next_length = FIRST_RANGE;
        } else {
            self.bad_landings += 1;
        }
    }

    /// The file ends after `total` bytes.
    pub(super) fn end(&mut self, total: u64) -> Result<Header, HeaderError> {
        self.version.note_end(total);
        self.reader.set_total(total);
        match self.known {
            Some(header) => Ok(header),
            None => self.reader.eof(total),
        }
    }

    /// The answer, once nothing more is wanted: neither by the reader nor for the version.
    pub(super) fn answer(&self) -> Option<Result<Header, HeaderError>> {
        if let (Some(header), false) = (self.known, self.wants_whole) {
            return self.version.knows_end().then_some(Ok(header));
        }
        let is_here = self.version.total().is_some_and(|total| self.prefix.length() >= total);
        if let (Some(header), true) = (self.known, is_here) {
            return Some(Ok(header));
        }
        if self.known.is_some() {
            return None;
        }
        match self.reader.step() {
            Ok(Step::Done(_)) if self.wants_whole && !is_here => None,
            Ok(Step::Need { .. }) => None,
            Ok(Step::Done(header)) => self.version.is_complete().then_some(Ok(header)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Most headers end within it, the version's 1,024 bytes lie in it, and with its headers it
/// arrives in TCP's first window.
const FIRST_RANGE: u64 = 4 * 1_024;

/// A segment's marker, length and name.
const GUESS_RANGE: u64 = 64;

/// So many long gaps are jumped one by one; then ranges double again.
const MOST_LONG_GAPS: u32 = 16;

/// Ranges double up to this while a header goes on.
const LONGEST_RANGE: u64 = 64 * 1_024;

/// Each costs a request; a chain that is uneven once needs the third.
const MOST_BAD_LANDINGS: u32 = 3;
