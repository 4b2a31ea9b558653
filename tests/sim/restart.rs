//! Ends and starts of the server and of the client between any two datagrams.

use std::time::Duration;

use pulsemx::liveness::LineState;

use crate::world::World;

#[test]
fn a_restart_of_the_server_between_any_two_datagrams_is_no_transition() {
    for seed in 0..500 {
        let mut world = World::online(seed);
        for _ in 0..6 {
            let quiet = world.dice.range(0, 9_000);
            world.run_for(quiet);
            world.restart_server();
            let line = world.line();
            assert_eq!((line.state, line.address, line.last_beat), (LineState::Online, None, None), "seed {seed}");
        }
        assert!(world.run_until(6_000, |world| world.line().last_beat.is_some()), "seed {seed}");
        world.run_for(10_000);
        assert_eq!(world.states().len(), 2, "seed {seed}: {:?}", world.states());
        assert_eq!(world.address_changes().len(), 1, "seed {seed}");
        assert_eq!(world.line().state, LineState::Online, "seed {seed}");
    }
}

#[test]
fn a_silent_line_goes_offline_a_full_window_after_a_restart() {
    let mut world = World::online(3);
    world.is_line_up = false;
    world.run_for(10_000);
    world.restart_server();
    let restarted = world.now;
    assert!(world.run_until(20_000, |world| world.line().state == LineState::Offline));
    assert!((restarted + 17_000..=restarted + 17_200).contains(&world.now));
}

#[test]
fn a_client_that_starts_again_at_the_same_address_takes_over_without_a_transition() {
    for seed in 0..100 {
        let mut world = World::online(seed);
        let quiet = world.dice.range(0, 9_000);
        world.run_for(quiet);
        world.nodes.clear();
        world.add_client("203.0.113.7:50000", None);
        world.run_for(15_000);
        assert_eq!(world.states().len(), 2, "seed {seed}: {:?}", world.states());
        assert!(world.moment().since(world.line().last_beat.unwrap()) < Duration::from_secs(6), "seed {seed}");
    }
}
