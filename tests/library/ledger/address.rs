//! How a database is reached: what its URL may say, and over TLS.

use std::time::Duration;

use base64::Engine as _;
use emo_preflight::{Ledger, LedgerTiming};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::common::in_time;
use crate::pg;

const SECRET: &str = "s3cr3t-of-the-ledger";

async fn refused(url: &str, patience: Duration) -> String {
    let opened = Ledger::connect_with(url, LedgerTiming::default().with_wait(patience)).await;
    let said = opened.map(drop).unwrap_err().to_string();
    assert!(!said.contains(SECRET), "{said}");
    said
}

#[tokio::test]
async fn a_url_that_says_something_else_than_was_meant_is_refused_without_its_password() {
    let patience = Duration::from_secs(5);
    for (url, says) in [
        (format!("postgres://u:12/{SECRET}@127.0.0.1:1/d"), "percent-encoded"),
        (format!("postgres://u:/{SECRET}@127.0.0.1:1/d"), "percent-encoded"),
        (format!("postgres://u:12#{SECRET}@127.0.0.1:1/d"), "percent-encoded"),
        (format!("postgres://u:12?{SECRET}@127.0.0.1:1/d"), "percent-encoded"),
        (format!("postgres://u@127.0.0.1:1/d?passwd={SECRET}"), "found \"passwd\""),
        ("postgres://u@127.0.0.1:1/d?sslmod=verify-full".to_owned(), "found \"sslmod\""),
        ("postgres://u@127.0.0.1:1/d?sslmode=full".to_owned(), "sslmode must be one of disable"),
        ("postgres://u@127.0.0.1:1/d?sslrootcert=/no/ca.pem".to_owned(), "none at /no/ca.pem"),
    ] {
        let said = refused(&url, patience).await;
        assert!(said.contains(says), "{url}: {said}");
    }
}

/// Of a server with a certificate of an authority that only this test knows.
#[tokio::test]
async fn tls_goes_by_sslmode_and_a_wrong_certificate_is_not_waited_for() {
    let Some(server) = pg::another() else { return };
    let ours = authority();
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ours).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = |name: &str, der: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem("CERTIFICATE", der)).unwrap();
        path.display().to_string()
    };
    let (right, wrong) = (root("right.pem", ours.der()), root("wrong.pem", authority().der()));
    server
        .use_tls(&pem("CERTIFICATE", certificate.der()), &pem("PRIVATE KEY", &key.serialize_der()));
    let url = server.database();
    for mode in ["prefer", "require", &format!("verify-full&sslrootcert={right}")] {
        let url = format!("{url}?sslmode={mode}");
        let ledger = Ledger::connect(&url).await.unwrap();
        let asked = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'emo-preflight'";
        assert_eq!(server.run("postgres", asked), "t\n", "{mode}");
        drop(ledger);
    }
    let url = format!("{url}?sslmode=verify-full&sslrootcert={wrong}");
    let said = in_time("a refusal", refused(&url, Duration::from_secs(3_600))).await;
    assert!(said.contains("certificate"), "{said}");
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}
