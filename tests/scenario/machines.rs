//! A customer's machine behind a router: a frozen mapping, the mail server's key, two servers, a metered line.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pulsemx::heartbeat::datagram::{ClientBody, ClientDatagram, ListedAddress};

use crate::support::{PULSEMX_BEAT, Primary, Relay, Server, now, wait_for};

const SOON: Duration = Duration::from_secs(20);

/// A client whose lines are read. Killed when dropped.
struct Client {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Client {
    fn start(servers: &[SocketAddr], token: &Path, more: &[&str]) -> Self {
        let servers = servers.iter().flat_map(|server| ["--server".to_owned(), server.to_string()]);
        let mut child = Command::new(PULSEMX_BEAT)
            .args(["run", "--https", "off"])
            .args(servers)
            .arg("--token-file")
            .arg(token)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said: Arc<Mutex<Vec<String>>> = Arc::default();
        let (out, lines) = (child.stdout.take().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Self { child, said }
    }

    fn wait_said(&self, what: &str) {
        wait_for(&format!("the client says '{what}'"), SOON, || {
            self.said.lock().unwrap().iter().any(|line| line.contains(what)).then_some(())
        });
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the client said: {:#?}", self.said.lock().unwrap());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_client_behind_a_frozen_mapping_takes_a_new_port_and_keeps_the_line() {
    let server = Server::start("5s", "");
    let token = server.add_account("firma", 25);
    let relay = Relay::start("127.0.20.1", server.heartbeat);
    let _client = Client::start(&[relay.address], &token, &["--one-family"]);
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
    let client = Client::start(&[relay.address], &token, &["--mail-server", &mail, "--one-family"]);
    client.wait_said("the mail server here greets (220)");
    client.wait_said("shows the key sha256:");
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
    client.wait_said("does not greet");
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
    let _client = Client::start(&[first.address, second.address], &token, &["--one-family"]);
    server.wait_state("firma", "online", Duration::from_secs(60));
    assert!(first.passed().is_empty() && !second.passed().is_empty());
}

#[test]
fn a_metered_line_says_how_late_an_outage_is_noticed_and_sends_one_beat_a_minute() {
    let server = Server::start("5s", "");
    let token = server.add_account("firma", 25);
    let relay = Relay::start("127.0.20.5", server.heartbeat);
    let client = Client::start(&[relay.address], &token, &["--metered"]);
    client.wait_said("an outage of this line is noticed after 182 s");
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
