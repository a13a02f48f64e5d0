//! BMP: every header it ever had.

use emo_preflight::header::Format::Bmp;
use emo_preflight::header::{self, HeaderError, Problem};

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
fn bm_alone_is_no_bmp() {
    let text = b"BMW builds cars, and bikes, in Munich and in other places.";
    assert_eq!(every_way("text", text), not_an_image("plain text"));
    for size in [0, 11, 13, 15, 65, 107, 109, 123, 125, u32::MAX] {
        let error = every_way("size", &bmp(size, 640, 480)).unwrap_err();
        assert!(error.is_not_an_image(), "{size}: {error}");
    }
}
