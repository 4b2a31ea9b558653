//! All customers fall silent at once: the fault is taken to be ours, until the operator or a check of our uplink says
//! that it is not.

use std::net::TcpListener;
use std::time::Duration;

use crate::support::{Beats, Server, wait_for};

const CUSTOMERS: usize = 12;
/// Three misses of 1 s and 2 s of grace, twice, and time for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn names() -> impl Iterator<Item = String> {
    (0..CUSTOMERS).map(|at| format!("kunde-{at}"))
}

/// Everybody was online, and then all clients die at one blow.
fn all_fall_silent(server: &Server, from: &str) {
    let clients: Vec<Beats> = names()
        .enumerate()
        .map(|(at, name)| {
            let token = server.add_account(&name, 25);
            Beats::start(server, &name, &token, &format!("{from}.{}", at + 1), None)
        })
        .collect();
    for name in names() {
        server.wait_state(&name, "online", PATIENCE);
    }
    clients.into_iter().for_each(Beats::kill);
}

fn count(server: &Server, state: &str) -> usize {
    let shown = server.command(&["account", "list"]);
    shown["accounts"].as_array().unwrap().iter().filter(|account| account["state"] == state).count()
}

#[test]
fn nobody_is_neutralised_until_the_operator_says_that_the_silence_is_real() {
    let server = Server::start("1s", "");
    let (good, _, err) = server.raw(&["state", "release"]);
    assert!(!good && err.contains("nothing to release"), "{err}");
    all_fall_silent(&server, "127.0.10");
    let shown = wait_for("our own outage", PATIENCE, || {
        let shown = server.command(&["state", "list"]);
        (!shown["own_outage"].is_null()).then_some(shown)
    });
    assert_eq!(shown["own_outage"]["heard"], CUSTOMERS);
    assert!(shown["own_outage"]["uplink_up"].is_null());
    wait_for("all are suspect", PATIENCE, || (count(&server, "suspect") == CUSTOMERS).then_some(()));
    assert_eq!(count(&server, "offline"), 0);
    assert!(server.log().contains("mass_miss"), "the operator is told");
    assert!(!server.log().contains("alert=\"silent\""), "the customers are not");
    let released = server.command(&["state", "release"]);
    assert!(released["done"].as_str().unwrap().contains("of 12 lines is real"), "{released}");
    wait_for("all are offline", PATIENCE, || (count(&server, "offline") == CUSTOMERS).then_some(()));
}

#[test]
fn a_check_of_our_own_uplink_decides_without_the_operator() {
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = Server::start("1s", "");
    server.stop();
    let config = std::fs::read_to_string(server.config()).unwrap();
    let check = format!("[heartbeat]\nself_check = \"{}\"", outside.local_addr().unwrap());
    std::fs::write(server.config(), config.replace("[heartbeat]", &check)).unwrap();
    server.run();
    all_fall_silent(&server, "127.0.11");
    wait_for("all are offline", PATIENCE, || (count(&server, "offline") == CUSTOMERS).then_some(()));
    let log = server.log();
    assert!(log.contains("mass_miss") && log.contains("UplinkWorks"), "{log}");
}
