//! More arrives than can be worked on: who suffers, and who does not.

use std::net::SocketAddr;

use pulsemx::heartbeat::client::ClientEvent;
use pulsemx::heartbeat::datagram::ReplyFlags;
use pulsemx::liveness::LineState;

use crate::world::{HOME, World};

fn unanswered(world: &World) -> usize {
    world.nodes[0].events.iter().filter(|event| matches!(event, ClientEvent::Unanswered)).count()
}

fn calm_replies(world: &World) -> usize {
    let is_calm =
        |event: &&ClientEvent| matches!(event, ClientEvent::Replied(reply) if reply.flags.has(ReplyFlags::CALM));
    world.nodes[0].events.iter().filter(is_calm).count()
}

#[test]
fn authenticated_beats_pass_while_bogus_datagrams_come_from_the_same_address() {
    for seed in 0..20 {
        let mut world = World::online(seed);
        world.flood = Some(SocketAddr::new(HOME.parse::<SocketAddr>().unwrap().ip(), 666));
        let before = (world.tapped.len(), world.table.counters());
        world.run_for(600_000);
        let (sent, after) = (world.tapped.len() - before.0, world.table.counters());
        assert_eq!(world.states().len(), 2, "seed {seed}: {:?}", world.states());
        assert_eq!((world.line().state, unanswered(&world)), (LineState::Online, 0), "seed {seed}");
        assert_eq!(usize::try_from(after.replied - before.1.replied).unwrap(), sent, "each is answered, seed {seed}");
        assert!(after.shed > 10_000, "unknown keys are not looked at, {after:?}");
        assert!(after.forged > 10_000, "tags of a known key from where its client is always are, {after:?}");
    }
}

#[test]
fn a_flood_from_elsewhere_costs_no_tags_and_keeps_only_newcomers_from_there_waiting() {
    for seed in 0..20 {
        let mut world = World::online(seed);
        let loud: SocketAddr = "198.51.100.7:666".parse().unwrap();
        world.flood = Some(loud);
        let forged = world.table.counters().forged;
        world.run_for(60_000);
        // About a hundred in each second in which something arrives are looked at before the source is loud.
        let looked_at = world.table.counters().forged - forged;
        assert!(looked_at < 60 * 256 / 4, "{looked_at} of {:?}", world.table.counters());
        assert_eq!(world.states().len(), 2, "seed {seed}");

        world.nodes[0].address = "203.0.113.99:40000".parse().unwrap();
        let has_moved = |world: &World| world.line().address == Some("203.0.113.99".parse().unwrap());
        assert!(world.run_until(20_000, has_moved), "a mover from a quiet address, seed {seed}");
        world.nodes[0].address = SocketAddr::new(loud.ip(), 40_000);
        world.run_for(60_000);
        assert_eq!(world.line().state, LineState::Offline, "a mover to the loud address waits, seed {seed}");
        world.flood = None;
        assert!(world.run_until(70_000, |world| world.line().state == LineState::Online), "seed {seed}");
    }
}

#[test]
fn clients_send_fewer_copies_while_the_kernel_drops_more_than_one_percent() {
    for seed in 0..20 {
        let mut world = World::online(seed);
        world.loss_per_mille = 600;
        let moment = world.moment();
        world.table.handle_drops(1, 99, moment);
        world.run_for(15_000);
        assert_eq!(calm_replies(&world), 0, "1 % is borne, seed {seed}");
        let copies = |world: &mut World, is_calm: bool| {
            let before = world.tapped.len();
            for _ in 0..120 {
                if is_calm {
                    let moment = world.moment();
                    world.table.handle_drops(2, 99, moment);
                }
                world.run_for(5_000);
            }
            world.tapped.len() - before
        };
        let restless = copies(&mut world, false);
        let calm = copies(&mut world, true);
        assert!(calm_replies(&world) > 10, "seed {seed}");
        assert!(calm * 5 < restless * 4, "{calm} datagrams instead of {restless}, seed {seed}");
        world.loss_per_mille = 0;
        world.run_for(60_000);
        let before = calm_replies(&world);
        world.run_for(60_000);
        assert_eq!(calm_replies(&world), before, "over after 20 s without drops, seed {seed}");
    }
}

#[test]
fn a_restart_under_a_flood_from_the_clients_own_address_keeps_it_online() {
    for seed in 0..20 {
        let mut world = World::online(seed);
        world.flood = Some(SocketAddr::new(HOME.parse::<SocketAddr>().unwrap().ip(), 666));
        world.run_for(30_000);
        world.restart_server();
        world.run_for(120_000);
        assert!(world.table.counters().shed > 1_000, "{:?}", world.table.counters());
        assert_eq!((world.line().state, unanswered(&world)), (LineState::Online, 0), "seed {seed}");
        assert_eq!(world.states().len(), 2, "seed {seed}: {:?}", world.states());
    }
}
