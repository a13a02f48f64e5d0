//! WebP: lossy, lossless, extended.

use emo_preflight::header::Format::WebP;
use emo_preflight::header::{Header, HeaderError, Problem};

use super::files::{every_way, ok, vp8, webp};

#[test]
fn sides() {
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
fn corrupt() {
    let change = |mut data: Vec<u8>, at: usize, byte| {
        data[at] = byte;
        data
    };
    let side = Problem::Side { found: 0, max: 0x3fff };
    let first = "\"VP8 \", \"VP8L\" or \"VP8X\"";
    for (name, kind, data, at, problem) in [
        ("interframe", b"VP8 ", change(vp8(640, 480), 0, 0x11), 20, Problem::Interframe),
        (
            "version 4",
            b"VP8 ",
            change(vp8(640, 480), 0, 0x08),
            20,
            Problem::LossyVersion { found: 4 },
        ),
        (
            "version 7",
            b"VP8 ",
            change(vp8(640, 480), 0, 0x0e),
            20,
            Problem::LossyVersion { found: 7 },
        ),
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

#[test]
fn a_riff_must_hold_its_first_chunk() {
    let mut file = webp(b"VP8 ", &vp8(640, 480));
    for (size, holds) in [(0_u32, false), (11, false), (12, true), (u32::MAX, true)] {
        file[4..8].copy_from_slice(&size.to_le_bytes());
        let problem = Problem::ShortChunk { least: 12, found: size };
        let corrupt = HeaderError::Corrupt { format: WebP, at: 4, problem };
        let right = if holds { Ok(Header::new(WebP, 640, 480, None)) } else { Err(corrupt) };
        assert_eq!(
            every_way("RIFF", &file).map(|h| (h.width, h.height)),
            right.map(|h| (h.width, h.height)),
            "{size}"
        );
    }
}

fn vp8l(width: u32, height: u32) -> Vec<u8> {
    let bits = (width - 1) | (height - 1) << 14;
    [&[0x2f], &bits.to_le_bytes()[..]].concat()
}

fn vp8x(flags: u8, width: u32, height: u32) -> Vec<u8> {
    let [width, height] = [width, height].map(|side| (side - 1).to_le_bytes());
    [&[flags, 0, 0, 0], &width[..3], &height[..3]].concat()
}
