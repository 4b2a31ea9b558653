//! A domain that is well, for tests that change one thing in it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::facts::{Answer, Exchange, Expected, Facts, Host, Port, Primary, Sts};
use crate::base::{DomainName, WallTime};

pub(super) fn name(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn found<T>(values: Vec<T>) -> Answer<T> {
    Answer::Found { values, ttl_s: 60 }
}

pub(super) fn mx(of: &[(u16, &str)]) -> Answer<Exchange> {
    found(of.iter().map(|(preference, host)| Exchange { preference: *preference, host: (*host).to_owned() }).collect())
}

pub(super) fn host(address: &str) -> Host {
    Host { alias: None, addresses: found(vec![ip(address)]), has_tlsa: Some(false) }
}

pub(super) const THEIRS: &str = "firma.dyn.example.net";
pub(super) const OURS: &str = "mx2.example.net";

pub(super) fn expected() -> Expected {
    let primary =
        Primary { host: name(THEIRS), addresses: vec![ip("203.0.113.7")], is_dynamic: true, is_parked: false };
    Expected {
        domain: name("firma.example"),
        is_served: true,
        primaries: vec![primary],
        hostname: name(OURS),
        own_addresses: vec![ip("192.0.2.1")],
        zone_servers: None,
    }
}

pub(super) fn well() -> Facts {
    Facts {
        name_servers: found(vec!["ns1.provider.example".to_owned()]),
        exchanges: mx(&[(10, THEIRS), (20, OURS)]),
        spf: found(vec!["v=spf1 mx -all".to_owned()]),
        sts: Sts::Absent,
        hosts: BTreeMap::from([(THEIRS.to_owned(), host("203.0.113.7")), (OURS.to_owned(), host("192.0.2.1"))]),
        ports: BTreeMap::from([((THEIRS.to_owned(), ip("203.0.113.7")), tls(true, 100))]),
        pointers: BTreeMap::from([(ip("192.0.2.1"), found(vec![OURS.to_owned()]))]),
        own_spf: found(vec!["v=spf1 a -all".to_owned()]),
    }
}

pub(super) fn tls(is_name_valid: bool, ends_s: i64) -> Port {
    Port::Tls { is_name_valid, not_after: Some(at(ends_s)) }
}

pub(super) fn at(seconds: i64) -> WallTime {
    WallTime::from_timestamp(seconds, 0).unwrap()
}
