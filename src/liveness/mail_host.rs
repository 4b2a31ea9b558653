//! Where the mail server is, if its client runs on another machine of the same network: which address a list may publish.
//!
//! A list proves nothing (docs/PROTOCOL.md §5). Its IPv6 mail host is published in place of the proven source if both are in one
//! /64, or in one delegated prefix that the list names as well.

use std::net::Ipv6Addr;

use crate::heartbeat::datagram::ListedAddress;

/// A prefix that a list names counts if it is at least this long: a site's, not a provider's.
pub const DELEGATED_PREFIX_MIN: u8 = 48;
/// What shares a line without being told.
const NETWORK: u8 = 64;

/// What a list says of IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MailHost {
    address: Ipv6Addr,
    prefix: Option<(Ipv6Addr, u8)>,
}

impl MailHost {
    /// The first IPv6 mail host of a list, with the first prefix that is about it; none if the list names none.
    #[must_use]
    pub fn of(list: &[ListedAddress]) -> Option<Self> {
        let v6 = |kind: u8| {
            list.iter().filter(move |entry| entry.kind == kind).filter_map(|entry| match entry.address {
                std::net::IpAddr::V6(v6) => Some((v6, entry.prefix)),
                std::net::IpAddr::V4(_) => None,
            })
        };
        let (address, _) = v6(ListedAddress::MAIL_HOST).next()?;
        let is_about = |(prefix, length): &(Ipv6Addr, u8)| {
            (DELEGATED_PREFIX_MIN..=NETWORK).contains(length) && is_same_network(address, *prefix, *length)
        };
        Some(Self { address, prefix: v6(ListedAddress::PREFIX).find(is_about) })
    }

    /// The address.
    #[must_use]
    pub const fn address(self) -> Ipv6Addr {
        self.address
    }

    /// Whether a client that was proven at `source` may name this host.
    #[must_use]
    pub fn is_covered_by(self, source: Ipv6Addr) -> bool {
        let is_within = |(prefix, length)| is_same_network(source, prefix, length);
        is_same_network(self.address, source, NETWORK) || self.prefix.is_some_and(is_within)
    }
}

fn is_same_network(one: Ipv6Addr, other: Ipv6Addr, length: u8) -> bool {
    (one.to_bits() ^ other.to_bits()).leading_zeros() >= u32::from(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: u8, address: &str, prefix: u8) -> ListedAddress {
        ListedAddress { kind, prefix, port: 25, address: address.parse().unwrap() }
    }

    fn v6(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    #[test]
    fn a_host_in_the_proven_network_is_covered_and_one_elsewhere_is_not() {
        let host = MailHost::of(&[entry(2, "192.168.1.5", 24), entry(1, "2001:db8:1:2::25", 128)]).unwrap();
        assert_eq!(host.address(), v6("2001:db8:1:2::25"));
        assert!(host.is_covered_by(v6("2001:db8:1:2::7")));
        assert!(!host.is_covered_by(v6("2001:db8:1:3::7")));
        assert_eq!(MailHost::of(&[entry(1, "203.0.113.7", 32), entry(2, "2001:db8::5", 64)]), None);
    }

    #[test]
    fn a_delegated_prefix_covers_what_is_in_it_if_the_client_is_too() {
        let host = |prefix: &str, length| {
            MailHost::of(&[entry(1, "2001:db8:1:2::25", 128), entry(3, prefix, length)]).unwrap()
        };
        let source = v6("2001:db8:1:ff::7");
        assert!(host("2001:db8:1::", 56).is_covered_by(source));
        assert!(!host("2001:db8:1::", 57).is_covered_by(source), "the client is not in it");
        assert!(!host("2001:db8:2::", 56).is_covered_by(source), "it is about others");
        assert!(!host("2001::", 16).is_covered_by(source), "nobody has that much");
    }
}
