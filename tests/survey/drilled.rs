//! What a fire drill says of the public DNS of the domain it writes to.

use std::time::Duration;

use serde_json::Value;

use super::dns::{self, Zone};
use super::support::{Beats, Primary, Server};

const US: &str = "mx2.pulsemx.example";
const THEIRS: &str = "mail.firma.pulsemx-drill";
const DOMAIN: &str = "firma.pulsemx-drill";
const LIMIT: Duration = Duration::from_secs(60);

fn zone() -> Zone {
    Zone::default().address(THEIRS, "127.0.0.1").address(US, "127.0.0.25")
}

/// `pulsemx --json drill firma` with this resolver: whether it exited with 0, and what it printed.
fn drill(resolver: std::net::SocketAddr, ip: &str) -> (bool, Value) {
    let server = Server::start("1s", &format!("[checks]\nresolvers = [\"{resolver}\"]\n"));
    let primary = Primary::listen(ip, 0);
    let token = server.add_account_for("firma", DOMAIN, THEIRS, primary.address.port());
    let _beats = Beats::start(&server, "firma", &token, ip, Some("1s"));
    server.wait_state("firma", "online", LIMIT);
    let (good, out, err) = server.raw(&["drill", "firma"]);
    assert!(!out.is_empty(), "{err}\n{}", server.log());
    assert_eq!(primary.arrived().len(), 1, "the message arrives whatever the DNS says");
    (good, serde_json::from_str(&out).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_passes_where_the_world_finds_the_customer_first_and_us_second() {
    let dns = zone().mx(DOMAIN, 10, &format!("{THEIRS}.")).mx(DOMAIN, 20, &format!("{US}.")).serve().await;
    let (good, shown) = tokio::task::block_in_place(|| drill(dns.address, "127.0.31.1"));
    assert!(good && shown["passed"] == true, "{shown:#}");
    assert_eq!((&shown["dns"]["domain"], &shown["dns"]["judgement"]), (&DOMAIN.into(), &"good".into()), "{shown:#}");
    let line = shown["result"].as_str().unwrap();
    assert!(line.starts_with("Your backup works: ") && !line.contains('\n'), "{line}");
    assert!(
        line.ends_with("In the DNS of firma.pulsemx-drill: MX records: the mail server first, this service after it."),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_fails_where_the_world_would_never_ask_us_though_the_message_arrived() {
    let dns = zone().mx(DOMAIN, 10, &format!("{THEIRS}.")).serve().await;
    let (good, shown) = tokio::task::block_in_place(|| drill(dns.address, "127.0.31.2"));
    assert!(!good && shown["passed"] == false && shown["dns"]["judgement"] == "bad", "{shown:#}");
    let line = shown["result"].as_str().unwrap();
    let begins = "The drill failed: the DNS of firma.pulsemx-drill: this service is not among the MX records. ";
    assert!(line.starts_with(begins), "{line}");
    assert!(line.contains("The test message itself was held after"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolver_that_never_answers_delays_a_drill_by_seconds_and_stops_none() {
    let (silent, _socket) = dns::silent().await;
    let (good, shown) = tokio::task::block_in_place(|| drill(silent, "127.0.31.3"));
    assert!(good && shown["passed"] == true && shown["dns"]["judgement"] == "unknown", "{shown:#}");
    assert!(shown["result"].as_str().unwrap().contains("no resolver answered in time"), "{shown:#}");
}
