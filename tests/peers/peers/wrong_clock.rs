//! A machine that begins in 1970, as one without a battery does, on a line that lets no UDP through.

use std::net::UdpSocket;
use std::time::Duration;

use crate::support::{Client, Secure, wait_for};

/// The clock of the wall only: the running clock of such a machine goes right. The library by itself, since the program
/// `faketime` stays between a client and whoever ends it.
const IN_1970: [&str; 5] = [
    "env",
    "LD_PRELOAD=/usr/$LIB/faketime/libfaketime.so.1",
    "FAKETIME=@1970-01-02 00:00:00",
    "DONT_FAKE_MONOTONIC=1",
    "FAKETIME_DONT_FAKE_MONOTONIC=1",
];

const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_client_whose_clock_is_wrong_beats_over_https_and_learns_the_time_from_the_server() {
    let mut secure = Secure::start("1s");
    let token = secure.server.add_account("firma", 25);
    secure.server.stop();
    let text = std::fs::read_to_string(secure.server.config()).unwrap();
    let aged = text.replace("[heartbeat]\n", "[heartbeat]\nrenew_tokens_after = \"1s\"\n");
    assert_ne!(text, aged);
    std::fs::write(secure.server.config(), aged).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    secure.server.run();
    let dead = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = dead.local_addr().unwrap().to_string();
    let arguments = [&["--server", udp.as_str(), "--bind", "127.0.0.7"], secure.arguments().as_slice()].concat();
    let client = Client::start_under(&IN_1970, &token, &arguments);
    secure.server.wait_state("firma", "online", SOON);
    // A secret goes only where the certificate's dates hold, which they do now that the time is known.
    client.wait_said("the token was renewed", SOON);
    drop(client);
    // A command of its own has nobody to tell it the time, and says what is wrong.
    let status = std::process::Command::new(IN_1970[0])
        .args(&IN_1970[1..])
        .args([crate::support::PULSEMX_BEAT, "status", "--token-file"])
        .arg(&token)
        .args(secure.arguments())
        .output()
        .unwrap();
    assert!(!status.status.success());
    let said = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(said.contains("not valid yet") && said.contains("1970-01-02"), "{said}");
    wait_for("the line goes down with its client", SOON, || (secure.server.state("firma") == "offline").then_some(()));
}
