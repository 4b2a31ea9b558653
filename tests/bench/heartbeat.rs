//! What a beat costs the server: a million accounts over UDP on loopback, each beat authenticated and answered with a
//! signed reply.
//!
//! `cargo bench --bench heartbeat` takes about a minute; `PULSEMX_BENCH_ACCOUNTS=50000 cargo bench --bench heartbeat` a
//! few seconds. Prints lines `figure NAME NUMBER`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chrono::NaiveDate;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, SockaddrStorage, recvmmsg, setsockopt, sockopt};
use pulsemx::base::{AccountId, Clock, EndpointId, WallTime};
use pulsemx::heartbeat::datagram::{BootId, ClientBody, ClientDatagram, ClientFlags, Header, Locator, ServerDatagram};
use pulsemx::heartbeat::server::{BeatServer, OpenedBeatKey, Settings, bind};
use pulsemx::heartbeat::tag::MacKey;
use pulsemx::liveness::{DaySummary, HistoryRow, LineState, Liveness, LogError, TransitionLog, WatchedEndpoint};
use tokio_util::sync::CancellationToken;

const ACCOUNTS: u32 = 1_000_000;
const BATCH: usize = 64;
/// Datagrams under way: enough to keep the server at work, fewer than a small receive queue holds.
const UNDER_WAY: usize = 448;
/// Every so many replies one is checked in full.
const CHECK_EVERY: usize = 101;
/// Rounds of beats of all accounts that are measured.
const ROUNDS: u32 = 3;
/// Silence after which what is under way was lost.
const QUIET: Duration = Duration::from_secs(2);
/// Long, so that a round that takes longer on a busy machine makes nobody late.
const INTERVAL: Duration = Duration::from_secs(60);

/// Takes rows and keeps nothing: the disk is no part of this.
struct NoLog;

#[async_trait]
impl TransitionLog for NoLog {
    async fn append(&self, _: Vec<HistoryRow>) -> Result<(), LogError> {
        Ok(())
    }
    async fn load(&self) -> Result<Vec<WatchedEndpoint>, LogError> {
        Ok(Vec::new())
    }
    async fn history(&self, _: AccountId, _: u32) -> Result<Vec<HistoryRow>, LogError> {
        Ok(Vec::new())
    }
    async fn days(&self, _: AccountId, _: NaiveDate, _: NaiveDate, _: WallTime) -> Result<Vec<DaySummary>, LogError> {
        Ok(Vec::new())
    }
    async fn purge_history(&self, _: WallTime) -> Result<u64, LogError> {
        Ok(0)
    }
}

/// Everything of one account, computed from its number whenever it is needed, so that the clients need no memory.
struct Identity {
    locator: Locator,
    boot: BootId,
    c2s: MacKey,
    s2c: MacKey,
}

fn identity(number: u32) -> Identity {
    let mut octets = [0u8; 80];
    blake3::Hasher::new_keyed(&[7; 32]).update(&number.to_le_bytes()).finalize_xof().fill(&mut octets);
    Identity {
        locator: Locator(octets[..8].try_into().unwrap()),
        boot: BootId(u64::from_le_bytes(octets[8..16].try_into().unwrap())),
        c2s: MacKey::new(octets[16..48].try_into().unwrap()),
        s2c: MacKey::new(octets[48..80].try_into().unwrap()),
    }
}

fn opened_key(number: u32) -> OpenedBeatKey {
    let identity = identity(number);
    let row = i64::from(number) + 1;
    OpenedBeatKey {
        locator: identity.locator,
        account: AccountId(row),
        endpoint: EndpointId(row),
        c2s: identity.c2s,
        s2c: identity.s2c,
        move_key: *blake3::hash(&number.to_le_bytes()).as_bytes(),
        expires_at: None,
        stored_addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
    }
}

