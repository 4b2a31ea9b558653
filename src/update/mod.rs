//! Updates from routers and other devices: who may set which name to which address, and is an account without beats there?
//!
//! `request` reads dyndns2, DuckDNS and ping requests, `address` their addresses, `decide` answers for one name in the
//! words of `word`; `token` and `ledger` say who may; `limit` how often. `probe` asks the mail servers of accounts
//! without beats whether they greet. `driver` joins them with the store and with liveness.

pub mod address;
pub mod decide;
pub mod driver;
pub mod ledger;
pub mod limit;
pub mod model;
pub mod names;
pub mod probe;
pub mod reason;
pub mod request;
pub mod store;
pub mod token;
pub mod word;

pub use driver::{Settings, Updates};
pub use ledger::{AccountUpdates, Ledger};
pub use model::{DeviceRequest, HostName, Policy, Role, Source, TokenKind, TokenRecord};
pub use names::{AddressReport, Names, NamesChanged};
pub use reason::Reason;
pub use store::{UpdateError, UpdateRows, UpdateStore};
pub use word::Answer;
