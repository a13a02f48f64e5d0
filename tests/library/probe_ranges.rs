//! The local stage against origins whose partial answers do not fit what was asked, or each other.

use std::time::Duration;

use crate::common::table::{check, row};
use crate::common::{
    Request, Seen, Step, answer, head, icc_jpeg, jpeg, png, ranged, ranged_with, status, whole,
};

const KIB: u64 = 1_024;

#[tokio::test]
async fn a_206_is_held_against_what_was_asked() {
    let unfit = |name, ranges: &'static [&'static str]| {
        row(name, move |r| {
            let body = vec![0x5a; r.range_length().unwrap()];
            answer("206 Partial Content", ranges, &body)
        })
        .says("undetermined/http_status")
        .mentions("was asked for")
        .requests(1)
    };
    check([
        unfit("no Content-Range", &[]),
        unfit("shifted", &["Content-Range: bytes 1-4096/500000"]),
        unfit("begun late", &["Content-Range: bytes 1-4095/500000"]),
        unfit("longer than asked", &["Content-Range: bytes 0-99999/500000"]),
        unfit("shorter than asked and than the file", &["Content-Range: bytes 0-9/500000"]),
        unfit("beyond its own total", &["Content-Range: bytes 0-4095/100"]),
        unfit("backwards", &["Content-Range: bytes 4095-0/500000"]),
        unfit("another unit", &["Content-Range: items 0-4095/500000"]),
        unfit("no numbers", &["Content-Range: bytes a-b/c"]),
        unfit("the form of a 416", &["Content-Range: bytes */500000"]),
        unfit("multipart", &["Content-Type: multipart/byteranges; boundary=x"]),
        // The bytes decide, and these begin with a part's head.
        row("multipart that claims a range", |r| {
            let (first, last) = r.range().unwrap();
            let range = format!("Content-Range: bytes {first}-{last}/500000");
            let mut body = b"--x\r\nContent-Type: image/png\r\n\r\n".to_vec();
            body.extend(png(640, 800, 500_000));
            body.truncate(last + 1 - first);
            let multipart = "Content-Type: multipart/byteranges; boundary=x";
            answer("206 Partial Content", &[&range, multipart], &body)
        })
        .says("rejected_local/not_an_image")
        .requests(1),
        row("a shorter length than it says", |r| {
            let (first, last) = r.range().unwrap();
            let range = format!("Content-Range: bytes {first}-{last}/500000");
            answer("206 Partial Content", &[&range], &png(640, 800, 500_000)[first..][..10])
        })
        .says("undetermined/network")
        .mentions("found 10")
        .requests(3)
        .bytes(30..=30),
        row("more bytes than it says", |r| {
            let (first, last) = r.range().unwrap();
            let range = format!("Content-Range: bytes {first}-{last}/500000");
            answer("206 Partial Content", &[&range], &png(640, 800, 20_000))
        })
        .says("undetermined/http_status")
        .requests(1),
        row("endlessly more", |r| {
            let (first, last) = r.range().unwrap();
            let range = format!("Content-Range: bytes {first}-{last}/500000");
            vec![
                Step::Bytes(head("206 Partial Content", &[&range, "Connection: close"])),
                Step::Forever(png(640, 800, 1_000), Duration::ZERO),
            ]
        })
        .says("undetermined/http_status")
        .requests(1)
        .bytes(0..=64 * KIB),
        row("206 although no range was asked for", |r| match r.index {
            // A stream that breaks off shows that this origin knows no ranges.
            0 => vec![
                Step::Bytes(head("200 OK", &["Content-Length: 5000"])),
                Step::Bytes(vec![0xff, 0xd8, 0xff]),
                Step::Close,
            ],
            _ => {
                assert_eq!(r.range(), None);
                answer("206 Partial Content", &["Content-Range: bytes 0-4095/5000"], &[0; 4_096])
            }
        })
        .says("undetermined/http_status")
        .requests(2),
        row("case and blanks do not matter", |r| {
            let (first, last) = r.range().unwrap();
            let file = png(640, 800, 500_000);
            let range = format!("content-RANGE:  BYTES {first}-{last}/500000 ");
            answer("206 Partial Content", &[&range], &file[first..=last])
        })
        .requests(1),
    ])
    .await;
}

/// What a good origin answers of a file that changes under the reader: before `is_new` it is `old`.
fn changing(
    r: &Request,
    old: &[u8],
    new: &[u8],
    is_new: bool,
    etags: Option<(&str, &str)>,
) -> Vec<Step> {
    let file = if is_new { new } else { old };
    match etags {
        Some((old, new)) => {
            let etag = format!("ETag: {}", if is_new { new } else { old });
            ranged_with(r, file, &[&etag])
        }
        None => ranged(r, file),
    }
}

