//! Makes, exchanges and forgets the keys of zones, and hands them to the name server.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::key::{SigningError, ZoneKey, draw, open, seal};
use super::store::{StoredZoneKey, ZoneKeyStore};
use super::{INCOMING_FOR, KeyState, RETIRED_FOR, ZoneKeys, has_waited};
use crate::account::{Change, SealKey};
use crate::base::{AccountId, Clock, DomainName, WallTime};
use crate::dns::driver::Dns;
use crate::dns::owner::Owner;
use crate::dns::store::NameError;

/// Between two looks for keys that have had their time.
const ROUND: Duration = Duration::from_secs(600);

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not ours.
    #[error("'{0}' is not served here; see `pulsemx zone list`")]
    NotServed(DomainName),
    /// Others could not sign what they copy.
    #[error(
        "'{0}' is followed by other name servers, and answers are signed here alone; see `pulsemx zone secondary list`"
    )]
    Followed(DomainName),
    /// It is.
    #[error("'{0}' is signed already; see `pulsemx zone keys`")]
    Signed(DomainName),
    /// It is not.
    #[error("'{0}' is not signed; see `pulsemx zone sign`")]
    NotSigned(DomainName),
    /// An exchange runs.
    #[error(
        "a new key of '{0}' is on its way; when its DS record is in the parent zone: `pulsemx zone roll {0} --done`"
    )]
    Rolling(DomainName),
    /// None does.
    #[error("no new key of '{0}' is on its way; begin with `pulsemx zone roll {0}`")]
    NotRolling(DomainName),
    /// Somebody may not know the new key yet.
    #[error("the new key of '{0}' has to stand in the zone until {1}")]
    TooEarly(DomainName, WallTime),
    /// The parent still vouches for the keys.
    #[error("first `pulsemx zone unsign {0}`, and take the DS record out of the parent zone")]
    NotLeaving(DomainName),
    /// See there.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// See there.
    #[error(transparent)]
    Store(#[from] NameError),
}

/// A step in the life of a zone's keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The first key: the zone is signed.
    Sign,
    /// A new key stands beside the old one.
    Roll,
    /// The parent has the new DS record: the new key signs.
    RollDone,
    /// The parent is asked to take the DS record away.
    Leave,
    /// It did: the zone is signed no more.
    LeaveDone,
}

fn opened(seal: &SealKey, zone: &DomainName, stored: &[StoredZoneKey]) -> Result<Option<Arc<ZoneKeys>>, SigningError> {
    let one = |stored: &StoredZoneKey| ZoneKey::new(&open(seal, zone, &stored.sealed_key)?, stored.state, stored.since);
    let keys = stored.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(ZoneKeys::new(Owner::of_domain(zone), keys).map(Arc::new))
}

/// The keys of all signed zones, for a name server that is to start: no answer of it leaves unsigned.
///
/// # Errors
/// [`NameError`] if the store cannot be read. A key that does not open is told, and its zone not signed.
pub async fn load(store: &dyn ZoneKeyStore, seal: &SealKey) -> Result<Vec<Arc<ZoneKeys>>, NameError> {
    let all = store.load_zone_keys().await?;
    let zones = all.chunk_by(|a, b| a.zone == b.zone).filter_map(|keys| Some((&keys.first()?.zone, keys)));
    let told = |(zone, keys): (&DomainName, &[StoredZoneKey])| {
        opened(seal, zone, keys).unwrap_or_else(|error| {
            tracing::error!(%zone, %error, "a zone is not signed");
            None
        })
    };
    Ok(zones.filter_map(told).collect())
}

/// See the file.
pub struct KeyDesk {
    dns: Arc<Dns>,
    store: Arc<dyn ZoneKeyStore>,
    seal: SealKey,
    /// Held from reading keys to serving them.
    turn: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for KeyDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyDesk").finish_non_exhaustive()
    }
}

