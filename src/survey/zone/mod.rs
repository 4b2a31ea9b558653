//! A zone file out of what the public DNS answers, for a customer whose provider exports none.

pub mod driver;

use std::collections::BTreeSet;

use hickory_proto::rr::rdata::{NS, SOA};
use hickory_proto::rr::{RData, RecordType};

use crate::base::DomainName;
use crate::dns::owner::Owner;
use crate::dns::zone::ZoneRecord;
use crate::dns::zone_file;

/// TTL of every record of the proposal, s: what resolvers say counts down and is not what stands in the zone.
const TTL_S: u32 = 3_600;
/// Records of a proposal.
const RECORDS_MAX: usize = 2_000;
/// Octets of the file.
const FILE_OCTETS_MAX: usize = 512 * 1_024;

/// Names that domains use, below the domain, asked for addresses (an alias answers as well).
pub const HOSTS: &[&str] = &[
    "www",
    "mail",
    "smtp",
    "imap",
    "pop",
    "pop3",
    "mx",
    "mx1",
    "mx2",
    "webmail",
    "autodiscover",
    "autoconfig",
    "ftp",
    "sftp",
    "vpn",
    "remote",
    "owa",
    "exchange",
    "cloud",
    "nextcloud",
    "shop",
    "blog",
    "api",
    "dev",
    "test",
    "m",
    "intranet",
    "portal",
    "gateway",
    "ns1",
    "ns2",
    "sip",
    "lyncdiscover",
    "cdn",
    "static",
    "status",
    "support",
    "wiki",
    "git",
    "mta-sts",
    "enterpriseenrollment",
    "enterpriseregistration",
];
/// Names asked for texts (or aliases that lead to texts).
pub const TEXTS: &[&str] = &[
    "_dmarc",
    "_mta-sts",
    "_smtp._tls",
    "_acme-challenge",
    "default._domainkey",
    "dkim._domainkey",
    "mail._domainkey",
    "google._domainkey",
    "selector1._domainkey",
    "selector2._domainkey",
    "k1._domainkey",
    "k2._domainkey",
    "s1._domainkey",
    "s2._domainkey",
    "default._bimi",
];
/// Names asked for services.
pub const SERVICES: &[&str] = &[
    "_autodiscover._tcp",
    "_imap._tcp",
    "_imaps._tcp",
    "_submission._tcp",
    "_submissions._tcp",
    "_pop3s._tcp",
    "_caldavs._tcp",
    "_carddavs._tcp",
    "_sip._tls",
    "_sipfederationtls._tcp",
    "_xmpp-client._tcp",
    "_xmpp-server._tcp",
    "_matrix._tcp",
];
/// What is asked of the domain itself. Its SOA and NS become ours.
pub const APEX: &[RecordType] =
    &[RecordType::MX, RecordType::TXT, RecordType::A, RecordType::AAAA, RecordType::CAA, RecordType::HTTPS];

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Public {
    /// Records below the domain, with the names as asked.
    pub records: Vec<ZoneRecord>,
    /// Every name answers; these records stand for all that were not asked.
    pub wildcard: Vec<ZoneRecord>,
    /// Questions that were asked.
    pub asked: usize,
    /// Of those, the ones that nobody answered.
    pub unanswered: usize,
}

/// The zone file, with a head that says what it cannot know. SOA and NS are those of our name servers.
#[must_use]
pub fn file(domain: &DomainName, public: &Public, name_servers: &[DomainName], contact: &DomainName) -> String {
    let apex = Owner::of_domain(domain);
    let star = apex.wildcard();
    // What the wildcard gives is not written again for each name that was asked.
    let wild: Vec<&RData> = public.wildcard.iter().map(|record| &record.data).collect();
    let is_wild = |record: &ZoneRecord| record.owner != apex && wild.contains(&&record.data);
    let mut records: Vec<ZoneRecord> = public.records.iter().filter(|r| !is_wild(r)).cloned().collect();
    records.extend(public.wildcard.iter().map(|record| ZoneRecord { owner: star.clone(), ..record.clone() }));
    records.retain(|record| record.owner.is_within(&apex));
    let aliases: BTreeSet<Owner> =
        records.iter().filter(|r| r.data.record_type() == RecordType::CNAME).map(|r| r.owner.clone()).collect();
    // An alias has no other records (RFC 1034 §3.6.2); what it leads to came with the answer.
    records.retain(|r| r.data.record_type() == RecordType::CNAME || !aliases.contains(&r.owner));
    for record in &mut records {
        record.ttl = TTL_S;
    }
    let mut seen = BTreeSet::new();
    records.retain(|record| seen.insert(zone_file::line(record)));
    records.truncate(RECORDS_MAX);
    let mut whole = standing(&apex, name_servers, contact);
    whole.append(&mut records);
    zone_file::sort(&mut whole);
    let mut left = FILE_OCTETS_MAX;
    whole.retain(|record| {
        let length = zone_file::line(record).len() + 1;
        let fits = length <= left;
        left -= if fits { length } else { 0 };
        fits
    });
    format!("{}{}", head(domain, public), zone_file::write(&apex, &whole, &[]))
}

