//! Carries messages over one open connection: commands and replies through lettre, content past it.

mod passing;

pub use passing::{NotBegun, Passed};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Quit, Rset};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::time::timeout;

use crate::base::{DomainName, SpoolId};
use crate::delivery::content::{ContentEncoder, ContentFault};
use crate::delivery::dialogue::{Script, Transaction, script};
use crate::delivery::handing::{Attributes, Client};
use crate::delivery::opening::Opened;
use crate::delivery::order::next_transaction;
use crate::delivery::outcome::{Refusal, Stage, Verdict, is_goodbye, judge, silence, words};
use crate::delivery::settings::Timeouts;
use crate::delivery::stream::WireStream;
use crate::delivery::wire::{Capabilities, Reply};
use crate::spool::{BodyType, Claimed, DeliveryReply, SpoolError, SpoolStore};

/// Where outcomes of earlier messages are written, and that the dot of the next one may be sent.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Makes that survive the process. `false`: it did not work, and the dot must not be sent.
    async fn before_dot(&self, message: SpoolId) -> bool;
}

/// Where the pieces of a content come from.
#[async_trait]
pub trait Pieces: Send + Sync {
    /// The piece of this ordinal.
    async fn piece(&self, message: SpoolId, ordinal: u32) -> Result<Bytes, SpoolError>;
}

/// A spooled content.
struct Spooled<'a>(&'a dyn SpoolStore);

#[async_trait]
impl Pieces for Spooled<'_> {
    async fn piece(&self, message: SpoolId, ordinal: u32) -> Result<Bytes, SpoolError> {
        self.0.body_chunk(message, ordinal).await
    }
}

/// One message to be offered.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// As claimed.
    pub message: &'a Claimed,
    /// Its whole content, where that is one piece and was fetched ahead.
    pub head: Option<&'a Bytes>,
}

/// What one message came to.
#[derive(Clone, Debug, Default)]
pub struct Attempt {
    /// Recipients that were decided; the attempt never came to the others.
    pub verdicts: Vec<(u32, Verdict)>,
    /// MAIL was answered with anything but a goodbye.
    pub is_mail_answered: bool,
    /// MAIL was answered with 2yz.
    pub is_mail_accepted: bool,
    /// MAIL was answered with 5yz.
    pub is_mail_refused: bool,
    /// MAIL was answered with 530: TLS or a login is wanted first (RFC 3207 §4, RFC 4954 §6).
    pub is_login_wanted: bool,
    /// The message was refused before its final dot, by us or in the middle of its content: nothing is wrong with
    /// the server, but the connection had to end.
    pub is_withheld: bool,
    /// Nothing could be written: the message did not get its dot and was not harmed.
    pub is_spool_failed: bool,
    /// The attempt was given up because nobody is there any more. Recipients without a verdict were not harmed.
    pub is_cut: bool,
    /// Set when the connection is of no use any more: why.
    pub ended: Option<String>,
}

/// An open connection.
pub struct Connection {
    lettre: AsyncSmtpConnection,
    stream: WireStream,
    offered: Capabilities,
    is_key_proven: bool,
    timeouts: Timeouts,
    needs_rset: bool,
    /// It took a message in this connection.
    has_taken_mail: bool,
    is_one_by_one: bool,
    hostname: DomainName,
    /// The sender that the server takes us for, once it was told.
    client: Option<Client>,
    course: Course,
    /// The final dot of the message under way may have reached the server; for who watches from aside.
    dot_sent: Arc<AtomicBool>,
}

/// How far the running transaction is, for the case that it is given up in the middle.
#[derive(Debug, Default)]
struct Course {
    /// Recipients that the server accepted.
    accepted: Vec<u32>,
    /// The final dot may have reached the server.
    is_dot_sent: bool,
}

/// The connection is over; what the unsettled recipients are told.
struct Lost(DeliveryReply);

impl Lost {
    fn because(why: &str) -> Self {
        Self(silence(why))
    }
}

/// How the content ended.
enum BodyEnd {
    Replied(Reply),
    Lost(Lost),
    /// Not sent to its end, for a reason of ours or one that the server gave in the middle.
    Withheld(Verdict),
    /// The spool failed before the dot.
    NotNoted,
}

