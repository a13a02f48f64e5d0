//! The local stage against origins that refuse, break off, dawdle or never end.

#![cfg(feature = "client")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::HashSet;
use std::time::Duration;

use common::table::{self, check, probe, row, said};
use common::{
    Origin, Request, Step, answer, head, in_time, jpeg, png, ranged, refusing_port, status, whole,
};
use emo_preflight::{Report, RunOptions, Source};
use futures_util::stream::{self, StreamExt as _};

const SHORT: Duration = Duration::from_millis(300);

/// What a test takes beside the time it waits for.
const SLACK: Duration = Duration::from_secs(2);

fn picture() -> Vec<u8> {
    png(640, 800, 20_000)
}

// ---- statuses

#[tokio::test]
async fn a_status_that_tells_nothing_is_not_repeated() {
    let only = |line: &'static str| row(line, move |_| status(line)).requests(1);
    let undetermined = |line| only(line).says("undetermined/http_status").mentions(&line[..3]);
    check([
        only("404 Not Found").says("rejected_local/not_found"),
        only("410 Gone").says("rejected_local/not_found"),
        undetermined("204 No Content"),
        undetermined("300 Multiple Choices"),
        undetermined("304 Not Modified"),
        undetermined("305 Use Proxy"),
        undetermined("400 Bad Request"),
        undetermined("401 Unauthorized"),
        undetermined("403 Forbidden"),
        undetermined("407 Proxy Authentication Required"),
        undetermined("412 Precondition Failed"),
        undetermined("418 I'm a teapot"),
        undetermined("451 Unavailable For Legal Reasons"),
        undetermined("299 Something"),
        undetermined("999 Request Denied"),
    ])
    .await;
}

#[tokio::test]
async fn the_body_of_a_refusal_is_not_waited_for() {
    let stalls = |line: &'static str| {
        move |_: &Request| vec![Step::Bytes(head(line, &["Content-Length: 900"])), Step::Hang]
    };
    check(
        [
            row("404", stalls("404 Not Found")).says("rejected_local/not_found").requests(1),
            row("403", stalls("403 Forbidden")).says("undetermined/http_status").requests(1),
            row("redirect", move |r| match r.index {
                0 => vec![
                    Step::Bytes(head("302 Found", &["Location: /b", "Content-Length: 900"])),
                    Step::Hang,
                ],
                _ => ranged(r, &picture()),
            })
            .requests(2)
            .redirects(1),
            row("an endless page", |_| {
                vec![
                    Step::Bytes(head("404 Not Found", &[])),
                    Step::Forever(vec![b'x'; 4_096], Duration::ZERO),
                ]
            })
            .says("rejected_local/not_found")
            .requests(1),
        ]
        .map(|row| row.within(SLACK)),
    )
    .await;
}

#[tokio::test]
async fn a_server_error_is_asked_again_twice() {
    let again = |line: &'static str, times: usize| {
        move |r: &Request| if r.index < times { status(line) } else { ranged(r, &picture()) }
    };
    check([
        row("500 twice", again("500 Internal Server Error", 2)).requests(3),
        row("503 once", again("503 Service Unavailable", 1)).requests(2),
        row("429 once", again("429 Too Many Requests", 1)).requests(2),
        row("500 for ever", again("500 Internal Server Error", 9))
            .says("undetermined/http_status")
            .mentions("500")
            .requests(3),
        row("504 for ever", again("504 Gateway Timeout", 9))
            .says("undetermined/http_status")
            .mentions("504")
            .requests(3),
        row("429 for ever", again("429 Too Many Requests", 9))
            .says("undetermined/http_status")
            .mentions("429")
            .requests(3),
        row("then gone", |r| status(["502 Bad Gateway", "404 Not Found"][r.index.min(1)]))
            .says("rejected_local/not_found")
            .requests(2),
        row("between two ranges", |r| match r.index {
            1 => status("502 Bad Gateway"),
            _ => ranged(r, &jpeg(640, 800, 60_000, 100_000)),
        })
        .requests(3)
        .bytes(0..=20 * 1_024),
        // What a stream has brought is of no use to the next, which begins at byte 0.
        row("between two streams", |r| match r.index {
            0 => vec![
                Step::Bytes(head("200 OK", &["Content-Length: 20000"])),
                Step::Bytes(picture()[..700].to_vec()),
                Step::Close,
            ],
            1 => status("502 Bad Gateway"),
            _ => whole(&picture()),
        })
        .requests(3)
        .size(640, 800),
    ])
    .await;
}

#[tokio::test]
async fn retry_after_keeps_everyone_from_that_host() {
    let origin = Origin::start(|r| match r.index {
        0 => answer("503 Service Unavailable", &["Retry-After: 1"], b"later"),
        _ => ranged(r, &picture()),
    })
    .await;
    let mut options = table::options();
    // So the second comes when the first has read its answer.
    options.per_host = 1;
    let probe = probe(&options);
    let (first, second) = futures_util::future::join(
        probe.check(Source::url(origin.url("first"))),
        probe.check(Source::url(origin.url("second"))),
    )
    .await;
    assert_eq!((said(&first), said(&second)), ("eligible".to_owned(), "eligible".to_owned()));
    let requests = origin.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests[1..] {
        let wait = request.at - requests[0].at;
        assert!(wait >= Duration::from_secs(1), "{} came {wait:?} later", request.path);
        assert!(wait <= Duration::from_secs(1) + SLACK, "{} came {wait:?} later", request.path);
    }
    // Waiting for one's turn is not the origin's fault, and not on its clock.
    assert!(second.fetch.unwrap().elapsed_ms < 800, "{second:?}");
}