#[tokio::test]
async fn a_file_that_changes_between_two_hops_is_then_read_in_one_go() {
    let old = jpeg(640, 800, 60_000, 100_000);
    // As long as the old one, or longer.
    let new = jpeg(900, 700, 60_000, 100_000);
    let longer = jpeg(900, 700, 60_000, 100_001);
    type Version = fn(usize) -> bool;
    let (once, always): (Version, Version) = (|i| i > 0, |i| i % 2 == 1);
    let rows = |when: Version, name_total, name_etag| {
        let (a, b, c, d) = (old.clone(), longer.clone(), old.clone(), new.clone());
        [
            row(name_total, move |r| changing(r, &a, &b, when(r.index), None)),
            row(name_etag, move |r| changing(r, &c, &d, when(r.index), Some(("\"a\"", "\"b\"")))),
        ]
    };
    let [total, etag] = rows(once, "another total", "another ETag");
    let [totals, etags] = rows(always, "another total each time", "another ETag each time");
    let (a, b, c, d) = (old.clone(), new.clone(), old.clone(), longer.clone());
    let outcomes = check([
        // The third request takes the file in one go, which is of one version.
        total.requests(3).size(900, 700),
        etag.requests(3).size(900, 700),
        totals.requests(3),
        etags.requests(3),
        row("so short that the second range is beyond it", |r| match r.index {
            0 => ranged(r, &jpeg(640, 800, 60_000, 100_000)),
            _ => ranged(r, &jpeg(900, 700, 0, 2_000)),
        })
        .requests(3)
        .size(900, 700),
        // RFC 9110, section 13.1.5: If-Range that does not match is answered with the whole.
        row("200 at the second hop", move |r| match r.index {
            0 => ranged_with(r, &a, &["ETag: \"a\""]),
            _ => answer("200 OK", &["ETag: \"b\""], &b),
        })
        .requests(2)
        .size(900, 700),
        row("weak ETags promise nothing", move |r| {
            changing(r, &c, &c, r.index > 0, Some(("W/\"a\"", "W/\"b\"")))
        })
        .requests(2)
        .size(640, 800),
        row("no ETag in quotes is none", move |r| {
            changing(r, &d, &d, r.index > 0, Some(("a", "b")))
        })
        .requests(2)
        .size(900, 700),
    ])
    .await;
    let sent = |seen: &Seen| -> Vec<Option<String>> {
        seen.requests.iter().map(|r| r.header("if-range").map(str::to_owned)).collect()
    };
    let strong = |tag: &str| Some(format!("\"{tag}\""));
    assert_eq!(sent(&outcomes[0].seen), vec![None; 3]);
    assert_eq!(sent(&outcomes[1].seen), [None, strong("a"), None]);
    assert_eq!(sent(&outcomes[5].seen), [None, strong("a")]);
    assert_eq!(sent(&outcomes[7].seen), vec![None; 2]);
    assert_eq!(sent(&outcomes[6].seen), vec![None; 2]);
}

/// What an answer said whose body never came must not stay in the image's version: at the next
/// check the unchanged image would be taken for another, and be paid for again.
#[cfg(feature = "emulator")]
#[tokio::test]
async fn an_answer_without_its_body_says_nothing_of_the_image() {
    use crate::common::{Origin, table};
    use emo_preflight::emulator::{Emulator, Fate};
    use emo_preflight::{ApiKey, Preflight, Source};
    let lost = |headers: &[&str]| {
        let mut headers = headers.to_vec();
        headers.push("Content-Length: 4096");
        vec![Step::Bytes(head("206 Partial Content", &headers)), Step::Close]
    };
    let file = |r: &Request, headers: &[&str]| match r.range() {
        Some(_) if r.index > 1 => ranged_with(r, &png(640, 800, 90_000), headers),
        _ => answer("200 OK", headers, &png(640, 800, 90_000)),
    };
    type Answers = Box<dyn Fn(&Request) -> Vec<Step> + Send + Sync>;
    let rows: [(&str, Answers); 2] = [
        (
            "another ETag",
            Box::new(move |r| match r.index {
                0 => lost(&["Content-Range: bytes 0-4095/90000", "ETag: \"old\""]),
                1 => file(r, &[]),
                _ => file(r, &["ETag: \"new\""]),
            }),
        ),
        (
            "another total",
            Box::new(move |r| match r.index {
                0 => lost(&["Content-Range: bytes 0-4095/80000"]),
                _ => file(r, &[]),
            }),
        ),
    ];
    for (name, script) in rows {
        let service = Emulator::builder().start().await.unwrap();
        let origin = Origin::start(script).await;
        let gate = Preflight::builder(ApiKey::new("sk-any").unwrap())
            .base_url(service.base_url())
            .probe(table::options())
            .build()
            .await
            .unwrap();
        let url = origin.url("a");
        let image = service.elsewhere(&url);
        service.script(&image, [Fate::boxes([9.0, 9.0, 99.0, 99.0], [0.0, 0.0, 300.0, 300.0])]);
        for from_ledger in [false, true] {
            let report = gate.check(Source::url(&url)).await.unwrap();
            assert_eq!(report.from_ledger, from_ledger, "{name}: {report:?}");
        }
        assert_eq!(service.calls(), 1, "{name}");
    }
}

