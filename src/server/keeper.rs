//! Keeps the memory of the running server in step with the store after each change of accounts.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::account::{
    Account, AccountError, AccountStatus, AccountStore, BeatKeyRecord, Change, Directory, DirectoryHandle, LEAVING_FOR,
    Manners, SealKey,
};
use crate::base::{Clock, EndpointId, WallTime};
use crate::control::DirectoryKeeper;
use crate::delivery::PinKeeper;
use crate::dns::Dns;
use crate::heartbeat::datagram::Locator;
use crate::heartbeat::server::{BeatServer, KeptKey, OpenedBeatKey};
use crate::heartbeat::token::NewToken;
use crate::liveness::{Liveness, WatchedEndpoint};
use crate::web::AccountKeeper;
use crate::web::beat::{FreshToken, RENEWED_OVERLAP, TokenDesk};

/// See the file.
pub struct Keeper {
    accounts: Arc<dyn AccountStore>,
    directory: DirectoryHandle,
    seal: SealKey,
    liveness: Arc<Liveness>,
    beats: Arc<BeatServer>,
    watched: Mutex<BTreeSet<EndpointId>>,
    /// Age of a token from which its client is asked to renew it; zero for never.
    renew_tokens_after: Duration,
    dns: Option<Arc<Dns>>,
    /// One reload at a time, so that an older snapshot never replaces a newer one.
    turn: tokio::sync::Mutex<()>,
}

impl Keeper {
    /// A keeper for rooms that were started with what `directory` holds now.
    #[must_use]
    pub fn new(
        accounts: Arc<dyn AccountStore>,
        directory: DirectoryHandle,
        seal: SealKey,
        liveness: Arc<Liveness>,
        beats: Arc<BeatServer>,
        renew_tokens_after: Duration,
        dns: Option<Arc<Dns>>,
    ) -> Self {
        let watched = directory.load().endpoints().iter().map(|e| e.id).collect();
        Self {
            accounts,
            directory,
            seal,
            liveness,
            beats,
            renew_tokens_after,
            dns,
            watched: Mutex::new(watched),
            turn: tokio::sync::Mutex::new(()),
        }
    }
}

impl Keeper {
    /// Removes the accounts whose time of leaving is over. One that still holds mail stays until that is settled.
    /// The number removed.
    pub async fn remove_left(&self, now: WallTime) -> usize {
        let mut removed = 0;
        let directory = self.directory.load();
        let over =
            |account: &&&Account| account.status == AccountStatus::Leaving && account.status_since + LEAVING_FOR <= now;
        for account in directory.accounts().iter().filter(over) {
            let change = Change { at: now, who: "pulsemx".to_owned() };
            match self.accounts.remove_account(account.id, change).await {
                Ok(()) => {
                    removed += 1;
                    tracing::info!(account = %account.name, "account removed, its time of leaving is over");
                }
                Err(error @ AccountError::MailHeld { .. }) => {
                    tracing::warn!(account = %account.name, %error, "account stays although its time of leaving is over");
                }
                Err(error) => tracing::error!(account = %account.name, %error, "account not removed"),
            }
        }
        removed
    }
}

#[async_trait]
impl DirectoryKeeper for Keeper {
    async fn reload(&self) -> Result<(), AccountError> {
        let _turn = self.turn.lock().await;
        let directory = self.accounts.load_directory(Clock.wall()).await?;
        let before = self.directory.load();
        {
            let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted: BTreeSet<EndpointId> = directory.endpoints().iter().map(|e| e.id).collect();
            for endpoint in directory.endpoints().iter().filter(|e| !watched.contains(&e.id)) {
                self.liveness.add_endpoint(WatchedEndpoint::new(endpoint.account, endpoint.id));
            }
            for gone in watched.difference(&wanted) {
                self.liveness.remove_endpoint(*gone);
            }
            *watched = wanted;
        }
        self.beats.ask_for_renewal(aged(&directory, self.renew_tokens_after, Clock.wall()));
        self.beats.keep_keys(directory.beat_keys().len(), kept_keys(&before, &directory, &self.seal));
        self.directory.replace(directory);
        if let Some(dns) = &self.dns {
            dns.reload();
        }
        Ok(())
    }
}

/// The current keys that are older than `limit`.
fn aged(directory: &Directory, limit: Duration, now: WallTime) -> HashSet<Locator> {
    let current = directory.beat_keys().iter().filter(|key| !limit.is_zero() && key.expires_at.is_none());
    current.filter(|key| key.created_at + limit <= now).map(|key| Locator(key.locator)).collect()
}

#[async_trait]
impl PinKeeper for Keeper {
    async fn set_pin(&self, endpoint: EndpointId, pin: Option<[u8; 32]>, change: Change) -> Result<(), AccountError> {
        self.accounts.set_pin(endpoint, pin, change).await?;
        DirectoryKeeper::reload(self).await
    }

    async fn set_manners(&self, endpoint: EndpointId, manners: Manners) -> Result<(), AccountError> {
        let _turn = self.turn.lock().await;
        self.accounts.set_manners(endpoint, manners).await?;
        // Nothing else of the directory changed, and all servers may be heard for the first time in one hour.
        let directory = Directory::clone(&self.directory.load()).with_manners(endpoint, manners);
        self.directory.replace(directory);
        Ok(())
    }
}

