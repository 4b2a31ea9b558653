//! What stands in one zone, ready to be copied into answers.

use std::collections::HashMap;
use std::net::IpAddr;

use hickory_proto::rr::rdata::{NS, SOA};
use hickory_proto::rr::{RData, RecordType};

use super::owner::{Owner, labels, suffixes};
use super::records::{RecordError, RecordSet};
use super::settings::Settings;
use super::store::StoredZone;
use crate::base::{AccountId, DomainName};

/// Between two looks of a secondary, s; secondaries are told of changes, this is for lost notices.
const REFRESH_S: i32 = 14_400;
/// Between two tries of a secondary, s.
const RETRY_S: i32 = 3_600;
/// Silence of ours after which a secondary stops to answer, s (RFC 1912 §2.2).
const EXPIRE_S: i32 = 1_209_600;
/// TTL of SOA and NS records of the service's zone, s.
const STANDING_TTL_S: u32 = 3_600;

/// All records of one owner. Empty for a name that only has names below it.
#[derive(Clone, Default, Debug)]
pub struct Node {
    sets: Vec<(u16, RecordSet)>,
}

impl Node {
    /// The records of a type.
    #[must_use]
    pub fn set(&self, record_type: u16) -> Option<&RecordSet> {
        self.sets.iter().find(|(known, _)| *known == record_type).map(|(_, set)| set)
    }

    /// All records, by their type.
    pub fn sets(&self) -> impl Iterator<Item = (u16, &RecordSet)> {
        self.sets.iter().map(|(record_type, set)| (*record_type, set))
    }

    /// Whether there is no record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sets.is_empty()
    }
}

/// One record as it is put into a zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ZoneRecord {
    /// Its name.
    pub owner: Owner,
    /// In seconds.
    pub ttl: u32,
    /// Type and data.
    pub data: RData,
}

impl ZoneRecord {
    /// Reads a record as a [`RecordSet`] holds it, from its type on. Absent for octets that are none.
    pub(super) fn read(owner: &Owner, kind: RecordType, record: &[u8]) -> Option<Self> {
        let ttl = u32::from_be_bytes(*record.get(4..)?.first_chunk()?);
        let data = super::records::read_data(kind, record.get(super::records::FIXED_OCTETS..)?).ok()?;
        Some(Self { owner: owner.clone(), ttl, data })
    }
}

/// A zone. Dynamic names in it stand in [`Names`](super::names::Names).
#[derive(Clone, Debug)]
pub struct Zone {
    apex: Owner,
    /// Whose; nobody's for the service's own zone.
    account: Option<AccountId>,
    nodes: HashMap<Owner, Node>,
    soa: RecordSet,
    /// The same with the TTL of answers that say that there is nothing (RFC 2308 §5).
    negative_soa: RecordSet,
    serial: u32,
    has_cuts: bool,
    has_wildcards: bool,
    /// A dynamic name in it has changed since the serial was set.
    is_changed: bool,
    /// See [`version`](Self::version).
    version: u64,
}