#[tokio::test]
async fn nothing_is_asked_for_beyond_a_known_end() {
    // Its one segment points far past its end.
    let cut = || jpeg(640, 800, 60_000, 0)[..20_000].to_vec();
    // A jump lands well on its last segment, which points past its end.
    let profile = || icc_jpeg(|_| 65_000)[..1_290_000].to_vec();
    let refusing = |name, line: &'static str, file: Vec<u8>, requests| {
        row(name, move |r| match r.range() {
            Some((first, _)) if first < file.len() => ranged(r, &file),
            _ => status(line),
        })
        .says("rejected_local/corrupt_header")
        .requests(requests)
    };
    check([
        refusing("416", "416 Range Not Satisfiable", cut(), 1),
        refusing("400", "400 Bad Request", cut(), 1),
        refusing("403", "403 Forbidden", cut(), 1),
        refusing("500", "500 Internal Server Error", cut(), 1),
        refusing("behind a landing", "403 Forbidden", profile(), 2),
    ])
    .await;
}

#[tokio::test]
async fn tiny_files_and_files_without_a_known_end() {
    let unknown_total = |r: &Request, file: &[u8]| {
        let (first, last) = r.range().unwrap();
        let Some(last) = file.len().checked_sub(1).map(|end| end.min(last)) else { panic!() };
        if first > last {
            let range = format!("Content-Range: bytes */{}", file.len());
            return answer("416 Range Not Satisfiable", &[&range], b"");
        }
        let range = format!("Content-Range: bytes {first}-{last}/*");
        answer("206 Partial Content", &[&range], &file[first..=last])
    };
    let [_, _, _, refused, ..] = check([
        row("33 bytes in a 206", |r| ranged(r, &png(640, 800, 33))).requests(1).bytes(33..=33),
        row("33 bytes in a 200", |_| whole(&png(640, 800, 33))).requests(1).bytes(33..=33),
        row("416 on an empty file", |r| ranged(r, b""))
            .says("rejected_local/not_an_image")
            .mentions("an empty file")
            .requests(1),
        row("416 on a tiny file, 200 without Range", |r| match r.range() {
            Some(_) => status("416 Range Not Satisfiable"),
            None => whole(&png(640, 800, 600)),
        })
        .requests(2)
        .bytes(600..=600),
        row("416 whatever is asked", |_| status("416 Range Not Satisfiable"))
            .says("undetermined/http_status")
            .mentions("416")
            .requests(2),
        row("416 that contradicts itself", |r| match r.range() {
            Some(_) => answer("416 Range Not Satisfiable", &["Content-Range: bytes */500000"], b""),
            None => whole(&png(640, 800, 600)),
        })
        .requests(2),
        row("an empty 200", |_| status("200 OK"))
            .says("rejected_local/not_an_image")
            .mentions("an empty file")
            .requests(1),
        row("a total nobody knows", move |r| unknown_total(r, &png(640, 800, 500_000))).requests(1),
        row("a tiny file whose total nobody knows", move |r| unknown_total(r, &png(640, 800, 600)))
            .requests(2)
            .bytes(600..=600),
        row("a file that ends inside its header", |r| ranged(r, &jpeg(640, 800, 60_000, 0)[..90]))
            .says("rejected_local/corrupt_header")
            .requests(1),
        row("the same as a stream", |_| whole(&jpeg(640, 800, 60_000, 0)[..90]))
            .says("rejected_local/corrupt_header")
            .requests(1),
        row("a signature cut off", |r| ranged(r, b"\x89PNG"))
            .says("rejected_local/corrupt_header")
            .requests(1),
    ])
    .await;
    assert_eq!(refused.seen.requests[1].header("range"), None);
}
