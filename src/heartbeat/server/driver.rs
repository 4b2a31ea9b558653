//! UDP sockets of the heartbeat server: moves datagrams between them and the table.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::event::{BeatListener, KeptKey, KeyReport, OpenedBeatKey};
use super::notes::Notes;
use super::path::Source;
use super::roster::PIECE;
use super::table::{BATCH_MAX as BATCH, Counters, PlainVerdict, Received, Settings, Table, Transmit};
use crate::base::batch::driver::{self as base_batch, send_all};
use crate::base::{AccountId, Clock, EndpointId, Moment};
use crate::heartbeat::datagram::{DATAGRAM_OCTETS_MAX, Locator};

/// Receive buffer asked of the kernel, octets: about 30,000 beats, so that a pause of the process loses none.
const RECEIVE_BUFFER_OCTETS: usize = 4 * 1024 * 1024;

/// Room for one datagram: one octet more than the longest, so that a longer one is seen to be too long.
const BUFFER_OCTETS: usize = DATAGRAM_OCTETS_MAX + 1;

type Inlet = base_batch::Inlet<BUFFER_OCTETS>;

/// Reports of server keys on their way.
const KEY_REPORTS_QUEUED: usize = 1_024;

/// Between two looks at what the kernel dropped.
const DROPS_EVERY: Duration = Duration::from_secs(1);

/// Where the kernel counts drops of UDP sockets.
const KERNEL_TABLES: [&str; 2] = ["/proc/net/udp", "/proc/net/udp6"];

/// Pause between two pieces of a list of keys: who waits for the table gets it.
const BETWEEN_PIECES: Duration = Duration::from_micros(50);

/// Full batches of one socket that are taken in before the others are looked at: two milliseconds.
const BATCHES_PER_TURN: usize = 8;

/// Pause after a failed receive, so that a failure that stays does not burn a core.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// Why an address for heartbeats could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The kernel refused the address.
    #[error("cannot listen for heartbeats on UDP {address}: {source}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// The kernel's words.
        source: std::io::Error,
    },
    /// A socket or the thread that serves it could not be had.
    #[error("the heartbeat socket failed: {0}")]
    Socket(#[from] std::io::Error),
    /// No random bytes for cookies.
    #[error("the system has no random numbers")]
    NoRandomness,
}

/// Binds one UDP address for heartbeats.
///
/// On a wildcard address of a host with several addresses the kernel chooses the source of replies, and a client
/// ignores replies from elsewhere: list such addresses one by one.
///
/// # Errors
/// [`BindError::Bind`] with the address.
pub fn bind(address: SocketAddr) -> Result<std::net::UdpSocket, BindError> {
    bind_socket(address).map_err(|source| BindError::Bind { address, source })
}

fn bind_socket(address: SocketAddr) -> std::io::Result<std::net::UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Beyond the system's limit only with CAP_NET_ADMIN; else the kernel gives what it may, and beats still arrive.
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_OCTETS).is_err() {
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_OCTETS);
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// The running heartbeat server: one thread receives, decides and answers.
pub struct BeatServer {
    table: Mutex<Table>,
    sockets: Vec<UdpSocket>,
    listener: Arc<dyn BeatListener>,
    /// Interrupts the thread's wait; it ends when it reads the end of this.
    waker: Mutex<Option<UnixStream>>,
    kernel_drops: AtomicU64,
    /// Rises with every turn of the thread.
    turns: AtomicU64,
    /// Where reports of server keys go; without anybody they are dropped.
    key_reports: OnceLock<mpsc::Sender<KeyReport>>,
    /// One replacement of keys at a time.
    replacing: Mutex<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
    clock: Clock,
}

impl std::fmt::Debug for BeatServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BeatServer").field("sockets", &self.sockets.len()).finish_non_exhaustive()
    }
}