fn standing(apex: &Owner, name_servers: &[DomainName], contact: &DomainName) -> Vec<ZoneRecord> {
    let name = |domain: &DomainName| Owner::of_domain(domain).to_name();
    let at = |data| ZoneRecord { owner: apex.clone(), ttl: TTL_S, data };
    let Some(first) = name_servers.first() else { return Vec::new() };
    let soa = SOA::new(name(first), name(contact), 1, 14_400, 3_600, 1_209_600, 60);
    let servers = name_servers.iter().map(|server| at(RData::NS(NS(name(server)))));
    std::iter::once(at(RData::SOA(soa))).chain(servers).collect()
}

fn head(domain: &DomainName, public: &Public) -> String {
    let Public { asked, unanswered, .. } = public;
    let mut text = format!(
        "; Proposal for {domain}, made of {asked} questions to the public DNS.\n\
         ; It is NOT the whole zone: the DNS does not tell which names exist, so names that nobody guesses are missing.\n\
         ; Compare it with the list at the DNS provider, and with every device and service that you know, before the\n\
         ; delegation is changed. TTLs are set to {TTL_S}; SOA and NS are those of this service.\n"
    );
    if *unanswered > 0 {
        text.push_str(&format!("; {unanswered} questions had no answer: ask again, more may be missing.\n"));
    }
    if !public.wildcard.is_empty() {
        text.push_str("; Every name answers (a wildcard): names with the same data are not listed one by one.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    fn records(text: &str) -> Vec<ZoneRecord> {
        zone_file::read(text, &Owner::of_domain(&domain("firma.example"))).unwrap()
    }

    fn made(public: &Public) -> String {
        file(&domain("firma.example"), public, &[domain("ns1.example.net")], &domain("hostmaster.example.net"))
    }

    #[test]
    fn what_is_proposed_can_be_imported_and_says_that_it_is_not_all() {
        let found = records(
            "@ 17 IN MX 10 mail\nmail 17 IN A 203.0.113.7\nwww 17 IN CNAME mail\nwww 17 IN A 203.0.113.7\n\
             @ 17 IN TXT \"v=spf1 mx -all\" \"; \\\"x\"\n",
        );
        let text = made(&Public { records: found, asked: 9, unanswered: 2, ..Public::default() });
        assert!(text.contains("NOT the whole zone") && text.contains("2 questions had no answer"), "{text}");
        let read = records(&text);
        let lines: Vec<String> = read.iter().map(zone_file::line).collect();
        assert_eq!(read.iter().filter(|record| record.data.record_type() == RecordType::SOA).count(), 1);
        assert!(lines.contains(&"firma.example. 3600 IN NS ns1.example.net.".to_owned()), "{lines:?}");
        assert!(lines.contains(&"firma.example. 3600 IN MX 10 mail.firma.example.".to_owned()), "{lines:?}");
        assert!(!lines.contains(&"www.firma.example. 3600 IN A 203.0.113.7".to_owned()), "an alias stands alone");
        assert_eq!(read.len(), 6, "{lines:?}");
    }

    #[test]
    fn a_wildcard_is_one_record_and_what_differs_stays() {
        let wildcard = records("any 60 IN A 203.0.113.7\n");
        let found = records("www 60 IN A 203.0.113.7\nmail 60 IN A 203.0.113.8\n@ 60 IN A 203.0.113.7\n");
        let text = made(&Public { records: found, wildcard, asked: 4, unanswered: 0 });
        let lines: Vec<String> = records(&text).iter().map(zone_file::line).collect();
        assert!(lines.contains(&"*.firma.example. 3600 IN A 203.0.113.7".to_owned()), "{lines:?}");
        assert!(
            lines.contains(&"firma.example. 3600 IN A 203.0.113.7".to_owned()),
            "a wildcard is not the domain itself"
        );
        assert!(
            lines.iter().any(|line| line.starts_with("mail.")) && !lines.iter().any(|line| line.starts_with("www."))
        );
    }
}
