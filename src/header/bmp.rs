//! BMP: the DIB header behind the file header (Windows GDI, BITMAPFILEHEADER to
//! BITMAPV5HEADER; OS/2 2.x, BITMAPINFOHEADER2).

use super::cursor::{le16, le32};
use super::{Format, Header, HeaderError, Orientation, Problem, Start};

#[inline(always)]
pub(super) fn start_of(head: &[u8]) -> Result<Start, HeaderError> {
    let Some(size) = le32(head, 14) else {
        return Ok(Start::More(18));
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
        _ => return Ok(Start::Other),
    };
    let Some([width, height]) = sides else {
        return Ok(Start::More(wanted(size)));
    };
    let Some(coding) = Coding::read(head, size) else {
        return Ok(Start::More(wanted(size)));
    };
    let height_at = if size == CORE_LEN { 20 } else { 22 };
    let (width, height) = (side(18, width)?, side(height_at, height)?);
    coding.hold(size)?;
    // BMP has no EXIF.
    Ok(Start::Header(Header::new(Format::Bmp, width, height, Some(Orientation::NORMAL))))
}

/// How the pixels are stored.
#[derive(Clone, Copy)]
struct Coding {
    bits: u16,
    compression: u32,
}

impl Coding {
    /// Behind the sides and the number of planes; compression only where the header is long enough
    /// to have it.
    fn read(head: &[u8], size: u32) -> Option<Self> {
        let bits = le16(head, if size == CORE_LEN { 24 } else { 28 })?;
        let compression = if size < COMPRESSED_LEN { Some(RGB) } else { le32(head, 30) };
        Some(Self { bits, compression: compression? })
    }

    /// Bits a pixel against compression: BITMAPINFOHEADER, biBitCount and biCompression;
    /// BITMAPINFOHEADER2, ulCompression. 2 and 64 bits are undocumented there and in use.
    fn hold(self, size: u32) -> Result<(), HeaderError> {
        let Self { bits, compression } = self;
        let is_os2 = size == OS2_LEN;
        let expected: &'static [u16] = match compression {
            RGB if size == CORE_LEN => &[1, 2, 4, 8, 24],
            RGB => &[1, 2, 4, 8, 16, 24, 32, 64],
            RLE8 => &[8],
            RLE4 => &[4],
            // Huffman 1D and RLE24.
            3 if is_os2 => &[1],
            4 if is_os2 => &[24],
            3 | 6 => &[16, 32],
            _ => return Ok(()),
        };
        match expected.contains(&bits) {
            true => Ok(()),
            false => Err(HeaderError::Corrupt {
                format: Format::Bmp,
                at: if size == CORE_LEN { 24 } else { 28 },
                problem: Problem::BitCount { compression, expected, found: bits },
            }),
        }
    }
}

/// How many bytes a file must have at least to hold the pixels that its header announces: rows of
/// whole 32 bits. What is compressed says nothing of that.
pub(super) fn least_length(head: &[u8], header: &Header) -> u64 {
    let size = le32(head, 14).unwrap_or(0);
    match Coding::read(head, size) {
        Some(Coding { bits, compression: RGB }) => {
            let row = u64::from(header.width).saturating_mul(bits.into()).div_ceil(32);
            let pixels = row.saturating_mul(4).saturating_mul(header.height.into());
            pixels.saturating_add(FILE_HEADER_LEN).saturating_add(size.into())
        }
        _ => 0,
    }
}

/// How many of the first bytes tell all that is read.
fn wanted(size: u32) -> usize {
    match size {
        CORE_LEN => 26,
        ..COMPRESSED_LEN => 30,
        _ => 34,
    }
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

const FILE_HEADER_LEN: u64 = 14;
/// From here on a header has room for its compression.
const COMPRESSED_LEN: u32 = 20;
const OS2_LEN: u32 = 64;
const RGB: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
/// BITMAPCOREHEADER: sides of 16 bits, unsigned.
const CORE_LEN: u32 = 12;
const V4_LEN: u32 = 108;
const V5_LEN: u32 = 124;
