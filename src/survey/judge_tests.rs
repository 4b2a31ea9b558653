//! A table: one thing is changed in a domain that is well, and exactly this is found.

use super::facts::{Answer, Expected, Facts, Host, Port, Sts};
use super::judge::{judge, wanted_exchanges};
use super::matter::{Level, Matter, worst};
use super::propose::{dynamic_name, propose};
use super::well_domain::*;
use crate::alert::Language;

/// The codes of everything that is not as it should be.
fn faults(expected: &Expected, facts: &Facts) -> Vec<(&'static str, Level)> {
    let findings = judge(expected, facts, at(50));
    for finding in &findings {
        for language in [Language::En, Language::De] {
            let words = finding.words(language);
            assert!(!words.what.is_empty());
            let is_fine = finding.matter.level() == Level::Fine;
            assert!(words.why.is_empty() == is_fine && words.fix.is_empty() == is_fine, "{finding:?}");
        }
    }
    let bad = findings.iter().filter(|finding| finding.matter.level() != Level::Fine);
    bad.map(|finding| (finding.matter.code(), finding.matter.level())).collect()
}

type Change = fn(&mut Expected, &mut Facts);

#[test]
fn a_domain_that_is_well_has_no_fault_and_says_what_is_well() {
    assert_eq!(faults(&expected(), &well()), []);
    let findings = judge(&expected(), &well(), at(50));
    let codes: Vec<&str> = findings.iter().map(|finding| finding.matter.code()).collect();
    let good = ["delegated", "mx_good", "host_good", "host_good", "port_good", "spf_good", "ptr_good", "helo_spf_good"];
    assert_eq!(codes, good);
    assert_eq!(worst(&findings), Level::Fine);
}

#[test]
fn each_change_of_the_mx_records_is_the_one_fault_that_it_is() {
    use Level::{Broken, Warning};
    let table: &[(Change, &[(&str, Level)])] = &[
        (|_, f| f.exchanges = Answer::NoName, &[("no_domain", Broken)]),
        (|_, f| f.exchanges = Answer::Silent, &[("dns_silent", Broken)]),
        (|_, f| f.exchanges = Answer::Nothing, &[("no_mx", Broken)]),
        (|_, f| f.exchanges = mx(&[(0, "")]), &[("null_mx", Broken)]),
        (|_, f| f.exchanges = mx(&[(10, THEIRS), (30, "")]), &[("null_mx", Broken)]),
        (|_, f| f.exchanges = mx(&[(20, OURS)]), &[("mx_without_primary", Broken)]),
        (|_, f| f.exchanges = mx(&[(10, OURS), (20, THEIRS)]), &[("mx_we_come_first", Broken)]),
        (|_, f| f.exchanges = mx(&[(10, OURS), (10, THEIRS)]), &[("mx_we_come_first", Broken)]),
        (
            |e, f| {
                e.primaries[0].is_dynamic = false;
                f.exchanges = mx(&[(10, THEIRS)]);
            },
            &[("mx_without_us", Broken)],
        ),
        // Parked, a dynamic name leads to us: alone it is a whole set-up.
        (|_, f| f.exchanges = mx(&[(10, THEIRS)]), &[]),
        (|_, f| f.exchanges = mx(&[(10, THEIRS), (15, "mx.old.example"), (20, OURS)]), &[("mx_foreign", Warning)]),
        (
            |_, f| f.exchanges = mx(&[(10, THEIRS), (20, OURS), (30, "203.0.113.9")]),
            &[("mx_foreign", Warning), ("mx_address", Broken)],
        ),
        (
            |_, f| {
                let values = f.exchanges.values().to_vec();
                f.exchanges = Answer::Found { values, ttl_s: 86_401 };
            },
            &[("mx_ttl", Warning)],
        ),
    ];
    check(table);
}

