//! What happens to customers' machines and routers: frozen mappings, snapshots, clones, no clock, news on bad lines.

use std::net::SocketAddr;
use std::time::Duration;

use pulsemx::heartbeat::client::{ClientEvent, ClientSettings};
use pulsemx::heartbeat::datagram::{ClientBody, ClientDatagram, ListedAddress};
use pulsemx::liveness::{Cause, LineState};

use crate::world::{HOME, Tapped, World};

const ANY: ClientSettings = ClientSettings { interval: None, path: 0 };

#[test]
fn a_mapping_that_freezes_is_left_after_two_beats_and_the_line_never_goes_down() {
    for seed in 0..200 {
        let mut world = World::online(seed);
        let quiet = world.dice.range(0, 9_000);
        world.run_for(quiet);
        let before = world.nodes[0].address;
        // The router forgets to pass anything on, in both directions, for as long as this port is used.
        world.frozen.push(before);
        let sent = world.tapped.len();
        world.run_for(20_000);
        let after = world.nodes[0].address;
        assert_ne!(before.port(), after.port(), "seed {seed}");
        let lost_beats = |tapped: &&Tapped| {
            tapped.source == before && ClientDatagram::decode(&tapped.octets).unwrap().header.copy == 0
        };
        let beats = world.tapped[sent..].iter().filter(lost_beats).count();
        assert!((2..=3).contains(&beats), "{beats} beats into the frozen mapping, seed {seed}");
        world.run_for(120_000);
        assert_eq!(world.states().len(), 2, "seed {seed}: {:?}", world.states());
        assert_eq!(world.nodes[0].address, after, "a mapping that works is kept, seed {seed}");
        assert_eq!(world.address_changes().len(), 1, "a new port is no new address, seed {seed}");
    }
}

#[test]
fn a_mapping_that_freezes_each_minute_costs_no_outage_in_an_hour() {
    for seed in 0..5 {
        let mut world = World::online(seed);
        for _ in 0..60 {
            let here = world.nodes[0].address;
            world.frozen = vec![here];
            world.run_for(60_000);
        }
        assert_eq!(world.states().len(), 2, "seed {seed}: {:?}", world.states());
    }
}

/// ONLINE with a client that was started from `seed`, as a snapshot of it will be.
fn before_the_snapshot(world_seed: u64, seed: [u8; 32]) -> World {
    let mut world = World::new(world_seed);
    world.nodes.clear();
    world.add_seeded(HOME, ANY, seed, 0);
    world.run_for(90_000);
    assert_eq!(world.line().state, LineState::Online, "seed {world_seed}");
    world
}

#[test]
fn a_snapshot_that_notices_its_sleep_goes_on_without_a_transition() {
    for seed in 0..100 {
        let mut world = before_the_snapshot(seed, [7; 32]);
        world.nodes.clear();
        // Old boot id, old sequence, and the same numbers to draw as at the first time.
        world.add_seeded(HOME, ANY, [7; 32], 0);
        let fresh = world.dice.octets();
        world.tell(0, |client, now| {
            client.stir(&fresh);
            client.handle_resume(now);
        });
        world.run_for(60_000);
        assert_eq!(world.states().len(), 2, "seed {seed}: {:?}", world.states());
        assert!(world.line().last_beat.is_some_and(|beat| world.moment().since(beat) < Duration::from_secs(6)));
    }
}

#[test]
fn a_snapshot_that_notices_nothing_is_back_within_five_beats() {
    for seed in 0..100 {
        let mut world = before_the_snapshot(seed, [7; 32]);
        world.nodes.clear();
        // What was still on its way arrives.
        world.run_for(100);
        world.add_seeded(HOME, ANY, [7; 32], 0);
        let restored = world.now;
        let told = world.watch.told.lock().unwrap().len();
        world.run_for(15_000);
        assert_eq!(world.watch.told.lock().unwrap().len(), told, "numbers of before count again, seed {seed}");
        let is_back = |world: &World| {
            world.line().state == LineState::Online
                && world.line().last_beat.is_some_and(|beat| world.moment().since(beat) < Duration::from_secs(5))
        };
        world.run_until(20_000, is_back);
        assert!(is_back(&world), "seed {seed}: {:?}", world.states());
        assert!(world.now - restored < 30_000, "after {} ms, seed {seed}", world.now - restored);
        world.run_for(60_000);
        assert_eq!((world.line().state, world.address_changes().len()), (LineState::Online, 1), "seed {seed}");
    }
}

#[test]
fn a_clone_at_the_same_address_wins_and_the_older_one_takes_over_only_when_it_is_gone() {
    for seed in 0..20 {
        let mut world = World::online(seed);
        world.add_seeded("203.0.113.7:41000", ANY, [9; 32], 0);
        let both = |world: &World, place: usize| world.nodes[place].events.contains(&ClientEvent::Superseded);
        assert!(world.run_until(10_000, |world| both(world, 0)), "seed {seed}");
        world.run_for(120_000);
        assert!(!both(&world, 1), "the newest was told to stop, seed {seed}");
        assert_eq!(world.states().len(), 2, "seed {seed}: {:?}", world.states());
        // The clone is switched off without a goodbye: the older one asks once a minute and comes back by itself.
        world.nodes.truncate(1);
        assert!(world.run_until(20_000, |world| world.line().state == LineState::Offline), "seed {seed}");
        assert!(world.run_until(75_000, |world| world.line().state == LineState::Online), "seed {seed}");
    }
}

