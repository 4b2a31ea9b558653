//! The client behind a real router, in namespaces of the kernel: its address changes, its line is cut, the router gets
//! another address, and a mapping of its address translation freezes.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{PULSEMX_BEAT, Server, now, wait_for};

const SOON: Duration = Duration::from_secs(30);
const PORT: u16 = 5525;

fn run(words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Three machines: a client at 10.77.0.2, a router that translates to 203.0.113.7, a server at 203.0.113.1. Their
/// namespaces carry the number of this process and go with the value.
struct Network {
    client: String,
    router: String,
    server: String,
}

impl Network {
    fn new(name: &str) -> Self {
        let id = format!("{name}{}", std::process::id());
        let all = Self { client: format!("pmxc{id}"), router: format!("pmxr{id}"), server: format!("pmxs{id}") };
        let (c, r, s) = (&all.client, &all.router, &all.server);
        for space in [c, r, s] {
            run(&format!("ip netns add {space}"));
            run(&format!("ip -n {space} link set lo up"));
        }
        run(&format!("ip -n {c} link add lan type veth peer name in netns {r}"));
        run(&format!("ip -n {r} link add out type veth peer name wire netns {s}"));
        for (space, link, address) in [
            (c, "lan", "10.77.0.2/24"),
            (r, "in", "10.77.0.1/24"),
            (r, "out", "203.0.113.7/24"),
            (s, "wire", "203.0.113.1/24"),
        ] {
            run(&format!("ip -n {space} address add {address} dev {link}"));
            run(&format!("ip -n {space} link set {link} up"));
        }
        run(&format!("ip -n {c} route add default via 10.77.0.1"));
        run(&format!("ip netns exec {r} sysctl -qw net.ipv4.ip_forward=1"));
        all.rule("add table ip t");
        all.rule("add chain ip t post { type nat hook postrouting priority 100 ; }");
        all.rule("add chain ip t pass { type filter hook forward priority 0 ; }");
        all.rule("add rule ip t post oifname out masquerade");
        all
    }

    /// One rule of the router.
    fn rule(&self, rule: &str) {
        run(&format!("ip netns exec {} nft {rule}", self.router));
    }

    /// The source port of the client's socket towards the server.
    fn port(&self) -> Option<u16> {
        let sockets = run(&format!("ip netns exec {} ss -Hun dst 203.0.113.1", self.client));
        let own = sockets.split_whitespace().find(|word| word.starts_with("10.77."))?;
        own.rsplit_once(':')?.1.parse().ok()
    }

    fn serve(&self) -> Server {
        let mut server = Server::start_under(&["ip", "netns", "exec", &self.server], "5s", "");
        server.stop();
        let text = fs::read_to_string(server.config()).unwrap();
        let outside = format!("203.0.113.1:{PORT}");
        fs::write(server.config(), text.replace(&server.heartbeat.to_string(), &outside)).unwrap();
        server.run();
        server
    }

    fn beat(&self, token: &std::path::Path) -> Beating {
        let child = Command::new("ip")
            .args(["netns", "exec", &self.client, PULSEMX_BEAT, "run", "--quiet", "--https", "off"])
            .args(["--server", &format!("203.0.113.1:{PORT}"), "--token-file"])
            .arg(token)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Beating(child)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for space in [&self.client, &self.router, &self.server] {
            let _ = Command::new("ip").args(["netns", "del", space]).status();
        }
    }
}

struct Beating(Child);

impl Drop for Beating {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// When the last beat came, as the server prints it.
fn last_beat(server: &Server) -> String {
    server.account("firma")["last_beat"].to_string()
}

#[test]
fn a_mapping_of_the_router_that_freezes_is_left_before_the_line_is_down() {
    let network = Network::new("f");
    let server = network.serve();
    let token = server.add_account("firma", 25);
    let _client = network.beat(&token);
    server.wait_state("firma", "online", SOON);
    let before = network.port().unwrap();
    network.rule(&format!("add rule ip t pass udp sport {before} drop"));
    network.rule(&format!("add rule ip t pass udp dport {before} drop"));
    let frozen = last_beat(&server);
    wait_for("beats from another source port", SOON, || {
        assert_ne!(server.state("firma"), "offline");
        (network.port().is_some_and(|port| port != before) && last_beat(&server) != frozen).then_some(())
    });
    server.wait_state("firma", "online", SOON);
    assert_eq!(server.account("firma")["address"], "203.0.113.7");
}

#[test]
fn a_cut_line_is_offline_within_20_s_and_back_with_its_first_beat() {
    let network = Network::new("c");
    let server = network.serve();
    let token = server.add_account("firma", 25);
    let _client = network.beat(&token);
    server.wait_state("firma", "online", SOON);
    run(&format!("ip -n {} link set in down", network.router));
    let cut = now();
    server.wait_state("firma", "offline", SOON);
    let took = cut.elapsed();
    // At least two intervals, since the last beat was at most one old.
    assert!(took > Duration::from_secs(11), "{took:?}");
    println!("neutralised {took:?} after the cut");
    run(&format!("ip -n {} link set in up", network.router));
    server.wait_state("firma", "online", SOON);
}

#[test]
fn a_machine_or_a_router_with_another_address_is_found_without_an_outage() {
    let network = Network::new("a");
    let server = network.serve();
    let token = server.add_account("firma", 25);
    let _client = network.beat(&token);
    server.wait_state("firma", "online", SOON);
    // The machine gets another address in its own network: it sees that itself and beats at once.
    let before = last_beat(&server);
    let port = network.port().unwrap();
    run(&format!("ip -n {} address del 10.77.0.2/24 dev lan", network.client));
    run(&format!("ip -n {} address add 10.77.0.9/24 dev lan", network.client));
    run(&format!("ip -n {} route replace default via 10.77.0.1", network.client));
    wait_for("another socket, and a beat from it", SOON, || {
        (network.port().is_some_and(|now| now != port) && last_beat(&server) != before).then_some(())
    });
    assert_eq!(server.account("firma")["address"], "203.0.113.7");
    // The provider gives the line another address. Nobody behind the router sees that; the next beat comes from there.
    run(&format!("ip -n {} address del 203.0.113.7/24 dev out", network.router));
    run(&format!("ip -n {} address add 203.0.113.8/24 dev out", network.router));
    wait_for("the line is known by its new address", SOON, || {
        assert_ne!(server.state("firma"), "offline");
        (server.account("firma")["address"] == "203.0.113.8").then_some(())
    });
    server.wait_state("firma", "online", SOON);
}
