//! TLS for both clients, each with its own protocols and roots: rustls on ring, the platform's
//! verifier.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;

use crate::net::ConfigError;

/// The certificate of a certification authority, to be trusted beside the platform's: a company's
/// own, say.
///
/// ```no_run
/// use emo_preflight::{ProbeOptions, RootCertificate};
/// let mut options = ProbeOptions::default();
/// options.extra_roots = vec![RootCertificate::from_der(std::fs::read("company-ca.der")?)?];
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RootCertificate(CertificateDer<'static>);

impl RootCertificate {
    /// A certificate as DER: the bytes of an X.509 certificate themselves (RFC 5280, section 4.1),
    /// of which PEM is the Base64 text.
    ///
    /// # Errors
    /// [`ConfigError::Option`] when the bytes are no such certificate. Nothing else is judged here:
    /// connections fail where the certificate's own constraints say so.
    pub fn from_der(der: impl Into<Vec<u8>>) -> Result<Self, ConfigError> {
        let der = CertificateDer::from(der.into());
        let parsed = rustls::RootCertStore::empty().add(der.clone());
        parsed.map_err(|error| {
            ConfigError::Option(format!(
                "an extra root must be an X.509 certificate in DER, found {} bytes: {error}",
                der.len()
            ))
        })?;
        Ok(Self(der))
    }
}

impl fmt::Debug for RootCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootCertificate({} bytes)", self.0.len())
    }
}

/// A client configuration that offers the given protocols, best first (RFC 7301), and trusts
/// `extra_roots` beside the platform's.
///
/// Built here instead of by the HTTP client so that no crypto provider has to be installed for
/// the whole process, which is not a library's to do.
pub(crate) fn config(
    alpn: &[&[u8]],
    extra_roots: &[RootCertificate],
) -> Result<rustls::ClientConfig, ConfigError> {
    let failed = |error: rustls::Error| ConfigError::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let roots = extra_roots.iter().map(|root| root.0.clone());
    let mut config = match Verifier::new_with_extra_roots(roots, provider) {
        Ok(verifier) => {
            let verifier: Arc<dyn ServerCertVerifier> = Arc::new(verifier);
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
        Err(error) if !extra_roots.is_empty() => return Err(failed(error)),
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