impl KeyDesk {
    /// Looks after the keys of zones until `shutdown`; [`load`] found those that sign now. Call within a tokio runtime.
    #[must_use]
    pub fn start(dns: Arc<Dns>, store: Arc<dyn ZoneKeyStore>, seal: SealKey, shutdown: CancellationToken) -> Arc<Self> {
        let desk = Arc::new(Self { dns, store, seal, turn: tokio::sync::Mutex::default() });
        let rounds = Arc::clone(&desk);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(ROUND) => if let Err(error) = rounds.forget_retired().await {
                        tracing::error!(%error, "keys of zones that have had their time are kept");
                    }
                }
            }
        });
        desk
    }

    /// The keys of a zone, if it is signed.
    #[must_use]
    pub fn keys(&self, zone: &DomainName) -> Option<Arc<ZoneKeys>> {
        self.dns.signing_keys(&Owner::of_domain(zone))
    }

    fn serve(&self, zone: &DomainName, stored: &[StoredZoneKey]) -> Result<(), SigningError> {
        let keys = opened(&self.seal, zone, stored)?;
        self.dns.set_signing_keys(&Owner::of_domain(zone), keys);
        Ok(())
    }

    async fn stored(&self, zone: &DomainName) -> Result<Vec<StoredZoneKey>, NameError> {
        Ok(self.store.load_zone_keys().await?.into_iter().filter(|key| key.zone == *zone).collect())
    }

    /// Takes a step; it is served when this returns.
    ///
    /// # Errors
    /// [`KeyError`]; nothing was changed.
    pub async fn step(
        &self,
        zone: &DomainName,
        account: Option<AccountId>,
        step: Step,
        change: Change,
    ) -> Result<(), KeyError> {
        let _turn = self.turn.lock().await;
        if self.dns.serial(zone).is_none() {
            return Err(KeyError::NotServed(zone.clone()));
        }
        if step == Step::Sign && self.dns.is_followed(zone) {
            return Err(KeyError::Followed(zone.clone()));
        }
        let now = change.at;
        let mut keys = self.stored(zone).await?;
        let fresh = match step {
            Step::Sign | Step::Roll => Some(self.fresh(zone, account, now)?),
            Step::RollDone | Step::Leave | Step::LeaveDone => None,
        };
        take(&mut keys, zone, step, fresh, now)?;
        let what = format!("zone.keys {zone} {step:?}").to_lowercase();
        self.store.put_zone_keys(zone.clone(), keys.clone(), what, change).await?;
        tracing::info!(%zone, ?step, "keys of a zone have changed");
        Ok(self.serve(zone, &keys)?)
    }

    fn fresh(
        &self,
        zone: &DomainName,
        account: Option<AccountId>,
        now: WallTime,
    ) -> Result<StoredZoneKey, SigningError> {
        let secret = draw()?;
        let tag = ZoneKey::new(&secret, KeyState::Active, now)?.tag;
        let sealed_key = seal(&self.seal, zone, &secret)?;
        Ok(StoredZoneKey { zone: zone.clone(), tag, account, sealed_key, state: KeyState::Active, since: now })
    }

    async fn forget_retired(&self) -> Result<(), KeyError> {
        let _turn = self.turn.lock().await;
        let now = Clock.wall();
        let all = self.store.load_zone_keys().await?;
        for keys in all.chunk_by(|a, b| a.zone == b.zone) {
            let is_over =
                |key: &StoredZoneKey| key.state == KeyState::Retired && has_waited(key.since, RETIRED_FOR, now);
            let Some(zone) = keys.iter().find(|key| is_over(key)).map(|key| key.zone.clone()) else { continue };
            let left: Vec<StoredZoneKey> = keys.iter().filter(|key| !is_over(key)).cloned().collect();
            let change = Change { at: now, who: "service".to_owned() };
            self.store.put_zone_keys(zone.clone(), left.clone(), format!("zone.keys {zone} forget"), change).await?;
            self.serve(&zone, &left)?;
        }
        Ok(())
    }
}

impl Dns {
    /// The keys that sign a zone.
    fn signing_keys(&self, apex: &Owner) -> Option<Arc<ZoneKeys>> {
        self.desk().catalog().signing().keys(apex).cloned()
    }

    /// Signs a zone with these keys from now on; without any no more.
    fn set_signing_keys(&self, apex: &Owner, keys: Option<Arc<ZoneKeys>>) {
        let mut catalog = self.write();
        catalog.set_keys(apex, keys);
        catalog.settle_serials(Clock.wall());
    }
}

