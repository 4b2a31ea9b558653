//! What is asked of a browser's passkey and what is believed of its answer. What verifies is `webauthn-kit`, over ring.
//! (Web Authentication, <https://www.w3.org/TR/webauthn-3/>.)

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use webauthn_kit::ciborium;
use webauthn_kit::{
    AttestationPolicy, AuthenticationParams, COSE_ALG_ES256, CredentialPolicy, UserVerificationPolicy, parse_cose_key,
    verify_authentication, verify_registration,
};
use x509_parser::der_parser::parse_der;

use super::password::Tally;
use crate::account::Passkey;
use crate::base::{Moment, PersonId, network_of};

/// An answer is awaited for so long.
const ANSWER_WITHIN: Duration = Duration::from_secs(300);
/// Answers awaited at the same time, of everybody.
const AWAITED_MAX: usize = 4_096;
/// Questions that one address, or /64 of IPv6, may ask for within the window of the sign-in tries.
const ASKED_PER_NETWORK: u32 = 60;
/// ES256, EdDSA and RS256, in the order of preference (RFC 9053 §2, RFC 8812 §2).
const ALGORITHMS: [i32; 3] = [-7, -8, -257];
/// Octets of a credential's name, at most (Web Authentication §4, credential id).
const CREDENTIAL_OCTETS_MAX: usize = 1_023;

/// Where a passkey is good: the pages as the browser sees them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Party {
    /// Host, without a port.
    pub(super) id: String,
    /// `https://mx2.example.net`.
    pub(super) origin: String,
}

impl Party {
    /// Of an origin. Absent for one that is an address: browsers make passkeys for names only.
    pub(super) fn of(origin: &str) -> Option<Self> {
        let (_, authority) = origin.split_once("://")?;
        let id = authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let id = id.map_or(authority, |(host, _)| host);
        let is_name = !id.is_empty() && !id.starts_with('[') && id.parse::<IpAddr>().is_err();
        is_name.then(|| Self { id: id.to_ascii_lowercase(), origin: origin.to_owned() })
    }
}

/// What an answer is awaited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// This person adds one.
    Adding(PersonId),
    /// Somebody signs in.
    SigningIn,
}

/// Questions that wait for their answer; each is good for one. Reads no clock.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    by_challenge: HashMap<[u8; 32], (Purpose, Moment)>,
    networks: Tally<IpAddr>,
}

impl Awaited {
    /// Keeps a question; false if `peer` asked too often or too many wait.
    pub(super) fn keep(&mut self, challenge: [u8; 32], purpose: Purpose, peer: IpAddr, now: Moment) -> bool {
        if !self.networks.counts(network_of(peer), ASKED_PER_NETWORK, now) {
            return false;
        }
        self.by_challenge.retain(|_, (_, since)| now.since(*since) < ANSWER_WITHIN);
        let has_room = self.by_challenge.len() < AWAITED_MAX;
        if has_room {
            self.by_challenge.insert(challenge, (purpose, now));
        }
        has_room
    }

    /// Takes the question that an answer names, if it is waiting for this.
    fn take(&mut self, client_data: &str, purpose: Purpose, now: Moment) -> Option<[u8; 32]> {
        let data: Value = serde_json::from_slice(&BASE64URL_NOPAD.decode(client_data.as_bytes()).ok()?).ok()?;
        // A page of ours that stands in a frame of others is none (frame-ancestors forbids it as well).
        if data.get("crossOrigin").and_then(Value::as_bool) == Some(true) {
            return None;
        }
        let challenge = BASE64URL_NOPAD.decode(data.get("challenge")?.as_str()?.as_bytes()).ok()?;
        let challenge = <[u8; 32]>::try_from(challenge.as_slice()).ok()?;
        let (kept, since) = self.by_challenge.remove(&challenge)?;
        (kept == purpose && now.since(since) < ANSWER_WITHIN).then_some(challenge)
    }
}

/// How a person is called towards devices: names nobody, and is the same each time.
pub(super) fn handle(person: PersonId) -> [u8; 32] {
    Sha256::digest(format!("pulsemx passkey user v1\n{}", person.0)).into()
}

/// What the browser is asked for to make a passkey; `known` are those that the person has.
pub(super) fn make_options(
    party: &Party,
    challenge: &[u8; 32],
    (person, name): (PersonId, &str),
    known: &[Passkey],
) -> Value {
    let credential = |known: &Passkey| json!({ "type": "public-key", "id": BASE64URL_NOPAD.encode(&known.credential) });
    json!({
        "rp": { "id": party.id, "name": "pulsemx" },
        "user": { "id": BASE64URL_NOPAD.encode(&handle(person)), "name": name, "displayName": name },
        "challenge": BASE64URL_NOPAD.encode(challenge),
        "pubKeyCredParams": ALGORITHMS.map(|alg| json!({ "type": "public-key", "alg": alg })),
        "authenticatorSelection": { "residentKey": "required", "requireResidentKey": true, "userVerification": "required" },
        "excludeCredentials": known.iter().map(credential).collect::<Vec<_>>(),
        "attestation": "none",
        "timeout": ANSWER_WITHIN.as_millis() as u64,
    })
}

