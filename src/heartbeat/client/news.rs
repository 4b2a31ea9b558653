//! What a client has to tell beside that it is there, until the server has replied to it (docs/PROTOCOL.md §8).

use std::net::IpAddr;

use crate::heartbeat::datagram::{ClientBody, LISTED_ADDRESSES_MAX, ListedAddress};

/// Says which piece of news a datagram carried; 0 for none.
pub(super) type NewsNumber = u32;

struct Piece<T> {
    what: T,
    number: NewsNumber,
    is_told: bool,
}

/// The mail server's key and the machine's addresses.
#[derive(Default)]
pub(super) struct News {
    last: NewsNumber,
    key: Option<Piece<[u8; 32]>>,
    addresses: Option<Piece<Vec<ListedAddress>>>,
}

impl News {
    /// The key that the mail server shows now; whether it is another one than before.
    pub(super) fn set_server_key(&mut self, digest: [u8; 32]) -> bool {
        if self.key.as_ref().is_some_and(|key| key.what == digest) {
            return false;
        }
        self.key = Some(Piece { what: digest, number: self.next_number(), is_told: false });
        true
    }

    /// The addresses now; whether they are others than before. An empty list cannot be sent and changes nothing.
    pub(super) fn set_addresses(&mut self, addresses: Vec<ListedAddress>) -> bool {
        if addresses.is_empty() || self.addresses.as_ref().is_some_and(|before| before.what == addresses) {
            return false;
        }
        self.addresses = Some(Piece { what: addresses, number: self.next_number(), is_told: false });
        true
    }

    fn next_number(&mut self) -> NewsNumber {
        self.last = self.last.wrapping_add(1).max(1);
        self.last
    }

    /// The server has forgotten everything, or is another one.
    pub(super) fn tell_again(&mut self) {
        self.key.iter_mut().for_each(|key| key.is_told = false);
        self.addresses.iter_mut().for_each(|addresses| addresses.is_told = false);
    }

    /// What is to be told first: the key, since held mail may wait for it.
    pub(super) fn next(&self) -> Option<(NewsNumber, ClientBody)> {
        if let Some(key) = self.key.as_ref().filter(|key| !key.is_told) {
            return Some((key.number, ClientBody::ServerKey { digest: key.what, signature: [0; 64] }));
        }
        let addresses = self.addresses.as_ref().filter(|addresses| !addresses.is_told)?;
        Some((addresses.number, ClientBody::AddressList(addresses.what.clone())))
    }

    /// The server replied to a datagram with this piece.
    pub(super) fn handle_told(&mut self, number: NewsNumber) {
        if let Some(key) = self.key.as_mut().filter(|key| key.number == number) {
            key.is_told = true;
        }
        if let Some(addresses) = self.addresses.as_mut().filter(|addresses| addresses.number == number) {
            addresses.is_told = true;
        }
    }
}

/// What a list is made of.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Surroundings {
    /// Own addresses towards the server, one of each family.
    pub(super) own: Vec<IpAddr>,
    /// Where the mail server is, and its port.
    pub(super) mail: Vec<IpAddr>,
    pub(super) mail_port: u16,
    /// How many bits the network has that the provider delegates to this line.
    pub(super) delegated: Option<u8>,
}

impl Surroundings {
    /// The list: an IPv6 address of the mail server on another machine is to be published; what belongs to the machine's
    /// own network is shown only. IPv4 addresses are never to be published: the line is known by the proven one.
    pub(super) fn list(&self) -> Vec<ListedAddress> {
        let mut list = Vec::new();
        let mut add = |entry: ListedAddress| {
            if list.len() < LISTED_ADDRESSES_MAX && !list.contains(&entry) {
                list.push(entry);
            }
        };
        for address in self.mail.iter().filter(|address| is_public_v6(**address) && !self.own.contains(address)) {
            add(ListedAddress::one(ListedAddress::MAIL_HOST, *address, self.mail_port));
        }
        let prefixes = self.own.iter().filter(|own| is_public_v6(**own)).zip(self.delegated);
        for (own, bits) in prefixes {
            let address = first_of(*own, bits);
            add(ListedAddress { kind: ListedAddress::PREFIX, prefix: bits, port: 0, address });
        }
        for address in self.own.iter().filter(|own| !own.is_loopback()) {
            let is_mail_here = self.mail.iter().any(|mail| mail.is_loopback() || mail == address);
            let port = if is_mail_here { self.mail_port } else { 0 };
            add(ListedAddress::one(ListedAddress::LOCAL, *address, port));
        }
        for address in self.mail.iter().filter(|mail| !mail.is_loopback() && !self.own.contains(mail)) {
            if !is_public_v6(*address) {
                add(ListedAddress::one(ListedAddress::LOCAL, *address, self.mail_port));
            }
        }
        list
    }
}

