//! A thousand customers come back at one moment: how long does each wait for its first message?
//!
//! `cargo bench --bench returns`; `PULSEMX_BENCH_ACCOUNTS=200 cargo bench --bench returns` for fewer. The spool is the real
//! one on this disk, the deliveries and the connections are real; each account has a mail server at an address of its own
//! in 127.0.0.0/8, which answers each command at once. Only the heartbeats are made here: all lines return with one
//! event each, one after the other without a pause. Each account has 10 messages of 4 KB, every hundredth has 500.
//! Prints lines `figure NAME NUMBER`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pulsemx::account::{AccountStore, BeatKeyRecord, Change, DirectoryHandle, NewAccount};
use pulsemx::base::{AccountId, ByteCount, Clock, DomainName, EndpointId, Mailbox, ReversePath, SpoolIds};
use pulsemx::delivery::{Deliveries, Settings};
use pulsemx::liveness::{Cause, HistoryRow, LineEvent, LineState, LineView, Lines, Transition};
use pulsemx::spool::{BodyType, HeaderSummary, MessageDsn, NewMessage, NewRecipient, RecipientDsn, SpoolStore};
use pulsemx::store::sqlite::{self, SqliteStore};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

const ACCOUNTS: usize = 1_000;
const MESSAGES: usize = 10;
/// Of every [`GIANT_EVERY`]th account: it must not make the others wait.
const MESSAGES_OF_A_GIANT: usize = 500;
const GIANT_EVERY: usize = 100;
const OCTETS: usize = 4_096;
/// Longest run.
const LIMIT: Duration = Duration::from_secs(180);

/// When the first and the last message of each server arrived, and how many.
type Arrivals = Arc<Mutex<HashMap<IpAddr, (Instant, Instant, usize)>>>;

/// Lines that are all away, then all back.
struct Return {
    accounts: HashMap<EndpointId, (AccountId, IpAddr)>,
    since: Mutex<Option<pulsemx::base::Moment>>,
    events: broadcast::Sender<LineEvent>,
}

impl Return {
    fn happen(&self) {
        *self.since.lock().unwrap() = Some(Clock.monotonic());
        for (endpoint, (account, address)) in &self.accounts {
            let row = Transition {
                account: *account,
                endpoint: *endpoint,
                from: LineState::Offline,
                to: LineState::Returning,
                cause: Cause::Beat,
                at: Clock.wall(),
                since: Clock.wall(),
                address: Some(*address),
            };
            let _ = self.events.send(LineEvent::Changed(HistoryRow::State(row)));
        }
    }
}

impl Lines for Return {
    fn line(&self, endpoint: EndpointId) -> Option<LineView> {
        let (account, address) = self.accounts.get(&endpoint)?;
        let is_back = self.since.lock().unwrap().is_some();
        Some(LineView {
            account: *account,
            endpoint,
            state: if is_back { LineState::Returning } else { LineState::Offline },
            since: None,
            last_beat: is_back.then(|| Clock.monotonic()),
            last_beat_at: None,
            address: Some(*address),
            interval: Duration::from_secs(5),
            missed: 0,
            mail_ok: None,
            loss_percent: 0.0,
            unanswered_percent: None,
            name_held_until: None,
            recent_beats: Vec::new(),
        })
    }
    fn account_line(&self, _: AccountId) -> Option<LineView> {
        None
    }
    fn primary_greeted(&self, _: EndpointId, _: IpAddr) {}
    fn subscribe(&self) -> broadcast::Receiver<LineEvent> {
        self.events.subscribe()
    }
}

/// A mail server for every address: who it is follows from the one that was called.
async fn primary(stream: TcpStream, arrivals: Arrivals) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let own = stream.local_addr()?.ip();
    let mut stream = BufReader::new(stream);
    stream.get_mut().write_all(b"220 primary ESMTP\r\n").await?;
    let mut line = Vec::new();
    let mut is_content = false;
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        if is_content && line != b".\r\n" {
            continue;
        }
        let reply: &[u8] = if is_content {
            is_content = false;
            let now = Instant::now();
            let mut all = arrivals.lock().unwrap();
            let (_, last, count) = all.entry(own).or_insert((now, now, 0));
            (*last, *count) = (now, *count + 1);
            b"250 2.0.0 taken\r\n"
        } else {
            match line.get(..4).unwrap_or_default() {
                b"EHLO" => b"250-primary\r\n250 PIPELINING\r\n",
                b"DATA" => {
                    is_content = true;
                    b"354 go\r\n"
                }
                b"QUIT" => b"221 bye\r\n",
                _ => b"250 2.1.0 ok\r\n",
            }
        };
        stream.get_mut().write_all(reply).await?;
    }
}

fn address_of(number: usize) -> IpAddr {
    let number = u32::try_from(number).unwrap();
    IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 20, 0, 1)) + number))
}

const fn messages_of(number: usize) -> usize {
    if number.is_multiple_of(GIANT_EVERY) { MESSAGES_OF_A_GIANT } else { MESSAGES }
}

