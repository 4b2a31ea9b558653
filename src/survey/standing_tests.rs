//! A table: one thing is changed in a domain that is well, and exactly this row says so.

use super::facts::{Answer, Expected, Facts, Host};
use super::standing::{Row, Verdict, besides, is_right, standing};
use super::standing_words;
use super::well_domain::*;
use crate::alert::Language;
use crate::base::WallTime;

#[test]
fn a_domain_that_is_well_is_right_row_by_row() {
    let rows = standing(&expected(), &well());
    let seen: Vec<_> = rows.iter().map(|row| (row.kind, row.wanted.as_str(), row.found.as_str())).collect();
    let wanted = [
        ("MX", "10 firma.dyn.example.net.", "10 firma.dyn.example.net."),
        ("MX", "20 mx2.example.net.", "20 mx2.example.net."),
        ("A", "203.0.113.7", "203.0.113.7"),
        ("A", "192.0.2.1", "192.0.2.1"),
    ];
    assert_eq!(seen, wanted);
    assert!(rows.iter().all(|row| row.verdict == Verdict::Good && row.ttl_s == Some(60)), "{rows:?}");
    assert!(is_right(&rows) && besides(&expected(), &well(), WallTime::default()).is_empty());
    assert!(!is_right(&[]), "nothing is known of nothing");
}

#[test]
fn each_fault_of_the_mx_is_said_at_its_own_record() {
    let with = |of: &[(u16, &str)]| verdicts(&expected(), &Facts { exchanges: mx(of), ..well() });
    let (good, foreign) = (Verdict::Good, |is_before_us| Verdict::Foreign { is_before_us });
    assert_eq!(with(&[(10, THEIRS), (20, OURS)])[..2], [good.clone(), good.clone()]);
    assert_eq!(with(&[(5, THEIRS), (99, OURS)])[..2], [good.clone(), good.clone()], "the order counts, not the number");
    assert_eq!(with(&[(10, THEIRS)])[..2], [good.clone(), Verdict::Spare], "parked, the name leads to us");
    assert_eq!(with(&[(10, OURS)])[..2], [Verdict::Missing, good.clone()]);
    assert_eq!(with(&[(10, OURS), (20, THEIRS)])[..2], [good.clone(), Verdict::ComesFirst]);
    assert_eq!(with(&[(10, OURS), (10, THEIRS)])[..2], [good.clone(), Verdict::ComesFirst]);
    let third = |of: &[(u16, &str)]| with(of)[2].clone();
    assert_eq!(third(&[(10, THEIRS), (20, OURS), (30, "mx.old.example")]), foreign(false));
    assert_eq!(third(&[(10, THEIRS), (15, "mx.old.example"), (20, OURS)]), foreign(true));
    assert_eq!(third(&[(10, THEIRS), (20, OURS), (0, "")]), Verdict::NullMx);
    assert_eq!(third(&[(10, THEIRS), (20, OURS), (30, "192.0.2.7")]), Verdict::IsAddress);
    let gone = verdicts(&expected(), &Facts { exchanges: Answer::NoName, ..well() });
    assert_eq!(gone[..2], [Verdict::Missing, Verdict::Missing]);
    let silent = verdicts(&expected(), &Facts { exchanges: Answer::Silent, ..well() });
    assert_eq!(silent[..2], [Verdict::Silent, Verdict::Silent]);
    let kept = Answer::Found { values: well().exchanges.values().to_vec(), ttl_s: 90_000 };
    assert_eq!(verdicts(&expected(), &Facts { exchanges: kept, ..well() })[0], Verdict::Kept(90_000));
    // A name that is not ours leads nowhere while its server is away: then we have to stand there.
    let mut theirs = expected();
    theirs.primaries[0].is_dynamic = false;
    let alone = Facts { exchanges: mx(&[(10, THEIRS)]), ..well() };
    assert_eq!(verdicts(&theirs, &alone)[1], Verdict::Missing);
}

#[test]
fn an_mx_must_not_lead_to_an_alias_and_a_host_has_to_lead_to_its_server() {
    let with = |change: &dyn Fn(&mut Host)| {
        let mut facts = well();
        change(facts.hosts.get_mut(THEIRS).unwrap());
        facts
    };
    let alias = with(&|host| host.alias = Some("a.example".to_owned()));
    assert_eq!(verdicts(&expected(), &alias)[0], Verdict::Alias("a.example".to_owned()));
    let address = |facts: Facts| verdicts(&expected(), &facts)[2].clone();
    assert_eq!(address(with(&|host| host.addresses = found(vec![ip("198.51.100.1")]))), Verdict::Elsewhere);
    assert_eq!(address(with(&|host| host.addresses = Answer::Nothing)), Verdict::NoAddress);
    assert_eq!(address(with(&|host| host.addresses = Answer::Silent)), Verdict::Silent);
    let long = Answer::Found { values: vec![ip("203.0.113.7")], ttl_s: 61 };
    assert_eq!(address(with(&|host| host.addresses = long.clone())), Verdict::Kept(61));
    // Parked, the name leads to us and to nobody else.
    let mut parked = expected();
    parked.primaries[0].is_parked = true;
    assert_eq!(verdicts(&parked, &well())[2], Verdict::Elsewhere);
    assert_eq!(verdicts(&parked, &with(&|host| host.addresses = found(vec![ip("192.0.2.1")])))[2], Verdict::Parked);
    // Two families are two rows; of one that is not published nothing is asked.
    let mut two = expected();
    two.primaries[0].addresses.push(ip("2001:db8::7"));
    assert_eq!(verdicts(&two, &well()).len(), 4);
    let both = with(&|host| host.addresses = found(vec![ip("203.0.113.7"), ip("2001:db8::bad")]));
    assert_eq!(verdicts(&two, &both)[2..4], [Verdict::Good, Verdict::Elsewhere]);
}

#[test]
fn a_zone_of_ours_has_to_be_delegated_to_us() {
    let mut hosted = expected();
    hosted.zone_servers = Some(vec![name("ns1.example.net")]);
    assert_eq!(verdicts(&hosted, &well())[0], Verdict::Elsewhere);
    let here = Facts { name_servers: found(vec!["ns1.example.net".to_owned()]), ..well() };
    assert_eq!(verdicts(&hosted, &here)[0], Verdict::Good);
    // A domain inside the zone has no servers of its own.
    assert_eq!(standing(&hosted, &Facts { name_servers: Answer::Nothing, ..well() })[0].kind, "MX");
}

#[test]
fn what_no_record_says_stands_beside_and_the_operators_own_matters_do_not() {
    let facts = Facts { spf: Answer::Nothing, own_spf: Answer::Nothing, ..well() };
    let codes: Vec<_> =
        besides(&expected(), &facts, WallTime::default()).iter().map(|finding| finding.matter.code()).collect();
    assert_eq!(codes, ["spf_missing"]);
}

fn verdicts(expected: &Expected, facts: &Facts) -> Vec<Verdict> {
    let rows = standing(expected, facts);
    rows.into_iter()
        .map(|row: Row| {
            for language in [Language::De, Language::En] {
                let said = standing_words::of(&row, language);
                let is_fine = matches!(row.verdict, Verdict::Good | Verdict::Parked);
                assert!(!said.verdict.is_empty() && said.hint.is_empty() == is_fine, "{row:?}");
            }
            row.verdict
        })
        .collect()
}
