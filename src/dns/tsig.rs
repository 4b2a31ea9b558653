//! Checks and makes the signatures of DNS messages (TSIG, RFC 8945) with shared keys.

pub mod driver;

use std::collections::HashMap;

use hickory_proto::op::Message;
use hickory_proto::rr::rdata::tsig::{TSIG, TsigAlgorithm, TsigError, make_tsig_record};
use hickory_proto::rr::{Name, TSigner};
use hickory_proto::serialize::binary::{BinEncodable, BinEncoder};

use super::owner::Owner;
use super::query::HEADER_OCTETS;
use crate::base::{DomainName, WallTime};

/// Octets of a new secret: those of the hash, more add nothing (RFC 2104 §3).
pub const SECRET_OCTETS: usize = 32;
/// Difference of two clocks that is let pass, s (RFC 8945 §10).
pub(super) const FUDGE_S: u16 = 300;
/// Octets that a signature adds to a message, at most: two names, and the parts of fixed length.
pub const SIGNATURE_OCTETS_MAX: usize = 2 * 255 + 32 + 40;

/// A key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the key cannot be used: {0}")]
pub struct KeyError(String);

/// All keys, by name. The algorithm of all is HMAC-SHA256, which every server must have (RFC 8945 §6).
#[derive(Clone, Default)]
pub struct KeyRing(HashMap<Owner, TSigner>);

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeyRing").field(&self.0.len()).finish()
    }
}

/// Why a signed message is not believed, with what is answered (RFC 8945 §5.2).
#[derive(Debug)]
pub enum Refusal {
    /// No such key: NOTAUTH and BADKEY, unsigned.
    Key(Name),
    /// Not signed with that key: NOTAUTH and BADSIG, unsigned.
    Signature(Name),
    /// Signed at another time, so perhaps repeated by a stranger: NOTAUTH and BADTIME, signed.
    Time(Signed),
}

/// A believed message, and the state of the signatures that its answers get.
pub struct Signed {
    signer: TSigner,
    key: Owner,
    id: u16,
    /// When the question was signed, s.
    signed_s: u64,
    /// Of the question, later of the answer before.
    mac: Vec<u8>,
    is_first: bool,
}

impl std::fmt::Debug for Signed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signed").field("key", &self.key).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Adds a key, or puts another secret in its place.
    ///
    /// # Errors
    /// [`KeyError`] if the library does not take it.
    pub fn insert(&mut self, name: &DomainName, secret: &[u8]) -> Result<(), KeyError> {
        let owner = Owner::of_domain(name);
        let signer = TSigner::new(secret.to_vec(), TsigAlgorithm::HmacSha256, owner.to_name(), FUDGE_S)
            .map_err(|error| KeyError(error.to_string()))?;
        self.0.insert(owner, signer);
        Ok(())
    }

    /// Forgets a key.
    pub fn remove(&mut self, name: &DomainName) {
        self.0.remove(&Owner::of_domain(name));
    }

    /// Checks the signature of a message that has one; `octets` is what `message` was read from.
    ///
    /// # Errors
    /// [`Refusal`]
    pub fn verify(&self, octets: &[u8], message: &Message, now: WallTime) -> Result<Option<Signed>, Refusal> {
        let Some(record) = message.signature() else { return Ok(None) };
        let name = record.name.clone();
        let key = Owner::of_name(&name);
        let signer = match self.0.get(&key) {
            Some(signer) if record.data.algorithm == *signer.algorithm() => signer.clone(),
            _ => return Err(Refusal::Key(name)),
        };
        // The library computes the earliest time from the two, below zero too.
        if record.data.time < u64::from(record.data.fudge) {
            return Err(Refusal::Signature(name));
        }
        let Ok((mac, time, _)) = signer.verify_message_byte(octets, None, true) else {
            return Err(Refusal::Signature(name));
        };
        let signed = Signed { signer, key, id: message.metadata.id, signed_s: time, mac, is_first: true };
        // Our own bound, not the sender's: he could ask for a year.
        if time.abs_diff(seconds(now)) > u64::from(FUDGE_S) {
            return Err(Refusal::Time(signed));
        }
        Ok(Some(signed))
    }

    /// Signs a message of ours with a key, as a question.
    #[must_use]
    pub fn sign_question(&self, key: &DomainName, message: &mut Message, now: WallTime) -> bool {
        let Some(signer) = self.0.get(&Owner::of_domain(key)) else { return false };
        match signer.sign_message(message, seconds(now)) {
            Ok((record, _)) => {
                message.set_signature(record);
                true
            }
            Err(_) => false,
        }
    }
}

