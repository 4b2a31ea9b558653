//! May we connect to this address? Keeps delivery from being turned against ourselves or the networks beside us.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the check has to know.
#[derive(Clone, Copy, Debug)]
pub struct TargetRules<'a> {
    /// Loopback is allowed.
    pub allow_loopback: bool,
    /// Where we listen; an unspecified address stands for every address of this machine.
    pub own_addresses: &'a [SocketAddr],
}

/// Why an address is no target. The mail stays queued.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    /// This machine.
    #[error("{0} is a loopback address")]
    Loopback(IpAddr),
    /// Not an address of a machine on the Internet.
    #[error("{0} is not a public address")]
    NotPublic(IpAddr),
    /// Our own SMTP service: a loop.
    #[error("{0} is this service itself")]
    Ourselves(SocketAddr),
    /// Port 0.
    #[error("port 0 is no port")]
    NoPort,
}

/// Passes an address that may be connected to, in its plain form (an IPv4 address mapped into IPv6 becomes IPv4).
///
/// # Errors
/// [`TargetError`] names the rule.
pub fn check_target(target: SocketAddr, rules: TargetRules<'_>) -> Result<SocketAddr, TargetError> {
    let address = target.ip().to_canonical();
    let target = SocketAddr::new(address, target.port());
    if target.port() == 0 {
        return Err(TargetError::NoPort);
    }
    if address.is_loopback() {
        if !rules.allow_loopback {
            return Err(TargetError::Loopback(address));
        }
    } else if !is_public(address) {
        return Err(TargetError::NotPublic(address));
    }
    if rules.own_addresses.iter().any(|own| is_own(target, *own)) {
        return Err(TargetError::Ourselves(target));
    }
    Ok(target)
}

/// Whether a finished connection leads back to us: both ends on one machine and the port one of ours.
#[must_use]
pub fn leads_to_ourselves(local: SocketAddr, peer: SocketAddr, own_addresses: &[SocketAddr]) -> bool {
    local.ip().to_canonical() == peer.ip().to_canonical() && own_addresses.iter().any(|own| own.port() == peer.port())
}

fn is_own(target: SocketAddr, own: SocketAddr) -> bool {
    own.port() == target.port()
        && (own.ip().to_canonical() == target.ip() || (own.ip().is_unspecified() && target.ip().is_loopback()))
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

/// The special-purpose blocks of RFC 6890, without documentation blocks: nobody routes those.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let this_network = a == 0;
    let carrier_nat = a == 100 && (64..128).contains(&b);
    let protocol_assignments = a == 192 && b == 0 && c == 0;
    let benchmarking = a == 198 && (b == 18 || b == 19);
    let reserved = a >= 240;
    !(this_network
        || carrier_nat
        || protocol_assignments
        || benchmarking
        || reserved
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast())
}

/// As for IPv4; addresses that carry an IPv4 address (compatible, NAT64, 6to4) are judged by it.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let embedded = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    if [a, b, c, d, e, f] == [0; 6] || [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0] {
        return is_public_v4(embedded(g, h)) && !embedded(g, h).is_loopback();
    }
    if a == 0x2002 {
        return is_public_v4(embedded(b, c)) && !embedded(b, c).is_loopback();
    }
    let unique_local = a & 0xfe00 == 0xfc00;
    let link_or_site_local = a & 0xff80 == 0xfe80;
    !(unique_local || link_or_site_local || address.is_multicast() || address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSED: TargetRules<'static> = TargetRules { allow_loopback: false, own_addresses: &[] };
    const OPEN: TargetRules<'static> = TargetRules { allow_loopback: true, own_addresses: &[] };

    #[test]
    fn addresses_beside_us_are_refused_in_every_spelling() {
        for text in [
            "127.0.0.1:25",
            "0.0.0.0:25",
            "10.0.0.1:25",
            "172.16.5.5:25",
            "192.168.1.1:25",
            "169.254.169.254:80",
            "100.64.0.1:25",
            "224.0.0.1:25",
            "255.255.255.255:25",
            "[::]:25",
            "[::1]:25",
            "[::ffff:127.0.0.1]:25",
            "[::ffff:10.0.0.1]:25",
            "[64:ff9b::a00:1]:25",
            "[2002:7f00:1::]:25",
            "[fe80::1]:25",
            "[fec0::1]:25",
            "[fd00::1]:25",
            "[ff02::1]:25",
        ] {
            assert!(check_target(text.parse().unwrap(), CLOSED).is_err(), "{text}");
        }
    }

    #[test]
    fn a_public_address_passes_and_the_switch_opens_loopback_only() {
        let public = "203.0.113.9:2525".parse().unwrap();
        assert_eq!(check_target(public, CLOSED), Ok(public));
        assert!(check_target("[2001:db8::1]:25".parse().unwrap(), CLOSED).is_ok());
        assert!(check_target("127.0.0.1:25".parse().unwrap(), OPEN).is_ok());
        assert!(check_target("10.0.0.1:25".parse().unwrap(), OPEN).is_err());
        assert_eq!(check_target("203.0.113.9:0".parse().unwrap(), OPEN), Err(TargetError::NoPort));
    }

    #[test]
    fn our_own_listener_is_never_a_target() {
        let own = ["0.0.0.0:25".parse().unwrap(), "203.0.113.9:2525".parse().unwrap()];
        let rules = TargetRules { allow_loopback: true, own_addresses: &own };
        assert!(matches!(check_target("127.0.0.1:25".parse().unwrap(), rules), Err(TargetError::Ourselves(_))));
        assert!(matches!(check_target("203.0.113.9:2525".parse().unwrap(), rules), Err(TargetError::Ourselves(_))));
        assert!(check_target("203.0.113.9:25".parse().unwrap(), rules).is_ok());
        let here = "203.0.113.9:25".parse().unwrap();
        assert!(leads_to_ourselves("203.0.113.9:51000".parse().unwrap(), here, &own));
        assert!(!leads_to_ourselves("203.0.113.8:51000".parse().unwrap(), here, &own));
    }
}
