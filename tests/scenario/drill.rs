//! Fire drills: the outage that is played through, by command and by the customer's machine, and every way it may fail.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Beats, Client, PULSEMX, PULSEMX_BEAT, Primary, Sender, Server, mail, wait_for};

const SOON: Duration = Duration::from_secs(20);
/// Longer than any drill.
const ENDS: Duration = Duration::from_secs(90);

fn beat_drill(server: &Server, token: &PathBuf, more: &[&str]) -> (Option<i32>, String) {
    let output: Output = Command::new(PULSEMX_BEAT)
        .args(["drill", "--https", &format!("http://{}", server.web), "--token-file"])
        .arg(token)
        .args(more)
        .output()
        .unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), said)
}

/// A server whose customer's line is ONLINE.
fn online(ip: &str, primary: &Primary) -> (Server, PathBuf, Beats) {
    let server = Server::start("1s", "");
    let (token, beats) = join(&server, ip, primary.address.port());
    (server, token, beats)
}

fn join(server: &Server, ip: &str, port: u16) -> (PathBuf, Beats) {
    let token = server.add_account("firma", port);
    let beats = Beats::start(server, "firma", &token, ip, Some("1s"));
    server.wait_state("firma", "online", SOON);
    (token, beats)
}

/// `pulsemx --json drill firma`: whether it exited with 0, and what it printed.
fn drill(server: &Server) -> (bool, Value) {
    let (good, out, err) = server.raw(&["drill", "firma"]);
    assert!(!out.is_empty(), "{err}\n{}", server.log());
    (good, serde_json::from_str(&out).unwrap())
}

