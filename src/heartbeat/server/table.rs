//! All heartbeat keys and paths: finds the key, checks the tag, asks the path, writes what is sent back.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::cookie::{Asked, Clockwork};
use super::event::{BeatEvent, BeatKind, BeatListener, OpenedBeatKey, Standing};
use super::path::{Answer, Elapsed, Genuine, Outcome, Path, PlainOutcome, ReplyFacts, Run, Source};
use crate::base::{AccountId, EndpointId, Moment, WallTime};
use crate::heartbeat::datagram::{
    self, Challenge, ClientDatagram, Header, Locator, Reason, Reply, ReplyFlags, ServerDatagram, centiseconds,
};

/// How long an old key stays good after the first opening under a newer one.
const OLD_KEY_FOR: Duration = Duration::from_secs(600);

/// What the operator chose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Interval that clients without a choice of their own are told to keep.
    pub interval: Duration,
}

/// A datagram to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// By which of our sockets.
    pub socket: usize,
    /// Where to.
    pub to: SocketAddr,
    /// What.
    pub octets: Vec<u8>,
}

/// What was dropped and what was answered, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Not a datagram of this protocol, or of a key that is unknown or has run out.
    pub unknown: u64,
    /// The tag was wrong.
    pub forged: u64,
    /// Genuine, but a copy, too old, stale, or beyond a limit: no answer.
    pub silent: u64,
    /// Challenges sent.
    pub challenged: u64,
    /// Replies sent.
    pub replied: u64,
    /// Addresses moved.
    pub moved: u64,
}

/// What became of a beat without a datagram ([`Table::handle_plain`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlainVerdict {
    /// It counts.
    Counted(Standing),
    /// It adds nothing: a signed client beats from the same address.
    SignedClientHere(Standing),
    /// It changes nothing: a signed client beats from another address.
    SignedClientElsewhere,
}

struct Key {
    opened: OpenedBeatKey,
    expires: Option<Moment>,
}

