//! The codec under any octets: the fuzz target, and seeds of it.

use proptest::prelude::*;
use pulsemx::heartbeat::datagram::{BootId, ClientDatagram, Locator, ServerDatagram, locator_of};
use pulsemx::heartbeat::tag::MacKey;
use pulsemx::heartbeat::token::Token;

/// Reads `octets` as everything that comes from outside, and checks what must always hold: what can be read is written
/// the same way again, and no other length is read.
pub(crate) fn read_anything(octets: &[u8]) {
    let key = MacKey::new([5; 32]);
    if let Some(datagram) = ClientDatagram::decode(octets) {
        assert_eq!(locator_of(octets), Some(datagram.header.locator));
        let again = datagram.encode(&key, None);
        assert_eq!(again.len(), octets.len());
        assert!(key.vouches_for_client(&again));
        assert_eq!(ClientDatagram::decode(&again), Some(datagram));
        assert_eq!(ClientDatagram::decode(&[octets, &[0]].concat()), None);
        assert_eq!(ClientDatagram::decode(&octets[1..]), None);
    }
    if let Some(datagram) = ServerDatagram::decode(octets) {
        let (boot, locator) = (BootId(1), Locator([2; 8]));
        let again = datagram.encode(&key, boot, locator);
        assert!(key.vouches_for_server(&again, boot, locator));
        assert_eq!(ServerDatagram::decode(&again), Some(datagram));
        assert_eq!(ServerDatagram::decode(&octets[1..]), None);
    }
    // Neither may panic, whatever stands there.
    let _ = (key.vouches_for_client(octets), key.vouches_for_server(octets, BootId(0), Locator([0; 8])));
    let _ = std::str::from_utf8(octets).map(Token::parse);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_can_be_read_is_written_the_same_way_again(
        kind in 0u8..8,
        length in prop::sample::select(vec![3usize, 48, 63, 64, 65, 88, 108, 128, 148, 160, 168, 188, 208, 228, 229]),
        mut octets in prop::collection::vec(any::<u8>(), 229),
        (path, copy, count) in (0u8..3, 0u8..6, 0u8..10),
    ) {
        octets.truncate(length);
        read_anything(&octets);
        let likely = [(0, b'P'), (1, b'M'), (2, 1), (3, kind), (24, path), (25, copy), (48, count)];
        for (at, value) in likely {
            if let Some(octet) = octets.get_mut(at) {
                *octet = value;
            }
        }
        read_anything(&octets);
    }
}
