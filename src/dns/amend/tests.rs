//! Updates as hickory builds them, evaluated against small zones.

use hickory_proto::op::Query;
use hickory_proto::rr::Name;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, NS, SOA, TXT};
use proptest::prelude::*;

use super::*;
use crate::base::DomainName;

fn owner(text: &str) -> Owner {
    Owner::of_domain(&DomainName::parse(text).unwrap())
}

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

fn txt(text: &str) -> RData {
    RData::TXT(TXT::new(vec![text.to_owned()]))
}

fn v4(last: u8) -> RData {
    RData::A(A::new(203, 0, 113, last))
}

fn v6(last: u16) -> RData {
    RData::AAAA(AAAA::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last))
}

fn soa(serial: u32) -> RData {
    RData::SOA(SOA::new(name("ns.example"), name("root.example"), serial, 1, 2, 3, 4))
}

fn record(at: &str, data: RData) -> ZoneRecord {
    ZoneRecord { owner: owner(at), ttl: 300, data }
}

fn zone() -> Vec<ZoneRecord> {
    let ns = |text: &str| RData::NS(NS(name(text)));
    vec![
        record("firma.example", soa(7)),
        record("firma.example", ns("ns1.example")),
        record("firma.example", ns("ns2.example")),
        record("firma.example", txt("spf")),
        record("www.firma.example", RData::CNAME(CNAME(name("web.example")))),
        record("h.firma.example", v4(7)),
        record("h.firma.example", v4(8)),
        record("deep.down.firma.example", txt("x")),
    ]
}

/// `mail` is a dynamic name with one address of each family.
fn dynamic() -> BTreeMap<Owner, Dynamic> {
    let set = Front { v4: "203.0.113.25".parse().ok(), v6: "2001:db8::25".parse().ok() };
    let visible = vec![record("mail.firma.example", v4(25)), record("mail.firma.example", v6(0x25))];
    [(owner("mail.firma.example"), Dynamic { visible, set })].into()
}

fn of(class: DNSClass, at: &str, ttl: u32, data: RData) -> Record {
    let mut record = Record::from_rdata(name(at), ttl, data);
    record.dns_class = class;
    record
}

/// A record without data.
fn bare(class: DNSClass, at: &str, kind: RecordType) -> Record {
    of(class, at, 0, RData::Update0(kind))
}

fn add(at: &str, data: RData) -> Record {
    of(DNSClass::IN, at, 60, data)
}

fn take(at: &str, data: RData) -> Record {
    of(DNSClass::NONE, at, 0, data)
}

fn message(prerequisites: Vec<Record>, changes: Vec<Record>) -> Message {
    let mut message = Message::new(1, MessageType::Query, OpCode::Update);
    message.add_query(Query::query(name("firma.example"), RecordType::SOA));
    message.answers = prerequisites;
    message.authorities = changes;
    // As it comes over the wire.
    Message::from_vec(&message.to_vec().unwrap()).unwrap()
}

fn evaluate(prerequisites: Vec<Record>, changes: Vec<Record>) -> Result<Outcome, Code> {
    let update = Update::read(&message(prerequisites, changes))?;
    let (records, dynamic) = (zone(), dynamic());
    let view = View { records: &records, dynamic: &dynamic, is_fixed: false };
    update.evaluate(view, |owner, kind| kind != RecordType::MX && !owner.to_string().starts_with("closed"))
}

fn data_at(outcome: Result<Outcome, Code>, at: &str) -> Vec<String> {
    let Ok(Outcome::Records(records)) = outcome else { panic!("{outcome:?}") };
    let mut all: Vec<String> =
        records.iter().filter(|r| r.owner == owner(at)).map(|r| format!("{} {}", r.ttl, r.data)).collect();
    all.sort();
    all
}

