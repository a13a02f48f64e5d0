//! What is agreed on before the first request, and handshakes that fail.

use emo_preflight::Source;
use futures_util::future::join_all;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ProtocolVersion, SupportedProtocolVersion};

use super::authority::Authority;
use super::front::{Front, Then};
use super::http2::{Http2, Reply};
use crate::common::in_a_span;
use crate::common::table::{probe, said};
use crate::common::{Origin, jpeg, png, ranged};

#[tokio::test]
async fn http_1_is_spoken_over_either_version_of_tls() {
    const TLS_1_2: &[&SupportedProtocolVersion] = &[&TLS12];
    const TLS_1_3: &[&SupportedProtocolVersion] = &[&TLS13];
    const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];
    let authority = Authority::new("ours");
    // Three ranges, so that the connection has to serve again.
    let file = jpeg(640, 800, 60_000, 100_000);
    let origin = Origin::start(move |r| ranged(r, &file)).await;
    let (v1_2, v1_3) = (ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3);
    for (versions, alpn, spoken, agreed) in [
        (TLS_1_2, &["http/1.1"][..], v1_2, Some("http/1.1")),
        (TLS_1_3, &["http/1.1"][..], v1_3, Some("http/1.1")),
        (BOTH, &["http/1.1"][..], v1_3, Some("http/1.1")),
        // An origin that knows nothing of ALPN (RFC 7301) gets HTTP/1.1.
        (TLS_1_2, &[][..], v1_2, None),
        (TLS_1_3, &[][..], v1_3, None),
    ] {
        let acceptor = authority.acceptor(|m| (m.versions, m.alpn) = (versions, alpn));
        let front = Front::before(&origin, acceptor).await;
        let report = probe(&authority.options()).check(Source::url(front.url("a"))).await;
        assert_eq!(said(&report), "eligible", "{spoken:?} {agreed:?}: {report:?}");
        let seen = front.seen();
        assert_eq!((seen.connections, seen.handshakes.len()), (1, 1));
        assert_eq!(seen.handshakes[0].version, spoken);
        assert_eq!(seen.handshakes[0].alpn.as_deref(), agreed);
    }
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered() {
    let authority = Authority::new("ours");
    let origin = Http2::start(&authority, |_| Reply::Part(jpeg(640, 800, 60_000, 100_000))).await;
    let report = probe(&authority.options()).check(Source::url(origin.url("a"))).await;
    assert_eq!(said(&report), "eligible", "{report:?}");
    let fetch = report.fetch.unwrap();
    assert!(fetch.requests > 1 && fetch.bytes < 20_000, "{report:?}");
    let seen = origin.front.seen();
    assert_eq!(seen.connections, 1);
    assert_eq!(seen.handshakes[0].alpn.as_deref(), Some("h2"));
}

#[tokio::test]
async fn a_handshake_that_breaks_off_is_a_broken_connection() {
    const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    /// The start of a ServerHello that says it is longer (RFC 8446, section 5.1).
    const HALF: &[u8] = &[0x16, 3, 3, 0, 0x7a, 2, 0, 0, 0x76, 3, 3];
    /// A fatal alert: handshake_failure (RFC 8446, section 6).
    const ALERT: &[u8] = &[0x15, 3, 3, 0, 2, 2, 40];
    let authority = Authority::new("ours");
    let rows = [
        ("closed at once", &b""[..], Then::Close),
        ("reset at once", b"", Then::Reset),
        ("closed in the middle", HALF, Then::Close),
        ("an alert", ALERT, Then::Close),
        ("plain HTTP", PLAIN, Then::Close),
        ("plain HTTP that stays", PLAIN, Then::Hang),
    ];
    join_all(rows.map(async |(name, answer, then)| {
        let front = Front::broken(answer, then).await;
        let report = probe(&authority.options()).check(Source::url(front.url("a"))).await;
        assert_eq!(said(&report), "undetermined/network", "{name}: {report:?}");
        let fetch = report.fetch.unwrap();
        assert_eq!((fetch.requests, fetch.bytes), (3, 0), "{name}");
        assert_eq!(front.seen().connections, 3, "{name}");
    }))
    .await;
}

#[tokio::test]
async fn a_handshake_that_gets_no_further_is_given_up_on() {
    let authority = Authority::new("ours");
    for answer in [&b""[..], &[0x16, 3, 3, 0, 0x7a, 2]] {
        let front = Front::broken(answer, Then::Hang).await;
        in_a_span(async |span| {
            // The whole stage's time-out covers the handshake too.
            for (is_whole_stage, requests) in [(false, 2), (true, 1)] {
                let mut options = authority.options();
                match is_whole_stage {
                    false => options.progress_timeout = span,
                    true => options.timeout = span,
                }
                let report = probe(&options).check(Source::url(front.url("a"))).await;
                let fetch = report.fetch.unwrap_or_default();
                let found = (said(&report), fetch.requests, fetch.bytes);
                if found != ("undetermined/timeout".to_owned(), requests, 0) {
                    return Err(format!("{report:?}"));
                }
            }
            Ok(())
        })
        .await;
    }
}

#[tokio::test]
async fn https_is_not_spoken_to_a_port_of_http() {
    let origin = Origin::start(|r| ranged(r, &png(640, 800, 20_000))).await;
    let authority = Authority::new("ours");
    let front = Front::before(&origin, authority.acceptor(|_| {})).await;
    let url = format!("http://127.0.0.1:{}/a", front.port());
    let report = probe(&authority.options()).check(Source::url(url)).await;
    assert_eq!(said(&report), "undetermined/network", "{report:?}");
    assert!(front.seen().handshakes.is_empty() && origin.requests().is_empty());
}
