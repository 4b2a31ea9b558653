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

/// Whether a handshake for a name is refused.
pub type Refuses = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The same certificate for all but some names.
struct Except(Arc<Current>, Refuses);

impl std::fmt::Debug for Except {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Except").field(&self.0).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Except {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_refused = hello.server_name().is_some_and(|name| (self.1)(name));
        if is_refused { None } else { self.0.resolve(hello) }
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

fn server_config(current: Arc<dyn ResolvesServerCert>, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, rustls::Error> {
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
        let config = server_config(Arc::clone(&current) as _, &[])?;
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
        Ok(server_config(Arc::clone(&self.current) as _, alpn)?)
    }

    /// Settings for a listener of pages: no handshake at all for the names that `refuses` says. A name that is parked with us
    /// brings its owner's other clients here, and a phone would hand its password to whoever takes it.
    ///
    /// # Errors
    /// When the TLS library has no common cipher for the versions.
    pub fn server_config_except(&self, refuses: Refuses) -> Result<Arc<ServerConfig>, InstallError> {
        Ok(server_config(Arc::new(Except(Arc::clone(&self.current), refuses)), &[])?)
    }

    /// What the certificate in use says.
    #[must_use]
    pub fn facts(&self) -> CertificateFacts {
        self.current.0.load().facts.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
    use rustls_pki_types::ServerName;

    /// Whether a handshake for this name succeeds.
    fn shakes_hands(server: &Arc<ServerConfig>, roots: &RootCertStore, name: &str) -> Result<(), rustls::Error> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut octets = Vec::new();
            client.write_tls(&mut octets).unwrap();
            server.read_tls(&mut octets.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut octets = Vec::new();
            server.write_tls(&mut octets).unwrap();
            client.read_tls(&mut octets.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn no_handshake_for_a_name_that_is_refused() {
        let names = vec!["mx.example".to_owned(), "firma.dyn.example".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let chain = vec![made.cert.der().clone()];
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let handle = CertificateHandle::new(chain, key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let pages = handle.server_config_except(Arc::new(|name| name == "firma.dyn.example")).unwrap();
        shakes_hands(&pages, &roots, "mx.example").unwrap();
        assert!(shakes_hands(&pages, &roots, "firma.dyn.example").is_err());
        shakes_hands(&handle.server_config(), &roots, "firma.dyn.example").unwrap();
    }
}
