//! MAIL: a transaction begins (RFC 5321 §4.1.1.2).

use crate::base::Moment;
use crate::smtp::command::MailCommand;
use crate::smtp::rates::Deed;
use crate::smtp::reply;
use crate::smtp::session::{Envelope, Security, Session, State, World};
use crate::smtp::through::Way;

impl Session {
    pub(in crate::smtp) fn mail(&mut self, mail: MailCommand, world: &dyn World, now: Moment) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Greeted(greeting) => {
                // Both are offered under TLS only, hence unknown without it (RFC 8689 §3, RFC 4954 §5).
                let is_unknown = mail.requires_tls && !matches!(self.security, Security::Tls { .. });
                if is_unknown || (mail.has_auth && !self.offers_auth(world)) {
                    self.state = State::Greeted(greeting);
                    return self.refuse(&reply::UNKNOWN_PARAMETER);
                }
                if mail.declared_octets.is_some_and(|octets| octets > self.octets_max(world)) {
                    self.state = State::Greeted(greeting);
                    return self.refuse(&reply::TOO_BIG);
                }
                if world.room() <= mail.declared_octets.unwrap_or(0) {
                    self.state = State::Greeted(greeting);
                    return self.refuse(&reply::DISK_FULL);
                }
                if world.is_too_busy(self.has_limits.then_some(self.peer)) {
                    self.state = State::Greeted(greeting);
                    return self.refuse(&reply::TOO_BUSY);
                }
                // Of a forwarder it is asked once the recipient tells whose mail it is.
                let is_forwarder = world.directory().is_forwarder(self.peer);
                if self.has_limits && !is_forwarder && !world.would_admit(self.peer, Deed::Message, now) {
                    self.state = State::Greeted(greeting);
                    return self.refuse(&reply::BRINGS_TOO_MUCH);
                }
                let envelope = Envelope {
                    reverse_path: mail.reverse_path,
                    declared_octets: mail.declared_octets,
                    body: mail.body,
                    smtputf8: mail.smtputf8,
                    requires_tls: mail.requires_tls,
                    dsn: mail.dsn,
                    recipients: Vec::new(),
                };
                self.state = State::Transaction(greeting, envelope);
                (self.way, self.asked) = (Way::Undecided, None);
                self.say(&reply::SENDER_OK);
            }
            state @ State::Fresh => {
                self.state = state;
                self.refuse(&reply::EHLO_FIRST);
            }
            state @ (State::Transaction(..)
            | State::Content(..)
            | State::Chunks(..)
            | State::Swallow(_)
            | State::Committing(..)
            | State::Handshake
            | State::Closed) => {
                self.state = state;
                self.refuse(&reply::NESTED_MAIL);
            }
        }
    }
}
