//! Counts syncs between the final dot and the 250, which `kill -9` cannot show: the page cache survives it.
//!
//! The trace of the whole server is read in order: a 250 with a spool id may leave only if a sync of the database's log
//! lies between it and the last write before. The same reading is held against SQLite with `synchronous=NORMAL` and `OFF`,
//! and has to condemn both.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Sender, Server, mail, now};

/// What matters in a trace, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Octets were written to the database's log.
    LogWrite,
    /// They were synced.
    Sync,
    /// A sender was told that the mail is ours.
    Acknowledged,
}

fn steps(trace: &str) -> Vec<Step> {
    trace
        .lines()
        .filter_map(|line| {
            let is_log = line.contains(".db-wal");
            if (line.contains("pwrite64(") || line.contains("write(")) && is_log {
                Some(Step::LogWrite)
            } else if (line.contains("fdatasync(") || line.contains("fsync(")) && is_log {
                Some(Step::Sync)
            } else if line.contains("250 2.0.0 ") && (line.contains("held for") || line.contains("on its way")) {
                Some(Step::Acknowledged)
            } else {
                None
            }
        })
        .collect()
}

/// Every acknowledgement stands behind a sync that stands behind the last write: nothing unsynced is acknowledged.
fn all_synced(steps: &[Step]) -> bool {
    let mut dirty = true;
    steps.iter().all(|step| {
        match step {
            Step::LogWrite => dirty = true,
            Step::Sync => dirty = false,
            Step::Acknowledged => return !dirty,
        }
        true
    })
}

fn trace_of(sessions: usize, each: usize) -> (Vec<Step>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let path_text = path.display().to_string();
    let wrapper = [
        "strace",
        "-f",
        "-qq",
        "-y",
        "-s",
        "160",
        "-e",
        "trace=pwrite64,write,fsync,fdatasync,sendto,writev,sendmsg",
        "-o",
        &path_text,
    ];
    let mut server = Server::start_under(&wrapper, "1s", "");
    server.add_account("firma", 25);
    let smtp = server.smtp;
    let senders: Vec<_> = (0..sessions)
        .map(|session| {
            std::thread::spawn(move || {
                let mut sender = Sender::connect(smtp).unwrap();
                for at in 0..each {
                    let reply =
                        sender.send("a@b.example", "x@firma.example", &mail(&format!("{session}-{at}"))).unwrap();
                    assert!(reply.starts_with("250 2.0.0 "), "{reply}");
                }
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    // strace forwards no signal to a traced child that is killed outright, so the server is stopped by its own pid.
    let began = now();
    server.stop_traced();
    assert!(began.elapsed() < Duration::from_secs(60));
    let steps = steps(&std::fs::read_to_string(&path).unwrap());
    let acknowledged = steps.iter().filter(|s| **s == Step::Acknowledged).count();
    (steps, acknowledged)
}

/// Syncs from the first to the last acknowledgement.
fn syncs_while_sending(steps: &[Step]) -> usize {
    let first = steps.iter().position(|s| *s == Step::Acknowledged).unwrap();
    let last = steps.iter().rposition(|s| *s == Step::Acknowledged).unwrap();
    steps[first..last].iter().filter(|s| **s == Step::Sync).count()
}

#[test]
fn each_250_of_a_lone_sender_stands_behind_a_sync() {
    let (steps, acknowledged) = trace_of(1, 60);
    assert_eq!(acknowledged, 60);
    assert!(all_synced(&steps), "a 250 left before its sync");
    let syncs = syncs_while_sending(&steps);
    assert!(syncs >= 59, "{syncs} syncs for 60 messages cannot be: each waited for its own");
    assert!(syncs <= 75, "{syncs} syncs for 60 messages: more than one each");
}

#[test]
fn twenty_senders_share_their_syncs() {
    let (steps, acknowledged) = trace_of(20, 20);
    assert_eq!(acknowledged, 400);
    let syncs = syncs_while_sending(&steps);
    assert!(syncs * 2 < acknowledged, "{syncs} syncs for {acknowledged} messages: no group commit");
    println!("{syncs} syncs for {acknowledged} messages of twenty senders");
}

/// What the reading says of SQLite itself, writing and acknowledging three times with this setting.
fn verdict_on_sqlite(synchronous: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let acknowledged = "INSERT INTO m VALUES (1);\n.print \"250 2.0.0 abc held for firma.example\"\n".repeat(3);
    let script =
        format!("PRAGMA journal_mode=WAL;\nPRAGMA synchronous={synchronous};\nCREATE TABLE m(a);\n{acknowledged}");
    let mut child = Command::new("strace")
        .args(["-f", "-qq", "-y", "-s", "160", "-e", "trace=pwrite64,write,fsync,fdatasync", "-o"])
        .arg(&path)
        .args(["stdbuf", "-o0", "sqlite3"])
        .arg(folder.path().join("x.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let steps = steps(&std::fs::read_to_string(&path).unwrap());
    assert_eq!(steps.iter().filter(|s| **s == Step::Acknowledged).count(), 3, "{steps:?}");
    all_synced(&steps)
}

#[test]
fn the_same_reading_condemns_a_database_without_syncs() {
    assert!(verdict_on_sqlite("FULL"));
    assert!(!verdict_on_sqlite("NORMAL"));
    assert!(!verdict_on_sqlite("OFF"));
}