#[test]
fn each_change_elsewhere_is_the_one_fault_that_it_is() {
    use Level::{Broken, Warning};
    let table: &[(Change, &[(&str, Level)])] = &[
        (|e, _| e.zone_servers = Some(vec![name(OURS)]), &[("delegated_elsewhere", Broken)]),
        (|_, f| theirs(f).alias = Some("www.firma.example".to_owned()), &[("mx_alias", Broken)]),
        (|_, f| theirs(f).addresses = Answer::NoName, &[("host_without_address", Broken)]),
        (|_, f| theirs(f).addresses = Answer::Silent, &[("host_silent", Warning)]),
        (|_, f| theirs(f).addresses = found(vec![ip("203.0.113.8")]), &[("host_elsewhere", Broken)]),
        // Away, the name leads to us, and nowhere else.
        (|e, _| e.primaries[0].is_parked = true, &[("host_elsewhere", Broken)]),
        (
            |e, f| {
                e.primaries[0].is_parked = true;
                theirs(f).addresses = found(vec![ip("192.0.2.1")]);
            },
            &[],
        ),
        (
            |_, f| theirs(f).addresses = Answer::Found { values: vec![ip("203.0.113.7")], ttl_s: 61 },
            &[("name_ttl", Warning)],
        ),
        (|_, f| *port(f) = Port::Closed("refused".to_owned()), &[("port_closed", Broken)]),
        (|_, f| *port(f) = Port::Odd("554 no".to_owned()), &[("port_odd", Broken)]),
        (|_, f| *port(f) = Port::Plain, &[("starttls_missing", Warning)]),
        (|_, f| *port(f) = Port::Failed("alert".to_owned()), &[("starttls_fails", Broken)]),
        (|_, f| *port(f) = tls(false, 100), &[("certificate_unvouched", Warning)]),
        (|_, f| *port(f) = tls(true, 50), &[("certificate_ended", Warning)]),
        (|_, f| f.sts = Sts::Unread("404".to_owned()), &[("mta_sts_unread", Warning)]),
        (|_, f| f.sts = policy(true, &["*.dyn.example.net", OURS]), &[]),
        // A star stands for one label and not for two (RFC 8461 §4.1).
        (|_, f| f.sts = policy(true, &["*.example.net"]), &[("mta_sts_lacks", Broken)]),
        (|_, f| f.sts = policy(false, &[THEIRS]), &[("mta_sts_lacks", Warning)]),
        (|_, f| theirs(f).has_tlsa = Some(true), &[("tlsa_lacks", Warning)]),
        (|_, f| f.spf = Answer::Nothing, &[("spf_missing", Warning)]),
        (|_, f| f.spf = found(vec!["v=spf1".to_owned(); 2]), &[("spf_several", Broken)]),
        (|_, f| drop(f.pointers.insert(ip("192.0.2.1"), Answer::NoName)), &[("ptr_odd", Warning)]),
        (|_, f| f.own_spf = Answer::Nothing, &[("helo_spf_missing", Warning)]),
    ];
    check(table);
}

fn check(table: &[(Change, &[(&str, Level)])]) {
    for (at, (change, faulty)) in table.iter().enumerate() {
        let (mut expected, mut facts) = (expected(), well());
        change(&mut expected, &mut facts);
        assert_eq!(faults(&expected, &facts), *faulty, "line {at} of the table");
    }
}

fn theirs(facts: &mut Facts) -> &mut Host {
    facts.hosts.get_mut(THEIRS).unwrap()
}

fn port(facts: &mut Facts) -> &mut Port {
    facts.ports.values_mut().next().unwrap()
}

fn policy(is_enforced: bool, hosts: &[&str]) -> Sts {
    Sts::Policy { is_enforced, hosts: hosts.iter().map(|host| (*host).to_owned()).collect() }
}

#[test]
fn a_domain_of_nobody_is_told_of_what_is_there_and_offered_all_ways() {
    let stranger = Expected { is_served: false, ..expected() };
    let facts = Facts { exchanges: mx(&[(10, "mx.provider.example")]), ..well() };
    let findings = judge(&stranger, &facts, at(50));
    assert!(findings.iter().any(|f| f.matter == Matter::Today(vec!["mx.provider.example".to_owned()])), "{findings:?}");
    assert_eq!(faults(&stranger, &Facts { exchanges: mx(&[(0, "")]), ..well() }), [("null_mx", Level::Broken)]);
    let ways = propose(&stranger, &[name("ns1.example.net")]);
    assert_eq!(ways.iter().map(|way| way.letter).collect::<String>(), "ABCD");
    assert_eq!(propose(&stranger, &[]).len(), 3, "without name servers of ours no zone is offered");
    let lines: Vec<String> = ways[1].records.iter().map(super::matter::Record::line).collect();
    let theirs = format!("firma.example. 3600 IN MX 10 {THEIRS}.");
    assert_eq!(lines, [theirs, format!("firma.example. 3600 IN MX 20 {OURS}.")]);
    assert_eq!(ways[1].records, wanted_exchanges(&stranger));
    assert_eq!(dynamic_name(&name("firma.example"), &name("dyn.example.net")), Some(name(THEIRS)));
}
