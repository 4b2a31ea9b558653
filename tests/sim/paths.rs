//! Two paths of one client: each family is proven by itself and goes by itself.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pulsemx::heartbeat::datagram::{ClientBody, ClientDatagram};
use pulsemx::liveness::{Cause, LineState};

use crate::world::{ENDPOINT, HOME, World};

const HOME_V6: &str = "[2001:db8:7::25]:40000";
/// A window, and the scan after it.
const WINDOW: u64 = 17_200;

fn ip(text: &str) -> IpAddr {
    text.parse::<SocketAddr>().unwrap().ip()
}

fn shown() -> (Option<IpAddr>, Option<IpAddr>) {
    (Some(ip(HOME)), Some(ip(HOME_V6)))
}

/// ONLINE over both families.
fn both(seed: u64) -> World {
    let mut world = World::new(seed);
    world.add_path(HOME_V6, None, 1);
    world.run_for(12_000);
    assert_eq!((world.line().state, world.addresses()), (LineState::Online, shown()), "seed {seed}");
    world
}

#[test]
fn each_family_is_proven_by_its_own_answers() {
    for seed in 0..50 {
        let mut world = World::new(seed);
        world.run_for(12_000);
        assert_eq!(world.addresses(), (Some(ip(HOME)), None));
        world.add_path(HOME_V6, None, 1);
        assert!(world.run_until(10_000, |world| world.addresses() == shown()), "seed {seed}");
        let answered = world.answers.iter().any(|(_, source)| source.ip() == ip(HOME_V6));
        assert!(answered, "seed {seed}");
        assert_eq!(world.line().address, Some(ip(HOME)), "mail goes where it went");
        assert_eq!(world.address_changes().iter().map(|(_, to)| *to).collect::<Vec<_>>(), [ip(HOME), ip(HOME_V6)]);
        world.run_for(600_000);
        assert_eq!(world.address_changes().len(), 2, "no family displaces the other, seed {seed}");
        assert_eq!(world.states().len(), 2);
    }
}

#[test]
fn a_family_that_falls_silent_goes_alone_and_comes_back() {
    for (gone, left) in [(HOME, (None, Some(ip(HOME_V6)))), (HOME_V6, (Some(ip(HOME)), None))] {
        for seed in 0..50 {
            let mut world = both(seed);
            let rows = world.rows.len();
            world.cut.push(ip(gone));
            // The last beat is up to an interval old, and was due a little before it came.
            world.run_for(WINDOW - 5_300);
            assert_eq!(world.addresses(), shown(), "two missed beats are borne, seed {seed}");
            world.run_for(5_400);
            assert_eq!(world.addresses(), left, "seed {seed}");
            world.run_for(60_000);
            assert_eq!((world.addresses(), world.line().state), (left, LineState::Online), "seed {seed}");
            assert_eq!(world.line().address, left.0.or(left.1), "mail goes where beats come from");
            assert_eq!(world.rows.len(), rows, "no outage, seed {seed}");
            world.cut.clear();
            assert!(world.run_until(30_000, |world| world.addresses() == shown()), "seed {seed}");
            assert_eq!(world.rows.len(), rows, "seed {seed}");
        }
    }
}

#[test]
fn the_line_is_offline_when_both_are_silent_and_only_then() {
    for seed in 0..50 {
        let mut world = both(seed);
        world.cut.push(ip(HOME_V6));
        let between = world.dice.range(0, 60_000);
        world.run_for(between);
        assert_eq!(world.states().len(), 2);
        world.cut.push(ip(HOME));
        let cut_at = world.now;
        assert!(world.run_until(20_000, |world| world.line().state == LineState::Offline), "seed {seed}");
        let silent_for = world.now - cut_at;
        assert!(silent_for > 11_000, "{silent_for} ms, seed {seed}");
        assert_eq!(world.addresses(), (None, None));
        world.cut.clear();
        let is_back = |world: &World| world.addresses() == shown() && world.line().state == LineState::Online;
        assert!(world.run_until(120_000, is_back), "seed {seed}");
        assert_eq!(world.states().len(), 5, "OFFLINE, RETURNING, ONLINE: {:?}", world.states());
    }
}

#[test]
fn goodbye_over_one_path_ends_the_other() {
    for path in [0, 1] {
        for seed in 0..50 {
            let mut world = both(seed);
            let moment = world.moment();
            world.nodes[path].client.say_goodbye(None, moment);
            world.drain_client(path);
            assert!(world.run_until(1_000, |world| world.line().state == LineState::Offline));
            assert_eq!(world.states().last().unwrap().3, Cause::Goodbye);
            // The other machine half goes on for a few beats of the run that is over; nothing of it counts.
            world.run_for(9_000);
            assert_eq!(world.states().len(), 3, "seed {seed}: {:?}", world.states());
        }
    }
}

