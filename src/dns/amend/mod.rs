//! What an update message (RFC 2136) makes of a zone: its prerequisites, its changes, and who may ask for them.
//!
//! `scope` says what a key may change, `replay` whether a message was here before, `driver` carries updates out. This
//! file decides; it does no I/O. A/AAAA records of dynamic names are no records of the zone: they become address reports.

pub mod driver;
pub mod replay;
pub mod scope;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use hickory_proto::op::{Message, MessageType, OpCode};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};

use self::scope::may_be_changed;
use super::front::Front;
use super::owner::Owner;
use super::query::Code;
use super::store::RECORDS_PER_ZONE_MAX;
use super::zone::{ZoneRecord, is_serial_newer};

/// Prerequisites and changes of one message, at most each.
pub const RECORDS_PER_UPDATE_MAX: usize = 1_000;

/// An update as it was sent, its form checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Update {
    /// The zone that it is for.
    pub apex: Owner,
    prerequisites: Vec<Record>,
    changes: Vec<Record>,
}

/// A dynamic name that an update speaks of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dynamic {
    /// What it answers now.
    pub visible: Vec<ZoneRecord>,
    /// Where updates have put it.
    pub set: Front,
}

/// The zone as an update finds it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What stands in it, its SOA record included.
    pub records: &'a [ZoneRecord],
    /// The dynamic names among the owners that the update speaks of.
    pub dynamic: &'a BTreeMap<Owner, Dynamic>,
    /// Its records stand elsewhere and cannot be changed: the zone of the dynamic names.
    pub is_fixed: bool,
}

/// What an update comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The zone stays as it is.
    Unchanged,
    /// The zone holds these from now on.
    Records(Vec<ZoneRecord>),
    /// Dynamic names are to point there, both families as given.
    Addresses(BTreeMap<Owner, Front>),
}

impl Update {
    /// Reads the form of a message (RFC 2136 §3.1, and the parts of §3.2.1 and §3.4.1 that need no zone).
    ///
    /// # Errors
    /// The code to answer.
    pub fn read(message: &Message) -> Result<Self, Code> {
        let [zone] = message.queries.as_slice() else { return Err(Code::FormErr) };
        let is_update =
            message.metadata.message_type == MessageType::Query && message.metadata.op_code == OpCode::Update;
        if !is_update || zone.query_type() != RecordType::SOA {
            return Err(Code::FormErr);
        }
        if zone.query_class() != DNSClass::IN {
            return Err(Code::NotAuth);
        }
        let (prerequisites, changes) = (message.answers.clone(), message.authorities.clone());
        if prerequisites.len().max(changes.len()) > RECORDS_PER_UPDATE_MAX {
            return Err(Code::Refused);
        }
        let apex = Owner::of_name(zone.name());
        if prerequisites.iter().chain(&changes).any(|record| !Owner::of_name(&record.name).is_within(&apex)) {
            return Err(Code::NotZone);
        }
        if !prerequisites.iter().all(is_prerequisite) || !changes.iter().all(is_change) {
            return Err(Code::FormErr);
        }
        Ok(Self { apex, prerequisites, changes })
    }

