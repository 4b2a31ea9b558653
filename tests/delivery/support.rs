//! A primary that answers as the test says, a spool in memory and lines that the test moves.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pulsemx::account::{
    Account, AccountError, AccountStatus, Change, Directory, DirectoryHandle, Domain, Endpoint, Manners,
};
use pulsemx::base::{AccountId, Clock, DomainName, EndpointId, Mailbox, ReversePath, SpoolId, WallTime};
use pulsemx::delivery::{
    AfterRefusal, Alarm, Deliveries, FlushView, Flushes, PinKeeper, RetryTimes, Settings, Timeouts,
};
use pulsemx::liveness::{AddressChange, Cause, HistoryRow, LineEvent, LineState, LineView, Lines, Transition};
use pulsemx::spool::{
    BodyType, ClaimOrder, ClaimQuery, Claimed, ClaimedRecipient, CommitError, DeliveryReply, DotNote, Expiry,
    ExpiryTerms, Hold, IntakeStatus, ListPage, ListQuery, MessageDetail, MessageDsn, NewMessage, OldestWaiting,
    Outcome, RecipientDsn, RecipientState, Recovered, Report, RetrySelection, Ruling, SpoolError, SpoolStore, Tally,
    Usage,
};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

pub(crate) const ACCOUNT: AccountId = AccountId(1);
pub(crate) const ENDPOINT: EndpointId = EndpointId(10);
pub(crate) const TRACE: &[u8] = b"Received: from a.example by mx.example; now\r\n";

/// Rings whenever a fake has something new to look at.
#[derive(Clone, Default)]
pub(crate) struct Bell(Arc<Notify>);

impl Bell {
    fn ring(&self) {
        self.0.notify_waiters();
    }

    /// Waits until `is_so`; fails after 20 s.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let wait = async {
            loop {
                let rung = self.0.notified();
                tokio::pin!(rung);
                rung.as_mut().enable();
                if is_so() {
                    return;
                }
                rung.await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(), "never came: {what}");
    }
}

// ---- primary ----

/// What the primary hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    Connect,
    Line(String),
    /// Content so far, before its end.
    Part,
    /// Whole content, dots undone.
    Content,
}

/// What it does.
pub(crate) enum Act {
    Say(Vec<u8>),
    /// Once the test rings.
    SayAfter(Arc<Notify>, Vec<u8>),
    SayAndClose(Vec<u8>),
    StartTls,
    Nothing,
    Close,
    /// Once the test rings.
    CloseAfter(Arc<Notify>),
}

pub(crate) fn say(text: &str) -> Act {
    Act::Say(format!("{text}\r\n").into_bytes())
}

pub(crate) type Manner = Arc<dyn Fn(usize, &Heard) -> Act + Send + Sync>;

/// What a well-behaved server with these EHLO keywords says.
pub(crate) fn polite(heard: &Heard, keywords: &[&str]) -> Act {
    match heard {
        Heard::Connect => say("220 primary.example ESMTP"),
        Heard::Content => say("250 2.0.0 taken"),
        Heard::Part => Act::Nothing,
        Heard::Line(line) => {
            let verb = line.split(' ').next().unwrap().to_ascii_uppercase();
            match verb.as_str() {
                "EHLO" => {
                    let mut lines = vec!["primary.example".to_owned()];
                    lines.extend(keywords.iter().map(|k| (*k).to_owned()));
                    let last = lines.pop().unwrap();
                    let mut text: String = lines.iter().map(|l| format!("250-{l}\r\n")).collect();
                    text.push_str(&format!("250 {last}\r\n"));
                    Act::Say(text.into_bytes())
                }
                "DATA" => say("354 go"),
                "QUIT" => Act::SayAndClose(b"221 bye\r\n".to_vec()),
                "STARTTLS" => Act::StartTls,
                _ => say("250 ok"),
            }
        }
    }
}

#[derive(Default)]
struct Log {
    lines: Vec<(usize, String)>,
    contents: Vec<Vec<u8>>,
    octets: usize,
    connections: usize,
}

#[derive(Clone)]
pub(crate) struct Primary {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Log>>,
}

impl Primary {
    /// Listens on this address; port 0 for any.
    pub(crate) async fn start(at: SocketAddr, bell: Bell, manner: Manner) -> Self {
        Self::start_with(at, bell, manner, new_identity("primary.example")).await
    }

