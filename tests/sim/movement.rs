//! Lines whose address changes, and those who would like to change it.

use std::net::{IpAddr, SocketAddr};

use pulsemx::heartbeat::client::ClientEvent;
use pulsemx::heartbeat::datagram::ReplyFlags;
use pulsemx::liveness::LineState;

use crate::world::{HOME, World};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_new_address_counts_only_after_its_own_answer_and_is_no_outage() {
    for seed in 0..300 {
        let mut world = World::online(seed);
        world.loss_per_mille = world.dice.range(0, 60);
        let quiet = world.dice.range(0, 9_000);
        world.run_for(quiet);
        let new: SocketAddr = if seed % 2 == 0 { "198.51.100.9:999" } else { "[2001:db8::9]:999" }.parse().unwrap();
        world.nodes[0].address = new;
        if seed % 3 == 0 {
            let now = world.moment();
            world.nodes[0].client.handle_change(now);
        }
        let changed = world.now;
        assert!(world.run_until(16_000, |world| world.address_changes().len() == 2), "seed {seed}");
        let (moved_at, to) = world.address_changes()[1];
        assert_eq!(to, new.ip(), "seed {seed}");
        let answered = world.answers.iter().find(|(_, source)| source.ip() == new.ip()).unwrap().0;
        assert!(answered >= changed && answered <= moved_at, "seed {seed}");
        assert_eq!(world.line().address, Some(new.ip()), "seed {seed}");
        world.run_for(12_000);
        assert_eq!(world.states().len(), 2, "seed {seed}: {:?}", world.states());
    }
}

#[test]
fn a_return_to_the_old_address_is_a_move_like_any_other() {
    let mut world = World::online(1);
    for home in ["198.51.100.9:999", HOME, "198.51.100.9:999"] {
        world.nodes[0].address = home.parse().unwrap();
        world.run_for(10_000);
        assert_eq!(world.line().address, Some(home.parse::<SocketAddr>().unwrap().ip()));
    }
    assert_eq!(world.address_changes().len(), 4);
    assert_eq!(world.states().len(), 2);
}

#[test]
fn a_port_that_changes_is_accepted_silently() {
    let mut world = World::online(2);
    world.nodes[0].address.set_port(5_555);
    let answers = world.answers.len();
    world.run_for(11_000);
    assert_eq!(world.answers.len(), answers);
    assert_eq!((world.address_changes().len(), world.line().state), (1, LineState::Online));
}

#[test]
fn a_clone_elsewhere_never_moves_a_line_that_beats() {
    for seed in 0..100 {
        let mut world = World::online(seed);
        world.add_client("198.51.100.9:777", None);
        for _ in 0..120 {
            world.run_for(500);
            assert_eq!(world.line().address, Some(address("203.0.113.7")), "seed {seed}");
        }
        assert_eq!((world.address_changes().len(), world.states().len()), (1, 2), "seed {seed}");
        let contested = |event: &ClientEvent| matches!(event, ClientEvent::Replied(reply) if reply.flags.has(ReplyFlags::CONTESTED));
        assert!(world.nodes[0].events.iter().any(contested), "seed {seed}: the incumbent was not told");
    }
}

#[test]
fn of_two_clients_at_one_address_the_newest_wins_and_the_other_is_told() {
    let mut world = World::online(5);
    world.add_client("203.0.113.7:41000", None);
    world.run_for(30_000);
    let is_told = |place: usize| world.nodes[place].events.contains(&ClientEvent::Superseded);
    assert!(is_told(0) && !is_told(1));
    assert_eq!(world.states().len(), 2);
    // When the newest is gone for good, the other takes over.
    world.nodes.truncate(1);
    assert!(world.run_until(120_000, |world| world.states().len() >= 5 && world.line().state == LineState::Online));
}