#[test]
fn prerequisites_hold_or_name_their_code() {
    use DNSClass::{ANY, NONE};
    use RecordType as T;
    let ask = |prerequisite| evaluate(vec![prerequisite], Vec::new());
    let good = Ok(Outcome::Unchanged);
    for (prerequisite, wanted) in [
        (bare(ANY, "h.firma.example", T::ANY), Ok(())),
        (bare(ANY, "none.firma.example", T::ANY), Err(Code::NxDomain)),
        (bare(ANY, "down.firma.example", T::ANY), Err(Code::NxDomain)),
        (bare(NONE, "none.firma.example", T::ANY), Ok(())),
        (bare(NONE, "h.firma.example", T::ANY), Err(Code::YxDomain)),
        (bare(ANY, "h.firma.example", T::A), Ok(())),
        (bare(ANY, "h.firma.example", T::TXT), Err(Code::NxRrSet)),
        (bare(NONE, "h.firma.example", T::TXT), Ok(())),
        (bare(NONE, "h.firma.example", T::A), Err(Code::YxRrSet)),
        (bare(ANY, "mail.firma.example", T::AAAA), Ok(())),
        (bare(NONE, "mail.firma.example", T::ANY), Err(Code::YxDomain)),
        (of(DNSClass::IN, "mail.firma.example", 0, v4(25)), Ok(())),
        (of(DNSClass::IN, "mail.firma.example", 0, v4(26)), Err(Code::NxRrSet)),
        (of(DNSClass::IN, "h.firma.example", 0, v4(7)), Err(Code::NxRrSet)),
        (of(DNSClass::IN, "h.firma.example", 60, v4(7)), Err(Code::FormErr)),
        (bare(DNSClass::CH, "h.firma.example", T::A), Err(Code::FormErr)),
        (bare(ANY, "h.other.example", T::A), Err(Code::NotZone)),
    ] {
        assert_eq!(ask(prerequisite.clone()), wanted.and_then(|()| good.clone()), "{prerequisite:?}");
    }
    // A whole set, in any order.
    let both = [8, 7].map(|last| of(DNSClass::IN, "h.firma.example", 0, v4(last))).to_vec();
    assert_eq!(evaluate(both, Vec::new()), good);
}

#[test]
fn records_come_and_go_and_a_set_has_one_ttl() {
    let at = "h.firma.example";
    assert_eq!(
        data_at(evaluate(vec![], vec![add(at, v4(9))]), at).join(),
        "60 203.0.113.7,60 203.0.113.8,60 203.0.113.9"
    );
    assert_eq!(data_at(evaluate(vec![], vec![take(at, v4(7)), take(at, v4(99))]), at).join(), "300 203.0.113.8");
    let replaced = evaluate(vec![], vec![bare(DNSClass::ANY, at, RecordType::A), add(at, v4(1)), add(at, v4(1))]);
    assert_eq!(data_at(replaced, at).join(), "60 203.0.113.1");
    let gone = evaluate(vec![], vec![bare(DNSClass::ANY, at, RecordType::ANY)]);
    assert!(data_at(gone, at).is_empty());
    let nothing = evaluate(vec![], vec![bare(DNSClass::ANY, "none.firma.example", RecordType::TXT)]);
    assert_eq!(nothing, Ok(Outcome::Unchanged));
    let back = evaluate(vec![], vec![take(at, v4(7)), of(DNSClass::IN, at, 300, v4(7))]);
    assert_eq!(back, Ok(Outcome::Unchanged), "the order of a set is nothing");
}

trait Join {
    fn join(self) -> String;
}

impl Join for Vec<String> {
    fn join(self) -> String {
        self.as_slice().join(",")
    }
}

