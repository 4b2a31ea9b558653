//! A small resolver over hickory's messages.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};

/// Longest wait for an answer; asked again after it, as UDP may lose.
const PATIENCE: Duration = Duration::from_secs(2);

pub(crate) fn question(name: &str, record_type: RecordType) -> Message {
    let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
    message.set_edns(Edns::new());
    message
}

/// Octets back over UDP, if any come in time.
pub(crate) fn exchange(server: SocketAddr, octets: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let own = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let socket = UdpSocket::bind(own).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send(octets).unwrap();
    let mut answer = [0; 65_535];
    let length = socket.recv(&mut answer).ok()?;
    Some(answer[..length].to_vec())
}

pub(crate) fn over_udp(server: SocketAddr, name: &str, record_type: RecordType) -> Message {
    let octets = question(name, record_type).to_vec().unwrap();
    let answer = (0..5).find_map(|_| exchange(server, &octets, PATIENCE)).expect("an answer over UDP");
    Message::from_vec(&answer).unwrap()
}

/// Several questions on one connection, and their answers in order.
pub(crate) fn over_tcp(server: SocketAddr, questions: &[(&str, RecordType)]) -> Vec<Message> {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut all = Vec::new();
    for (name, record_type) in questions {
        let octets = question(name, *record_type).to_vec().unwrap();
        all.extend(u16::try_from(octets.len()).unwrap().to_be_bytes());
        all.extend(octets);
    }
    stream.write_all(&all).unwrap();
    let mut answers = Vec::new();
    for _ in questions {
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut octets).unwrap();
        answers.push(Message::from_vec(&octets).unwrap());
    }
    answers
}

/// The data of the answers, in order of the alphabet.
pub(crate) fn data(server: SocketAddr, name: &str, record_type: RecordType) -> Vec<String> {
    let mut all: Vec<String> =
        over_udp(server, name, record_type).answers.iter().map(|record| record.data.to_string()).collect();
    all.sort();
    all
}