/// Why the server was not told who the sender was.
enum Unsaid {
    /// The connection is over.
    Lost(Lost),
    /// It refuses this sender's name.
    Refused(DeliveryReply),
}

impl From<Lost> for Unsaid {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

/// Whoever could stand between may offer REQUIRETLS as well: it counts where the key is proven (RFC 8689 §4.2.1).
const fn usable(mut offered: Capabilities, is_key_proven: bool) -> Capabilities {
    offered.require_tls &= is_key_proven;
    offered
}

impl Connection {
    /// Whether the server sends the notices that a sender asks for (RFC 3461 §4).
    #[must_use]
    pub const fn offers_dsn(&self) -> bool {
        self.offered.dsn
    }

    /// Hands an opened stream to lettre.
    ///
    /// # Errors
    /// Lettre did not take the replies that are shown to it; in words.
    pub async fn begin(
        opened: Opened,
        hostname: &DomainName,
        timeouts: Timeouts,
        is_one_by_one: bool,
    ) -> Result<Self, String> {
        let Opened { stream, offered, tls: _, is_key_proven } = opened;
        stream.begin_presenting();
        let client = ClientId::Domain(hostname.as_str().to_owned());
        let lettre = AsyncSmtpConnection::connect_with_transport(Box::new(stream.clone()), &client)
            .await
            .map_err(|error| error.to_string())?;
        stream.end_presenting();
        Ok(Self {
            lettre,
            stream,
            offered: usable(offered, is_key_proven),
            is_key_proven,
            timeouts,
            needs_rset: false,
            has_taken_mail: false,
            is_one_by_one,
            hostname: hostname.clone(),
            client: None,
            course: Course::default(),
            dot_sent: Arc::default(),
        })
    }

    /// Offers one message, in as many transactions as its recipients need. `may_send` is asked before each MAIL;
    /// `gone` ends, with its reason, once nobody is there to answer. Whether a server that got the final dot has the
    /// message is then unknown: it is deferred, and may be delivered twice (RFC 1047).
    pub async fn deliver(
        &mut self,
        offer: Offer<'_>,
        spool: &dyn SpoolStore,
        ledger: &dyn Ledger,
        may_send: &(dyn Fn() -> bool + Sync),
        gone: impl Future<Output = String> + Send,
    ) -> Attempt {
        let mut attempt = Attempt::default();
        let why = tokio::select! {
            biased;
            () = self.offer(offer, spool, ledger, may_send, &mut attempt) => return attempt,
            why = gone => why,
        };
        let course = std::mem::take(&mut self.course);
        if course.is_dot_sent {
            let reply = silence(&format!("no reply came to the message: {why}"));
            attempt.verdicts.extend(course.accepted.into_iter().map(|one| (one, Verdict::Deferred(reply.clone()))));
        }
        attempt.is_cut = true;
        attempt.ended = Some(why);
        attempt
    }

    async fn offer(
        &mut self,
        offer: Offer<'_>,
        spool: &dyn SpoolStore,
        ledger: &dyn Ledger,
        may_send: &(dyn Fn() -> bool + Sync),
        attempt: &mut Attempt,
    ) {
        let message = offer.message;
        let mut open: Vec<u32> = message.recipients.iter().map(|recipient| recipient.ordinal).collect();
        if message.body == BodyType::EightBitMime && !self.offered.eight_bit_mime {
            tracing::info!(spool_id = %message.id, "the primary does not offer 8BITMIME, content is sent as it is");
        }
        match self.hand_on(message).await {
            Ok(()) => {}
            Err(Unsaid::Lost(Lost(why))) => {
                attempt.ended = Some(why.text);
                return;
            }
            // The server does not hear of this sender: this message waits, so that those behind it do not.
            Err(Unsaid::Refused(reply)) => {
                // An answer to this message, though MAIL was not said.
                attempt.is_mail_answered = true;
                attempt.ended = Some(format!("it does not take the sender's own name: {}", reply.text));
                attempt.verdicts.extend(open.into_iter().map(|one| (one, Verdict::Deferred(reply.clone()))));
                return;
            }
        }
        while !open.is_empty() && attempt.ended.is_none() && may_send() {
            let recipients = next_transaction(message, &open, self.is_one_by_one);
            let mut transaction = Transaction::new(&recipients);
            let was_one_by_one = self.is_one_by_one;
            match script(message, &recipients, self.offered) {
                Ok(script) => self.run(&script, offer, spool, ledger, &mut transaction, attempt).await,
                Err(unsendable) => {
                    transaction.settle(&Verdict::Refused(silence(&unsendable.to_string()), Refusal::Ours));
                }
            }
            let settled = transaction.into_verdicts();
            // With nothing settled only a server that wants them one by one is asked again.
            if settled.is_empty() && self.is_one_by_one == was_one_by_one {
                break;
            }
            open.retain(|ordinal| !settled.iter().any(|(known, _)| known == ordinal));
            attempt.verdicts.extend(settled);
        }
    }

