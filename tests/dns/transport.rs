//! UDP, TCP and TLS, refusals, limits, and octets that are no question.

use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType::{A, MX, SOA};

use crate::ask::{exchange, over_tcp, over_udp, question};
use crate::support::Server;

#[test]
fn questions_on_one_connection_are_answered_in_order() {
    let server = Server::start_with_names("");
    server.add_account("firma", 25);
    let questions =
        [("firma.dyn.example.", A), ("firma.dyn.example.", MX), ("dyn.example.", SOA), ("other.example.", A)];
    let answers = over_tcp(server.names, &questions);
    let counts: Vec<usize> = answers.iter().map(|answer| answer.answers.len()).collect();
    assert_eq!(counts, [1, 2, 1, 0]);
    assert_eq!(answers[3].metadata.response_code, ResponseCode::Refused);
    assert_eq!(over_udp(server.names, "dyn.example.", SOA).answers, answers[2].answers);
}

#[test]
fn octets_that_are_no_question_harm_nobody() {
    let server = Server::start_with_names("");
    let good = question("dyn.example.", SOA).to_vec().unwrap();
    let short = Duration::from_millis(20);
    for length in 0..good.len() {
        let _ = exchange(server.names, &good[..length], short);
    }
    for at in 0..good.len() {
        let mut octets = good.clone();
        octets[at] ^= 0xff;
        if let Some(answer) = exchange(server.names, &octets, short) {
            Message::from_vec(&answer).unwrap();
        }
    }
    assert_eq!(over_udp(server.names, "dyn.example.", SOA).answers.len(), 1, "still there");
}

#[test]
fn a_network_beyond_its_rate_is_told_to_use_tcp() {
    let server = Server::start_with_names("answers_per_second = 1\n");
    let octets = question("dyn.example.", SOA).to_vec().unwrap();
    let answers: Vec<Message> = (0..30)
        .filter_map(|_| exchange(server.names, &octets, Duration::from_millis(50)))
        .map(|octets| Message::from_vec(&octets).unwrap())
        .collect();
    let cut = answers.iter().filter(|answer| answer.metadata.truncation).count();
    assert!(cut > 0 && answers.len() < 30, "{cut} of {} cut", answers.len());
    assert_eq!(over_tcp(server.names, &[("dyn.example.", SOA)])[0].answers.len(), 1);
}
