//! One TLS configuration for both clients: rustls on ring, the platform's roots.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls_platform_verifier::Verifier;

/// A client configuration that offers the given protocols, best first (RFC 7301).
///
/// Built here instead of by the HTTP client so that no crypto provider has to be installed for
/// the whole process, which is not a library's to do.
pub(crate) fn config(alpn: &[&[u8]]) -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let mut config = match Verifier::new(provider) {
        Ok(verifier) => {
            let verifier: Arc<dyn ServerCertVerifier> = Arc::new(verifier);
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
        // A machine without any root certificate can still speak http, to the emulator say; every
        // https connection then fails as from an unknown issuer.
        Err(error) => {
            tracing::warn!(%error, "no root certificates found: https will not work");
            builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
        }
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}
