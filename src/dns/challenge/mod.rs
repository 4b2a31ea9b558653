//! Which TXT records stand at `_acme-challenge` names now (RFC 8555 §8.4), put there by ACME clients with narrow keys.
//!
//! This file holds the records, `key` says what a client's key looks like and opens, `store` what is kept, `driver` puts
//! records in and takes them out again. A name stands either below a dynamic name (`_acme-challenge.firma.dyn.example`) or
//! has a label of its own below `auth`, to which a customer's zone elsewhere points by CNAME. Nobody else's record stands there:
//! these names are no part of any stored zone, so a zone file never carries them.

pub mod driver;
pub mod key;
pub mod store;

use std::collections::HashMap;
use std::time::Duration;

use hickory_proto::rr::RData;
use hickory_proto::rr::rdata::TXT;

use super::owner::{Owner, labels};
use super::records::RecordSet;
use crate::base::{DomainName, WallTime};

/// In front of the name that a certificate is for (RFC 8555 §8.4).
pub const CHALLENGE_LABEL: &str = "_acme-challenge";
/// Below it, in the service's zone, stand names that others point at by CNAME.
pub const AUTH_LABEL: &str = "auth";
/// Values at one name, at most; the oldest goes first. A certificate has up to 100 names, half of them wildcards of the
/// other half, and all may point at one name.
pub const VALUES_MAX: usize = 100;
/// How long a value stands. An order is done in minutes; a person who does it by hand may sleep over it.
pub const VALUE_AGE_MAX: Duration = Duration::from_secs(12 * 3_600);
/// TTL of the records, s: the next value has to be seen at once.
pub const VALUE_TTL_S: u32 = 1;
/// Characters of a value: SHA-256 in base64url without padding (RFC 8555 §8.4).
pub const VALUE_CHARS: usize = 43;

/// Whether it is the value of a challenge by its form.
#[must_use]
pub fn is_value(text: &str) -> bool {
    text.len() == VALUE_CHARS && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// The name at which a certificate authority asks for a host.
#[must_use]
pub fn challenge_name(host: &DomainName) -> Option<DomainName> {
    DomainName::parse(&format!("{CHALLENGE_LABEL}.{host}")).ok()
}

/// What stands at one name.
#[derive(Debug, Default)]
struct Held {
    /// Oldest first.
    values: Vec<(String, WallTime)>,
    set: RecordSet,
}

impl Held {
    fn renew(&mut self) {
        let data: Vec<RData> = self.values.iter().map(|(value, _)| RData::TXT(TXT::new(vec![value.clone()]))).collect();
        // 43 letters always have a wire form.
        self.set = RecordSet::new(VALUE_TTL_S, &data).unwrap_or_default();
    }
}

/// See the file. Changed only by the driver, under the catalog's lock.
#[derive(Debug)]
pub struct Challenges {
    held: HashMap<Owner, Held>,
    /// The name above all names of their own.
    auth: Owner,
}

impl Challenges {
    /// None yet; `zone` is the service's own.
    #[must_use]
    pub fn new(zone: &DomainName) -> Self {
        let auth = DomainName::parse(&format!("{AUTH_LABEL}.{zone}")).unwrap_or_else(|_| zone.clone());
        Self { held: HashMap::new(), auth: Owner::of_domain(&auth) }
    }

    /// The records at a name, perhaps none; absent for a name that is not one of these.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&RecordSet> {
        if self.held.is_empty() { None } else { self.held.get(name).map(|held| &held.set) }
    }

    /// Whether a name exists because some of these lie below it.
    #[must_use]
    pub fn is_above(&self, name: &[u8]) -> bool {
        name == self.auth.octets() && !self.held.is_empty()
    }

    /// Every name with its records.
    pub fn sets(&self) -> impl Iterator<Item = (&Owner, &RecordSet)> {
        self.held.iter().map(|(owner, held)| (owner, &held.set))
    }

    /// The name exists from now on, if it does not yet.
    pub fn open(&mut self, owner: Owner) {
        self.held.entry(owner).or_default();
    }

    /// The name is gone with all that stood there.
    pub fn close(&mut self, owner: &[u8]) {
        self.held.remove(owner);
    }

    /// One more value; one that stands already counts as new. Whether the answers have changed.
    pub fn add(&mut self, owner: &Owner, value: &str, at: WallTime) -> bool {
        let held = self.held.entry(owner.clone()).or_default();
        let known = held.values.iter().position(|(known, _)| known == value);
        if let Some(known) = known {
            held.values.remove(known);
        } else if held.values.len() >= VALUES_MAX {
            held.values.remove(0);
        }
        held.values.push((value.to_owned(), at));
        if known.is_none() {
            held.renew();
        }
        known.is_none()
    }

    /// A value less. Whether the answers have changed.
    pub fn take(&mut self, owner: &Owner, value: &str) -> bool {
        self.drop_values(owner, |(known, _)| known == value)
    }

    /// Values that stood for [`VALUE_AGE_MAX`] go. The names whose answers have changed.
    pub fn expire(&mut self, now: WallTime) -> Vec<Owner> {
        let oldest = now - VALUE_AGE_MAX;
        let old = |held: &Held| held.values.iter().any(|(_, at)| *at <= oldest);
        let owners: Vec<Owner> =
            self.held.iter().filter(|(_, held)| old(held)).map(|(owner, _)| owner.clone()).collect();
        owners.into_iter().filter(|owner| self.drop_values(owner, |(_, at)| *at <= oldest)).collect()
    }

    fn drop_values(&mut self, owner: &Owner, is_it: impl Fn(&(String, WallTime)) -> bool) -> bool {
        let Some(held) = self.held.get_mut(owner.octets()) else { return false };
        let before = held.values.len();
        held.values.retain(|value| !is_it(value));
        let is_changed = held.values.len() != before;
        if is_changed {
            held.renew();
        }
        is_changed
    }
}

