//! The layouts of all datagrams (docs/PROTOCOL.md §3) for both ends: exact lengths, big-endian, no rules.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use super::tag::{MacKey, Tag};

mod from_server;

pub use from_server::{Challenge, Reason, Reply, ReplyFlags, ReplyState, ServerDatagram};

/// First two octets of every datagram.
pub const MAGIC: [u8; 2] = *b"PM";
/// The version of the protocol.
pub const VERSION: u8 = 1;
/// Octets of a beat, a goodbye, a reply and a challenge.
pub const SHORT_OCTETS: usize = 64;
/// Octets of an answer and of a server key.
pub const ANSWER_OCTETS: usize = 160;
/// Longest datagram of the protocol: an address list of eight.
pub const DATAGRAM_OCTETS_MAX: usize = 228;
/// Most addresses in one list.
pub const LISTED_ADDRESSES_MAX: usize = 8;
/// Highest copy of one beat: first, twin, three repairs.
pub const COPY_MAX: u8 = 4;

const HEADER_OCTETS: usize = 48;
const MOVE_CONTEXT: &[u8] = b"pulsemx beat v1 move\0";
const SERVER_KEY_CONTEXT: &[u8] = b"pulsemx beat v1 server key\0";
const TYPE_BEAT: u8 = 1;
const TYPE_ANSWER: u8 = 4;
const TYPE_LIST: u8 = 5;
const TYPE_SERVER_KEY: u8 = 6;

/// Finds the key of a datagram at the server. May be logged.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locator(pub [u8; 8]);

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Names one run of a client towards one server. Random, not ordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BootId(pub u64);

/// Bits that a client sets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ClientFlags(pub u16);

impl ClientFlags {
    /// The client looks at the local mail server.
    pub const MAIL_KNOWN: Self = Self(1);
    /// The local mail server greets with 2yz.
    pub const MAIL_OK: Self = Self(1 << 1);
    /// Outside the rhythm.
    pub const EXTRA: Self = Self(1 << 2);
    /// The client stops now, on purpose.
    pub const GOODBYE: Self = Self(1 << 3);
    /// Own interface or route changed since the last reply, or the machine resumed.
    pub const CHANGED: Self = Self(1 << 4);
    /// Remembers spool ids.
    pub const CAN_ANSWER: Self = Self(1 << 5);
    /// The user fixed the interval: the server accepts it between 1 s and 60 s.
    pub const KEEPS: Self = Self(1 << 6);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// With the bits of `other`, if `on`.
    #[must_use]
    pub const fn with(self, other: Self, on: bool) -> Self {
        if on { Self(self.0 | other.0) } else { Self(self.0 & !other.0) }
    }
}

/// The 48 octets that every client's datagram begins with, after magic, version and type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Whose key.
    pub locator: Locator,
    /// Which run of the client.
    pub boot: BootId,
    /// Rises by one with every datagram of this boot id, copies included, from 1.
    pub seq: u32,
    /// 0 or 1.
    pub path: u8,
    /// 0 first, 1 twin, 2-4 repairs; the datagram is `copy x interval / 5` late.
    pub copy: u8,
    /// What the client says.
    pub flags: ClientFlags,
    /// The rhythm the client keeps, in 10 ms.
    pub interval_cs: u16,
    /// How long the local mail server took to greet, ms.
    pub greeting_ms: u16,
    /// Server time of the newest reply or challenge, 0 for none.
    pub echo: u32,
    /// Milliseconds since that arrived.
    pub hold_ms: u32,
    /// Last SMTP greeting code seen on the local port: 0 none, 1 refused, 2 timed out.
    pub greeting_code: u16,
    /// GOODBYE: expected absence in minutes, 0 unsaid.
    pub absence_min: u16,
    /// Replies lost, in 0.5 % of the last 64 datagrams.
    pub replies_lost: u8,
    /// Highest protocol version spoken.
    pub version_max: u8,
    /// Build of the client.
    pub build: u16,
}

/// One entry of an address list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListedAddress {
    /// [`MAIL_HOST`](Self::MAIL_HOST), [`LOCAL`](Self::LOCAL) or [`PREFIX`](Self::PREFIX); others are passed over.
    pub kind: u8,
    /// Bits of the prefix: 32 or 128 for one address.
    pub prefix: u8,
    /// Where SMTP listens; 0 if that is not said.
    pub port: u16,
    /// The address; of a prefix its first.
    pub address: IpAddr,
}

