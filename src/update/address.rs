//! Which addresses does a request name? Reads lists, prefixes, and what routers make of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A delegated or announced IPv6 network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefix {
    /// Any address in it.
    pub address: Ipv6Addr,
    /// Its length in bits, 1 to 127.
    pub length: u8,
}

impl Prefix {
    const fn host_mask(self) -> u128 {
        u128::MAX >> self.length
    }

    /// The address of a host in this network that keeps the lower bits of `host`; absent if these are all zero, since
    /// that is a network and no host.
    #[must_use]
    pub fn with_host(self, host: Ipv6Addr) -> Option<Ipv6Addr> {
        let low = host.to_bits() & self.host_mask();
        let is_host = host.to_bits() & (self.host_mask() & u128::from(u64::MAX)) != 0;
        is_host.then(|| Ipv6Addr::from_bits((self.address.to_bits() & !self.host_mask()) | low))
    }
}

/// The addresses of a request, one of each kind at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// For A.
    pub v4: Option<Ipv4Addr>,
    /// A whole address for AAAA.
    pub v6: Option<Ipv6Addr>,
    /// A network: each name keeps its own lower bits.
    pub prefix: Option<Prefix>,
}

/// The text is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not an address")]
pub struct BadAddress;

impl Wanted {
    /// Whether nothing was named, so that the caller's own address counts.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none() && self.prefix.is_none()
    }

    /// Takes in a parameter such as `myip`: a list of addresses of either family. A length behind an address is
    /// dropped; behind a network (all lower bits zero) it makes a prefix of it.
    ///
    /// # Errors
    /// [`BadAddress`] for anything else than addresses. Empty parts are left out: routers fill a placeholder with
    /// nothing where they lack a family.
    pub fn add(&mut self, list: &str) -> Result<(), BadAddress> {
        for text in list.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            let (address, length) = split_length(text)?;
            match address {
                IpAddr::V4(v4) => self.v4 = Some(v4),
                IpAddr::V6(v6) => match length.filter(|length| (1..=127).contains(length)) {
                    Some(length) if is_network(v6, length) => self.prefix = Some(Prefix { address: v6, length }),
                    _ => self.v6 = Some(v6),
                },
            }
        }
        Ok(())
    }

    /// Takes in a parameter that names a network; /64 without a length.
    ///
    /// # Errors
    /// [`BadAddress`] for anything else than an IPv6 network.
    pub fn add_prefix(&mut self, text: &str) -> Result<(), BadAddress> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(());
        }
        let (address, length) = split_length(text)?;
        let length = length.unwrap_or(64);
        match address {
            IpAddr::V6(address) if (1..=127).contains(&length) => {
                self.prefix = Some(Prefix { address, length });
                Ok(())
            }
            IpAddr::V6(_) | IpAddr::V4(_) => Err(BadAddress),
        }
    }

    /// Takes the address that the request came from.
    pub fn add_peer(&mut self, peer: IpAddr) {
        match peer.to_canonical() {
            IpAddr::V4(v4) => self.v4 = Some(v4),
            IpAddr::V6(v6) => self.v6 = Some(v6),
        }
    }
}

fn is_network(address: Ipv6Addr, length: u8) -> bool {
    address.to_bits() & Prefix { address, length }.host_mask() == 0
}

fn split_length(text: &str) -> Result<(IpAddr, Option<u8>), BadAddress> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().map_err(|_| BadAddress)?)),
        None => (text, None),
    };
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let address: IpAddr = address.parse().map_err(|_| BadAddress)?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    if length.is_some_and(|length| length > most) { Err(BadAddress) } else { Ok((address.to_canonical(), length)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(list: &str) -> Wanted {
        let mut wanted = Wanted::default();
        wanted.add(list).unwrap();
        wanted
    }

    fn v6(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    #[test]
    fn lists_of_both_families_are_read_in_every_spelling() {
        let both = wanted("203.0.113.7, 2001:DB8::7");
        assert_eq!((both.v4, both.v6), (Some(Ipv4Addr::new(203, 0, 113, 7)), Some(v6("2001:db8::7"))));
        assert_eq!(wanted("::ffff:203.0.113.7").v4, both.v4);
        assert_eq!(wanted("203.0.113.7/32,").v4, both.v4);
        assert_eq!(wanted("[2001:db8::7]/64").v6, both.v6);
        assert!(wanted(",").is_empty());
        for bad in ["home", "203.0.113", "2001:db8::1/129", "203.0.113.7/33", "203.0.113.7/x", "<ipaddr>"] {
            assert_eq!(Wanted::default().add(bad), Err(BadAddress), "{bad}");
        }
    }

    #[test]
    fn a_network_is_a_prefix_and_a_host_with_a_length_is_a_host() {
        assert_eq!(wanted("2001:db8:1:2::/64").prefix, Some(Prefix { address: v6("2001:db8:1:2::"), length: 64 }));
        assert_eq!(wanted("2001:db8:1:2::5/64"), Wanted { v6: Some(v6("2001:db8:1:2::5")), ..Wanted::default() });
        let mut given = wanted("2001:db8:ffff::1");
        given.add_prefix("2001:db8:1::/56").unwrap();
        assert_eq!((given.v6, given.prefix.unwrap().length), (Some(v6("2001:db8:ffff::1")), 56));
        assert_eq!(given.add_prefix("203.0.113.0/24"), Err(BadAddress));
    }

    #[test]
    fn a_host_keeps_its_lower_bits_under_another_prefix() {
        let new = Prefix { address: v6("2001:db8:aa:bb00::"), length: 56 };
        assert_eq!(new.with_host(v6("2001:db8:1:203::25")), Some(v6("2001:db8:aa:bb03::25")));
        assert_eq!(new.with_host(v6("::3:0:0:0:25")), Some(v6("2001:db8:aa:bb03::25")));
        assert_eq!(new.with_host(v6("2001:db8:1:203::")), None, "a network is no host");
    }
}
