//! Replays, forgeries, flipped bits, stolen copies.

use std::net::SocketAddr;

use pulsemx::heartbeat::datagram::{
    BootId, Challenge, ClientBody, ClientDatagram, ClientFlags, Header, ListedAddress, Reason, ServerDatagram,
};
use pulsemx::heartbeat::token::Token;
use pulsemx::liveness::LineState;

use crate::world::{Dice, HOME, World};

fn stranger(dice: &mut Dice) -> SocketAddr {
    let [a, b, c, ..] = dice.octets();
    SocketAddr::from(([198, 51, a.max(1), b], u16::from(c) + 1_024))
}

#[test]
fn a_replay_from_any_source_changes_nothing_and_gets_no_answer() {
    for seed in 0..30 {
        let mut world = World::online(seed);
        world.run_for(60_000);
        let mut dice = Dice::new(seed);
        for tapped in world.tapped.clone() {
            for source in [tapped.source, HOME.parse().unwrap(), stranger(&mut dice)] {
                let (answer, told) = world.inject(source, &tapped.octets);
                assert_eq!(told, 0, "seed {seed}");
                // One still on its way is no replay yet, and from elsewhere it may cause a challenge.
                if tapped.sent + 60 < world.now {
                    assert_eq!(answer, None, "seed {seed}");
                }
            }
        }
        assert_eq!((world.states().len(), world.line().state), (2, LineState::Online), "seed {seed}");
    }
}

#[test]
fn a_recording_of_another_run_gets_challenges_at_most_and_opens_nothing() {
    for seed in 0..30 {
        let mut world = World::online(seed);
        world.run_for(30_000);
        let recording = world.tapped.clone();
        world.restart_server();
        let mut challenges = 0;
        for tapped in &recording {
            let (answer, told) = world.inject(tapped.source, &tapped.octets);
            assert_eq!(told, 0, "seed {seed}");
            match answer.map(|octets| ServerDatagram::decode(&octets).unwrap()) {
                Some(ServerDatagram::Challenge(challenge)) => {
                    assert_eq!(challenge.reason, Reason::BootUnknown);
                    challenges += 1;
                }
                Some(ServerDatagram::Reply(reply)) => panic!("replied to a recording, seed {seed}: {reply:?}"),
                None => {}
            }
        }
        assert!(challenges <= 2, "seed {seed}: {challenges} challenges within a moment");
        assert_eq!(world.line().last_beat, None, "seed {seed}");
    }
}