/// All keys and paths.
pub struct Table {
    settings: Settings,
    clockwork: Clockwork,
    keys: HashMap<Locator, Key>,
    paths: HashMap<EndpointId, Path>,
    /// Endpoints with a move that is not settled.
    pending: Vec<EndpointId>,
    counters: Counters,
    /// Keys whose clients are asked to exchange their token.
    renewals: HashSet<Locator>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("keys", &self.keys.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl Table {
    /// A table without keys. `seed` is drawn anew for each start: cookies of another run are worth nothing.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        Self {
            settings,
            clockwork: Clockwork::new(seed),
            keys: HashMap::new(),
            paths: HashMap::new(),
            pending: Vec::new(),
            counters: Counters::default(),
            renewals: HashSet::new(),
        }
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Replaces all keys. Runs under keys that stay are kept, also their proven addresses, which may be newer than
    /// the stored ones; a key that is gone is dead at once.
    pub fn replace_keys(&mut self, keys: Vec<OpenedBeatKey>, now: Moment, wall: WallTime) {
        let mut before = std::mem::take(&mut self.keys);
        for opened in keys {
            let from_row = opened.expires_at.map(|at| now + (at - wall).to_std().unwrap_or(Duration::ZERO));
            let known = before.remove(&opened.locator).filter(|key| key.opened.endpoint == opened.endpoint);
            let expires = match (from_row, known.and_then(|key| key.expires)) {
                (Some(row), Some(kept)) => Some(row.min(kept)),
                (row, _) => row,
            };
            self.paths.entry(opened.endpoint).or_insert_with(|| Path::new(opened.stored_addresses.clone()));
            self.keys.insert(opened.locator, Key { opened, expires });
        }
        let keys = &self.keys;
        let has_key = |endpoint: EndpointId, locator: Locator| {
            keys.get(&locator).is_some_and(|key| key.opened.endpoint == endpoint)
        };
        let served: std::collections::HashSet<EndpointId> = keys.values().map(|key| key.opened.endpoint).collect();
        self.paths.retain(|endpoint, _| served.contains(endpoint));
        for (endpoint, path) in &mut self.paths {
            path.close_unless(|locator| has_key(*endpoint, locator));
        }
    }

    /// The keys whose clients are asked, by MORE, to exchange their token over HTTPS.
    pub fn ask_for_renewal(&mut self, keys: HashSet<Locator>) {
        self.renewals = keys;
    }

    /// A datagram arrived. What it means goes to `listener`; at most one datagram, never a longer one, goes back.
    pub fn handle_datagram(
        &mut self,
        octets: &[u8],
        source: Source,
        (now, wall): (Moment, WallTime),
        listener: &dyn BeatListener,
    ) -> Option<Transmit> {
        let known = datagram::locator_of(octets).and_then(|locator| self.keys.get(&locator));
        let Some(key) = known.filter(|key| key.expires.is_none_or(|at| now < at)) else {
            self.counters.unknown += 1;
            return None;
        };
        if !key.opened.c2s.vouches_for_client(octets) {
            self.counters.forged += 1;
            return None;
        }
        let datagram = ClientDatagram::decode(octets)?;
        let (endpoint, account) = (key.opened.endpoint, key.opened.account);
        let path = self.paths.get_mut(&endpoint)?;
        let outcome = path.handle(&Genuine {
            datagram: &datagram,
            octets,
            move_key: &key.opened.move_key,
            source,
            now,
            clockwork: &self.clockwork,
            interval: self.settings.interval,
        });
        if path.poll_timeout().is_some() && !self.pending.contains(&endpoint) {
            self.pending.push(endpoint);
        }
        self.carry_out((endpoint, account), outcome, &datagram.header, source, (now, wall), listener)
    }

    /// Whose server a key that is valid now speaks for.
    #[must_use]
    pub fn endpoint_of(&self, locator: Locator, now: Moment) -> Option<(AccountId, EndpointId)> {
        let key = self.keys.get(&locator).filter(|key| key.expires.is_none_or(|at| now < at))?;
        Some((key.opened.account, key.opened.endpoint))
    }

    /// The holder of the whole token behind `locator` was here over TCP from `address` and means to come again within
    /// `interval`. Nothing for a key that is not valid.
    pub fn handle_plain(
        &mut self,
        locator: Locator,
        address: IpAddr,
        interval: Duration,
        now: Moment,
        listener: &dyn BeatListener,
    ) -> Option<PlainVerdict> {
        let (account, endpoint) = self.endpoint_of(locator, now)?;
        Some(match self.paths.get_mut(&endpoint)?.handle_plain(address, interval, now) {
            PlainOutcome::Counted(events) => {
                self.expire_older_keys(endpoint, locator, now);
                let standing = self.tell((endpoint, account), locator, events, now, listener);
                PlainVerdict::Counted(standing.unwrap_or_else(|| listener.standing(endpoint)))
            }
            PlainOutcome::SignedClientHere => PlainVerdict::SignedClientHere(listener.standing(endpoint)),
            PlainOutcome::SignedClientElsewhere => PlainVerdict::SignedClientElsewhere,
        })
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.pending.iter().filter_map(|endpoint| self.paths.get(endpoint)?.poll_timeout()).min()
    }

    /// Goes on with moves that are not settled.
    pub fn handle_timeout(&mut self, (now, wall): (Moment, WallTime), listener: &dyn BeatListener) -> Vec<Transmit> {
        let mut out = Vec::new();
        for endpoint in std::mem::take(&mut self.pending) {
            let Some(path) = self.paths.get_mut(&endpoint) else { continue };
            let elapsed = path.handle_timeout(&self.clockwork, self.settings.interval, now);
            if path.poll_timeout().is_some() {
                self.pending.push(endpoint);
            }
            match elapsed {
                Elapsed::Nothing => {}
                Elapsed::Check { run, source } => out.extend(self.challenge(run, 0, source, Reason::OldAddress, now)),
                Elapsed::Moved { header, source, outcome } => {
                    let Some(account) = self.keys.get(&header.locator).map(|key| key.opened.account) else { continue };
                    out.extend(self.carry_out((endpoint, account), outcome, &header, source, (now, wall), listener));
                }
            }
        }
        out
    }

    /// Tells the listener and writes the answer.
    fn carry_out(
        &mut self,
        (endpoint, account): (EndpointId, AccountId),
        outcome: Outcome,
        header: &Header,
        source: Source,
        (now, wall): (Moment, WallTime),
        listener: &dyn BeatListener,
    ) -> Option<Transmit> {
        let run = Run { locator: header.locator, boot: header.boot };
        let standing = self.tell((endpoint, account), run.locator, outcome.events, now, listener);
        match outcome.answer {
            Answer::Silence => {
                self.counters.silent += 1;
                None
            }
            Answer::Challenge { reason, wants_signature } => {
                self.counters.challenged += 1;
                self.write_challenge(run, header.seq, source, reason, wants_signature, now)
            }
            Answer::Reply(facts) => {
                self.counters.replied += 1;
                let standing = standing.unwrap_or_else(|| listener.standing(endpoint));
                self.write_reply(header, source, facts, standing, (now, wall))
            }
        }
    }

    /// Tells the listener; how the line stands after the last event, if there was one.
    fn tell(
        &mut self,
        (endpoint, account): (EndpointId, AccountId),
        locator: Locator,
        events: Vec<BeatKind>,
        now: Moment,
        listener: &dyn BeatListener,
    ) -> Option<Standing> {
        let mut standing = None;
        for kind in events {
            match &kind {
                BeatKind::Moved { from, to } => {
                    self.counters.moved += 1;
                    tracing::info!(%account, %endpoint, ?from, %to, "address moved");
                }
                BeatKind::Opened { address } => {
                    tracing::info!(%account, %endpoint, %address, %locator, "heartbeat opened");
                    self.expire_older_keys(endpoint, locator, now);
                }
                BeatKind::Goodbye { .. } => tracing::info!(%account, %endpoint, "goodbye"),
                BeatKind::Beat { .. } => {}
            }
            standing = Some(listener.handle(&BeatEvent { endpoint, account, at: now, kind }));
        }
        standing
    }

    fn challenge(&mut self, run: Run, seq: u32, source: Source, reason: Reason, now: Moment) -> Option<Transmit> {
        self.counters.challenged += 1;
        self.write_challenge(run, seq, source, reason, false, now)
    }

    fn write_challenge(
        &self,
        run: Run,
        seq: u32,
        source: Source,
        reason: Reason,
        wants_signature: bool,
        now: Moment,
    ) -> Option<Transmit> {
        let server_time = self.clockwork.server_time(now);
        let asked = Asked { run, source: source.address(), server_time, path: 0 };
        let challenge = Challenge {
            seq,
            observed: SocketAddr::new(source.address(), source.peer.port()),
            reason,
            wants_signature,
            path: 0,
            server_time,
            cookie: self.clockwork.cookie(&asked, reason, now),
        };
        self.seal(ServerDatagram::Challenge(challenge), run, source)
    }

    fn write_reply(
        &self,
        header: &Header,
        source: Source,
        facts: ReplyFacts,
        standing: Standing,
        (now, wall): (Moment, WallTime),
    ) -> Option<Transmit> {
        let run = Run { locator: header.locator, boot: header.boot };
        let reply = Reply {
            seq: header.seq,
            observed: SocketAddr::new(source.address(), source.peer.port()),
            state: standing.state,
            flags: facts.flags.with(ReplyFlags::MORE, self.renewals.contains(&header.locator)),
            server_time: self.clockwork.server_time(now),
            wall_s: u32::try_from(wall.timestamp()).unwrap_or(0),
            waiting: standing.waiting,
            interval_cs: centiseconds(facts.ordered),
            next_cs: centiseconds(next_due(run.locator, facts.ordered, facts.base)),
            loss: facts.loss,
            endpoint_index: 255,
            neutralised_after_cs: centiseconds(standing.neutralised_after),
        };
        self.seal(ServerDatagram::Reply(reply), run, source)
    }

    fn seal(&self, datagram: ServerDatagram, run: Run, source: Source) -> Option<Transmit> {
        let key = self.keys.get(&run.locator)?;
        let octets = datagram.encode(&key.opened.s2c, run.boot, run.locator);
        Some(Transmit { socket: source.socket, to: source.peer, octets })
    }

    /// A current key was used: rotated ones have 10 minutes left.
    fn expire_older_keys(&mut self, endpoint: EndpointId, used: Locator, now: Moment) {
        if self.keys.get(&used).is_none_or(|key| key.expires.is_some()) {
            return;
        }
        for key in self.keys.values_mut().filter(|key| key.opened.endpoint == endpoint) {
            key.expires = key.expires.map(|at| at.min(now + OLD_KEY_FOR));
        }
    }
}

/// When the next beat is due after the first copy of this one: up to two fifths earlier than an interval, until
/// the clients are spread evenly by the hash of their locators.
fn next_due(locator: Locator, interval: Duration, base: Moment) -> Duration {
    let period = u64::try_from(interval.as_millis()).unwrap_or(1).max(1);
    let phase = u64::from_be_bytes(locator.0) % period;
    let early = (base.as_millis() + period - phase) % period;
    Duration::from_millis(period - early.min(period * 2 / 5))
}
