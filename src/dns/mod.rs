//! What does a name answer now? The authoritative name server for dynamic names and for customers' zones.
//!
//! `front` decides for one dynamic name what it points at, `names` holds all of them; `zone` holds what stands in a
//! zone, `catalog` all zones; `query` reads a question, `answer` answers it; `cookie` and `limit` keep answers from being
//! aimed at others. `secondary` says who may follow a zone, `transfer` what he is sent, `notify` when he is told, `tsig`
//! signs and checks; `amend` takes updates of zones (RFC 2136), `challenge` the records of ACME clients; `sign` signs answers (DNSSEC). `desk` answers, `driver` follows the lines and serves, `udp` and `tcp` move octets. Records are encoded by
//! hickory once (`records`), and only copied from then on.

pub mod amend;
pub mod answer;
pub mod catalog;
pub mod challenge;
pub mod check;
pub mod cookie;
pub mod desk;
pub mod driver;
pub mod front;
pub mod limit;
pub mod names;
pub mod notify;
pub mod owner;
pub mod query;
pub mod records;
pub mod revision;
pub mod secondary;
pub mod settings;
pub mod sign;
pub mod special;
pub mod store;
pub mod tcp;
pub mod transfer;
pub mod tsig;
pub mod udp;
pub mod zone;
pub mod zone_file;

pub use catalog::Catalog;
pub use challenge::driver::ChallengeDesk;
pub use challenge::store::ChallengeStore;
pub use driver::Dns;
pub use settings::{Offline, Settings};
pub use sign::store::ZoneKeyStore;
pub use store::{NameError, NameStore, StoredKey, StoredSecondary, StoredZone, ZoneChange};
