//! The API: `/api/v1`, JSON, for programs of the customer (docs/API.md, `web/openapi.json`).
//!
//! A request passes `driver`'s guard (limits, token, scope, body, key of a repetition) before its handler runs; the
//! handlers ask the same desks as the pages and the commands, and decide nothing themselves. Every refusal is a
//! `Fault`, told as `application/problem+json` in the reader's language.

mod account;
mod asked;
mod caller;
pub mod driver;
mod events;
mod limit;
mod mail;
mod names;
mod office;
mod problem;
mod repeat;
mod table;
mod tokens;

pub use driver::{ApiRooms, start};
pub use table::operations;