#[test]
fn the_zones_own_soa_and_ns_stay_and_aliases_stand_alone() {
    let apex = "firma.example";
    let kept = |changes: Vec<Record>| evaluate(vec![], changes);
    let only_txt = data_at(kept(vec![bare(DNSClass::ANY, apex, RecordType::ANY)]), apex);
    assert_eq!(only_txt.len(), 3, "SOA and two NS: {only_txt:?}");
    for kind in [RecordType::SOA, RecordType::NS] {
        assert_eq!(kept(vec![bare(DNSClass::ANY, apex, kind)]), Ok(Outcome::Unchanged));
    }
    let ns = |text: &str| take(apex, RData::NS(NS(name(text))));
    let one_left = data_at(kept(vec![ns("ns1.example"), ns("ns2.example")]), apex);
    assert!(one_left.iter().any(|data| data.ends_with("ns2.example.")), "{one_left:?}");
    let alias = |at: &str| add(at, RData::CNAME(CNAME(name("x.example"))));
    assert_eq!(kept(vec![alias("h.firma.example")]), Ok(Outcome::Unchanged));
    assert_eq!(kept(vec![add("www.firma.example", txt("x"))]), Ok(Outcome::Unchanged));
    assert_eq!(data_at(kept(vec![alias("www.firma.example")]), "www.firma.example"), ["60 x.example."]);
    assert_eq!(kept(vec![add(apex, soa(6))]), Ok(Outcome::Unchanged), "an older serial");
    assert!(data_at(kept(vec![add(apex, soa(8))]), apex).iter().any(|data| data.contains(" 8 1 2 3 4")));
    assert_eq!(kept(vec![add("h.firma.example", soa(9))]), Ok(Outcome::Unchanged));
}

#[test]
fn addresses_of_a_dynamic_name_are_a_report_and_no_records() {
    let mail = "mail.firma.example";
    let front = |v4: Option<&str>, v6: Option<&str>| {
        let set = Front { v4: v4.map(|t| t.parse().unwrap()), v6: v6.map(|t| t.parse().unwrap()) };
        Ok(Outcome::Addresses([(owner(mail), set)].into()))
    };
    let any = |kind| bare(DNSClass::ANY, mail, kind);
    let moved = evaluate(vec![], vec![any(RecordType::A), add(mail, v4(9))]);
    assert_eq!(moved, front(Some("203.0.113.9"), Some("2001:db8::25")));
    assert_eq!(evaluate(vec![], vec![any(RecordType::AAAA)]), front(Some("203.0.113.25"), None));
    assert_eq!(evaluate(vec![], vec![any(RecordType::ANY)]), front(None, None));
    assert_eq!(
        evaluate(vec![], vec![take(mail, v4(25)), add(mail, v4(1))]),
        front(Some("203.0.113.1"), Some("2001:db8::25"))
    );
    assert_eq!(evaluate(vec![], vec![add(mail, v4(1))]), Err(Code::Refused), "two addresses of one family");
    // Repeated, it is a report all the same.
    assert_eq!(evaluate(vec![], vec![add(mail, v4(25))]), front(Some("203.0.113.25"), Some("2001:db8::25")));
    let mixed = vec![any(RecordType::A), add(mail, v4(9)), add("h.firma.example", txt("x"))];
    assert_eq!(evaluate(vec![], mixed), Err(Code::Refused), "not in one transaction");
    let alias = add(mail, RData::CNAME(CNAME(name("x.example"))));
    assert_eq!(evaluate(vec![], vec![alias]), Err(Code::Refused));
    assert_eq!(data_at(evaluate(vec![], vec![add(mail, txt("x"))]), mail), ["60 x"]);
}

#[test]
fn what_the_key_does_not_open_is_refused_whole() {
    let mx = RData::MX(hickory_proto::rr::rdata::MX::new(10, name("x.example")));
    for changes in [
        vec![add("h.firma.example", txt("x")), add("h.firma.example", mx.clone())],
        vec![bare(DNSClass::ANY, "h.firma.example", RecordType::MX)],
        vec![add("closed.firma.example", txt("x"))],
    ] {
        assert_eq!(evaluate(vec![], changes), Err(Code::Refused));
    }
    // The prerequisites come first (RFC 2136 §3.3).
    let no = bare(DNSClass::NONE, "h.firma.example", RecordType::A);
    assert_eq!(evaluate(vec![no], vec![add("closed.firma.example", txt("x"))]), Err(Code::YxRrSet));
    let records = zone();
    let update = Update::read(&message(vec![], vec![add("h.firma.example", txt("x"))])).unwrap();
    let view = View { records: &records, dynamic: &BTreeMap::new(), is_fixed: true };
    assert_eq!(update.evaluate(view, |_, _| true), Err(Code::Refused), "the zone of the dynamic names");
}

