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
use crate::heartbeat::server::{BeatServer, OpenedBeatKey};
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
        let keys = open_keys(&directory, &self.seal);
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
        self.beats.replace_keys(keys);
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
    for record in directory.beat_keys() {
        let Some(endpoint) = directory.endpoint(record.endpoint) else { continue };
        match OpenedBeatKey::open(record, endpoint, seal) {
            Ok(key) => opened.push(key),
            Err(error) => {
                tracing::error!(endpoint = %endpoint.id, account = %endpoint.account, %error, "heartbeat key not usable")
            }
        }
    }
    opened
}
