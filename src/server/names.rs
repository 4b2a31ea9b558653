//! Starts the name server, if a zone is configured.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::assemble::StartError;
use super::{certifying, listen};
use crate::account::{DirectoryHandle, SealKey};
use crate::certificate::CertificateHandle;
use crate::certificate::acme::driver::Issuer;
use crate::config::{Config, NamesConfig};
use crate::dns::driver::Sockets;
use crate::dns::sign::driver::KeyDesk;
use crate::dns::{ChallengeDesk, Dns, NameError, Settings, sign, udp};
use crate::liveness::Lines;
use crate::store::SqliteStore;

/// What answers for names; nothing where no zone is configured.
#[derive(Clone, Default)]
pub(super) struct NameServer {
    pub(super) dns: Option<Arc<Dns>>,
    /// Keys and records of ACME clients.
    pub(super) challenges: Option<Arc<ChallengeDesk>>,
    /// Keys by which zones are signed.
    pub(super) keys: Option<Arc<KeyDesk>>,
    /// Renews our own certificate, if that is wanted.
    pub(super) issuer: Option<Arc<Issuer>>,
}

/// The sockets, bound before anything else starts.
#[derive(Default)]
pub(super) struct NameSockets {
    udp: Vec<UdpSocket>,
    tcp: Vec<std::net::TcpListener>,
    tls: Vec<std::net::TcpListener>,
}

impl NameSockets {
    pub(super) fn bind(config: &Config) -> Result<Self, StartError> {
        let Some(names) = &config.names else { return Ok(Self::default()) };
        let words = |e: &dyn std::fmt::Display| StartError::Listen(e.to_string());
        let udp: Vec<UdpSocket> =
            listen::bind_all(&names.listen, udp::driver::bind).map_err(|e| words(&e))?.into_iter().flatten().collect();
        let tcp = |listed: &[SocketAddr], option: &str| {
            listen::bind_all(listed, |address| {
                listen::tcp(address).map_err(|e| format!("cannot serve names on TCP {address}: {e}; set {option}"))
            })
            .map_err(|e| words(&e))
        };
        Ok(Self { udp, tcp: tcp(&names.listen, "dns.listen")?, tls: tcp(&names.tls_listen, "dns.tls_listen")? })
    }

    /// Where names are served over TCP, and over UDP at the same address.
    fn addresses(&self) -> Vec<SocketAddr> {
        self.tcp.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves them until `shutdown`; where. Start it before delivery, so that no greeting is missed.
    pub(super) async fn start(
        self,
        config: &Config,
        smtp: Vec<SocketAddr>,
        (directory, lines, store, seal): (DirectoryHandle, Arc<dyn Lines>, Arc<SqliteStore>, SealKey),
        certificate: &CertificateHandle,
        shutdown: &CancellationToken,
    ) -> Result<(NameServer, Vec<SocketAddr>), StartError> {
        let Some(names) = &config.names else { return Ok((NameServer::default(), Vec::new())) };
        let addresses = self.addresses();
        let words = |e: std::io::Error| StartError::Listen(e.to_string());
        let listeners = |all: Vec<std::net::TcpListener>| {
            all.into_iter().map(TcpListener::from_std).collect::<Result<Vec<_>, _>>().map_err(words)
        };
        let sockets = Sockets { udp: self.udp, tcp: listeners(self.tcp)?, tls: listeners(self.tls)? };
        let tls = TlsAcceptor::from(certificate.server_config());
        let (settings, known) = (settings(config, names, smtp), (lines, Arc::clone(&store) as _, seal.clone()));
        let read = |e: NameError| StartError::Read(e.to_string());
        let signed = sign::driver::load(&*store, &seal).await.map_err(read)?;
        let dns = Dns::start(settings, sockets, directory.clone(), known, signed, Some(tls), shutdown)
            .await
            .map_err(|e| StartError::Listen(e.to_string()))?;
        let keys = KeyDesk::start(Arc::clone(&dns), Arc::clone(&store) as _, seal, shutdown.clone());
        let challenges =
            ChallengeDesk::start(Arc::clone(&dns), store, directory, shutdown.clone()).await.map_err(read)?;
        let issuer = certifying::start(config, &challenges, certificate, shutdown);
        Ok((NameServer { dns: Some(dns), challenges: Some(challenges), keys: Some(keys), issuer }, addresses))
    }
}

fn settings(config: &Config, names: &NamesConfig, smtp_addresses: Vec<SocketAddr>) -> Settings {
    Settings {
        zone: names.zone.clone(),
        name_servers: names.name_servers.clone(),
        contact: names.contact.clone(),
        backup_mx: config.hostname.clone(),
        ttl: names.ttl,
        offline: names.offline,
        own_addresses: names.own.clone(),
        neutral_addresses: names.neutral.clone(),
        allow_loopback: config.delivery_allow_loopback_targets,
        smtp_addresses,
        answers_per_second: names.answers_per_second,
        exempt_networks: names.exempt_networks.clone(),
        connections_max: usize::try_from(config.dns_connections_max).unwrap_or(usize::MAX),
    }
}
