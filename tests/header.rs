//! `header` at its public surface: a row a trap.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Cursor;
use std::path::Path;

use emo_preflight::header::Format::{Bmp, Jpeg, Png, WebP};
use emo_preflight::header::{
    self, Format, Found, Header, HeaderError, HeaderReader, Orientation, Problem, ReadError, Step,
};

// JPEG

#[test]
fn jpeg_every_sof_counts() {
    for code in (0xc0..=0xcf).filter(|code| ![0xc4, 0xc8, 0xcc].contains(code)) {
        let file = jpeg(&[&sof(code, 640, 480)]);
        assert_eq!(header::from_slice(&file), ok(Jpeg, 640, 480, 1), "{code:02x}");
    }
}

#[test]
fn jpeg_dht_jpg_and_dac_are_no_frames() {
    for code in [0xc4, 0xc8, 0xcc] {
        let decoy = segment(code, &sof(0xc0, 9, 9)[4..]);
        let file = jpeg(&[&decoy, &sof(0xc0, 640, 480)]);
        assert_eq!(header::from_slice(&file), ok(Jpeg, 640, 480, 1), "{code:02x}");
    }
}

#[test]
fn jpeg_what_may_stand_between_segments() {
    let sof = sof(0xc2, 640, 480);
    for (name, between) in [
        ("nothing", &b""[..]),
        ("fill bytes", b"\xff\xff\xff\xff"),
        ("junk", b"junk"),
        ("stuffed zeros", b"\xff\x00\xff\x00"),
        ("fill bytes before a stuffed zero", b"\xff\xff\xff\x00"),
        ("TEM", b"\xff\x01"),
        ("RST0 to RST7", b"\xff\xd0\xff\xd1\xff\xd2\xff\xd3\xff\xd4\xff\xd5\xff\xd6\xff\xd7"),
        ("a nested SOI", b"\xff\xd8"),
        ("a reserved marker's segment", b"\xff\x02\x00\x04\xff\xd9"),
        ("DNL", b"\xff\xdc\x00\x04\x00\x09"),
        ("a comment that looks like SOS", b"\xff\xfe\x00\x06\xff\xda\xff\xda"),
        ("an empty segment", b"\xff\xfe\x00\x02"),
        ("long junk", &[0x55; 3000]),
    ] {
        let file = jpeg(&[&segment(0xe0, b"JFIF\0"), between, &sof]);
        assert_eq!(every_way(name, &file), ok(Jpeg, 640, 480, 1), "{name}");
    }
}

#[test]
fn jpeg_pictures_inside_segments_do_not_count() {
    let inner = jpeg(&[&sof(0xc0, 160, 120), b"\xff\xd9"]);
    for (name, code, id) in [
        ("thumbnail", 0xe1, &b"Exif\0\0II"[..]),
        ("MPF", 0xe2, b"MPF\0"),
        ("JFXX", 0xe0, b"JFXX\0\x10"),
    ] {
        let file = jpeg(&[&segment(code, &[id, &inner].concat()), &sof(0xc0, 640, 480)]);
        let header = every_way(name, &file).unwrap();
        assert_eq!((header.width, header.height), (640, 480), "{name}");
    }
}

#[test]
fn jpeg_corrupt() {
    let frame = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = sof(0xc0, 640, 480);
        change(&mut frame);
        frame
    };
    let side = |found, max| Problem::Side { found, max };
    for (name, part, at, problem) in [
        ("length 0", b"\xff\xe0\x00\x00".to_vec(), 4, Problem::SegmentLength { found: 0 }),
        ("length 1", b"\xff\xe0\x00\x01".to_vec(), 4, Problem::SegmentLength { found: 1 }),
        ("APP1 of length 1", b"\xff\xe1\x00\x01".to_vec(), 4, Problem::SegmentLength { found: 1 }),
        ("SOS first", b"\xff\xda\x00\x08".to_vec(), 2, Problem::NoFrame { found: "SOS" }),
        ("EOI first", b"\xff\xd9".to_vec(), 2, Problem::NoFrame { found: "EOI" }),
        ("junk, then EOI", b"junk\xff\xff\xd9".to_vec(), 7, Problem::NoFrame { found: "EOI" }),
        (
            "frame too short for its components",
            frame(&|sof| sof[9] = 4),
            4,
            Problem::FrameLength { expected: 20, found: 17 },
        ),
        (
            "frame too long for its components",
            frame(&|sof| sof[3] = 18),
            4,
            Problem::FrameLength { expected: 17, found: 18 },
        ),
        (
            "frame length 0",
            frame(&|sof| sof[3] = 0),
            4,
            Problem::FrameLength { expected: 17, found: 0 },
        ),
        ("no components", frame(&|sof| (sof[3], sof[9]) = (8, 0)), 11, Problem::NoComponents),
        ("width 0", sof(0xc0, 0, 480), 9, side(0, 65535)),
        ("both 0", sof(0xc0, 0, 0), 9, side(0, 65535)),
    ] {
        for before in [vec![], segment(0xe0, b"far enough for any split")] {
            let file = jpeg(&[&before, &part, &[0; 32]]);
            let corrupt =
                HeaderError::Corrupt { format: Jpeg, at: at + before.len() as u64, problem };
            assert_eq!(every_way(name, &file), Err(corrupt), "{name}");
        }
    }
}

