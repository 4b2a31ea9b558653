//! A sender who is who he says is told what became of his mail, once; nobody else is told anything.

use std::time::Duration;

use mail_parser::{MessageParser, MimeHeaders};
use pulsemx::store::sqlite::{Settings, SqliteStore};
use pulsemx::verdict::{Finding, SpfFinding, Verdict, VerdictStore};

use crate::support::{Arrived, Beats, Primary, Sender, Server, mail, wait_for};

const SOON: Duration = Duration::from_secs(20);

fn start(sink: &Primary) -> Server {
    Server::start(
        "1s",
        &format!(
            "[spool]\nafter_5xx = \"judge\"\n\
             [outbound]\nfrom = \"mailer-daemon@mx2.pulsemx.example\"\nsmart_host = \"{}\"\ndigest_hour = 0",
            sink.address
        ),
    )
}

/// Kills the server and starts it again with these verdicts: it never checks senders on its own machine, as all of a
/// test are.
fn restart_with(server: &mut Server, verdicts: &[(&str, Verdict)]) {
    server.kill();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(Settings::at(server.data().join("pulsemx.db"))).unwrap();
        for (id, verdict) in verdicts {
            let is_saved =
                store.save_verdict(id.parse().unwrap(), verdict.clone(), pulsemx::base::Clock.wall()).await.unwrap();
            assert!(is_saved, "{id}");
        }
        store.close();
    });
    server.run();
}

fn passed(domain: &str) -> Verdict {
    Verdict { spf: SpfFinding { finding: Finding::Pass, domain: domain.to_owned() }, ..Verdict::default() }
}

fn status(arrived: &Arrived) -> String {
    let message = MessageParser::default().parse(&arrived.content).unwrap();
    let is_status = |part: &&mail_parser::MessagePart<'_>| {
        part.content_type().is_some_and(|kind| kind.subtype() == Some("delivery-status"))
    };
    let part = message.parts.iter().find(is_status).expect("a delivery status");
    String::from_utf8(part.contents().to_vec()).unwrap()
}

fn notice(server: &Server, id: &str) -> String {
    let trace = server.command(&["queue", "trace", id]);
    let steps = trace["steps"].as_array().unwrap();
    let of = steps.iter().find(|step| step["what"] == "notice");
    of.map(|step| step["words"].as_str().unwrap().to_owned()).unwrap_or_default()
}

/// Sends one message; its spool id.
fn send(server: &Server, from: &str, to: &str, id: &str) -> String {
    let mut sender = Sender::connect(server.smtp).unwrap();
    let reply = sender.send(from, to, &mail(id)).unwrap();
    assert!(reply.starts_with("250 2.0.0 "), "{reply}");
    reply.split(' ').nth(2).unwrap().to_owned()
}

