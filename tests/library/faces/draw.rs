//! Images to look at: the emulator's drawn portrait, and what can be made of it.

use std::io::Cursor;

use emo_preflight::emulator::Picture;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, imageops};

/// A portrait, drawn.
pub(crate) fn portrait(width: u32, height: u32) -> RgbImage {
    image::load_from_memory(Picture::bmp(width, height).body()).unwrap().to_rgb8()
}

/// Hills below a sky.
pub(crate) fn landscape(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let hill = f64::from(height) * (0.6 + 0.1 * (f64::from(x) * 9.0 / f64::from(width)).sin());
        let light = u8::try_from(y * 90 / height).unwrap();
        if f64::from(y) < hill {
            Rgb([120 + light, 160 + light / 2, 230])
        } else {
            Rgb([60, 140 - light, 50])
        }
    })
}

/// So many portraits beside each other, the first of this width and the others of so much of it.
pub(crate) fn several(count: u32, width: u32, others: f64) -> RgbImage {
    let mut image = landscape(width * count, width);
    imageops::replace(&mut image, &portrait(width, width), 0, 0);
    let small = (f64::from(width) * others) as u32;
    for at in 1..count {
        imageops::replace(&mut image, &portrait(small, small), i64::from(width * at), 0);
    }
    image
}

pub(crate) fn file(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut file = Vec::new();
    image.into().write_to(&mut Cursor::new(&mut file), format).unwrap();
    file
}

pub(crate) fn jpeg(image: impl Into<DynamicImage>) -> Vec<u8> {
    file(image, ImageFormat::Jpeg)
}

pub(crate) fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    file(image, ImageFormat::Png)
}

/// A JPEG with this EXIF orientation.
pub(crate) fn oriented(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut file = jpeg[..2].to_vec();
    file.extend([0xff, 0xe1]);
    file.extend(u16::try_from(exif.len() + 2).unwrap().to_be_bytes());
    file.extend(exif);
    file.extend(&jpeg[2..]);
    file
}
