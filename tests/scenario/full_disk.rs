//! Free space down to the reserve: senders keep their mail, and what is held still leaves.

use std::io::Write;
use std::time::Duration;

use crate::support::{Beats, Primary, Sender, Server, mail, wait_for};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn below_the_reserve_senders_are_deferred_and_held_mail_is_delivered() {
    let mut server = Server::start("1s", "");
    let primary = Primary::listen("127.0.14.1", 0);
    let token = server.add_account("firma", primary.address.port());
    let mut sender = Sender::connect(server.smtp).unwrap();
    for at in 0..3 {
        let reply = sender.send("a@b.example", "x@firma.example", &mail(&format!("m{at}"))).unwrap();
        assert!(reply.starts_with("250"), "{reply}");
    }
    server.stop();
    let mut config = std::fs::OpenOptions::new().append(true).open(server.config()).unwrap();
    // No disk of today has a pebibyte to spare.
    writeln!(config, "[spool]\nreserve = \"1024TiB\"").unwrap();
    server.run();
    let mut sender = Sender::connect(server.smtp).unwrap();
    let reply = sender.ask("MAIL FROM:<a@b.example>").unwrap();
    assert!(reply.starts_with("452 4.3.1"), "{reply}");
    let _beats = Beats::start(&server, "firma", &token, "127.0.14.1", Some("1s"));
    wait_for("held mail leaves", SOON, || (primary.arrived().len() == 3).then_some(()));
    wait_for("and is recorded", SOON, || (server.account("firma")["held"] == 0).then_some(()));
    assert!(server.is_balanced("firma"));
}
