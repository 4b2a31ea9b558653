//! Knot and NSD as secondaries: they follow a thousand random changes of a zone, told by signed notices, and end equal.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Server, wait_for};

const CHANGES: u32 = 1_000;
const ZONE: &str = "firma.example";
/// A thousand commands, then at most the last notice and its transfer, on a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// Ends with the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(server: &Server, name: &str, program: &str, words: &[&str]) -> Peer {
    let log = fs::File::create(server.folder().join(format!("{name}.log"))).unwrap();
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    Peer(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}")))
}

fn free(ip: &str) -> SocketAddr {
    UdpSocket::bind((ip, 0)).unwrap().local_addr().unwrap()
}

fn dig(at: SocketAddr, words: &[&str]) -> String {
    let (ip, port) = (format!("@{}", at.ip()), at.port().to_string());
    let output =
        Command::new("dig").args([&ip, "-p", &port, "+norecurse", "+onesoa", "+noall", "+answer"]).args(words).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// All records, sorted, without the blanks that align them.
fn whole(at: SocketAddr) -> Vec<String> {
    let text = dig(at, &["+tcp", ZONE, "AXFR"]);
    let records = text.lines().filter(|line| !line.starts_with(';') && !line.is_empty());
    let mut lines: Vec<String> = records.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.sort();
    lines
}

fn knot(server: &Server, at: SocketAddr, secret: &str) -> Peer {
    let folder = server.folder().join("knot");
    fs::create_dir(&folder).unwrap();
    let (dir, own, our) = (folder.display(), format!("127.0.0.1@{}", at.port()), server.names.port());
    let text = format!(
        "server:\n  listen: {own}\n  rundir: {dir}\nlog:\n  - target: stdout\n    any: info\ndatabase:\n  storage: {dir}\n\
         key:\n  - id: knot.example\n    algorithm: hmac-sha256\n    secret: {secret}\n\
         remote:\n  - id: primary\n    address: 127.0.0.1@{our}\n    key: knot.example\n\
         acl:\n  - id: told\n    key: knot.example\n    action: notify\n  - id: shown\n    address: 127.0.0.1\n    action: transfer\n\
         zone:\n  - domain: {ZONE}\n    storage: {dir}\n    master: primary\n    acl: [told, shown]\n"
    );
    let path = folder.join("knot.conf").display().to_string();
    fs::write(&path, text).unwrap();
    start(server, "knot", "knotd", &["-c", &path])
}

fn nsd(server: &Server, at: SocketAddr, secret: &str) -> Peer {
    let folder = server.folder().join("nsd");
    fs::create_dir(&folder).unwrap();
    let (dir, own, our) = (folder.display(), format!("127.0.0.1@{}", at.port()), server.names.port());
    let text = format!(
        "server:\n  ip-address: {own}\n  server-count: 1\n  username: \"\"\n  chroot: \"\"\n  zonesdir: \"{dir}\"\n  database: \"\"\n  \
         pidfile: \"{dir}/pid\"\n  xfrdfile: \"{dir}/xfrd\"\n  xfrdir: \"{dir}\"\n  zonelistfile: \"{dir}/zones\"\n  verbosity: 2\n  \
         xfrd-reload-timeout: 0\nremote-control:\n  control-enable: no\n\
         key:\n  name: nsd.example\n  algorithm: hmac-sha256\n  secret: \"{secret}\"\n\
         zone:\n  name: {ZONE}\n  zonefile: zone\n  request-xfr: 127.0.0.1@{our} nsd.example\n  \
         allow-notify: 127.0.0.1 nsd.example\n  provide-xfr: 127.0.0.1 NOKEY\n"
    );
    let path = folder.join("nsd.conf").display().to_string();
    fs::write(&path, text).unwrap();
    start(server, "nsd", "nsd", &["-d", "-c", &path])
}

#[test]
fn knot_and_nsd_follow_a_thousand_changes_and_end_equal() {
    let server = Server::start_with_names("");
    server.add_account("firma", 25);
    server.command(&["zone", "add", "firma", ZONE]);
    let secret = |name: &str| server.command(&["tsig", "new", name])["secret"].as_str().unwrap().to_owned();
    let (knot_at, nsd_at) = (free("127.0.0.1"), free("127.0.0.1"));
    let _knot = knot(&server, knot_at, &secret("knot.example"));
    let _nsd = nsd(&server, nsd_at, &secret("nsd.example"));
    for (at, key) in [(knot_at, "knot.example"), (nsd_at, "nsd.example")] {
        server.command(&["zone", "secondary", "add", ZONE, &at.to_string(), "--key", key]);
    }
    // So that the test may copy the zone as well.
    server.command(&["zone", "secondary", "add", ZONE, "127.0.0.1:9"]);
    let log = |name: &str| fs::read_to_string(server.folder().join(format!("{name}.log"))).unwrap();
    for (name, at) in [("knot", knot_at), ("nsd", nsd_at)] {
        wait_for(&format!("{name} has the zone"), LONG, || (!dig(at, &[ZONE, "NS"]).is_empty()).then_some(()));
    }

    // A small generator: the same changes each time.
    let mut state = 20_261_124u64;
    let mut random = |most: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    };
    for _ in 0..CHANGES {
        let name = format!("h{}", random(40));
        let (kind, data): (&str, Vec<String>) = match random(4) {
            0 => ("A", (0..random(4)).map(|_| format!("203.0.113.{}", random(250))).collect()),
            1 => ("AAAA", (0..random(3)).map(|_| format!("2001:db8::{:x}", random(9_000))).collect()),
            2 => ("TXT", (0..random(3)).map(|_| format!("\"t {}\"", random(9_000))).collect()),
            _ => ("MX", (0..random(3)).map(|n| format!("{n} mx{}.example.", random(90))).collect()),
        };
        let mut words = vec!["zone", "set", ZONE, &name, kind];
        words.extend(data.iter().map(String::as_str));
        let (good, _, err) = server.raw(&words);
        // Taking away what is not there is the one thing that is refused.
        assert!(good || data.is_empty() && err.contains("has no"), "{words:?} {err}");
    }

    let ours = whole(server.names);
    assert!(ours.len() > 40, "{ours:?}");
    for (name, at) in [("knot", knot_at), ("nsd", nsd_at)] {
        let soa = |at| dig(at, &[ZONE, "SOA", "+short"]);
        wait_for(&format!("{name} has the last change"), LONG, || (soa(at) == soa(server.names)).then_some(()));
        assert_eq!(whole(at), ours, "{name}: {}", log(name));
    }
    let told = log("knot");
    let (steps, wholes) = (told.matches("IXFR, incoming").count(), told.matches("AXFR, incoming").count());
    assert!(told.contains("IXFR, incoming"), "{told}");
    println!("Knot's log speaks of IXFR {steps} times and of AXFR {wholes} times");
}
