//! A primary comes back and knows nobody: nothing is lost, one alert is written, and all goes out once it is mended.

use std::time::Duration;

use crate::support::{Beats, Primary, Sender, Server, mail, wait_for};

const SOON: Duration = Duration::from_secs(15);

fn send(sender: &mut Sender, who: &str, name: &str) {
    let reply = sender.send("a@sender.example", &format!("{who}@firma.example"), &mail(name)).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
}

#[test]
fn a_reinstalled_primary_loses_nothing_and_is_told_of_once() {
    let mut server = Server::start("1s", "");
    let primary = Primary::listen("127.0.13.1", 0);
    let token = server.add_account("firma", primary.address.port());
    let beats = Beats::start(&server, "firma", &token, "127.0.13.1", Some("1s"));
    server.wait_state("firma", "online", SOON);
    let mut sender = Sender::connect(server.smtp).unwrap();
    for who in ["anna", "bert", "carl", "dora"] {
        send(&mut sender, who, who);
    }
    wait_for("four users are known", SOON, || (primary.arrived().len() == 4).then_some(()));
    beats.kill();
    server.wait_state("firma", "offline", SOON);
    primary.refuse(Some("550 5.1.1 unknown user"));
    for at in 0..12 {
        send(&mut sender, ["anna", "bert", "carl", "dora"][at % 4], &format!("held-{at}"));
    }
    let _beats = Beats::start(&server, "firma", &token, "127.0.13.1", Some("1s"));
    wait_for("the flush is stopped", SOON, || (server.account("firma")["hold"]["kind"] == "breaker").then_some(()));
    let shown = server.account("firma");
    assert_eq!((&shown["held"], &shown["refused"]), (&12.into(), &0.into()), "{shown}");
    assert!(server.is_balanced("firma"));

    // It outlives the service.
    drop(sender);
    server.kill();
    server.run();
    assert_eq!(server.account("firma")["hold"]["kind"], "breaker");
    assert_eq!(server.account("firma")["held"], 12);

    primary.refuse(None);
    wait_for("everything arrives", Duration::from_secs(60), || (primary.arrived().len() == 16).then_some(()));
    wait_for("the hold is over", SOON, || server.account("firma")["hold"].is_null().then_some(()));
    assert!(server.is_balanced("firma"));
    assert_eq!(server.log().matches("primary_broken").count(), 1, "told once");
    assert_eq!(server.log().matches("primary_well").count(), 1);
}

#[test]
fn the_operator_holds_releases_gives_up_and_drops_mail_and_the_audit_knows() {
    let server = Server::start("1s", "");
    let primary = Primary::listen("127.0.13.2", 0);
    let token = server.add_account("firma", primary.address.port());
    let mut sender = Sender::connect(server.smtp).unwrap();
    for name in ["one", "two", "three"] {
        send(&mut sender, "x", name);
    }
    let list = server.command(&["queue", "list", "--account", "firma"]);
    let id = |at: usize| list["messages"][at]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.command(&["queue", "hold", &id(0)])["done"], "1 recipients kept back");
    assert_eq!(server.command(&["queue", "fail", &id(1)])["done"], "1 recipients given up and kept in quarantine");
    assert_eq!(server.command(&["queue", "drop", &id(2), "--yes"])["done"], "1 recipients removed for good");
    server.command(&["queue", "hold", "--account", "firma", "--reason", "moving house"]);
    let _beats = Beats::start(&server, "firma", &token, "127.0.13.2", Some("1s"));
    server.wait_state("firma", "online", SOON);
    let shown = server.account("firma");
    assert_eq!(shown["hold"]["reason"], "moving house");
    assert_eq!((&shown["held"], &shown["refused"]), (&1.into(), &1.into()));
    assert!(server.is_balanced("firma"));
    send(&mut sender, "x", "four");
    assert!(primary.arrived().is_empty(), "nothing while it is held");
    server.command(&["queue", "release", "--account", "firma"]);
    wait_for("new mail goes out", SOON, || (primary.arrived().len() == 1).then_some(()));
    assert_eq!(
        server.command(&["queue", "list", "--state", "refused"])["messages"][0]["recipients"][0]["state"],
        "refused"
    );
    server.command(&["queue", "release", &id(0)]);
    server.command(&["queue", "release", &id(1)]);
    wait_for("what was kept back goes out", SOON, || (primary.arrived().len() == 3).then_some(()));
    wait_for("it is counted", SOON, || (server.account("firma")["held"] == 0).then_some(()));
    let proof = server.command(&["account", "proof", "firma"]);
    assert_eq!((&proof["accepted"], &proof["delivered"], &proof["deleted"]), (&4.into(), &3.into(), &1.into()));
    assert_eq!(proof["balanced"], true);
}

#[test]
fn what_a_primary_takes_is_known_to_the_door() {
    let server = Server::start("1s", "");
    let primary = Primary::listen("127.0.13.4", 0);
    let token = server.add_account("firma", primary.address.port());
    let _beats = Beats::start(&server, "firma", &token, "127.0.13.4", Some("1s"));
    server.wait_state("firma", "online", SOON);
    send(&mut Sender::connect(server.smtp).unwrap(), "anna", "one");
    wait_for("the door has learned it", SOON, || {
        let said = server.command(&["recipient", "check", "firma", "anna@firma.example"]);
        said.to_string().contains("the mail server accepted it").then_some(())
    });
}
