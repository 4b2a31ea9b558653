//! Record sets in the form in which answers copy them, encoded by hickory once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{DNSClass, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, BinEncodable, BinEncoder, NameEncoding, Restrict};

/// Octets of a record behind its owner and before its data: type, class, TTL, length (RFC 1035 §4.1.3).
pub const FIXED_OCTETS: usize = 10;

/// A record cannot be served.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the record cannot be encoded: {0}")]
pub struct RecordError(String);

impl RecordError {
    pub(super) fn new(words: &str) -> Self {
        Self(words.to_owned())
    }
}

/// The data of a record without compression, so that it may be copied to any place of any message.
///
/// # Errors
/// [`RecordError`] for data that has no wire form.
pub fn data_octets(data: &RData) -> Result<Vec<u8>, RecordError> {
    let mut octets = Vec::new();
    let mut encoder = BinEncoder::new(&mut octets);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).map_err(|error| RecordError(error.to_string()))?;
    if octets.len() > usize::from(u16::MAX) {
        return Err(RecordError("its data is too long".to_owned()));
    }
    Ok(octets)
}

/// Reads what [`data_octets`] wrote.
///
/// # Errors
/// [`RecordError`] for octets that are no such data.
pub fn read_data(record_type: RecordType, octets: &[u8]) -> Result<RData, RecordError> {
    let fault = |words: String| RecordError(words);
    let length = u16::try_from(octets.len()).map_err(|_| fault("its data is too long".to_owned()))?;
    let mut decoder = BinDecoder::new(octets);
    RData::read(&mut decoder, record_type, Restrict::new(length)).map_err(|error| fault(error.to_string()))
}

/// All records of one owner and type, without the owner: each is type, class, TTL, length and data.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RecordSet {
    octets: Vec<u8>,
    count: u16,
}

impl RecordSet {
    /// Of data of one type, in this order.
    ///
    /// # Errors
    /// [`RecordError`] for data that has no wire form.
    pub fn new<'a>(ttl: u32, all: impl IntoIterator<Item = &'a RData>) -> Result<Self, RecordError> {
        let mut set = Self::default();
        for data in all {
            set.push(data.record_type(), ttl, &data_octets(data)?);
        }
        Ok(set)
    }

    /// Address records of one family. Encoding an address cannot fail.
    #[must_use]
    pub fn of_addresses(ttl: u32, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut set = Self::default();
        for address in addresses {
            match address {
                IpAddr::V4(v4) => set.push(RecordType::A, ttl, &v4.octets()),
                IpAddr::V6(v6) => set.push(RecordType::AAAA, ttl, &v6.octets()),
            }
        }
        set
    }

    fn push(&mut self, record_type: RecordType, ttl: u32, data: &[u8]) {
        self.octets.extend_from_slice(&u16::from(record_type).to_be_bytes());
        self.octets.extend_from_slice(&u16::from(DNSClass::IN).to_be_bytes());
        self.octets.extend_from_slice(&ttl.to_be_bytes());
        self.octets.extend_from_slice(&u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
        self.octets.extend_from_slice(data);
        self.count = self.count.saturating_add(1);
    }

    /// How many records.
    #[must_use]
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each record from its type on.
    pub fn records(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.octets;
        std::iter::from_fn(move || {
            let length = u16::from_be_bytes(*rest.get(FIXED_OCTETS - 2..)?.first_chunk::<2>()?);
            let (record, behind) = rest.split_at_checked(FIXED_OCTETS + usize::from(length))?;
            rest = behind;
            Some(record)
        })
    }

    /// Replaces the serial of a set that is one SOA record: the first of the five numbers at its end
    /// (RFC 1035 §3.3.13).
    pub fn set_serial(&mut self, serial: u32) {
        let end = self.octets.len();
        if let Some(place) = self.octets.get_mut(end.saturating_sub(20)..end.saturating_sub(16)) {
            place.copy_from_slice(&serial.to_be_bytes());
        }
    }
}

/// The data of address records, for those who compare.
#[must_use]
pub fn address_data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(v4) => RData::A(A::from(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA::from(v6)),
    }
}

/// An address record from its type on.
#[must_use]
pub fn v4_record(ttl: u32, address: Ipv4Addr) -> [u8; FIXED_OCTETS + 4] {
    let (mut record, t, [a, b, c, d]) = ([0; FIXED_OCTETS + 4], ttl.to_be_bytes(), address.octets());
    record.copy_from_slice(&[0, 1, 0, 1, t[0], t[1], t[2], t[3], 0, 4, a, b, c, d]);
    record
}

/// An address record from its type on.
#[must_use]
pub fn v6_record(ttl: u32, address: Ipv6Addr) -> [u8; FIXED_OCTETS + 16] {
    let mut record = [0; FIXED_OCTETS + 16];
    let t = ttl.to_be_bytes();
    let (fixed, data) = record.split_at_mut(FIXED_OCTETS);
    fixed.copy_from_slice(&[0, 28, 0, 1, t[0], t[1], t[2], t[3], 0, 16]);
    data.copy_from_slice(&address.octets());
    record
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::Name;
    use hickory_proto::rr::rdata::{MX, SOA};

    #[test]
    fn a_set_falls_into_its_records_again() {
        let mx = |n: u16| RData::MX(MX::new(n, Name::from_ascii("mail.firma.example.").unwrap()));
        let set = RecordSet::new(30, &[mx(10), mx(20)]).unwrap();
        assert_eq!(set.records().count(), 2);
        assert!(set.records().all(|record| record.len() == FIXED_OCTETS + 2 + 20));
        assert_eq!(set.count(), 2);
    }

    #[test]
    fn addresses_written_by_hand_are_as_hickory_writes_them() {
        let v4: IpAddr = "203.0.113.7".parse().unwrap();
        let v6: IpAddr = "2001:db8::7".parse().unwrap();
        for address in [v4, v6] {
            let by_hickory = RecordSet::new(30, &[address_data(address)]).unwrap();
            assert_eq!(RecordSet::of_addresses(30, [address]), by_hickory);
            let by_hand = match address {
                IpAddr::V4(v4) => v4_record(30, v4).to_vec(),
                IpAddr::V6(v6) => v6_record(30, v6).to_vec(),
            };
            assert_eq!(by_hand, by_hickory.octets);
        }
    }

    #[test]
    fn the_serial_is_set_where_hickory_has_put_it() {
        let soa = |serial| {
            let name = |text| Name::from_ascii(text).unwrap();
            RData::SOA(SOA::new(name("ns.example."), name("root.example."), serial, 1, 2, 3, 4))
        };
        let mut set = RecordSet::new(30, &[soa(1)]).unwrap();
        set.set_serial(0x0102_0304);
        assert_eq!(set, RecordSet::new(30, &[soa(0x0102_0304)]).unwrap());
    }
}
