//! The world of the simulation: a clock, a network, clients, one server.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use chrono::TimeZone;
use pulsemx::base::{AccountId, EndpointId, Moment, WallTime};
use pulsemx::heartbeat::client::{Client, ClientEvent, ClientKeys, ClientSettings};
use pulsemx::heartbeat::datagram::{ClientBody, ClientDatagram, ListedAddress};
use pulsemx::heartbeat::server::path::Source;
use pulsemx::heartbeat::server::table::BATCH_MAX;
use pulsemx::heartbeat::server::{BeatEvent, BeatListener, OpenedBeatKey, Received, Settings, Standing, Table};
use pulsemx::heartbeat::token::Token;
use pulsemx::liveness::{Board, Cause, HistoryRow, LineState, LineView, Output, WatchedEndpoint};

pub(crate) const ACCOUNT: AccountId = AccountId(1);
pub(crate) const ENDPOINT: EndpointId = EndpointId(1);
pub(crate) const HOME: &str = "203.0.113.7:40000";
const SCAN_EVERY: u64 = 100;
/// Beyond the saturation of the clock at its start.
const START: u64 = 3_600_000;

/// A small generator with a seed that failures can name.
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635)
    }
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// From `low` up to and without `high`.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low).max(1)
    }
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.range(0, 1_000) < per_mille
    }
    pub(crate) fn octets(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| self.next().to_be_bytes()[0])
    }
}

/// The listener: the board behind a lock, and a count of what it was told.
pub(crate) struct Watch {
    pub(crate) board: Mutex<Board>,
    pub(crate) told: Mutex<Vec<BeatEvent>>,
}

impl BeatListener for Watch {
    fn handle(&self, event: &BeatEvent) -> Standing {
        self.told.lock().unwrap().push(event.clone());
        self.board.lock().unwrap().handle_event(event, wall(event.at))
    }
    fn handle_addresses(&self, endpoint: EndpointId, list: &[ListedAddress]) {
        self.board.lock().unwrap().handle_addresses(endpoint, list);
    }
    fn standing(&self, endpoint: EndpointId) -> Standing {
        self.board.lock().unwrap().standing(endpoint)
    }
}

pub(crate) fn wall(now: Moment) -> WallTime {
    chrono::Utc.timestamp_millis_opt(1_795_492_800_000 + i64::try_from(now.as_millis()).unwrap()).unwrap()
}

pub(crate) struct Node {
    pub(crate) client: Client,
    /// By how many milliseconds its clock is behind: it knows no time but its own.
    pub(crate) behind: u64,
    pub(crate) address: SocketAddr,
    pub(crate) events: Vec<ClientEvent>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Debug)]
struct Packet {
    arrives: u64,
    number: u64,
    sent: u64,
    peer: SocketAddr,
    is_to_server: bool,
    octets: Vec<u8>,
}

