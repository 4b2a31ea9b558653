//! What beats carry beside themselves: the key of the mail server, the machines beside the client.

use std::net::{IpAddr, SocketAddr};

use ed25519_dalek::SigningKey;
use pulsemx::heartbeat::datagram::{ClientBody, ClientDatagram, ClientFlags, Header, ListedAddress};
use pulsemx::heartbeat::server::table::KEY_REPORTS_MAX;
use pulsemx::heartbeat::token::Token;

use crate::world::{Dice, ENDPOINT, HOME, World};

fn home() -> SocketAddr {
    HOME.parse().unwrap()
}

/// The header of a datagram that a client could send now.
fn next_header(world: &World, ahead: u32) -> Header {
    let newest = world.newest_run();
    let header =
        newest.iter().filter_map(|tapped| ClientDatagram::decode(&tapped.octets)).map(|datagram| datagram.header);
    let newest = header.max_by_key(|header| header.seq).unwrap();
    Header { seq: newest.seq + ahead, copy: 0, hold_ms: newest.hold_ms + 100, ..newest }
}

fn key_report(world: &World, header: Header, digest: u8, signer: Option<&SigningKey>) -> Vec<u8> {
    let body = ClientBody::ServerKey { digest: [digest; 32], signature: [0; 64] };
    ClientDatagram { header, body }.encode(&world.token.client_to_server(), signer)
}

fn list(world: &World, header: Header, entries: &[(u8, u8, &str)]) -> Vec<u8> {
    let entry = |(kind, prefix, address): &(u8, u8, &str)| ListedAddress {
        kind: *kind,
        prefix: *prefix,
        port: 25,
        address: address.parse().unwrap(),
    };
    let body = ClientBody::AddressList(entries.iter().map(entry).collect());
    ClientDatagram { header, body }.encode(&world.token.client_to_server(), None)
}

/// The digests that are waiting, each with whether its signature is good.
fn reported(world: &mut World) -> Vec<(u8, bool)> {
    world.table.key_reports().drain(..).map(|report| (report.digest[0], report.is_signed())).collect()
}

#[test]
fn a_server_key_is_a_beat_and_is_reported_once_with_the_tokens_signature() {
    for seed in 0..20 {
        let mut world = World::online(seed);
        let signer = world.token.move_key();
        let octets = key_report(&world, next_header(&world, 5), 9, Some(&signer));
        let (reply, told) = world.inject(home(), &octets);
        assert!(reply.is_some() && told == 1, "seed {seed}");
        assert_eq!(reported(&mut world), [(9, true)], "seed {seed}");
        assert_eq!(world.inject(home(), &octets), (None, 0), "a replay, seed {seed}");
        assert_eq!(reported(&mut world), [], "seed {seed}");
    }
}

#[test]
fn a_key_that_the_token_did_not_sign_is_told_apart() {
    let mut world = World::online(1);
    // Who reads our tables has the MAC key, and not this one.
    let other = Token::from_octets(Dice::new(77).octets()).move_key();
    for (ahead, signer) in [(5, Some(&other)), (6, None)] {
        let octets = key_report(&world, next_header(&world, ahead), 9, signer);
        assert_eq!(world.inject(home(), &octets).1, 1, "it is a beat all the same");
        assert_eq!(reported(&mut world), [(9, false)]);
    }
    // An answer's signature is no signature of a key, though both are of the same octets.
    let mut world = World::online(2);
    let header = next_header(&world, 5);
    let body = ClientBody::Answer { cookie: [9; 16], seen: "::9".parse::<IpAddr>().unwrap(), signature: [0; 64] };
    let answer = ClientDatagram { header, body }.encode(&world.token.client_to_server(), Some(&world.token.move_key()));
    let signature: [u8; 64] = answer[80..144].try_into().unwrap();
    let body = ClientBody::ServerKey { digest: [9; 32], signature };
    let forged = ClientDatagram { header, body }.encode(&world.token.client_to_server(), None);
    world.inject(home(), &forged);
    assert_eq!(reported(&mut world), [(9, false)]);
}

