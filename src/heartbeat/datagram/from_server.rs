//! What a server sends: replies and challenges, 64 octets each.

use std::net::SocketAddr;

use super::{BootId, Locator, MAGIC, Reader, SHORT_OCTETS, VERSION, address_octets};
use crate::heartbeat::tag::{MacKey, SERVER_SIGNED_OCTETS, Tag};

const TYPE_REPLY: u8 = 2;
const TYPE_CHALLENGE: u8 = 3;

/// What a server thinks of a line, as sent in replies.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ReplyState {
    /// Never heard.
    #[default]
    New,
    /// Beats come.
    Online,
    /// A beat is missed.
    Suspect,
    /// Neutralised.
    Offline,
    /// Back, not yet confirmed.
    Returning,
    /// Mail is being delivered.
    Flushing,
    /// Mail is held by a person or a safeguard.
    Hold,
    /// Absence was announced.
    Holiday,
}

impl ReplyState {
    const ALL: [Self; 8] = [
        Self::New,
        Self::Online,
        Self::Suspect,
        Self::Offline,
        Self::Returning,
        Self::Flushing,
        Self::Hold,
        Self::Holiday,
    ];

    /// As people read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Online => "online",
            Self::Suspect => "suspect",
            Self::Offline => "offline",
            Self::Returning => "returning",
            Self::Flushing => "flushing",
            Self::Hold => "hold",
            Self::Holiday => "holiday",
        }
    }

    fn code(self) -> u8 {
        Self::ALL.iter().position(|s| *s == self).and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// Bits in a reply.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ReplyFlags(pub u8);

impl ReplyFlags {
    /// The observed address is the one proven.
    pub const PROVEN: Self = Self(1);
    /// Two addresses claim the line.
    pub const CONTESTED: Self = Self(1 << 1);
    /// Ask for more over HTTPS.
    pub const MORE: Self = Self(1 << 2);
    /// The server is under pressure: send the twin only.
    pub const CALM: Self = Self(1 << 3);
    /// Another run of a client took over.
    pub const SUPERSEDED: Self = Self(1 << 4);
    /// The server stops soon.
    pub const CLOSING: Self = Self(1 << 5);
    /// A drill is running.
    pub const DRILL: Self = Self(1 << 6);
    /// The goodbye was taken.
    pub const GOODBYE_DONE: Self = Self(1 << 7);

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

/// A server's reply to a datagram that counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Of the datagram answered.
    pub seq: u32,
    /// Where it came from.
    pub observed: SocketAddr,
    /// What the line is.
    pub state: ReplyState,
    /// Details.
    pub flags: ReplyFlags,
    /// Milliseconds since a random start; never 0.
    pub server_time: u32,
    /// Wall clock, seconds since 1970, for display only.
    pub wall_s: u32,
    /// Messages waiting.
    pub waiting: u32,
    /// Interval ordered, in 10 ms.
    pub interval_cs: u16,
    /// When the next beat is due, counted from the first copy of the beat answered, in 10 ms.
    pub next_cs: u16,
    /// Loss seen, in 0.5 %.
    pub loss: u8,
    /// Endpoint to use, 255 to stay.
    pub endpoint_index: u8,
    /// Silence after which the line is neutralised, in 10 ms.
    pub neutralised_after_cs: u16,
}

/// Why a challenge was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The boot id is not open.
    BootUnknown,
    /// The source is not the proven address.
    AddressDiffers,
    /// Is the old address still alive?
    OldAddress,
}

impl Reason {
    /// All, in the order of their codes from 1.
    pub const ALL: [Self; 3] = [Self::BootUnknown, Self::AddressDiffers, Self::OldAddress];

    /// As in the datagram and the cookie.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::BootUnknown => 1,
            Self::AddressDiffers => 2,
            Self::OldAddress => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

/// A server's question: are you there, at this address, now?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Challenge {
    /// Of the datagram that caused it; 0 for a check that the server starts itself.
    pub seq: u32,
    /// Where that came from.
    pub observed: SocketAddr,
    /// Why.
    pub reason: Reason,
    /// The answer has to be signed.
    pub wants_signature: bool,
    /// 0 or 1.
    pub path: u8,
    /// Milliseconds since a random start; never 0.
    pub server_time: u32,
    /// To be sent back.
    pub cookie: Tag,
}

