//! A file's bytes from its first on, as far as they were read: what is read once need not be fetched
//! again, and shows whether the file is still the same.

/// The bytes, up to a most.
#[derive(Clone, Debug, Default)]
pub(super) struct Prefix {
    bytes: Vec<u8>,
    most: usize,
}

impl Prefix {
    pub(super) fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    /// Without its bytes, with the room that it had.
    pub(super) fn emptied(&self) -> Self {
        Self::new(self.most)
    }

    /// Whether bytes at `at` are the same as those that are here, where both know them.
    pub(super) fn agrees(&self, at: u64, bytes: &[u8]) -> bool {
        let here = usize::try_from(at).ok().and_then(|at| self.bytes.get(at..));
        here.is_none_or(|here| here.iter().zip(bytes).all(|(here, there)| here == there))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Keeps more from here on.
    #[cfg(feature = "faces")]
    pub(super) fn up_to(self, most: usize) -> Self {
        Self { most, ..self }
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
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    #[cfg(feature = "faces")]
    pub(super) fn most(&self) -> u64 {
        u64::try_from(self.most).unwrap_or(u64::MAX)
    }

    #[cfg(feature = "faces")]
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
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
