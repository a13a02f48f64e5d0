//! A certification authority of the test's own, and what origins show that it has signed.

use std::sync::Arc;

use emo_preflight::{ProbeOptions, RootCertificate};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ALL_VERSIONS, ServerConfig, SupportedProtocolVersion};

use crate::common::table;

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// How an origin speaks TLS.
pub(crate) struct Manner {
    pub(crate) certificate: CertificateParams,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    /// What it speaks over it, best first; nothing of ALPN when empty.
    pub(crate) alpn: &'static [&'static str],
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    /// Settings that let origins on 127.0.0.1 be reached and trust this authority.
    pub(crate) fn options(&self) -> ProbeOptions {
        let mut options = table::options();
        options.extra_roots = vec![RootCertificate::from_der(self.der()).unwrap()];
        options
    }

    /// An origin's side of TLS: without a change, a valid certificate, every version and no ALPN.
    pub(crate) fn acceptor(&self, change: impl FnOnce(&mut Manner)) -> TlsAcceptor {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut manner = Manner {
            certificate: CertificateParams::new(names).unwrap(),
            versions: ALL_VERSIONS,
            alpn: &[],
        };
        change(&mut manner);
        let key = KeyPair::generate().unwrap();
        let certificate = manner.certificate.signed_by(&key, &self.0).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(manner.versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.into())
            .unwrap();
        config.alpn_protocols = manner.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}
