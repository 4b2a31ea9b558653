//! A served domain: what should stand there comes from the database, where a dynamic name leads from the running server.

use std::time::Duration;

use serde_json::Value;

use super::dns::Zone;
use super::support::{Beats, Primary, Server, free_port};

const NAME: &str = "firma.dyn.example";
const US: &str = "mx2.pulsemx.example";
/// Where names lead that are parked, as `start_with_names` says.
const OURS: &str = "127.0.0.25";
/// Where the customer's server is.
const THEIRS: &str = "127.0.0.1";
const LIMIT: Duration = Duration::from_secs(60);

/// The public DNS, with the dynamic name at `address`.
fn public(address: &str) -> Zone {
    Zone::default()
        .ns("firma.example", "ns1.provider.example.")
        .mx("firma.example", 10, &format!("{NAME}."))
        .mx("firma.example", 20, &format!("{US}."))
        .address(NAME, address)
        .address(US, OURS)
}

/// What `pulsemx doctor` says of `domain`.
async fn doctor(server: &Server, domain: &str, zone: Zone) -> Value {
    let dns = zone.serve().await;
    let (resolver, port) = (dns.address.to_string(), free_port().to_string());
    let arguments = ["doctor", "--domain", domain, "--resolver", &resolver, "--smtp-port", &port];
    let (_, text, stderr) = tokio::task::block_in_place(|| server.raw(&arguments));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{stderr}"))
}

/// The code of what is said first of where the dynamic name leads.
fn led(report: &Value) -> &str {
    let findings = report["findings"].as_array().unwrap();
    let of_name = findings.iter().find(|finding| {
        let code = finding["code"].as_str().unwrap();
        code.starts_with("host_") && finding["what"].as_str().unwrap().contains(NAME)
    });
    of_name.unwrap_or_else(|| panic!("{report:#}"))["code"].as_str().unwrap()
}

fn has(report: &Value, code: &str) -> bool {
    report["findings"].as_array().unwrap().iter().any(|finding| finding["code"] == code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_served_domain_is_held_against_the_database_and_the_running_server() {
    let mut server = Server::start_with_names("");
    let port = free_port();
    let _primary = Primary::listen(THEIRS, port);
    let token = server.add_account("firma", port);
    // Nobody has sent a beat: the name is parked and has to lead to us.
    let report = doctor(&server, "firma.example", public(OURS)).await;
    assert_eq!(report["is_served"], true, "{report:#}");
    assert!(has(&report, "mx_good"), "{report:#}");
    assert_eq!(led(&report), "host_good", "{report:#}");
    assert_eq!(led(&doctor(&server, "firma.example", public(THEIRS)).await), "host_elsewhere");
    // With beats it is the other way round.
    let beats = Beats::start(&server, "firma", &token, THEIRS, None);
    server.wait_state("firma", "online", LIMIT);
    assert_eq!(led(&doctor(&server, "firma.example", public(THEIRS)).await), "host_good");
    assert_eq!(led(&doctor(&server, "firma.example", public(OURS)).await), "host_elsewhere");
    beats.goodbye();
    // Without a server the database still says whose the domain is, and a wrong MX is found.
    server.stop();
    let wrong = public(THEIRS).mx("firma.example", 5, "mx.foreign.example.");
    let report = doctor(&server, "firma.example", wrong).await;
    assert!(report["is_served"] == true && has(&report, "mx_foreign") && report["worst"] != "fine", "{report:#}");
    assert_eq!(doctor(&server, "nobody.example", Zone::default()).await["is_served"], false);
}
