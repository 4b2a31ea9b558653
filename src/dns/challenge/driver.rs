//! Takes values from ACME clients and from ourselves, keeps them, and takes them away again when they are old.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::key::{ChallengeKey, NoRandomness, Wanted};
use super::store::{ChallengeStore, StoredValue};
use super::{AUTH_LABEL, Challenges, VALUE_AGE_MAX, challenge_name, host_of, is_value};
use crate::account::{Change, DirectoryHandle};
use crate::base::{AccountId, Clock, DomainName, WallTime};
use crate::certificate::acme::driver::ChallengePlace;
use crate::dns::driver::Dns;
use crate::dns::owner::Owner;
use crate::dns::records::RecordSet;
use crate::dns::store::NameError;
use crate::update::limit::{Buckets, Rate};

/// Between two looks for values that are old, and for keys that went with their account.
const ROUND: Duration = Duration::from_secs(60);
/// Wrong keys of one network (/32, /64) at once, and between two more; beyond these nothing is compared.
const WRONG: Rate = Rate { burst: 30, every: Duration::from_secs(2) };
/// Values of one key at once, and between two more: a certificate with 100 names is had at once.
const VALUES: Rate = Rate { burst: 200, every: Duration::from_secs(5) };

/// How long the other name servers of a zone may take to hear of a value of ours and to fetch it.
const SECONDARIES_FOLLOW_WITHIN: Duration = Duration::from_secs(5);
/// Characters of the label of a name of ours elsewhere: 64 bits of its hash.
const OWN_LABEL_CHARS: usize = 16;

/// What an ACME client sent.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `X-Api-User`.
    pub user: &'a str,
    /// `X-Api-Key`.
    pub secret: &'a str,
    /// Its word for the name.
    pub id: &'a str,
    /// To be put there.
    pub value: &'a str,
    /// Where it is.
    pub peer: IpAddr,
}

/// Why a value was not put anywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No such key, not from there, or another name's.
    Forbidden,
    /// Not the value of a challenge.
    BadValue,
    /// Too often.
    TooOften,
    /// The store failed.
    Failed,
}

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub enum NoKey {
    /// It is not this account's.
    #[error("'{0}' is no dynamic name of this account; see `pulsemx host list`")]
    NotTheirs(DomainName),
    /// See there.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// See there.
    #[error(transparent)]
    Store(#[from] NameError),
}

/// Keys and limits; the values stand in the catalog of the name server.
pub struct ChallengeDesk {
    dns: Arc<Dns>,
    store: Arc<dyn ChallengeStore>,
    directory: DirectoryHandle,
    /// By the client's own name.
    keys: Mutex<HashMap<String, ChallengeKey>>,
    wrong: Mutex<Buckets<IpAddr>>,
    values: Mutex<Buckets<String>>,
    clock: Clock,
}

impl std::fmt::Debug for ChallengeDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChallengeDesk").finish_non_exhaustive()
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ChallengeDesk {
    /// Reads what is kept and looks after it until `shutdown`. Call within a tokio runtime.
    ///
    /// # Errors
    /// [`NameError`] if the store cannot be read.
    pub async fn start(
        dns: Arc<Dns>,
        store: Arc<dyn ChallengeStore>,
        directory: DirectoryHandle,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, NameError> {
        let desk = Arc::new(Self {
            dns,
            store,
            directory,
            keys: Mutex::default(),
            wrong: Mutex::new(Buckets::new(WRONG)),
            values: Mutex::new(Buckets::new(VALUES)),
            clock: Clock,
        });
        desk.reload().await?;
        let names: HashMap<String, DomainName> =
            lock(&desk.keys).values().map(|key| (key.id.clone(), key.name.clone())).collect();
        for StoredValue { key, value, at } in desk.store.load_challenge_values().await? {
            let Some(name) = names.get(&key) else { continue };
            let owner = Owner::of_domain(name);
            desk.dns.change_challenges(&owner, |table| table.add(&owner, &value, at));
        }
        let rounds = Arc::clone(&desk);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(ROUND) => rounds.look_after().await,
                }
            }
        });
        Ok(desk)
    }

    /// The service's own zone, in which names of their own stand.
    #[must_use]
    pub fn zone(&self) -> DomainName {
        self.dns.own_zone()
    }

    async fn look_after(&self) {
        self.dns.expire_challenges(self.clock.wall());
        if let Err(error) = self.reload().await {
            tracing::error!(%error, "keys of ACME clients were not read again");
        }
    }

    /// Reads all keys again: those of accounts that are gone open nothing any more.
    ///
    /// # Errors
    /// [`NameError`] if the store cannot be read; what was known stays.
    pub async fn reload(&self) -> Result<(), NameError> {
        let fresh = self.store.load_challenge_keys().await?;
        let fresh: HashMap<String, ChallengeKey> = fresh.into_iter().map(|key| (key.user.clone(), key)).collect();
        let before = std::mem::replace(&mut *lock(&self.keys), fresh.clone());
        let is_open = |name: &DomainName| fresh.values().any(|key| key.name == *name);
        for gone in before.values().filter(|key| !is_open(&key.name)) {
            let owner = Owner::of_domain(&gone.name);
            self.dns.change_challenges(&owner, |table: &mut Challenges| {
                table.close(owner.octets());
                true
            });
        }
        for key in fresh.values().filter(|key| !before.contains_key(&key.user)) {
            self.open(&key.name);
        }
        Ok(())
    }

    fn open(&self, name: &DomainName) {
        let owner = Owner::of_domain(name);
        self.dns.change_challenges(&owner, |table| {
            table.open(owner.clone());
            false
        });
    }

    /// A new key with its secret, which is shown this once.
    ///
    /// # Errors
    /// [`NoKey`]; nothing was kept.
    pub async fn register(&self, wanted: Wanted, who: String) -> Result<(ChallengeKey, String), NoKey> {
        if let Some(host) = wanted.host.as_ref().filter(|host| !self.is_theirs(wanted.account, host)) {
            return Err(NoKey::NotTheirs(host.clone()));
        }
        let (key, secret) = ChallengeKey::draw(wanted, &self.zone(), self.clock.wall())?;
        let change = Change { at: key.created_at, who };
        self.store.add_challenge_key(key.clone(), change).await?;
        tracing::info!(account = %key.account, name = %key.name, key = %key.id, "an ACME client may put records here");
        self.open(&key.name);
        lock(&self.keys).insert(key.user.clone(), key.clone());
        Ok((key, secret))
    }

    /// All keys, by account and name.
    #[must_use]
    pub fn keys(&self) -> Vec<ChallengeKey> {
        let mut all: Vec<ChallengeKey> = lock(&self.keys).values().cloned().collect();
        all.sort_by(|a, b| (a.account, &a.name, &a.id).cmp(&(b.account, &b.name, &b.id)));
        all
    }

    /// A key less, with its values.
    ///
    /// # Errors
    /// [`NameError`]; nothing was changed.
    pub async fn remove(&self, account: AccountId, id: String, change: Change) -> Result<(), NameError> {
        self.store.remove_challenge_key(account, id, change).await?;
        self.reload().await
    }

    fn is_theirs(&self, account: AccountId, host: &DomainName) -> bool {
        self.dns.account_of(&Owner::of_domain(host)) == Some(account)
    }

    /// Puts a value at the name of a key; it is answered when this returns.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was changed.
    pub async fn update(&self, asked: Asked<'_>) -> Result<(), Refusal> {
        let (now, wall) = (self.clock.monotonic(), self.clock.wall());
        let network = network_of(asked.peer);
        let known = lock(&self.keys).get(asked.user).cloned();
        let key = match known {
            Some(key) if key.opens(asked.secret, asked.peer) && key.id == asked.id => key,
            Some(_) | None => {
                let is_fair = lock(&self.wrong).take(network, now);
                return Err(if is_fair { Refusal::Forbidden } else { Refusal::TooOften });
            }
        };
        // A name that is the account's no more, and an account that is gone.
        let owner = Owner::of_domain(&key.name);
        let host = host_of(&owner).and_then(|host| host.to_domain());
        let is_there = self.directory.load().account(key.account).is_some();
        if !is_there || host.is_some_and(|host| !self.is_theirs(key.account, &host)) {
            return Err(Refusal::Forbidden);
        }
        if !is_value(asked.value) {
            return Err(Refusal::BadValue);
        }
        if !lock(&self.values).take(key.user.clone(), now) {
            return Err(Refusal::TooOften);
        }
        let stored = StoredValue { key: key.id.clone(), value: asked.value.to_owned(), at: wall };
        if let Err(error) = self.store.put_challenge_value(stored, wall - VALUE_AGE_MAX).await {
            tracing::error!(%error, name = %key.name, "a value of an ACME client was not stored");
            return Err(Refusal::Failed);
        }
        self.dns.change_challenges(&owner, |table| table.add(&owner, asked.value, wall));
        tracing::info!(account = %key.account, name = %key.name, peer = %asked.peer, "value of an ACME client");
        Ok(())
    }
}

