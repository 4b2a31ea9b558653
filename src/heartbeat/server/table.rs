//! All heartbeat keys and paths: finds the key, checks the tag, asks the path, writes what is sent back.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::cookie::{Asked, Clockwork};
use super::event::{BeatEvent, BeatKind, BeatListener, KeptKey, KeyReport, OpenedBeatKey, Standing};
use super::flood::{LoudSources, SignatureBudget};
use super::limit::ChallengeLimit;
use super::notes::Notes;
use super::path::{Answer, Elapsed, Genuine, Outcome, PlainOutcome, ReplyFacts, Run, Source};
use super::replacement::Replacement;
use super::roster::{Found, PathName, Roster};
use crate::base::{AccountId, EndpointId, Moment, WallTime};
use crate::heartbeat::datagram::{
    self, Challenge, ClientBody, ClientDatagram, Header, ListedAddress, Locator, Reason, Reply, ReplyFlags,
    SHORT_OCTETS, ServerDatagram, centiseconds,
};

/// How long an old key stays good after the first opening under a newer one.
const OLD_KEY_FOR: Duration = Duration::from_secs(600);

/// Datagrams that are worked on together, at most (docs/PROTOCOL.md §11). So many at once mean that more wait.
pub const BATCH_MAX: usize = 64;

/// Dropped datagrams, in percent of all, from which on clients are asked for fewer copies.
const CALM_FROM_PERCENT: u64 = 1;
/// For how long after that.
const CALM_FOR: Duration = Duration::from_secs(20);

/// Reports of server keys that wait to be taken. Beyond these the beat counts and the reply is left out, so that the
/// client says it again.
pub const KEY_REPORTS_MAX: usize = 1_024;

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
    pub octets: [u8; SHORT_OCTETS],
}

/// What was dropped and what was answered, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// All that were received.
    pub received: u64,
    /// Not a datagram of this protocol, or of a key that is unknown or has run out.
    pub unknown: u64,
    /// The tag was wrong.
    pub forged: u64,
    /// Left out unread because too much arrived, from networks that sent much that was bad.
    pub shed: u64,
    /// Genuine, but a copy, too old, stale, or beyond a limit: no answer.
    pub silent: u64,
    /// Challenges sent.
    pub challenged: u64,
    /// Replies sent.
    pub replied: u64,
    /// Addresses moved.
    pub moved: u64,
    /// Lost before we saw them, because the receive queues were full; as far as the kernel tells.
    pub kernel_drops: u64,
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

/// A datagram that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received<'a> {
    /// All of it.
    pub octets: &'a [u8],
    /// Where it came from.
    pub source: Source,
}

/// What a challenge is about.
struct About {
    run: Run,
    path: u8,
    seq: u32,
    reason: Reason,
    wants_signature: bool,
}

/// An answer that waits for what the listener says.
struct Pending {
    found: Found,
    header: Header,
    source: Source,
    answer: Answer,
    /// The place of its last event among all of the batch.
    last_event: Option<usize>,
}

/// All keys and paths.
pub struct Table {
    settings: Settings,
    clockwork: Clockwork,
    roster: Roster,
    limit: ChallengeLimit,
    loud: LoudSources,
    signatures: SignatureBudget,
    /// Replies ask for fewer copies until then.
    calm_until: Moment,
    /// Paths with a move that is not settled.
    moving: Vec<PathName>,
    counters: Counters,
    /// Keys whose clients are asked to exchange their token.
    renewals: HashSet<Locator>,
    notes: Notes,
    // Lists of the batch at work, kept for their room.
    found: Vec<Option<Found>>,
    events: Vec<BeatEvent>,
    standings: Vec<Standing>,
    pending: Vec<Pending>,
    /// Address lists of the batch.
    lists: Vec<(EndpointId, Vec<ListedAddress>)>,
    key_reports: Vec<KeyReport>,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("keys", &self.roster.len())
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl Table {
    /// A table without keys. `seed` is drawn anew for each start: cookies of another run are worth nothing.
    #[must_use]
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        let clockwork = Clockwork::new(seed);
        Self {
            settings,
            limit: ChallengeLimit::new(clockwork.hash_seed()),
            loud: LoudSources::new(clockwork.hash_seed()),
            signatures: SignatureBudget::default(),
            calm_until: Moment::default(),
            clockwork,
            roster: Roster::default(),
            moving: Vec::new(),
            counters: Counters::default(),
            renewals: HashSet::new(),
            notes: Notes::default(),
            found: Vec::new(),
            events: Vec::new(),
            standings: Vec::new(),
            pending: Vec::new(),
            lists: Vec::new(),
            key_reports: Vec::new(),
        }
    }