impl BeatServer {
    /// Serves the sockets until `shutdown`. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`BindError::Socket`] if a socket cannot be used, [`BindError::NoRandomness`].
    pub fn start(
        settings: Settings,
        sockets: Vec<UdpSocket>,
        keys: impl IntoIterator<Item = OpenedBeatKey>,
        listener: Arc<dyn BeatListener>,
        shutdown: &CancellationToken,
    ) -> Result<Arc<Self>, BindError> {
        let mut seed = [0u8; 32];
        getrandom::fill(&mut seed).map_err(|_| BindError::NoRandomness)?;
        for socket in &sockets {
            socket.set_nonblocking(true)?;
        }
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let server = Arc::new(Self {
            table: Mutex::new(Table::new(settings, seed)),
            sockets,
            listener,
            waker: Mutex::new(Some(waker)),
            kernel_drops: AtomicU64::new(0),
            turns: AtomicU64::new(0),
            key_reports: OnceLock::new(),
            replacing: Mutex::new(()),
            thread: Mutex::new(None),
            clock: Clock,
        });
        server.replace_keys(keys);
        let serving = Arc::clone(&server);
        let thread = std::thread::Builder::new().name("beats".to_owned()).spawn(move || serving.serve(&woken))?;
        *server.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        tokio::spawn(Arc::clone(&server).watch(shutdown.clone()));
        Ok(server)
    }

    /// As [`keep_keys`](Self::keep_keys), all of them opened.
    pub fn replace_keys(&self, keys: impl IntoIterator<Item = OpenedBeatKey>) {
        let keys = keys.into_iter();
        self.keep_keys(keys.size_hint().0, keys.map(KeptKey::Opened));
    }

    /// Replaces all keys by these, `count` at most; runs under unchanged keys go on.
    ///
    /// A million keys take a second or two. The table is free again after each piece of them, so that beats are answered
    /// meanwhile; when this returns, a key that is gone is dead.
    pub fn keep_keys(&self, count: usize, keys: impl Iterator<Item = KeptKey>) {
        let _turn = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut replacement = self.table().begin_replacement(count);
        while self.table().read_piece(&mut replacement) {
            std::thread::sleep(BETWEEN_PIECES);
        }
        let mut keys = keys.peekable();
        while keys.peek().is_some() {
            let piece: Vec<KeptKey> = keys.by_ref().take(PIECE).collect();
            self.table().put_piece(&mut replacement, piece.into_iter(), (self.clock.monotonic(), self.clock.wall()));
            std::thread::sleep(BETWEEN_PIECES);
        }
        self.table().end_replacement(replacement);
    }

    /// As [`Table::ask_for_renewal`].
    pub fn ask_for_renewal(&self, keys: HashSet<Locator>) {
        self.table().ask_for_renewal(keys);
    }

    /// What clients say of the keys of their mail servers, from now on; for the first who asks.
    #[must_use]
    pub fn key_reports(&self) -> mpsc::Receiver<KeyReport> {
        let (sender, receiver) = mpsc::channel(KEY_REPORTS_QUEUED);
        // Whoever comes later reads the end at once.
        let _ = self.key_reports.set(sender);
        receiver
    }

    /// Hands on what clients said of keys; what finds no room waits in the table.
    fn hand_on(&self, table: &mut Table) {
        let reports = table.key_reports();
        if reports.is_empty() {
            return;
        }
        let room = self.key_reports.get().map_or(usize::MAX, mpsc::Sender::capacity);
        for report in reports.drain(..room.min(reports.len())) {
            if let Some(sender) = self.key_reports.get() {
                // Only a reader that is gone refuses: nobody else sends.
                let _ = sender.try_send(report);
            }
        }
    }

