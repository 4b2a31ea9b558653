//! In what portions does an account's mail go out, and over how many connections? The order within is the spool's
//! promise.

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

/// Claimed messages below which the next portion is fetched, so that no connection waits for it.
pub const CLAIM_AGAIN_BELOW: usize = 25;

/// Octets of content that one connection carries while other accounts wait for a place; then they have their turn.
pub const TURN_OCTETS_MAX: u64 = 16 * 1024 * 1024;

/// Connections that a flush may have after so many delivered messages: 1, then 2, then all.
#[must_use]
pub const fn lanes_after(delivered: u64, lanes_max: usize) -> usize {
    let most = match delivered {
        0 => 1,
        1..4 => 2,
        _ => lanes_max,
    };
    if most < lanes_max { most } else { lanes_max }
}

/// The next portion for one server. `is_canary`: the one message to try it with.
#[must_use]
pub fn claim_query(account: AccountId, leg: &Leg, now: WallTime, is_canary: bool) -> ClaimQuery {
    let fresh_since = now - FRESH_FOR;
    ClaimQuery {
        account,
        domains: leg.domains.clone(),
        now,
        messages_max: if is_canary { 1 } else { CLAIM_MESSAGES_MAX },
        octets_max: CLAIM_OCTETS_MAX,
        order: if is_canary { ClaimOrder::Canary { fresh_since } } else { ClaimOrder::FreshFirst { fresh_since } },
    }
}

/// The recipients of the next transaction, of those that are open; one for a server that judges them together.
#[must_use]
pub fn next_transaction<'a>(message: &'a Claimed, open: &[u32], is_one_by_one: bool) -> Vec<&'a ClaimedRecipient> {
    let most = if is_one_by_one { 1 } else { RECIPIENTS_PER_TRANSACTION_MAX };
    message.recipients.iter().filter(|recipient| open.contains(&recipient.ordinal)).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_begins_with_one_connection_and_ends_with_all() {
        let lanes: Vec<usize> = (0..6).map(|delivered| lanes_after(delivered, 4)).collect();
        assert_eq!(lanes, [1, 2, 2, 2, 4, 4]);
        assert_eq!(lanes_after(100, 1), 1);
        assert_eq!(lanes_after(1, 1), 1);
    }
}
