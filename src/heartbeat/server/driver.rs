//! UDP sockets of the heartbeat server: moves datagrams between them and the table.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::event::{BeatListener, OpenedBeatKey};
use super::path::Source;
use super::table::{Counters, PlainVerdict, Settings, Table, Transmit};
use crate::base::{AccountId, Clock, EndpointId};
use crate::heartbeat::datagram::{DATAGRAM_OCTETS_MAX, Locator};

/// Receive buffer asked of the kernel, octets: about 30,000 beats, so that a pause of the process loses none.
const RECEIVE_BUFFER_OCTETS: usize = 4 * 1024 * 1024;

/// Pause after a failed receive, so that a failure that stays does not burn a core.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// Why an address for heartbeats could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The kernel refused the address.
    #[error("cannot listen for heartbeats on UDP {address}: {source}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// The kernel's words.
        source: std::io::Error,
    },
    /// A socket could not be handed to the runtime.
    #[error("the heartbeat socket failed: {0}")]
    Socket(#[from] std::io::Error),
    /// No random bytes for cookies.
    #[error("the system has no random numbers")]
    NoRandomness,
}

/// Binds one UDP address for heartbeats.
///
/// On a wildcard address of a host with several addresses the kernel chooses the source of replies, and a client
/// ignores replies from elsewhere: list such addresses one by one.
///
/// # Errors
/// [`BindError::Bind`] with the address.
pub fn bind(address: SocketAddr) -> Result<std::net::UdpSocket, BindError> {
    bind_socket(address).map_err(|source| BindError::Bind { address, source })
}

fn bind_socket(address: SocketAddr) -> std::io::Result<std::net::UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A kernel with a lower limit gives what it may; beats still arrive.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_OCTETS);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The running heartbeat server.
pub struct BeatServer {
    table: Mutex<Table>,
    sockets: Vec<UdpSocket>,
    listener: Arc<dyn BeatListener>,
    moved: Notify,
    clock: Clock,
}

impl std::fmt::Debug for BeatServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BeatServer").field("sockets", &self.sockets.len()).finish_non_exhaustive()
    }
}

impl BeatServer {
    /// Serves the sockets until `shutdown`. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`BindError::Socket`] if a socket cannot be used, [`BindError::NoRandomness`].
    pub fn start(
        settings: Settings,
        sockets: Vec<std::net::UdpSocket>,
        keys: Vec<OpenedBeatKey>,
        listener: Arc<dyn BeatListener>,
        shutdown: &CancellationToken,
    ) -> Result<Arc<Self>, BindError> {
        let mut seed = [0u8; 32];
        getrandom::fill(&mut seed).map_err(|_| BindError::NoRandomness)?;
        let sockets = sockets
            .into_iter()
            .map(|socket| {
                socket.set_nonblocking(true)?;
                UdpSocket::from_std(socket)
            })
            .collect::<std::io::Result<Vec<_>>>()?;
        let (table, moved, clock) = (Mutex::new(Table::new(settings, seed)), Notify::new(), Clock);
        let server = Arc::new(Self { table, sockets, listener, moved, clock });
        server.replace_keys(keys);
        for socket in 0..server.sockets.len() {
            tokio::spawn(Arc::clone(&server).receive(socket, shutdown.clone()));
        }
        tokio::spawn(Arc::clone(&server).settle_moves(shutdown.clone()));
        Ok(server)
    }

    /// Replaces all keys; runs under unchanged keys go on.
    pub fn replace_keys(&self, keys: Vec<OpenedBeatKey>) {
        self.table().replace_keys(keys, self.clock.monotonic(), self.clock.wall());
    }

    /// As [`Table::ask_for_renewal`].
    pub fn ask_for_renewal(&self, keys: HashSet<Locator>) {
        self.table().ask_for_renewal(keys);
    }

    /// What was dropped and answered so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.table().counters()
    }

    /// A datagram came in an HTTP request from `peer`; the datagram to answer it with, or silence.
    pub fn handle_over_http(&self, octets: &[u8], peer: SocketAddr) -> Option<Vec<u8>> {
        let source = Source { peer, socket: Source::OVER_HTTP };
        let now = (self.clock.monotonic(), self.clock.wall());
        let mut table = self.table();
        let answer = table.handle_datagram(octets, source, now, &*self.listener);
        if table.poll_timeout().is_some() {
            self.moved.notify_one();
        }
        answer.map(|transmit| transmit.octets)
    }

    /// As [`Table::handle_plain`], now.
    pub fn handle_plain(&self, locator: Locator, address: IpAddr, interval: Duration) -> Option<PlainVerdict> {
        self.table().handle_plain(locator, address, interval, self.clock.monotonic(), &*self.listener)
    }

    /// As [`Table::endpoint_of`], now.
    #[must_use]
    pub fn endpoint_of(&self, locator: Locator) -> Option<(AccountId, EndpointId)> {
        self.table().endpoint_of(locator, self.clock.monotonic())
    }

    /// The addresses served, with the ports that the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn receive(self: Arc<Self>, index: usize, shutdown: CancellationToken) {
        let Some(socket) = self.sockets.get(index) else { return };
        // One octet more than the longest, so that a longer datagram is seen to be too long.
        let mut buffer = [0u8; DATAGRAM_OCTETS_MAX + 1];
        loop {
            let received = tokio::select! {
                () = shutdown.cancelled() => return,
                received = socket.recv_from(&mut buffer) => received,
            };
            let (octets, peer) = match received {
                Ok((length, peer)) => (buffer.get(..length).unwrap_or_default(), peer),
                Err(error) => {
                    // An ICMP error of an earlier reply, or short memory: neither ends the service.
                    tracing::debug!(%error, "heartbeat socket");
                    tokio::time::sleep(ERROR_PAUSE).await;
                    continue;
                }
            };
            let answer = {
                let mut table = self.table();
                let source = Source { peer, socket: index };
                let now = (self.clock.monotonic(), self.clock.wall());
                let answer = table.handle_datagram(octets, source, now, &*self.listener);
                if table.poll_timeout().is_some() {
                    self.moved.notify_one();
                }
                answer
            };
            if let Some(transmit) = answer {
                self.send(&transmit).await;
            }
        }
    }

    async fn settle_moves(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            let due = self.table().poll_timeout();
            let wait = async {
                match due {
                    Some(at) => tokio::time::sleep(at.since(self.clock.monotonic())).await,
                    None => self.moved.notified().await,
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = wait => {}
            }
            let now = (self.clock.monotonic(), self.clock.wall());
            let out = self.table().handle_timeout(now, &*self.listener);
            for transmit in &out {
                self.send(transmit).await;
            }
        }
    }

    async fn send(&self, transmit: &Transmit) {
        let Some(socket) = self.sockets.get(transmit.socket) else { return };
        if let Err(error) = socket.send_to(&transmit.octets, transmit.to).await {
            tracing::debug!(%error, peer = %transmit.to, "heartbeat answer not sent");
        }
    }
}