/// The name that an owner below [`CHALLENGE_LABEL`] speaks for; absent for others.
#[must_use]
pub fn host_of(owner: &Owner) -> Option<Owner> {
    let label = labels(owner.octets()).next()?;
    let rest = owner.octets().get(label.len() + 1..)?;
    label.eq_ignore_ascii_case(CHALLENGE_LABEL.as_bytes()).then(|| Owner::of_octets(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn at(second: i64) -> WallTime {
        chrono::Utc.timestamp_opt(1_795_492_800 + second, 0).unwrap()
    }

    fn owner(text: &str) -> Owner {
        Owner::of_domain(&DomainName::parse(text).unwrap())
    }

    fn value(n: usize) -> String {
        format!("{n:0>43}")
    }

    fn count(table: &Challenges, name: &Owner) -> Option<u16> {
        table.find(name.octets()).map(RecordSet::count)
    }

    #[test]
    fn values_stand_beside_each_other_until_they_are_taken_or_old() {
        let mut table = Challenges::new(&DomainName::parse("dyn.example").unwrap());
        let name = owner("_acme-challenge.firma.dyn.example");
        assert_eq!(count(&table, &name), None);
        table.open(name.clone());
        assert_eq!(count(&table, &name), Some(0));
        for n in 0..5 {
            assert!(table.add(&name, &value(n), at(i64::try_from(n).unwrap())));
        }
        assert!(!table.add(&name, &value(0), at(100)), "it stands already");
        assert_eq!(count(&table, &name), Some(5));
        assert!(table.take(&name, &value(1)) && !table.take(&name, &value(1)));
        let hours = i64::try_from(VALUE_AGE_MAX.as_secs()).unwrap();
        assert_eq!(table.expire(at(hours + 3)), std::slice::from_ref(&name));
        assert_eq!(count(&table, &name), Some(2), "value 4 and the renewed value 0");
        assert_eq!(table.expire(at(hours + 3)), []);
        assert_eq!(table.expire(at(hours + 100)), std::slice::from_ref(&name));
        assert_eq!(count(&table, &name), Some(0));
        table.close(name.octets());
        assert_eq!(count(&table, &name), None);
    }

    #[test]
    fn one_name_holds_so_many_values_and_no_more() {
        let mut table = Challenges::new(&DomainName::parse("dyn.example").unwrap());
        let name = owner("x.auth.dyn.example");
        for n in 0..VALUES_MAX + 3 {
            table.add(&name, &value(n), at(0));
        }
        assert_eq!(count(&table, &name), u16::try_from(VALUES_MAX).ok());
        assert!(!table.take(&name, &value(2)) && table.take(&name, &value(3)), "the oldest have gone");
        assert!(table.is_above(owner("auth.dyn.example").octets()));
        assert_eq!(host_of(&owner("_acme-challenge.a.example")), Some(owner("a.example")));
        assert_eq!(host_of(&owner("a.example")), None);
    }

    #[test]
    fn a_value_is_known_by_its_form() {
        assert!(is_value("LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM"));
        for bad in [
            "",
            "short",
            "LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM=",
            "LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmto\"",
        ] {
            assert!(!is_value(bad), "{bad}");
        }
    }
}
