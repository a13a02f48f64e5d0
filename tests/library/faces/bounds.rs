//! Bombs, and the largest images: they end in time and within the memory that is promised.

use std::time::{Duration, Instant};

use emo_preflight::{FaceScreen, Finding};
use image::{ImageFormat, RgbImage};

use super::draw::{file, landscape};
use crate::common::{is_slow_tier, zlib};

/// What decoding may take, in bytes.
const MOST: u64 = 384 * 1_024 * 1_024;
const MIB: u64 = 1_024 * 1_024;

/// A debug build on a quiet machine.
const IN_TIME: Duration = Duration::from_secs(60);

#[test]
#[ignore = "takes long: `.ci/slow` runs it"]
fn the_largest_images_of_each_format_are_looked_at() {
    let rgb = RgbImage::from_pixel(7_000, 7_000, image::Rgb([90, 120, 60]));
    for (name, bytes, most) in [
        ("JPEG", jpeg(&rgb, false), MOST),
        ("progressive JPEG", jpeg(&rgb, true), MOST),
        ("PNG", file(rgb.clone(), ImageFormat::Png), 64 * MIB),
        ("BMP of one bit", one_bit_bmp(7_000, 7_000), 250 * MIB),
        ("WebP", file(rgb, ImageFormat::WebP), MOST),
    ] {
        let finding = watched(name, &bytes, most);
        assert!(finding.screen.is_some(), "{name} was looked at");
    }
}

#[test]
#[ignore = "takes long: `.ci/slow` runs it"]
fn bombs_end_in_time_and_bytes() {
    let pixels = |bytes: usize| zlib(&vec![0; bytes]);
    // 7,000 rows of 7,000 pixels of RGBA at 16 bits, and more behind them, up to 20 MiB.
    let row = 1 + 7_000 * 8;
    let mut padded = png(7_000, 7_000, 16, 6, &pixels(7_000 * row));
    padded.resize(20 * MIB as usize, 0);
    let endless = png(7_000, 7_000, 8, 0, &pixels(200 * MIB as usize));
    let mut text = png(600, 600, 8, 0, &[]);
    let inflated = pixels(200 * MIB as usize);
    let bomb = chunk(b"zTXt", &[b"k\0\0", &inflated[..]].concat());
    text.splice(33..33, bomb);
    let profile = chunk(b"iCCP", &[b"p\0\0", &inflated[..]].concat());
    text.splice(33..33, profile);
    for (name, bytes) in [
        ("a PNG of zeros", padded),
        ("a PNG with more pixels than its sides", endless),
        ("a PNG with text and a profile that inflate", text),
        ("an animated WebP of thousands of frames", animated_webp(5_000)),
        ("a BMP that lies", lying_bmp(7_000, 7_000)),
        ("a progressive JPEG of thousands of scans", many_scans(5_000)),
    ] {
        assert!(bytes.len() as u64 <= 20 * MIB, "{name}: {}", bytes.len());
        watched(name, &bytes, MOST);
    }
}

#[test]
fn a_broken_file_of_any_kind_never_panics_through() {
    let screen = FaceScreen::new();
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
        let whole = file(landscape(420, 400), format);
        for cut in (0..whole.len()).step_by(1 + whole.len() / 20) {
            let _ = screen.inspect(&whole[..cut]);
            let mut flipped = whole.clone();
            flipped[cut] ^= 0xff;
            let _ = screen.inspect(&flipped);
        }
    }
}

/// Looks at it, and holds the time and the memory of that against the bounds.
fn watched(name: &str, bytes: &[u8], most: u64) -> Finding {
    let screen = FaceScreen::new();
    let mut finding = Finding::default();
    let begun = Instant::now();
    // A JPEG's coefficients are given to the decoder's threads, and count here as if they stayed.
    let taken = allocation_counter::measure(|| finding = screen.inspect(bytes));
    let (time, peak) = (begun.elapsed(), taken.bytes_max);
    println!("{name}: {} bytes, {time:.1?}, {} MiB at the most", bytes.len(), peak / MIB);
    if is_slow_tier("how long that takes") {
        assert!(time < IN_TIME, "{name} took {time:?}");
    }
    assert!(peak <= most, "{name} took {} MiB", peak / MIB);
    finding
}

