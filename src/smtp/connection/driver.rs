//! Moves the octets of one connection in and out of its [`Session`] and does what that asks of the spool.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::super::driver::Host;
use super::super::gate::{Place, Stress};
use super::super::rates::Deed;
use super::super::refusals::Refused;
use super::super::reply;
use super::super::requests::FlushRequests;
use super::super::session::{Action, Committed, FlushAnswer, PieceOutcome, Session, World};
use super::super::settings::{INPUT_OCTETS_MAX, INPUT_OCTETS_MIN, Settings};
use super::super::through::{Answer, Handed, Passage, Question};
use super::listing::driver::Listing;
use super::welcome;
use crate::account::{Scope, ServedDomain};
use crate::base::{AccountId, DomainName, LocalPart, Moment, SpoolId};
use crate::recipient::Judgement;
use crate::spool::{CommitError, DotNote, IntakeStatus, NewMessage, SpoolError};
use crate::verdict::Subject;

/// How long a peer that was told the last reply may take to close: closing first while its octets are unread would
/// reset the connection and take the reply from it.
const LINGER: Duration = Duration::from_secs(1);
/// Octets read away meanwhile.
const LINGER_OCTETS_MAX: usize = 256 * 1024;

/// How a conversation over one stream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// We said the last word.
    Closed,
    /// The peer is gone.
    Gone,
    /// The rest of the conversation is encrypted.
    StartTls,
}

/// A session's place, and whether it has to leave it.
pub(in crate::smtp) struct Seat {
    pub(in crate::smtp) place: Place,
    /// Cancelled when a newcomer needs the place.
    pub(in crate::smtp) leave: CancellationToken,
}

/// One connection.
pub(in crate::smtp) struct Connection {
    host: Arc<Host>,
    settings: Arc<Settings>,
    peer: SocketAddr,
    session: Session,
    input: BytesMut,
    timer: Pin<Box<Sleep>>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    seat: Seat,
    /// A newcomer needs the place; heard once.
    is_asked_to_leave: bool,
    /// When running transactions are cut off, once the service stops.
    cut_off: Option<Moment>,
    listing: Option<Listing>,
    open: OpenTransaction,
    /// The open transaction's way to the primary.
    passage: Option<Box<dyn Passage>>,
}

/// Whether this session's transaction is counted among all.
struct OpenTransaction {
    host: Arc<Host>,
    /// Absent for a peer without limits.
    peer: Option<IpAddr>,
    is_open: bool,
}

impl OpenTransaction {
    fn set(&mut self, is_open: bool) {
        if is_open && !self.is_open {
            self.host.transactions.begin(self.peer);
        } else if !is_open && self.is_open {
            self.host.transactions.end(self.peer);
        }
        self.is_open = is_open;
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// Serves one peer to the end.
pub(in crate::smtp) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    host: Arc<Host>,
    mut stream: S,
    peer: SocketAddr,
    seat: Seat,
) {
    let settings = host.settings.load_full();
    let listing = Listing::ask(&host, &settings, peer.ip());
    let Some(input) = welcome::driver::wait(&host, &settings, &mut stream, peer).await else { return };
    let now = host.now();
    let session = Session::new(Arc::clone(&settings), Arc::clone(&host.counters), peer.ip(), host.tls.is_some(), now);
    let timer = Box::pin(sleep_until(host.instant(session.poll_timeout(Stress::Calm))));
    let shutdown = Box::pin(host.shutdown.clone().cancelled_owned());
    let counted = (!settings.is_without_limits(peer.ip())).then(|| peer.ip());
    let open = OpenTransaction { host: Arc::clone(&host), peer: counted, is_open: false };
    Connection {
        host,
        settings,
        peer,
        session,
        input,
        timer,
        shutdown,
        seat,
        is_asked_to_leave: false,
        cut_off: None,
        listing,
        open,
        passage: None,
    }
    .run(stream)
    .await;
}

impl Connection {
    async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut self, mut stream: S) {
        match self.converse(&mut stream).await {
            End::Closed => linger(&mut stream).await,
            End::Gone => {}
            End::StartTls => {
                if let Some(mut encrypted) = self.handshake(stream).await
                    && self.converse(&mut encrypted).await == End::Closed
                {
                    linger(&mut encrypted).await;
                }
            }
        }
        if let Some(id) = self.session.handle_disconnect() {
            self.abandon(id).await;
        }
    }