/// What the browser is asked for to sign in: any passkey for this host. Names nobody.
pub(super) fn get_options(party: &Party, challenge: &[u8; 32]) -> Value {
    json!({
        "rpId": party.id,
        "challenge": BASE64URL_NOPAD.encode(challenge),
        "userVerification": "required",
        "timeout": ANSWER_WITHIN.as_millis() as u64,
    })
}

fn policy() -> CredentialPolicy {
    CredentialPolicy {
        user_verification: UserVerificationPolicy::Required,
        allowed_algorithms: ALGORITHMS.to_vec(),
        ..CredentialPolicy::default()
    }
}

/// A passkey that was just made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) credential: Vec<u8>,
    pub(super) public_key: Vec<u8>,
}

/// The same without what the maker of the device says: no trust is drawn from it, so that nothing of it is read.
fn unattested(attestation: &str) -> Option<String> {
    let octets = BASE64URL_NOPAD.decode(attestation.as_bytes()).ok()?;
    let ciborium::Value::Map(mut entries) = ciborium::from_reader(octets.as_slice()).ok()? else { return None };
    entries.retain(|(key, _)| key.as_text() == Some("authData"));
    let text = |text: &str| ciborium::Value::Text(text.to_owned());
    entries.push((text("fmt"), text("none")));
    entries.push((text("attStmt"), ciborium::Value::Map(Vec::new())));
    let mut plain = Vec::new();
    ciborium::into_writer(&ciborium::Value::Map(entries), &mut plain).ok()?;
    Some(BASE64URL_NOPAD.encode(&plain))
}

/// r and s side by side, 32 octets each, as the library wants them, of the DER that devices send for ES256 (Web
/// Authentication §6.5.5, RFC 3279 §2.2.3).
fn side_by_side(der: &[u8]) -> Option<[u8; 64]> {
    let (rest, object) = parse_der(der).ok()?;
    let items = object.as_sequence().ok()?;
    let ([r, s], true) = (items.as_slice(), rest.is_empty()) else { return None };
    let mut both = [0; 64];
    for (number, place) in [r, s].into_iter().zip(both.chunks_exact_mut(32)) {
        let octets = number.as_slice().ok()?;
        let octets = octets.strip_prefix(&[0]).unwrap_or(octets);
        place.get_mut(32usize.checked_sub(octets.len())?..)?.copy_from_slice(octets);
    }
    Some(both)
}

/// Checks what a browser sent for a new passkey.
///
/// # Errors
/// The sentence for the log.
pub(super) fn check_made(
    awaited: &mut Awaited,
    party: &Party,
    person: PersonId,
    (client, attestation): (&str, &str),
    now: Moment,
) -> Result<Made, String> {
    let challenge = awaited.take(client, Purpose::Adding(person), now).ok_or("nobody waits for this answer")?;
    let (attestation, origins) = (unattested(attestation).ok_or("no attestation")?, [party.origin.clone()]);
    let attested = AttestationPolicy::default();
    let made = verify_registration(&challenge, client, &attestation, "", &party.id, &origins, &attested, &policy())
        .map_err(|error| error.to_string())?;
    let credential = BASE64URL_NOPAD.decode(made.credential_id.as_bytes()).map_err(|error| error.to_string())?;
    if credential.is_empty() || credential.len() > CREDENTIAL_OCTETS_MAX {
        return Err("the credential's name is too long".to_owned());
    }
    Ok(Made { credential, public_key: made.public_key_cose })
}

/// What a browser sent to sign in, as text.
#[derive(Debug, Default)]
pub(super) struct Signed<'a> {
    pub(super) credential: &'a str,
    pub(super) client: &'a str,
    pub(super) authenticator: &'a str,
    pub(super) signature: &'a str,
    /// Who, as the device says; empty if it does not.
    pub(super) user: &'a str,
}

