//! Twelve images, and two more with long chains, whose headers are real and whose pixels are filler: what matters here is where
//! in a file its sides stand, and how much lies before them.

/// An image as an origin has it.
#[derive(Clone)]
pub(crate) struct Picture {
    pub(crate) name: &'static str,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The shortest prefix that holds the sides.
    pub(crate) needs: usize,
    /// How many ranges should do.
    pub(crate) requests: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The twelve.
pub(crate) fn all() -> Vec<Picture> {
    let chain: Vec<u8> = (1..=20).flat_map(|number| profile(number, 20, 65_505)).collect();
    let phone = [exif(6, 27_091), profile(1, 1, 3_130), several()].concat();
    let jpegs = [
        ("small.jpg", (320, 240), 1, jpeg(BASELINE, (320, 240), &[], 15_000)),
        ("progressive.jpg", (1600, 1200), 1, jpeg(PROGRESSIVE, (1600, 1200), &[], 400_000)),
        ("exif.jpg", (1024, 768), 2, jpeg(BASELINE, (1024, 768), &exif(1, 60_096), 201_000)),
        (
            "icc-chain.jpg",
            (1280, 960),
            3,
            jpeg(BASELINE, (1280, 960), &[chain, several()].concat(), 1_530_000),
        ),
        ("phone.jpg", (4032, 3024), 2, jpeg(BASELINE, (4032, 3024), &phone, 3_660_000)),
    ];
    let jpegs =
        jpegs.map(|(name, sides, requests, bytes)| jpeg_image(name, sides, requests, bytes));
    let metadata = [
        chunk(b"iCCP", &[&b"big\0\0\x78\x01"[..], &filler(200_000)].concat()),
        chunk(b"eXIf", &exif(1, 60_000)[10..]),
        chunk(b"tEXt", &[&b"Comment\0"[..], &[b'A'; 60_000]].concat()),
    ]
    .concat();
    let others = [
        (24, "palette.png", (800, 600), png((800, 600), &[], 260_000)),
        (24, "metadata.png", (1000, 700), png((1000, 700), &metadata, 1_880_000)),
        (24, "noise.png", (2600, 2600), png((2600, 2600), &[], 20_300_000)),
        (26, "large.bmp", (4000, 3000), bmp(4000, 3000)),
        (30, "lossy.webp", (1500, 1000), riff(&[lossy(1500, 1000, 300_000)])),
        (25, "lossless.webp", (900, 600), riff(&[lossless(900, 600, 1_000_000)])),
        (30, "animated.webp", (640, 480), animated(640, 480)),
    ];
    let others =
        others.map(|(needs, name, sides, bytes)| Picture { needs, ..image(name, sides, 1, bytes) });
    jpegs.into_iter().chain(others).collect()
}

/// One whose sides stand behind a long chain of segments.
pub(crate) fn chains() -> [Picture; 1] {
    let with = |name, sides, metadata: &[u8], total| {
        jpeg_image(name, sides, 4, jpeg(BASELINE, sides, metadata, total))
    };
    [with("credentials.jpg", (2048, 1365), &credentials(), 2_600_000)]
}

fn jpeg_image(name: &'static str, sides: (u16, u16), requests: u64, bytes: Vec<u8>) -> Picture {
    let frame = bytes.windows(4).position(|four| matches!(four, [0xff, 0xc0 | 0xc2, 0, 17]));
    Picture { needs: frame.map_or(0, |at| at + 9), ..image(name, sides, requests, bytes) }
}

fn image(
    name: &'static str,
    (width, height): (u16, u16),
    requests: u64,
    bytes: Vec<u8>,
) -> Picture {
    Picture { name, width: width.into(), height: height.into(), needs: 0, requests, bytes }
}

fn jpeg(frame: u8, (width, height): (u16, u16), metadata: &[u8], total: usize) -> Vec<u8> {
    let mut sides = vec![8];
    sides.extend(height.to_be_bytes());
    sides.extend(width.to_be_bytes());
    sides.extend(b"\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01");
    let huffman = |class: u8| segment(0xc4, &[&[class, 1][..], &[0; 16]].concat());
    let spectral_end = if frame == BASELINE { 63 } else { 0 };
    let mut file = [
        b"\xff\xd8".to_vec(),
        metadata.to_vec(),
        segment(0xe0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
        segment(0xdb, &[&[0][..], &[1; 64]].concat()),
        segment(0xdb, &[&[1][..], &[1; 64]].concat()),
        segment(frame, &sides),
        huffman(0x00),
        huffman(0x10),
        segment(0xda, &[3, 1, 0, 2, 0, 3, 0, 0, spectral_end, 0]),
    ]
    .concat();
    file.resize(total - 2, 0x55);
    file.extend(b"\xff\xd9");
    file
}

/// An APP1 of `length` bytes behind its marker and length, a thumbnail's worth of filler in it.
fn exif(orientation: u8, length: usize) -> Vec<u8> {
    let mut payload = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    payload.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    payload.resize(length.min(65_533), 0x55);
    segment(0xe1, &payload)
}

/// Link `number` of `count` of a colour profile, which begins with its own whole length.
fn profile(number: u8, count: u8, each: usize) -> Vec<u8> {
    let mut payload = [&b"ICC_PROFILE\0"[..], &[number, count], &filler(each)].concat();
    if number == 1 {
        let whole = u32::try_from(each * usize::from(count)).unwrap_or(u32::MAX);
        payload[14..18].copy_from_slice(&whole.to_be_bytes());
    }
    segment(0xe2, &payload)
}

/// Content Credentials of 1.9 MB: one JUMBF box in segments of 64,018 bytes, its head repeated.
fn credentials() -> Vec<u8> {
    const EACH: usize = 64_000;
    let content = filler(1_900_000);
    let whole = u32::try_from(content.len() + 8).unwrap_or(u32::MAX).to_be_bytes();
    let packets = content.chunks(EACH).zip(1_u32..);
    let packets = packets.flat_map(|(part, number)| {
        let head = [&b"JP\x02\x11"[..], &number.to_be_bytes(), &whole, b"jumb"].concat();
        segment(0xeb, &[&head, part].concat())
    });
    packets.collect()
}

/// What phones write to say that a file holds several images.
fn several() -> Vec<u8> {
    segment(0xe2, &[&b"MPF\0II*\0\x08\0\0\0"[..], &[0; 80]].concat())
}

fn segment(code: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 2).expect("a segment of at most 65,533 bytes");
    [&[0xff, code][..], &length.to_be_bytes(), payload].concat()
}

fn png((width, height): (u16, u16), metadata: &[u8], total: usize) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(u32::from(width).to_be_bytes());
    header.extend(u32::from(height).to_be_bytes());
    header.extend(b"\x08\x02\0\0\0");
    let pixels = chunk(b"IDAT", &filler(total - metadata.len()));
    let head = [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header)].concat();
    [&head, metadata, &pixels, &chunk(b"IEND", b"")].concat()
}

fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("less than 4 GiB").to_be_bytes();
    let checked = [kind, data].concat();
    [&length[..], &checked, &crc32fast::hash(&checked).to_be_bytes()].concat()
}

fn bmp(width: u32, height: u32) -> Vec<u8> {
    let size = 54 + 3 * width * height;
    let mut file = b"BM".to_vec();
    for field in [size, 0, 54, 40, width, height, 0x0018_0001, 0, size - 54, 2835, 2835, 0, 0] {
        file.extend(field.to_le_bytes());
    }
    file.resize(usize::try_from(size).expect("36 MB"), 0x55);
    file
}

fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = chunks.concat();
    let length = u32::try_from(body.len() + 4).expect("less than 4 GiB");
    [b"RIFF", &length.to_le_bytes()[..], b"WEBP", &body].concat()
}

/// A RIFF chunk; all of ours are of an even length, so none is padded.
fn part(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).expect("less than 4 GiB");
    [kind, &length.to_le_bytes()[..], data].concat()
}

fn lossy(width: u16, height: u16, length: usize) -> Vec<u8> {
    let mut frame = b"\x10\x02\0\x9d\x01\x2a".to_vec();
    frame.extend(width.to_le_bytes());
    frame.extend(height.to_le_bytes());
    frame.resize(length, 0x55);
    part(b"VP8 ", &frame)
}

fn lossless(width: u32, height: u32, length: usize) -> Vec<u8> {
    let mut frame = vec![0x2f];
    frame.extend(((width - 1) | (height - 1) << 14).to_le_bytes());
    frame.resize(length, 0x55);
    part(b"VP8L", &frame)
}

fn animated(width: u16, height: u16) -> Vec<u8> {
    let less_one = |side: u16| [(side - 1).to_le_bytes(), [0, 0]].concat()[..3].to_vec();
    let sides = [less_one(width), less_one(height)].concat();
    let frame = part(
        b"ANMF",
        &[&[0; 6][..], &sides, &[80, 0, 0, 0], &lossy(width, height, 333_000)].concat(),
    );
    let mut chunks = vec![
        part(b"VP8X", &[&[0x22, 0, 0, 0][..], &sides].concat()),
        part(b"ICCP", &filler(3_000)),
        part(b"ANIM", &[0; 6]),
    ];
    chunks.extend(std::iter::repeat_n(frame, 6));
    riff(&chunks)
}

/// Bytes in which nothing looks like a marker.
fn filler(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

/// ITU T.81, table B.1: SOF0 and SOF2.
const BASELINE: u8 = 0xc0;
const PROGRESSIVE: u8 = 0xc2;
