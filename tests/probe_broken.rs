//! The local stage against connections that break, and answers that are no HTTP.

#![cfg(feature = "client")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::table::{self, check, probe, row, said};
use common::{Origin, Request, Step, head, png, ranged, refusing_port};
use emo_preflight::Source;

fn picture() -> Vec<u8> {
    png(640, 800, 20_000)
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
