//! Passkeys of people, in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::account::passkey::{PASSKEYS_MAX, counts_on};
use crate::account::{AccountError, Change, NewSession, Passkey, PasskeyStore};
use crate::base::PersonId;

type Changed<T> = Result<T, AccountError>;

#[async_trait]
impl PasskeyStore for MemoryStore {
    async fn add_passkey(&self, new: Passkey, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        tables.person_name(new.person)?;
        let own = tables.passkeys.values().filter(|known| known.person == new.person).count();
        if own >= PASSKEYS_MAX || tables.passkeys.contains_key(&new.credential) {
            return Err(AccountError::LinkSpent);
        }
        tables.note_of_person(&change, new.person, &format!("passkey.add {}", new.name));
        tables.passkeys.insert(new.credential.clone(), new);
        Ok(())
    }

    async fn passkeys_of(&self, person: PersonId) -> Changed<Vec<Passkey>> {
        let tables = self.tables();
        let mut own: Vec<Passkey> = tables.passkeys.values().filter(|known| known.person == person).cloned().collect();
        own.sort_by(|a, b| (a.made_at, &a.credential).cmp(&(b.made_at, &b.credential)));
        Ok(own)
    }

    async fn passkey(&self, credential: Vec<u8>) -> Changed<Option<Passkey>> {
        Ok(self.tables().passkeys.get(&credential).cloned())
    }

    async fn open_passkey_session(
        &self,
        new: NewSession,
        credential: Vec<u8>,
        counter: u32,
        change: Change,
    ) -> Changed<()> {
        let mut tables = self.tables();
        let known = tables.passkeys.get(&credential).filter(|known| known.person == new.person);
        let Some(known) = known.filter(|known| counts_on(known.counter, counter)).cloned() else {
            return Err(AccountError::LinkSpent);
        };
        tables.insert_session(&new, &change)?;
        let used = Passkey { counter, used_at: Some(change.at), ..known };
        tables.note_of_person(&change, new.person, &format!("session.passkey {}", used.name));
        tables.passkeys.insert(credential, used);
        Ok(())
    }

    async fn remove_passkey(&self, person: PersonId, credential: Vec<u8>, change: Change) -> Changed<bool> {
        let mut tables = self.tables();
        if tables.passkeys.get(&credential).is_none_or(|known| known.person != person) {
            return Ok(false);
        }
        let name = tables.passkeys.remove(&credential).map(|known| known.name).unwrap_or_default();
        tables.note_of_person(&change, person, &format!("passkey.remove {name}"));
        Ok(true)
    }
}
