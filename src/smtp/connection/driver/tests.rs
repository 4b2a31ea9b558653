//! Slow peers and a stopping service, in virtual time over pipes in memory.

use tokio::io::DuplexStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::account::DirectoryHandle;
use crate::base::{Clock, DomainName, SpoolIds, WallTime};
use crate::smtp::fakes::{MemorySpool, Mood, StillLines, village};
use crate::smtp::gate::Gate;
use crate::smtp::rates::Rates;
use crate::smtp::settings::TRANSACTIONS_MAX;
use crate::smtp::transactions::Transactions;
use crate::smtp::{Settings, SmtpRooms};
use crate::spool::SpoolError;
use crate::verdict::driver::CheckRooms;
use crate::verdict::{self, Checker, Verdict, VerdictStore};

struct Fixture {
    host: Arc<Host>,
    peer: DuplexStream,
    spool: Arc<MemorySpool>,
    shutdown: CancellationToken,
    leave: CancellationToken,
    started: Instant,
}

/// A session over a pipe; the peer's end.
fn connected() -> Fixture {
    connected_to(host(None, |_| {}))
}

fn host(checks: Option<Arc<Checker>>, change: impl FnOnce(&mut Settings)) -> (Arc<Host>, Arc<MemorySpool>) {
    let mut settings = Settings::new(DomainName::parse("mx.example").unwrap());
    change(&mut settings);
    let spool = Arc::new(MemorySpool::default());
    let host = Arc::new(Host {
        rates: Rates::new(&settings),
        transactions: Transactions::default(),
        settings: arc_swap::ArcSwap::from_pointee(settings),
        counters: Arc::default(),
        rooms: SmtpRooms {
            directory: DirectoryHandle::new(village()),
            recipients: crate::recipient::RecipientBook::default(),
            lines: Arc::new(StillLines),
            spool: spool.clone(),
            stored: spool.clone(),
            certificate: None,
            ids: Arc::new(SpoolIds::default()),
            checks,
            refusals: None,
            primaries: None,
            tokens: None,
        },
        tls: None,
        shutdown: CancellationToken::new(),
        flush_requests: std::sync::Mutex::default(),
        started: Instant::now(),
        clock: Clock,
    });
    (host, spool)
}

/// Another connection from 192.0.2.1.
fn connected_to((host, spool): (Arc<Host>, Arc<MemorySpool>)) -> Fixture {
    let shutdown = host.shutdown.clone();
    let (peer, ours) = tokio::io::duplex(64 * 1024);
    let peer_address: SocketAddr = "192.0.2.1:4000".parse().unwrap();
    let leave = CancellationToken::new();
    let place = Gate::new(&host.settings.load()).enter(peer_address.ip(), false, host.now(), || {}).unwrap();
    let seat = Seat { place, leave: leave.clone() };
    tokio::spawn(serve(Arc::clone(&host), ours, peer_address, seat));
    Fixture { host, peer, spool, shutdown, leave, started: Instant::now() }
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
    let rooms = CheckRooms {
        spool: Arc::new(MemorySpool::default()),
        verdicts: Arc::new(Forgetful),
        directory: DirectoryHandle::default(),
    };
    let name = DomainName::parse("mx.example").unwrap();
    let checker = Checker::start(settings, name, rooms, CancellationToken::new()).unwrap().unwrap();
    let mut fixture = connected_to(host(Some(Arc::clone(&checker)), |_| {}));
    fixture.open_content().await;
    fixture.say("x\r\n.\r\n").await;
    fixture.hear("250").await;
    assert_eq!((fixture.seconds(), checker.counts().checked), (0, 0));
    while checker.counts().checked == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(checker.counts().failed, 0);
}

const HUNT: &str = "RCPT TO:<x@stranger.example>\r\n";

impl Fixture {
    fn again(&self) -> Self {
        connected_to((Arc::clone(&self.host), Arc::clone(&self.spool)))
    }
}

/// A network that has spent its budget of refusals.
async fn hunted() -> Fixture {
    let fixture = connected();
    let now = fixture.host.now();
    while fixture.host.rates.admits("192.0.2.77".parse().unwrap(), Deed::Refusal, now) {}
    fixture
}

