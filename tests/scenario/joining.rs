//! From nothing to beats: the operator prints an address, the customer's machine fetches its token there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Beats, PULSEMX_BEAT, Server, wait_for};

fn client(arguments: &[&str]) -> Output {
    Command::new(PULSEMX_BEAT).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_client_joins_with_an_address_that_is_good_once() {
    let server = Server::start("1s", "");
    server.add_account("firma", 25);
    let joined = server.command(&["account", "join", "firma"]);
    let address = joined["url"].as_str().unwrap();
    let file = server.folder().join("joined");
    let path = file.to_str().unwrap();
    // A browser or a preview that looks at it uses nothing up.
    let (status, _) = crate::support::http_get(server.web, address.split_once(&server.web.to_string()).unwrap().1);
    assert!(status.contains("200"), "{status}");
    let done = client(&["join", address, "--token-file", path]);
    assert!(done.status.success(), "{}", said(&done));
    assert!(said(&done).contains(&format!("--server {} --account firma", server.heartbeat)), "{}", said(&done));
    assert!(!said(&done).contains("pmb1-"), "the token is not shown");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = client(&["join", address, "--token-file", path]);
    assert!(!again.status.success() && said(&again).contains("is there already"), "{}", said(&again));
    let other = server.folder().join("other");
    let spent = client(&["join", address, "--token-file", other.to_str().unwrap()]);
    assert!(!spent.status.success() && said(&spent).contains("used up"), "{}", said(&spent));
    assert!(!other.exists());
    let _beats = Beats::start(&server, "firma", &file, "127.0.0.1", None);
    server.wait_state("firma", "online", Duration::from_secs(10));
}

#[test]
fn a_token_that_was_handed_over_is_read_from_standard_input_into_a_closed_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let join = |input: &str| {
        let mut child = Command::new(PULSEMX_BEAT)
            .args(["join", "-", "--token-file", file.to_str().unwrap()])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // One that ends before it has read is heard all the same.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
        child.wait_with_output().unwrap()
    };
    let token = pulsemx::heartbeat::token::Token::from_octets([7; 32]).text();
    let wrong = join("pmb1-nonsense\n");
    assert!(wrong.status.code() == Some(2) && !file.exists(), "{}", said(&wrong));
    let done = join(&format!("{}\nmore\n", *token));
    assert!(done.status.success() && !said(&done).contains("pmb1-"), "{}", said(&done));
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), *token);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(said(&join(&token)).contains("is there already"));
}

#[test]
fn status_asks_without_counting_as_a_beat() {
    let server = Server::start("1s", "");
    let file = server.add_account("firma", 25);
    let https = format!("http://{}", server.web);
    let ask = |more: &[&str]| {
        client(&[&["status", "--token-file", file.to_str().unwrap(), "--https", &https], more].concat())
    };
    let before = ask(&[]);
    assert!(before.status.code() == Some(1) && said(&before).contains("new since -"), "{}", said(&before));
    assert_eq!(server.state("firma"), "new");
    let beats = Beats::start(&server, "firma", &file, "127.0.0.1", None);
    server.wait_state("firma", "online", Duration::from_secs(10));
    let shown = ask(&["--json"]);
    let line: Value = serde_json::from_slice(&shown.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&shown)));
    assert_eq!(
        (shown.status.code(), &line["state"], &line["address"]),
        (Some(0), &"online".into(), &"127.0.0.1".into())
    );
    beats.goodbye();
    server.wait_state("firma", "offline", Duration::from_secs(5));
    assert_eq!(ask(&[]).status.code(), Some(1));
}

#[test]
fn install_prints_the_unit_it_would_write() {
    let dry =
        client(&["install", "--dry-run", "--server", "mx2.example:5525", "--token-file", "/etc/pulsemx-beat/token"]);
    let unit = said(&dry);
    assert!(
        dry.status.success()
            && unit.contains("run --server mx2.example:5525 --token-file ${CREDENTIALS_DIRECTORY}/token"),
        "{unit}"
    );
    let wrong = client(&["install", "--dry-run", "--server", "mx2.example:5525", "--token-file", "token"]);
    assert!(!wrong.status.success() && said(&wrong).contains("absolute"), "{}", said(&wrong));
}

#[test]
fn a_client_renews_a_token_that_has_got_old_and_the_old_one_ends() {
    let mut server = Server::start("1s", "");
    let file = server.add_account("firma", 25);
    let old = fs::read_to_string(&file).unwrap();
    server.stop();
    let text = fs::read_to_string(server.config()).unwrap();
    let aged = text.replace("[heartbeat]\n", "[heartbeat]\nrenew_tokens_after = \"1s\"\n");
    fs::write(server.config(), aged).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    server.run();
    let udp = server.heartbeat.to_string();
    let https = format!("http://{}", server.web);
    let mut client = Command::new(PULSEMX_BEAT)
        .args(["run", "--quiet", "--server", &udp, "--https", &https, "--token-file", file.to_str().unwrap()])
        .spawn()
        .unwrap();
    let new = wait_for("the file holds another token", Duration::from_secs(15), || {
        fs::read_to_string(&file).ok().filter(|text| !text.is_empty() && *text != old)
    });
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(new.starts_with("pmb1-"));
    // Opened under both, and alive all along.
    wait_for("the new token opens", Duration::from_secs(10), || {
        (server.log().matches("heartbeat opened").count() >= 2).then_some(())
    });
    server.wait_state("firma", "online", Duration::from_secs(10));
    client.kill().unwrap();
    client.wait().unwrap();
    // With the new token the client starts again.
    let _beats = Beats::start(&server, "firma", &file, "127.0.0.1", None);
    server.wait_state("firma", "online", Duration::from_secs(15));
}
