//! DATA: the content comes, and what follows its end, be it a final dot (RFC 5321 §4.1.1.4) or the last chunk.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::account::OPERATOR;
use crate::base::Moment;
use crate::smtp::admission;
use crate::smtp::content::{ContentReader, Fault, Fed, Received};
use crate::smtp::rates::Deed;
use crate::smtp::reply::{self, Reply};
use crate::smtp::session::{Action, Content, Envelope, Greeting, Receipt, Security, Session, State, World};
use crate::smtp::trace::{self, Trace};
use crate::spool::{NewMessage, NewRecipient};

impl Session {
    /// Without a recipient the content must not come: 554 and not 354 (RFC 2920 §3.1 has such pipelines).
    pub(in crate::smtp) fn data(&mut self, world: &dyn World, now: Moment) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Transaction(greeting, envelope) if envelope.recipients.is_empty() => {
                self.state = State::Transaction(greeting, envelope);
                self.refuse(&reply::NO_RECIPIENTS);
            }
            State::Transaction(greeting, envelope) => {
                let content = self.begin_content(&envelope, world, now);
                self.state = State::Content(greeting, envelope, content);
                self.pace.handle_content(0, now);
                self.say(&reply::START_CONTENT);
            }
            state @ State::Fresh => {
                self.state = state;
                self.refuse(&reply::EHLO_FIRST);
            }
            state @ State::Chunks(..) => {
                self.state = state;
                self.refuse(&reply::CHUNKS_OPEN);
            }
            state @ (State::Greeted(_)
            | State::Content(..)
            | State::Swallow(_)
            | State::Committing(..)
            | State::Handshake
            | State::Closed) => {
                self.state = state;
                self.refuse(&reply::MAIL_FIRST);
            }
        }
    }

    pub(super) fn begin_content(&self, envelope: &Envelope, world: &dyn World, now: Moment) -> Box<Content> {
        let directory = world.directory();
        let is_forwarded = |recipient: &NewRecipient| directory.is_forwarder_of(self.peer, recipient.account);
        if self.has_limits && !envelope.recipients.iter().all(is_forwarded) {
            // Whether there is room was asked at MAIL; what is open already is let in.
            let _ = world.admits(self.peer, Deed::Message, now);
        }
        Box::new(Content {
            id: world.next_id(),
            reader: ContentReader::new(self.settings.message_octets_max.0, envelope.declared_octets),
            pieces: 0,
            lost: None,
            is_last: true,
            spent: Duration::ZERO,
        })
    }

    /// Reads content on. None when the machine has gone on to another state.
    pub(in crate::smtp) fn advance_content(
        &mut self,
        input: &mut BytesMut,
        world: &dyn World,
        now: Moment,
    ) -> Option<Action> {
        let State::Content(_, _, content) = &mut self.state else { return None };
        match content.reader.feed(input) {
            Fed::NeedMore => {
                self.pace.handle_content(content.reader.octets(), now);
                Some(Action::Read)
            }
            Fed::Piece(_) if content.lost.is_some() => None,
            Fed::Piece(bytes) => {
                let ordinal = content.pieces;
                content.pieces += 1;
                let id = content.id;
                self.pace.handle_content(content.reader.octets(), now);
                Some(Action::StorePiece { id, ordinal, bytes })
            }
            Fed::End if !content.is_last => {
                self.chunk_ended(now);
                None
            }
            Fed::End => self.content_ended(world, now),
        }
    }

    fn content_ended(&mut self, world: &dyn World, now: Moment) -> Option<Action> {
        let State::Content(greeting, envelope, content) = std::mem::replace(&mut self.state, State::Closed) else {
            return None;
        };
        let Content { id, reader, pieces, lost, .. } = *content;
        let received = reader.finish();
        self.pace.handle_command(now);
        if let Some(refusal) = self.judge_content(&envelope, &received, lost, world) {
            tracing::info!(peer = %self.peer, code = refusal.code, enhanced = refusal.enhanced, octets = received.octets, "content refused");
            self.abandoned = (pieces > 0).then_some(id);
            self.state = State::Greeted(greeting);
            self.refuse(&refusal);
            return None;
        }
        let receipt = receipt(&envelope, &received, id)?;
        let message = self.message(&greeting, envelope, received, id, world);
        self.state = State::Committing(greeting, receipt);
        let message = Box::new(message);
        Some(if self.is_passing() { Action::HandOver(message) } else { Action::Commit(message) })
    }

    fn judge_content(
        &self,
        envelope: &Envelope,
        received: &Received,
        lost: Option<Reply>,
        world: &dyn World,
    ) -> Option<Reply> {
        match received.fault {
            Some(Fault::TooBig) => return Some(reply::TOO_BIG),
            Some(Fault::BareLineEnd) => return Some(reply::BARE_LINE_END),
            Some(Fault::Loop) => return Some(reply::LOOP),
            None if lost.is_some() => return lost,
            None => {}
        }
        let directory = world.directory();
        let never = |recipient: &crate::spool::NewRecipient| {
            admission::never_taken(recipient, received.octets, envelope.smtputf8, &directory)
        };
        // Where only some could not, the others have theirs.
        if let Some(Some(refusal)) = envelope.recipients.first().map(never)
            && envelope.recipients.iter().all(|recipient| never(recipient).is_some())
        {
            return Some(refusal);
        }
        // The pieces before it are on the disk already.
        let tail: usize = received.tail.iter().map(Bytes::len).sum();
        if world.room() < u64::try_from(tail).unwrap_or(u64::MAX) {
            return Some(reply::DISK_FULL);
        }
        let has_room = self.with_surroundings(world, |around| {
            let fits = |recipient: &crate::spool::NewRecipient| {
                admission::has_room(recipient.account, received.octets, around)
            };
            envelope.recipients.iter().all(fits)
        });
        (!has_room).then_some(reply::ACCOUNT_FULL)
    }

    fn message(
        &self,
        greeting: &Greeting,
        envelope: Envelope,
        received: Received,
        id: crate::base::SpoolId,
        world: &dyn World,
    ) -> NewMessage {
        let tls = match &self.security {
            Security::Plain { .. } => None,
            Security::Tls { facts } => Some(facts.clone()),
        };
        let accepted_at = world.wall();
        let only_recipient = match envelope.recipients.as_slice() {
            [only] => Some(&only.mailbox),
            _ => None,
        };
        let trace = Trace {
            helo: &greeting.name,
            peer: self.peer,
            hostname: &self.settings.hostname,
            protocol: trace::protocol(
                greeting.is_extended,
                tls.is_some(),
                envelope.smtputf8,
                self.login.account().is_some(),
            ),
            tls: tls.as_deref(),
            id,
            only_recipient,
            at: accepted_at,
        }
        .to_line();
        NewMessage {
            id,
            accepted_at,
            reverse_path: envelope.reverse_path,
            recipients: envelope.recipients,
            smtputf8: envelope.smtputf8,
            requires_tls: envelope.requires_tls,
            body: envelope.body,
            dsn: envelope.dsn,
            trace,
            sha256: received.sha256,
            octets: received.octets,
            header: received.header,
            peer: self.peer,
            helo: greeting.name.clone(),
            tls,
            chunks_ahead: received.chunks_ahead,
            tail: received.tail,
        }
    }
}

fn receipt(envelope: &Envelope, received: &Received, id: crate::base::SpoolId) -> Option<Receipt> {
    let mut domains: Vec<_> = envelope.recipients.iter().filter_map(|r| r.mailbox.domain()).collect();
    let first = domains.first().map(|domain| (*domain).clone())?;
    domains.sort_unstable();
    domains.dedup();
    Some(Receipt {
        id,
        domain: first,
        further_domains: domains.len().saturating_sub(1),
        is_for_us: envelope.recipients.iter().all(|recipient| recipient.account == OPERATOR),
        has_pieces_ahead: received.chunks_ahead > 0,
    })
}
