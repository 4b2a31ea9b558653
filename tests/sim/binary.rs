//! The program itself: what it refuses, and that it ends in time.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
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

#[test]
#[allow(clippy::disallowed_methods, reason = "measures a real process")]
fn a_client_without_a_server_keeps_trying_and_ends_within_a_second() {
    let file = token_file(0o600, &Token::from_octets([3; 32]).text());
    for server in ["127.0.0.1:9", "no..such..name:9"] {
        let mut child = beat(server, &file).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(child.try_wait().unwrap(), None, "ended by itself");
        let id = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let asked = Instant::now();
        let output = child.wait_with_output().unwrap();
        assert!(asked.elapsed() < Duration::from_millis(1_500), "{:?}", asked.elapsed());
        assert!(output.status.success(), "{:?}", output.status);
        let lines = String::from_utf8(output.stdout).unwrap();
        assert!(lines.contains(r#"{"event":"goodbye","acknowledged":false}"#), "{lines}");
    }
}
