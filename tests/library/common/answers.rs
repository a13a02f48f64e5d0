//! What origins answer.

use std::io::Write as _;

use super::{Request, Step};

/// A head of these lines, without the body's length.
pub(crate) fn head(status: &str, headers: &[&str]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// A complete answer with a Content-Length.
pub(crate) fn answer(status: &str, headers: &[&str], body: &[u8]) -> Vec<Step> {
    let length = format!("Content-Length: {}", body.len());
    let mut bytes = head(status, &[headers, &[length.as_str()]].concat());
    bytes.extend_from_slice(body);
    vec![Step::Bytes(bytes)]
}

/// An answer without a body.
pub(crate) fn status(status: &str) -> Vec<Step> {
    answer(status, &[], b"")
}

pub(crate) fn redirect(to: &str) -> Vec<Step> {
    answer("302 Found", &[&format!("Location: {to}")], b"")
}

/// The whole file, whatever was asked.
pub(crate) fn whole(file: &[u8]) -> Vec<Step> {
    answer("200 OK", &[], file)
}

/// What a good origin answers: a range, the whole file, or 416.
pub(crate) fn ranged(request: &Request, file: &[u8]) -> Vec<Step> {
    ranged_with(request, file, &[])
}

/// [`ranged`] with further headers.
pub(crate) fn ranged_with(request: &Request, file: &[u8], headers: &[&str]) -> Vec<Step> {
    let Some((first, last)) = request.range() else { return answer("200 OK", headers, file) };
    let total = file.len();
    let last = last.min(total.saturating_sub(1));
    if first >= total {
        let range = format!("Content-Range: bytes */{total}");
        return answer("416 Range Not Satisfiable", &[headers, &[range.as_str()]].concat(), b"");
    }
    let range = format!("Content-Range: bytes {first}-{last}/{total}");
    let headers = [headers, &[range.as_str()]].concat();
    answer("206 Partial Content", &headers, &file[first..=last])
}

/// A body in chunks of at most `length` bytes.
pub(crate) fn chunked(status: &str, headers: &[&str], body: &[u8], length: usize) -> Vec<Step> {
    let mut bytes = head(status, &[headers, &["Transfer-Encoding: chunked"]].concat());
    for chunk in body.chunks(length) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    vec![Step::Bytes(bytes)]
}

/// The bytes as gzip (RFC 1952).
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The bytes as zlib (RFC 1950), which HTTP calls deflate.
pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
