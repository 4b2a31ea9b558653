//! RCPT: one more recipient (RFC 5321 §4.1.1.3).

use crate::base::{DomainName, Moment};
use crate::smtp::admission;
use crate::smtp::brake::Pull;
use crate::smtp::command::RcptCommand;
use crate::smtp::path::ForwardPath;
use crate::smtp::rates::Deed;
use crate::smtp::refusals::Refused;
use crate::smtp::reply::{self, Reply, Whereabouts};
use crate::smtp::session::{Session, State, World, whereabouts};
use crate::spool::NewRecipient;

impl Session {
    pub(in crate::smtp) fn rcpt(&mut self, rcpt: RcptCommand, world: &dyn World, now: Moment) {
        let path = rcpt.path.clone();
        match self.judge(rcpt, world, now) {
            Ok(()) if self.asked.is_some() => {}
            Ok(()) => self.say(&reply::RECIPIENT_OK),
            Err(refusal) => {
                self.note_refused(&path, &refusal, world);
                tracing::info!(peer = %self.peer, code = refusal.code, enhanced = refusal.enhanced, "recipient refused");
                let is_forwarded = self.is_forwarded(domain_of(&path), world);
                self.refuse_recipient(refusal, is_forwarded, world, now);
            }
        }
    }

    /// Whether the peer passes on mail of others to the account of that domain: it is spared there, and nowhere else.
    pub(in crate::smtp) fn is_forwarded(&self, domain: Option<&DomainName>, world: &dyn World) -> bool {
        let directory = world.directory();
        let served = domain.and_then(|domain| directory.served(domain));
        served.is_some_and(|served| directory.is_forwarder_of(self.peer, served.account.id))
    }

    /// Only what was a recipient at its place; a command out of order tells nothing of a mailbox.
    fn note_refused(&self, path: &ForwardPath, refusal: &Reply, world: &dyn World) {
        let State::Transaction(greeting, envelope) = &self.state else { return };
        let recipient = match path {
            ForwardPath::Postmaster => "postmaster".to_owned(),
            ForwardPath::Mailbox(mailbox) | ForwardPath::Routed(mailbox) => mailbox.to_string(),
        };
        let directory = world.directory();
        world.note_refused(Refused {
            at: world.wall(),
            account: domain_of(path).and_then(|domain| directory.served(domain)).map(|served| served.account.id),
            peer: self.peer,
            helo: greeting.name.clone(),
            reverse_path: envelope.reverse_path.to_string(),
            recipient,
            code: refusal.code,
            text: format!("{} {}", refusal.enhanced, refusal.text),
        });
    }

    pub(in crate::smtp) fn refuse_recipient(
        &mut self,
        refusal: Reply,
        is_forwarded: bool,
        world: &dyn World,
        now: Moment,
    ) {
        // What is wrong with the message tells nothing of the mailbox.
        let is_about_message = [reply::TOO_BIG_THERE, reply::NO_SMTPUTF8_THERE].contains(&refusal);
        if refusal.code < 500 || is_about_message || is_forwarded {
            return self.refuse(&refusal);
        }
        let has_budget = !self.has_limits || world.admits(self.peer, Deed::Refusal, now);
        match self.brake.handle_refused(has_budget, now) {
            Pull::Not => return self.refuse(&refusal),
            Pull::Slow => self.held = Some(refusal),
            Pull::Stop => self.held = Some(reply::TOO_MANY_UNKNOWN),
        }
        self.counters.refusal_delayed();
    }

    fn judge(&mut self, rcpt: RcptCommand, world: &dyn World, now: Moment) -> Result<(), Reply> {
        let envelope = match &self.state {
            State::Transaction(_, envelope) => envelope,
            State::Fresh => return Err(reply::EHLO_FIRST),
            State::Chunks(..) => return Err(reply::CHUNKS_OPEN),
            State::Greeted(_)
            | State::Content(..)
            | State::Swallow(_)
            | State::Committing(..)
            | State::Handshake
            | State::Closed => return Err(reply::MAIL_FIRST),
        };
        if !rcpt.is_ascii && !envelope.smtputf8 {
            return Err(reply::NEEDS_SMTPUTF8);
        }
        let is_forwarded = self.is_forwarded(domain_of(&rcpt.path), world);
        // To others than those who named him a forwarder is a stranger; MAIL let him in without asking.
        let may_bring = |deed| match deed {
            Deed::Message => !world.directory().is_forwarder(self.peer) || world.would_admit(self.peer, deed, now),
            Deed::Connection | Deed::Recipient | Deed::Refusal => world.admits(self.peer, deed, now),
        };
        if self.has_limits && !is_forwarded && !(may_bring(Deed::Message) && may_bring(Deed::Recipient)) {
            return Err(reply::BRINGS_TOO_MUCH);
        }
        let octets = envelope.declared_octets.unwrap_or(0);
        let mut recipient =
            self.with_surroundings(world, |around| admission::admit(&rcpt.path, &envelope.recipients, octets, around))?;
        recipient.dsn = rcpt.dsn;
        if let Some(refusal) = admission::never_taken(&recipient, octets, envelope.smtputf8, &world.directory()) {
            return Err(refusal);
        }
        if self.is_listed
            && !is_forwarded
            && !recipient.mailbox.local_part.is_role()
            && (self.settings.defers_listed_while_offline || is_there(&recipient, world))
        {
            return Err(reply::LISTED);
        }
        // Named twice, delivered once (RFC 5321 §4.1.1.3 leaves it open); what was wanted first holds.
        if envelope_has(&self.state, &recipient) {
            return Ok(());
        }
        if self.asks(&recipient, world) {
            self.asked = Some(recipient);
        } else if let State::Transaction(_, envelope) = &mut self.state {
            envelope.recipients.push(recipient);
        }
        Ok(())
    }
}

fn domain_of(path: &ForwardPath) -> Option<&DomainName> {
    match path {
        ForwardPath::Postmaster => None,
        ForwardPath::Mailbox(mailbox) | ForwardPath::Routed(mailbox) => mailbox.domain(),
    }
}

fn envelope_has(state: &State, recipient: &NewRecipient) -> bool {
    matches!(state, State::Transaction(_, envelope) if envelope.recipients.iter().any(|known| known.is_same_mailbox(recipient)))
}

/// Whether the recipient's own server takes mail now: only then is there another way than through us.
fn is_there(recipient: &NewRecipient, world: &dyn World) -> bool {
    recipient.mailbox.domain().is_some_and(|domain| whereabouts(domain, world) == Whereabouts::There)
}
