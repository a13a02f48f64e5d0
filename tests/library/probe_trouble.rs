//! The local stage against origins that refuse or ask for patience; many images at a time, and
//! giving up.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::common::table::{self, check, probe, row, said};
use crate::common::{
    Origin, Request, Step, answer, head, image, in_time, jpeg, ranged, status, whole,
};
use emo_preflight::{AddressPolicy, ProbeOptions, Report, RunOptions, Source};
use futures_util::stream::{self, StreamExt as _};

// ---- statuses

/// OSS and S3 say why in their body; nothing of it is shown but that.
#[tokio::test]
async fn an_object_stores_error_is_told() {
    const EXPIRED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\n\
        <Code>AccessDenied</Code>\n<Message>Request has expired.</Message>\n\
        <RequestId>5C3D</RequestId><StringToSign>GET secret-sentinel</StringToSign>\n</Error>";
    let xml = |status: &'static str, body: String| {
        row("XML", move |_| answer(status, &["Content-Type: application/xml"], body.as_bytes()))
    };
    let outcomes = check([
        xml("403 Forbidden", EXPIRED.to_owned())
            .says("undetermined/http_status")
            .mentions("found 403 Forbidden: AccessDenied: Request has expired."),
        xml("404 Not Found", EXPIRED.replace("AccessDenied", "NoSuchKey"))
            .says("rejected_local/not_found")
            .mentions("found 404 Not Found: NoSuchKey: Request has expired."),
        xml("403 Forbidden", "<Error><Code>a?Signature=secret-sentinel</Code></Error>".to_owned())
            .says("undetermined/http_status")
            .mentions("try --user-agent"),
        xml("403 Forbidden", format!("<Error><Code>{}</Code></Error>", "x".repeat(3_000)))
            .says("undetermined/http_status"),
        xml("403 Forbidden", "<html><body>no</body></html>".to_owned())
            .says("undetermined/http_status")
            .mentions("some hosts refuse unknown clients: try --user-agent"),
    ])
    .await;
    for outcome in outcomes {
        let json = serde_json::to_string(&outcome.report).unwrap();
        assert!(!json.contains("sentinel") && json.len() < 700, "{json}");
    }
}

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
    check([
        row("404", stalls("404 Not Found")).says("rejected_local/not_found").requests(1),
        row("403", stalls("403 Forbidden")).says("undetermined/http_status").requests(1),
        row("redirect", move |r| match r.index {
            0 => vec![
                Step::Bytes(head("302 Found", &["Location: /b", "Content-Length: 900"])),
                Step::Hang,
            ],
            _ => ranged(r, &image()),
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
    ])
    .await;
}

#[tokio::test]
async fn a_server_error_is_asked_again_twice() {
    let again = |line: &'static str, times: usize| {
        move |r: &Request| if r.index < times { status(line) } else { ranged(r, &image()) }
    };
    check([
        row("500 twice", again("500 Internal Server Error", 2)).requests(3),
        row("503 once", again("503 Service Unavailable", 1)).requests(2),
        row("429 once", again("429 Too Many Requests", 1)).requests(2),
        row("408 once, as a kept connection ends", again("408 Request Timeout", 1)).requests(2),
        row("421 once", again("421 Misdirected Request", 1)).requests(2),
        row("425 once", again("425 Too Early", 1)).requests(2),
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
                Step::Bytes(image()[..700].to_vec()),
                Step::Close,
            ],
            1 => status("502 Bad Gateway"),
            _ => whole(&image()),
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
        _ => ranged(r, &image()),
    })
    .await;
    let mut options = table::options();
    // So the second comes when the first has read its answer.
    options.per_host = 1;
    let probe = probe(&options);
    let begun = Instant::now();
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
    }
    // Waiting for one's turn is not the origin's fault, and not on its clock.
    let counted = Duration::from_millis(second.fetch.unwrap().elapsed_ms);
    assert!(counted + Duration::from_secs(1) <= begun.elapsed(), "{second:?}");
}

