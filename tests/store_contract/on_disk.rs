//! What only the engine on disk can promise.

use std::sync::Arc;
use std::time::Duration;

use pulsemx::account::{AccountError, AccountStore};
use pulsemx::spool::{CommitError, SpoolStore};
use pulsemx::store::sqlite::Settings;
use pulsemx::store::{OpenError, SqliteStore};

use crate::engine::{Engine, account, at, change, claim, delivered, id, message, new_account, report};

fn opened() -> (Arc<SqliteStore>, tempfile::TempDir) {
    match Engine::sqlite() {
        Engine::Sqlite { store, directory } => (store, directory),
        Engine::Memory(_) => unreachable!(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_commits_shares_few_syncs() {
    const CROWD: i64 = 500;
    let (store, _directory) = opened();
    let (firma, _) = account(&*store, "firma", 1).await;
    let before = store.statistics();
    let crowd: Vec<_> = (1..=CROWD)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.intake_commit(message(number, &[(firma, "a@firma.example")])).await })
        })
        .collect();
    for one in crowd {
        one.await.unwrap().unwrap();
    }
    let after = store.statistics();
    assert_eq!(after.messages - before.messages, CROWD.unsigned_abs());
    let commits = after.commits - before.commits;
    assert!(commits < CROWD.unsigned_abs() / 4, "{commits} commits for {CROWD} messages");
    assert_eq!(after.synced_commits - before.synced_commits, commits, "each of them was synced");
}

