//! Which datagrams of one endpoint count, and where its client is: the states of a path (docs/PROTOCOL.md §4, §5).
//!
//! Everything here comes after the tag: only holders of the token reach it, or those who copied a datagram of a
//! holder. A copy may cause a challenge, nothing else.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::cookie::{Asked, COOKIE_AGE_MAX, Clockwork};
use super::event::BeatKind;
use super::flood::SignatureBudget;
use crate::base::Moment;
use crate::heartbeat::datagram::{
    self, BootId, ClientBody, ClientDatagram, ClientFlags, Header, Locator, Reason, ReplyFlags,
};
use crate::heartbeat::window::{Verdict, Window};

/// Shortest and longest interval that a client may keep.
pub const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// See [`INTERVAL_MIN`].
pub const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Delay on the way that is not taken off a beat's worth.
pub const DELAY_FREE: Duration = Duration::from_secs(3);
/// How long an old address that was alive has to show itself before the line moves.
pub const SETTLE_AFTER: Duration = Duration::from_millis(1_500);

/// Between two checks of an old address.
const CHECK_EVERY: Duration = Duration::from_millis(500);
const CHECKS_MAX: u8 = 3;
/// An old address is called only if it was proven this recently, so that nobody is pestered.
const CHECK_HEARD_WITHIN: Duration = Duration::from_secs(10);
/// After so much silence a run has to be proven again, so that no recording outlives the wrap of delays.
const SESSION_SILENCE_MAX: Duration = Duration::from_secs(3_600);
/// How long a replaced run is remembered, and how many. A run is never forgotten within twice a cookie's life:
/// if all are younger, nobody new is let in.
const REPLACED_FOR: Duration = Duration::from_secs(3_600);
const REPLACED_MAX: usize = 16;
const REPLACED_AT_LEAST: Duration = Duration::from_secs(10);
/// After an old address defended itself nobody else is heard for so long: as long as its client's budget of answers
/// to checks needs, so that a clone that tries again and again does not wear it out.
const CONTESTED_FOR: Duration = Duration::from_secs(10);
const SUPERSEDED_EVERY: Duration = Duration::from_secs(1);

/// One run of one client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    /// The key it uses.
    pub locator: Locator,
    /// The run.
    pub boot: BootId,
}

/// Where a datagram came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Source {
    /// As the socket names it.
    pub peer: SocketAddr,
    /// Which of our sockets.
    pub socket: usize,
}

impl Source {
    /// Instead of one of our sockets: the datagram came in an HTTP request. Its answer goes back with that request,
    /// and nothing else can be sent there.
    pub const OVER_HTTP: usize = usize::MAX;

    /// The address, never v4-mapped.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }
}

/// A datagram whose tag is good.
pub(super) struct Genuine<'a> {
    pub(super) datagram: &'a ClientDatagram,
    pub(super) octets: &'a [u8],
    pub(super) move_key: &'a [u8; 32],
    pub(super) source: Source,
    pub(super) now: Moment,
    pub(super) clockwork: &'a Clockwork,
    /// What a client is told to keep that did not fix its interval.
    pub(super) interval: Duration,
    /// Path 0 is at home in the family of the source: what path 1 proves there is a reserve and is not stored.
    pub(super) is_reserve: bool,
    pub(super) signatures: &'a SignatureBudget,
}

/// What is sent back.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Answer {
    Silence,
    Challenge { reason: Reason, wants_signature: bool },
    Reply(ReplyFacts),
}

/// What the path knows for a reply.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct ReplyFacts {
    pub(super) flags: ReplyFlags,
    pub(super) ordered: Duration,
    pub(super) base: Moment,
    pub(super) loss: u8,
    /// No later datagram of this run was seen before: what it carries is not older than what is known.
    pub(super) is_newest: bool,
}

/// What a datagram said, in order: three things at most, so that a beat needs no memory of its own.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct Events([Option<BeatKind>; 3]);

impl Events {
    fn one(kind: BeatKind) -> Self {
        Self([Some(kind), None, None])
    }

    fn push(&mut self, kind: BeatKind) {
        if let Some(free) = self.0.iter_mut().find(|place| place.is_none()) {
            *free = Some(kind);
        }
    }
}

