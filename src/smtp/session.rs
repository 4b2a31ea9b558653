//! One SMTP session: what we say to a peer, and when a message is ours. Reads no clock and owns no socket.
//!
//! ```text
//! Fresh --EHLO--> Greeted --MAIL--> Transaction --DATA--> Content --dot---> Committing --committed--> Greeted
//!                                       |                  |  ^  |
//!                                       '-----BDAT---------'  |  '-chunk-> Chunks --BDAT--> Content
//! ```
//!
//! The chunk of a refused BDAT is read over in `Swallow`: it must never be taken for commands.
//!
//! Call [`advance`](Session::advance) with what was read and do what it says until it says [`Action::Read`]. The
//! replies in [`output`](Session::output) leave with [`Action::Read`], [`Action::Flush`], [`Action::StartTls`] and
//! [`Action::Close`], so that the replies to pipelined commands leave together (RFC 2920 §3.2).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use super::admission;
use super::brake::Brake;
use super::command::{self, Command};
use super::content::ContentReader;
use super::counters::Counters;
use super::gate::Stress;
use super::login::Login;
use super::pace::Pace;
use super::reply::{self, Reply, Whereabouts};
use super::settings::{COMMAND_OCTETS_MAX, ERRORS_MAX, IDLE_COMMANDS_MAX, OUTPUT_OCTETS_MAX, Settings};
use super::through::{Question, Way};
pub(super) use super::whereabouts::whereabouts;
pub use super::world::{FlushAnswer, World};
use crate::account::ServedDomain;
use crate::base::{DomainName, LocalPart, Moment, ReversePath, SpoolId};
use crate::spool::{BodyType, MessageDsn, NewMessage, NewRecipient};

/// What has to be done next.
#[derive(Debug)]
pub enum Action {
    /// Send the output, then read more.
    Read,
    /// Send the output, then go on.
    Flush,
    /// Send the output, then go on at this moment: the peer looks for addresses.
    Pause(Moment),
    /// Store a piece ahead, then [`Session::handle_piece`].
    StorePiece {
        /// Of which message.
        id: SpoolId,
        /// Counted from 0.
        ordinal: u32,
        /// The piece.
        bytes: Bytes,
    },
    /// Ask the recipient's own server, then [`Session::handle_asked`].
    AskPrimary(Box<Question>),
    /// Hand over to the primary, then [`Session::handle_passed`]; or commit, then [`Session::handle_committed`].
    HandOver(Box<NewMessage>),
    /// Commit, then [`Session::handle_committed`].
    Commit(Box<NewMessage>),
    /// Take stored pieces back, then go on.
    Abandon(SpoolId),
    /// Send the output, make the TLS handshake over a connection of which nothing else was read, then
    /// [`Session::handle_tls`].
    StartTls,
    /// Send the output and end.
    Close,
}

/// What came of a piece stored ahead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PieceOutcome {
    /// It waits for its message.
    Stored,
    /// The disk is down to its reserve.
    NoRoom,
    /// The spool failed.
    NotStored,
}

/// What came of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Committed {
    /// On disk.
    Stored,
    /// Certainly not: stored pieces are taken back.
    NotStored,
    /// Nobody knows: stored pieces stay, the next start of the service sorts it out.
    Unknown,
}

/// Whether the session is readable on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Security {
    /// It is.
    Plain {
        /// There is a certificate.
        offers_tls: bool,
    },
    /// It is not.
    Tls {
        /// Version and cipher.
        facts: String,
    },
}

/// What the peer calls itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Greeting {
    pub(super) name: String,
    /// Said EHLO.
    pub(super) is_extended: bool,
}

/// An open transaction (RFC 5321 §3.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Envelope {
    pub(super) reverse_path: ReversePath,
    pub(super) declared_octets: Option<u64>,
    pub(super) body: BodyType,
    pub(super) smtputf8: bool,
    pub(super) requires_tls: bool,
    pub(super) dsn: MessageDsn,
    pub(super) recipients: Vec<NewRecipient>,
}

#[derive(Debug)]
pub(super) struct Content {
    pub(super) id: SpoolId,
    pub(super) reader: ContentReader,
    /// Pieces given to the spool.
    pub(super) pieces: u32,
    /// The spool refused a piece: read to the end, then say this.
    pub(super) lost: Option<Reply>,
    /// The content is complete with the octets that are being read: always after DATA.
    pub(super) is_last: bool,
    /// Time that the chunks before have taken.
    pub(super) spent: Duration,
}

