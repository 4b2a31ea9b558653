//! What a drill does next and how it ends. Takes `now`, does no I/O.

use std::time::Duration;

use super::record::{End, Gate, Reached, Step};
use crate::base::{Moment, SpoolId};
use crate::spool::DeliveryReply;

/// The longest time for which mail is kept from its server: what the specification allows, and less than any sender's wait
/// for a second try.
pub const CUT_MAX: Duration = Duration::from_secs(60);
/// How long our own door may take with the message: its greeting pause and a busy disk, with room to spare.
pub const SEND_MAX: Duration = Duration::from_secs(30);
/// How long a message that was taken may stay unseen in the spool: its commit is synced before it is taken.
pub const LOOK_MAX: Duration = Duration::from_secs(5);
/// How long the delivery may take: a return promises 2 s, a server's greeting pause is 5 to 10 s.
pub const DELIVERY_MAX: Duration = Duration::from_secs(30);

/// What is to be done now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Todo {
    /// Send the message; once.
    Send,
    /// Look whether it waits in the spool.
    Look(SpoolId),
    /// Open the way; once.
    Mend,
    /// Look what became of it.
    Watch(SpoolId),
    /// Nothing more; the end is known.
    Stop,
}

/// What was seen of the message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mail {
    /// The spool does not have it.
    Absent,
    /// It waits, or is on its way.
    Waiting,
    /// The server took it.
    Delivered {
        /// What spoke for the server.
        proof: String,
        /// Its pinned key.
        key: Option<String>,
    },
    /// Put off.
    Deferred(DeliveryReply),
    /// Refused for good.
    Refused(DeliveryReply),
    /// A person keeps it back, or it is too old.
    KeptBack,
}

/// What was seen at one look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sight {
    /// The message.
    pub mail: Mail,
    /// Why the last connection failed, if one failed since the way is open.
    pub problem: Option<String>,
    /// Why who answers is not taken to be the customer's server.
    pub doubt: Option<String>,
    /// Whether beats vouch for the server.
    pub is_line_up: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Phase {
    Sending,
    Looking { id: SpoolId, since: Moment },
    Mending { id: SpoolId },
    Watching { id: SpoolId, since: Moment },
    Over(End),
}

/// One drill. It begins with the cut.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Machine {
    began: Moment,
    phase: Phase,
    steps: Vec<Reached>,
}

impl Machine {
    /// The way was cut at `now`.
    #[must_use]
    pub fn begin(now: Moment) -> Self {
        let mut machine = Self { began: now, phase: Phase::Sending, steps: Vec::with_capacity(Step::ALL.len()) };
        machine.reach(Step::Cut, now);
        machine
    }

    /// When the cut ends at the latest.
    #[must_use]
    pub fn cut_until(&self) -> Moment {
        self.began + CUT_MAX
    }

    /// What was reached.
    #[must_use]
    pub fn steps(&self) -> &[Reached] {
        &self.steps
    }

    /// How it ended.
    #[must_use]
    pub const fn end(&self) -> Option<&End> {
        match &self.phase {
            Phase::Over(end) => Some(end),
            Phase::Sending | Phase::Looking { .. } | Phase::Mending { .. } | Phase::Watching { .. } => None,
        }
    }

    /// The message, once our door took it.
    #[must_use]
    pub const fn message(&self) -> Option<SpoolId> {
        match &self.phase {
            Phase::Looking { id, .. } | Phase::Mending { id } | Phase::Watching { id, .. } => Some(*id),
            Phase::Sending | Phase::Over(_) => None,
        }
    }