#[test]
fn nothing_is_reported_from_elsewhere_from_before_or_of_no_known_time() {
    for seed in 0..20 {
        let mut world = World::online(seed);
        let signer = world.token.move_key();
        let withheld = key_report(&world, next_header(&world, 5), 1, Some(&signer));
        let elsewhere = key_report(&world, next_header(&world, 6), 2, Some(&signer));
        let timeless = key_report(&world, Header { echo: 0, ..next_header(&world, 7) }, 3, Some(&signer));
        let goodbye = ClientFlags::GOODBYE;
        let last = next_header(&world, 9);
        let last = key_report(&world, Header { flags: last.flags.with(goodbye, true), ..last }, 4, Some(&signer));
        let newest = key_report(&world, next_header(&world, 8), 5, Some(&signer));
        world.inject("198.51.100.77:9".parse().unwrap(), &elsewhere);
        world.inject(home(), &timeless);
        assert_eq!(reported(&mut world), [], "seed {seed}");
        world.inject(home(), &newest);
        // It is fresh and counts as a beat; what it says is older than what was said.
        world.inject(home(), &withheld);
        assert_eq!(reported(&mut world), [(5, true)], "seed {seed}");
        world.inject(home(), &last);
        assert_eq!(reported(&mut world), [], "seed {seed}");
    }
}

#[test]
fn a_report_that_finds_no_room_is_not_replied_to_so_that_it_comes_again() {
    let mut world = World::online(3);
    let signer = world.token.move_key();
    for ahead in 0..u32::try_from(KEY_REPORTS_MAX).unwrap() {
        let octets = key_report(&world, next_header(&world, 5 + ahead), 9, Some(&signer));
        assert!(world.inject(home(), &octets).0.is_some());
    }
    let octets = key_report(&world, next_header(&world, 2_000), 9, Some(&signer));
    assert_eq!(world.inject(home(), &octets), (None, 1), "the beat counts");
    assert_eq!(reported(&mut world).len(), KEY_REPORTS_MAX);
    let octets = key_report(&world, next_header(&world, 2_001), 9, Some(&signer));
    assert!(world.inject(home(), &octets).0.is_some());
}

#[test]
fn a_listed_mail_host_is_published_only_beside_a_proven_address() {
    let source: SocketAddr = "[2001:db8:1:2::7]:999".parse().unwrap();
    let mut world = World::new(4);
    world.nodes[0].address = source;
    world.run_for(12_000);
    let v6 = |world: &World| world.addresses().1.map(|address| address.to_string());
    assert_eq!(v6(&world).as_deref(), Some("2001:db8:1:2::7"));
    let says = |world: &mut World, ahead: u32, entries: &[(u8, u8, &str)]| {
        let octets = list(world, next_header(world, ahead), entries);
        assert_eq!(world.inject(source, &octets).1, 1);
        let now = world.moment();
        let families = world.watch.board.lock().unwrap().families(ENDPOINT, now);
        (families.v6.unwrap().mail_host.is_some(), families.not_proven.is_some())
    };
    assert_eq!(says(&mut world, 5, &[(1, 128, "2001:db8:9::25")]), (false, true), "somebody else's network");
    assert_eq!(v6(&world).as_deref(), Some("2001:db8:1:2::7"));
    assert_eq!(says(&mut world, 6, &[(2, 24, "192.168.1.2"), (1, 128, "2001:db8:1:2::25")]), (true, false));
    assert_eq!(v6(&world).as_deref(), Some("2001:db8:1:2::25"));
    assert_eq!(world.line().address, "2001:db8:1:2::25".parse().ok(), "mail goes there as well");
    let delegated = [(1, 128, "2001:db8:1:3::25"), (3, 56, "2001:db8:1::")];
    assert_eq!(says(&mut world, 7, &delegated), (true, false));
    assert_eq!(v6(&world).as_deref(), Some("2001:db8:1:3::25"));
    assert_eq!(says(&mut world, 8, &[(1, 128, "2001:db8:1:3::25")]), (false, true), "no word of a prefix any more");
    assert_eq!(says(&mut world, 9, &[(1, 128, "2001:db8:1:2::7")]), (false, false), "its own");
    assert_eq!(v6(&world).as_deref(), Some("2001:db8:1:2::7"));
    // A copy from elsewhere, and one that was held back.
    let header = next_header(&world, 20);
    let stale = list(&world, Header { seq: header.seq - 2, ..header }, &[(1, 128, "2001:db8:1:2::66")]);
    let copy = list(&world, header, &[(1, 128, "2001:db8:1:2::66")]);
    world.inject("[2001:db8:1:2::66]:9".parse().unwrap(), &copy);
    assert_eq!(says(&mut world, 21, &[(1, 128, "2001:db8:1:2::25")]), (true, false));
    world.inject(source, &stale);
    assert_eq!(v6(&world).as_deref(), Some("2001:db8:1:2::25"));
    assert_eq!(world.states().len(), 2, "no list ends or begins an outage");
}
