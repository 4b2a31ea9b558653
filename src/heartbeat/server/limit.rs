//! How many challenges one source may cause: 2 a second for each run of a client.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Duration;

use super::path::Run;
use crate::base::Moment;

/// Challenges for one source and run within a second (docs/PROTOCOL.md §5).
const CHALLENGES_PER_SECOND: u64 = 2;
/// Sources remembered, of all clients together, in 16 octets each. When two share a place the older is forgotten: a
/// challenge is never longer than what caused it, so nothing is amplified.
const SOURCES_MAX: usize = 65_536;

/// Low bits of a count hold how many, the others since when.
const COUNT_BITS: u32 = 8;

#[derive(Debug)]
pub(super) struct ChallengeLimit {
    sources: Vec<u64>,
    counts: Vec<u64>,
    hasher: std::hash::BuildHasherDefault<std::hash::DefaultHasher>,
    seed: u64,
}

impl ChallengeLimit {
    /// Nobody yet. `seed` keeps strangers from choosing whom they make us forget.
    pub(super) fn new(seed: u64) -> Self {
        Self { sources: vec![0; SOURCES_MAX], counts: vec![0; SOURCES_MAX], hasher: Default::default(), seed }
    }

    /// Whether one more may be sent now.
    pub(super) fn admits(&mut self, source: IpAddr, run: Run, now: Moment) -> bool {
        let hash = self.hasher.hash_one((self.seed, source, run.locator, run.boot));
        let place = usize::try_from(hash).unwrap_or(0) % SOURCES_MAX;
        let (Some(known), Some(count)) = (self.sources.get_mut(place), self.counts.get_mut(place)) else {
            return false;
        };
        let (since, sent) = (*count >> COUNT_BITS, *count & ((1 << COUNT_BITS) - 1));
        let is_running = *known == hash && now.since(Moment::from_millis(since)) < Duration::from_secs(1);
        if !is_running {
            (*known, *count) = (hash, now.as_millis() << COUNT_BITS | 1);
            return true;
        }
        if sent >= CHALLENGES_PER_SECOND {
            return false;
        }
        *count += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::datagram::{BootId, Locator};

    #[test]
    fn each_source_and_run_gets_two_a_second() {
        let mut limit = ChallengeLimit::new(7);
        let run = |boot| Run { locator: Locator([1; 8]), boot: BootId(boot) };
        let (here, there): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let at = Moment::from_millis;
        let asked = [
            (here, 1, 5_000),
            (here, 1, 5_500),
            (here, 1, 5_999),
            (here, 2, 5_999),
            (there, 1, 5_999),
            (here, 1, 6_000),
        ];
        let admitted = asked.map(|(source, boot, now)| limit.admits(source, run(boot), at(now)));
        assert_eq!(admitted, [true, true, false, true, true, true]);
    }
}
