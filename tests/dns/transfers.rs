//! Secondaries: who may copy a zone, what they are sent, and that they are told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use data_encoding::BASE64;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::RecordType::{A, AXFR, IXFR, SOA};
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use hickory_proto::rr::{Name, RData, Record, RecordType, TSigner};

use crate::ask::{exchange, question};
use crate::support::{Server, now, wait_for};

const LONG: Duration = Duration::from_secs(30);

/// A server with the zone `firma.example` of one account.
fn server() -> Server {
    let server = Server::start_with_names("");
    server.add_account("firma", 25);
    server.command(&["zone", "add", "firma", "firma.example"]);
    server
}

fn key(server: &Server, name: &str) -> TSigner {
    let made = server.command(&["tsig", "new", name]);
    let secret = BASE64.decode(made["secret"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(made["algorithm"], "hmac-sha256");
    TSigner::new(secret, TsigAlgorithm::HmacSha256, Name::from_ascii(name).unwrap(), 300).unwrap()
}

fn wanted(name: &str, kind: RecordType, have: Option<u32>) -> Message {
    let mut message = question(name, kind);
    if let Some(serial) = have {
        let root = Name::root;
        let soa = hickory_proto::rr::rdata::SOA::new(root(), root(), serial, 0, 0, 0, 0);
        let record = Record::from_rdata(Name::from_ascii(name).unwrap(), 0, RData::SOA(soa));
        message.add_authority(record);
    }
    message
}

/// All records of a transfer from `from`, or the code it was refused with. Signatures are checked.
fn transfer(
    server: &Server,
    from: &str,
    mut message: Message,
    signer: Option<&TSigner>,
) -> Result<Vec<Record>, ResponseCode> {
    let mut before = None;
    if let Some(signer) = signer {
        let seconds = u64::try_from(pulsemx::base::Clock.wall().timestamp()).unwrap();
        let (record, _) = signer.sign_message(&message, seconds).unwrap();
        before = Some(record.data.mac.clone());
        message.set_signature(record);
    }
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(from.parse().unwrap(), 0).into()).unwrap();
    socket.connect(&server.names.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(LONG)).unwrap();
    let octets = message.to_vec().unwrap();
    stream.write_all(&[&u16::try_from(octets.len()).unwrap().to_be_bytes()[..], &octets].concat()).unwrap();
    let mut records: Vec<Record> = Vec::new();
    let mut is_first = true;
    loop {
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut octets).unwrap();
        let answer = Message::from_vec(&octets).unwrap();
        if answer.metadata.response_code != ResponseCode::NoError {
            return Err(answer.metadata.response_code);
        }
        if let (Some(signer), Some(mac)) = (signer, &before) {
            before = Some(signer.verify_message_byte(&octets, Some(mac), is_first).unwrap().0);
        }
        is_first = false;
        records.extend(answer.answers);
        let soas = records.iter().filter(|record| record.data == records[0].data).count();
        let is_whole = soas == 2 || records.len() == 1 && message.queries[0].query_type() != AXFR;
        // One that is no SOA's twin is the first of a part.
        if is_whole && records.last().unwrap().data == records[0].data {
            return Ok(records);
        }
        if soas == 3 {
            return Ok(records);
        }
    }
}

fn serial(record: &Record) -> u32 {
    let RData::SOA(soa) = &record.data else { panic!("{record}") };
    soa.serial
}

#[test]
fn a_zone_is_closed_to_all_but_the_secondary_with_the_key() {
    let server = server();
    let mine = key(&server, "ns.provider.example");
    let other = key(&server, "other.example");
    let refused = Err(ResponseCode::Refused);
    let ask = |signer| transfer(&server, "127.0.0.1", wanted("firma.example.", AXFR, None), signer);
    assert_eq!(ask(None), refused);
    assert_eq!(ask(Some(&mine)), refused);
    let words = ["zone", "secondary", "add", "firma.example", "127.0.0.1:9", "--key", "ns.provider.example"];
    server.command(&words);
    assert_eq!(ask(None), refused, "from its address, but not signed");
    assert_eq!(ask(Some(&other)), refused);
    let whole = ask(Some(&mine)).unwrap();
    assert_eq!((whole[0].record_type(), whole.len()), (SOA, 5), "{whole:?}");
    let stranger =
        TSigner::new(vec![1; 32], TsigAlgorithm::HmacSha256, Name::from_ascii("x.example.").unwrap(), 300).unwrap();
    assert_eq!(ask(Some(&stranger)), Err(ResponseCode::NotAuth));
    let forger = TSigner::new(vec![1; 32], TsigAlgorithm::HmacSha256, mine.signer_name().clone(), 300).unwrap();
    assert_eq!(ask(Some(&forger)), Err(ResponseCode::NotAuth));

    let (good, _, err) = server.raw(&["tsig", "rm", "ns.provider.example"]);
    assert!(!good && err.contains("firma.example"), "{err}");
    let listed = server.command(&["zone", "secondary", "list"]);
    assert_eq!(listed["secondaries"][0]["key"], "ns.provider.example");
    server.command(&["zone", "secondary", "rm", "firma.example", "127.0.0.1:9"]);
    assert_eq!(ask(Some(&mine)), refused);
    server.command(&["tsig", "rm", "ns.provider.example"]);
    assert_eq!(server.command(&["tsig", "list"])["keys"][0]["name"], "other.example");
}