    /// With a key of the test's.
    pub(crate) async fn start_with(at: SocketAddr, bell: Bell, manner: Manner, identity: Identity) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let primary = Self { address, log: Arc::clone(&log) };
        tokio::spawn(async move {
            let tls = server_tls(&identity);
            while let Ok((socket, _)) = listener.accept().await {
                let number = log.lock().unwrap().connections;
                log.lock().unwrap().connections += 1;
                bell.ring();
                let talk = Talk { log: Arc::clone(&log), bell: bell.clone(), manner: Arc::clone(&manner), number };
                let tls = tls.clone();
                tokio::spawn(async move {
                    if let Some(socket) = talk.plain(socket).await
                        && let Ok(stream) = tls.accept(socket).await
                    {
                        talk.serve(stream, false).await;
                    }
                    talk.bell.ring();
                });
            }
        });
        primary
    }

    /// Lines of commands, all connections.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.log.lock().unwrap().lines.iter().map(|(_, line)| line.clone()).collect()
    }

    pub(crate) fn count(&self, prefix: &str) -> usize {
        self.lines().iter().filter(|line| line.starts_with(prefix)).count()
    }

    pub(crate) fn contents(&self) -> Vec<Vec<u8>> {
        self.log.lock().unwrap().contents.clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.log.lock().unwrap().connections
    }

    /// Octets of content, for tests that do not keep it.
    pub(crate) fn octets(&self) -> usize {
        self.log.lock().unwrap().octets
    }
}

struct Talk {
    log: Arc<Mutex<Log>>,
    bell: Bell,
    manner: Manner,
    number: usize,
}

impl Talk {
    async fn plain(&self, socket: TcpStream) -> Option<TcpStream> {
        socket.set_nodelay(true).unwrap();
        self.serve(socket, true).await
    }

    /// Talks until the end; gives the stream back for TLS.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S, greets: bool) -> Option<S> {
        if greets && !self.act(&mut stream, &Heard::Connect).await? {
            return Some(stream);
        }
        let mut input = Vec::new();
        let mut is_data = false;
        let mut scanned = 0;
        loop {
            if is_data {
                if let Some((content, used)) = end_of_data(&input, scanned) {
                    self.keep(content);
                    input.drain(..used);
                    is_data = false;
                    scanned = 0;
                    self.act(&mut stream, &Heard::Content).await?;
                    self.bell.ring();
                    continue;
                }
            } else if let Some(at) = input.iter().position(|b| *b == b'\n') {
                let line = String::from_utf8_lossy(&input[..at]).trim_end_matches('\r').to_owned();
                input.drain(..=at);
                self.log.lock().unwrap().lines.push((self.number, line.clone()));
                self.bell.ring();
                let act = (self.manner)(self.number, &Heard::Line(line));
                is_data = matches!(&act, Act::Say(text) if text.starts_with(b"354"));
                scanned = 0;
                if !do_act(&mut stream, act).await? {
                    return Some(stream);
                }
                continue;
            }
            let mut octets = [0; 65536];
            let n = stream.read(&mut octets).await.ok().filter(|n| *n > 0)?;
            scanned = input.len().saturating_sub(4);
            input.extend_from_slice(&octets[..n]);
            if is_data {
                self.act(&mut stream, &Heard::Part).await?;
            }
        }
    }

    /// Large contents are only counted.
    fn keep(&self, content: Vec<u8>) {
        let mut log = self.log.lock().unwrap();
        log.octets += content.len();
        if content.len() < 1_000_000 {
            log.contents.push(content);
        }
    }

    async fn act<S: AsyncWrite + Unpin>(&self, stream: &mut S, heard: &Heard) -> Option<bool> {
        do_act(stream, (self.manner)(self.number, heard)).await
    }
}

/// `Some(false)` to turn to TLS, `None` to close.
async fn do_act<S: AsyncWrite + Unpin>(stream: &mut S, act: Act) -> Option<bool> {
    match act {
        Act::Say(octets) => stream.write_all(&octets).await.ok()?,
        Act::SayAfter(ring, octets) => {
            ring.notified().await;
            stream.write_all(&octets).await.ok()?;
        }
        Act::CloseAfter(ring) => {
            ring.notified().await;
            return None;
        }
        Act::SayAndClose(octets) => {
            stream.write_all(&octets).await.ok()?;
            stream.flush().await.ok()?;
            let _ = stream.shutdown().await;
            return None;
        }
        Act::StartTls => {
            stream.write_all(b"220 go\r\n").await.ok()?;
            return Some(false);
        }
        Act::Nothing => {}
        Act::Close => return None,
    }
    stream.flush().await.ok()?;
    Some(true)
}