#[tokio::test(start_paused = true)]
async fn a_network_that_hunts_addresses_is_slowed_from_the_first_and_sent_away_with_the_fifth() {
    let mut fixture = hunted().await.again();
    fixture.say("EHLO a.example\r\nMAIL FROM:<>\r\nRCPT TO:<b@firma.example>\r\n").await;
    fixture.hear("250").await;
    fixture.hear("250").await;
    fixture.hear("250").await;
    assert_eq!(fixture.seconds(), 0, "what is accepted is not slowed");
    fixture.say(&HUNT.repeat(10)).await;
    let rest = fixture.rest().await;
    assert_eq!((rest.matches("550 5.7.1").count(), rest.matches("421 4.7.1").count()), (4, 1), "{rest}");
    assert_eq!(fixture.seconds(), 25);
}

#[tokio::test(start_paused = true)]
async fn sessions_of_hunting_brake_the_next_ones_of_their_network() {
    let first = connected();
    for _ in 0..8 {
        let mut session = first.again();
        session.say(&format!("EHLO a.example\r\nMAIL FROM:<>\r\n{}", HUNT.repeat(30))).await;
        session.rest().await;
    }
    assert!(!first.host.rates.admits("192.0.2.1".parse().unwrap(), Deed::Refusal, first.host.now()));
}

#[tokio::test(start_paused = true)]
async fn a_suspicious_network_waits_half_a_second_for_its_greeting_and_others_do_not() {
    let mut fixture = hunted().await;
    fixture.hear("220").await;
    let began = Instant::now();
    let mut next = fixture.again();
    next.hear("220").await;
    assert_eq!(began.elapsed().as_millis(), 500);
    assert_eq!(fixture.host.counters.shown().early_talkers, 0);
}

#[tokio::test(start_paused = true)]
async fn who_talks_before_its_greeting_is_counted_and_by_wish_sent_away() {
    let mut fixture = hunted().await.again();
    fixture.say("EHLO a.example\r\nQUIT\r\n").await;
    let heard = fixture.rest().await;
    assert!(heard.starts_with("220 ") && heard.contains("\r\n221 "), "{heard}");
    assert_eq!(fixture.host.counters.shown().early_talkers, 1);
    let strict = host(None, |settings| settings.refuses_early_talkers = true);
    while strict.0.rates.admits("192.0.2.77".parse().unwrap(), Deed::Refusal, strict.0.now()) {}
    let mut fixture = connected_to(strict);
    fixture.say("EHLO a.example\r\n").await;
    assert!(fixture.rest().await.starts_with("554 5.5.1 "));
}

#[tokio::test(start_paused = true)]
async fn a_network_that_brings_too_much_is_deferred_for_a_while() {
    let few = host(None, |settings| settings.messages_per_minute_max = 1);
    let mut fixture = connected_to(few);
    fixture.say("EHLO a.example\r\n").await;
    fixture.hear("250").await;
    for _ in 0..5 {
        fixture.say("MAIL FROM:<>\r\nRCPT TO:<b@firma.example>\r\nDATA\r\n.\r\n").await;
        for code in ["250", "250", "354", "250"] {
            fixture.hear(code).await;
        }
    }
    fixture.say("MAIL FROM:<>\r\n").await;
    fixture.hear("450").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    fixture.say("MAIL FROM:<>\r\n").await;
    fixture.hear("250").await;
    assert_eq!(fixture.host.counters.shown().refused.get("brings_too_much"), Some(&1));
}

#[tokio::test(start_paused = true)]
async fn no_more_transactions_are_opened_than_there_is_memory_for_and_each_is_counted_off() {
    let mut fixture = connected();
    fixture.say("EHLO a.example\r\n").await;
    fixture.hear("250").await;
    (1..TRANSACTIONS_MAX).for_each(|_| fixture.host.transactions.begin(None));
    let mut second = fixture.again();
    fixture.say("MAIL FROM:<>\r\n").await;
    fixture.hear("250").await;
    second.say("EHLO a.example\r\nMAIL FROM:<>\r\n").await;
    second.hear("451").await;
    fixture.say("RSET\r\n").await;
    fixture.hear("250").await;
    second.say("MAIL FROM:<>\r\n").await;
    second.hear("250").await;
    let host = Arc::clone(&second.host);
    drop(second);
    while !host.transactions.admits(None) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
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