/// As by default.
fn within_20_s(options: &mut ProbeOptions) {
    options.timeout = Duration::from_secs(20);
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
        .map(|row| row.says("undetermined/http_status").requests(1).options(within_20_s)),
    )
    .await;
    check([
        row("a date that has passed", |r| match r.index {
            0 => {
                let long_ago = "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT";
                answer("503 Service Unavailable", &[long_ago], b"")
            }
            _ => ranged(r, &image()),
        })
        .requests(2),
        row("no time at all", |r| match r.index {
            0 => answer("503 Service Unavailable", &["Retry-After: soon"], b""),
            _ => ranged(r, &image()),
        })
        .requests(2),
    ])
    .await;
}

#[tokio::test]
async fn a_host_that_wants_to_be_left_alone_does_not_hold_up_the_others() {
    let origin = Origin::start(|r| match r.header("host").unwrap().starts_with("localhost") {
        true => answer("429 Too Many Requests", &["Retry-After: 61"], b""),
        false => ranged(r, &image()),
    })
    .await;
    let (good, bad) = (origin.url("good"), origin.url("bad").replace("127.0.0.1", "localhost"));
    let mut options = table::options();
    options.addresses = AddressPolicy::Any;
    options.per_host = 2;
    within_20_s(&mut options);
    let mut run_options = RunOptions::default();
    run_options.concurrency = 4;
    let sources: Vec<_> =
        (0..40).map(|i| Source::url(if i % 4 == 3 { &good } else { &bad })).collect();
    let run = probe(&options).run(stream::iter(sources), run_options);
    let reports: Vec<Report> = in_time("the run", run.collect()).await;
    let mut asked = 0;
    for report in &reports {
        if report.source == good {
            assert_eq!(said(report), "eligible", "{report:?}");
            continue;
        }
        assert_eq!(said(report), "undetermined/http_status", "{report:?}");
        let requests = report.fetch.unwrap().requests;
        asked += requests;
        // Who did not ask says on whose word.
        let message = &report.reasons[0].message;
        assert!(requests == 1 || message.contains("Retry-After was 61 s"), "{report:?}");
    }
    assert_eq!(reports.len(), 40);
    assert!((1..=2).contains(&asked), "{asked} requests");
}

/// An origin whose kept connections all break at their second request.
#[tokio::test]
async fn a_repeat_does_not_meet_the_next_dead_connection() {
    const KEPT: usize = 4;
    let origin = Origin::start(|r| match r.index {
        // All are open before the first is answered.
        0..KEPT => [vec![Step::UntilRequests(KEPT)], ranged(r, &image())].concat(),
        _ if r.connection < KEPT => vec![Step::Reset],
        _ => ranged(r, &image()),
    })
    .await;
    let probe = probe(&table::options());
    let sources: Vec<_> = (0..KEPT).map(|i| Source::url(origin.url(&i.to_string()))).collect();
    let run = probe.run(stream::iter(sources), RunOptions::default());
    let reports: Vec<Report> = in_time("the run", run.collect()).await;
    assert!(reports.iter().all(|report| said(report) == "eligible"), "{reports:?}");
    let seen = origin.seen();
    assert_eq!((seen.requests.len(), seen.connections), (KEPT, KEPT));

    let report = probe.check(Source::url(origin.url("a"))).await;
    assert_eq!((said(&report).as_str(), report.fetch.unwrap().requests), ("eligible", 2));
    assert_eq!(origin.seen().connections, KEPT + 1);
}

// ---- many at a time, and giving up

#[tokio::test]
async fn one_host_gets_so_many_requests_at_a_time_and_no_more() {
    let mut options = table::options();
    options.per_host = 3;
    let origin = Origin::start(|r| {
        // Three come at once, whoever else has to wait; a fourth has the time to come too.
        let mut steps = vec![Step::UntilRequests(3), Step::Wait(Duration::from_millis(40))];
        steps.extend(ranged(r, &image()));
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
