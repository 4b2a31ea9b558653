//! The vectors of docs/PROTOCOL.md: what the page says and what the code writes are the same octets.

use std::fmt::Write;
use std::net::SocketAddr;

use data_encoding::HEXLOWER;
use pulsemx::heartbeat::datagram::{
    BootId, Challenge, ClientBody, ClientDatagram, ClientFlags, Header, ListedAddress, Reason, Reply, ReplyFlags,
    ReplyState, ServerDatagram,
};
use pulsemx::heartbeat::token::{NewToken, Token};

const PAGE: &str = include_str!("../../docs/PROTOCOL.md");
const BOOT: BootId = BootId(0x1122_3344_5566_7788);

fn token() -> Token {
    Token::from_octets(std::array::from_fn(|i| u8::try_from(i).unwrap()))
}

fn header() -> Header {
    Header {
        locator: token().locator(),
        boot: BOOT,
        seq: 1,
        path: 0,
        copy: 0,
        flags: ClientFlags::MAIL_KNOWN.with(ClientFlags::MAIL_OK, true),
        interval_cs: 500,
        greeting_ms: 0,
        echo: 0,
        hold_ms: 0,
        greeting_code: 220,
        absence_min: 0,
        replies_lost: 0,
        version_max: 0,
        build: 0,
    }
}

fn reply(observed: &str) -> ServerDatagram {
    ServerDatagram::Reply(plain_reply(observed))
}

fn plain_reply(observed: &str) -> Reply {
    Reply {
        seq: 1,
        observed: observed.parse().unwrap(),
        state: ReplyState::Online,
        flags: ReplyFlags::PROVEN,
        server_time: 100_000,
        wall_s: 1_795_492_800,
        waiting: 0,
        interval_cs: 500,
        next_cs: 500,
        loss: 0,
        endpoint_index: 255,
        neutralised_after_cs: 1_700,
    }
}

fn answer(seq: u32) -> ClientDatagram {
    let observed: SocketAddr = "203.0.113.7:40000".parse().unwrap();
    let body = ClientBody::Answer { cookie: [7; 16], seen: observed.ip(), signature: [0; 64] };
    ClientDatagram { header: Header { seq, echo: 100_000, ..header() }, body }
}

/// The datagrams of clients by name.
fn client_vectors() -> Vec<(&'static str, Vec<u8>)> {
    let key = token().client_to_server();
    let beat = |header| ClientDatagram { header, body: ClientBody::Beat }.encode(&key, None);
    let goodbye = Header { seq: 3, flags: ClientFlags::GOODBYE, absence_min: 30, ..header() };
    let keeps = Header { flags: header().flags.with(ClientFlags::KEEPS, true), interval_cs: 100, ..header() };
    let entries = vec![
        ListedAddress { kind: 1, prefix: 128, port: 25, address: "2001:db8::25".parse().unwrap() },
        ListedAddress { kind: 2, prefix: 24, port: 25, address: "192.168.178.2".parse().unwrap() },
    ];
    let list = ClientDatagram { header: header(), body: ClientBody::AddressList(entries) };
    let server_key =
        ClientDatagram { header: header(), body: ClientBody::ServerKey { digest: [9; 32], signature: [0; 64] } };
    vec![
        ("beat", beat(header())),
        ("twin", beat(Header { seq: 2, copy: 1, ..header() })),
        ("keeps-1s", beat(keeps)),
        ("goodbye", beat(goodbye)),
        ("answer", answer(1).encode(&key, None)),
        ("answer-signed", answer(2).encode(&key, Some(&token().move_key()))),
        ("list", list.encode(&key, None)),
        ("server-key", server_key.encode(&key, Some(&token().move_key()))),
    ]
}

/// The datagrams of the server by name.
fn server_vectors() -> Vec<(&'static str, Vec<u8>)> {
    let challenge = ServerDatagram::Challenge(Challenge {
        seq: 1,
        observed: "203.0.113.7:40000".parse().unwrap(),
        reason: Reason::BootUnknown,
        wants_signature: true,
        path: 0,
        server_time: 100_000,
        cookie: [7; 16],
    });
    let plain = plain_reply("203.0.113.7:40000");
    let drilled = Reply { flags: plain.flags.with(ReplyFlags::DRILL, true), waiting: 1, ..plain };
    let away = Reply { state: ReplyState::Holiday, loss: 3, ..plain };
    let write =
        |datagram: ServerDatagram| datagram.encode(&token().server_to_client(), BOOT, token().locator()).to_vec();
    vec![
        ("reply", write(reply("203.0.113.7:40000"))),
        ("reply-v6", write(reply("[2001:db8::7]:40000"))),
        ("reply-drill", write(ServerDatagram::Reply(drilled))),
        ("reply-holiday", write(ServerDatagram::Reply(away))),
        ("challenge", write(challenge)),
    ]
}

fn vectors() -> String {
    let kept = NewToken::of(&token());
    let mut text = format!("token {}\nlocator {}\n", *kept.text, token().locator());
    let (c2s, s2c) = kept.mac_keys.split_at(32);
    let named: [(&str, &[u8]); 4] = [
        ("client-to-server", c2s),
        ("server-to-client", s2c),
        ("move-public-key", &kept.move_key),
        ("bearer-verifier", &kept.bearer_verifier),
    ];
    for (name, octets) in named {
        writeln!(text, "{name} {}", HEXLOWER.encode(octets)).unwrap();
    }
    for (name, octets) in client_vectors().into_iter().chain(server_vectors()) {
        writeln!(text, "{name} {}", HEXLOWER.encode(&octets)).unwrap();
    }
    text
}

#[test]
fn the_page_shows_what_the_code_writes() {
    let on_page = PAGE.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert_eq!(on_page, vectors(), "the block of vectors in docs/PROTOCOL.md has to be:\n{}", vectors());
}

#[test]
fn every_vector_is_believed_and_none_with_a_flipped_bit() {
    let key = token().client_to_server();
    for (name, octets) in client_vectors() {
        assert!(key.vouches_for_client(&octets) && ClientDatagram::decode(&octets).is_some(), "{name}");
        for bit in 0..octets.len() * 8 {
            let mut flipped = octets.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.vouches_for_client(&flipped), "{name}, bit {bit}");
        }
    }
    let key = token().server_to_client();
    for (name, octets) in server_vectors() {
        assert!(key.vouches_for_server(&octets, BOOT, token().locator()), "{name}");
        assert!(ServerDatagram::decode(&octets).is_some(), "{name}");
        for bit in 0..octets.len() * 8 {
            let mut flipped = octets.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!key.vouches_for_server(&flipped, BOOT, token().locator()), "{name}, bit {bit}");
        }
    }
}
