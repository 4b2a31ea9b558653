//! A client with both address families: each is proven by itself, and each goes and comes by itself.

use std::fs;
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hickory_proto::rr::RecordType::{A, AAAA};

use crate::ask::data;
use crate::support::{PULSEMX_BEAT, Primary, Relay, Server, wait_for};

const LONG: Duration = Duration::from_secs(30);
const NAME: &str = "firma.dyn.example.";

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn each_family_has_its_own_record_and_its_own_deadline() {
    let mut server = Server::start_with_names("offline = \"nothing\"\n");
    server.stop();
    let v6 = UdpSocket::bind("[::1]:0").unwrap().local_addr().unwrap();
    let text = fs::read_to_string(server.config()).unwrap();
    let (one, both) =
        (format!("listen = \"{}\"", server.heartbeat), format!("listen = [\"{}\", \"{v6}\"]", server.heartbeat));
    assert!(text.contains(&one));
    fs::write(server.config(), text.replace(&one, &both)).unwrap();
    server.run();
    let over_v4 = Primary::listen("127.0.31.30", 0);
    let port = over_v4.address.port();
    let _over_v6 = Primary::listen("::1", port);
    let token = server.add_account("firma", port);
    let (relay_v4, relay_v6) = (Relay::start("127.0.31.30", server.heartbeat), Relay::start("::1", v6));
    let client = Command::new(PULSEMX_BEAT)
        .args(["run", "--quiet", "--https", "off", "--interval", "1s"])
        .args(["--server", &relay_v4.address.to_string(), "--server", &relay_v6.address.to_string()])
        .arg("--token-file")
        .arg(&token)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let _client = Killed(client);
    let wait = |what: &str, v4: &[&str], v6: &[&str]| {
        wait_for(what, LONG, || {
            (data(server.names, NAME, A) == v4 && data(server.names, NAME, AAAA) == v6).then_some(())
        });
    };
    wait("both are proven", &["127.0.31.30"], &["::1"]);
    relay_v6.set(false);
    wait("IPv6 is gone", &["127.0.31.30"], &[]);
    assert_ne!(server.state("firma"), "offline", "the line is up over IPv4");
    relay_v6.set(true);
    wait("IPv6 is back", &["127.0.31.30"], &["::1"]);
    relay_v4.set(false);
    wait("IPv4 is gone", &[], &["::1"]);
    assert_ne!(server.state("firma"), "offline", "the line is up over IPv6");
    relay_v6.set(false);
    server.wait_state("firma", "offline", LONG);
    wait("nothing is left", &[], &[]);
}
