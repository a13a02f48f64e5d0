//! What others read of a picture. A crate of its own, which is not instrumented (`fuzz/rustc`): there
//! is no end of new edges in decoders, and they say nothing of the reader that is held against them.

use std::io::Cursor;

pub use image::ImageFormat;
use image::ImageReader;

/// Format and sides, where `image` and imsz agree on them.
pub fn agree_on(file: &[u8]) -> Option<(ImageFormat, (u32, u32))> {
    let reader = ImageReader::new(Cursor::new(file)).with_guessed_format().ok()?;
    let format = reader.format()?;
    let (width, height) = reader.into_dimensions().ok()?;
    let imsz = imsz::imsz_from_reader(&mut Cursor::new(file)).ok()?;
    let same = (imsz.width, imsz.height) == (u64::from(width), u64::from(height));
    same.then_some((format, (width, height)))
}