/// Content with the dots undone, and how much input it took. Nothing ends before `scanned`.
fn end_of_data(input: &[u8], scanned: usize) -> Option<(Vec<u8>, usize)> {
    let end = if input.starts_with(b".\r\n") {
        0
    } else {
        scanned + memchr::memmem::find(&input[scanned..], b"\r\n.\r\n")? + 2
    };
    let mut content = Vec::with_capacity(end);
    for line in input[..end].split_inclusive(|b| *b == b'\n') {
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    Some((content, end + 3))
}

/// A key with its certificate.
pub(crate) type Identity = Arc<rcgen::CertifiedKey<rcgen::KeyPair>>;

pub(crate) fn new_identity(name: &str) -> Identity {
    Arc::new(rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap())
}

/// As pins have it.
pub(crate) fn key_digest(identity: &Identity) -> [u8; 32] {
    pulsemx::delivery::tls::spki_sha256(identity.cert.der()).unwrap()
}

fn server_tls(identity: &Identity) -> tokio_rustls::TlsAcceptor {
    let certificate = identity.cert.der().clone();
    let private = rustls::pki_types::PrivateKeyDer::try_from(identity.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], private)
        .unwrap();
    tokio_rustls::TlsAcceptor::from(Arc::new(config))
}

// ---- spool ----

#[derive(Clone)]
struct Held {
    message: Claimed,
    content: Content,
    states: Vec<(RecipientState, Option<WallTime>, Option<DeliveryReply>)>,
}

#[derive(Clone)]
enum Content {
    Pieces(Vec<Bytes>),
    /// So many pieces of lines, made when asked for.
    Made(u32),
}

/// Octets of a made piece.
pub(crate) const MADE_PIECE: usize = 64 * 1024;

pub(crate) fn made_piece(ordinal: u32) -> Vec<u8> {
    let line = format!(".{ordinal:08} {}\r\n", "x".repeat(52));
    line.repeat(MADE_PIECE / line.len()).into_bytes()
}

#[derive(Default)]
pub(crate) struct Spool {
    held: Mutex<BTreeMap<SpoolId, Held>>,
    pub(crate) bell: Bell,
    /// Reports that fail before the next one succeeds.
    pub(crate) failing_reports: AtomicU32,
    /// The next claim takes its messages and panics.
    pub(crate) panicking_claims: AtomicBool,
    pub(crate) claims: AtomicU32,
    pub(crate) reports: AtomicU32,
    pub(crate) hold: Mutex<Option<Hold>>,
    /// Ids of the messages whose dots were noted, in order.
    pub(crate) notes: Mutex<Vec<SpoolId>>,
    /// Messages that the primary took while their sender waited.
    pub(crate) passed: Mutex<Vec<SpoolId>>,
    pieces_alive: Arc<AtomicUsize>,
    pub(crate) pieces_alive_max: AtomicUsize,
}

/// Counts how many pieces of content are in memory.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) struct Mail<'a> {
    pub(crate) id: i64,
    pub(crate) from: &'a str,
    pub(crate) to: &'a [&'a str],
    pub(crate) content: &'a [u8],
}

impl Spool {
    pub(crate) fn store(&self, mail: &Mail<'_>) -> SpoolId {
        let pieces: Vec<Bytes> = mail.content.chunks(1000).map(Bytes::copy_from_slice).collect();
        let octets = mail.content.len() as u64;
        self.insert(mail, Content::Pieces(pieces), Sha256::digest(mail.content).into(), octets)
    }

    pub(crate) fn store_made(&self, mail: &Mail<'_>, pieces: u32) -> SpoolId {
        let mut digest = Sha256::new();
        let mut octets = 0;
        for ordinal in 0..pieces {
            let piece = made_piece(ordinal);
            octets += piece.len() as u64;
            digest.update(piece);
        }
        self.insert(mail, Content::Made(pieces), digest.finalize().into(), octets)
    }

