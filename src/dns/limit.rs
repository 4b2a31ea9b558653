//! How often a network is answered over UDP: nobody is to be flooded by answers that he did not ask for.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::base::Moment;

/// Networks that are told apart; beyond them several share one budget. 512 KiB.
const NETWORKS_HELD: usize = 65_536;
/// Answers that a calm network may have at once, in seconds of its rate.
const BURST_S: u64 = 2;

/// What becomes of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permit {
    /// It is sent.
    Send,
    /// "Ask over TCP" is sent in its place, no longer than the question: who asked goes on, who did not is not flooded.
    Slip,
    /// Nothing is sent.
    Drop,
}

/// Budgets of /24 and /56 networks. For each the time up to which its budget is spent, in microseconds.
pub struct Limiter {
    /// Microseconds that one answer costs; 0 without a limit.
    cost: u64,
    spent_until: Box<[AtomicU64]>,
    refused: AtomicU32,
    hasher: std::hash::RandomState,
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").field("cost", &self.cost).finish_non_exhaustive()
    }
}

impl Limiter {
    /// So many answers a second; 0 for no limit.
    #[must_use]
    pub fn new(answers_per_second: u32) -> Self {
        let cost = 1_000_000u64.checked_div(u64::from(answers_per_second)).unwrap_or(0);
        let networks = if cost == 0 { 0 } else { NETWORKS_HELD };
        Self {
            cost,
            spent_until: (0..networks).map(|_| AtomicU64::new(0)).collect(),
            refused: AtomicU32::new(0),
            hasher: std::hash::RandomState::new(),
        }
    }

    /// One answer to `peer`; counted. Every second one beyond the budget slips.
    pub fn take(&self, peer: IpAddr, now: Moment) -> Permit {
        let Ok(networks) = u64::try_from(self.spent_until.len()) else { return Permit::Send };
        let Some(at) = self.hasher.hash_one(network(peer)).checked_rem(networks) else { return Permit::Send };
        let Some(cell) = usize::try_from(at).ok().and_then(|at| self.spent_until.get(at)) else { return Permit::Send };
        let now = now.as_millis().saturating_mul(1_000);
        let burst = BURST_S * 1_000_000;
        let spend = |spent: u64| {
            let next = spent.max(now) + self.cost;
            (next <= now + burst).then_some(next)
        };
        match cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend) {
            Ok(_) => Permit::Send,
            Err(_) if self.refused.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => Permit::Slip,
            Err(_) => Permit::Drop,
        }
    }
}

/// The network whose budget an address draws on: /24, or /56.
#[must_use]
pub fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => v6.to_bits() >> 72 | 1 << 127,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_beyond_its_rate_hears_every_second_time_to_ask_over_tcp() {
        let limiter = Limiter::new(100);
        let start = Moment::from_millis(5_000_000);
        let sent = (0..400).filter(|_| limiter.take(ip("192.0.2.7"), start) == Permit::Send).count();
        assert_eq!(sent, 200, "two seconds' worth at once");
        let next: Vec<Permit> = (0..4).map(|_| limiter.take(ip("192.0.2.250"), start)).collect();
        assert_eq!(next.iter().filter(|permit| **permit == Permit::Slip).count(), 2);
        assert_eq!(limiter.take(ip("192.0.3.7"), start), Permit::Send, "the next network");
        let later = start + std::time::Duration::from_millis(10);
        assert_eq!(limiter.take(ip("192.0.2.7"), later), Permit::Send, "one more after 10 ms");
        assert_ne!(limiter.take(ip("192.0.2.7"), later), Permit::Send);
    }

    #[test]
    fn without_a_limit_everything_is_sent() {
        let limiter = Limiter::new(0);
        assert!((0..10_000).all(|_| limiter.take(ip("192.0.2.7"), Moment::default()) == Permit::Send));
    }

    #[test]
    fn networks_are_those_that_providers_give_out() {
        assert_eq!(network(ip("192.0.2.1")), network(ip("::ffff:192.0.2.255")));
        assert_ne!(network(ip("192.0.2.1")), network(ip("192.0.3.1")));
        assert_eq!(network(ip("2001:db8:0:ff00::1")), network(ip("2001:db8:0:ffff::1")));
        assert_ne!(network(ip("2001:db8:0:fe00::1")), network(ip("2001:db8:0:ff00::1")));
    }
}
