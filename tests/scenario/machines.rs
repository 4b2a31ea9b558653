//! A customer's machine behind a router: a frozen mapping, the mail server's key, two servers, a metered line.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use pulsemx::heartbeat::datagram::{ClientBody, ClientDatagram, ListedAddress};

use crate::support::{Client, Primary, Relay, Server, now, wait_for};

const SOON: Duration = Duration::from_secs(20);

fn start(servers: &[SocketAddr], token: &Path, more: &[&str]) -> Client {
    let servers: Vec<String> = servers.iter().map(SocketAddr::to_string).collect();
    let servers = servers.iter().flat_map(|server| ["--server", server.as_str()]);
    Client::start(token, &["--https", "off"].into_iter().chain(servers).chain(more.iter().copied()).collect::<Vec<_>>())
}

#[test]
fn a_client_behind_a_frozen_mapping_takes_a_new_port_and_keeps_the_line() {
    let server = Server::start("5s", "");
    let token = server.add_account("firma", 25);
    let relay = Relay::start("127.0.20.1", server.heartbeat);
    let _client = start(&[relay.address], &token, &["--one-family"]);
    server.wait_state("firma", "online", SOON);
    assert_eq!(relay.freeze(), 1);
    let frozen = relay.passed().len();
    wait_for("another source port", Duration::from_secs(30), || {
        assert_ne!(server.state("firma"), "offline");
        (relay.mappings() == 2).then_some(())
    });
    wait_for("beats through it", SOON, || {
        assert_ne!(server.state("firma"), "offline");
        (relay.passed().len() > frozen + 2).then_some(())
    });
    server.wait_state("firma", "online", SOON);
    assert_eq!(relay.mappings(), 2, "a mapping that works is kept");
}

/// Keys and lists that were passed on.
fn news(relay: &Relay) -> (Vec<[u8; 32]>, Vec<Vec<ListedAddress>>) {
    let (mut keys, mut lists) = (Vec::new(), Vec::new());
    for octets in relay.passed() {
        match ClientDatagram::decode(&octets).unwrap().body {
            ClientBody::ServerKey { digest, .. } => keys.push(digest),
            ClientBody::AddressList(list) => lists.push(list),
            ClientBody::Beat | ClientBody::Answer { .. } => {}
        }
    }
    (keys, lists)
}

#[test]
fn the_key_of_a_mail_server_on_another_machine_is_reported_once_and_again_when_it_changes() {
    let server = Server::start("1s", "");
    let token = server.add_account("firma", 25);
    let relay = Relay::start("127.0.20.2", server.heartbeat);
    let first = Primary::listen_tls("127.0.20.3", 0);
    let mail = first.address.to_string();
    let client = start(&[relay.address], &token, &["--mail-server", &mail, "--one-family"]);
    client.wait_said("the mail server here greets (220)", SOON);
    client.wait_said("shows the key sha256:", SOON);
    let key = first.key.unwrap();
    wait_for("the key reaches the server", SOON, || news(&relay).0.contains(&key).then_some(()));
    wait_for("the server knows that mail is taken", SOON, || {
        (server.command(&["account", "show", "firma"])["state"] == "online").then_some(())
    });
    // Acknowledged, it is not repeated: the following beats are plain ones.
    let told = news(&relay).0.len();
    let beats = relay.passed().len();
    wait_for("further beats", SOON, || (relay.passed().len() > beats + 4).then_some(()));
    assert_eq!(news(&relay).0.len(), told);
    // The mail server is exchanged for one with another certificate.
    drop(first);
    client.wait_said("does not greet", SOON);
    let port: u16 = mail.rsplit_once(':').unwrap().1.parse().unwrap();
    let second = Primary::listen_tls("127.0.20.3", port);
    let key = second.key.unwrap();
    wait_for("the new key reaches the server", SOON, || news(&relay).0.contains(&key).then_some(()));
}

#[test]
fn a_second_server_is_used_while_the_first_does_not_answer() {
    let server = Server::start("1s", "");
    let token = server.add_account("firma", 25);
    let first = Relay::start("127.0.20.4", server.heartbeat);
    first.set(false);
    let second = Relay::start("127.0.20.4", server.heartbeat);
    let _client = start(&[first.address, second.address], &token, &["--one-family"]);
    server.wait_state("firma", "online", Duration::from_secs(60));
    assert!(first.passed().is_empty() && !second.passed().is_empty());
}

#[test]
fn a_line_whose_ipv4_leads_nowhere_is_up_over_ipv6() {
    let server = Server::start_on_ipv6("1s");
    let token = server.add_account("firma", 25);
    let nowhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    let _client = start(&[nowhere.local_addr().unwrap(), server.heartbeat], &token, &[]);
    server.wait_state("firma", "online", Duration::from_secs(60));
    assert_eq!(server.account("firma")["address"], "::1");
}

#[test]
fn a_metered_line_says_how_late_an_outage_is_noticed_and_sends_one_beat_a_minute() {
    let server = Server::start("5s", "");
    let token = server.add_account("firma", 25);
    let relay = Relay::start("127.0.20.5", server.heartbeat);
    let client = start(&[relay.address], &token, &["--metered"]);
    client.wait_said("an outage of this line is noticed after 182 s", SOON);
    std::thread::sleep(Duration::from_secs(1));
    let passed = relay.passed();
    let interval = ClientDatagram::decode(passed.last().unwrap()).unwrap().header.interval_cs;
    assert_eq!(interval, 6_000);
    // Past three intervals of the others, nothing is missed.
    let began = now();
    while began.elapsed() < Duration::from_secs(20) {
        // RETURNING until its second beat, in a minute.
        assert!(["returning", "online"].contains(&server.state("firma").as_str()), "{}", server.state("firma"));
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(relay.passed().len() <= passed.len() + 1, "it beats more often than it says");
}
