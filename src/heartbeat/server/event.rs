//! What the heartbeat server tells liveness and asks of it, and the opened keys it works with.

use std::net::IpAddr;
use std::time::Duration;

use crate::account::{BeatKeyRecord, Endpoint, SealError, SealKey};
use crate::base::{AccountId, EndpointId, Moment, WallTime};
use crate::heartbeat::datagram::{ListedAddress, Locator, ReplyState, server_key_is_signed};
use crate::heartbeat::tag::MacKey;

/// Something that a genuine, fresh datagram said. Replays, forgeries and unproven sources never become one.
#[derive(Clone, PartialEq, Debug)]
pub struct BeatEvent {
    /// Which server.
    pub endpoint: EndpointId,
    /// Whose server.
    pub account: AccountId,
    /// Over which of the client's paths, 0 or 1 (docs/PROTOCOL.md §5).
    pub path: u8,
    /// When it arrived.
    pub at: Moment,
    /// What it was.
    pub kind: BeatKind,
}

/// The kinds of [`BeatEvent`].
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum BeatKind {
    /// A run of a client, or its new address, was proven by a round trip. A [`Beat`](Self::Beat) follows.
    Opened {
        /// Proven.
        address: IpAddr,
    },
    /// The proven address of this family is another than the stored one. Comes before `Opened`.
    Moved {
        /// The stored one.
        from: Option<IpAddr>,
        /// The new one.
        to: IpAddr,
    },
    /// A datagram that counts, from the proven address.
    Beat {
        /// When the beat was due: its arrival less what it came late (docs/PROTOCOL.md §7).
        base: Moment,
        /// Proven.
        address: IpAddr,
        /// The longer of the interval kept and the interval ordered.
        interval: Duration,
        /// What the client says of its mail server; `None` if it does not look.
        mail_ok: Option<bool>,
        /// Datagrams lost on the way to us, in percent of the last 64.
        loss_percent_up: f32,
        /// Datagrams of the client that had no reply, in percent of the last 64: lost on the way to us or back. Absent where
        /// no client counts.
        unanswered_percent: Option<f32>,
    },
    /// The client stops on purpose.
    Goodbye {
        /// How long it expects to be away.
        absence: Option<Duration>,
    },
    /// Never of a datagram: a router's update that spoke for the line has run out.
    RanOut,
}

/// A client says which key its mail server shows ([`ClientBody::ServerKey`]): its tag is good, it is no replay and newer
/// than all else of its run. Whether the token signed it is left open, since that is dear and most often not needed.
///
/// [`ClientBody::ServerKey`]: crate::heartbeat::datagram::ClientBody::ServerKey
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyReport {
    /// Which server.
    pub endpoint: EndpointId,
    /// Whose server.
    pub account: AccountId,
    /// Of the token.
    pub locator: Locator,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub digest: [u8; 32],
    pub(super) octets: Vec<u8>,
    pub(super) move_key: [u8; 32],
}

impl KeyReport {
    /// Whether the holder of the whole token says so: a reader of our tables does not have that key. Takes 58 µs.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        server_key_is_signed(&self.octets, &self.move_key)
    }
}

/// What a reply says of the line.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Standing {
    /// Its state.
    pub state: ReplyState,
    /// Messages waiting.
    pub waiting: u32,
    /// Silence after which it is neutralised.
    pub neutralised_after: Duration,
}

/// Who decides what beats mean. Called with the table locked: must return at once and not call back.
pub trait BeatListener: Send + Sync {
    /// Something was said; the reply carries what is returned.
    fn handle(&self, event: &BeatEvent) -> Standing;
    /// Many things were said, in this order: one standing for each is put behind `standings`.
    fn handle_all(&self, events: &[BeatEvent], standings: &mut Vec<Standing>) {
        standings.extend(events.iter().map(|event| self.handle(event)));
    }
    /// The kernel dropped so many datagrams for the heartbeat sockets, while so many were received.
    fn handle_drops(&self, dropped: u64, received: u64) {
        let _ = (dropped, received);
    }
    /// The client says where the machines beside it are ([`ClientBody::AddressList`]); comes after the beat it is.
    ///
    /// [`ClientBody::AddressList`]: crate::heartbeat::datagram::ClientBody::AddressList
    fn handle_addresses(&self, endpoint: EndpointId, list: &[ListedAddress]) {
        let _ = (endpoint, list);
    }
    /// How the line stands, for replies to datagrams that change nothing.
    fn standing(&self, endpoint: EndpointId) -> Standing;
}

