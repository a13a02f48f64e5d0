//! Where `image` and imsz both read a picture's sides, ours are the same.

#![no_main]

use std::io::Cursor;

use emo_preflight::header::{self, HeaderError, Problem};
use image::{ImageFormat, ImageReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Some((format, (width, height))) = by_image(file) else { return };
    let Ok(imsz) = imsz::imsz_from_reader(&mut Cursor::new(file)) else { return };
    if (imsz.width, imsz.height) != (u64::from(width), u64::from(height)) {
        return;
    }
    if format == ImageFormat::Jpeg && !is_plain_jpeg(file) {
        return;
    }
    match header::from_slice(file) {
        Ok(ours) => assert_eq!((ours.width, ours.height), (width, height), "{format:?}"),
        Err(error) => assert!(is_stricter(&error), "{format:?} {width}x{height}: {error}"),
    }
});

fn by_image(file: &[u8]) -> Option<(ImageFormat, (u32, u32))> {
    let reader = ImageReader::new(Cursor::new(file)).with_guessed_format().ok()?;
    let format = reader.format()?;
    Some((format, reader.into_dimensions().ok()?))
}

/// What ours refuses on purpose.
fn is_stricter(error: &HeaderError) -> bool {
    let HeaderError::Corrupt { problem, .. } = error else { return false };
    match problem {
        // Under a fuzzer `image` checks no checksums.
        Problem::Checksum { .. } => true,
        // They read a WebP's sides past the end of the chunk that holds them; libwebp does not.
        Problem::ShortChunk { .. } => true,
        _ => false,
    }
}

/// A JPEG of nothing but segments up to its frame header. Of others the peers make other things:
/// they look for a length behind markers that have none, as TEM and RST (ITU T.81, table B.1), or
/// take junk between segments for their codes.
fn is_plain_jpeg(file: &[u8]) -> bool {
    let mut rest = &file[2..];
    loop {
        match *rest {
            [0xFF, 0xC0..=0xC3, ..] => return true,
            [0xFF, 0xC4 | 0xDB..=0xDD | 0xE0..=0xEF | 0xFE, high, low, ..] => {
                let end = usize::from(u16::from_be_bytes([high, low])) + 2;
                match rest.get(end..) {
                    Some(behind) if end >= 4 => rest = behind,
                    _ => return false,
                }
            }
            _ => return false,
        }
    }
}
