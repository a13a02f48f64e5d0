//! What an image is known by: its length and samples of its bytes, so that a verdict is always that of
//! the bytes, whatever URL, replica or signature they came by.

use std::iter;
use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::header::Format;

/// SHA-256 over the length (8 bytes, big-endian) and the sampled bytes in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Content(pub(crate) [u8; 32]);

impl Content {
    /// Of a file that is here as a whole.
    #[cfg(any(test, feature = "faces"))]
    pub(super) fn of(bytes: &[u8], format: Format) -> Self {
        let total = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let mut sampler = Sampler::new(total, format);
        sampler.feed(0, bytes);
        sampler.finish()
    }
}

/// Where an image was met, as it was then: the SHA-256 of the URL as sent, its strong entity tag (RFC 9110,
/// section 8.8.3), its length and its first 4,096 bytes. Who meets all four again knows the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sighting(pub(crate) [u8; 32]);

impl Sighting {
    pub(super) fn new(url: &str, etag: &str, total: u64, start: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        for text in [url, etag] {
            // Lengths keep two fields from being read as two others.
            hasher.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            hasher.update(text);
        }
        hasher.update(total.to_be_bytes());
        hasher.update(start);
        Self(hasher.finalize().into())
    }
}

/// Takes the samples from bytes that come in their order, with or without gaps.
#[derive(Clone)]
pub(super) struct Sampler {
    hasher: Sha256,
    /// What is still to come, in ascending order.
    wanted: Vec<Range<u64>>,
}

impl Sampler {
    pub(super) fn new(total: u64, format: Format) -> Self {
        let hasher = Sha256::new_with_prefix(total.to_be_bytes());
        let mut wanted = samples(total, format);
        wanted.reverse();
        Self { hasher, wanted }
    }

    /// The part that is wanted next; none when all is here.
    pub(super) fn next(&self) -> Option<Range<u64>> {
        self.wanted.last().cloned()
    }

    /// Takes what is wanted of the bytes from `at` on. Bytes before what is wanted next are passed over.
    pub(super) fn feed(&mut self, at: u64, bytes: &[u8]) {
        while let Some(part) = self.wanted.last_mut() {
            let news = part.start.checked_sub(at).and_then(|skip| usize::try_from(skip).ok());
            let Some(news) = news.and_then(|skip| bytes.get(skip..)) else { return };
            let room = usize::try_from(part.end - part.start).unwrap_or(usize::MAX);
            let news = news.get(..room).unwrap_or(news);
            self.hasher.update(news);
            part.start += u64::try_from(news.len()).unwrap_or(0);
            if part.start < part.end {
                return;
            }
            self.wanted.pop();
        }
    }

    /// The content, once all is here.
    pub(super) fn finish(self) -> Content {
        Content(self.hasher.finalize().into())
    }
}

/// The parts of a file that are sampled, in ascending order and apart from each other.
///
/// A compressed image differs everywhere when it differs at all. A BMP does not: its length says nothing,
/// and both its ends are background.
fn samples(total: u64, format: Format) -> Vec<Range<u64>> {
    let part = |from: u64| from..from.saturating_add(SAMPLE).min(total);
    match format {
        _ if total == 0 => Vec::new(),
        Format::Bmp if total > WHOLE_BMP => {
            let last = BMP_SAMPLES - 1;
            (0..BMP_SAMPLES).map(|n| part((total - SAMPLE) / last * n)).collect()
        }
        Format::Bmp => iter::once(0..total).collect(),
        _ if total <= WHOLE => iter::once(0..total).collect(),
        _ => Vec::from([part(0), part(total / 2), part(seven_eighths(total))]),
    }
}

/// ⌊7·total/8⌋, which 7·total may be too large for.
fn seven_eighths(total: u64) -> u64 {
    total / 8 * 7 + total % 8 * 7 / 8
}

