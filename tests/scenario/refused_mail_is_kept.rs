//! Nothing is dropped: what the primary refuses for good is kept and shown, and goes out when a person says so.

use std::time::Duration;

use crate::support::{Beats, Primary, Sender, Server, mail, wait_for};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_refused_message_is_kept_shown_and_delivered_on_retry() {
    let server = Server::start("1s", "[spool]\nafter_5xx = \"judge\"");
    let primary = Primary::listen("127.0.11.1", 0);
    let token = server.add_account("firma", primary.address.port());
    let _beats = Beats::start(&server, "firma", &token, "127.0.11.1", Some("1s"));
    server.wait_state("firma", "online", SOON);
    // Asked while the sender waits, the refusal would be his.
    server.command(&["account", "online", "firma", "accept"]);
    primary.refuse(Some("550 5.1.1 no such user"));
    let mut sender = Sender::connect(server.smtp).unwrap();
    assert!(sender.send("a@b.example", "neu@firma.example", &mail("one")).unwrap().starts_with("250"));
    wait_for("the refusal is shown", SOON, || (server.account("firma")["refused"] == 1).then_some(()));
    let list = server.command(&["queue", "list", "--state", "refused"]);
    let message = &list["messages"][0];
    assert_eq!(message["recipients"][0]["last_reply"], "550 5.1.1 no such user");
    assert!(server.is_balanced("firma"));
    primary.refuse(None);
    let retried = server.command(&["queue", "retry", message["id"].as_str().unwrap()]);
    assert_eq!(retried["recipients"], 1);
    wait_for("the kept message arrives", SOON, || (primary.arrived().len() == 1).then_some(()));
    wait_for("and is counted", SOON, || (server.account("firma")["refused"] == 0).then_some(()));
    assert!(server.is_balanced("firma"));
}

#[test]
fn a_full_disk_at_the_primary_only_delays() {
    let server = Server::start("1s", "");
    let primary = Primary::listen("127.0.11.2", 0);
    let token = server.add_account("firma", primary.address.port());
    let _beats = Beats::start(&server, "firma", &token, "127.0.11.2", Some("1s"));
    server.wait_state("firma", "online", SOON);
    primary.refuse(Some("452 4.3.1 disk full"));
    let mut sender = Sender::connect(server.smtp).unwrap();
    assert!(sender.send("a@b.example", "x@firma.example", &mail("one")).unwrap().starts_with("250"));
    wait_for("an attempt was made", SOON, || {
        let list = server.command(&["queue", "list", "--account", "firma"]);
        (list["messages"][0]["recipients"][0]["attempts"].as_u64()? > 0).then_some(())
    });
    assert_eq!(server.account("firma")["held"], 1);
    primary.refuse(None);
    wait_for("the next attempt, 5 s later, succeeds", Duration::from_secs(15), || {
        (primary.arrived().len() == 1).then_some(())
    });
}
