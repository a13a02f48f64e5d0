//! Many images over one HTTP/2 connection, and streams that are hung up on.

use emo_preflight::{Report, RunOptions, Source};
use futures_util::stream::{self, StreamExt as _};

use super::authority::Authority;
use super::http2::{Http2, Reply};
use crate::common::table::{probe, said};
use crate::common::{in_time, jpeg, png};

/// What an origin may send beyond what an answer took: a window, and what one update adds to it.
const MOST_BEYOND: usize = 256 * 1_024;

fn image() -> Vec<u8> {
    png(640, 800, 20_000)
}

#[tokio::test]
async fn images_of_one_origin_share_a_connection() {
    let authority = Authority::new("ours");
    let origin = Http2::start(&authority, |_| Reply::Part(image())).await;
    let probe = probe(&authority.options());
    for i in 0..5 {
        let report = probe.check(Source::url(origin.url(&i.to_string()))).await;
        assert_eq!(said(&report), "eligible", "{report:?}");
    }
    let sources: Vec<_> = (5..200).map(|i| Source::url(origin.url(&i.to_string()))).collect();
    let run = probe.run(stream::iter(sources), RunOptions::default());
    let reports: Vec<Report> = in_time("the run", run.collect()).await;
    assert_eq!(reports.iter().filter(|r| said(r) == "eligible").count(), 195);
    assert_eq!(origin.seen().requests.len(), 200);
    assert_eq!(origin.front.seen().connections, 1);
}

#[tokio::test]
async fn images_that_come_at_once_soon_share_a_connection() {
    let authority = Authority::new("ours");
    let origin = Http2::start(&authority, |_| Reply::Part(image())).await;
    let options = authority.options();
    let probe = probe(&options);
    let mut connections = Vec::new();
    for _ in 0..2 {
        let sources: Vec<_> = (0..200).map(|i| Source::url(origin.url(&i.to_string()))).collect();
        let run = probe.run(stream::iter(sources), RunOptions::default());
        let reports: Vec<Report> = in_time("the run", run.collect()).await;
        assert_eq!(reports.iter().filter(|r| said(r) == "eligible").count(), 200);
        connections.push(origin.front.seen().connections);
    }
    // That it is HTTP/2 turns out when the first are connecting already.
    assert!(connections[0] <= options.per_host, "{connections:?}");
    assert_eq!(connections[0], connections[1]);
}

#[tokio::test]
async fn a_stream_that_is_hung_up_on_costs_little_and_not_its_connection() {
    let authority = Authority::new("ours");
    for (name, file, needed) in [
        ("a header at the start", image(), 1_024),
        ("a header behind metadata", jpeg(640, 800, 400_000, 0), 400_000),
    ] {
        let origin = Http2::start(&authority, move |r| match r.path.as_str() {
            "/stream" => Reply::Endless(file.clone()),
            _ => Reply::Part(image()),
        })
        .await;
        let probe = probe(&authority.options());
        for path in ["first", "stream", "stream", "last"] {
            let report = probe.check(Source::url(origin.url(path))).await;
            assert_eq!(said(&report), "eligible", "{name}, {path}: {report:?}");
            assert_eq!(report.fetch.unwrap().requests, 1, "{name}, {path}: {report:?}");
        }
        for sent in origin.until_aborted(2).await.aborted {
            assert!(sent >= needed, "{name}: {sent} bytes of {needed}");
            assert!(sent - needed <= MOST_BEYOND, "{name}: {} bytes beyond", sent - needed);
        }
        assert_eq!(origin.front.seen().connections, 1, "{name}");
    }
}

#[tokio::test]
async fn many_streams_that_are_hung_up_on_leave_the_connection_its_window() {
    let authority = Authority::new("ours");
    let origin = Http2::start(&authority, |_| Reply::Endless(image())).await;
    let probe = probe(&authority.options());
    for i in 0..200 {
        let report = probe.check(Source::url(origin.url(&i.to_string()))).await;
        assert_eq!(said(&report), "eligible", "{i}: {report:?}");
        assert_eq!(report.fetch.unwrap().requests, 1, "{i}: {report:?}");
    }
    let sources: Vec<_> = (200..400).map(|i| Source::url(origin.url(&i.to_string()))).collect();
    let run = probe.run(stream::iter(sources), RunOptions::default());
    let reports: Vec<Report> = in_time("the run", run.collect()).await;
    assert_eq!(reports.iter().filter(|r| said(r) == "eligible").count(), 200);
    let aborted = origin.until_aborted(400).await.aborted;
    // More than any window over the whole connection.
    assert!(aborted.iter().sum::<usize>() > 16 * 1_024 * 1_024, "{aborted:?}");
    assert!(aborted.iter().all(|sent| *sent <= MOST_BEYOND), "{aborted:?}");
    assert_eq!(origin.front.seen().connections, 1);
}