impl ListedAddress {
    /// Kind: the mail server's address, to be published once it is proven (docs/PROTOCOL.md §5).
    pub const MAIL_HOST: u8 = 1;
    /// Kind: an address of the machine in its own network; shown only.
    pub const LOCAL: u8 = 2;
    /// Kind: a network that the provider has delegated to the line.
    pub const PREFIX: u8 = 3;

    /// One address of this kind.
    #[must_use]
    pub const fn one(kind: u8, address: IpAddr, port: u16) -> Self {
        Self { kind, prefix: if address.is_ipv4() { 32 } else { 128 }, port, address }
    }
}

/// What follows the header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientBody {
    /// Nothing: a beat, or a goodbye by its flag.
    Beat,
    /// The answer to a challenge; counts as a beat.
    Answer {
        /// As in the challenge.
        cookie: Tag,
        /// The own address as read in the challenge: consent to be known by it.
        seen: IpAddr,
        /// Over header, cookie and address; zero if it was not asked for.
        signature: [u8; 64],
    },
    /// Addresses of the customer's machine; counts as a beat.
    AddressList(Vec<ListedAddress>),
    /// The key that the local mail server shows; counts as a beat.
    ServerKey {
        /// SHA-256 of the SubjectPublicKeyInfo.
        digest: [u8; 32],
        /// Over header and digest.
        signature: [u8; 64],
    },
}

/// A client's datagram without its tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientDatagram {
    /// The common part.
    pub header: Header,
    /// The rest.
    pub body: ClientBody,
}

/// Which locator a datagram names, if it can be one of a client at all. The cheap first look.
#[must_use]
pub fn locator_of(datagram: &[u8]) -> Option<Locator> {
    let mut reader = Reader(datagram);
    let magic = reader.take::<2>()?;
    let version = reader.u8()?;
    let kind = reader.u8()?;
    let right_length = match kind {
        TYPE_BEAT => datagram.len() == SHORT_OCTETS,
        TYPE_ANSWER | TYPE_SERVER_KEY => datagram.len() == ANSWER_OCTETS,
        TYPE_LIST => (88..=DATAGRAM_OCTETS_MAX).contains(&datagram.len()) && (datagram.len() - 68).is_multiple_of(20),
        _ => false,
    };
    if magic == MAGIC && version == VERSION && right_length { reader.take().map(Locator) } else { None }
}

impl ClientDatagram {
    /// Reads a datagram; its tag is a matter of [`MacKey::vouches_for_client`]. Other versions, types and lengths,
    /// and values that no client sends, are `None`.
    #[must_use]
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        locator_of(datagram)?;
        let mut reader = Reader(datagram);
        let [_, _, _, kind] = reader.take::<4>()?;
        let header = Header::read(&mut reader)?;
        let body = match kind {
            TYPE_BEAT => ClientBody::Beat,
            TYPE_ANSWER => {
                ClientBody::Answer { cookie: reader.take()?, seen: reader.address()?, signature: reader.take()? }
            }
            TYPE_LIST => ClientBody::AddressList(read_list(&mut reader, datagram.len())?),
            TYPE_SERVER_KEY => ClientBody::ServerKey { digest: reader.take()?, signature: reader.take()? },
            _ => return None,
        };
        Some(Self { header, body })
    }

    /// Writes the datagram with its tag. `signer` replaces the signature of an answer or a server key; without it
    /// the one in the value is written.
    #[must_use]
    pub fn encode(&self, key: &MacKey, signer: Option<&SigningKey>) -> Vec<u8> {
        let mut out = Vec::with_capacity(DATAGRAM_OCTETS_MAX);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, self.kind()]);
        self.header.write(&mut out);
        match &self.body {
            ClientBody::Beat => {}
            ClientBody::Answer { cookie, seen, signature } => {
                out.extend_from_slice(cookie);
                out.extend_from_slice(&address_octets(*seen));
                let signed = signer.map(|signer| signer.sign(&[MOVE_CONTEXT, &out].concat()).to_bytes());
                out.extend_from_slice(&signed.unwrap_or(*signature));
            }
            ClientBody::AddressList(list) => {
                let count = list.len().min(LISTED_ADDRESSES_MAX);
                out.extend_from_slice(&[u8::try_from(count).unwrap_or(0), 0, 0, 0]);
                for entry in list.iter().take(LISTED_ADDRESSES_MAX) {
                    out.extend_from_slice(&[entry.kind, entry.prefix]);
                    out.extend_from_slice(&entry.port.to_be_bytes());
                    out.extend_from_slice(&address_octets(entry.address));
                }
            }
            ClientBody::ServerKey { digest, signature } => {
                out.extend_from_slice(digest);
                let signed = signer.map(|signer| signer.sign(&[SERVER_KEY_CONTEXT, &out].concat()).to_bytes());
                out.extend_from_slice(&signed.unwrap_or(*signature));
            }
        }
        let tag = key.tag(&out);
        out.extend_from_slice(&tag);
        out
    }

    const fn kind(&self) -> u8 {
        match self.body {
            ClientBody::Beat => TYPE_BEAT,
            ClientBody::Answer { .. } => TYPE_ANSWER,
            ClientBody::AddressList(_) => TYPE_LIST,
            ClientBody::ServerKey { .. } => TYPE_SERVER_KEY,
        }
    }
}

