//! When a client sends what, and which of the server's datagrams it believes (docs/PROTOCOL.md §8).

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use ed25519_dalek::SigningKey;

use super::random::Random;
use crate::base::Moment;
use crate::heartbeat::datagram::{
    self, BootId, COPY_MAX, Challenge, ClientBody, ClientDatagram, ClientFlags, Header, Locator, Reason, Reply,
    ReplyFlags, ReplyState, ServerDatagram, VERSION,
};
use crate::heartbeat::tag::MacKey;
use crate::heartbeat::token::Token;

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

/// A reply is believed for a datagram this young.
const REPLY_WITHIN: Duration = Duration::from_secs(10);
/// Beats are up to so much early, at random, so that clients do not march in step.
const JITTER: Duration = Duration::from_millis(100);
/// Datagrams remembered for their replies; at an interval of 1 s fewer than 90 fall into [`REPLY_WITHIN`].
const SENT_MAX: usize = 256;
/// Intervals without a word from the server after which only the twin is sent; unanswered beats after which a new
/// socket is wanted, a new boot id is drawn.
const FULL_COPIES_BEATS: u32 = 3;
const NEW_SOCKET_BEATS: u32 = 2;
const NEW_BOOT_BEATS: u32 = 4;
/// Silence after which each beat is one datagram.
const SINGLE_AFTER: Duration = Duration::from_secs(60);
/// How often a client asks that was told that another took over.
const SUPERSEDED_EVERY: Duration = Duration::from_secs(60);
/// Checks of the own address answered within [`REPLY_WITHIN`].
const CHECKS_MAX: usize = 3;

/// What a client needs of its token. Wiped on drop.
#[derive(Debug)]
pub struct ClientKeys {
    locator: Locator,
    c2s: MacKey,
    s2c: MacKey,
    signer: SigningKey,
}

impl ClientKeys {
    /// The keys that `token` stands for.
    #[must_use]
    pub fn new(token: &Token) -> Self {
        Self {
            locator: token.locator(),
            c2s: token.client_to_server(),
            s2c: token.server_to_client(),
            signer: token.move_key(),
        }
    }
}

/// What the user chose.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ClientSettings {
    /// A fixed interval; without it the server's is obeyed.
    pub interval: Option<Duration>,
}

/// How the local mail server greeted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MailReport {
    /// Whether it takes mail.
    pub is_ok: bool,
    /// Reply code of the greeting; 1 refused, 2 timed out.
    pub code: u16,
    /// How long it took, ms.
    pub millis: u16,
}

impl MailReport {
    /// Code for a port that nobody listens on, or a greeting that is none.
    pub const REFUSED: u16 = 1;
    /// Code for a greeting that did not come in time.
    pub const TIMED_OUT: u16 = 2;
}

/// What happened, for the person who looks and for the driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientEvent {
    /// The server replied.
    Replied(Reply),
    /// Two beats in a row were not answered.
    Unanswered,
    /// Another source port, and the name looked up again, may help.
    NewSocketWanted,
    /// Another run took over.
    Superseded,
    /// The goodbye is over.
    Ended {
        /// Whether the server took it.
        is_acknowledged: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Running,
    Superseded,
    Leaving { sent: u8, next: Moment, absence_min: u16 },
    Ended,
}

struct Sent {
    seq: u32,
    at: Moment,
    beat: u64,
    copy: u8,
    is_answered: bool,
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
    random: Random,
    mode: Mode,
    boot: BootId,
    seq: u32,
    interval: Duration,
    keeps: bool,
    echo: Option<Echo>,
    proven: Option<IpAddr>,
    sent: VecDeque<Sent>,
    beat: Option<CurrentBeat>,
    beats: u64,
    next_beat: Moment,
    wants_extra: bool,
    unanswered: u32,
    last_heard: Moment,
    is_calm: bool,
    has_changed: bool,
    mail: Option<MailReport>,
    checks: VecDeque<Moment>,
    /// One bit for each of the last 64 datagrams that is old enough: 1 if it was not answered.
    lost: u64,
    judged: u32,
    transmits: VecDeque<Vec<u8>>,
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
            random,
            mode: Mode::Running,
            boot,
            seq: 0,
            interval: settings.interval.unwrap_or(INTERVAL_FIRST).clamp(INTERVAL_MIN, INTERVAL_MAX),
            keeps: settings.interval.is_some(),
            echo: None,
            proven: None,
            sent: VecDeque::new(),
            beat: None,
            beats: 0,
            next_beat,
            wants_extra: false,
            unanswered: 0,
            last_heard: now,
            is_calm: false,
            has_changed: false,
            mail: None,
            checks: VecDeque::new(),
            lost: 0,
            judged: 0,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; nothing once the goodbye is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        match self.mode {
            Mode::Running | Mode::Superseded => {
                Some(self.next_copy().map_or(self.next_beat, |at| at.min(self.next_beat)))
            }
            Mode::Leaving { next, .. } => Some(next),
            Mode::Ended => None,
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.judge_old_datagrams(now);
        match self.mode {
            Mode::Running | Mode::Superseded if now >= self.next_beat => self.begin_beat(now),
            Mode::Running | Mode::Superseded if self.next_copy().is_some_and(|at| now >= at) => self.send_copy(now),
            Mode::Running | Mode::Superseded | Mode::Ended => {}
            Mode::Leaving { next, .. } if now < next => {}
            Mode::Leaving { sent, .. } if sent >= GOODBYES_MAX => self.end(false),
            Mode::Leaving { sent, absence_min, .. } => {
                self.mode = Mode::Leaving { sent: sent + 1, next: now + GOODBYE_EVERY, absence_min };
                self.send_beat(0, now);
            }
        }
    }

