//! How many transactions are open in all sessions, and how many of them one network has: what is open holds memory and is
//! never asked to leave.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use super::gate::Stress;
use super::rates::neighbourhood_of;
use super::settings::{TRANSACTIONS_MAX, TRANSACTIONS_PER_NETWORK_MAX};

/// The count. As many networks as there are open transactions at most.
#[derive(Debug, Default)]
pub(in crate::smtp) struct Transactions {
    open: AtomicU32,
    by_network: Mutex<HashMap<IpAddr, u32>>,
}

impl Transactions {
    /// Whether one more may be opened; `peer` counts for its network, and is absent for one without limits.
    pub(in crate::smtp) fn admits(&self, peer: Option<IpAddr>) -> bool {
        if self.open.load(Ordering::Relaxed) >= TRANSACTIONS_MAX {
            return false;
        }
        let Some(network) = peer.map(neighbourhood_of) else { return true };
        let by_network = self.by_network.lock().unwrap_or_else(PoisonError::into_inner);
        by_network.get(&network).is_none_or(|own| *own < TRANSACTIONS_PER_NETWORK_MAX)
    }

    /// One more is open.
    pub(in crate::smtp) fn begin(&self, peer: Option<IpAddr>) {
        self.open.fetch_add(1, Ordering::Relaxed);
        if let Some(network) = peer.map(neighbourhood_of) {
            let mut by_network = self.by_network.lock().unwrap_or_else(PoisonError::into_inner);
            *by_network.entry(network).or_default() += 1;
        }
    }

    /// One that was begun for this peer is over.
    pub(in crate::smtp) fn end(&self, peer: Option<IpAddr>) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        let Some(network) = peer.map(neighbourhood_of) else { return };
        let mut by_network = self.by_network.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = by_network.get_mut(&network) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                by_network.remove(&network);
            }
        }
    }

    /// How much peers have to hurry for it.
    pub(in crate::smtp) fn stress(&self) -> Stress {
        match self.open.load(Ordering::Relaxed) {
            open if open > TRANSACTIONS_MAX / 4 * 3 => Stress::Packed,
            open if open > TRANSACTIONS_MAX / 2 => Stress::Crowded,
            _ => Stress::Calm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn one_network_takes_its_share_and_no_more() {
        let transactions = Transactions::default();
        let mut begun = 0;
        for host in 0..1_000u32 {
            let peer = ip(&format!("2001:db8:0:{:x}::1", host % 200));
            if transactions.admits(peer) {
                transactions.begin(peer);
                begun += 1;
            }
        }
        assert_eq!(begun, TRANSACTIONS_PER_NETWORK_MAX);
        assert!(transactions.admits(ip("2001:db8:1::1")) && transactions.admits(None));
        transactions.end(ip("2001:db8::1"));
        assert!(transactions.admits(ip("2001:db8::1")));
    }

    #[test]
    fn all_together_have_their_limit_and_hurry_before_it() {
        let transactions = Transactions::default();
        let stress_at = |open: u32| {
            while transactions.open.load(Ordering::Relaxed) < open {
                transactions.begin(None);
            }
            transactions.stress()
        };
        assert_eq!([stress_at(1_000), stress_at(1_001), stress_at(1_501)], {
            [Stress::Calm, Stress::Crowded, Stress::Packed]
        });
        stress_at(TRANSACTIONS_MAX);
        assert!(!transactions.admits(None));
        transactions.end(None);
        assert!(transactions.admits(None));
    }
}