    /// Whether the server refused a message after its dot for one recipient of several.
    #[must_use]
    pub const fn is_one_by_one(&self) -> bool {
        self.is_one_by_one
    }

    /// Says QUIT and waits a little for the reply.
    pub async fn quit(mut self) {
        let limit = self.timeouts.quit;
        // The mail is settled; a server that just closes is well too.
        let _ = timeout(limit, self.lettre.command(Quit)).await;
    }

    async fn run(
        &mut self,
        script: &Script,
        offer: Offer<'_>,
        spool: &dyn SpoolStore,
        ledger: &dyn Ledger,
        transaction: &mut Transaction,
        attempt: &mut Attempt,
    ) {
        if let Err(Lost(why)) = self.reset().await {
            attempt.ended = Some(why.text);
            return;
        }
        // Taken ahead, so that a spool that fails costs no connection.
        let message = offer.message;
        let first = match first_piece(offer, spool).await {
            Ok(first) => first,
            Err(verdict) => return transaction.settle(&verdict),
        };
        // Side by side: the note costs no time of its own. Made for nothing where no dot follows.
        let (is_noted, opened) =
            tokio::join!(ledger.before_dot(message.id), self.envelope(script, transaction, attempt));
        attempt.is_spool_failed |= !is_noted;
        let end = match opened {
            Ok(None) => return,
            Ok(Some(GoAhead)) if !is_noted => BodyEnd::NotNoted,
            Ok(Some(GoAhead)) if !transaction.has_accepted() => self.lone_dot().await,
            Ok(Some(GoAhead)) => {
                self.course.accepted = transaction.accepted();
                self.body(message, &Spooled(spool), first).await
            }
            Err(lost) => BodyEnd::Lost(lost),
        };
        self.course = Course::default();
        match end {
            BodyEnd::Replied(reply) => {
                if transaction.handle_final(&reply) {
                    self.is_one_by_one = true;
                }
                self.needs_rset = false;
            }
            BodyEnd::Lost(Lost(reply)) => {
                attempt.ended = Some(match reply.code {
                    Some(code) => format!("the primary closed the connection with {code} {}", reply.text),
                    None => reply.text.clone(),
                });
                transaction.settle(&Verdict::Deferred(reply));
            }
            BodyEnd::Withheld(verdict) => {
                attempt.is_withheld = matches!(verdict, Verdict::Refused(..));
                attempt.ended = Some("a message could not be sent to its end".to_owned());
                transaction.settle(&verdict);
            }
            BodyEnd::NotNoted => attempt.ended = Some("nothing can be written now".to_owned()),
        }
    }

    async fn reset(&mut self) -> Result<(), Lost> {
        if self.needs_rset {
            self.ask(Rset.to_string(), self.timeouts.command).await?;
            self.needs_rset = false;
        }
        Ok(())
    }