fn reached(shown: &Value) -> Vec<&str> {
    shown["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect()
}

fn waiting(server: &Server) -> usize {
    server.command(&["queue", "list", "--account", "firma"])["messages"].as_array().unwrap().len()
}

fn audit(server: &Server) -> Vec<String> {
    let database = rusqlite::Connection::open(server.data().join("pulsemx.db")).unwrap();
    let mut rows = database.prepare("SELECT what FROM audit WHERE what LIKE 'drill.%' ORDER BY id").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_drill_holds_a_real_message_delivers_it_and_proves_the_server() {
    let primary = Primary::listen_tls("127.0.18.1", 0);
    let (server, token, _beats) = online("127.0.18.1", &primary);
    let (good, shown) = drill(&server);
    assert!(good && shown["passed"] == true, "{shown}\n{}", server.log());
    assert_eq!(reached(&shown), ["cut", "sent", "held", "mended", "delivered"]);
    let line = shown["result"].as_str().unwrap();
    assert!(line.starts_with("Your backup works: held after"), "{line}");
    // Trust on first drill: the key is pinned by it.
    let key = data_encoding::HEXLOWER.encode(&primary.key.unwrap());
    assert!(line.contains(&format!("its key is pinned: sha256:{key}")), "{line}");

    let arrived = primary.arrived();
    assert_eq!(arrived.len(), 1, "one message, once");
    assert_eq!(arrived[0].to, ["postmaster@firma.example"]);
    let content = String::from_utf8(arrived[0].content.clone()).unwrap();
    assert!(content.contains("\r\nX-Pulsemx-Drill: ") && content.contains("Subject: Fire drill"), "{content}");
    assert_eq!(server.state("firma"), "online", "the line knows nothing of it");
    assert_eq!((waiting(&server), server.is_balanced("firma")), (0, true));

    let (code, said) = beat_drill(&server, &token, &["--to", "anna@firma.example"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("fire drill of firma, test message to anna@firma.example\n"), "{said}");
    assert!(said.contains("held in the spool\n") && said.contains("identity proven by its pinned key"), "{said}");
    let log = audit(&server);
    assert_eq!(log.len(), 4, "{log:?}");
    assert_eq!(log[0], "drill.start postmaster@firma.example");
    assert!(log[3].starts_with("drill.end Your backup works"), "{log:?}");

    let (code, said) = beat_drill(&server, &token, &["--to", "anna@fremd.example"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("anna@fremd.example is no address in a mail domain of this account"), "{said}");
    for _ in 0..4 {
        assert!(drill(&server).0);
    }
    let (good, _, err) = server.raw(&["drill", "firma"]);
    assert!(!good && err.contains("six drills an hour"), "{err}");
}

#[test]
fn each_refusal_of_the_primary_is_named_and_leaves_no_mail_behind() {
    let primary = Primary::listen("127.0.18.2", 0);
    let (server, token, _beats) = online("127.0.18.2", &primary);
    for (reply, gate, advice) in [
        ("550 5.1.1 there is no such user", "the mailbox", "Create the mailbox"),
        ("451 4.7.1 Greylisted, come again", "your server puts us off", "Exempt our addresses"),
        ("554 5.7.1 your reputation is bad", "your server refuses the message", "pass the filters"),
    ] {
        primary.refuse(Some(reply));
        let (code, said) = beat_drill(&server, &token, &[]);
        assert_eq!(code, Some(1), "{said}\n{}", server.log());
        let line = said.lines().last().unwrap();
        assert!(line.starts_with(&format!("The drill failed: {gate}: {reply}")), "{line}");
        assert!(line.contains(advice), "{line}");
        wait_for("the test message is gone", SOON, || (waiting(&server) == 0).then_some(()));
        assert!(server.is_balanced("firma"));
    }
    // Mail of others goes on as before.
    primary.refuse(None);
    let reply = Sender::connect(server.smtp).unwrap().send("a@b.example", "info@firma.example", &mail("real")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    wait_for("real mail arrives", SOON, || {
        primary.arrived().iter().any(|mail| mail.to == ["info@firma.example"]).then_some(())
    });
    assert!(drill(&server).0, "and the drill passes once the server takes mail");
}

#[test]
fn a_closed_port_and_a_silent_one_fail_in_time() {
    let primary = Primary::listen("127.0.18.3", 0);
    let (server, _token, _beats) = online("127.0.18.3", &primary);
    let address = primary.address;
    drop(primary);
    let (good, shown) = drill(&server);
    assert!(!good && shown["passed"] == false, "{shown}");
    assert_eq!(reached(&shown), ["cut", "sent", "held", "mended"]);
    let line = shown["result"].as_str().unwrap();
    assert!(line.starts_with("The drill failed: the connection to your server"), "{line}");

    let silent = wait_for("its port", SOON, || TcpListener::bind(address).ok());
    let (good, shown) = drill(&server);
    assert!(!good, "{shown}");
    let line = shown["result"].as_str().unwrap();
    assert!(line.starts_with("The drill failed: ") && shown["ended_at"].is_string(), "{line}");
    drop(silent);
    wait_for("the test message is gone", ENDS, || (waiting(&server) == 0).then_some(()));
    assert!(server.is_balanced("firma"));
}

#[test]
fn the_client_is_told_of_a_drill_and_of_an_announced_absence() {
    let silent = TcpListener::bind("127.0.18.6:0").unwrap();
    let server = Server::start("1s", "");
    let token = server.add_account("firma", silent.local_addr().unwrap().port());
    let (beats, web) = (server.heartbeat.to_string(), format!("http://{}", server.web));
    let run = ["--server", &beats, "--bind", "127.0.18.6", "--interval", "1s", "--https", &web];
    let client = Client::start(&token, &run);
    server.wait_state("firma", "online", SOON);
    let status = |part: &str| wait_for(part, SOON, || beat_says(&server, &token).contains(part).then_some(()));
    status("fire drill          -");
    std::thread::scope(|scope| {
        let drill = scope.spawn(|| beat_drill(&server, &token, &[]));
        client.wait_said("a fire drill is running", SOON);
        status("fire drill          running");
        drop(silent);
        assert_eq!(drill.join().unwrap().0, Some(1));
    });
    client.wait_said("the fire drill has ended", SOON);
    status("fire drill          -");

    let until = pulsemx::base::Clock.wall() + chrono::TimeDelta::days(14);
    server.command(&["account", "holiday", "firma", "--until", &until.format("%Y-%m-%d").to_string()]);
    client.wait_said("holiday as 127.0.18.6", SOON);
    status(&format!("absence until       {}", (until + chrono::TimeDelta::days(1)).format("%Y-%m-%d")));
    assert_eq!(server.state("firma"), "online", "what is announced changes nothing about the line");
    server.command(&["account", "holiday", "firma", "--off"]);
    wait_for("the client is told that it is over", SOON, || {
        client.said.lock().unwrap().last()?.contains("online as 127.0.18.6").then_some(())
    });
    status("absence until       -");
}

/// `pulsemx-beat status`
fn beat_says(server: &Server, token: &PathBuf) -> String {
    let output = Command::new(PULSEMX_BEAT)
        .args(["status", "--https", &format!("http://{}", server.web), "--token-file"])
        .arg(token)
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_server_that_is_away_is_not_drilled() {
    let primary = Primary::listen("127.0.18.4", 0);
    let (server, token, beats) = online("127.0.18.4", &primary);
    beats.goodbye();
    server.wait_state("firma", "offline", SOON);
    let (code, said) = beat_drill(&server, &token, &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("this one is OFFLINE") && said.contains("start the drill once it is ONLINE"), "{said}");
    let (good, _, err) = server.raw(&["drill", "nobody"]);
    assert!(!good && err.contains("no account"), "{err}");
    assert_eq!(audit(&server), Vec::<String>::new(), "nothing began");
}

#[test]
fn a_crash_in_the_middle_leaves_nobody_cut_off() {
    let silent = TcpListener::bind("127.0.18.5:0").unwrap();
    let address = silent.local_addr().unwrap();
    let mut server = Server::start("1s", "");
    let (token, _beats) = join(&server, "127.0.18.5", address.port());
    let mut running = Command::new(PULSEMX)
        .arg("--config")
        .arg(server.config())
        .args(["drill", "firma"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let held = BufReader::new(running.stdout.take().unwrap())
        .lines()
        .find(|line| line.as_ref().is_ok_and(|line| line.ends_with("test message held in the spool")));
    assert!(held.is_some(), "{}", server.log());
    server.kill();
    assert!(!running.wait().unwrap().success(), "a drill whose server died has not passed");
    drop(silent);
    let primary = Primary::listen("127.0.18.5", address.port());
    server.run();
    server.wait_state("firma", "online", SOON);
    // Nothing holds the account: the test message of the drill and new mail arrive.
    let reply = Sender::connect(server.smtp).unwrap().send("a@b.example", "info@firma.example", &mail("new")).unwrap();
    assert!(reply.starts_with("250"), "{reply}");
    for to in ["postmaster@firma.example", "info@firma.example"] {
        wait_for(to, ENDS, || primary.arrived().iter().any(|mail| mail.to == [to]).then_some(()));
    }
    let before = beat_status(&server, &token);
    assert!(before.contains("The service was restarted during the drill"), "{before}");
    assert!(server.is_balanced("firma"));
    assert!(drill(&server).0, "another drill may begin");
}

/// `GET /hb/drill`
fn beat_status(server: &Server, token: &PathBuf) -> String {
    let token = std::fs::read_to_string(token).unwrap();
    let request = format!(
        "GET /hb/drill HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
        server.web,
        token.trim()
    );
    let mut stream = std::net::TcpStream::connect(server.web).unwrap();
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    answer
}
