//! What an asker reads, state by state; answers are read again by hickory.

use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query as HickoryQuery, ResponseCode};
use hickory_proto::rr::rdata::{CNAME as Alias, NS as Server, SOA as Start, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;

use super::*;
use crate::base::{AccountId, DomainName, EndpointId, Moment, WallTime};
use crate::dns::front::{Front, FrontMachine, NameEvent};
use crate::dns::owner::Owner;
use crate::dns::query;
use crate::dns::settings::{Offline, Settings};
use crate::dns::zone::ZoneRecord;
use crate::liveness::LineState;

const NOW: Moment = Moment::from_millis(5_000_000);

fn wall() -> WallTime {
    chrono::DateTime::UNIX_EPOCH + Duration::from_secs(1_795_492_800)
}

fn domain(text: &str) -> DomainName {
    DomainName::parse(text).unwrap()
}

fn owner(text: &str) -> Owner {
    Owner::of_name(&Name::from_ascii(text).unwrap())
}

fn settings() -> Settings {
    Settings {
        zone: domain("dyn.example"),
        name_servers: vec![domain("mx2.example.net"), domain("ns2.dyn.example")],
        contact: domain("hostmaster.dyn.example"),
        backup_mx: domain("mx2.example.net"),
        ttl: Duration::from_secs(30),
        offline: Offline::Park,
        own_addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        neutral_addresses: vec!["192.0.2.99".parse().unwrap()],
        allow_loopback: false,
        smtp_addresses: vec!["192.0.2.1:25".parse().unwrap()],
        answers_per_second: 0,
        exempt_networks: Vec::new(),
        connections_max: 10,
    }
}

struct World(Catalog);

impl World {
    fn new(settings: Settings) -> Self {
        let mut catalog = Catalog::new(settings, wall()).unwrap();
        catalog.add_server(owner("firma.dyn.example."), (EndpointId(1), AccountId(1)), true, FrontMachine::new());
        Self(catalog)
    }

    fn tell(&mut self, event: NameEvent) {
        self.0.handle(EndpointId(1), event, NOW);
    }

    fn online(mut self) -> Self {
        for address in ["203.0.113.7", "2001:db8::7"] {
            let address: IpAddr = address.parse().unwrap();
            self.tell(NameEvent::Moved(address));
            self.tell(NameEvent::Greeted { address, at: wall() });
        }
        self.tell(NameEvent::State { to: LineState::Online, at: wall() });
        self
    }

    fn offline(mut self) -> Self {
        self.tell(NameEvent::State { to: LineState::Offline, at: wall() + Duration::from_secs(9) });
        self
    }

    fn with_zone(mut self) -> Self {
        let name = |text: &str| Name::from_ascii(text).unwrap();
        let record = |owner_text: &str, data: RData| ZoneRecord { owner: owner(owner_text), ttl: 300, data };
        let text = |text: &str| RData::TXT(TXT::new(vec![text.to_owned()]));
        let address = |text: &str| crate::dns::records::address_data(text.parse().unwrap());
        let alias = |text: &str| RData::CNAME(Alias(name(text)));
        let long = |n: usize| text(&format!("{n} {}", "x".repeat(200)));
        let mut records = vec![
            record("firma.example.", RData::NS(Server(name("mx2.example.net.")))),
            record("www.firma.example.", alias("Firma.dyn.example.")),
            record("out.firma.example.", alias("www.provider.example.")),
            record("gone.firma.example.", alias("nothing.firma.example.")),
            record("ring.firma.example.", alias("ring2.firma.example.")),
            record("ring2.firma.example.", alias("ring.firma.example.")),
            record("a.deep.firma.example.", address("203.0.113.80")),
            record("*.wild.firma.example.", text("wild")),
            record("real.wild.firma.example.", address("203.0.113.81")),
            record("sub.firma.example.", RData::NS(Server(name("ns.sub.firma.example.")))),
            record("ns.sub.firma.example.", address("203.0.113.53")),
        ];
        records.extend((0..20).map(|n| record("big.firma.example.", long(n))));
        let soa = Start::new(name("mx2.example.net."), name("root.firma.example."), 7, 1, 2, 3, 60);
        self.0.set_zone(Zone::new(owner("firma.example."), &soa, 3_600, &records).unwrap());
        self
    }

    fn ask_with(&self, name: &str, record_type: RecordType, terms: Terms, edns: Option<u16>) -> Message {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(HickoryQuery::query(Name::from_ascii(name).unwrap(), record_type));
        if let Some(size) = edns {
            let mut edns = Edns::new();
            edns.set_max_payload(size);
            message.set_edns(edns);
        }
        let octets = message.to_vec().unwrap();
        let query = query::read(&octets).unwrap();
        let mut out = b"before".to_vec();
        respond(&self.0, &octets, &query, terms, &mut out);
        let answer = Message::from_vec(&out[6..]).unwrap();
        assert_eq!(answer.metadata.id, 7);
        assert_eq!(answer.metadata.message_type, MessageType::Response);
        assert!(answer.metadata.recursion_desired && !answer.metadata.recursion_available);
        assert_eq!(answer.queries[0].name().to_ascii(), name, "the letters come back as they were written");
        if !terms.is_stream {
            assert!(out.len() - 6 <= edns.map_or(512, |size| usize::from(size).clamp(512, UDP_OCTETS_MAX)));
        }
        answer
    }

    fn ask(&self, name: &str, record_type: RecordType) -> Message {
        self.ask_with(name, record_type, Terms::default(), Some(1_232))
    }

    /// Data of the answers, in order.
    fn data(&self, name: &str, record_type: RecordType) -> Vec<String> {
        let answer = self.ask(name, record_type);
        assert!(answer.metadata.authoritative, "{name}");
        for record in &answer.answers {
            assert!(record.name.is_fqdn());
        }
        answer.answers.iter().map(|record| record.data.to_string()).collect()
    }
}

fn nothing(answer: &Message, code: ResponseCode) {
    assert_eq!((answer.metadata.response_code, answer.answers.len()), (code, 0));
    let [soa] = answer.authorities.as_slice() else { panic!("{:?}", answer.authorities) };
    assert_eq!(soa.record_type(), RecordType::SOA);
}

#[test]
fn a_name_answers_with_the_customer_while_online_and_with_us_while_not() {
    let world = World::new(settings()).online();
    assert_eq!(world.data("firma.dyn.example.", RecordType::A), ["203.0.113.7"]);
    assert_eq!(world.data("firma.dyn.example.", RecordType::AAAA), ["2001:db8::7"]);
    let world = world.offline();
    assert_eq!(world.data("firma.dyn.example.", RecordType::A), ["192.0.2.1"]);
    assert_eq!(world.data("firma.dyn.example.", RecordType::AAAA), ["2001:db8::1"]);
    let answer = world.ask("FIRMA.dyn.Example.", RecordType::A);
    assert_eq!((answer.answers[0].ttl, answer.answers[0].name.to_ascii()), (30, "FIRMA.dyn.Example.".to_owned()));
}

#[test]
fn a_name_that_was_never_heard_answers_like_one_that_is_offline() {
    let world = World::new(settings());
    assert_eq!(world.data("firma.dyn.example.", RecordType::A), ["192.0.2.1"]);
    let neutral = World::new(Settings { offline: Offline::Neutral, ..settings() });
    assert_eq!(neutral.data("firma.dyn.example.", RecordType::A), ["192.0.2.99"]);
    nothing(&neutral.ask("firma.dyn.example.", RecordType::AAAA), ResponseCode::NoError);
    let absent = World::new(Settings { offline: Offline::Nothing, ..settings() });
    nothing(&absent.ask("firma.dyn.example.", RecordType::A), ResponseCode::NoError);
}

#[test]
fn the_first_mx_is_the_name_itself_and_the_second_is_ours() {
    let mut world = World::new(settings()).offline();
    let both = ["10 firma.dyn.example.", "20 mx2.example.net."];
    assert_eq!(world.data("firma.dyn.example.", RecordType::MX), both);
    world.0.set_backup(EndpointId(1), false);
    assert_eq!(world.data("firma.dyn.example.", RecordType::MX), both[..1]);
}

#[test]
fn a_family_that_is_not_proven_has_no_record_beside_one_that_is() {
    let mut world = World::new(settings());
    let address = "203.0.113.7".parse().unwrap();
    world.tell(NameEvent::Moved(address));
    world.tell(NameEvent::Greeted { address, at: wall() });
    world.tell(NameEvent::State { to: LineState::Online, at: wall() });
    assert_eq!(world.data("firma.dyn.example.", RecordType::A), ["203.0.113.7"]);
    nothing(&world.ask("firma.dyn.example.", RecordType::AAAA), ResponseCode::NoError);
}

#[test]
fn a_further_name_has_its_address_only_while_its_server_is_there() {
    let mut world = World::new(settings());
    let set = Front { v4: Some("203.0.113.9".parse().unwrap()), v6: None };
    world.0.set_further(owner("cam.dyn.example."), (EndpointId(1), AccountId(1)), set, false);
    nothing(&world.ask("cam.dyn.example.", RecordType::A), ResponseCode::NoError);
    world.0.set_further_up(EndpointId(1), true);
    assert_eq!(world.data("cam.dyn.example.", RecordType::A), ["203.0.113.9"]);
    nothing(&world.ask("cam.dyn.example.", RecordType::MX), ResponseCode::NoError);
}

#[test]
fn the_apex_has_soa_and_ns_and_name_servers_inside_have_addresses() {
    let world = World::new(settings());
    assert_eq!(world.data("dyn.example.", RecordType::NS), ["mx2.example.net.", "ns2.dyn.example."]);
    let soa = world.data("dyn.example.", RecordType::SOA);
    assert!(soa[0].starts_with("mx2.example.net. hostmaster.dyn.example. 1795492800 "), "{soa:?}");
    assert_eq!(world.data("ns2.dyn.example.", RecordType::A), ["192.0.2.1"]);
    nothing(&world.ask("dyn.example.", RecordType::A), ResponseCode::NoError);
}

#[test]
fn what_is_not_there_is_denied_with_the_soa_for_30_s() {
    let world = World::new(settings());
    for (name, code) in [
        ("nobody.dyn.example.", ResponseCode::NXDomain),
        ("below.firma.dyn.example.", ResponseCode::NXDomain),
        ("firma.dyn.example.", ResponseCode::NoError),
    ] {
        let answer = world.ask(name, RecordType::TXT);
        nothing(&answer, code);
        assert_eq!((answer.authorities[0].ttl, answer.authorities[0].name.to_ascii()), (30, "dyn.example.".to_owned()));
    }
}

#[test]
fn names_between_exist_without_records() {
    let mut world = World::new(settings()).with_zone();
    let ids = (EndpointId(2), AccountId(1));
    world.0.add_server(owner("mail.office.dyn.example."), ids, true, FrontMachine::new());
    nothing(&world.ask("office.dyn.example.", RecordType::A), ResponseCode::NoError);
    nothing(&world.ask("deep.firma.example.", RecordType::A), ResponseCode::NoError);
    nothing(&world.ask("b.deep.firma.example.", RecordType::A), ResponseCode::NXDomain);
}

#[test]
fn other_zones_and_transfers_are_refused() {
    let world = World::new(settings()).with_zone();
    for (name, record_type) in
        [("example.", RecordType::A), ("provider.example.", RecordType::A), ("dyn.example.", RecordType::AXFR)]
    {
        let answer = world.ask(name, record_type);
        assert_eq!(answer.metadata.response_code, ResponseCode::Refused, "{name}");
        assert!(answer.answers.is_empty() && answer.authorities.is_empty() && !answer.metadata.authoritative);
    }
}

#[test]
fn a_question_for_everything_gets_one_small_record() {
    let world = World::new(settings());
    let answer = world.ask("firma.dyn.example.", RecordType::ANY);
    assert_eq!((answer.answers.len(), answer.answers[0].record_type()), (1, RecordType::HINFO));
    nothing(&world.ask("nobody.dyn.example.", RecordType::ANY), ResponseCode::NXDomain);
}

#[test]
fn aliases_are_followed_within_our_zones() {
    let world = World::new(settings()).online().with_zone();
    let answer = world.ask("www.firma.example.", RecordType::A);
    let shown: Vec<String> = answer.answers.iter().map(|record| format!("{} {}", record.name, record.data)).collect();
    assert_eq!(shown, ["www.firma.example. Firma.dyn.example.", "Firma.dyn.example. 203.0.113.7"]);
    let mx = world.data("www.firma.example.", RecordType::MX);
    assert_eq!(mx, ["Firma.dyn.example.", "10 Firma.dyn.example.", "20 mx2.example.net."]);
    assert_eq!(world.data("www.firma.example.", RecordType::CNAME), ["Firma.dyn.example."]);
    assert_eq!(world.data("out.firma.example.", RecordType::A), ["www.provider.example."]);
    let gone = world.ask("gone.firma.example.", RecordType::A);
    assert_eq!((gone.metadata.response_code, gone.answers.len()), (ResponseCode::NXDomain, 1), "RFC 6604");
    assert!(world.data("ring.firma.example.", RecordType::A).len() <= ALIASES_MAX + 1);
}

#[test]
fn a_wildcard_stands_for_names_that_do_not_exist_and_for_no_others() {
    let world = World::new(settings()).with_zone();
    assert_eq!(world.data("any.wild.firma.example.", RecordType::TXT), ["wild"]);
    let answer = world.ask("any.wild.firma.example.", RecordType::TXT);
    assert_eq!(answer.answers[0].name.to_ascii(), "any.wild.firma.example.");
    nothing(&world.ask("any.wild.firma.example.", RecordType::A), ResponseCode::NoError);
    nothing(&world.ask("real.wild.firma.example.", RecordType::TXT), ResponseCode::NoError);
    nothing(&world.ask("x.real.wild.firma.example.", RecordType::TXT), ResponseCode::NXDomain);
    assert_eq!(world.data("*.wild.firma.example.", RecordType::TXT), ["wild"]);
}

#[test]
fn a_part_that_others_serve_is_referred_with_glue() {
    let world = World::new(settings()).with_zone();
    let answer = world.ask("www.sub.firma.example.", RecordType::A);
    assert!(!answer.metadata.authoritative && answer.answers.is_empty());
    assert_eq!(answer.authorities[0].data.to_string(), "ns.sub.firma.example.");
    assert_eq!(answer.authorities[0].name.to_ascii(), "sub.firma.example.");
    assert_eq!(answer.additionals[0].data.to_string(), "203.0.113.53");
    nothing(&world.ask("sub.firma.example.", RecordType::DS), ResponseCode::NoError);
}

#[test]
fn what_is_too_long_is_cut_over_udp_and_whole_over_a_stream() {
    let world = World::new(settings()).with_zone();
    for edns in [None, Some(1_232), Some(4_096)] {
        let answer = world.ask_with("big.firma.example.", RecordType::TXT, Terms::default(), edns);
        assert!(answer.metadata.truncation && answer.answers.is_empty());
        assert_eq!(answer.edns.is_some(), edns.is_some());
    }
    let stream = Terms { is_stream: true, cookie: None };
    let answer = world.ask_with("big.firma.example.", RecordType::TXT, stream, None);
    assert_eq!((answer.metadata.truncation, answer.answers.len()), (false, 20));
}

#[test]
fn edns_is_answered_with_edns_and_a_later_version_with_the_code_for_it() {
    let world = World::new(settings());
    let cookie = Some([9; 24]);
    let answer = world.ask_with("firma.dyn.example.", RecordType::A, Terms { is_stream: false, cookie }, Some(4_096));
    let edns = answer.edns.unwrap();
    assert_eq!((edns.max_payload(), edns.version()), (1_232, 0));
    assert_eq!(edns.options().as_ref().len(), 1);
    let mut out = Vec::new();
    let octets = [0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, b'a', 0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 1, 0, 0, 0, 0];
    let Err(query::Unreadable::Coded { code, question_octets, has_edns }) = query::read(&octets) else { panic!() };
    respond_code(&octets, code, question_octets, has_edns, &mut out);
    let answer = Message::from_vec(&out).unwrap();
    // The number is also that of BADSIG, of which hickory thinks first.
    assert_eq!(u16::from(answer.metadata.response_code), u16::from(ResponseCode::BADVERS));
    assert_eq!(answer.queries.len(), 1);
}

#[test]
fn an_answer_that_slips_is_no_longer_than_its_question() {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(HickoryQuery::query(Name::from_ascii("big.firma.example.").unwrap(), RecordType::TXT));
    let octets = message.to_vec().unwrap();
    let mut out = Vec::new();
    respond_slip(&octets, &query::read(&octets).unwrap(), Terms::default(), &mut out);
    assert!(out.len() <= octets.len());
    assert!(Message::from_vec(&out).unwrap().metadata.truncation);
}

#[test]
fn the_serial_moves_with_the_names() {
    let mut world = World::new(settings());
    let serial = |world: &World| world.0.zone(&owner("dyn.example.")).unwrap().serial();
    let before = serial(&world);
    world = world.online();
    world.0.settle_serials(wall());
    assert_eq!(serial(&world), before + 1);
    world.0.settle_serials(wall());
    assert_eq!(serial(&world), before + 1);
}

/// The fuzz function of the room: any octets, in any state, over both ways.
fn answer_any(world: &World, octets: &[u8]) {
    let mut out = Vec::new();
    match query::read(octets) {
        Ok(query) => {
            for is_stream in [false, true] {
                out.clear();
                respond(&world.0, octets, &query, Terms { is_stream, cookie: None }, &mut out);
                let answer = Message::from_vec(&out).unwrap();
                assert_eq!(answer.queries.len(), 1);
            }
        }
        Err(query::Unreadable::Silent) => {}
        Err(query::Unreadable::Coded { code, question_octets, has_edns }) => {
            respond_code(octets, code, question_octets, has_edns, &mut out);
            assert!(Message::from_vec(&out).is_ok() || question_octets > 0, "{out:?}");
            assert!(out.len() <= octets.len().max(23), "no longer than what came");
        }
    }
}

proptest! {
    #[test]
    fn any_octets_are_answered_with_a_message_or_with_silence(
        octets in proptest::collection::vec(any::<u8>(), 0..80),
        name in "(www|big|any\\.wild|x\\.sub|ring|gone|deep)\\.firma\\.example\\.|firma\\.dyn\\.example\\.",
        kind in 0u16..260,
        damage in proptest::collection::vec((0usize..60, any::<u8>()), 0..4),
    ) {
        let world = World::new(settings()).online().with_zone();
        answer_any(&world, &octets);
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(HickoryQuery::query(Name::from_ascii(&name).unwrap(), RecordType::from(kind)));
        message.set_edns(Edns::new());
        let mut octets = message.to_vec().unwrap();
        answer_any(&world, &octets);
        for (at, octet) in damage {
            if let Some(place) = octets.get_mut(at) {
                *place = octet;
            }
        }
        answer_any(&world, &octets);
    }
}

#[test]
fn a_zone_whose_own_name_follows_a_mail_server_has_its_soa_and_ns() {
    let mut world = World::new(settings()).with_zone();
    let ids = (EndpointId(2), AccountId(1));
    world.0.add_server(owner("firma.example."), ids, true, FrontMachine::new());
    let soa = world.ask("firma.example.", RecordType::SOA);
    assert_eq!((soa.answers.len(), soa.authorities.len()), (1, 0), "{soa}");
    assert_eq!(soa.answers[0].record_type(), RecordType::SOA);
    assert_eq!(world.ask("firma.example.", RecordType::NS).answers.len(), 1);
    assert_eq!(world.ask("firma.example.", RecordType::MX).answers.len(), 2);
    assert!(!world.ask("firma.example.", RecordType::A).answers.is_empty());
    let other = world.ask("firma.dyn.example.", RecordType::SOA);
    assert_eq!((other.answers.len(), other.authorities.len()), (0, 1), "{other}");
}

#[test]
fn records_of_acme_clients_stand_beside_the_zone_and_in_front_of_it() {
    let mut world = World::new(settings()).with_zone();
    let (here, there) = (owner("_acme-challenge.firma.dyn.example."), owner("id.auth.dyn.example."));
    let before = world.0.zone(&owner("dyn.example.")).unwrap().serial();
    assert_eq!(world.ask("auth.dyn.example.", RecordType::A).metadata.response_code, ResponseCode::NXDomain);
    for name in [&here, &there] {
        world.0.change_challenges(name, |table| {
            table.open(name.clone());
            false
        });
    }
    let nothing = world.ask("_acme-challenge.firma.dyn.example.", RecordType::TXT);
    assert_eq!(nothing.metadata.response_code, ResponseCode::NoError);
    assert!(nothing.answers.is_empty() && nothing.authorities.len() == 1);
    // RFC 8020: what lies below it exists, so it does too.
    assert_eq!(world.ask("auth.dyn.example.", RecordType::A).metadata.response_code, ResponseCode::NoError);
    for value in ["one", "two", "three"] {
        world.0.change_challenges(&here, |table| table.add(&here, value, wall()));
    }
    world.0.change_challenges(&there, |table| table.add(&there, "four", wall()));
    let told = world.ask("_ACME-challenge.firma.dyn.example.", RecordType::TXT);
    assert_eq!(told.answers.len(), 3);
    assert!(told.answers.iter().all(|record| record.ttl == 1));
    assert!(world.ask("_acme-challenge.firma.dyn.example.", RecordType::A).answers.is_empty());
    world.0.settle_serials(wall());
    let after = world.0.zone(&owner("dyn.example.")).unwrap().serial();
    assert_ne!(before, after, "secondaries hear of it");
    let snapshot = world.0.snapshot(&owner("dyn.example."), 1_000).unwrap().unwrap();
    let is_there = |record: &&Vec<u8>| record.starts_with(here.octets());
    assert_eq!(snapshot.records.iter().filter(is_there).count(), 3);
    world.0.expire_challenges(wall() + crate::dns::challenge::VALUE_AGE_MAX);
    assert!(world.ask("_acme-challenge.firma.dyn.example.", RecordType::TXT).answers.is_empty());
}

/// The types in the denial of an answer, in order.
fn types_of(denied: &Message) -> Vec<u16> {
    use hickory_proto::dnssec::rdata::DNSSECRData;
    let types = |record: &Record| {
        let RData::DNSSEC(DNSSECRData::NSEC(nsec)) = &record.data else { return None };
        Some(nsec.type_bit_maps().map(u16::from).collect::<Vec<_>>())
    };
    let mut numbers = denied.authorities.iter().find_map(types).unwrap();
    numbers.sort_unstable();
    numbers
}

#[test]
fn a_signed_zone_signs_what_is_there_and_denies_what_is_not_to_whoever_asks_for_it() {
    use crate::dns::sign::key::{ZoneKey, draw};
    use crate::dns::sign::{KeyState, ZoneKeys};
    use hickory_proto::dnssec::Verifier;
    use hickory_proto::dnssec::rdata::DNSSECRData;
    use hickory_proto::rr::DNSClass;

    let mut world = World::new(settings()).with_zone();
    let apex = owner("dyn.example.");
    let key = ZoneKey::new(&draw().unwrap(), KeyState::Active, wall()).unwrap();
    world.0.set_keys(&apex, ZoneKeys::new(apex.clone(), vec![key]).map(std::sync::Arc::new));
    let ask = |name: &str, kind: RecordType, size: u16, wants: bool| {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(HickoryQuery::query(Name::from_ascii(name).unwrap(), kind));
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        edns.set_dnssec_ok(wants);
        message.set_edns(edns);
        let octets = message.to_vec().unwrap();
        let mut out = b"before".to_vec();
        respond_at(&world.0, &octets, &query::read(&octets).unwrap(), Terms::default(), wall(), &mut out);
        Message::from_vec(&out[6..]).unwrap()
    };
    let dnskey = ask("dyn.example.", RecordType::DNSKEY, 1_232, true);
    let RData::DNSSEC(DNSSECRData::DNSKEY(public)) = &dnskey.answers[0].data else { panic!("{dnskey:?}") };
    let signed = |section: &[Record]| {
        let of = |record: &Record| {
            let RData::DNSSEC(DNSSECRData::RRSIG(signature)) = &record.data else { return None };
            Some((record.name.to_lowercase(), signature.clone()))
        };
        let signatures: Vec<_> = section.iter().filter_map(of).collect();
        for (name, signature) in &signatures {
            let set: Vec<Record> = section
                .iter()
                .filter(|record| record.name == *name)
                .cloned()
                .map(|mut record| {
                    record.name = name.clone();
                    record
                })
                .collect();
            public.verify_rrsig(name, DNSClass::IN, signature, set.iter()).unwrap();
        }
        signatures.into_iter().map(|(_, signature)| signature.input().type_covered).collect::<Vec<_>>()
    };
    assert_eq!(signed(&dnskey.answers), [RecordType::DNSKEY]);
    let there = ask("Firma.dyn.example.", RecordType::A, 1_232, true);
    assert_eq!(signed(&there.answers), [RecordType::A]);
    assert!(there.metadata.authoritative && there.edns.as_ref().unwrap().flags().dnssec_ok);
    // The same signature again: it was kept.
    assert_eq!(there.answers, ask("Firma.dyn.example.", RecordType::A, 1_232, true).answers);
    for (name, bits) in [
        ("nothing.dyn.example.", vec![RecordType::RRSIG, RecordType::NSEC, RecordType::Unknown(128)]),
        (
            "firma.dyn.example.",
            vec![RecordType::A, RecordType::MX, RecordType::AAAA, RecordType::RRSIG, RecordType::NSEC],
        ),
    ] {
        let denied = ask(name, RecordType::TXT, 1_232, true);
        assert_eq!(denied.metadata.response_code, ResponseCode::NoError);
        assert_eq!(signed(&denied.authorities), [RecordType::SOA, RecordType::NSEC]);
        let numbers = types_of(&denied);
        let mut wanted: Vec<u16> = bits.into_iter().map(u16::from).collect();
        wanted.sort_unstable();
        assert_eq!(numbers, wanted, "{name}");
    }
    // An alias out of a zone that is not signed into one that is.
    let chain = ask("www.firma.example.", RecordType::A, 1_232, true);
    assert_eq!(signed(&chain.answers), [RecordType::A]);
    // Nobody else sees a difference.
    let plain = ask("nothing.dyn.example.", RecordType::TXT, 1_232, false);
    assert_eq!((plain.metadata.response_code, plain.authorities.len()), (ResponseCode::NXDomain, 1));
}