    fn insert(&self, mail: &Mail<'_>, content: Content, sha256: [u8; 32], octets: u64) -> SpoolId {
        let id = SpoolId::from_i64(mail.id);
        let recipients: Vec<ClaimedRecipient> = mail
            .to
            .iter()
            .zip(0..)
            .map(|(to, ordinal)| ClaimedRecipient {
                ordinal,
                mailbox: Mailbox::parse(to, true).unwrap(),
                attempts: 0,
                refusals: 0,
                dsn: RecipientDsn::default(),
                is_known_good: false,
            })
            .collect();
        let chunks = match &content {
            Content::Pieces(pieces) => pieces.len() as u32,
            Content::Made(pieces) => *pieces,
        };
        let states = vec![(RecipientState::Queued, None, None); recipients.len()];
        let message = Claimed {
            id,
            accepted_at: Clock.wall(),
            reverse_path: ReversePath::parse(mail.from, true).unwrap(),
            smtputf8: false,
            requires_tls: false,
            body: BodyType::SevenBit,
            dsn: MessageDsn::default(),
            trace: Bytes::from_static(TRACE),
            sha256,
            octets,
            chunks,
            peer: IpAddr::from([192, 0, 2, 7]),
            helo: "mx.a.example".to_owned(),
            recipients,
        };
        self.held.lock().unwrap().insert(id, Held { message, content, states });
        id
    }

    /// A message of the door, stored.
    pub(crate) fn take_in(&self, message: &NewMessage) -> SpoolId {
        let to: Vec<String> = message.recipients.iter().map(|recipient| recipient.mailbox.to_string()).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let from = message.reverse_path.to_string();
        self.store(&Mail { id: message.id.as_i64(), from: &from, to: &to, content: &message.tail.concat() })
    }

    pub(crate) fn edit(&self, id: SpoolId, edit: impl FnOnce(&mut Claimed)) {
        edit(&mut self.held.lock().unwrap().get_mut(&id).unwrap().message);
    }

    /// Flips one octet of stored content.
    /// The primary took mail for everybody in it before.
    pub(crate) fn know(&self, id: SpoolId) {
        self.edit(id, |message| message.recipients.iter_mut().for_each(|known| known.is_known_good = true));
    }

    /// Until when it waits, if it is put off.
    pub(crate) fn due(&self, id: SpoolId) -> Option<WallTime> {
        self.held.lock().unwrap()[&id].states[0].1
    }

    pub(crate) fn damage(&self, id: SpoolId) {
        let mut held = self.held.lock().unwrap();
        let Content::Pieces(pieces) = &mut held.get_mut(&id).unwrap().content else { panic!("pieces") };
        let last = pieces.last_mut().unwrap();
        let mut octets = last.to_vec();
        octets[0] ^= 1;
        *last = Bytes::from(octets);
    }

    pub(crate) fn states(&self, id: SpoolId) -> Vec<RecipientState> {
        self.held.lock().unwrap()[&id].states.iter().map(|(state, _, _)| *state).collect()
    }

    pub(crate) fn all_are(&self, state: RecipientState) -> bool {
        self.held.lock().unwrap().values().all(|held| held.states.iter().all(|(s, _, _)| *s == state))
    }

    pub(crate) fn reply(&self, id: SpoolId, ordinal: usize) -> Option<DeliveryReply> {
        self.held.lock().unwrap()[&id].states[ordinal].2.clone()
    }

    /// As if it had been deferred until then.
    pub(crate) fn defer(&self, id: SpoolId, until: WallTime) {
        for (_, at, _) in &mut self.held.lock().unwrap().get_mut(&id).unwrap().states {
            *at = Some(until);
        }
    }

    pub(crate) fn attempts(&self, id: SpoolId) -> u32 {
        self.held.lock().unwrap()[&id].message.recipients[0].attempts
    }
}

