//! Updates over DNS (RFC 2136) over real sockets: who may, what becomes of the zone and of dynamic names, and repeats.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use data_encoding::BASE64;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::RecordType::{A, AXFR, MX, SOA, TXT};
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType, TSigner};

use crate::ask::{data, exchange, over_udp};
use crate::support::{Primary, Server, wait_for};

const LONG: Duration = Duration::from_secs(30);

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

fn txt(at: &str, text: &str) -> Record {
    Record::from_rdata(name(at), 60, RData::TXT(hickory_proto::rr::rdata::TXT::new(vec![text.to_owned()])))
}

fn address(at: &str, text: &str) -> Record {
    Record::from_rdata(name(at), 60, RData::A(text.parse::<std::net::Ipv4Addr>().unwrap().into()))
}

/// All records of a type, to be taken away or to be there.
fn whole(at: &str, kind: RecordType) -> Record {
    let mut record = Record::from_rdata(name(at), 0, RData::Update0(kind));
    record.dns_class = DNSClass::ANY;
    record
}

/// Nothing of the type is to be there.
fn absent(at: &str, kind: RecordType) -> Record {
    let mut record = whole(at, kind);
    record.dns_class = DNSClass::NONE;
    record
}

fn update(zone: &str, prerequisites: Vec<Record>, changes: Vec<Record>) -> Message {
    let mut id = [0; 2];
    getrandom::fill(&mut id).unwrap();
    let mut message = Message::new(u16::from_be_bytes(id), MessageType::Query, OpCode::Update);
    message.add_query(Query::query(name(zone), SOA));
    message.answers = prerequisites;
    message.authorities = changes;
    message
}

/// Signed now, or some seconds before.
fn signed(mut message: Message, signer: &TSigner, age_s: u64) -> Vec<u8> {
    let seconds = u64::try_from(pulsemx::base::Clock.wall().timestamp()).unwrap() - age_s;
    let (record, _) = signer.sign_message(&message, seconds).unwrap();
    message.set_signature(record);
    message.to_vec().unwrap()
}

fn code(octets: &[u8]) -> ResponseCode {
    let answer = Message::from_vec(octets).unwrap();
    assert_eq!((answer.metadata.op_code, answer.metadata.message_type), (OpCode::Update, MessageType::Response));
    answer.metadata.response_code
}

/// The answer over UDP, its signature checked.
fn send(server: &Server, message: Message, signer: &TSigner) -> ResponseCode {
    let octets = signed(message, signer, 0);
    let mac = Message::from_vec(&octets).unwrap().signature().unwrap().data.mac.clone();
    let answer = exchange(server.names, &octets, LONG).expect("an answer");
    signer.verify_message_byte(&answer, Some(&mac), true).expect("a signed answer");
    code(&answer)
}

fn key(server: &Server, name: &str) -> TSigner {
    let made = server.command(&["tsig", "new", name]);
    let secret = BASE64.decode(made["secret"].as_str().unwrap().as_bytes()).unwrap();
    TSigner::new(secret, TsigAlgorithm::HmacSha256, Name::from_ascii(name).unwrap(), 300).unwrap()
}

fn server() -> Server {
    let server = Server::start_with_names("");
    server.add_account("firma", 25);
    server.command(&["zone", "add", "firma", "firma.example"]);
    server
}

