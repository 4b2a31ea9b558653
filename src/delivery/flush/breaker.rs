//! Is the primary broken? Watches how recipients fare that it took before, and says when a flush has to stop.
//!
//! A reinstalled server that knows nobody refuses everybody: then nothing it says is final, all mail is held, and one
//! message at a time tries whether it is well again.

use std::collections::{BTreeMap, BTreeSet};

use crate::delivery::outcome::{Refusal, Verdict};
use crate::spool::DeliveryReply;

/// Known-good recipients refused alike that open it.
pub const ALIKE_MAX: usize = 3;

/// So many known-good recipients are counted after a return.
pub const SAMPLE: u32 = 20;

/// More than this share of them, in percent, opens it.
pub const SAMPLE_REFUSED_PERCENT_MAX: u32 = 20;

/// Mailboxes that are remembered as left, at most; further ones count.
pub const LEAVERS_MAX: usize = 1_000;

/// One recipient and how it fared.
#[derive(Clone, Copy, Debug)]
pub struct Fare<'a> {
    /// Who, as written.
    pub mailbox: &'a str,
    /// The primary took mail for it before.
    pub is_known_good: bool,
    /// What the primary said.
    pub verdict: &'a Verdict,
}

/// What follows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdicts {
    /// Nothing.
    Quiet,
    /// The flush stops now; why, for people.
    Opened(String),
    /// The primary is well again.
    Closed,
}

/// The breaker of one account.
#[derive(Clone, Debug, Default)]
pub struct Breaker {
    is_open: bool,
    /// Known-good recipients that were judged since the return, at most [`SAMPLE`], and those of them refused.
    sampled: u32,
    refused: u32,
    /// Mailboxes by the reply that refused them.
    alike: BTreeMap<(Option<u16>, String), BTreeSet<String>>,
    /// Some recipient was accepted since the return.
    has_accepted: bool,
    /// Mailboxes that it refused while it took others: people who left. They open nothing until the next return, or each
    /// of them would stop the flush again as soon as one message of somebody else is taken.
    leavers: BTreeSet<String>,
}

impl Breaker {
    /// One that was open when the service stopped.
    #[must_use]
    pub fn opened() -> Self {
        Self { is_open: true, ..Self::default() }
    }

    /// Whether everything is held.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether some recipient was accepted since the return.
    #[must_use]
    pub const fn has_accepted(&self) -> bool {
        self.has_accepted
    }

    /// The line returned: what the server said before says nothing of it now. Whether it is open stays: a primary
    /// that is broken is so after a return as well.
    pub fn handle_return(&mut self) {
        *self = Self { is_open: self.is_open, ..Self::default() };
    }

    /// A person lets the flush go on.
    pub fn close(&mut self) {
        *self = Self::default();
    }

    /// Takes in one recipient.
    pub fn handle(&mut self, fare: &Fare<'_>) -> Verdicts {
        let (reply, refusal) = match fare.verdict {
            Verdict::Delivered(_) => return self.handle_accepted(fare.is_known_good),
            Verdict::Deferred(_) | Verdict::MailboxFull(_) => return Verdicts::Quiet,
            Verdict::Refused(reply, refusal) => (reply, *refusal),
        };
        // A reason of policy counts only while nobody at all was accepted: a spam run must not open it.
        let counts = match refusal {
            Refusal::Recipient => true,
            Refusal::Policy => !self.has_accepted,
            Refusal::Message | Refusal::Ours => false,
        };
        let mailbox = fare.mailbox.to_ascii_lowercase();
        if !counts || !fare.is_known_good || self.leavers.contains(&mailbox) {
            return Verdicts::Quiet;
        }
        if self.is_open {
            self.note_refused(reply, mailbox);
            return Verdicts::Quiet;
        }
        if self.sampled < SAMPLE {
            self.sampled += 1;
            self.refused += 1;
        }
        let (alike, share) =
            (self.note_refused(reply, mailbox), self.refused * 100 > SAMPLE * SAMPLE_REFUSED_PERCENT_MAX);
        if alike < ALIKE_MAX && !share {
            return Verdicts::Quiet;
        }
        self.is_open = true;
        let said = reply.code.map_or_else(String::new, |code| format!("{code} "));
        Verdicts::Opened(format!(
            "the mail server refuses recipients that it took before ({said}{}); everything is held",
            reply.text
        ))
    }

    /// How many mailboxes were refused with this reply.
    fn note_refused(&mut self, reply: &DeliveryReply, mailbox: String) -> usize {
        let code = reply.text.split(' ').next().filter(|word| word.contains('.')).unwrap_or_default();
        let mailboxes = self.alike.entry((reply.code, code.to_owned())).or_default();
        if mailboxes.len() < LEAVERS_MAX {
            mailboxes.insert(mailbox);
        }
        mailboxes.len()
    }

