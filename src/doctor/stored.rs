//! What is stored: does the database read well, do its heartbeat keys open, do the counts of mail add up?

use super::Settings;
use super::check::Finding;
use crate::account::{AccountStore, Directory, SealKey};
use crate::alert::AlertStore;
use crate::alert::office::{shown, unreached};
use crate::base::Clock;
use crate::spool::SpoolStore;
use crate::store::sqlite::SqliteStore;

/// Looks at the database without changing it; the server may be running.
pub async fn examine(settings: &Settings) -> Vec<Finding> {
    const WHAT: &str = "database";
    let path = settings.database.clone();
    if !path.exists() {
        return vec![Finding::broken(WHAT, format!("{} does not exist", path.display()), "start the server once")];
    }
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open_read_only(&path)).await;
    let store = match opened {
        Ok(Ok(store)) => store,
        Ok(Err(error)) => {
            return vec![Finding::broken(WHAT, error.to_string(), "restore the last backup beside it and compare")];
        }
        Err(error) => return vec![Finding::broken(WHAT, error.to_string(), "look into the log")],
    };
    let mut findings = vec![match store.integrity().await {
        Ok(faults) if faults.is_empty() => Finding::fine(WHAT, "passes SQLite's quick check"),
        Ok(faults) => {
            Finding::broken(WHAT, faults.join("; "), "stop the server, copy the data folder, restore the last backup")
        }
        Err(error) => Finding::broken(WHAT, error.to_string(), "look into the log"),
    }];
    match store.load_directory(Clock.wall()).await {
        Ok(directory) => {
            findings.push(keys(settings, &directory));
            findings.extend(counts(&store, &directory).await);
            findings.push(alerts(&store, &directory).await);
        }
        Err(error) => findings.push(Finding::broken("accounts", error.to_string(), "look into the log")),
    }
    findings
}

fn keys(settings: &Settings, directory: &Directory) -> Finding {
    const WHAT: &str = "heartbeat keys";
    let path = settings.data_dir.join("seal.key");
    let key = std::fs::read(&path).ok().and_then(|octets| <[u8; 32]>::try_from(octets).ok()).map(SealKey::new);
    let Some(seal) = key else {
        return Finding::broken(
            WHAT,
            format!("{} cannot be read", path.display()),
            "run as the server's user, or restore the file",
        );
    };
    let closed = directory.beat_keys().iter().filter(|k| seal.open(&k.sealed_mac_keys, &k.locator).is_err()).count();
    if closed == 0 {
        Finding::fine(WHAT, format!("all {} open", directory.beat_keys().len()))
    } else {
        Finding::broken(
            WHAT,
            format!("{closed} of {} do not open with this seal key", directory.beat_keys().len()),
            "restore the seal.key that belongs to this database, or renew tokens with `pulsemx account rotate`",
        )
    }
}

/// Whom no alert reaches.
async fn alerts(store: &SqliteStore, directory: &Directory) -> Finding {
    const WHAT: &str = "alerts";
    let channels = match store.load_alerts().await {
        Ok(rows) => shown(&rows, directory, |_| true),
        Err(error) => return Finding::broken(WHAT, error.to_string(), "look into the log"),
    };
    let (unreached, failing) = (unreached(&channels), channels.iter().filter(|channel| channel.is_failing()).count());
    if !unreached.is_empty() {
        let words = format!("nothing reaches {}: all their channels fail", unreached.join(", "));
        return Finding::warning(
            WHAT,
            words,
            "see `pulsemx alert list`, mend the channel, try `pulsemx alert test ID`",
        );
    }
    match failing {
        0 if channels.is_empty() => Finding::fine(WHAT, "no channels; the log alone tells"),
        0 => Finding::fine(WHAT, format!("{} channels, none fails", channels.len())),
        _ => {
            let words = format!("{failing} of {} channels fail; others reach the same people", channels.len());
            Finding::warning(WHAT, words, "see `pulsemx alert list`")
        }
    }
}

async fn counts(store: &SqliteStore, directory: &Directory) -> Vec<Finding> {
    const WHAT: &str = "mail count";
    let mut findings = Vec::new();
    for account in directory.accounts() {
        match store.tally(account.id).await {
            Ok(tally) if tally.is_balanced() => {}
            Ok(tally) => findings.push(Finding::broken(
                WHAT,
                format!("{}: {tally:?} does not add up", account.name),
                "keep the data folder and report this: a recipient is unaccounted for",
            )),
            Err(error) => findings.push(Finding::broken(WHAT, error.to_string(), "look into the log")),
        }
    }
    if findings.is_empty() {
        findings.push(Finding::fine(
            WHAT,
            format!(
                "accepted = delivered + deleted + waiting + refused for all {} accounts",
                directory.accounts().len()
            ),
        ));
    }
    findings
}
