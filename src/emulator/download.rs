//! Serving an image over HTTP: Range, ETag, and nothing but GET.

use bytes::Bytes;
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
    match asked(request, etag).map(|range| range.resolve(total)) {
        None => {}
        Some(Some((first, last))) => {
            reply.status = 206;
            reply.body = image.body.slice(first..last + 1);
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

/// The one range of a request; anything else (several ranges, another unit, nonsense) is ignored, as
/// RFC 9110 allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    From(u64, Option<u64>),
    Last(u64),
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
        let number = |digits: &str| {
            // u64's own parser would take a plus sign.
            let plain = digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse::<u64>().ok()).flatten()
        };
        match (first.trim(), last.trim()) {
            ("", count) => Some(Self::Last(number(count)?)),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// First and last byte, both inclusive; `None` when the range cannot be satisfied.
    fn resolve(self, total: usize) -> Option<(usize, usize)> {
        let end = total.checked_sub(1)?;
        match self {
            Self::From(first, last) => {
                let first = usize::try_from(first).ok().filter(|&first| first <= end)?;
                let last = last.and_then(|last| usize::try_from(last).ok());
                Some((first, last.unwrap_or(end).min(end)))
            }
            Self::Last(0) => None,
            Self::Last(count) => {
                let count = usize::try_from(count).unwrap_or(total);
                Some((total.saturating_sub(count), end))
            }
        }
    }
}

fn asked(request: &HeaderMap, etag: &str) -> Option<Range> {
    let text = |name| request.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    // If-Range names the version the client holds a part of; of another one it must get the whole.
    if text(header::IF_RANGE).is_some_and(|held| held != etag) {
        return None;
    }
    Range::parse(text(header::RANGE)?)
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
            ("bytes=0-99999999999999999999999", 10, None),
        ] {
            assert_eq!(Range::parse(text).map(|r| r.resolve(total)), expected, "{text}");
        }
    }
}
