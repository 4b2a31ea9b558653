//! The storage engines behind the rooms' own traits: one on disk, one in memory for tests and the demo.
//!
//! Both keep the same promises, and `tests/store_contract` holds them to it with the same tests. SQL stays in here:
//! the other rooms see plain values only.

pub mod memory;
pub mod sqlite;

pub use memory::MemoryStore;
pub use sqlite::{OpenError, SqliteStore, Statistics};