    /// What to do at `now`. What took too long ends here.
    pub fn poll(&mut self, now: Moment) -> Todo {
        match self.phase {
            Phase::Sending if now.since(self.began) >= SEND_MAX => {
                let limit = SEND_MAX.as_secs();
                self.fail(Gate::Door, format!("our port 25 did not take the message within {limit} s"))
            }
            Phase::Sending => Todo::Send,
            Phase::Looking { since, .. } if now.since(since) >= LOOK_MAX || now >= self.cut_until() => {
                self.fail(Gate::Spool, "our port 25 took the message, and it does not wait in the spool".to_owned())
            }
            Phase::Looking { id, .. } => Todo::Look(id),
            Phase::Mending { .. } => Todo::Mend,
            Phase::Watching { since, .. } if now.since(since) >= DELIVERY_MAX => {
                let limit = DELIVERY_MAX.as_secs();
                self.fail(Gate::Silence, format!("nothing was delivered within {limit} s"))
            }
            Phase::Watching { id, .. } => Todo::Watch(id),
            Phase::Over(_) => Todo::Stop,
        }
    }

    /// What our door said: the message's id, or in its own words why not.
    pub fn handle_sent(&mut self, said: Result<SpoolId, String>, now: Moment) {
        if self.phase != Phase::Sending {
            return;
        }
        match said {
            Ok(id) => {
                self.reach(Step::Sent, now);
                self.phase = Phase::Looking { id, since: now };
            }
            Err(reason) => {
                self.fail(Gate::Door, reason);
            }
        }
    }

    /// What was seen.
    pub fn handle_sight(&mut self, sight: Sight, now: Moment) {
        match self.phase {
            Phase::Looking { id, .. } => self.handle_held(id, sight.mail, now),
            Phase::Watching { .. } => self.handle_watched(sight, now),
            Phase::Sending | Phase::Mending { .. } | Phase::Over(_) => {}
        }
    }

    /// The way is open again.
    pub fn handle_mended(&mut self, now: Moment) {
        if let Phase::Mending { id } = self.phase {
            self.reach(Step::Mended, now);
            self.phase = Phase::Watching { id, since: now };
        }
    }

    /// It cannot go on by a fault of ours, or because the service stops.
    pub fn handle_fault(&mut self, reason: String) {
        if self.end().is_none() {
            self.fail(Gate::Service, reason);
        }
    }

    fn handle_held(&mut self, id: SpoolId, mail: Mail, now: Moment) {
        match mail {
            Mail::Waiting => {
                self.reach(Step::Held, now);
                self.phase = Phase::Mending { id };
            }
            // It may be seen with the next look.
            Mail::Absent => {}
            Mail::KeptBack => {
                self.fail(Gate::Person, "the message is kept back".to_owned());
            }
            Mail::Delivered { .. } | Mail::Deferred(_) | Mail::Refused(_) => {
                let reason = "the message went to the server although its way was cut".to_owned();
                self.fail(Gate::Spool, reason);
            }
        }
    }

    fn handle_watched(&mut self, sight: Sight, now: Moment) {
        let Sight { mail, problem, doubt, is_line_up } = sight;
        match mail {
            Mail::Delivered { proof, key } => {
                self.reach(Step::Delivered, now);
                self.phase = Phase::Over(End::Passed { proof, key });
            }
            Mail::Deferred(reply) | Mail::Refused(reply) => {
                self.fail(gate_of(&reply), said(&reply));
            }
            Mail::Absent => {
                self.fail(Gate::Person, "the message was removed".to_owned());
            }
            Mail::KeptBack => {
                self.fail(Gate::Person, "the message is kept back".to_owned());
            }
            Mail::Waiting => match (problem, doubt) {
                (_, Some(doubt)) => {
                    self.fail(Gate::Identity, doubt);
                }
                (Some(problem), None) => {
                    self.fail(Gate::Port, problem);
                }
                (None, None) if !is_line_up => {
                    self.fail(Gate::Line, "the heartbeats stopped during the drill".to_owned());
                }
                (None, None) => {}
            },
        }
    }

    fn reach(&mut self, step: Step, now: Moment) {
        let after_ms = u64::try_from(now.since(self.began).as_millis()).unwrap_or(u64::MAX);
        self.steps.push(Reached { step, after_ms });
    }

    fn fail(&mut self, gate: Gate, reason: String) -> Todo {
        self.phase = Phase::Over(End::Failed { gate, reason });
        Todo::Stop
    }
}

