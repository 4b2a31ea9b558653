//! Is a sender told what became of his mail? The fixed rules against backscatter; no setting loosens them.

use std::fmt;
use std::time::Duration;

use super::model::{Case, CaseRecipient};
use crate::account::{Directory, OPERATOR};
use crate::base::{ReversePath, WallTime};
use crate::spool::{DeliveryReply, NoticeKind, Notify, RecipientState};
use crate::verdict::{SenderCircumstances, authenticates_sender};

/// How long a failure waits for the other recipients of its message, so that one report names all of them.
pub const GATHER_FOR: Duration = Duration::from_secs(15 * 60);

/// How long a notice waits for the check of its sender.
pub const VERDICT_WAIT: Duration = Duration::from_secs(10 * 60);

/// Age after which a sender is not told any more: whoever sees a report that late does not know what it is about. RFC
/// 5321 §4.5.4.1 has senders themselves give up after 4 to 5 days.
pub const NOTICE_AGE_MAX: Duration = Duration::from_secs(5 * 86_400);

/// Time in which mails to one domain are counted.
pub const CAP_PERIOD: Duration = Duration::from_secs(3_600);

/// Why a sender is not told. The mail is kept and shown all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silence {
    /// `<>`: a report about a report (RFC 5321 §6.1).
    NullSender,
    /// No mailbox at a name.
    NoName,
    /// Bulk mail, a list's, or an automatic one (RFC 3834 §2).
    Automatic,
    /// The sender does not want it (`NOTIFY`).
    NotAsked,
    /// The sender's domain is one of those that the mail is for.
    OwnDomain,
    /// Nobody knows whether the sender sent it.
    NotAuthenticated,
    /// The checks did not come to a result, or are off.
    NotChecked,
    /// Refused as spam or for a policy: whoever is told learns how to do better.
    Policy,
    /// Nothing that the sender could mend: our own fault, or a person's decision to keep it.
    Ours,
    /// Its domain was told often enough in this hour.
    TooMany,
    /// Long ago.
    TooOld,
}

impl Silence {
    /// In words, for the trace.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::NullSender => "not told: the sender is <>, and no report is sent about a report",
            Self::NoName => "not told: the sender's address has no domain",
            Self::Automatic => "not told: automatic, bulk or list mail",
            Self::NotAsked => "not told: the sender does not want to be told (NOTIFY)",
            Self::OwnDomain => "not told: the sender's domain is one of the account's own",
            Self::NotAuthenticated => {
                "not told: neither SPF nor an aligned DKIM signature shows that the sender sent it"
            }
            Self::NotChecked => "not told: the sender was not checked",
            Self::Policy => "not told: refused as spam or by policy",
            Self::Ours => "not told: the message is kept here, and nothing the sender does would change it",
            Self::TooMany => "not told: too many reports to that domain in this hour",
            Self::TooOld => "not told: too long ago",
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// What becomes of a case now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Looked at again later.
    Wait,
    /// Decided.
    Settled {
        /// Ordinals that go into one report; none for no report.
        told: Vec<u32>,
        /// Those whose sender is not told, and why.
        silent: Vec<(u32, Silence)>,
    },
}

/// Whether a header names a list (RFC 2369 §2, RFC 2919 §3): any of its fields is enough.
#[must_use]
pub fn is_of_a_list(header: &[u8]) -> bool {
    header
        .split(|octet| *octet == b'\n')
        .any(|line| line.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"list-")))
}

/// What has to be known beside the case.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Accounts and their domains.
    pub directory: &'a Directory,
    /// Mails made for the sender's domain within [`CAP_PERIOD`].
    pub made_for_domain: u64,
    /// How many there may be.
    pub cap: u64,
    /// Now.
    pub now: WallTime,
}

