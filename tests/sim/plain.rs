//! Beats that are nothing but a token over TCP, beside signed ones and alone.

use std::net::IpAddr;
use std::time::Duration;

use pulsemx::heartbeat::server::PlainVerdict;
use pulsemx::liveness::LineState;

use crate::world::World;

const ELSEWHERE: &str = "198.51.100.9";

fn plain(world: &mut World, address: &str, interval_s: u64) -> Option<PlainVerdict> {
    let address: IpAddr = address.parse().unwrap();
    let (locator, now) = (world.token.locator(), world.moment());
    let verdict = world.table.handle_plain(locator, address, Duration::from_secs(interval_s), now, &world.watch);
    world.run_for(1);
    verdict
}

#[test]
fn a_script_keeps_a_line_alive_at_the_interval_it_declares_and_not_longer() {
    let mut world = World::new(1);
    world.nodes.clear();
    assert!(matches!(plain(&mut world, ELSEWHERE, 60), Some(PlainVerdict::Counted(_))));
    world.run_for(60_000);
    assert!(matches!(plain(&mut world, ELSEWHERE, 60), Some(PlainVerdict::Counted(_))));
    assert_eq!(world.line().state, LineState::Online);
    assert_eq!(world.address_changes().len(), 1);
    world.run_for(181_000);
    assert_ne!(world.line().state, LineState::Offline);
    world.run_for(2_000);
    assert_eq!(world.line().state, LineState::Offline);
}

#[test]
fn a_script_adds_nothing_to_a_signed_client_and_cannot_move_it() {
    let mut world = World::online(2);
    let told = world.watch.told.lock().unwrap().len();
    assert!(matches!(plain(&mut world, "203.0.113.7", 900), Some(PlainVerdict::SignedClientHere(_))));
    assert_eq!(plain(&mut world, ELSEWHERE, 900), Some(PlainVerdict::SignedClientElsewhere));
    assert_eq!(world.watch.told.lock().unwrap().len(), told);
    assert_eq!(world.line().interval, Duration::from_secs(5));
    // The silence of the client is seen as soon as without the script.
    world.nodes.clear();
    for _ in 0..17 {
        world.run_for(1_000);
        assert!(!matches!(plain(&mut world, ELSEWHERE, 900), Some(PlainVerdict::Counted(_))));
    }
    world.run_for(3_000);
    assert_eq!(world.line().state, LineState::Offline);
}

#[test]
fn a_script_takes_over_after_the_client_and_gives_the_line_back_when_it_returns() {
    let mut world = World::online(3);
    world.nodes.clear();
    world.run_for(30_000);
    assert_eq!(world.line().state, LineState::Offline);
    assert!(matches!(plain(&mut world, ELSEWHERE, 60), Some(PlainVerdict::Counted(_))));
    assert_eq!(world.line().address, Some(ELSEWHERE.parse().unwrap()));
    world.add_client(crate::world::HOME, None);
    world.run_for(15_000);
    assert_eq!(world.line().state, LineState::Online);
    assert_eq!(world.line().address, Some("203.0.113.7".parse().unwrap()));
    assert_eq!(plain(&mut world, ELSEWHERE, 60), Some(PlainVerdict::SignedClientElsewhere));
}

#[test]
fn a_key_that_is_gone_counts_for_nothing_over_tcp_either() {
    let mut world = World::online(4);
    let other = world.key(&pulsemx::heartbeat::Token::from_octets([1; 32]));
    world.replace_keys(vec![other]);
    assert_eq!(plain(&mut world, "203.0.113.7", 60), None);
    assert_eq!(world.table.endpoint_of(world.token.locator(), world.moment()), None);
}
