//! What a year of history costs: how large it is on the disk, how long a page waits for it.
//!
//! `cargo bench --bench history` takes a few minutes; `PULSEMX_BENCH_ACCOUNTS=500 cargo bench --bench history` half a
//! one. Every account has an outage and a new address each week. Prints lines `figure NAME NUMBER`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, TimeZone};
use pulsemx::account::{AccountStore, BeatKeyRecord, Change, NewAccount};
use pulsemx::base::{AccountId, EndpointId, WallTime};
use pulsemx::liveness::{AddressChange, Cause, HistoryRow, LineState, Transition, TransitionLog};
use pulsemx::store::SqliteStore;
use pulsemx::store::sqlite::Settings;

const ACCOUNTS: i64 = 10_000;
/// Accounts that are made at the same time, so that they share syncs.
const TOGETHER: usize = 200;
/// Rows in one transaction, as after a mass of changes.
const ROWS_TOGETHER: usize = 20_000;
/// Accounts whose pages are read.
const READ: i64 = 500;
/// Rows that a page shows.
const PAGE_ROWS: u32 = 50;
const WEEK: i64 = 7 * 86_400;
const WEEKS: i64 = 52;
const BEGIN: i64 = 1_763_956_800;

fn at(second: i64) -> WallTime {
    chrono::Utc.timestamp_opt(BEGIN + second, 0).unwrap()
}

fn day(second: i64) -> NaiveDate {
    at(second).date_naive()
}

fn account(number: i64) -> NewAccount {
    let octets = *blake3::hash(&number.to_le_bytes()).as_bytes();
    NewAccount {
        name: format!("account{number}").parse().unwrap(),
        host: format!("mail{number}.dyn.example").parse().unwrap(),
        smtp_port: 25,
        domains: vec![format!("domain{number}.example").parse().unwrap()],
        key: BeatKeyRecord {
            endpoint: EndpointId(0),
            locator: octets[..8].try_into().unwrap(),
            sealed_mac_keys: vec![0; 104],
            move_key: octets,
            bearer_verifier: octets,
            created_at: at(0),
            expires_at: None,
        },
    }
}

/// An outage of some minutes and an address that is another one after it.
fn week((account, endpoint): (AccountId, EndpointId), week: i64) -> Vec<HistoryRow> {
    let begin = week * WEEK + (account.0 * 7_919) % (WEEK - 10_000);
    let address = |week: i64| std::net::Ipv4Addr::from(0xcb00_7100 + u32::try_from(account.0 * 64 + week).unwrap());
    let row = |from, to, cause, second, since| {
        let (at, since, address) = (at(second), at(since), Some(address(week).into()));
        HistoryRow::State(Transition { account, endpoint, from, to, cause, at, since, address })
    };
    let back = begin + 60 + account.0 % 3_600;
    let (from, to) = (Some(address(week).into()), address(week + 1).into());
    vec![
        row(LineState::Online, LineState::Offline, Cause::MissedBeats, begin + 12, begin),
        HistoryRow::Address(AddressChange { account, endpoint, from, to, at: at(back) }),
        row(LineState::Offline, LineState::Returning, Cause::Beat, back, back),
        row(LineState::Returning, LineState::Online, Cause::Confirmed, back + 5, back + 5),
    ]
}

async fn make_accounts(store: &Arc<SqliteStore>, accounts: i64) -> Vec<(AccountId, EndpointId)> {
    let mut made = Vec::new();
    let numbers: Vec<i64> = (0..accounts).collect();
    for some in numbers.chunks(TOGETHER) {
        let change = Change { at: at(0), who: "bench".to_owned() };
        let making = some.iter().map(|number| {
            let (store, new, change) = (Arc::clone(store), account(*number), change.clone());
            tokio::spawn(async move { store.create_account(new, change).await.unwrap() })
        });
        for account in making.collect::<Vec<_>>() {
            made.push(account.await.unwrap());
        }
    }
    made
}

fn octets(folder: &Path) -> u64 {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

fn median(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let ms = |time: &Duration| time.as_secs_f64() * 1_000.0;
    (ms(&times[times.len() / 2]), ms(times.last().unwrap()))
}

fn main() {
    let accounts = std::env::var("PULSEMX_BENCH_ACCOUNTS").map_or(ACCOUNTS, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir().unwrap();
    let settings = || Settings::at(folder.path().join("pulsemx.db"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store = SqliteStore::open(settings()).unwrap();
    let made = runtime.block_on(make_accounts(&store, accounts));
    store.close();
    let before = octets(folder.path());
    let store = SqliteStore::open(settings()).unwrap();
    let begun = Instant::now();
    let mut rows = 0;
    runtime.block_on(async {
        let new = |(account, endpoint): &(AccountId, EndpointId)| {
            let (from, to, cause) = (LineState::New, LineState::Online, Cause::Confirmed);
            let (account, endpoint, address) = (*account, *endpoint, None);
            HistoryRow::State(Transition { account, endpoint, from, to, cause, at: at(0), since: at(0), address })
        };
        store.append(made.iter().map(new).collect()).await.unwrap();
        for number in 0..WEEKS {
            let all: Vec<HistoryRow> = made.iter().flat_map(|account| week(*account, number)).collect();
            rows += all.len();
            for some in all.chunks(ROWS_TOGETHER) {
                store.append(some.to_vec()).await.unwrap();
            }
        }
    });
    println!("accounts {accounts}, {rows} rows written in {:.1?}", begun.elapsed());
    // Closed, so that all of it is in one file.
    store.close();
    let octets = octets(folder.path()) - before;
    let store = SqliteStore::open(settings()).unwrap();
    let step = (accounts / READ).max(1);
    let (mut pages, mut years) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        for (account, _) in made.iter().step_by(usize::try_from(step).unwrap()) {
            let begun = Instant::now();
            assert_eq!(store.history(*account, PAGE_ROWS).await.unwrap().len(), usize::try_from(PAGE_ROWS).unwrap());
            pages.push(begun.elapsed());
            let end = WEEKS * WEEK;
            let begun = Instant::now();
            let days = store.days(*account, day(0), day(end), at(end)).await.unwrap();
            years.push(begun.elapsed());
            assert_eq!(days.iter().map(|day| day.outages).sum::<u32>(), u32::try_from(WEEKS).unwrap());
        }
    });
    let ((page, page_max), (year, year_max)) = (median(pages), median(years));
    println!("figure history_mib {:.0}", octets as f64 / 1_048_576.0);
    println!("figure history_octets_per_account_year {}", octets / u64::try_from(accounts).unwrap());
    println!("figure history_page_ms {page:.2} (slowest {page_max:.2})");
    println!("figure history_year_of_days_ms {year:.2} (slowest {year_max:.2})");
    store.close();
}
