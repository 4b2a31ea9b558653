//! Listens on port 25: takes connections, gives each a place and a session, stops them in order.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::BytesMut;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::driver::{Seat, serve};
use super::counters::Counters;
use super::gate::Gate;
use super::rates::{Deed, Rates};
use super::refusals::driver::RefusalLedger;
use super::requests::FlushRequests;
use super::settings::{LISTEN_BACKLOG, Settings};
use super::through::Primaries;
use super::transactions::Transactions;
use super::{StoredListener, reply};
use crate::account::{ApiTokens, DirectoryHandle};
use crate::base::{Clock, SpoolIds};
use crate::certificate::CertificateHandle;
use crate::liveness::Lines;
use crate::recipient::RecipientBook;
use crate::spool::SpoolStore;
use crate::verdict::Checker;

/// Pause after the system refused a connection (no file descriptors left): trying at once would only burn time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The rooms that a session needs.
#[derive(Clone)]
pub struct SmtpRooms {
    /// Accounts and domains.
    pub directory: DirectoryHandle,
    /// Who lives in them.
    pub recipients: RecipientBook,
    /// How the lines to the primaries stand.
    pub lines: Arc<dyn Lines>,
    /// Where mail becomes ours.
    pub spool: Arc<dyn SpoolStore>,
    /// Who is told of it.
    pub stored: Arc<dyn StoredListener>,
    /// For STARTTLS; not offered without one.
    pub certificate: Option<CertificateHandle>,
    /// Names of messages.
    pub ids: Arc<SpoolIds>,
    /// Who looks at senders once their mail is ours.
    pub checks: Option<Arc<Checker>>,
    /// Where refused recipients are noted.
    pub refusals: Option<RefusalLedger>,
    /// Who asks primaries while a sender waits; without, all mail is stored.
    pub primaries: Option<Arc<dyn Primaries>>,
    /// By which customers' servers prove themselves; AUTH is not offered without.
    pub tokens: Option<Arc<ApiTokens>>,
}

/// What all sessions share.
pub(in crate::smtp) struct Host {
    /// For sessions that begin; a running one keeps what it began with.
    pub(in crate::smtp) settings: ArcSwap<Settings>,
    pub(in crate::smtp) counters: Arc<Counters>,
    pub(in crate::smtp) rates: Rates,
    /// Transactions open in all sessions.
    pub(in crate::smtp) transactions: Transactions,
    pub(in crate::smtp) rooms: SmtpRooms,
    pub(in crate::smtp) tls: Option<TlsAcceptor>,
    pub(in crate::smtp) shutdown: CancellationToken,
    pub(in crate::smtp) flush_requests: Mutex<FlushRequests>,
    pub(in crate::smtp) started: Instant,
    pub(in crate::smtp) clock: Clock,
}

/// Why there is no listener.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The port needs a right that the service lacks.
    #[error(
        "may not listen on {0}: run with CAP_NET_BIND_SERVICE (the systemd unit grants it) or use a port above 1023"
    )]
    NotAllowed(SocketAddr),
    /// Somebody is there.
    #[error("{0} is in use; another mail server is running here (see `ss -ltnp`)")]
    InUse(SocketAddr),
    /// No interface has the address.
    #[error("no interface of this machine has the address {0}")]
    NoSuchAddress(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// A listener with a long backlog. An IPv6 address takes IPv6 only, so that `0.0.0.0` and `[::]` go side by side
/// on every system.
///
/// # Errors
/// [`BindError`] says what to do.
pub fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    let attempt = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    attempt().map_err(|source| {
        let kind = source.kind();
        if kind == io::ErrorKind::PermissionDenied {
            BindError::NotAllowed(address)
        } else if kind == io::ErrorKind::AddrInUse {
            BindError::InUse(address)
        } else if kind == io::ErrorKind::AddrNotAvailable {
            BindError::NoSuchAddress(address)
        } else {
            BindError::Other { address, source }
        }
    })
}

/// The running server.
pub struct SmtpServer {
    tasks: TaskTracker,
    gate: Arc<Gate>,
    host: Arc<Host>,
}

/// Changes the settings of a running server.
#[derive(Clone)]
pub struct SmtpControls {
    gate: Arc<Gate>,
    host: Arc<Host>,
}

