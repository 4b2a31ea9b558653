//! What does the primary's reply mean for a message?

use std::time::Duration;

use super::schedule::{KNOWN_GOOD_RETRY, MAILBOX_FULL_RETRY, RetryTimes};
use super::wire::Reply;
use crate::base::WallTime;
use crate::spool::{DeliveryReply, Outcome};

/// Characters kept of a reply, as [`DeliveryReply`] promises.
const REPLY_TEXT_CHARS_MAX: usize = 500;

/// Refusals of a recipient that the primary took before, after which it is believed: a day of hourly attempts.
pub const KNOWN_GOOD_REFUSALS_MAX: u32 = 24;

/// What a reply, or its absence, means for one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The primary has it.
    Delivered(DeliveryReply),
    /// Later, with the next attempt.
    Deferred(DeliveryReply),
    /// Later, but this mailbox alone.
    MailboxFull(DeliveryReply),
    /// Refused: kept and shown, some of it tried again first.
    Refused(DeliveryReply, Refusal),
}

/// What was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The recipient: at RCPT, or with 5.1.x wherever it was said.
    Recipient,
    /// The recipient at RCPT, with a reason of policy (5.7.x): a spam run looks like this, and so does a server that
    /// relays for nobody any more.
    Policy,
    /// The sender, the content or its size.
    Message,
    /// Nothing was asked: this message must not be sent there.
    Ours,
}

/// What a reply answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA, before the content.
    Data,
    /// The final dot.
    Final,
}

/// The reply to RCPT.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecipientVerdict {
    /// Part of this transaction.
    Accepted,
    /// Not this time: the server takes no more recipients in one transaction.
    NextTransaction,
    /// Decided.
    Settled(Verdict),
}

/// The words of a reply, as stored and shown.
#[must_use]
pub fn words(reply: &Reply) -> DeliveryReply {
    DeliveryReply { code: Some(reply.code), text: shown(&reply.text()) }
}

/// Why there was no reply, in the same form.
#[must_use]
pub fn silence(why: &str) -> DeliveryReply {
    DeliveryReply { code: None, text: shown(why) }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(REPLY_TEXT_CHARS_MAX).collect()
}

/// Judges a reply by its class: to the final dot, and every 4yz or 5yz before it. A 2yz or 3yz at a place where it
/// makes no sense is no delivery.
#[must_use]
pub fn judge(reply: &Reply, stage: Stage) -> Verdict {
    let is_mailbox_full = matches!(reply.enhanced(), Some("4.2.2" | "5.2.2"));
    match reply.class() {
        2 if stage == Stage::Final => Verdict::Delivered(words(reply)),
        4 | 5 if is_mailbox_full => Verdict::MailboxFull(words(reply)),
        5 => Verdict::Refused(words(reply), refusal(reply, stage)),
        _ => Verdict::Deferred(words(reply)),
    }
}

fn refusal(reply: &Reply, stage: Stage) -> Refusal {
    let begins = |class: &str| reply.enhanced().is_some_and(|code| code.starts_with(class));
    match stage {
        Stage::Rcpt if begins("5.7.") => Refusal::Policy,
        Stage::Rcpt => Refusal::Recipient,
        Stage::Data | Stage::Final if begins("5.1.") => Refusal::Recipient,
        Stage::Mail | Stage::Data | Stage::Final => Refusal::Message,
    }
}

/// Judges the reply to RCPT. `others_accepted`: recipients before it in this transaction were.
///
/// 452 4.5.3, or 452 and 552 without an enhanced code, mean too many recipients only then (RFC 5321 §4.5.3.1.10).
#[must_use]
pub fn judge_recipient(reply: &Reply, others_accepted: bool) -> RecipientVerdict {
    let too_many = match (reply.code, reply.enhanced()) {
        (452 | 552, None) => true,
        (_, Some(code)) => matches!(code, "4.5.3" | "5.5.3"),
        (_, None) => false,
    };
    match reply.class() {
        2 => RecipientVerdict::Accepted,
        _ if too_many && others_accepted => RecipientVerdict::NextTransaction,
        _ => RecipientVerdict::Settled(judge(reply, Stage::Rcpt)),
    }
}

/// Whether one unknown recipient of several made the server refuse the message after its dot (Exchange does so): the
/// others are asked for one by one before anything is judged.
#[must_use]
pub fn is_about_one_of_several(reply: &Reply, recipients: usize) -> bool {
    recipients > 1 && reply.class() == 5 && reply.enhanced().is_some_and(|code| code.starts_with("5.1."))
}

