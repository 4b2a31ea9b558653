//! `pulsemx doctor --domain` and `pulsemx zone propose` against zones on loopback: exit codes, JSON, what hostile answers do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests may fail loudly"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../verdict/dns.rs"]
#[allow(dead_code, reason = "senders are not checked here")]
mod dns;

mod drilled;
mod pages;
mod served;

use std::net::SocketAddr;
use std::path::PathBuf;

use dns::Zone;
use serde_json::Value;
use support::{PULSEMX, Primary, free_port};
use tokio::process::Command;

const THEIRS: &str = "mail.firma.example";
const OURS: &str = "mx2.own.example";

/// A configuration without a server.
struct Place(PathBuf);

impl Place {
    fn make(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("pulsemx-survey-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!(
            "hostname = \"{OURS}\"\ndata_dir = \"{}\"\n[delivery]\nallow_loopback_targets = true\n\
             [smtp]\nlisten = [\"192.0.2.1:25\"]\n[web]\nlisten = []\n",
            folder.display()
        );
        std::fs::write(folder.join("pulsemx.toml"), text).unwrap();
        Self(folder)
    }

    async fn run(&self, arguments: &[&str], resolver: SocketAddr) -> (i32, String, String) {
        let resolver = resolver.to_string();
        let output = Command::new(PULSEMX)
            .arg("--config")
            .arg(self.0.join("pulsemx.toml"))
            .args(arguments)
            .args(["--resolver", &resolver])
            .output()
            .await
            .unwrap();
        let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn well() -> Zone {
    Zone::default()
        .ns("firma.example", "ns1.provider.example.")
        .mx("firma.example", 10, "mail.firma.example.")
        .txt("firma.example", "v=spf1 mx -all")
        .address(THEIRS, "127.0.0.1")
        .address(OURS, "192.0.2.1")
        .txt(OURS, "v=spf1 a -all")
        .pointer("192.0.2.1", "mx2.own.example.")
}

fn codes(json: &Value) -> Vec<(&str, &str)> {
    let findings = json["findings"].as_array().unwrap();
    findings.iter().map(|f| (f["code"].as_str().unwrap(), f["level"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_of_nobody_is_proposed_with_the_records_filled_in() {
    let place = Place::make("proposal");
    let server = well().serve().await;
    let arguments = ["doctor", "--domain", "firma.example", "--primary", THEIRS];
    let (code, text, stderr) = place.run(&arguments, server.address).await;
    assert_eq!(code, 0, "{text}{stderr}");
    assert!(text.contains("\nB. "), "{text}");
    assert!(text.contains("firma.example. 3600 IN MX 10 mail.firma.example."), "{text}");
    assert!(text.contains("firma.example. 3600 IN MX 20 mx2.own.example."), "{text}");
    let (code, text, _) = place.run(&[&["--json"][..], &arguments].concat(), server.address).await;
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &json["is_served"], &json["worst"]), (0, &Value::Bool(false), &Value::from("fine")));
    let good = ["delegated", "mx_today", "ptr_good", "helo_spf_good"].map(|code| (code, "fine"));
    assert_eq!(codes(&json), good);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_answer_stays_harmless_and_a_silent_dns_is_said_to_be_so() {
    let place = Place::make("hostile");
    let long = format!("{0}.{0}.{0}.example.", "x".repeat(60));
    let zone = Zone::default()
        .ns("firma.example", "a\u{1b}[31mb\u{8}.provider.example.")
        .mx("firma.example", 5, "\u{1b}]0;owned\u{7}.example.")
        .mx("firma.example", 6, &long)
        .txt("firma.example", &"v=spf1 \u{1b}[2J".repeat(300));
    let server = zone.serve().await;
    let (code, text, _) = place.run(&["doctor", "--domain", "firma.example"], server.address).await;
    assert!(code <= 2 && text.contains("mail goes to"), "{code} {text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(server.names_asked().len() < 60, "{} questions", server.names_asked().len());
    let (silent, _socket) = dns::silent().await;
    let (code, text, _) = place.run(&["doctor", "--domain", "firma.example"], silent).await;
    assert!(code == 2 && text.contains("nobody answers for the domain"), "{code} {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_is_proposed_of_what_is_public_and_says_what_it_is_not() {
    let place = Place::make("zone");
    let zone = well()
        .alias("www.firma.example", "mail.firma.example.")
        .txt("_dmarc.firma.example", "v=DMARC1; p=none")
        .address("unguessable.firma.example", "192.0.2.9");
    let server = zone.serve().await;
    let (code, text, stderr) = place.run(&["zone", "propose", "firma.example"], server.address).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(text.contains("NOT the whole zone") && !text.contains("unguessable"), "{text}");
    for line in [
        "firma.example. 3600 IN MX 10 mail.firma.example.",
        "mail.firma.example. 3600 IN A 127.0.0.1",
        "www.firma.example. 3600 IN CNAME mail.firma.example.",
        "_dmarc.firma.example. 3600 IN TXT \"v=DMARC1; p=none\"",
        "firma.example. 3600 IN NS mx2.own.example.",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
    }
    assert!(!text.contains("IN NS ns1.provider.example."), "{text}");
    let (code, _, stderr) = place.run(&["zone", "propose", "nobody.example"], server.address).await;
    assert!(code != 0 && stderr.contains("no records"), "{stderr}");
}

/// The rest of the way: calls at port 25, with and without a server behind it.
#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_is_called_and_its_certificate_seen() {
    use pulsemx::base::DomainName;
    use pulsemx::survey::driver::Calls;
    use pulsemx::survey::facts::{Expected, Port, Primary as Theirs};
    use pulsemx::survey::{Depth, Surveyor, judge};

    let port = free_port();
    let _primary = Primary::listen_tls("127.0.0.1", port);
    let server = well().address(THEIRS, "127.0.0.9").alias("alias.firma.example", "mail.firma.example.").serve().await;
    let settings =
        pulsemx::verdict::Settings { resolvers: vec![server.address], ..pulsemx::verdict::Settings::default() };
    let calls = Calls { port, https_port: free_port(), allow_loopback: true, own_addresses: Vec::new() };
    let surveyor = Surveyor::new(&settings, calls).unwrap();
    let name = |text| DomainName::parse(text).unwrap();
    let theirs = |host| Theirs { host: name(host), addresses: Vec::new(), is_dynamic: false, is_parked: false };
    let expected = Expected {
        domain: name("firma.example"),
        is_served: true,
        primaries: vec![theirs(THEIRS), theirs("alias.firma.example")],
        hostname: name(OURS),
        own_addresses: vec!["192.0.2.1".parse().unwrap()],
        zone_servers: None,
    };
    let facts = surveyor.look(&expected, Depth::Servers).await;
    let at = |address: &str| &facts.ports[&(THEIRS.to_owned(), address.parse().unwrap())];
    assert!(matches!(at("127.0.0.1"), Port::Tls { is_name_valid: false, not_after: Some(_) }), "{facts:?}");
    assert!(matches!(at("127.0.0.9"), Port::Closed(_)), "{facts:?}");
    assert_eq!(facts.hosts["alias.firma.example"].alias.as_deref(), Some(THEIRS));
    let findings = judge(&expected, &facts, pulsemx::base::Clock.wall());
    let codes: Vec<&str> = findings.iter().map(|finding| finding.matter.code()).collect();
    for code in ["mx_without_us", "mx_without_primary", "certificate_unvouched", "port_closed"] {
        assert!(codes.contains(&code), "{code}: {codes:?}");
    }
}
