//! The local stage against origins that keep to their word, or break it in what they send:
//! ranges, streams, and what is said of the bytes.

use std::time::Duration;

use crate::common::table::{self, check, probe, row, said};
use crate::common::{
    Origin, Request, Step, answer, app_segment, chunked, head, icc_jpeg, jpeg, png, ranged,
    ranged_with, status, whole,
};
use emo_preflight::header::Format;
use emo_preflight::{RunOptions, Source};
use futures_util::stream::{self, StreamExt as _};

const KIB: u64 = 1_024;

// ---- one small request, and what it looks like

#[tokio::test]
async fn one_small_get_is_enough() {
    let file = png(640, 800, 500_000);
    let [plain, named] = check([
        row("defaults", {
            let file = file.clone();
            move |r| ranged(r, &file)
        })
        .requests(1)
        .bytes(KIB..=8 * KIB)
        .size(640, 800),
        row("a User-Agent of one's own", move |r| ranged(r, &file))
            .options(|o| o.user_agent = "Mozilla/5.0 (portraits)".to_owned()),
    ])
    .await;

    let request = &plain.seen.requests[0];
    assert_eq!(request.range().unwrap().0, 0);
    assert_eq!(request.range_length(), Some(plain.report.fetch.unwrap().bytes.try_into().unwrap()));
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    let own = concat!("emo-preflight/", env!("CARGO_PKG_VERSION"));
    assert_eq!(request.header("user-agent"), Some(own));
    for absent in ["if-range", "referer", "cookie"] {
        assert_eq!(request.header(absent), None);
    }
    let image = plain.report.image.unwrap();
    assert_eq!((image.format, image.orientation), (Format::Png, None));
    assert_eq!(named.seen.requests[0].header("user-agent"), Some("Mozilla/5.0 (portraits)"));
}

#[tokio::test]
async fn metadata_is_jumped_over_not_read() {
    let file = jpeg(640, 800, 60_000, 3_000_000);
    let [outcome] = check([row("EXIF of 60 KB", move |r| ranged(r, &file))
        .requests(2)
        // Behind the first jump a header is taken to be about to end.
        .bytes(8 * KIB..=8 * KIB)
        .size(640, 800)])
    .await;
    // SOI, then the segment.
    assert_eq!(outcome.seen.requests[1].range().unwrap().0, 2 + 60_000);
}

#[tokio::test]
async fn an_announced_profile_is_jumped_over_in_one_go() {
    let even = icc_jpeg(|_| 65_000);
    let once = icc_jpeg(|number| if number == 2 { 64_993 } else { 65_000 });
    let never = icc_jpeg(|number| 65_000 - 7 * u16::from(number));
    let short = icc_jpeg(|_| 65_000)[..700_000].to_vec();
    check([
        row("1.3 MB of profile", move |r| ranged(r, &even))
            .requests(3)
            .bytes(0..=20 * KIB)
            .size(640, 800),
        row("uneven once", move |r| ranged(r, &once))
            .requests(7)
            .bytes(0..=32 * KIB)
            .size(640, 800),
        // Three bad landings, then from segment to segment.
        row("uneven throughout", move |r| ranged(r, &never))
            .requests(24)
            .bytes(0..=120 * KIB)
            .size(640, 800),
        row("beyond the end of the file", move |r| ranged(r, &short))
            .says("rejected_local/corrupt_header"),
    ])
    .await;
}

/// A JPEG behind segments of this marker with these payloads.
fn behind(code: u8, payloads: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let segments = payloads.into_iter().map(|payload| {
        let length = u16::try_from(payload.len() + 2).unwrap().to_be_bytes();
        [&[0xff, code], &length[..], &payload].concat()
    });
    let image = jpeg(640, 800, 0, 100_000);
    [&image[..2], &segments.collect::<Vec<_>>().concat(), &image[2..]].concat()
}

