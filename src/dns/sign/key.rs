//! One key of a zone: drawn, sealed, opened, and put to work.

use hickory_proto::dnssec::crypto::EcdsaSigningKey;
use hickory_proto::dnssec::rdata::sig::SigInput;
use hickory_proto::dnssec::rdata::{DNSKEY, DNSSECRData, RRSIG};
use hickory_proto::dnssec::{Algorithm, DigestType, SigningKey, TBS};
use hickory_proto::rr::{DNSClass, Name, RData, Record, SerialNumber};
use rustls_pki_types::PrivatePkcs8KeyDer;
use zeroize::Zeroizing;

use super::{KeyState, VALID_BEFORE, VALID_FOR};
use crate::account::SealKey;
use crate::base::{DomainName, WallTime};
use crate::dns::owner::Owner;

/// Flags of a key that signs a zone and that the parent vouches for (RFC 4034 §2.1.1): ZONE and SEP.
const FLAGS: u16 = 257;

/// A key cannot be made or used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a key of the zone cannot be used: {0}")]
pub struct SigningError(pub(super) String);

fn fault(error: impl std::fmt::Display) -> SigningError {
    SigningError(error.to_string())
}

/// A key ready to sign.
pub struct ZoneKey {
    /// Short for the key in signatures and DS records (RFC 4034 appendix B).
    pub tag: u16,
    /// Where it stands.
    pub state: KeyState,
    /// Since when.
    pub since: WallTime,
    pub(super) dnskey: DNSKEY,
    secret: EcdsaSigningKey,
}

impl std::fmt::Debug for ZoneKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ZoneKey").field("tag", &self.tag).field("state", &self.state).finish_non_exhaustive()
    }
}

/// A new secret in PKCS #8.
///
/// # Errors
/// [`SigningError`] if the system has no random numbers.
pub fn draw() -> Result<Zeroizing<Vec<u8>>, SigningError> {
    let drawn = EcdsaSigningKey::generate_pkcs8(Algorithm::ECDSAP256SHA256).map_err(fault)?;
    Ok(Zeroizing::new(drawn.secret_pkcs8_der().to_vec()))
}

/// What the seal of a zone's key is bound to.
fn context(zone: &DomainName) -> Vec<u8> {
    format!("zone key {zone}").into_bytes()
}

/// Seals a secret for the database.
///
/// # Errors
/// [`SigningError`] if the system has no random numbers.
pub fn seal(seal: &SealKey, zone: &DomainName, secret: &[u8]) -> Result<Vec<u8>, SigningError> {
    seal.seal(secret, &context(zone)).map_err(fault)
}

/// Opens what [`seal`] made.
///
/// # Errors
/// [`SigningError`] for another seal or another zone.
pub fn open(seal: &SealKey, zone: &DomainName, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SigningError> {
    seal.open(sealed, &context(zone)).map_err(fault)
}

impl ZoneKey {
    /// Of a secret in PKCS #8.
    ///
    /// # Errors
    /// [`SigningError`] for octets that are no such key.
    pub fn new(secret: &[u8], state: KeyState, since: WallTime) -> Result<Self, SigningError> {
        let der = PrivatePkcs8KeyDer::from(secret.to_vec());
        let secret = EcdsaSigningKey::from_pkcs8(&der, Algorithm::ECDSAP256SHA256).map_err(fault)?;
        let dnskey = DNSKEY::with_flags(FLAGS, secret.to_public_key().map_err(fault)?);
        Ok(Self { tag: dnskey.calculate_key_tag().map_err(fault)?, state, since, dnskey, secret })
    }

    /// SHA-256 of the key as a DS record has it (RFC 4034 §5.1.4).
    pub(super) fn digest(&self, apex: &Owner) -> Result<Vec<u8>, SigningError> {
        let digest = self.dnskey.to_digest(&apex.to_name(), DigestType::SHA256).map_err(fault)?;
        Ok(digest.as_ref().to_vec())
    }

    /// A signature over a set: records of one name, type and TTL.
    ///
    /// # Errors
    /// [`SigningError`] for records without a wire form.
    pub(super) fn sign(&self, apex: &Name, set: &[Record], now: WallTime) -> Result<RData, SigningError> {
        let first = set.first().ok_or_else(|| SigningError("there is nothing to sign".to_owned()))?;
        // Times are the lower 32 bits of the clock (RFC 4034 §3.1.5).
        let seconds = |at: WallTime| SerialNumber::new(u32::try_from(at.timestamp() & 0xffff_ffff).unwrap_or(0));
        let input = SigInput {
            type_covered: first.record_type(),
            algorithm: Algorithm::ECDSAP256SHA256,
            num_labels: first.name.num_labels(),
            original_ttl: first.ttl,
            sig_expiration: seconds(now + VALID_FOR),
            sig_inception: seconds(now - VALID_BEFORE),
            key_tag: self.tag,
            signer_name: apex.clone(),
        };
        let tbs = TBS::from_input(&first.name, DNSClass::IN, &input, set.iter()).map_err(fault)?;
        let signature = self.secret.sign(&tbs).map_err(fault)?;
        Ok(RData::DNSSEC(DNSSECRData::RRSIG(RRSIG::from_sig(input, signature))))
    }
}