#[async_trait]
impl SpoolStore for Spool {
    async fn intake_chunk(&self, _: SpoolId, _: u32, _: Bytes) -> Result<(), SpoolError> {
        unreachable!("delivery takes no mail in")
    }
    async fn intake_commit(&self, _: NewMessage) -> Result<(), CommitError> {
        unreachable!("delivery takes no mail in")
    }
    async fn intake_abandon(&self, _: SpoolId) -> Result<(), SpoolError> {
        unreachable!("delivery takes no mail in")
    }
    async fn intake_awaited(&self, message: NewMessage, note: DotNote) -> Result<(), CommitError> {
        let id = self.take_in(&message);
        for (state, _, _) in &mut self.held.lock().unwrap().get_mut(&id).unwrap().states {
            *state = RecipientState::Claimed;
        }
        self.notes.lock().unwrap().push(note.message);
        Ok(())
    }
    async fn record_passed(&self, message: NewMessage, _: DeliveryReply, _: WallTime) -> Result<(), SpoolError> {
        self.passed.lock().unwrap().push(message.id);
        self.bell.ring();
        Ok(())
    }
    async fn intake_status(&self, _: SpoolId) -> Result<IntakeStatus, SpoolError> {
        unreachable!("delivery takes no mail in")
    }
    async fn claim(&self, query: ClaimQuery) -> Result<Vec<Claimed>, SpoolError> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        let is_canary = matches!(query.order, ClaimOrder::Canary { .. });
        let mut claimed = Vec::new();
        let mut all = self.held.lock().unwrap();
        let mut waiting: Vec<&mut Held> = all.values_mut().collect();
        // As the contract says: what was never tried first, then since when it is due.
        waiting.sort_by_key(|held| held.states.iter().filter(|s| s.0 == RecipientState::Queued).map(|s| s.1).min());
        if is_canary {
            // Known first, then small: the contract has the whole rule.
            waiting.sort_by_key(|held| {
                let is_known = held.message.recipients.iter().any(|known| known.is_known_good);
                (!is_known, held.message.octets)
            });
        }
        for held in waiting {
            if claimed.len() >= query.messages_max as usize {
                break;
            }
            let mut due = Vec::new();
            for (recipient, (state, at, _)) in held.message.recipients.iter().zip(&mut held.states) {
                if *state == RecipientState::Queued && at.is_none_or(|at| at <= query.now) {
                    *state = RecipientState::Claimed;
                    due.push(recipient.clone());
                }
            }
            if !due.is_empty() {
                claimed.push(Claimed { recipients: due, ..held.message.clone() });
            }
        }
        drop(all);
        assert!(!self.panicking_claims.swap(false, Ordering::SeqCst), "a fault that a test asked for");
        Ok(claimed)
    }
    async fn settle(&self, reports: Vec<Report>, notes: Vec<DotNote>, _: WallTime) -> Result<(), SpoolError> {
        let fails = self.failing_reports.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        if fails {
            return Err(SpoolError::Engine("disk on strike".into()));
        }
        self.reports.fetch_add(1, Ordering::SeqCst);
        self.notes.lock().unwrap().extend(notes.iter().map(|note| note.message));
        for report in reports {
            let mut all = self.held.lock().unwrap();
            let held = all.get_mut(&report.id).unwrap();
            for (ordinal, state) in held.states.iter_mut().enumerate() {
                if state.0 != RecipientState::Claimed || report.outcomes.is_empty() {
                    continue;
                }
                let outcome = report.outcomes.iter().find(|(o, _)| *o as usize == ordinal).map(|(_, outcome)| outcome);
                let attempts = &mut held.message.recipients[ordinal].attempts;
                let is_attempt = !matches!(outcome, None | Some(Outcome::Returned | Outcome::Postponed { .. }));
                *attempts += u32::from(is_attempt);
                *state = match outcome.cloned() {
                    None | Some(Outcome::Returned) => (RecipientState::Queued, state.1, state.2.clone()),
                    Some(Outcome::Postponed { until }) => (RecipientState::Queued, Some(until), state.2.clone()),
                    Some(Outcome::Delivered { reply }) => (RecipientState::Delivered, None, Some(reply)),
                    Some(Outcome::Refused { reply }) => (RecipientState::Refused, None, Some(reply)),
                    Some(Outcome::Deferred { until, reply }) => (RecipientState::Queued, Some(until), Some(reply)),
                };
            }
        }
        self.bell.ring();
        Ok(())
    }
    async fn next_due(&self, _: AccountId) -> Result<Option<WallTime>, SpoolError> {
        let held = self.held.lock().unwrap();
        let queued = held.values().flat_map(|h| &h.states).filter(|(state, _, _)| *state == RecipientState::Queued);
        Ok(queued.map(|(_, at, _)| at.unwrap_or(WallTime::UNIX_EPOCH)).min())
    }
    async fn make_due(&self, _: AccountId, now: WallTime) -> Result<u64, SpoolError> {
        for (_, at, _) in self.held.lock().unwrap().values_mut().flat_map(|h| &mut h.states) {
            *at = at.map(|at| at.min(now));
        }
        Ok(0)
    }
    async fn body_chunk(&self, id: SpoolId, ordinal: u32) -> Result<Bytes, SpoolError> {
        let content = self.held.lock().unwrap()[&id].content.clone();
        match content {
            Content::Pieces(pieces) => pieces.get(ordinal as usize).cloned().ok_or(SpoolError::ChunkMissing(id)),
            Content::Made(_) => {
                let alive = self.pieces_alive.fetch_add(1, Ordering::SeqCst) + 1;
                self.pieces_alive_max.fetch_max(alive, Ordering::SeqCst);
                Ok(Bytes::from_owner(Counted(made_piece(ordinal), Arc::clone(&self.pieces_alive))))
            }
        }
    }
    async fn list(&self, _: ListQuery) -> Result<ListPage, SpoolError> {
        Ok(ListPage::default())
    }
    async fn show(&self, _: SpoolId) -> Result<Option<MessageDetail>, SpoolError> {
        Ok(None)
    }
    async fn retry(&self, _: RetrySelection, _: Change) -> Result<u64, SpoolError> {
        Ok(0)
    }
    fn usage(&self, _: AccountId) -> Usage {
        let is_waiting = |held: &&Held| held.states.iter().any(|(state, _, _)| state.is_waiting());
        let waiting = self.held.lock().unwrap().values().filter(is_waiting).count() as u64;
        Usage { waiting, ..Usage::default() }
    }
    async fn tally(&self, _: AccountId) -> Result<Tally, SpoolError> {
        Ok(Tally::default())
    }
    async fn rule(&self, _: SpoolId, _: Ruling, _: Change) -> Result<u64, SpoolError> {
        Ok(0)
    }
    async fn holds(&self) -> Result<Vec<(AccountId, Hold)>, SpoolError> {
        Ok(self.hold.lock().unwrap().clone().map(|hold| (ACCOUNT, hold)).into_iter().collect())
    }
    async fn set_hold(&self, _: AccountId, hold: Option<Hold>, _: Change) -> Result<(), SpoolError> {
        *self.hold.lock().unwrap() = hold;
        Ok(())
    }
    async fn expire(&self, _: ExpiryTerms, _: WallTime) -> Result<Expiry, SpoolError> {
        Ok(Expiry::default())
    }
    async fn oldest_waiting(&self) -> Result<Vec<OldestWaiting>, SpoolError> {
        Ok(Vec::new())
    }
    async fn recover(&self) -> Result<Recovered, SpoolError> {
        Ok(Recovered::default())
    }
    async fn return_claims(&self, _: AccountId) -> Result<u64, SpoolError> {
        let mut returned = 0;
        for (state, _, _) in self.held.lock().unwrap().values_mut().flat_map(|h| &mut h.states) {
            if *state == RecipientState::Claimed {
                *state = RecipientState::Queued;
                returned += 1;
            }
        }
        Ok(returned)
    }
    async fn purge_delivered(&self, _: WallTime) -> Result<u64, SpoolError> {
        Ok(0)
    }
}