#[test]
fn a_restart_of_the_server_shows_what_was_stored_until_both_are_heard_again() {
    for seed in 0..50 {
        let mut world = both(seed);
        for _ in 0..4 {
            world.restart_server();
            assert_eq!(world.addresses(), shown(), "seed {seed}");
            assert_eq!(world.line().address, None, "no mail before a beat");
            let heard = |world: &World| {
                let addresses = world.watch.board.lock().unwrap().effective_addresses(ENDPOINT);
                addresses.v4.unwrap().1.beat.is_some() && addresses.v6.unwrap().1.beat.is_some()
            };
            assert!(world.run_until(12_000, heard), "seed {seed}");
            assert_eq!(world.addresses(), shown(), "seed {seed}");
        }
        world.cut.push(ip(HOME_V6));
        world.restart_server();
        world.run_for(WINDOW);
        assert_eq!(world.addresses(), (Some(ip(HOME)), None), "not heard again within a window, seed {seed}");
        assert_eq!(world.states().len(), 2);
    }
}

#[test]
fn a_second_path_in_the_same_family_is_a_reserve() {
    const RESERVE: &str = "198.51.100.9:40000";
    for seed in 0..50 {
        let mut world = World::online(seed);
        world.add_path(RESERVE, None, 1);
        world.run_for(30_000);
        assert_eq!(world.addresses(), (Some(ip(HOME)), None), "path 0 is published, seed {seed}");
        assert_eq!(world.address_changes().len(), 1, "the reserve displaces nothing");
        world.cut.push(ip(HOME));
        world.run_for(WINDOW + 5_000);
        assert_eq!(world.addresses(), (Some(ip(RESERVE)), None), "seed {seed}");
        assert_eq!(world.line().address, Some(ip(RESERVE)));
        assert_eq!(world.states().len(), 2, "seed {seed}");
        world.cut.clear();
        world.run_for(60_000);
        assert_eq!(world.addresses(), (Some(ip(HOME)), None), "seed {seed}");
    }
}

#[test]
fn copies_of_one_path_from_elsewhere_move_neither_family() {
    for seed in 0..50 {
        let mut world = both(seed);
        for round in 0..100 {
            let place = usize::try_from(world.dice.next() % world.tapped.len() as u64).unwrap();
            let tapped = world.tapped[place].clone();
            let source = if round % 2 == 0 { "198.51.100.9:999" } else { "[2001:db8:ffff::1]:999" };
            let (_, told) = world.inject(source.parse().unwrap(), &tapped.octets);
            assert_eq!(told, 0, "seed {seed}");
            // The other path is part of what is signed.
            let mut other = tapped.octets.clone();
            other[24] ^= 1;
            assert_eq!(world.inject(tapped.source, &other), (None, 0), "seed {seed}");
            world.run_for(300);
        }
        assert_eq!((world.addresses(), world.address_changes().len()), (shown(), 2), "seed {seed}");
    }
}

#[test]
fn a_challenge_of_one_path_is_of_no_use_on_the_other() {
    let mut world = both(7);
    world.restart_server();
    let before = world.tapped.len();
    let answer_of_path_1 = |world: &World| {
        world.tapped.iter().skip(before).find_map(|tapped| {
            let datagram = ClientDatagram::decode(&tapped.octets)?;
            (datagram.header.path == 1 && matches!(datagram.body, ClientBody::Answer { .. })).then_some(datagram)
        })
    };
    assert!(world.run_until(12_000, |world| answer_of_path_1(world).is_some()));
    // A holder of the token turns the answer of path 1 into one of path 0, from the same source, while its cookie is good.
    let sent = |path: u8, world: &mut World| {
        let mut datagram = answer_of_path_1(world).unwrap();
        datagram.header.path = path;
        datagram.header.seq += 10;
        let octets = datagram.encode(&world.token.client_to_server(), Some(&world.token.move_key()));
        world.inject(HOME_V6.parse().unwrap(), &octets)
    };
    assert_eq!(sent(0, &mut world), (None, 0));
    let (reply, _) = sent(1, &mut world);
    assert!(reply.is_some(), "the same answer on its own path counts");
}

#[test]
fn a_slower_second_path_has_its_own_promise() {
    for seed in 0..20 {
        let mut world = World::online(seed);
        world.add_path(HOME_V6, Some(Duration::from_secs(20)), 1);
        world.run_for(60_000);
        assert_eq!(world.addresses(), shown());
        world.cut.push(ip(HOME));
        world.run_for(WINDOW);
        assert_eq!(world.addresses(), (None, Some(ip(HOME_V6))), "seed {seed}");
        world.cut.push(ip(HOME_V6));
        world.run_for(35_000);
        assert_eq!(world.line().state, LineState::Suspect, "62 s after its last beat, seed {seed}");
        assert!(world.run_until(30_000, |world| world.line().state == LineState::Offline), "seed {seed}");
    }
}
