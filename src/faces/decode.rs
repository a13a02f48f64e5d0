//! From a file's bytes to a small grey image, within bounds: what it takes is known before it is taken.

use std::io::Cursor;

use image::codecs::bmp::BmpDecoder;
use image::codecs::jpeg::JpegDecoder;
use image::codecs::webp::WebPDecoder;
use image::error::ImageError;
use image::metadata::Orientation;
use image::{GrayImage, ImageDecoder};

use super::shrink::{Shrinker, fitted, grey_of};
use super::{jpeg, png};
use crate::header::{self, Format, Header};

/// An image as it is looked at.
pub(super) struct Decoded {
    /// As stored, made small: its longer side is as long as it is looked at.
    pub(super) grey: GrayImage,
    /// Sides as stored, in pixels.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) orientation: Orientation,
    /// What it may be as well, where the file does not say.
    pub(super) alternative: Option<GrayImage>,
}

/// Why an image cannot be looked at.
#[derive(Debug, PartialEq)]
pub(super) enum DecodeError {
    /// No decoder takes the bytes.
    Broken(String),
    /// It may be good for all that is known here: too large, or of a kind that these decoders do not
    /// read.
    Unknown(String),
}

/// An image that is about to be decoded.
pub(super) struct Plan<'a> {
    file: &'a [u8],
    header: Header,
    /// Bytes that decoding takes at the most, beside the file's own.
    pub(super) memory: u64,
}

impl<'a> Plan<'a> {
    /// Reads the header and holds it against the bounds.
    pub(super) fn of(file: &'a [u8]) -> Result<Self, DecodeError> {
        if file.len() > MOST_BYTES {
            let message = format!("the file must have at most {MOST_BYTES} bytes");
            return Err(DecodeError::Unknown(message));
        }
        let header = header::from_slice(file).map_err(|error| match error {
            header::HeaderError::Corrupt { .. } | header::HeaderError::Truncated { .. } => {
                DecodeError::Broken(error.to_string())
            }
            _ => DecodeError::Unknown(error.to_string()),
        })?;
        if header.longest_side() > LONGEST_SIDE {
            let message = format!("no side must be longer than {LONGEST_SIDE} px");
            return Err(DecodeError::Unknown(message));
        }
        let pixels = u64::from(header.width) * u64::from(header.height);
        let memory = match header.format {
            // Either decoder's: the one that scales, and the one that is asked where it fails.
            Format::Jpeg => jpeg::memory(file, pixels)?.max((pixels * 8).min(SECOND_OPINION)),
            Format::Png => png::memory(),
            Format::Bmp => pixels * 4,
            // RGB and the decoder's own RGBA or planes; with an alpha channel RGBA, planes, and the RGBA
            // that alpha is kept in.
            Format::WebP if may_have_alpha(file) => pixels * 11,
            Format::WebP => pixels * 7,
        };
        let memory = memory + pixels.min(SHRUNK_PIXELS) * SHRUNK_BYTES;
        if memory > MOST_MEMORY {
            let message = format!("decoding must take at most {MOST_MEMORY} bytes");
            return Err(DecodeError::Unknown(message));
        }
        Ok(Self { file, header, memory })
    }

    /// Decodes it, to a longer side of at least `least` pixels where it has as many.
    pub(super) fn decode(self, least: u32) -> Result<Decoded, DecodeError> {
        let Header { width, height, .. } = self.header;
        let cursor = || Cursor::new(self.file);
        let mut alternative = None;
        let (grey, orientation) = match self.header.format {
            Format::Jpeg => {
                let exif = self.header.orientation.map(|orientation| orientation.get());
                let orientation = exif.and_then(Orientation::from_exif);
                let grey = match jpeg::decode(self.file, least) {
                    Ok((grey, other)) => {
                        alternative = other.map(|other| fitted(&other, least));
                        grey
                    }
                    // What one decoder refuses another may take.
                    Err(error) => match self.second_opinion(least) {
                        Some(grey) => grey,
                        None => return Err(error),
                    },
                };
                (grey, orientation.unwrap_or(Orientation::NoTransforms))
            }
            Format::Png => png::decode(self.file, least)?,
            Format::Bmp => shrunk(BmpDecoder::new(cursor()).map_err(of_image)?, least)?,
            Format::WebP => shrunk(WebPDecoder::new(cursor()).map_err(of_image)?, least)?,
        };
        let grey = fitted(&grey, least);
        Ok(Decoded { grey, width, height, orientation, alternative })
    }

    /// A JPEG by another decoder, which cannot scale, where there is the memory for it.
    fn second_opinion(&self, least: u32) -> Option<GrayImage> {
        let pixels = u64::from(self.header.width) * u64::from(self.header.height);
        if pixels * 8 > self.memory {
            return None;
        }
        let decoder = JpegDecoder::new(Cursor::new(self.file)).ok()?;
        shrunk(decoder, least).ok().map(|(grey, _)| grey)
    }
}

/// Whether a WebP says that it has alpha (RFC 9649, 2.7.1).
fn may_have_alpha(file: &[u8]) -> bool {
    let flags = file.get(20).copied().unwrap_or(0);
    file.get(12..16) == Some(b"VP8X") && flags & 0x10 != 0
}

/// Decodes an image whole, and shrinks it.
fn shrunk(
    mut decoder: impl ImageDecoder,
    least: u32,
) -> Result<(GrayImage, Orientation), DecodeError> {
    let (width, height) = decoder.dimensions();
    let colour = decoder.color_type();
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let length = usize::try_from(decoder.total_bytes()).ok();
    let length = length.filter(|length| u64::try_from(*length).is_ok_and(|l| l <= MOST_MEMORY));
    let samples = usize::from(colour.channel_count());
    if usize::from(colour.bytes_per_pixel()) != samples {
        return Err(DecodeError::Unknown(format!("samples must have 8 bits, found {colour:?}")));
    }
    let length = length.ok_or_else(|| DecodeError::Unknown("it is too large".to_owned()))?;
    let mut pixels = vec![0; length];
    decoder.read_image(&mut pixels).map_err(of_image)?;
    let mut shrinker = Shrinker::new(width, height, least);
    let row = usize::try_from(width).unwrap_or(0) * samples;
    for (y, row) in (0..height).zip(pixels.chunks_exact(row.max(1))) {
        shrinker.row(y, 0, 1, row.chunks_exact(samples).map(grey_of));
    }
    let grey = shrinker.finish();
    grey.map(|grey| (grey, orientation)).ok_or_else(too_large)
}

fn of_image(error: ImageError) -> DecodeError {
    match error {
        ImageError::Decoding(_) | ImageError::IoError(_) => DecodeError::Broken(error.to_string()),
        _ => DecodeError::Unknown(error.to_string()),
    }
}

pub(super) fn too_large() -> DecodeError {
    DecodeError::Unknown("it is too large to be looked at".to_owned())
}

/// Bytes of a file. The service's page names no limit; nobody needs as many for a portrait.
pub(crate) const MOST_BYTES: usize = 20 * 1_024 * 1_024;

/// What the service takes at the most, in pixels.
const LONGEST_SIDE: u32 = 7_000;

/// Bytes that decoding may take, of all images that one screen decodes at a time.
pub(super) const MOST_MEMORY: u64 = 384 * 1_024 * 1_024;

/// Bytes that a second decoder may take.
const SECOND_OPINION: u64 = 64 * 1_024 * 1_024;

/// What the small image takes while it is made: pixels at the most, and bytes of each.
const SHRUNK_PIXELS: u64 = 1_024 * 1_024;
const SHRUNK_BYTES: u64 = 12;
