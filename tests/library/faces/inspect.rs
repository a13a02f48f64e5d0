//! `FaceScreen::inspect`: kinds of files, orientations, and what is said of a face.

use emo_preflight::{Advice, FaceScreen, Finding, ReasonCode};
use image::{DynamicImage, GrayImage, ImageFormat, RgbImage, imageops};

use super::draw::{file, jpeg, landscape, oriented, png, portrait, several};

fn inspect(file: &[u8]) -> Finding {
    FaceScreen::new().inspect(file)
}

fn advice(file: &[u8]) -> Option<Advice> {
    inspect(file).screen.expect("it was looked at").advice
}

#[test]
fn drawn_portraits_have_one_face_and_landscapes_none() {
    for (width, height) in [(400, 400), (640, 800), (1_600, 1_200), (600, 1_200)] {
        let size = format!("{width}×{height}");
        let finding = inspect(&jpeg(portrait(width, height)));
        assert_eq!(finding.objection, None, "{size}");
        let screen = finding.screen.unwrap();
        assert_eq!((screen.faces.len(), screen.advice), (1, None), "{size}");
        assert_eq!(advice(&jpeg(landscape(width, height))), Some(Advice::NoFace), "{size}");
    }
}

#[test]
fn the_box_lies_where_the_face_was_drawn() {
    let (width, height) = (640, 800);
    let drawn = portrait(width, height);
    // In the stored image, whatever its orientation.
    for (orientation, stored) in [
        (1, drawn.clone()),
        (2, imageops::flip_horizontal(&drawn)),
        (3, imageops::rotate180(&drawn)),
        (4, imageops::flip_vertical(&drawn)),
        (5, imageops::flip_horizontal(&imageops::rotate90(&drawn))),
        (6, imageops::rotate270(&drawn)),
        (7, imageops::flip_horizontal(&imageops::rotate270(&drawn))),
        (8, imageops::rotate90(&drawn)),
    ] {
        let plain = jpeg(stored.clone());
        if orientation >= 5 {
            assert_eq!(advice(&plain), Some(Advice::NoFace), "as stored, {orientation}");
        }
        let finding = inspect(&oriented(&plain, orientation));
        let screen = finding.screen.unwrap();
        assert_eq!(screen.advice, None, "{orientation}");
        let found = screen.faces[0].bbox;
        // The face is drawn in the middle of the width, so that only its height tells.
        let (across, down) = ((found.x1 + found.x2) / 2.0, (found.y1 + found.y2) / 2.0);
        let whole = inspect(&jpeg(drawn.clone())).screen.unwrap().faces[0].bbox;
        let (x, y) = ((whole.x1 + whole.x2) / 2.0, (whole.y1 + whole.y2) / 2.0);
        let (w, h) = (f64::from(width), f64::from(height));
        let (x, y) = match orientation {
            1 => (x, y),
            2 => (w - x, y),
            3 => (w - x, h - y),
            4 => (x, h - y),
            5 => (y, x),
            6 => (y, w - x),
            7 => (h - y, w - x),
            _ => (h - y, x),
        };
        let off = (across - x).abs().max((down - y).abs());
        assert!(off < 20.0, "{orientation}: {found} where {x}, {y} is the middle");
    }
}

#[test]
fn an_orientation_that_is_wrong_rejects_no_portrait() {
    let plain = jpeg(portrait(640, 640));
    assert_eq!(advice(&oriented(&plain, 6)), None, "the face is upright as it is stored");
}

#[test]
fn every_kind_of_file_is_read() {
    let (face, hills) = (portrait(480, 600), landscape(480, 600));
    type Write = fn(&RgbImage) -> Vec<u8>;
    let kinds: [(&str, Write); 12] = [
        ("JPEG", |i| jpeg(i.clone())),
        ("grey JPEG", |i| jpeg(DynamicImage::from(i.clone()).to_luma8())),
        ("CMYK JPEG", |i| cmyk(i, false)),
        ("CMYK JPEG, inverted", |i| cmyk(i, true)),
        ("PNG", |i| png(i.clone())),
        ("PNG of 16 bits", |i| png(DynamicImage::from(i.clone()).to_rgb16())),
        ("PNG with alpha", |i| png(DynamicImage::from(i.clone()).to_rgba8())),
        ("grey PNG with alpha", |i| png(DynamicImage::from(i.clone()).to_luma_alpha16())),
        ("PNG with a palette", palette),
        ("interlaced PNG", interlaced),
        ("BMP", |i| file(i.clone(), ImageFormat::Bmp)),
        ("WebP", |i| file(i.clone(), ImageFormat::WebP)),
    ];
    for (name, write) in kinds {
        assert_eq!(advice(&write(&face)), None, "{name}");
        assert_eq!(advice(&write(&hills)), Some(Advice::NoFace), "{name}");
    }
}