    /// A datagram arrived. Without the server's tag for this run it is ignored.
    pub fn handle_datagram(&mut self, octets: &[u8], now: Moment) {
        if !self.keys.s2c.vouches_for_server(octets, self.boot, self.keys.locator) {
            return;
        }
        match ServerDatagram::decode(octets) {
            Some(ServerDatagram::Reply(reply)) => self.handle_reply(&reply, now),
            Some(ServerDatagram::Challenge(challenge)) => self.handle_challenge(&challenge, now),
            None => {}
        }
    }

    /// What the local mail server does now; the server hears of a change at once.
    pub fn handle_mail(&mut self, report: MailReport, now: Moment) {
        if self.mail.is_none_or(|before| before.is_ok != report.is_ok) {
            self.send_soon(now);
        }
        self.mail = Some(report);
    }

    /// The own interface, route or socket changed.
    pub fn handle_change(&mut self, now: Moment) {
        self.has_changed = true;
        self.send_soon(now);
    }

    /// Another socket took the place of the old one, whose replies are lost now: the beat under way is sent again.
    pub fn handle_new_socket(&mut self, now: Moment) {
        let Some(beat) = self.beat.as_ref().filter(|beat| !beat.is_answered) else { return };
        let fifth = self.interval.as_millis().max(5) / 5;
        let copy = now.since(beat.first_sent).as_millis().div_ceil(fifth);
        let copy = u8::try_from(copy).unwrap_or(COPY_MAX).min(COPY_MAX);
        self.send_beat(copy, now);
    }

    /// The machine was suspended: nothing that was known before is believed.
    pub fn handle_resume(&mut self, now: Moment) {
        self.renew_boot();
        self.events.push_back(ClientEvent::NewSocketWanted);
        self.handle_change(now);
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
        self.send_beat(0, now);
    }

    fn handle_reply(&mut self, reply: &Reply, now: Moment) {
        let Some((beat, _)) = self.take(reply.seq, now) else { return };
        self.learn_time(reply.server_time, reply.seq, now);
        self.last_heard = now;
        self.unanswered = 0;
        self.is_calm = reply.flags.has(ReplyFlags::CALM);
        self.events.push_back(ClientEvent::Replied(*reply));
        if let Mode::Leaving { .. } = self.mode {
            if reply.flags.has(ReplyFlags::GOODBYE_DONE) {
                self.end(true);
            }
            return;
        }
        if reply.flags.has(ReplyFlags::SUPERSEDED) {
            self.handle_superseded(reply.state, now);
            return;
        }
        self.mode = Mode::Running;
        self.has_changed = false;
        if reply.flags.has(ReplyFlags::PROVEN) {
            self.proven = Some(reply.observed.ip());
        }
        if !self.keeps && reply.interval_cs > 0 {
            self.interval = datagram::from_centiseconds(reply.interval_cs).clamp(INTERVAL_MIN, INTERVAL_MAX);
        }
        let Some(current) = self.beat.as_mut().filter(|current| current.number == beat) else { return };
        if !current.is_answered {
            current.is_answered = true;
            let first_sent = current.first_sent;
            let next = datagram::from_centiseconds(reply.next_cs).clamp(self.interval * 3 / 5, self.interval);
            self.next_beat = self.a_little_before(first_sent + next).max(now);
        }
    }

    fn handle_superseded(&mut self, state: ReplyState, now: Moment) {
        self.beat = None;
        if state == ReplyState::Offline {
            self.mode = Mode::Running;
            self.renew_boot();
            self.next_beat = now;
            return;
        }
        if self.mode != Mode::Superseded {
            self.mode = Mode::Superseded;
            self.events.push_back(ClientEvent::Superseded);
        }
        self.next_beat = now + SUPERSEDED_EVERY;
    }

