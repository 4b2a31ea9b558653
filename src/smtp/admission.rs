//! Do we take this recipient, and if not, why? Answered here and nowhere else; whatever is not clearly a customer's
//! mailbox is refused, so that no configuration makes this an open relay.

use super::path::ForwardPath;
use super::reply::{self, Reply};
use super::settings::{OPERATOR_OCTETS_MAX, RECIPIENTS_MAX, Settings};
use crate::account::{Account, AccountStatus, Directory, Kept, OPERATOR, SUSPENDED_TAKES_MAIL_FOR, ServedDomain};
use crate::base::{AccountId, DomainName, LocalPart, Mailbox, WallTime};
use crate::recipient::Judgement;
use crate::spool::{NewRecipient, RecipientDsn, Usage};

/// What a recipient is judged by, besides its address.
pub struct Surroundings<'a> {
    /// Accounts and domains of this instant.
    pub directory: &'a Directory,
    /// What an account holds.
    pub usage: &'a dyn Fn(AccountId) -> Usage,
    /// What is known of a mailbox of a served domain.
    pub recipient: &'a dyn Fn(&ServedDomain<'_>, &LocalPart) -> Judgement,
    /// Limits and the postmaster.
    pub settings: &'a Settings,
    /// What one account may hold while the disk is rather full, octets.
    pub fair_share: Option<u64>,
    /// Now.
    pub now: WallTime,
}

/// Judges one recipient of a transaction that already has `accepted` and is to bring `octets` (0: not declared).
///
/// # Errors
/// The reply that the peer gets.
pub fn admit(
    path: &ForwardPath,
    accepted: &[NewRecipient],
    octets: u64,
    around: &Surroundings<'_>,
) -> Result<NewRecipient, Reply> {
    let recipient = match path {
        ForwardPath::Routed(_) => return Err(reply::ROUTED),
        ForwardPath::Postmaster => operator(None, around)?,
        ForwardPath::Mailbox(mailbox) if is_for_the_operator(mailbox, around.settings) => {
            operator(Some(mailbox), around)?
        }
        ForwardPath::Mailbox(mailbox) => served(mailbox, reply::NOT_SERVED, around)?,
    };
    if accepted.len() >= RECIPIENTS_MAX && !accepted.iter().any(|known| known.is_same_mailbox(&recipient)) {
        return Err(reply::TOO_MANY_RECIPIENTS);
    }
    if !has_room(recipient.account, octets, around) {
        return Err(reply::ACCOUNT_FULL);
    }
    Ok(recipient)
}

/// Whether an account may hold `octets` more.
#[must_use]
pub fn has_room(account: AccountId, octets: u64, around: &Surroundings<'_>) -> bool {
    let held = (around.usage)(account).octets;
    let own = if account == OPERATOR { OPERATOR_OCTETS_MAX } else { around.settings.account_octets_max.0 };
    let limit = own.min(around.fair_share.unwrap_or(u64::MAX));
    held < limit && held.saturating_add(octets) <= limit
}

/// Why the recipient's own server could never take a message of so many octets, as it spoke when it was last heard. No
/// limit is known of one that was never heard.
#[must_use]
pub fn never_taken(recipient: &NewRecipient, octets: u64, smtputf8: bool, directory: &Directory) -> Option<Reply> {
    let served = directory.served(recipient.mailbox.domain()?)?;
    if smtputf8 && directory.none_takes_smtputf8(served.endpoints) {
        return Some(reply::NO_SMTPUTF8_THERE);
    }
    directory.octets_max_of(served.endpoints).filter(|limit| octets > *limit).map(|_| reply::TOO_BIG_THERE)
}

/// `postmaster@` and `abuse@` our own host name are the operator's, as `<Postmaster>` is (RFC 2142 §4, RFC 2142 §5).
fn is_for_the_operator(mailbox: &Mailbox, settings: &Settings) -> bool {
    mailbox.domain() == Some(&settings.hostname) && mailbox.local_part.is_role()
}

/// The mailbox that the operator named; without one the mail is kept for him here. One in a domain that is not served is
/// the operator's mistake: senders come again until it is mended.
fn operator(named: Option<&Mailbox>, around: &Surroundings<'_>) -> Result<NewRecipient, Reply> {
    if let Some(mailbox) = &around.settings.postmaster {
        return served(mailbox, reply::NO_POSTMASTER, around);
    }
    let mailbox = named.cloned().unwrap_or_else(|| Mailbox::postmaster(&around.settings.hostname));
    Ok(NewRecipient { account: OPERATOR, mailbox, dsn: RecipientDsn::default() })
}

fn served(mailbox: &Mailbox, stranger: Reply, around: &Surroundings<'_>) -> Result<NewRecipient, Reply> {
    let Some(domain) = mailbox.domain() else { return Err(stranger) };
    let Some(served) = around.directory.served(domain) else {
        return Err(not_served(domain, around).unwrap_or(stranger));
    };
    if names_a_route(&mailbox.local_part) {
        return Err(reply::ROUTED);
    }
    may_have_mail(served.account, around.now)?;
    match (around.recipient)(&served, &mailbox.local_part) {
        Judgement::Accept => {}
        Judgement::Defer => return Err(reply::UNVERIFIED),
        Judgement::Reject => return Err(reply::NO_MAILBOX),
    }
    Ok(NewRecipient { account: served.account.id, mailbox: mailbox.clone(), dsn: RecipientDsn::default() })
}

/// What is said of a domain that was served here once or ought to be.
fn not_served(domain: &DomainName, around: &Surroundings<'_>) -> Option<Reply> {
    match around.directory.kept(domain)? {
        Kept::Unreadable => Some(reply::UNREADABLE),
        Kept::Retired { deferred_until } if around.now < deferred_until => Some(reply::LEAVING),
        Kept::Retired { .. } => Some(reply::GONE),
    }
}

fn may_have_mail(account: &Account, now: WallTime) -> Result<(), Reply> {
    match account.status {
        AccountStatus::Active => Ok(()),
        AccountStatus::Leaving => Err(reply::LEAVING),
        AccountStatus::Suspended if now <= account.status_since + SUSPENDED_TAKES_MAIL_FOR => Ok(()),
        AccountStatus::Suspended => Err(reply::SUSPENDED),
    }
}

/// `user%other@ours`, `other!user@ours` and `"user@other"@ours` ask the next host to send on. The primary trusts us
/// more than it would trust the sender and might do so; no mailbox of today has such a name (RFC 5321 §3.6.1 has
/// source routes deprecated, RFC 2505 §2.11 wants these forms refused).
fn names_a_route(local_part: &LocalPart) -> bool {
    local_part.unquoted().contains(['%', '!', '@'])
}

#[cfg(test)]
mod tests;