/// The chunk of a BDAT that was refused.
#[derive(Debug)]
pub(super) struct RefusedChunk {
    /// None before EHLO.
    pub(super) greeting: Option<Greeting>,
    /// Octets that are still to come.
    pub(super) left: u64,
    /// Octets that came.
    pub(super) taken: u64,
    /// Said once they are all read.
    pub(super) reply: Reply,
}

/// What the reply to a commit has to say.
#[derive(Debug)]
pub(super) struct Receipt {
    pub(super) id: SpoolId,
    pub(super) domain: DomainName,
    pub(super) further_domains: usize,
    /// For the operator alone.
    pub(super) is_for_us: bool,
    pub(super) has_pieces_ahead: bool,
}

#[derive(Debug)]
pub(super) enum State {
    Fresh,
    Greeted(Greeting),
    Transaction(Greeting, Envelope),
    Content(Greeting, Envelope, Box<Content>),
    /// Between two chunks.
    Chunks(Greeting, Envelope, Box<Content>),
    Swallow(Box<RefusedChunk>),
    Committing(Greeting, Receipt),
    Handshake,
    Closed,
}

/// First octet of a TLS handshake (RFC 8446 §5.1).
const TLS_RECORD: u8 = 0x16;

/// How much of the next line is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    Ordinary,
    /// Longer than the limit: the rest is skipped up to its end.
    Overlong,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Session {
    pub(super) settings: Arc<Settings>,
    pub(super) peer: IpAddr,
    pub(super) counters: Arc<Counters>,
    pub(super) security: Security,
    pub(super) state: State,
    pub(super) abandoned: Option<SpoolId>,
    pub(super) pace: Pace,
    output: BytesMut,
    line: Line,
    errors: u32,
    pub(super) brake: Brake,
    /// A refusal that is said after the pause; 421 ends the session.
    pub(super) held: Option<Reply>,
    /// Limits by network apply to the peer.
    pub(super) has_limits: bool,
    /// A list of bad senders has the peer, and such senders are to be deferred.
    pub(super) is_listed: bool,
    pub(super) idle_commands: u32,
    is_stopping: bool,
    /// Whether the open transaction goes through to the primary.
    pub(super) way: Way,
    /// A recipient whose own server is being asked.
    pub(super) asked: Option<NewRecipient>,
    /// Who the peer is, and how often it was wrong about that.
    pub(super) login: Login,
}

impl Session {
    /// A session that has just begun; the greeting is in the output.
    #[must_use]
    pub fn new(settings: Arc<Settings>, counters: Arc<Counters>, peer: IpAddr, offers_tls: bool, now: Moment) -> Self {
        counters.session();
        let peer = peer.to_canonical();
        let (is_exempt, has_limits) = (settings.is_exempt(peer), !settings.is_without_limits(peer));
        let mut session = Self {
            pace: Pace::new(settings.patience, now),
            settings,
            peer,
            counters,
            security: Security::Plain { offers_tls },
            state: State::Fresh,
            abandoned: None,
            output: BytesMut::with_capacity(512),
            line: Line::Ordinary,
            errors: 0,
            brake: Brake::new(is_exempt),
            held: None,
            has_limits,
            is_listed: false,
            idle_commands: 0,
            is_stopping: false,
            way: Way::Undecided,
            asked: None,
            login: Login::default(),
        };
        session.say(&reply::greeting(&session.settings.hostname));
        session
    }

    /// Replies that wait to be sent; the driver empties it.
    pub const fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; earlier when most places are taken.
    #[must_use]
    pub fn poll_timeout(&self, stress: Stress) -> Moment {
        self.pace.deadline(stress)
    }

    /// A list of bad senders has the peer. Heard at any time; holds for recipients from then on.
    pub const fn handle_listed(&mut self) {
        self.is_listed = true;
    }

    /// Whether the peer would lose something if the session ended now.
    #[must_use]
    pub const fn is_in_transaction(&self) -> bool {
        match self.state {
            State::Fresh | State::Greeted(_) | State::Handshake | State::Closed => false,
            State::Transaction(..)
            | State::Content(..)
            | State::Chunks(..)
            | State::Swallow(_)
            | State::Committing(..) => true,
        }
    }

    /// A newcomer needs the place. A transaction that has begun meanwhile goes on.
    pub fn handle_place_needed(&mut self) {
        if !self.is_in_transaction() {
            self.close(&reply::PLACE_NEEDED);
        }
    }

    /// The deadline has passed: 421 and the end.
    pub fn handle_timeout(&mut self) {
        self.close(&reply::TIMED_OUT);
    }

    /// The service stops: a running transaction goes on, then 421.
    pub const fn handle_shutdown(&mut self) {
        self.is_stopping = true;
    }

    /// The time for running transactions is over as well.
    pub fn handle_shutdown_deadline(&mut self) {
        self.close(&reply::SHUTTING_DOWN);
    }