/// A heartbeat key ready for use. Its MAC keys are wiped on drop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenedBeatKey {
    /// As in the datagrams.
    pub locator: Locator,
    /// Whose.
    pub account: AccountId,
    /// Which server.
    pub endpoint: EndpointId,
    /// MAC key of the client's datagrams.
    pub c2s: MacKey,
    /// MAC key of ours.
    pub s2c: MacKey,
    /// Ed25519 public key for moves.
    pub move_key: [u8; 32],
    /// When the key stops to be valid; absent for the current one.
    pub expires_at: Option<WallTime>,
    /// Last proven addresses of the endpoint, one of each family at most. A return to one needs no signature.
    pub stored_addresses: Vec<IpAddr>,
}

impl OpenedBeatKey {
    /// Opens the stored key of `endpoint`.
    ///
    /// # Errors
    /// [`SealError::DoesNotOpen`] for another seal key or damaged rows.
    pub fn open(record: &BeatKeyRecord, endpoint: &Endpoint, seal: &SealKey) -> Result<Self, SealError> {
        let keys = seal.open(&record.sealed_mac_keys, &record.locator)?;
        let (c2s, s2c) = keys.split_first_chunk::<32>().ok_or(SealError::DoesNotOpen)?;
        let s2c: &[u8; 32] = s2c.try_into().map_err(|_| SealError::DoesNotOpen)?;
        Ok(Self {
            locator: Locator(record.locator),
            account: endpoint.account,
            endpoint: endpoint.id,
            c2s: MacKey::new(*c2s),
            s2c: MacKey::new(*s2c),
            move_key: record.move_key,
            expires_at: record.expires_at,
            stored_addresses: endpoint
                .address_v4
                .map(IpAddr::V4)
                .into_iter()
                .chain(endpoint.address_v6.map(IpAddr::V6))
                .collect(),
        })
    }
}

/// One of all keys that are valid from now on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeptKey {
    /// Nothing about the key of this locator, nor about whose it is, has changed since it was given last: it is not opened
    /// anew. Of a key that is not known nothing becomes.
    Known(Locator),
    /// New, or not as before.
    Opened(OpenedBeatKey),
}

impl From<OpenedBeatKey> for KeptKey {
    fn from(key: OpenedBeatKey) -> Self {
        Self::Opened(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::NewToken;
    use crate::heartbeat::token::Token;

    #[test]
    fn a_new_token_sealed_and_stored_opens_to_the_keys_of_its_text() {
        let new = NewToken::generate().unwrap();
        let seal = SealKey::new([6; 32]);
        let record = BeatKeyRecord {
            endpoint: EndpointId(2),
            locator: new.locator,
            sealed_mac_keys: seal.seal(&new.mac_keys, &new.locator).unwrap(),
            move_key: new.move_key,
            bearer_verifier: new.bearer_verifier,
            created_at: crate::base::Clock.wall(),
            expires_at: None,
        };
        let endpoint = Endpoint {
            id: EndpointId(2),
            account: AccountId(1),
            host: "mail.dyn.example".parse().unwrap(),
            smtp_port: 25,
            address_v4: Some("192.0.2.1".parse().unwrap()),
            address_v6: None,
            pin: None,
            manners: None,
        };
        let opened = OpenedBeatKey::open(&record, &endpoint, &seal).unwrap();
        let token = Token::parse(&new.text).unwrap();
        assert_eq!((opened.locator, opened.account), (token.locator(), AccountId(1)));
        assert!(opened.c2s == token.client_to_server() && opened.s2c == token.server_to_client());
        assert_eq!(opened.stored_addresses, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert!(OpenedBeatKey::open(&record, &endpoint, &SealKey::new([7; 32])).is_err());
    }
}
