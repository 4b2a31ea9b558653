//! Silence becomes OFFLINE within 20 s of the last beat at the ordinary rhythm, and never before the third miss.

use std::time::Duration;

use crate::support::{Beats, Server, now, wait_for};

/// One fewer than the silence that is taken to be our own fault.
const CUSTOMERS: usize = 9;

#[test]
fn every_one_of_many_silent_customers_is_neutralised_in_time() {
    let server = Server::start("5s", "");
    let mut clients: Vec<(String, Beats)> = (0..CUSTOMERS)
        .map(|at| {
            let name = format!("kunde-{at}");
            let token = server.add_account(&name, 25);
            let from = format!("127.0.9.{}", at + 1);
            let beats = Beats::start(&server, &name, &token, &from, None);
            (name, beats)
        })
        .collect();
    for (name, _) in &clients {
        server.wait_state(name, "online", Duration::from_secs(15));
    }
    let mut cut = Vec::new();
    for (at, (name, beats)) in clients.drain(..).enumerate() {
        // Cuts spread over the rhythm of the beats.
        std::thread::sleep(Duration::from_millis(170 + 23 * u64::try_from(at).unwrap()));
        beats.kill();
        cut.push((name, now()));
    }
    let mut open: Vec<_> = cut.iter().collect();
    while !open.is_empty() {
        let shown = server.command(&["account", "list"]);
        open.retain(|(name, at)| {
            let account = shown["accounts"].as_array().unwrap().iter().find(|a| a["account"] == name.as_str()).unwrap();
            // The last beat came at most 5.1 s before the cut, so the third miss is at least 9.9 s after it.
            let since_cut = at.elapsed();
            let offline = account["state"] == "offline";
            assert!(
                !offline || since_cut > Duration::from_millis(9_800),
                "{name} neutralised {since_cut:?} after its cut"
            );
            assert!(
                offline || since_cut < Duration::from_secs(20),
                "{name} still {} {since_cut:?} after its cut",
                account["state"]
            );
            !offline
        });
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_short_silence_is_no_outage() {
    let server = Server::start("1s", "");
    let token = server.add_account("firma", 25);
    let beats = Beats::start(&server, "firma", &token, "127.0.9.100", Some("1s"));
    server.wait_state("firma", "online", Duration::from_secs(10));
    beats.kill();
    // At 1 s beats and 2 s grace: SUSPECT after 3 s, OFFLINE after 5 s.
    server.wait_state("firma", "suspect", Duration::from_secs(5));
    let _again = Beats::start(&server, "firma", &token, "127.0.9.100", Some("1s"));
    let seen = wait_for("the state after the short silence", Duration::from_secs(5), || {
        let state = server.state("firma");
        (state != "suspect").then_some(state)
    });
    assert_eq!(seen, "online");
}