/// Changes the keys of a zone by one step; `fresh` is a new key where one is needed.
fn take(
    keys: &mut Vec<StoredZoneKey>,
    zone: &DomainName,
    step: Step,
    fresh: Option<StoredZoneKey>,
    now: WallTime,
) -> Result<(), KeyError> {
    let has = |keys: &[StoredZoneKey], state| keys.iter().any(|key| key.state == state);
    let is_signed = !keys.is_empty();
    let is_rolling = has(keys, KeyState::Incoming);
    let turn = |key: &mut StoredZoneKey, state| (key.state, key.since) = (state, now);
    match (step, fresh) {
        (Step::Sign, _) if is_signed => return Err(KeyError::Signed(zone.clone())),
        (Step::Roll | Step::RollDone | Step::Leave | Step::LeaveDone, _) if !is_signed => {
            return Err(KeyError::NotSigned(zone.clone()));
        }
        (Step::Roll | Step::Leave, _) if is_rolling => return Err(KeyError::Rolling(zone.clone())),
        (Step::Sign, fresh) => keys.extend(fresh),
        (Step::Roll, fresh) => {
            // One of the same tag would be taken for the old one; a step later it is drawn anew.
            let fresh = fresh.filter(|fresh| keys.iter().all(|key| key.tag != fresh.tag));
            let again = || SigningError("two keys look alike; try again".to_owned());
            keys.push(StoredZoneKey { state: KeyState::Incoming, ..fresh.ok_or_else(again)? });
        }
        (Step::RollDone, _) => {
            let incoming = keys.iter().find(|key| key.state == KeyState::Incoming);
            let since = incoming.ok_or_else(|| KeyError::NotRolling(zone.clone()))?.since;
            if !has_waited(since, INCOMING_FOR, now) {
                return Err(KeyError::TooEarly(zone.clone(), since + INCOMING_FOR));
            }
            for key in keys.iter_mut() {
                match key.state {
                    KeyState::Incoming => turn(key, KeyState::Active),
                    KeyState::Active | KeyState::Leaving => turn(key, KeyState::Retired),
                    KeyState::Retired => {}
                }
            }
        }
        (Step::Leave, _) => {
            keys.iter_mut().filter(|key| key.state == KeyState::Active).for_each(|key| turn(key, KeyState::Leaving));
        }
        (Step::LeaveDone, _) if !has(keys, KeyState::Leaving) => return Err(KeyError::NotLeaving(zone.clone())),
        (Step::LeaveDone, _) => keys.clear(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn at(second: i64) -> WallTime {
        chrono::Utc.timestamp_opt(1_795_492_800 + second, 0).unwrap()
    }

    fn key(tag: u16) -> StoredZoneKey {
        let zone = DomainName::parse("firma.example").unwrap();
        StoredZoneKey { zone, tag, account: None, sealed_key: vec![], state: KeyState::Active, since: at(0) }
    }

    fn states(keys: &[StoredZoneKey]) -> Vec<(u16, &'static str)> {
        keys.iter().map(|key| (key.tag, key.state.as_str())).collect()
    }

    #[test]
    fn a_key_is_exchanged_step_by_step_and_none_is_skipped() {
        let zone = DomainName::parse("firma.example").unwrap();
        let mut keys = Vec::new();
        assert!(matches!(take(&mut keys, &zone, Step::Roll, Some(key(1)), at(0)), Err(KeyError::NotSigned(_))));
        take(&mut keys, &zone, Step::Sign, Some(key(1)), at(0)).unwrap();
        assert!(matches!(take(&mut keys, &zone, Step::Sign, Some(key(2)), at(0)), Err(KeyError::Signed(_))));
        assert!(matches!(take(&mut keys, &zone, Step::RollDone, None, at(9_999_999)), Err(KeyError::NotRolling(_))));
        assert!(take(&mut keys, &zone, Step::Roll, Some(key(1)), at(5)).is_err(), "the same tag");
        let second = StoredZoneKey { since: at(5), ..key(2) };
        take(&mut keys, &zone, Step::Roll, Some(second), at(5)).unwrap();
        assert_eq!(states(&keys), [(1, "active"), (2, "incoming")]);
        assert!(matches!(take(&mut keys, &zone, Step::Roll, Some(key(3)), at(6)), Err(KeyError::Rolling(_))));
        assert!(matches!(take(&mut keys, &zone, Step::RollDone, None, at(6)), Err(KeyError::TooEarly(..))));
        let later = 5 + i64::try_from(INCOMING_FOR.as_secs()).unwrap();
        take(&mut keys, &zone, Step::RollDone, None, at(later)).unwrap();
        assert_eq!(states(&keys), [(1, "retired"), (2, "active")]);
        assert!(matches!(take(&mut keys, &zone, Step::LeaveDone, None, at(later)), Err(KeyError::NotLeaving(_))));
        take(&mut keys, &zone, Step::Leave, None, at(later)).unwrap();
        assert_eq!(states(&keys), [(1, "retired"), (2, "leaving")]);
        take(&mut keys, &zone, Step::LeaveDone, None, at(later)).unwrap();
        assert!(keys.is_empty());
    }
}
