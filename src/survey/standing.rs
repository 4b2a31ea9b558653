//! Record by record: what a domain needs beside what the world is told. Pure: no question is asked here.

use std::net::IpAddr;

use super::facts::{Answer, Exchange, Expected, Facts, Host, Primary};
use super::judge::{NAME_TTL_MAX_S, judge, wanted_exchanges};
use super::matter::{Finding, Level, Matter};
use crate::base::{DomainName, WallTime};

/// Longest TTL of MX records that is not remarked, s.
const MX_TTL_MAX_S: u32 = 86_400;

/// How a record stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nobody answered: nothing is known.
    Silent,
    /// As required.
    Good,
    /// The name leads to us while its server is away, as it should.
    Parked,
    /// Required and not there.
    Missing,
    /// Not there, and mail comes here all the same: the first MX leads to us while its server is away.
    Spare,
    /// Ours, and before or beside the customer's server.
    ComesFirst,
    /// An MX that leads to an alias of this name.
    Alias(String),
    /// An MX that leads to an address.
    IsAddress,
    /// The domain says that it takes no mail (RFC 7505 §3).
    NullMx,
    /// Somebody else's; left in place.
    Foreign {
        /// Senders go there before they come to us.
        is_before_us: bool,
    },
    /// Leads to another place than it should.
    Elsewhere,
    /// A name without any address.
    NoAddress,
    /// As required, and believed for too long, s.
    Kept(u32),
}

impl Verdict {
    /// How bad it is; absent where nothing is known.
    #[must_use]
    pub const fn level(&self) -> Option<Level> {
        match self {
            Self::Silent => None,
            Self::Good | Self::Parked | Self::Spare => Some(Level::Fine),
            Self::Foreign { .. } | Self::Kept(_) => Some(Level::Warning),
            Self::Missing
            | Self::ComesFirst
            | Self::Alias(_)
            | Self::IsAddress
            | Self::NullMx
            | Self::Elsewhere
            | Self::NoAddress => Some(Level::Broken),
        }
    }
}

/// One record, required or found or both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Owner with a last dot.
    pub owner: String,
    /// `MX`, `A`, `AAAA` or `NS`.
    pub kind: &'static str,
    /// What should stand there, of names of ours and the customer's; empty where nothing is required.
    pub wanted: String,
    /// What stands there, cleaned; empty for nothing.
    pub found: String,
    /// What is left of the time for which it is believed, s.
    pub ttl_s: Option<u32>,
    /// Whether the customer enters it; else we or the heartbeats do.
    pub is_entered: bool,
    /// How it stands.
    pub verdict: Verdict,
}

/// All records of a domain that mail depends on: name servers of zones that we host, MX, addresses.
#[must_use]
pub fn standing(expected: &Expected, facts: &Facts) -> Vec<Row> {
    let mut rows = name_servers(expected, facts);
    rows.extend(exchanges(expected, facts));
    rows.extend(addresses(expected, facts));
    rows
}

/// Whether everything required is known to stand as it should. What is left in place on purpose does not hinder.
#[must_use]
pub fn is_right(rows: &[Row]) -> bool {
    !rows.is_empty() && rows.iter().all(|row| row.verdict.level().is_some_and(|level| level < Level::Broken))
}

