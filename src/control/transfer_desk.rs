//! Carries out the commands about secondaries and shared keys.

use data_encoding::BASE64;

use super::desk::Desk;
use super::reply::{CommandError, Reply};
use super::transfer_reply::{KeyShown, NewKeyShown, SecondaryShown};
use super::transfer_request::TransferRequest;
use crate::base::{DomainName, WallTime};
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
            TransferRequest::KeyList => {
                let shown = |known: StoredKey| KeyShown { name: known.name, created_at: known.created_at };
                Ok(Reply::Keys(self.names.load_keys().await?.into_iter().map(shown).collect()))
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