    /// What was dropped and answered so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { kernel_drops: self.kernel_drops.load(Ordering::Relaxed), ..self.table().counters() }
    }

    /// A datagram came in an HTTP request from `peer`; the datagram to answer it with, or silence.
    pub fn handle_over_http(&self, octets: &[u8], peer: SocketAddr) -> Option<Vec<u8>> {
        let source = Source { peer, socket: Source::OVER_HTTP };
        let now = (self.clock.monotonic(), self.clock.wall());
        let (answer, is_moving) = {
            let mut table = self.table();
            let answer = table.handle_datagram(octets, source, now, &*self.listener);
            self.hand_on(&mut table);
            (answer, table.poll_timeout().is_some())
        };
        if is_moving {
            self.wake();
        }
        answer.map(|transmit| transmit.octets.to_vec())
    }

    /// As [`Table::handle_plain`], now.
    pub fn handle_plain(&self, locator: Locator, address: IpAddr, interval: Duration) -> Option<PlainVerdict> {
        let (mut table, now) = (self.table(), self.clock.monotonic());
        let (account, _) = table.endpoint_of(locator, now)?;
        let verdict = table.handle_plain(locator, address, interval, now, &*self.listener)?;
        Some(table.notes().verdict(account, verdict))
    }

    /// Changes what replies say of accounts beside their lines, from the next one on.
    pub fn note(&self, change: impl FnOnce(&mut Notes)) {
        change(self.table().notes());
    }

    /// As [`Table::endpoint_of`], now.
    #[must_use]
    pub fn endpoint_of(&self, locator: Locator) -> Option<(AccountId, EndpointId)> {
        self.table().endpoint_of(locator, self.clock.monotonic())
    }

    /// The addresses served, with the ports that the kernel chose.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Has the thread ask the table again how long it may wait: for whoever changes a path on another thread.
    pub fn wake(&self) {
        if let Some(mut waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            // A full pipe wakes as well.
            let _ = waker.write(&[0]);
        }
    }

    /// How many turns the thread has made: wake it, and the number rises at once, or it stands still.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Waits until the thread has ended after the shutdown: no beat comes any more.
    pub async fn stopped(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let joined = tokio::task::spawn_blocking(move || thread.map_or(Ok(()), JoinHandle::join)).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the thread that serves heartbeats ended badly");
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the kernel's drops until `shutdown`, then ends the thread.
    async fn watch(self: Arc<Self>, shutdown: CancellationToken) {
        let inodes = inodes_of(&self.sockets);
        let mut received = 0;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(DROPS_EVERY) => {}
            }
            let drops = kernel_drops(&inodes).await;
            let before = self.kernel_drops.swap(drops, Ordering::Relaxed);
            let received_before = std::mem::replace(&mut received, self.table().counters().received);
            if drops > before {
                self.handle_drops(drops - before, received - received_before);
            }
        }
        drop(self.waker.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Datagrams were dropped within one look: clients calm down, and silence proves nothing for a while.
    fn handle_drops(&self, dropped: u64, received: u64) {
        tracing::warn!(datagrams = dropped, "the kernel dropped heartbeats: the receive queue was full");
        self.table().handle_drops(dropped, received, self.clock.monotonic());
        self.listener.handle_drops(dropped, received);
    }

    /// The thread: waits, takes in a batch of each socket that has one, answers it.
    fn serve(&self, woken: &UnixStream) {
        let mut inlets: Vec<Inlet> = self.sockets.iter().map(|_| Inlet::default()).collect();
        let mut out = Vec::with_capacity(BATCH);
        loop {
            self.turns.fetch_add(1, Ordering::Relaxed);
            let due = self.table().poll_timeout();
            let Some(ready) = self.wait(woken, due) else { return };
            let now = (self.clock.monotonic(), self.clock.wall());
            for ((index, socket), inlet) in self.sockets.iter().enumerate().zip(&mut inlets) {
                if !ready.get(index).copied().unwrap_or(false) {
                    continue;
                }
                // More waits behind a full batch, without asking.
                for _ in 0..BATCHES_PER_TURN {
                    if self.serve_batch(index, socket, inlet, &mut out) < BATCH {
                        break;
                    }
                }
            }
            if due.is_some_and(|due| due <= now.0) {
                out.extend(self.table().handle_timeout(now, &*self.listener));
                self.send_all(&mut out);
            }
        }
    }

    /// Takes in what waits at a socket, answers it, and tells how much it was.
    fn serve_batch(&self, index: usize, socket: &UdpSocket, inlet: &mut Inlet, out: &mut Vec<Transmit>) -> usize {
        if let Err(error) = inlet.take(socket) {
            // An ICMP error of an earlier answer, or short memory: neither ends the service.
            tracing::debug!(%error, "heartbeat socket");
            std::thread::sleep(ERROR_PAUSE);
            return 0;
        }
        let batch = batch(inlet, index);
        if batch.is_empty() {
            return 0;
        }
        {
            let mut table = self.table();
            table.handle_batch(&batch, (self.clock.monotonic(), self.clock.wall()), &*self.listener, out);
            self.hand_on(&mut table);
        }
        self.send_all(out);
        batch.len()
    }

    /// Waits until `due` or until a socket is readable; which are. `None` when the service ends.
    fn wait(&self, woken: &UnixStream, due: Option<Moment>) -> Option<Vec<bool>> {
        let mut wanted: Vec<PollFd<'_>> =
            self.sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        wanted.push(PollFd::new(woken, PollFlags::IN));
        let wait = due.map(|due| due.since(self.clock.monotonic()) + Duration::from_millis(1));
        let timeout = wait.and_then(|wait| Timespec::try_from(wait).ok());
        if let Err(error) = poll(&mut wanted, timeout.as_ref()) {
            tracing::debug!(%error, "heartbeat wait");
            return Some(Vec::new());
        }
        let is_woken = wanted.pop().is_some_and(|waker| !waker.revents().is_empty());
        let is_over = is_woken && matches!((&mut &*woken).read(&mut [0; 64]), Ok(0));
        (!is_over).then(|| wanted.iter().map(|socket| !socket.revents().is_empty()).collect())
    }

    /// Sends what stands in `out` and empties it. What the kernel does not take is lost, as on any line.
    fn send_all(&self, out: &mut Vec<Transmit>) {
        for (index, socket) in self.sockets.iter().enumerate() {
            let own = || out.iter().filter(|transmit| transmit.socket == index);
            send_all(socket, &own().map(|transmit| (transmit.octets.as_slice(), transmit.to)).collect::<Vec<_>>());
        }
        out.clear();
    }
}

