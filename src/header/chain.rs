//! Chains of JPEG segments that announce their own end: one jump instead of a hop a segment.
//!
//! An ICC profile too long for one segment says "k of N" in each (ICC.1:2022, B.4). Extended XMP gives
//! its whole length in each (XMP specification, part 3, 1.1.3.1), and so does a JUMBF box, as which
//! Content Credentials (C2PA) are kept (ISO/IEC 19566-5, D.2). All segments of a chain but the last are
//! of one length, as far as known writers go; where they are not, the landing shows it.

use super::Shortcut;
use super::cursor::{array, be16, be32};

/// Where an announced chain's last segment must begin, and what it must look like.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    last_at: u64,
    link: Link,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Link `number` of `count`, both from 1.
    Icc { number: u8, count: u8 },
    /// Bytes from `offset` on, of `total`.
    Xmp { guid: [u8; GUID_LEN], total: u32, offset: u32 },
    /// Packet `number`, from 1, of a box of `total` bytes.
    Jumbf { instance: [u8; 2], number: u32, total: u32 },
}

impl Chain {
    /// The chain that a segment announces; `segment` begins with its marker, at `at`, and may be
    /// cut short. `None` when it announces none, or nothing worth a jump.
    #[cold]
    pub(super) fn announced(at: u64, segment: &[u8]) -> Option<Self> {
        let length = u64::from(be16(segment, MARKER_LEN)?);
        let (left, link) = match Link::read(segment)? {
            Link::Icc { number, count } => {
                let left = count.checked_sub(number)?;
                (u64::from(left), Link::Icc { number: count, count })
            }
            Link::Xmp { guid, total, offset } => {
                let each = u32::try_from(length.checked_sub(XMP_HEAD_LEN)?).ok()?;
                let last = total.checked_sub(1)?.checked_div(each)?.checked_mul(each)?;
                let left = last.checked_sub(offset)?.checked_div(each)?;
                (u64::from(left), Link::Xmp { guid, total, offset: last })
            }
            Link::Jumbf { instance, number, total } => {
                // The box's own head is repeated in each packet.
                let each = u32::try_from(length.checked_sub(JUMBF_HEAD_LEN)?).ok()?;
                let count = total.checked_sub(BOX_HEAD_LEN)?.checked_sub(1)?.checked_div(each)?;
                let count = count.checked_add(1)?;
                let left = count.checked_sub(number)?;
                (u64::from(left), Link::Jumbf { instance, number: count, total })
            }
        };
        let last_at = left.checked_mul(length.checked_add(2)?)?.checked_add(at)?;
        // The very next segment needs no jump.
        (left > 1).then_some(Self { last_at, link })
    }

    pub(super) fn shortcut(&self) -> Shortcut {
        Shortcut {
            at: self.last_at,
            len: match self.link {
                Link::Icc { .. } => ICC_LEN,
                Link::Xmp { .. } => XMP_LEN,
                Link::Jumbf { .. } => JUMBF_LEN,
            },
        }
    }

    /// Whether the bytes at the chain's announced end are its last link.
    pub(super) fn ends_with(&self, segment: &[u8]) -> bool {
        Link::read(segment) == Some(self.link)
    }
}

impl Link {
    fn read(segment: &[u8]) -> Option<Self> {
        let [0xff, code, _, _] = array(segment, 0)? else { return None };
        match code {
            APP2 if segment.get(BODY..)?.starts_with(ICC) => {
                let [number, count] = array(segment, BODY + ICC.len())?;
                (number >= 1).then_some(Self::Icc { number, count })
            }
            APP1 if segment.get(BODY..)?.starts_with(XMP) => {
                let guid = array(segment, BODY + XMP.len())?;
                let total = be32(segment, BODY + XMP.len() + GUID_LEN)?;
                let offset = be32(segment, BODY + XMP.len() + GUID_LEN + 4)?;
                Some(Self::Xmp { guid, total, offset })
            }
            APP11 if segment.get(BODY..)?.starts_with(JUMBF) => {
                let instance = array(segment, BODY + JUMBF.len())?;
                let number = be32(segment, BODY + JUMBF.len() + 2)?;
                // Of 2^32 bytes or more a box says so further on: no JPEG has room for that.
                let total = be32(segment, BODY + JUMBF.len() + 6)?;
                let kind: [u8; 4] = array(segment, BODY + JUMBF.len() + 10)?;
                (number >= 1 && &kind == b"jumb").then_some(Self::Jumbf { instance, number, total })
            }
            _ => None,
        }
    }
}

const MARKER_LEN: usize = 2;
/// Where a segment's payload begins, behind its marker and length.
const BODY: usize = 4;
const APP1: u8 = 0xe1;
const APP2: u8 = 0xe2;
const APP11: u8 = 0xeb;
const ICC: &[u8] = b"ICC_PROFILE\0";
const XMP: &[u8] = b"http://ns.adobe.com/xmp/extension/\0";
const JUMBF: &[u8] = b"JP";
const GUID_LEN: usize = 32;
const ICC_LEN: usize = BODY + ICC.len() + 2;
const XMP_LEN: usize = BODY + XMP.len() + GUID_LEN + 8;
const JUMBF_LEN: usize = BODY + JUMBF.len() + 14;
/// What a JUMBF segment's length counts besides its share of the box.
const JUMBF_HEAD_LEN: u64 = (JUMBF_LEN - MARKER_LEN) as u64;
/// A box's length and type.
const BOX_HEAD_LEN: u32 = 8;
/// What an XMP segment's length counts besides its share of the whole.
const XMP_HEAD_LEN: u64 = (XMP_LEN - MARKER_LEN) as u64;
