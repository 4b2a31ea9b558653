//! How often somebody may ask over HTTP: plain beats, new tokens, and wrong tokens.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::base::{EndpointId, Moment};
use crate::heartbeat::datagram::Locator;

/// Between two plain beats of one server that count.
pub(super) const PLAIN_EVERY: Duration = Duration::from_secs(1);
/// Between two renewals of one server's token.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(60);
/// After a renewal the old token may ask once more within this time: the answer may have been lost.
const RENEW_AGAIN_WITHIN: Duration = Duration::from_secs(600);
/// Between two lists of recipients of one server.
pub(super) const UPLOAD_EVERY: Duration = Duration::from_secs(2);
/// Wrong tokens of one network (/32 or /64) within a minute that are answered one by one.
const WRONG_PER_MINUTE: u32 = 30;
/// Networks remembered. Beyond it wrong tokens are refused without being counted: nothing is let in by that.
const NETWORKS_MAX: usize = 4_096;

/// What was asked lately. A right token is never slowed down by the wrong ones of its neighbours.
#[derive(Debug, Default)]
pub(in crate::web) struct Limits {
    plain: HashMap<EndpointId, Moment>,
    uploaded: HashMap<EndpointId, Moment>,
    renewed: HashMap<EndpointId, (Moment, Locator)>,
    wrong: HashMap<IpAddr, (Moment, u32)>,
}

/// Whether a renewal may go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::web) enum Renewal {
    Granted,
    TooSoon,
    /// The token was replaced by somebody else.
    Replaced,
}

impl Limits {
    /// Whether a plain beat of `endpoint` comes at a fair distance from the one before.
    pub(super) fn admits_plain(&mut self, endpoint: EndpointId, now: Moment) -> bool {
        let is_fair = self.plain.get(&endpoint).is_none_or(|before| now.since(*before) >= PLAIN_EVERY);
        if is_fair {
            self.plain.insert(endpoint, now);
        }
        is_fair
    }

    /// Whether a list of recipients comes at a fair distance from the one before.
    pub(super) fn admits_upload(&mut self, endpoint: EndpointId, now: Moment) -> bool {
        let is_fair = self.uploaded.get(&endpoint).is_none_or(|before| now.since(*before) >= UPLOAD_EVERY);
        if is_fair {
            self.uploaded.insert(endpoint, now);
        }
        is_fair
    }

    /// Whether the token behind `locator` may be exchanged for a new one. One that was replaced may not, or whoever
    /// stole it could follow each rotation; except by the client that has just renewed it.
    pub(super) fn admits_renewal(
        &mut self,
        endpoint: EndpointId,
        (locator, is_current): (Locator, bool),
        now: Moment,
    ) -> Renewal {
        let before = self.renewed.get(&endpoint).copied();
        let renewed_it = |(at, old): (Moment, Locator)| old == locator && now.since(at) < RENEW_AGAIN_WITHIN;
        if !is_current && !before.is_some_and(renewed_it) {
            return Renewal::Replaced;
        }
        if before.is_some_and(|(at, _)| now.since(at) < RENEW_EVERY) {
            return Renewal::TooSoon;
        }
        self.renewed.insert(endpoint, (now, locator));
        Renewal::Granted
    }

    /// Counts a wrong token; false if this network tries too often.
    pub(super) fn admits_wrong(&mut self, peer: IpAddr, now: Moment) -> bool {
        let minute = Duration::from_secs(60);
        let network = network(peer);
        if self.wrong.len() >= NETWORKS_MAX && !self.wrong.contains_key(&network) {
            self.wrong.retain(|_, (since, _)| now.since(*since) < minute);
            if self.wrong.len() >= NETWORKS_MAX {
                return false;
            }
        }
        let (since, count) = self.wrong.entry(network).or_insert((now, 0));
        if now.since(*since) >= minute {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= WRONG_PER_MINUTE
    }
}

/// The address itself, or the /64 of IPv6.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_millis(3_600_000);
    const ONE: EndpointId = EndpointId(1);

    #[test]
    fn plain_beats_and_renewals_are_limited_for_each_server_alone() {
        let mut limits = Limits::default();
        let second = Duration::from_secs(1);
        assert!(limits.admits_plain(ONE, START) && limits.admits_plain(EndpointId(2), START));
        assert!(!limits.admits_plain(ONE, START + second / 2));
        assert!(limits.admits_plain(ONE, START + second));
        let key = (Locator([1; 8]), true);
        assert_eq!(limits.admits_renewal(ONE, key, START), Renewal::Granted);
        assert_eq!(limits.admits_renewal(ONE, key, START + second * 59), Renewal::TooSoon);
        assert_eq!(limits.admits_renewal(EndpointId(2), key, START), Renewal::Granted);
    }

    #[test]
    fn a_replaced_token_renews_only_for_the_client_that_replaced_it_and_only_for_10_minutes() {
        let mut limits = Limits::default();
        let (old, other) = (Locator([1; 8]), Locator([2; 8]));
        assert_eq!(limits.admits_renewal(ONE, (old, false), START), Renewal::Replaced);
        assert_eq!(limits.admits_renewal(ONE, (old, true), START), Renewal::Granted);
        assert_eq!(limits.admits_renewal(ONE, (other, false), START + RENEW_EVERY), Renewal::Replaced);
        assert_eq!(limits.admits_renewal(ONE, (old, false), START + RENEW_EVERY), Renewal::Granted);
        let later = START + RENEW_EVERY + RENEW_AGAIN_WITHIN;
        assert_eq!(limits.admits_renewal(ONE, (old, false), later), Renewal::Replaced);
    }

    #[test]
    fn wrong_tokens_are_counted_by_network_and_memory_stays_bounded() {
        let mut limits = Limits::default();
        let peers = ["2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap()];
        let admitted = (0..100).filter(|i| limits.admits_wrong(peers[i % 2], START)).count();
        assert_eq!(admitted, 30);
        assert!(limits.admits_wrong("192.0.2.1".parse().unwrap(), START));
        assert!(limits.admits_wrong(peers[0], START + Duration::from_secs(60)));
        for i in 0..10_000u32 {
            limits.admits_wrong(IpAddr::from(i.to_be_bytes()), START + Duration::from_secs(61));
        }
        assert!(limits.wrong.len() <= NETWORKS_MAX);
    }
}