/// A box of `total` bytes in packets of at most `each` (ISO/IEC 19566-5, D.2), as Content Credentials
/// are kept.
fn jumbf(total: u32, each: usize) -> Vec<u8> {
    let content = total as usize - 8;
    behind(
        0xeb,
        (0..content.div_ceil(each)).map(|packet| {
            let length = each.min(content - packet * each);
            let number = u32::try_from(packet + 1).unwrap().to_be_bytes();
            [b"JP\0\x01", &number[..], &total.to_be_bytes(), b"jumb", &vec![7; length]].concat()
        }),
    )
}

/// Segments of one kind that announce where they end, or nothing at all.
#[tokio::test]
async fn other_chains_are_jumped_over_too() {
    // As an old camera wrote it: no two of one length.
    let uneven = behind(0xe7, (0..6).map(|n| vec![b'K'; 60_000 - 3_000 * n]));
    // It says 30 packets and has three.
    let lie =
        [&jumbf(1_900_000, 63_000)[..3 * 63_020 + 2], &jpeg(640, 800, 0, 2_000_000)[2..]].concat();
    check([
        row("Content Credentials", |r| ranged(r, &jumbf(1_900_000, 64_000)))
            .requests(3)
            .bytes(0..=20 * KIB)
            .size(640, 800),
        row("64 packets", |r| ranged(r, &jumbf(64 * 64_000, 64_000)))
            .requests(3)
            .bytes(0..=24 * KIB)
            .size(640, 800),
        row("uneven", move |r| ranged(r, &uneven)).requests(7).bytes(0..=64 * KIB).size(640, 800),
        row("a lie", move |r| ranged(r, &lie)).requests(7).size(640, 800),
    ])
    .await;
}

#[tokio::test]
async fn one_connection_serves_many_images() {
    let file = jpeg(640, 800, 60_000, 100_000);
    let origin = Origin::start(move |r| match r.path.as_str() {
        // What is thrown away must not cost the connection either, though it comes later.
        "/redirected" => vec![
            Step::Bytes(head("302 Found", &["Location: /found", "Content-Length: 5"])),
            Step::Wait(Duration::from_millis(5)),
            Step::Bytes(b"Moved".to_vec()),
        ],
        "/missing" => vec![
            Step::Bytes(head("404 Not Found", &["Content-Length: 7"])),
            Step::Wait(Duration::from_millis(5)),
            Step::Bytes(b"Missing".to_vec()),
        ],
        _ => ranged(r, &file),
    })
    .await;
    let sources: Vec<_> = (0..60)
        .map(|i| Source::url(origin.url(["found", "redirected", "missing"][i % 3])))
        .collect();
    let mut options = RunOptions::default();
    options.concurrency = 1;
    let run = probe(&table::options()).run(stream::iter(sources), options);
    let reports: Vec<_> = run.collect().await;
    assert_eq!(reports.iter().filter(|r| said(r) == "eligible").count(), 40);
    assert_eq!(reports.iter().filter(|r| said(r) == "rejected_local/not_found").count(), 20);
    let seen = origin.seen();
    assert_eq!((seen.connections, seen.requests.len()), (1, 20 * 2 + 20 * 3 + 20));
}

#[tokio::test]
async fn a_range_begins_small_again_after_a_redirect_or_a_retry() {
    let file = png(640, 800, 500_000);
    let [outcome] = check([row("two redirects, then 503", move |r| match r.index {
        0 | 1 => crate::common::redirect(&format!("/{}", r.index)),
        2 => status("503 Service Unavailable"),
        _ => ranged(r, &file),
    })
    .requests(4)
    .redirects(2)
    .bytes(KIB..=8 * KIB)])
    .await;
    for request in &outcome.seen.requests {
        assert!(request.range_length().unwrap() <= 8 * 1_024, "{:?}", request.range());
    }
}

// ---- origins that ignore Range