    /// The reports of server keys that wait; who takes them leaves room for new ones.
    pub fn key_reports(&mut self) -> &mut Vec<KeyReport> {
        &mut self.key_reports
    }

    /// What replies say of accounts beside their lines.
    pub const fn notes(&mut self) -> &mut Notes {
        &mut self.notes
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Replaces all keys. Runs under keys that stay are kept, also their proven addresses, which may be newer than
    /// the stored ones; a key that is gone is dead at once.
    pub fn replace_keys(&mut self, keys: impl IntoIterator<Item = OpenedBeatKey>, now: Moment, wall: WallTime) {
        let keys = keys.into_iter();
        let mut replacement = self.begin_replacement(keys.size_hint().0);
        while self.roster.read_piece(&mut replacement) {}
        self.roster.put_piece(&mut replacement, keys.map(KeptKey::Opened), (now, wall));
        self.end_replacement(replacement);
    }

    /// As [`replace_keys`](Self::replace_keys) in pieces; one replacement at a time.
    pub(super) fn begin_replacement(&mut self, keys: usize) -> Replacement {
        self.roster.begin_replacement(keys)
    }

    /// Reads a piece of what is known; false once all is read.
    pub(super) fn read_piece(&self, replacement: &mut Replacement) -> bool {
        self.roster.read_piece(replacement)
    }

    /// Takes over a piece of the new keys.
    pub(super) fn put_piece(
        &mut self,
        replacement: &mut Replacement,
        keys: impl Iterator<Item = KeptKey>,
        now: (Moment, WallTime),
    ) {
        self.roster.put_piece(replacement, keys, now);
    }

    /// What is not among the new keys is dead from now on.
    pub(super) fn end_replacement(&mut self, replacement: Replacement) {
        self.roster.end_replacement(replacement);
    }

    /// The keys whose clients are asked, by MORE, to exchange their token over HTTPS.
    pub fn ask_for_renewal(&mut self, keys: HashSet<Locator>) {
        self.renewals = keys;
    }

    /// Whose server a key that is valid now speaks for.
    #[must_use]
    pub fn endpoint_of(&self, locator: Locator, now: Moment) -> Option<(AccountId, EndpointId)> {
        let found = self.roster.find(locator).filter(|found| self.roster.is_valid(found.key, now))?;
        Some(self.roster.ids(found.path))
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
        let found = self.roster.find(locator).filter(|found| self.roster.is_valid(found.key, now))?;
        let (account, endpoint) = self.roster.ids(found.path);
        if let Some(here) = self.roster.heard_from((found.path, 1), now) {
            return Some(if here == address {
                PlainVerdict::SignedClientHere(listener.standing(endpoint))
            } else {
                PlainVerdict::SignedClientElsewhere
            });
        }
        Some(match self.roster.with_path((found.path, 0), now, |path| path.handle_plain(address, interval, now))? {
            PlainOutcome::Counted(events) => {
                self.end_older_keys(found, now);
                let events: Vec<BeatEvent> =
                    events.into_iter().map(|kind| BeatEvent { endpoint, account, path: 0, at: now, kind }).collect();
                for event in &events {
                    if let BeatKind::Moved { from, to } = &event.kind {
                        self.counters.moved += 1;
                        tracing::info!(%account, %endpoint, ?from, %to, "address moved");
                    }
                }
                let mut standings = Vec::with_capacity(events.len());
                listener.handle_all(&events, &mut standings);
                PlainVerdict::Counted(standings.pop().unwrap_or_else(|| listener.standing(endpoint)))
            }
            PlainOutcome::SignedClientHere => PlainVerdict::SignedClientHere(listener.standing(endpoint)),
            PlainOutcome::SignedClientElsewhere => PlainVerdict::SignedClientElsewhere,
        })
    }

    /// A datagram arrived. What it means goes to `listener`; at most one datagram, never a longer one, goes back.
    pub fn handle_datagram(
        &mut self,
        octets: &[u8],
        source: Source,
        now: (Moment, WallTime),
        listener: &dyn BeatListener,
    ) -> Option<Transmit> {
        let mut out = Vec::new();
        self.handle_batch(&[Received { octets, source }], now, listener, &mut out);
        out.pop()
    }

    /// As [`handle_datagram`](Self::handle_datagram) for many at once; what goes back is put behind `out`.
    pub fn handle_batch(
        &mut self,
        batch: &[Received<'_>],
        now: (Moment, WallTime),
        listener: &dyn BeatListener,
        out: &mut Vec<Transmit>,
    ) {
        self.look_up(batch);
        let found = std::mem::take(&mut self.found);
        let is_pressed = batch.len() >= BATCH_MAX;
        self.counters.received += u64::try_from(batch.len()).unwrap_or(0);
        for (received, found) in batch.iter().zip(&found) {
            if is_pressed && self.is_shed(received.source, *found, now.0) {
                self.counters.shed += 1;
            } else {
                self.take(received, *found, now.0);
            }
        }
        self.found = found;
        self.answer_all(now, listener, out);
    }

    /// All look-ups first, then all records: one by one, a million accounts at random cost mostly waits for memory.
    fn look_up(&mut self, batch: &[Received<'_>]) {
        let locators = batch.iter().map(|received| datagram::locator_of(received.octets));
        let touched = locators.clone().flatten().fold(0, |sum, locator| sum ^ self.roster.touch_index(locator));
        self.found.clear();
        self.found.extend(locators.map(|locator| locator.and_then(|locator| self.roster.find(locator))));
        let touched = self.found.iter().flatten().fold(touched, |sum, found| sum ^ self.roster.touch(*found));
        std::hint::black_box(touched);
    }

    /// Whether a datagram is left out under pressure: never one from where its client is known to be.
    fn is_shed(&self, source: Source, found: Option<Found>, now: Moment) -> bool {
        let address = source.address();
        self.loud.is_loud(address, now) && found.is_none_or(|found| !self.roster.is_home(found.path, address))
    }

    /// The kernel dropped so many datagrams of our sockets while so many were received: clients are to calm down.
    pub fn handle_drops(&mut self, dropped: u64, received: u64, now: Moment) {
        if dropped * 100 > (dropped + received) * CALM_FROM_PERCENT {
            self.calm_until = now + CALM_FOR;
        }
    }

    /// Checks one datagram and asks its path.
    fn take(&mut self, received: &Received<'_>, found: Option<Found>, now: Moment) {
        let (octets, source) = (received.octets, received.source);
        let Some(found) = found.filter(|found| self.roster.is_valid(found.key, now)) else {
            self.counters.unknown += 1;
            self.loud.note_bad(source.address(), now);
            return;
        };
        if !self.roster.mac_keys(found.key).is_some_and(|keys| keys.c2s.vouches_for_client(octets)) {
            self.counters.forged += 1;
            self.loud.note_bad(source.address(), now);
            return;
        }
        let Some(datagram) = ClientDatagram::decode(octets) else { return };
        // Far from everything else in memory, and few datagrams are signed.
        let is_signed = matches!(datagram.body, ClientBody::Answer { .. } | ClientBody::ServerKey { .. });
        let move_key = self.roster.move_key(found.key).filter(|_| is_signed).copied().unwrap_or_default();
        let (clockwork, interval) = (&self.clockwork, self.settings.interval);
        let name = (found.path, datagram.header.path);
        let is_answer = matches!(datagram.body, ClientBody::Answer { .. });
        let is_reserve = is_answer && self.is_reserve(name, source, now);
        let (datagram, signatures) = (&datagram, &self.signatures);
        let genuine =
            Genuine { datagram, octets, move_key: &move_key, source, now, clockwork, interval, is_reserve, signatures };
        let Some((mut outcome, is_moving)) =
            self.roster.with_path(name, now, |path| (path.handle(&genuine), path.poll_timeout().is_some()))
        else {
            return;
        };
        if is_moving {
            self.note_move(name);
        }
        let header = datagram.header;
        if matches!(datagram.body, ClientBody::AddressList(_) | ClientBody::ServerKey { .. }) {
            self.take_report(found, datagram, (octets, &move_key), &mut outcome);
        }
        self.queue(found, outcome, header, source, now);
    }

    /// What a beat carries beside itself: of effect only if the beat counts and nothing newer of its run was seen, so
    /// that no datagram that was held back brings old things again.
    fn take_report(
        &mut self,
        found: Found,
        datagram: &ClientDatagram,
        (octets, move_key): (&[u8], &[u8; 32]),
        outcome: &mut Outcome,
    ) {
        let is_beat = outcome.events.into_iter().any(|kind| matches!(kind, BeatKind::Beat { .. }));
        let is_newest = matches!(outcome.answer, Answer::Reply(facts) if facts.is_newest);
        if !is_beat || !is_newest {
            return;
        }
        let (account, endpoint) = self.roster.ids(found.path);
        match &datagram.body {
            ClientBody::AddressList(list) => self.lists.push((endpoint, list.clone())),
            ClientBody::ServerKey { .. } if self.key_reports.len() >= KEY_REPORTS_MAX => {
                outcome.answer = Answer::Silence;
            }
            ClientBody::ServerKey { digest, .. } => self.key_reports.push(KeyReport {
                endpoint,
                account,
                locator: datagram.header.locator,
                digest: *digest,
                octets: octets.to_vec(),
                move_key: *move_key,
            }),
            ClientBody::Beat | ClientBody::Answer { .. } => {}
        }
    }

    /// Whether this path is the second and the first is at home in the family of the source (docs/PROTOCOL.md §5).
    fn is_reserve(&self, (first, number): PathName, source: Source, now: Moment) -> bool {
        let home = if number == 0 { None } else { self.roster.heard_from((first, 0), now) };
        home.is_some_and(|home| home.is_ipv4() == source.address().is_ipv4())
    }

    /// Remembers a path with a move that is not settled.
    fn note_move(&mut self, path: PathName) {
        if !self.moving.contains(&path) {
            self.moving.push(path);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.moving.iter().filter_map(|path| self.roster.poll_timeout(*path)).min()
    }

    /// Goes on with moves that are not settled.
    pub fn handle_timeout(&mut self, (now, wall): (Moment, WallTime), listener: &dyn BeatListener) -> Vec<Transmit> {
        let mut out = Vec::new();
        for name in std::mem::take(&mut self.moving) {
            let (clockwork, interval) = (&self.clockwork, self.settings.interval);
            let home = if name.1 == 0 { None } else { self.roster.heard_from((name.0, 0), now) };
            let elapsed =
                self.roster.with_path(name, now, |path| path.handle_timeout((clockwork, interval), home, now));
            if self.roster.poll_timeout(name).is_some() {
                self.note_move(name);
            }
            match elapsed {
                None | Some(Elapsed::Nothing) => {}
                Some(Elapsed::Check { run, source, path }) => {
                    self.counters.challenged += 1;
                    let about = About { run, path, seq: 0, reason: Reason::OldAddress, wants_signature: false };
                    let key = self.roster.find(run.locator).map(|found| found.key);
                    out.extend(key.and_then(|key| self.write_challenge(&about, key, source, now)));
                }
                Some(Elapsed::Moved { header, source, outcome }) => {
                    let Some(found) = self.roster.find(header.locator) else { continue };
                    self.queue(found, *outcome, header, source, now);
                    self.answer_all((now, wall), listener, &mut out);
                }
            }
        }
        out
    }

    /// Puts what was said and what is to be answered behind the lists of the batch.
    fn queue(&mut self, found: Found, outcome: Outcome, header: Header, source: Source, now: Moment) {
        let (account, endpoint) = self.roster.ids(found.path);
        let path = header.path;
        let before = self.events.len();
        for kind in outcome.events {
            match &kind {
                BeatKind::Moved { from, to } => {
                    self.counters.moved += 1;
                    tracing::info!(%account, %endpoint, ?from, %to, "address moved");
                }
                BeatKind::Opened { address } => {
                    tracing::info!(%account, %endpoint, %address, locator = %header.locator, "heartbeat opened");
                    self.end_older_keys(found, now);
                }
                BeatKind::Goodbye { .. } => {
                    tracing::info!(%account, %endpoint, "goodbye");
                    self.roster.end_other_path((found.path, path), now);
                }
                BeatKind::Beat { .. } | BeatKind::RanOut => {}
            }
            self.events.push(BeatEvent { endpoint, account, path, at: now, kind });
        }
        let last_event = if self.events.len() > before { self.events.len().checked_sub(1) } else { None };
        let answer = outcome.answer;
        self.pending.push(Pending { found, header, source, answer, last_event });
    }

    /// Tells the listener everything, then writes the answers.
    fn answer_all(&mut self, now: (Moment, WallTime), listener: &dyn BeatListener, out: &mut Vec<Transmit>) {
        self.standings.clear();
        listener.handle_all(&self.events, &mut self.standings);
        self.events.clear();
        for (endpoint, list) in self.lists.drain(..) {
            listener.handle_addresses(endpoint, &list);
        }
        let mut pending = std::mem::take(&mut self.pending);
        for pending in pending.drain(..) {
            let standing = pending.last_event.and_then(|at| self.standings.get(at).copied());
            out.extend(self.answer(&pending, standing, now, listener));
        }
        self.pending = pending;
    }

    fn answer(
        &mut self,
        pending: &Pending,
        standing: Option<Standing>,
        (now, wall): (Moment, WallTime),
        listener: &dyn BeatListener,
    ) -> Option<Transmit> {
        let (header, source) = (&pending.header, pending.source);
        let run = Run { locator: header.locator, boot: header.boot };
        match pending.answer {
            Answer::Challenge { reason, wants_signature } if self.limit.admits(source.address(), run, now) => {
                self.counters.challenged += 1;
                let about = About { run, path: header.path, seq: header.seq, reason, wants_signature };
                self.write_challenge(&about, pending.found.key, source, now)
            }
            Answer::Silence | Answer::Challenge { .. } => {
                self.counters.silent += 1;
                None
            }
            Answer::Reply(facts) => {
                self.counters.replied += 1;
                let standing = standing.unwrap_or_else(|| listener.standing(self.roster.ids(pending.found.path).1));
                self.write_reply(pending, facts, standing, (now, wall))
            }
        }
    }

    fn write_challenge(&self, about: &About, key: u32, source: Source, now: Moment) -> Option<Transmit> {
        let About { run, path, seq, reason, wants_signature } = *about;
        let server_time = self.clockwork.server_time(now);
        let asked = Asked { run, source: source.address(), server_time, path };
        let challenge = Challenge {
            seq,
            observed: SocketAddr::new(source.address(), source.peer.port()),
            reason,
            wants_signature,
            path,
            server_time,
            cookie: self.clockwork.cookie(&asked, reason, now),
        };
        self.seal(ServerDatagram::Challenge(challenge), run, key, source)
    }

    fn write_reply(
        &self,
        pending: &Pending,
        facts: ReplyFacts,
        standing: Standing,
        (now, wall): (Moment, WallTime),
    ) -> Option<Transmit> {
        let (header, source) = (&pending.header, pending.source);
        let run = Run { locator: header.locator, boot: header.boot };
        let (account, _) = self.roster.ids(pending.found.path);
        let standing = self.notes.standing(account, standing);
        let reply = Reply {
            seq: header.seq,
            observed: SocketAddr::new(source.address(), source.peer.port()),
            state: standing.state,
            flags: self
                .notes
                .flags(account, facts.flags)
                .with(ReplyFlags::MORE, self.renewals.contains(&header.locator))
                .with(ReplyFlags::CALM, now < self.calm_until),
            server_time: self.clockwork.server_time(now),
            wall_s: u32::try_from(wall.timestamp()).unwrap_or(0),
            waiting: standing.waiting,
            interval_cs: centiseconds(facts.ordered),
            next_cs: centiseconds(next_due(run.locator, facts.ordered, facts.base)),
            loss: facts.loss,
            endpoint_index: 255,
            neutralised_after_cs: centiseconds(standing.neutralised_after),
        };
        self.seal(ServerDatagram::Reply(reply), run, pending.found.key, source)
    }

    /// `key` is that of the run.
    fn seal(&self, datagram: ServerDatagram, run: Run, key: u32, source: Source) -> Option<Transmit> {
        let keys = self.roster.mac_keys(key)?;
        let octets = datagram.encode(&keys.s2c, run.boot, run.locator);
        Some(Transmit { socket: source.socket, to: source.peer, octets })
    }

    /// A current key was used: rotated ones have 10 minutes left.
    fn end_older_keys(&mut self, used: Found, now: Moment) {
        if self.roster.end(used.key).is_none() {
            self.roster.end_at_most(used.path, now + OLD_KEY_FOR);
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
