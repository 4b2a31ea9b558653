//! Recipients that were refused at the door, in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::base::WallTime;
use crate::smtp::refusals::{RefusalStore, Refused};
use crate::spool::SpoolError;

#[async_trait]
impl RefusalStore for MemoryStore {
    async fn note_refusals(&self, refused: Vec<Refused>) -> Result<(), SpoolError> {
        self.tables().refusals.extend(refused);
        Ok(())
    }

    async fn refusals(&self, address: &str, limit: u32) -> Result<Vec<Refused>, SpoolError> {
        let tables = self.tables();
        let is_meant = |one: &&Refused| {
            one.recipient.eq_ignore_ascii_case(address) || one.reverse_path.eq_ignore_ascii_case(address)
        };
        let mut found: Vec<Refused> = tables.refusals.iter().rev().filter(is_meant).cloned().collect();
        // Stable: of one instant the last one noted comes first.
        found.sort_by_key(|one| std::cmp::Reverse(one.at));
        found.truncate(limit as usize);
        Ok(found)
    }

    async fn forget_refusals(&self, before: WallTime) -> Result<u64, SpoolError> {
        let mut tables = self.tables();
        let all = tables.refusals.len();
        tables.refusals.retain(|one| one.at >= before);
        Ok((all - tables.refusals.len()) as u64)
    }
}