#[tokio::test]
async fn a_stream_is_hung_up_on_as_soon_as_the_answer_is_known() {
    let endless = |start: Vec<u8>| {
        move |_: &Request| {
            vec![
                Step::Bytes(head("200 OK", &["Content-Length: 9000000000000"])),
                Step::Bytes(start.clone()),
                Step::Forever(vec![0x5a; 4_096], Duration::ZERO),
            ]
        }
    };
    let outcomes = check([
        row("an eligible image", endless(png(640, 800, 4_096)))
            .requests(1)
            .bytes(KIB..=64 * KIB)
            .size(640, 800),
        row("an image too small", endless(png(300, 399, 4_096)))
            .says("rejected_local/shortest_side_below_min")
            .requests(1)
            .bytes(KIB..=64 * KIB),
        row("no image", endless(b"<!doctype html>".repeat(200)))
            .says("rejected_local/not_an_image")
            .mentions("HTML")
            .requests(1)
            .bytes(1..=64 * KIB),
    ])
    .await;
    for outcome in outcomes {
        outcome.origin.until(|seen| seen.hung_up == 1).await;
    }
}

#[tokio::test]
async fn a_stream_is_read_through_to_a_header_far_behind() {
    let file = jpeg(640, 800, 300_000, 20_000_000);
    let [outcome] = check([row("300 KB of metadata", move |_| whole(&file))
        .requests(1)
        .bytes(300_000..=1_024 * KIB)
        .size(640, 800)])
    .await;
    outcome.origin.until(|seen| seen.hung_up == 1).await;
}

#[tokio::test]
async fn a_stream_costs_its_origin_little_behind_what_the_answer_needed() {
    // 2,000 KiB/s, of a file as large as its length says.
    const PIECE: usize = 4_096;
    let apart = Duration::from_millis(2);
    let head = head("200 OK", &["Content-Length: 9000000000000"]);
    let paced = |start: &[u8]| {
        let (head, start) = (head.clone(), start.to_vec());
        move |_: &Request| {
            vec![
                Step::Bytes(head.clone()),
                Step::Paced(start.clone(), PIECE, apart),
                Step::Forever(vec![0x5a; PIECE], apart),
            ]
        }
    };
    let (near, far) = (png(640, 800, PIECE), jpeg(640, 800, 1_024 * 1_024, 0));
    let outcomes = check(
        [row("in the first KB", paced(&near)), row("behind 1 MB of metadata", paced(&far))]
            .map(|row| row.options(|o| o.max_header_bytes = 4 * 1_024 * KIB).requests(1)),
    )
    .await;
    // The image's version needs the first KB.
    for (outcome, needed) in outcomes.iter().zip([1_024, far.len()]) {
        let seen = outcome.origin.until(|seen| seen.hung_up == 1).await;
        let beyond = seen.written - head.len() - needed;
        assert!(beyond <= 256 * 1_024, "{beyond} bytes behind {needed}");
        assert_eq!(outcome.report.image.map(|image| (image.width, image.height)), Some((640, 800)));
    }
    // At the pace that was said: 257 pieces.
    assert!(outcomes[1].report.fetch.unwrap().elapsed_ms >= 500);
}

// ---- endless metadata

#[tokio::test]
async fn a_header_without_end_costs_no_more_than_the_cap() {
    let endless = || [&b"\xff\xd8"[..], &app_segment().repeat(64)].concat();
    let capped = |cap: u64| move |o: &mut emo_preflight::ProbeOptions| o.max_header_bytes = cap;
    let far = jpeg(640, 800, 5_000_000, 1_000_000);
    let [_, _, stream, _] = check([
        row("ranges", move |r| ranged(r, &endless()))
            .options(capped(4_096))
            .says("undetermined/header_too_long")
            .bytes(4_096..=4_096),
        // 1,024 is the least that may be set.
        row("one range", move |r| ranged(r, &endless()))
            .options(capped(1_024))
            .says("undetermined/header_too_long")
            .requests(1)
            .bytes(1_024..=1_024),
        row("a stream", move |_| {
            vec![
                Step::Bytes(head("200 OK", &["Content-Length: 9000000000000"])),
                Step::Bytes(b"\xff\xd8".to_vec()),
                Step::Forever(app_segment(), Duration::ZERO),
            ]
        })
        .options(capped(4_096))
        .says("undetermined/header_too_long")
        .requests(1)
        // What the last read brought counts too.
        .bytes(4_096..=64 * KIB),
        row("the default cap", move |_| whole(&far))
            .says("undetermined/header_too_long")
            .bytes(4_096 * KIB..=4_352 * KIB),
    ])
    .await;
    stream.origin.until(|seen| seen.hung_up == 1).await;
}

