//! Seals the MAC keys of heartbeats, so that a copy of the database alone forges nothing.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

/// Octets of a seal key file.
pub const SEAL_KEY_OCTETS: usize = 32;
const NONCE_OCTETS: usize = 24;

/// The server's own secret, kept in a file outside the database and its backups.
#[derive(Clone)]
pub struct SealKey(Zeroizing<[u8; SEAL_KEY_OCTETS]>);

/// A sealed value could not be opened or made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// Wrong key file, wrong row, or damaged.
    #[error("a stored heartbeat key does not open with this seal key; the key file and the database belong together")]
    DoesNotOpen,
    /// The system gave no random bytes.
    #[error("the system has no random numbers")]
    NoRandomness,
}

impl SealKey {
    /// A key of 32 random octets.
    #[must_use]
    pub fn new(octets: [u8; SEAL_KEY_OCTETS]) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// A key for another use, which neither leads back here nor to that of any other `context`.
    #[must_use]
    pub fn derived(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, &*self.0)
    }

    /// Seals `secret`; `context` has to be given again to open it (the locator of the key).
    ///
    /// # Errors
    /// [`SealError::NoRandomness`].
    pub fn seal(&self, secret: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0u8; NONCE_OCTETS];
        getrandom::fill(&mut nonce).map_err(|_| SealError::NoRandomness)?;
        let cipher = XChaCha20Poly1305::new((&*self.0).into());
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: secret, aad: context })
            .map_err(|_| SealError::NoRandomness)?;
        let mut whole = nonce.to_vec();
        whole.extend_from_slice(&sealed);
        Ok(whole)
    }

    /// Opens what [`seal`](Self::seal) made.
    ///
    /// # Errors
    /// [`SealError::DoesNotOpen`].
    pub fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, body) = sealed.split_at_checked(NONCE_OCTETS).ok_or(SealError::DoesNotOpen)?;
        let nonce: [u8; NONCE_OCTETS] = nonce.try_into().map_err(|_| SealError::DoesNotOpen)?;
        let cipher = XChaCha20Poly1305::new((&*self.0).into());
        cipher
            .decrypt(&XNonce::from(nonce), Payload { msg: body, aad: context })
            .map(Zeroizing::new)
            .map_err(|_| SealError::DoesNotOpen)
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_key_opens_only_with_key_and_context() {
        let key = SealKey::new([7; 32]);
        let sealed = key.seal(b"secret", b"locator1").unwrap();
        assert_eq!(key.open(&sealed, b"locator1").unwrap().as_slice(), b"secret");
        assert_eq!(key.open(&sealed, b"locator2"), Err(SealError::DoesNotOpen));
        assert_eq!(SealKey::new([8; 32]).open(&sealed, b"locator1"), Err(SealError::DoesNotOpen));
        assert_eq!(key.open(&sealed[..10], b"locator1"), Err(SealError::DoesNotOpen));
        assert_ne!(key.seal(b"secret", b"locator1").unwrap(), sealed);
    }
}
