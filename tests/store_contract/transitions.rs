//! The history of the lines.

use std::net::IpAddr;

use pulsemx::base::{AccountId, EndpointId};
use pulsemx::liveness::{AddressChange, Cause, HistoryRow, LineState, Transition, WatchedEndpoint};

use crate::engine::{Engine, account, at, for_each_engine};

for_each_engine! {
    history_is_newest_first_and_keeps_every_field,
    the_last_state_of_each_line_is_known_at_the_start,
    an_outage_that_was_told_is_remembered_until_the_line_is_back,
    proven_addresses_are_known_at_the_start,
    a_proven_address_becomes_the_address_of_the_server,
    rows_of_servers_that_are_gone_are_dropped,
}

fn went(account: AccountId, endpoint: EndpointId, from: LineState, to: LineState, second: i64) -> HistoryRow {
    HistoryRow::State(Transition {
        account,
        endpoint,
        from,
        to,
        cause: Cause::MissedBeats,
        at: at(second),
        since: at(second - 3),
        address: Some("2001:db8::1".parse().unwrap()),
    })
}

fn moved(account: AccountId, endpoint: EndpointId, to: &str, second: i64) -> HistoryRow {
    let to: IpAddr = to.parse().unwrap();
    HistoryRow::Address(AddressChange { account, endpoint, from: None, to, at: at(second) })
}

async fn history_is_newest_first_and_keeps_every_field(mut engine: Engine) {
    let (firma, endpoint) = account(engine.store(), "firma", 1).await;
    let (other, other_endpoint) = account(engine.store(), "other", 2).await;
    let rows = vec![
        went(firma, endpoint, LineState::New, LineState::Online, 10),
        moved(firma, endpoint, "192.0.2.1", 5),
        went(firma, endpoint, LineState::Online, LineState::Offline, 20),
    ];
    engine.store().append(rows.clone()).await.unwrap();
    engine.store().append(vec![moved(other, other_endpoint, "192.0.2.2", 9)]).await.unwrap();
    engine.restart();
    let expected: Vec<HistoryRow> = rows.into_iter().rev().collect();
    assert_eq!(engine.store().history(firma, 10).await.unwrap(), expected);
    assert_eq!(engine.store().history(firma, 2).await.unwrap(), expected[..2]);
}

async fn the_last_state_of_each_line_is_known_at_the_start(mut engine: Engine) {
    let (firma, endpoint) = account(engine.store(), "firma", 1).await;
    let (other, other_endpoint) = account(engine.store(), "other", 2).await;
    let rows = vec![
        went(firma, endpoint, LineState::New, LineState::Online, 10),
        went(firma, endpoint, LineState::Online, LineState::Offline, 20),
    ];
    engine.store().append(rows).await.unwrap();
    engine.restart();
    let known = engine.store().load().await.unwrap();
    assert_eq!(
        known,
        [
            WatchedEndpoint {
                state: LineState::Offline,
                since: Some(at(17)),
                cause: Some(Cause::MissedBeats),
                ..WatchedEndpoint::new(firma, endpoint)
            },
            WatchedEndpoint::new(other, other_endpoint),
        ]
    );
}

async fn an_outage_that_was_told_is_remembered_until_the_line_is_back(mut engine: Engine) {
    let (firma, endpoint) = account(engine.store(), "firma", 1).await;
    let told = async |engine: &mut Engine| {
        engine.restart();
        engine.store().load().await.unwrap().first().unwrap().told_since
    };
    engine.store().append(vec![went(firma, endpoint, LineState::Online, LineState::Offline, 20)]).await.unwrap();
    assert_eq!(told(&mut engine).await, None);
    engine.store().note_told(endpoint, at(17)).await.unwrap();
    engine.store().note_told(EndpointId(endpoint.0 + 1_000), at(17)).await.unwrap();
    assert_eq!(told(&mut engine).await, Some(at(17)));
    engine.store().append(vec![went(firma, endpoint, LineState::Offline, LineState::Returning, 30)]).await.unwrap();
    engine.store().append(vec![went(firma, endpoint, LineState::Returning, LineState::Offline, 50)]).await.unwrap();
    assert_eq!(told(&mut engine).await, Some(at(17)), "half a return ends no episode");
    engine.store().append(vec![went(firma, endpoint, LineState::Returning, LineState::Online, 60)]).await.unwrap();
    assert_eq!(told(&mut engine).await, None);
    engine.store().note_told(endpoint, at(17)).await.unwrap();
    assert_eq!(told(&mut engine).await, None, "the line was back before it was noted");
}

async fn proven_addresses_are_known_at_the_start(mut engine: Engine) {
    let (firma, endpoint) = account(engine.store(), "firma", 1).await;
    engine.store().append(vec![moved(firma, endpoint, "192.0.2.1", 1)]).await.unwrap();
    engine.store().append(vec![moved(firma, endpoint, "2001:db8::7", 2)]).await.unwrap();
    engine.restart();
    let known = engine.store().load().await.unwrap();
    let addresses = known.first().map(|line| (line.address_v4, line.address_v6)).unwrap();
    assert_eq!(addresses, (Some("192.0.2.1".parse().unwrap()), Some("2001:db8::7".parse().unwrap())));
}

async fn a_proven_address_becomes_the_address_of_the_server(engine: Engine) {
    let (firma, endpoint) = account(engine.store(), "firma", 1).await;
    let rows = vec![moved(firma, endpoint, "192.0.2.1", 1), moved(firma, endpoint, "2001:db8::7", 2)];
    engine.store().append(rows).await.unwrap();
    let directory = engine.store().load_directory(at(3)).await.unwrap();
    let stored = directory.endpoint(endpoint).unwrap();
    assert!(stored.has_proven("192.0.2.1".parse().unwrap()));
    assert!(stored.has_proven("2001:db8::7".parse().unwrap()));
}

async fn rows_of_servers_that_are_gone_are_dropped(engine: Engine) {
    let (firma, endpoint) = account(engine.store(), "firma", 1).await;
    let gone = EndpointId(endpoint.0 + 1_000);
    let rows = vec![went(firma, gone, LineState::New, LineState::Online, 1), moved(firma, gone, "192.0.2.1", 1)];
    engine.store().append(rows).await.unwrap();
    assert_eq!(engine.store().history(firma, 10).await.unwrap(), []);
}
