//! In what portions does an account's mail go out? Oldest first is the spool's promise; here is how much at once.

use std::time::Duration;

use super::route::Leg;
use crate::base::{AccountId, WallTime};
use crate::spool::{ClaimOrder, ClaimQuery, Claimed, ClaimedRecipient};

/// How long mail is fresh: it goes before what has waited for longer, since people may be waiting for it now.
pub const FRESH_FOR: Duration = Duration::from_secs(15 * 60);

/// Messages claimed at once. What is claimed when the process dies may be delivered twice only if its dot was sent,
/// so this bounds returned claims, not duplicates.
pub const CLAIM_MESSAGES_MAX: u32 = 50;

/// Octets of content claimed at once.
pub const CLAIM_OCTETS_MAX: u64 = 4 * 1024 * 1024;

/// Messages on one connection, after which it is closed and another one opened: servers set limits of their own, and
/// other accounts wait for a place.
pub const MESSAGES_PER_CONNECTION_MAX: u32 = 1000;

/// Recipients in one transaction: what every server takes (RFC 5321 §4.5.3.1.8).
pub const RECIPIENTS_PER_TRANSACTION_MAX: usize = 100;

/// The next portion for one server.
#[must_use]
pub fn claim_query(account: AccountId, leg: &Leg, now: WallTime) -> ClaimQuery {
    ClaimQuery {
        account,
        domains: leg.domains.clone(),
        now,
        messages_max: CLAIM_MESSAGES_MAX,
        octets_max: CLAIM_OCTETS_MAX,
        order: ClaimOrder::FreshFirst { fresh_since: now - FRESH_FOR },
    }
}

/// The recipients of the next transaction, of those that are open.
#[must_use]
pub fn next_transaction<'a>(message: &'a Claimed, open: &[u32]) -> Vec<&'a ClaimedRecipient> {
    message
        .recipients
        .iter()
        .filter(|recipient| open.contains(&recipient.ordinal))
        .take(RECIPIENTS_PER_TRANSACTION_MAX)
        .collect()
}