/// What else is wrong with the domain, that the customer can mend and no row of [`standing`] says.
#[must_use]
pub fn besides(expected: &Expected, facts: &Facts, now: WallTime) -> Vec<Finding> {
    let said = |finding: &Finding| match finding.matter {
        Matter::NoDomain
        | Matter::PortClosed(..)
        | Matter::PortOdd(..)
        | Matter::PortPlain(..)
        | Matter::TlsFails(..)
        | Matter::CertificateUnvouched(_)
        | Matter::CertificateEnded(_)
        | Matter::StsUnread(_)
        | Matter::StsLacks { .. }
        | Matter::TlsaLacks(_)
        | Matter::SpfMissing
        | Matter::SpfSeveral => true,
        Matter::DnsSilent
        | Matter::Delegated(_)
        | Matter::DelegatedElsewhere(_)
        | Matter::NullMx
        | Matter::NoMx
        | Matter::Today(_)
        | Matter::MxGood
        | Matter::WeAreMissing
        | Matter::WeComeFirst
        | Matter::PrimaryMissing(_)
        | Matter::ForeignMx { .. }
        | Matter::MxIsAlias(_)
        | Matter::MxIsAddress(_)
        | Matter::MxTtl(_)
        | Matter::NoAddress(_)
        | Matter::HostSilent(_)
        | Matter::Resolves { .. }
        | Matter::Elsewhere { .. }
        | Matter::NameTtl(..)
        | Matter::PointerGood(_)
        | Matter::PointerOdd(..)
        | Matter::OwnSpfGood
        | Matter::OwnSpfMissing
        | Matter::PortGood(..)
        | Matter::StsGood
        | Matter::SpfGood => false,
    };
    judge(expected, facts, now).into_iter().filter(said).collect()
}

fn name_servers(expected: &Expected, facts: &Facts) -> Vec<Row> {
    let servers = facts.name_servers.values();
    // A domain inside a zone has no servers of its own.
    let Some(own) = expected.zone_servers.as_ref().filter(|_| !servers.is_empty()) else { return Vec::new() };
    let row = |name: &DomainName| {
        let is_there = servers.iter().any(|server| server == name.as_str());
        Row {
            owner: format!("{}.", expected.domain),
            kind: "NS",
            wanted: format!("{name}."),
            found: if is_there { format!("{name}.") } else { servers.join(", ") },
            ttl_s: facts.name_servers.ttl_s(),
            is_entered: true,
            verdict: if is_there { Verdict::Good } else { Verdict::Elsewhere },
        }
    };
    own.iter().map(row).collect()
}

fn exchanges(expected: &Expected, facts: &Facts) -> Vec<Row> {
    let found = facts.exchanges.values();
    let row = |wanted: String, exchange: Option<&Exchange>, verdict: Verdict| Row {
        owner: format!("{}.", expected.domain),
        kind: "MX",
        is_entered: !wanted.is_empty(),
        wanted,
        found: exchange.map(|exchange| format!("{} {}.", exchange.preference, exchange.host)).unwrap_or_default(),
        ttl_s: exchange.and_then(|_| facts.exchanges.ttl_s()),
        verdict,
    };
    let hosts: Vec<&DomainName> =
        expected.primaries.iter().map(|primary| &primary.host).chain([&expected.hostname]).collect();
    let mut rows: Vec<Row> = wanted_exchanges(expected)
        .into_iter()
        .zip(&hosts)
        .map(|(record, host)| {
            let exchange = found.iter().find(|exchange| exchange.host == host.as_str());
            let verdict = match exchange {
                _ if facts.exchanges.is_silent() => Verdict::Silent,
                None if *host == &expected.hostname && is_whole_without_us(expected, found) => Verdict::Spare,
                None => Verdict::Missing,
                Some(exchange) => stands(expected, facts, exchange),
            };
            row(record.data, exchange, verdict)
        })
        .collect();
    let ours = found.iter().find(|exchange| exchange.host == expected.hostname.as_str());
    for exchange in found.iter().filter(|exchange| hosts.iter().all(|host| host.as_str() != exchange.host)) {
        let verdict = if exchange.host.is_empty() {
            Verdict::NullMx
        } else if exchange.host.parse::<IpAddr>().is_ok() {
            Verdict::IsAddress
        } else if let Some(alias) = alias_of(facts, &exchange.host) {
            Verdict::Alias(alias)
        } else {
            Verdict::Foreign { is_before_us: ours.is_some_and(|ours| exchange.preference <= ours.preference) }
        };
        rows.push(row(String::new(), Some(exchange), verdict));
    }
    rows
}