    fn handle_challenge(&mut self, challenge: &Challenge, now: Moment) {
        if self.mode == Mode::Ended {
            return;
        }
        let (beat, copy) = if challenge.seq == 0 {
            let is_ours = challenge.reason == Reason::OldAddress && self.proven == Some(challenge.observed.ip());
            self.checks.retain(|at| now.since(*at) < REPLY_WITHIN);
            if !is_ours || self.checks.len() >= CHECKS_MAX {
                return;
            }
            self.checks.push_back(now);
            (self.beats, 0)
        } else {
            let Some(taken) = self.take(challenge.seq, now) else { return };
            self.learn_time(challenge.server_time, challenge.seq, now);
            self.hear_again(now);
            taken
        };
        let mut header = self.header(copy, now);
        (header.echo, header.hold_ms) = (challenge.server_time, 0);
        let seen = challenge.observed.ip();
        let body = ClientBody::Answer { cookie: challenge.cookie, seen, signature: [0; 64] };
        let signer = challenge.wants_signature.then_some(&self.keys.signer);
        let octets = ClientDatagram { header, body }.encode(&self.keys.c2s, signer);
        self.send(octets, beat, copy, now);
    }

    /// The server was heard: the beat under way gets all its copies, however long the silence was before.
    fn hear_again(&mut self, now: Moment) {
        self.last_heard = now;
        if let Some(beat) = self.beat.as_mut().filter(|_| self.mode == Mode::Running && !self.is_calm) {
            beat.copies_left = COPY_MAX.saturating_sub(beat.copy);
        }
    }

    /// Uses up the one reply that a datagram may have; which beat and copy it was.
    fn take(&mut self, seq: u32, now: Moment) -> Option<(u64, u8)> {
        let young = |sent: &&mut Sent| sent.seq == seq && now.since(sent.at) <= REPLY_WITHIN && !sent.is_answered;
        let sent = self.sent.iter_mut().rev().find(young)?;
        sent.is_answered = true;
        Some((sent.beat, sent.copy))
    }

    fn learn_time(&mut self, server_time: u32, seq: u32, now: Moment) {
        if self.echo.is_none_or(|echo| seq > echo.seq) {
            self.echo = Some(Echo { server_time, at: now, seq });
        }
    }

    fn begin_beat(&mut self, now: Moment) {
        if self.mode == Mode::Running && self.beat.as_ref().is_some_and(|beat| !beat.is_answered) {
            self.count_unanswered();
        }
        let copies_left = if self.mode == Mode::Superseded || now.since(self.last_heard) > SINGLE_AFTER {
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
        self.send_beat(0, now);
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
        self.send_beat(copy, now);
    }

    fn send_beat(&mut self, copy: u8, now: Moment) {
        let datagram = ClientDatagram { header: self.header(copy, now), body: ClientBody::Beat };
        let octets = datagram.encode(&self.keys.c2s, None);
        self.send(octets, self.beats, copy, now);
    }

    fn send(&mut self, octets: Vec<u8>, beat: u64, copy: u8, now: Moment) {
        self.sent.push_back(Sent { seq: self.seq, at: now, beat, copy, is_answered: false });
        if self.sent.len() > SENT_MAX {
            self.sent.pop_front();
        }
        self.transmits.push_back(octets);
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
            path: 0,
            copy,
            flags,
            interval_cs: datagram::centiseconds(self.interval),
            greeting_ms: self.mail.map_or(0, |mail| mail.millis),
            echo: self.echo.map_or(0, |echo| echo.server_time),
            hold_ms: u32::try_from(hold).unwrap_or(u32::MAX),
            greeting_code: self.mail.map_or(0, |mail| mail.code),
            absence_min,
            replies_lost: u8::try_from(self.lost.count_ones() * 200 / self.judged.max(1)).unwrap_or(200),
            version_max: VERSION,
            build: 1,
        }
    }

    /// A new run: what was sent before can have no reply any more.
    fn renew_boot(&mut self) {
        self.boot = BootId(self.random.next());
        self.seq = 0;
        self.echo = None;
        self.sent.clear();
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

    fn judge_old_datagrams(&mut self, now: Moment) {
        while self.sent.front().is_some_and(|sent| now.since(sent.at) > REPLY_WITHIN) {
            let Some(old) = self.sent.pop_front() else { return };
            self.lost = (self.lost << 1) | u64::from(!old.is_answered);
            self.judged = (self.judged + 1).min(u64::BITS);
        }
    }
}

#[cfg(test)]
#[path = "cadence_tests.rs"]
mod tests;
