//! The orientation in a JPEG's EXIF segment, read from bytes that pass by anyway.
//!
//! CIPA DC-008 (EXIF 2.32), 4.5 and 4.7.2; TIFF 6.0, section 2.

use super::Orientation;
use super::cursor::{Carry, Cursor};

/// What is known of the orientation. The first EXIF segment decides.
#[derive(Clone, Debug)]
pub(super) enum Exif {
    /// No EXIF segment so far.
    Unseen,
    /// Inside an APP1 segment that may be one.
    Reading(Peek),
    Known(Orientation),
    /// Malformed, or the bytes that decide were not seen.
    Unknown,
}

impl Exif {
    #[inline]
    pub(super) fn orientation(&self) -> Option<Orientation> {
        match self {
            Self::Unseen => Some(Orientation::NORMAL),
            Self::Known(orientation) => Some(*orientation),
            Self::Reading(_) | Self::Unknown => None,
        }
    }

    /// Segments were jumped over, any of which may have been one.
    pub(super) fn jump(&mut self) {
        if !matches!(self, Self::Known(_)) {
            *self = Self::Unknown;
        }
    }

    /// An APP1 segment begins, with `len` bytes of payload from `at` on.
    #[inline]
    pub(super) fn segment(&mut self, at: u64, len: usize) {
        *self = match self {
            Self::Unseen if len < ID.len() => Self::Unseen,
            Self::Unseen => Self::Reading(Peek::new(at, len)),
            Self::Known(orientation) => Self::Known(*orientation),
            Self::Reading(_) | Self::Unknown => Self::Unknown,
        };
    }

    /// Takes what it can of bytes that pass by.
    #[inline]
    pub(super) fn feed(&mut self, fed: Cursor<'_>) {
        if let Self::Reading(peek) = self
            && let Some(end) = peek.feed(fed)
        {
            *self = end;
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Peek {
    /// Offset of the next byte to take.
    at: u64,
    /// Offsets of the segment's payload and of its end.
    start: u64,
    end: u64,
    part: Part,
    carry: Carry<ENTRY_LEN>,
}

impl Peek {
    fn new(at: u64, len: usize) -> Self {
        let end = at.saturating_add(len as u64);
        Self { at, start: at, end, part: Part::Id, carry: Carry::new() }
    }

    /// `Some` when decided.
    #[inline]
    fn feed(&mut self, fed: Cursor<'_>) -> Option<Exif> {
        let mut cursor = fed.from(self.at)?;
        let end = self.read(&mut cursor);
        self.at = cursor.at();
        end
    }

    fn read(&mut self, cursor: &mut Cursor<'_>) -> Option<Exif> {
        loop {
            match self.part {
                Part::Id => {
                    if self.carry.take(cursor)? != ID {
                        return Some(Exif::Unseen);
                    }
                    self.part = Part::Tiff;
                    if !self.fits(cursor, TIFF_LEN) {
                        return Some(Exif::Unknown);
                    }
                }
                Part::Tiff => {
                    let Some((order, ifd)) = tiff_header(self.carry.take(cursor)?) else {
                        return Some(Exif::Unknown);
                    };
                    let tiff = self.start.saturating_add(ID.len() as u64);
                    let ifd = tiff.saturating_add(ifd.into());
                    self.part = Part::Count(order);
                    if ifd.saturating_add(2) > self.end {
                        return Some(Exif::Unknown);
                    }
                    if let Some(moved) = cursor.from(ifd) {
                        *cursor = moved;
                    }
                }
                Part::Count(order) => {
                    let left = order.u16(self.carry.take(cursor)?);
                    self.part = Part::Entry { order, left };
                }
                Part::Entry { left: 0, .. } => return Some(Exif::Known(Orientation::NORMAL)),
                Part::Entry { order, left } => {
                    if self.carry.len() == 0 && !self.fits(cursor, ENTRY_LEN) {
                        return Some(Exif::Unknown);
                    }
                    if let Some(exif) = in_entry(order, self.carry.take(cursor)?) {
                        return Some(exif);
                    }
                    self.part = Part::Entry { order, left: left.saturating_sub(1) };
                }
            }
        }
    }

    fn fits(&self, cursor: &Cursor<'_>, len: usize) -> bool {
        cursor.at().saturating_add(len as u64) <= self.end
    }
}

/// The byte order, and where IFD0 lies.
#[inline]
fn tiff_header(bytes: [u8; TIFF_LEN]) -> Option<(Order, u32)> {
    let [o_0, o_1, m_0, m_1, i_0, i_1, i_2, i_3] = bytes;
    let order = match [o_0, o_1] {
        [b'I', b'I'] => Order::Little,
        [b'M', b'M'] => Order::Big,
        _ => return None,
    };
    let ifd = order.u32([i_0, i_1, i_2, i_3]);
    (order.u16([m_0, m_1]) == 42 && ifd as usize >= TIFF_LEN).then_some((order, ifd))
}

/// What an entry of IFD0 tells; `None` when it is about something else.
#[inline]
fn in_entry(order: Order, entry: [u8; ENTRY_LEN]) -> Option<Exif> {
    let [t_0, t_1, k_0, k_1, n_0, n_1, n_2, n_3, v_0, v_1, _, _] = entry;
    if order.u16([t_0, t_1]) != ORIENTATION {
        return None;
    }
    let single = order.u32([n_0, n_1, n_2, n_3]) == 1;
    let short = order.u16([k_0, k_1]) == SHORT;
    let value = u8::try_from(order.u16([v_0, v_1])).ok();
    Some(match value.and_then(Orientation::new) {
        Some(orientation) if single && short => Exif::Known(orientation),
        _ => Exif::Unknown,
    })
}

/// What comes next of the segment.
#[derive(Clone, Copy, Debug)]
enum Part {
    Id,
    Tiff,
    Count(Order),
    Entry { order: Order, left: u16 },
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Little,
    Big,
}

impl Order {
    #[inline]
    fn u16(self, bytes: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(bytes),
            Self::Big => u16::from_be_bytes(bytes),
        }
    }

    #[inline]
    fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }
}

const ID: [u8; 6] = *b"Exif\0\0";
/// Byte order, 42, offset of IFD0.
const TIFF_LEN: usize = 8;
/// Tag, type, count, value.
const ENTRY_LEN: usize = 12;
const ORIENTATION: u16 = 0x0112;
const SHORT: u16 = 3;