/// Whether a deferral asks a stranger to come again later (greylisting), judged by its words.
#[must_use]
pub fn is_greylisting(reply: &DeliveryReply) -> bool {
    let text = reply.text.to_ascii_lowercase();
    let says = ["greylist", "graylist", "grey-list", "gray-list", "grey list"].iter().any(|word| text.contains(word));
    says || (matches!(reply.code, Some(450 | 451)) && text.starts_with("4.7.1"))
}

/// Whether a deferral says that the server's disk is full (RFC 3463 §3.4).
#[must_use]
pub fn is_disk_full(reply: &DeliveryReply) -> bool {
    reply.code.is_some() && reply.text.starts_with("4.3.1")
}

/// Whether the server says that it closes the connection (RFC 5321 §3.8).
#[must_use]
pub const fn is_goodbye(reply: &Reply) -> bool {
    reply.code == 421
}

/// What has to be known beside the verdict.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// How often the recipient was tried before.
    pub attempts_before: u32,
    /// How often it was refused before and that was not believed.
    pub refusals_before: u32,
    /// The primary took mail for it before.
    pub is_known_good: bool,
    /// No refusal is final yet: the server has just returned, or the breaker is open. Looked at again then.
    pub held_until: Option<WallTime>,
    /// Waits.
    pub times: &'a RetryTimes,
    /// When it happened.
    pub now: WallTime,
}

/// What is recorded.
#[must_use]
pub fn outcome(verdict: Verdict, at: Circumstances<'_>) -> Outcome {
    let Circumstances { attempts_before, refusals_before, is_known_good, held_until, times, now } = at;
    match verdict {
        Verdict::Delivered(reply) => Outcome::Delivered { reply },
        Verdict::Refused(reply, Refusal::Ours) => Outcome::Refused { reply },
        Verdict::Refused(reply, refusal) => match held_until {
            Some(until) => Outcome::Deferred { until, reply },
            None if refusal == Refusal::Recipient && is_known_good && refusals_before < KNOWN_GOOD_REFUSALS_MAX => {
                Outcome::Deferred { until: later(now, KNOWN_GOOD_RETRY), reply }
            }
            None => Outcome::Refused { reply },
        },
        Verdict::Deferred(reply) => {
            Outcome::Deferred { until: later(now, times.after(attempts_before.saturating_add(1))), reply }
        }
        Verdict::MailboxFull(reply) => Outcome::Deferred { until: later(now, MAILBOX_FULL_RETRY), reply },
    }
}

