//! Which certificate a TLS handshake shows now: one value that all listeners share and that can be replaced.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::facts::{CertificateFacts, FactsError};

/// Why a chain and a key cannot be used together.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The chain has no certificate.
    #[error("there is no certificate in it")]
    Empty,
    /// The first certificate cannot be read.
    #[error("{0}")]
    Facts(#[from] FactsError),
    /// The key is of no known kind, or not the certificate's.
    #[error("certificate and key do not go together: {0}")]
    Tls(#[from] rustls::Error),
}

#[derive(Debug)]
struct Installed {
    key: Arc<CertifiedKey>,
    facts: CertificateFacts,
}

#[derive(Debug)]
struct Current(ArcSwap<Installed>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().key))
    }
}

/// The certificate in use. Clones share it; a replacement holds from the next handshake on.
#[derive(Clone, Debug)]
pub struct CertificateHandle {
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn install(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Installed, InstallError> {
    let facts = CertificateFacts::read(chain.first().ok_or(InstallError::Empty)?)?;
    let key = CertifiedKey::from_der(chain, key, &provider())?;
    Ok(Installed { key: Arc::new(key), facts })
}

fn server_config(current: Arc<Current>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(current);
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

impl CertificateHandle {
    /// Begins with this chain (own certificate first) and its key.
    ///
    /// # Errors
    /// [`InstallError`] says what does not fit.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, InstallError> {
        let current = Arc::new(Current(ArcSwap::from_pointee(install(chain, key)?)));
        let config = server_config(Arc::clone(&current), &[])?;
        Ok(Self { current, config })
    }

    /// Shows another certificate from the next handshake on. On an error the old one stays.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn replace(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), InstallError> {
        self.current.0.store(Arc::new(install(chain, key)?));
        Ok(())
    }

    /// Settings for a listener without ALPN (SMTP): TLS 1.2 and 1.3, no client certificates.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The same with application protocols, best first, such as `h2` and `http/1.1`.
    ///
    /// # Errors
    /// When the TLS library has no common cipher for the versions.
    pub fn server_config_with_alpn(&self, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, InstallError> {
        Ok(server_config(Arc::clone(&self.current), alpn)?)
    }

    /// What the certificate in use says.
    #[must_use]
    pub fn facts(&self) -> CertificateFacts {
        self.current.0.load().facts.clone()
    }
}
