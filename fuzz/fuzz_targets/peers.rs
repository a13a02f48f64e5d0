//! Where `image` and imsz both read an image's sides, ours are the same.

#![no_main]

use emo_preflight::header::{self, Format, HeaderError, Problem};
use libfuzzer_sys::fuzz_target;
use others::ImageFormat;

fuzz_target!(|file: &[u8]| {
    // First, whatever the others say: where it gets is what leads the fuzzer to images.
    let ours = header::from_slice(file);
    let Some((format, (width, height))) = others::agree_on(file) else { return };
    if format == ImageFormat::Jpeg && !is_plain_jpeg(file) {
        return;
    }
    match ours {
        Ok(ours) => assert_eq!((ours.width, ours.height), (width, height), "{format:?}"),
        Err(error) => assert!(is_stricter(&error), "{format:?} {width}x{height}: {error}"),
    }
});

/// What ours refuses on purpose.
fn is_stricter(error: &HeaderError) -> bool {
    let HeaderError::Corrupt { format, problem, .. } = error else { return false };
    match problem {
        // Under a fuzzer `image` checks no checksums.
        Problem::Checksum { .. } => true,
        // They read a WebP's sides past the end of the chunk that holds them; libwebp does not.
        Problem::ShortChunk { .. } => true,
        // They take PNG's sides beyond 2^31 - 1 (PNG, Third Edition, 7.1).
        Problem::Side { found, .. } => *format == Format::Png && *found > 0x7fff_ffff,
        // They read sides only here; the decoders open none of these (libwebp's `VP8GetHeaders` and
        // `VP8LGetInfo`, libpng's `png_check_IHDR`, libjpeg's `initial_setup`).
        Problem::LossyVersion { .. }
        | Problem::LosslessVersion { .. }
        | Problem::Precision { .. }
        | Problem::Components { .. }
        | Problem::Sampling { .. }
        | Problem::ColorType { .. }
        | Problem::BitDepth { .. }
        | Problem::Method { .. }
        | Problem::BitCount { .. }
        | Problem::FileLength { .. } => true,
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
