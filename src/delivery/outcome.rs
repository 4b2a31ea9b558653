//! What does the primary's reply mean for a message?

use std::time::Duration;

use super::schedule::{MAILBOX_FULL_RETRY, RetryTimes};
use super::wire::Reply;
use crate::base::WallTime;
use crate::spool::{DeliveryReply, Outcome};

/// Characters kept of a reply, as [`DeliveryReply`] promises.
const REPLY_TEXT_CHARS_MAX: usize = 500;

/// What a reply, or its absence, means for one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The primary has it.
    Delivered(DeliveryReply),
    /// Later, with the next attempt.
    Deferred(DeliveryReply),
    /// Later, but this mailbox alone.
    MailboxFull(DeliveryReply),
    /// Refused: kept and shown.
    Refused(DeliveryReply),
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
pub fn judge(reply: &Reply, is_final: bool) -> Verdict {
    let is_mailbox_full = matches!(reply.enhanced(), Some("4.2.2" | "5.2.2"));
    match reply.class() {
        2 if is_final => Verdict::Delivered(words(reply)),
        4 | 5 if is_mailbox_full => Verdict::MailboxFull(words(reply)),
        5 => Verdict::Refused(words(reply)),
        _ => Verdict::Deferred(words(reply)),
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
        _ => RecipientVerdict::Settled(judge(reply, false)),
    }
}

/// Whether the server says that it closes the connection (RFC 5321 §3.8).
#[must_use]
pub const fn is_goodbye(reply: &Reply) -> bool {
    reply.code == 421
}

/// What is recorded, given how often the recipient was tried before.
#[must_use]
pub fn outcome(verdict: Verdict, attempts_before: u32, times: &RetryTimes, now: WallTime) -> Outcome {
    match verdict {
        Verdict::Delivered(reply) => Outcome::Delivered { reply },
        Verdict::Refused(reply) => Outcome::Refused { reply },
        Verdict::Deferred(reply) => {
            Outcome::Deferred { until: later(now, times.after(attempts_before.saturating_add(1))), reply }
        }
        Verdict::MailboxFull(reply) => Outcome::Deferred { until: later(now, MAILBOX_FULL_RETRY), reply },
    }
}

fn later(now: WallTime, wait: Duration) -> WallTime {
    chrono::TimeDelta::from_std(wait).ok().and_then(|wait| now.checked_add_signed(wait)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(code: u16, text: &str) -> Reply {
        Reply { code, lines: vec![text.to_owned()] }
    }

    #[test]
    fn the_class_of_a_reply_decides() {
        assert!(matches!(judge(&reply(250, "ok"), true), Verdict::Delivered(_)));
        assert!(matches!(judge(&reply(250, "ok"), false), Verdict::Deferred(_)));
        assert!(matches!(judge(&reply(354, "go"), true), Verdict::Deferred(_)));
        assert!(matches!(judge(&reply(451, "later"), true), Verdict::Deferred(_)));
        assert!(matches!(judge(&reply(554, "spam"), true), Verdict::Refused(_)));
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
        let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for (code, text) in [(452, "4.2.2 full"), (552, "5.2.2 full")] {
            let verdict = judge(&reply(code, text), false);
            let Outcome::Deferred { until, .. } = outcome(verdict, 0, &RetryTimes::default(), now) else { panic!() };
            assert_eq!((until - now).num_seconds(), 3600);
        }
        let first = outcome(Verdict::Deferred(silence("x")), 0, &RetryTimes::default(), now);
        assert!(matches!(first, Outcome::Deferred { until, .. } if (until - now).num_seconds() == 5));
    }

    #[test]
    fn shown_words_are_cut_and_clean() {
        let text = silence(&"a\r\n".repeat(600)).text;
        assert_eq!(text, "a".repeat(500));
    }
}