    /// All names that it speaks of.
    pub fn owners(&self) -> impl Iterator<Item = Owner> + '_ {
        self.prerequisites.iter().chain(&self.changes).map(|record| Owner::of_name(&record.name))
    }

    /// What the zone becomes; `may` says whether the key opens a name and type.
    ///
    /// # Errors
    /// The code to answer; nothing is to be changed.
    pub fn evaluate(&self, view: View<'_>, may: impl Fn(&Owner, RecordType) -> bool) -> Result<Outcome, Code> {
        self.check_prerequisites(view)?;
        let mut draft = Draft::new(view, &self.apex);
        for change in &self.changes {
            draft.apply(change, &may)?;
        }
        draft.finish()
    }

    /// RFC 2136 §3.2.
    fn check_prerequisites(&self, view: View<'_>) -> Result<(), Code> {
        let mut wanted: BTreeMap<(Owner, u16), Vec<&RData>> = BTreeMap::new();
        for record in &self.prerequisites {
            let owner = Owner::of_name(&record.name);
            let kind = record.record_type();
            let exists = |kind| view.set(&owner, kind).next().is_some();
            match (record.dns_class, kind) {
                (DNSClass::ANY, RecordType::ANY) if !view.is_in_use(&owner) => return Err(Code::NxDomain),
                (DNSClass::NONE, RecordType::ANY) if view.is_in_use(&owner) => return Err(Code::YxDomain),
                (DNSClass::ANY | DNSClass::NONE, RecordType::ANY) => {}
                (DNSClass::ANY, kind) if !exists(kind) => return Err(Code::NxRrSet),
                (DNSClass::NONE, kind) if exists(kind) => return Err(Code::YxRrSet),
                (DNSClass::ANY | DNSClass::NONE, _) => {}
                _ => wanted.entry((owner, u16::from(kind))).or_default().push(&record.data),
            }
        }
        for ((owner, kind), wanted) in wanted {
            let have: Vec<&RData> = view.set(&owner, RecordType::from(kind)).map(|record| &record.data).collect();
            // Sets: order and repetition do not count.
            if !(wanted.iter().all(|data| have.contains(data)) && have.iter().all(|data| wanted.contains(data))) {
                return Err(Code::NxRrSet);
            }
        }
        Ok(())
    }
}

/// RFC 2136 §2.4: five forms, none with a TTL.
fn is_prerequisite(record: &Record) -> bool {
    let is_empty = matches!(record.data, RData::Update0(_));
    let kind = record.record_type();
    record.ttl == 0
        && match record.dns_class {
            DNSClass::ANY | DNSClass::NONE => is_empty && (kind == RecordType::ANY || may_be_asked(kind)),
            DNSClass::IN => !is_empty && may_be_asked(kind),
            DNSClass::CH | DNSClass::HS | DNSClass::OPT(_) | DNSClass::Unknown(_) => false,
        }
}

/// Types of which a zone may have a set.
const fn may_be_asked(kind: RecordType) -> bool {
    may_be_changed(kind) || matches!(kind, RecordType::RRSIG | RecordType::NSEC | RecordType::NSEC3)
}

/// RFC 2136 §2.5: four forms.
fn is_change(record: &Record) -> bool {
    let is_empty = matches!(record.data, RData::Update0(_));
    let kind = record.record_type();
    match record.dns_class {
        DNSClass::IN => !is_empty && may_be_changed(kind),
        DNSClass::ANY => record.ttl == 0 && is_empty && (kind == RecordType::ANY || may_be_changed(kind)),
        DNSClass::NONE => record.ttl == 0 && !is_empty && may_be_changed(kind),
        DNSClass::CH | DNSClass::HS | DNSClass::OPT(_) | DNSClass::Unknown(_) => false,
    }
}

const fn is_address(kind: RecordType) -> bool {
    matches!(kind, RecordType::A | RecordType::AAAA)
}

impl<'a> View<'a> {
    /// The records of exactly this name and type.
    fn set(self, owner: &Owner, kind: RecordType) -> impl Iterator<Item = &'a ZoneRecord> {
        let dynamic = self.dynamic.get(owner);
        // A dynamic name's own addresses in the zone are not answered.
        let is_hidden = dynamic.is_some() && is_address(kind);
        let standing = self.records.iter().filter({
            let owner = owner.clone();
            move |record| !is_hidden && record.owner == owner && record.data.record_type() == kind
        });
        let shown = dynamic.map_or(&[][..], |dynamic| &dynamic.visible);
        standing.chain(shown.iter().filter(move |record| record.data.record_type() == kind))
    }

    /// A name with records below it only is not in use (RFC 2136 §2.4.4).
    fn is_in_use(self, owner: &Owner) -> bool {
        self.dynamic.contains_key(owner) || self.records.iter().any(|record| record.owner == *owner)
    }
}

