//! Whom the local stage trusts.

use std::time::Duration;

use emo_preflight::{ApiKey, ConfigError, Preflight, Probe, ProbeOptions, RootCertificate, Source};
use rcgen::{CertificateParams, date_time_ymd};

use super::authority::{Authority, Manner};
use super::front::Front;
use crate::common::table::{self, probe, said};
use crate::common::{Origin, in_time, png, ranged};

async fn origin() -> Origin {
    Origin::start(|r| ranged(r, &png(640, 800, 20_000))).await
}

#[tokio::test]
async fn an_extra_root_is_trusted_and_nobody_else_that_is_unknown() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let root = |authority: &Authority| RootCertificate::from_der(authority.der()).unwrap();
    let origin = origin().await;
    let front = Front::before(&origin, ours.acceptor(|_| {})).await;
    for (extra_roots, says) in [
        (vec![root(&ours)], "eligible"),
        (vec![root(&theirs), root(&ours)], "eligible"),
        (vec![root(&ours), root(&ours)], "eligible"),
        (vec![root(&theirs)], "undetermined/network"),
        (vec![], "undetermined/network"),
    ] {
        let mut options = table::options();
        options.extra_roots = extra_roots;
        let report = probe(&options).check(Source::url(front.url("a"))).await;
        assert_eq!(said(&report), says, "{:?}: {report:?}", options.extra_roots);
    }
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_is_final_and_named() {
    type Change = fn(&mut Manner);
    let authority = Authority::new("ours");
    let origin = origin().await;
    let rows: [(&str, Change, &str); 5] = [
        ("expired", |m| m.certificate.not_after = date_time_ymd(2_020, 1, 1), "expired"),
        (
            "of the future",
            |m| m.certificate.not_before = date_time_ymd(4_000, 1, 1),
            "not valid yet",
        ),
        ("for another name", |m| m.certificate = named("example.org"), "not valid for name"),
        ("for another address", |m| m.certificate = named("127.0.0.2"), "not valid for name"),
        ("for no name", |m| m.certificate.subject_alt_names.clear(), "not valid for name"),
    ];
    for (name, change, mentions) in rows {
        let front = Front::before(&origin, authority.acceptor(change)).await;
        fails_once(name, &front, &authority.options(), mentions).await;
    }
    let front = Front::before(&origin, Authority::new("theirs").acceptor(|_| {})).await;
    fails_once("of an unknown authority", &front, &authority.options(), "UnknownIssuer").await;
    // It would be asked for something that must not be known to whoever is in between.
    assert!(origin.requests().is_empty());
}

async fn fails_once(name: &str, front: &Front, options: &ProbeOptions, mentions: &str) {
    let url = front.url(&format!("a?k={}", table::SECRET));
    let report = probe(options).check(Source::url(url)).await;
    assert_eq!(said(&report), "undetermined/network", "{name}: {report:?}");
    let message = &report.reasons[0].message;
    assert!(message.contains("certificate") && message.contains(mentions), "{name}: {message}");
    let fetch = report.fetch.unwrap();
    // What is wrong with a certificate does not pass within a second.
    assert_eq!((fetch.requests, fetch.bytes), (1, 0), "{name}");
    assert_eq!(front.seen().connections, 1, "{name}");
    assert!(!table::shows_secret(&report), "{name}: {report:?}");
}

fn named(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

#[tokio::test]
async fn a_certificate_holds_for_the_name_that_was_asked_for() {
    let authority = Authority::new("ours");
    let origin = origin().await;
    for (name, host, says) in [
        ("localhost", "localhost", "eligible"),
        ("127.0.0.1", "127.0.0.1", "eligible"),
        ("localhost", "127.0.0.1", "undetermined/network"),
        ("127.0.0.1", "localhost", "undetermined/network"),
    ] {
        let acceptor = authority.acceptor(|m| m.certificate = named(name));
        let front = Front::before(&origin, acceptor).await;
        let url = format!("https://{host}:{}/a", front.port());
        let report = probe(&authority.options()).check(Source::url(url)).await;
        assert_eq!(said(&report), says, "{name} at {host}: {report:?}");
    }
}

#[tokio::test]
async fn the_paid_call_does_not_trust_an_extra_root() {
    let authority = Authority::new("ours");
    let origin = origin().await;
    let images = Front::before(&origin, authority.acceptor(|_| {})).await;
    let service = Front::before(&origin, authority.acceptor(|_| {})).await;
    let gate = Preflight::builder(ApiKey::new("sk-any").unwrap())
        .base_url(service.url("api"))
        .probe(authority.options())
        .build()
        .await
        .unwrap();
    let check = tokio::spawn(gate.check(Source::url(images.url("a"))));
    // The second time comes when the first has failed.
    let tried_twice = async {
        while service.seen().connections < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    in_time("a second try", tried_twice).await;
    assert_eq!(images.seen().handshakes.len(), 1);
    assert_eq!(service.seen().handshakes, []);
    check.abort();
}

#[test]
fn an_extra_root_that_is_no_certificate_is_refused() {
    let der = Authority::new("ours").der();
    let cut = der[..der.len() - 1].to_vec();
    let followed = [&der[..], b"\0"].concat();
    for (name, bytes) in [
        ("nothing", vec![]),
        ("PEM", b"-----BEGIN CERTIFICATE-----\nMIIB".to_vec()),
        ("cut short", cut),
        ("followed by more", followed),
    ] {
        let length = bytes.len();
        match RootCertificate::from_der(bytes) {
            Err(ConfigError::Option(message)) => {
                assert!(message.contains("DER"), "{name}: {message}");
                assert!(message.contains(&format!("{length} bytes")), "{name}: {message}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn settings_with_an_extra_root_are_compared_and_shown_like_others() {
    let authority = Authority::new("ours");
    let options = authority.options();
    assert_eq!(options, options.clone());
    assert_ne!(options, table::options());
    let shown = format!("{options:?}");
    assert!(shown.contains(&format!("[RootCertificate({} bytes)]", authority.der().len())));
    assert!(Probe::new(options).is_ok());
}
