//! Which keys a heartbeat token stands for, for the client that holds it and the server that made it.

use ed25519_dalek::SigningKey;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::datagram::Locator;
use super::tag::MacKey;

/// Octets of a token.
pub const TOKEN_OCTETS: usize = 32;
/// Octets of both MAC keys behind each other, client to server first: what a server keeps, sealed.
pub const MAC_KEYS_OCTETS: usize = 64;

const PREFIX: &str = "pmb1-";
const BODY_CHARS: usize = 52;
const CHECK_CHARS: usize = 4;
const CONTEXT: &str = "pulsemx 2026-11-24 beat v1 ";

/// Why a text is not a token.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    /// Something else was pasted.
    #[error("a heartbeat token begins with '{PREFIX}' and has {} characters", PREFIX.len() + BODY_CHARS + CHECK_CHARS)]
    NotAToken,
    /// A character was lost or changed.
    #[error("the heartbeat token is damaged: its last four characters do not fit the rest; copy it again")]
    Damaged,
    /// The system gave no random bytes.
    #[error("the system has no random numbers")]
    NoRandomness,
}

/// The secret of one client: 32 random octets, shown once as text. Wiped on drop, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Token([u8; TOKEN_OCTETS]);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Token {
    /// The token made of these octets.
    #[must_use]
    pub const fn from_octets(octets: [u8; TOKEN_OCTETS]) -> Self {
        Self(octets)
    }

    /// Reads `pmb1-...`. White space around it and capital letters are forgiven.
    ///
    /// # Errors
    /// [`TokenError::NotAToken`] or [`TokenError::Damaged`].
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = Zeroizing::new(text.trim().to_ascii_lowercase());
        let rest = text.strip_prefix(PREFIX).ok_or(TokenError::NotAToken)?;
        if rest.len() != BODY_CHARS + CHECK_CHARS {
            return Err(TokenError::NotAToken);
        }
        let (body, check) = rest.split_at_checked(BODY_CHARS).ok_or(TokenError::NotAToken)?;
        let body = Zeroizing::new(body.to_ascii_uppercase());
        let octets =
            Zeroizing::new(data_encoding::BASE32_NOPAD.decode(body.as_bytes()).map_err(|_| TokenError::Damaged)?);
        let octets: [u8; TOKEN_OCTETS] = octets.as_slice().try_into().map_err(|_| TokenError::Damaged)?;
        let token = Self(octets);
        if token.check() == check { Ok(token) } else { Err(TokenError::Damaged) }
    }

    /// The text that is shown once and kept in the client's token file.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let body = Zeroizing::new(data_encoding::BASE32_NOPAD.encode(&self.0));
        Zeroizing::new(format!("{PREFIX}{}{}", body.to_ascii_lowercase(), self.check()))
    }

    /// The first 20 bits of BLAKE3 of the token, as four characters.
    fn check(&self) -> String {
        let hash = blake3::hash(&self.0);
        let mut text = data_encoding::BASE32_NOPAD.encode(hash.as_bytes()).to_ascii_lowercase();
        text.truncate(CHECK_CHARS);
        text
    }

    fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(&format!("{CONTEXT}{purpose}"), &self.0))
    }

    /// Finds the key at the server; random to everybody else.
    #[must_use]
    pub fn locator(&self) -> Locator {
        let [a, b, c, d, e, f, g, h, ..] = *self.derive("locator");
        Locator([a, b, c, d, e, f, g, h])
    }

    /// MAC key of all datagrams from the client.
    #[must_use]
    pub fn client_to_server(&self) -> MacKey {
        MacKey::new(*self.derive("client to server"))
    }

    /// MAC key of all datagrams from the server.
    #[must_use]
    pub fn server_to_client(&self) -> MacKey {
        MacKey::new(*self.derive("server to client"))
    }

    /// Signs what lets the address move; the server has only the public half.
    #[must_use]
    pub fn move_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.derive("move signature seed"))
    }

    /// One-way image of the whole token, for checks over HTTPS.
    #[must_use]
    pub fn bearer_verifier(&self) -> [u8; 32] {
        *self.derive("bearer verifier")
    }
}

