//! Keys that come, go and run out while beats go on.

use std::time::Duration;

use pulsemx::heartbeat::client::{Client, ClientKeys, ClientSettings};
use pulsemx::heartbeat::token::Token;
use pulsemx::liveness::LineState;

use crate::world::{Node, World, wall};

/// Beats of the last 6 s.
fn is_heard(world: &World) -> bool {
    world.line().last_beat.is_some_and(|beat| world.moment().since(beat) < Duration::from_secs(6))
}

fn rotated(world: &mut World, token: &Token) {
    let now = world.moment();
    let client = Client::new(ClientKeys::new(token), ClientSettings::default(), [77; 32], now);
    world.nodes = vec![Node { client, behind: 0, address: "203.0.113.7:43000".parse().unwrap(), events: Vec::new() }];
}

#[test]
fn keys_that_stay_keep_their_runs() {
    let mut world = World::online(1);
    let answers = world.answers.len();
    let (own, other) = (world.key(&world.token), world.key(&Token::from_octets([1; 32])));
    world.replace_keys(vec![other, own]);
    world.run_for(12_000);
    assert!(is_heard(&world));
    assert_eq!(world.answers.len(), answers, "no new challenge");
}

#[test]
fn a_revoked_key_is_dead_at_once() {
    let mut world = World::online(2);
    let other = world.key(&Token::from_octets([1; 32]));
    world.replace_keys(vec![other]);
    let before = world.table.counters();
    world.run_for(20_000);
    assert_eq!(world.line().state, LineState::Offline);
    let after = world.table.counters();
    assert_eq!((after.replied, after.challenged), (before.replied, before.challenged));
}

#[test]
fn an_old_key_works_until_it_runs_out_and_not_a_moment_longer() {
    let mut world = World::online(3);
    let mut old = world.key(&world.token);
    let end = world.moment() + Duration::from_secs(600);
    old.expires_at = Some(wall(end));
    let new = world.key(&Token::from_octets([1; 32]));
    world.replace_keys(vec![old, new]);
    world.run_for(599_000);
    assert!(is_heard(&world));
    world.run_for(1_000);
    let replied = world.table.counters().replied;
    world.run_for(30_000);
    assert_eq!((world.table.counters().replied, world.line().state), (replied, LineState::Offline));
}

#[test]
fn the_first_opening_under_a_new_key_leaves_the_old_one_ten_minutes() {
    let mut world = World::online(4);
    let token = Token::from_octets([1; 32]);
    let mut old = world.key(&world.token);
    old.expires_at = Some(wall(world.moment() + Duration::from_secs(7 * 86_400)));
    let new = world.key(&token);
    world.replace_keys(vec![old.clone(), new.clone()]);
    rotated(&mut world, &token);
    world.run_for(12_000);
    assert!(is_heard(&world));
    assert_eq!((world.states().len(), world.address_changes().len()), (2, 1), "no outage, no move");
    // Loading the same rows again does not give the time back.
    world.replace_keys(vec![old, new]);
    world.run_for(600_000);
    let before = world.table.counters().unknown;
    let last = world.tapped.iter().find(|tapped| tapped.octets[4..12] == world.token.locator().0).unwrap().clone();
    world.inject(last.source, &last.octets);
    assert_eq!(world.table.counters().unknown, before + 1);
}
