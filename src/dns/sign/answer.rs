//! Signs an answer: the prepared one is read again, and each set in it gets its signature; what is not there is denied.

use std::collections::HashMap;
use std::sync::Arc;

use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC};
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::ZoneKeys;
use super::cache::{SetHash, Signatures};
use super::key::SigningError;
use crate::base::WallTime;
use crate::dns::answer::{Terms, respond};
use crate::dns::catalog::{Catalog, Place};
use crate::dns::owner::{Owner, suffixes};
use crate::dns::query::Query;
use crate::dns::records::data_octets;

/// "There is no such name" among the types of a name (RFC 9824 §3.1).
const NXNAME: u16 = 128;
/// Type number of a delegation's keys.
const DS: u16 = 43;
/// Type number of an alias.
const CNAME: u16 = 5;

/// The signed zones and the signatures made lately.
#[derive(Debug, Default)]
pub struct Signing {
    zones: HashMap<Owner, Arc<ZoneKeys>>,
    signatures: Arc<Signatures>,
}

impl Signing {
    /// Signs a zone with these keys from now on; without any no more.
    pub fn set(&mut self, apex: &Owner, keys: Option<Arc<ZoneKeys>>) {
        match keys {
            Some(keys) => drop(self.zones.insert(apex.clone(), keys)),
            None => drop(self.zones.remove(apex)),
        }
    }

    /// The keys of a zone.
    #[must_use]
    pub fn keys(&self, apex: &Owner) -> Option<&Arc<ZoneKeys>> {
        self.zones.get(apex)
    }

    /// Whether any zone is signed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.zones.is_empty()
    }
}

/// The keys that sign a name: those of the zone that it lies in.
fn keys_of<'a>(catalog: &'a Catalog, name: &[u8]) -> Option<&'a Arc<ZoneKeys>> {
    catalog.signing().keys(catalog.zone_above(&Owner::of_octets(name))?)
}

/// Whether an answer has to be signed: the asker wants it, and some zone here that could take part is signed.
#[must_use]
pub fn is_wanted(catalog: &Catalog, query: &Query) -> bool {
    if !query.edns.is_some_and(|edns| edns.is_dnssec_ok) || catalog.signing().is_empty() {
        return false;
    }
    // The zone above speaks for DS, and an alias may lead into another zone.
    let is_alias = || matches!(catalog.look_up(query.name()), Place::Node(_, node) if node.set(CNAME).is_some());
    query.record_type == DS || keys_of(catalog, query.name()).is_some() || is_alias()
}

/// The sections of a signed answer in wire form, header and question included, without OPT and not cut. Absent where no
/// record in it comes from a signed zone.
///
/// # Errors
/// [`SigningError`] for what cannot be signed.
pub fn signed(catalog: &Catalog, octets: &[u8], query: &Query, now: WallTime) -> Result<Option<Vec<u8>>, SigningError> {
    let plain = query.without_edns();
    let mut unsigned = Vec::new();
    respond(catalog, octets, &plain, Terms { is_stream: true, cookie: None }, &mut unsigned);
    let mut message = Message::from_vec(&unsigned).map_err(fault)?;
    let work = Work { catalog, now };
    let answers = std::mem::take(&mut message.answers);
    let last = answers
        .iter()
        .rev()
        .find_map(|record| if let RData::CNAME(alias) = &record.data { Some(alias.0.clone()) } else { None });
    let mut has_signed = work.append(answers, &mut message.answers)?;
    // A denial is about the name that was asked for, or about the one that the last alias led to.
    let asked = message.queries.first().map(|question| question.name().clone()).unwrap_or_default();
    let denied = last.unwrap_or(asked);
    let authorities = std::mem::take(&mut message.authorities);
    let soa = authorities.iter().find(|record| record.record_type() == RecordType::SOA).cloned();
    if let Some(soa) = soa {
        has_signed |= work.append(authorities, &mut message.authorities)?;
        if let Some(keys) = keys_of(catalog, Owner::of_name(&soa.name).octets()) {
            let types = work.types_at(&Owner::of_name(&denied), keys.apex());
            // A name that is not there is one with no types but this (RFC 9824 §3.1); the code says so to nobody else.
            message.metadata.response_code = ResponseCode::NoError;
            work.deny(denied, soa.ttl, types, &mut message.authorities)?;
        }
    } else if let Some(cut) = authorities.first().cloned() {
        // A referral: the records of the others are not ours to sign, that there are no keys of theirs is.
        message.authorities = authorities;
        let owner = Owner::of_name(&cut.name);
        if let Some(keys) = keys_of(catalog, owner.octets()) {
            let types = work.types_at(&owner, keys.apex());
            has_signed = true;
            match catalog.delegation(&owner).filter(|set| !set.is_empty()) {
                Some(set) => {
                    let ds = set.iter().map(|data| Record::from_rdata(cut.name.clone(), cut.ttl, data.clone()));
                    work.append(ds.collect(), &mut message.authorities)?;
                }
                None => work.deny(cut.name.clone(), catalog.shared().ttl, types, &mut message.authorities)?,
            }
        }
    }
    if has_signed { message.to_vec().map(Some).map_err(fault) } else { Ok(None) }
}