    /// Tells the server who the sender of this message was. One that refuses to hear it is told nothing more.
    async fn hand_on(&mut self, message: &Claimed) -> Result<(), Unsaid> {
        let client = Client { address: message.peer, helo: message.helo.clone() };
        if let Some(command) = client.command("XCLIENT", self.offered.xclient) {
            if self.client.as_ref() == Some(&client) {
                return Ok(());
            }
            self.reset().await?;
            let reply = self.ask(command, self.timeouts.command).await?;
            if reply.class() != 2 {
                tracing::info!(code = reply.code, reply = %reply.text(), "XCLIENT was offered and refused");
                self.offered.xclient = Attributes::default();
                return self.not_as_another();
            }
            // The session is a new one (Postfix, XCLIENT_README): it wants EHLO again, and may offer something else.
            let hello = format!("EHLO {}\r\n", client.hello(self.hostname.as_str()));
            let reply = self.ask(hello, self.timeouts.command).await?;
            if reply.class() != 2 {
                return Err(Unsaid::Refused(words(&reply)));
            }
            self.offered = usable(Capabilities::parse(&reply), self.is_key_proven);
            self.client = Some(client);
            return Ok(());
        }
        self.not_as_another()?;
        if let Some(command) = client.command("XFORWARD", self.offered.xforward) {
            self.reset().await?;
            let reply = self.ask(command, self.timeouts.command).await?;
            if reply.class() != 2 {
                self.offered.xforward = Attributes::default();
            }
        }
        Ok(())
    }

    /// Nothing goes on in a session that the server holds for that of another sender: it would be judged as his.
    fn not_as_another(&self) -> Result<(), Unsaid> {
        match &self.client {
            None => Ok(()),
            Some(_) => Err(Unsaid::Lost(Lost(silence("it takes this session for that of another sender")))),
        }
    }

    /// MAIL, RCPT and DATA. `Some` after a 354.
    async fn envelope(
        &mut self,
        script: &Script,
        transaction: &mut Transaction,
        attempt: &mut Attempt,
    ) -> Result<Option<GoAhead>, Lost> {
        let limits = self.timeouts;
        let is_pipelined = self.offered.pipelining;
        let first = if is_pipelined { script.pipelined() } else { script.mail.clone() };
        let reply = self.ask(first, limits.mail).await?;
        transaction.handle_mail(&reply);
        let is_accepted = reply.class() == 2;
        attempt.is_mail_answered = true;
        attempt.is_mail_accepted |= is_accepted;
        attempt.is_mail_refused |= reply.class() == 5;
        attempt.is_login_wanted |= reply.code == 530;
        self.needs_rset = is_accepted;
        if !is_accepted && !is_pipelined {
            return Ok(None);
        }
        for (place, rcpt) in script.rcpts.iter().enumerate() {
            let reply =
                if is_pipelined { self.hear(limits.rcpt).await? } else { self.ask(rcpt.clone(), limits.rcpt).await? };
            transaction.handle_rcpt(place, &reply);
        }
        if !is_pipelined && !transaction.has_accepted() {
            return Ok(None);
        }
        let reply = if is_pipelined {
            self.hear(limits.data).await?
        } else {
            self.ask(script.data.clone(), limits.data).await?
        };
        match reply.class() {
            3 => Ok(Some(GoAhead)),
            4 | 5 => {
                transaction.handle_data_refused(&reply);
                Ok(None)
            }
            _ => Err(Lost::because("DATA was answered with a reply that makes no sense")),
        }
    }

    /// A 354 although nobody was accepted: the transaction ends without content (RFC 2920 §3.1).
    async fn lone_dot(&mut self) -> BodyEnd {
        match self.ask(".\r\n".to_owned(), self.timeouts.end_of_data).await {
            Ok(reply) => BodyEnd::Replied(reply),
            Err(lost) => BodyEnd::Lost(lost),
        }
    }

