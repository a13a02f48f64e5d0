//! A file's bytes from its first on, as far as they were read: what is read once need not be fetched
//! again, and shows whether the file is still the same.

use super::progress::length_of;

/// The bytes, up to a most.
#[derive(Debug)]
pub(super) struct Prefix {
    bytes: Vec<u8>,
    most: usize,
}

impl Prefix {
    pub(super) fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    /// Keeps no more than `most` bytes from here on.
    pub(super) fn limit(&mut self, most: usize) {
        self.bytes.truncate(most);
        self.bytes.shrink_to(most);
        self.most = most;
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// Whether bytes at `at` are the same as those that are here, where both know them.
    pub(super) fn agrees(&self, at: u64, bytes: &[u8]) -> bool {
        let here = usize::try_from(at).ok().and_then(|at| self.bytes.get(at..));
        here.is_none_or(|here| here.iter().zip(bytes).all(|(here, there)| here == there))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes what follows the bytes that are here.
    pub(super) fn feed(&mut self, at: u64, bytes: &[u8]) {
        let Some(news) = self.length().checked_sub(at) else { return };
        let news = usize::try_from(news).ok().and_then(|news| bytes.get(news..));
        let room = self.most.saturating_sub(self.bytes.len());
        let news = news.unwrap_or_default();
        self.bytes.extend_from_slice(news.get(..room).unwrap_or(news));
    }

    pub(super) fn length(&self) -> u64 {
        length_of(self.bytes.len())
    }

    #[cfg(feature = "faces")]
    pub(super) fn most(&self) -> u64 {
        length_of(self.most)
    }

    /// The bytes. The first `kept` of them stay here too.
    #[cfg(feature = "faces")]
    pub(super) fn take(&mut self, kept: usize) -> Vec<u8> {
        let rest = self.bytes.get(..kept).unwrap_or(&self.bytes).to_vec();
        self.most = kept;
        std::mem::replace(&mut self.bytes, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_follows_is_kept() {
        let mut prefix = Prefix::new(6);
        for (at, bytes, kept) in [
            (1, &b"x"[..], &b""[..]),
            (0, b"ab", b"ab"),
            (5, b"x", b"ab"),
            (1, b"bcd", b"abcd"),
            (0, b"ab", b"abcd"),
            (4, b"efgh", b"abcdef"),
            (6, b"g", b"abcdef"),
        ] {
            prefix.feed(at, bytes);
            assert_eq!(prefix.bytes, kept);
        }
        for (at, bytes, agrees) in
            [(0, &b"abc"[..], true), (4, b"ef#", true), (4, b"e#", false), (9, b"#", true)]
        {
            assert_eq!(prefix.agrees(at, bytes), agrees, "{at} {bytes:?}");
        }
    }
}