fn fault(error: impl std::fmt::Display) -> SigningError {
    SigningError(error.to_string())
}

struct Work<'a> {
    catalog: &'a Catalog,
    now: WallTime,
}

impl Work<'_> {
    /// Appends records, each set with its signatures behind it. Whether there was any.
    fn append(&self, records: Vec<Record>, to: &mut Vec<Record>) -> Result<bool, SigningError> {
        let mut is_signed = false;
        for set in records.chunk_by(|a, b| a.name == b.name && a.record_type() == b.record_type()) {
            to.extend(set.iter().cloned());
            let Some(first) = set.first() else { continue };
            let owner = Owner::of_name(&first.name);
            // The parent speaks for the keys of its child (RFC 4035 §2.4).
            let above = owner.octets().get(first_label_octets(&owner)..).unwrap_or_default();
            let of = if u16::from(first.record_type()) == DS { above } else { owner.octets() };
            let Some(keys) = keys_of(self.catalog, of) else { continue };
            is_signed = true;
            for signature in self.signatures(keys, set)? {
                to.push(Record::from_rdata(first.name.clone(), first.ttl, signature));
            }
        }
        Ok(is_signed)
    }

    fn signatures(&self, keys: &ZoneKeys, set: &[Record]) -> Result<Vec<RData>, SigningError> {
        let Some(first) = set.first() else { return Ok(Vec::new()) };
        let mut canonical: Vec<Record> = Vec::with_capacity(set.len());
        let mut octets: Vec<Vec<u8>> = Vec::with_capacity(set.len());
        for record in set {
            let mut record = record.clone();
            record.name = first.name.to_lowercase();
            octets.push(data_octets(&record.data).map_err(fault)?);
            canonical.push(record);
        }
        octets.sort_unstable();
        let apex = keys.apex().to_name();
        let mut all = Vec::new();
        for key in keys.signers(first.record_type()) {
            let mut hasher = blake3::Hasher::new();
            hasher.update(Owner::of_name(&first.name).octets());
            hasher.update(keys.apex().octets());
            hasher.update(&key.tag.to_be_bytes());
            hasher.update(&u16::from(first.record_type()).to_be_bytes());
            hasher.update(&first.ttl.to_be_bytes());
            for data in &octets {
                hasher.update(&u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
                hasher.update(data);
            }
            let mut hash: SetHash = [0; 16];
            hasher.finalize_xof().fill(&mut hash);
            let cache = &self.catalog.signing().signatures;
            let signature = match cache.find(&hash, self.now) {
                Some(signature) => signature,
                None => {
                    let signature = key.sign(&apex, &canonical, self.now)?;
                    cache.keep(hash, signature.clone(), self.now);
                    signature
                }
            };
            all.push(signature);
        }
        Ok(all)
    }

    /// Appends the record that says which types a name has, and its signature.
    fn deny(&self, name: Name, ttl: u32, types: Vec<RecordType>, to: &mut Vec<Record>) -> Result<(), SigningError> {
        let owner = Owner::of_name(&name);
        // The name that comes right behind it (RFC 4470 §3). One that is too long for that leads to the zone's own.
        let labels = std::iter::once(&[0_u8][..]).chain(crate::dns::owner::labels(owner.octets()));
        let next = Name::from_labels(labels.collect::<Vec<_>>());
        let apex = self.catalog.zone_above(&owner).map(Owner::to_name);
        let next = next.ok().or(apex).unwrap_or_default();
        let nsec = NSEC::new_cover_self(next, types);
        let record = Record::from_rdata(name, ttl, RData::DNSSEC(DNSSECRData::NSEC(nsec)));
        self.append(vec![record], to).map(drop)
    }

    /// The types of a name in the zone of `apex`, those of DNSSEC itself aside.
    fn types_at(&self, owner: &Owner, apex: &Owner) -> Vec<RecordType> {
        let name = owner.octets();
        // Seen from above, the own name of a zone below is a cut.
        let is_child = owner != apex && self.catalog.zone_above(owner).is_some_and(|zone| zone == owner);
        let numbers: Vec<u16> = if is_child {
            vec![2]
        } else {
            match self.catalog.look_up(name) {
                Place::Dynamic(_, row, node) => self.catalog.dynamic_types(row, node),
                Place::Node(_, node) => node.sets().map(|(kind, _)| kind).collect(),
                Place::Challenge(_, set) => {
                    if set.is_empty() {
                        Vec::new()
                    } else {
                        vec![16]
                    }
                }
                Place::Cut(cut, node) if cut.octets() == name => {
                    [2, DS].into_iter().filter(|kind| node.set(*kind).is_some()).collect()
                }
                Place::Between(_) => Vec::new(),
                Place::Elsewhere | Place::Cut(..) | Place::Nothing(_) => vec![NXNAME],
            }
        };
        let soa = (owner == apex).then_some(RecordType::SOA);
        numbers.into_iter().map(RecordType::from).chain(soa).collect()
    }
}

fn first_label_octets(owner: &Owner) -> usize {
    let whole = owner.octets().len();
    suffixes(owner.octets()).nth(1).map_or(whole, |rest| whole - rest.len())
}
