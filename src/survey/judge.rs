//! From what was seen to what is found. Pure: no question is asked here.

use std::net::IpAddr;

use super::facts::{Answer, Exchange, Expected, Facts, Port, Primary, Sts};
use super::matter::{Finding, Matter, Record};
use crate::base::{DomainName, WallTime};

/// Longest TTL of MX records that is not remarked, s: how long senders go on to a place that has changed.
const MX_TTL_MAX_S: u32 = 86_400;
/// Longest TTL of a name that moves, s.
pub const NAME_TTL_MAX_S: u32 = 60;
/// Preference of the customer's first server; the next ones follow by one.
pub const PRIMARY_PREFERENCE: u16 = 10;
/// Ours.
pub const OUR_PREFERENCE: u16 = 20;

/// Everything found about the domain, in the order in which things build on one another.
#[must_use]
pub fn judge(expected: &Expected, facts: &Facts, now: WallTime) -> Vec<Finding> {
    let mut findings = Vec::new();
    if matches!(facts.exchanges, Answer::NoName) {
        findings.push(Finding::plain(Matter::NoDomain));
    } else if facts.exchanges.is_silent() {
        findings.push(Finding::plain(Matter::DnsSilent));
    } else if !expected.is_served {
        delegation(expected, facts, &mut findings);
        today(facts, &mut findings);
    } else {
        delegation(expected, facts, &mut findings);
        order(expected, facts, &mut findings);
        hosts(expected, facts, &mut findings);
        ports(facts, now, &mut findings);
        policies(expected, facts, &mut findings);
        spf(expected, facts, &mut findings);
    }
    ourselves(expected, facts, &mut findings);
    findings
}

/// The MX records that a domain should have.
#[must_use]
pub fn wanted_exchanges(expected: &Expected) -> Vec<Record> {
    let first = (PRIMARY_PREFERENCE..OUR_PREFERENCE).zip(&expected.primaries);
    let theirs = first.map(|(preference, primary)| Record::mx(&expected.domain, preference, &primary.host));
    theirs.chain([Record::mx(&expected.domain, OUR_PREFERENCE, &expected.hostname)]).collect()
}

fn delegation(expected: &Expected, facts: &Facts, findings: &mut Vec<Finding>) {
    // A domain inside a zone has no servers of its own.
    let servers = facts.name_servers.values();
    if servers.is_empty() {
        return;
    }
    if let Some(own) = &expected.zone_servers
        && !servers.iter().any(|server| own.iter().any(|name| name.as_str() == server))
    {
        let record = |server: &DomainName| Record {
            name: format!("{}.", expected.domain),
            ttl: 86_400,
            kind: "NS",
            data: format!("{server}."),
        };
        let records = own.iter().map(record).collect();
        findings.push(Finding { matter: Matter::DelegatedElsewhere(servers.to_vec()), records });
        return;
    }
    findings.push(Finding::plain(Matter::Delegated(servers.to_vec())));
}

/// Of a domain that is not ours, only what hinders its set-up is a fault.
fn today(facts: &Facts, findings: &mut Vec<Finding>) {
    let hosts: Vec<String> = facts.exchanges.values().iter().map(|exchange| exchange.host.clone()).collect();
    if hosts.iter().any(String::is_empty) {
        findings.push(Finding::plain(Matter::NullMx));
    } else if !hosts.is_empty() {
        findings.push(Finding::plain(Matter::Today(hosts)));
    }
}

