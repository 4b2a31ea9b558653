//! The way through to the customer's own server while a sender waits (cut-through): what a session asks for, and what it
//! is told. Who answers is delivery; without an answerer all mail is stored.
//!
//! ```text
//! RCPT, ours -> Action::AskPrimary -> Passage::recipient -> Session::handle_asked     its 2yz or 5yz, or ours
//! final dot  -> Action::HandOver   -> Passage::hand_over -> Session::handle_passed    its final reply
//!                                                        '-> Action::Commit           stored, 250 of ours
//! ```
//!
//! A message is never without an owner: a reply of the primary is passed on only when it was read, and whatever else
//! happens ends in the ordinary commit.

use std::net::IpAddr;

use async_trait::async_trait;

use super::reply::{self, Reply};
use super::session::{Session, State, World};
use crate::base::{AccountId, DomainName, Moment, ReversePath};
use crate::spool::{BodyType, DotNote, MessageDsn, NewMessage, NewRecipient};

/// Lines of a primary's reply that are passed on.
const PASSED_LINES_MAX: usize = 8;

/// Characters of each (RFC 5321 §4.5.3.1.5 allows 512 octets with code and line end).
const PASSED_LINE_CHARS_MAX: usize = 490;

/// Everything of an open transaction that a primary is told beside its recipients.
#[derive(Clone, Debug)]
pub struct Introduction {
    /// Who talks to us.
    pub peer: IpAddr,
    /// What he calls himself.
    pub helo: String,
    /// Envelope sender.
    pub reverse_path: ReversePath,
    /// `SIZE=`, if it was said.
    pub declared_octets: Option<u64>,
    /// `BODY=`.
    pub body: BodyType,
    /// `SMTPUTF8`.
    pub smtputf8: bool,
    /// `REQUIRETLS`.
    pub requires_tls: bool,
    /// `RET` and `ENVID`.
    pub dsn: MessageDsn,
}

/// One recipient that is ours, and whom its own server may judge.
#[derive(Clone, Debug)]
pub struct Question {
    /// Sent along with the first recipient of a transaction.
    pub introduction: Introduction,
    /// Who.
    pub recipient: NewRecipient,
}

/// What a sender is told of a recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Taken: by the primary, in its words, or by us, to be stored.
    Taken(Reply),
    /// Not taken by the primary, in its words; it is no recipient of this message.
    Refused(Reply),
}

/// What became of a whole message.
#[derive(Debug)]
pub enum Handed {
    /// The primary has it, or refused it: its words are passed on and nothing is stored.
    Passed(Reply),
    /// To be stored, and 250 of ours follows. With a note: its final dot was sent and the reply is still awaited, so the
    /// stored copy is in the hands of whoever waits.
    Store(Box<NewMessage>, Option<DotNote>),
}

/// Whoever can reach primaries.
pub trait Primaries: Send + Sync {
    /// Whether a recipient in this domain may be asked of its own server now. From memory, at once.
    fn may_ask(&self, account: AccountId, domain: &DomainName) -> bool;
    /// A passage for one transaction. Dropped, it gives its connection back.
    fn begin(&self, introduction: Introduction) -> Box<dyn Passage>;
}

/// One transaction on its way through.
#[async_trait]
pub trait Passage: Send + Sync {
    /// Asks for one recipient.
    async fn recipient(&mut self, recipient: NewRecipient) -> Answer;
    /// Hands over the whole message. Its recipients are those that were taken.
    async fn hand_over(&mut self, message: Box<NewMessage>) -> Handed;
    /// What became of a message that was to be stored.
    fn stored(&mut self, is_stored: bool);
}

/// Whether the recipients of the open transaction are asked of their own server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Way {
    /// No recipient yet.
    #[default]
    Undecided,
    /// Those of this account are; no other one is in the transaction.
    Through(AccountId),
    /// All is stored.
    Stored,
}