impl Signed {
    /// The name of the key.
    #[must_use]
    pub const fn key(&self) -> &Owner {
        &self.key
    }

    /// When the question was signed, s.
    #[must_use]
    pub const fn signed_s(&self) -> u64 {
        self.signed_s
    }

    /// The signature of the question, before any answer is sealed.
    #[must_use]
    pub fn mac(&self) -> &[u8] {
        &self.mac
    }

    /// Signs one of the answers, in their order: later ones vouch for those before (RFC 8945 §5.3.1).
    ///
    /// # Errors
    /// [`KeyError`] if the library fails.
    pub fn seal(&mut self, answer: &mut Vec<u8>, now: WallTime) -> Result<(), KeyError> {
        self.seal_with(answer, now, None, Vec::new())
    }

    fn seal_with(
        &mut self,
        answer: &mut Vec<u8>,
        now: WallTime,
        error: Option<TsigError>,
        other: Vec<u8>,
    ) -> Result<(), KeyError> {
        let fault = |error: &dyn std::fmt::Display| KeyError(error.to_string());
        let time = seconds(now);
        let algorithm = self.signer.algorithm().clone();
        let stub = TSIG::new(algorithm, time, FUDGE_S, Vec::new(), self.id, error, other);
        let to_sign = if self.is_first {
            self.signer.encode_response_tbs(&self.mac, answer, &stub).map_err(|e| fault(&e))?
        } else {
            let mut octets = Vec::with_capacity(answer.len() + self.mac.len() + 10);
            octets.extend(u16::try_from(self.mac.len()).unwrap_or(0).to_be_bytes());
            octets.extend(&self.mac);
            octets.extend(answer.iter());
            octets.extend(time.to_be_bytes().iter().skip(2));
            octets.extend(FUDGE_S.to_be_bytes());
            octets
        };
        self.mac = self.signer.sign(&to_sign).map_err(|e| fault(&e))?;
        self.is_first = false;
        append(self.signer.signer_name().clone(), stub.set_mac(self.mac.clone()), answer).map_err(|e| fault(&e))
    }
}

impl Refusal {
    /// Completes an answer without records that says NOTAUTH.
    ///
    /// # Errors
    /// [`KeyError`] if the library fails.
    pub fn complete(self, id: u16, answer: &mut Vec<u8>, now: WallTime) -> Result<(), KeyError> {
        let unsigned = |name: Name, error: TsigError, answer: &mut Vec<u8>| {
            let data =
                TSIG::new(TsigAlgorithm::HmacSha256, seconds(now), FUDGE_S, Vec::new(), id, Some(error), Vec::new());
            append(name, data, answer).map_err(|error| KeyError(error.to_string()))
        };
        match self {
            Self::Key(name) => unsigned(name, TsigError::BadKey, answer),
            Self::Signature(name) => unsigned(name, TsigError::BadSig, answer),
            // Our time goes along (RFC 8945 §5.2.3).
            Self::Time(mut signed) => {
                let clock = seconds(now).to_be_bytes().iter().skip(2).copied().collect();
                signed.seal_with(answer, now, Some(TsigError::BadTime), clock)
            }
        }
    }
}

/// Puts the record behind the message and counts it.
fn append(name: Name, data: TSIG, answer: &mut Vec<u8>) -> Result<(), hickory_proto::ProtoError> {
    let mut octets = Vec::new();
    // By itself: nothing in it points into the message.
    make_tsig_record(name, data).emit(&mut BinEncoder::new(&mut octets))?;
    answer.extend(octets);
    if let Some(counts) = answer.get_mut(HEADER_OCTETS - 2..HEADER_OCTETS)
        && let [high, low] = counts
    {
        let more = u16::from_be_bytes([*high, *low]).saturating_add(1).to_be_bytes();
        counts.copy_from_slice(&more);
    }
    Ok(())
}