#[test]
fn several_and_small_faces_are_told_where_it_is_sure() {
    for (name, image, expected) in [
        ("two alike", several(2, 500, 1.0), Some(Advice::SeveralFaces)),
        ("three", several(3, 400, 0.9), Some(Advice::SeveralFaces)),
        ("a small one behind", several(2, 500, 0.4), None),
    ] {
        let finding = inspect(&png(image));
        let screen = finding.screen.unwrap();
        assert_eq!(screen.advice, expected, "{name}: {:?}", screen.faces);
        let code = finding.objection.map(|reason| (reason.code, reason.found, reason.required));
        assert_eq!(code.is_some(), expected.is_some(), "{name}");
        if let Some((code, found, required)) = code {
            assert_eq!(code, ReasonCode::SeveralFaces);
            assert_eq!(found.and_then(|found| found.as_u64()), Some(screen.faces.len() as u64));
            assert_eq!(required.and_then(|required| required.as_u64()), Some(1));
        }
    }
}

#[test]
fn what_no_decoder_takes_is_undecodable_and_what_was_not_looked_at_is_nothing() {
    let good = png(portrait(480, 600));
    let mut broken = good.clone();
    broken.truncate(good.len() / 2);
    let mut no_scan = jpeg(portrait(480, 600));
    let scan = no_scan.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    no_scan.truncate(scan);
    for (name, bytes) in [("half a PNG", broken), ("a JPEG without a scan", no_scan)] {
        let finding = inspect(&bytes);
        assert_eq!(finding.screen.and_then(|s| s.advice), Some(Advice::Undecodable), "{name}");
        let reason = finding.objection.unwrap();
        assert_eq!(reason.code, ReasonCode::Undecodable, "{name}");
        assert!(reason.message.starts_with("image must decode, found: "), "{name}: {reason}");
    }
    let narrow = png(landscape(4_000, 100));
    let large = png(GrayImage::new(7_001, 400));
    for (name, bytes) in [
        ("a GIF", b"GIF89a\x80\x02\x20\x03\x80\0\0".to_vec()),
        ("nothing", Vec::new()),
        ("a page", b"<html>".to_vec()),
        ("too narrow for the detector", narrow),
        ("a side too long", large),
        ("too many bytes", vec![0xff; 21 * 1_024 * 1_024]),
    ] {
        assert_eq!(inspect(&bytes), Finding::default(), "{name}");
    }
}

#[test]
fn a_model_of_other_bytes_is_refused() {
    for bytes in [&b""[..], b"abc", b"PK\x03\x04 and so on", &[1, 0, 0, 0, 1, 0, 0, 0, 9, 9, 9, 9]]
    {
        let error = FaceScreen::from_model(bytes).unwrap_err().to_string();
        assert!(error.starts_with("face model must be one of SeetaFace's frontal"), "{error}");
    }
}

/// As a palette of 216 colours.
fn palette(image: &RgbImage) -> Vec<u8> {
    let colours: Vec<u8> = (0..216_u32)
        .flat_map(|n| [n / 36, n / 6 % 6, n % 6])
        .map(|level| u8::try_from(level * 51).unwrap())
        .collect();
    let index = |pixel: &image::Rgb<u8>| {
        let [r, g, b] = pixel.0.map(|v| v.saturating_add(25) / 51);
        r * 36 + g * 6 + b
    };
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, image.width(), image.height());
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_palette(colours);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&image.pixels().map(index).collect::<Vec<u8>>()).unwrap();
    writer.finish().unwrap();
    file
}

/// Adam7, row by row with no filter: no encoder at hand writes it.
fn interlaced(image: &RgbImage) -> Vec<u8> {
    let (width, height) = image.dimensions();
    let mut rows = Vec::new();
    for (x, y, across, down) in [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ] {
        for y in (y..height).step_by(down) {
            rows.push(0);
            for x in (x..width).step_by(across) {
                rows.extend(image.get_pixel(x, y).0);
            }
        }
    }
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut ihdr = Vec::new();
    ihdr.extend(width.to_be_bytes());
    ihdr.extend(height.to_be_bytes());
    ihdr.extend([8, 2, 0, 0, 1]);
    for (name, content) in
        [(b"IHDR", ihdr), (b"IDAT", crate::common::zlib(&rows)), (b"IEND", Vec::new())]
    {
        file.extend(super::bounds::chunk(name, &content));
    }
    file
}

/// As CMYK without black; whether more means more ink or less.
fn cmyk(image: &RgbImage, inverted: bool) -> Vec<u8> {
    let ink = |light: u8| if inverted { light } else { 255 - light };
    let pixels: Vec<u8> = image
        .pixels()
        .flat_map(|pixel| {
            let [r, g, b] = pixel.0;
            [ink(r), ink(g), ink(b), ink(255)]
        })
        .collect();
    let mut file = Vec::new();
    let (width, height) = (image.width() as u16, image.height() as u16);
    jpeg_encoder::Encoder::new(&mut file, 90)
        .encode(&pixels, width, height, jpeg_encoder::ColorType::Cmyk)
        .unwrap();
    file
}