/// A token just made, with what the server keeps of it. The text is shown once and stored nowhere.
pub struct NewToken {
    /// `pmb1-...`, for the customer.
    pub text: Zeroizing<String>,
    /// Finds the key in a datagram.
    pub locator: [u8; 8],
    /// Both MAC keys, to be sealed with the locator as context before they are stored.
    pub mac_keys: Zeroizing<Vec<u8>>,
    /// Ed25519 public key for moves.
    pub move_key: [u8; 32],
    /// For checks of the whole token over HTTPS.
    pub bearer_verifier: [u8; 32],
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewToken").field("locator", &Locator(self.locator)).finish_non_exhaustive()
    }
}

impl NewToken {
    /// Draws a new token.
    ///
    /// # Errors
    /// [`TokenError::NoRandomness`].
    pub fn generate() -> Result<Self, TokenError> {
        let mut octets = Zeroizing::new([0u8; TOKEN_OCTETS]);
        getrandom::fill(octets.as_mut_slice()).map_err(|_| TokenError::NoRandomness)?;
        Ok(Self::of(&Token(*octets)))
    }

    /// What the server keeps of `token`.
    #[must_use]
    pub fn of(token: &Token) -> Self {
        let mut mac_keys = Zeroizing::new(Vec::with_capacity(MAC_KEYS_OCTETS));
        mac_keys.extend_from_slice(token.client_to_server().as_octets());
        mac_keys.extend_from_slice(token.server_to_client().as_octets());
        Self {
            text: token.text(),
            locator: token.locator().0,
            mac_keys,
            move_key: token.move_key().verifying_key().to_bytes(),
            bearer_verifier: token.bearer_verifier(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    #[test]
    fn keys_of_the_first_vector_are_exact() {
        let token = Token::from_octets(std::array::from_fn(|i| u8::try_from(i).unwrap()));
        assert_eq!(HEXLOWER.encode(&token.locator().0), "4c3d1578657215f2");
        assert_eq!(
            HEXLOWER.encode(&NewToken::of(&token).move_key),
            "dd50520ec3abc594601ea0d39eae08625d7aacec044864363ebfa76196ab3f3d"
        );
        assert_eq!(
            HEXLOWER.encode(&NewToken::of(&token).mac_keys),
            "14b55548dea90d445b1ab475a0e9da85b4f689836a182ee0e1281bf8a7c331d6\
             3343b571bb267b3ddb9ddb3e4a3ff5db11c8eb35da44609bee199c123e3f7b05"
        );
    }

    #[test]
    fn a_token_reads_back_and_a_changed_character_is_noticed() {
        let new = NewToken::generate().unwrap();
        let token = Token::parse(&format!("  {}\n", new.text.to_uppercase())).unwrap();
        assert_eq!(*token.text(), *new.text);
        assert_eq!(new.text.len(), 61);
        let mut wrong = 0;
        for place in 5..61 {
            let mut text = new.text.as_bytes().to_vec();
            text[place] = if text[place] == b'a' { b'b' } else { b'a' };
            if Token::parse(std::str::from_utf8(&text).unwrap()).is_ok() {
                wrong += 1;
            }
        }
        assert_eq!(wrong, 0);
        assert_eq!(Token::parse("hunter2").err(), Some(TokenError::NotAToken));
        assert_eq!(Token::parse(&new.text[..60]).err(), Some(TokenError::NotAToken));
    }

    #[test]
    fn secrets_are_not_printed() {
        let token = Token::from_octets([7; 32]);
        assert_eq!(format!("{token:?}"), "Token(..)");
        let shown = format!("{:?}", NewToken::of(&token));
        assert!(!shown.contains("pmb1"), "{shown}");
    }
}
