//! An image that is to be turned, with a patch whose place is known.

use image::{ImageFormat, Rgb, RgbImage};

pub(crate) const WIDTH: u32 = 640;
pub(crate) const HEIGHT: u32 = 400;
/// Of a red patch in the image as it is stored.
pub(crate) const PATCH: [u32; 4] = [80, 40, 240, 160];

/// A white image with the red patch, as a JPEG that is to be turned so.
pub(crate) fn jpeg(orientation: u8) -> Vec<u8> {
    let picture = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| {
        let inside = (PATCH[0]..PATCH[2]).contains(&x) && (PATCH[1]..PATCH[3]).contains(&y);
        if inside { Rgb([255, 0, 0]) } else { Rgb([255, 255, 255]) }
    });
    let mut file = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Jpeg).unwrap();
    let file = file.into_inner();
    // A big-endian TIFF with one entry: Orientation (0x0112), one SHORT.
    let exif: &[u8] = &[
        0xFF,
        0xE1,
        0x00,
        0x22,
        b'E',
        b'x',
        b'i',
        b'f',
        0,
        0,
        b'M',
        b'M',
        0,
        42,
        0,
        0,
        0,
        8,
        0,
        1,
        0x01,
        0x12,
        0,
        3,
        0,
        0,
        0,
        1,
        0,
        orientation,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    [&file[..2], exif, &file[2..]].concat()
}
