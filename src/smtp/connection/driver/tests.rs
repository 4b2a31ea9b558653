//! Slow peers and a stopping service, in virtual time over pipes in memory.

use tokio::io::DuplexStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::account::DirectoryHandle;
use crate::base::{Clock, DomainName, SpoolIds, WallTime};
use crate::smtp::fakes::{MemorySpool, Mood, StillLines, village};
use crate::smtp::gate::Gate;
use crate::smtp::{Settings, SmtpRooms};
use crate::spool::SpoolError;
use crate::verdict::driver::CheckRooms;
use crate::verdict::{self, Checker, Verdict, VerdictStore};

struct Fixture {
    peer: DuplexStream,
    spool: Arc<MemorySpool>,
    shutdown: CancellationToken,
    leave: CancellationToken,
    started: Instant,
}

/// A session over a pipe; the peer's end.
fn connected() -> Fixture {
    connected_with(None)
}

fn connected_with(checks: Option<Arc<Checker>>) -> Fixture {
    let spool = Arc::new(MemorySpool::default());
    let shutdown = CancellationToken::new();
    let host = Arc::new(Host {
        settings: Arc::new(Settings::new(DomainName::parse("mx.example").unwrap())),
        counters: Arc::default(),
        rooms: SmtpRooms {
            directory: DirectoryHandle::new(village()),
            recipients: Arc::new(std::sync::RwLock::new(crate::recipient::Table::default())),
            lines: Arc::new(StillLines),
            spool: spool.clone(),
            stored: spool.clone(),
            certificate: None,
            ids: Arc::new(SpoolIds::default()),
            checks,
        },
        tls: None,
        shutdown: shutdown.clone(),
        started: Instant::now(),
        clock: Clock,
    });
    let (peer, ours) = tokio::io::duplex(64 * 1024);
    let peer_address: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let leave = CancellationToken::new();
    let place = Gate::new(&host.settings).enter(peer_address.ip(), host.now(), || {}).unwrap();
    let seat = Seat { place, leave: leave.clone() };
    tokio::spawn(serve(host, ours, peer_address, seat));
    Fixture { peer, spool, shutdown, leave, started: Instant::now() }
}

/// Keeps no verdict.
struct Forgetful;

#[async_trait::async_trait]
impl VerdictStore for Forgetful {
    async fn save_verdict(&self, _: SpoolId, _: Verdict, _: WallTime) -> Result<bool, SpoolError> {
        Ok(true)
    }

    async fn verdict(&self, _: SpoolId) -> Result<Option<Verdict>, SpoolError> {
        Ok(None)
    }

    async fn unchecked(&self, _: WallTime, _: u32) -> Result<Vec<Subject>, SpoolError> {
        Ok(Vec::new())
    }
}

impl Fixture {
    async fn say(&mut self, text: &str) {
        self.peer.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads up to the line that begins with `code` and a blank.
    async fn hear(&mut self, code: &str) -> String {
        let (mut heard, mut octet) = (String::new(), [0u8]);
        loop {
            self.peer.read_exact(&mut octet).await.unwrap();
            heard.push(char::from(octet[0]));
            if heard.ends_with('\n') && heard.lines().last().unwrap().starts_with(&format!("{code} ")) {
                return heard;
            }
        }
    }

    /// Everything until the server closes.
    async fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.peer.read_to_string(&mut rest).await.unwrap();
        rest
    }

    async fn open_content(&mut self) {
        self.say("EHLO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<b@firma.example>\r\nDATA\r\n").await;
        self.hear("354").await;
    }

    fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_told_421_after_five_minutes() {
    let mut fixture = connected();
    fixture.hear("220").await;
    assert!(fixture.rest().await.starts_with("421 4.4.2 "));
    assert_eq!(fixture.seconds(), 300);
}

#[tokio::test(start_paused = true)]
async fn octets_that_drip_do_not_extend_a_command() {
    let mut fixture = connected();
    fixture.hear("220").await;
    for _ in 0..29 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        fixture.say("x").await;
    }
    assert!(fixture.rest().await.starts_with("421 4.4.2 "));
    assert_eq!(fixture.seconds(), 300);
}

