//! Which addresses of an endpoint were proven last: a return to one of them needs no signature.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The last proven addresses, one of each family.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in crate::heartbeat::server) struct Stored {
    pub(super) v4: Option<Ipv4Addr>,
    pub(super) v6: Option<Ipv6Addr>,
}

impl Stored {
    pub(super) fn contains(self, address: IpAddr) -> bool {
        self.same_family(address) == Some(address)
    }

    /// The one of the family of `address`.
    pub(super) fn same_family(self, address: IpAddr) -> Option<IpAddr> {
        match address {
            IpAddr::V4(_) => self.v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.v6.map(IpAddr::V6),
        }
    }

    /// In place of the one of its family.
    pub(super) fn replace(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(v4) => self.v4 = Some(v4),
            IpAddr::V6(v6) => self.v6 = Some(v6),
        }
    }
}

impl FromIterator<IpAddr> for Stored {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        let mut stored = Self::default();
        for address in addresses {
            stored.replace(address);
        }
        stored
    }
}
