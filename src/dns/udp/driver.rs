//! UDP sockets of the name server: each has a thread that takes in a batch, answers it and sends the answers.

use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
use tokio_util::sync::CancellationToken;

use crate::base::Clock;
use crate::dns::answer::UDP_OCTETS_MAX;
use crate::dns::driver::{BindError, Desk};

/// Datagrams that one system call takes in.
const BATCH: usize = 64;
/// Room for a question; a longer one is no question of a resolver, and is seen to be cut.
const BUFFER_OCTETS: usize = 1_232;
/// Receive buffer asked of the kernel, octets: some 4,000 questions.
const RECEIVE_BUFFER_OCTETS: usize = 1024 * 1024;
/// Longest wait for a question, so that the thread sees that the service ends.
const WAIT: Duration = Duration::from_millis(500);
/// Pause after a failed receive, so that a failure that stays does not burn a core.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
/// Threads on one address, at most; the kernel spreads askers over them.
const THREADS_MAX: usize = 8;

/// Threads on one address of this machine.
#[must_use]
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS_MAX)
}

/// Binds one UDP address as often as there are threads to serve it. On a wildcard address of a host with several
/// addresses the kernel chooses the source of answers: list such addresses one by one.
///
/// # Errors
/// [`BindError`] with the address.
pub fn bind(address: SocketAddr) -> Result<Vec<UdpSocket>, BindError> {
    let first = bind_socket(address).map_err(|source| BindError { address, source })?;
    // Port 0 is chosen once, by the first.
    let address = first.local_addr().map_err(|source| BindError { address, source })?;
    let mut all = vec![first];
    for _ in 1..threads() {
        all.push(bind_socket(address).map_err(|source| BindError { address, source })?);
    }
    Ok(all)
}

fn bind_socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(true)?;
    // Beyond the system's limit the kernel gives what it may.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_OCTETS);
    socket.set_read_timeout(Some(WAIT))?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Serves a socket on a thread of its own until `shutdown`.
///
/// # Errors
/// That of the thread.
pub fn serve(socket: UdpSocket, desk: Arc<Desk>, shutdown: CancellationToken) -> std::io::Result<()> {
    std::thread::Builder::new().name("dns".to_owned()).spawn(move || {
        let mut inlet = Inlet::new();
        let mut outlet = Outlet::default();
        while !shutdown.is_cancelled() {
            match inlet.receive(&socket) {
                Ok(()) => {}
                Err(error) => {
                    // An ICMP error of an earlier answer, or short memory: neither ends the service.
                    tracing::debug!(%error, "name server socket");
                    std::thread::sleep(ERROR_PAUSE);
                    continue;
                }
            }
            if !inlet.arrived.is_empty() {
                answer_all(&inlet, &desk, &mut outlet);
                outlet.send(&socket);
            }
        }
    })?;
    Ok(())
}

fn answer_all(inlet: &Inlet, desk: &Desk, outlet: &mut Outlet) {
    let now = (Clock.monotonic(), Clock.wall());
    let catalog = desk.catalog();
    for ((octets, peer), buffer) in inlet.arrived.iter().zip(&inlet.buffers) {
        let (Some(question), Some(peer)) = (buffer.get(..*octets), peer) else { continue };
        let from = outlet.octets.len();
        desk.answer_datagram(&catalog, question, peer.ip(), now, &mut outlet.octets);
        if outlet.octets.len() > from {
            outlet.ends.push((outlet.octets.len(), *peer));
        }
    }
}

/// Answers of one batch, one behind the other.
#[derive(Default)]
struct Outlet {
    octets: Vec<u8>,
    /// Where each ends, and whom it goes to.
    ends: Vec<(usize, SocketAddr)>,
}

impl Outlet {
    /// Sends all and empties itself. What the kernel does not take is lost, as on any line.
    fn send(&mut self, socket: &UdpSocket) {
        let addresses: Vec<SocketAddrAny> = self.ends.iter().map(|(_, peer)| peer.as_any()).collect();
        let mut slices = Vec::with_capacity(self.ends.len());
        let mut from = 0;
        for (end, _) in &self.ends {
            slices.push([std::io::IoSlice::new(self.octets.get(from..*end).unwrap_or_default())]);
            from = *end;
        }
        let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> =
            self.ends.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let mut messages: Vec<MMsgHdr<'_>> = addresses
            .iter()
            .zip(&slices)
            .zip(&mut controls)
            .map(|((address, slice), control)| MMsgHdr::new_with_addr(address, slice, control))
            .collect();
        let mut rest = messages.as_mut_slice();
        while !rest.is_empty() {
            let sent = match sendmmsg(socket, rest, SendFlags::DONTWAIT) {
                Ok(sent) => sent.max(1),
                Err(error) => {
                    tracing::debug!(%error, "answer not sent");
                    1
                }
            };
            rest = rest.get_mut(sent..).unwrap_or_default();
        }
        drop(messages);
        drop((controls, slices));
        self.octets.clear();
        self.ends.clear();
        // A batch of long answers does not hold its room for ever.
        self.octets.shrink_to(BATCH * UDP_OCTETS_MAX);
    }
}

/// What one system call takes in.
struct Inlet {
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Vec<[u8; BUFFER_OCTETS]>,
    /// Octets and source of each datagram of the batch.
    arrived: Vec<(usize, Option<SocketAddr>)>,
}

impl Inlet {
    fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![[0; BUFFER_OCTETS]; BATCH],
            arrived: Vec::with_capacity(BATCH),
        }
    }

    /// Waits for the first datagram, then takes in what else is there, 64 at most.
    fn receive(&mut self, socket: &UdpSocket) -> nix::Result<()> {
        self.arrived.clear();
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        let flags = MsgFlags::MSG_WAITFORONE;
        match recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None) {
            Ok(messages) => {
                self.arrived.extend(messages.map(|message| (message.bytes, message.address.and_then(address_of))));
                Ok(())
            }
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn address_of(address: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::new(IpAddr::V4(v4.ip()), v4.port()));
    v4.or_else(|| {
        let v6 = address.as_sockaddr_in6()?;
        Some(SocketAddrV6::new(v6.ip(), v6.port(), v6.flowinfo(), v6.scope_id()).into())
    })
    // Answers to port 0 go nowhere, and the ports of echo and its like belong to no resolver.
    .filter(|peer| peer.port() != 0)
}
