//! A name follows its mail server: parked, then the customer's, parked in the outage, and back with the greeting.

use std::time::Duration;

use hickory_proto::rr::RecordType::{A, AAAA, MX, SOA};

use crate::ask::data;
use crate::support::{Beats, Primary, Server, wait_for};

const LONG: Duration = Duration::from_secs(30);
const NAME: &str = "firma.dyn.example.";
/// As `start_with_names` configures it.
const PARKED: &str = "127.0.0.25";

fn wait_data(server: &Server, what: &str, wanted: &[&str]) {
    wait_for(what, LONG, || (data(server.names, NAME, A) == wanted).then_some(()));
}

#[test]
fn a_name_points_at_the_customer_while_he_is_there_and_at_us_while_he_is_not() {
    let mut server = Server::start_with_names("");
    let primary = Primary::listen("127.0.31.1", 0);
    let port = primary.address.port();
    let token = server.add_account("firma", port);
    assert_eq!(data(server.names, NAME, A), [PARKED], "never heard of");
    assert_eq!(data(server.names, NAME, AAAA), ["::1"]);
    assert_eq!(data(server.names, NAME, MX), ["10 firma.dyn.example.", "20 mx2.pulsemx.example."]);

    let beats = Beats::start(&server, "firma", &token, "127.0.31.1", None);
    wait_data(&server, "the name points at the customer", &["127.0.31.1"]);
    assert_eq!(data(server.names, NAME, AAAA), [""; 0], "no address that was not proven");

    beats.goodbye();
    wait_data(&server, "the name is parked after a goodbye", &[PARKED]);

    // The line is back, but nobody greets.
    drop(primary);
    let beats = Beats::start(&server, "firma", &token, "127.0.31.1", None);
    server.wait_state("firma", "online", LONG);
    assert_eq!(data(server.names, NAME, A), [PARKED], "two beats and no greeting");
    server.stop();
    server.run();
    server.wait_state("firma", "online", LONG);
    assert_eq!(data(server.names, NAME, A), [PARKED], "and none after a restart");
    let _primary = Primary::listen("127.0.31.1", port);
    wait_data(&server, "the name is back with the greeting", &["127.0.31.1"]);

    // A restart of ours changes nothing.
    server.stop();
    server.run();
    assert_eq!(data(server.names, NAME, A), ["127.0.31.1"]);

    beats.kill();
    wait_data(&server, "the name is parked after three misses", &[PARKED]);
}

#[test]
fn a_customer_who_moves_is_found_at_the_new_address_only() {
    let server = Server::start_with_names("offline = \"nothing\"\n");
    let home = Primary::listen("127.0.31.11", 0);
    let port = home.address.port();
    let token = server.add_account("firma", port);
    assert_eq!(data(server.names, NAME, A), [""; 0], "no address while nobody is there");
    let beats = Beats::start(&server, "firma", &token, "127.0.31.11", None);
    wait_data(&server, "at home", &["127.0.31.11"]);
    beats.goodbye();
    let _away = Primary::listen("127.0.31.12", port);
    let _beats = Beats::start(&server, "firma", &token, "127.0.31.12", None);
    wait_data(&server, "away", &["127.0.31.12"]);
}

#[test]
fn a_name_that_lies_in_a_zone_of_ours_is_no_reason_to_warn() {
    let server = Server::start_with_names("");
    let warned = |host: &str, name: &str| {
        let (good, _, err) =
            server.raw(&["account", "add", name, "--domain", &format!("{name}.example"), "--host", host]);
        assert!(good, "{err}");
        err.contains("in no zone served here")
    };
    assert!(!warned("eins.dyn.example", "eins"));
    assert!(warned("zwei.fremd.example", "zwei"));
}

#[test]
fn a_removed_account_takes_its_name_along() {
    let server = Server::start_with_names("");
    server.add_account("firma", 25);
    assert_eq!(data(server.names, NAME, A), [PARKED]);
    server.command(&["account", "rm", "firma"]);
    assert_eq!(data(server.names, NAME, A), [PARKED], "while it leaves, senders are put off by us");
    server.command(&["account", "resume", "firma"]);
    server.command(&["zone", "add", "firma", "firma.example"]);
    assert_eq!(data(server.names, "firma.example.", SOA).len(), 1);
    server.command(&["account", "rm", "firma", "--now"]);
    assert_eq!(data(server.names, NAME, A), [""; 0]);
    assert_eq!(data(server.names, "firma.example.", SOA), [""; 0], "and its zone");
}
