//! PNG: the IHDR chunk (PNG, Third Edition, 5.3 and 11.2.1).

use super::cursor::{array, be32};
use super::{Format, Header, HeaderError, Problem, Start};

#[inline(always)]
pub(super) fn start_of(head: &[u8]) -> Result<Start, HeaderError> {
    let (Some(length), Some(kind), Some(covered), Some(found)) =
        (be32(head, 8), array::<4>(head, 12), head.get(12..29), be32(head, 29))
    else {
        return Ok(Start::More(HEAD_LEN));
    };
    if &kind == b"CgBI" {
        return Err(HeaderError::Unsupported { found: "CgBI PNG (Apple's private variant)" });
    }
    if &kind != b"IHDR" {
        return Err(corrupt(12, Problem::FirstChunk { expected: "IHDR", found: kind }));
    }
    if length != IHDR_LEN {
        return Err(corrupt(8, Problem::ChunkLength { expected: IHDR_LEN, found: length }));
    }
    let expected = crc32fast::hash(covered);
    if found != expected {
        return Err(corrupt(29, Problem::Checksum { expected, found }));
    }
    let [width, height] = [side(head, 16)?, side(head, 20)?];
    let Some([depth, color, compression, filter, interlace]) = array(head, 24) else {
        return Ok(Start::More(HEAD_LEN));
    };
    // PNG 11.2.1, table 11.1.
    let depths: &'static [u8] = match color {
        0 => &[1, 2, 4, 8, 16],
        3 => &[1, 2, 4, 8],
        2 | 4 | 6 => &[8, 16],
        _ => return Err(corrupt(25, Problem::ColorType { found: color })),
    };
    if !depths.contains(&depth) {
        return Err(corrupt(24, Problem::BitDepth { color, found: depth }));
    }
    for (at, name, most, found) in [
        (26, "compression method", 0, compression),
        (27, "filter method", 0, filter),
        (28, "interlace method", 1, interlace),
    ] {
        if found > most {
            return Err(corrupt(at, Problem::Method { name, most, found }));
        }
    }
    // eXIf may come in any later chunk.
    Ok(Start::Header(Header::new(Format::Png, width, height, None)))
}

fn side(head: &[u8], at: usize) -> Result<u32, HeaderError> {
    match be32(head, at).unwrap_or_default() {
        side @ 1..=MAX_SIDE => Ok(side),
        found => Err(corrupt(at, Problem::Side { found: found.into(), max: MAX_SIDE })),
    }
}

#[cold]
fn corrupt(at: usize, problem: Problem) -> HeaderError {
    HeaderError::Corrupt { format: Format::Png, at: at as u64, problem }
}

/// Signature and IHDR with its checksum.
const HEAD_LEN: usize = 33;
const IHDR_LEN: u32 = 13;
/// PNG 7.1: four-byte unsigned integers end at 2^31 - 1.
const MAX_SIDE: u32 = 0x7fff_ffff;