    async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: S) -> Option<TlsStream<S>> {
        let acceptor = self.host.tls.clone()?;
        // Nothing that was read before the handshake may be taken for a command after it.
        self.input.clear();
        match timeout(self.settings.patience.handshake, acceptor.accept(stream)).await {
            Ok(Ok(encrypted)) => {
                let (_, connection) = encrypted.get_ref();
                let version = connection.protocol_version().map(|v| format!("{v:?}")).unwrap_or_default();
                let suite = connection.negotiated_cipher_suite().map(|s| format!("{:?}", s.suite()));
                let facts = format!("{version} {}", suite.unwrap_or_default());
                self.session.handle_tls(facts, self.host.now());
                Some(encrypted)
            }
            Ok(Err(error)) => {
                tracing::info!(peer = %self.peer, %error, "TLS handshake failed");
                None
            }
            Err(_) => {
                tracing::info!(peer = %self.peer, "TLS handshake took too long");
                None
            }
        }
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut S) -> End {
        loop {
            let host = Arc::clone(&self.host);
            if self.listing.as_ref().is_some_and(Listing::is_listed) {
                self.session.handle_listed();
            }
            let action = self.session.advance(&mut self.input, &*host, host.now());
            self.open.set(self.session.is_in_transaction());
            if !self.session.is_passing() {
                self.passage = None;
            }
            match action {
                Action::Read => {
                    if !self.flush(stream).await || !self.read(stream).await {
                        return End::Gone;
                    }
                }
                Action::Pause(until) => {
                    if !self.flush(stream).await {
                        return End::Gone;
                    }
                    self.pause(until).await;
                }
                Action::Flush => {
                    if !self.flush(stream).await {
                        return End::Gone;
                    }
                }
                Action::StorePiece { id, ordinal, bytes } => {
                    let result = host.rooms.spool.intake_chunk(id, ordinal, bytes).await;
                    if let Err(error) = &result {
                        tracing::error!(spool_id = %id, %error, "a piece of content was not stored");
                    }
                    self.session.handle_piece(match result {
                        Ok(()) => PieceOutcome::Stored,
                        Err(SpoolError::NoRoom) => PieceOutcome::NoRoom,
                        Err(SpoolError::Engine(_) | SpoolError::ChunkMissing(_)) => PieceOutcome::NotStored,
                    });
                }
                Action::AskPrimary(question) => {
                    // The replies before it do not wait for it.
                    if !self.flush(stream).await {
                        return End::Gone;
                    }
                    self.ask_primary(*question).await;
                }
                Action::HandOver(message) => self.hand_over(message).await,
                Action::Commit(message) => {
                    let outcome = self.commit(*message, None).await;
                    self.session.handle_committed(outcome, &*host, host.now());
                }
                Action::Abandon(id) => self.abandon(id).await,
                Action::StartTls => return if self.flush(stream).await { End::StartTls } else { End::Gone },
                Action::Close => return if self.flush(stream).await { End::Closed } else { End::Gone },
            }
        }
    }

    /// All waiting replies in one write. False when the peer is gone or takes nothing.
    async fn flush<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> bool {
        let output = self.session.output();
        if output.is_empty() {
            return true;
        }
        let sending = async {
            stream.write_all(output).await?;
            stream.flush().await
        };
        let is_sent = matches!(timeout(self.settings.patience.write, sending).await, Ok(Ok(())));
        self.session.output().clear();
        is_sent
    }

    /// Waits for octets, a deadline or the end of the service. False when the peer is gone.
    async fn read<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> bool {
        self.make_room();
        let silent_since = (!self.session.is_in_transaction()).then(|| self.host.now());
        self.seat.place.note_silence(silent_since);
        loop {
            let deadline = self.deadline();
            // Deadlines mostly move away: the timer is set again when it fires, not with each read.
            if self.host.instant(deadline) < self.timer.deadline() {
                self.timer.as_mut().reset(self.host.instant(deadline));
            }
            // A peer that never lets the socket run dry would keep the select below at its first branch for ever.
            let now = self.host.now();
            if self.cut_off.is_some_and(|cut_off| cut_off < now) {
                self.session.handle_shutdown_deadline();
                return true;
            }
            if deadline < now {
                tracing::info!(peer = %self.peer, "session timed out");
                self.session.handle_timeout();
                return true;
            }
            if self.cut_off.is_none() && self.host.shutdown.is_cancelled() {
                self.cut_off = Some(now + self.settings.patience.shutdown);
                self.session.handle_shutdown();
                return true;
            }
            tokio::select! {
                biased;
                result = stream.read_buf(&mut self.input) => {
                    self.seat.place.note_silence(None);
                    return matches!(result, Ok(octets) if octets > 0);
                }
                () = self.shutdown.as_mut(), if self.cut_off.is_none() => {
                    self.cut_off = Some(self.host.now() + self.settings.patience.shutdown);
                    self.session.handle_shutdown();
                    return true;
                }
                () = self.seat.leave.cancelled(), if !self.is_asked_to_leave => {
                    self.is_asked_to_leave = true;
                    tracing::info!(peer = %self.peer, "silent session closed for a newcomer");
                    self.session.handle_place_needed();
                    return true;
                }
                () = self.timer.as_mut() => {
                    let now = self.host.now();
                    if self.cut_off.is_some_and(|cut_off| cut_off <= now) {
                        self.session.handle_shutdown_deadline();
                        return true;
                    }
                    if deadline <= now {
                        tracing::info!(peer = %self.peer, "session timed out");
                        self.session.handle_timeout();
                        return true;
                    }
                    self.timer.as_mut().reset(self.host.instant(deadline));
                }
            }
        }
    }

    /// A peer outside of a transaction says little, and may be silent for minutes: its buffer is small then.
    fn make_room(&mut self) {
        let is_busy = self.session.is_in_transaction();
        if !is_busy && self.input.is_empty() && self.input.capacity() > INPUT_OCTETS_MIN {
            self.input = BytesMut::new();
        }
        self.input.reserve(if is_busy { INPUT_OCTETS_MAX } else { INPUT_OCTETS_MIN });
    }

    /// Waits before the reply to a peer that is being slowed.
    async fn pause(&mut self, until: Moment) {
        self.seat.place.note_silence(None);
        let until = self.cut_off.map_or(until, |cut_off| cut_off.min(until));
        tokio::select! {
            () = sleep_until(self.host.instant(until)) => {}
            () = self.shutdown.as_mut(), if self.cut_off.is_none() => {
                self.cut_off = Some(self.host.now() + self.settings.patience.shutdown);
                self.session.handle_shutdown();
            }
        }
        if self.cut_off.is_some_and(|cut_off| cut_off <= self.host.now()) {
            self.session.handle_shutdown_deadline();
        }
    }

    fn deadline(&self) -> Moment {
        let own = self.session.poll_timeout(self.seat.place.stress(self.host.transactions.stress()));
        self.cut_off.map_or(own, |cut_off| cut_off.min(own))
    }

    async fn ask_primary(&mut self, question: Question) {
        let Question { introduction, recipient } = question;
        let answer = match (&mut self.passage, &self.host.rooms.primaries) {
            (Some(passage), _) => passage.recipient(recipient).await,
            (place @ None, Some(primaries)) => place.insert(primaries.begin(introduction)).recipient(recipient).await,
            (None, None) => Answer::Taken(reply::RECIPIENT_OK),
        };
        self.session.handle_asked(answer, &*self.host, self.host.now());
    }

    async fn hand_over(&mut self, message: Box<NewMessage>) {
        let handed = match &mut self.passage {
            Some(passage) => passage.hand_over(message).await,
            None => Handed::Store(message, None),
        };
        match handed {
            Handed::Passed(words) => self.session.handle_passed(&words, self.host.now()),
            Handed::Store(message, note) => {
                let outcome = self.commit(*message, note).await;
                if let Some(passage) = &mut self.passage {
                    passage.stored(outcome == Committed::Stored);
                }
                self.session.handle_committed(outcome, &*self.host, self.host.now());
            }
        }
    }

    /// `note`: somebody waits for the primary's reply to this message, and reports on it.
    async fn commit(&self, message: NewMessage, note: Option<DotNote>) -> Committed {
        let (id, octets, recipients) = (message.id, message.octets, message.recipients.len());
        let mut accounts: Vec<AccountId> = message.recipients.iter().map(|recipient| recipient.account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        let spool = &self.host.rooms.spool;
        let checks = self.host.rooms.checks.as_ref().filter(|checks| checks.wants(message.peer));
        let subject = checks.map(|_| subject_of(&message, &accounts));
        let committed = match note {
            None => spool.intake_commit(message).await,
            Some(note) => spool.intake_awaited(message, note).await,
        };
        let outcome = match committed {
            Ok(()) => Committed::Stored,
            Err(error @ CommitError::NotStored(_)) => {
                tracing::error!(spool_id = %id, %error, "message not stored");
                Committed::NotStored
            }
            Err(error @ CommitError::Unknown(_)) => {
                tracing::error!(spool_id = %id, %error, "message perhaps not stored");
                match spool.intake_status(id).await {
                    Ok(IntakeStatus::Committed) => Committed::Stored,
                    Ok(IntakeStatus::Absent) | Err(_) => Committed::Unknown,
                }
            }
        };
        if outcome == Committed::Stored {
            for account in &accounts {
                tracing::info!(spool_id = %id, %account, peer = %self.peer, octets, recipients, "message stored");
            }
            if let (Some(checks), Some(subject)) = (checks, subject) {
                checks.note(subject);
            }
            self.host.rooms.stored.mail_stored(&accounts);
        }
        outcome
    }

    async fn abandon(&self, id: SpoolId) {
        if let Err(error) = self.host.rooms.spool.intake_abandon(id).await {
            tracing::warn!(spool_id = %id, %error, "pieces of a refused message stay until the next start");
        }
    }
}