// ---- lines ----

pub(crate) struct FakeLines {
    view: Mutex<LineView>,
    events: broadcast::Sender<LineEvent>,
    pub(crate) greeted: AtomicU32,
    bell: Bell,
}

impl FakeLines {
    fn new(bell: Bell) -> Self {
        let view = LineView {
            account: ACCOUNT,
            endpoint: ENDPOINT,
            state: LineState::Offline,
            since: None,
            last_beat: None,
            last_beat_at: None,
            address: None,
            interval: Duration::from_secs(5),
            missed: 0,
            mail_ok: None,
            loss_percent: 0.0,
            unanswered_percent: None,
            name_held_until: None,
            recent_beats: Vec::new(),
        };
        Self { view: Mutex::new(view), events: broadcast::channel(16).0, greeted: AtomicU32::new(0), bell }
    }

    pub(crate) fn edit(&self, edit: impl FnOnce(&mut LineView)) {
        edit(&mut self.view.lock().unwrap());
    }

    /// A fresh beat from another address, as the event of a move.
    pub(crate) fn move_to(&self, to: IpAddr) {
        let mut from = None;
        self.edit(|view| {
            from = view.address.replace(to);
            view.last_beat = Some(Clock.monotonic());
        });
        let row = AddressChange { account: ACCOUNT, endpoint: ENDPOINT, from, to, at: Clock.wall() };
        let _ = self.events.send(LineEvent::Changed(HistoryRow::Address(row)));
    }

