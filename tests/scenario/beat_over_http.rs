//! Beats without UDP: a script with curl, the renewal of a token, and what is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Beats, Server, wait_for};

/// curl with `arguments` and this path of the server: status, body.
fn curl(server: &Server, arguments: &[&str], path: &str) -> (u16, String) {
    let output = Command::new("curl")
        .args(["-sS", "--max-time", "10", "-w", "\n%{http_code}"])
        .args(arguments)
        .arg(format!("http://{}{path}", server.web))
        .output()
        .expect("curl is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap_or_else(|| panic!("{output:?}"));
    (status.parse().unwrap(), body.to_owned())
}

fn netrc(server: &Server, token: &str) -> PathBuf {
    let path = server.folder().join(format!("netrc-{}", token.len()));
    fs::write(&path, format!("machine 127.0.0.1 login firma password {token}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

#[test]
fn a_script_with_curl_and_a_netrc_file_keeps_a_line_alive() {
    let server = Server::start("5s", "");
    let token = fs::read_to_string(server.add_account("firma", 25)).unwrap();
    let netrc = netrc(&server, &token);
    let beat = || curl(&server, &["--netrc-file", netrc.to_str().unwrap()], "/hb?interval=30s");
    let (status, body) = beat();
    let shown: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{status} {body}: {e}"));
    assert_eq!(
        (status, &shown["state"], &shown["address"], &shown["counted"], &shown["neutralised_after_s"]),
        (200, &"returning".into(), &"127.0.0.1".into(), &true.into(), &92.into()),
        "{body}"
    );
    assert_eq!(server.account("firma")["address"], "127.0.0.1");
    assert_eq!(beat().0, 429, "one a second is enough");
    // POST without a datagram says the same.
    std::thread::sleep(Duration::from_millis(1_050));
    assert_eq!(curl(&server, &["-d", "", "--netrc-file", netrc.to_str().unwrap()], "/hb?interval=30s").0, 200);
}

#[test]
fn a_beat_by_script_never_covers_a_signed_client() {
    let server = Server::start("1s", "");
    let file = server.add_account("firma", 25);
    let token = fs::read_to_string(&file).unwrap();
    let beats = Beats::start(&server, "firma", &file, "127.0.0.1", None);
    server.wait_state("firma", "online", Duration::from_secs(10));
    let bearer = format!("Authorization: Bearer {token}");
    let (status, body) = curl(&server, &["-H", &bearer], "/hb?interval=900s");
    assert!(status == 200 && body.contains("\"counted\":false"), "{status} {body}");
    let (status, body) = curl(&server, &["-H", &bearer, "--interface", "127.0.0.9"], "/hb?interval=900s");
    assert_eq!(status, 429, "{body}");
    std::thread::sleep(Duration::from_millis(1_050));
    let (status, body) = curl(&server, &["-H", &bearer, "--interface", "127.0.0.9"], "/hb?interval=900s");
    assert_eq!(status, 409, "{body}");
    assert_eq!(server.account("firma")["address"], "127.0.0.1");
    beats.kill();
    server.wait_state("firma", "offline", Duration::from_secs(8));
}

#[test]
fn wrong_and_unknown_tokens_get_one_answer_and_nothing_else_changes() {
    let server = Server::start("5s", "");
    let token = fs::read_to_string(server.add_account("firma", 25)).unwrap();
    let unknown = pulsemx::heartbeat::NewToken::generate().unwrap().text.to_string();
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let damaged = token.replace("pmb1-", "pmb1-x");
    let refusals = [
        curl(&server, &["-H", &bearer(&unknown)], "/hb"),
        curl(&server, &["-H", &bearer(&damaged)], "/hb"),
        curl(&server, &["-X", "POST", "-H", &bearer(&unknown)], "/hb/rotate"),
        curl(&server, &[], "/hb"),
    ];
    for refusal in &refusals {
        assert_eq!((refusal.0, &refusal.1), (401, &refusals[0].1));
    }
    let octets = ["-H", "Content-Type: application/octet-stream", "--data-binary"];
    let post = |body: &str| curl(&server, &[octets[0], octets[1], octets[2], body], "/hb");
    assert_eq!(post("nonsense"), (204, String::new()));
    assert_eq!(post(&"x".repeat(229)).0, 204);
    assert_eq!(post(&"x".repeat(230)).0, 413);
    // A header of a proxy says nothing about where the line is.
    let forwarded = "X-Forwarded-For: 203.0.113.9";
    let (status, body) =
        curl(&server, &["-H", &bearer(&token), "-H", forwarded, "-H", "Forwarded: for=203.0.113.9"], "/hb");
    assert!(status == 200 && body.contains("\"address\":\"127.0.0.1\""), "{status} {body}");
    assert_eq!(curl(&server, &["-H", &bearer(&token)], "/hb?interval=1s").0, 400);
    for _ in 0..40 {
        curl(&server, &["-H", &bearer(&unknown)], "/hb");
    }
    assert_eq!(curl(&server, &["-H", &bearer(&unknown)], "/hb").0, 429);
    std::thread::sleep(Duration::from_millis(1_050));
    assert_eq!(curl(&server, &["-H", &bearer(&token)], "/hb").0, 200, "a right token is not slowed down by others");
}

#[test]
fn a_proxy_before_the_pages_cannot_say_where_a_line_is() {
    let server = Server::start("5s", "");
    let token = fs::read_to_string(server.add_account("firma", 25)).unwrap();
    let mut server = server;
    server.stop();
    let text = fs::read_to_string(server.config()).unwrap();
    fs::write(server.config(), text.replace("allow_loopback_targets = true", "")).unwrap();
    server.run();
    let (status, body) = curl(&server, &["-H", &format!("Authorization: Bearer {token}")], "/hb");
    assert!(status == 421 && body.contains("proxy"), "{status} {body}");
    let octets = ["-H", "Content-Type: application/octet-stream", "--data-binary", "x"];
    assert_eq!(curl(&server, &octets, "/hb").0, 421);
}

#[test]
fn a_client_learns_what_it_may_and_exchanges_its_token_once() {
    let server = Server::start("5s", "");
    let (status, hello) = curl(&server, &[], "/hb/hello");
    let hello: Value = serde_json::from_str(&hello).unwrap();
    assert_eq!((status, &hello["versions"]), (200, &serde_json::json!([1])));
    assert_eq!(hello["udp"], serde_json::json!([server.heartbeat.to_string()]));
    let file = server.add_account("firma", 25);
    let old = fs::read_to_string(&file).unwrap();
    let renew =
        |token: &str| curl(&server, &["-X", "POST", "-H", &format!("Authorization: Bearer {token}")], "/hb/rotate");
    let (status, body) = renew(&old);
    let answer: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{status} {body}: {e}"));
    let new = answer["token"].as_str().unwrap().to_owned();
    assert_ne!(new, old);
    assert_eq!(renew(&new).0, 429, "not twice within a minute");
    // Both work until the new one is used; the old one then has ten minutes left.
    let beat = |token: &str| {
        std::thread::sleep(Duration::from_millis(1_050));
        curl(&server, &["-H", &format!("Authorization: Bearer {token}")], "/hb").0
    };
    assert_eq!((beat(&old), beat(&new), beat(&old)), (200, 200, 200));
    fs::write(&file, &new).unwrap();
    let _beats = Beats::start(&server, "firma", &file, "127.0.0.1", None);
    wait_for("the new token opens", Duration::from_secs(10), || {
        server.log().contains("heartbeat opened").then_some(())
    });
}
