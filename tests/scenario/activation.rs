//! The port stays open while the server restarts, and takes new settings while it runs.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{PULSEMX, Sender, Server, wait_for};

/// Starts the server as systemd does: with an open socket and words about it.
fn activated(listener: &TcpListener, data: &std::path::Path, name: &str) -> Child {
    let hand_over = format!(
        "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name}; export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES; exec \"$0\" serve"
    );
    Command::new("sh")
        .args(["-c", &hand_over, PULSEMX])
        .env("PULSEMX__DATA_DIR", data)
        .env("PULSEMX__SMTP__LISTEN", "192.0.2.1:25")
        .env("PULSEMX__WEB__LISTEN", "127.0.0.1:0")
        .env("PULSEMX__HEARTBEAT__LISTEN", "127.0.0.1:0")
        .stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn stop(mut server: Child) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(server.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
}

#[test]
fn a_sender_that_comes_during_a_restart_waits_and_is_greeted() {
    let data = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let first = activated(&listener, data.path(), "smtp");
    let mut before = Sender::connect(address).unwrap();
    assert!(before.ask("QUIT").unwrap().starts_with("221"));
    stop(first);
    // `connect` waits for the greeting, which only the next process can give.
    let waiting = std::thread::spawn(move || Sender::connect(address).unwrap().ask("QUIT").unwrap());
    let second = activated(&listener, data.path(), "smtp");
    assert!(waiting.join().unwrap().starts_with("221"));
    stop(second);
}

#[test]
fn more_sessions_than_files_are_not_promised() {
    let data = tempfile::tempdir().unwrap();
    let mut server = Command::new("sh")
        .args(["-c", "ulimit -n 1000; exec \"$0\" serve", PULSEMX])
        .env("PULSEMX__DATA_DIR", data.path())
        .env("PULSEMX__SMTP__LISTEN", "127.0.0.1:0")
        .env("PULSEMX__WEB__LISTEN", "127.0.0.1:0")
        .env("PULSEMX__HEARTBEAT__LISTEN", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(server.stdout.take().unwrap()));
    assert!(lines.map_while(Result::ok).any(|line| line.starts_with("ready")));
    let mut stderr = server.stderr.take().unwrap();
    stop(server);
    let mut words = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut words).unwrap();
    assert!(words.contains("port 25 gets 180 sessions and not 12000"), "{words}");
}

#[test]
fn a_socket_that_nobody_knows_is_named() {
    let data = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = activated(&listener, data.path(), "pulsemx.socket").wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && words.contains("FileDescriptorName=smtp"), "{words}");
}

fn change(server: &Server, from: &str, to: &str) {
    let text = fs::read_to_string(server.config()).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(server.config(), text.replacen(from, to, 1)).unwrap();
}

fn size(server: &Server) -> String {
    let reply = Sender::connect(server.smtp).unwrap().ask("EHLO a.example").unwrap();
    reply.lines().find(|line| line.contains("SIZE")).unwrap().to_owned()
}

/// What a reload warns of, but for open files: how many there may be is the machine's affair.
fn warnings(done: &serde_json::Value) -> Vec<&str> {
    let all = done["warnings"].as_array().unwrap().iter().filter_map(serde_json::Value::as_str);
    all.filter(|warning| !warning.contains(" open files")).collect()
}

#[test]
fn a_reload_takes_what_it_can_and_names_the_rest_and_a_bad_one_changes_nothing() {
    let server = Server::start("5s", "");
    let mut session = Sender::connect(server.smtp).unwrap();
    session.ask("EHLO a.example").unwrap();
    change(&server, "[smtp]", "[smtp]\nmax_size = \"1MiB\"");
    let done = server.command(&["reload"]);
    assert_eq!(warnings(&done), [""; 0], "{done}");
    assert!(size(&server).contains("SIZE 1048576"));
    assert!(session.ask("NOOP").unwrap().starts_with("250"), "a running session goes on");

    server.add_account("firma", 25);
    let stranger = |answer: &str| {
        let mut session = Sender::connect(server.smtp).unwrap();
        session.ask("EHLO a.example").unwrap();
        session.ask("MAIL FROM:<a@b.example>").unwrap();
        let said = session.ask("RCPT TO:<x@firma.example>").unwrap();
        assert!(said.starts_with(answer), "{said}");
    };
    stranger("250");
    let more = "[smtp]\nunknown_recipients = \"reject\"\nonline_mode = \"accept\"\nforwarders = [\"203.0.113.0/24\"]";
    change(&server, "[smtp]", more);
    let done = server.command(&["reload"]);
    assert_eq!(warnings(&done), [""; 0], "{done}");
    stranger("550");

    change(&server, "interval = \"5s\"", "interval = \"4s\"");
    let done = server.command(&["reload"]);
    assert!(warnings(&done)[0].starts_with("heartbeat.interval "), "{done}");

    change(&server, "max_size = \"1MiB\"", "max_size = \"a lot\"");
    let (good, _, why) = server.raw(&["reload"]);
    assert!(!good && why.contains("max_size"), "{why}");
    change(&server, "max_size = \"a lot\"", "max_size = \"2MiB\"");
    fs::write(server.folder().join("bad.pem"), "no certificate").unwrap();
    let bad = server.folder().join("bad.pem");
    let text = fs::read_to_string(server.config()).unwrap();
    fs::write(server.config(), format!("{text}\n[tls]\ncert = \"{0}\"\nkey = \"{0}\"\n", bad.display())).unwrap();
    let (good, _, why) = server.raw(&["reload"]);
    assert!(!good && why.contains("bad.pem") && why.contains("nothing was changed"), "{why}");
    assert!(size(&server).contains("SIZE 1048576"));

    fs::write(server.config(), text).unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(server.pid()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    wait_for("SIGHUP reads it again", Duration::from_secs(10), || size(&server).contains("SIZE 2097152").then_some(()));
}
