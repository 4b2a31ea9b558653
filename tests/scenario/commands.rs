//! The operator's commands: JSON for scripts, clear errors for people, and what works while the server is stopped.

use std::process::Command;
use std::time::Duration;

use crate::support::{Beats, PULSEMX, Sender, Server, http_get, mail};

#[test]
fn json_is_alone_on_stdout_and_warnings_go_to_stderr() {
    let server = Server::start("1s", "");
    let (good, out, err) = server.raw(&[
        "account",
        "add",
        "firma",
        "--domain",
        "firma.example",
        "--host",
        "firma.dyn.example",
        "--port",
        "2525",
    ]);
    assert!(good, "{err}");
    let added: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(added["account"], "firma");
    assert!(added["token"].as_str().unwrap().starts_with("pmb1-"));
    assert!(err.contains("firma.dyn.example") && err.contains("no zone"), "{err}");
    let shown = server.account("firma");
    for field in ["state", "address", "last_beat", "held", "loss_percent", "name_held_until"] {
        assert!(shown.get(field).is_some(), "{field} is missing: {shown}");
    }
    assert_eq!(shown["state"], "new");
}

#[test]
fn forwarders_are_named_shown_after_a_restart_and_audited() {
    let mut server = Server::start("1s", "");
    server.add_account("firma", 25);
    server.command(&["account", "forwarders", "firma", "203.0.113.9/24", "2001:db8:5::/48", "198.51.100.7"]);
    for (networks, part) in [
        (&["0.0.0.0/0"] as &[&str], "too wide"),
        (&["10.1.0.0/16"], "no network of the internet"),
        (&["web.example"], "say a network such as"),
        (&[], "required"),
    ] {
        let (good, _, err) = server.raw(&[&["account", "forwarders", "firma"], networks].concat());
        assert!(!good && err.contains(part), "{networks:?}: {err}");
    }
    server.stop();
    server.run();
    let shown = server.account("firma")["forwarders"].to_string();
    assert_eq!(shown, r#"["198.51.100.7/32","203.0.113.0/24","2001:db8:5::/48"]"#);
    server.command(&["account", "forwarders", "firma", "--off"]);
    assert_eq!(server.account("firma")["forwarders"].to_string(), "[]");
}

#[test]
fn errors_say_what_to_do() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    for (arguments, part) in [
        (&["account", "show", "fabrik"] as &[&str], "pulsemx account list"),
        (&["account", "add", "firma", "--domain", "neu.example"], "exists already"),
        (&["account", "add", "zweite", "--domain", "firma.example"], "served already"),
        (&["domain", "rm", "firma", "fremd.example"], "does not serve"),
        (&["queue", "show", "xyz"], "13 letters"),
        (&["queue", "show", "0000000000000"], "no message"),
    ] {
        let (good, out, err) = server.raw(arguments);
        assert!(!good && out.is_empty() && err.contains(part), "{arguments:?}: {out} {err}");
    }
}

#[test]
fn the_life_of_an_account() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    server.command(&["domain", "add", "firma", "zweite.example"]);
    let domains = server.account("firma")["domains"].to_string();
    assert!(domains.contains("zweite.example") && domains.contains("firma.dyn.example"), "{domains}");
    let mut sender = Sender::connect(server.smtp).unwrap();
    assert!(sender.send("a@b.example", "x@zweite.example", &mail("one")).unwrap().contains("not seen yet"));
    server.command(&["domain", "rm", "firma", "zweite.example"]);
    assert!(sender.ask("MAIL FROM:<a@b.example>").unwrap().starts_with("250"));
    assert!(sender.ask("RCPT TO:<x@zweite.example>").unwrap().starts_with("450 4.3.2"));
    let (good, _, err) = server.raw(&["account", "rm", "firma", "--now"]);
    assert!(!good && err.contains("still held"), "{err}");
    server.command(&["account", "suspend", "firma"]);
    assert_eq!(server.account("firma")["status"], "suspended");
    assert!(sender.ask("RCPT TO:<x@firma.example>").unwrap().starts_with("250"));
    server.command(&["account", "rm", "firma"]);
    assert_eq!(server.account("firma")["status"], "leaving");
    assert!(sender.ask("RCPT TO:<y@firma.example>").unwrap().starts_with("450 4.3.2"));
    server.command(&["account", "resume", "firma"]);
    assert!(sender.ask("RCPT TO:<y@firma.example>").unwrap().starts_with("250"));
    let link = server.command(&["account", "link", "firma"]);
    assert!(link["url"].as_str().unwrap().starts_with(&format!("http://{}/sign-in/", server.web)), "{link}");
    let rotated = server.command(&["account", "rotate", "firma", "--overlap", "1h"]);
    assert!(rotated["token"].as_str().unwrap().starts_with("pmb1-") && rotated["old_token_until"].is_string());
    server.add_account("leer", 25);
    server.command(&["account", "rm", "leer", "--now"]);
    assert_eq!(server.command(&["account", "list"])["accounts"].as_array().unwrap().len(), 1);
    assert_eq!(server.command(&["status"])["held"], 1);
    assert_eq!(server.command(&["status"])["smtp"]["stored"], 1);
}

