//! What of a picture has been read, and which part is wanted next. Knows no network.

use super::range::ByteRange;
use super::version::VersionBuilder;
use crate::header::{Header, HeaderError, HeaderReader, Shortcut, Step};

/// The way through one picture's header.
pub(super) struct Walk {
    reader: HeaderReader,
    pub(super) version: VersionBuilder,
    next_length: u64,
    /// Behind the last byte that was read.
    reached: u64,
    has_jumped: bool,
    bad_landings: u32,
}

impl Walk {
    pub(super) fn new() -> Self {
        Self {
            reader: HeaderReader::new(),
            version: VersionBuilder::default(),
            next_length: FIRST_RANGE,
            reached: 0,
            has_jumped: false,
            bad_landings: 0,
        }
    }

    /// Begins at byte 0 again. A proven liar stays one.
    pub(super) fn begin_anew(&mut self) {
        *self = Self { bad_landings: self.bad_landings, ..Self::new() };
    }

    /// The part wanted next, of at most `most` bytes.
    pub(super) fn next_range(&self, most: u64) -> ByteRange {
        let wish = match self.reader.step() {
            Ok(Step::Need { at, len }) => Some((at, u64::try_from(len).unwrap_or(u64::MAX))),
            _ => None,
        };
        let jump = self.jump().map(|j| (j.at, u64::try_from(j.len).unwrap_or(u64::MAX)));
        let wish = jump.or(wish);
        // The version may lack bytes that the reader does not want: of a tiny file whose length
        // nobody said, or behind a first transfer that broke off early.
        let missing = self.version.missing_from();
        let first = missing.into_iter().chain(wish.map(|(at, _)| at)).min().unwrap_or(0);
        let end = wish.map_or(first, |(at, length)| at.saturating_add(length));
        // Behind the first gap most headers are about to end; behind the next they may go on.
        let is_first_jump = first > self.reached && !self.has_jumped;
        let least = if is_first_jump { FIRST_RANGE } else { self.next_length };
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
        let jump = self.reader.shortcut().filter(|_| self.bad_landings < MOST_BAD_LANDINGS)?;
        let end = jump.at.saturating_add(u64::try_from(jump.len).ok()?);
        let is_inside = self.version.total().is_some_and(|total| end <= total);
        (is_inside && self.version.is_complete()).then_some(jump)
    }

    pub(super) fn feed(&mut self, at: u64, bytes: &[u8]) {
        self.has_jumped |= at > self.reached;
        self.reached = at.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.version.feed(at, bytes);
        // An error is sticky in the reader: `answer` gives it.
        let _ = self.reader.feed(at, bytes);
    }

    /// Takes the part behind a jump. If the landing is bad, the walk goes on from where it was.
    pub(super) fn land(&mut self, jump: Shortcut, landing: &[u8]) {
        if !self.reader.land(jump.at, landing) {
            self.bad_landings += 1;
            self.lengthen();
        }
    }

    /// The file ends after `total` bytes.
    pub(super) fn end(&mut self, total: u64) -> Result<Header, HeaderError> {
        self.version.note_end(total);
        self.reader.eof(total)
    }

    /// The answer, once nothing more is wanted: neither by the reader nor for the version.
    pub(super) fn answer(&self) -> Option<Result<Header, HeaderError>> {
        match self.reader.step() {
            Ok(Step::Need { .. }) => None,
            Ok(Step::Done(header)) => self.version.is_complete().then_some(Ok(header)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// Most headers end within it, the version's 1,024 bytes lie in it, and with its headers it
/// arrives in TCP's first window.
const FIRST_RANGE: u64 = 4 * 1_024;

/// Ranges double up to this while a header goes on.
const LONGEST_RANGE: u64 = 64 * 1_024;

/// Each costs a request; a chain that is uneven once needs the third.
const MOST_BAD_LANDINGS: u32 = 3;
