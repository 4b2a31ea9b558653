//! A customer announces that he is away: nobody is told more than that, and his mail waits.

use std::time::Duration;

use crate::support::{Beats, Primary, Sender, Server, mail, wait_for};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn an_announced_absence_is_shown_and_ends_by_command_and_mail_is_delivered_all_the_same() {
    let mut server = Server::start("1s", "");
    let primary = Primary::listen("127.0.30.1", 0);
    let token = server.add_account("firma", primary.address.port());
    let beats = Beats::start(&server, "firma", &token, "127.0.30.1", Some("1s"));
    server.wait_state("firma", "online", SOON);
    let until = pulsemx::base::Clock.wall() + chrono::TimeDelta::days(14);
    let day = until.format("%Y-%m-%d").to_string();
    server.command(&["account", "holiday", "firma", "--until", &day]);
    beats.goodbye();
    server.wait_state("firma", "offline", SOON);
    let said = |server: &Server| {
        let mut sender = Sender::connect(server.smtp).unwrap();
        sender.send("a@b.example", "x@firma.example", &mail("one")).unwrap()
    };
    let reply = said(&server);
    assert!(reply.contains("held for firma.example, primary away as announced"), "{reply}");
    assert!(!reply.contains(&day), "strangers are not told until when: {reply}");
    server.stop();
    server.run();
    let shown = server.account("firma")["holiday_until"].to_string();
    let after = (until + chrono::TimeDelta::days(1)).format("%Y-%m-%dT00:00").to_string();
    assert!(shown.contains(&after), "up to the end of that day, also after a restart: {shown}");
    server.command(&["account", "holiday", "firma", "--off"]);
    let reply = said(&server);
    assert!(reply.contains("primary offline since"), "{reply}");
    let _beats = Beats::start(&server, "firma", &token, "127.0.30.1", Some("1s"));
    wait_for("both messages arrive", SOON, || (primary.arrived().len() == 2).then_some(()));
    assert!(server.is_balanced("firma"));
}

#[test]
fn a_holiday_has_an_end_that_lies_ahead() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    for (arguments, part) in [
        (&["--until", "2020-01-01"] as &[&str], "lies ahead"),
        (&["--until", "2999-01-01"], "60 days at most"),
        (&["--until", "tomorrow"], "say a day such as"),
        (&[], "required"),
    ] {
        let (good, _, err) = server.raw(&[&["account", "holiday", "firma"], arguments].concat());
        assert!(!good && err.contains(part), "{arguments:?}: {err}");
    }
}
