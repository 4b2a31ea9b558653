//! Is a server that refuses senders the customer's? Keeps the first refusals of a connection back until that is clear.
//!
//! A server that refuses MAIL of two different senders before it accepted anything refuses us, not them: that is a
//! failure of identity and settles no message.

use super::super::connection::Attempt;
use super::super::outcome::Verdict;
use crate::base::ReversePath;
use crate::spool::Claimed;

/// A message and what became of it.
#[derive(Clone, Debug)]
pub struct Settled {
    /// As claimed.
    pub message: Claimed,
    /// By ordinal.
    pub verdicts: Vec<(u32, Verdict)>,
}

/// Refusals kept back at one time. More of one sender are recorded: it is about that sender.
pub const DOUBTFUL_MAX: usize = 50;

/// What is known of the server at the other end. Outlives a connection: a server that closes after each refusal is
/// known by two of them.
#[derive(Clone, Debug, Default)]
pub struct FirstContact {
    has_accepted: bool,
    /// Another connection to the same server is open and had messages accepted.
    is_joining: bool,
    doubtful: Vec<Settled>,
}

/// What follows from an attempt.
#[derive(Clone, Debug)]
pub enum Contact {
    /// These may be recorded, oldest first.
    Good(Vec<Settled>),
    /// Wait with recording for what comes next.
    Doubtful,
    /// Not our server: these return to the queue behind the others, since the next good contact ends the doubt and
    /// it takes other senders to find it.
    Identity(Vec<Claimed>),
}

impl FirstContact {
    /// Of a connection that joins another one, which had messages accepted by the server of this very address.
    #[must_use]
    pub fn joining() -> Self {
        Self { is_joining: true, ..Self::default() }
    }

    /// A new connection: what was accepted on an earlier one says nothing of who answers now.
    pub const fn handle_connected(&mut self) {
        self.has_accepted = self.is_joining;
    }

    /// Judges one more attempt.
    pub fn handle_attempt(&mut self, message: Claimed, attempt: &Attempt) -> Contact {
        let settled = Settled { verdicts: attempt.verdicts.clone(), message };
        self.has_accepted |= attempt.is_mail_accepted;
        let has_delivered = attempt.verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Delivered(_)));
        if attempt.is_login_wanted && !has_delivered {
            self.doubtful.push(settled);
            return Contact::Identity(self.give_up());
        }
        if self.has_accepted {
            let mut all = std::mem::take(&mut self.doubtful);
            all.push(settled);
            return Contact::Good(all);
        }
        if !attempt.is_mail_refused {
            // Neither yes nor no: of itself a fact, and of the others nothing.
            return Contact::Good(vec![settled]);
        }
        let sender = |settled: &Settled| -> ReversePath { settled.message.reverse_path.clone() };
        let is_other_sender = self.doubtful.first().is_some_and(|first| sender(first) != sender(&settled));
        self.doubtful.push(settled);
        if is_other_sender {
            Contact::Identity(self.give_up())
        } else if self.doubtful.len() > DOUBTFUL_MAX {
            Contact::Good(self.take_doubtful())
        } else {
            Contact::Doubtful
        }
    }

    /// Nothing more comes to clear the doubt: one sender alone was refused, so it is about that sender.
    pub fn take_doubtful(&mut self) -> Vec<Settled> {
        std::mem::take(&mut self.doubtful)
    }

    /// The line is gone before the doubt was cleared: the messages go back.
    pub fn give_up(&mut self) -> Vec<Claimed> {
        std::mem::take(&mut self.doubtful).into_iter().map(|settled| settled.message).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SpoolId;
    use crate::delivery::outcome::{Refusal, silence};
    use crate::spool::BodyType;

    fn message(id: i64, sender: &str) -> Claimed {
        Claimed {
            id: SpoolId::from_i64(id),
            accepted_at: chrono::DateTime::UNIX_EPOCH,
            reverse_path: ReversePath::parse(sender, false).unwrap(),
            smtputf8: false,
            requires_tls: false,
            body: BodyType::SevenBit,
            dsn: crate::spool::MessageDsn::default(),
            trace: bytes::Bytes::new(),
            sha256: [0; 32],
            octets: 0,
            chunks: 0,
            peer: std::net::IpAddr::from([192, 0, 2, 7]),
            helo: String::new(),
            recipients: Vec::new(),
        }
    }

    fn refused() -> Attempt {
        let verdicts = vec![(0, Verdict::Refused(silence("no"), Refusal::Message))];
        Attempt { verdicts, is_mail_refused: true, ..Attempt::default() }
    }

    #[test]
    fn two_refused_senders_before_anything_accepted_are_a_matter_of_identity() {
        let mut contact = FirstContact::default();
        assert!(matches!(contact.handle_attempt(message(1, "a@x.example"), &refused()), Contact::Doubtful));
        assert!(matches!(contact.handle_attempt(message(2, "a@x.example"), &refused()), Contact::Doubtful));
        contact.handle_connected();
        let Contact::Identity(messages) = contact.handle_attempt(message(3, "b@x.example"), &refused()) else {
            panic!("held")
        };
        assert_eq!(messages.len(), 3);
        assert!(contact.take_doubtful().is_empty());
    }

    #[test]
    fn a_refused_sender_is_recorded_once_the_server_took_another_one() {
        let mut contact = FirstContact::default();
        assert!(matches!(contact.handle_attempt(message(1, "a@x.example"), &refused()), Contact::Doubtful));
        let taken = Attempt { is_mail_accepted: true, ..Attempt::default() };
        let Contact::Good(settled) = contact.handle_attempt(message(2, ""), &taken) else { panic!("good") };
        assert_eq!(settled.len(), 2);
        assert!(matches!(contact.handle_attempt(message(3, "c@x.example"), &refused()), Contact::Good(_)));
    }

    #[test]
    fn a_connection_that_joins_another_one_finds_no_stranger_in_refused_senders() {
        let mut contact = FirstContact::joining();
        contact.handle_connected();
        for (id, sender) in [(1, "a@x.example"), (2, "b@x.example")] {
            assert!(matches!(contact.handle_attempt(message(id, sender), &refused()), Contact::Good(_)));
        }
    }

    #[test]
    fn an_attempt_that_was_only_deferred_clears_no_doubt() {
        let mut contact = FirstContact::default();
        assert!(matches!(contact.handle_attempt(message(1, "a@x.example"), &refused()), Contact::Doubtful));
        let deferred = Attempt { verdicts: vec![(0, Verdict::Deferred(silence("later")))], ..Attempt::default() };
        let Contact::Good(settled) = contact.handle_attempt(message(2, "b@x.example"), &deferred) else {
            panic!("recorded alone")
        };
        assert_eq!(settled.len(), 1);
        let last = contact.handle_attempt(message(3, "b@x.example"), &refused());
        assert!(matches!(last, Contact::Identity(messages) if messages.len() == 2));
    }

    #[test]
    fn a_server_that_wants_a_login_is_misconfigured_and_refuses_nobody() {
        let wanted = Attempt { is_login_wanted: true, ..refused() };
        let contact = FirstContact::default().handle_attempt(message(1, ""), &wanted);
        assert!(matches!(contact, Contact::Identity(messages) if messages.len() == 1));
    }

    #[test]
    fn refusals_of_one_sender_are_not_kept_back_for_ever() {
        let mut contact = FirstContact::default();
        let good = (0..=50).filter(|id| {
            matches!(contact.handle_attempt(message(*id, ""), &refused()), Contact::Good(settled) if settled.len() == 51)
        });
        assert_eq!(good.count(), 1);
    }
}