/// The length of a sample. The first request of an image brings as much.
pub(super) const SAMPLE: u64 = 4 * 1_024;
/// A file of at most this length is taken whole, in bytes.
const WHOLE: u64 = 16 * 1_024;
const WHOLE_BMP: u64 = 1_024 * 1_024;
const BMP_SAMPLES: u64 = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn which_bytes_are_sampled() {
        let mib = 1_024 * 1_024;
        let large = (0..16).map(|n| n * (mib / 15)..n * (mib / 15) + 4_096).collect();
        for (total, format, parts) in [
            (0, Format::Jpeg, Vec::new()),
            (16_384, Format::Jpeg, iter::once(0..16_384).collect()),
            (16_385, Format::Jpeg, Vec::from([0..4_096, 8_192..12_288, 14_336..16_385])),
            (100_001, Format::WebP, Vec::from([0..4_096, 50_000..54_096, 87_500..91_596])),
            (1_048_576, Format::Bmp, iter::once(0..1_048_576).collect()),
            (mib + 4_096, Format::Bmp, large),
        ] {
            assert_eq!(samples(total, format), parts, "{total} {format:?}");
        }
        assert_eq!(seven_eighths(u64::MAX), u64::MAX - u64::MAX / 8 - 1);
        for total in [0, 1, 8, 17, 4_097, 16_385, 32_767, mib + 1, 50 * mib] {
            for format in [Format::Png, Format::Bmp] {
                let parts = samples(total, format);
                assert!(parts.iter().all(|part| part.end <= total), "{total} {parts:?}");
                let apart = parts.windows(2).all(|pair| pair[0].end <= pair[1].start);
                assert!(apart, "{total} {parts:?}");
            }
        }
    }

    proptest! {
        /// It is one number, whichever way the bytes came.
        #[test]
        fn one_content_however_it_came(
            total in 0_usize..60_000,
            is_bmp: bool,
            piece in 1_usize..9_000,
            change in any::<proptest::sample::Index>(),
        ) {
            let format = if is_bmp { Format::Bmp } else { Format::Jpeg };
            let bytes: Vec<u8> = (0..total).map(|n| (n * n % 251) as u8).collect();
            let whole = Content::of(&bytes, format);
            let fed = |bytes: &[u8], piece: usize| {
                let mut sampler = Sampler::new(total as u64, format);
                for (n, part) in bytes.chunks(piece).enumerate() {
                    sampler.feed((n * piece) as u64, part);
                }
                assert_eq!(sampler.next(), None);
                sampler.finish()
            };
            prop_assert_eq!(fed(&bytes, piece), whole);
            let mut sampler = Sampler::new(total as u64, format);
            while let Some(part) = sampler.next() {
                let from = part.start as usize;
                sampler.feed(part.start, &bytes[from..(from + piece).min(part.end as usize)]);
            }
            prop_assert_eq!(sampler.finish(), whole);
            if total > 0 {
                // Where a sample lies, any other byte is another image; elsewhere it is not noticed.
                let mut other = bytes.clone();
                let at = change.index(total);
                other[at] ^= 1;
                let parts = samples(total as u64, format);
                let is_sampled = parts.iter().any(|part| part.contains(&(at as u64)));
                prop_assert_eq!(Content::of(&other, format) != whole, is_sampled);
            }
        }
    }

    #[test]
    fn a_sighting_is_all_four() {
        let seen = |url, etag, total, start: &[u8]| Sighting::new(url, etag, total, start);
        let first = seen("https://h/a", "\"1\"", 9, b"ab");
        assert_eq!(first, seen("https://h/a", "\"1\"", 9, b"ab"));
        for other in [
            seen("https://h/A", "\"1\"", 9, b"ab"),
            seen("https://h/a", "\"2\"", 9, b"ab"),
            seen("https://h/a", "\"1\"", 8, b"ab"),
            seen("https://h/a", "\"1\"", 9, b"aB"),
            seen("https://h/a\"", "1\"", 9, b"ab"),
        ] {
            assert_ne!(first, other);
        }
    }
}