/// One client's datagram on its way, as a wire tapper sees it.
#[derive(Clone)]
pub(crate) struct Tapped {
    pub(crate) sent: u64,
    pub(crate) source: SocketAddr,
    pub(crate) octets: Vec<u8>,
    /// It never arrives.
    pub(crate) is_lost: bool,
}

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) dice: Dice,
    pub(crate) now: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) watch: Watch,
    pub(crate) table: Table,
    pub(crate) token: Token,
    pub(crate) is_line_up: bool,
    /// Addresses of clients whose datagrams are lost, both ways.
    pub(crate) cut: Vec<IpAddr>,
    /// Mappings of a NAT that let nothing through any more, as the server sees them.
    pub(crate) frozen: Vec<SocketAddr>,
    /// Longer datagrams of clients are lost.
    pub(crate) octets_max: usize,
    /// From here so much comes that each datagram of a client stands at the end of a full queue.
    pub(crate) flood: Option<SocketAddr>,
    pub(crate) loss_per_mille: u64,
    pub(crate) latency_ms: (u64, u64),
    /// Everything that clients sent.
    pub(crate) tapped: Vec<Tapped>,
    /// Sending time of the newest client datagram that arrived.
    pub(crate) newest_arrived: u64,
    /// `(decided at, row)`.
    pub(crate) rows: Vec<(u64, HistoryRow)>,
    /// Answers that arrived: `(at, source)`.
    pub(crate) answers: Vec<(u64, SocketAddr)>,
    /// Every datagram that anybody was told of.
    counted: HashSet<Vec<u8>>,
    stored_addresses: Vec<IpAddr>,
    network: BinaryHeap<Reverse<Packet>>,
    packets: u64,
    next_scan: u64,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let token = Token::from_octets(dice.octets());
        let watched = WatchedEndpoint::new(ACCOUNT, ENDPOINT);
        let start = Moment::from_millis(START);
        let board = Board::new(line_settings(), vec![watched], start, wall(start));
        let mut world = Self {
            seed,
            now: START,
            nodes: Vec::new(),
            watch: Watch { board: Mutex::new(board), told: Mutex::default() },
            table: Table::new(Settings { interval: Duration::from_secs(5) }, dice.octets()),
            token,
            is_line_up: true,
            cut: Vec::new(),
            frozen: Vec::new(),
            octets_max: usize::MAX,
            flood: None,
            loss_per_mille: 0,
            latency_ms: (5, 60),
            tapped: Vec::new(),
            newest_arrived: 0,
            rows: Vec::new(),
            answers: Vec::new(),
            counted: HashSet::new(),
            stored_addresses: Vec::new(),
            network: BinaryHeap::new(),
            packets: 0,
            next_scan: START,
            dice,
        };
        world.load_keys();
        world.add_client(HOME, None);
        world
    }

    pub(crate) fn add_client(&mut self, address: &str, interval: Option<Duration>) {
        self.add_path(address, interval, 0);
    }

    /// One of a client's paths.
    pub(crate) fn add_path(&mut self, address: &str, interval: Option<Duration>, path: u8) {
        let seed = self.dice.octets();
        self.add_seeded(address, ClientSettings { interval, path }, seed, 0);
    }

    /// A client that draws its numbers from this seed and whose clock is so far behind.
    pub(crate) fn add_seeded(&mut self, address: &str, settings: ClientSettings, seed: [u8; 32], behind: u64) {
        let now = Moment::from_millis(self.now - behind);
        let client = Client::new(ClientKeys::new(&self.token), settings, seed, now);
        self.nodes.push(Node { client, behind, address: address.parse().unwrap(), events: Vec::new() });
    }

    /// Tells a client something, at the time of its own clock.
    pub(crate) fn tell(&mut self, place: usize, what: impl FnOnce(&mut Client, Moment)) {
        let node = &mut self.nodes[place];
        what(&mut node.client, Moment::from_millis(self.now - node.behind));
        self.drain_client(place);
    }

    /// A world that has been ONLINE for a while.
    pub(crate) fn online(seed: u64) -> Self {
        let mut world = Self::new(seed);
        world.run_for(12_000);
        assert_eq!(world.line().state, LineState::Online, "seed {seed}");
        world
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment::from_millis(self.now)
    }

    pub(crate) fn line(&self) -> LineView {
        self.watch.board.lock().unwrap().line(ENDPOINT, self.moment()).unwrap()
    }

    /// The addresses that DNS may answer now, IPv4 and IPv6.
    pub(crate) fn addresses(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        let addresses = self.watch.board.lock().unwrap().effective_addresses(ENDPOINT);
        (addresses.v4.map(|(v4, _)| v4.into()), addresses.v6.map(|(v6, _)| v6.into()))
    }

    /// `(decided at, from, to, cause)` of each state row.
    pub(crate) fn states(&self) -> Vec<(u64, LineState, LineState, Cause)> {
        self.rows
            .iter()
            .filter_map(|(at, row)| match row {
                HistoryRow::State(row) => Some((*at, row.from, row.to, row.cause)),
                HistoryRow::Address(_) | HistoryRow::NoData(_) | HistoryRow::Interval(_) => None,
            })
            .collect()
    }

    pub(crate) fn address_changes(&self) -> Vec<(u64, IpAddr)> {
        self.rows
            .iter()
            .filter_map(|(at, row)| match row {
                HistoryRow::Address(row) => Some((*at, row.to)),
                HistoryRow::State(_) | HistoryRow::NoData(_) | HistoryRow::Interval(_) => None,
            })
            .collect()
    }

    pub(crate) fn run_for(&mut self, millis: u64) {
        let end = self.now + millis;
        while self.step(end) {}
    }

    /// Runs until `is_so`, `limit` ms at most; whether it came true.
    pub(crate) fn run_until(&mut self, limit: u64, is_so: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while !is_so(self) {
            if !self.step(end) {
                return false;
            }
        }
        true
    }

    /// A datagram reaches the server from `source`, whoever sent it. What comes back, and whether anybody was told.
    pub(crate) fn inject(&mut self, source: SocketAddr, octets: &[u8]) -> (Option<Vec<u8>>, usize) {
        let told = self.watch.told.lock().unwrap().len();
        let moment = self.moment();
        let source = Source { peer: source, socket: 0 };
        let bogus = self.bogus();
        let mut queue: Vec<Received<'_>> =
            bogus.iter().map(|(octets, source)| Received { octets, source: *source }).collect();
        queue.push(Received { octets, source });
        let mut out = Vec::new();
        // The genuine one is the last of a full batch.
        for batch in queue.rchunks(BATCH_MAX).rev() {
            self.table.handle_batch(batch, (moment, wall(moment)), &self.watch, &mut out);
        }
        assert!(out.len() <= 1, "something bogus was answered, seed {}", self.seed);
        let answer = out.pop();
        if let Some(answer) = &answer {
            assert!(answer.octets.len() <= octets.len(), "amplified, seed {}", self.seed);
            assert_eq!(answer.to, source.peer);
        }
        self.collect();
        let told = self.watch.told.lock().unwrap().len() - told;
        if told > 0 {
            assert!(self.counted.insert(octets.to_vec()), "one datagram counted twice, seed {}", self.seed);
        }
        (answer.map(|answer| answer.octets.to_vec()), told)
    }

    /// What a flood puts before one datagram: unknown keys, and wrong tags under the known one.
    fn bogus(&mut self) -> Vec<(Vec<u8>, Source)> {
        let Some(peer) = self.flood else { return Vec::new() };
        let source = Source { peer, socket: 0 };
        (0..4 * BATCH_MAX - 1)
            .map(|number| {
                let mut octets = self.tapped[0].octets.clone();
                let place = if number % 2 == 0 { 4 } else { 48 };
                octets[place..place + 8].copy_from_slice(&self.dice.next().to_be_bytes());
                (octets, source)
            })
            .collect()
    }

    /// Puts a datagram on its way to the server.
    pub(crate) fn send_later(&mut self, delay: u64, sent: u64, source: SocketAddr, octets: Vec<u8>) {
        self.push(Packet { arrives: self.now + delay, number: 0, sent, peer: source, is_to_server: true, octets });
    }

    /// The server process ends and starts again with what its store holds.
    pub(crate) fn restart_server(&mut self) {
        let last = self.states().last().map(|(_, _, to, _)| *to).unwrap_or(LineState::New);
        let since = (last != LineState::New).then(|| wall(self.moment()));
        let stored = |is_v4: bool| {
            let changes = self.address_changes();
            changes.iter().rev().map(|(_, to)| *to).find(|to| to.is_ipv4() == is_v4)
        };
        self.stored_addresses = [stored(true), stored(false)].into_iter().flatten().collect();
        let mut watched = WatchedEndpoint {
            state: last,
            since,
            interval: self.stored_interval(),
            ..WatchedEndpoint::new(ACCOUNT, ENDPOINT)
        };
        for address in &self.stored_addresses {
            match address {
                IpAddr::V4(v4) => watched.address_v4 = Some(*v4),
                IpAddr::V6(v6) => watched.address_v6 = Some(*v6),
            }
        }
        let now = self.moment();
        *self.watch.board.lock().unwrap() = Board::new(line_settings(), vec![watched], now, wall(now));
        let seed = self.dice.octets();
        self.table = Table::new(Settings { interval: Duration::from_secs(5) }, seed);
        self.load_keys();
    }

    /// What the client sent under its newest boot id.
    pub(crate) fn newest_run(&self) -> Vec<Tapped> {
        let boot = |tapped: &Tapped| ClientDatagram::decode(&tapped.octets).map(|datagram| datagram.header.boot);
        let newest = self.tapped.last().and_then(boot);
        self.tapped.iter().filter(|tapped| boot(tapped) == newest).cloned().collect()
    }

    fn stored_interval(&self) -> Option<Duration> {
        self.rows.iter().rev().find_map(|(_, row)| match row {
            HistoryRow::Interval(row) => Some(row.interval),
            HistoryRow::State(_) | HistoryRow::Address(_) | HistoryRow::NoData(_) => None,
        })
    }

    fn load_keys(&mut self) {
        let key = self.key(&self.token);
        self.replace_keys(vec![key]);
    }

    pub(crate) fn replace_keys(&mut self, keys: Vec<OpenedBeatKey>) {
        let now = self.moment();
        self.table.replace_keys(keys, now, wall(now));
    }

    /// The current key of `token`.
    pub(crate) fn key(&self, token: &Token) -> OpenedBeatKey {
        OpenedBeatKey {
            locator: token.locator(),
            account: ACCOUNT,
            endpoint: ENDPOINT,
            c2s: token.client_to_server(),
            s2c: token.server_to_client(),
            move_key: token.move_key().verifying_key().to_bytes(),
            expires_at: None,
            stored_addresses: self.stored_addresses.clone(),
        }
    }

    /// Goes to the next thing that happens, not beyond `end`; false when that is reached.
    fn step(&mut self, end: u64) -> bool {
        let network = self.network.peek().map(|Reverse(packet)| packet.arrives);
        let due = |node: &Node| node.client.poll_timeout().map(|at| at.as_millis() + node.behind);
        let clients = self.nodes.iter().filter_map(due).min();
        let table = self.table.poll_timeout().map(Moment::as_millis);
        let next = [network, clients, table, Some(self.next_scan)].into_iter().flatten().min().unwrap();
        if next > end {
            self.now = end;
            return false;
        }
        self.now = self.now.max(next);
        while self.network.peek().is_some_and(|Reverse(packet)| packet.arrives <= self.now) {
            let Reverse(packet) = self.network.pop().unwrap();
            self.arrive(packet);
        }
        let moment = self.moment();
        for out in self.table.handle_timeout((moment, wall(moment)), &self.watch) {
            self.transmit(out.to, false, out.octets.to_vec());
        }
        for place in 0..self.nodes.len() {
            let own = Moment::from_millis(self.now - self.nodes[place].behind);
            if self.nodes[place].client.poll_timeout().is_some_and(|at| at <= own) {
                self.nodes[place].client.handle_timeout(own);
            }
            self.drain_client(place);
        }
        if self.now >= self.next_scan {
            self.watch.board.lock().unwrap().scan(moment, wall(moment));
            self.next_scan = self.now + SCAN_EVERY;
        }
        self.collect();
        true
    }

    pub(crate) fn drain_client(&mut self, place: usize) {
        while let Some(octets) = self.nodes[place].client.poll_transmit() {
            let source = self.nodes[place].address;
            let is_lost = !self.transmit(source, true, octets.clone());
            self.tapped.push(Tapped { sent: self.now, source, octets, is_lost });
        }
        while let Some(event) = self.nodes[place].client.poll_event() {
            let node = &mut self.nodes[place];
            let own = Moment::from_millis(self.now - node.behind);
            node.events.push(event);
            if event == ClientEvent::NewSocketWanted {
                node.address.set_port(node.address.port() % 60_000 + 1_024);
                node.client.handle_new_socket(own);
                self.drain_client(place);
            }
        }
    }

    /// Whether it will arrive.
    fn transmit(&mut self, peer: SocketAddr, is_to_server: bool, octets: Vec<u8>) -> bool {
        let is_cut = self.cut.contains(&peer.ip()) || self.frozen.contains(&peer);
        let is_cut = is_cut || octets.len() > self.octets_max;
        if !self.is_line_up || is_cut || self.dice.chance(self.loss_per_mille) {
            return false;
        }
        let delay = self.dice.range(self.latency_ms.0, self.latency_ms.1);
        self.push(Packet { arrives: self.now + delay, number: 0, sent: self.now, peer, is_to_server, octets });
        true
    }

    fn push(&mut self, mut packet: Packet) {
        self.packets += 1;
        packet.number = self.packets;
        self.network.push(Reverse(packet));
    }

    fn arrive(&mut self, packet: Packet) {
        if packet.is_to_server {
            self.newest_arrived = self.newest_arrived.max(packet.sent);
            if ClientDatagram::decode(&packet.octets)
                .is_some_and(|datagram| matches!(datagram.body, ClientBody::Answer { .. }))
            {
                self.answers.push((self.now, packet.peer));
            }
            if let (Some(answer), _) = self.inject(packet.peer, &packet.octets) {
                self.transmit(packet.peer, false, answer);
            }
        } else if let Some(place) = self.nodes.iter().position(|node| node.address == packet.peer) {
            self.tell(place, |client, now| client.handle_datagram(&packet.octets, now));
        }
    }

    fn collect(&mut self) {
        for output in self.watch.board.lock().unwrap().take_outputs() {
            if let Output::Row(row) = output {
                self.rows.push((self.now, row));
            }
        }
    }
}

pub(crate) fn line_settings() -> pulsemx::liveness::Settings {
    pulsemx::liveness::Settings { interval: Duration::from_secs(5), misses: 3, grace: Duration::from_secs(2) }
}
