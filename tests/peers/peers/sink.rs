//! smtp-sink as primary: hundreds of messages over few connections.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Beats, Server, free_port, wait_for};

struct Sink(Child);

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_spool_of_hundreds_is_flushed_into_smtp_sink() {
    let server = Server::start("1s", "");
    let port = free_port();
    let token = server.add_account("firma", port);
    let to = server.smtp.to_string();
    let filled = Command::new("smtp-source")
        .args(["-s", "10", "-m", "500", "-l", "4096", "-d", "-f", "a@sender.example", "-t", "x@firma.example", &to])
        .status()
        .unwrap();
    assert!(filled.success());
    assert_eq!(server.account("firma")["held"], 500);
    let dump = server.folder().join("dump");
    std::fs::create_dir(&dump).unwrap();
    let _sink = Sink(
        Command::new("smtp-sink")
            .current_dir(&dump)
            .args(["-u", "nobody", "-c", &format!("127.0.13.2:{port}"), "100"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let _beats = Beats::start(&server, "firma", &token, "127.0.13.2", Some("1s"));
    wait_for("everything is delivered", Duration::from_secs(30), || {
        (server.account("firma")["held"] == 0).then_some(())
    });
    let shown = server.account("firma");
    assert_eq!((shown["refused"].as_u64(), shown["last_flush"]["delivered"].as_u64()), (Some(0), Some(500)), "{shown}");
    assert!(server.is_balanced("firma"));
}
