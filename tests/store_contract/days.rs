//! What days amount to, times of which nothing is known, and the rhythm of clients.

use std::time::Duration;

use chrono::{Days, NaiveDate};
use pulsemx::base::{AccountId, Clock, EndpointId, WallTime};
use pulsemx::liveness::{
    AddressChange, Cause, HistoryRow, IntervalChange, LineState, NoData, Transition, WatchedEndpoint,
};

use crate::engine::{Engine, account, at, for_each_engine};

for_each_engine! {
    days_are_counted_with_the_rows_and_survive_a_restart,
    the_days_of_one_account_are_not_anothers,
    a_time_without_data_is_known_at_the_start_and_counts_for_itself,
    the_rhythm_of_a_client_is_known_at_the_start,
    old_rows_go_and_the_days_stay,
}

const HOUR: i64 = 3_600;

/// `at(0)` is 08:00 of this day.
fn day(number: u64) -> NaiveDate {
    at(0).date_naive() + Days::new(number)
}

fn went(account: AccountId, endpoint: EndpointId, to: LineState, second: i64) -> HistoryRow {
    let (from, cause, when) = (LineState::Online, Cause::Beat, at(second));
    HistoryRow::State(Transition { account, endpoint, from, to, cause, at: when, since: when, address: None })
}

fn no_data(account: AccountId, endpoint: EndpointId, since: i64, second: i64, is_over: bool) -> HistoryRow {
    HistoryRow::NoData(NoData { account, endpoint, since: at(since), at: at(second), is_over })
}

async fn days_are_counted_with_the_rows_and_survive_a_restart(mut engine: Engine) {
    let (firma, endpoint) = account(engine.store(), "firma", 1).await;
    let address = "192.0.2.1".parse().unwrap();
    let moved = AddressChange { account: firma, endpoint, from: Some(address), to: address, at: at(3 * HOUR) };
    engine.store().append(vec![went(firma, endpoint, LineState::Online, 0)]).await.unwrap();
    engine.restart();
    let rows = vec![
        went(firma, endpoint, LineState::Offline, HOUR),
        went(firma, endpoint, LineState::Online, 2 * HOUR),
        HistoryRow::Address(moved),
        went(firma, endpoint, LineState::Offline, 2 * 24 * HOUR),
    ];
    engine.store().append(rows).await.unwrap();
    engine.restart();
    let days = engine.store().days(firma, day(0), day(3), at(3 * 24 * HOUR)).await.unwrap();
    let sums: Vec<_> = days.iter().map(|d| (d.online_s / 3_600, d.offline_s, d.outages, d.address_changes)).collect();
    assert_eq!(sums, [(15, 3_600, 1, 1), (24, 0, 0, 0), (8, 16 * 3_600, 1, 0), (0, 8 * 3_600, 0, 0)]);
    assert_eq!(days[1].day, day(1));
    assert_eq!(engine.store().days(firma, day(1), day(1), at(99 * HOUR)).await.unwrap(), [days[1]]);
}

async fn the_days_of_one_account_are_not_anothers(engine: Engine) {
    let (firma, endpoint) = account(engine.store(), "firma", 1).await;
    let (other, _) = account(engine.store(), "other", 2).await;
    engine.store().append(vec![went(firma, endpoint, LineState::Online, 0)]).await.unwrap();
    let days = engine.store().days(other, day(0), day(1), at(30 * HOUR)).await.unwrap();
    assert!(days.iter().all(|day| day.online_s + day.offline_s + day.no_data_s == 0), "{days:?}");
    let gone = EndpointId(endpoint.0 + 1_000);
    engine.store().append(vec![went(firma, gone, LineState::Offline, HOUR)]).await.unwrap();
    assert_eq!(engine.store().days(firma, day(0), day(0), at(9 * HOUR)).await.unwrap()[0].outages, 0);
}

async fn a_time_without_data_is_known_at_the_start_and_counts_for_itself(mut engine: Engine) {
    let (firma, endpoint) = account(engine.store(), "firma", 1).await;
    let begun = no_data(firma, endpoint, HOUR, HOUR + 12, false);
    let online = went(firma, endpoint, LineState::Online, 0);
    engine.store().append(vec![online, begun.clone()]).await.unwrap();
    engine.restart();
    let known = engine.store().load().await.unwrap();
    assert_eq!(known[0].no_data_since, Some(at(HOUR)));
    assert_eq!(known[0].state, LineState::Online);
    let over = no_data(firma, endpoint, HOUR, 3 * HOUR, true);
    engine.store().append(vec![over.clone()]).await.unwrap();
    engine.restart();
    assert_eq!(engine.store().load().await.unwrap()[0].no_data_since, None);
    assert_eq!(engine.store().history(firma, 2).await.unwrap(), [over, begun]);
    let today = engine.store().days(firma, day(0), day(0), at(4 * HOUR)).await.unwrap()[0];
    assert_eq!((today.online_s, today.no_data_s, today.outages), (7_200, 7_200, 0));
}