#[async_trait]
impl ChallengePlace for ChallengeDesk {
    fn name_for(&self, host: &DomainName) -> DomainName {
        let here = challenge_name(host).filter(|_| self.dns.zone_of(host).is_some());
        // One label that is the same after every restart, so that the record elsewhere is written once.
        let hash = blake3::hash(host.as_str().as_bytes()).to_hex();
        let label = hash.get(..OWN_LABEL_CHARS).unwrap_or_default();
        let elsewhere = || DomainName::parse(&format!("own-{label}.{AUTH_LABEL}.{}", self.zone())).ok();
        here.or_else(elsewhere).unwrap_or_else(|| host.clone())
    }

    async fn put(&self, name: &DomainName, value: &str) {
        let owner = Owner::of_domain(name);
        let now = self.clock.wall();
        self.dns.change_challenges(&owner, |table| table.add(&owner, value, now));
        if self.dns.zone_of(name).is_some_and(|zone| self.dns.is_followed(&zone)) {
            tokio::time::sleep(SECONDARIES_FOLLOW_WITHIN).await;
        }
    }

    fn take(&self, name: &DomainName, value: &str) {
        let owner = Owner::of_domain(name);
        let is_open = lock(&self.keys).values().any(|key| key.name == *name);
        self.dns.change_challenges(&owner, |table| {
            let is_changed = table.take(&owner, value);
            if !is_open && table.find(owner.octets()).is_some_and(RecordSet::is_empty) {
                table.close(owner.octets());
            }
            is_changed
        });
    }
}

impl Dns {
    /// Changes the records of ACME clients at a name; `change` says whether the answers are others now.
    fn change_challenges(&self, owner: &Owner, change: impl FnOnce(&mut Challenges) -> bool) {
        let mut catalog = self.write();
        catalog.change_challenges(owner, change);
        catalog.settle_serials(Clock.wall());
    }

    /// Records of ACME clients that are old go.
    fn expire_challenges(&self, now: WallTime) {
        let mut catalog = self.write();
        catalog.expire_challenges(now);
        catalog.settle_serials(now);
    }
}

/// Whom wrong keys are counted for: an address, or a /64.
fn network_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
    }
}