    /// A fresh beat from this address, and the event of a change to `state`.
    pub(crate) fn become_state(&self, state: LineState, address: IpAddr) {
        let mut from = LineState::Offline;
        self.edit(|view| {
            from = view.state;
            view.state = state;
            view.last_beat = Some(Clock.monotonic());
            view.address = Some(address);
        });
        self.send(from, state);
    }

    /// The beat came after all: no row of history.
    pub(crate) fn heal(&self) {
        self.edit(|view| {
            view.state = LineState::Online;
            view.last_beat = Some(Clock.monotonic());
        });
        let healed = LineEvent::Suspicion { account: ACCOUNT, endpoint: ENDPOINT, is_suspect: false };
        let _ = self.events.send(healed);
    }

    pub(crate) fn send(&self, from: LineState, to: LineState) {
        let row = Transition {
            account: ACCOUNT,
            endpoint: ENDPOINT,
            from,
            to,
            cause: Cause::Beat,
            at: Clock.wall(),
            since: Clock.wall(),
            address: None,
        };
        let _ = self.events.send(LineEvent::Changed(HistoryRow::State(row)));
    }
}

impl Lines for FakeLines {
    fn line(&self, _: EndpointId) -> Option<LineView> {
        Some(self.view.lock().unwrap().clone())
    }
    fn account_line(&self, _: AccountId) -> Option<LineView> {
        self.line(ENDPOINT)
    }
    fn primary_greeted(&self, _: EndpointId, _: std::net::IpAddr) {
        self.greeted.fetch_add(1, Ordering::SeqCst);
        self.bell.ring();
    }
    fn subscribe(&self) -> broadcast::Receiver<LineEvent> {
        self.events.subscribe()
    }
}

// ---- world ----

pub(crate) struct World {
    pub(crate) primary: Primary,
    pub(crate) spool: Arc<Spool>,
    pub(crate) lines: Arc<FakeLines>,
    pub(crate) deliveries: Arc<Deliveries>,
    pub(crate) directory: DirectoryHandle,
    pub(crate) shutdown: CancellationToken,
    pub(crate) bell: Bell,
    /// What was noted of the primary, oldest first.
    pub(crate) manners: Arc<Mutex<Vec<Manners>>>,
    alarms: Mutex<broadcast::Receiver<Alarm>>,
}

/// Keeps pins in the directory alone.
struct Pins {
    directory: DirectoryHandle,
    manners: Arc<Mutex<Vec<Manners>>>,
    bell: Bell,
}

#[async_trait]
impl PinKeeper for Pins {
    async fn set_pin(&self, _: EndpointId, pin: Option<[u8; 32]>, _: Change) -> Result<(), AccountError> {
        let port = self.directory.load().endpoint(ENDPOINT).unwrap().smtp_port;
        self.directory.replace(directory_with(port, AccountStatus::Active, pin));
        self.bell.ring();
        Ok(())
    }

    async fn set_manners(&self, _: EndpointId, manners: Manners) -> Result<(), AccountError> {
        self.manners.lock().unwrap().push(manners);
        self.directory.replace(Directory::clone(&self.directory.load()).with_manners(ENDPOINT, manners));
        self.bell.ring();
        Ok(())
    }
}

pub(crate) fn directory(port: u16, status: AccountStatus) -> Directory {
    directory_with(port, status, None)
}

pub(crate) fn directory_with(port: u16, status: AccountStatus, pin: Option<[u8; 32]>) -> Directory {
    let name = |text: &str| DomainName::parse(text).unwrap();
    let account = Account {
        id: ACCOUNT,
        name: "firma".parse().unwrap(),
        status,
        status_since: WallTime::UNIX_EPOCH,
        online_mode: None,
        created_at: WallTime::UNIX_EPOCH,
    };
    let endpoint = Endpoint {
        id: ENDPOINT,
        account: ACCOUNT,
        host: name("firma.dyn.example"),
        smtp_port: port,
        address_v4: None,
        address_v6: None,
        pin,
        manners: None,
    };
    let domain = Domain { name: name("firma.example"), account: ACCOUNT, endpoints: vec![ENDPOINT] };
    Directory::new(vec![account], vec![endpoint], vec![domain], Vec::new())
}