#[test]
fn a_key_changes_what_it_was_allowed_and_nothing_else() {
    let mut server = server();
    let signer = key(&server, "acme.example");
    let at = "_acme-challenge.firma.example";
    let add = |text: &str| update("firma.example", vec![], vec![txt(at, text)]);
    assert_eq!(send(&server, add("early"), &signer), ResponseCode::Refused, "it opens nothing yet");
    let (good, _, err) = server.raw(&["tsig", "allow", "firma", "acme.example", "www.other.example"]);
    assert!(!good && err.contains("in none of its zones"), "{err}");
    server.command(&["tsig", "allow", "firma", "acme.example", at, "--types", "TXT"]);
    let listed = server.command(&["tsig", "list"]);
    let scopes = serde_json::json!([{ "account": "firma", "name": at, "below": false, "types": "TXT" }]);
    assert_eq!(listed["keys"][0]["scopes"], scopes);

    // Two values at one time, as for a name and its wildcard.
    assert_eq!(send(&server, add("one"), &signer), ResponseCode::NoError);
    let before = over_udp(server.names, "firma.example.", SOA);
    assert_eq!(send(&server, add("two"), &signer), ResponseCode::NoError);
    assert_eq!(data(server.names, &format!("{at}."), TXT), ["one", "two"]);
    assert_ne!(over_udp(server.names, "firma.example.", SOA).answers[0].data, before.answers[0].data, "the serial");
    let shown = server.command(&["zone", "show", "firma.example"]);
    assert_eq!(shown["changes"][0]["who"], "key acme.example");
    assert!(shown["changes"][0]["what"][0].as_str().unwrap().starts_with("+ _acme-challenge"), "{shown}");

    let refused = [
        update("firma.example", vec![], vec![txt("firma.example", "x")]),
        update("firma.example", vec![], vec![txt(at, "three"), address(at, "203.0.113.9")]),
        update("firma.example", vec![], vec![whole(at, A)]),
        update("dyn.example", vec![], vec![txt("firma.dyn.example", "x")]),
    ];
    for message in refused {
        assert_eq!(send(&server, message.clone(), &signer), ResponseCode::Refused, "{message}");
    }
    assert_eq!(send(&server, update("nowhere.example", vec![], vec![]), &signer), ResponseCode::NotAuth);
    let outside = update("firma.example", vec![], vec![txt("a.other.example", "x")]);
    assert_eq!(send(&server, outside, &signer), ResponseCode::NotZone);
    let yx = update("firma.example", vec![absent(at, TXT)], vec![txt(at, "four")]);
    assert_eq!(send(&server, yx, &signer), ResponseCode::YXRRSet);
    let nx = update("firma.example", vec![whole(at, MX)], vec![txt(at, "four")]);
    assert_eq!(send(&server, nx, &signer), ResponseCode::NXRRSet);
    assert_eq!(data(server.names, &format!("{at}."), TXT), ["one", "two"], "nothing of these");

    // It is on the disk, and so is what the key may do.
    server.kill();
    server.run();
    assert_eq!(data(server.names, &format!("{at}."), TXT), ["one", "two"]);
    assert_eq!(send(&server, update("firma.example", vec![], vec![whole(at, TXT)]), &signer), ResponseCode::NoError);
    assert_eq!(over_udp(server.names, &format!("{at}."), TXT).metadata.response_code, ResponseCode::NXDomain);
    server.command(&["tsig", "deny", "acme.example", at]);
    assert_eq!(send(&server, add("late"), &signer), ResponseCode::Refused);
}