#[test]
fn any_flipped_bit_means_silence() {
    for seed in 0..3 {
        let mut world = World::online(seed);
        world.is_line_up = false;
        world.run_for(12_000);
        // The last are fresh: without the flip they would count.
        let fresh: Vec<_> = world.tapped.iter().rev().take(2).cloned().collect();
        let answer = world.tapped.iter().find(|tapped| tapped.octets.len() == 160).cloned().unwrap();
        for tapped in fresh.iter().chain([&answer]) {
            for bit in 0..tapped.octets.len() * 8 {
                let mut octets = tapped.octets.clone();
                octets[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(world.inject(tapped.source, &octets), (None, 0), "bit {bit}, seed {seed}");
            }
        }
        let (reply, told) = world.inject(fresh[0].source, &fresh[0].octets);
        assert!(reply.is_some() && told == 1, "the unchanged one still counts, seed {seed}");
    }
}

#[test]
fn noise_of_any_length_means_silence() {
    let mut world = World::online(1);
    let mut dice = Dice::new(99);
    for round in 0..20_000 {
        let length = usize::try_from(dice.range(0, 300)).unwrap();
        let mut octets: Vec<u8> = (0..length).map(|_| dice.next().to_be_bytes()[0]).collect();
        if round % 2 == 0 {
            // With the right head and the right locator, but without the key.
            let head = world.tapped[0].octets[..12].to_vec();
            let end = length.min(12);
            octets[..end].copy_from_slice(&head[..end]);
        }
        let source = stranger(&mut dice);
        assert_eq!(world.inject(source, &octets), (None, 0), "round {round}");
        assert_eq!(world.inject(HOME.parse().unwrap(), &octets), (None, 0), "round {round}");
    }
}

#[test]
fn a_genuine_datagram_cut_short_or_made_longer_means_silence_and_whole_it_counts() {
    let mut world = World::online(5);
    world.run_for(3_000);
    let newest = ClientDatagram::decode(&world.tapped.last().unwrap().octets).unwrap().header;
    let entry = |kind| ListedAddress { kind, prefix: 64, port: 25, address: "2001:db8::5".parse().unwrap() };
    let bodies = [
        ClientBody::Beat,
        ClientBody::AddressList((1..=3).map(entry).collect()),
        ClientBody::AddressList((1..=8).map(entry).collect()),
        ClientBody::ServerKey { digest: [9; 32], signature: [1; 64] },
        ClientBody::Answer { cookie: [9; 16], seen: HOME.parse::<SocketAddr>().unwrap().ip(), signature: [1; 64] },
    ];
    let key = world.token.client_to_server();
    for (body, ahead) in bodies.into_iter().zip(100..) {
        let header = Header { seq: newest.seq + ahead, copy: 0, ..newest };
        let whole = ClientDatagram { header, body }.encode(&key, None);
        for octets in (0..whole.len()).chain(whole.len() + 1..300) {
            let mut wrong = whole.clone();
            wrong.resize(octets, 0);
            assert_eq!(world.inject(HOME.parse().unwrap(), &wrong), (None, 0), "{octets} of {}", whole.len());
            // Nor with a good tag at the end of what is left.
            wrong.truncate(octets.saturating_sub(16));
            let tag = key.tag(&wrong);
            wrong.extend_from_slice(&tag);
            let is_other_type = pulsemx::heartbeat::datagram::locator_of(&wrong).is_some();
            assert!(is_other_type || world.inject(HOME.parse().unwrap(), &wrong) == (None, 0), "{octets}");
        }
        assert_eq!(world.inject(HOME.parse().unwrap(), &whole).1, 1, "{ahead}");
    }
}

#[test]
fn copies_that_win_the_race_from_elsewhere_move_nothing_and_use_up_nothing() {
    for seed in 0..100 {
        let mut world = World::online(seed);
        let mut dice = Dice::new(seed);
        let thief = stranger(&mut dice);
        let mut seen = world.tapped.len();
        for _ in 0..2_400 {
            world.run_for(25);
            while seen < world.tapped.len() {
                let tapped = world.tapped[seen].clone();
                seen += 1;
                let source = if dice.chance(500) { thief } else { stranger(&mut dice) };
                let (answer, told) = world.inject(source, &tapped.octets);
                assert_eq!(told, 0, "seed {seed}");
                if let Some(octets) = answer {
                    // The thief hands the challenge on to the client, from the server's address.
                    let moment = world.moment();
                    world.nodes[0].client.handle_datagram(&octets, moment);
                    world.drain_client(0);
                }
            }
            assert_eq!(world.line().address, Some(HOME.parse::<SocketAddr>().unwrap().ip()), "seed {seed}");
        }
        assert_eq!((world.states().len(), world.address_changes().len()), (2, 1), "seed {seed}");
        assert_eq!(world.line().state, LineState::Online, "seed {seed}");
    }
}

#[test]
fn any_order_of_a_recorded_session_from_any_sources_leaves_the_address_as_it_is() {
    for seed in 0..50 {
        let mut world = World::online(seed);
        world.is_line_up = false;
        world.run_for(40_000);
        let mut dice = Dice::new(seed);
        let recording = world.tapped.clone();
        for _ in 0..recording.len() * 4 {
            let place = usize::try_from(dice.range(0, recording.len() as u64)).unwrap();
            let tapped = &recording[place];
            let source = if dice.chance(500) { tapped.source } else { stranger(&mut dice) };
            world.inject(source, &tapped.octets);
        }
        assert_eq!(world.address_changes().len(), 1, "seed {seed}");
        let home = HOME.parse::<SocketAddr>().unwrap().ip();
        assert_eq!(world.line().address, Some(home), "seed {seed}");
    }
}

/// Asks for a challenge as an unknown run and answers it; what the server did with the answer.
fn intrude(world: &mut World, source: SocketAddr, boot: u64, signer: Option<&Token>) -> (Option<Vec<u8>>, usize) {
    let key = world.token.client_to_server();
    let header = Header {
        locator: world.token.locator(),
        boot: BootId(boot),
        seq: 1,
        path: 0,
        copy: 0,
        flags: ClientFlags::CHANGED,
        interval_cs: 500,
        greeting_ms: 0,
        echo: 0,
        hold_ms: 0,
        greeting_code: 0,
        absence_min: 0,
        replies_lost: 0,
        version_max: 1,
        build: 0,
    };
    let beat = ClientDatagram { header, body: ClientBody::Beat }.encode(&key, None);
    let octets = world.inject(source, &beat).0.unwrap();
    let Some(ServerDatagram::Challenge(challenge)) = ServerDatagram::decode(&octets) else { panic!("no challenge") };
    let Challenge { cookie, server_time, wants_signature, observed, .. } = challenge;
    assert!(wants_signature);
    let body = ClientBody::Answer { cookie, seen: observed.ip(), signature: [0; 64] };
    let answer = ClientDatagram { header: Header { seq: 2, echo: server_time, ..header }, body };
    let signer = signer.map(Token::move_key);
    world.inject(source, &answer.encode(&key, signer.as_ref()))
}

#[test]
fn the_keys_of_a_server_without_the_token_move_nothing() {
    let mut world = World::online(7);
    world.is_line_up = false;
    world.run_for(30_000);
    assert_eq!(world.line().state, LineState::Offline);
    let thief: SocketAddr = "198.51.100.66:66".parse().unwrap();
    assert_eq!(intrude(&mut world, thief, 1, None), (None, 0));
    assert_eq!(intrude(&mut world, thief, 2, Some(&Token::from_octets([8; 32]))), (None, 0));
    // The same with the token itself is believed, so the silence was for want of the signature.
    let token = world.token.clone();
    assert!(intrude(&mut world, thief, 3, Some(&token)).1 > 0);
}

#[test]
fn an_answer_older_than_5_s_or_from_another_source_is_worth_nothing() {
    let mut world = World::new(8);
    world.latency_ms = (1, 2);
    assert!(world.run_until(2_000, |world| world.tapped.iter().any(|tapped| tapped.octets.len() == 160)));
    let answer = world.tapped.last().unwrap().clone();
    // Before it arrives from its own source, it is seen from others.
    let mut dice = Dice::new(8);
    for _ in 0..100 {
        let source = stranger(&mut dice);
        assert_eq!(world.inject(source, &answer.octets), (None, 0));
    }
    let mut late = World::new(8);
    late.latency_ms = (2_600, 2_601);
    late.run_for(60_000);
    assert!(!late.answers.is_empty());
    assert_eq!((late.line().state, late.states().len()), (LineState::New, 0), "round trips of more than 5 s");
}