#[test]
fn jpeg_height_0_is_deferred() {
    let file = jpeg(&[&segment(0xe0, b"JFIF"), &sof(0xc0, 640, 0)]);
    assert_eq!(every_way("DNL", &file), Err(HeaderError::SizeDeferred { at: 15 }));
}

#[test]
fn jpeg_greatest_sides() {
    let file = jpeg(&[&sof(0xc0, 65535, 65535)]);
    assert_eq!(header::from_slice(&file), ok(Jpeg, 65535, 65535, 1));
}

#[test]
fn jpeg_orientation() {
    const LE: bool = true;
    const BE: bool = false;
    let tag = |value| (0x0112, 3, 1, value);
    let xmp = segment(0xe1, b"http://ns.adobe.com/xap/1.0/\0<x/>");
    let app1 = |payload: Vec<u8>| segment(0xe1, &payload);
    let tall = (0x0100, 4, 1, 7);

    for (name, segments, orientation) in [
        ("little-endian", app1(exif(LE, 8, &[tag(6)])), Some(6)),
        ("big-endian", app1(exif(BE, 8, &[tag(8)])), Some(8)),
        ("behind other entries", app1(exif(BE, 8, &[tall, tall, tag(3)])), Some(3)),
        ("before other entries", app1(exif(LE, 8, &[tag(3), tall])), Some(3)),
        ("in a far directory", app1(exif(LE, 3000, &[tag(5)])), Some(5)),
        ("in an odd place", app1(exif(LE, 11, &[tag(5)])), Some(5)),
        ("EXIF behind XMP", [xmp.clone(), app1(exif(LE, 8, &[tag(6)]))].concat(), Some(6)),
        ("EXIF before XMP", [app1(exif(LE, 8, &[tag(6)])), xmp.clone()].concat(), Some(6)),
        (
            "the first EXIF wins",
            [app1(exif(LE, 8, &[tag(6)])), app1(exif(LE, 8, &[tag(3)]))].concat(),
            Some(6),
        ),
        (
            "the first EXIF wins, without the tag too",
            [app1(exif(LE, 8, &[tall])), app1(exif(LE, 8, &[tag(3)]))].concat(),
            Some(1),
        ),
        ("no APP1", segment(0xe0, b"JFIF"), Some(1)),
        ("no EXIF", xmp.clone(), Some(1)),
        ("APP1 too short for EXIF", app1(b"Exif\0".to_vec()), Some(1)),
        ("EXIF without the tag", app1(exif(LE, 8, &[tall])), Some(1)),
        ("EXIF without entries", app1(exif(LE, 8, &[])), Some(1)),
        ("value 0", app1(exif(LE, 8, &[tag(0)])), None),
        ("value 9", app1(exif(LE, 8, &[tag(9)])), None),
        ("value 0x0106", app1(exif(BE, 8, &[tag(0x0106)])), None),
        ("of type LONG", app1(exif(LE, 8, &[(0x0112, 4, 1, 6)])), None),
        ("of count 2", app1(exif(LE, 8, &[(0x0112, 3, 2, 6)])), None),
        ("no TIFF header", app1(b"Exif\0\0II*\0".to_vec()), None),
        ("another byte order", app1(b"Exif\0\0IM*\0\x08\0\0\0\0\0".to_vec()), None),
        ("not 42", app1(b"Exif\0\0II+\0\x08\0\0\0\0\0".to_vec()), None),
        ("a directory in the header", app1(b"Exif\0\0II*\0\x07\0\0\0\0\0".to_vec()), None),
        ("a directory outside", app1(b"Exif\0\0II*\0\x09\0\0\0\0\0".to_vec()), None),
        (
            "a directory in the junk behind its segment",
            [app1(b"Exif\0\0II*\0\x08\0\0\0".to_vec()), vec![0; 2]].concat(),
            None,
        ),
        ("a directory far outside", app1(b"Exif\0\0II*\0\xff\xff\xff\xff\0\0".to_vec()), None),
        ("entries outside", app1(b"Exif\0\0II*\0\x08\0\0\0\xff\xff".to_vec()), None),
    ] {
        let file = jpeg(&[&segments, &sof(0xc0, 640, 480)]);
        let expected = Header::new(Jpeg, 640, 480, orientation.and_then(Orientation::new));
        assert_eq!(every_way(name, &file), Ok(expected), "{name}");
    }
}

#[test]
fn jpeg_orientation_is_unknown_where_the_bytes_were_skipped() {
    let app1 = segment(0xe1, &exif(true, 100, &[(0x0112, 3, 1, 6)]));
    let file = jpeg(&[&app1, &segment(0xe2, &[0; 50]), &sof(0xc0, 640, 480)]);
    let behind = 2 + app1.len();
    let directory = 2 + 4 + 6 + 100;
    for (name, seen, orientation) in [
        ("nothing", 0..0, None),
        ("all", 0..behind, Some(6)),
        ("the directory only", directory..behind, None),
        ("up to the directory", 0..directory, None),
        ("up to the entry's end", 0..directory + 2 + 12, Some(6)),
        ("all but the entry's last byte", 0..directory + 2 + 11, None),
    ] {
        let mut reader = HeaderReader::new();
        reader.feed(0, &file[..12]).unwrap();
        reader.feed(seen.start as u64, &file[seen]).unwrap();
        let Ok(Step::Done(header)) = reader.feed(behind as u64, &file[behind..]) else {
            panic!("{name}: no header")
        };
        assert_eq!(header.orientation, orientation.and_then(Orientation::new), "{name}");
    }
}