/// A single MX on a dynamic name is whole where that name leads to us while its server is away.
fn is_whole_without_us(expected: &Expected, found: &[Exchange]) -> bool {
    let is_dynamic = |exchange: &Exchange| {
        expected.primaries.iter().any(|primary| primary.is_dynamic && primary.host.as_str() == exchange.host)
    };
    !found.is_empty() && found.iter().all(is_dynamic)
}

fn alias_of(facts: &Facts, host: &str) -> Option<String> {
    facts.hosts.get(host).and_then(|host| host.alias.clone())
}

/// How an MX stands that is required and there.
fn stands(expected: &Expected, facts: &Facts, exchange: &Exchange) -> Verdict {
    if let Some(alias) = alias_of(facts, &exchange.host) {
        return Verdict::Alias(alias);
    }
    let is_primary = |other: &&Exchange| expected.primaries.iter().any(|p| p.host.as_str() == other.host);
    let last = facts.exchanges.values().iter().filter(is_primary).map(|other| other.preference).max();
    if exchange.host == expected.hostname.as_str() && last.is_some_and(|last| exchange.preference <= last) {
        return Verdict::ComesFirst;
    }
    match facts.exchanges.ttl_s() {
        Some(ttl) if ttl > MX_TTL_MAX_S => Verdict::Kept(ttl),
        _ => Verdict::Good,
    }
}

fn addresses(expected: &Expected, facts: &Facts) -> Vec<Row> {
    let primaries = expected.primaries.iter().map(|primary| (&primary.host, Some(primary)));
    let mut rows = Vec::new();
    for (name, primary) in primaries.chain([(&expected.hostname, None)]) {
        let Some(host) = facts.hosts.get(name.as_str()) else { continue };
        let wanted = match primary {
            Some(primary) if !primary.is_parked => &primary.addresses,
            Some(_) | None => &expected.own_addresses,
        };
        rows.extend(of_host(name, host, wanted, primary));
    }
    rows
}

fn of_host(name: &DomainName, host: &Host, wanted: &[IpAddr], primary: Option<&Primary>) -> Vec<Row> {
    let join = |all: &[IpAddr], is_v4: bool| {
        let family: Vec<String> = all.iter().filter(|a| a.is_ipv4() == is_v4).map(ToString::to_string).collect();
        family.join(", ")
    };
    let row = |is_v4: bool, found: &[IpAddr], verdict: Verdict| Row {
        owner: format!("{name}."),
        kind: if is_v4 { "A" } else { "AAAA" },
        wanted: join(wanted, is_v4),
        found: join(found, is_v4),
        ttl_s: host.addresses.ttl_s(),
        is_entered: primary.is_some_and(|primary| !primary.is_dynamic),
        verdict,
    };
    let first = wanted.first().is_none_or(IpAddr::is_ipv4);
    let found = match &host.addresses {
        Answer::Silent => return vec![row(first, &[], Verdict::Silent)],
        Answer::Nothing | Answer::NoName => return vec![row(first, &[], Verdict::NoAddress)],
        Answer::Found { values, .. } => values,
    };
    let families = [true, false].into_iter().filter(|is_v4| found.iter().any(|a| a.is_ipv4() == *is_v4));
    let long = host.addresses.ttl_s().filter(|ttl| *ttl > NAME_TTL_MAX_S);
    let verdict = |is_v4: bool| {
        let mut own = found.iter().filter(|a| a.is_ipv4() == is_v4);
        // Several addresses of one machine: what is published has to lead to it, not to name each.
        if !wanted.is_empty() && !own.all(|address| wanted.contains(address)) {
            return Verdict::Elsewhere;
        }
        match (primary, long) {
            (Some(primary), Some(ttl)) if primary.is_dynamic => Verdict::Kept(ttl),
            (Some(primary), _) if primary.is_parked => Verdict::Parked,
            _ => Verdict::Good,
        }
    };
    families.map(|is_v4| row(is_v4, found, verdict(is_v4))).collect()
}