#[test]
fn only_an_authenticated_sender_is_told_of_a_refusal_and_only_once() {
    let sink = Primary::listen("127.0.21.2", 0);
    let mut server = start(&sink);
    let primary = Primary::listen("127.0.21.1", 0);
    let token = server.add_account("firma", primary.address.port());
    server.command(&["account", "online", "firma", "accept"]);
    let _beats = Beats::start(&server, "firma", &token, "127.0.21.1", Some("1s"));
    server.wait_state("firma", "online", SOON);
    primary.refuse(Some("550 5.1.1 no such user"));
    let told = send(&server, "alice@sender.example", "neu@firma.example", "one");
    let forged = send(&server, "bob@forged.example", "zwei@firma.example", "two");
    let unknown = send(&server, "eve@nowhere.example", "drei@firma.example", "three");
    let null = send(&server, "", "vier@firma.example", "four");
    wait_for("all are refused", SOON, || (server.account("firma")["refused"] == 4).then_some(()));
    assert!(sink.arrived().is_empty(), "nobody is told before he was checked");
    restart_with(&mut server, &[(&told, passed("sender.example")), (&forged, passed("other.example"))]);
    wait_for("the report arrives", SOON, || (sink.arrived().len() == 1).then_some(()));
    for (id, words) in [
        (&told, "failed: told"),
        (&forged, "failed: not told: neither SPF"),
        (&unknown, "failed: not decided yet"),
        (&null, "failed: not told: the sender is <>"),
    ] {
        wait_for(words, SOON, || notice(&server, id).starts_with(words).then_some(()));
    }
    let report = sink.arrived().remove(0);
    assert_eq!((report.from.as_str(), report.to.as_slice()), ("", &["alice@sender.example".to_owned()][..]));
    let status = status(&report);
    for field in [
        "Reporting-MTA: dns; mx2.pulsemx.example",
        "Final-Recipient: rfc822; neu@firma.example",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user",
    ] {
        assert!(status.contains(field), "{field}: {status}");
    }
    let text = String::from_utf8_lossy(&report.content).into_owned();
    assert!(text.contains("Subject: one") && !text.contains("Body of one"), "headers only");

    // Neither a crash nor another refusal makes a second one.
    server.kill();
    server.run();
    server.command(&["queue", "retry", &told]);
    wait_for("it is refused again", SOON, || {
        let row = server.command(&["queue", "show", &told]);
        (row["recipients"][0]["attempts"].as_u64()? >= 2).then_some(())
    });
    let last = send(&server, "alice@sender.example", "acht@firma.example", "five");
    wait_for("and a fifth", SOON, || (server.account("firma")["refused"] == 5).then_some(()));
    restart_with(&mut server, &[(&last, passed("sender.example"))]);
    wait_for("a later message is told of", SOON, || notice(&server, &last).starts_with("failed: told").then_some(()));
    wait_for("its report arrives", SOON, || (sink.arrived().len() == 2).then_some(()));
    assert_eq!(server.command(&["queue", "outgoing"])["mails"].as_array().unwrap().len(), 2);
    assert!(server.is_balanced("firma"));
}

#[test]
fn success_is_told_where_asked_for_and_the_customer_has_a_digest() {
    let sink = Primary::listen("127.0.21.4", 0);
    let mut server = start(&sink);
    let primary = Primary::listen("127.0.21.3", 0);
    let token = server.add_account("firma", primary.address.port());
    server.command(&["account", "online", "firma", "accept"]);
    let _beats = Beats::start(&server, "firma", &token, "127.0.21.3", Some("1s"));
    server.wait_state("firma", "online", SOON);
    let mut sender = Sender::connect(server.smtp).unwrap();
    for line in [
        "MAIL FROM:<alice@sender.example> ENVID=QQ1",
        "RCPT TO:<bob@firma.example> NOTIFY=SUCCESS ORCPT=rfc822;b@x.example",
    ] {
        assert!(sender.ask(line).unwrap().starts_with("250"), "{line}");
    }
    assert!(sender.ask("DATA").unwrap().starts_with("354"));
    let reply = sender.ask("Subject: x\r\n\r\ntext\r\n.").unwrap();
    let asked = reply.split(' ').nth(2).unwrap().to_owned();
    wait_for("it is delivered", SOON, || (primary.arrived().len() == 1).then_some(()));
    wait_for("and noted", SOON, || notice(&server, &asked).starts_with("relayed").then_some(()));
    restart_with(&mut server, &[(&asked, passed("sender.example"))]);
    let report = wait_for("the report arrives", SOON, || sink.arrived().first().cloned());
    let status = status(&report);
    for field in
        ["Original-Envelope-Id: QQ1", "Original-Recipient: rfc822; b@x.example", "Action: relayed", "Status: 2.0.0"]
    {
        assert!(status.contains(field), "{field}: {status}");
    }

    let (is_done, _, why) = server.raw(&["account", "alert", "firma", "chef@firma.example"]);
    assert!(!is_done && why.contains("own domains"), "{why}");
    primary.refuse(Some("550 5.7.1 spam"));
    let spam = send(&server, "alice@sender.example", "bob@firma.example", "angebot");
    wait_for("nobody is told of spam", SOON, || notice(&server, &spam).contains("spam or by policy").then_some(()));
    server.command(&["account", "alert", "firma", "chef@privat.example"]);
    let digest = wait_for("the digest arrives", Duration::from_secs(90), || sink.arrived().get(1).cloned());
    assert_eq!(digest.to, ["chef@privat.example"]);
    let message = MessageParser::default().parse(&digest.content).unwrap();
    let text = message.body_text(0).unwrap().into_owned();
    assert!(text.contains("alice@sender.example -> bob@firma.example") && text.contains("5.7.1 spam"), "{text}");
}
