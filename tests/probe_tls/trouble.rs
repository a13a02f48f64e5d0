//! HTTP/2 connections and streams that break, and connections that die unnoticed.

use std::time::Duration;

use emo_preflight::Source;
use h2::Reason;

use crate::authority::Authority;
use crate::common::table::{probe, said};
use crate::common::{Request, png};
use crate::front::{Front, SHORT, SLACK};
use crate::http2::{Http2, Reply, refuse_by_goaway};

fn part() -> Reply {
    Reply::Part(png(640, 800, 20_000))
}

/// What a picture is said to be at such an origin, after how many requests over which connections.
async fn told<F>(name: &str, script: F, says: &str, connections: &[usize])
where
    F: Fn(&Request) -> Reply + Send + Sync + 'static,
{
    let authority = Authority::new();
    let origin = Http2::start(&authority, script).await;
    let report = probe(&authority.options()).check(Source::url(origin.url("a"))).await;
    assert_eq!(said(&report), says, "{name}: {report:?}");
    assert_eq!(origin.connections(), connections, "{name}: {report:?}");
    let requests = usize::try_from(report.fetch.unwrap().requests).unwrap();
    assert_eq!(requests, connections.len(), "{name}: {report:?}");
}

#[tokio::test]
async fn a_stream_that_is_reset_is_asked_for_again_on_the_same_connection() {
    for reason in [Reason::REFUSED_STREAM, Reason::INTERNAL_ERROR, Reason::CANCEL] {
        let name = format!("{reason:?}");
        let times = |times: usize, reply: Reply| {
            move |r: &Request| if r.index < times { reply.clone() } else { part() }
        };
        told(&name, times(1, Reply::Reset(reason)), "eligible", &[0, 0]).await;
        told(&name, times(2, Reply::ResetBehindHead(reason)), "eligible", &[0, 0, 0]).await;
        for reply in [Reply::Reset(reason), Reply::ResetBehindHead(reason)] {
            told(&name, times(9, reply), "undetermined/network", &[0, 0, 0]).await;
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_to_end_is_replaced() {
    for reason in [Reason::NO_ERROR, Reason::INTERNAL_ERROR, Reason::ENHANCE_YOUR_CALM] {
        let name = format!("{reason:?}");
        let times = move |times: usize| {
            move |r: &Request| if r.index < times { Reply::GoAway(reason) } else { part() }
        };
        told(&name, times(1), "eligible", &[0, 1]).await;
        told(&name, times(2), "eligible", &[0, 1, 2]).await;
        told(&name, times(9), "undetermined/network", &[0, 1, 2]).await;
    }
}

#[tokio::test]
async fn a_request_refused_with_its_connection_is_made_on_another() {
    let authority = Authority::new();
    let acceptor = authority.acceptor(|m| m.alpn = &["h2"]);
    let front =
        Front::start(acceptor, |stream, _| refuse_by_goaway(stream, Reason::NO_ERROR)).await;
    let report = probe(&authority.options()).check(Source::url(front.url("a"))).await;
    assert_eq!(said(&report), "undetermined/network", "{report:?}");
    assert_eq!(report.fetch.unwrap().requests, 3, "{report:?}");
    assert_eq!(front.seen().connections, 3);
}

#[tokio::test]
async fn a_connection_that_ends_with_an_answer_is_not_used_again() {
    let authority = Authority::new();
    let last = |_: &Request| Reply::Last(png(640, 800, 20_000));
    let origin = Http2::start(&authority, last).await;
    let probe = probe(&authority.options());
    for i in 0..4 {
        let report = probe.check(Source::url(origin.url(&i.to_string()))).await;
        assert_eq!(said(&report), "eligible", "{i}: {report:?}");
        assert_eq!(report.fetch.unwrap().requests, 1, "{i}: {report:?}");
    }
    assert_eq!(origin.connections(), [0, 1, 2, 3]);
}

#[tokio::test]
async fn an_answer_that_does_not_begin_on_a_live_connection_is_asked_for_once_more() {
    let authority = Authority::new();
    let origin = Http2::start(&authority, |r| match r.path.as_str() {
        "/silent" => Reply::Silence,
        _ => part(),
    })
    .await;
    let mut options = authority.options();
    options.progress_timeout = SHORT;
    let probe = probe(&options);
    for (path, says, requests) in
        [("a", "eligible", 1), ("silent", "undetermined/timeout", 2), ("b", "eligible", 1)]
    {
        let report = probe.check(Source::url(origin.url(path))).await;
        assert_eq!(said(&report), says, "{path}: {report:?}");
        let fetch = report.fetch.unwrap();
        assert_eq!(fetch.requests, requests, "{path}: {report:?}");
        assert!(u128::from(fetch.elapsed_ms) < (SHORT * 2 + SLACK).as_millis(), "{report:?}");
    }
    assert_eq!(origin.connections(), [0, 0, 0, 0]);
}

#[tokio::test]
async fn a_kept_connection_that_died_unnoticed_is_not_the_pictures_fault() {
    let authority = Authority::new();
    // As behind a NAT that has forgotten the connection: no reset, no end, no answer to anything.
    let origin = Http2::start(&authority, |r| match (r.connection, r.path.as_str()) {
        (0, "/second") => Reply::Death,
        _ => part(),
    })
    .await;
    let mut options = authority.options();
    options.progress_timeout = Duration::from_secs(2);
    let probe = probe(&options);
    for (path, requests) in [("first", 1), ("second", 2), ("third", 1)] {
        let report = probe.check(Source::url(origin.url(path))).await;
        assert_eq!(said(&report), "eligible", "{path}: {report:?}");
        let fetch = report.fetch.unwrap();
        assert_eq!(fetch.requests, requests, "{path}: {report:?}");
        // Found out before the patience with an origin's progress ends.
        let limit = options.progress_timeout + SLACK;
        assert!(u128::from(fetch.elapsed_ms) < limit.as_millis(), "{path}: {report:?}");
    }
    assert_eq!(origin.connections(), [0, 0, 1, 1]);
}
