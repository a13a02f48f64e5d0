//! BMP: every header it ever had.

use emo_preflight::header::Format::Bmp;
use emo_preflight::header::{self, HeaderError, HeaderReader, Problem, Step};

use super::files::{bmp, every_way, not_an_image, ok};

#[test]
fn every_dib_header() {
    assert_eq!(header::from_slice(&bmp(12, 640, 480)), ok(Bmp, 640, 480, 1));
    for size in (16..=64).chain([108, 124]) {
        assert_eq!(header::from_slice(&bmp(size, 640, 480)), ok(Bmp, 640, 480, 1), "{size}");
        assert_eq!(header::from_slice(&bmp(size, 640, -480)), ok(Bmp, 640, 480, 1), "{size}");
    }
}

#[test]
fn sides_of_a_core_header_are_unsigned() {
    assert_eq!(header::from_slice(&bmp(12, 65535, 65535)), ok(Bmp, 65535, 65535, 1));
}

#[test]
fn corrupt() {
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
fn bits_must_fit_the_compression() {
    let coded = |size: u32, bits: u16, compression: u32| {
        let mut file = bmp(size, 640, 480);
        file[28..30].copy_from_slice(&bits.to_le_bytes());
        file[30..34].copy_from_slice(&compression.to_le_bytes());
        file
    };
    let allowed: [(u32, u32, &[u16]); 7] = [
        (40, 0, &[1, 2, 4, 8, 16, 24, 32, 64]),
        (40, 1, &[8]),
        (40, 2, &[4]),
        (40, 3, &[16, 32]),
        (108, 6, &[16, 32]),
        (64, 3, &[1]),
        (64, 4, &[24]),
    ];
    for (size, compression, expected) in allowed {
        for bits in [0, 1, 2, 3, 4, 8, 15, 16, 24, 32, 48, 64, 0xffff] {
            let found = every_way("coding", &coded(size, bits, compression));
            let problem = Problem::BitCount { compression, expected, found: bits };
            let corrupt = HeaderError::Corrupt { format: Bmp, at: 28, problem };
            let right = if expected.contains(&bits) { ok(Bmp, 640, 480, 1) } else { Err(corrupt) };
            assert_eq!(found, right, "{size} {compression} {bits}");
        }
    }
}

#[test]
fn a_known_length_must_hold_the_pixels() {
    // 54 bytes of headers, 480 rows of 640 times 3 bytes.
    const LEAST: u64 = 54 + 480 * 640 * 3;
    let mut file = bmp(40, 640, 480);
    file[28..30].copy_from_slice(&24_u16.to_le_bytes());
    for total in [LEAST - 1, LEAST, LEAST + 1] {
        let mut reader = HeaderReader::new();
        reader.set_total(total);
        let problem = Problem::FileLength { least: LEAST, found: total, width: 640, height: 480 };
        let short = HeaderError::Corrupt { format: Bmp, at: total, problem };
        let right = if total < LEAST { Err(short) } else { ok(Bmp, 640, 480, 1).map(Step::Done) };
        assert_eq!(reader.feed(0, &file), right, "{total}");
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
