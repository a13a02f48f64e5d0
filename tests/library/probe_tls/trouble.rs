//! HTTP/2 connections and streams that break, and connections that die unnoticed.

use std::time::Duration;

use emo_preflight::Source;
use futures_util::future::join_all;
use h2::Reason;
use tokio::join;

use super::authority::Authority;
use super::front::Front;
use super::http2::{Http2, Reply, refuse_by_goaway};
use crate::common::in_a_span;
use crate::common::table::{probe, said};
use crate::common::{Request, png};

fn part() -> Reply {
    Reply::Part(png(640, 800, 20_000))
}

/// Checks what an image is said to be when the first so many requests get `reply`, and over which
/// connections it was asked for.
async fn check(reply: Reply, times: usize, says: &str, connections: &[usize]) {
    let name = format!("{reply:?}, {times} times");
    let authority = Authority::new("ours");
    let script = move |r: &Request| if r.index < times { reply.clone() } else { part() };
    let origin = Http2::start(&authority, script).await;
    let report = probe(&authority.options()).check(Source::url(origin.url("a"))).await;
    assert_eq!(said(&report), says, "{name}: {report:?}");
    assert_eq!(origin.connections(), connections, "{name}: {report:?}");
    let requests = usize::try_from(report.fetch.unwrap().requests).unwrap();
    assert_eq!(requests, connections.len(), "{name}: {report:?}");
}

/// Once, twice and for ever.
async fn check_each(reply: Reply) {
    join!(
        check(reply.clone(), 1, "eligible", &[0, 1]),
        check(reply.clone(), 2, "eligible", &[0, 1, 2]),
        check(reply, 9, "undetermined/network", &[0, 1, 2]),
    );
}

#[tokio::test]
async fn a_stream_that_is_reset_is_asked_for_again_on_a_connection_of_its_own() {
    let reasons = [Reason::REFUSED_STREAM, Reason::INTERNAL_ERROR, Reason::CANCEL];
    let replies = reasons.map(|reason| [Reply::Reset(reason), Reply::ResetBehindHead(reason)]);
    join_all(replies.into_iter().flatten().map(check_each)).await;
}

#[tokio::test]
async fn a_connection_that_is_to_end_is_replaced() {
    let reasons = [Reason::NO_ERROR, Reason::INTERNAL_ERROR, Reason::ENHANCE_YOUR_CALM];
    join_all(reasons.map(Reply::GoAway).map(check_each)).await;
}

#[tokio::test]
async fn a_request_refused_with_its_connection_is_made_on_another() {
    let authority = Authority::new("ours");
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
    let authority = Authority::new("ours");
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
    in_a_span(async |span| {
        let authority = Authority::new("ours");
        let origin = Http2::start(&authority, |r| match r.path.as_str() {
            "/silent" => Reply::Silence,
            _ => part(),
        })
        .await;
        let expected =
            [("a", "eligible", 1), ("silent", "undetermined/timeout", 2), ("b", "eligible", 1)];
        // The repeat has a connection of its own; the first one lives and serves on.
        hold(&authority, &origin, span, &expected, &[0, 0, 1, 0]).await
    })
    .await;
}

#[tokio::test]
async fn a_kept_connection_that_died_unnoticed_is_not_the_images_fault() {
    // As behind a NAT that has forgotten the connection: no reset, no end, no answer to anything.
    for (name, death) in [
        ("before the answer", Reply::Death),
        ("in the head", Reply::DeathInBody(png(640, 800, 20_000), 10)),
        ("in the image's first bytes", Reply::DeathInBody(png(640, 800, 20_000), 700)),
    ] {
        in_a_span(async |span| {
            let (authority, death) = (Authority::new("ours"), death.clone());
            let origin = Http2::start(&authority, move |r| match (r.connection, r.path.as_str()) {
                (0, "/second") => death.clone(),
                _ => part(),
            })
            .await;
            // Found out before the patience with an origin's progress ends.
            let expected =
                [("first", "eligible", 1), ("second", "eligible", 2), ("third", "eligible", 1)];
            let found = hold(&authority, &origin, span, &expected, &[0, 0, 1, 2]).await;
            found.map_err(|wrong| format!("{name}: {wrong}"))
        })
        .await;
    }
}

#[tokio::test]
async fn an_origin_whose_connections_all_die_is_silent() {
    in_a_span(async |span| {
        let authority = Authority::new("ours");
        let origin = Http2::start(&authority, |_| Reply::Death).await;
        let expected = [("a", "undetermined/timeout", 2)];
        hold(&authority, &origin, span, &expected, &[0, 1]).await
    })
    .await;
}

/// Looks at one path after another with so much patience, and holds what it says, its requests and the
/// connections of all against what is expected.
async fn hold(
    authority: &Authority,
    origin: &Http2,
    patience: Duration,
    expected: &[(&str, &str, u32)],
    connections: &[usize],
) -> Result<(), String> {
    let mut options = authority.options();
    options.progress_timeout = patience;
    let probe = probe(&options);
    for (path, says, requests) in expected {
        let report = probe.check(Source::url(origin.url(path))).await;
        if (said(&report).as_str(), report.fetch.unwrap_or_default().requests) != (*says, *requests)
        {
            return Err(format!("{path}: {report:?}"));
        }
    }
    match origin.connections() == connections {
        true => Ok(()),
        false => Err(format!("{:?}", origin.connections())),
    }
}