fn order(expected: &Expected, facts: &Facts, findings: &mut Vec<Finding>) {
    let mut exchanges = facts.exchanges.values().to_vec();
    exchanges.sort();
    let records = wanted_exchanges(expected);
    let with = |matter| Finding { matter, records: records.clone() };
    if exchanges.is_empty() {
        findings.push(with(Matter::NoMx));
        return;
    }
    // Beside others a null MX says nothing that counts, but a sender may take it at its word (RFC 7505 §3).
    if exchanges.iter().any(|exchange| exchange.host.is_empty()) {
        findings.push(with(Matter::NullMx));
        return;
    }
    let before = findings.len();
    let is_primary = |exchange: &Exchange| expected.primaries.iter().any(|p| p.host.as_str() == exchange.host);
    let ours = exchanges.iter().find(|exchange| exchange.host == expected.hostname.as_str());
    let last_primary = exchanges.iter().filter(|exchange| is_primary(exchange)).max();
    for primary in &expected.primaries {
        if !exchanges.iter().any(|exchange| exchange.host == primary.host.as_str()) {
            findings.push(with(Matter::PrimaryMissing(primary.host.clone())));
        }
    }
    match (ours, last_primary) {
        // A single MX on the dynamic name is whole: parked, it leads to us.
        (None, Some(_)) if expected.primaries.iter().any(|p| p.is_dynamic) && exchanges.iter().all(is_primary) => {}
        (None, _) => findings.push(with(Matter::WeAreMissing)),
        (Some(ours), Some(theirs)) if ours.preference <= theirs.preference => findings.push(with(Matter::WeComeFirst)),
        (Some(_), _) => {}
    }
    for exchange in &exchanges {
        if !is_primary(exchange) && exchange.host != expected.hostname.as_str() {
            let is_before_us = ours.is_some_and(|ours| exchange.preference <= ours.preference);
            findings.push(with(Matter::ForeignMx { host: exchange.host.clone(), is_before_us }));
        }
        if exchange.host.parse::<IpAddr>().is_ok() {
            findings.push(with(Matter::MxIsAddress(exchange.host.clone())));
        }
    }
    if findings.len() == before {
        findings.push(Finding::plain(Matter::MxGood));
    }
    if let Some(ttl) = facts.exchanges.ttl_s().filter(|ttl| *ttl > MX_TTL_MAX_S) {
        findings.push(Finding { matter: Matter::MxTtl(ttl), records });
    }
}

fn hosts(expected: &Expected, facts: &Facts, findings: &mut Vec<Finding>) {
    for (name, host) in &facts.hosts {
        let is_exchange = facts.exchanges.values().iter().any(|exchange| exchange.host == *name);
        if host.alias.is_some() && is_exchange {
            findings.push(Finding::plain(Matter::MxIsAlias(name.clone())));
        }
        let primary = expected.primaries.iter().find(|primary| primary.host.as_str() == name);
        let is_ours = name == expected.hostname.as_str();
        let found = match &host.addresses {
            Answer::Silent => {
                findings.push(Finding::plain(Matter::HostSilent(name.clone())));
                continue;
            }
            Answer::Nothing | Answer::NoName => {
                let records =
                    if is_ours { address_records(&expected.hostname, &expected.own_addresses) } else { vec![] };
                findings.push(Finding { matter: Matter::NoAddress(name.clone()), records });
                continue;
            }
            Answer::Found { values, .. } => values,
        };
        let wanted = match primary {
            Some(primary) if primary.is_parked => &expected.own_addresses,
            Some(primary) => &primary.addresses,
            None if is_ours => &expected.own_addresses,
            None => continue,
        };
        findings.push(resolved(expected, name, found, wanted, primary));
        let ttl = host.addresses.ttl_s().filter(|ttl| *ttl > NAME_TTL_MAX_S);
        if let (Some(ttl), Some(true)) = (ttl, primary.map(|primary| primary.is_dynamic)) {
            findings.push(Finding::plain(Matter::NameTtl(name.clone(), ttl)));
        }
    }
}

fn resolved(
    expected: &Expected,
    name: &str,
    found: &[IpAddr],
    wanted: &[IpAddr],
    primary: Option<&Primary>,
) -> Finding {
    // Several addresses of one machine: what is published has to lead to it, not to name each.
    if wanted.is_empty() || found.iter().all(|address| wanted.contains(address)) {
        return Finding::plain(Matter::Resolves { host: name.to_owned(), addresses: found.to_vec() });
    }
    let matter = Matter::Elsewhere { host: name.to_owned(), found: found.to_vec(), wanted: wanted.to_vec() };
    let records = match primary {
        Some(primary) if !primary.is_dynamic => address_records(&primary.host, wanted),
        Some(_) => Vec::new(),
        None => address_records(&expected.hostname, wanted),
    };
    Finding { matter, records }
}

fn address_records(host: &DomainName, addresses: &[IpAddr]) -> Vec<Record> {
    let record = |address: &IpAddr| Record {
        name: format!("{host}."),
        ttl: 3_600,
        kind: if address.is_ipv4() { "A" } else { "AAAA" },
        data: address.to_string(),
    };
    addresses.iter().map(record).collect()
}

