//! The secret of a sign-in link or a session: made here, shown once, kept only as a hash.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};

/// Octets of a secret: 256 bits, so that nobody guesses and the hash needs no salt.
pub const SECRET_OCTETS: usize = 32;
/// How long a sign-in link made for a person is valid.
pub const LINK_LIFETIME: Duration = Duration::from_secs(3_600);

/// The system gave no random numbers.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the system has no random numbers; try again later")]
pub struct NoRandomness;

/// A new secret as text for a link (43 characters, base64url) and the hash that the store keeps.
///
/// # Errors
/// [`NoRandomness`].
pub fn new_secret() -> Result<(String, [u8; 32]), NoRandomness> {
    let mut octets = [0u8; SECRET_OCTETS];
    getrandom::fill(&mut octets).map_err(|_| NoRandomness)?;
    Ok((BASE64URL_NOPAD.encode(&octets), Sha256::digest(octets).into()))
}

/// The hash under which the store knows the secret written as `text`; absent if it is no secret at all.
#[must_use]
pub fn secret_hash(text: &str) -> Option<[u8; 32]> {
    let octets = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    (octets.len() == SECRET_OCTETS).then(|| Sha256::digest(octets).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_secret_leads_to_its_hash_and_no_other_text_does() {
        let (text, hash) = new_secret().unwrap();
        assert_eq!(text.len(), 43);
        assert_eq!(secret_hash(&text), Some(hash));
        assert_ne!(new_secret().unwrap().0, text);
        for wrong in ["", "abc", "../../../etc/passwd", &text[1..], &format!("{text}A")] {
            assert_ne!(secret_hash(wrong), Some(hash), "{wrong}");
        }
    }
}