#[test]
fn jpeg_orientation_is_unknown_where_the_first_app1_was_skipped() {
    let first = segment(0xe1, &exif(true, 100, &[(0x0112, 3, 1, 6)]));
    let second = segment(0xe1, &exif(true, 8, &[(0x0112, 3, 1, 3)]));
    let file = jpeg(&[&first, &second, &sof(0xc0, 640, 480)]);
    let behind = 2 + first.len();
    let mut reader = HeaderReader::new();
    reader.feed(0, &file[..12]).unwrap();
    reader.feed(behind as u64, &file[behind..]).unwrap();
    let header = Header::new(Jpeg, 640, 480, None);
    assert_eq!(reader.step(), Ok(Step::Done(header)));
}

#[test]
fn jpeg_orientation_survives_skipping_what_does_not_decide() {
    let app1 = segment(0xe1, &exif(true, 100, &[(0x0112, 3, 1, 6)]));
    let file = jpeg(&[&segment(0xe2, &[0; 50]), &app1, &sof(0xc0, 640, 480)]);
    let start = 2 + 54;
    let directory = start + 4 + 6 + 100;
    let mut reader = HeaderReader::new();
    for seen in [0..12, start..start + 4 + 14, directory..file.len()] {
        reader.feed(seen.start as u64, &file[seen]).unwrap();
    }
    assert_eq!(reader.eof(file.len() as u64), ok(Jpeg, 640, 480, 6));
}

// PNG

#[test]
fn png_corrupt() {
    let signature = b"\x89PNG\r\n\x1a\n";
    let file = |chunk: Vec<u8>| [&signature[..], &chunk, &[0; 32]].concat();
    let ihdr = |width: u32, height: u32| {
        let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
        chunk(b"IHDR", &[&sides[..], &[8, 2, 0, 0, 0]].concat())
    };
    let side = |found| Problem::Side { found, max: 0x7fff_ffff };
    let mut wrong_crc = ihdr(640, 480);
    let right = u32::from_be_bytes(wrong_crc[21..].try_into().unwrap());
    wrong_crc[24] ^= 1;

    assert_eq!(
        header::from_slice(&file(ihdr(0x7fff_ffff, 1))),
        Ok(Header::new(Png, 0x7fff_ffff, 1, None))
    );
    for (name, file, at, problem) in [
        ("width 0", file(ihdr(0, 480)), 16, side(0)),
        ("height 0", file(ihdr(640, 0)), 20, side(0)),
        ("width 2^31", file(ihdr(0x8000_0000, 480)), 16, side(0x8000_0000)),
        ("height 2^32 - 1", file(ihdr(640, u32::MAX)), 20, side(u32::MAX.into())),
        (
            "another first chunk",
            file(chunk(b"IDAT", &[0; 13])),
            12,
            Problem::FirstChunk { expected: "IHDR", found: *b"IDAT" },
        ),
        (
            "IHDR of length 12",
            file(chunk(b"IHDR", &[1; 12])),
            8,
            Problem::ChunkLength { expected: 13, found: 12 },
        ),
        (
            "wrong checksum",
            file(wrong_crc),
            29,
            Problem::Checksum { expected: right, found: right ^ 1 },
        ),
    ] {
        let corrupt = HeaderError::Corrupt { format: Png, at, problem };
        assert_eq!(every_way(name, &file), Err(corrupt), "{name}");
    }
}

#[test]
fn png_of_apple_is_unsupported() {
    let error = header::from_slice(&fixture("cgbi.png")).unwrap_err();
    assert_eq!(error, HeaderError::Unsupported { found: "CgBI PNG (Apple's private variant)" });
}

// BMP

#[test]
fn bmp_every_dib_header() {
    assert_eq!(header::from_slice(&bmp(12, 640, 480)), ok(Bmp, 640, 480, 1));
    for size in (16..=64).chain([108, 124]) {
        assert_eq!(header::from_slice(&bmp(size, 640, 480)), ok(Bmp, 640, 480, 1), "{size}");
        assert_eq!(header::from_slice(&bmp(size, 640, -480)), ok(Bmp, 640, 480, 1), "{size}");
    }
}

#[test]
fn bmp_sides_of_a_core_header_are_unsigned() {
    assert_eq!(header::from_slice(&bmp(12, 65535, 65535)), ok(Bmp, 65535, 65535, 1));
}

