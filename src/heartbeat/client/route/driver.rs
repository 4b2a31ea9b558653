//! The socket to the server: finds the address of its name on a thread of its own and notices changed routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use crate::base::Moment;

/// Between two looks at the own address towards the server: four system calls each. Asked instead of being told by the
/// system, because also a route that changed shows so, on every system alike.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between two tries to find the server while there is no socket.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// The same for the second path.
const SECOND_RETRY_EVERY: Duration = Duration::from_secs(60);
/// Endpoints that are taken over from the server.
const ENDPOINTS_MAX: usize = 8;

type Found = std::io::Result<Vec<SocketAddr>>;

/// Which of the server's addresses serve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::heartbeat::client) enum Families {
    /// Any, in the order that they are found in.
    Any,
    /// Those of IPv4, and others only if none of them can be reached: the first of two paths.
    V4First,
    /// Those of IPv6: the second of two paths.
    V6Only,
}

impl Families {
    /// The addresses of the first choice, and those of the second.
    fn choices(self, addresses: &[SocketAddr]) -> [Vec<SocketAddr>; 2] {
        let (v4, v6): (Vec<_>, Vec<_>) = addresses.iter().copied().partition(SocketAddr::is_ipv4);
        match self {
            Self::Any => [addresses.to_vec(), Vec::new()],
            Self::V4First => [v4, v6],
            Self::V6Only => [v6, Vec::new()],
        }
    }

    /// Between two tries to find the server while there is no socket: one that has no IPv6 address seldom gets one.
    const fn retry_every(self) -> Duration {
        match self {
            Self::Any | Self::V4First => RETRY_EVERY,
            Self::V6Only => SECOND_RETRY_EVERY,
        }
    }
}

pub(in crate::heartbeat::client) struct Route {
    families: Families,
    server: String,
    /// The user's further ones.
    others: Vec<String>,
    /// Further ones that the server named over HTTPS.
    endpoints: Vec<String>,
    bind: Option<IpAddr>,
    socket: Option<UdpSocket>,
    looking: Option<Receiver<Found>>,
    /// Which of the server's addresses is tried first.
    turn: usize,
    next_look: Moment,
    own: Option<IpAddr>,
}

/// What [`Route::turn`] found.
#[derive(Debug)]
pub(in crate::heartbeat::client) enum RouteEvent {
    /// A first or another socket is there.
    Ready {
        /// There was none before.
        is_first: bool,
    },
    /// The own address towards the server is another.
    Changed,
    /// No address of the server can be reached.
    Failed(String),
}

impl Route {
    /// A route to the first of `servers`, to the others while that one does not answer.
    pub(in crate::heartbeat::client) fn new(servers: &[String], bind: Option<IpAddr>, families: Families) -> Self {
        let (server, others) =
            servers.split_first().map_or((String::new(), &[][..]), |(first, rest)| (first.clone(), rest));
        let mut route = Self {
            families,
            server,
            others: others.to_vec(),
            endpoints: Vec::new(),
            bind,
            socket: None,
            looking: None,
            turn: 0,
            next_look: Moment::default(),
            own: None,
        };
        route.renew();
        route
    }

    /// Where the server says it can be reached, in its order. An empty list changes nothing.
    pub(in crate::heartbeat::client) fn set_endpoints(&mut self, mut endpoints: Vec<String>) {
        endpoints.truncate(ENDPOINTS_MAX);
        if !endpoints.is_empty() {
            self.endpoints = endpoints;
        }
    }

    /// The family of the socket.
    pub(in crate::heartbeat::client) fn is_v4(&self) -> Option<bool> {
        self.socket.as_ref()?.peer_addr().ok().map(|peer| peer.is_ipv4())
    }

    /// The own address towards the server.
    pub(in crate::heartbeat::client) const fn own(&self) -> Option<IpAddr> {
        self.own
    }

    /// Wants a socket to the endpoint that the server named at this place, if there is one.
    pub(in crate::heartbeat::client) fn renew_at(&mut self, index: usize) {
        let Some(endpoint) = self.endpoints.get(index).filter(|endpoint| **endpoint != self.server) else { return };
        self.server = endpoint.clone();
        self.turn = 0;
        self.renew();
    }

    /// Wants another socket to the next of the server's addresses.
    pub(in crate::heartbeat::client) fn renew_elsewhere(&mut self) {
        self.turn = self.turn.wrapping_add(1);
        self.renew();
    }

