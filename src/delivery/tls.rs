//! Opportunistic TLS: any certificate is taken, its key noted and its name checked; what that is worth is decided in
//! `identity`. The handshake must be signed with that key.

use std::sync::Arc;

use super::identity::fingerprint;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

use x509_parser::prelude::{FromDer, X509Certificate};

/// What is known of an encrypted connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFacts {
    /// Such as `TLSv1_3`.
    pub version: String,
    /// Such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: String,
    /// SHA-256 of the server's SubjectPublicKeyInfo.
    pub spki_sha256: Option<[u8; 32]>,
    /// A public authority vouches that the key belongs to the registered name.
    pub is_name_valid: bool,
}

impl TlsFacts {
    /// In one line, for the page.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut text = format!("{} {}", self.version, self.cipher);
        if let Some(digest) = self.spki_sha256 {
            text.push_str(", key ");
            text.push_str(&fingerprint(&digest));
        }
        text
    }
}

/// SHA-256 of the SubjectPublicKeyInfo of a certificate, if it can be read.
#[must_use]
pub fn spki_sha256(certificate: &[u8]) -> Option<[u8; 32]> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(Sha256::digest(certificate.public_key().raw).into())
}

/// The client side of TLS for delivery.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// For handshakes.
    pub config: Arc<ClientConfig>,
    names: Arc<WebPkiServerVerifier>,
}

impl ClientTls {
    /// With the public authorities and these besides.
    ///
    /// # Errors
    /// An authority that is no certificate; otherwise a fault of the build.
    pub fn new(authorities: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for authority in authorities {
            roots.add(authority.clone())?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let names = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self { config: client_config(provider)?, names })
    }

    /// Whether an authority vouches for this name. The handshake has shown that the peer holds the key.
    #[must_use]
    pub fn is_name_valid(&self, chain: &[CertificateDer<'_>], name: &ServerName<'_>) -> bool {
        let Some((leaf, rest)) = chain.split_first() else { return false };
        self.names.verify_server_cert(leaf, rest, name, &[], UnixTime::now()).is_ok()
    }
}

fn client_config(provider: Arc<CryptoProvider>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Takes any certificate; leaves both signature checks to rustls.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
