//! Passkeys of people: public keys that stand for a device with which somebody signs in.

use async_trait::async_trait;

use super::people::NewSession;
use super::store::{AccountError, Change};
use crate::base::{PersonId, WallTime};

/// Passkeys of one person, at most.
pub const PASSKEYS_MAX: usize = 20;
/// Letters of a passkey's name, at most.
pub const PASSKEY_NAME_CHARS_MAX: usize = 60;

/// One passkey. Holds no secret: the private key never leaves the device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passkey {
    /// Names it, chosen by the device (Web Authentication, credential id).
    pub credential: Vec<u8>,
    /// Who.
    pub person: PersonId,
    /// COSE key, as the device sent it (RFC 9052 §7).
    pub public_key: Vec<u8>,
    /// How often it signed, as it says; zero of one that does not count.
    pub counter: u32,
    /// What the person calls it.
    pub name: String,
    /// When it was added.
    pub made_at: WallTime,
    /// When somebody last signed in with it.
    pub used_at: Option<WallTime>,
}

/// Whether a device that said `before` may say `now`: the number grows, or the device does not count. One that goes back
/// may be a copy.
#[must_use]
pub const fn counts_on(before: u32, now: u32) -> bool {
    now > before || (now == 0 && before == 0)
}

/// Passkeys. Every change carries its audit row in the same transaction, one for each account of the person.
#[async_trait]
pub trait PasskeyStore: Send + Sync {
    /// Adds one. A credential that is known already, or one too many of a person, is [`AccountError::LinkSpent`].
    async fn add_passkey(&self, new: Passkey, change: Change) -> Result<(), AccountError>;
    /// Those of a person, the oldest first.
    async fn passkeys_of(&self, person: PersonId) -> Result<Vec<Passkey>, AccountError>;
    /// The one of that credential.
    async fn passkey(&self, credential: Vec<u8>) -> Result<Option<Passkey>, AccountError>;
    /// Opens a session of the passkey's person and keeps what the device counted. A passkey that is gone, belongs to another
    /// person or counts backwards ([`counts_on`]), or a known hash, is [`AccountError::LinkSpent`]; nothing changed then.
    async fn open_passkey_session(
        &self,
        new: NewSession,
        credential: Vec<u8>,
        counter: u32,
        change: Change,
    ) -> Result<(), AccountError>;
    /// Removes one of the person; whether it was there. None leaves no audit row.
    async fn remove_passkey(&self, person: PersonId, credential: Vec<u8>, change: Change)
    -> Result<bool, AccountError>;
}
