//! WebP: the first chunk of the RIFF container (RFC 9649, 2.5 to 2.7 and 3.4; RFC 6386, 9.1).

use super::cursor::{array, le16, le32};
use super::{Format, Header, HeaderError, Orientation, Problem, Start};

#[inline(always)]
pub(super) fn start_of(head: &[u8]) -> Result<Start, HeaderError> {
    let (Some(kind), Some(length)) = (array::<4>(head, 12), le32(head, 16)) else {
        return Ok(Start::More(DATA_AT));
    };
    // Behind the size come the form and at least a chunk's header (RFC 9649, 2.4).
    if let Some(found) = le32(head, 4).filter(|size| *size < RIFF_LEAST) {
        return Err(corrupt(4, Problem::ShortChunk { least: RIFF_LEAST, found }));
    }
    let least = match &kind {
        b"VP8 " | b"VP8X" => 10,
        b"VP8L" => 5,
        _ => {
            let expected = "\"VP8 \", \"VP8L\" or \"VP8X\"";
            return Err(corrupt(12, Problem::FirstChunk { expected, found: kind }));
        }
    };
    if length < least {
        return Err(corrupt(16, Problem::ShortChunk { least, found: length }));
    }
    let header = match &kind {
        b"VP8 " => lossy(head)?,
        b"VP8L" => lossless(head)?,
        _ => extended(head)?,
    };
    let wanted = DATA_AT.saturating_add(least as usize);
    Ok(header.map_or(Start::More(wanted), Start::Header))
}

/// RFC 6386 9.1: frame tag, start code, and sides of 14 bits below two bits of scaling each.
#[inline]
fn lossy(head: &[u8]) -> Result<Option<Header>, HeaderError> {
    let (Some([tag, ..]), Some(found), Some(width), Some(height)) =
        (array::<3>(head, 20), array::<3>(head, 23), le16(head, 26), le16(head, 28))
    else {
        return Ok(None);
    };
    if tag & 1 != 0 {
        return Err(corrupt(20, Problem::Interframe));
    }
    // Bits 1 to 3: versions 0 to 3 are defined.
    if let found @ 4.. = (tag >> 1) & 7 {
        return Err(corrupt(20, Problem::LossyVersion { found }));
    }
    if found != [0x9d, 0x01, 0x2a] {
        return Err(corrupt(23, Problem::StartCode { found }));
    }
    let side = |at, bits: u16| match bits & 0x3fff {
        0 => Err(corrupt(at, Problem::Side { found: 0, max: 0x3fff })),
        side => Ok(u32::from(side)),
    };
    Ok(Some(header(side(26, width)?, side(28, height)?, Some(Orientation::NORMAL))))
}

/// RFC 9649 3.4: signature, then width - 1, height - 1, alpha, version from the lowest bit up.
#[inline]
fn lossless(head: &[u8]) -> Result<Option<Header>, HeaderError> {
    let (Some([found]), Some(bits)) = (array::<1>(head, 20), le32(head, 21)) else {
        return Ok(None);
    };
    if found != 0x2f {
        return Err(corrupt(20, Problem::LosslessSignature { found }));
    }
    if let found @ 1.. = (bits >> 29) as u8 {
        return Err(corrupt(24, Problem::LosslessVersion { found }));
    }
    let [width, height] = [bits, bits >> 14].map(|bits| (bits & 0x3fff).saturating_add(1));
    Ok(Some(header(width, height, Some(Orientation::NORMAL))))
}

/// RFC 9649 2.7.1: flags, then canvas width - 1 and height - 1 of 24 bits.
#[inline]
fn extended(head: &[u8]) -> Result<Option<Header>, HeaderError> {
    let (Some([flags]), Some(width), Some(height)) =
        (array::<1>(head, 20), array(head, 24), array(head, 27))
    else {
        return Ok(None);
    };
    let [width, height] =
        [width, height].map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]).saturating_add(1));
    if width.checked_mul(height).is_none() {
        return Err(corrupt(24, Problem::CanvasArea { width, height }));
    }
    // The EXIF chunk comes after the image.
    let orientation = if flags & EXIF_FLAG == 0 { Some(Orientation::NORMAL) } else { None };
    Ok(Some(header(width, height, orientation)))
}

fn header(width: u32, height: u32, orientation: Option<Orientation>) -> Header {
    Header::new(Format::WebP, width, height, orientation)
}

#[cold]
fn corrupt(at: u64, problem: Problem) -> HeaderError {
    HeaderError::Corrupt { format: Format::WebP, at, problem }
}

/// RIFF header and the first chunk's header.
const DATA_AT: usize = 20;
const RIFF_LEAST: u32 = 12;
const EXIF_FLAG: u8 = 0x08;