fn batch(inlet: &Inlet, socket: usize) -> Vec<Received<'_>> {
    inlet.arrived().map(|(octets, peer)| Received { octets, source: Source { peer, socket } }).collect()
}

fn inodes_of(sockets: &[UdpSocket]) -> Vec<u64> {
    sockets.iter().filter_map(|socket| rustix::fs::fstat(socket).ok()).map(|stat| stat.st_ino).collect()
}

/// What the kernel dropped at these sockets since they were opened.
async fn kernel_drops(inodes: &[u64]) -> u64 {
    let mut drops = 0;
    for table in KERNEL_TABLES {
        // Not every system has it; then nothing is counted.
        drops += tokio::fs::read_to_string(table).await.map_or(0, |text| drops_in(&text, inodes));
    }
    drops
}

/// The drops of these sockets in the kernel's table: inode in the tenth column, drops in the last.
fn drops_in(table: &str, inodes: &[u64]) -> u64 {
    let of_line = |line: &str| {
        let inode: u64 = line.split_ascii_whitespace().nth(9)?.parse().ok()?;
        let drops: u64 = line.split_ascii_whitespace().last()?.parse().ok()?;
        inodes.contains(&inode).then_some(drops)
    };
    table.lines().filter_map(of_line).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_socket_that_nobody_reads_is_seen_to_drop() {
        let deaf = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = deaf.local_addr().unwrap();
        let inodes = inodes_of(&[deaf.try_clone().unwrap()]);
        assert_eq!(kernel_drops(&inodes).await, 0);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..20_000 {
            sender.send_to(&[0; 64], address).unwrap();
        }
        assert!(kernel_drops(&inodes).await > 100);
    }

    #[test]
    fn drops_are_read_from_the_kernels_table_for_our_sockets_only() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            2: 0100007F:3A98 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1234 2 0000000000000000 17\n\
            3: 0100007F:3A99 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1235 2 0000000000000000 5\n";
        assert_eq!(drops_in(table, &[1234]), 17);
        assert_eq!(drops_in(table, &[1234, 1235]), 22);
        assert_eq!(drops_in(table, &[]), 0);
    }
}
