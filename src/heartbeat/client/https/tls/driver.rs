//! TLS for ureq that asks [`TimeTold`] for the time; ureq's own connector knows the machine's clock only.

use std::fmt::Debug;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme, StreamOwned,
};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

use super::TimeTold;
use crate::base::Clock;

/// Certificates of one chain whose dates may be waived, one behind the other.
const CHAIN_MAX: usize = 8;

/// What a connection carries, and so how strictly the dates of the server's certificate are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::heartbeat::client::https) enum Cargo {
    /// Secrets, or answers that nothing else vouches for: the dates have to hold.
    Words,
    /// Datagrams, sealed and signed by themselves in both directions. As long as only this machine's clock tells the
    /// time, dates alone refuse no certificate: the first reply brings the time, and from then on they count.
    Datagrams,
}

/// Puts TLS on connections to `https://` addresses.
pub(in crate::heartbeat::client::https) struct TlsDialer(Arc<ClientConfig>);

impl Debug for TlsDialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsDialer")
    }
}

impl TlsDialer {
    /// Believes certificates of `roots`, at the time that `told` says.
    ///
    /// # Errors
    /// No usable root.
    pub(in crate::heartbeat::client::https) fn new(
        roots: RootCertStore,
        cargo: Cargo,
        told: &Arc<TimeTold>,
    ) -> Result<Self, VerifierBuilderError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
        let verifier = Arc::new(Verifier { inner, cargo, told: Arc::clone(told) });
        let time = Arc::new(Time(Arc::clone(told)));
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let config = ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(&versions)
            .map_err(|_| VerifierBuilderError::NoRootAnchors)?
            // Not weaker than without: it asks the usual one, about dates twice.
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

#[derive(Debug)]
struct Time(Arc<TimeTold>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.at(Clock.monotonic(), Clock.wall()).time.timestamp();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
    }
}

#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    cargo: Cargo,
    told: Arc<TimeTold>,
}

impl Verifier {
    fn waives_dates(&self) -> bool {
        self.cargo == Cargo::Datagrams && !self.told.at(Clock.monotonic(), Clock.wall()).by_server
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verify = |now| self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let mut verified = verify(now);
        for _ in 0..CHAIN_MAX {
            let Err(TlsError::InvalidCertificate(why)) = &verified else { break };
            let Some(valid_at) = valid_at(why).filter(|_| self.waives_dates()) else { break };
            verified = verify(valid_at);
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// A time at which a certificate that was refused for its dates is valid.
fn valid_at(why: &CertificateError) -> Option<UnixTime> {
    if let CertificateError::NotValidYetContext { not_before: at, .. }
    | CertificateError::ExpiredContext { not_after: at, .. } = why
    {
        Some(*at)
    } else {
        None
    }
}

impl<T: Transport> Connector<T> for TlsDialer {
    type Out = Either<T, Tls>;

    fn connect(&self, details: &ConnectionDetails<'_>, below: Option<T>) -> Result<Option<Self::Out>, Error> {
        let below = below.ok_or(Error::ConnectionFailed)?;
        if !details.needs_tls() {
            return Ok(Some(Either::A(below)));
        }
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(host).map_err(|_| Error::HostNotFound)?.to_owned();
        let mut connection = ClientConnection::new(Arc::clone(&self.0), name).map_err(refused)?;
        let mut below = TransportAdapter::new(Box::new(below) as Box<dyn Transport>, Arc::clone(&details.current_time));
        below.set_timeout(details.timeout);
        connection.complete_io(&mut below)?;
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        Ok(Some(Either::B(Tls { buffers, stream: StreamOwned::new(connection, below) })))
    }
}

fn refused(error: TlsError) -> Error {
    Error::Io(std::io::Error::other(error))
}

/// One connection with TLS.
pub(in crate::heartbeat::client::https) struct Tls {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Transport for Tls {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        Ok(self.stream.write_all(output)?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let count = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use std::sync::OnceLock;

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

    use super::*;
    use crate::base::{Moment, WallTime};

    /// A certificate for `mx2.example`, valid from 2040 to 2041, and the authority that made it, with the same dates.
    fn chain() -> &'static (CertificateDer<'static>, CertificateDer<'static>) {
        static CHAIN: OnceLock<(CertificateDer<'static>, CertificateDer<'static>)> = OnceLock::new();
        CHAIN.get_or_init(|| {
            let params = |names: &[&str]| {
                let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
                let mut params = CertificateParams::new(names).unwrap();
                (params.not_before, params.not_after) = (date_time_ymd(2040, 1, 1), date_time_ymd(2041, 1, 1));
                params
            };
            let mut root = params(&[]);
            root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
            let leaf = params(&["mx2.example"]).signed_by(&KeyPair::generate().unwrap(), &root).unwrap();
            (leaf.der().clone(), root.der().clone())
        })
    }

    fn is_believed(cargo: Cargo, name: &str, told: Option<i64>, own: u64) -> bool {
        let (leaf, root) = chain();
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let time = Arc::new(TimeTold::default());
        if let Some(seconds) = told {
            time.handle_reply(WallTime::from_timestamp(seconds, 0).unwrap(), Moment::from_millis(0));
        }
        let verifier = Verifier { inner, cargo, told: time };
        let name = ServerName::try_from(name).unwrap();
        verifier.verify_server_cert(leaf, &[], &name, &[], UnixTime::since_unix_epoch(Duration::from_secs(own))).is_ok()
    }

    const IN_2026: u64 = 1_790_000_000;
    const IN_2040: u64 = 2_220_000_000;
    const IN_2050: u64 = 2_530_000_000;

    #[test]
    fn a_wrong_clock_alone_stops_datagrams_never_and_secrets_always() {
        for own in [IN_2026, IN_2050] {
            assert!(is_believed(Cargo::Datagrams, "mx2.example", None, own));
            assert!(!is_believed(Cargo::Words, "mx2.example", None, own));
        }
        assert!(is_believed(Cargo::Words, "mx2.example", None, IN_2040));
    }

    #[test]
    fn once_the_server_told_the_time_dates_count_for_all() {
        assert!(!is_believed(Cargo::Datagrams, "mx2.example", Some(1_790_000_000), IN_2026));
        assert!(is_believed(Cargo::Datagrams, "mx2.example", Some(2_220_000_000), IN_2040));
    }

    #[test]
    fn another_name_is_never_believed() {
        for own in [IN_2026, IN_2040, IN_2050] {
            assert!(!is_believed(Cargo::Datagrams, "other.example", None, own));
        }
    }
}
