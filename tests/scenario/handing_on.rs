//! A primary that trusts us reads what we found of the sender; recipients may bear another domain; the operator may send
//! an account's mail elsewhere.

use std::time::Duration;

use pulsemx::store::sqlite::{Settings, SqliteStore};
use pulsemx::verdict::{Finding, SpfFinding, Verdict, VerdictStore};

use crate::support::{Beats, Primary, Sender, Server, mail, wait_for};

const SOON: Duration = Duration::from_secs(20);

fn send(server: &Server, to: &str, id: &str) -> String {
    let mut sender = Sender::connect(server.smtp).unwrap();
    let reply = sender.send("alice@sender.example", to, &mail(id)).unwrap();
    assert!(reply.starts_with("250 2.0.0 "), "{reply}");
    reply.split(' ').nth(2).unwrap().to_owned()
}

#[test]
fn a_primary_that_trusts_us_reads_our_results_and_gets_the_official_domain() {
    let mut server = Server::start("1s", "");
    let primary = Primary::listen("127.0.21.5", 0);
    let token = server.add_account("firma", primary.address.port());
    let host = server.account("firma")["host"].as_str().unwrap().to_owned();
    let (is_done, _, why) = server.raw(&["account", "rewrite", "firma", "fremd.example", "firma.example"]);
    assert!(!is_done && why.contains("no mail for fremd.example"), "{why}");
    server.command(&["account", "rewrite", "firma", &host, "firma.example"]);
    let done = server.command(&["account", "trust", "firma", "on"]);
    let told = server.command(&["trust", "postfix", "--account", "firma", "--address", "192.0.2.1"]);
    let authserv = done["done"]
        .as_str()
        .unwrap()
        .split(' ')
        .map(|word| word.trim_end_matches(';'))
        .find(|word| word.ends_with(".mx2.pulsemx.example"))
        .unwrap();
    assert!(told["text"].as_str().unwrap().contains(authserv), "{told}");
    let id = send(&server, &format!("User1@{host}"), "one");
    server.kill();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(Settings::at(server.data().join("pulsemx.db"))).unwrap();
        let spf = SpfFinding { finding: Finding::Pass, domain: "sender.example".to_owned() };
        let verdict = Verdict { spf, ..Verdict::default() };
        assert!(store.save_verdict(id.parse().unwrap(), verdict, pulsemx::base::Clock.wall()).await.unwrap());
        store.close();
    });
    server.run();
    let unchecked = send(&server, &format!("user2@{host}"), "two");
    let _beats = Beats::start(&server, "firma", &token, "127.0.21.5", Some("1s"));
    wait_for("both arrive", SOON, || (primary.arrived().len() == 2).then_some(()));
    let arrived = primary.arrived();
    let of =
        |to: &str| arrived.iter().find(|one| one.to == [to.to_owned()]).expect("a forward-path in the other domain");
    let text = String::from_utf8(of("User1@firma.example").content.clone()).unwrap();
    let head = format!("Authentication-Results: {authserv};\r\n\tspf=pass smtp.mailfrom=sender.example;");
    assert!(text.starts_with(&head), "{text}");
    assert!(text.ends_with(&mail("one")), "the content is untouched: {text}");
    let text = String::from_utf8(of("user2@firma.example").content.clone()).unwrap();
    assert!(text.starts_with("Received: "), "what was not checked is left out: {text}");
    let shown = server.command(&["queue", "show", &unchecked]);
    assert_eq!(shown["recipients"][0]["to"], format!("user2@{host}"), "it is known by the name it was sent to");
    assert!(server.is_balanced("firma"));
}

#[test]
fn the_operator_sends_the_mail_of_a_lost_server_elsewhere_and_back() {
    let server = Server::start("1s", "");
    let elsewhere = Primary::listen("127.0.21.6", 0);
    server.add_account("firma", 25);
    let id = send(&server, "bob@firma.example", "one");
    let (is_done, _, why) = server.raw(&["account", "route", "firma", "10.0.0.1:25"]);
    assert!(!is_done && why.contains("not a public address"), "{why}");
    server.command(&["account", "route", "firma", &elsewhere.address.to_string()]);
    wait_for("it arrives without a heartbeat", SOON, || (elsewhere.arrived().len() == 1).then_some(()));
    let step = wait_for("its attempt is traced", SOON, || {
        let trace = server.command(&["queue", "trace", &id]);
        trace["steps"].as_array().unwrap().iter().find(|step| step["what"] == "delivered").cloned()
    });
    assert_eq!(step["proof"], "the operator's word");
    assert_eq!(step["peer"], elsewhere.address.to_string());
    assert_eq!(step["words"], "250 2.0.0 taken");
    let account = server.account("firma");
    assert_eq!(account["state"], "new", "nothing is learned of the line: {account}");
    server.command(&["account", "route", "firma", "--off"]);
    let kept = send(&server, "bob@firma.example", "two");
    let pin = server.command(&["account", "pin", "show", "firma"]);
    assert!(pin["pinned"].is_null(), "{pin}");
    assert_eq!(server.command(&["queue", "show", &kept])["recipients"][0]["state"], "queued");
    assert_eq!(elsewhere.arrived().len(), 1);
    let report = server.command(&["report", "outage", "firma", "--since", "2026-01-01T00:00:00Z"]);
    let rows = report["messages"].as_array().unwrap();
    assert_eq!(
        (rows.len(), rows[0]["state"].as_str(), rows[1]["state"].as_str()),
        (2, Some("delivered"), Some("queued"))
    );
    assert!(rows[0]["ended_at"].is_string() && rows[1]["ended_at"].is_null());
    assert_eq!(rows[0]["last_reply"], "250 2.0.0 taken");
}