impl IntoIterator for Events {
    type Item = BeatKind;
    type IntoIter = std::iter::Flatten<std::array::IntoIter<Option<BeatKind>, 3>>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().flatten()
    }
}

/// What a datagram did.
#[derive(PartialEq, Debug)]
pub(super) struct Outcome {
    pub(super) events: Events,
    pub(super) answer: Answer,
}

/// What the passing of time did to a pending move.
pub(super) enum Elapsed {
    Nothing,
    /// Ask the old address whether it is alive.
    Check {
        run: Run,
        source: Source,
        path: u8,
    },
    /// The line moved.
    Moved {
        header: Header,
        source: Source,
        outcome: Box<Outcome>,
    },
}

struct Session {
    run: Run,
    window: Window,
    source: Source,
    heard: Moment,
    interval: Duration,
    candidate: Option<Candidate>,
    /// When the address last defended itself.
    contested: Option<Moment>,
}

/// Somebody who proved another address while the old one was alive a moment ago.
struct Candidate {
    run: Run,
    source: Source,
    header: Header,
    since: Moment,
    checks: u8,
    check_due: Moment,
}

enum State {
    Unopened,
    Open(Session),
    /// The client said goodbye: this run is over.
    Closed {
        run: Run,
        window: Window,
        address: IpAddr,
    },
}

struct Replaced {
    run: Run,
    top: u32,
    at: Moment,
    told: Option<Moment>,
}

/// One endpoint's path.
pub(super) struct Path {
    state: State,
    stored: Stored,
    replaced: Vec<Replaced>,
    /// When the client said goodbye over its other path, while a challenge from before may still be answered.
    left: Option<Moment>,
}

/// What a beat without a datagram did.
#[derive(PartialEq, Debug)]
pub(super) enum PlainOutcome {
    /// It counts.
    Counted(Events),
    /// A signed client beats from the same address; the beat adds nothing.
    SignedClientHere,
    /// A signed client beats from another address; the beat changes nothing.
    SignedClientElsewhere,
}

const SILENCE: Outcome = Outcome { events: NO_EVENTS, answer: Answer::Silence };
const NO_EVENTS: Events = Events([None; 3]);

impl Path {
    pub(super) const fn new(stored: Stored) -> Self {
        Self { state: State::Unopened, stored, replaced: Vec::new(), left: None }
    }

    /// Lets go of what has run out.
    pub(super) fn forget_old(&mut self, now: Moment) {
        self.replaced.retain(|old| now.since(old.at) < REPLACED_FOR);
        self.left = self.left.filter(|at| now.since(*at) <= COOKIE_AGE_MAX);
        if let State::Open(session) = &mut self.state {
            session.contested = session.contested.filter(|at| now.since(*at) < CONTESTED_FOR);
        }
    }

    /// Forgets the run of a key that is not valid any more.
    pub(super) fn close_unless(&mut self, is_valid: impl Fn(Locator) -> bool) {
        let run = match &self.state {
            State::Open(session) => session.run,
            State::Closed { run, .. } => *run,
            State::Unopened => return,
        };
        if !is_valid(run.locator) {
            self.state = State::Unopened;
        } else if let State::Open(session) = &mut self.state {
            session.candidate = session.candidate.take().filter(|candidate| is_valid(candidate.run.locator));
        }
    }

    pub(super) fn handle(&mut self, genuine: &Genuine<'_>) -> Outcome {
        let header = &genuine.datagram.header;
        let run = Run { locator: header.locator, boot: header.boot };
        let now = genuine.now;
        self.forget_old(now);
        if let Some(old) = self.replaced.iter_mut().find(|old| old.run == run) {
            return old.handle(header.seq, genuine);
        }
        if matches!(&self.state, State::Open(session) if now.since(session.heard) > SESSION_SILENCE_MAX) {
            self.state = State::Unopened;
        }
        match &mut self.state {
            State::Open(session) if session.run == run => self.handle_open_run(genuine),
            State::Closed { run: closed, window, address } if *closed == run => {
                let again = header.flags.has(ClientFlags::GOODBYE)
                    && genuine.source.address() == *address
                    && window.check(header.seq) == Verdict::Fresh;
                if !again {
                    return SILENCE;
                }
                window.mark(header.seq);
                let flags = ReplyFlags::PROVEN.with(ReplyFlags::GOODBYE_DONE, true);
                Outcome { events: NO_EVENTS, answer: genuine.reply(flags, Some(window)) }
            }
            State::Open(_) | State::Closed { .. } | State::Unopened => self.handle_unknown_run(genuine, run),
        }
    }

