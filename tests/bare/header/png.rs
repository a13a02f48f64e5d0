//! PNG: the header chunk and its checksum.

use emo_preflight::header::Format::Png;
use emo_preflight::header::{self, Header, HeaderError, Problem};

use super::files::{every_way, fixture};

#[test]
fn corrupt() {
    let signature = b"\x89PNG\r\n\x1a\n";
    let file = |chunk: Vec<u8>| [&signature[..], &chunk, &[0; 32]].concat();
    let ihdr = |width: u32, height: u32| {
        let sides = [width.to_be_bytes(), height.to_be_bytes()].concat();
        chunk(b"IHDR", &[&sides[..], &[8, 2, 0, 0, 0]].concat())
    };
    let coded = |coding: [u8; 5]| {
        let sides = [640_u32.to_be_bytes(), 480_u32.to_be_bytes()].concat();
        file(chunk(b"IHDR", &[&sides[..], &coding].concat()))
    };
    let method = |name, most, found| Problem::Method { name, most, found };
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
        ("color type 1", coded([8, 1, 0, 0, 0]), 25, Problem::ColorType { found: 1 }),
        ("color type 7", coded([8, 7, 0, 0, 0]), 25, Problem::ColorType { found: 7 }),
        ("3 bits of gray", coded([3, 0, 0, 0, 0]), 24, Problem::BitDepth { color: 0, found: 3 }),
        ("4 bits of RGB", coded([4, 2, 0, 0, 0]), 24, Problem::BitDepth { color: 2, found: 4 }),
        ("16-bit palette", coded([16, 3, 0, 0, 0]), 24, Problem::BitDepth { color: 3, found: 16 }),
        ("4 bits of RGBA", coded([4, 6, 0, 0, 0]), 24, Problem::BitDepth { color: 6, found: 4 }),
        ("compression 1", coded([8, 2, 1, 0, 0]), 26, method("compression method", 0, 1)),
        ("filter 1", coded([8, 2, 0, 1, 0]), 27, method("filter method", 0, 1)),
        ("interlace 2", coded([8, 2, 0, 0, 2]), 28, method("interlace method", 1, 2)),
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
fn every_coding_that_png_knows() {
    for (color, depths) in [
        (0, &[1, 2, 4, 8, 16][..]),
        (2, &[8, 16]),
        (3, &[1, 2, 4, 8]),
        (4, &[8, 16]),
        (6, &[8, 16]),
    ] {
        for (&depth, interlace) in depths.iter().flat_map(|depth| [(depth, 0), (depth, 1)]) {
            let sides = [640_u32.to_be_bytes(), 480_u32.to_be_bytes()].concat();
            let ihdr = chunk(b"IHDR", &[&sides[..], &[depth, color, 0, 0, interlace]].concat());
            let file = [b"\x89PNG\r\n\x1a\n", &ihdr[..]].concat();
            let expected = Ok(Header::new(Png, 640, 480, None));
            assert_eq!(header::from_slice(&file), expected, "{color} {depth} {interlace}");
        }
    }
}

#[test]
fn of_apple_is_unsupported() {
    let error = header::from_slice(&fixture("cgbi.png")).unwrap_err();
    assert_eq!(error, HeaderError::Unsupported { found: "CgBI PNG (Apple's private variant)" });
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
