//! Real programs send to the backup MX.

use std::process::Command;
use std::time::Duration;

use crate::support::{Beats, Primary, Server, wait_for};

#[test]
fn smtp_source_with_twenty_sessions_is_served_and_nothing_is_missing() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    let to = server.smtp.to_string();
    let output = Command::new("smtp-source")
        .args(["-s", "20", "-m", "400", "-l", "4096", "-d", "-f", "a@sender.example", "-t", "x@firma.example", &to])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(server.account("firma")["held"], 400);
    assert!(server.is_balanced("firma"));
}

#[test]
fn swaks_sends_over_starttls_and_the_primary_reads_that_it_did() {
    let server = Server::start("1s", "");
    let primary = Primary::listen("127.0.13.1", 0);
    let token = server.add_account("firma", primary.address.port());
    let output = Command::new("swaks")
        .args(["--server", &server.smtp.ip().to_string(), "--port", &server.smtp.port().to_string(), "--tls"])
        .args(["--helo", "mx.sender.example", "--from", "a@sender.example", "--to", "x@firma.example"])
        .args(["--header", "Subject: by swaks", "--body", "a line\n.\n..dots\nend"])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{words}");
    assert!(words.contains("held for firma.example, primary not seen yet"), "{words}");
    let _beats = Beats::start(&server, "firma", &token, "127.0.13.1", Some("1s"));
    wait_for("the mail arrives", Duration::from_secs(10), || (primary.arrived().len() == 1).then_some(()));
    let content = String::from_utf8(primary.arrived()[0].content.clone()).unwrap();
    assert!(content.contains("with ESMTPS"), "{content}");
    assert!(content.contains("\r\n.\r\n..dots\r\nend"), "{content}");
}

#[test]
fn swaks_hears_a_clear_word_when_it_tries_to_relay() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    for recipient in
        ["x@elsewhere.example", "x%elsewhere.example@sub.firma.example", "@firma.example:x@elsewhere.example"]
    {
        let output = Command::new("swaks")
            .args(["--server", &server.smtp.ip().to_string(), "--port", &server.smtp.port().to_string()])
            .args(["--helo", "mx.sender.example", "--from", "a@sender.example", "--to", recipient])
            .output()
            .unwrap();
        assert!(!output.status.success(), "{recipient} was taken");
        assert!(String::from_utf8_lossy(&output.stdout).contains("<** 5"), "{recipient}");
    }
    assert_eq!(server.command(&["status"])["held"], 0);
}

/// A session of swaks that proves itself and ends; what both sides said.
fn login(server: &Server, account: &str, token: &str, options: &[&str]) -> (bool, String) {
    let output = Command::new("swaks")
        .args(["--server", &server.smtp.ip().to_string(), "--port", &server.smtp.port().to_string()])
        .args(["--helo", "mail.firma.example", "--auth-user", account, "--auth-password", token])
        .args(options)
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn swaks_proves_whose_server_it_is_and_may_relay_as_little_as_before() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    let early = login(&server, "firma", "pma-x", &["--auth", "PLAIN", "--tls", "--quit-after", "AUTH"]);
    assert!(!early.0 && !early.1.contains("250-AUTH"), "{}", early.1);
    let made = server.command(&["token", "new", "firma", "--scope", "etrn", "--label", "server"]);
    let token = made["token"].as_str().unwrap();
    for mechanism in ["PLAIN", "LOGIN"] {
        let (is_good, words) = login(&server, "firma", token, &["--auth", mechanism, "--tls", "--quit-after", "AUTH"]);
        assert!(is_good && words.contains("<~  235 2.7.0"), "{words}");
    }
    let (is_good, words) = login(&server, "firma", token, &["--auth", "PLAIN", "--quit-after", "AUTH"]);
    assert!(!is_good && !words.contains("AUTH PLAIN LOGIN"), "without TLS\n{words}");
    let (is_good, words) = login(&server, "firma", "pma-wrong", &["--auth", "PLAIN", "--tls", "--quit-after", "AUTH"]);
    assert!(!is_good && words.contains("535 5.7.8"), "{words}");
    let relay = ["--auth", "PLAIN", "--tls", "--from", "a@firma.example", "--to", "x@elsewhere.example"];
    let (is_good, words) = login(&server, "firma", token, &relay);
    assert!(!is_good && words.contains("<~  235") && words.contains("<~* 550 5.7.1"), "{words}");
}
