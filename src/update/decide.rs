//! What becomes of one name in one request: changed, left, or refused, with the reason.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::address::Wanted;
use super::model::HostName;
use super::reason::Reason;
use super::word::Word;
use crate::base::WallTime;
use crate::delivery::target::{TargetRules, check_target};

/// What is known of the name.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// As stored.
    pub host: &'a HostName,
    /// While heartbeats come: where they come from. The name follows them.
    pub beats_at: Option<IpAddr>,
    /// Its mail server is offline and the name parked.
    pub is_parked: bool,
}

/// What the device wants of it.
#[derive(Clone, Copy, Debug)]
pub enum Wish {
    /// Point there.
    Point(Wanted),
    /// Point exactly there, and with no other family; nowhere without any.
    Exactly {
        /// For A.
        v4: Option<Ipv4Addr>,
        /// For AAAA.
        v6: Option<Ipv6Addr>,
    },
    /// Point nowhere until told otherwise.
    Withdraw,
}

/// The answer and what has to be stored for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// For the device.
    pub word: Word,
    /// For the customer.
    pub reason: Reason,
    /// The name as it is from now on.
    pub change: Option<HostName>,
}

impl Verdict {
    /// A refusal.
    #[must_use]
    pub const fn refused(word: Word, reason: Reason) -> Self {
        Self { word, reason, change: None }
    }
}

/// Decides for one name. Addresses that are no public ones are refused under `rules`.
#[must_use]
pub fn decide(wish: Wish, known: Known<'_>, rules: TargetRules<'_>, now: WallTime) -> Verdict {
    match wish {
        Wish::Withdraw | Wish::Exactly { v4: None, v6: None } => withdraw(known, now),
        Wish::Exactly { v4, v6 } => {
            let addresses: Vec<IpAddr> = v4.map(IpAddr::V4).into_iter().chain(v6.map(IpAddr::V6)).collect();
            let bare = HostName { address_v4: None, address_v6: None, ..known.host.clone() };
            point(&addresses, bare, known, rules, now)
        }
        Wish::Point(wanted) => match resolve(wanted, known.host) {
            Ok(addresses) => point(&addresses, known.host.clone(), known, rules, now),
            Err(reason) => Verdict::refused(Word::DnsError, reason),
        },
    }
}

fn withdraw(known: Known<'_>, now: WallTime) -> Verdict {
    let (word, change) = if known.host.is_withdrawn {
        (Word::NoChange(known.host.addresses()), None)
    } else {
        let gone = HostName { is_withdrawn: true, changed_at: Some(now), ..known.host.clone() };
        (Word::Good(known.host.addresses()), Some(gone))
    };
    Verdict { word, reason: Reason::Withdrawn, change }
}

/// The addresses that this name gets: of a prefix with its own lower bits, else the whole one.
fn resolve(wanted: Wanted, host: &HostName) -> Result<Vec<IpAddr>, Reason> {
    let own_bits: Option<Ipv6Addr> = host.interface_id.or(host.address_v6);
    let of_prefix = wanted.prefix.and_then(|prefix| prefix.with_host(own_bits?));
    let v6 = of_prefix.or(wanted.v6);
    let addresses: Vec<IpAddr> = wanted.v4.map(IpAddr::V4).into_iter().chain(v6.map(IpAddr::V6)).collect();
    if addresses.is_empty() { Err(Reason::NoInterfaceId) } else { Ok(addresses) }
}

