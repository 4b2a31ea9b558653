//! Moves datagrams between one client machine and its socket, and tells it what happens to the socket and the machine.

use std::net::IpAddr;
use std::time::Duration;

use crate::base::{Clock, Moment};
use crate::heartbeat::client::cadence::Client;
use crate::heartbeat::client::driver::{ClientError, Options};
use crate::heartbeat::client::event::{ClientEvent, ClientKeys, ClientSettings};
use crate::heartbeat::client::route::{Families, Route, RouteEvent};
use crate::heartbeat::client::suspend::SuspendWatch;
use crate::heartbeat::datagram::SHORT_OCTETS;

/// How long a path waits for a datagram before it looks at its orders again.
pub(in crate::heartbeat::client) const WAIT_MAX: Duration = Duration::from_millis(100);

/// One path to the server.
pub(in crate::heartbeat::client) struct Uplink {
    pub(in crate::heartbeat::client) client: Client,
    servers: Vec<String>,
    bind: Option<IpAddr>,
    families: Families,
    /// Further servers that the server named.
    endpoints: Vec<String>,
    /// While the path is tried.
    route: Option<Route>,
    clock: Clock,
    suspend: SuspendWatch,
    /// A beat was due before there was a socket.
    is_overdue: bool,
}

impl Uplink {
    /// Path 0 or 1 of the client. No socket yet.
    ///
    /// # Errors
    /// [`ClientError::NoRandomness`].
    pub(in crate::heartbeat::client) fn new(
        options: &Options,
        path: u8,
        families: Families,
    ) -> Result<Self, ClientError> {
        let mut seed = [0u8; 32];
        getrandom::fill(&mut seed).map_err(|_| ClientError::NoRandomness)?;
        let clock = Clock;
        let now = clock.monotonic();
        let settings = ClientSettings { interval: options.interval, path };
        Ok(Self {
            client: Client::new(ClientKeys::new(&options.token), settings, seed, now),
            servers: options.servers.clone(),
            bind: options.bind,
            families,
            endpoints: Vec::new(),
            route: None,
            clock,
            suspend: SuspendWatch::new(now, clock.wall()),
            is_overdue: false,
        })
    }

    pub(in crate::heartbeat::client) fn now(&self) -> Moment {
        self.clock.monotonic()
    }

    /// Where the server says it can be reached.
    pub(in crate::heartbeat::client) fn set_endpoints(&mut self, endpoints: Vec<String>) {
        if let Some(route) = &mut self.route {
            route.set_endpoints(endpoints.clone());
        }
        self.endpoints = endpoints;
    }

    /// The way, which begins to be looked for now if there is none.
    fn route(&mut self) -> &mut Route {
        let (servers, bind, families, endpoints) = (&self.servers, self.bind, self.families, &self.endpoints);
        self.route.get_or_insert_with(|| {
            let mut route = Route::new(servers, bind, families);
            route.set_endpoints(endpoints.clone());
            route
        })
    }

    pub(in crate::heartbeat::client) fn has_socket(&self) -> bool {
        self.route.as_ref().is_some_and(|route| route.socket().is_some())
    }

    /// The family of the socket.
    pub(in crate::heartbeat::client) fn is_v4(&self) -> Option<bool> {
        self.route.as_ref()?.is_v4()
    }

    /// The own address towards the server, while there is a socket.
    pub(in crate::heartbeat::client) fn own(&self) -> Option<IpAddr> {
        self.route.as_ref()?.own()
    }

    /// Lets go of the socket; the next turn begins anew.
    pub(in crate::heartbeat::client) fn rest(&mut self) {
        self.route = None;
        self.is_overdue = true;
    }

    /// Whether the machine slept; its client draws a new boot id then.
    pub(in crate::heartbeat::client) fn notice_suspend(&mut self, now: Moment) -> bool {
        let slept = self.suspend.handle_look(now, self.clock.wall());
        if slept {
            self.stir();
            self.client.handle_resume(now);
        }
        slept
    }

    fn stir(&mut self) {
        let mut seed = [0u8; 32];
        // Without fresh numbers the old ones have to do.
        if getrandom::fill(&mut seed).is_ok() {
            self.client.stir(&seed);
        }
    }

    /// Goes on with the way and tells the client what changed.
    pub(in crate::heartbeat::client) fn follow_route(&mut self, now: Moment) -> Option<RouteEvent> {
        let event = self.route().turn(now)?;
        match &event {
            RouteEvent::Ready { is_first: false } => self.client.handle_new_socket(now),
            RouteEvent::Ready { is_first: true } if std::mem::take(&mut self.is_overdue) => {
                self.client.handle_change(now);
            }
            RouteEvent::Changed => self.client.handle_change(now),
            RouteEvent::Ready { is_first: true } | RouteEvent::Failed(_) => {}
        }
        Some(event)
    }

    /// Sends what is to be sent.
    pub(in crate::heartbeat::client) fn transmit(&mut self) {
        while let Some(octets) = self.client.poll_transmit() {
            // Whatever fails here looks like a lost datagram and is mended like one.
            match self.route.as_ref().and_then(Route::socket) {
                Some(socket) => drop(socket.send(&octets)),
                None => self.is_overdue = true,
            }
        }
    }

    /// Waits for one datagram and sends what follows from it.
    pub(in crate::heartbeat::client) fn receive(&mut self, wait: Duration) {
        let socket = self.route.as_ref().and_then(Route::socket);
        let Some(socket) = socket.filter(|socket| socket.set_read_timeout(Some(wait)).is_ok()) else {
            std::thread::sleep(wait);
            return;
        };
        let mut buffer = [0u8; SHORT_OCTETS + 1];
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let now = self.now();
                self.client.handle_datagram(buffer.get(..length).unwrap_or_default(), now);
                self.transmit();
            }
            Err(error) if is_only_quiet(&error) => {}
            // A port that nobody listens on answers at once: not to be asked again and again.
            Err(_) => std::thread::sleep(wait.min(Duration::from_millis(20))),
        }
    }

    /// The next event; what it asks of the way is done.
    pub(in crate::heartbeat::client) fn next_event(&mut self) -> Option<ClientEvent> {
        let event = self.client.poll_event()?;
        if event == ClientEvent::NewSocketWanted {
            self.stir();
            self.route.iter_mut().for_each(Route::renew_elsewhere);
        }
        if let (ClientEvent::EndpointOrdered(index), Some(route)) = (&event, &mut self.route) {
            route.renew_at(usize::from(*index));
        }
        Some(event)
    }
}

/// Whether nothing came within the time, or a signal did.
fn is_only_quiet(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
