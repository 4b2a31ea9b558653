//! Starts the room that tells people, and brings it what other rooms find.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::assemble::StartError;
use crate::account::{Directory, DirectoryHandle, SealKey};
use crate::alert::{Alerts, Event, Fact, Outbox, Settings, post};
use crate::base::{AccountId, ByteCount, WallTime};
use crate::config::Config;
use crate::spool::{OldestWaiting, SpoolStore};
use crate::store::SqliteStore;

/// Share of an account's storage, in percent, at which it is spoken of.
const QUOTA_PERCENT: u64 = 80;
/// Share below which there is room again: a little lower, so that one message does not decide.
const QUOTA_WELL_PERCENT: u64 = 75;

/// Starts the room.
pub(super) async fn start(
    config: &Config,
    store: &Arc<SqliteStore>,
    (seal, directory): (&SealKey, &DirectoryHandle),
    own_addresses: Vec<SocketAddr>,
    shutdown: CancellationToken,
) -> Result<Arc<Alerts>, StartError> {
    let settings = Settings {
        hostname: config.hostname.to_string(),
        allow_loopback: config.delivery_allow_loopback_targets,
        own_addresses,
        configured: config.alerts_operator.clone(),
    };
    for fault in post::driver::faults(&settings.configured) {
        tracing::error!("{fault}");
    }
    post::driver::start(settings, Arc::clone(store) as _, seal.clone(), directory.clone(), shutdown)
        .await
        .map_err(|e| StartError::Read(e.to_string()))
}

/// Raises what is found in rounds.
pub(super) struct Raiser {
    outbox: Outbox,
    directory: DirectoryHandle,
    /// `spool.per_account`.
    per_account: ByteCount,
    /// Accounts that were told that their storage is nearly full.
    full: BTreeSet<AccountId>,
    /// Everybody was looked at once: a restart may have missed an end.
    has_looked: bool,
}

impl Raiser {
    pub(super) const fn new(outbox: Outbox, directory: DirectoryHandle, per_account: ByteCount) -> Self {
        Self { outbox, directory, per_account, full: BTreeSet::new(), has_looked: false }
    }

    /// The oldest mail of an account has waited `percent` of its time.
    pub(super) fn expiring(&self, oldest: &OldestWaiting, percent: u32, expires_at: WallTime) {
        let (account, since) = (oldest.account, Some(oldest.accepted_at));
        let fact = Fact::Expiring { percent, expires_at };
        self.outbox.raise_soon(Event::of_account(&self.directory.load(), account, since, fact));
    }

    /// Accounts as they are now.
    pub(super) fn directory(&self) -> Arc<Directory> {
        self.directory.load()
    }

    /// Mail waited too long.
    pub(super) fn expired(&self, expired: u64, removed: u64) {
        self.outbox.raise_soon(Event::of_service(Fact::Expired { expired, removed }));
    }

    /// Looks at what every account holds.
    pub(super) fn look_at_storage(&mut self, spool: &dyn SpoolStore) {
        let directory = self.directory.load();
        let limit = self.per_account.0.max(1);
        for account in directory.accounts() {
            let held = spool.usage(account.id).octets;
            let Some(fact) = storage(held, limit, self.full.contains(&account.id), !self.has_looked) else { continue };
            if matches!(fact, Fact::QuotaWell) {
                self.full.remove(&account.id);
            } else {
                tracing::warn!(
                    alert = "quota",
                    account = account.name.as_str(),
                    held,
                    limit,
                    "the storage of an account is nearly full"
                );
                self.full.insert(account.id);
            }
            self.outbox.raise_soon(Event::of_account(&directory, account.id, None, fact));
        }
        self.has_looked = true;
    }
}

/// What an account is told of its storage, if anything.
fn storage(held: u64, limit: u64, was_full: bool, is_first: bool) -> Option<Fact> {
    let percent = u64::try_from(u128::from(held) * 100 / u128::from(limit)).unwrap_or(u64::MAX);
    if !was_full && percent >= QUOTA_PERCENT {
        let percent = u32::try_from(percent).unwrap_or(u32::MAX);
        Some(Fact::Quota { percent, held_bytes: held, limit_bytes: limit })
    } else if (was_full || is_first) && percent < QUOTA_WELL_PERCENT {
        Some(Fact::QuotaWell)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_is_spoken_of_at_eighty_percent_and_again_below_seventy_five() {
        let full = |percent| Some(Fact::Quota { percent, held_bytes: u64::from(percent), limit_bytes: 100 });
        assert_eq!(storage(79, 100, false, false), None);
        assert_eq!(storage(80, 100, false, false), full(80));
        assert_eq!(storage(95, 100, true, false), None);
        assert_eq!(storage(75, 100, true, false), None);
        assert_eq!(storage(74, 100, true, false), Some(Fact::QuotaWell));
        assert_eq!(storage(10, 100, false, false), None);
        assert_eq!(storage(10, 100, false, true), Some(Fact::QuotaWell), "an end may have been missed");
    }
}
