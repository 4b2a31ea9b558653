//! When a client sends what, and which of the server's datagrams it believes (docs/PROTOCOL.md §8).

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::event::{ClientEvent, ClientKeys, ClientSettings, MailReport};
use super::fallback::{Fallback, Way};
use super::news::News;
use super::random::Random;
use super::sent::{Sent, SentLog};
use crate::base::Moment;
use crate::heartbeat::datagram::{
    self, BootId, COPY_MAX, ClientBody, ClientDatagram, ClientFlags, Header, ListedAddress, VERSION,
};

mod receive;

/// The interval before the server ordered another.
pub const INTERVAL_FIRST: Duration = Duration::from_secs(5);
/// Shortest interval that a user may fix or a server may order.
pub const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Longest one.
pub const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Between the datagrams of a goodbye, and how many there are.
pub const GOODBYE_EVERY: Duration = Duration::from_millis(200);
/// See [`GOODBYE_EVERY`].
pub const GOODBYES_MAX: u8 = 3;

/// Beats are up to so much early, at random, so that clients do not march in step.
const JITTER: Duration = Duration::from_millis(100);
/// Intervals without a word from the server after which only the twin is sent; unanswered beats after which a new
/// socket is wanted, a new boot id is drawn.
const FULL_COPIES_BEATS: u32 = 3;
const NEW_SOCKET_BEATS: u32 = 2;
const NEW_BOOT_BEATS: u32 = 4;
/// Endpoint index of a reply that means: this one.
const STAY: u8 = 255;
/// Silence after which each beat is one datagram.
const SINGLE_AFTER: Duration = Duration::from_secs(60);
/// How often a client asks that was told that another took over.
const SUPERSEDED_EVERY: Duration = Duration::from_secs(60);
/// Checks of the own address answered within [`REPLY_WITHIN`].
const CHECKS_MAX: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Running,
    Superseded,
    Leaving { sent: u8, next: Moment, absence_min: u16 },
    Ended,
}

struct CurrentBeat {
    number: u64,
    first_sent: Moment,
    copies_left: u8,
    copy: u8,
    is_extra: bool,
    is_answered: bool,
}

#[derive(Clone, Copy)]
struct Echo {
    server_time: u32,
    at: Moment,
    seq: u32,
}