fn jpeg(image: &RgbImage, progressive: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, 60);
    encoder.set_progressive(progressive);
    let (width, height) = (image.width() as u16, image.height() as u16);
    encoder.encode(image.as_raw(), width, height, jpeg_encoder::ColorType::Rgb).unwrap();
    file
}

/// One whose scans are there thousands of times.
fn many_scans(count: usize) -> Vec<u8> {
    let file = jpeg(&RgbImage::new(2_000, 2_000), true);
    let scan = file.windows(2).rposition(|pair| pair == [0xff, 0xda]).unwrap();
    let (before, last) = file[..file.len() - 2].split_at(scan);
    let mut bomb = before.to_vec();
    for _ in 0..count {
        bomb.extend(last);
        if bomb.len() + last.len() + 2 > 20 * MIB as usize {
            break;
        }
    }
    bomb.extend([0xff, 0xd9]);
    bomb
}

pub(crate) fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(name);
    crc.update(content);
    let mut chunk = u32::try_from(content.len()).unwrap().to_be_bytes().to_vec();
    chunk.extend(name);
    chunk.extend(content);
    chunk.extend(crc.sum().to_be_bytes());
    chunk
}

fn png(width: u32, height: u32, depth: u8, colour: u8, pixels: &[u8]) -> Vec<u8> {
    let mut ihdr = width.to_be_bytes().to_vec();
    ihdr.extend(height.to_be_bytes());
    ihdr.extend([depth, colour, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, content) in [(b"IHDR", &ihdr[..]), (b"IDAT", pixels), (b"IEND", &[])] {
        file.extend(chunk(name, content));
    }
    file
}

fn bmp_head(width: u32, height: u32, bits: u16, colours: u32, size: u32) -> Vec<u8> {
    let begin = 54 + colours * 4;
    let mut file = b"BM".to_vec();
    for number in [size, 0, begin, 40, width, height] {
        file.extend(number.to_le_bytes());
    }
    file.extend(1_u16.to_le_bytes());
    file.extend(bits.to_le_bytes());
    for number in [0, 0, 2_835, 2_835, colours, 0] {
        file.extend(number.to_le_bytes());
    }
    file
}

fn one_bit_bmp(width: u32, height: u32) -> Vec<u8> {
    let row = width.div_ceil(32) * 4;
    let mut file = bmp_head(width, height, 1, 2, 62 + row * height);
    file.extend([0, 0, 0, 0, 255, 255, 255, 0]);
    file.resize(62 + (row * height) as usize, 0x0f);
    file
}

/// It says that it is 147 MB long and is as long as a header.
fn lying_bmp(width: u32, height: u32) -> Vec<u8> {
    let mut file = bmp_head(width, height, 24, 0, 54 + width * height * 3);
    file.resize(2_000, 7);
    file
}

/// An animation over the whole canvas, of so many frames of one pixel.
fn animated_webp(frames: usize) -> Vec<u8> {
    let still = file(RgbImage::new(1, 1), ImageFormat::WebP);
    let image = &still[12..];
    let u24 = |number: u32| number.to_le_bytes()[..3].to_vec();
    let riff = |name: &[u8; 4], content: Vec<u8>| {
        let mut chunk = name.to_vec();
        chunk.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        chunk.extend(&content);
        chunk.resize(chunk.len() + content.len() % 2, 0);
        chunk
    };
    let frame = [u24(0), u24(0), u24(0), u24(0), u24(10), vec![0], image.to_vec()].concat();
    let mut body = b"WEBP".to_vec();
    body.extend(riff(b"VP8X", [vec![2, 0, 0, 0], u24(6_999), u24(6_999)].concat()));
    body.extend(riff(b"ANIM", vec![0; 6]));
    for _ in 0..frames {
        body.extend(riff(b"ANMF", frame.clone()));
    }
    riff(b"RIFF", body)
}
