//! Our own certificate from Pebble: got at the start, shown on port 25 and over DNS, renewed in time while a session
//! goes on; an authority that is away is asked again later, and its absence is told.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::pebble::pebble_at;
use crate::support::{Sender, Server, free_port, wait_for};

const LONG: Duration = Duration::from_secs(120);
const HOST: &str = "mx2.dyn.example";

/// A server under this name that is to get its certificate from `port`, and does not run yet.
fn server(hostname: &str, more_dns: &str, port: u16, folder: &Path) -> Server {
    let mut server = Server::start_with_names(more_dns);
    server.stop();
    let config = fs::read_to_string(server.config()).unwrap().replace("mx2.pulsemx.example", hostname);
    let tls = format!(
        "[tls]\nacme = \"on\"\ncontact = \"it@firma.example\"\nnames = [\"ns.dyn.example\"]\n\
         directory = \"https://127.0.0.1:{port}/dir\"\nca_file = \"{}\"\n",
        folder.join("acme.pem").display()
    );
    fs::write(server.config(), config + &tls).unwrap();
    server
}

/// Issuer, serial and names of the certificate that is shown: `openssl s_client` with these words, read by `openssl x509`.
fn shown(address: SocketAddr, words: &[&str]) -> String {
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", &address.to_string(), "-servername", HOST, "-showcerts"]);
    let output = client.args(words).stdin(Stdio::null()).stderr(Stdio::null()).output().unwrap();
    let mut reader = Command::new("openssl")
        .args(["x509", "-noout", "-issuer", "-serial", "-ext", "subjectAltName"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut reader.stdin.take().unwrap(), &output.stdout).unwrap();
    String::from_utf8(reader.wait_with_output().unwrap().stdout).unwrap()
}

fn certificate(server: &Server) -> Value {
    server.command(&["status"])["certificate"].clone()
}

#[test]
fn a_certificate_is_got_and_renewed_while_a_session_goes_on() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let over_tls = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let mut server = server(HOST, &format!("tls_listen = \"{over_tls}\""), port, folder.path());
    // Short-lived, so that a renewal comes by itself.
    let (_pebble, _) = pebble_at(folder.path(), server.names, port, Some(Duration::from_secs(45)));
    server.run();
    let issued = |at_least: u64| {
        wait_for("a certificate is issued", LONG, || {
            let certificate = certificate(&server);
            (certificate["issued"].as_u64() >= Some(at_least)).then_some(certificate)
        })
    };
    issued(1);
    let first = shown(server.smtp, &["-starttls", "smtp"]);
    assert!(first.contains("Pebble Intermediate CA"), "{first}\n{}", server.log());
    assert!(first.contains("DNS:mx2.dyn.example") && first.contains("DNS:ns.dyn.example"), "{first}");
    for (file, mode) in [("acme-account.json", 0o600), ("acme.pem", 0o600)] {
        let known = fs::metadata(server.data().join("tls").join(file)).unwrap().permissions().mode();
        assert_eq!(known & 0o777, mode, "{file}");
    }
    assert!(shown(over_tls, &[]).contains("Pebble Intermediate CA"), "over DNS as well");

    // A session that is open stays open while the certificate changes.
    let mut sender = Sender::connect(server.smtp).unwrap();
    sender.ask("EHLO client.example").unwrap();
    issued(2);
    let second = shown(server.smtp, &["-starttls", "smtp"]);
    assert!(second.contains("Pebble Intermediate CA") && second != first, "{second}");
    assert!(sender.ask("NOOP").unwrap().starts_with("250"));

    // Kept over a restart: no further one is asked for.
    let log = server.log();
    server.stop();
    server.run();
    let kept = shown(server.smtp, &["-starttls", "smtp"]);
    assert!(kept.contains("Pebble Intermediate CA"), "{kept}\n{log}");
}

#[test]
fn an_authority_that_is_away_is_left_alone_and_told_of() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    fs::write(folder.path().join("acme.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("acme.key"), made.signing_key.serialize_pem()).unwrap();
    let mut server = server(HOST, "", port, folder.path());
    server.run();
    let failed = |server: &Server| {
        wait_for("the failure is told", LONG, || {
            let certificate = certificate(server);
            (certificate["failures"].as_u64() > Some(0)).then_some(certificate)
        })
    };
    let standing = failed(&server);
    assert!(standing["error"].as_str().unwrap().contains("refused"), "{standing}");
    assert!(shown(server.smtp, &["-starttls", "smtp"]).contains("mx2.dyn.example"), "self-signed meanwhile");
    let text = server.raw(&["status"]).1;
    assert!(text.contains("certificate"), "{text}");
    // A restart is no way around the waiting.
    server.stop();
    server.run();
    let again = failed(&server);
    assert_eq!(again["failures"], 1, "{again}\n{}", server.log());
    assert_eq!(server.log().matches("asking for a certificate").count(), 1);
    // With the authority there, a person need not wait a quarter of an hour for it.
    let (_pebble, _) = pebble_at(folder.path(), server.names, port, None);
    wait_for("a certificate is issued", LONG, || {
        server.command(&["reload"]);
        std::thread::sleep(Duration::from_secs(1));
        (certificate(&server)["issued"].as_u64() == Some(1)).then_some(())
    });
    assert_eq!(certificate(&server)["failures"], 0);
}

#[test]
fn a_name_outside_our_zones_is_proven_over_a_cname() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut server = server("mx2.elsewhere.example", "", port, folder.path());
    let (_pebble, _) = pebble_at(folder.path(), server.names, port, None);
    server.run();
    let wanted = wait_for("the log tells which record is needed", LONG, || {
        let log = server.log();
        let line = log.lines().find(|line| line.contains("this record is needed"))?;
        Some(line.split("CNAME ").nth(1)?.split_whitespace().next()?.to_owned())
    });
    assert!(wanted.starts_with("own-") && wanted.ends_with(".auth.dyn.example."), "{wanted}");
    wait_for("the failure is told", LONG, || (certificate(&server)["failures"] == 1).then_some(()));
    // Pebble asks our server for everything; so the zone elsewhere stands here too.
    server.add_account("operator1", 25);
    let zone = format!(
        "@ 60 IN SOA mx2.elsewhere.example. root.elsewhere.example. 1 14400 3600 1209600 300\n\
         @ 60 IN NS mx2.elsewhere.example.\nmx2 60 IN A 203.0.113.25\n_acme-challenge.mx2 60 IN CNAME {wanted}\n"
    );
    let file = server.folder().join("zone");
    fs::write(&file, zone).unwrap();
    server.command(&["zone", "import", "operator1", "elsewhere.example", &file.display().to_string()]);
    wait_for("a certificate is issued", LONG, || {
        server.command(&["reload"]);
        std::thread::sleep(Duration::from_secs(1));
        (certificate(&server)["issued"] == 1).then_some(())
    });
    assert!(shown(server.smtp, &["-starttls", "smtp"]).contains("DNS:mx2.elsewhere.example"));
}