async fn fill(store: &SqliteStore, accounts: usize, port: u16) -> HashMap<EndpointId, (AccountId, IpAddr)> {
    let change = || Change { at: Clock.wall(), who: "bench".to_owned() };
    let body = Bytes::from(format!("{}\r\n", "x".repeat(62)).repeat(OCTETS / 64));
    let (sha256, ids) = (<[u8; 32]>::from(Sha256::digest(&body)), SpoolIds::default());
    let mut known = HashMap::new();
    for number in 0..accounts {
        let name = |text: String| DomainName::parse(&text).unwrap();
        let digest = *blake3::hash(&number.to_le_bytes()).as_bytes();
        let key = BeatKeyRecord {
            endpoint: EndpointId(0),
            locator: digest[..8].try_into().unwrap(),
            sealed_mac_keys: vec![1],
            move_key: digest,
            bearer_verifier: digest,
            created_at: Clock.wall(),
            expires_at: None,
        };
        let new = NewAccount {
            name: format!("a{number}").parse().unwrap(),
            host: name(format!("a{number}.dyn.example")),
            smtp_port: port,
            domains: vec![name(format!("a{number}.example"))],
            key,
        };
        let (account, endpoint) = store.create_account(new, change()).await.unwrap();
        known.insert(endpoint, (account, address_of(number)));
        let mailbox = Mailbox::parse(&format!("info@a{number}.example"), false).unwrap();
        let commits = (0..messages_of(number)).map(|_| {
            store.intake_commit(NewMessage {
                id: ids.next(Clock.wall(), 0),
                accepted_at: Clock.wall(),
                reverse_path: ReversePath::parse("a@sender.example", false).unwrap(),
                recipients: vec![NewRecipient { account, mailbox: mailbox.clone(), dsn: RecipientDsn::default() }],
                smtputf8: false,
                requires_tls: false,
                body: BodyType::SevenBit,
                dsn: MessageDsn::default(),
                trace: Bytes::from_static(b"Received: from a by b; now\r\n"),
                sha256,
                octets: body.len() as u64,
                header: HeaderSummary::default(),
                peer: IpAddr::from([192, 0, 2, 7]),
                helo: "sender.example".to_owned(),
                tls: None,
                chunks_ahead: 0,
                tail: vec![body.clone()],
            })
        });
        for committed in futures_util::future::join_all(commits).await {
            committed.unwrap();
        }
    }
    known
}

#[tokio::main]
async fn main() {
    let accounts = std::env::var("PULSEMX_BENCH_ACCOUNTS").ok().and_then(|n| n.parse().ok()).unwrap_or(ACCOUNTS);
    let arrivals = Arrivals::default();
    let listener = {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind("0.0.0.0:0".parse().unwrap()).unwrap();
        socket.listen(4_096).unwrap()
    };
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(serve(listener, Arc::clone(&arrivals)));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pulsemx.db");
    let store = SqliteStore::open(sqlite::Settings { path, reserve: Some(ByteCount(1)) }).unwrap();
    let known = fill(&store, accounts, port).await;
    let messages: usize = (0..accounts).map(messages_of).sum();
    println!("figure accounts {accounts}\nfigure messages {messages}");

    let directory = DirectoryHandle::new(store.load_directory(Clock.wall()).await.unwrap());
    let lines =
        Arc::new(Return { accounts: known, since: Mutex::new(None), events: broadcast::channel(4 * ACCOUNTS).0 });
    let mut settings = Settings::new(DomainName::parse("mx2.pulsemx.example").unwrap());
    settings.allow_loopback_targets = true;
    let shutdown = CancellationToken::new();
    let spool = Arc::clone(&store) as Arc<dyn SpoolStore>;
    let deliveries =
        Deliveries::start(settings, directory, Arc::clone(&lines) as Arc<dyn Lines>, spool, shutdown.clone()).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;

    let began = Instant::now();
    lines.happen();
    loop {
        let arrived: usize = arrivals.lock().unwrap().values().map(|(_, _, count)| count).sum();
        if arrived >= messages {
            break;
        }
        assert!(began.elapsed() < LIMIT, "{arrived} of {messages} messages within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed();
    let mut first: Vec<u128> =
        arrivals.lock().unwrap().values().map(|(first, ..)| (*first - began).as_millis()).collect();
    first.sort_unstable();
    let at = |percent: usize| first[(first.len() * percent / 100).min(first.len() - 1)];
    println!("figure first_message_p50_ms {}", at(50));
    println!("figure first_message_p99_ms {}", at(99));
    println!("figure first_message_max_ms {}", first.last().unwrap());
    println!("figure all_ms {}", took.as_millis());
    println!("figure messages_per_second {}", messages as u128 * 1_000 / took.as_millis().max(1));
    shutdown.cancel();
    deliveries.drain().await;
}

async fn serve(listener: TcpListener, arrivals: Arrivals) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(primary(stream, Arc::clone(&arrivals)));
    }
}