#[tokio::test]
async fn claims_are_not_synced_one_by_one_but_within_their_time() {
    let (store, _directory) = opened();
    let (firma, _) = account(&*store, "firma", 1).await;
    for number in 1..=20 {
        store.intake_commit(message(number, &[(firma, "a@firma.example")])).await.unwrap();
    }
    let before = store.statistics();
    claim(&*store, firma, 99).await;
    let after = store.statistics();
    assert_eq!(after.commits - before.commits, 1);
    tokio::time::timeout(Duration::from_secs(20), async {
        while store.statistics().synced_commits == before.synced_commits {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the claim is synced by itself");
}

#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let (store, directory) = opened();
    let second = SqliteStore::open(Settings::at(Engine::path(&directory)));
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    store.close();
    SqliteStore::open(Settings::at(Engine::path(&directory))).unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_a_sentence() {
    let (store, directory) = opened();
    drop(store);
    let path = Engine::path(&directory);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for refused in [SqliteStore::open(Settings::at(path.clone())), SqliteStore::open_read_only(&path)] {
        let sentence = refused.unwrap_err().to_string();
        assert!(sentence.contains("newer pulsemx") && sentence.contains("99"), "{sentence}");
        assert!(sentence.contains(&path.display().to_string()), "{sentence}");
    }
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = Engine::path(&directory);
    std::fs::write(&path, "dear diary, ".repeat(200)).unwrap();
    let refused = SqliteStore::open(Settings::at(path.clone())).unwrap_err().to_string();
    assert!(refused.contains("damaged"), "{refused}");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("dear diary"));
}

#[tokio::test]
async fn a_stopped_server_can_be_looked_at_and_not_changed() {
    let (store, directory) = opened();
    let (firma, _) = account(&*store, "firma", 1).await;
    store.intake_commit(message(1, &[(firma, "a@firma.example")])).await.unwrap();
    store.close();
    let path = Engine::path(&directory);
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["pulsemx.db", "pulsemx.db.lock"], "a clean stop leaves no log");
    let before = std::fs::read(&path).unwrap();
    let looking = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(looking.usage(firma).waiting, 1);
    assert!(looking.show(id(1)).await.unwrap().is_some());
    let changed = looking.create_account(new_account("x", 9), change(1)).await;
    assert!(matches!(changed, Err(AccountError::Engine(_))), "{changed:?}");
    let taken = looking.intake_commit(message(2, &[(firma, "a@firma.example")])).await;
    assert!(matches!(taken, Err(CommitError::NotStored(_))), "{taken:?}");
    drop(looking);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(names(), ["pulsemx.db", "pulsemx.db.lock"]);
}

#[tokio::test]
async fn a_killed_server_can_be_looked_at_with_its_last_commits() {
    let (store, directory) = opened();
    let (firma, _) = account(&*store, "firma", 1).await;
    store.intake_commit(message(1, &[(firma, "a@firma.example")])).await.unwrap();
    // A copy of the files of a running server is what a crash leaves.
    let crashed = tempfile::tempdir().unwrap();
    for name in ["pulsemx.db", "pulsemx.db-wal"] {
        std::fs::copy(directory.path().join(name), crashed.path().join(name)).unwrap();
    }
    let looking = SqliteStore::open_read_only(&Engine::path(&crashed)).unwrap();
    assert!(looking.show(id(1)).await.unwrap().is_some());
    drop(looking);
    let again = SqliteStore::open(Settings::at(Engine::path(&crashed))).unwrap();
    assert!(again.tally(firma).await.unwrap().is_balanced());
    assert_eq!(again.usage(firma).waiting, 1);
}

#[tokio::test]
async fn an_odd_row_is_skipped_and_kept() {
    let (store, directory) = opened();
    let (firma, _) = account(&*store, "firma", 1).await;
    for number in 1..=3 {
        store.intake_commit(message(number, &[(firma, "a@firma.example")])).await.unwrap();
    }
    store.close();
    let path = Engine::path(&directory);
    let odd = rusqlite::Connection::open(&path).unwrap();
    odd.execute("UPDATE message SET body = 'odd' WHERE id = 1", []).unwrap();
    odd.execute("UPDATE recipient SET mailbox = 'nobody' WHERE message = 2", []).unwrap();
    drop(odd);
    let store = SqliteStore::open(Settings::at(path.clone())).unwrap();
    let claimed = claim(&*store, firma, 99).await;
    assert_eq!(claimed.iter().map(|m| m.id.as_i64()).collect::<Vec<_>>(), [3]);
    assert_eq!(store.tally(firma).await.unwrap().waiting, 3, "nothing was deleted");
}

#[tokio::test]
async fn after_close_everything_is_refused_and_nothing_hangs() {
    let (store, _directory) = opened();
    let (firma, _) = account(&*store, "firma", 1).await;
    store.close();
    store.close();
    assert!(store.intake_commit(message(1, &[(firma, "a@firma.example")])).await.is_err());
    assert!(store.load_directory(at(1)).await.is_err());
}

#[tokio::test]
async fn one_failing_operation_does_not_spoil_its_group() {
    let (store, _directory) = opened();
    let (firma, _) = account(&*store, "firma", 1).await;
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for number in 1..=40 {
        let mut mail = message(number, &[(firma, "a@firma.example")]);
        let is_bad = number % 3 == 0;
        mail.octets += u64::from(is_bad);
        let store = Arc::clone(&store);
        let task = tokio::spawn(async move { store.intake_commit(mail).await });
        if is_bad { bad.push(task) } else { good.push(task) }
    }
    for task in good {
        task.await.unwrap().unwrap();
    }
    for task in bad {
        task.await.unwrap().unwrap_err();
    }
    assert_eq!(store.tally(firma).await.unwrap().accepted, 27);
    claim(&*store, firma, 99).await;
    report(&*store, 1, &[(0, delivered())], 99).await;
    assert!(store.tally(firma).await.unwrap().is_balanced());
}

/// A flush leaves a file that is nearly all free pages; they go back to the disk while mail comes and goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_shrinks_after_a_big_flush_while_mail_still_comes() {
    const MESSAGES: i64 = 120;
    const PIECES: u32 = 8;
    let (store, directory) = opened();
    let (firma, _) = account(&*store, "firma", 1).await;
    let piece = bytes::Bytes::from(vec![b'x'; pulsemx::spool::CHUNK_OCTETS_MAX]);
    for number in 1..=MESSAGES {
        for ordinal in 0..PIECES {
            store.intake_chunk(id(number), ordinal, piece.clone()).await.unwrap();
        }
        let mut whole = message(number, &[(firma, "a@firma.example")]);
        whole.chunks_ahead = PIECES;
        whole.octets += u64::from(PIECES) * piece.len() as u64;
        store.intake_commit(whole).await.unwrap();
    }
    let size = || std::fs::metadata(Engine::path(&directory)).unwrap().len();
    let full = u64::from(PIECES) * MESSAGES.unsigned_abs() * piece.len() as u64;
    let until = async |what: &str, is_so: &dyn Fn() -> bool| {
        tokio::time::timeout(Duration::from_secs(120), async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{what}: {} of {full} octets", size()));
    };
    until("the mail is in the file", &|| size() >= full).await;
    loop {
        let claimed = claim(&*store, firma, 99).await;
        if claimed.is_empty() {
            break;
        }
        for one in claimed {
            report(&*store, one.id.as_i64(), &[(0, delivered())], 100).await;
        }
    }
    let newcomer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in 1_000..1_020 {
                store.intake_commit(message(number, &[(firma, "b@firma.example")])).await.unwrap();
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
        })
    };
    until("the file gives its pages back", &|| size() < full / 5).await;
    newcomer.await.unwrap();
    store.close();
    let store = SqliteStore::open(Settings::at(Engine::path(&directory))).unwrap();
    assert_eq!(store.usage(firma).waiting, 20, "what came meanwhile is all there");
    assert!(store.tally(firma).await.unwrap().is_balanced());
}