// ---- framing

#[tokio::test]
async fn bodies_come_framed_in_every_way() {
    let file = png(640, 800, 30_000);
    let f = || file.clone();
    let (a, b, c, d, e) = (f(), f(), f(), f(), f());
    check([
        row("200 in chunks", move |_| chunked("200 OK", &[], &a, 7)).requests(1),
        row("206 in chunks", move |r| {
            let (first, last) = r.range().unwrap();
            let range = format!("Content-Range: bytes {first}-{last}/30000");
            chunked("206 Partial Content", &[&range], &b[first..=last], 100)
        })
        .requests(1),
        row("200 up to the connection's end", move |_| {
            vec![Step::Bytes(head("200 OK", &[])), Step::Bytes(c.clone()), Step::Close]
        })
        .requests(1),
        row("HTTP/1.0", move |_| {
            vec![Step::Bytes([b"HTTP/1.0 200 OK\r\n\r\n", &d[..]].concat()), Step::Close]
        })
        .requests(1),
        row("a body byte by byte", move |r| {
            let (first, last) = r.range().unwrap();
            let range = format!("Content-Range: bytes {first}-{last}/30000");
            let length = format!("Content-Length: {}", last + 1 - first);
            let mut steps = vec![Step::Bytes(head("206 Partial Content", &[&range, &length]))];
            steps.extend(e[first..=last].iter().map(|byte| Step::Bytes(vec![*byte])));
            steps
        })
        .requests(1),
        row("103 and 100 before the answer", move |r| {
            let early = Step::Bytes(
                [head("103 Early Hints", &["Link: </a>"]), head("100 Continue", &[])].concat(),
            );
            std::iter::once(early).chain(ranged(r, &png(640, 800, 30_000))).collect()
        })
        .requests(1),
        row("lower-case, folded and repeated headers", |_| {
            let file = png(640, 800, 2_000);
            let head = b"HTTP/1.1 200\r\ncontent-length:2000\r\nx-a: 1\r\nx-a: 2\r\n\r\n";
            vec![Step::Bytes([&head[..], &file].concat())]
        })
        .requests(1),
    ])
    .await;
}

// ---- what is said of the bytes

#[tokio::test]
async fn the_bytes_decide_not_their_label() {
    let labelled = |label: &'static [&'static str], file: Vec<u8>| {
        move |_: &Request| answer("200 OK", label, &file)
    };
    let gif = [&b"GIF89a\x80\x02\x20\x03\0\0\0"[..], &[0; 2_000]].concat();
    let heic = [&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], &[0; 2_000]].concat();
    let dnl = jpeg(640, 0, 0, 2_000);
    let [_, _, _, _, _, ribbon, ..] = check([
        row("an image labelled text", labelled(&["Content-Type: text/html"], png(640, 800, 2_000)))
            .size(640, 800),
        row(
            "a JPEG labelled PNG",
            labelled(&["Content-Type: image/png"], jpeg(640, 800, 0, 2_000)),
        ),
        row(
            "HTML labelled JPEG",
            labelled(&["Content-Type: image/jpeg"], b"<html><body>Sign in</body></html>".to_vec()),
        )
        .says("rejected_local/not_an_image")
        .mentions("HTML")
        .requests(1),
        row("GIF", labelled(&[], gif)).says("rejected_local/unsupported_format").mentions("GIF"),
        row("HEIC", move |r| ranged(r, &heic))
            .says("rejected_local/unsupported_format")
            .mentions("HEIC")
            .requests(1),
        row("both sides out of bounds", labelled(&[], png(399, 7_001, 2_000)))
            .says("rejected_local/shortest_side_below_min")
            .size(399, 7_001),
        row("at both bounds", labelled(&[], png(400, 7_000, 2_000))),
        row("a size that comes after the pixels", labelled(&[], dnl))
            .says("undetermined/size_deferred"),
    ])
    .await;
    let limits: Vec<_> = ribbon
        .report
        .reasons
        .iter()
        .map(|r| (r.code.as_str(), r.found.as_ref().unwrap(), r.required.as_ref().unwrap()))
        .map(|(code, found, required)| (code, found.as_u64(), required.as_u64()))
        .collect();
    assert_eq!(
        limits,
        [
            ("shortest_side_below_min", Some(399), Some(400)),
            ("longest_side_above_max", Some(7_001), Some(7_000)),
        ]
    );
}