fn ports(facts: &Facts, now: WallTime, findings: &mut Vec<Finding>) {
    for ((host, address), port) in &facts.ports {
        let (host, address) = (host.clone(), *address);
        let matter = match port {
            Port::Closed(why) => Matter::PortClosed(host, address, why.clone()),
            Port::Odd(said) => Matter::PortOdd(host, address, said.clone()),
            Port::Plain => Matter::PortPlain(host, address),
            Port::Failed(why) => Matter::TlsFails(host, address, why.clone()),
            Port::Tls { not_after: Some(end), .. } if *end <= now => Matter::CertificateEnded(host),
            Port::Tls { is_name_valid: false, .. } => Matter::CertificateUnvouched(host),
            Port::Tls { .. } => Matter::PortGood(host, address),
        };
        findings.push(Finding::plain(matter));
    }
}

/// Whether a line of an MTA-STS policy covers a host; `*.` stands for one label (RFC 8461 §4.1).
fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(rest) => host.split_once('.').is_some_and(|(_, above)| above.eq_ignore_ascii_case(rest)),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

fn policies(expected: &Expected, facts: &Facts, findings: &mut Vec<Finding>) {
    // Those that are in the MX, or should be.
    let own: Vec<&str> =
        expected.primaries.iter().map(|p| p.host.as_str()).chain([expected.hostname.as_str()]).collect();
    match &facts.sts {
        Sts::Absent => {}
        Sts::Unread(why) => findings.push(Finding::plain(Matter::StsUnread(why.clone()))),
        Sts::Policy { is_enforced, hosts } => {
            let lacking = own.iter().filter(|host| !hosts.iter().any(|pattern| covers(pattern, host)));
            let before = findings.len();
            findings.extend(
                lacking.map(|host| {
                    Finding::plain(Matter::StsLacks { host: (*host).to_owned(), is_enforced: *is_enforced })
                }),
            );
            if findings.len() == before {
                findings.push(Finding::plain(Matter::StsGood));
            }
        }
    }
    let tlsa = |host: &&str| facts.hosts.get(*host).and_then(|host| host.has_tlsa);
    if own.iter().any(|host| tlsa(host) == Some(true)) {
        let lacking = own.iter().filter(|host| tlsa(host) == Some(false));
        findings.extend(lacking.map(|host| Finding::plain(Matter::TlsaLacks((*host).to_owned()))));
    }
}

fn spf(expected: &Expected, facts: &Facts, findings: &mut Vec<Finding>) {
    let matter = match (&facts.spf, facts.spf.values().len()) {
        (Answer::Silent, _) => return,
        (_, 0) => Matter::SpfMissing,
        (_, 1) => Matter::SpfGood,
        (_, _) => Matter::SpfSeveral,
    };
    let hint = Record {
        name: format!("{}.", expected.domain),
        ttl: 3_600,
        kind: "TXT",
        data: "\"v=spf1 mx ~all\"".to_owned(),
    };
    let records = if matter == Matter::SpfMissing { vec![hint] } else { Vec::new() };
    findings.push(Finding { matter, records });
}

/// What receivers of our own mail look at.
fn ourselves(expected: &Expected, facts: &Facts, findings: &mut Vec<Finding>) {
    for (address, answer) in &facts.pointers {
        if answer.is_silent() {
            continue;
        }
        let names = answer.values();
        if names.iter().any(|name| name == expected.hostname.as_str()) {
            findings.push(Finding::plain(Matter::PointerGood(*address)));
        } else {
            findings.push(Finding::plain(Matter::PointerOdd(*address, names.first().cloned())));
        }
    }
    if facts.own_spf.is_silent() {
        return;
    }
    if facts.own_spf.values().is_empty() {
        let name = format!("{}.", expected.hostname);
        let record = Record { name, ttl: 3_600, kind: "TXT", data: "\"v=spf1 a -all\"".to_owned() };
        findings.push(Finding { matter: Matter::OwnSpfMissing, records: vec![record] });
    } else {
        findings.push(Finding::plain(Matter::OwnSpfGood));
    }
}
