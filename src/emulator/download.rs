//! Serving an image over HTTP: Range, ETag, and nothing but GET.

use bytes::Bytes;
use http_range_header::parse_range_header;
use hyper::HeaderMap;
use hyper::header;

use super::picture::Picture;
use super::reply::Reply;

/// The answer to a GET of the image.
pub(super) fn answer(image: &Picture, etag: &str, request: &HeaderMap) -> Reply {
    let mut reply = Reply::new(image.status, &image.content_type, image.body.clone());
    if let Some(to) = &image.location {
        reply.headers.push(("location", to.clone()));
    }
    if image.status != 200 {
        return reply;
    }
    reply.headers.push(("etag", etag.to_owned()));
    if !image.ranges {
        return reply;
    }
    reply.headers.push(("accept-ranges", "bytes".to_owned()));
    let total = image.body.len();
    match asked(request, etag).and_then(|range| resolve(range, total)) {
        None => {}
        Some(Some((first, last))) => {
            reply.status = 206;
            reply.body = image.body.slice(first..=last);
            reply.headers.push(("content-range", format!("bytes {first}-{last}/{total}")));
        }
        Some(None) => {
            reply.status = 416;
            reply.body = Bytes::new();
            reply.headers.push(("content-range", format!("bytes */{total}")));
        }
    }
    reply
}

/// First and last byte of the one range of a header, both inclusive; `Some(None)` when it cannot be satisfied.
/// Anything else (several ranges, another unit, nonsense) is ignored, as RFC 9110 allows.
fn resolve(range: &str, total: usize) -> Option<Option<(usize, usize)>> {
    let range = parse_range_header(range).ok().filter(|ranges| ranges.len() == 1)?;
    let range = range.validate(u64::try_from(total).ok()?).ok();
    Some(range.and_then(|ranges| {
        let range = ranges.first()?;
        Some((usize::try_from(*range.start()).ok()?, usize::try_from(*range.end()).ok()?))
    }))
}

/// The range of a request for this version of the image.
fn asked<'a>(request: &'a HeaderMap, etag: &str) -> Option<&'a str> {
    let text = |name| request.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    // If-Range names the version the client holds a part of; of another one it must get the whole.
    if text(header::IF_RANGE).is_some_and(|held| held != etag) {
        return None;
    }
    text(header::RANGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, total, expected) in [
            ("bytes=0-0", 10, Some(Some((0, 0)))),
            ("bytes=2-5", 10, Some(Some((2, 5)))),
            ("bytes=2-50", 10, Some(Some((2, 9)))),
            ("bytes=9-", 10, Some(Some((9, 9)))),
            ("bytes=-3", 10, Some(Some((7, 9)))),
            ("bytes=-30", 10, Some(Some((0, 9)))),
            ("bytes=0-18446744073709551615", 10, Some(Some((0, 9)))),
            ("bytes=10-", 10, Some(None)),
            ("bytes=-0", 10, Some(None)),
            ("bytes=0-", 0, Some(None)),
            ("bytes=5-2", 10, None),
            ("bytes=0-1,3-4", 10, None),
            ("bytes=+1-2", 10, None),
            ("bytes=-", 10, None),
            ("bytes=a-b", 10, None),
            ("lines=0-1", 10, None),
            ("bytes=0-99999999999999999999999", 10, Some(Some((0, 9)))),
        ] {
            assert_eq!(resolve(text, total), expected, "{text}");
        }
    }
}
