//! What is wrong with a zone before it is served, and what a customer should know of it.

use std::collections::{BTreeMap, BTreeSet};

use hickory_proto::rr::{Name, RData, RecordType};

use super::owner::{Owner, labels, suffixes};
use super::zone::ZoneRecord;

/// Longest TTL of a name that mail depends on, s: how long senders go on to a place that has changed.
const MAIL_TTL_MAX_S: u32 = 86_400;

/// Something found.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Finding {
    /// The zone cannot be served so.
    Broken(String),
    /// It can, but not everything works.
    Warning(String),
}

impl Finding {
    /// The sentence.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Self::Broken(words) | Self::Warning(words) => words,
        }
    }

    /// Whether the zone cannot be served so.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_))
    }
}

/// What a zone is checked against.
pub struct Surroundings<'a> {
    /// The names of our name servers.
    pub name_servers: &'a [Owner],
    /// Names in it that follow a mail server and have addresses by that.
    pub dynamic: &'a BTreeSet<Owner>,
}

/// Everything found, the broken first. `records` are all of the zone.
#[must_use]
pub fn check(apex: &Owner, records: &[ZoneRecord], around: &Surroundings<'_>) -> Vec<Finding> {
    let mut by_owner: BTreeMap<&Owner, Vec<&ZoneRecord>> = BTreeMap::new();
    for record in records {
        by_owner.entry(&record.owner).or_default().push(record);
    }
    let zone = Zone { apex, by_owner, around };
    let mut findings = Vec::new();
    zone.check_apex(&mut findings);
    for (owner, own) in &zone.by_owner {
        zone.check_owner(owner, own, &mut findings);
    }
    findings.sort();
    findings.dedup();
    findings
}

struct Zone<'a> {
    apex: &'a Owner,
    by_owner: BTreeMap<&'a Owner, Vec<&'a ZoneRecord>>,
    around: &'a Surroundings<'a>,
}

impl Zone<'_> {
    fn has(&self, owner: &Owner, record_type: RecordType) -> bool {
        self.by_owner.get(owner).is_some_and(|own| own.iter().any(|record| record.data.record_type() == record_type))
    }

    fn check_apex(&self, findings: &mut Vec<Finding>) {
        let apex = self.apex;
        let own = self.by_owner.get(apex).map(Vec::as_slice).unwrap_or_default();
        let soas = own.iter().filter(|record| record.data.record_type() == RecordType::SOA).count();
        if soas != 1 {
            findings.push(Finding::Broken(format!("{apex} has {soas} SOA records; a zone has one")));
        }
        let servers: Vec<Owner> = own
            .iter()
            .filter_map(|record| if let RData::NS(name) = &record.data { Some(Owner::of_name(&name.0)) } else { None })
            .collect();
        if servers.is_empty() {
            findings.push(Finding::Broken(format!("{apex} has no NS record")));
        } else if !servers.iter().any(|server| self.around.name_servers.contains(server)) {
            let ours: Vec<String> = self.around.name_servers.iter().map(ToString::to_string).collect();
            findings.push(Finding::Warning(format!(
                "no NS record of {apex} names this server ({}); nobody is sent here",
                ours.join(", ")
            )));
        }
    }

    fn check_owner(&self, owner: &Owner, own: &[&ZoneRecord], findings: &mut Vec<Finding>) {
        let is_dynamic = self.around.dynamic.contains(owner);
        let of = |record_type| own.iter().filter(|record| record.data.record_type() == record_type).count();
        let aliases = of(RecordType::CNAME);
        if aliases > 1 || (aliases == 1 && own.len() > 1) {
            findings
                .push(Finding::Broken(format!("{owner} is an alias (CNAME) and has other records (RFC 1034 §3.6.2)")));
        }
        if aliases == 1 && is_dynamic {
            findings.push(Finding::Broken(format!("{owner} follows a mail server and cannot be an alias (CNAME)")));
        }
        if is_dynamic && of(RecordType::A) + of(RecordType::AAAA) > 0 {
            findings.push(Finding::Warning(format!(
                "{owner} follows a mail server; its A and AAAA records here are ignored"
            )));
        }
        if of(RecordType::SOA) > 0 && owner != self.apex {
            findings.push(Finding::Broken(format!("{owner} has a SOA record but is not the zone's name")));
        }
        if of(RecordType::NS) > 0 && labels(owner.octets()).next() == Some(b"*") {
            findings.push(Finding::Broken(format!("{owner}: a wildcard cannot be delegated (RFC 4592 §4.2)")));
        }
        for group in own.chunk_by(|a, b| a.data.record_type() == b.data.record_type()) {
            if group.iter().any(|record| group.first().is_some_and(|first| first.ttl != record.ttl)) {
                findings.push(Finding::Warning(format!(
                    "{owner}: records of one type have one TTL; the first is taken (RFC 2181 §5.2)"
                )));
            }
        }
        for record in own {
            self.check_target(record, findings);
        }
    }

    /// Names that mail, services and delegations point at have addresses and are no aliases (RFC 2181 §10.3).
    fn check_target(&self, record: &ZoneRecord, findings: &mut Vec<Finding>) {
        let Some(target) = target_of(&record.data) else { return };
        let kind = record.data.record_type();
        if kind == RecordType::MX && record.ttl > MAIL_TTL_MAX_S {
            findings.push(Finding::Warning(format!(
                "{}: MX with a TTL of {} s; a change is seen that much later",
                record.owner, record.ttl
            )));
        }
        let target = Owner::of_name(target);
        if !target.is_within(self.apex) || self.is_delegated(&target) && kind != RecordType::NS {
            return;
        }
        if self.has(&target, RecordType::CNAME) {
            findings.push(Finding::Broken(format!("{kind} of {} points at the alias {target}", record.owner)));
        } else if !self.has_address(&target) {
            findings
                .push(Finding::Broken(format!("{kind} of {} points at {target}, which has no address", record.owner)));
        }
    }

    fn has_address(&self, name: &Owner) -> bool {
        let has = |owner: &Owner| {
            self.has(owner, RecordType::A) || self.has(owner, RecordType::AAAA) || self.around.dynamic.contains(owner)
        };
        if has(name) {
            return true;
        }
        let exists = self.by_owner.contains_key(name);
        let wildcard = suffixes(name.octets()).nth(1).and_then(Owner::from_stored).map(|above| above.wildcard());
        !exists && wildcard.is_some_and(|wildcard| has(&wildcard))
    }

    fn is_delegated(&self, name: &Owner) -> bool {
        suffixes(name.octets())
            .filter_map(Owner::from_stored)
            .take_while(|above| above != self.apex)
            .any(|above| self.has(&above, RecordType::NS))
    }
}