/// Whether the signature in the octets of an answer is that of the token. Dear: the last check of all.
#[must_use]
pub fn move_is_signed(answer: &[u8], public: &[u8; 32]) -> bool {
    is_signed(MOVE_CONTEXT, answer, public)
}

/// Whether the signature in the octets of a server key is that of the token. As dear, and wanted only if the digest is
/// not the one that is known.
#[must_use]
pub fn server_key_is_signed(server_key: &[u8], public: &[u8; 32]) -> bool {
    is_signed(SERVER_KEY_CONTEXT, server_key, public)
}

/// Octets 80 to 143 sign the context and octets 0 to 79.
fn is_signed(context: &[u8], datagram: &[u8], public: &[u8; 32]) -> bool {
    let Some((signed, rest)) = datagram.split_at_checked(HEADER_OCTETS + 32) else { return false };
    let Some(signature) = rest.first_chunk::<64>() else { return false };
    let Ok(key) = VerifyingKey::from_bytes(public) else { return false };
    key.verify_strict(&[context, signed].concat(), &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
}

impl Header {
    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let header = Self {
            locator: Locator(reader.take()?),
            boot: BootId(u64::from_be_bytes(reader.take()?)),
            seq: reader.u32()?,
            path: reader.u8()?,
            copy: reader.u8()?,
            flags: ClientFlags(reader.u16()?),
            interval_cs: reader.u16()?,
            greeting_ms: reader.u16()?,
            echo: reader.u32()?,
            hold_ms: reader.u32()?,
            greeting_code: reader.u16()?,
            absence_min: reader.u16()?,
            replies_lost: reader.u8()?,
            version_max: reader.u8()?,
            build: reader.u16()?,
        };
        (header.seq > 0 && header.path <= 1 && header.copy <= COPY_MAX).then_some(header)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.locator.0);
        out.extend_from_slice(&self.boot.0.to_be_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&[self.path, self.copy]);
        out.extend_from_slice(&self.flags.0.to_be_bytes());
        out.extend_from_slice(&self.interval_cs.to_be_bytes());
        out.extend_from_slice(&self.greeting_ms.to_be_bytes());
        out.extend_from_slice(&self.echo.to_be_bytes());
        out.extend_from_slice(&self.hold_ms.to_be_bytes());
        out.extend_from_slice(&self.greeting_code.to_be_bytes());
        out.extend_from_slice(&self.absence_min.to_be_bytes());
        out.extend_from_slice(&[self.replies_lost, self.version_max]);
        out.extend_from_slice(&self.build.to_be_bytes());
    }
}

fn read_list(reader: &mut Reader<'_>, datagram_octets: usize) -> Option<Vec<ListedAddress>> {
    let [count, ..] = reader.take::<4>()?;
    let count = usize::from(count);
    if datagram_octets != 68 + 20 * count {
        return None;
    }
    (0..count)
        .map(|_| {
            Some(ListedAddress {
                kind: reader.u8()?,
                prefix: reader.u8()?,
                port: reader.u16()?,
                address: reader.address()?,
            })
        })
        .collect()
}

/// A duration in hundredths of a second, as in datagrams; saturates.
#[must_use]
pub fn centiseconds(duration: Duration) -> u16 {
    u16::try_from(duration.as_millis() / 10).unwrap_or(u16::MAX)
}

/// What [`centiseconds`] wrote.
#[must_use]
pub const fn from_centiseconds(value: u16) -> Duration {
    Duration::from_millis(value as u64 * 10)
}

/// An address as 16 octets, IPv4 as v4-mapped.
#[must_use]
pub const fn address_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }
    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_be_bytes)
    }
    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }
    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }
    fn address(&mut self) -> Option<IpAddr> {
        self.take::<16>().map(|octets| IpAddr::V6(Ipv6Addr::from(octets)).to_canonical())
    }
}

#[cfg(test)]
#[path = "datagram_tests.rs"]
mod tests;
