//! Who lives there: lists by command and by the customer's own machine, and what senders are told while the server is away.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output};

use crate::support::{Beats, PULSEMX_BEAT, Primary, Sender, Server, mail, wait_for};

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The reply to RCPT.
fn told(server: &Server, address: &str) -> String {
    let mut sender = Sender::connect(server.smtp).unwrap();
    assert!(sender.ask("MAIL FROM:<a@b.example>").unwrap().starts_with("250"));
    sender.ask(&format!("RCPT TO:<{address}>")).unwrap()
}

#[test]
fn the_operators_rule_holds_without_a_list_until_the_domains_own_rule() {
    let mut server = Server::start("1s", "");
    let text = fs::read_to_string(server.config()).unwrap();
    fs::write(server.config(), text.replace("[smtp]\n", "[smtp]\nunknown_recipients = \"reject\"\n")).unwrap();
    server.stop();
    server.run();
    server.add_account("firma", 25);
    assert!(told(&server, "anna@firma.example").starts_with("550 5.1.1"));
    assert!(told(&server, "postmaster@firma.example").starts_with("250"));
    server.command(&["recipient", "set", "firma", "firma.example", "--unknown", "accept"]);
    assert!(told(&server, "anna@firma.example").starts_with("250"));
    server.command(&["recipient", "set", "firma", "firma.example", "--unknown", "by-list"]);
    assert!(told(&server, "anna@firma.example").starts_with("550 5.1.1"));
}

#[test]
fn strangers_are_refused_while_the_server_is_away_and_the_list_is_fresh() {
    let mut server = Server::start("1s", "");
    server.add_account("firma", 25);
    assert!(told(&server, "nobody@firma.example").starts_with("250"), "without a list everybody is taken");
    let list = server.folder().join("list");
    fs::write(&list, "# people\nAnna.Meier@firma.example\nsales-*@firma.example\n").unwrap();
    let path = list.to_str().unwrap();
    assert_eq!(
        server.command(&["recipient", "import", "firma", path])["done"],
        "recipients listed: 2 of firma.example"
    );
    for round in ["at once", "after a restart"] {
        assert!(told(&server, "anna.meier@FIRMA.example").starts_with("250"), "{round}");
        assert!(told(&server, "sales-nord@firma.example").starts_with("250"), "{round}");
        assert!(told(&server, "nobody@firma.example").starts_with("550 5.1.1"), "{round}");
        assert!(told(&server, "postmaster@firma.example").starts_with("250"), "{round}");
        assert_eq!(server.command(&["status"])["smtp"]["refused"]["mailbox_unknown"], 1, "{round}");
        server.kill();
        server.run();
    }
    let shown = server.command(&["recipient", "list", "firma", "--domain", "firma.example"]);
    assert_eq!(shown["entries"], serde_json::json!(["anna.meier", "sales-*"]));
    let check = server.command(&["recipient", "check", "firma", "nobody@firma.example"]);
    assert!(check["done"].as_str().unwrap().contains("refused (550 5.1.1)"), "{check}");
    server.command(&["recipient", "set", "firma", "firma.example", "--unknown", "defer", "--separator", "+"]);
    assert!(told(&server, "nobody@firma.example").starts_with("450 4.1.1"));
    assert!(told(&server, "anna.meier+news@firma.example").starts_with("250"));
    server.command(&["recipient", "forget", "firma", "firma.example"]);
    server.command(&["recipient", "set", "firma", "firma.example", "--unknown", "by-list"]);
    assert!(told(&server, "nobody@firma.example").starts_with("250"));
    fs::write(&list, "a@firma.example\nb@fremd.example\n").unwrap();
    let (good, _, err) = server.raw(&["recipient", "import", "firma", path]);
    assert!(!good && err.contains("line 2") && err.contains("fremd.example"), "{err}");
}

#[test]
fn a_server_that_takes_everybody_is_found_out_and_its_yes_tells_nothing() {
    let mut server = Server::start("1s", "");
    let soon = std::time::Duration::from_secs(30);
    let open = Primary::listen("127.0.31.1", 0);
    open.take_everybody();
    let careful = Primary::listen("127.0.31.2", 0);
    let token = server.add_account("firma", open.address.port());
    let _open = Beats::start(&server, "firma", &token, "127.0.31.1", Some("1s"));
    let token = server.add_account("zweite", careful.address.port());
    let _careful = Beats::start(&server, "zweite", &token, "127.0.31.2", Some("1s"));
    for name in ["firma", "zweite"] {
        server.wait_state(name, "online", soon);
        let mut sender = Sender::connect(server.smtp).unwrap();
        assert!(sender.send("a@b.example", &format!("x@{name}.example"), &mail("one")).unwrap().starts_with("250"));
    }
    let found = |server: &Server, name: &str| {
        let shown = server.command(&["recipient", "list", name]);
        let domains = shown["domains"].as_array().unwrap();
        domains.iter().find(|row| row["domain"] == format!("{name}.example"))?["takes_everybody"].as_bool()
    };
    assert!(wait_for("the first is found out", soon, || found(&server, "firma")));
    assert!(!wait_for("the second is not", soon, || found(&server, "zweite")));
    assert_eq!((open.arrived().len(), careful.arrived().len()), (1, 1), "nothing is sent for it");
    server.kill();
    server.run();
    let check = |name: &str| {
        let said = server.command(&["recipient", "check", name, &format!("x@{name}.example")]);
        said["done"].as_str().unwrap().to_owned()
    };
    assert!(check("firma").contains("takes everybody"), "{}", check("firma"));
    assert!(check("zweite").contains("the mail server accepted it"), "{}", check("zweite"));
}

#[test]
fn the_customers_machine_uploads_what_its_directory_prints() {
    let server = Server::start("1s", "");
    let token = server.add_account("firma", 25);
    let key = server.folder().join("key");
    fs::write(&key, "geheim\n").unwrap();
    let upload = |more: &[&str]| {
        Command::new(PULSEMX_BEAT)
            .args(["recipients", "--https", &format!("http://{}", server.web)])
            .args(["--token-file", token.to_str().unwrap()])
            .args(more)
            .output()
            .unwrap()
    };
    let wrong = upload(&["--command", "printf", "a@fremd.example\\n"]);
    assert!(!wrong.status.success() && said(&wrong).contains("line 1"), "{}", said(&wrong));
    std::thread::sleep(std::time::Duration::from_secs(2));
    // printf %s anna@firma.example | openssl dgst -sha256 -hmac geheim
    let hash = "hmac-sha256:5e461e0fecd3c0874edb48ab0a603f8e0b77f0b2e55c0a7ab177eb181d821bc4";
    let key = key.to_str().unwrap();
    let done =
        upload(&["--domain", "firma.example", "--hash-key-file", key, "--command", "printf", &format!("{hash}\\n")]);
    assert!(done.status.success() && said(&done).contains("1 of firma.example"), "{}", said(&done));
    assert!(told(&server, "Anna@firma.example").starts_with("250"));
    assert!(told(&server, "bernd@firma.example").starts_with("550 5.1.1"));
    let soon = upload(&["--command", "printf", "a@firma.example\\n"]);
    assert!(!soon.status.success() && said(&soon).contains("a moment ago"), "{}", said(&soon));
    let (status, _) = crate::support::http_get(server.web, "/hb/recipients");
    assert!(status.contains("405"), "{status}");
    // A stranger is answered before his list has come.
    let mut stranger = TcpStream::connect(server.web).unwrap();
    stranger.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let head = "PUT /hb/recipients HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16000000\r\n\r\na@firma.example\n";
    stranger.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stranger.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}