/// A server's datagram without its tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServerDatagram {
    /// The beat counted.
    Reply(Reply),
    /// Prove it.
    Challenge(Challenge),
}

impl ServerDatagram {
    /// Reads a datagram; its tag is a matter of [`MacKey::vouches_for_server`].
    #[must_use]
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        if datagram.len() != SHORT_OCTETS {
            return None;
        }
        let mut reader = Reader(datagram);
        let [m0, m1, version, kind] = reader.take::<4>()?;
        if [m0, m1] != MAGIC || version != VERSION {
            return None;
        }
        let seq = reader.u32()?;
        let observed = SocketAddr::new(reader.address()?, reader.u16()?);
        match kind {
            TYPE_REPLY => Some(Self::Reply(Reply {
                seq,
                observed,
                state: ReplyState::from_code(reader.u8()?)?,
                flags: ReplyFlags(reader.u8()?),
                server_time: reader.u32()?,
                wall_s: reader.u32()?,
                waiting: reader.u32()?,
                interval_cs: reader.u16()?,
                next_cs: reader.u16()?,
                loss: reader.u8()?,
                endpoint_index: reader.u8()?,
                neutralised_after_cs: reader.u16()?,
            })),
            TYPE_CHALLENGE => {
                let reason = Reason::from_code(reader.u8()?)?;
                let flags = reader.u8()?;
                let (server_time, cookie) = (reader.u32()?, reader.take()?);
                let (wants_signature, path) = (flags & 1 == 1, (flags >> 1) & 1);
                Some(Self::Challenge(Challenge { seq, observed, reason, wants_signature, path, server_time, cookie }))
            }
            _ => None,
        }
    }

    /// Writes the datagram with the tag for this boot id and locator.
    #[must_use]
    pub fn encode(&self, key: &MacKey, boot: BootId, locator: Locator) -> [u8; SHORT_OCTETS] {
        let mut out = [0u8; SHORT_OCTETS];
        let Some((signed, tag)) = out.split_first_chunk_mut::<SERVER_SIGNED_OCTETS>() else { return out };
        let mut writer = Writer(signed);
        writer.put(MAGIC);
        let (kind, seq, observed) = match self {
            Self::Reply(reply) => (TYPE_REPLY, reply.seq, reply.observed),
            Self::Challenge(challenge) => (TYPE_CHALLENGE, challenge.seq, challenge.observed),
        };
        writer.put([VERSION, kind]);
        writer.put(seq.to_be_bytes());
        writer.put(address_octets(observed.ip()));
        writer.put(observed.port().to_be_bytes());
        match self {
            Self::Reply(reply) => {
                writer.put([reply.state.code(), reply.flags.0]);
                writer.put(reply.server_time.to_be_bytes());
                writer.put(reply.wall_s.to_be_bytes());
                writer.put(reply.waiting.to_be_bytes());
                writer.put(reply.interval_cs.to_be_bytes());
                writer.put(reply.next_cs.to_be_bytes());
                writer.put([reply.loss, reply.endpoint_index]);
                writer.put(reply.neutralised_after_cs.to_be_bytes());
            }
            Self::Challenge(challenge) => {
                let flags = u8::from(challenge.wants_signature) | ((challenge.path & 1) << 1);
                writer.put([challenge.reason.code(), flags]);
                writer.put(challenge.server_time.to_be_bytes());
                writer.put(challenge.cookie);
            }
        }
        tag.copy_from_slice(&key.server_tag(signed, boot, locator));
        out
    }
}

/// Writes one field after the other.
struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put<const N: usize>(&mut self, field: [u8; N]) {
        if let Some((place, rest)) = std::mem::take(&mut self.0).split_first_chunk_mut::<N>() {
            *place = field;
            self.0 = rest;
        }
    }
}