    fn handle_accepted(&mut self, is_known_good: bool) -> Verdicts {
        self.has_accepted = true;
        if self.is_open {
            let mut leavers = std::mem::take(&mut self.leavers);
            leavers.extend(std::mem::take(&mut self.alike).into_values().flatten());
            let leavers = leavers.into_iter().take(LEAVERS_MAX).collect();
            *self = Self { has_accepted: true, leavers, ..Self::default() };
            return Verdicts::Closed;
        }
        if is_known_good && self.sampled < SAMPLE {
            self.sampled += 1;
        }
        Verdicts::Quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::DeliveryReply;

    fn reply(code: u16, text: &str) -> DeliveryReply {
        DeliveryReply { code: Some(code), text: text.to_owned() }
    }

    fn refused(text: &str, refusal: Refusal) -> Verdict {
        Verdict::Refused(reply(550, text), refusal)
    }

    fn fare(breaker: &mut Breaker, mailbox: &str, is_known_good: bool, verdict: &Verdict) -> Verdicts {
        breaker.handle(&Fare { mailbox, is_known_good, verdict })
    }

    #[test]
    fn three_known_recipients_refused_alike_open_it_once() {
        let mut breaker = Breaker::default();
        let unknown = refused("5.1.1 unknown", Refusal::Recipient);
        assert_eq!(fare(&mut breaker, "a@x", true, &unknown), Verdicts::Quiet);
        assert_eq!(fare(&mut breaker, "A@x", true, &unknown), Verdicts::Quiet, "the same one again");
        assert_eq!(fare(&mut breaker, "b@x", true, &unknown), Verdicts::Quiet);
        let Verdicts::Opened(why) = fare(&mut breaker, "c@x", true, &unknown) else { panic!("open") };
        assert!(why.contains("550 5.1.1 unknown"), "{why}");
        assert_eq!(fare(&mut breaker, "d@x", true, &unknown), Verdicts::Quiet);
        assert!(breaker.is_open());
        breaker.handle_return();
        assert!(breaker.is_open());
        assert_eq!(fare(&mut breaker, "a@x", false, &Verdict::Delivered(reply(250, "ok"))), Verdicts::Closed);
        assert!(!breaker.is_open());
    }

    #[test]
    fn guessed_recipients_content_and_a_spam_run_do_not_count() {
        let mut breaker = Breaker::default();
        let policy = refused("5.7.1 blocked", Refusal::Policy);
        fare(&mut breaker, "z@x", true, &Verdict::Delivered(reply(250, "ok")));
        for n in 0..50 {
            let who = format!("u{n}@x");
            for (known, verdict) in [
                (false, refused("5.1.1 unknown", Refusal::Recipient)),
                (true, refused("5.7.1 spam", Refusal::Message)),
                (true, policy.clone()),
                (true, refused("damaged", Refusal::Ours)),
                (true, Verdict::Deferred(reply(451, "later"))),
                (true, Verdict::MailboxFull(reply(552, "5.2.2 full"))),
            ] {
                assert_eq!(fare(&mut breaker, &who, known, &verdict), Verdicts::Quiet);
            }
        }
    }

    #[test]
    fn people_who_left_stop_the_flush_once_and_not_with_each_message_taken() {
        let mut breaker = Breaker::default();
        let unknown = refused("5.1.1 unknown", Refusal::Recipient);
        let taken = Verdict::Delivered(reply(250, "ok"));
        for who in ["a@x", "b@x", "c@x", "d@x"] {
            fare(&mut breaker, who, true, &unknown);
        }
        assert!(breaker.is_open(), "three of them look like a broken server");
        assert_eq!(fare(&mut breaker, "e@x", true, &taken), Verdicts::Closed);
        for who in ["A@x", "b@x", "c@x", "d@x"] {
            assert_eq!(fare(&mut breaker, who, true, &unknown), Verdicts::Quiet, "asked again, as everybody is");
        }
        assert!(!breaker.is_open());
        for who in ["f@x", "g@x"] {
            assert_eq!(fare(&mut breaker, who, true, &unknown), Verdicts::Quiet);
        }
        assert!(matches!(fare(&mut breaker, "h@x", true, &unknown), Verdicts::Opened(_)), "others count as before");
        breaker.handle_return();
        assert!(breaker.leavers.is_empty(), "after a return everybody counts");
    }

    #[test]
    fn a_server_that_relays_for_nobody_opens_it_by_its_policy() {
        let mut breaker = Breaker::default();
        let denied = refused("5.7.1 relay access denied", Refusal::Policy);
        for who in ["a@x", "b@x"] {
            assert_eq!(fare(&mut breaker, who, true, &denied), Verdicts::Quiet);
        }
        assert!(matches!(fare(&mut breaker, "c@x", true, &denied), Verdicts::Opened(_)));
    }

    #[test]
    fn more_than_a_fifth_of_the_first_twenty_opens_it_and_later_ones_do_not() {
        let different = |n: u32| refused(&format!("5.1.{n} x"), Refusal::Recipient);
        let mut breaker = Breaker::default();
        for n in 0..4 {
            assert_eq!(fare(&mut breaker, &format!("u{n}@x"), true, &different(n)), Verdicts::Quiet);
        }
        assert!(matches!(fare(&mut breaker, "u5@x", true, &different(5)), Verdicts::Opened(_)));
        let mut late = Breaker::default();
        for n in 0..20 {
            fare(&mut late, &format!("g{n}@x"), true, &Verdict::Delivered(reply(250, "ok")));
        }
        for n in 0..9 {
            assert_eq!(fare(&mut late, &format!("u{n}@x"), true, &different(n)), Verdicts::Quiet);
        }
    }
}