/// The name that the data points at, if it is one that needs an address.
#[expect(clippy::wildcard_enum_match_arm, reason = "hickory adds types; only these point at hosts")]
pub(super) const fn target_of(data: &RData) -> Option<&Name> {
    match data {
        RData::MX(mx) => Some(&mx.exchange),
        RData::NS(ns) => Some(&ns.0),
        RData::SRV(srv) => Some(&srv.target),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DomainName;
    use crate::dns::zone_file;

    fn owner(text: &str) -> Owner {
        Owner::of_domain(&DomainName::parse(text).unwrap())
    }

    fn found(lines: &str) -> Vec<Finding> {
        let base = "@ 60 IN SOA mx2.example.net. root 1 2 3 4 5\n@ 60 IN NS mx2.example.net.\n";
        found_whole(&format!("{base}{lines}"))
    }

    fn found_whole(text: &str) -> Vec<Finding> {
        let apex = owner("firma.example");
        let records = zone_file::read(text, &apex).unwrap();
        let dynamic = BTreeSet::from([owner("mail.firma.example")]);
        let name_servers = [owner("mx2.example.net")];
        check(&apex, &records, &Surroundings { name_servers: &name_servers, dynamic: &dynamic })
    }

    fn one(lines: &str, word: &str, is_broken: bool) {
        let findings = found(lines);
        let [finding] = findings.as_slice() else { panic!("{lines}: {findings:?}") };
        assert!(finding.words().contains(word) && finding.is_broken() == is_broken, "{lines}: {finding:?}");
    }

    #[test]
    fn a_good_zone_has_nothing_to_say() {
        assert_eq!(found("@ 60 IN MX 10 mail\n@ 60 IN MX 20 mx2.example.net.\nwww 60 IN CNAME mail\n"), []);
        assert_eq!(found("*.w 60 IN A 203.0.113.7\n@ 60 IN MX 10 a.w\n"), []);
    }

    #[test]
    fn each_fault_is_named() {
        one("a 60 IN CNAME b\na 60 IN TXT x\n", "other records", true);
        one("mail 60 IN CNAME b\n", "cannot be an alias", true);
        one("mail 60 IN A 203.0.113.7\n", "ignored", false);
        one("a 60 IN CNAME b.example.\n@ 60 IN MX 10 a\n", "the alias", true);
        one("@ 60 IN MX 10 nobody\n", "no address", true);
        one("sub 60 IN NS ns.sub\n", "no address", true);
        one("@ 604800 IN MX 10 mail\n", "TTL", false);
        one("*.sub 60 IN NS ns.other.example.\n", "wildcard", true);
    }

    #[test]
    fn a_zone_without_soa_or_with_other_servers_is_told_so() {
        let findings = found_whole("@ 60 IN NS ns.provider.example.\n");
        assert!(findings[0].words().contains("0 SOA") && findings[0].is_broken());
        assert!(findings[1].words().contains("names this server") && !findings[1].is_broken());
    }
}
