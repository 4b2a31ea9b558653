//! The secret of one device: made here, shown once, kept only as a one-way image.

use data_encoding::BASE32_NOPAD;

use super::model::TokenKind;

/// Octets of a secret: 160 bits, so that nobody guesses and the image needs no salt.
const SECRET_OCTETS: usize = 20;
const CONTEXT: &str = "pulsemx 2026-11-24 update token v1 verifier";

/// The system gave no random numbers.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the system has no random numbers; try again later")]
pub struct NoRandomness;

/// A new token as text (small letters, digits and one hyphen only: routers put it into addresses as it is) and the
/// image that the store keeps.
///
/// # Errors
/// [`NoRandomness`].
pub fn new_token(kind: TokenKind) -> Result<(String, [u8; 32]), NoRandomness> {
    let mut octets = [0u8; SECRET_OCTETS];
    getrandom::fill(&mut octets).map_err(|_| NoRandomness)?;
    let prefix = match kind {
        TokenKind::Update => "pmu",
        TokenKind::Duckdns => "pmd",
        TokenKind::Ping => "pmp",
        TokenKind::Acme => "pma",
    };
    let text = format!("{prefix}-{}", BASE32_NOPAD.encode(&octets).to_ascii_lowercase());
    let image = verifier(&text);
    Ok((text, image))
}

/// The image of whatever a device sent as its token.
#[must_use]
pub fn verifier(text: &str) -> [u8; 32] {
    blake3::derive_key(CONTEXT, text.trim().to_ascii_lowercase().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_leads_to_its_image_and_no_other_text_does() {
        let (text, image) = new_token(TokenKind::Ping).unwrap();
        assert!(text.starts_with("pmp-") && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{text}");
        assert_eq!(verifier(&text.to_uppercase()), image);
        assert_ne!(verifier(&text[1..]), image);
        assert_ne!(new_token(TokenKind::Ping).unwrap().0, text);
    }
}
