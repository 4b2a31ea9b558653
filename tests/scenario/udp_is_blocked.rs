//! A line that lets no UDP through stays ONLINE over HTTPS, is found again over UDP, and its other misfortunes.

use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use crate::support::{Client, Relay, Secure, Server, now, wait_for};

fn start(udp: SocketAddr, token: &Path, from: &str, more: &[&str]) -> Client {
    let udp = udp.to_string();
    Client::start(token, &[&["--server", &udp, "--bind", from], more].concat())
}

fn secure_client(secure: &Secure, udp: SocketAddr, token: &Path, from: &str) -> Client {
    start(udp, token, from, &secure.arguments())
}

/// Asks for the state until `during` is over; every other state than `state` fails.
fn stays(server: &Server, account: &str, state: &str, during: Duration) {
    let began = now();
    while began.elapsed() < during {
        assert_eq!(server.state(account), state, "after {:?}", began.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
}

const SOON: Duration = Duration::from_secs(15);

#[test]
fn a_line_whose_udp_dies_stays_online_over_https_and_returns_to_udp() {
    let secure = Secure::start("1s");
    let server = &secure.server;
    let token = server.add_account("firma", 25);
    let relay = Relay::start("127.0.0.5", server.heartbeat);
    let client = secure_client(&secure, relay.address, &token, "127.0.0.5");
    server.wait_state("firma", "online", SOON);
    relay.set(false);
    // Neutralised after 5 s without a beat; HTTPS takes over after 2 s.
    stays(server, "firma", "online", Duration::from_secs(12));
    client.wait_said("beats go over HTTPS", Duration::from_secs(1));
    assert_eq!(server.account("firma")["address"], "127.0.0.5");
    relay.set(true);
    client.wait_said("UDP is answered again", Duration::from_secs(40));
    stays(server, "firma", "online", Duration::from_secs(7));
    drop(client);
    server.wait_state("firma", "offline", SOON);
}

#[test]
fn a_line_without_udp_from_the_start_opens_over_https_and_survives_a_restart_of_the_server() {
    let mut secure = Secure::start("1s");
    let token = secure.server.add_account("firma", 25);
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = secure_client(&secure, dead.local_addr().unwrap(), &token, "127.0.0.6");
    secure.server.wait_state("firma", "online", Duration::from_secs(20));
    secure.server.stop();
    secure.server.run();
    // The state is kept over the restart; the first request after it proves the run again.
    stays(&secure.server, "firma", "online", Duration::from_secs(4));
    wait_for("the run is opened again", SOON, || {
        (secure.server.log().matches("heartbeat opened").count() >= 2).then_some(())
    });
    stays(&secure.server, "firma", "online", Duration::from_secs(7));
    drop(client);
}

#[test]
fn a_certificate_that_is_not_the_one_to_believe_stops_https_and_is_named() {
    let secure = Secure::start("1s");
    let token = secure.server.add_account("firma", 25);
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = start(dead, &token, "127.0.0.1", &["--https", &secure.https]);
    client.wait_said("nor does HTTPS", Duration::from_secs(20));
    assert_ne!(secure.server.state("firma"), "online");
}

#[test]
fn an_address_that_changes_over_https_moves_the_line() {
    let secure = Secure::start("1s");
    let server = &secure.server;
    let token = server.add_account("firma", 25);
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let first = secure_client(&secure, dead.local_addr().unwrap(), &token, "127.0.0.7");
    server.wait_state("firma", "online", Duration::from_secs(20));
    drop(first);
    let _second = secure_client(&secure, dead.local_addr().unwrap(), &token, "127.0.0.8");
    wait_for("the address moves", Duration::from_secs(20), || {
        (server.account("firma")["address"] == "127.0.0.8").then_some(())
    });
}

#[test]
fn a_clone_elsewhere_gets_nothing_while_the_line_beats_over_https() {
    let secure = Secure::start("1s");
    let server = &secure.server;
    let token = server.add_account("firma", 25);
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let _real = secure_client(&secure, dead.local_addr().unwrap(), &token, "127.0.0.9");
    server.wait_state("firma", "online", Duration::from_secs(20));
    // The clone has UDP and so every advantage.
    let _clone = start(server.heartbeat, &token, "127.0.0.10", &["--https", "off"]);
    let began = now();
    while began.elapsed() < Duration::from_secs(12) {
        assert_eq!(server.account("firma")["address"], "127.0.0.9");
        std::thread::sleep(Duration::from_millis(200));
    }
}