    /// The peer is gone. The message whose stored pieces have to be taken back, if there is one.
    pub fn handle_disconnect(&mut self) -> Option<SpoolId> {
        self.forget_content();
        self.state = State::Closed;
        self.abandoned.take()
    }

    /// The handshake succeeded; everything said before it is forgotten (RFC 3207 §4.2).
    pub fn handle_tls(&mut self, facts: String, now: Moment) {
        self.security = Security::Tls { facts };
        self.state = State::Fresh;
        self.pace.handle_command(now);
    }

    /// What came of [`Action::StorePiece`].
    pub fn handle_piece(&mut self, outcome: PieceOutcome) {
        if let State::Content(_, _, content) = &mut self.state
            && content.lost.is_none()
        {
            content.lost = match outcome {
                PieceOutcome::Stored => None,
                PieceOutcome::NoRoom => Some(reply::DISK_FULL),
                PieceOutcome::NotStored => Some(reply::NOT_STORED),
            };
        }
    }

    /// What came of [`Action::Commit`]. Only here is 250 said to a message.
    pub fn handle_committed(&mut self, outcome: Committed, world: &dyn World, now: Moment) {
        let State::Committing(greeting, receipt) = std::mem::replace(&mut self.state, State::Closed) else { return };
        self.state = State::Greeted(greeting);
        match outcome {
            Committed::Stored => {
                self.pace.handle_progress(now);
                self.counters.stored();
                self.idle_commands = 0;
                self.errors = 0;
                let primary = if receipt.is_for_us { Whereabouts::Here } else { whereabouts(&receipt.domain, world) };
                self.say(&reply::stored(receipt.id, &receipt.domain, receipt.further_domains, primary));
            }
            Committed::NotStored | Committed::Unknown => {
                self.pace.handle_command(now);
                if receipt.has_pieces_ahead && outcome == Committed::NotStored {
                    self.abandoned = Some(receipt.id);
                }
                self.say(&reply::NOT_STORED);
            }
        }
    }

    /// Goes on with what was read. `input` keeps what is not used yet.
    pub fn advance(&mut self, input: &mut BytesMut, world: &dyn World, now: Moment) -> Action {
        loop {
            if let Some(id) = self.abandoned.take() {
                return Action::Abandon(id);
            }
            if !matches!(self.state, State::Closed)
                && let Some(until) = self.brake.poll_pause(now)
            {
                return Action::Pause(until);
            }
            if let Some(refusal) = self.held.take() {
                if refusal.code == 421 { self.close(&refusal) } else { self.refuse(&refusal) }
            }
            if self.output.len() > OUTPUT_OCTETS_MAX {
                return Action::Flush;
            }
            if let Some(question) = self.poll_question() {
                return Action::AskPrimary(Box::new(question));
            }
            match &self.state {
                State::Closed => return Action::Close,
                State::Handshake => return Action::StartTls,
                // The driver has not reported yet.
                State::Committing(..) => return Action::Flush,
                State::Content(..) => {
                    if let Some(action) = self.advance_content(input, world, now) {
                        return action;
                    }
                }
                State::Swallow(_) => {
                    if !self.swallow(input, now) {
                        return Action::Read;
                    }
                }
                State::Fresh | State::Greeted(_) if self.is_stopping => self.close(&reply::SHUTTING_DOWN),
                State::Fresh | State::Greeted(_) | State::Transaction(..) | State::Chunks(..) => {
                    if !self.take_line(input, world, now) {
                        return Action::Read;
                    }
                }
            }
        }
    }

    /// Takes one line off `input` and answers it. False when none is complete.
    fn take_line(&mut self, input: &mut BytesMut, world: &dyn World, now: Moment) -> bool {
        if matches!(self.state, State::Fresh) && self.line == Line::Ordinary && input.first() == Some(&TLS_RECORD) {
            // A handshake has LFs in it anywhere, or none: the peer would wait for us as long as we for it.
            self.close(&reply::NOT_TLS_YET);
            return true;
        }
        let Some(end) = memchr::memchr(b'\n', input) else {
            if input.len() > COMMAND_OCTETS_MAX {
                // A CR at its end may belong to the LF that comes next.
                let has_cr = input.ends_with(b"\r");
                self.line = Line::Overlong;
                input.clear();
                input.extend_from_slice(if has_cr { b"\r" } else { b"" });
            }
            return false;
        };
        let line = input.split_to(end);
        input.advance(1);
        self.pace.handle_command(now);
        let is_overlong = std::mem::replace(&mut self.line, Line::Ordinary) == Line::Overlong;
        let Some(line) = line.strip_suffix(b"\r") else {
            self.close(&reply::BARE_LF_COMMAND);
            return true;
        };
        if is_overlong || line.len() + 2 > COMMAND_OCTETS_MAX {
            self.login.cancel();
            self.refuse(&reply::LINE_TOO_LONG);
            return true;
        }
        if self.login.is_asked() {
            self.auth_line(line, world, now);
            return true;
        }
        match command::parse(line) {
            Ok(command) => self.obey(command, input, world, now),
            Err(reply) => self.refuse(&reply),
        }
        true
    }

