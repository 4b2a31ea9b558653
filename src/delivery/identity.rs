//! Is the server that answered the customer's? Decided on every new connection before MAIL is said.
//!
//! A key that was trusted before (the pin), a certificate of a public authority for the registered name, or the key that
//! the client beside it saw there and signed with its token: so a renewed certificate holds no mail. A server
//! that was never proven is taken at the word of its heartbeats, with a warning that people see; its key is pinned
//! once it took a message, and from then on nothing less will do. Where no heartbeats come and we only call at an address
//! that a router reported, nothing vouches for who answers there: such a server has to prove itself from the beginning.

use std::fmt::Write as _;

use super::tls::TlsFacts;

/// SHA-256 of a SubjectPublicKeyInfo (RFC 7469 §2.4).
pub type KeyDigest = [u8; 32];

/// What speaks for the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proof {
    /// It has the pinned key.
    Pin,
    /// Its certificate is valid for the registered name; the key, where it is another one than the pin.
    Name {
        /// To be pinned from now on.
        moves_pin_to: Option<KeyDigest>,
    },
    /// Its client says in a signed beat that this is its key; to be pinned from now on.
    Client {
        /// The key that was shown.
        key: KeyDigest,
    },
    /// Nothing but the heartbeat that came from its address; the key to be pinned once it took a message.
    Beat {
        /// Absent without TLS.
        key: Option<KeyDigest>,
    },
}

impl Proof {
    /// For people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Pin => "its pinned key",
            Self::Name { .. } => "a certificate for its name",
            Self::Client { .. } => "the signed word of its client for the key",
            Self::Beat { .. } => "its heartbeats alone",
        }
    }
}

/// The server did not prove that it is the customer's: no mail goes there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Doubt {
    /// The key that was trusted before; absent where no heartbeat vouches for a server that was never proven.
    pub expected: Option<KeyDigest>,
    /// The key that was shown; absent without TLS.
    pub shown: Option<KeyDigest>,
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(expected) = self.expected.as_ref().map(fingerprint) else {
            let why = "no heartbeat vouches for its address, and";
            return match &self.shown {
                Some(shown) => write!(
                    f,
                    "{why} its key {} is not known yet; `pulsemx account pin accept` says that it is the right one",
                    fingerprint(shown)
                ),
                None => write!(f, "{why} it offers no TLS, by which it could prove itself"),
            };
        };
        match &self.shown {
            Some(shown) => write!(
                f,
                "it shows the key {} instead of {expected}; `pulsemx account pin accept` says that this is meant",
                fingerprint(shown)
            ),
            None => write!(f, "it offers no TLS, by which it would prove its key {expected}"),
        }
    }
}

