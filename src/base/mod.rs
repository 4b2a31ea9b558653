//! Words that all rooms share. Holds no rule of a room and does no I/O beyond
//! reading the clock and moving datagrams for whoever owns a socket.

#[cfg(feature = "server")]
pub mod batch;
pub mod clock;
pub mod domain;
pub mod id;
pub mod index;
pub mod mailbox;
pub mod network;
pub mod quantity;

pub use clock::{Clock, Moment, WallTime};
pub use domain::{DomainName, DomainNameError};
pub use id::{AccountId, EndpointId, PersonId, SpoolId, SpoolIds};
pub use index::PlaceIndex;
pub use mailbox::{LocalPart, Mailbox, MailboxError, ReversePath};
pub use network::{is_near, network_of};
pub use quantity::{ByteCount, parse_duration, write_duration};
