//! Draws the secrets of shared keys from the system.

use zeroize::Zeroizing;

use super::SECRET_OCTETS;

/// A secret that nobody had before.
///
/// # Errors
/// The system gave no random octets.
pub fn new_secret() -> Result<Zeroizing<[u8; SECRET_OCTETS]>, getrandom::Error> {
    let mut secret = Zeroizing::new([0; SECRET_OCTETS]);
    getrandom::fill(&mut *secret)?;
    Ok(secret)
}
