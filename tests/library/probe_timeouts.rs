//! The local stage against origins that dawdle, fall silent or never end.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use crate::common;
use crate::common::table::{self, check, probe, row, said};
use crate::common::{
    Origin, Request, SLACK, Step, hanging_port, head, icc_jpeg, image, jpeg, png, ranged, status,
};
use emo_preflight::{AddressPolicy, ProbeOptions, Report, RunOptions, Source};
use futures_util::stream::{self, StreamExt as _};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn an_origin_that_dawdles_costs_the_time_out_and_no_more() {
    let slowly = Duration::from_millis(10);
    let outcomes = check(
        [
            row("nothing is ever answered", |_| vec![Step::Hang]).bytes(0..=0),
            row("a head without end", move |_| {
                vec![
                    Step::Bytes(b"HTTP/1.1 200 OK\r\n".to_vec()),
                    Step::Forever(b"X-Filler: 1\r\n".to_vec(), slowly),
                ]
            })
            .bytes(0..=0),
            row("a range that trickles", move |r| {
                let range = format!("Content-Range: bytes 0-{}/500000", r.range().unwrap().1);
                vec![
                    Step::Bytes(head("206 Partial Content", &[&range, "Content-Length: 4096"])),
                    Step::Bytes(b"\xff\xd8".to_vec()),
                    Step::Forever(vec![0], slowly),
                ]
            })
            .bytes(3..=200),
            row("a stream that trickles", move |_| {
                vec![
                    Step::Bytes(head("200 OK", &[])),
                    Step::Bytes(b"\xff\xd8".to_vec()),
                    Step::Forever(vec![0], slowly),
                ]
            })
            .bytes(3..=200),
            row("a body that stops", |_| {
                vec![Step::Bytes(head("200 OK", &[])), Step::Bytes(vec![0xff, 0xd8]), Step::Hang]
            })
            .bytes(2..=2),
        ]
        .map(|row| {
            row.options(|o| o.timeout = SHORT)
                .says("undetermined/timeout")
                .mentions("300ms")
                .requests(1)
                .within(SHORT + SLACK)
        }),
    )
    .await;
    for outcome in outcomes {
        assert!(outcome.report.fetch.unwrap().elapsed_ms >= 300, "{:?}", outcome.report);
        outcome.origin.until(|seen| seen.hung_up == 1).await;
    }
}

#[tokio::test]
async fn the_time_out_covers_redirects_and_retries_together() {
    let slow = |wait: Duration, then: fn(&Request) -> Vec<Step>| {
        move |r: &Request| [vec![Step::Wait(wait)], then(r)].concat()
    };
    // Far enough from the second, and from the third, that a busy machine makes no difference.
    let (limit, wait) = (Duration::from_secs(1), Duration::from_millis(400));
    check([
        row("redirects", slow(wait, |_| common::redirect("/again")))
            .redirects(2)
            .requests(3)
            .options(|o| o.timeout = limit)
            .says("undetermined/timeout")
            .within(limit + SLACK),
        row("ranges", slow(wait, |r| ranged(r, &jpeg(640, 800, 60_000 * 9, 900_000))))
            .requests(3)
            .options(|o| o.timeout = limit)
            .says("undetermined/timeout")
            .within(limit + SLACK),
        row("retries", slow(SHORT * 2 / 3, |_| status("500 Internal Server Error")))
            .options(|o| o.timeout = SHORT)
            // The time ran out on a pause, and what led to it says more.
            .says("undetermined/http_status")
            .within(SHORT + SLACK),
    ])
    .await;
}

