//! The layouts against the vectors of the protocol.

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;
use crate::heartbeat::Token;

fn token() -> Token {
    Token::from_octets(std::array::from_fn(|i| u8::try_from(i).unwrap()))
}

fn header() -> Header {
    Header {
        locator: token().locator(),
        boot: BootId(0x1122_3344_5566_7788),
        seq: 1,
        path: 0,
        copy: 0,
        flags: ClientFlags(3),
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

#[test]
fn the_beat_of_the_first_vector_is_exact() {
    let beat = ClientDatagram { header: header(), body: ClientBody::Beat };
    let octets = beat.encode(&token().client_to_server(), None);
    assert_eq!(
        HEXLOWER.encode(&octets),
        "504d01014c3d1578657215f21122334455667788000000010000000301f40000000000000000000000dc000000000000\
         d95884fedd456eba3b24cfb82bdd6252"
    );
    assert_eq!(ClientDatagram::decode(&octets), Some(beat));
    assert!(token().client_to_server().vouches_for_client(&octets));
    assert!(!token().server_to_client().vouches_for_client(&octets));
}

#[test]
fn the_reply_of_the_first_vector_is_exact() {
    let reply = ServerDatagram::Reply(Reply {
        seq: 1,
        observed: "203.0.113.7:40000".parse().unwrap(),
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
    });
    let octets = reply.encode(&token().server_to_client(), header().boot, header().locator);
    assert_eq!(
        HEXLOWER.encode(&octets),
        "504d01020000000100000000000000000000ffffcb0071079c400101000186a06b050bc00000000001f401f400ff06a4\
         3e817defa013e02133b9da2ac20037ea"
    );
    assert_eq!(ServerDatagram::decode(&octets), Some(reply));
}

#[test]
fn a_signed_answer_is_believed_and_any_flipped_bit_is_not() {
    let answer = ClientDatagram {
        header: header(),
        body: ClientBody::Answer { cookie: [7; 16], seen: "203.0.113.7".parse().unwrap(), signature: [0; 64] },
    };
    let key = token().client_to_server();
    let public = token().move_key().verifying_key().to_bytes();
    let octets = answer.encode(&key, Some(&token().move_key()));
    assert_eq!(octets.len(), ANSWER_OCTETS);
    assert!(key.vouches_for_client(&octets) && move_is_signed(&octets, &public));
    for bit in 0..octets.len() * 8 {
        let mut flipped = octets.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!key.vouches_for_client(&flipped), "bit {bit}");
        assert_eq!(move_is_signed(&flipped, &public), bit >= 144 * 8, "bit {bit}");
    }
    assert!(!move_is_signed(&answer.encode(&key, None), &public));
}

#[test]
fn a_signed_server_key_is_believed_and_neither_a_flipped_bit_nor_an_answer_is() {
    let datagram = |body| ClientDatagram { header: header(), body };
    let key = token().client_to_server();
    let public = token().move_key().verifying_key().to_bytes();
    let body = ClientBody::ServerKey { digest: [9; 32], signature: [0; 64] };
    let octets = datagram(body).encode(&key, Some(&token().move_key()));
    assert_eq!(octets.len(), ANSWER_OCTETS);
    assert!(server_key_is_signed(&octets, &public) && !move_is_signed(&octets, &public));
    for bit in 0..octets.len() * 8 {
        let mut flipped = octets.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(server_key_is_signed(&flipped, &public), bit >= 144 * 8, "bit {bit}");
    }
    // An answer of the same token, made to look like a server key, is signed for something else.
    let body = ClientBody::Answer { cookie: [7; 16], seen: "203.0.113.7".parse().unwrap(), signature: [0; 64] };
    let mut answer = datagram(body).encode(&key, Some(&token().move_key()));
    answer[3] = 6;
    assert!(!server_key_is_signed(&answer, &public));
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|o| IpAddr::from(o).to_canonical()),
        any::<[u8; 16]>().prop_map(|o| IpAddr::from(o).to_canonical()),
    ]
}

fn any_header() -> impl Strategy<Value = Header> {
    (any::<[u8; 8]>(), any::<u64>(), 1..=u32::MAX, 0..=1u8, 0..=COPY_MAX, any::<[u16; 7]>(), any::<[u32; 2]>())
        .prop_map(|(locator, boot, seq, path, copy, w, [echo, hold_ms])| Header {
            locator: Locator(locator),
            boot: BootId(boot),
            seq,
            path,
            copy,
            flags: ClientFlags(w[0]),
            interval_cs: w[1],
            greeting_ms: w[2],
            echo,
            hold_ms,
            greeting_code: w[3],
            absence_min: w[4],
            replies_lost: w[5].to_be_bytes()[0],
            version_max: w[5].to_be_bytes()[1],
            build: w[6],
        })
}

fn any_signature() -> impl Strategy<Value = [u8; 64]> {
    any::<[[u8; 32]; 2]>().prop_map(|halves| halves.concat().try_into().unwrap())
}

fn any_body() -> impl Strategy<Value = ClientBody> {
    let entry = (any::<u8>(), any::<u8>(), any::<u16>(), any_address())
        .prop_map(|(kind, prefix, port, address)| ListedAddress { kind, prefix, port, address });
    prop_oneof![
        Just(ClientBody::Beat),
        (any::<[u8; 16]>(), any_address(), any_signature()).prop_map(|(cookie, seen, signature)| ClientBody::Answer {
            cookie,
            seen,
            signature
        }),
        prop::collection::vec(entry, 1..=LISTED_ADDRESSES_MAX).prop_map(ClientBody::AddressList),
        (any::<[u8; 32]>(), any_signature())
            .prop_map(|(digest, signature)| ClientBody::ServerKey { digest, signature }),
    ]
}

proptest! {
    #[test]
    fn no_input_makes_the_decoders_panic(octets in prop::collection::vec(any::<u8>(), 0..260)) {
        crate::heartbeat::datagram::tests::decode_everything(&octets);
        let mut framed = octets.clone();
        if let Some(head) = framed.first_chunk_mut::<4>() {
            *head = [b'P', b'M', 1, head[3] % 8];
        }
        decode_everything(&framed);
    }

    #[test]
    fn what_a_client_writes_reads_back(header in any_header(), body in any_body()) {
        let datagram = ClientDatagram { header, body };
        let octets = datagram.encode(&MacKey::new([1; 32]), None);
        prop_assert_eq!(ClientDatagram::decode(&octets), Some(datagram));
        prop_assert_eq!(ClientDatagram::decode(&octets[..octets.len() - 1]), None);
        let mut longer = octets;
        longer.push(0);
        prop_assert_eq!(ClientDatagram::decode(&longer), None);
    }
}

/// The fuzz target of both decoders.
fn decode_everything(octets: &[u8]) {
    let _ = locator_of(octets);
    let _ = ClientDatagram::decode(octets);
    let _ = ServerDatagram::decode(octets);
}