/// `wait` from `now`.
#[must_use]
pub fn later(now: WallTime, wait: Duration) -> WallTime {
    chrono::TimeDelta::from_std(wait).ok().and_then(|wait| now.checked_add_signed(wait)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: u16, text: &str) -> Reply {
        Reply { code, lines: vec![text.to_owned()] }
    }

    fn now() -> WallTime {
        chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn waits(verdict: Verdict, is_known_good: bool, refusals_before: u32, held_until: Option<WallTime>) -> Option<i64> {
        let times = RetryTimes::default();
        // Deferrals say nothing of a refusal, however many there were.
        let attempts_before = if is_known_good { 1_000 } else { refusals_before };
        let at =
            Circumstances { attempts_before, refusals_before, is_known_good, held_until, times: &times, now: now() };
        let outcome = outcome(verdict, at);
        if let Outcome::Deferred { until, .. } = outcome {
            return Some((until - now()).num_seconds());
        }
        assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
        None
    }

    #[test]
    fn the_class_of_a_reply_decides() {
        assert!(matches!(judge(&reply(250, "ok"), Stage::Final), Verdict::Delivered(_)));
        assert!(matches!(judge(&reply(250, "ok"), Stage::Rcpt), Verdict::Deferred(_)));
        assert!(matches!(judge(&reply(354, "go"), Stage::Final), Verdict::Deferred(_)));
        assert!(matches!(judge(&reply(451, "later"), Stage::Final), Verdict::Deferred(_)));
        assert!(matches!(judge(&reply(554, "spam"), Stage::Final), Verdict::Refused(_, Refusal::Message)));
    }

    #[test]
    fn what_was_refused_follows_from_place_and_code() {
        let refused = |code, text: &str, stage| {
            let Verdict::Refused(_, refusal) = judge(&reply(code, text), stage) else { panic!("refused") };
            refusal
        };
        assert_eq!(refused(550, "5.1.1 unknown", Stage::Rcpt), Refusal::Recipient);
        assert_eq!(refused(550, "no", Stage::Rcpt), Refusal::Recipient);
        assert_eq!(refused(554, "5.7.1 relay access denied", Stage::Rcpt), Refusal::Policy);
        assert_eq!(refused(550, "5.1.1 unknown", Stage::Final), Refusal::Recipient);
        assert_eq!(refused(552, "5.3.4 too big", Stage::Mail), Refusal::Message);
        assert_eq!(refused(554, "5.7.1 spam", Stage::Final), Refusal::Message);
        assert_eq!(refused(550, "5.1.8 bad sender", Stage::Mail), Refusal::Message);
    }

    #[test]
    fn too_many_recipients_is_not_a_failure_once_others_were_accepted() {
        for (code, text) in [(452, "4.5.3 too many"), (452, "too many"), (552, "too many")] {
            assert_eq!(judge_recipient(&reply(code, text), true), RecipientVerdict::NextTransaction, "{code} {text}");
            assert!(matches!(judge_recipient(&reply(code, text), false), RecipientVerdict::Settled(_)), "{code}");
        }
        assert!(matches!(judge_recipient(&reply(452, "4.2.2 full"), true), RecipientVerdict::Settled(_)));
        assert!(matches!(judge_recipient(&reply(552, "5.2.2 full"), true), RecipientVerdict::Settled(_)));
        assert!(matches!(judge_recipient(&reply(450, "greylisted"), true), RecipientVerdict::Settled(_)));
    }

    #[test]
    fn a_full_mailbox_is_tried_hourly_however_it_is_said() {
        for (code, text) in [(452, "4.2.2 full"), (552, "5.2.2 full")] {
            assert_eq!(waits(judge(&reply(code, text), Stage::Rcpt), false, 0, None), Some(3600));
        }
        assert_eq!(waits(Verdict::Deferred(silence("x")), false, 0, None), Some(5));
    }

    #[test]
    fn a_refusal_just_after_a_return_is_held_whatever_it_says() {
        let until = Some(now() + Duration::from_secs(77));
        for stage in [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Final] {
            assert_eq!(waits(judge(&reply(554, "5.7.1 no"), stage), false, 99, until), Some(77));
            assert_eq!(waits(judge(&reply(554, "5.7.1 no"), stage), true, 0, None), None);
        }
        assert_eq!(waits(Verdict::Refused(silence("damaged"), Refusal::Ours), true, 0, until), None);
    }

    #[test]
    fn a_known_recipient_is_given_up_only_after_a_day_of_refusals() {
        let refused = || judge(&reply(550, "5.1.1 unknown"), Stage::Rcpt);
        assert_eq!(waits(refused(), false, 0, None), None);
        assert_eq!(waits(refused(), true, KNOWN_GOOD_REFUSALS_MAX - 1, None), Some(3600));
        assert_eq!(waits(refused(), true, KNOWN_GOOD_REFUSALS_MAX, None), None);
    }

    #[test]
    fn greylisting_and_full_disks_are_known_by_their_words() {
        let said = |code, text: &str| DeliveryReply { code: Some(code), text: text.to_owned() };
        for (code, text) in [(450, "4.2.0 Greylisted, see x"), (451, "4.7.1 please come again"), (451, "graylisting")] {
            assert!(is_greylisting(&said(code, text)), "{text}");
        }
        assert!(!is_greylisting(&said(451, "4.3.0 later")));
        assert!(is_disk_full(&said(452, "4.3.1 full")) && !is_disk_full(&said(452, "4.2.2 full")));
    }

    #[test]
    fn a_message_refused_for_one_of_several_is_no_verdict_yet() {
        let unknown = reply(550, "5.1.10 recipient not found");
        assert!(is_about_one_of_several(&unknown, 2) && !is_about_one_of_several(&unknown, 1));
        assert!(!is_about_one_of_several(&reply(554, "5.7.1 spam"), 2));
    }

    #[test]
    fn shown_words_are_cut_and_clean() {
        let text = silence(&"a\r\n".repeat(600)).text;
        assert_eq!(text, "a".repeat(500));
    }
}