#[tokio::test]
async fn waiting_for_ones_turn_is_not_on_the_clock() {
    let slowly = |steps| [vec![Step::Wait(Duration::from_millis(150))], steps].concat();
    let file = jpeg(640, 800, 60_000, 100_000);
    let met = Mutex::new(HashSet::new());
    let origin = Origin::start(move |r| {
        let is_first = met.lock().unwrap().insert(r.path.clone());
        let kind = r.path.trim_end_matches(|c: char| c.is_ascii_digit());
        match (kind, r.header("host").unwrap().split_once(':').unwrap()) {
            ("/moved", ("127.0.0.1", port)) => {
                common::redirect(&format!("http://localhost:{port}{}", r.path))
            }
            ("/first-refused", _) if is_first => status("503 Service Unavailable"),
            ("/two-ranges", _) => slowly(ranged(r, &file)),
            _ => slowly(ranged(r, &image())),
        }
    })
    .await;
    let mut options = table::options();
    options.addresses = AddressPolicy::Any;
    options.per_host = 2;
    options.timeout = Duration::from_secs(1);
    for kind in ["first-refused", "two-ranges", "moved"] {
        let sources: Vec<_> =
            (0..20).map(|i| Source::url(origin.url(&format!("{kind}{i}")))).collect();
        let run = probe(&options).run(stream::iter(sources), RunOptions::default());
        let reports: Vec<Report> = common::in_time("the run", run.collect()).await;
        for report in &reports {
            assert_eq!(said(report), "eligible", "{report:?}");
            assert_eq!(report.fetch.unwrap().requests, 2, "{report:?}");
            assert!(report.fetch.unwrap().elapsed_ms < 1_000, "{report:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_known_is_given_though_the_rest_stalls() {
    let stalls = |r: &Request| {
        let Some(Step::Bytes(mut bytes)) = ranged(r, &image()).pop() else { panic!() };
        bytes.truncate(3_000);
        vec![Step::Bytes(bytes), Step::Hang]
    };
    check(
        [
            row("until the time is up", stalls).options(|o| o.timeout = SHORT),
            row("for too long", stalls).options(|o| o.progress_timeout = SHORT),
        ]
        .map(|row| row.requests(1).size(640, 800).within(SHORT + SLACK)),
    )
    .await;
}

// ---- no progress

#[tokio::test]
async fn a_body_that_gets_no_further_is_given_up_on() {
    let dribble = |bytes: &'static [u8]| Step::Forever(bytes.to_vec(), Duration::from_millis(10));
    let stream = |start: Vec<u8>, then: Step| {
        move |_: &Request| {
            let head = head("200 OK", &["Content-Length: 9000000000000"]);
            vec![Step::Bytes(head), Step::Bytes(start.clone()), then.clone()]
        }
    };
    let range = |start: Vec<u8>, then: Step| {
        move |r: &Request| {
            let range = format!("Content-Range: bytes 0-{}/500000", r.range().unwrap().1);
            let head = head("206 Partial Content", &[&range, "Content-Length: 4096"]);
            vec![Step::Bytes(head), Step::Bytes(start.clone()), then.clone()]
        }
    };
    let much = || jpeg(640, 800, 60_000, 0)[..50_000].to_vec();
    let outcomes = check(
        [
            row("a stream that never starts", stream(vec![], Step::Hang)).bytes(0..=0),
            row("a range that never starts", range(vec![], Step::Hang)).bytes(0..=0),
            row("a stream that stops", stream(much(), Step::Hang)).bytes(50_000..=50_000),
            row("a range that stops", range(vec![0xff, 0xd8], Step::Hang)).bytes(2..=2),
            row("a stream that dribbles", stream(much(), dribble(&[0]))).bytes(50_001..=51_023),
            row("a range that dribbles", range(vec![0xff, 0xd8], dribble(&[0]))).bytes(3..=1_023),
            row("a chunk whose size never ends", move |_| {
                let head = head("200 OK", &["Transfer-Encoding: chunked"]);
                vec![Step::Bytes(head), dribble(b"0")]
            })
            .bytes(0..=0),
            row("the same in a flood", |_| {
                let head = head("200 OK", &["Transfer-Encoding: chunked"]);
                vec![Step::Bytes(head), Step::Forever(vec![b'0'; 16_384], Duration::ZERO)]
            })
            .bytes(0..=0),
        ]
        .map(|row| {
            row.options(|o| o.progress_timeout = SHORT)
                .says("undetermined/timeout")
                .mentions("at least 1024 bytes or the rest must arrive within 300ms")
                .requests(1)
                .within(SHORT + SLACK)
        }),
    )
    .await;
    for outcome in outcomes {
        let reason = &outcome.report.reasons[0];
        let least = reason.required.as_ref().unwrap().as_u64().unwrap();
        assert!(reason.found.as_ref().unwrap().as_u64().unwrap() < least, "{reason:?}");
        assert!(outcome.report.fetch.unwrap().elapsed_ms >= 300, "{:?}", outcome.report);
        outcome.origin.until(|seen| seen.hung_up == 1).await;
    }
}

#[tokio::test]
async fn a_landing_that_gets_no_further_is_given_up_on() {
    let file = icc_jpeg(|_| 65_000);
    check([row("behind a jump", move |r| match r.index {
        0 => ranged(r, &file),
        _ => {
            let Some(Step::Bytes(mut bytes)) = ranged(r, &file).pop() else { panic!() };
            bytes.truncate(bytes.len() - 1);
            vec![Step::Bytes(bytes), Step::Hang]
        }
    })
    .options(|o| o.progress_timeout = SHORT)
    .says("undetermined/timeout")
    .requests(2)
    .within(SHORT + SLACK)])
    .await;
}

#[tokio::test]
async fn a_slow_line_is_not_cut_off() {
    // Takes twice the span in all, and brings in each span twice what it must, or more.
    let slowly = |head: Vec<u8>, body: Vec<u8>, piece: usize| {
        vec![Step::Bytes(head), Step::Paced(body, piece, Duration::from_millis(200))]
    };
    let (file, part) = (jpeg(640, 800, 10_000, 20_000), png(640, 800, 4_096));
    let outcomes = check(
        [
            row("a stream", move |_| slowly(head("200 OK", &[]), file.clone(), 1_024)),
            row("a range", move |_| {
                let range = "Content-Range: bytes 0-4095/500000";
                let head = head("206 Partial Content", &[range, "Content-Length: 4096"]);
                slowly(head, part.clone(), 400)
            }),
        ]
        .map(|row| {
            row.options(|o| o.progress_timeout = Duration::from_secs(1)).requests(1).size(640, 800)
        }),
    )
    .await;
    for outcome in outcomes {
        assert!(outcome.report.fetch.unwrap().elapsed_ms >= 1_800, "{:?}", outcome.report);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_asked_for_once_more() {
    let slowly = Duration::from_millis(10);
    let outcomes = check(
        [
            row("nothing", |_| vec![Step::Hang]),
            row("a head that stops", |_| {
                vec![Step::Bytes(b"HTTP/1.1 206 Partial".to_vec()), Step::Hang]
            }),
            row("a head that dribbles", move |_| {
                vec![
                    Step::Bytes(b"HTTP/1.1 200 OK\r\nX-Filler: ".to_vec()),
                    Step::Forever(b"x".to_vec(), slowly),
                ]
            }),
            row("early hints and no answer", move |_| {
                vec![Step::Forever(head("103 Early Hints", &["Link: </a>"]), slowly)]
            }),
        ]
        .map(|row| {
            row.options(|o| o.progress_timeout = SHORT)
                .says("undetermined/timeout")
                .mentions("answer must begin within 300ms")
                .requests(2)
                .bytes(0..=0)
                .within(SHORT * 2 + SLACK)
        }),
    )
    .await;
    for outcome in outcomes {
        assert!(outcome.report.fetch.unwrap().elapsed_ms >= 600, "{:?}", outcome.report);
        outcome.origin.until(|seen| seen.hung_up == 2).await;
    }
    check(
        [
            row("silent at first", |r| match r.index {
                0 => vec![Step::Hang],
                _ => ranged(r, &image()),
            })
            .requests(2),
            row("silent at the second range", |r| match r.index {
                1 => vec![Step::Hang],
                _ => ranged(r, &jpeg(640, 800, 60_000, 100_000)),
            })
            .requests(3),
            row("silent at both", |r| match r.index {
                0 | 2 => vec![Step::Hang],
                _ => ranged(r, &jpeg(640, 800, 60_000, 100_000)),
            })
            .says("undetermined/timeout")
            .requests(3),
        ]
        .map(|row| row.options(|o| o.progress_timeout = SHORT)),
    )
    .await;
}

#[tokio::test]
async fn a_kept_connection_that_died_unnoticed_is_not_the_images_fault() {
    let origin = Origin::start(|r| match (r.connection, r.path.as_str()) {
        // As behind a NAT that has forgotten the connection: no reset, no end.
        (0, "/second") => vec![Step::Hang],
        _ => ranged(r, &image()),
    })
    .await;
    let mut options = table::options();
    options.progress_timeout = SHORT;
    let probe = probe(&options);
    for (path, requests) in [("first", 1), ("second", 2)] {
        let report = probe.check(Source::url(origin.url(path))).await;
        assert_eq!(said(&report), "eligible", "{path}: {report:?}");
        assert_eq!(report.fetch.unwrap().requests, requests, "{path}");
    }
    let connections: Vec<_> = origin.requests().iter().map(|r| r.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn a_connection_that_is_never_made_is_no_progress() {
    let (_full, port) = hanging_port().await;
    let mut options = table::options();
    options.progress_timeout = SHORT;
    let report = probe(&options).check(Source::url(format!("http://127.0.0.1:{port}/a"))).await;
    assert_eq!(said(&report), "undetermined/timeout", "{report:?}");
    let fetch = report.fetch.unwrap();
    assert_eq!((fetch.requests, fetch.bytes), (2, 0));
    assert!((600..2_600).contains(&fetch.elapsed_ms), "{report:?}");
}

#[test]
fn by_default_an_origin_may_do_nothing_for_ten_seconds() {
    let options = ProbeOptions::default();
    assert_eq!(options.progress_timeout, Duration::from_secs(10));
    assert_eq!(options.timeout, Duration::from_secs(20));
}

/// All that was asked for is here; only the sign that it is all is missing.
#[tokio::test]
async fn an_end_that_does_not_come_is_not_waited_for() {
    let without_end = |r: &Request, framing: &str, before: &[u8], file: &[u8]| {
        let (first, last) = r.range().unwrap();
        let last = last.min(file.len() - 1);
        let range = format!("Content-Range: bytes {first}-{last}/{}", file.len());
        let head = head("206 Partial Content", &[&range, framing]);
        let bytes = [&head, before, &file[first..=last]].concat();
        vec![Step::Bytes(bytes), Step::Hang]
    };
    check(
        [
            row("no last chunk", move |r| {
                without_end(r, "Transfer-Encoding: chunked", b"1000\r\n", &png(640, 800, 90_000))
            }),
            row("the length of the whole", move |r| {
                without_end(r, "Content-Length: 90000", b"", &png(640, 800, 90_000))
            }),
            row("no length", move |r| without_end(r, "X: y", b"", &png(640, 800, 90_000))),
            row("behind a jump", move |r| {
                let file = icc_jpeg(|_| 60_000);
                match r.index {
                    0 => ranged(r, &file),
                    _ => without_end(r, "X: y", b"", &file),
                }
            })
            .requests(3),
        ]
        .map(|row| row.size(640, 800).within(SLACK)),
    )
    .await;
}

/// Interim answers (RFC 9110, section 15.2) without end, as fast as they go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_origin_that_never_stops_talking_takes_no_time_from_others() {
    let talks = b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n".repeat(2_000);
    let endless = Origin::start(move |_| vec![Step::Forever(talks.clone(), Duration::ZERO)]).await;
    let good = Origin::start(|r| ranged(r, &image())).await;
    let mut options = table::options();
    options.addresses = AddressPolicy::Any;
    options.timeout = Duration::from_secs(1);
    let bad = endless.url("bad");
    let fine = good.url("good").replace("127.0.0.1", "localhost");
    let sources: Vec<_> = (0..48).map(|i| Source::url(if i < 16 { &bad } else { &fine })).collect();
    let begun = std::time::Instant::now();
    let run = probe(&options).run(stream::iter(sources), RunOptions::default());
    let reports: Vec<Report> = run.collect().await;
    let took = begun.elapsed();
    for report in &reports {
        let says = if report.source == bad { "undetermined/timeout" } else { "eligible" };
        assert_eq!(said(report), says, "{report:?}");
    }
    assert!(took < options.timeout + SLACK, "{took:?}");
}
