//! JPEG, scaled while it is decoded: of an 8 × 8 block as few coefficients are used as its size in the
//! small image needs.

use image::GrayImage;
use jpeg_decoder::{CodingProcess, Decoder, Error, PixelFormat};

use super::decode::{DecodeError, too_large};
use super::shrink::{Shrinker, grey_of};

/// Bytes that decoding takes at the most.
pub(super) fn memory(file: &[u8], pixels: u64) -> Result<u64, DecodeError> {
    if scans(file) > MOST_SCANS {
        let message = format!("a JPEG must have at most {MOST_SCANS} scans");
        return Err(DecodeError::Unknown(message));
    }
    let mut decoder = Decoder::new(file);
    // An error is told when it is decoded; another decoder is asked then.
    if decoder.read_info().is_err() {
        return Ok(0);
    }
    let Some(info) = decoder.info() else { return Ok(0) };
    let components = match info.pixel_format {
        PixelFormat::L8 => 1,
        PixelFormat::L16 => 2,
        PixelFormat::RGB24 => 3,
        PixelFormat::CMYK32 => 4,
    };
    Ok(match info.coding_process {
        // All coefficients, which wait for their turn: until the last scan, or for the decoder's threads.
        // What becomes of them is small.
        CodingProcess::DctSequential | CodingProcess::DctProgressive => components * pixels * 2,
        CodingProcess::Lossless => components * pixels * 4,
    })
}

/// The image; and of CMYK, which does not say whether its numbers are ink or light, what it is if they
/// are light.
pub(super) fn decode(
    file: &[u8],
    least: u32,
) -> Result<(GrayImage, Option<GrayImage>), DecodeError> {
    let mut decoder = Decoder::new(file);
    decoder.read_info().map_err(of_jpeg)?;
    let info = decoder.info().ok_or_else(too_large)?;
    let longest = u32::from(info.width.max(info.height));
    let wanted = |side: u16| {
        let side = u64::from(side) * u64::from(least) / u64::from(longest.max(1));
        u16::try_from(side.max(1)).unwrap_or(u16::MAX)
    };
    let lossless = info.coding_process == CodingProcess::Lossless;
    let (width, height) = match lossless {
        true => (info.width, info.height),
        false => decoder.scale(wanted(info.width), wanted(info.height)).map_err(of_jpeg)?,
    };
    let pixels = decoder.decode().map_err(of_jpeg)?;
    let (width, height) = (u32::from(width), u32::from(height));
    let bytes = info.pixel_format.pixel_bytes();
    let row = usize::try_from(width).unwrap_or(0) * bytes;
    let shrunk = |grey: fn(&[u8]) -> u8| {
        let mut shrinker = Shrinker::new(width, height, least);
        for (y, row) in (0..height).zip(pixels.chunks_exact(row.max(1))) {
            shrinker.row(y, 0, 1, row.chunks_exact(bytes).map(grey));
        }
        shrinker.finish().ok_or_else(too_large)
    };
    Ok(match info.pixel_format {
        PixelFormat::CMYK32 => (shrunk(grey_of_ink)?, Some(shrunk(grey_of_light)?)),
        PixelFormat::L16 => (shrunk(grey_of_16_bits)?, None),
        PixelFormat::L8 | PixelFormat::RGB24 => (shrunk(grey_of)?, None),
    })
}

fn grey_of_ink(pixel: &[u8]) -> u8 {
    let [c, m, y, k] = *pixel else { return 0 };
    grey_of_light(&[!c, !m, !y, !k])
}

fn grey_of_light(pixel: &[u8]) -> u8 {
    let [c, m, y, k] = *pixel else { return 0 };
    let light = |of: u8| u8::try_from(u16::from(of) * u16::from(k) / 255).unwrap_or(u8::MAX);
    grey_of(&[light(c), light(m), light(y)])
}

/// As many bits as a grey of 8 needs; the decoder gives them in the machine's order of bytes.
fn grey_of_16_bits(pixel: &[u8]) -> u8 {
    let [a, b] = *pixel else { return 0 };
    u8::try_from(u16::from_ne_bytes([a, b]) >> 8).unwrap_or(u8::MAX)
}

/// How many scans a file can have. Each passes over all blocks, however few bytes it has itself.
fn scans(file: &[u8]) -> usize {
    file.windows(2).filter(|pair| *pair == [0xff, 0xda]).count()
}

fn of_jpeg(error: Error) -> DecodeError {
    match error {
        Error::Format(_) | Error::Io(_) => DecodeError::Broken(error.to_string()),
        Error::Unsupported(_) | Error::Internal(_) => DecodeError::Unknown(error.to_string()),
    }
}

/// Encoders make ten or so; thumbnails in the metadata have some of their own.
const MOST_SCANS: usize = 100;