    /// A holder of the whole token was here over TCP, without a datagram. Of effect only while no signed client beats,
    /// so that a slow rhythm never covers the silence of a fast one.
    pub(super) fn handle_plain(&mut self, address: IpAddr, interval: Duration, now: Moment) -> PlainOutcome {
        match self.heard_from(now) {
            Some(here) if here == address => return PlainOutcome::SignedClientHere,
            Some(_) => return PlainOutcome::SignedClientElsewhere,
            // A run that fell silent has to be proven again.
            None if matches!(self.state, State::Open(_)) => self.state = State::Unopened,
            None => {}
        }
        let mut events = self.moved_to(address);
        events.push(BeatKind::Beat {
            base: now,
            address,
            interval,
            mail_ok: None,
            loss_percent_up: 0.0,
            unanswered_percent: None,
        });
        PlainOutcome::Counted(events)
    }

    /// Where the client of this path is, if it was heard a moment ago.
    pub(super) fn heard_from(&self, now: Moment) -> Option<IpAddr> {
        let State::Open(session) = &self.state else { return None };
        let is_heard = now.since(session.heard) <= session.interval * 3 + DELAY_FREE;
        is_heard.then(|| session.source.address())
    }

    /// Whether the client has proven this address, be it over an open run or before: after our own start no run is open.
    pub(super) fn is_home(&self, address: IpAddr) -> bool {
        let open = match &self.state {
            State::Open(session) => Some(session.source.address()),
            State::Unopened | State::Closed { .. } => None,
        };
        open == Some(address) || self.stored.contains(address)
    }

    /// The client said goodbye over its other path: nothing of this run counts any longer, nor an answer to what was
    /// asked before.
    pub(super) fn handle_goodbye_elsewhere(&mut self, now: Moment) {
        self.left = Some(now);
        if let State::Open(Session { run, window, source, .. }) = &self.state {
            self.state = State::Closed { run: *run, window: *window, address: source.address() };
        }
    }

    /// The last proven addresses of the endpoint, which both paths share.
    pub(super) const fn stored(&self) -> Stored {
        self.stored
    }

    /// The other path proved an address.
    pub(super) const fn set_stored(&mut self, stored: Stored) {
        self.stored = stored;
    }