/// Addresses that a dynamic name is given in the course of an update.
#[derive(Clone, Default)]
struct Addresses {
    v4: Vec<Ipv4Addr>,
    v6: Vec<Ipv6Addr>,
}

/// The zone in the course of an update.
struct Draft<'a> {
    view: View<'a>,
    apex: &'a Owner,
    records: Vec<ZoneRecord>,
    addresses: BTreeMap<Owner, Addresses>,
    /// Owners whose records may be others now.
    touched: BTreeSet<Owner>,
}

impl<'a> Draft<'a> {
    fn new(view: View<'a>, apex: &'a Owner) -> Self {
        Self { view, apex, records: view.records.to_vec(), addresses: BTreeMap::new(), touched: BTreeSet::new() }
    }

    fn has(&self, owner: &Owner, is_it: impl Fn(RecordType) -> bool) -> bool {
        self.records.iter().any(|record| record.owner == *owner && is_it(record.data.record_type()))
    }

    /// RFC 2136 §3.4.2.
    fn apply(&mut self, change: &Record, may: &impl Fn(&Owner, RecordType) -> bool) -> Result<(), Code> {
        let owner = Owner::of_name(&change.name);
        let kind = change.record_type();
        let dynamic = self.view.dynamic.get(&owner);
        if kind == RecordType::ANY {
            let own: Vec<RecordType> =
                self.records.iter().filter(|record| record.owner == owner).map(type_of).collect();
            let of_dynamic = dynamic.into_iter().flat_map(|_| [RecordType::A, RecordType::AAAA]);
            // Whoever takes everything away has to be allowed all that there is; what nobody has is no harm.
            let mut all = own.iter().copied().filter(|kind| !self.is_kept(&owner, *kind)).chain(of_dynamic);
            if !all.all(|kind| may(&owner, kind)) {
                return Err(Code::Refused);
            }
            if let Some(dynamic) = dynamic {
                *self.entry(&owner, dynamic) = Addresses::default();
            }
            self.touched.insert(owner.clone());
            let apex = self.apex.clone();
            self.records.retain(|record| record.owner != owner || is_kept_at(&apex, &owner, type_of(record)));
            return Ok(());
        }
        if !may(&owner, kind) {
            return Err(Code::Refused);
        }
        if let Some(dynamic) = dynamic
            && is_address(kind)
        {
            apply_address(self.entry(&owner, dynamic), change);
            return Ok(());
        }
        if dynamic.is_some() && kind == RecordType::CNAME {
            return Err(Code::Refused);
        }
        self.touched.insert(owner.clone());
        if change.dns_class == DNSClass::IN {
            self.add(owner, change.ttl, &change.data);
        } else if change.dns_class == DNSClass::NONE && kind != RecordType::SOA {
            self.remove_one(&owner, kind, &change.data);
        } else if change.dns_class == DNSClass::ANY && !self.is_kept(&owner, kind) {
            self.records.retain(|record| record.owner != owner || type_of(record) != kind);
        }
        Ok(())
    }

    fn entry(&mut self, owner: &Owner, dynamic: &Dynamic) -> &mut Addresses {
        self.addresses.entry(owner.clone()).or_insert_with(|| Addresses {
            v4: dynamic.set.v4.into_iter().collect(),
            v6: dynamic.set.v6.into_iter().collect(),
        })
    }

    /// The SOA and NS records of the zone's own name cannot be taken away whole.
    fn is_kept(&self, owner: &Owner, kind: RecordType) -> bool {
        is_kept_at(self.apex, owner, kind)
    }

    fn remove_one(&mut self, owner: &Owner, kind: RecordType, data: &RData) {
        let is_last =
            || self.records.iter().filter(|record| record.owner == *owner && type_of(record) == kind).count() < 2;
        if self.is_kept(owner, kind) && is_last() {
            return;
        }
        self.records.retain(|record| record.owner != *owner || record.data != *data);
    }