/// Where a name stands in a zone.
#[derive(Debug)]
pub enum Found<'a> {
    /// It has records, or names below it.
    Node(&'a Node),
    /// A wildcard stands for it (RFC 4592).
    Wildcard(&'a Node),
    /// It lies in a part that others serve, from this name on.
    Cut(&'a Owner, &'a Node),
    /// There is no such name.
    Nothing,
}

impl Zone {
    /// A zone of these records. Its SOA is made of `soa`.
    ///
    /// # Errors
    /// [`RecordError`] for a record without a wire form.
    pub fn new(apex: Owner, soa: &SOA, soa_ttl: u32, records: &[ZoneRecord]) -> Result<Self, RecordError> {
        let mut nodes: HashMap<Owner, Node> = HashMap::new();
        let (mut has_cuts, mut has_wildcards) = (false, false);
        let mut sorted: Vec<&ZoneRecord> = records.iter().filter(|record| record.owner.is_within(&apex)).collect();
        let number = |record: &ZoneRecord| u16::from(record.data.record_type());
        sorted.sort_by(|a, b| (&a.owner, number(a)).cmp(&(&b.owner, number(b))));
        for group in sorted.chunk_by(|a, b| a.owner == b.owner && number(a) == number(b)) {
            let Some(first) = group.first() else { continue };
            let set = RecordSet::new(first.ttl, group.iter().map(|record| &record.data))?;
            has_cuts |= first.data.record_type() == RecordType::NS && first.owner != apex;
            has_wildcards |= labels(first.owner.octets()).next() == Some(b"*");
            for above in suffixes(first.owner.octets()).skip(1).take_while(|above| *above != apex.octets()) {
                if !nodes.contains_key(above) {
                    nodes.insert(Owner::of_octets(above), Node::default());
                }
            }
            nodes.entry(first.owner.clone()).or_default().sets.push((number(first), set));
        }
        nodes.entry(apex.clone()).or_default();
        let data = RData::SOA(soa.clone());
        let negative_ttl = soa_ttl.min(soa.minimum);
        Ok(Self {
            apex,
            account: None,
            nodes,
            soa: RecordSet::new(soa_ttl, [&data])?,
            negative_soa: RecordSet::new(negative_ttl, [&data])?,
            serial: soa.serial,
            has_cuts,
            has_wildcards,
            is_changed: false,
            version: 0,
        })
    }

    /// A customer's zone; what follows a mail server is not in it.
    ///
    /// # Errors
    /// As [`new`](Self::new), and for a zone without a SOA record.
    pub fn of_customer(stored: &StoredZone) -> Result<Self, RecordError> {
        let apex = Owner::of_domain(&stored.apex);
        let mut own = stored.records.iter().filter(|record| record.owner == apex);
        let soa = own.find_map(
            |record| {
                if let RData::SOA(soa) = &record.data { Some((soa.clone(), record.ttl)) } else { None }
            },
        );
        let (mut soa, ttl) = soa.ok_or_else(|| RecordError::new("the zone has no SOA record"))?;
        soa.serial = stored.serial;
        let is_other = |record: &&ZoneRecord| record.data.record_type() != RecordType::SOA;
        let others: Vec<ZoneRecord> = stored.records.iter().filter(is_other).cloned().collect();
        Ok(Self { account: Some(stored.account), ..Self::new(apex, &soa, ttl, &others)? })
    }

    /// Whose it is; nobody's for the service's own zone.
    #[must_use]
    pub const fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// The service's own zone: SOA, NS, and the addresses of name servers whose names lie in it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn service(settings: &Settings, serial: u32) -> Result<Self, RecordError> {
        let name = |domain: &DomainName| Owner::of_domain(domain).to_name();
        let apex = Owner::of_domain(&settings.zone);
        let primary = settings.name_servers.first().unwrap_or(&settings.backup_mx);
        let soa =
            SOA::new(name(primary), name(&settings.contact), serial, REFRESH_S, RETRY_S, EXPIRE_S, settings.ttl_s());
        let mut records = Vec::new();
        for server in &settings.name_servers {
            let owner = Owner::of_domain(server);
            let data = RData::NS(NS(owner.to_name()));
            records.push(ZoneRecord { owner: apex.clone(), ttl: STANDING_TTL_S, data });
            if owner.is_within(&apex) {
                let address = |address: &IpAddr| super::records::address_data(*address);
                records.extend(settings.own_addresses.iter().map(|own| ZoneRecord {
                    owner: owner.clone(),
                    ttl: STANDING_TTL_S,
                    data: address(own),
                }));
            }
        }
        Self::new(apex, &soa, STANDING_TTL_S, &records)
    }

    /// The sets of keys of its own name from now on (DNSKEY, CDS, CDNSKEY).
    pub fn put_key_sets(&mut self, sets: Vec<(u16, RecordSet)>) {
        let of_keys = [RecordType::DNSKEY, RecordType::CDS, RecordType::CDNSKEY].map(u16::from);
        let node = self.nodes.entry(self.apex.clone()).or_default();
        node.sets.retain(|(kind, _)| !of_keys.contains(kind));
        node.sets.extend(sets);
    }

    /// Its name.
    #[must_use]
    pub const fn apex(&self) -> &Owner {
        &self.apex
    }

    /// The serial that its SOA record shows.
    #[must_use]
    pub const fn serial(&self) -> u32 {
        self.serial
    }

    /// No other zone that a catalog was given since its start has this number: the same number, the same records.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Numbers it; for the catalog.
    pub(super) const fn set_version(&mut self, version: u64) {
        self.version = version;
    }

    /// A dynamic name in it has changed.
    pub const fn mark_changed(&mut self) {
        self.is_changed = true;
    }

    /// Whether a dynamic name in it has changed since the serial was set.
    #[must_use]
    pub const fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The zone has changed.
    pub fn set_serial(&mut self, serial: u32) {
        self.is_changed = false;
        self.serial = serial;
        self.soa.set_serial(serial);
        self.negative_soa.set_serial(serial);
    }

    /// Its SOA record.
    #[must_use]
    pub const fn soa(&self) -> &RecordSet {
        &self.soa
    }

    /// Its SOA record as it stands beside the news that there is nothing.
    #[must_use]
    pub const fn negative_soa(&self) -> &RecordSet {
        &self.negative_soa
    }

    /// The records of exactly this name.
    #[must_use]
    pub fn node(&self, name: &[u8]) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// The records of exactly this name with their data read again, the SOA record included.
    #[must_use]
    pub fn records_at(&self, owner: &Owner) -> Vec<ZoneRecord> {
        let soa = (*owner == self.apex).then_some((u16::from(RecordType::SOA), &self.soa));
        let sets = self.nodes.get(owner).into_iter().flat_map(Node::sets).chain(soa);
        let read = |(number, record): (u16, &[u8])| ZoneRecord::read(owner, RecordType::from(number), record);
        sets.flat_map(|(number, set)| set.records().map(move |record| (number, record))).filter_map(read).collect()
    }

    /// All names with their records, in no order; the SOA record is not among them.
    pub fn nodes(&self) -> impl Iterator<Item = (&Owner, &Node)> {
        self.nodes.iter()
    }

    /// Looks up a name at or below the apex. `is_dynamic` says whether a name exists by its dynamic part alone.
    pub fn find(&self, name: &[u8], is_dynamic: impl Fn(&[u8]) -> bool) -> Found<'_> {
        if self.has_cuts
            && let Some(cut) = self.cut_above(name)
        {
            return cut;
        }
        if let Some(node) = self.nodes.get(name) {
            return Found::Node(node);
        }
        if !self.has_wildcards {
            return Found::Nothing;
        }
        // Only the wildcard at the closest name that exists counts (RFC 4592 §3.3.1).
        let exists = |above: &&[u8]| self.nodes.contains_key(*above) || is_dynamic(above);
        let closest = suffixes(name).skip(1).find(exists);
        let wildcard = closest.and_then(|closest| {
            let mut octets = Vec::with_capacity(closest.len() + 2);
            octets.extend_from_slice(&[1, b'*']);
            octets.extend_from_slice(closest);
            self.nodes.get(octets.as_slice())
        });
        wildcard.map_or(Found::Nothing, Found::Wildcard)
    }

    /// The highest cut at or above a name.
    fn cut_above(&self, name: &[u8]) -> Option<Found<'_>> {
        let ns = u16::from(RecordType::NS);
        let below_apex = suffixes(name).take_while(|above| *above != self.apex.octets());
        let cuts = below_apex.filter_map(|above| self.nodes.get_key_value(above));
        cuts.filter(|(_, node)| node.set(ns).is_some()).last().map(|(owner, node)| Found::Cut(owner, node))
    }
}

/// The serial after `before` at a time: the seconds of the clock, or one more if that is ahead (RFC 1982 §3.1).
#[must_use]
pub fn next_serial(before: u32, unix_seconds: i64) -> u32 {
    // The lower 32 bits: serials wrap.
    let clock = u32::try_from(unix_seconds & 0xffff_ffff).unwrap_or(0);
    if is_serial_newer(clock, before) { clock } else { before.wrapping_add(1) }
}

/// Whether `a` comes after `b` in the arithmetic of serials (RFC 1982 §3.2).
#[must_use]
pub const fn is_serial_newer(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 0x8000_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_go_on_over_their_end_and_over_a_clock_that_goes_back() {
        assert_eq!(next_serial(5, 1_795_492_800), 1_795_492_800);
        assert_eq!(next_serial(1_795_492_800, 1_795_492_800), 1_795_492_801);
        assert_eq!(next_serial(1_795_492_900, 1_795_492_800), 1_795_492_901);
        assert_eq!(next_serial(u32::MAX, i64::from(u32::MAX)), 0);
        assert!(is_serial_newer(0, u32::MAX) && !is_serial_newer(u32::MAX, 0));
    }
}