/// What the checks need of a message that is about to be stored.
fn subject_of(message: &NewMessage, accounts: &[AccountId]) -> Subject {
    Subject {
        id: message.id,
        peer: message.peer,
        helo: message.helo.clone(),
        reverse_path: message.reverse_path.clone(),
        accounts: accounts.to_vec(),
        chunks: message.chunks_ahead.saturating_add(u32::try_from(message.tail.len()).unwrap_or(u32::MAX)),
    }
}

/// Ends a connection so that the last reply arrives.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let closing = async {
        stream.shutdown().await?;
        let (mut sink, mut octets) = ([0u8; 4096], 0);
        while octets < LINGER_OCTETS_MAX {
            match stream.read(&mut sink).await? {
                0 => break,
                more => octets += more,
            }
        }
        Ok::<(), std::io::Error>(())
    };
    // Whatever goes wrong here, everything was said.
    let _ = timeout(LINGER, closing).await;
}

impl Host {
    /// Now on the clock of the timers. This is the runtime's own, which virtual time moves, and not
    /// [`Clock`](crate::base::Clock): deadlines and the sleeps that wait for them have to agree.
    pub(in crate::smtp) fn now(&self) -> Moment {
        Moment::from_millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// The same moment as the runtime counts it.
    fn instant(&self, moment: Moment) -> Instant {
        self.started + Duration::from_millis(moment.as_millis())
    }
}

impl World for Host {
    fn directory(&self) -> Arc<crate::account::Directory> {
        self.rooms.directory.load()
    }