#[tokio::test]
async fn a_wait_that_outlasts_the_time_out_is_not_begun() {
    check(
        [
            row("an hour", |_| answer("503 Service Unavailable", &["Retry-After: 3600"], b"")),
            row("for ever", |_| {
                answer("503 Service Unavailable", &["Retry-After: 18446744073709551615"], b"")
            }),
            row("a distant date", |_| {
                answer("429 Nope", &["Retry-After: Tue, 31 Dec 2999 23:59:59 GMT"], b"")
            }),
        ]
        .map(|row| row.says("undetermined/http_status").requests(1).within(SLACK)),
    )
    .await;
    check([
        row("a date that has passed", |r| match r.index {
            0 => {
                let long_ago = "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT";
                answer("503 Service Unavailable", &[long_ago], b"")
            }
            _ => ranged(r, &picture()),
        })
        .requests(2)
        .within(SLACK),
        row("no time at all", |r| match r.index {
            0 => answer("503 Service Unavailable", &["Retry-After: soon"], b""),
            _ => ranged(r, &picture()),
        })
        .requests(2)
        .within(SLACK),
    ])
    .await;
}

// ---- connections that break

#[tokio::test]
async fn a_refused_connection_is_tried_three_times() {
    let (_held, port) = refusing_port();
    let url = format!("http://user:{}@127.0.0.1:{port}/a?k={}", table::SECRET, table::SECRET);
    let report = probe(&table::options()).check(Source::url(url)).await;
    assert_eq!(said(&report), "undetermined/network");
    assert_eq!(report.fetch.unwrap().requests, 3);
    // Two pauses, of 0.2 s and 0.4 s at least.
    assert!(report.fetch.unwrap().elapsed_ms >= 600, "{report:?}");
    assert!(report.reasons[0].message.contains("refused"), "{report:?}");
    assert!(!table::shows_secret(&report), "{report:?}");
}

#[tokio::test]
async fn a_transfer_that_breaks_off_is_taken_up_again() {
    /// What of the first answer arrives before the connection ends.
    fn broken(r: &Request, arrives: usize, end: Step) -> Vec<Step> {
        let Some(Step::Bytes(mut bytes)) = ranged(r, &picture()).pop() else { panic!() };
        let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        bytes.truncate(head + arrives);
        vec![Step::Bytes(bytes), end]
    }
    let end = |reset| if reset { Step::Reset } else { Step::Close };
    let once = move |arrives, reset| {
        move |r: &Request| match r.index {
            0 => broken(r, arrives, end(reset)),
            _ => ranged(r, &picture()),
        }
    };
    let always = move |arrives, reset| move |r: &Request| broken(r, arrives, end(reset));
    let in_head = |start: &'static str, reset| {
        move |r: &Request| match r.index {
            0 => vec![Step::Bytes(start.into()), end(reset)],
            _ => ranged(r, &picture()),
        }
    };
    let [resumed, also_resumed, ..] = check([
        row("cut short in the body", once(700, false)).requests(2),
        row("reset in the body", once(700, true)).requests(2),
        row("closed before the head", in_head("", false)).requests(2),
        row("reset before the head", in_head("", true)).requests(2),
        row("closed in the head", in_head("HTTP/1.1 206 Partial Con", false)).requests(2),
        row("reset in the head", in_head("HTTP/1.1 206 P\r\nConte", true)).requests(2),
        row("no HTTP at all", in_head("SSH-2.0-OpenSSH_9.9\r\n", false)).requests(2),
        row("always cut short, the first bytes missing", always(0, false))
            .says("undetermined/network")
            .requests(3),
        row("always cut short, a little further each time", always(200, false))
            .says("undetermined/network")
            .requests(3)
            .bytes(600..=600),
        row("always reset", always(200, true)).says("undetermined/network").requests(3),
        // What was wanted has arrived.
        row("cut short behind the answer", always(2_000, false)).requests(1).size(640, 800),
        row("reset behind the answer", always(2_000, true)).requests(1).size(640, 800),
        row("a stream always cut short", |_| {
            vec![
                Step::Bytes(head("200 OK", &["Content-Length: 20000"])),
                Step::Bytes(picture()[..700].to_vec()),
                Step::Close,
            ]
        })
        .says("undetermined/network")
        .requests(3),
        row("a stream cut short in its chunks", |_| {
            let start = [head("200 OK", &["Transfer-Encoding: chunked"]), b"2bc\r\n".to_vec()];
            vec![Step::Bytes([&start.concat(), &picture()[..600]].concat()), Step::Close]
        })
        .says("undetermined/network")
        .requests(3),
        row("chunks that are none", |_| {
            let head = head("200 OK", &["Transfer-Encoding: chunked"]);
            vec![Step::Bytes([&head[..], b"zzz\r\n", &picture()].concat()), Step::Close]
        })
        .says("undetermined/network")
        .requests(3),
        row("chunks that end before the range does", |r| {
            let (first, last) = r.range().unwrap();
            let range = format!("Content-Range: bytes {first}-{last}/20000");
            common::chunked("206 Partial Content", &[&range], &picture()[first..][..300], 300)
        })
        .says("undetermined/network")
        .requests(3)
        .bytes(900..=900),
        row("a head without end", |_| {
            vec![
                Step::Bytes(b"HTTP/1.1 200 OK\r\n".to_vec()),
                Step::Forever(b"X-Filler: 0123456789\r\n".repeat(50), Duration::ZERO),
            ]
        })
        .says("undetermined/network")
        .requests(3),
        row("two lengths", |_| {
            let lengths = ["Content-Length: 20000", "Content-Length: 20001"];
            vec![Step::Bytes([head("200 OK", &lengths), picture()].concat()), Step::Close]
        })
        .says("undetermined/network")
        .requests(3),
    ])
    .await;
    for outcome in [resumed, also_resumed] {
        assert_eq!(outcome.seen.requests[1].range().unwrap().0, 700);
    }
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_not_the_pictures_fault() {
    let origin = Origin::start(|r| {
        let mut steps = ranged(r, &picture());
        // Nothing in the answer says that the connection ends with it.
        steps.push(Step::Close);
        steps
    })
    .await;
    let probe = probe(&table::options());
    for i in 0..5 {
        let report = probe.check(Source::url(origin.url(&i.to_string()))).await;
        assert_eq!(said(&report), "eligible", "{report:?}");
    }
}

