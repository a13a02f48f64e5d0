//! The local stage against connections that break, and answers that are no HTTP.

use std::time::Duration;

use crate::common::table::{self, check, probe, row, said};
use crate::common::{
    Origin, Request, Step, head, image, jpeg, png, ranged, redirect, refusing_port, status,
};
use emo_preflight::Source;

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
async fn a_connection_reset_as_soon_as_it_is_made_is_tried_three_times() {
    for (resets, says, requests) in
        [(1, "eligible", 2), (2, "eligible", 3), (9, "undetermined/network", 3)]
    {
        let origin = Origin::start_slamming(resets, |r| ranged(r, &image())).await;
        let report = probe(&table::options()).check(Source::url(origin.url("a"))).await;
        assert_eq!(said(&report), says, "{resets}: {report:?}");
        assert_eq!(report.fetch.unwrap().requests, requests, "{resets}");
        assert_eq!(origin.seen().connections, usize::try_from(requests).unwrap(), "{resets}");
    }
}

#[tokio::test]
async fn a_transfer_that_breaks_off_is_taken_up_again() {
    /// What of the first answer arrives before the connection ends.
    fn broken(r: &Request, arrives: usize, end: Step) -> Vec<Step> {
        let Some(Step::Bytes(mut bytes)) = ranged(r, &image()).pop() else { panic!() };
        let head = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        bytes.truncate(head + arrives);
        vec![Step::Bytes(bytes), end]
    }
    let end = |reset| if reset { Step::Reset } else { Step::Close };
    let once = move |arrives, reset| {
        move |r: &Request| match r.index {
            0 => broken(r, arrives, end(reset)),
            _ => ranged(r, &image()),
        }
    };
    let always = move |arrives, reset| move |r: &Request| broken(r, arrives, end(reset));
    let in_head = |start: &'static str, reset| {
        move |r: &Request| match r.index {
            0 => vec![Step::Bytes(start.into()), end(reset)],
            _ => ranged(r, &image()),
        }
    };
    let [resumed, also_resumed, ..] = check([
        row("cut short in the body", once(700, false)).requests(2),
        row("reset in the body", once(700, true)).requests(2),
        row("reset before the header is known", once(10, true)).requests(2),
        row("reset behind the head", once(0, true)).requests(2),
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
        row("always reset before the head", |_| vec![Step::Reset])
            .says("undetermined/network")
            .requests(3),
        row("always reset behind the head", always(0, true))
            .says("undetermined/network")
            .requests(3),
        row("always reset before the header is known", always(10, true))
            .says("undetermined/network")
            .requests(3),
        row("always reset behind the header", always(200, true))
            .says("undetermined/network")
            .requests(3),
        row("reset at the second hop", |r| match r.index {
            1 => vec![Step::Reset],
            _ => ranged(r, &jpeg(640, 800, 60_000, 90_000)),
        })
        .requests(3)
        .size(640, 800),
        row("always reset at the second hop", |r| match r.index {
            0 => ranged(r, &jpeg(640, 800, 60_000, 90_000)),
            _ => vec![Step::Reset],
        })
        .says("undetermined/network")
        .requests(4),
        row("reset behind a redirect", |r| match r.index {
            0 => redirect("/b"),
            1 => vec![Step::Reset],
            _ => ranged(r, &image()),
        })
        .requests(3)
        .redirects(1),
        // The pause before a repeat is longer than it takes.
        row("reset between two hops", |r| match r.index {
            0 => [status("503 Service Unavailable"), vec![Step::Reset]].concat(),
            _ => ranged(r, &image()),
        })
        .requests(2),
        // What was wanted has arrived.
        row("cut short behind the answer", always(2_000, false)).requests(1).size(640, 800),
        row("reset behind the answer", always(2_000, true)).requests(1).size(640, 800),
        row("a stream always cut short", |_| {
            vec![
                Step::Bytes(head("200 OK", &["Content-Length: 20000"])),
                Step::Bytes(image()[..700].to_vec()),
                Step::Close,
            ]
        })
        .says("undetermined/network")
        .requests(3),
        row("chunks that end before the range does", |r| {
            let (first, last) = r.range().unwrap();
            let range = format!("Content-Range: bytes {first}-{last}/20000");
            crate::common::chunked("206 Partial Content", &[&range], &image()[first..][..300], 300)
        })
        .says("undetermined/network")
        .requests(3)
        .bytes(900..=900),
    ])
    .await;
    for outcome in [resumed, also_resumed] {
        assert_eq!(outcome.seen.requests[1].range().unwrap().0, 700);
    }
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_not_the_images_fault() {
    let origin = Origin::start(|r| {
        let mut steps = ranged(r, &image());
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

// ---- no HTTP

#[tokio::test]
async fn chunks_that_are_none_are_not_read() {
    // Too little to know the image by, so that what follows matters.
    let behind_a_chunk = |name, follows: &'static [u8], then: Step| {
        row(name, move |_| {
            let head = head("200 OK", &["Transfer-Encoding: chunked"]);
            let start = [&head[..], b"258\r\n", &png(640, 800, 600), follows].concat();
            vec![Step::Bytes(start), then.clone()]
        })
        .says("undetermined/network")
        .requests(3)
    };
    let flood = |line: &[u8]| Step::Forever(line.repeat(500), Duration::ZERO);
    check([
        behind_a_chunk("no chunk", b"\r\n", Step::Close),
        behind_a_chunk("half a chunk", b"\r\n64\r\n01234567", Step::Close),
        behind_a_chunk("a chunk reset", b"\r\n64\r\n01234567", Step::Reset),
        behind_a_chunk("no end of the line", b"64\r\n", Step::Hang),
        behind_a_chunk("no size", b"\r\n\r\n", Step::Hang),
        behind_a_chunk("a size that is none", b"\r\nzzz\r\n", Step::Hang),
        behind_a_chunk("a size below nothing", b"\r\n-5\r\n", Step::Hang),
        behind_a_chunk("a size in hex as programs write it", b"\r\n0x64\r\n", Step::Hang),
        behind_a_chunk("a size beyond all numbers", b"\r\nfffffffffffffffff\r\n", Step::Hang)
            .mentions("overflow"),
        behind_a_chunk("an extension without end", b"\r\n64;", flood(b"name=value;"))
            .mentions("over limit"),
        behind_a_chunk("trailers without end", b"\r\n0\r\n", flood(b"X-Filler: 0123456789\r\n"))
            .mentions("overflow"),
        behind_a_chunk("a trailer without end", b"\r\n0\r\nX-Filler: ", flood(b"0123456789"))
            .mentions("over limit"),
        behind_a_chunk("a trailer that is none", b"\r\n0\r\nfiller\r\n\r\n", Step::Hang),
    ])
    .await;
    let chunked = |name, head: &'static str, tail: &'static str| {
        row(name, move |_| {
            let image = png(640, 800, 600);
            vec![Step::Bytes([head.as_bytes(), &image, tail.as_bytes()].concat())]
        })
        .requests(1)
        .bytes(600..=600)
    };
    check([
        chunked(
            "a length beside chunks (RFC 9112, section 6.3: it does not count)",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n258\r\n",
            "\r\n0\r\n\r\n",
        ),
        chunked(
            "another answer behind the end",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n258\r\n",
            "\r\n0\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        ),
        chunked(
            "trailers",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n258;ext=1\r\n",
            "\r\n0\r\nETag: \"late\"\r\n\r\n",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_length_is_believed_as_far_as_it_is_kept() {
    let whole = |name, lengths: &'static [&'static str]| {
        row(name, move |_| {
            vec![Step::Bytes([head("200 OK", lengths), png(640, 800, 600)].concat()), Step::Close]
        })
    };
    let broken = |name, lengths| whole(name, lengths).says("undetermined/network").requests(3);
    check([
        whole("none", &[]).requests(1),
        whole("right", &["Content-Length: 600"]).requests(1),
        whole("right twice", &["Content-Length: 600", "Content-Length: 600"]).requests(1),
        whole("too short, and the header in it", &["Content-Length: 40"]).requests(1),
        whole("too short", &["Content-Length: 10"])
            .says("rejected_local/corrupt_header")
            .requests(1),
        whole("nothing", &["Content-Length: 0"]).says("rejected_local/not_an_image").requests(1),
        broken("too long", &["Content-Length: 601"]),
        broken("far too long", &["Content-Length: 9000000000000000000"]),
        broken("beyond all numbers", &["Content-Length: 18446744073709551616"]),
        broken("the last number", &["Content-Length: 18446744073709551615"]),
        broken("below nothing", &["Content-Length: -1"]),
        broken("with a sign", &["Content-Length: +600"]),
        broken("no number", &["Content-Length: abc"]),
        broken("empty", &["Content-Length:"]),
        broken("two", &["Content-Length: 600", "Content-Length: 601"]),
        row("none, and no body", |_| vec![Step::Bytes(head("200 OK", &[])), Step::Close])
            .says("rejected_local/not_an_image")
            .mentions("an empty file")
            .requests(1),
    ])
    .await;
}

#[tokio::test]
async fn a_head_that_is_none_is_not_read() {
    let once = |name, head: &'static str| {
        row(name, move |_| {
            vec![Step::Bytes([head.as_bytes(), &png(640, 800, 600)].concat()), Step::Close]
        })
        .says("undetermined/network")
        .requests(3)
    };
    check([
        once("no head at all", ""),
        once("another protocol", "SSH-2.0-OpenSSH_9.9\r\n"),
        once("another version", "HTTP/2.0 200 OK\r\n\r\n"),
        once("no status", "HTTP/1.1 OK\r\n\r\n"),
        once("a status too small", "HTTP/1.1 000 OK\r\n\r\n"),
        once("a status too large", "HTTP/1.1 1000 OK\r\n\r\n"),
        once("a NUL in a value", "HTTP/1.1 200 OK\r\nX-A: a\0b\r\n\r\n"),
        once("a blank in a name", "HTTP/1.1 200 OK\r\nX A: a\r\n\r\n"),
        once("no name", "HTTP/1.1 200 OK\r\n: a\r\n\r\n"),
        once("a change of protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")
            .says("undetermined/http_status")
            .requests(1),
    ])
    .await;
}

#[tokio::test]
async fn a_head_without_end_is_read_so_far_and_no_further() {
    let flood = |name, start: &'static str, line: &'static str| {
        row(name, move |_| {
            let piece = line.repeat(16 * 1_024 / line.len());
            // Slow enough that the kernel's buffers stay empty: what is written is what is read.
            let flood = Step::Forever(piece.into(), Duration::from_millis(1));
            vec![Step::Bytes(start.into()), flood]
        })
        .says("undetermined/network")
        .mentions("head is too large")
        .requests(3)
        .bytes(0..=0)
    };
    let outcomes = check([
        flood("lines", "HTTP/1.1 200 OK\r\n", "X-Filler: 0123456789\r\n"),
        flood("one line", "HTTP/1.1 200 OK\r\nX-Filler: ", "0123456789"),
        flood("a name", "HTTP/1.1 200 OK\r\n", "X-Filler"),
        flood("a reason", "HTTP/1.1 200 ", "OK "),
        flood("a Location", "HTTP/1.1 302 Found\r\nLocation: ", "/a"),
    ])
    .await;
    for outcome in outcomes {
        let seen = outcome.origin.until(|seen| seen.hung_up == 3).await;
        assert!(seen.written < 3 * 600 * 1_024, "{} bytes", seen.written);
    }
}