#[tokio::test(start_paused = true)]
async fn content_that_drips_is_cut_off_and_leaves_nothing() {
    let mut fixture = connected();
    fixture.open_content().await;
    fixture.say(&"x".repeat(70_000)).await;
    let earned = 60 + 70_000 / 128;
    for second in 0..59 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        if second * 10 < earned - 10 {
            fixture.say("y").await;
        }
    }
    assert!(fixture.rest().await.starts_with("421 4.4.2 "));
    assert!(fixture.seconds() <= earned + 10, "{}", fixture.seconds());
    tokio::task::yield_now().await;
    assert_eq!((fixture.spool.kept().len(), fixture.spool.pieces_ahead()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_reply_to_content_does_not_wait_for_the_checks_of_its_sender() {
    // Nobody listens at the discard port, and nobody would answer there.
    let settings =
        verdict::Settings { resolvers: vec!["127.0.0.1:9".parse().unwrap()], ..verdict::Settings::default() };
    let rooms = CheckRooms { spool: Arc::new(MemorySpool::default()), verdicts: Arc::new(Forgetful) };
    let name = DomainName::parse("mx.example").unwrap();
    let checker = Checker::start(settings, name, rooms, CancellationToken::new()).unwrap().unwrap();
    let mut fixture = connected_with(Some(Arc::clone(&checker)));
    fixture.open_content().await;
    fixture.say("x\r\n.\r\n").await;
    fixture.hear("250").await;
    assert_eq!((fixture.seconds(), checker.counts().checked), (0, 0));
    while checker.counts().checked == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(checker.counts().failed, 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_ends_with_the_service_at_once() {
    let mut fixture = connected();
    fixture.hear("220").await;
    fixture.shutdown.cancel();
    assert!(fixture.rest().await.starts_with("421 4.3.2 "));
    assert_eq!(fixture.seconds(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_running_transaction_may_finish_when_the_service_stops() {
    let mut fixture = connected();
    fixture.open_content().await;
    fixture.shutdown.cancel();
    tokio::time::sleep(Duration::from_secs(50)).await;
    fixture.say("x\r\n.\r\n").await;
    let rest = fixture.rest().await;
    assert!(rest.starts_with("250 2.0.0 ") && rest.contains("\r\n421 4.3.2 "), "{rest}");
    assert_eq!(fixture.spool.kept().first().map(|kept| kept.content.clone()), Some(b"x\r\n".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_does_not_finish_is_cut_off_after_a_minute() {
    let mut fixture = connected();
    fixture.say("EHLO a.example\r\nMAIL FROM:<>\r\n").await;
    fixture.hear("250").await;
    fixture.shutdown.cancel();
    assert!(fixture.rest().await.contains("421 4.3.2 "));
    assert_eq!(fixture.seconds(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_unknown_outcome_is_looked_up() {
    for (mood, code, kept) in
        [(Mood::DoubtsButStores, "250", 1), (Mood::DoubtsAndLoses, "451", 0), (Mood::Fails, "451", 0)]
    {
        let mut fixture = connected();
        fixture.spool.set_mood(mood);
        fixture.open_content().await;
        fixture.say("x\r\n.\r\n").await;
        fixture.hear(code).await;
        assert_eq!((fixture.spool.kept().len(), fixture.spool.told().len()), (kept, kept), "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_vanishes_leaves_no_pieces() {
    let Fixture { peer, spool, .. } = {
        let mut fixture = connected();
        fixture.open_content().await;
        fixture.say(&"x".repeat(100_000)).await;
        fixture
    };
    drop(peer);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((spool.kept().len(), spool.pieces_ahead()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_session_leaves_for_a_newcomer_but_not_its_transaction() {
    let mut fixture = connected();
    fixture.hear("220").await;
    fixture.leave.cancel();
    assert!(fixture.rest().await.starts_with("421 4.3.2"));
    let mut fixture = connected();
    fixture.open_content().await;
    fixture.leave.cancel();
    fixture.say("x\r\n.\r\n").await;
    fixture.hear("250").await;
}

#[tokio::test(start_paused = true)]
async fn a_sixth_refused_recipient_is_answered_after_five_seconds() {
    let mut fixture = connected();
    fixture.hear("220").await;
    fixture.say(&format!("EHLO a.example\r\nMAIL FROM:<>\r\n{}", "RCPT TO:<x@elsewhere.example>\r\n".repeat(6))).await;
    for _ in 0..5 {
        fixture.hear("550").await;
    }
    assert_eq!(fixture.seconds(), 0);
    fixture.hear("550").await;
    assert_eq!(fixture.seconds(), 5);
}