impl Session {
    /// Whether a passage is of use: the transaction it was begun for is open, or was just handed over.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self.way, Way::Through(_)) && self.is_in_transaction()
    }

    /// True if this recipient is asked of its own server: the reply follows with its answer.
    pub(super) fn asks(&mut self, recipient: &NewRecipient, world: &dyn World) -> bool {
        let may_ask = || recipient.mailbox.domain().is_some_and(|domain| world.may_ask(recipient.account, domain));
        self.way = match self.way {
            Way::Undecided if may_ask() => Way::Through(recipient.account),
            Way::Through(account) if account == recipient.account => self.way,
            Way::Undecided | Way::Through(_) | Way::Stored => Way::Stored,
        };
        self.way != Way::Stored
    }

    /// What the primary is asked next.
    pub(super) fn poll_question(&mut self) -> Option<Question> {
        let recipient = self.asked.clone()?;
        let State::Transaction(greeting, envelope) = &self.state else { return None };
        let introduction = Introduction {
            peer: self.peer,
            helo: greeting.name.clone(),
            reverse_path: envelope.reverse_path.clone(),
            declared_octets: envelope.declared_octets,
            body: envelope.body,
            smtputf8: envelope.smtputf8,
            requires_tls: envelope.requires_tls,
            dsn: envelope.dsn.clone(),
        };
        Some(Question { introduction, recipient })
    }

    /// What came of [`Action::AskPrimary`](super::session::Action::AskPrimary).
    pub fn handle_asked(&mut self, answer: Answer, world: &dyn World, now: Moment) {
        let Some(recipient) = self.asked.take() else { return };
        self.pace.handle_command(now);
        match answer {
            Answer::Taken(words) => {
                if let State::Transaction(_, envelope) = &mut self.state {
                    envelope.recipients.push(recipient);
                }
                self.say(&words);
            }
            Answer::Refused(words) => {
                tracing::info!(peer = %self.peer, code = words.code, "recipient refused by its own server");
                let is_forwarded = world.directory().is_forwarder_of(self.peer, recipient.account);
                self.refuse_recipient(words, is_forwarded, world, now);
            }
        }
    }

    /// The primary's final reply to a message that was handed over.
    pub fn handle_passed(&mut self, words: &Reply, now: Moment) {
        let State::Committing(greeting, receipt) = std::mem::replace(&mut self.state, State::Closed) else { return };
        self.state = State::Greeted(greeting);
        if words.is_error() {
            self.pace.handle_command(now);
            self.abandoned = receipt.has_pieces_ahead.then_some(receipt.id);
            self.counters.passed_refused();
            return self.refuse(words);
        }
        // Its pieces go with the record of it.
        self.pace.handle_progress(now);
        self.counters.passed();
        self.idle_commands = 0;
        self.say(words);
    }
}

/// A primary's words as ours: cut to length, each line with an enhanced code (RFC 2034 §4). `lines` are printable ASCII
/// already, which is what reads replies promises; anything else is dropped here all the same.
#[must_use]
pub fn passed_on(code: u16, enhanced: Option<&str>, lines: &[String]) -> Reply {
    let enhanced = enhanced.map_or_else(|| format!("{}.0.0", code / 100), str::to_owned);
    let words = |line: &String| {
        let line: String = line.chars().filter(|c| matches!(c, ' '..='~')).take(PASSED_LINE_CHARS_MAX).collect();
        match line.strip_prefix(&enhanced) {
            Some(rest) if rest.is_empty() || rest.starts_with(' ') => line,
            Some(_) | None => format!("{enhanced} {line}"),
        }
    };
    let mut text: Vec<String> = lines.iter().take(PASSED_LINES_MAX).map(words).collect();
    if text.is_empty() {
        text.push(enhanced.clone());
    }
    reply::passed(code, text.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BytesMut;

    fn wire(code: u16, enhanced: Option<&str>, lines: &[&str]) -> String {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        let mut output = BytesMut::new();
        passed_on(code, enhanced, &lines).write_to(&mut output);
        String::from_utf8(output.to_vec()).unwrap()
    }

    #[test]
    fn a_primarys_words_carry_an_enhanced_code_on_each_line() {
        assert_eq!(wire(550, Some("5.1.1"), &["5.1.1 nobody", "here"]), "550-5.1.1 nobody\r\n550 5.1.1 here\r\n");
        assert_eq!(wire(250, None, &["OK"]), "250 2.0.0 OK\r\n");
        assert_eq!(wire(554, None, &[]), "554 5.0.0\r\n");
    }

    #[test]
    fn nothing_in_them_ends_a_line_early_or_makes_one_long() {
        let long = "x".repeat(2_000);
        let said = wire(550, None, &["a\r\n250 ok", long.as_str(), "3", "4", "5", "6", "7", "8", "9"]);
        assert!(said.lines().all(|line| line.starts_with("550") && line.len() <= 510), "{said}");
        assert_eq!(said.lines().count(), 8);
    }
}