#[async_trait]
impl AccountKeeper for Keeper {
    async fn reload(&self) -> Result<(), AccountError> {
        DirectoryKeeper::reload(self).await
    }
}

#[async_trait]
impl TokenDesk for Keeper {
    async fn renew(&self, endpoint: EndpointId, who: &str) -> Result<FreshToken, AccountError> {
        let engine = |error: Box<dyn std::error::Error + Send + Sync>| AccountError::Engine(error);
        let now = Clock.wall();
        let new = NewToken::generate().map_err(|e| engine(e.into()))?;
        let key = BeatKeyRecord {
            endpoint,
            locator: new.locator,
            sealed_mac_keys: self.seal.seal(&new.mac_keys, &new.locator).map_err(|e| engine(e.into()))?,
            move_key: new.move_key,
            bearer_verifier: new.bearer_verifier,
            created_at: now,
            expires_at: None,
        };
        let old_valid_until = now + RENEWED_OVERLAP;
        self.accounts.rotate_key(key, old_valid_until, Change { at: now, who: who.to_owned() }).await?;
        DirectoryKeeper::reload(self).await?;
        Ok(FreshToken { text: new.text, old_valid_until })
    }
}

/// The heartbeat keys of all endpoints, opened. One that does not open is left out and reported: its client hears
/// nothing, the others are served.
#[must_use]
pub fn open_keys(directory: &Directory, seal: &SealKey) -> Vec<OpenedBeatKey> {
    let mut opened = Vec::with_capacity(directory.beat_keys().len());
    opened.extend(directory.beat_keys().iter().filter_map(|record| open_key(record, directory, seal)));
    opened
}

fn open_key(record: &BeatKeyRecord, directory: &Directory, seal: &SealKey) -> Option<OpenedBeatKey> {
    let endpoint = directory.endpoint(record.endpoint)?;
    OpenedBeatKey::open(record, endpoint, seal)
        .inspect_err(|error| {
            tracing::error!(endpoint = %endpoint.id, account = %endpoint.account, %error, "heartbeat key not usable");
        })
        .ok()
}

/// All keys, opened only where the row is not that of `before`: to open one takes 2 µs, and a million have no change.
fn kept_keys<'a>(
    before: &'a Directory,
    directory: &'a Directory,
    seal: &'a SealKey,
) -> impl Iterator<Item = KeptKey> + 'a {
    let owner = |directory: &Directory, record: &BeatKeyRecord| directory.endpoint(record.endpoint).map(|e| e.account);
    directory.beat_keys().iter().filter_map(move |record| {
        let is_same = before.beat_key(&record.locator) == Some(record);
        match owner(directory, record) {
            None => None,
            here if is_same && owner(before, record) == here => Some(KeptKey::Known(Locator(record.locator))),
            Some(_) => open_key(record, directory, seal).map(KeptKey::Opened),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Endpoint;
    use crate::base::AccountId;

    fn endpoint(id: i64, account: i64) -> Endpoint {
        Endpoint {
            id: EndpointId(id),
            account: AccountId(account),
            host: format!("h{id}.dyn.example").parse().unwrap(),
            smtp_port: 25,
            address_v4: None,
            address_v6: None,
            pin: None,
            manners: None,
        }
    }

    #[test]
    fn only_keys_whose_rows_changed_are_opened() {
        let seal = SealKey::new([6; 32]);
        let record = |id: i64| {
            let new = NewToken::generate().unwrap();
            BeatKeyRecord {
                endpoint: EndpointId(id),
                locator: new.locator,
                sealed_mac_keys: seal.seal(&new.mac_keys, &new.locator).unwrap(),
                move_key: new.move_key,
                bearer_verifier: new.bearer_verifier,
                created_at: WallTime::UNIX_EPOCH,
                expires_at: None,
            }
        };
        let [same, mut ending, moved, gone, new] = [1, 2, 3, 4, 5].map(record);
        let directory = |endpoints: Vec<Endpoint>, keys: [&BeatKeyRecord; 4]| {
            Directory::new(Vec::new(), endpoints, Vec::new(), keys.into_iter().cloned().collect())
        };
        let before = directory((1..=4).map(|id| endpoint(id, id)).collect(), [&same, &ending, &moved, &gone]);
        ending.expires_at = Some(WallTime::UNIX_EPOCH);
        let now = [endpoint(1, 1), endpoint(2, 2), endpoint(3, 9), endpoint(5, 5)];
        let after = directory(now.to_vec(), [&same, &ending, &moved, &new]);
        let kept: Vec<(Locator, bool)> = kept_keys(&before, &after, &seal)
            .map(|key| match key {
                KeptKey::Known(locator) => (locator, false),
                KeptKey::Opened(key) => (key.locator, true),
            })
            .collect();
        let named = [(&same, false), (&ending, true), (&moved, true), (&new, true)];
        assert_eq!(kept, named.map(|(record, is_opened)| (Locator(record.locator), is_opened)));
    }
}