#[test]
fn bmp_corrupt() {
    const MAX: u32 = 0x7fff_ffff;
    for (name, file, at, found, max) in [
        ("core width 0", bmp(12, 0, 480), 18, 0, 65535),
        ("core height 0", bmp(12, 640, 0), 20, 0, 65535),
        ("width 0", bmp(40, 0, 480), 18, 0, MAX),
        ("width -1", bmp(40, -1, 480), 18, -1, MAX),
        ("height 0", bmp(40, 640, 0), 22, 0, MAX),
        ("height -2^31", bmp(40, 640, i32::MIN), 22, 0x8000_0000, MAX),
    ] {
        let problem = Problem::Side { found, max };
        let corrupt = HeaderError::Corrupt { format: Bmp, at, problem };
        assert_eq!(every_way(name, &file), Err(corrupt), "{name}");
    }
}

#[test]
fn bm_alone_is_no_bmp() {
    let text = b"BMW builds cars, and bikes, in Munich and in other places.";
    assert_eq!(every_way("text", text), not_an_image("plain text"));
    for size in [0, 11, 13, 15, 65, 107, 109, 123, 125, u32::MAX] {
        let error = every_way("size", &bmp(size, 640, 480)).unwrap_err();
        assert!(error.is_not_an_image(), "{size}: {error}");
    }
}

// WebP

#[test]
fn webp_sides() {
    for (name, file, expected) in [
        ("lossy", webp(b"VP8 ", &vp8(640, 480)), ok(WebP, 640, 480, 1)),
        ("lossy, scaled", webp(b"VP8 ", &vp8(0x4000 | 640, 0xc000 | 480)), ok(WebP, 640, 480, 1)),
        ("lossy, greatest", webp(b"VP8 ", &vp8(0x3fff, 0x3fff)), ok(WebP, 16383, 16383, 1)),
        ("lossless", webp(b"VP8L", &vp8l(640, 480)), ok(WebP, 640, 480, 1)),
        ("lossless, smallest", webp(b"VP8L", &vp8l(1, 1)), ok(WebP, 1, 1, 1)),
        ("lossless, greatest", webp(b"VP8L", &vp8l(16384, 16384)), ok(WebP, 16384, 16384, 1)),
        ("extended", webp(b"VP8X", &vp8x(0x10, 640, 480)), ok(WebP, 640, 480, 1)),
        ("extended, widest", webp(b"VP8X", &vp8x(0, 1 << 24, 255)), ok(WebP, 1 << 24, 255, 1)),
        (
            "extended with EXIF",
            webp(b"VP8X", &vp8x(0x08, 640, 480)),
            Ok(Header::new(WebP, 640, 480, None)),
        ),
    ] {
        assert_eq!(every_way(name, &file), expected, "{name}");
    }
}

#[test]
fn webp_corrupt() {
    let change = |mut data: Vec<u8>, at: usize, byte| {
        data[at] = byte;
        data
    };
    let side = Problem::Side { found: 0, max: 0x3fff };
    let first = "\"VP8 \", \"VP8L\" or \"VP8X\"";
    for (name, kind, data, at, problem) in [
        ("interframe", b"VP8 ", change(vp8(640, 480), 0, 0x11), 20, Problem::Interframe),
        (
            "no start code",
            b"VP8 ",
            change(vp8(640, 480), 5, 0x2b),
            23,
            Problem::StartCode { found: [0x9d, 0x01, 0x2b] },
        ),
        ("width 0", b"VP8 ", vp8(0x4000, 480), 26, side),
        ("height 0", b"VP8 ", vp8(640, 0xc000), 28, side),
        (
            "no signature",
            b"VP8L",
            change(vp8l(640, 480), 0, 0x2e),
            20,
            Problem::LosslessSignature { found: 0x2e },
        ),
        (
            "version 1",
            b"VP8L",
            change(vp8l(640, 480), 4, 0x20),
            24,
            Problem::LosslessVersion { found: 1 },
        ),
        ("short VP8", b"VP8 ", vec![0; 9], 16, Problem::ShortChunk { least: 10, found: 9 }),
        ("short VP8L", b"VP8L", vec![0x2f; 4], 16, Problem::ShortChunk { least: 5, found: 4 }),
        ("short VP8X", b"VP8X", vec![0; 9], 16, Problem::ShortChunk { least: 10, found: 9 }),
        (
            "too many pixels",
            b"VP8X",
            vp8x(0, 1 << 24, 256),
            24,
            Problem::CanvasArea { width: 1 << 24, height: 256 },
        ),
        (
            "another first chunk",
            b"ICCP",
            vec![0; 16],
            12,
            Problem::FirstChunk { expected: first, found: *b"ICCP" },
        ),
    ] {
        let corrupt = HeaderError::Corrupt { format: WebP, at, problem };
        assert_eq!(every_way(name, &webp(kind, &data)), Err(corrupt), "{name}");
    }
}

// Anything else