impl World {
    pub(crate) async fn new(manner: impl Fn(usize, &Heard) -> Act + Send + Sync + 'static) -> Self {
        Self::with(manner, |_, _| {}).await
    }

    /// With other settings than the impatient ones of these tests.
    pub(crate) async fn with(
        manner: impl Fn(usize, &Heard) -> Act + Send + Sync + 'static,
        edit: impl FnOnce(&mut Settings, &Primary),
    ) -> Self {
        Self::known_by(new_identity("primary.example"), manner, edit).await
    }

    /// With a key of the test's.
    pub(crate) async fn known_by(
        identity: Identity,
        manner: impl Fn(usize, &Heard) -> Act + Send + Sync + 'static,
        edit: impl FnOnce(&mut Settings, &Primary),
    ) -> Self {
        Self::with_spool(identity, manner, edit, |_| {}).await
    }

    /// With something in the spool before delivery starts.
    pub(crate) async fn with_spool(
        identity: Identity,
        manner: impl Fn(usize, &Heard) -> Act + Send + Sync + 'static,
        edit: impl FnOnce(&mut Settings, &Primary),
        prepare: impl FnOnce(&Spool),
    ) -> Self {
        let bell = Bell::default();
        let at = "127.0.0.1:0".parse().unwrap();
        let primary = Primary::start_with(at, bell.clone(), Arc::new(manner), identity).await;
        let spool = Arc::new(Spool { bell: bell.clone(), ..Spool::default() });
        prepare(&spool);
        let lines = Arc::new(FakeLines::new(bell.clone()));
        let directory = DirectoryHandle::new(directory(primary.address.port(), AccountStatus::Active));
        let shutdown = CancellationToken::new();
        let mut settings = Settings::new(DomainName::parse("mx.pulse.example").unwrap());
        settings.allow_loopback_targets = true;
        (settings.lanes_max, settings.after_refusal) = (1, AfterRefusal::Judge);
        settings.retry = RetryTimes::new([20, 40, 60].map(Duration::from_millis).to_vec());
        let limit = Duration::from_secs(5);
        settings.timeouts = Timeouts { connect: limit, greeting: limit, command: limit, ..Timeouts::default() };
        edit(&mut settings, &primary);
        let deliveries = Deliveries::start(
            settings,
            directory.clone(),
            Arc::clone(&lines) as Arc<dyn Lines>,
            Arc::clone(&spool) as Arc<dyn SpoolStore>,
            shutdown.clone(),
        )
        .unwrap();
        let manners = Arc::new(Mutex::new(Vec::new()));
        deliveries.keep_pins(Arc::new(Pins {
            directory: directory.clone(),
            manners: manners.clone(),
            bell: bell.clone(),
        }));
        let alarms = Mutex::new(deliveries.alarms());
        let world = Self { primary, spool, lines, deliveries, directory, shutdown, bell, manners, alarms };
        world.watch_views();
        // The look at every account at the start is over before the test moves a line.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        world
    }

    /// Views ring the bell, too.
    fn watch_views(&self) {
        let mut changes = self.deliveries.subscribe();
        let bell = self.bell.clone();
        tokio::spawn(async move {
            while changes.recv().await.is_ok() {
                bell.ring()
            }
        });
    }

    pub(crate) fn store(&self, id: i64, to: &[&str], content: &[u8]) -> SpoolId {
        self.spool.store(&Mail { id, from: "sender@a.example", to, content })
    }

    /// The line returns: the event that starts a flush.
    pub(crate) fn come_back(&self) {
        self.lines.become_state(LineState::Returning, self.primary.address.ip());
    }

    pub(crate) async fn until_all(&self, state: RecipientState) {
        self.bell.until(&format!("all {state}"), || self.spool.all_are(state)).await;
    }

    /// A person's pin, or none.
    pub(crate) fn pin(&self, pin: Option<[u8; 32]>) {
        self.directory.replace(directory_with(self.primary.address.port(), AccountStatus::Active, pin));
    }

    /// Alarms since the last call.
    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        let mut alarms = self.alarms.lock().unwrap();
        std::iter::from_fn(|| alarms.try_recv().ok()).collect()
    }

    pub(crate) fn view(&self) -> FlushView {
        self.deliveries.view(ACCOUNT)
    }
}