// ---- time-outs

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
    let slow = |then: fn(&Request) -> Vec<Step>| {
        move |r: &Request| {
            let mut steps = vec![Step::Wait(Duration::from_millis(120))];
            steps.extend(then(r));
            steps
        }
    };
    check(
        [
            row("redirects", slow(|_| common::redirect("/again")))
                .redirects(2)
                .requests(3)
                .says("undetermined/timeout"),
            row("ranges", slow(|r| ranged(r, &jpeg(640, 800, 60_000 * 9, 900_000))))
                .requests(3)
                .says("undetermined/timeout"),
            row("retries", slow(|_| status("500 Internal Server Error")))
                // The time ran out on a pause, and what led to it says more.
                .says("undetermined/http_status"),
        ]
        .map(|row| row.options(|o| o.timeout = SHORT).within(SHORT + SLACK)),
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_is_known_is_given_though_the_rest_stalls() {
    check([row("a range that stops behind the answer", |r| {
        let Some(Step::Bytes(mut bytes)) = ranged(r, &picture()).pop() else { panic!() };
        bytes.truncate(3_000);
        vec![Step::Bytes(bytes), Step::Hang]
    })
    .options(|o| o.timeout = SHORT)
    .requests(1)
    .size(640, 800)])
    .await;
}

// ---- many at a time, and giving up

#[tokio::test]
async fn one_host_gets_so_many_requests_at_a_time_and_no_more() {
    let mut options = table::options();
    options.per_host = 3;
    let origin = Origin::start(|r| {
        let mut steps = vec![Step::Wait(Duration::from_millis(40))];
        steps.extend(ranged(r, &picture()));
        steps
    })
    .await;
    let sources: Vec<_> = (0..12).map(|i| Source::url(origin.url(&i.to_string()))).collect();
    let run = probe(&options).run(stream::iter(sources), RunOptions::default());
    let reports: Vec<Report> = in_time("the run", run.collect()).await;
    assert_eq!(reports.iter().filter(|r| said(r) == "eligible").count(), 12);
    assert_eq!(reports.iter().map(|r| r.index).collect::<HashSet<_>>(), (0..12).collect());
    let seen = origin.seen();
    assert_eq!((seen.busiest, seen.requests.len()), (3, 12));
    assert!(seen.most_open <= 3, "{} connections", seen.most_open);
}

#[tokio::test]
async fn a_dropped_check_and_a_dropped_run_end_their_transfers() {
    let stalls = |_: &Request| vec![Step::Bytes(head("200 OK", &[])), Step::Hang];
    let origin = Origin::start(stalls).await;
    let probe = probe(&table::options());

    let check = tokio::spawn(probe.check(Source::url(origin.url("a"))));
    origin.until(|seen| seen.requests.len() == 1).await;
    check.abort();
    origin.until(|seen| seen.hung_up == 1).await;

    let url = origin.url("b");
    let sources = stream::repeat_with(move || Source::url(url.clone())).take(4);
    let mut run = probe.run(sources, RunOptions::default());
    let run = tokio::spawn(async move { run.next().await });
    origin.until(|seen| seen.requests.len() == 5).await;
    run.abort();
    origin.until(|seen| seen.hung_up == 5).await;
}
