//! What is left when the process dies without a word in the middle of everything.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use pulsemx::account::AccountStore;
use pulsemx::spool::{IntakeStatus, SpoolStore};
use pulsemx::store::SqliteStore;
use pulsemx::store::sqlite::Settings;

use crate::engine::{account, at, claim, delivered, id, message, report};

/// Tells the child which database to work on.
const DATABASE: &str = "PULSEMX_TEST_CRASH_DATABASE";
/// Acknowledged messages after which the child is killed.
const LINES: usize = 150;

#[test]
fn every_acknowledged_message_is_there_after_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pulsemx.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::the_process_that_is_killed", "--exact", "--nocapture"])
        .env(DATABASE, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        acknowledged.extend(line.strip_prefix("stored ").map(|number| number.parse::<i64>().unwrap()));
        if acknowledged.len() == LINES {
            // What it still says until it is dead counts as well.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= LINES, "the child ended early");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(nothing_is_lost(path, acknowledged));
}

async fn nothing_is_lost(path: PathBuf, acknowledged: Vec<i64>) {
    let store = SqliteStore::open(Settings::at(path)).unwrap();
    let firma = store.load_directory(at(0)).await.unwrap().account_named("firma").unwrap().id;
    store.recover().await.unwrap();
    let tally = store.tally(firma).await.unwrap();
    assert!(tally.is_balanced(), "{tally:?}");
    assert!(tally.accepted >= acknowledged.len() as u64);
    assert_eq!(store.usage(firma).waiting, tally.waiting, "one recipient each");
    for number in acknowledged {
        assert_eq!(store.intake_status(id(number)).await.unwrap(), IntakeStatus::Committed, "{number}");
        let row = store.show(id(number)).await.unwrap().unwrap().row;
        if row.recipients[0].state.is_waiting() {
            for ordinal in 0..2 {
                store.body_chunk(id(number), ordinal).await.unwrap();
            }
        }
    }
}

/// Not a test by itself: the child of the one above. Senders with a piece ahead, and a delivery beside them.
#[test]
fn the_process_that_is_killed() {
    let Some(path) = std::env::var_os(DATABASE) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(Settings::at(path.into())).unwrap();
        let (firma, _) = account(&*store, "firma", 1).await;
        for sender in 0..4i64 {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in (1..).map(|place| place * 4 + sender) {
                    let mut mail = message(number, &[(firma, "a@firma.example")]);
                    store.intake_chunk(mail.id, 0, Bytes::from_static(b"ahead")).await.unwrap();
                    mail.chunks_ahead = 1;
                    mail.octets += 5;
                    store.intake_commit(mail).await.unwrap();
                    println!("stored {number}");
                }
            });
        }
        // Ends by itself should nobody kill it.
        for _ in 0..20_000 {
            for claimed in claim(&*store, firma, 1_000_000).await.iter().step_by(2) {
                report(&*store, claimed.id.as_i64(), &[(0, delivered())], 1_000_000).await;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
}
