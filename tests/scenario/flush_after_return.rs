//! The main job: the line drops, mail is held, the line returns elsewhere, the mail is delivered, in order and at once.

use std::time::Duration;

use crate::support::{Beats, Primary, Sender, Server, mail, now, wait_for};

const SOON: Duration = Duration::from_secs(10);

#[test]
fn mail_of_an_outage_reaches_the_returned_primary_within_two_seconds() {
    // One connection, so that the order of arrival is the order of sending.
    let server = Server::start("1s", "per_account = 1");
    let primary = Primary::listen("127.0.8.1", 0);
    let token = server.add_account("firma", primary.address.port());
    assert_eq!(server.state("firma"), "new");
    let beats = Beats::start(&server, "firma", &token, "127.0.8.1", Some("1s"));
    server.wait_state("firma", "online", SOON);

    let mut sender = Sender::connect(server.smtp).unwrap();
    let reply = sender.send("a@sender.example", "info@firma.example", &mail("direct")).unwrap();
    assert!(reply.starts_with("250 2.0.0 "), "{reply}");
    wait_for("mail of an online account goes straight on", SOON, || (primary.arrived().len() == 1).then_some(()));

    let port = primary.address.port();
    beats.kill();
    drop(primary);
    server.wait_state("firma", "offline", SOON);
    let stranger = Primary::listen("127.0.8.1", port);
    for at in 0..20 {
        let reply = sender.send("a@sender.example", "info@firma.example", &mail(&format!("held-{at}"))).unwrap();
        assert!(reply.contains("held for firma.example, primary offline since"), "{reply}");
    }
    assert_eq!(server.account("firma")["held"], 20);

    let primary = Primary::listen("127.0.8.2", port);
    let back = now();
    let _beats = Beats::start(&server, "firma", &token, "127.0.8.2", Some("1s"));
    wait_for("everything is delivered", SOON, || (primary.arrived().len() == 20).then_some(()));
    let arrived = primary.arrived();
    let first = arrived[0].at - back;
    assert!(first < Duration::from_secs(4), "first mail after {first:?}, client start and its random second included");
    for (at, message) in arrived.iter().enumerate() {
        let content = String::from_utf8(message.content.clone()).unwrap();
        let sent = mail(&format!("held-{at}"));
        assert!(content.starts_with("Received: ") && content.ends_with(&sent), "{content}");
        assert_eq!(
            (message.from.as_str(), message.to.as_slice()),
            ("a@sender.example", ["info@firma.example".to_owned()].as_slice())
        );
    }
    wait_for("the queue is empty", SOON, || (server.account("firma")["held"] == 0).then_some(()));
    let shown = server.account("firma");
    assert_eq!(shown["address"], "127.0.8.2");
    assert!(stranger.arrived().is_empty(), "mail went to whoever has the old address");
    assert!(server.is_balanced("firma"));
    let flush = &shown["last_flush"];
    assert!(flush["first_delivery_ms"].as_u64().is_some_and(|ms| ms < 2_000), "{shown}");
}

#[test]
fn two_accounts_never_get_each_others_mail() {
    let server = Server::start("1s", "");
    let (one, two) = (Primary::listen("127.0.8.3", 0), Primary::listen("127.0.8.4", 0));
    let tokens = [server.add_account("eins", one.address.port()), server.add_account("zwei", two.address.port())];
    let _one = Beats::start(&server, "eins", &tokens[0], "127.0.8.3", Some("1s"));
    let _two = Beats::start(&server, "zwei", &tokens[1], "127.0.8.4", Some("1s"));
    let mut sender = Sender::connect(server.smtp).unwrap();
    for line in ["MAIL FROM:<>", "RCPT TO:<a@eins.example>", "RCPT TO:<b@zwei.example>"] {
        assert!(sender.ask(line).unwrap().starts_with("250"), "{line}");
    }
    assert!(sender.ask("DATA").unwrap().starts_with("354"));
    assert!(sender.ask(&format!("{}.", mail("both").replace("\r\n.", "\r\n.."))).unwrap().starts_with("250"));
    wait_for("each gets its copy", SOON, || (one.arrived().len() == 1 && two.arrived().len() == 1).then_some(()));
    assert_eq!(one.arrived()[0].to, ["a@eins.example"]);
    assert_eq!(two.arrived()[0].to, ["b@zwei.example"]);
}

#[test]
fn a_customer_with_ipv6_alone_is_served_just_as_well() {
    let server = Server::start_on_ipv6("1s");
    let primary = Primary::listen("::1", 0);
    let token = server.add_account("firma", primary.address.port());
    let mut sender = Sender::connect(server.smtp).unwrap();
    let reply = sender.send("a@sender.example", "info@firma.example", &mail("six")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    let _beats = Beats::start(&server, "firma", &token, "::1", Some("1s"));
    wait_for("delivery over IPv6", SOON, || (primary.arrived().len() == 1).then_some(()));
    assert_eq!(server.account("firma")["address"], "::1");
    let content = String::from_utf8(primary.arrived()[0].content.clone()).unwrap();
    assert!(content.contains("[IPv6:::1]"), "{content}");
}