/// Account numbers in an order that the server's memory does not have.
fn shuffled(position: u32, accounts: u32, round: u32) -> u32 {
    let step = (0..)
        .map(|more| 618_033_989u64 + u64::from(round) * 7_919 + more)
        .find(|step| gcd(*step, u64::from(accounts)) == 1);
    u32::try_from(u64::from(position) * step.unwrap() % u64::from(accounts)).unwrap()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// All clients behind one socket. The sequence number names round and account, so that nothing has to be remembered.
struct Clients {
    socket: UdpSocket,
    accounts: u32,
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Vec<[u8; 64]>,
    echo: u32,
    under_way: usize,
    replies: usize,
    answers: Vec<Vec<u8>>,
    /// What comes back is what was sent.
    is_echo: bool,
    /// 0 over IPv4, 1 over IPv6.
    path: u8,
}

impl Clients {
    fn new(server: SocketAddr, accounts: u32) -> Self {
        let own = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let socket = UdpSocket::bind(own).unwrap();
        socket.connect(server).unwrap();
        socket.set_nonblocking(true).unwrap();
        // Only for the privileged; without it the standard queue is long enough.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &(8 * 1024 * 1024));
        Self {
            socket,
            accounts,
            headers: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![[0; 64]; BATCH],
            echo: 0,
            under_way: 0,
            replies: 0,
            answers: Vec::new(),
            is_echo: false,
            path: u8::from(server.is_ipv6()),
        }
    }

    fn datagram(&self, number: u32, round: u32, body: ClientBody) -> Vec<u8> {
        let identity = identity(number);
        let header = Header {
            locator: identity.locator,
            boot: identity.boot,
            seq: 1 + round * self.accounts + number,
            path: self.path,
            copy: 0,
            flags: ClientFlags(ClientFlags::MAIL_KNOWN.0 | ClientFlags::MAIL_OK.0 | ClientFlags::KEEPS.0),
            interval_cs: u16::try_from(INTERVAL.as_millis() / 10).unwrap(),
            greeting_ms: 0,
            echo: self.echo,
            hold_ms: 0,
            greeting_code: 220,
            absence_min: 0,
            replies_lost: 0,
            version_max: 1,
            build: 1,
        };
        ClientDatagram { header, body }.encode(&identity.c2s, None)
    }

    /// Every account beats once; challenges are answered.
    fn round(&mut self, round: u32) {
        let mut batch = Vec::with_capacity(BATCH);
        for position in 0..self.accounts {
            batch.push(self.datagram(shuffled(position, self.accounts, round), round, ClientBody::Beat));
            if batch.len() == BATCH || position + 1 == self.accounts {
                self.send(&batch);
                batch.clear();
                self.receive_until(UNDER_WAY - BATCH);
            }
        }
        self.receive_until(0);
    }

    fn send(&mut self, datagrams: &[Vec<u8>]) {
        use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
        let slices: Vec<[IoSlice<'_>; 1]> = datagrams.iter().map(|datagram| [IoSlice::new(datagram)]).collect();
        let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> =
            datagrams.iter().map(|_| SendAncillaryBuffer::default()).collect();
        let mut messages: Vec<MMsgHdr<'_>> =
            slices.iter().zip(&mut controls).map(|(slice, control)| MMsgHdr::new(slice, control)).collect();
        let mut done = 0;
        while done < messages.len() {
            match sendmmsg(&self.socket, &mut messages[done..], SendFlags::empty()) {
                Ok(sent) => done += sent,
                Err(_) => std::thread::yield_now(),
            }
        }
        self.under_way += datagrams.len();
    }

    /// Takes in answers until no more than `rest` datagrams are under way, or until nothing comes for long: then what is
    /// missing was lost.
    fn receive_until(&mut self, rest: usize) {
        let mut quiet_since = Instant::now();
        while self.under_way > rest {
            let mut slices: Vec<[IoSliceMut<'_>; 1]> =
                self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            let count = recvmmsg(self.socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None)
                .map_or(0, Iterator::count);
            if count > 0 {
                self.under_way = self.under_way.saturating_sub(count);
                quiet_since = Instant::now();
                for at in 0..count {
                    self.take(at);
                }
                let answers = std::mem::take(&mut self.answers);
                self.send(&answers);
            } else if quiet_since.elapsed() > QUIET {
                self.under_way = 0;
            } else {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    fn take(&mut self, at: usize) {
        if self.is_echo {
            return;
        }
        let octets = self.buffers[at];
        match ServerDatagram::decode(&octets).expect("a datagram of the server") {
            ServerDatagram::Reply(reply) => {
                self.echo = reply.server_time;
                self.replies += 1;
                if self.replies.is_multiple_of(CHECK_EVERY) {
                    let identity = identity((reply.seq - 1) % self.accounts);
                    assert!(identity.s2c.vouches_for_server(&octets, identity.boot, identity.locator));
                }
            }
            ServerDatagram::Challenge(challenge) => {
                assert!(!challenge.wants_signature);
                self.echo = challenge.server_time;
                let (cookie, seen) = (challenge.cookie, challenge.observed.ip());
                let (number, round) = ((challenge.seq - 1) % self.accounts, (challenge.seq - 1) / self.accounts + 1);
                let body = ClientBody::Answer { cookie, seen, signature: [0; 64] };
                self.answers.push(self.datagram(number, round, body));
            }
        }
    }
}

fn resident_octets() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    kib.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

/// CPU time of the thread of this name.
fn thread_cpu(name: &str) -> Duration {
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        if std::fs::read_to_string(task.join("comm")).unwrap().trim() == name {
            return cpu_of(&task);
        }
    }
    panic!("no thread {name}");
}

/// The time on a CPU, user and kernel, as the scheduler counts it in nanoseconds.
fn cpu_of(task: &std::path::Path) -> Duration {
    let text = std::fs::read_to_string(task.join("schedstat")).unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

fn process_cpu() -> Duration {
    std::fs::read_dir("/proc/self/task").unwrap().map(|task| cpu_of(&task.unwrap().path())).sum()
}

/// What the kernel alone costs: the same system calls, each datagram sent back as it came. Datagrams per core-second.
fn bare_echo(accounts: u32) -> f64 {
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let (over, is_over) = std::sync::mpsc::channel::<()>();
    let work = move || {
        let mut headers: MultiHeaders<SockaddrIn> = MultiHeaders::preallocate(BATCH, None);
        let mut buffers = vec![[0u8; 256]; BATCH];
        while is_over.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
            let mut wanted = [rustix::event::PollFd::new(&socket, rustix::event::PollFlags::IN)];
            let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            let _ = rustix::event::poll(&mut wanted, Some(&timeout));
            let mut slices: Vec<[IoSliceMut<'_>; 1]> =
                buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            let received = recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None);
            let from: Vec<(usize, SockaddrIn)> =
                received.map_or_else(|_| Vec::new(), |all| all.map(|one| (one.bytes, one.address.unwrap())).collect());
            echo(&socket, &from, &buffers);
        }
    };
    let thread = std::thread::Builder::new().name("echo".to_owned()).spawn(work).unwrap();
    let mut clients = Clients::new(address, accounts);
    clients.is_echo = true;
    clients.round(0);
    let cpu = thread_cpu("echo");
    clients.round(1);
    let rate = f64::from(accounts) / (thread_cpu("echo") - cpu).as_secs_f64();
    drop(over);
    thread.join().unwrap();
    rate
}

fn echo(socket: &UdpSocket, from: &[(usize, SockaddrIn)], buffers: &[[u8; 256]]) {
    use rustix::net::addr::SocketAddrArg;
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
    let addresses: Vec<SocketAddrAny> =
        from.iter().map(|(_, peer)| SocketAddr::new(peer.ip().into(), peer.port()).as_any()).collect();
    let slices: Vec<[IoSlice<'_>; 1]> =
        from.iter().zip(buffers).map(|((octets, _), buffer)| [IoSlice::new(&buffer[..*octets])]).collect();
    let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> =
        from.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let messages = addresses.iter().zip(&slices).zip(&mut controls);
    let mut messages: Vec<MMsgHdr<'_>> =
        messages.map(|((address, slice), control)| MMsgHdr::new_with_addr(address, slice, control)).collect();
    let mut done = 0;
    while done < messages.len() {
        done += sendmmsg(socket, &mut messages[done..], SendFlags::empty()).unwrap_or(1);
    }
}

struct Running {
    server: Arc<BeatServer>,
    _liveness: Arc<Liveness>,
    shutdown: CancellationToken,
}

/// As after a restart: all lines are known, and stored as ONLINE.
fn start(accounts: u32) -> Running {
    let shutdown = CancellationToken::new();
    let since = Some(Clock.wall());
    let new = |row| WatchedEndpoint::new(AccountId(row), EndpointId(row));
    let line = |row| WatchedEndpoint { state: LineState::Online, since, ..new(row) };
    let watched = (1..=i64::from(accounts)).map(line).collect();
    let settings = pulsemx::liveness::Settings { interval: INTERVAL, misses: 3, grace: Duration::from_secs(2) };
    let liveness = Liveness::start(settings, Arc::new(NoLog), watched, shutdown.clone());
    let sockets = ["127.0.0.1:0", "[::1]:0"].map(|address| bind(address.parse().unwrap()).unwrap()).into();
    let keys = (0..accounts).map(opened_key);
    let listener = Arc::clone(&liveness) as _;
    let server = BeatServer::start(Settings { interval: INTERVAL }, sockets, keys, listener, &shutdown).unwrap();
    Running { server, _liveness: liveness, shutdown }
}

/// Every account beats over IPv6 as well, twice after its opening; beats of the second path per core-second.
fn two_paths(server: &BeatServer, accounts: u32) -> f64 {
    let address = server.addresses().into_iter().find(SocketAddr::is_ipv6).unwrap();
    let mut clients = Clients::new(address, accounts);
    clients.round(0);
    let (before, cpu) = (server.counters(), thread_cpu("beats"));
    clients.round(2);
    clients.round(3);
    let answered = server.counters().replied - before.replied;
    answered as f64 / (thread_cpu("beats") - cpu).as_secs_f64()
}

fn main() {
    let accounts = std::env::var("PULSEMX_BENCH_ACCOUNTS").map_or(ACCOUNTS, |text| text.parse().expect("a number"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let _inside = runtime.enter();
    let mut clients = Clients::new("127.0.0.1:9".parse().unwrap(), accounts);
    let before = resident_octets();
    let begun = Instant::now();
    let Running { server, _liveness, shutdown } = start(accounts);
    println!(
        "accounts {accounts}, loaded in {:.1?}, {} octets each",
        begun.elapsed(),
        (resident_octets() - before) / u64::from(accounts)
    );
    clients.socket.connect(server.addresses()[0]).unwrap();

    let begun = Instant::now();
    clients.round(0);
    let opened = server.counters();
    println!("opened {} with a challenge each in {:.1?}", opened.replied, begun.elapsed());
    // Sequence numbers of round 1 were used by the answers.
    let mut rates: Vec<f64> = Vec::new();
    for round in 2..2 + ROUNDS {
        let (before, cpu, begun) = (server.counters(), thread_cpu("beats"), Instant::now());
        clients.round(round);
        let (after, cpu) = (server.counters(), thread_cpu("beats") - cpu);
        let answered = after.replied - before.replied;
        rates.push(answered as f64 / cpu.as_secs_f64());
        println!(
            "round {round}: {answered} answered, {:.2?} of CPU, {:.2?} by the clock, {} challenged, {} silent",
            cpu,
            begun.elapsed(),
            after.challenged - before.challenged,
            after.silent - before.silent
        );
    }
    let octets = (resident_octets() - before) as f64 / f64::from(accounts);
    let idle = Duration::from_secs(4);
    let cpu = process_cpu();
    std::thread::sleep(idle);
    let scan = (process_cpu() - cpu).as_secs_f64() / idle.as_secs_f64() * 100.0;
    let over_v6 = two_paths(&server, accounts);
    let octets_two = (resident_octets() - before) as f64 / f64::from(accounts);
    rates.sort_by(f64::total_cmp);
    let rate = rates[rates.len() / 2];
    let echoed = bare_echo(accounts);
    println!("{:?}", server.counters());
    println!("figure beats_per_core_second {rate:.0}");
    println!("figure bare_echoes_per_core_second {echoed:.0}");
    println!("figure bytes_per_account {octets:.0}");
    println!("figure bytes_per_account_two_paths {octets_two:.0}");
    println!("figure second_path_beats_per_core_second {over_v6:.0}");
    println!("figure scan_core_percent {scan:.2}");
    shutdown.cancel();
}