/// Global unicast (RFC 4291 §2.4): 2000::/3 is all that was ever given out.
const fn is_public_v6(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.octets()[0] & 0xe0 == 0x20)
}

/// The first address of the network of so many bits around `address`.
fn first_of(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_piece_is_told_until_the_reply_to_that_very_piece() {
        let mut news = News::default();
        assert!(news.next().is_none());
        assert!(news.set_server_key([1; 32]) && !news.set_server_key([1; 32]));
        assert!(news.set_addresses(vec![ListedAddress::one(ListedAddress::LOCAL, ip("192.168.1.2"), 25)]));
        assert!(!news.set_addresses(Vec::new()));
        let (first, body) = news.next().unwrap();
        assert!(matches!(body, ClientBody::ServerKey { digest, .. } if digest == [1; 32]));
        assert!(news.set_server_key([2; 32]));
        news.handle_told(first);
        let (second, body) = news.next().unwrap();
        assert!(matches!(body, ClientBody::ServerKey { digest, .. } if digest == [2; 32]), "told was the key before");
        news.handle_told(second);
        let (third, body) = news.next().unwrap();
        assert!(matches!(body, ClientBody::AddressList(_)));
        news.handle_told(third);
        assert!(news.next().is_none());
        news.tell_again();
        assert_eq!(news.next().unwrap().0, second);
    }

    #[test]
    fn a_mail_server_on_another_machine_is_to_be_published_and_what_is_private_is_shown() {
        let surroundings = Surroundings {
            own: vec![ip("192.168.178.20"), ip("2001:db8:7:1::20")],
            mail: vec![ip("192.168.178.25"), ip("2001:db8:7:2::25"), ip("fe80::25")],
            mail_port: 25,
            delegated: Some(48),
        };
        let entries: Vec<(u8, u8, u16, String)> = surroundings
            .list()
            .iter()
            .map(|entry| (entry.kind, entry.prefix, entry.port, entry.address.to_string()))
            .collect();
        let entry = |kind: u8, prefix: u8, port: u16, address: &str| (kind, prefix, port, address.to_owned());
        assert_eq!(
            entries,
            [
                entry(1, 128, 25, "2001:db8:7:2::25"),
                entry(3, 48, 0, "2001:db8:7::"),
                entry(2, 32, 0, "192.168.178.20"),
                entry(2, 128, 0, "2001:db8:7:1::20"),
                entry(2, 32, 25, "192.168.178.25"),
                entry(2, 128, 25, "fe80::25"),
            ]
        );
    }

    #[test]
    fn a_mail_server_beside_the_client_is_where_the_client_is() {
        let surroundings = Surroundings {
            own: vec![ip("203.0.113.7"), ip("2001:db8::25")],
            mail: vec![ip("::1"), ip("127.0.0.1")],
            mail_port: 25,
            delegated: None,
        };
        let list = surroundings.list();
        assert!(list.iter().all(|entry| entry.kind == ListedAddress::LOCAL && entry.port == 25), "{list:?}");
        assert_eq!(list.len(), 2);
        let many = Surroundings { mail: (0..20).map(|n| ip(&format!("10.0.0.{n}"))).collect(), ..surroundings };
        assert_eq!(many.list().len(), LISTED_ADDRESSES_MAX);
    }
}