#[test]
fn odd_forms_are_refused_before_anything_is_looked_at() {
    let read = |change: Record| Update::read(&message(vec![], vec![change])).map(drop);
    let h = "h.firma.example";
    for bad in [
        bare(DNSClass::IN, h, RecordType::A),
        bare(DNSClass::NONE, h, RecordType::A),
        of(DNSClass::ANY, h, 0, v4(7)),
        of(DNSClass::ANY, h, 9, RData::Update0(RecordType::A)),
        of(DNSClass::NONE, h, 9, v4(7)),
        bare(DNSClass::ANY, h, RecordType::AXFR),
        bare(DNSClass::CH, h, RecordType::A),
        bare(DNSClass::ANY, h, RecordType::RRSIG),
    ] {
        assert_eq!(read(bad.clone()), Err(Code::FormErr), "{bad:?}");
    }
    assert_eq!(read(add("h.other.example", v4(7))), Err(Code::NotZone));
    let mut odd = message(vec![], vec![]);
    odd.add_query(Query::query(name("firma.example"), RecordType::SOA));
    assert_eq!(Update::read(&odd), Err(Code::FormErr), "two zones");
    let many = (0..=RECORDS_PER_UPDATE_MAX).map(|n| add(h, txt(&n.to_string()))).collect();
    assert_eq!(Update::read(&message(vec![], many)).map(drop), Err(Code::Refused));
}

proptest! {
    /// Whatever is asked, the zone keeps one SOA and an NS at its name, no alias has company, and no record is twice there.
    #[test]
    fn a_zone_stays_a_zone(steps in proptest::collection::vec((0u8..4, 0u8..5, 0u8..6), 0..40)) {
        let names = ["firma.example", "h.firma.example", "www.firma.example", "a.firma.example", "b.firma.example"];
        let changes = steps.into_iter().map(|(form, at, what)| {
            let at = names[usize::from(at)];
            let data = match what {
                0 => v4(7),
                1 => v4(9),
                2 => txt("x"),
                3 => RData::CNAME(CNAME(name("x.example"))),
                4 => RData::NS(NS(name("ns1.example"))),
                _ => soa(9),
            };
            match form {
                0 => add(at, data),
                1 => take(at, data),
                2 => bare(DNSClass::ANY, at, data.record_type()),
                _ => bare(DNSClass::ANY, at, RecordType::ANY),
            }
        });
        let update = Update::read(&message(vec![], changes.collect())).unwrap();
        let (records, none) = (zone(), BTreeMap::new());
        let outcome = update.evaluate(View { records: &records, dynamic: &none, is_fixed: false }, |_, _| true);
        if let Ok(Outcome::Records(after)) = outcome {
            let count = |kind| after.iter().filter(|r| r.owner == owner("firma.example") && type_of(r) == kind).count();
            prop_assert_eq!(count(RecordType::SOA), 1);
            prop_assert!(count(RecordType::NS) > 0);
            for one in &after {
                let own: Vec<&ZoneRecord> = after.iter().filter(|r| r.owner == one.owner).collect();
                prop_assert!(type_of(one) != RecordType::CNAME || own.len() == 1);
                prop_assert_eq!(own.iter().filter(|r| r.data == one.data).count(), 1);
            }
        } else {
            prop_assert!(outcome.is_ok(), "{:?}", outcome);
        }
    }
}
