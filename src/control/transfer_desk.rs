//! Carries out the commands about secondaries and shared keys.

use data_encoding::BASE64;

use super::desk::{Desk, find};
use super::reply::{CommandError, Reply};
use super::transfer_reply::{KeyShown, NewKeyShown, ScopeShown, SecondaryShown};
use super::transfer_request::TransferRequest;
use crate::base::{DomainName, WallTime};
use crate::dns::amend::scope::StoredScope;
use crate::dns::owner::Owner;
use crate::dns::secondary::seal_secret;
use crate::dns::tsig::driver::new_secret;
use crate::dns::{StoredKey, StoredSecondary};

/// As other servers call the algorithm (RFC 8945 §6).
const ALGORITHM: &str = "hmac-sha256";

impl Desk {
    pub(super) async fn carry_out_transfer(
        &self,
        request: TransferRequest,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        match request {
            TransferRequest::SecondaryAdd { zone, address, key } => {
                self.add_secondary(StoredSecondary { zone, address, key }, now).await
            }
            TransferRequest::SecondaryList => {
                let shown = |known: StoredSecondary| SecondaryShown {
                    zone: known.zone,
                    address: known.address,
                    key: known.key,
                };
                Ok(Reply::Secondaries(self.names.load_secondaries().await?.into_iter().map(shown).collect()))
            }
            TransferRequest::SecondaryRemove { zone, address } => {
                let dns = self.dns()?;
                self.names.remove_secondary(zone.clone(), address, Self::change(now)).await?;
                dns.change_access(|access| access.remove(&zone, address));
                Ok(Reply::Done { message: format!("{address} may follow {zone} no more"), warnings: Vec::new() })
            }
            TransferRequest::KeyNew { name } => self.new_key(name, now).await,
            TransferRequest::KeyList => self.list_keys().await,
            TransferRequest::KeyAllow { account, key, name, is_below, types } => {
                let account = find(&self.directory.load(), &account)?.id;
                self.allow_key(StoredScope { key, name, account, is_below, types }, now).await
            }
            TransferRequest::KeyDeny { key, name } => {
                let dns = self.dns()?;
                self.names.remove_scope(key.clone(), name.clone(), Self::change(now)).await?;
                dns.change_access(|access| access.remove_scope(&key, &name));
                Ok(Reply::Done { message: format!("the key {key} may change {name} no more"), warnings: Vec::new() })
            }
            TransferRequest::KeyRemove { name } => {
                let dns = self.dns()?;
                self.names.remove_key(name.clone(), Self::change(now)).await?;
                dns.change_access(|access| access.remove_key(&name));
                Ok(Reply::Done { message: format!("the key {name} is forgotten"), warnings: Vec::new() })
            }
        }
    }

    async fn add_secondary(&self, secondary: StoredSecondary, now: WallTime) -> Result<Reply, CommandError> {
        let dns = self.dns()?;
        if dns.serial(&secondary.zone).is_none() {
            return Err(CommandError::new(format!("'{}' is not served here; see `pulsemx zone list`", secondary.zone)));
        }
        let keys = self.running()?.keys.as_ref();
        if keys.is_some_and(|keys| keys.keys(&secondary.zone).is_some()) {
            let why = "is signed, and its answers are signed by this server alone; see `pulsemx zone unsign`";
            return Err(CommandError::new(format!("'{}' {why}", secondary.zone)));
        }
        self.names.put_secondary(secondary.clone(), Self::change(now)).await?;
        dns.change_access(|access| access.add(&secondary));
        let (proof, warnings) = match &secondary.key {
            Some(key) => (format!("with the key {key}"), Vec::new()),
            None => (
                format!("from {}", secondary.address.ip()),
                vec!["without a key whoever can use that address may copy the zone; see `pulsemx tsig new`".to_owned()],
            ),
        };
        let StoredSecondary { zone, address, .. } = secondary;
        Ok(Reply::Done { message: format!("{address} is told of changes of {zone} and may copy it {proof}"), warnings })
    }

    async fn list_keys(&self) -> Result<Reply, CommandError> {
        let directory = self.directory.load();
        let scopes = self.names.load_scopes().await?;
        let scope_shown = |scope: &StoredScope| {
            let account = directory.account(scope.account)?.name.clone();
            Some(ScopeShown { account, name: scope.name.clone(), below: scope.is_below, types: scope.types.clone() })
        };
        let shown = |known: StoredKey| {
            let own = scopes.iter().filter(|scope| scope.key == known.name);
            KeyShown { scopes: own.filter_map(scope_shown).collect(), name: known.name, created_at: known.created_at }
        };
        Ok(Reply::Keys(self.names.load_keys().await?.into_iter().map(shown).collect()))
    }

    /// A name is the account's if it is one of its dynamic names or lies in one of its zones.
    async fn allow_key(&self, scope: StoredScope, now: WallTime) -> Result<Reply, CommandError> {
        let dns = self.dns()?;
        let owner = Owner::of_domain(&scope.name);
        let of_zone = self.names.zones_of(scope.account).await?;
        let is_in_zone = of_zone.iter().any(|zone| owner.is_within(&Owner::of_domain(&zone.apex)));
        if !is_in_zone && dns.account_of(&owner) != Some(scope.account) {
            return Err(CommandError::new(format!(
                "'{}' is no dynamic name of this account and lies in none of its zones; see `pulsemx zone list`",
                scope.name
            )));
        }
        self.names.put_scope(scope.clone(), Self::change(now)).await?;
        dns.change_access(|access| access.add_scope(scope.clone()));
        let StoredScope { key, name, is_below, types, .. } = scope;
        let below = if is_below { " and all names below it" } else { "" };
        let message = format!("the key {key} may change {types} of {name}{below}");
        Ok(Reply::Done { message, warnings: Vec::new() })
    }

    async fn new_key(&self, name: DomainName, now: WallTime) -> Result<Reply, CommandError> {
        let dns = self.dns()?;
        let secret = new_secret().map_err(|_| CommandError::new("the system has no random numbers"))?;
        let sealed_secret = seal_secret(&self.running()?.seal, &name, &*secret)
            .map_err(|error| CommandError::new(error.to_string()))?;
        let key = StoredKey { name: name.clone(), sealed_secret, created_at: now };
        self.names.add_key(key, Self::change(now)).await?;
        dns.change_access(|access| access.add_key(&name, &*secret));
        Ok(Reply::NewKey(NewKeyShown { name, algorithm: ALGORITHM.to_owned(), secret: BASE64.encode(&*secret) }))
    }
}