    /// RFC 2136 §3.4.2.2: what cannot stand beside an alias is left out without an error.
    fn add(&mut self, owner: Owner, ttl: u32, data: &RData) {
        let kind = data.record_type();
        let is_alias = kind == RecordType::CNAME;
        if self.has(&owner, |other| (other == RecordType::CNAME) != is_alias) {
            return;
        }
        if let RData::SOA(new) = data {
            let newer = |record: &ZoneRecord| matches!(&record.data, RData::SOA(old) if is_serial_newer(new.serial, old.serial));
            if owner != *self.apex || !self.records.iter().any(newer) {
                return;
            }
        }
        let takes_place = is_alias || kind == RecordType::SOA;
        self.records
            .retain(|record| record.owner != owner || type_of(record) != kind || !takes_place && record.data != *data);
        // The records of a set have one TTL (RFC 2181 §5.2).
        for record in self.records.iter_mut().filter(|record| record.owner == owner && type_of(record) == kind) {
            record.ttl = ttl;
        }
        self.records.push(ZoneRecord { owner, ttl, data: data.clone() });
    }

    /// The records of the owners that were touched, in an order that does not depend on the one in which they came.
    fn canonical(&self, records: &[ZoneRecord]) -> Vec<(Owner, u16, u32, Vec<u8>)> {
        let touched = records.iter().filter(|record| self.touched.contains(&record.owner));
        let key = |record: &ZoneRecord| {
            // What has no wire form came from nowhere: it was read from one.
            let data = super::records::data_octets(&record.data).unwrap_or_default();
            (record.owner.clone(), u16::from(type_of(record)), record.ttl, data)
        };
        let mut all: Vec<_> = touched.map(key).collect();
        all.sort_unstable();
        all
    }

    fn finish(mut self) -> Result<Outcome, Code> {
        let is_changed = !self.touched.is_empty() && self.canonical(self.view.records) != self.canonical(&self.records);
        if is_changed && (self.view.is_fixed || self.records.len() > RECORDS_PER_ZONE_MAX) {
            return Err(Code::Refused);
        }
        if self.addresses.is_empty() {
            if !is_changed {
                return Ok(Outcome::Unchanged);
            }
            super::zone_file::sort(&mut self.records);
            return Ok(Outcome::Records(self.records));
        }
        // Two stores could not change together, and an update is carried out whole or not at all.
        if is_changed {
            return Err(Code::Refused);
        }
        let one = |addresses: Addresses| match (addresses.v4.as_slice(), addresses.v6.as_slice()) {
            (v4 @ ([] | [_]), v6 @ ([] | [_])) => Ok(Front { v4: v4.first().copied(), v6: v6.first().copied() }),
            // A line has one address of each family.
            _ => Err(Code::Refused),
        };
        let all = self.addresses.into_iter().map(|(owner, addresses)| Ok((owner, one(addresses)?)));
        all.collect::<Result<_, Code>>().map(Outcome::Addresses)
    }
}

fn type_of(record: &ZoneRecord) -> RecordType {
    record.data.record_type()
}

fn is_kept_at(apex: &Owner, owner: &Owner, kind: RecordType) -> bool {
    owner == apex && matches!(kind, RecordType::SOA | RecordType::NS)
}

fn apply_address(addresses: &mut Addresses, change: &Record) {
    match (&change.data, change.dns_class) {
        (RData::Update0(RecordType::A), _) => addresses.v4.clear(),
        (RData::Update0(_), _) => addresses.v6.clear(),
        (RData::A(a), DNSClass::NONE) => addresses.v4.retain(|known| *known != a.0),
        (RData::AAAA(a), DNSClass::NONE) => addresses.v6.retain(|known| *known != a.0),
        (RData::A(a), _) if !addresses.v4.contains(&a.0) => addresses.v4.push(a.0),
        (RData::AAAA(a), _) if !addresses.v6.contains(&a.0) => addresses.v6.push(a.0),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