    /// Wants another socket, with the name looked up again. The old one serves until then.
    fn renew(&mut self) {
        if self.looking.is_some() {
            return;
        }
        let (found, looking) = channel();
        let server = self.server.clone();
        let others: Vec<String> = self.others.iter().chain(&self.endpoints).cloned().collect();
        let look = move || {
            let others = others.iter().filter_map(|other| other.to_socket_addrs().ok()).flatten();
            let found_here = match server.to_socket_addrs() {
                Ok(addresses) => Ok(addresses.chain(others).collect()),
                Err(error) => Some(others.collect::<Vec<_>>()).filter(|others| !others.is_empty()).ok_or(error),
            };
            // The receiver is gone when the client has ended.
            let _ = found.send(found_here);
        };
        if std::thread::Builder::new().name("resolve".to_owned()).spawn(look).is_ok() {
            self.looking = Some(looking);
        }
    }

    pub(in crate::heartbeat::client) const fn socket(&self) -> Option<&UdpSocket> {
        self.socket.as_ref()
    }

    /// Goes on with what is under way.
    pub(in crate::heartbeat::client) fn turn(&mut self, now: Moment) -> Option<RouteEvent> {
        if let Some(looking) = &self.looking {
            match looking.try_recv() {
                Ok(found) => {
                    self.looking = None;
                    self.next_look = now + self.families.retry_every();
                    return Some(self.connect(found));
                }
                Err(TryRecvError::Disconnected) => self.looking = None,
                Err(TryRecvError::Empty) => {}
            }
        }
        if now < self.next_look {
            return None;
        }
        self.next_look = now + LOOK_EVERY;
        let Some(socket) = &self.socket else {
            self.next_look = now + self.families.retry_every();
            self.renew();
            return None;
        };
        let own = probe(socket, self.bind)?;
        if self.own == Some(own) {
            return None;
        }
        self.renew();
        // Told once: the socket to come knows the new address.
        self.own = Some(own);
        Some(RouteEvent::Changed)
    }

    fn connect(&mut self, found: Found) -> RouteEvent {
        let addresses = match found {
            Ok(addresses) if !addresses.is_empty() => addresses,
            Ok(_) => return RouteEvent::Failed(format!("'{}' has no address", self.server)),
            Err(error) => return RouteEvent::Failed(format!("cannot find '{}': {error}", self.server)),
        };
        let mut last = format!("'{}' has no address of this family", self.server);
        for choice in self.families.choices(&addresses) {
            for step in 0..choice.len() {
                let place = self.turn.wrapping_add(step) % choice.len();
                let Some(address) = choice.get(place) else { continue };
                match open(*address, self.bind) {
                    Ok(socket) => {
                        self.own = socket.local_addr().ok().map(|own| own.ip());
                        let is_first = self.socket.replace(socket).is_none();
                        self.turn = place;
                        return RouteEvent::Ready { is_first };
                    }
                    Err(error) => last = format!("cannot send to {address}: {error}"),
                }
            }
        }
        RouteEvent::Failed(last)
    }
}

fn open(server: SocketAddr, bind: Option<IpAddr>) -> std::io::Result<UdpSocket> {
    let any = match server {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind(SocketAddr::new(bind.unwrap_or(any), 0))?;
    socket.connect(server)?;
    Ok(socket)
}

/// The own address that the system would send from now.
fn probe(socket: &UdpSocket, bind: Option<IpAddr>) -> Option<IpAddr> {
    let fresh = open(socket.peer_addr().ok()?, bind).ok()?;
    fresh.local_addr().ok().map(|own| own.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_path_takes_ipv4_and_the_second_ipv6_alone() {
        let addresses: Vec<SocketAddr> =
            ["[2001:db8::1]:1", "192.0.2.1:1", "192.0.2.2:1"].iter().map(|text| text.parse().unwrap()).collect();
        let texts = |families: Families| {
            families.choices(&addresses).map(|choice| choice.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(texts(Families::V4First), [vec!["192.0.2.1:1", "192.0.2.2:1"], vec!["[2001:db8::1]:1"]]);
        assert_eq!(texts(Families::V6Only), [vec!["[2001:db8::1]:1"], vec![]]);
        assert_eq!(texts(Families::Any)[0].len(), 3);
    }
}
