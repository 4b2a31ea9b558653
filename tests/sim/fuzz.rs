//! The server's paths under any sequence of what a network and a tapper can do: the fuzz target, and seeds of it.

use std::net::SocketAddr;

use proptest::prelude::*;
use pulsemx::heartbeat::datagram::{ClientBody, ClientDatagram};
use pulsemx::heartbeat::server::BeatKind;
use pulsemx::liveness::LineState;

use crate::world::{HOME, World};

/// Reads `octets` as a list of deeds, four octets each, and checks after each what must always hold:
///
/// - nobody is told of anything by a datagram that counted before (checked by the world), that is damaged, or that
///   comes from where no answer of this client came from;
/// - the address is one that a valid answer came from;
/// - a line is deliverable only with a beat of the last 20 s.
pub(crate) fn live_through(octets: &[u8]) {
    let first = octets.first().copied().unwrap_or(0);
    let mut world = World::online(u64::from(first));
    if first % 2 == 1 {
        world.add_path("[2001:db8:7::25]:40000", None, 1);
    }
    for deed in octets.chunks_exact(4) {
        let [kind, a, b, c] = *deed.first_chunk::<4>().unwrap();
        match kind % 8 {
            0 | 1 => world.run_for(u64::from(a) * 40),
            2 => world.is_line_up = a % 3 > 0,
            3 => world.nodes[0].address = format!("192.0.2.{}:{}", a % 4 + 1, 1_024 + u16::from(b)).parse().unwrap(),
            4 if a % 4 == 0 => world.restart_server(),
            5 => world.loss_per_mille = u64::from(a),
            _ => replay(&mut world, [a, b, c]),
        }
        let line = world.line();
        if let Some(address) = line.address {
            let has_answered = world.answers.iter().any(|(_, source)| source.ip() == address);
            assert!(has_answered, "{address} never answered");
        }
        if line.state == LineState::Online && line.address.is_some() {
            world.run_for(100);
            let age = world.line().last_beat.map(|beat| world.moment().since(beat).as_millis());
            assert!(age.is_none_or(|age| age <= 20_000), "online with a beat of {age:?} ms ago");
        }
    }
}

/// One recorded datagram again: from its own source, from home or from a stranger, whole or damaged.
fn replay(world: &mut World, [which, from, how]: [u8; 3]) {
    let place = world.tapped.len() - 1 - usize::from(which) % world.tapped.len();
    let tapped = world.tapped[place].clone();
    let source: SocketAddr = match from % 3 {
        0 => tapped.source,
        1 => HOME.parse().unwrap(),
        _ => format!("198.51.100.{}:25", from / 3).parse().unwrap(),
    };
    let mut octets = tapped.octets.clone();
    let is_damaged = how % 2 == 0;
    if is_damaged {
        let bit = usize::from(how) * 7 % (octets.len() * 8);
        octets[bit / 8] ^= 1 << (bit % 8);
    }
    let (answer, told) = world.inject(source, &octets);
    if is_damaged {
        assert_eq!((answer, told), (None, 0), "a damaged datagram");
        return;
    }
    let is_answer = matches!(ClientDatagram::decode(&tapped.octets).unwrap().body, ClientBody::Answer { .. });
    let is_from_its_source = source.ip() == tapped.source.ip();
    if told > 0 {
        let events = world.watch.told.lock().unwrap();
        let opened = events.iter().rev().take(told).any(|event| matches!(event.kind, BeatKind::Opened { .. }));
        assert!(!opened || (is_answer && is_from_its_source), "opened by a copy");
    }
    // An answer that the network lost and a tapper brought from its own source is an answer from there. Its move may
    // count later, when the old address has not answered in time.
    if is_answer && is_from_its_source {
        world.answers.push((world.now, source));
    }
}

#[test]
fn an_answer_that_was_lost_and_is_brought_later_is_an_answer() {
    // A find of the fuzzer: moved, lossy line, a tapper repeats what was lost, the move settles afterwards.
    live_through(&[
        192, 191, 0, 0, 179, 0, 0, 0, 13, 0, 0, 0, 37, 146, 0, 0, 40, 21, 0, 0, 60, 99, 96, 19, 144, 30, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0,
    ]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_sequence_of_deeds_breaks_the_promises(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        live_through(&octets);
    }
}