#[test]
fn clients_need_no_clock_and_no_common_time() {
    for seed in 0..30 {
        let mut world = World::new(seed);
        world.nodes.clear();
        let behind = world.dice.range(0, 3_500_000);
        let number = world.dice.octets();
        world.add_seeded(HOME, ANY, number, behind);
        world.run_for(600_000);
        assert_eq!(world.states().len(), 2, "seed {seed}: {:?}", world.states());
        world.restart_server();
        world.run_for(60_000);
        assert_eq!(world.states().len(), 2, "seed {seed}: {:?}", world.states());
        world.is_line_up = false;
        let cut_at = world.now;
        assert!(world.run_until(20_000, |world| world.line().state == LineState::Offline), "seed {seed}");
        assert!(world.now - cut_at > 10_000, "seed {seed}");
    }
}

/// The bodies of what reached the server: keys and lists.
fn arrived(world: &World) -> (Vec<[u8; 32]>, Vec<Vec<ListedAddress>>) {
    let (mut keys, mut lists) = (Vec::new(), Vec::new());
    for tapped in world.tapped.iter().filter(|tapped| !tapped.is_lost) {
        match ClientDatagram::decode(&tapped.octets).unwrap().body {
            ClientBody::ServerKey { digest, .. } => keys.push(digest),
            ClientBody::AddressList(list) => lists.push(list),
            ClientBody::Beat | ClientBody::Answer { .. } => {}
        }
    }
    (keys, lists)
}

fn list(last: u8) -> Vec<ListedAddress> {
    vec![ListedAddress::one(ListedAddress::MAIL_HOST, format!("2001:db8::{last}").parse().unwrap(), 25)]
}

#[test]
fn key_and_addresses_reach_the_server_over_a_lossy_line_and_after_each_restart_of_it() {
    for seed in 0..50 {
        let mut world = World::online(seed);
        world.loss_per_mille = 300;
        for round in 1..=4 {
            let told = arrived(&world);
            world.tell(0, |client, now| {
                client.handle_server_key([round; 32], now);
                client.handle_addresses(list(round), now);
            });
            let is_told = |world: &World| {
                let (keys, lists) = arrived(world);
                keys[told.0.len()..].contains(&[round; 32]) && lists[told.1.len()..].contains(&list(round))
            };
            assert!(world.run_until(60_000, is_told), "round {round}, seed {seed}");
            world.run_for(60_000);
            let told = arrived(&world);
            if round % 2 == 0 {
                world.restart_server();
                let again = |world: &World| {
                    let (keys, lists) = arrived(world);
                    keys.len() > told.0.len() && lists.len() > told.1.len()
                };
                assert!(world.run_until(60_000, again), "round {round}, seed {seed}");
            }
        }
        assert_eq!(world.line().state, LineState::Online, "seed {seed}: {:?}", world.states());
    }
}

#[test]
fn what_was_acknowledged_is_not_told_again_and_goes_at_once_when_it_changes() {
    for seed in 0..20 {
        let mut world = World::online(seed);
        world.tell(0, |client, now| client.handle_server_key([1; 32], now));
        world.run_for(300_000);
        assert_eq!(arrived(&world).0, [[1; 32]], "seed {seed}");
        let changed = world.now;
        world.tell(0, |client, now| client.handle_server_key([2; 32], now));
        assert!(world.run_until(1_000, |world| arrived(world).0.len() == 2), "seed {seed}");
        assert!(world.now <= changed + 100, "seed {seed}");
    }
}

#[test]
fn a_network_that_swallows_long_datagrams_costs_no_beat() {
    for seed in 0..20 {
        let mut world = World::online(seed);
        world.octets_max = 64;
        world.tell(0, |client, now| client.handle_addresses(list(1), now));
        world.run_for(600_000);
        assert_eq!(world.states().len(), 2, "seed {seed}: {:?}", world.states());
    }
}

#[test]
fn an_answer_of_the_second_path_that_comes_after_the_goodbye_revives_nothing() {
    const V6: &str = "[2001:db8:7::25]:40000";
    for seed in 0..100 {
        let mut world = World::online(seed);
        world.add_path(V6, None, 1);
        let v6: SocketAddr = V6.parse().unwrap();
        let answer_is_under_way = |world: &World| {
            world.tapped.iter().any(|tapped| {
                tapped.source == v6
                    && matches!(ClientDatagram::decode(&tapped.octets).unwrap().body, ClientBody::Answer { .. })
            })
        };
        assert!(world.run_until(10_000, answer_is_under_way), "seed {seed}");
        assert!(world.answers.iter().all(|(_, source)| *source != v6), "seed {seed}: it has arrived already");
        // The goodbye overtakes the answer, and the machine is gone.
        let now = world.moment();
        world.nodes[0].client.say_goodbye(None, now);
        let goodbye = world.nodes[0].client.poll_transmit().unwrap();
        let home = world.nodes[0].address;
        assert!(world.inject(home, &goodbye).0.is_some(), "seed {seed}");
        world.nodes.clear();
        world.run_for(60_000);
        assert!(world.answers.iter().any(|(_, source)| *source == v6), "seed {seed}: it never arrived");
        let (_, _, to, cause) = *world.states().last().unwrap();
        assert_eq!((to, cause, world.states().len()), (LineState::Offline, Cause::Goodbye, 3), "seed {seed}");
        // A new start of the machine is welcome at once.
        world.add_client(HOME, None);
        assert!(world.run_until(12_000, |world| world.line().state == LineState::Online), "seed {seed}");
    }
}
