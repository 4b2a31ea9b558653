//! RCPT: one more recipient (RFC 5321 §4.1.1.3).

use crate::base::Moment;
use crate::smtp::admission;
use crate::smtp::command::RcptCommand;
use crate::smtp::reply::{self, Reply};
use crate::smtp::session::{Session, State, World};

impl Session {
    pub(in crate::smtp) fn rcpt(&mut self, rcpt: RcptCommand, world: &dyn World, now: Moment) {
        match self.judge(rcpt, world) {
            Ok(()) => self.say(&reply::RECIPIENT_OK),
            Err(refusal) => {
                tracing::info!(peer = %self.peer, code = refusal.code, enhanced = refusal.enhanced, "recipient refused");
                if refusal.code >= 500 && self.brake.handle_refused(now) {
                    self.counters.refusal_delayed();
                    self.held = Some(refusal);
                } else {
                    self.refuse(&refusal);
                }
            }
        }
    }

    fn judge(&mut self, rcpt: RcptCommand, world: &dyn World) -> Result<(), Reply> {
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
        let octets = envelope.declared_octets.unwrap_or(0);
        let mut recipient =
            self.with_surroundings(world, |around| admission::admit(&rcpt.path, &envelope.recipients, octets, around))?;
        recipient.dsn = rcpt.dsn;
        // Named twice, delivered once (RFC 5321 §4.1.1.3 leaves it open); what was wanted first holds.
        if let State::Transaction(_, envelope) = &mut self.state
            && !envelope.recipients.iter().any(|known| known.is_same_mailbox(&recipient))
        {
            envelope.recipients.push(recipient);
        }
        Ok(())
    }
}
