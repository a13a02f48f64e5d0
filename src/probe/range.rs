//! Range requests and what a partial answer claims (RFC 9110, section 14).

use std::fmt;

/// The bytes asked for: both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteRange {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl ByteRange {
    /// `length` bytes (at least one) from `first`.
    pub(crate) fn new(first: u64, length: u64) -> Self {
        Self { first, last: first.saturating_add(length.max(1) - 1) }
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes={}-{}", self.first, self.last)
    }
}

/// A Content-Range: what part of the whole a 206 or 416 speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// Absent in the answer to an unsatisfiable request (`bytes */N`).
    pub(crate) part: Option<ByteRange>,
    /// Absent when the origin does not know it (`bytes 0-99/*`).
    pub(crate) total: Option<u64>,
}

impl ContentRange {
    /// Reads the header's value; `None` for anything that is not well-formed, a part that ends
    /// before it begins or beyond its total included.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (unit, rest) = value.trim().split_once(' ')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (part, total) = rest.trim().split_once('/')?;
        let total = if total == "*" { None } else { Some(number(total)?) };
        let part = if part == "*" {
            None
        } else {
            let (first, last) = part.split_once('-')?;
            Some(ByteRange { first: number(first)?, last: number(last)? })
        };
        let holds = match (part, total) {
            (None, None) => false,
            (None, Some(_)) => true,
            (Some(part), None) => part.first <= part.last,
            (Some(part), Some(total)) => part.first <= part.last && part.last < total,
        };
        holds.then_some(Self { part, total })
    }

    /// The part, if it is one that `asked` may be answered with: it begins where asked, and ends
    /// where asked or earlier, which only the end of the file excuses.
    pub(crate) fn answers(&self, asked: ByteRange) -> Option<ByteRange> {
        let part = self.part?;
        let ends_early = part.last < asked.last;
        let at_the_end = self.total.is_none_or(|total| part.last + 1 == total);
        (part.first == asked.first && part.last <= asked.last && (!ends_early || at_the_end))
            .then_some(part)
    }
}

fn number(digits: &str) -> Option<u64> {
    // `u64::from_str` would take a leading plus.
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_the_first_hundred_bytes() {
        let asked = ByteRange::new(0, 100);
        assert_eq!(asked.to_string(), "bytes=0-99");
        for (value, answers) in [
            ("bytes 0-99/200", true),
            ("bytes 0-99/*", true),
            ("BYTES 0-99/100", true),
            ("bytes 0-49/50", true),
            ("bytes 0-49/*", true),
            ("bytes 0-49/200", false),
            ("bytes 0-100/200", false),
            ("bytes 1-99/200", false),
            ("bytes 0-99/99", false),
            ("bytes 99-0/200", false),
            ("bytes */200", false),
            ("bytes */*", false),
            ("bytes 0-/200", false),
            ("bytes +0-99/200", false),
            ("bytes 0-18446744073709551616/*", false),
            ("bytes 0-18446744073709551615/*", false),
            ("items 0-99/200", false),
            ("bytes 0-99", false),
            ("", false),
        ] {
            let found = ContentRange::parse(value).and_then(|range| range.answers(asked));
            assert_eq!(found.is_some(), answers, "{value:?}");
        }
    }
}
