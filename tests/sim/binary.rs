//! The program itself: what it refuses, and that it ends in time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pulsemx::heartbeat::token::Token;

fn token_file(mode: u32, text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{text}").unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    file
}

fn beat(server: &str, file: &tempfile::NamedTempFile) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pulsemx-beat"));
    command.args(["run", "--json", "--server", server, "--account", "firma", "--token-file"]).arg(file.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn what_the_user_has_to_mend_ends_the_program_with_2_and_the_remedy() {
    let good = Token::from_octets([3; 32]).text();
    let cases = [
        (0o644, good.as_str(), "127.0.0.1:9", "chmod 600"),
        (0o600, "hunter2", "127.0.0.1:9", "begins with 'pmb1-'"),
        (0o600, good.as_str(), "127.0.0.1", "HOST:PORT"),
    ];
    for (mode, text, server, expected) in cases {
        let file = token_file(mode, text);
        let output = beat(server, &file).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

/// Asks the program to stop; what it printed since, once it ended in time.
#[allow(clippy::disallowed_methods, reason = "measures a real process")]
fn stopped(mut child: Child, printed: &mut impl Read) -> String {
    assert_eq!(child.try_wait().unwrap(), None, "ended by itself");
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    let asked = Instant::now();
    let mut lines = String::new();
    printed.read_to_string(&mut lines).unwrap();
    let status = child.wait().unwrap();
    // 0.7 s by itself; the rest is for a busy machine.
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert!(status.success(), "{status:?}");
    lines
}

#[test]
fn a_client_without_a_server_keeps_trying_and_ends_in_time() {
    let file = token_file(0o600, &Token::from_octets([3; 32]).text());
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut child = beat(&silent.local_addr().unwrap().to_string(), &file).spawn().unwrap();
    let mut printed = child.stdout.take().unwrap();
    for _ in 0..2 {
        assert_eq!(silent.recv(&mut [0; 300]).unwrap(), 64);
    }
    let lines = stopped(child, &mut printed);
    assert!(lines.contains(r#"{"event":"goodbye","acknowledged":false}"#), "{lines}");
}

#[test]
fn a_client_whose_server_has_no_address_says_so_and_ends_in_time() {
    let file = token_file(0o600, &Token::from_octets([3; 32]).text());
    let mut child = beat("no..such..name:9", &file).spawn().unwrap();
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    printed.read_line(&mut line).unwrap();
    assert!(line.starts_with(r#"{"event":"unreachable","reason":"cannot find 'no..such..name:9'"#), "{line}");
    stopped(child, &mut printed);
}
