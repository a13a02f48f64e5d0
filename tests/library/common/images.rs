//! Images whose header is right; what follows is filler.

/// One that passes, in one request.
pub(crate) fn image() -> Vec<u8> {
    png(640, 800, 20_000)
}

/// A PNG of `length` bytes, at least 33.
pub(crate) fn png(width: u32, height: u32, length: usize) -> Vec<u8> {
    let mut ihdr = b"IHDR".to_vec();
    ihdr.extend_from_slice(&width.to_be_bytes());
    ihdr.extend_from_slice(&height.to_be_bytes());
    ihdr.extend_from_slice(&[8, 2, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    file.extend_from_slice(&ihdr);
    file.extend_from_slice(&crc_32(&ihdr).to_be_bytes());
    file.resize(length, 0x5a);
    file
}

/// A JPEG whose frame header comes behind segments of `metadata` bytes in all, and then filler up
/// to `length` bytes.
pub(crate) fn jpeg(width: u16, height: u16, metadata: usize, length: usize) -> Vec<u8> {
    let mut file = b"\xff\xd8".to_vec();
    let mut left = metadata;
    while left > 0 {
        // Marker and length take four bytes; no rest may be shorter than that.
        let segment = if left <= 65_537 { left } else { 65_537.min(left - 4) };
        file.extend_from_slice(b"\xff\xed");
        file.extend_from_slice(&u16::try_from(segment - 2).unwrap().to_be_bytes());
        file.resize(file.len() + segment - 4, 0);
        left -= segment;
    }
    file.extend_from_slice(b"\xff\xc0\0\x11\x08");
    file.extend_from_slice(&height.to_be_bytes());
    file.extend_from_slice(&width.to_be_bytes());
    file.extend_from_slice(b"\x03\x01\x22\0\x02\x11\x01\x03\x11\x01");
    file.resize(length.max(file.len()), 0x5a);
    file
}

/// Endless metadata: a segment that announces the next, to be sent for ever behind `FF D8`.
pub(crate) fn app_segment() -> Vec<u8> {
    let mut segment = b"\xff\xed\x04\x00".to_vec();
    segment.resize(2 + 0x400, 0);
    segment
}

/// PNG, Third Edition, annex D.
fn crc_32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

/// A JPEG behind an ICC profile of twenty segments, of lengths by their number.
pub(crate) fn icc_jpeg(length: impl Fn(u8) -> u16) -> Vec<u8> {
    let mut file = b"\xff\xd8".to_vec();
    for number in 1..=20 {
        let length = length(number);
        file.extend([0xff, 0xe2]);
        file.extend(length.to_be_bytes());
        file.extend(b"ICC_PROFILE\0");
        file.extend([number, 20]);
        file.resize(file.len() + usize::from(length) - 16, number);
    }
    let frame = [0xff, 0xc0, 0, 11, 8, 3, 32, 2, 128, 1, 1, 0x11, 0];
    file.extend(frame);
    file.resize(file.len() + 50_000, 0);
    file
}
