//! In memory.
/// x
pub struct MemoryStore;
