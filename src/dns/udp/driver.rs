//! UDP sockets of the name server: each has a thread that takes in a batch, answers it and sends the answers.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::base::Clock;
use crate::base::batch::driver::{self as base_batch, BATCH, send_all};
use crate::dns::answer::UDP_OCTETS_MAX;
use crate::dns::desk::Desk;
use crate::dns::driver::BindError;

/// Room for a question; a longer one is no question of a resolver, and is seen to be cut.
const BUFFER_OCTETS: usize = 1_232;

type Inlet = base_batch::Inlet<BUFFER_OCTETS>;

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
    let socket = Arc::new(socket);
    std::thread::Builder::new().name("dns".to_owned()).spawn(move || {
        let mut inlet = Inlet::default();
        let mut outlet = Outlet::default();
        while !shutdown.is_cancelled() {
            match inlet.wait(&socket) {
                Ok(()) => {}
                Err(error) => {
                    // An ICMP error of an earlier answer, or short memory: neither ends the service.
                    tracing::debug!(%error, "name server socket");
                    std::thread::sleep(ERROR_PAUSE);
                    continue;
                }
            }
            answer_all(&inlet, &desk, &mut outlet);
            hand_over_updates(&inlet, &desk, &socket);
            outlet.send(&socket);
        }
    })?;
    Ok(())
}

fn answer_all(inlet: &Inlet, desk: &Desk, outlet: &mut Outlet) {
    let now = (Clock.monotonic(), Clock.wall());
    let catalog = desk.catalog();
    // An answer to port 0 goes nowhere.
    let questions = inlet.arrived().filter(|(question, peer)| peer.port() != 0 && !Desk::is_update(question));
    for (question, peer) in questions {
        let from = outlet.octets.len();
        desk.answer_datagram(&catalog, question, peer.ip(), now, &mut outlet.octets);
        if outlet.octets.len() > from {
            outlet.ends.push((outlet.octets.len(), peer));
        }
    }
}

/// Updates are answered by those who carry them out, once they are stored.
fn hand_over_updates(inlet: &Inlet, desk: &Desk, socket: &Arc<UdpSocket>) {
    for (update, peer) in inlet.arrived().filter(|(octets, peer)| peer.port() != 0 && Desk::is_update(octets)) {
        let socket = Arc::clone(socket);
        let reply = move |answer: Vec<u8>| {
            // What the kernel does not take is lost, as on any line; the update is sent again.
            let _ = socket.send_to(&answer, peer);
        };
        desk.take_update(update, peer, (Clock.monotonic(), Clock.wall()), false, Box::new(reply));
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
        let mut datagrams = Vec::with_capacity(self.ends.len());
        let mut from = 0;
        for (end, peer) in &self.ends {
            datagrams.push((self.octets.get(from..*end).unwrap_or_default(), *peer));
            from = *end;
        }
        send_all(socket, &datagrams);
        self.octets.clear();
        self.ends.clear();
        // A batch of long answers does not hold its room for ever.
        self.octets.shrink_to(BATCH * UDP_OCTETS_MAX);
    }
}