async fn the_rhythm_of_a_client_is_known_at_the_start(mut engine: Engine) {
    let (firma, endpoint) = account(engine.store(), "firma", 1).await;
    let change = |seconds, second| {
        let interval = Duration::from_secs(seconds);
        HistoryRow::Interval(IntervalChange { account: firma, endpoint, interval, at: at(second) })
    };
    engine.store().append(vec![change(30, 1)]).await.unwrap();
    engine.restart();
    let known = |interval| WatchedEndpoint { interval: Some(interval), ..WatchedEndpoint::new(firma, endpoint) };
    assert_eq!(engine.store().load().await.unwrap(), [known(Duration::from_secs(30))]);
    engine.store().append(vec![went(firma, endpoint, LineState::Online, 2), change(60, 3)]).await.unwrap();
    engine.restart();
    let line = &engine.store().load().await.unwrap()[0];
    assert_eq!((line.state, line.interval), (LineState::Online, Some(Duration::from_secs(60))));
    assert_eq!(engine.store().history(firma, 1).await.unwrap(), [change(60, 3)]);
}

async fn old_rows_go_and_the_days_stay(engine: Engine) {
    let (firma, endpoint) = account(engine.store(), "firma", 1).await;
    let rows = vec![
        went(firma, endpoint, LineState::Online, 0),
        went(firma, endpoint, LineState::Offline, HOUR),
        went(firma, endpoint, LineState::Online, 2 * HOUR),
    ];
    engine.store().append(rows).await.unwrap();
    let before = engine.store().days(firma, day(0), day(0), at(24 * HOUR)).await.unwrap();
    assert_eq!(engine.store().purge_history(at(2 * HOUR)).await.unwrap(), 2);
    assert_eq!(engine.store().purge_history(at(2 * HOUR)).await.unwrap(), 0);
    assert_eq!(engine.store().history(firma, 9).await.unwrap().len(), 1);
    assert_eq!(engine.store().days(firma, day(0), day(0), at(24 * HOUR)).await.unwrap(), before);
    assert_eq!(engine.store().load().await.unwrap()[0].state, LineState::Online);
}

/// What 10,000 accounts with an outage a week may take for a year of days.
const YEAR_OCTETS_MAX: u64 = 40_000_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_year_of_days_is_small_and_read_in_milliseconds() {
    const ACCOUNTS: u8 = 100;
    let mut engine = Engine::sqlite();
    let mut accounts = Vec::new();
    for number in 1..=ACCOUNTS {
        accounts.push(account(engine.store(), &format!("firma{number}"), number).await);
    }
    for week in 0..52 {
        let begin = week * 7 * 24 * HOUR;
        let rows = accounts.iter().flat_map(|(account, endpoint)| {
            [
                went(*account, *endpoint, LineState::Online, begin),
                went(*account, *endpoint, LineState::Offline, begin + 30 * HOUR),
                went(*account, *endpoint, LineState::Returning, begin + 31 * HOUR),
                went(*account, *endpoint, LineState::Online, begin + 31 * HOUR + 1),
            ]
        });
        engine.store().append(rows.collect()).await.unwrap();
    }
    let now: WallTime = at(364 * 24 * HOUR);
    let begin = Clock.monotonic();
    for (account, _) in &accounts {
        let days = engine.store().days(*account, day(0), day(364), now).await.unwrap();
        assert_eq!(days.len(), 365);
        assert_eq!(days.iter().map(|day| day.outages).sum::<u32>(), 52);
        let known: u64 = days.iter().map(|day| u64::from(day.online_s + day.offline_s)).sum();
        assert_eq!(known, 364 * 86_400);
    }
    let each = Clock.monotonic().since(begin) / u32::from(ACCOUNTS);
    engine.restart();
    let Engine::Sqlite { store, directory } = &engine else { panic!() };
    store.close();
    let database = rusqlite::Connection::open(Engine::path(directory)).unwrap();
    let octets: i64 =
        database.query_row("SELECT sum(pgsize) FROM dbstat WHERE name = 'day'", [], |row| row.get(0)).unwrap();
    let year = octets.unsigned_abs() * 10_000 / u64::from(ACCOUNTS);
    println!("days of a year: {each:?} to read, {year} octets for 10,000 accounts");
    assert!(each < Duration::from_millis(50), "{each:?}");
    assert!(year < YEAR_OCTETS_MAX, "{year} octets for 10,000 accounts");
}
