//! Redirects between http and https.

use emo_preflight::Source;

use super::authority::Authority;
use super::front::Front;
use super::http2::{Http2, Reply};
use crate::common::table::{probe, said};
use crate::common::{Origin, png, ranged, redirect};

#[tokio::test]
async fn a_redirect_may_lead_to_https_and_never_away_from_it() {
    let authority = Authority::new("ours");
    let image = || png(640, 800, 20_000);
    let plain = Origin::start(move |r| ranged(r, &image())).await;
    let http1 = Front::before(&plain, authority.acceptor(|m| m.alpn = &["http/1.1"])).await;
    let http2 = Http2::start(&authority, move |_| Reply::Part(image())).await;
    for (name, from_tls, to, says) in [
        ("http to http", false, plain.url("a"), "eligible"),
        ("http to https", false, http1.url("a"), "eligible"),
        ("http to HTTP/2", false, http2.url("a"), "eligible"),
        ("https to https", true, http1.url("a"), "eligible"),
        ("https to HTTP/2", true, http2.url("a"), "eligible"),
        ("https to http", true, plain.url("a"), "undetermined/bad_redirect"),
    ] {
        let asked_before = plain.requests().len();
        let from = Origin::start(move |_| redirect(&to)).await;
        let front = Front::before(&from, authority.acceptor(|_| {})).await;
        let url = if from_tls { front.url("a") } else { from.url("a") };
        let report = probe(&authority.options()).check(Source::url(url)).await;
        assert_eq!(said(&report), says, "{name}: {report:?}");
        if says != "eligible" {
            assert!(report.reasons[0].message.contains("http"), "{name}: {report:?}");
            assert_eq!(plain.requests().len(), asked_before, "{name}");
        }
    }
}

#[tokio::test]
async fn a_redirect_over_http_2_is_judged_alike() {
    let authority = Authority::new("ours");
    for (to, says) in [
        ("/b", "eligible"),
        ("http://127.0.0.1/b", "undetermined/bad_redirect"),
        ("https://10.0.0.1/b", "rejected_local/private_address"),
    ] {
        let to: &[_] = Box::leak(Box::new([("location", to)]));
        let origin = Http2::start(&authority, move |r| match r.path.as_str() {
            "/b" => Reply::Part(png(640, 800, 20_000)),
            _ => Reply::Bare(302, to),
        })
        .await;
        let report = probe(&authority.options()).check(Source::url(origin.url("a"))).await;
        assert_eq!(said(&report), says, "{to:?}: {report:?}");
        assert_eq!(origin.front.seen().connections, 1, "{to:?}");
    }
}
