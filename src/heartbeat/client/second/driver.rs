//! Runs the second path on a thread of its own, so that neither path waits for the other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Patience;
use crate::base::{Clock, Moment};
use crate::heartbeat::client::cadence::Client;
use crate::heartbeat::client::driver::{Options, is_only_quiet};
use crate::heartbeat::client::event::{ClientEvent, ClientKeys, ClientSettings, MailReport};
use crate::heartbeat::client::report::Report;
use crate::heartbeat::client::route::{Families, Route, RouteEvent};
use crate::heartbeat::client::suspend::SuspendWatch;
use crate::heartbeat::datagram::{ReplyFlags, SHORT_OCTETS};
use crate::heartbeat::token::Token;

/// How long the thread waits for a datagram before it looks at its orders again.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// How long the end of the thread is waited for: longer than its goodbyes take.
const END_WITHIN: Duration = Duration::from_millis(700);

enum Order {
    Mail(MailReport),
    Token(Token),
}

/// The running second path.
pub(in crate::heartbeat::client) struct SecondPath {
    orders: Sender<Order>,
    reports: Receiver<Report>,
    is_wanted: Arc<AtomicBool>,
    is_ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl SecondPath {
    /// Nothing where there cannot be one: the server is an address or the own address is given, or the user says so.
    pub(in crate::heartbeat::client) fn start(options: &Options) -> Option<Self> {
        let has_one_family = options.one_family || options.bind.is_some();
        if has_one_family || options.server.parse::<SocketAddr>().is_ok() {
            return None;
        }
        let mut seed = [0u8; 32];
        getrandom::fill(&mut seed).ok()?;
        let clock = Clock;
        let now = clock.monotonic();
        let settings = ClientSettings { interval: options.interval, path: 1 };
        let ((orders, given), (tell, reports)) = (channel(), channel());
        let (is_wanted, is_ending) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut running = Running {
            client: Client::new(ClientKeys::new(&options.token), settings, seed, now),
            server: options.server.clone(),
            route: None,
            patience: Patience::new(now),
            given,
            tell,
            known_as: None,
            is_wanted: Arc::clone(&is_wanted),
            is_ending: Arc::clone(&is_ending),
            clock,
            suspend: SuspendWatch::new(now, clock.wall()),
        };
        let run = move || while running.step() {};
        let thread = std::thread::Builder::new().name("second path".to_owned()).spawn(run).ok()?;
        Some(Self { orders, reports, is_wanted, is_ending, thread })
    }

    /// Whether the first path leaves IPv6 to this one.
    pub(in crate::heartbeat::client) fn set_wanted(&self, is_wanted: bool) {
        self.is_wanted.store(is_wanted, Ordering::Relaxed);
    }

    /// As [`Client::handle_mail`].
    pub(in crate::heartbeat::client) fn handle_mail(&self, report: MailReport) {
        // The thread ends only after the client.
        let _ = self.orders.send(Order::Mail(report));
    }

    /// As [`Client::handle_new_token`].
    pub(in crate::heartbeat::client) fn handle_token(&self, token: Token) {
        let _ = self.orders.send(Order::Token(token));
    }

    /// Says goodbye and ends.
    pub(in crate::heartbeat::client) fn say_goodbye(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// What is new.
    pub(in crate::heartbeat::client) fn reports(&self) -> Vec<Report> {
        self.reports.try_iter().collect()
    }

    /// Waits for the goodbye, for a moment at most.
    pub(in crate::heartbeat::client) fn end(self) {
        self.say_goodbye();
        let end = Clock.monotonic() + END_WITHIN;
        while !self.thread.is_finished() && Clock.monotonic() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

struct Running {
    client: Client,
    server: String,
    /// While the path is tried.
    route: Option<Route>,
    patience: Patience,
    given: Receiver<Order>,
    tell: Sender<Report>,
    /// What was told last.
    known_as: Option<Report>,
    is_wanted: Arc<AtomicBool>,
    is_ending: Arc<AtomicBool>,
    clock: Clock,
    suspend: SuspendWatch,
}

impl Running {
    /// One turn; false at the end.
    fn step(&mut self) -> bool {
        let now = self.clock.monotonic();
        self.notice_suspend(now);
        self.take_orders(now);
        if self.is_ending.load(Ordering::Relaxed) {
            if self.known_as.is_none() {
                return false;
            }
            self.client.say_goodbye(None, now);
        } else if !self.is_wanted.load(Ordering::Relaxed) {
            // Not to be tried is no failure.
            self.patience.restart(now);
            return self.rest();
        } else if !self.patience.tries(now) {
            return self.rest();
        } else {
            self.follow_route(now);
        }
        let has_socket = self.route.as_ref().is_some_and(|route| route.socket().is_some());
        if !has_socket {
            // Without one there is nothing to time, and nothing was ever proven.
            std::thread::sleep(WAIT_MAX);
            return !self.is_ending.load(Ordering::Relaxed);
        }
        self.client.handle_timeout(now);
        self.transmit();
        self.pass_on_events(now);
        let Some(due) = self.client.poll_timeout() else { return false };
        let wait = due.since(now).min(WAIT_MAX);
        if !wait.is_zero() {
            self.receive(wait);
        }
        true
    }

    fn rest(&mut self) -> bool {
        self.route = None;
        std::thread::sleep(WAIT_MAX);
        true
    }

    fn notice_suspend(&mut self, now: Moment) {
        if self.suspend.handle_look(now, self.clock.wall()) {
            self.patience.restart(now);
            self.client.handle_resume(now);
        }
    }

    fn take_orders(&mut self, now: Moment) {
        for order in self.given.try_iter().collect::<Vec<_>>() {
            match order {
                Order::Mail(report) => self.client.handle_mail(report, now),
                Order::Token(token) => self.client.handle_new_token(ClientKeys::new(&token), now),
            }
        }
    }

    fn follow_route(&mut self, now: Moment) {
        let route = self.route.get_or_insert_with(|| Route::new(self.server.clone(), None, Families::V6Only));
        let had_socket = route.socket().is_some();
        match route.turn(now) {
            Some(RouteEvent::Ready) if had_socket => self.client.handle_new_socket(now),
            Some(RouteEvent::Ready) => {
                self.patience.restart(now);
                self.client.handle_change(now);
            }
            Some(RouteEvent::Changed) => {
                self.patience.restart(now);
                self.client.handle_change(now);
            }
            // A server or a network without IPv6 is the ordinary case and nothing to tell.
            Some(RouteEvent::Failed(_)) => self.patience.restart(now),
            None => {}
        }
    }

    fn transmit(&mut self) {
        while let Some(octets) = self.client.poll_transmit() {
            if let Some(socket) = self.route.as_ref().and_then(Route::socket) {
                // Whatever fails here looks like a lost datagram and is mended like one.
                let _ = socket.send(&octets);
            }
        }
    }

    fn receive(&mut self, wait: Duration) {
        let socket = self.route.as_ref().and_then(Route::socket);
        let Some(socket) = socket.filter(|socket| socket.set_read_timeout(Some(wait)).is_ok()) else {
            std::thread::sleep(wait);
            return;
        };
        let mut buffer = [0u8; SHORT_OCTETS + 1];
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let now = self.clock.monotonic();
                self.client.handle_datagram(buffer.get(..length).unwrap_or_default(), now);
                self.transmit();
                self.pass_on_events(now);
            }
            Err(error) if is_only_quiet(&error) => {}
            Err(_) => std::thread::sleep(wait.min(Duration::from_millis(20))),
        }
    }

    fn pass_on_events(&mut self, now: Moment) {
        while let Some(event) = self.client.poll_event() {
            match event {
                ClientEvent::Replied(reply) => {
                    self.patience.restart(now);
                    if reply.flags.has(ReplyFlags::PROVEN) {
                        self.say(Report::SecondPath(Some(reply.observed.ip())));
                    }
                }
                ClientEvent::Unanswered if self.known_as.is_some() => self.say(Report::SecondPath(None)),
                ClientEvent::NewSocketWanted => {
                    if let Some(route) = &mut self.route {
                        route.renew_elsewhere();
                    }
                }
                // The first path tells and follows the rest.
                ClientEvent::Unanswered
                | ClientEvent::WayChanged(_)
                | ClientEvent::HttpsFailed
                | ClientEvent::EndpointOrdered(_)
                | ClientEvent::MoreToFetch
                | ClientEvent::Superseded
                | ClientEvent::Ended { .. } => {}
            }
        }
    }

    fn say(&mut self, report: Report) {
        if self.known_as.as_ref() != Some(&report) {
            self.known_as = Some(report.clone());
            // The client has ended.
            let _ = self.tell.send(report);
        }
    }
}