/// Decides a case.
#[must_use]
pub fn decide(case: &Case, around: Around<'_>) -> Decision {
    let age = around.now - case.first_at;
    let is_past = |limit: Duration| age >= chrono::TimeDelta::from_std(limit).unwrap_or(chrono::TimeDelta::MAX);
    if let Some(silence) = of_envelope(case, around.directory) {
        return all_silent(case, silence);
    }
    if is_past(NOTICE_AGE_MAX) {
        return all_silent(case, Silence::TooOld);
    }
    let silent: Vec<(u32, Silence)> = case
        .recipients
        .iter()
        .filter_map(|recipient| of_recipient(case.kind, recipient).map(|silence| (recipient.ordinal, silence)))
        .collect();
    let told: Vec<u32> = case
        .recipients
        .iter()
        .map(|recipient| recipient.ordinal)
        .filter(|ordinal| !silent.iter().any(|(known, _)| known == ordinal))
        .collect();
    if told.is_empty() {
        return Decision::Settled { told, silent };
    }
    let Some(verdict) = &case.verdict else {
        return if is_past(VERDICT_WAIT) { all_silent(case, Silence::NotChecked) } else { Decision::Wait };
    };
    // An own domain never comes so far; SPF would not speak for it.
    if !authenticates_sender(verdict, &case.reverse_path, SenderCircumstances { is_own_domain: false }) {
        return all_silent(case, Silence::NotAuthenticated);
    }
    if case.is_unfinished && case.kind != NoticeKind::Delayed && !is_past(GATHER_FOR) {
        return Decision::Wait;
    }
    if around.made_for_domain >= around.cap {
        return all_silent(case, Silence::TooMany);
    }
    Decision::Settled { told, silent }
}

fn all_silent(case: &Case, silence: Silence) -> Decision {
    Decision::Settled { told: Vec::new(), silent: case.recipients.iter().map(|one| (one.ordinal, silence)).collect() }
}

/// What the sender's address and the message as a whole say.
fn of_envelope(case: &Case, directory: &Directory) -> Option<Silence> {
    let ReversePath::Mailbox(sender) = &case.reverse_path else { return Some(Silence::NullSender) };
    let Some(domain) = sender.domain() else { return Some(Silence::NoName) };
    if case.is_automatic {
        return Some(Silence::Automatic);
    }
    // By what is served, and by the forward-paths: a domain may have left since.
    let is_served = directory
        .served(domain)
        .is_some_and(|served| case.recipients.iter().any(|recipient| recipient.account == served.account.id));
    let is_addressed = case.recipients.iter().any(|recipient| recipient.mailbox.domain() == Some(domain));
    (is_served || is_addressed).then_some(Silence::OwnDomain)
}

fn of_recipient(kind: NoticeKind, recipient: &CaseRecipient) -> Option<Silence> {
    // Without NOTIFY failures are told, successes and delays are not (RFC 3461 §4.1 leaves delays to the server).
    let is_asked = match (recipient.dsn.notify, kind) {
        (None, NoticeKind::Failed) => true,
        (Some(Notify::When { failure, .. }), NoticeKind::Failed) => failure,
        (Some(Notify::When { success, .. }), NoticeKind::Relayed) => success,
        (Some(Notify::When { delay, .. }), NoticeKind::Delayed) => delay,
        (None | Some(Notify::Never), _) => false,
    };
    if !is_asked {
        return Some(Silence::NotAsked);
    }
    if recipient.account == OPERATOR {
        // Kept for the operator, who reads it here.
        return Some(Silence::Ours);
    }
    if kind != NoticeKind::Failed || recipient.state == RecipientState::Expired {
        return None;
    }
    recipient.reply.as_ref().and_then(of_refusal)
}

/// Whether a refusal is one of those that a sender is never told of.
fn of_refusal(reply: &DeliveryReply) -> Option<Silence> {
    let begins = |beginnings: &[&str]| beginnings.iter().any(|start| reply.text.starts_with(start));
    match reply.code {
        // Not a word of the primary: given up by a person, or a message that its server cannot take (5.6.7). Damage is
        // ours, and the copy is here.
        None if begins(&["stored content"]) || begins(&["the stored content"]) => Some(Silence::Ours),
        None => None,
        // A bad sender address (RFC 3463 §3.2) is a refusal of the sender, as policy is.
        Some(_) if begins(&["5.7.", "5.1.7", "5.1.8"]) => Some(Silence::Policy),
        // TLS or a login is wanted: a matter between the primary and us.
        Some(530) => Some(Silence::Ours),
        Some(554) if enhanced(&reply.text).is_none() => Some(Silence::Policy),
        Some(_) => None,
    }
}

/// The enhanced status code at the head of a reply (RFC 3463 §2).
pub(super) fn enhanced(text: &str) -> Option<&str> {
    let word = text.split(' ').next()?;
    let mut parts = word.split('.');
    let class = parts.next()?;
    let is_number = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|octet| octet.is_ascii_digit());
    let is_whole = parts.next().is_some_and(is_number) && parts.next().is_some_and(is_number);
    (matches!(class, "2" | "4" | "5") && is_whole && parts.next().is_none()).then_some(word)
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