    fn room(&self) -> u64 {
        self.rooms.spool.room()
    }

    fn judge_recipient(&self, served: &ServedDomain<'_>, local_part: &LocalPart, is_there: bool) -> Judgement {
        self.rooms.recipients.read().judge(served.account.id, served.name, local_part, is_there, self.clock.wall())
    }

    fn start_flush(&self, account: AccountId) -> FlushAnswer {
        let admits = |requests: &mut FlushRequests| requests.admits(account, self.now());
        if !admits(&mut self.flush_requests.lock().unwrap_or_else(PoisonError::into_inner)) {
            return FlushAnswer::TooOften;
        }
        self.rooms.stored.flush_wanted(account);
        FlushAnswer::Started
    }

    fn fair_share(&self) -> Option<u64> {
        self.rooms.spool.fair_share()
    }

    fn may_ask(&self, account: AccountId, domain: &DomainName) -> bool {
        self.rooms.primaries.as_ref().is_some_and(|primaries| primaries.may_ask(account, domain))
    }

    fn takes_logins(&self) -> bool {
        self.rooms.tokens.as_ref().is_some_and(|tokens| tokens.has_logins())
    }

    fn login(&self, secret: &str) -> Option<AccountId> {
        let (tokens, now) = (self.rooms.tokens.as_ref()?, self.clock.wall());
        let token = tokens.holder(secret, now).filter(|token| token.scopes.has(Scope::Etrn))?;
        let (tokens, id) = (Arc::clone(tokens), token.id);
        // Nobody waits for the note of when it was used.
        tokio::spawn(async move {
            if let Err(error) = tokens.used(&id, now).await {
                tracing::warn!(%error, "the last use of a token was not kept");
            }
        });
        Some(token.account)
    }

    fn usage(&self, account: AccountId) -> crate::spool::Usage {
        self.rooms.spool.usage(account)
    }

    fn line(&self, endpoint: crate::base::EndpointId) -> Option<crate::liveness::LineView> {
        self.rooms.lines.line(endpoint)
    }

    fn admits(&self, peer: IpAddr, deed: Deed, now: Moment) -> bool {
        self.rates.admits(peer, deed, now)
    }

    fn would_admit(&self, peer: IpAddr, deed: Deed, now: Moment) -> bool {
        self.rates.would_admit(peer, deed, now)
    }

    fn note_refused(&self, refused: Refused) {
        if let Some(ledger) = &self.rooms.refusals {
            ledger.note(refused);
        }
    }

    fn is_too_busy(&self, peer: Option<IpAddr>) -> bool {
        !self.transactions.admits(peer)
    }

    fn next_id(&self) -> SpoolId {
        // Without randomness ids still rise; they only tell more of each other.
        let random = getrandom::u32().unwrap_or_default();
        self.rooms.ids.next(self.clock.wall(), random)
    }

    fn wall(&self) -> crate::base::WallTime {
        self.clock.wall()
    }
}

#[cfg(test)]
mod tests;