/// Checks a signature against the passkey that it names; what the device counted.
///
/// # Errors
/// The sentence for the log.
pub(super) fn check_signed(
    awaited: &mut Awaited,
    party: &Party,
    known: Option<&Passkey>,
    signed: &Signed<'_>,
    now: Moment,
) -> Result<u32, String> {
    // The question is used up also where no passkey is known: asking twice shows nothing.
    let challenge = awaited.take(signed.client, Purpose::SigningIn, now).ok_or("nobody waits for this answer")?;
    let known = known.ok_or("no such passkey")?;
    if !signed.user.is_empty() && signed.user != BASE64URL_NOPAD.encode(&handle(known.person)) {
        return Err("the device names another person".to_owned());
    }
    let signature = match parse_cose_key(&known.public_key) {
        Ok((COSE_ALG_ES256, _)) => {
            let der = BASE64URL_NOPAD.decode(signed.signature.as_bytes()).map_err(|error| error.to_string())?;
            BASE64URL_NOPAD.encode(&side_by_side(&der).ok_or("no signature in DER")?)
        }
        Ok(_) => signed.signature.to_owned(),
        Err(error) => return Err(error.to_string()),
    };
    let checked = verify_authentication(&AuthenticationParams {
        challenge_bytes: challenge.to_vec(),
        client_data_json_b64: signed.client.to_owned(),
        authenticator_data_b64: signed.authenticator.to_owned(),
        signature_b64: signature,
        credential_id_b64: signed.credential.to_owned(),
        public_key_cose: known.public_key.clone(),
        current_sign_count: known.counter,
        allowed_credential_ids: vec![BASE64URL_NOPAD.encode(&known.credential)],
        rp_id: party.id.clone(),
        rp_origins: vec![party.origin.clone()],
        policy: policy(),
    });
    checked.map(|checked| checked.new_sign_count).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passkey_is_good_for_names_and_for_no_address() {
        let party = Party::of("https://mx2.Example.net:8443").unwrap();
        assert_eq!((party.id.as_str(), party.origin.as_str()), ("mx2.example.net", "https://mx2.Example.net:8443"));
        assert_eq!(Party::of("http://localhost:8025").unwrap().id, "localhost");
        for none in ["https://192.0.2.1", "http://127.0.0.1:80", "https://[2001:db8::1]:443", "null", "https://"] {
            assert_eq!(Party::of(none), None, "{none}");
        }
    }

    #[test]
    fn two_numbers_in_der_stand_side_by_side_and_nothing_else_does() {
        let number = |octets: &[u8]| [&[2, u8::try_from(octets.len()).unwrap()], octets].concat();
        let pair = |r: &[u8], s: &[u8]| {
            let inner = [number(r), number(s)].concat();
            [&[0x30, u8::try_from(inner.len()).unwrap()], inner.as_slice()].concat()
        };
        let high = [&[0, 0x80], &[7; 31][..]].concat();
        let both = side_by_side(&pair(&high, &[5])).unwrap();
        assert_eq!((both[0], both[1], both[31], both[62], both[63]), (0x80, 7, 7, 0, 5));
        assert!(side_by_side(&pair(&[1; 34], &[5])).is_none(), "too long");
        assert!(side_by_side(&[pair(&[1], &[5]), vec![0]].concat()).is_none(), "something behind");
        assert!(side_by_side(&[7; 64]).is_none() && side_by_side(&[]).is_none());
    }

    #[test]
    fn a_question_is_good_for_one_answer_in_time_and_their_number_is_bounded() {
        let (mut awaited, now) = (Awaited::default(), Moment::from_millis(0));
        let peer = |n: u32| IpAddr::from(n.to_be_bytes());
        let answer = |n: u8| {
            BASE64URL_NOPAD.encode(format!("{{\"challenge\":\"{}\"}}", BASE64URL_NOPAD.encode(&[n; 32])).as_bytes())
        };
        for n in 1..=3 {
            assert!(awaited.keep([n; 32], Purpose::SigningIn, peer(1), now));
        }
        assert!(awaited.take(&answer(1), Purpose::SigningIn, now).is_some());
        assert!(awaited.take(&answer(1), Purpose::SigningIn, now).is_none(), "once");
        assert!(awaited.take(&answer(2), Purpose::Adding(PersonId(1)), now).is_none(), "for what it was asked");
        assert!(awaited.take(&answer(3), Purpose::SigningIn, now + ANSWER_WITHIN).is_none(), "in time");
        let mut full = Awaited::default();
        let kept = |full: &mut Awaited, n: u32, now| {
            let mut challenge = [0; 32];
            challenge[..4].copy_from_slice(&n.to_be_bytes());
            full.keep(challenge, Purpose::SigningIn, peer(n << 8), now)
        };
        for n in 0..u32::try_from(AWAITED_MAX).unwrap() {
            assert!(kept(&mut full, n, now));
        }
        assert!(!kept(&mut full, 5_000, now));
        assert!(kept(&mut full, 5_000, now + ANSWER_WITHIN));
    }
}