/// One client. Call `handle_*` with what happened, drain `poll_transmit` and `poll_event`, sleep until
/// `poll_timeout`. Moments passed in must not go backwards.
pub struct Client {
    keys: ClientKeys,
    path: u8,
    random: Random,
    mode: Mode,
    boot: BootId,
    seq: u32,
    interval: Duration,
    keeps: bool,
    echo: Option<Echo>,
    proven: Option<IpAddr>,
    sent: SentLog,
    beat: Option<CurrentBeat>,
    beats: u64,
    next_beat: Moment,
    wants_extra: bool,
    unanswered: u32,
    last_heard: Moment,
    /// When the oldest beat was sent since which nothing was heard.
    waiting_since: Option<Moment>,
    fallback: Fallback,
    is_calm: bool,
    has_changed: bool,
    mail: Option<MailReport>,
    news: News,
    /// This run is proven at the server, as far as is known: news can be told.
    is_open: bool,
    checks: VecDeque<Moment>,
    transmits: VecDeque<Vec<u8>>,
    requests: VecDeque<Vec<u8>>,
    events: VecDeque<ClientEvent>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("locator", &self.keys.locator).field("seq", &self.seq).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that sends its first beat within a second. `seed` is drawn anew for each start.
    #[must_use]
    pub fn new(keys: ClientKeys, settings: ClientSettings, seed: [u8; 32], now: Moment) -> Self {
        let mut random = Random::new(seed);
        let boot = BootId(random.next());
        let next_beat = now + Duration::from_millis(random.below(1_000));
        Self {
            keys,
            path: settings.path,
            random,
            mode: Mode::Running,
            boot,
            seq: 0,
            interval: settings.interval.unwrap_or(INTERVAL_FIRST).clamp(INTERVAL_MIN, INTERVAL_MAX),
            keeps: settings.interval.is_some(),
            echo: None,
            proven: None,
            sent: SentLog::default(),
            beat: None,
            beats: 0,
            next_beat,
            wants_extra: false,
            unanswered: 0,
            last_heard: now,
            waiting_since: None,
            fallback: Fallback::absent(now),
            is_calm: false,
            has_changed: false,
            mail: None,
            news: News::default(),
            is_open: false,
            checks: VecDeque::new(),
            transmits: VecDeque::new(),
            requests: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// There is a way over HTTPS: drain [`poll_request`](Self::poll_request) from now on.
    pub const fn offer_https(&mut self) {
        self.fallback.begin();
    }

    /// The next datagram to send in an HTTPS request. Each gets either [`handle_response`](Self::handle_response) or
    /// [`handle_request_failed`](Self::handle_request_failed).
    pub fn poll_request(&mut self) -> Option<Vec<u8>> {
        self.requests.pop_front()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Whether the server has proven this client where it is, and no other machine uses its token since.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proven.is_some() && self.mode != Mode::Superseded
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; nothing once the goodbye is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        match self.mode {
            Mode::Running | Mode::Superseded => {
                let request = self.fallback.poll_timeout(self.waiting_since);
                [Some(self.next_beat), self.next_copy(), request].into_iter().flatten().min()
            }
            Mode::Leaving { next, .. } => Some(next),
            Mode::Ended => None,
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.sent.judge(now);
        if matches!(self.mode, Mode::Running | Mode::Superseded) && self.fallback.takes_over(self.waiting_since, now) {
            self.send_beat(Way::Https, self.copy_now(now), now);
        }
        match self.mode {
            Mode::Running | Mode::Superseded if now >= self.next_beat => self.begin_beat(now),
            Mode::Running | Mode::Superseded if self.next_copy().is_some_and(|at| now >= at) => self.send_copy(now),
            Mode::Running | Mode::Superseded | Mode::Ended => {}
            Mode::Leaving { next, .. } if now < next => {}
            Mode::Leaving { sent, .. } if sent >= GOODBYES_MAX => self.end(false),
            Mode::Leaving { sent, absence_min, .. } => {
                self.mode = Mode::Leaving { sent: sent + 1, next: now + GOODBYE_EVERY, absence_min };
                self.send_beat(Way::Udp, 0, now);
            }
        }
    }

    /// A datagram arrived. Without the server's tag for this run it is ignored.
    pub fn handle_datagram(&mut self, octets: &[u8], now: Moment) {
        self.handle_octets(octets, Way::Udp, now);
    }

    /// The octets of the answer to a request.
    pub fn handle_response(&mut self, octets: &[u8], now: Moment) {
        if !self.handle_octets(octets, Way::Https, now) {
            self.handle_request_failed(now);
        }
    }

    /// A request was not answered, or by nothing that is of use.
    pub fn handle_request_failed(&mut self, now: Moment) {
        let lost_its_way = self.fallback.handle_failure(&mut self.random, now);
        if !matches!(self.mode, Mode::Running | Mode::Superseded) {
            return;
        }
        self.events.push_back(ClientEvent::HttpsFailed);
        if lost_its_way {
            self.send_again(now);
        }
    }

    /// What the local mail server does now; the server hears of a change at once.
    pub fn handle_mail(&mut self, report: MailReport, now: Moment) {
        if self.mail.is_none_or(|before| before.is_ok != report.is_ok) {
            self.send_soon(now);
        }
        self.mail = Some(report);
    }

    /// The key that the mail server shows now, as SHA-256 of its SubjectPublicKeyInfo; the server hears of another one at
    /// once.
    pub fn handle_server_key(&mut self, digest: [u8; 32], now: Moment) {
        if self.news.set_server_key(digest) && self.is_open {
            self.send_soon(now);
        }
    }

    /// The addresses of the machine and of its mail server; the server hears of a change at once.
    pub fn handle_addresses(&mut self, addresses: Vec<ListedAddress>, now: Moment) {
        if self.news.set_addresses(addresses) && self.is_open {
            self.send_soon(now);
        }
    }

    /// The own interface, route or socket changed.
    pub fn handle_change(&mut self, now: Moment) {
        self.has_changed = true;
        self.fallback.restart();
        self.send_soon(now);
    }

    /// Another socket took the place of the old one, whose replies are lost now: the beat under way is sent again.
    pub fn handle_new_socket(&mut self, now: Moment) {
        if !self.fallback.is_carrying() && self.beat.as_ref().is_some_and(|beat| !beat.is_answered) {
            self.send_beat(Way::Udp, self.copy_now(now), now);
        }
    }

    /// Which copy of the beat under way leaves now: how late it is, rounded up.
    fn copy_now(&self, now: Moment) -> u8 {
        let Some(beat) = &self.beat else { return 0 };
        let fifth = self.interval.as_millis().max(5) / 5;
        let copy = now.since(beat.first_sent).as_millis().div_ceil(fifth);
        u8::try_from(copy).unwrap_or(COPY_MAX).min(COPY_MAX)
    }

    /// HTTPS failed under way: the beat goes over UDP at once, with the copies that are left.
    fn send_again(&mut self, now: Moment) {
        let copy = self.copy_now(now);
        let Some(beat) = self.beat.as_mut().filter(|beat| !beat.is_answered) else { return };
        (beat.copy, beat.copies_left) = (copy, COPY_MAX.saturating_sub(copy));
        self.send_beat(Way::Udp, copy, now);
    }

    /// Fresh random octets. Good before each [`handle_resume`](Self::handle_resume) and for each
    /// [`ClientEvent::NewSocketWanted`]: a machine that was restored from a snapshot must not draw again what it drew then.
    pub fn stir(&mut self, seed: &[u8; 32]) {
        self.random.stir(seed);
    }

    /// The machine was suspended: nothing that was known before is believed.
    pub fn handle_resume(&mut self, now: Moment) {
        self.renew_boot();
        self.events.push_back(ClientEvent::NewSocketWanted);
        self.handle_change(now);
    }

    /// The token was exchanged: opens under the new one with the next beat, at once.
    pub fn handle_new_token(&mut self, keys: ClientKeys, now: Moment) {
        self.keys = keys;
        self.renew_boot();
        self.send_soon(now);
    }

    /// Stops: up to three datagrams until the server acknowledges one. `absence` is told to the server.
    pub fn say_goodbye(&mut self, absence: Option<Duration>, now: Moment) {
        if !matches!(self.mode, Mode::Running | Mode::Superseded) {
            return;
        }
        let minutes = absence.map_or(0, |absence| absence.as_secs().div_ceil(60));
        let absence_min = u16::try_from(minutes).unwrap_or(u16::MAX);
        self.beat = None;
        self.mode = Mode::Leaving { sent: 1, next: now + GOODBYE_EVERY, absence_min };
        self.send_beat(Way::Udp, 0, now);
        if self.fallback.is_carrying() {
            self.send_beat(Way::Https, 0, now);
        }
    }

    fn begin_beat(&mut self, now: Moment) {
        if self.mode == Mode::Running && self.beat.as_ref().is_some_and(|beat| !beat.is_answered) {
            self.count_unanswered();
        }
        let carries = self.fallback.is_carrying();
        let copies_left = if carries || self.mode == Mode::Superseded || now.since(self.last_heard) > SINGLE_AFTER {
            0
        } else if self.is_calm || now.since(self.last_heard) > self.interval * FULL_COPIES_BEATS {
            1
        } else {
            COPY_MAX
        };
        self.beats += 1;
        let is_extra = std::mem::take(&mut self.wants_extra);
        self.beat = Some(CurrentBeat {
            number: self.beats,
            first_sent: now,
            copies_left,
            copy: 0,
            is_extra,
            is_answered: false,
        });
        let period = if self.mode == Mode::Superseded { SUPERSEDED_EVERY } else { self.interval };
        self.next_beat = self.a_little_before(now + period);
        self.waiting_since.get_or_insert(now);
        if !carries {
            return self.send_beat(Way::Udp, 0, now);
        }
        self.send_beat(Way::Https, 0, now);
        let (probes, was_in_vain) = self.fallback.probes_udp(now);
        if was_in_vain {
            self.events.push_back(ClientEvent::NewSocketWanted);
        }
        if probes {
            self.send_beat(Way::Udp, 0, now);
        }
    }

    fn count_unanswered(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
        if self.unanswered == NEW_SOCKET_BEATS {
            self.events.push_back(ClientEvent::Unanswered);
        }
        if self.unanswered.is_multiple_of(NEW_SOCKET_BEATS) {
            self.events.push_back(ClientEvent::NewSocketWanted);
        }
        if self.unanswered.is_multiple_of(NEW_BOOT_BEATS) {
            self.renew_boot();
        }
    }

    fn next_copy(&self) -> Option<Moment> {
        let beat = self.beat.as_ref().filter(|beat| !beat.is_answered && beat.copies_left > 0)?;
        Some(beat.first_sent + self.interval * u32::from(beat.copy + 1) / 5)
    }

    fn send_copy(&mut self, now: Moment) {
        let Some(beat) = &mut self.beat else { return };
        beat.copies_left = beat.copies_left.saturating_sub(1);
        beat.copy += 1;
        let copy = beat.copy;
        self.send_beat(Way::Udp, copy, now);
    }

    fn send_beat(&mut self, way: Way, copy: u8, now: Moment) {
        // Copies 1 and 3 carry nothing: a network that lets no long datagrams through must not cost a beat.
        let may_carry = self.is_open && self.mode == Mode::Running && copy.is_multiple_of(2);
        let news = if may_carry { self.news.next() } else { None };
        let (number, body) = news.unwrap_or((0, ClientBody::Beat));
        let signer = matches!(body, ClientBody::ServerKey { .. }).then(|| self.keys.signer.clone());
        let datagram = ClientDatagram { header: self.header(copy, now), body };
        let octets = datagram.encode(&self.keys.c2s, signer.as_ref());
        self.send(octets, Sent { seq: self.seq, at: now, beat: self.beats, copy, way, news: number });
    }

    fn send(&mut self, octets: Vec<u8>, sent: Sent) {
        self.sent.note(sent);
        match sent.way {
            Way::Udp => self.transmits.push_back(octets),
            Way::Https => self.requests.push_back(octets),
        }
    }

    /// The header of the next datagram; uses up a sequence number.
    fn header(&mut self, copy: u8, now: Moment) -> Header {
        if self.seq == u32::MAX {
            self.renew_boot();
        }
        self.seq += 1;
        let (is_leaving, absence_min) = match self.mode {
            Mode::Leaving { absence_min, .. } => (true, absence_min),
            Mode::Running | Mode::Superseded | Mode::Ended => (false, 0),
        };
        let flags = ClientFlags::default()
            .with(ClientFlags::MAIL_KNOWN, self.mail.is_some())
            .with(ClientFlags::MAIL_OK, self.mail.is_some_and(|mail| mail.is_ok))
            .with(ClientFlags::EXTRA, self.beat.as_ref().is_some_and(|beat| beat.is_extra))
            .with(ClientFlags::GOODBYE, is_leaving)
            .with(ClientFlags::CHANGED, self.has_changed)
            .with(ClientFlags::KEEPS, self.keeps);
        let hold = self.echo.map_or(0, |echo| now.since(echo.at).as_millis());
        Header {
            locator: self.keys.locator,
            boot: self.boot,
            seq: self.seq,
            path: self.path,
            copy,
            flags,
            interval_cs: datagram::centiseconds(self.interval),
            greeting_ms: self.mail.map_or(0, |mail| mail.millis),
            echo: self.echo.map_or(0, |echo| echo.server_time),
            hold_ms: u32::try_from(hold).unwrap_or(u32::MAX),
            greeting_code: self.mail.map_or(0, |mail| mail.code),
            absence_min,
            replies_lost: self.sent.loss(),
            version_max: VERSION,
            build: 1,
        }
    }

    /// A new run: what was sent before can have no reply any more.
    fn renew_boot(&mut self) {
        self.boot = BootId(self.random.next());
        self.seq = 0;
        self.echo = None;
        self.is_open = false;
        self.news.tell_again();
        self.sent.forget();
    }

    fn send_soon(&mut self, now: Moment) {
        if self.mode == Mode::Running {
            self.wants_extra = true;
            self.next_beat = now;
        }
    }

    fn end(&mut self, is_acknowledged: bool) {
        self.mode = Mode::Ended;
        self.events.push_back(ClientEvent::Ended { is_acknowledged });
    }

    fn a_little_before(&mut self, at: Moment) -> Moment {
        let most = u64::try_from(JITTER.min(self.interval / 10).as_millis()).unwrap_or(0);
        at - Duration::from_millis(self.random.below(most))
    }
}

#[cfg(test)]
#[path = "cadence_tests.rs"]
mod tests;