/// A key for people: `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn fingerprint(key: &KeyDigest) -> String {
    let mut text = "sha256:".to_owned();
    for octet in key {
        // Writing to a String does not fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}

/// What speaks for the server at the other end of a connection. `has_beats`: a heartbeat came from its address.
///
/// # Errors
/// [`Doubt`]: hold the mail and tell people.
pub fn judge(pin: Option<KeyDigest>, tls: Option<&TlsFacts>, has_beats: bool) -> Result<Proof, Doubt> {
    let shown = tls.and_then(|facts| facts.spki_sha256);
    if pin.is_some() && shown == pin {
        return Ok(Proof::Pin);
    }
    if tls.is_some_and(|facts| facts.is_name_valid) {
        return Ok(Proof::Name { moves_pin_to: shown });
    }
    match pin {
        Some(expected) => Err(Doubt { expected: Some(expected), shown }),
        None if !has_beats => Err(Doubt { expected: None, shown }),
        None => Ok(Proof::Beat { key: shown }),
    }
}

/// As [`judge`], where the client beside the server may have vouched for a key.
///
/// # Errors
/// As [`judge`].
pub fn judge_vouched(
    pin: Option<KeyDigest>,
    vouched: Option<KeyDigest>,
    tls: Option<&TlsFacts>,
    has_beats: bool,
) -> Result<Proof, Doubt> {
    let shown = tls.and_then(|facts| facts.spki_sha256);
    match (judge(pin, tls, has_beats), shown.filter(|shown| vouched == Some(*shown))) {
        (Err(_) | Ok(Proof::Beat { .. }), Some(key)) => Ok(Proof::Client { key }),
        (judged, _) => judged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(key: u8, is_name_valid: bool) -> TlsFacts {
        TlsFacts { version: String::new(), cipher: String::new(), spki_sha256: Some([key; 32]), is_name_valid }
    }

    #[test]
    fn a_proven_server_has_to_prove_itself_each_time() {
        let pin = Some([1; 32]);
        assert_eq!(judge(pin, Some(&facts(1, false)), true), Ok(Proof::Pin));
        assert_eq!(
            judge(pin, Some(&facts(2, false)), true),
            Err(Doubt { expected: Some([1; 32]), shown: Some([2; 32]) })
        );
        assert_eq!(judge(pin, None, true), Err(Doubt { expected: Some([1; 32]), shown: None }));
        let unreadable = TlsFacts { spki_sha256: None, ..facts(0, false) };
        assert!(judge(pin, Some(&unreadable), true).is_err());
    }

    #[test]
    fn a_certificate_for_the_name_moves_the_pin_by_itself() {
        let moved = Ok(Proof::Name { moves_pin_to: Some([2; 32]) });
        assert_eq!(judge(Some([1; 32]), Some(&facts(2, true)), true), moved);
        assert_eq!(judge(None, Some(&facts(2, true)), true), moved);
    }

    #[test]
    fn a_key_that_the_client_vouches_for_moves_the_pin_once_it_is_shown() {
        let (pin, vouched) = (Some([1; 32]), Some([2; 32]));
        let client = Ok(Proof::Client { key: [2; 32] });
        assert_eq!(judge_vouched(pin, vouched, Some(&facts(2, false)), true), client);
        assert_eq!(judge_vouched(None, vouched, Some(&facts(2, false)), true), client);
        assert_eq!(judge_vouched(None, vouched, Some(&facts(2, false)), false), client);
        assert_eq!(judge_vouched(pin, vouched, Some(&facts(1, false)), true), Ok(Proof::Pin), "not shown yet");
        assert!(judge_vouched(pin, vouched, Some(&facts(3, false)), true).is_err());
        assert!(judge_vouched(pin, vouched, None, true).is_err(), "no TLS, no proof");
        let named = Ok(Proof::Name { moves_pin_to: Some([2; 32]) });
        assert_eq!(judge_vouched(pin, vouched, Some(&facts(2, true)), true), named);
        assert!(judge_vouched(pin, None, Some(&facts(2, false)), true).is_err());
    }

    #[test]
    fn a_server_that_was_never_proven_is_taken_at_the_word_of_its_beats() {
        assert_eq!(judge(None, None, true), Ok(Proof::Beat { key: None }));
        assert_eq!(judge(None, Some(&facts(3, false)), true), Ok(Proof::Beat { key: Some([3; 32]) }));
    }

    #[test]
    fn without_beats_nothing_less_than_a_proof_will_do() {
        assert_eq!(judge(None, None, false), Err(Doubt { expected: None, shown: None }));
        assert_eq!(judge(None, Some(&facts(3, false)), false), Err(Doubt { expected: None, shown: Some([3; 32]) }));
        assert!(judge(None, Some(&facts(3, true)), false).is_ok());
        assert_eq!(judge(Some([3; 32]), Some(&facts(3, false)), false), Ok(Proof::Pin));
    }

    #[test]
    fn a_doubt_names_both_keys() {
        let text = judge(Some([1; 32]), Some(&facts(2, false)), true).unwrap_err().to_string();
        assert!(text.contains(&"01".repeat(32)) && text.contains(&format!("sha256:{}", "02".repeat(32))), "{text}");
    }
}
