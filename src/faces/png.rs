//! PNG, row by row: neither the whole image nor all its samples are ever kept.

use std::io::Cursor;

use image::GrayImage;
use image::metadata::Orientation;
use png::{Decoder, DecodingError, Limits, Transformations};

use super::decode::{DecodeError, too_large};
use super::shrink::{Shrinker, grey_of};

/// Bytes that decoding takes at the most.
pub(super) fn memory() -> u64 {
    u64::try_from(BUFFERS).unwrap_or(u64::MAX)
}

/// The image, and how it is to be turned.
pub(super) fn decode(file: &[u8], least: u32) -> Result<(GrayImage, Orientation), DecodeError> {
    let limits = Limits { bytes: BUFFERS };
    let mut decoder = Decoder::new_with_limits(Cursor::new(file), limits);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(of_png)?;
    let (width, height) = reader.info().size();
    let exif = reader.info().exif_metadata.as_deref();
    let orientation = exif.and_then(Orientation::from_exif_chunk);
    let samples = reader.output_color_type().0.samples();
    let mut shrinker = Shrinker::new(width, height, least);
    let passes = if reader.info().interlaced { &ADAM7[..] } else { &[WHOLE] };
    for &Pass { x, y, across, down } in passes.iter().filter(|pass| pass.x < width) {
        for y in (y..height).step_by(down) {
            // Of an interlaced image each pass has its lines, one after another.
            let Some(row) = reader.next_interlaced_row().map_err(of_png)? else { break };
            let greys = row.data().chunks_exact(samples).map(grey_of);
            shrinker.row(y, x, across, greys);
        }
    }
    let grey = shrinker.finish().ok_or_else(too_large)?;
    Ok((grey, orientation.unwrap_or(Orientation::NoTransforms)))
}

fn of_png(error: DecodingError) -> DecodeError {
    match error {
        DecodingError::Format(_) | DecodingError::IoError(_) => {
            DecodeError::Broken(error.to_string())
        }
        _ => DecodeError::Unknown(error.to_string()),
    }
}

/// Rows, and what chunks before the image the decoder keeps.
const BUFFERS: usize = 32 * 1_024 * 1_024;

/// Which pixels come together: from the first on, each so many from the next.
struct Pass {
    x: u32,
    y: u32,
    across: u32,
    down: usize,
}

impl Pass {
    const fn new(x: u32, y: u32, across: u32, down: usize) -> Self {
        Self { x, y, across, down }
    }
}

const WHOLE: Pass = Pass::new(0, 0, 1, 1);

/// PNG, Third Edition, 8.1.
const ADAM7: [Pass; 7] = [
    Pass::new(0, 0, 8, 8),
    Pass::new(4, 0, 8, 8),
    Pass::new(0, 4, 4, 8),
    Pass::new(2, 0, 4, 4),
    Pass::new(0, 2, 2, 4),
    Pass::new(1, 0, 2, 2),
    Pass::new(0, 1, 1, 2),
];