    fn obey(&mut self, command: Command, input: &BytesMut, world: &dyn World, now: Moment) {
        let is_empty_chunk = matches!(&command, Command::Bdat(chunk) if chunk.octets == 0 && !chunk.is_last);
        let brings_mail =
            !is_empty_chunk && matches!(command, Command::Rcpt(_) | Command::Data | Command::Bdat(_) | Command::Quit);
        if !brings_mail && !self.count_idle_command() {
            return;
        }
        match command {
            Command::Ehlo(name) => self.ehlo(name, world),
            Command::Helo(name) => self.helo(name),
            Command::Mail(mail) => self.mail(mail, world, now),
            Command::Rcpt(rcpt) => self.rcpt(rcpt, world, now),
            Command::Data => self.data(world, now),
            Command::Bdat(chunk) => self.bdat(chunk, world, now),
            Command::EndlessBdat => self.close(&reply::ENDLESS_CHUNK),
            Command::Rset => self.rset(),
            Command::Noop => self.say(&reply::OK),
            Command::Vrfy => self.say(&reply::VERIFY),
            Command::Help => self.say(&reply::HELP),
            Command::Etrn(node) => self.etrn(&node, world),
            Command::Auth(auth) => self.auth(auth, world, now),
            Command::StartTls => self.starttls(input),
            Command::Quit => self.close(&reply::BYE),
            Command::Http => self.close(&reply::NOT_HTTP),
        }
    }

    /// Who greeted, between two transactions; else what is said to a command that has its place there.
    pub(super) fn between_transactions(&self) -> Result<&Greeting, Reply> {
        match &self.state {
            State::Greeted(greeting) => Ok(greeting),
            State::Fresh => Err(reply::EHLO_FIRST),
            State::Transaction(..)
            | State::Content(..)
            | State::Chunks(..)
            | State::Swallow(_)
            | State::Committing(..)
            | State::Handshake
            | State::Closed => Err(reply::NESTED_MAIL),
        }
    }

    /// False when the session ends for it.
    fn count_idle_command(&mut self) -> bool {
        self.idle_commands = self.idle_commands.saturating_add(1);
        if self.idle_commands > IDLE_COMMANDS_MAX {
            self.close(&reply::TOO_MANY_COMMANDS);
            return false;
        }
        true
    }

    /// Adds a reply to the output.
    pub(super) fn say(&mut self, reply: &Reply) {
        self.counters.said(reply);
        reply.write_to(&mut self.output);
    }

    /// Says no, and ends the session with the last of too many rejections. Deferrals are our matter and do not count.
    pub(super) fn refuse(&mut self, reply: &Reply) {
        self.say(reply);
        if reply.code >= 500 {
            self.errors = self.errors.saturating_add(1);
            if self.errors >= ERRORS_MAX {
                self.close(&reply::TOO_MANY_ERRORS);
            }
        }
    }

    /// Says the last reply.
    pub(super) fn close(&mut self, reply: &Reply) {
        self.say(reply);
        self.forget_content();
        self.state = State::Closed;
    }

    /// Has the pieces of an unfinished content taken back.
    pub(super) fn forget_content(&mut self) {
        if let State::Content(_, _, content) | State::Chunks(_, _, content) = &self.state
            && content.pieces > 0
        {
            self.abandoned = Some(content.id);
        }
    }

    /// Limits and memory for [`admission`].
    pub(super) fn with_surroundings<T>(
        &self,
        world: &dyn World,
        judge: impl FnOnce(&admission::Surroundings<'_>) -> T,
    ) -> T {
        let directory = world.directory();
        let usage = |account| world.usage(account);
        let recipient = |served: &ServedDomain<'_>, local_part: &LocalPart| {
            let is_there = matches!(whereabouts(served.name, world), Whereabouts::There);
            world.judge_recipient(served, local_part, is_there)
        };
        judge(&admission::Surroundings {
            directory: &directory,
            usage: &usage,
            recipient: &recipient,
            settings: &self.settings,
            fair_share: world.fair_share(),
            now: world.wall(),
        })
    }
}

#[cfg(test)]
mod tests;