/// `base` is the name with the addresses that stay unless they are among those given.
fn point(addresses: &[IpAddr], base: HostName, known: Known<'_>, rules: TargetRules<'_>, now: WallTime) -> Verdict {
    let is_public = |address: &IpAddr| check_target(SocketAddr::new(*address, 25), rules).is_ok();
    // Ourselves on port 25 is no address of a customer either.
    if !addresses.iter().all(is_public) {
        return Verdict::refused(Word::DnsError, Reason::BadAddress);
    }
    if let Some(address) = known.beats_at {
        return Verdict::refused(Word::NoChange(vec![address]), Reason::BeatsLead);
    }
    let mut host = HostName { is_withdrawn: false, ..base };
    for address in addresses {
        match address {
            IpAddr::V4(v4) => host.address_v4 = Some(*v4),
            IpAddr::V6(v6) => host.address_v6 = Some(*v6),
        }
    }
    if host == *known.host {
        let (word, reason) = if known.is_parked {
            (Word::Good(addresses.to_vec()), Reason::Parked)
        } else {
            (Word::NoChange(addresses.to_vec()), Reason::Unchanged)
        };
        return Verdict { word, reason, change: None };
    }
    host.changed_at = Some(now);
    Verdict { word: Word::Good(addresses.to_vec()), reason: Reason::Changed, change: Some(host) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{AccountId, EndpointId};

    const RULES: TargetRules<'static> = TargetRules { allow_loopback: false, own_addresses: &[] };

    fn host() -> HostName {
        HostName {
            address_v4: Some("203.0.113.7".parse().unwrap()),
            address_v6: Some("2001:db8:1:203::25".parse().unwrap()),
            ..HostName::new("mail.dyn.test".parse().unwrap(), AccountId(1), EndpointId(1))
        }
    }

    fn wanted(list: &str, prefix: &str) -> Wish {
        let mut wanted = Wanted::default();
        wanted.add(list).unwrap();
        wanted.add_prefix(prefix).unwrap();
        Wish::Point(wanted)
    }

    fn ask(wish: Wish, host: &HostName) -> Verdict {
        decide(wish, Known { host, beats_at: None, is_parked: false }, RULES, chrono::DateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_new_address_is_set_and_the_other_family_stays() {
        let verdict = ask(wanted("203.0.113.8", ""), &host());
        assert_eq!(verdict.word.text(), "good 203.0.113.8");
        let change = verdict.change.unwrap();
        assert_eq!((change.address_v6, change.address_v4), (host().address_v6, "203.0.113.8".parse().ok()));
    }

    #[test]
    fn the_same_address_is_no_change_and_never_abuse_while_the_name_is_parked() {
        let same = wanted("203.0.113.7,2001:db8:1:203::25", "");
        let verdict = ask(same, &host());
        assert_eq!((verdict.word.text().as_str(), verdict.change), ("nochg 203.0.113.7,2001:db8:1:203::25", None));
        let known = Known { host: &host(), beats_at: None, is_parked: true };
        let parked = decide(same, known, RULES, chrono::DateTime::UNIX_EPOCH);
        assert_eq!((parked.word.is_success(), parked.reason, parked.change), (true, Reason::Parked, None));
        assert!(parked.word.text().starts_with("good "));
    }

    #[test]
    fn a_new_prefix_from_another_network_than_the_routers_keeps_the_hosts_own_bits() {
        let verdict = ask(wanted("198.51.100.9,2001:db8:ffff::1", "2001:db8:aa:bb00::/56"), &host());
        assert_eq!(verdict.word.text(), "good 198.51.100.9,2001:db8:aa:bb03::25");
        let fresh = HostName { address_v6: None, ..host() };
        let whole = ask(wanted("2001:db8:ffff::1", "2001:db8:aa:bb00::/56"), &fresh);
        assert_eq!(whole.word.text(), "good 2001:db8:ffff::1");
        let settled = HostName { interface_id: Some("::25".parse().unwrap()), ..fresh.clone() };
        assert_eq!(ask(wanted("", "2001:db8:aa:bb::/64"), &settled).word.text(), "good 2001:db8:aa:bb::25");
        let bare = ask(wanted("", "2001:db8:aa:bb::/64"), &fresh);
        assert_eq!((bare.word, bare.reason), (Word::DnsError, Reason::NoInterfaceId));
        assert_eq!(ask(wanted("198.51.100.9", "2001:db8:aa:bb::/64"), &fresh).word.text(), "good 198.51.100.9");
    }

    #[test]
    fn addresses_of_private_networks_are_refused_whole() {
        for list in ["192.168.1.5", "127.0.0.1", "203.0.113.9,fe80::1", "0.0.0.0", "fd00::5"] {
            let verdict = ask(wanted(list, ""), &host());
            assert_eq!((verdict.word, verdict.reason, verdict.change), (Word::DnsError, Reason::BadAddress, None));
        }
    }

    #[test]
    fn while_beats_come_the_name_follows_them() {
        let host = host();
        let known = Known { host: &host, beats_at: Some([203, 0, 113, 99].into()), is_parked: false };
        let verdict = decide(wanted("198.51.100.9", ""), known, RULES, chrono::DateTime::UNIX_EPOCH);
        assert_eq!((verdict.word.text().as_str(), verdict.change), ("nochg 203.0.113.99", None));
        assert_eq!(verdict.reason, Reason::BeatsLead);
    }

    #[test]
    fn exactly_takes_the_other_family_away_and_without_any_the_name() {
        let (v4, v6) = ("203.0.113.7".parse().ok(), "2001:db8:1:203::25".parse().ok());
        let change = ask(Wish::Exactly { v4, v6: None }, &host()).change.unwrap();
        assert_eq!((change.address_v4, change.address_v6, change.is_withdrawn), (v4, None, false));
        assert_eq!(ask(Wish::Exactly { v4, v6 }, &host()).change, None);
        assert!(ask(Wish::Exactly { v4: None, v6: None }, &host()).change.unwrap().is_withdrawn);
        let private = ask(Wish::Exactly { v4: "10.0.0.1".parse().ok(), v6 }, &host());
        assert_eq!((private.word, private.change), (Word::DnsError, None));
        let known = Known { host: &host(), beats_at: Some([203, 0, 113, 99].into()), is_parked: false };
        let led = decide(Wish::Exactly { v4, v6: None }, known, RULES, chrono::DateTime::UNIX_EPOCH);
        assert_eq!((led.reason, led.change), (Reason::BeatsLead, None));
    }

    #[test]
    fn offline_takes_the_name_away_and_the_next_update_brings_it_back() {
        let gone = ask(Wish::Withdraw, &host()).change.unwrap();
        assert!(gone.is_withdrawn);
        assert_eq!(ask(Wish::Withdraw, &gone).change, None);
        let back = ask(wanted("203.0.113.7", ""), &gone);
        assert!(back.word.text().starts_with("good ") && !back.change.unwrap().is_withdrawn);
    }
}