#[test]
fn images_the_service_does_not_take_are_named() {
    let ftyp = |major: &[u8; 4], compatible: &[u8]| {
        let len = (16 + compatible.len() as u32).to_be_bytes();
        [&len, &b"ftyp"[..], major, &[0; 4], compatible, &[0; 64]].concat()
    };
    for (file, name) in [
        (ftyp(b"heic", b"mif1heic"), "HEIC"),
        (ftyp(b"mif1", b"mif1heic"), "HEIC"),
        (ftyp(b"hevc", b"hevc"), "HEIC"),
        (ftyp(b"mif1", b"mif1miaf"), "HEIF"),
        (ftyp(b"avif", b"mif1avif"), "AVIF"),
        (ftyp(b"mif1", b"mif1avif"), "AVIF"),
        (ftyp(b"crx ", b"crx isom"), "Canon CR3"),
        (b"GIF87a\x10\0\x10\0\0\0\0;".to_vec(), "GIF"),
        (b"GIF89a\x10\0\x10\0\0\0\0;".to_vec(), "GIF"),
        (b"II*\0\x08\0\0\0\x01\0".to_vec(), "TIFF"),
        (b"MM\0*\0\0\0\x08\0\x01".to_vec(), "TIFF"),
        (b"II*\0\x08\0\0\0CC".to_vec(), "TIFF"),
        (b"II*\0\x10\0\0\0CR\x02\0".to_vec(), "Canon CR2"),
        (b"\xff\x0a\0\0\0\0\0\0\0\0\0\0".to_vec(), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14".to_vec(), "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14".to_vec(), "JPEG 2000"),
        (b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0".to_vec(), "ICO"),
        (b"8BPS\0\x01\0\0\0\0\0\0".to_vec(), "PSD"),
        (b"qoif\0\0\0\x10\0\0\0\x10\x03\0".to_vec(), "QOI"),
        (b"P6\n10 10\n255\n".to_vec(), "PPM"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(), "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- x -->\n<svg:svg/>".to_vec(), "SVG"),
        (b"<?xml version='1.0'?><!DOCTYPE svg PUBLIC '' ''><svg/>".to_vec(), "SVG"),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><svg/>".to_vec(), "SVG"),
    ] {
        let error = every_way(name, &file).unwrap_err();
        assert_eq!(error, HeaderError::Unsupported { found: name });
    }
}

#[test]
fn what_is_no_image_is_named() {
    let mp4 = [&b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"[..], &[0; 64]].concat();
    let three_gp = [&b"\0\0\0\x18ftyp3gp4\0\0\0\0mp42isom"[..], &[0; 64]].concat();
    let late = [&[b' '; 400][..], b"<html>"].concat();
    for (file, name) in [
        (&b"<!DOCTYPE html><html></html>"[..], "an HTML page"),
        (b"<!doctype HTML>", "an HTML page"),
        (b"\xef\xbb\xbf\r\n  <html lang=en>", "an HTML page"),
        (b"<!-- generated --> <HEAD><title>", "an HTML page"),
        (b"<!-- never closed", "an HTML page"),
        (b"<?xml version='1.0'?><!DOCTYPE html><html>", "an HTML page"),
        (b"<html>", "an HTML page"),
        (&late, "an HTML page"),
        (
            b"<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code></Error>",
            "an object store's XML error",
        ),
        (b"<Error><Code>AccessDenied</Code></Error>", "an object store's XML error"),
        (b"<?xml version='1.0'?><rss/>", "an XML document"),
        (b"<?xml version='1.0'?>", "an XML document"),
        (b"<note>hello</note>", "an XML document"),
        (b"{\"code\":404}", "a JSON document"),
        (b" [ {\"a\": 1} ] ", "a JSON document"),
        (b"{}", "a JSON document"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
        (&mp4, "an MP4 video"),
        (&three_gp, "an MP4 video"),
        (b"RIFF\x24\0\0\0AVI LIST\0\0\0\0", "a video"),
        (b"RIFF\x24\0\0\0WAVEfmt \0\0\0\0", "an audio file"),
        (b"PK\x03\x04\x14\0\0\0\x08\0\0\0", "a ZIP archive or an office document"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03\0\0", "gzip data"),
        (b"\x53\x2a\x4d\x18\xf8\xff\xff\xff\0\0\0\0", "an archive"),
        (b"Not found", "plain text"),
        (b"MZ is where Mainz is", "plain text"),
        ("körnig ist es nicht".as_bytes(), "plain text"),
    ] {
        let printed = String::from_utf8_lossy(file);
        assert_eq!(every_way(name, file), not_an_image(name), "{printed}");
    }
}

#[test]
fn what_has_no_name_is_shown() {
    for (file, found) in [
        (&b""[..], "an empty file"),
        (b"\0", "bytes 00"),
        (b"\x01\x02\x03\x04\x05\x06\x07\x08\x09", "bytes 01 02 03 04 05 06 07 08"),
        (&[0; 4096], "bytes 00 00 00 00 00 00 00 00"),
        (b"\x89PNG\n\x1a\n\0\0\0\x0dIHDR", "bytes 89 50 4e 47 0a 1a 0a 00"),
    ] {
        let error = every_way(found, file).unwrap_err();
        assert!(error.is_not_an_image());
        let expected = format!("expected a JPEG, PNG, BMP or WebP image, found {found}");
        assert_eq!(error.to_string(), expected);
    }
    let error = header::from_slice(b"\x01\x02").unwrap_err();
    let HeaderError::NotAnImage { found: Found::Unknown(first) } = error else { panic!("{error}") };
    assert_eq!(first.as_slice(), b"\x01\x02");
}

#[test]
fn a_character_cut_by_the_window_is_still_text() {
    let text = [&b"x"[..], "ü".repeat(400).as_bytes()].concat();
    assert_eq!(every_way("text", &text), not_an_image("plain text"));
}

// The reader

#[test]
fn fixtures() {
    for (name, expected) in FIXTURES {
        let file = fixture(name);
        let expected = expected
            .map(|(format, width, height, orientation)| {
                Header::new(format, width, height, Orientation::new(orientation))
            })
            .ok_or(());
        assert_eq!(every_way(name, &file).map_err(|_| ()), expected, "{name}");
    }
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let pictures = files.filter(|path| {
        !path.extension().is_some_and(|extension| extension == "md" || extension == "py")
    });
    assert_eq!(pictures.count(), FIXTURES.len());
}

#[test]
fn fixtures_are_what_the_image_crate_takes_them_for() {
    let only_ours = [
        "fill-and-junk.jpg", // image reads a length behind markers that have none
        "lossy-head.webp",   // a header without a picture
        "os2-16.bmp",        // image knows no DIB header of 16 bytes
    ];
    for (name, expected) in FIXTURES.iter().filter(|(name, _)| !only_ours.contains(name)) {
        let decoded = image::load_from_memory(&fixture(name));
        match expected {
            Some((_, width, height, _)) => {
                let decoded = decoded.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!((decoded.width(), decoded.height()), (*width, *height), "{name}");
            }
            None => assert!(decoded.is_err(), "{name}"),
        }
    }
}

#[test]
fn a_cut_fixture_is_truncated_or_has_the_same_answer() {
    for (name, _) in FIXTURES {
        let file = fixture(name);
        let whole = header::from_slice(&file);
        for cut in 0..file.len() {
            let mut reader = HeaderReader::new();
            let step = reader.feed(0, &file[..cut]);
            let end = reader.eof(cut as u64);
            match step {
                Ok(Step::Need { at, len }) => {
                    assert!(at >= cut as u64 && len > 0, "{name} cut to {cut}");
                    let error = end.unwrap_err();
                    assert_eq!(error.is_truncated(), cut > 0, "{name} cut to {cut}: {error}");
                }
                Ok(Step::Done(header)) => {
                    assert_eq!(Ok(header), whole, "{name} cut to {cut}");
                    assert_eq!(Ok(header), end, "{name} cut to {cut}");
                }
                Err(error) => {
                    assert_eq!(Err(error.clone()), whole, "{name} cut to {cut}");
                    assert_eq!(Err(error), end, "{name} cut to {cut}");
                }
            }
        }
    }
}

#[test]
fn truncated_says_what_was_wanted() {
    let app1 = segment(0xe1, &[0; 100]);
    for (file, format, at) in [
        (&b"\xff"[..], None, 1),
        (b"\x89PNG", None, 4),
        (b"B", None, 1),
        (b"RIFF\x24\0\0\0WEB", None, 11),
        (b"\xff\xd8", Some(Jpeg), 2),
        (b"\x89PNG\r\n\x1a\n", Some(Png), 8),
        (b"BM", Some(Bmp), 2),
        (b"RIFF\x24\0\0\0WEBP", Some(WebP), 12),
        (&jpeg(&[&app1[..60]]), Some(Jpeg), 106),
        (&jpeg(&[&app1, b"\xff\xff"]), Some(Jpeg), 108),
        (&jpeg(&[&app1, b"\xff\xc0\x00"]), Some(Jpeg), 109),
        (&jpeg(&[&app1, b"\xff\xc0\x00\x0b\x08\x00"]), Some(Jpeg), 112),
    ] {
        let total = file.len() as u64;
        let truncated = HeaderError::Truncated { format, at, total };
        assert_eq!(every_way("cut", file), Err(truncated), "{file:02x?}");
    }
}

#[test]
fn wishes() {
    let app0 = segment(0xe0, &[0; 1000]);
    let file = jpeg(&[&app0, &sof(0xc0, 640, 480)]);
    let mut reader = HeaderReader::new();
    let need = |at, len| Ok(Step::Need { at, len });

    assert_eq!(reader.step(), need(0, 12));
    assert_eq!(reader.feed(0, &[]), need(0, 12));
    assert_eq!(reader.feed(0, &file[..5]), need(5, 7));
    assert_eq!(reader.feed(6, &file[6..]), need(5, 7), "past the wish");
    assert_eq!(reader.feed(0, &file[..4]), need(5, 7), "before the wish");
    assert_eq!(reader.feed(3, &file[3..12]), need(1006, 2), "over the edge of the wish");
    assert_eq!(reader.feed(1007, &file[1007..]), need(1006, 2), "past the wish");
    assert_eq!(reader.feed(12, &file[12..1006]), need(1006, 2), "before the wish");
    assert_eq!(reader.feed(u64::MAX, b"ab"), need(1006, 2), "beyond any file");
    assert_eq!(reader.feed(1006, &file[1006..1007]), need(1007, 1));
    assert_eq!(reader.feed(1007, &file[1007..1008]), need(1008, 8));
    assert_eq!(reader.feed(1008, &file[1008..1011]), need(1011, 5));
    let done = Header::new(Jpeg, 640, 480, Some(Orientation::NORMAL));
    assert_eq!(reader.feed(0, &file), Ok(Step::Done(done)));
}

#[test]
fn an_unknown_file_is_wished_for_up_to_the_window() {
    let mut reader = HeaderReader::new();
    assert_eq!(reader.feed(0, &[0; 12]), Ok(Step::Need { at: 12, len: 500 }));
    assert_eq!(reader.feed(12, &[0; 499]), Ok(Step::Need { at: 511, len: 1 }));
    assert!(reader.feed(511, &[0]).unwrap_err().is_not_an_image());
}

#[test]
fn answers_stay() {
    let mut done = HeaderReader::new();
    let bmp = bmp(40, 640, 480);
    let header = ok(Bmp, 640, 480, 1).unwrap();
    assert_eq!(done.feed(0, &bmp), Ok(Step::Done(header)));
    assert_eq!(done.feed(0, b"GIF89a"), Ok(Step::Done(header)));
    assert_eq!(done.step(), Ok(Step::Done(header)));
    assert_eq!(done.eof(3), Ok(header));

    let mut failed = HeaderReader::new();
    let error = failed.feed(0, b"\xff\xd8\xff\xd9        ").unwrap_err();
    assert_eq!(failed.feed(0, &bmp), Err(error.clone()));
    assert_eq!(failed.step(), Err(error.clone()));
    assert_eq!(failed.eof(3), Err(error));

    let mut ended = HeaderReader::new();
    ended.feed(0, b"\xff\xd8\xff\xe0\x00\x09JFIF\0\0").unwrap();
    let error = ended.eof(12).unwrap_err();
    assert!(error.is_truncated());
    assert_eq!(ended.feed(0, &bmp), Err(error.clone()));
    assert_eq!(ended.eof(99), Err(error));
}

#[test]
fn an_end_that_leaves_bytes_unseen_does_not_name_the_file() {
    let truncated = |at, total| Err(HeaderError::Truncated { format: None, at, total });
    assert_eq!(HeaderReader::new().eof(100), truncated(0, 100));
    let mut reader = HeaderReader::new();
    reader.feed(0, b"<html>").unwrap();
    assert_eq!(reader.eof(100), truncated(6, 100));
    let mut reader = HeaderReader::new();
    reader.feed(0, b"<html><head>").unwrap();
    assert_eq!(reader.eof(100), truncated(12, 100));
}

#[test]
fn from_reader_begins_where_the_source_stands() {
    let file =
        [&b"skipped"[..], &jpeg(&[&segment(0xe2, &[0; 60000]), &sof(0xc0, 640, 480)])].concat();
    let mut source = Cursor::new(&file);
    source.set_position(7);
    assert_eq!(header::from_reader(source).unwrap(), ok(Jpeg, 640, 480, 1).unwrap());

    let mut cut = Cursor::new(&file[..9000]);
    cut.set_position(7);
    let Err(ReadError::Header(error)) = header::from_reader(cut) else { panic!("it is cut") };
    let truncated = HeaderError::Truncated { format: Some(Jpeg), at: 60006, total: 8993 };
    assert_eq!(error, truncated);
}

#[test]
fn messages() {
    let message = |file: &[u8]| header::from_slice(file).unwrap_err().to_string();
    for (file, expected) in [
        (
            jpeg(&[b"\xff\xe0\0\x01", &[0; 9]]),
            "corrupt JPEG header at byte 4: expected a segment length of at least 2, found 1",
        ),
        (
            jpeg(&[b"\xff\xda\0\x08", &[0; 9]]),
            "corrupt JPEG header at byte 2: expected a frame header (SOF), found SOS",
        ),
        (
            jpeg(&[&sof(0xc0, 0, 480)]),
            "corrupt JPEG header at byte 9: expected a side of 1 to 65535 px, found 0",
        ),
        (
            jpeg(&[&sof(0xc0, 640, 0)]),
            "expected the height at byte 7, found 0: a DNL marker holds it",
        ),
        (
            jpeg(&[&segment(0xe0, &[0; 9])]),
            "truncated JPEG header: expected more at byte 15, found the end after 15 bytes",
        ),
        (
            b"\x89PN".to_vec(),
            "truncated image header: expected more at byte 3, found the end after 3 bytes",
        ),
        (
            webp(b"VP8 ", &[0; 10]),
            "corrupt WebP header at byte 23: expected start code 9d012a, found 000000",
        ),
        (
            webp(b"\0\0\0\0", &[0; 10]),
            "corrupt WebP header at byte 12: expected a first chunk \"VP8 \", \"VP8L\" or \"VP8X\", \
             found \"\\x00\\x00\\x00\\x00\"",
        ),
        (
            bmp(40, -5, 480),
            "corrupt BMP header at byte 18: expected a side of 1 to 2147483647 px, found -5",
        ),
    ] {
        assert_eq!(message(&file), expected);
    }
}

// The types

#[test]
fn a_header_as_json() {
    for (header, json) in [
        (
            Header::new(WebP, 640, 480, Orientation::new(6)),
            r#"{"format":"webp","width":640,"height":480,"orientation":6}"#,
        ),
        (Header::new(Png, 640, 480, None), r#"{"format":"png","width":640,"height":480}"#),
    ] {
        assert_eq!(serde_json::to_string(&header).unwrap(), json);
        assert_eq!(serde_json::from_str::<Header>(json).unwrap(), header);
    }
    let error = serde_json::from_str::<Orientation>("9").unwrap_err();
    assert_eq!(error.to_string(), "expected an EXIF orientation of 1 to 8, found 9");
    let names = [Jpeg, Png, Bmp, WebP].map(|format| serde_json::to_string(&format).unwrap());
    assert_eq!(names, ["\"jpeg\"", "\"png\"", "\"bmp\"", "\"webp\""]);
    assert_eq!([Jpeg, Png, Bmp, WebP].map(|f| f.to_string()), ["JPEG", "PNG", "BMP", "WebP"]);
}

#[test]
fn orientations() {
    let valid: Vec<u8> = (0..=255).filter(|&n| Orientation::new(n).is_some()).collect();
    assert_eq!(valid, [1, 2, 3, 4, 5, 6, 7, 8]);
    let swaps = (1..=8).filter(|&n| Orientation::new(n).unwrap().swaps_sides());
    assert_eq!(swaps.collect::<Vec<_>>(), [5, 6, 7, 8]);
    assert_eq!(Orientation::NORMAL.get(), 1);
}

#[test]
fn sides() {
    for (width, height) in [(640, 480), (480, 640)] {
        let header = Header::new(Jpeg, width, height, None);
        assert_eq!((header.shortest_side(), header.longest_side()), (480, 640));
    }
}

// Helpers

/// The answer for the whole, on which every other way of feeding has to agree.
fn every_way(name: &str, file: &[u8]) -> Result<Header, HeaderError> {
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

fn ok(format: Format, width: u32, height: u32, orientation: u8) -> Result<Header, HeaderError> {
    Ok(Header::new(format, width, height, Some(Orientation::new(orientation).unwrap())))
}

fn not_an_image(name: &'static str) -> Result<Header, HeaderError> {
    Err(HeaderError::NotAnImage { found: Found::Known(name) })
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"))
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(name)).unwrap()
}

fn jpeg(parts: &[&[u8]]) -> Vec<u8> {
    [b"\xff\xd8", &parts.concat()[..]].concat()
}

fn segment(code: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 2).unwrap().to_be_bytes();
    [&[0xff, code], &length[..], payload].concat()
}

fn sof(code: u8, width: u16, height: u16) -> Vec<u8> {
    let [height, width] = [height, width].map(u16::to_be_bytes);
    let components = [3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1];
    segment(code, &[&[8], &height[..], &width, &components].concat())
}

/// An APP1 payload whose first directory, of (tag, type, count, value), lies at `at`.
fn exif(little: bool, at: u32, entries: &[(u16, u16, u32, u16)]) -> Vec<u8> {
    let u16 = |n: u16| {
        if little { n.to_le_bytes() } else { n.to_be_bytes() }
    };
    let u32 = |n: u32| {
        if little { n.to_le_bytes() } else { n.to_be_bytes() }
    };
    let order = if little { b"II" } else { b"MM" };
    let mut exif = [b"Exif\0\0", &order[..], &u16(42), &u32(at)].concat();
    exif.resize(6 + at as usize, 0);
    exif.extend(u16(entries.len() as u16));
    for &(tag, kind, count, value) in entries {
        exif.extend([&u16(tag)[..], &u16(kind), &u32(count), &u16(value), &[0; 2]].concat());
    }
    exif
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let covered = [&kind[..], data].concat();
    let length = (data.len() as u32).to_be_bytes();
    [&length, &covered[..], &crc32(&covered).to_be_bytes()].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

fn bmp(size: u32, width: i32, height: i32) -> Vec<u8> {
    let mut file = [b"BM", &[0; 12][..], &size.to_le_bytes()].concat();
    if size == 12 {
        file.extend((width as u16).to_le_bytes());
        file.extend((height as u16).to_le_bytes());
    } else {
        file.extend(width.to_le_bytes());
        file.extend(height.to_le_bytes());
    }
    file.extend([1, 0, 24, 0]);
    file
}

fn webp(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u32).to_le_bytes();
    let chunk = [&kind[..], &length, data, &[0; 16]].concat();
    let riff = (4 + chunk.len() as u32).to_le_bytes();
    [b"RIFF", &riff[..], b"WEBP", &chunk].concat()
}

fn vp8(width: u16, height: u16) -> Vec<u8> {
    [b"\x10\x02\x00\x9d\x01\x2a", &width.to_le_bytes()[..], &height.to_le_bytes()].concat()
}

fn vp8l(width: u32, height: u32) -> Vec<u8> {
    let bits = (width - 1) | (height - 1) << 14;
    [&[0x2f], &bits.to_le_bytes()[..]].concat()
}

fn vp8x(flags: u8, width: u32, height: u32) -> Vec<u8> {
    let [width, height] = [width, height].map(|side| (side - 1).to_le_bytes());
    [&[flags, 0, 0, 0], &width[..3], &height[..3]].concat()
}

/// Orientation 0: unknown.
type Expected = Option<(Format, u32, u32, u8)>;

const FIXTURES: &[(&str, Expected)] = &[
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
