//! Pebble, an ACME server for tests, that asks our name server for challenges.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{free_port, wait_for};

const LONG: Duration = Duration::from_secs(60);

/// Ends with the test.
pub(crate) struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it with its files in `folder`, its certificates valid for so long. Its directory, and the file with the
/// certificate of its own HTTPS.
pub(crate) fn pebble(folder: &Path, names: SocketAddr, valid: Option<Duration>) -> (Peer, String, String) {
    let port = free_port();
    let (peer, trusted) = pebble_at(folder, names, port, valid);
    (peer, format!("https://127.0.0.1:{port}/dir"), trusted)
}

/// The same at a port of one's own choice.
pub(crate) fn pebble_at(folder: &Path, names: SocketAddr, port: u16, valid: Option<Duration>) -> (Peer, String) {
    fs::create_dir_all(folder).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    if !folder.join("acme.pem").exists() {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        fs::write(path("acme.pem"), made.cert.pem()).unwrap();
        fs::write(path("acme.key"), made.signing_key.serialize_pem()).unwrap();
    }
    let management = free_port();
    let mut config = serde_json::json!({
        "listenAddress": format!("127.0.0.1:{port}"), "managementListenAddress": format!("127.0.0.1:{management}"),
        "certificate": path("acme.pem"), "privateKey": path("acme.key"), "httpPort": 9, "tlsPort": 9,
        "ocspResponderURL": "", "externalAccountBindingRequired": false,
    });
    if let Some(valid) = valid {
        config["certificateValidityPeriod"] = valid.as_secs().into();
    }
    fs::write(path("acme.json"), serde_json::json!({ "pebble": config }).to_string()).unwrap();
    let log = fs::File::options().create(true).append(true).open(path("log")).unwrap();
    let child = Command::new("pebble")
        .args(["-config", &path("acme.json"), "-dnsserver", &names.to_string()])
        .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0")])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let peer = Peer(child);
    wait_for("the ACME server listens", LONG, || TcpStream::connect(("127.0.0.1", port)).ok());
    (peer, path("acme.pem"))
}
