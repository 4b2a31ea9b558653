//! The rhythm of a client in virtual time, against a hand-made server.

use super::*;
use crate::heartbeat::datagram::{Challenge, Reason, Reply, ReplyFlags, ReplyState, ServerDatagram};
use crate::heartbeat::token::Token;

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn token() -> Token {
    Token::from_octets([9; 32])
}

fn client(interval: Option<Duration>) -> Client {
    Client::new(ClientKeys::new(&token()), ClientSettings { interval, path: 0 }, [4; 32], at(0))
}

/// Runs until `end`; what was sent and when.
fn sent_until(client: &mut Client, end: u64) -> Vec<(u64, ClientDatagram)> {
    let mut sent = Vec::new();
    while let Some(now) = client.poll_timeout().filter(|now| now.as_millis() <= end) {
        client.handle_timeout(now);
        while let Some(octets) = client.poll_transmit() {
            sent.push((now.as_millis(), ClientDatagram::decode(&octets).unwrap()));
        }
    }
    sent
}

fn reply_to(header: &Header) -> Reply {
    Reply {
        seq: header.seq,
        observed: "192.0.2.7:1".parse().unwrap(),
        state: ReplyState::Online,
        flags: ReplyFlags::PROVEN,
        server_time: 7_000,
        wall_s: 0,
        waiting: 0,
        interval_cs: 500,
        next_cs: 500,
        loss: 0,
        endpoint_index: 255,
        neutralised_after_cs: 1_700,
    }
}

fn deliver(client: &mut Client, datagram: ServerDatagram, boot: BootId, now: u64) {
    client.handle_datagram(&datagram.encode(&token().server_to_client(), boot, token().locator()), at(now));
}

#[test]
fn an_unanswered_beat_is_repeated_each_fifth_of_the_interval_and_an_answered_one_is_not() {
    let mut client = client(None);
    let sent = sent_until(&mut client, 5_000);
    let first = sent[0].0;
    assert!(first < 1_000);
    let expected: Vec<(u64, u8)> = (0..5).map(|copy| (first + 1_000 * u64::from(copy), copy)).collect();
    let got: Vec<(u64, u8)> = sent.iter().take(5).map(|(at, d)| (*at, d.header.copy)).collect();
    assert_eq!(got, expected);
    let (now, datagram) = sent_until(&mut client, first + 5_000).pop().unwrap();
    deliver(&mut client, ServerDatagram::Reply(reply_to(&datagram.header)), datagram.header.boot, now + 20);
    let next = sent_until(&mut client, now + 5_000);
    assert_eq!(next.len(), 1);
    assert!((now + 4_900..=now + 5_000).contains(&next[0].0));
    assert_eq!(
        (next[0].1.header.echo, next[0].1.header.hold_ms),
        (7_000, u32::try_from(next[0].0 - now - 20).unwrap())
    );
}

#[test]
fn a_reply_counts_once_within_10_s_and_only_for_this_run() {
    let mut client = client(None);
    let (now, datagram) = sent_until(&mut client, 1_000).remove(0);
    let reply = ServerDatagram::Reply(reply_to(&datagram.header));
    deliver(&mut client, reply, BootId(datagram.header.boot.0 ^ 1), now);
    assert_eq!(client.poll_event(), None);
    deliver(&mut client, reply, datagram.header.boot, now + 10_001);
    assert_eq!(client.poll_event(), None);
    deliver(&mut client, reply, datagram.header.boot, now + 10_000);
    assert!(client.poll_event().is_some());
    deliver(&mut client, reply, datagram.header.boot, now + 10_000);
    assert_eq!(client.poll_event(), None);
}

#[test]
fn without_replies_sockets_and_boot_ids_change_and_copies_thin_out() {
    let mut client = client(None);
    let sent = sent_until(&mut client, 90_000);
    let boots: std::collections::BTreeSet<u64> = sent.iter().map(|(_, d)| d.header.boot.0).collect();
    assert!((4..=5).contains(&boots.len()), "{}", boots.len());
    let copies = |from: u64, to: u64| sent.iter().filter(|(at, _)| (from..to).contains(at)).count();
    assert!(copies(0, 15_000) >= 14);
    assert!((6..=9).contains(&copies(20_000, 40_000)), "{}", copies(20_000, 40_000));
    assert!((4..=5).contains(&copies(65_000, 85_000)), "{}", copies(65_000, 85_000));
    let events: Vec<ClientEvent> = std::iter::from_fn(|| client.poll_event()).collect();
    assert_eq!(events.iter().filter(|event| **event == ClientEvent::Unanswered).count(), 1);
    assert!(events.iter().filter(|event| **event == ClientEvent::NewSocketWanted).count() >= 7);
}

