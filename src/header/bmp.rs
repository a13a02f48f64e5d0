//! BMP: the DIB header behind the file header (Windows GDI, BITMAPFILEHEADER to
//! BITMAPV5HEADER; OS/2 2.x, BITMAPINFOHEADER2).

use super::cursor::{le16, le32};
use super::{Format, Header, HeaderError, Look, Orientation, Problem};

#[inline(always)]
pub(super) fn look(head: &[u8]) -> Result<Look, HeaderError> {
    let Some(size) = le32(head, 14) else {
        return Ok(Look::More(18));
    };
    let sides = match size {
        CORE_LEN => le16(head, 18).zip(le16(head, 20)).map(|(width, height)| {
            [i64::from(width), i64::from(height)].map(|side| (side, u16::MAX.into()))
        }),
        // OS/2 2.x may cut its header short anywhere from 16 on; 40, 52 and 56 are Windows'.
        16..=64 | V4_LEN | V5_LEN => le32(head, 18).zip(le32(head, 22)).map(|(width, height)| {
            let [width, height] = [width, height].map(|side| i64::from(side.cast_signed()));
            // A negative height says that the rows are stored from the top down.
            [width, height.abs()].map(|side| (side, i32::MAX.cast_unsigned()))
        }),
        // "BM" alone is too little to go by: text begins so too.
        _ => return Ok(Look::Other),
    };
    let Some([width, height]) = sides else {
        return Ok(Look::More(HEAD_LEN));
    };
    let height_at = if size == CORE_LEN { 20 } else { 22 };
    let (width, height) = (side(18, width)?, side(height_at, height)?);
    // BMP has no EXIF.
    Ok(Look::Header(Header::new(Format::Bmp, width, height, Some(Orientation::NORMAL))))
}

fn side(at: u64, (found, max): (i64, u32)) -> Result<u32, HeaderError> {
    match u32::try_from(found) {
        Ok(side) if (1..=max).contains(&side) => Ok(side),
        _ => Err(HeaderError::Corrupt {
            format: Format::Bmp,
            at,
            problem: Problem::Side { found, max },
        }),
    }
}

/// File header, DIB header size and sides.
const HEAD_LEN: usize = 26;
/// BITMAPCOREHEADER: sides of 16 bits, unsigned.
const CORE_LEN: u32 = 12;
const V4_LEN: u32 = 108;
const V5_LEN: u32 = 124;
