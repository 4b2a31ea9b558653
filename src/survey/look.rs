//! What a room above may ask for: a look at one domain of an account.

use async_trait::async_trait;

use super::facts::{Expected, Facts};
use crate::base::{AccountId, DomainName};

/// Looks at domains on behalf of an account.
#[async_trait]
pub trait Look: Send + Sync {
    /// What should stand for `domain`. Of one that the account does not have: what would, with its first server. Whether
    /// another account has it makes no difference.
    ///
    /// # Errors
    /// The sentence for the log.
    async fn expected(&self, account: AccountId, domain: &DomainName) -> Result<Expected, String>;

    /// What the world is told. Takes a minute at most.
    async fn facts(&self, expected: &Expected) -> Facts;

    /// Our name servers; empty where we host no zones.
    fn name_servers(&self) -> Vec<DomainName>;
}