    /// Trace, content and final dot; holds two pieces at most.
    async fn body(&mut self, message: &Claimed, pieces: &dyn Pieces, first: Option<Bytes>) -> BodyEnd {
        let mut encoder = ContentEncoder::default();
        let mut out = Vec::new();
        if let Err(fault) = encoder.trace(&message.trace, &mut out) {
            return BodyEnd::Withheld(fault_verdict(message, fault));
        }
        let mut next = first;
        for ordinal in 0..message.chunks {
            let piece = match next.take() {
                Some(piece) => piece,
                None => match pieces.piece(message.id, ordinal).await {
                    Ok(piece) => piece,
                    Err(error) => return BodyEnd::Withheld(spool_verdict(message, &error)),
                },
            };
            if let Err(fault) = encoder.content(&piece, &mut out) {
                return BodyEnd::Withheld(fault_verdict(message, fault));
            }
            drop(piece);
            // The last piece leaves together with its dot: one write for most messages.
            if ordinal + 1 < message.chunks {
                if let Err(end) = self.send(&out).await {
                    return end;
                }
                out.clear();
            }
        }
        if let Err(fault) = encoder.finish(message.sha256, message.octets, &mut out) {
            return BodyEnd::Withheld(fault_verdict(message, fault));
        }
        self.course.is_dot_sent = true;
        self.dot_sent.store(true, Ordering::Release);
        if let Err(end) = self.send(&out).await {
            return end;
        }
        drop(out);
        match self.hear(self.timeouts.end_of_data).await {
            Ok(reply) => {
                self.has_taken_mail |= reply.class() == 2;
                BodyEnd::Replied(reply)
            }
            Err(lost) => BodyEnd::Lost(lost),
        }
    }

    /// Writes past lettre. A server that closes in the middle may have said why.
    async fn send(&mut self, octets: &[u8]) -> Result<(), BodyEnd> {
        let why = match timeout(self.timeouts.block, self.stream.send(octets)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => return Err(BodyEnd::Lost(Lost::because("the primary takes no more content"))),
        };
        match self.hear(self.timeouts.quit).await {
            Ok(reply) if matches!(reply.class(), 4 | 5) => Err(BodyEnd::Withheld(judge(&reply, Stage::Final))),
            Ok(_) | Err(_) => Err(BodyEnd::Lost(Lost::because(&format!("the connection broke during content: {why}")))),
        }
    }

    async fn ask(&mut self, command: String, limit: Duration) -> Result<Reply, Lost> {
        heard(timeout(limit, self.lettre.command(command)).await)
    }

    async fn hear(&mut self, limit: Duration) -> Result<Reply, Lost> {
        heard(timeout(limit, self.lettre.read_response()).await)
    }
}

async fn first_piece(offer: Offer<'_>, spool: &dyn SpoolStore) -> Result<Option<Bytes>, Verdict> {
    let Offer { message, head } = offer;
    if message.chunks == 0 {
        return Ok(None);
    }
    if head.is_some() {
        return Ok(head.cloned());
    }
    spool.body_chunk(message.id, 0).await.map(Some).map_err(|error| spool_verdict(message, &error))
}

/// 354 came.
struct GoAhead;

type Heard = Result<Result<Response, lettre::transport::smtp::Error>, tokio::time::error::Elapsed>;

/// A reply, also one that lettre counts as an error; a 421 ends the connection whatever it answers.
fn heard(result: Heard) -> Result<Reply, Lost> {
    let reply = match result {
        Err(_) => return Err(Lost::because("the primary did not answer in time")),
        Ok(Ok(response)) => {
            Reply { code: response.code().into(), lines: response.message().map(str::to_owned).collect() }
        }
        Ok(Err(error)) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            match error.status() {
                Some(code) => Reply { code: code.into(), lines: vec![source.unwrap_or_default()] },
                None => {
                    let why = source.unwrap_or_else(|| error.to_string());
                    return Err(Lost::because(&format!("the connection to the primary broke: {why}")));
                }
            }
        }
    };
    if is_goodbye(&reply) { Err(Lost(words(&reply))) } else { Ok(reply) }
}

fn fault_verdict(message: &Claimed, fault: ContentFault) -> Verdict {
    tracing::error!(spool_id = %message.id, reason = %fault, "a stored message was not sent and is kept");
    Verdict::Refused(silence(&fault.to_string()), Refusal::Ours)
}

fn spool_verdict(message: &Claimed, error: &SpoolError) -> Verdict {
    match error {
        SpoolError::ChunkMissing(_) => fault_verdict(message, ContentFault::Damaged),
        SpoolError::Engine(_) | SpoolError::NoRoom => {
            tracing::error!(spool_id = %message.id, reason = %error, "content could not be read, tried again later");
            Verdict::Deferred(silence("our own spool could not be read"))
        }
    }
}
