//! Planned ends: the client says goodbye, the server is restarted.

use std::time::Duration;

use crate::support::{Beats, Primary, Sender, Server, mail, now, wait_for};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_goodbye_neutralises_at_once() {
    let server = Server::start("5s", "");
    let token = server.add_account("firma", 25);
    let beats = Beats::start(&server, "firma", &token, "127.0.10.1", None);
    server.wait_state("firma", "online", SOON);
    let began = now();
    beats.goodbye();
    server.wait_state("firma", "offline", Duration::from_secs(3));
    assert!(began.elapsed() < Duration::from_secs(3));
}

#[test]
fn a_restart_keeps_states_and_mail_and_delivers_once_beats_are_proven_again() {
    let mut server = Server::start("1s", "");
    let primary = Primary::listen("127.0.10.2", 0);
    let token = server.add_account("firma", primary.address.port());
    let _beats = Beats::start(&server, "firma", &token, "127.0.10.2", Some("1s"));
    server.wait_state("firma", "online", SOON);
    primary.refuse(Some("451 4.3.0 not now"));
    let mut sender = Sender::connect(server.smtp).unwrap();
    for at in 0..5 {
        assert!(sender.send("a@b.example", "x@firma.example", &mail(&format!("m{at}"))).unwrap().starts_with("250"));
    }
    server.stop();
    let (good, out, _) = server.raw(&["account", "show", "firma"]);
    assert!(good && out.contains("\"state\":\"online\"") && out.contains("\"live\":false"), "{out}");
    primary.refuse(None);
    server.run();
    assert_eq!(server.state("firma"), "online", "a restart gives everybody a full window");
    wait_for("delivery after the restart", SOON, || (primary.arrived().len() == 5).then_some(()));
    let rows = server.command(&["queue", "list", "--account", "firma", "--state", "delivered"]);
    wait_for("all are recorded as delivered", SOON, || (server.account("firma")["held"] == 0).then_some(()));
    assert!(rows["messages"].as_array().is_some());
    assert!(server.is_balanced("firma"));
}

#[test]
fn a_silent_customer_goes_offline_after_a_full_window_of_the_restarted_server() {
    let mut server = Server::start("1s", "");
    let token = server.add_account("firma", 25);
    let beats = Beats::start(&server, "firma", &token, "127.0.10.3", Some("1s"));
    server.wait_state("firma", "online", SOON);
    server.kill();
    beats.kill();
    server.run();
    let began = now();
    // The kill may have come before the row of the last step was on disk.
    assert!(["online", "returning"].contains(&server.state("firma").as_str()), "the state is gone");
    server.wait_state("firma", "offline", Duration::from_secs(8));
    assert!(began.elapsed() > Duration::from_millis(3_500), "the window was cut short: {:?}", began.elapsed());
}