#[test]
fn without_a_key_the_address_counts_and_dynamic_names_are_copied_too() {
    let mut server = server();
    server.command(&["zone", "secondary", "add", "dyn.example", "127.0.31.53"]);
    let ask = |server: &Server, from| transfer(server, from, wanted("dyn.example.", AXFR, None), None);
    assert_eq!(ask(&server, "127.0.31.54"), Err(ResponseCode::Refused));
    let text = |records: &[Record]| {
        let mut lines: Vec<String> = records.iter().map(ToString::to_string).collect();
        lines.sort();
        lines.join("\n")
    };
    let whole = ask(&server, "127.0.31.53").unwrap();
    let all = text(&whole);
    for part in ["A 127.0.0.25", "AAAA ::1", "MX 10 firma.dyn.example.", "MX 20 mx2.pulsemx.example."] {
        assert!(all.contains(part), "{part}\n{all}");
    }
    server.stop();
    server.run();
    let again = ask(&server, "127.0.31.53").unwrap();
    assert_eq!(again.len(), whole.len(), "also after a restart");
    server.command(&["account", "rm", "firma", "--now"]);
    wait_for("the name is gone from the copy", LONG, || {
        (!text(&ask(&server, "127.0.31.53").unwrap()).contains("firma")).then_some(())
    });
}

#[test]
fn a_secondary_is_sent_what_changed_since_it_asked() {
    let server = server();
    server.command(&["zone", "secondary", "add", "firma.example", "127.0.0.1"]);
    let ixfr = |have| transfer(&server, "127.0.0.1", wanted("firma.example.", IXFR, Some(have)), None).unwrap();
    let whole = transfer(&server, "127.0.0.1", wanted("firma.example.", AXFR, None), None).unwrap();
    let first = serial(&whole[0]);
    assert_eq!(ixfr(first).len(), 1, "nothing new");
    server.command(&["zone", "set", "firma.example", "www", "A", "203.0.113.1"]);
    let step = ixfr(first);
    let kinds: Vec<RecordType> = step.iter().map(Record::record_type).collect();
    assert_eq!(kinds, [SOA, SOA, SOA, A, SOA], "{step:?}");
    assert_eq!(serial(&step[1]), first);
    let second = serial(&step[0]);
    server.command(&["zone", "set", "firma.example", "www", "A", "203.0.113.2"]);
    let step = ixfr(second);
    let kinds: Vec<RecordType> = step.iter().map(Record::record_type).collect();
    assert_eq!(kinds, [SOA, SOA, A, SOA, A, SOA]);
    assert_eq!(ixfr(1).len(), 6, "from nowhere: the whole zone");
    // Over UDP it is told to use TCP.
    let over_udp = |kind, have| {
        let octets = wanted("firma.example.", kind, have).to_vec().unwrap();
        let answer = (0..5).find_map(|_| exchange(server.names, &octets, Duration::from_secs(2))).unwrap();
        Message::from_vec(&answer).unwrap()
    };
    let told = over_udp(IXFR, Some(first));
    assert_eq!((told.answers.len(), serial(&told.answers[0]) > second), (1, true));
    assert_eq!(over_udp(AXFR, None).metadata.response_code, ResponseCode::Refused);
    // A zone that is removed takes its secondaries along.
    server.command(&["zone", "rm", "firma", "firma.example"]);
    server.command(&["zone", "add", "firma", "firma.example"]);
    let refused = transfer(&server, "127.0.0.1", wanted("firma.example.", AXFR, None), None);
    assert_eq!(refused, Err(ResponseCode::Refused));
}

#[test]
fn a_secondary_is_told_of_a_change_and_told_again_until_it_answers() {
    let server = server();
    let signer = key(&server, "ns.provider.example");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    server.command(&["zone", "secondary", "add", "firma.example", &address, "--key", "ns.provider.example"]);
    let hear = || {
        let mut octets = [0; 1_500];
        let (length, from) = socket.recv_from(&mut octets).unwrap();
        signer.verify_message_byte(&octets[..length], None, true).expect("signed with its key");
        let message = Message::from_vec(&octets[..length]).unwrap();
        assert_eq!(message.metadata.op_code, OpCode::Notify);
        assert_eq!(message.queries, [Query::query(Name::from_ascii("firma.example.").unwrap(), SOA)]);
        (message.metadata.id, from)
    };
    hear();
    let (id, from) = hear();
    let answer = |id| {
        let message = Message::new(id, MessageType::Response, OpCode::Notify);
        socket.send_to(&message.to_vec().unwrap(), from).unwrap();
    };
    answer(id);
    // The next notice is of the change, whenever it is made: none comes of what was answered.
    let quiet_since = now();
    socket.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
    let mut octets = [0; 1_500];
    while let Ok((length, _)) = socket.recv_from(&mut octets) {
        // One may have been under way.
        answer(Message::from_vec(&octets[..length]).unwrap().metadata.id);
        assert!(quiet_since.elapsed() < LONG, "it is told again and again");
    }
    socket.set_read_timeout(Some(LONG)).unwrap();
    server.command(&["zone", "set", "firma.example", "www", "A", "203.0.113.1"]);
    let (id, _) = hear();
    answer(id);
}

#[test]
fn a_signed_question_gets_a_signed_answer() {
    let server = server();
    let signer = key(&server, "ns.provider.example");
    let mut message = question("firma.example.", SOA);
    let seconds = u64::try_from(pulsemx::base::Clock.wall().timestamp()).unwrap();
    let (record, _) = signer.sign_message(&message, seconds).unwrap();
    let mac = record.data.mac.clone();
    message.set_signature(record);
    let octets = message.to_vec().unwrap();
    let answer = (0..5).find_map(|_| exchange(server.names, &octets, Duration::from_secs(2))).unwrap();
    signer.verify_message_byte(&answer, Some(&mac), true).unwrap();
    assert_eq!(Message::from_vec(&answer).unwrap().answers.len(), 1);
}
