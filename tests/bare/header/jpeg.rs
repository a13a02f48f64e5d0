//! JPEG: frames, segments, orientation.

use emo_preflight::header::Format::Jpeg;
use emo_preflight::header::{self, Header, HeaderError, HeaderReader, Orientation, Problem, Step};

use super::files::{every_way, jpeg, ok, segment, sof};

#[test]
fn every_sof_counts() {
    for code in (0xc0..=0xcf).filter(|code| ![0xc4, 0xc8, 0xcc].contains(code)) {
        let file = jpeg(&[&sof(code, 640, 480)]);
        assert_eq!(header::from_slice(&file), ok(Jpeg, 640, 480, 1), "{code:02x}");
    }
}

#[test]
fn dht_jpg_and_dac_are_no_frames() {
    for code in [0xc4, 0xc8, 0xcc] {
        let decoy = segment(code, &sof(0xc0, 9, 9)[4..]);
        let file = jpeg(&[&decoy, &sof(0xc0, 640, 480)]);
        assert_eq!(header::from_slice(&file), ok(Jpeg, 640, 480, 1), "{code:02x}");
    }
}

#[test]
fn what_may_stand_between_segments() {
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
fn images_inside_segments_do_not_count() {
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
fn corrupt() {
    let frame = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = sof(0xc0, 640, 480);
        change(&mut frame);
        frame
    };
    let coded = |code, precision| {
        let mut frame = sof(code, 640, 480);
        frame[4] = precision;
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
        // A frame of another kind: code, precision, components.
        ("7 bits", coded(0xc0, 7), 6, Problem::Precision { found: 7 }),
        ("12 bits in a baseline", coded(0xc0, 12), 6, Problem::Precision { found: 12 }),
        ("16 bits extended", coded(0xc1, 16), 6, Problem::Precision { found: 16 }),
        ("9 bits progressive", coded(0xc2, 9), 6, Problem::Precision { found: 9 }),
        ("1 bit lossless", coded(0xc3, 1), 6, Problem::Precision { found: 1 }),
        ("17 bits lossless", coded(0xc3, 17), 6, Problem::Precision { found: 17 }),
        (
            "5 components progressive",
            [&[0xff, 0xc2, 0, 23, 8, 1, 0xe0, 2, 0x80, 5][..], &[1, 0x11, 0].repeat(5)].concat(),
            11,
            Problem::Components { most: 4, found: 5 },
        ),
        ("sampling 0x10", frame(&|sof| sof[11] = 0x10), 13, Problem::Sampling { found: 0x10 }),
        ("sampling 0x01", frame(&|sof| sof[14] = 0x01), 16, Problem::Sampling { found: 0x01 }),
        ("sampling 0x51", frame(&|sof| sof[17] = 0x51), 19, Problem::Sampling { found: 0x51 }),
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
fn height_0_is_deferred() {
    let file = jpeg(&[&segment(0xe0, b"JFIF"), &sof(0xc0, 640, 0)]);
    assert_eq!(every_way("DNL", &file), Err(HeaderError::SizeDeferred { at: 15 }));
}

#[test]
fn greatest_sides() {
    let file = jpeg(&[&sof(0xc0, 65535, 65535)]);
    assert_eq!(header::from_slice(&file), ok(Jpeg, 65535, 65535, 1));
}

#[test]
fn orientation() {
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
fn orientation_is_unknown_where_the_bytes_were_skipped() {
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
fn orientation_is_unknown_where_the_first_app1_was_skipped() {
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
fn orientation_survives_skipping_what_does_not_decide() {
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