impl SmtpControls {
    /// New sessions have these from now on; places and rates are counted on by the new limits.
    pub fn change(&self, settings: Settings) {
        self.gate.change(&settings);
        self.host.rates.change(&settings);
        self.host.settings.store(Arc::new(settings));
    }
}

impl SmtpServer {
    /// Takes connections on `listeners` until `shutdown` is cancelled. Has to be called within a tokio runtime.
    #[must_use]
    pub fn start(
        settings: Settings,
        listeners: Vec<TcpListener>,
        rooms: SmtpRooms,
        shutdown: CancellationToken,
    ) -> Self {
        let gate = Gate::new(&settings);
        let tasks = TaskTracker::new();
        let host = Arc::new(Host {
            tls: rooms.certificate.as_ref().map(|certificate| TlsAcceptor::from(certificate.server_config())),
            rates: Rates::new(&settings),
            transactions: Transactions::default(),
            settings: ArcSwap::from_pointee(settings),
            counters: Arc::default(),
            rooms,
            shutdown,
            flush_requests: Mutex::default(),
            started: Instant::now(),
            clock: Clock,
        });
        for listener in listeners {
            tasks.spawn(listen(Arc::clone(&host), listener, Arc::clone(&gate), tasks.clone()));
        }
        tasks.close();
        Self { tasks, gate, host }
    }

    /// Sessions now.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.gate.sessions()
    }

    /// What was done since the start.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.host.counters)
    }

    /// Changes its settings.
    #[must_use]
    pub fn controls(&self) -> SmtpControls {
        SmtpControls { gate: Arc::clone(&self.gate), host: Arc::clone(&self.host) }
    }

    /// Returns when the listeners are closed and every session has ended: at most
    /// [`Patience::shutdown`](super::Patience::shutdown) and a few seconds after the token was cancelled.
    pub async fn stopped(self) {
        self.tasks.wait().await;
    }
}

async fn listen(host: Arc<Host>, listener: TcpListener, gate: Arc<Gate>, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = host.shutdown.cancelled() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let is_forwarder = host.rooms.directory.load().is_forwarder(peer.ip());
        if !is_forwarder
            && !host.settings.load().is_without_limits(peer.ip())
            && !host.rates.admits(peer.ip(), Deed::Connection, host.now())
        {
            tracing::info!(%peer, "network connects too often, deferred");
            host.counters.said(&reply::CONNECTS_TOO_OFTEN);
            turn_away(stream, &reply::CONNECTS_TOO_OFTEN);
            continue;
        }
        let leave = CancellationToken::new();
        let ask_to_leave = leave.clone();
        let Some(place) = gate.enter(peer.ip(), is_forwarder, host.now(), move || ask_to_leave.cancel()) else {
            tracing::info!(%peer, "too many connections, deferred");
            host.counters.said(&reply::TOO_MANY_SESSIONS);
            turn_away(stream, &reply::TOO_MANY_SESSIONS);
            continue;
        };
        if stream.set_nodelay(true).is_err() {
            // The peer is gone already.
            continue;
        }
        let host = Arc::clone(&host);
        tasks.spawn(async move {
            serve(host, stream, peer, Seat { place, leave }).await;
        });
    }
}

/// 421 without waiting: a fresh connection has room for it, and if not, the peer comes again without a word too.
fn turn_away(stream: TcpStream, reason: &reply::Reply) {
    let mut output = BytesMut::new();
    reason.write_to(&mut output);
    if let Ok(mut stream) = stream.into_std() {
        let _ = stream.write_all(&output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_ipv6_listener_leaves_ipv4_to_another() {
        let v6 = bind("[::1]:0".parse().unwrap()).unwrap();
        assert!(socket2::SockRef::from(&v6).only_v6().unwrap());
    }

    #[tokio::test]
    async fn a_second_server_on_one_port_is_told() {
        let first = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let taken = first.local_addr().unwrap();
        assert!(matches!(bind(taken), Err(BindError::InUse(address)) if address == taken));
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named() {
        let error = bind("192.0.2.1:0".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("192.0.2.1"), "{error}");
    }
}
