//! Who lives in a customer's domains: what the customer said, what his server has shown, and what follows from it for a
//! recipient while that server is away.
//!
//! `list` reads what a customer uploads (addresses, patterns, or keyed hashes of addresses); `table` holds all that is known
//! in a few octets each, so that port 25 may ask on every RCPT, and judges; `driver` keeps table and store in step and
//! takes in what delivery learns. Nothing here is about one message.
//!
//! Order of belief: the list, what was accepted, what was refused a moment ago, a pattern, and then the rule of the domain.

pub mod driver;
pub mod list;
pub mod model;
pub mod store;
pub mod table;

pub use driver::Recipients;
pub use list::{ListError, NewList};
pub use model::{CallOut, Learned, ListEntry, Policy, Unknown, WithoutList};
pub use store::{DomainRow, RecipientError, RecipientRows, RecipientStore};
pub use table::{Judgement, Knowledge, RecipientBook, Table};