/// As a person reads a reply.
fn said(reply: &DeliveryReply) -> String {
    reply.code.map_or_else(|| reply.text.clone(), |code| format!("{code} {}", reply.text))
}

/// What a reply that is no yes speaks of (RFC 5321 §4.2.3, RFC 3463 §3).
fn gate_of(reply: &DeliveryReply) -> Gate {
    let enhanced = reply.text.split(' ').next().unwrap_or_default();
    let is_detail = |subject: &str| enhanced.get(1..).is_some_and(|rest| rest.starts_with(subject));
    match reply.code {
        None | Some(421) => Gate::Port,
        Some(552 | 523) => Gate::Size,
        Some(_) if is_detail(".3.4") || is_detail(".2.3") => Gate::Size,
        Some(400..=499) if reply.text.to_ascii_lowercase().contains("list") || is_detail(".7.") => Gate::Greylisting,
        Some(400..=499) => Gate::Deferred,
        Some(550 | 551 | 553) if !is_detail(".7.") => Gate::Mailbox,
        Some(_) if is_detail(".1.") => Gate::Mailbox,
        Some(_) => Gate::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SpoolId = SpoolId::from_i64(7);

    fn at(ms: u64) -> Moment {
        Moment::from_millis(1_000_000 + ms)
    }

    fn sight(mail: Mail) -> Sight {
        Sight { mail, problem: None, doubt: None, is_line_up: true }
    }

    fn delivered() -> Sight {
        sight(Mail::Delivered { proof: "its pinned key".to_owned(), key: None })
    }

    /// A drill whose way was opened at 200 ms.
    fn mended() -> Machine {
        let mut drill = Machine::begin(at(0));
        drill.handle_sent(Ok(ID), at(100));
        drill.handle_sight(sight(Mail::Waiting), at(150));
        assert_eq!(drill.poll(at(150)), Todo::Mend);
        drill.handle_mended(at(200));
        drill
    }

    fn gate(drill: &Machine) -> Option<Gate> {
        match drill.end() {
            Some(End::Failed { gate, .. }) => Some(*gate),
            Some(End::Passed { .. } | End::Interrupted) | None => None,
        }
    }

    #[test]
    fn a_message_that_is_held_and_delivered_passes() {
        let mut drill = Machine::begin(at(0));
        assert_eq!(drill.poll(at(0)), Todo::Send);
        drill.handle_sent(Ok(ID), at(100));
        assert_eq!(drill.poll(at(100)), Todo::Look(ID));
        drill.handle_sight(sight(Mail::Absent), at(110));
        assert_eq!(drill.poll(at(110)), Todo::Look(ID), "a commit may be seen a little later");
        drill.handle_sight(sight(Mail::Waiting), at(150));
        assert_eq!(drill.poll(at(150)), Todo::Mend);
        drill.handle_mended(at(200));
        assert_eq!(drill.poll(at(200)), Todo::Watch(ID));
        drill.handle_sight(sight(Mail::Waiting), at(300));
        assert_eq!(drill.end(), None);
        drill.handle_sight(delivered(), at(1_500));
        assert_eq!(drill.poll(at(1_500)), Todo::Stop);
        assert!(matches!(drill.end(), Some(End::Passed { .. })));
        let steps: Vec<(Step, u64)> = drill.steps().iter().map(|reached| (reached.step, reached.after_ms)).collect();
        let times = [0, 100, 150, 200, 1_500];
        assert_eq!(steps, Step::ALL.into_iter().zip(times).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_lasts_longer_than_it_may() {
        let ms = |limit: Duration| u64::try_from(limit.as_millis()).unwrap();
        let mut drill = Machine::begin(at(0));
        assert_eq!(drill.poll(at(ms(SEND_MAX) - 1)), Todo::Send);
        assert_eq!(drill.poll(at(ms(SEND_MAX))), Todo::Stop);
        assert_eq!(gate(&drill), Some(Gate::Door));

        let mut drill = Machine::begin(at(0));
        drill.handle_sent(Ok(ID), at(100));
        assert_eq!(drill.poll(at(99 + ms(LOOK_MAX))), Todo::Look(ID));
        assert_eq!(drill.poll(at(100 + ms(LOOK_MAX))), Todo::Stop);
        assert_eq!(gate(&drill), Some(Gate::Spool));

        let mut drill = mended();
        assert_eq!(drill.poll(at(199 + ms(DELIVERY_MAX))), Todo::Watch(ID));
        assert_eq!(drill.poll(at(200 + ms(DELIVERY_MAX))), Todo::Stop);
        assert_eq!(gate(&drill), Some(Gate::Silence));

        assert!(SEND_MAX + LOOK_MAX < CUT_MAX, "the cut outlasts every step that needs it");
        // A clock that stood still (suspend) ends it as well.
        let mut drill = Machine::begin(at(0));
        drill.handle_sent(Ok(ID), at(ms(CUT_MAX) - 1));
        assert_eq!(drill.poll(at(ms(CUT_MAX))), Todo::Stop);
    }

    #[test]
    fn each_refusal_names_its_gate() {
        let reply =
            |code: u16, text: &str| DeliveryReply { code: Some(code).filter(|c| *c > 0), text: text.to_owned() };
        for (code, text, expected) in [
            (451, "4.7.1 Greylisted, try again in 5 minutes", Gate::Greylisting),
            (450, "4.2.0 Recipient address rejected: Greylisted", Gate::Greylisting),
            (452, "4.3.1 Insufficient system storage", Gate::Deferred),
            (421, "4.3.2 closing", Gate::Port),
            (0, "the connection was lost", Gate::Port),
            (552, "5.3.4 too big", Gate::Size),
            (550, "5.2.3 too long for this mailbox", Gate::Size),
            (550, "5.1.1 no such user", Gate::Mailbox),
            (550, "no such user here", Gate::Mailbox),
            (550, "5.7.1 rejected by policy", Gate::Refused),
            (554, "5.7.1 no", Gate::Refused),
        ] {
            let mut drill = mended();
            drill.handle_sight(sight(Mail::Refused(reply(code, text))), at(900));
            assert_eq!(gate(&drill), Some(expected), "{code} {text}");
        }
    }

    #[test]
    fn what_stops_the_delivery_is_named_at_once() {
        let failed = |problem: Option<&str>, doubt: Option<&str>, is_line_up| {
            let mut drill = mended();
            let text = |words: Option<&str>| words.map(str::to_owned);
            let seen = Sight { mail: Mail::Waiting, problem: text(problem), doubt: text(doubt), is_line_up };
            drill.handle_sight(seen, at(900));
            gate(&drill)
        };
        assert_eq!(failed(Some("connection refused"), None, true), Some(Gate::Port));
        assert_eq!(failed(Some("stopped"), Some("it shows another key"), true), Some(Gate::Identity));
        assert_eq!(failed(None, None, false), Some(Gate::Line));
        assert_eq!(failed(None, None, true), None);
    }

    #[test]
    fn a_door_that_refuses_and_a_cut_that_leaks_fail() {
        let mut drill = Machine::begin(at(0));
        drill.handle_sent(Err("550 5.1.1 no such mailbox".to_owned()), at(20));
        assert_eq!(gate(&drill), Some(Gate::Door));
        assert_eq!(drill.message(), None);

        let mut drill = Machine::begin(at(0));
        drill.handle_sent(Ok(ID), at(20));
        drill.handle_sight(delivered(), at(30));
        assert_eq!(gate(&drill), Some(Gate::Spool));
    }

    #[test]
    fn an_end_stays_what_it_is() {
        let mut drill = mended();
        drill.handle_sight(delivered(), at(300));
        let before = drill.clone();
        drill.handle_fault("stopping".to_owned());
        drill.handle_sight(sight(Mail::Absent), at(400));
        drill.handle_mended(at(400));
        drill.handle_sent(Ok(ID), at(400));
        assert_eq!(drill, before);
    }
}
