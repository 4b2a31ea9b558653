//! Runs the second path on a thread of its own, so that neither path waits for the other.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Patience;
use crate::base::{Clock, Moment};
use crate::heartbeat::client::driver::Options;
use crate::heartbeat::client::event::{ClientEvent, ClientKeys, MailReport};
use crate::heartbeat::client::report::Report;
use crate::heartbeat::client::route::{Families, RouteEvent};
use crate::heartbeat::client::uplink::{Uplink, WAIT_MAX};
use crate::heartbeat::datagram::ReplyFlags;
use crate::heartbeat::token::Token;

/// How long the end of the thread is waited for: longer than its goodbyes take.
const END_WITHIN: Duration = Duration::from_millis(700);

enum Order {
    Mail(MailReport),
    Token(Token),
    Endpoints(Vec<String>),
}

/// What the thread has to say.
pub(in crate::heartbeat::client) enum SecondWord {
    /// To the user.
    Report(Report),
    /// To the first path: the own address of this one.
    Own(Option<IpAddr>),
}

/// The running second path.
pub(in crate::heartbeat::client) struct SecondPath {
    orders: Sender<Order>,
    words: Receiver<SecondWord>,
    is_wanted: Arc<AtomicBool>,
    is_ending: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl SecondPath {
    /// Nothing where there cannot be one: the server is an address or the own address is given, or the user says so.
    pub(in crate::heartbeat::client) fn start(options: &Options) -> Option<Self> {
        let is_address = matches!(options.servers.as_slice(), [server] if server.parse::<SocketAddr>().is_ok());
        if options.one_family || options.bind.is_some() || is_address {
            return None;
        }
        let uplink = Uplink::new(options, 1, Families::V6Only).ok()?;
        let ((orders, given), (tell, words)) = (channel(), channel());
        let (is_wanted, is_ending) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut running = Running {
            patience: Patience::new(uplink.now()),
            uplink,
            given,
            tell,
            known_as: None,
            own: None,
            is_wanted: Arc::clone(&is_wanted),
            is_ending: Arc::clone(&is_ending),
        };
        let run = move || while running.step() {};
        let thread = std::thread::Builder::new().name("second path".to_owned()).spawn(run).ok()?;
        Some(Self { orders, words, is_wanted, is_ending, thread })
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

    /// As [`Route::set_endpoints`](crate::heartbeat::client::route::Route::set_endpoints).
    pub(in crate::heartbeat::client) fn handle_endpoints(&self, endpoints: Vec<String>) {
        let _ = self.orders.send(Order::Endpoints(endpoints));
    }

    /// Says goodbye and ends.
    pub(in crate::heartbeat::client) fn say_goodbye(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    /// What is new.
    pub(in crate::heartbeat::client) fn words(&self) -> Vec<SecondWord> {
        self.words.try_iter().collect()
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
    uplink: Uplink,
    patience: Patience,
    given: Receiver<Order>,
    tell: Sender<SecondWord>,
    /// What was told last.
    known_as: Option<Report>,
    /// The own address that was told last.
    own: Option<IpAddr>,
    is_wanted: Arc<AtomicBool>,
    is_ending: Arc<AtomicBool>,
}

impl Running {
    /// One turn; false at the end.
    fn step(&mut self) -> bool {
        let now = self.uplink.now();
        if self.uplink.notice_suspend(now) {
            self.patience.restart(now);
        }
        self.take_orders(now);
        if self.is_ending.load(Ordering::Relaxed) {
            // What was never proven has nothing to take leave of. A challenge that comes now is not answered any more.
            if self.known_as.is_none() {
                return false;
            }
            self.uplink.client.say_goodbye(None, now);
        } else if !self.is_wanted.load(Ordering::Relaxed) {
            // Not to be tried is no failure.
            self.patience.restart(now);
            return self.rest();
        } else if !self.patience.tries(now) {
            return self.rest();
        } else {
            self.follow_route(now);
        }
        if !self.uplink.has_socket() {
            // Without one there is nothing to time, and nothing was ever proven.
            std::thread::sleep(WAIT_MAX);
            return !self.is_ending.load(Ordering::Relaxed);
        }
        self.uplink.client.handle_timeout(now);
        self.uplink.transmit();
        self.pass_on_events(now);
        let Some(due) = self.uplink.client.poll_timeout() else { return false };
        let wait = due.since(now).min(WAIT_MAX);
        if !wait.is_zero() {
            self.uplink.receive(wait);
            self.pass_on_events(self.uplink.now());
        }
        true
    }

    fn rest(&mut self) -> bool {
        self.uplink.rest();
        self.tell_own();
        std::thread::sleep(WAIT_MAX);
        true
    }

    fn take_orders(&mut self, now: Moment) {
        for order in self.given.try_iter().collect::<Vec<_>>() {
            match order {
                Order::Mail(report) => self.uplink.client.handle_mail(report, now),
                Order::Token(token) => self.uplink.client.handle_new_token(ClientKeys::new(&token), now),
                Order::Endpoints(endpoints) => self.uplink.set_endpoints(endpoints),
            }
        }
    }

    fn follow_route(&mut self, now: Moment) {
        match self.uplink.follow_route(now) {
            // A server or a network without IPv6 is the ordinary case and nothing to tell.
            Some(RouteEvent::Ready { is_first: true } | RouteEvent::Changed | RouteEvent::Failed(_)) => {
                self.patience.restart(now);
            }
            Some(RouteEvent::Ready { is_first: false }) | None => {}
        }
        self.tell_own();
    }

    fn tell_own(&mut self) {
        let own = self.uplink.own();
        if self.own != own {
            self.own = own;
            let _ = self.tell.send(SecondWord::Own(own));
        }
    }

    fn pass_on_events(&mut self, now: Moment) {
        while let Some(event) = self.uplink.next_event() {
            match event {
                ClientEvent::Replied(reply) => {
                    self.patience.restart(now);
                    if reply.flags.has(ReplyFlags::PROVEN) {
                        self.say(Report::SecondPath(Some(reply.observed.ip())));
                    }
                }
                ClientEvent::Unanswered if self.known_as.is_some() => self.say(Report::SecondPath(None)),
                // The first path tells and follows the rest.
                ClientEvent::Unanswered
                | ClientEvent::NewSocketWanted
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
            let _ = self.tell.send(SecondWord::Report(report));
        }
    }
}