#[test]
fn the_ordered_interval_is_obeyed_unless_the_user_fixed_one() {
    for (chosen, expected) in [(None, 1_000), (Some(Duration::from_secs(3)), 3_000)] {
        let mut client = client(chosen);
        let (now, datagram) = sent_until(&mut client, 1_000).remove(0);
        assert_eq!(datagram.header.flags.has(ClientFlags::KEEPS), chosen.is_some());
        let reply = Reply { interval_cs: 100, next_cs: 100, ..reply_to(&datagram.header) };
        deliver(&mut client, ServerDatagram::Reply(reply), datagram.header.boot, now);
        let (next, datagram) = sent_until(&mut client, now + 3_000).remove(0);
        assert!(next - now <= expected && next - now >= expected * 6 / 10 - 100, "{next}");
        assert_eq!(u64::from(datagram.header.interval_cs) * 10, expected);
    }
}

#[test]
fn goodbye_is_three_datagrams_at_most_and_ends_with_the_acknowledgement() {
    let mut client = client(None);
    sent_until(&mut client, 1_000);
    client.say_goodbye(Some(Duration::from_secs(90)), at(1_000));
    let first = ClientDatagram::decode(&client.poll_transmit().unwrap()).unwrap();
    assert!(first.header.flags.has(ClientFlags::GOODBYE));
    assert_eq!(first.header.absence_min, 2);
    assert_eq!(sent_until(&mut client, 9_000).len(), 2);
    assert_eq!(client.poll_timeout(), None);
    assert_eq!(std::iter::from_fn(|| client.poll_event()).last(), Some(ClientEvent::Ended { is_acknowledged: false }));

    let mut client = self::client(None);
    client.say_goodbye(None, at(0));
    let first = ClientDatagram::decode(&client.poll_transmit().unwrap()).unwrap();
    let flags = ReplyFlags::PROVEN.with(ReplyFlags::GOODBYE_DONE, true);
    let reply = Reply { flags, ..reply_to(&first.header) };
    deliver(&mut client, ServerDatagram::Reply(reply), first.header.boot, 30);
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn a_superseded_client_asks_once_a_minute_and_takes_over_only_when_the_line_is_offline() {
    let mut client = client(None);
    let (now, datagram) = sent_until(&mut client, 1_000).remove(0);
    let superseded = |header: &Header, state| Reply { flags: ReplyFlags::SUPERSEDED, state, ..reply_to(header) };
    let reply = superseded(&datagram.header, ReplyState::Online);
    deliver(&mut client, ServerDatagram::Reply(reply), datagram.header.boot, now);
    let asked = sent_until(&mut client, now + 60_000);
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].1.header.boot, datagram.header.boot);
    let reply = superseded(&asked[0].1.header, ReplyState::Offline);
    deliver(&mut client, ServerDatagram::Reply(reply), datagram.header.boot, asked[0].0);
    let next = sent_until(&mut client, asked[0].0 + 1).remove(0);
    assert_ne!(next.1.header.boot, datagram.header.boot);
}

#[test]
fn checks_are_answered_only_for_the_proven_address_and_three_times_in_10_s() {
    let mut client = client(None);
    let (now, datagram) = sent_until(&mut client, 1_000).remove(0);
    let boot = datagram.header.boot;
    deliver(&mut client, ServerDatagram::Reply(reply_to(&datagram.header)), boot, now);
    let check = |address: &str| {
        ServerDatagram::Challenge(Challenge {
            seq: 0,
            observed: address.parse().unwrap(),
            reason: Reason::OldAddress,
            wants_signature: false,
            path: 0,
            server_time: 99,
            cookie: [1; 16],
        })
    };
    deliver(&mut client, check("192.0.2.8:1"), boot, now + 10);
    assert_eq!(client.poll_transmit(), None);
    for _ in 0..5 {
        deliver(&mut client, check("192.0.2.7:1"), boot, now + 10);
    }
    let answers: Vec<Vec<u8>> = std::iter::from_fn(|| client.poll_transmit()).collect();
    assert_eq!(answers.len(), 3);
    assert_eq!(ClientDatagram::decode(&answers[0]).unwrap().header.echo, 99);
    let later = sent_until(&mut client, now + 5_000);
    assert_eq!(later[0].1.header.echo, 7_000, "a check must not spoil the echo");
}

#[test]
fn a_resumed_client_draws_a_new_boot_id_and_beats_at_once() {
    let mut client = client(None);
    let (now, before) = sent_until(&mut client, 1_000).remove(0);
    client.handle_resume(at(now + 300));
    let (at, after) = sent_until(&mut client, now + 300).remove(0);
    assert_eq!(at, now + 300);
    assert_ne!(after.header.boot, before.header.boot);
    assert!(after.header.flags.has(ClientFlags::CHANGED) && after.header.flags.has(ClientFlags::EXTRA));
}