    /// Takes over `address` as the stored one; what there is to say of it.
    fn moved_to(&mut self, address: IpAddr) -> Events {
        let mut events = NO_EVENTS;
        if !self.stored.contains(address) {
            events.push(BeatKind::Moved { from: self.stored.same_family(address), to: address });
            self.stored.replace(address);
        }
        events
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Moment> {
        match &self.state {
            State::Open(session @ Session { candidate: Some(candidate), .. }) => {
                let settles = candidate.since + session.settles_after();
                Some(if candidate.checks < CHECKS_MAX { candidate.check_due.min(settles) } else { settles })
            }
            State::Open(_) | State::Closed { .. } | State::Unopened => None,
        }
    }

    /// Checks the old address, or moves when it stayed silent. `home` is where the first path is, if this is the second.
    pub(super) fn handle_timeout(
        &mut self,
        (clockwork, interval): (&Clockwork, Duration),
        home: Option<IpAddr>,
        now: Moment,
    ) -> Elapsed {
        let State::Open(session) = &mut self.state else { return Elapsed::Nothing };
        let settles_after = session.settles_after();
        let Some(candidate) = &mut session.candidate else { return Elapsed::Nothing };
        if now.since(candidate.since) >= settles_after {
            let (header, source, run) = (candidate.header, candidate.source, candidate.run);
            let stamp = Stamp { header: &header, source, now, clockwork, interval };
            let is_reserve = home.is_some_and(|home| home.is_ipv4() == source.address().is_ipv4());
            let outcome = Box::new(self.settle(run, &stamp, is_reserve));
            return Elapsed::Moved { header, source, outcome };
        }
        if candidate.checks < CHECKS_MAX && now >= candidate.check_due {
            candidate.checks += 1;
            candidate.check_due = now + CHECK_EVERY;
            if now.since(session.heard) <= CHECK_HEARD_WITHIN {
                let (run, source, path) = (session.run, session.source, candidate.header.path);
                return Elapsed::Check { run, source, path };
            }
        }
        Elapsed::Nothing
    }

    fn handle_unknown_run(&mut self, genuine: &Genuine<'_>, run: Run) -> Outcome {
        let address = genuine.source.address();
        if !matches!(genuine.datagram.body, ClientBody::Answer { .. }) {
            return self.challenge(genuine, Reason::BootUnknown);
        }
        if !self.is_proven_by(genuine, run) || !self.has_room(genuine.now) {
            return SILENCE;
        }
        if let State::Open(session) = &mut self.state
            && session.source.address() != address
            && session.was_alive(genuine.now)
        {
            session.begin_move(genuine, run);
            return SILENCE;
        }
        self.settle(run, &genuine.stamp(), genuine.is_reserve)
    }

    fn handle_open_run(&mut self, genuine: &Genuine<'_>) -> Outcome {
        let header = &genuine.datagram.header;
        let is_answer = matches!(genuine.datagram.body, ClientBody::Answer { .. });
        let run = Run { locator: header.locator, boot: header.boot };
        let State::Open(session) = &mut self.state else { return SILENCE };
        if session.window.check(header.seq) != Verdict::Fresh {
            return SILENCE;
        }
        if genuine.source.address() == session.source.address() {
            return self.handle_proven_source(genuine);
        }
        if header.flags.has(ClientFlags::GOODBYE) {
            return SILENCE;
        }
        if !is_answer {
            return self.challenge(genuine, Reason::AddressDiffers);
        }
        if !self.is_proven_by(genuine, run) {
            return SILENCE;
        }
        let State::Open(session) = &mut self.state else { return SILENCE };
        session.window.mark(header.seq);
        if session.was_alive(genuine.now) && !header.flags.has(ClientFlags::CHANGED) {
            session.begin_move(genuine, run);
            return SILENCE;
        }
        self.settle(run, &genuine.stamp(), genuine.is_reserve)
    }

    /// A fresh datagram of the open run from its proven address: it counts.
    fn handle_proven_source(&mut self, genuine: &Genuine<'_>) -> Outcome {
        let header = &genuine.datagram.header;
        let State::Open(session) = &mut self.state else { return SILENCE };
        session.window.mark(header.seq);
        session.source = genuine.source;
        session.heard = genuine.now;
        session.interval = genuine.stamp().interval();
        let refuted = |candidate: &Candidate| candidate.run != session.run || header.seq > candidate.header.seq;
        let is_contested = session.candidate.as_ref().is_some_and(refuted);
        if is_contested {
            session.candidate = None;
            session.contested = Some(genuine.now);
        }
        let flags = ReplyFlags::PROVEN.with(ReplyFlags::CONTESTED, is_contested);
        if header.flags.has(ClientFlags::GOODBYE) {
            let absence = (header.absence_min > 0).then(|| Duration::from_secs(u64::from(header.absence_min) * 60));
            let answer = genuine.reply(flags.with(ReplyFlags::GOODBYE_DONE, true), Some(&session.window));
            self.state = State::Closed { run: session.run, window: session.window, address: session.source.address() };
            return Outcome { events: Events::one(BeatKind::Goodbye { absence }), answer };
        }
        // Without an echo nobody knows how long the datagram was on its way, so it renews nothing.
        let events = if header.echo == 0 { NO_EVENTS } else { Events::one(genuine.stamp().beat(&session.window)) };
        Outcome { events, answer: genuine.reply(flags, Some(&session.window)) }
    }

    /// Opens `run` at the source, moves the address if it is another, counts the answer as a beat.
    fn settle(&mut self, run: Run, stamp: &Stamp<'_>, is_reserve: bool) -> Outcome {
        let (header, now) = (stamp.header, stamp.now);
        let mut window = Window::opened_by(header.seq);
        match std::mem::replace(&mut self.state, State::Unopened) {
            State::Open(old) if old.run == run => window = old.window,
            State::Open(Session { run, window, .. }) | State::Closed { run, window, .. } => {
                self.replaced.push(Replaced { run, top: window.top(), at: now, told: None });
            }
            State::Unopened => {}
        }
        let address = stamp.source.address();
        let mut events = if is_reserve { NO_EVENTS } else { self.moved_to(address) };
        events.push(BeatKind::Opened { address });
        events.push(stamp.beat(&window));
        let (source, interval) = (stamp.source, stamp.interval());
        self.state =
            State::Open(Session { run, window, source, heard: now, interval, candidate: None, contested: None });
        Outcome { events, answer: Answer::Reply(stamp.facts(ReplyFlags::PROVEN, Some(&window))) }
    }

    /// Whether the answer is for a question we asked this source a moment ago, with consent to this address, and
    /// signed if the address is not the stored one. The signature is dear and comes last.
    fn is_proven_by(&self, genuine: &Genuine<'_>, run: Run) -> bool {
        let ClientBody::Answer { cookie, seen, .. } = &genuine.datagram.body else { return false };
        let header = &genuine.datagram.header;
        let source = genuine.source.address();
        let asked = Asked { run, source, server_time: header.echo, path: header.path };
        let age = genuine.clockwork.age(header.echo, genuine.now);
        *seen == source
            && self.left.is_none_or(|left| genuine.now.since(left) > age)
            && genuine.clockwork.is_ours(cookie, &asked, genuine.now)
            && (self.stored.contains(source)
                || (genuine.signatures.admits(run.locator, genuine.now)
                    && datagram::move_is_signed(genuine.octets, genuine.move_key)))
    }

    fn challenge(&self, genuine: &Genuine<'_>, reason: Reason) -> Outcome {
        let wants_signature = !self.stored.contains(genuine.source.address());
        Outcome { events: NO_EVENTS, answer: Answer::Challenge { reason, wants_signature } }
    }

    /// Whether one more run can be remembered as replaced; forgets the oldest if it is old enough.
    fn has_room(&mut self, now: Moment) -> bool {
        if self.replaced.len() < REPLACED_MAX {
            return true;
        }
        let oldest_may_go = self.replaced.first().is_some_and(|old| now.since(old.at) >= REPLACED_AT_LEAST);
        if oldest_may_go {
            self.replaced.remove(0);
        }
        oldest_may_go
    }
}

impl Replaced {
    /// Never believed again; a living client is told so, once a second at most.
    fn handle(&mut self, seq: u32, genuine: &Genuine<'_>) -> Outcome {
        if seq <= self.top {
            return SILENCE;
        }
        self.top = seq;
        if self.told.is_some_and(|told| genuine.now.since(told) < SUPERSEDED_EVERY) {
            return SILENCE;
        }
        self.told = Some(genuine.now);
        Outcome { events: NO_EVENTS, answer: genuine.reply(ReplyFlags::SUPERSEDED, None) }
    }
}

impl Session {
    /// Whether its address was heard within two intervals.
    fn was_alive(&self, now: Moment) -> bool {
        now.since(self.heard) <= self.interval * 2
    }

    /// How long the old address has to show itself. One that beats over HTTP cannot be called and is waited for.
    fn settles_after(&self) -> Duration {
        if self.source.socket == Source::OVER_HTTP { self.interval * 2 } else { SETTLE_AFTER }
    }

    /// The first claimant is heard; others have to wait until it is settled.
    fn begin_move(&mut self, genuine: &Genuine<'_>, run: Run) {
        let was_contested = self.contested.is_some_and(|at| genuine.now.since(at) < CONTESTED_FOR);
        if self.candidate.is_none() && !was_contested {
            self.candidate = Some(Candidate {
                run,
                source: genuine.source,
                header: genuine.datagram.header,
                since: genuine.now,
                checks: 0,
                check_due: genuine.now,
            });
        }
    }
}

mod packed;
mod stamp;
mod stored;

pub(super) use packed::Packed;
use stamp::Stamp;
pub(super) use stored::Stored;