/// A time as signatures count it, s.
pub fn seconds(now: WallTime) -> u64 {
    u64::try_from(now.timestamp()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{TimeDelta, TimeZone, Utc};
    use hickory_proto::op::{MessageType, OpCode, Query, ResponseCode};
    use hickory_proto::rr::RecordType;

    fn now() -> WallTime {
        Utc.timestamp_opt(1_795_492_800, 0).unwrap()
    }

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    fn ring(secret: u8) -> KeyRing {
        let mut ring = KeyRing::default();
        ring.insert(&name("ns.provider.example"), &[secret; SECRET_OCTETS]).unwrap();
        ring
    }

    fn question(ring: &KeyRing, at: WallTime) -> Vec<u8> {
        let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii("firma.example.").unwrap(), RecordType::AXFR));
        assert!(ring.sign_question(&name("ns.provider.example"), &mut message, at));
        message.to_vec().unwrap()
    }

    fn verify(ring: &KeyRing, octets: &[u8]) -> Result<Option<Signed>, Refusal> {
        ring.verify(octets, &Message::from_vec(octets).unwrap(), now())
    }

    fn answer() -> Vec<u8> {
        Message::new(4711, MessageType::Response, OpCode::Query).to_vec().unwrap()
    }

    #[test]
    fn a_chain_of_answers_is_believed_by_the_library() {
        let ring = ring(7);
        let octets = question(&ring, now());
        let mut signed = verify(&ring, &octets).unwrap().unwrap();
        assert_eq!(signed.key().to_string(), "ns.provider.example.");
        let signer = &ring.0[signed.key()];
        let mut before = Message::from_vec(&octets).unwrap().signature().unwrap().data.mac.clone();
        for place in 0..4 {
            let mut octets = answer();
            signed.seal(&mut octets, now()).unwrap();
            let (mac, _, range) = signer.verify_message_byte(&octets, Some(&before), place == 0).unwrap();
            assert!(range.contains(&1_795_492_800));
            before = mac;
        }
    }

    #[test]
    fn what_is_not_signed_or_signed_wrongly_is_not_believed() {
        let octets = question(&ring(7), now());
        assert!(matches!(verify(&ring(8), &octets), Err(Refusal::Signature(_))));
        assert!(matches!(verify(&KeyRing::default(), &octets), Err(Refusal::Key(_))));
        let mut changed = octets.clone();
        changed[13] ^= 0x01;
        assert!(matches!(verify(&ring(7), &changed), Err(Refusal::Signature(_))));
        assert!(verify(&ring(7), &answer()).unwrap().is_none());
        let mut gone = ring(7);
        gone.remove(&name("ns.provider.example"));
        assert!(matches!(verify(&gone, &octets), Err(Refusal::Key(_))));
    }

    #[test]
    fn an_old_message_is_told_our_time_and_signed() {
        for minutes in [-6, 6, 60 * 24 * 365] {
            let octets = question(&ring(7), now() - TimeDelta::minutes(minutes));
            let refusal = verify(&ring(7), &octets).unwrap_err();
            assert!(matches!(refusal, Refusal::Time(_)), "{minutes}");
            let mut told = answer();
            refusal.complete(4711, &mut told, now()).unwrap();
            let data = Message::from_vec(&told).unwrap().take_signature().unwrap().data;
            assert_eq!((data.error, data.other.len(), data.mac.len()), (Some(TsigError::BadTime), 6, 32));
        }
        assert!(verify(&ring(7), &question(&ring(7), now() - TimeDelta::minutes(4))).unwrap().is_some());
        // A time before the beginning of time harms nobody.
        let early = question(&ring(7), Utc.timestamp_opt(3, 0).unwrap());
        assert!(matches!(verify(&ring(7), &early), Err(Refusal::Signature(_))));
    }

    #[test]
    fn an_unknown_key_is_named_in_an_unsigned_answer() {
        let refusal = verify(&KeyRing::default(), &question(&ring(7), now())).unwrap_err();
        let mut told = answer();
        refusal.complete(4711, &mut told, now()).unwrap();
        let mut message = Message::from_vec(&told).unwrap();
        assert_eq!(message.metadata.response_code, ResponseCode::NoError, "the code is the caller's");
        let record = message.take_signature().unwrap();
        assert_eq!((record.data.error, record.data.mac.len()), (Some(TsigError::BadKey), 0));
    }
}
