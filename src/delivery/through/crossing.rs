//! One transaction on its way to the primary while its sender waits: which of the primary's replies the sender reads, and
//! when the message has to be stored instead. Reads no clock and owns no socket.
//!
//! Whatever is not clearly a yes or a no of the customer's server ends in the spool.

use std::time::Duration;

use crate::delivery::outcome::{
    RecipientVerdict, Stage, Verdict, is_about_one_of_several, is_greylisting, judge_recipient, words,
};
use crate::delivery::wire::Reply;

/// What the primary may cost a sender in all: opening, replies, taking the content. Then the message is stored.
pub const BUDGET: Duration = Duration::from_secs(60);

/// For the TCP connection: nobody waits longer for a server that is gone.
pub const CONNECT_MAX: Duration = Duration::from_secs(5);

/// A sender may leave the primary's session unused for so long; then it is given back and the message is stored.
pub const SENDER_MAX: Duration = Duration::from_secs(10);

/// A server that failed is not tried again for a waiting sender before.
pub const FAILURE_FOR: Duration = Duration::from_secs(10);

/// Octets of content that are sent on while a sender waits: what a line of 1 Mbit/s carries within the budget. More is
/// stored. In memory is the last piece alone (64 KiB), all before it is read back from the spool.
pub const PASS_OCTETS_MAX: u64 = 7 * 1024 * 1024;

/// What has to be known beside a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// The server was told who the sender is, and judges him.
    pub is_handed_on: bool,
    /// It took mail of somebody since it returned: what it refuses is not refused to us.
    pub is_well: bool,
    /// Its refusal of this recipient may be believed: it has not just returned, or this recipient is not one that it took
    /// before.
    pub is_believed: bool,
}

/// What the sender reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Words {
    /// 250 of ours; the message is going to be stored.
    Ours,
    /// The primary's 2yz.
    Taken(Reply),
    /// The primary's 5yz, or a 4yz that judges the sender.
    Refused(Reply),
}

/// What becomes of the whole message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// Nothing is stored; the sender reads the primary's words.
    Passed(Reply),
    /// Stored.
    Store {
        /// The server judges several recipients together: they go one by one from now on.
        is_one_by_one: bool,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Course {
    /// Nothing was said.
    New,
    /// MAIL was accepted.
    Open,
    /// MAIL was refused: so is each recipient.
    Refused(Reply),
    /// Everything that is taken is stored.
    Over,
}

/// See the head of this file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Crossing {
    course: Course,
    accepted: usize,
    must_store: bool,
    /// At most one recipient in a transaction.
    is_one_by_one: bool,
    spent: Duration,
    budget: Duration,
}

/// What is to be done for a recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// MAIL comes first.
    Begin,
    /// RCPT.
    Ask,
    /// Nothing is asked.
    Say(Words),
}

impl Crossing {
    /// Nothing was said yet. `budget`: see [`BUDGET`].
    #[must_use]
    pub const fn new(budget: Duration) -> Self {
        Self {
            course: Course::New,
            accepted: 0,
            must_store: false,
            is_one_by_one: false,
            spent: Duration::ZERO,
            budget,
        }
    }

    /// The server judges several recipients together.
    pub const fn set_one_by_one(&mut self, is_one_by_one: bool) {
        self.is_one_by_one |= is_one_by_one;
    }

    /// Whether the primary's session is of any more use.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.course, Course::Over)
    }

    /// What of the budget is left.
    #[must_use]
    pub const fn left(&self) -> Duration {
        self.budget.saturating_sub(self.spent)
    }

    /// The primary took so long.
    pub const fn handle_spent(&mut self, time: Duration) {
        self.spent = self.spent.saturating_add(time);
    }

    /// A recipient comes.
    #[must_use]
    pub fn handle_recipient(&mut self) -> Step {
        match &self.course {
            Course::Open if self.is_one_by_one && self.accepted > 0 => Step::Say(self.handle_lost()),
            Course::New => Step::Begin,
            Course::Open => Step::Ask,
            Course::Refused(reply) => Step::Say(Words::Refused(reply.clone())),
            Course::Over => Step::Say(self.handle_lost()),
        }
    }

    /// There is no connection, the line is not vouched for any more, or the sender took too long: whatever was taken, and
    /// this recipient, is stored.
    pub fn handle_lost(&mut self) -> Words {
        self.course = Course::Over;
        self.must_store = true;
        Words::Ours
    }

    /// The reply to MAIL; `None` if the recipient is to be asked for.
    #[must_use]
    pub fn handle_mail(&mut self, reply: &Reply, facts: Facts) -> Option<Words> {
        let is_login_wanted = reply.code == 530;
        match reply.class() {
            2 => {
                self.course = Course::Open;
                return None;
            }
            // Before it took anything a refusal may mean us: a matter of identity, never of this mail.
            5 if facts.is_well && !is_login_wanted => {}
            4 if judges_sender(reply, facts) => {}
            _ => return Some(self.handle_lost()),
        }
        self.course = Course::Refused(reply.clone());
        Some(Words::Refused(reply.clone()))
    }

    /// The reply to RCPT.
    #[must_use]
    pub fn handle_rcpt(&mut self, reply: &Reply, facts: Facts) -> Words {
        match judge_recipient(reply, self.accepted > 0) {
            RecipientVerdict::Accepted => {
                self.accepted += 1;
                return Words::Taken(reply.clone());
            }
            RecipientVerdict::Settled(Verdict::Refused(..) | Verdict::MailboxFull(_))
                if reply.class() == 5 && reply.code != 530 && facts.is_believed =>
            {
                return Words::Refused(reply.clone());
            }
            RecipientVerdict::Settled(_) if judges_sender(reply, facts) => return Words::Refused(reply.clone()),
            RecipientVerdict::Settled(_) | RecipientVerdict::NextTransaction => {}
        }
        self.must_store = true;
        Words::Ours
    }

    /// Whether the content goes to the primary at all.
    #[must_use]
    pub fn sends_content(&self, octets: u64) -> bool {
        self.course == Course::Open && self.accepted > 0 && !self.must_store && octets <= PASS_OCTETS_MAX
    }

    /// A reply to DATA that is no 354, or to the final dot.
    #[must_use]
    pub fn handle_final(&mut self, reply: &Reply, stage: Stage, facts: Facts) -> End {
        let is_one_by_one = stage == Stage::Final && is_about_one_of_several(reply, self.accepted);
        let is_passed = match reply.class() {
            2 => stage == Stage::Final,
            5 => !is_one_by_one && reply.code != 530 && facts.is_believed,
            4 => judges_sender(reply, facts),
            _ => false,
        };
        self.course = Course::Over;
        if is_passed { End::Passed(reply.clone()) } else { End::Store { is_one_by_one } }
    }
}

/// A deferral that the sender's own retry will meet in the same way: greylisting or a rate, said to a server that knows
/// who he is. 421 is about the connection.
fn judges_sender(reply: &Reply, facts: Facts) -> bool {
    let is_policy = reply.enhanced().is_some_and(|code| code.starts_with("4.7."));
    let about_him = is_policy || is_greylisting(&words(reply));
    facts.is_handed_on && reply.class() == 4 && reply.code != 421 && about_him
}

#[cfg(test)]
mod tests;