#[test]
fn who_does_not_sign_or_signs_wrong_changes_nothing_and_a_repeat_is_not_carried_out() {
    let server = server();
    let signer = key(&server, "acme.example");
    let at = "_acme-challenge.firma.example";
    server.command(&["tsig", "allow", "firma", "acme.example", at]);
    let add = |text: &str| update("firma.example", vec![], vec![txt(at, text)]);
    let raw = |octets: &[u8]| code(&exchange(server.names, octets, LONG).expect("an answer"));
    assert_eq!(raw(&add("x").to_vec().unwrap()), ResponseCode::Refused, "unsigned");
    let forger = TSigner::new(vec![1; 32], TsigAlgorithm::HmacSha256, signer.signer_name().clone(), 300).unwrap();
    assert_eq!(raw(&signed(add("x"), &forger, 0)), ResponseCode::NotAuth);
    assert_eq!(raw(&signed(add("x"), &signer, 400)), ResponseCode::NotAuth, "of another time");
    assert_eq!(raw(&signed(add("x"), &signer, 60)), ResponseCode::NotAuth, "signed before the service began");
    assert_eq!(raw(&[0; 12].map(|_: u8| 0x28)), ResponseCode::FormErr);
    let mut odd = signed(add("x"), &signer, 0);
    odd.truncate(40);
    assert_eq!(raw(&odd), ResponseCode::FormErr);

    // The same octets again, sent on by a stranger after the value was taken away: answered, not carried out.
    let once = signed(update("firma.example", vec![absent(at, TXT)], vec![txt(at, "once")]), &signer, 0);
    assert_eq!(raw(&once), ResponseCode::NoError);
    assert_eq!(send(&server, update("firma.example", vec![], vec![whole(at, TXT)]), &signer), ResponseCode::NoError);
    assert_eq!(raw(&once), ResponseCode::NoError);
    assert_eq!(over_udp(server.names, &format!("{at}."), TXT).metadata.response_code, ResponseCode::NXDomain);

    // Over a stream as well, and a question behind it on the same connection.
    let mut stream = TcpStream::connect(server.names).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let many = (0..200).map(|n| txt(at, &format!("value {n}"))).collect();
    let octets = signed(update("firma.example", vec![], many), &signer, 0);
    assert!(octets.len() > 4_096, "{}", octets.len());
    stream.write_all(&[&u16::try_from(octets.len()).unwrap().to_be_bytes()[..], &octets].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(code(&answer), ResponseCode::NoError);
    let shown = server.command(&["zone", "show", "firma.example"]);
    assert_eq!(
        shown["records"].as_array().unwrap().iter().filter(|r| r.as_str().unwrap().contains("value")).count(),
        200
    );
    let transfer = signed(crate::ask::question("firma.example.", AXFR), &signer, 0);
    assert_eq!(
        Message::from_vec(&exchange(server.names, &transfer, LONG).unwrap()).unwrap().metadata.response_code,
        ResponseCode::Refused,
        "a key for updates copies no zone"
    );
}

#[test]
fn the_address_of_a_dynamic_name_is_a_report_like_a_routers() {
    let server = Server::start_with_names("");
    let primary = Primary::listen("127.0.31.71", 0);
    server.add_account("firma", primary.address.port());
    server.command(&["host", "add", "firma", "cam.firma.dyn.example"]);
    let signer = key(&server, "router.example");
    server.command(&["tsig", "allow", "firma", "router.example", "firma.dyn.example", "--below", "--types", "A,AAAA"]);
    let set =
        |at: &str, to: &str| send(&server, update("dyn.example", vec![], vec![whole(at, A), address(at, to)]), &signer);
    assert_eq!(set("cam.firma.dyn.example", "127.0.31.72"), ResponseCode::NoError);
    assert_eq!(data(server.names, "cam.firma.dyn.example.", A), [""; 0], "its server was never heard");
    assert_eq!(set("firma.dyn.example", "127.0.31.71"), ResponseCode::NoError);
    let points = |name: &str, at: &str| (data(server.names, name, A) == [at]).then_some(());
    wait_for("the probe was greeted", LONG, || points("firma.dyn.example.", "127.0.31.71"));
    wait_for("the further name follows", LONG, || points("cam.firma.dyn.example.", "127.0.31.72"));
    assert_eq!(set("cam.firma.dyn.example", "127.0.31.73"), ResponseCode::NoError);
    wait_for("it is moved", LONG, || points("cam.firma.dyn.example.", "127.0.31.73"));
    assert_eq!(set("cam.firma.dyn.example", "192.168.1.5"), ResponseCode::Refused, "no public address");
    assert_eq!(set("nobody.dyn.example", "127.0.31.72"), ResponseCode::Refused);
    // Several names in one message: all of them, or none.
    server.command(&["host", "add", "firma", "vpn.firma.dyn.example"]);
    let both = |cam: &str, vpn: &str| {
        let (first, second) = ("cam.firma.dyn.example", "vpn.firma.dyn.example");
        let changes = vec![whole(first, A), address(first, cam), whole(second, A), address(second, vpn)];
        send(&server, update("dyn.example", vec![], changes), &signer)
    };
    assert_eq!(both("127.0.31.74", "192.168.1.5"), ResponseCode::Refused, "one of them is no public address");
    assert_eq!(both("192.168.1.5", "127.0.31.74"), ResponseCode::Refused, "in either order");
    assert_eq!(both("127.0.31.75", "127.0.31.76"), ResponseCode::NoError);
    wait_for("the second is set", LONG, || points("vpn.firma.dyn.example.", "127.0.31.76"));
    wait_for("so is the first", LONG, || points("cam.firma.dyn.example.", "127.0.31.75"));
    assert_eq!(both("127.0.31.77", "192.168.1.5"), ResponseCode::Refused);
    let listed = server.command(&["host", "list", "firma"]).to_string();
    assert!(listed.contains("127.0.31.75") && !listed.contains("127.0.31.77"), "{listed}");
    points("cam.firma.dyn.example.", "127.0.31.75").expect("nothing of a refused message is answered");
    let text = update("dyn.example", vec![], vec![txt("firma.dyn.example", "x")]);
    assert_eq!(send(&server, text, &signer), ResponseCode::Refused);
    let gone = update("dyn.example", vec![], vec![whole("cam.firma.dyn.example", A)]);
    assert_eq!(send(&server, gone, &signer), ResponseCode::NoError);
    wait_for("it is taken away", LONG, || data(server.names, "cam.firma.dyn.example.", A).is_empty().then_some(()));
    let told = server.command(&["account", "show", "firma"]).to_string();
    assert!(told.contains("key router.example"), "{told}");
}
