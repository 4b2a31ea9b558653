//! A line that lets no UDP through stays ONLINE over HTTPS, is found again over UDP, and its other misfortunes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{PULSEMX_BEAT, Relay, Server, free_port, now, wait_for};

/// A server that speaks HTTPS as `localhost` as well, and the certificate to believe.
struct Secure {
    server: Server,
    https: String,
    ca: PathBuf,
}

impl Secure {
    fn start(interval: &str) -> Self {
        let mut server = Server::start(interval, "");
        server.stop();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (ca, key) = (server.folder().join("cert.pem"), server.folder().join("key.pem"));
        fs::write(&ca, made.cert.pem()).unwrap();
        fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        let port = free_port();
        let text = fs::read_to_string(server.config()).unwrap();
        let web = format!("[web]\nlisten = \"{}\"", server.web);
        let both = format!("[web]\nlisten = [\"{}\", \"0.0.0.0:{port}\"]", server.web);
        let tls = format!("[tls]\ncert = \"{}\"\nkey = \"{}\"\n", ca.display(), key.display());
        assert!(text.contains(&web));
        fs::write(server.config(), text.replace(&web, &both) + &tls).unwrap();
        server.run();
        Self { server, https: format!("https://localhost:{port}/"), ca }
    }
}

/// A client whose lines are read.
struct Client {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Client {
    fn start(udp: SocketAddr, token: &Path, from: &str, more: &[&str]) -> Self {
        let mut child = Command::new(PULSEMX_BEAT)
            .args(["run", "--server", &udp.to_string(), "--bind", from])
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

    fn secure(secure: &Secure, udp: SocketAddr, token: &Path, from: &str) -> Self {
        Self::start(udp, token, from, &["--https", &secure.https, "--ca-file", secure.ca.to_str().unwrap()])
    }

    fn wait_said(&self, what: &str, limit: Duration) {
        let said = || self.said.lock().unwrap().clone();
        wait_for(&format!("the client says '{what}'"), limit, || {
            said().iter().any(|line| line.contains(what)).then_some(())
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
    let client = Client::secure(&secure, relay.address, &token, "127.0.0.5");
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
    let client = Client::secure(&secure, dead.local_addr().unwrap(), &token, "127.0.0.6");
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
    let client = Client::start(dead, &token, "127.0.0.1", &["--https", &secure.https]);
    client.wait_said("nor does HTTPS", Duration::from_secs(20));
    assert_ne!(secure.server.state("firma"), "online");
}

#[test]
fn an_address_that_changes_over_https_moves_the_line() {
    let secure = Secure::start("1s");
    let server = &secure.server;
    let token = server.add_account("firma", 25);
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let first = Client::secure(&secure, dead.local_addr().unwrap(), &token, "127.0.0.7");
    server.wait_state("firma", "online", Duration::from_secs(20));
    drop(first);
    let _second = Client::secure(&secure, dead.local_addr().unwrap(), &token, "127.0.0.8");
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
    let _real = Client::secure(&secure, dead.local_addr().unwrap(), &token, "127.0.0.9");
    server.wait_state("firma", "online", Duration::from_secs(20));
    // The clone has UDP and so every advantage.
    let _clone = Client::start(server.heartbeat, &token, "127.0.0.10", &["--https", "off"]);
    let began = now();
    while began.elapsed() < Duration::from_secs(12) {
        assert_eq!(server.account("firma")["address"], "127.0.0.9");
        std::thread::sleep(Duration::from_millis(200));
    }
}