#[test]
fn commands_that_look_work_on_a_stopped_server_and_others_say_why_not() {
    let mut server = Server::start("1s", "");
    server.add_account("firma", 25);
    let mut sender = Sender::connect(server.smtp).unwrap();
    assert!(sender.send("a@b.example", "x@firma.example", &mail("one")).unwrap().starts_with("250"));
    server.kill();
    assert_eq!(server.account("firma")["held"], 1);
    assert_eq!(server.command(&["queue", "list"])["messages"].as_array().unwrap().len(), 1);
    assert_eq!(server.command(&["status"])["running"], false);
    let (good, _, err) = server.raw(&["account", "link", "firma"]);
    assert!(!good && err.contains("pulsemx serve"), "{err}");
    server.run();
    assert_eq!(server.account("firma")["held"], 1);
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = Server::start("1s", "");
    let output = Command::new(PULSEMX).arg("--config").arg(server.config()).arg("serve").output().unwrap();
    assert!(!output.status.success());
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("another server") || err.contains("in use"), "{err}");
}

#[test]
fn an_unknown_key_stops_the_start_and_names_its_neighbour() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("p.toml");
    std::fs::write(&config, "[smtp]\nlisten_at = \"127.0.0.1:0\"\n").unwrap();
    let output = Command::new(PULSEMX).arg("--config").arg(&config).arg("serve").output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && err.contains("did you mean 'smtp.listen'"), "{err}");
}

#[test]
fn machines_are_told_that_every_part_is_ready() {
    let server = Server::start("1s", "");
    assert!(http_get(server.web, "/healthz").0.contains("200"));
    assert!(http_get(server.web, "/ready").0.contains("200"));
}

#[test]
fn a_revoked_token_is_worth_nothing_at_once() {
    let server = Server::start("1s", "");
    let first = server.add_account("firma", 25);
    server.command(&["account", "rotate", "firma"]);
    server.command(&["account", "rotate", "firma", "--overlap", "0s"]);
    let _beats = Beats::start(&server, "firma", &first, "127.0.15.1", Some("1s"));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(server.state("firma"), "new", "a beat under a revoked token counted");
}

#[test]
fn all_listeners_start_on_the_wildcard_of_both_families() {
    let server = Server::start_on_wildcards();
    for ip in ["127.0.0.1", "::1"] {
        let ip: std::net::IpAddr = ip.parse().unwrap();
        if std::net::TcpListener::bind((ip, 0)).is_err() {
            continue;
        }
        Sender::connect((ip, server.smtp.port()).into()).unwrap();
        std::net::TcpStream::connect((ip, server.web.port())).unwrap();
    }
    let (_, out, _) = server.raw(&["doctor"]);
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_ne!(found["worst"], "broken", "{out}");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let server = Server::start("1s", "");
    let mut child = Command::new(PULSEMX)
        .arg("--config")
        .arg(server.config())
        .args(["config", "show", "--defaults"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// RFC 5321 §4.5.1 and "your server refused me": what is kept for the operator, and what was never kept.
#[test]
fn a_refused_recipient_and_the_postmasters_mail_can_be_found() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    let mut sender = Sender::connect(server.smtp).unwrap();
    assert!(sender.send("a@b.example", "x@firma.example", &mail("one")).unwrap().starts_with("250"));
    assert!(sender.send("a@b.example", "postmaster", &mail("two")).unwrap().contains("kept for the postmaster"));
    let _ = Sender::connect(server.smtp).unwrap().send("A@b.example", "victim@elsewhere.example", &mail("three"));
    let trace = |what: &str| server.command(&["queue", "trace", what]);
    let refused = |what: &str| trace(what)["refused"].as_array().unwrap().len();
    // Written apart from the session, once a second.
    let is_noted = (0..1_200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        refused("a@b.example") > 0
    });
    assert!(is_noted);
    assert_eq!((refused("VICTIM@elsewhere.example"), refused("x@firma.example")), (1, 0));
    let all = trace("a@b.example");
    assert!(all["refused"][0]["reply"].as_str().unwrap().starts_with("550 5.7.1 "), "{all}");
    assert_eq!(all["messages"].as_array().unwrap().len(), 2);
    assert_eq!(trace("x@firma.example")["messages"].as_array().unwrap().len(), 1);
    let kept = server.command(&["queue", "list", "--account", "operator"]);
    assert_eq!(kept["messages"][0]["account"], "operator");
    let id = kept["messages"][0]["id"].as_str().unwrap();
    assert_eq!(trace(id)["id"], id);
    assert_eq!(server.command(&["status"])["postmaster"], 1);
    let (good, _, err) = server.raw(&["account", "rm", "operator"]);
    assert!(!good && err.contains("account"), "{err}");
}