/// Some servers compress what they were asked to send as it is.
#[tokio::test]
async fn a_compressed_body_is_unpacked() {
    let file = jpeg(640, 800, 60_000, 90_000);
    let (gzip, zlib) = (crate::common::gzip(&file), crate::common::zlib(&file));
    let cut = gzip[..gzip.len() / 8].to_vec();
    let raw = zlib[2..zlib.len() - 4].to_vec();
    // Fill bytes before a marker, as many as you like.
    let bomb = [&b"\xFF\xD8"[..], &vec![0xFF; 30_000_000]].concat();
    let bomb = crate::common::gzip(&bomb);
    let packed = |name, coding: &'static str, body: &[u8]| {
        let (header, body) = (format!("Content-Encoding: {coding}"), body.to_vec());
        row(name, move |_| answer("200 OK", &[&header], &body))
    };
    check([
        packed("gzip", "gzip", &gzip).size(640, 800).requests(1),
        packed("x-gzip beside identity", "identity, X-GZIP", &gzip).size(640, 800).requests(1),
        packed("deflate", "deflate", &zlib).size(640, 800).requests(1),
        packed("deflate without its envelope", "deflate", &raw).size(640, 800).requests(1),
        row("parts of it", {
            let gzip = gzip.clone();
            move |r| match r.range() {
                Some(_) => ranged_with(r, &gzip, &["Content-Encoding: gzip"]),
                None => answer("200 OK", &["Content-Encoding: gzip"], &gzip),
            }
        })
        .size(640, 800)
        .requests(2),
        packed("cut short in its header", "gzip", &cut).says("undetermined/encoded_body"),
        packed("not what it says", "gzip", &file).says("undetermined/encoded_body"),
        packed("a small one that grows without an end", "gzip", &bomb)
            .says("undetermined/header_too_long")
            .requests(1)
            .bytes(0..=40_000),
    ])
    .await;
}

#[tokio::test]
async fn another_encoding_is_not_read() {
    let encoded = |name, header: &'static str| {
        let as_range = move |r: &Request| ranged_with(r, &png(640, 800, 9_000), &[header]);
        row(name, as_range)
    };
    let refused = |name, header| {
        encoded(name, header).says("undetermined/encoded_body").requests(1).bytes(0..=0)
    };
    check([
        refused("Brotli", "content-encoding: br"),
        refused("two", "Content-Encoding: deflate, gzip"),
        refused("two lines", "Content-Encoding: gzip\r\nContent-Encoding: gzip"),
        refused("a coding of the transfer", "Transfer-Encoding: gzip, chunked"),
        row("chunks before another coding", |_| {
            let head = head("200 OK", &["Transfer-Encoding: chunked, identity"]);
            let chunk = [b"258\r\n", png(640, 800, 0x258).as_slice(), b"\r\n0\r\n\r\n"].concat();
            vec![Step::Bytes(head), Step::Bytes(chunk)]
        })
        .says("undetermined/encoded_body")
        .requests(1),
        encoded("identity", "Content-Encoding: Identity"),
        encoded("chunks for a coding", "Content-Encoding: chunked"),
        encoded("nothing", "Content-Encoding: "),
        row("gzip that says nothing", |_| whole(&b"\x1f\x8b\x08\0\0\0\0\0".repeat(300)))
            .says("rejected_local/not_an_image")
            .mentions("gzip"),
    ])
    .await;
}
