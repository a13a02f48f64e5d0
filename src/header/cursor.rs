//! A place in the file, and items of it that may be split over feeds.

use arrayvec::ArrayVec;

/// A place in the file and the bytes at hand from there on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    at: u64,
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    #[inline]
    pub(super) fn new(at: u64, bytes: &'a [u8]) -> Self {
        Self { at, bytes }
    }

    #[inline]
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    #[inline]
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The cursor moved to `at`, without bytes when they end before; `None` when they begin
    /// after, for there is no way back.
    #[inline]
    pub(super) fn from(self, at: u64) -> Option<Self> {
        let gap = at.checked_sub(self.at)?;
        let bytes = usize::try_from(gap).ok().and_then(|gap| self.bytes.get(gap..));
        Some(Self { at, bytes: bytes.unwrap_or_default() })
    }

    /// Moves on, past the bytes at hand if need be.
    #[inline]
    pub(super) fn skip(&mut self, len: usize) {
        self.at = self.at.saturating_add(len as u64);
        self.bytes = self.bytes.get(len..).unwrap_or_default();
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.first()?;
        self.skip(1);
        Some(byte)
    }
}

/// The first part of an item whose rest has not come yet.
#[derive(Clone, Debug)]
pub(super) struct Carry<const MAX: usize>(ArrayVec<u8, MAX>);

impl<const MAX: usize> Carry<MAX> {
    #[inline]
    pub(super) const fn new() -> Self {
        Self(ArrayVec::new_const())
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The next `N` bytes, `N <= MAX`, or `None` with what there is of them put by.
    #[inline]
    pub(super) fn take<const N: usize>(&mut self, cursor: &mut Cursor<'_>) -> Option<[u8; N]> {
        if self.0.is_empty()
            && let Some(item) = cursor.bytes.first_chunk::<N>()
        {
            cursor.skip(N);
            return Some(*item);
        }
        let part = cursor.bytes.len().min(N.saturating_sub(self.0.len()));
        self.0.extend(cursor.bytes.iter().copied().take(part));
        cursor.skip(part);
        let item = self.0.as_slice().try_into().ok()?;
        self.0.clear();
        Some(item)
    }
}

#[inline]
pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

#[inline]
pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

#[inline]
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

#[inline]
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

#[inline]
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
