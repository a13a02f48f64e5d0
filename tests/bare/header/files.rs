//! Files made for a test, and the one answer that every way of reading must give.

use std::io::Cursor;
use std::path::Path;

use emo_preflight::header::Format::{Bmp, Jpeg, Png, WebP};
use emo_preflight::header::{
    self, Format, Found, Header, HeaderError, HeaderReader, Orientation, ReadError,
};

/// The answer for the whole, on which every other way of feeding has to agree.
pub(super) fn every_way(name: &str, file: &[u8]) -> Result<Header, HeaderError> {
    let whole = header::from_slice(file);
    for piece in [1, 2, 3, 5, 7, 11, 12, 13, 64, 511, 512, 513] {
        let mut reader = HeaderReader::new();
        for (i, bytes) in file.chunks(piece).enumerate() {
            let _ = reader.feed((i * piece) as u64, bytes);
        }
        assert_eq!(reader.eof(file.len() as u64), whole, "{name} in pieces of {piece}");
    }
    match (header::from_reader(Cursor::new(file)), &whole) {
        (Ok(read), Ok(whole)) => {
            let orientation = read.orientation.or(whole.orientation);
            assert_eq!(Header::new(read.format, read.width, read.height, orientation), *whole);
        }
        (Err(ReadError::Header(read)), Err(whole)) => assert_eq!(read, *whole, "{name}"),
        (read, whole) => panic!("{name}: {read:?} is not {whole:?}"),
    }
    whole
}

pub(super) fn ok(
    format: Format,
    width: u32,
    height: u32,
    orientation: u8,
) -> Result<Header, HeaderError> {
    Ok(Header::new(format, width, height, Some(Orientation::new(orientation).unwrap())))
}

pub(super) fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"))
}

pub(super) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

pub(super) fn segment(code: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 2).unwrap().to_be_bytes();
    [&[0xff, code], &length[..], payload].concat()
}

pub(super) fn sof(code: u8, width: u16, height: u16) -> Vec<u8> {
    let [height, width] = [height, width].map(u16::to_be_bytes);
    let components = [3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
    segment(code, &[&[8], &height[..], &width, &components].concat())
}

pub(super) fn bmp(size: u32, width: i32, height: i32) -> Vec<u8> {
    let mut file = [b"BM", &[0; 12][..], &size.to_le_bytes()].concat();
    if size == 12 {
        file.extend((width as u16).to_le_bytes());
        file.extend((height as u16).to_le_bytes());
    } else {
        file.extend(width.to_le_bytes());
        file.extend(height.to_le_bytes());
    }
    file.extend([1, 0, 24, 0]);
    if size >= 20 {
        file.extend([0; 4]);
    }
    file
}

pub(super) fn webp(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u32).to_le_bytes();
    let chunk = [&kind[..], &length, data, &[0; 16]].concat();
    let riff = (4 + chunk.len() as u32).to_le_bytes();
    [b"RIFF", &riff[..], b"WEBP", &chunk].concat()
}

pub(super) fn vp8(width: u16, height: u16) -> Vec<u8> {
    [b"\x10\x02\x00\x9d\x01\x2a", &width.to_le_bytes()[..], &height.to_le_bytes()].concat()
}

/// Orientation 0: unknown.
pub(super) type Expected = Option<(Format, u32, u32, u8)>;

pub(super) const FIXTURES: &[(&str, Expected)] = &[
    ("plain.jpg", Some((Jpeg, 33, 17, 1))),
    ("exif-6-le.jpg", Some((Jpeg, 33, 17, 6))),
    ("exif-8-be-far.jpg", Some((Jpeg, 33, 17, 8))),
    ("exif-no-tag.jpg", Some((Jpeg, 33, 17, 1))),
    ("thumbnail.jpg", Some((Jpeg, 33, 17, 3))),
    ("fill-and-junk.jpg", Some((Jpeg, 33, 17, 1))),
    ("dnl.jpg", None),
    ("no-frame.jpg", None),
    ("plain.png", Some((Png, 33, 17, 0))),
    ("bad-crc.png", None),
    ("cgbi.png", None),
    ("core.bmp", Some((Bmp, 5, 4, 1))),
    ("os2-16.bmp", Some((Bmp, 5, 4, 1))),
    ("info.bmp", Some((Bmp, 5, 4, 1))),
    ("info-top-down.bmp", Some((Bmp, 5, 4, 1))),
    ("v4.bmp", Some((Bmp, 5, 4, 1))),
    ("v5.bmp", Some((Bmp, 5, 4, 1))),
    ("lossy-head.webp", Some((WebP, 33, 17, 1))),
    ("lossless.webp", Some((WebP, 33, 17, 1))),
    ("extended.webp", Some((WebP, 33, 17, 1))),
    ("extended-exif.webp", Some((WebP, 33, 17, 0))),
];

pub(super) fn not_an_image(name: &'static str) -> Result<Header, HeaderError> {
    Err(HeaderError::NotAnImage { found: Found::Known(name) })
}

pub(super) fn jpeg(parts: &[&[u8]]) -> Vec<u8> {
    [b"\xff\xd8", &parts.concat()[..]].concat()
}
