//! Which keys sign a zone, and what their exchange looks like from outside (DNSSEC, RFC 4033-4035).
//!
//! One key signs everything in a zone (ECDSA P-256, RFC 6605; RFC 6781 §3.1 calls it a single-type signing scheme). Answers
//! are signed when they are asked for, `answer` does that; what does not exist is denied by one record made for the name that
//! was asked for (compact denial, RFC 9824): one signature where minimally covering NSEC records (RFC 4470) need up
//! to three, no order of names to be kept for names that come and go with their lines, and nobody can list a zone.
//!
//! A key is exchanged with the old and the new one side by side (RFC 7583 §3.3.3): first both stand in the zone and the old one
//! signs; once the parent has the new DS record, the new one signs and the old one stands there until nobody holds a
//! signature of it any more.

pub mod answer;
pub mod cache;
pub mod driver;
pub mod key;
pub mod store;

use std::time::Duration;

use hickory_proto::dnssec::rdata::{CDNSKEY, CDS, DNSSECRData};
use hickory_proto::dnssec::{Algorithm, DigestType};
use hickory_proto::rr::{RData, RecordType};

use self::key::{SigningError, ZoneKey};
use super::owner::Owner;
use super::records::RecordSet;
use crate::base::WallTime;

/// TTL of DNSKEY, CDS and CDNSKEY records, s.
pub const KEY_TTL_S: u32 = 3_600;
/// How long a signature is valid. Long enough to find out over a weekend that something is broken.
pub const VALID_FOR: Duration = Duration::from_secs(7 * 86_400);
/// How far back its validity begins: validators' clocks go wrong.
pub const VALID_BEFORE: Duration = Duration::from_secs(3_600);
/// How long a key that signs no more stands in the zone: longer than any TTL that is served (a day), and that of the keys.
pub const RETIRED_FOR: Duration = Duration::from_secs(2 * 86_400);
/// How long a new key stands in the zone before the parent may be told: everybody has to know it (twice the TTL).
pub const INCOMING_FOR: Duration = Duration::from_secs(2 * 3_600);
/// Largest TTL of records in a signed zone that a change of keys counts on, s.
pub const TTL_MAX_S: u32 = 86_400;

/// Where a key stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// It signs.
    Active,
    /// It signs, and the zone asks its parent to forget it (RFC 8078 §4).
    Leaving,
    /// It stands in the zone and is to sign soon.
    Incoming,
    /// It signs no more.
    Retired,
}

impl KeyState {
    /// As stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Leaving => "leaving",
            Self::Incoming => "incoming",
            Self::Retired => "retired",
        }
    }

    /// Reads what [`as_str`](Self::as_str) wrote.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Active, Self::Leaving, Self::Incoming, Self::Retired].into_iter().find(|state| state.as_str() == text)
    }
}

/// The keys of one zone.
#[derive(Debug)]
pub struct ZoneKeys {
    apex: Owner,
    keys: Vec<ZoneKey>,
}

impl ZoneKeys {
    /// Of these keys; absent if none of them signs.
    #[must_use]
    pub fn new(apex: Owner, keys: Vec<ZoneKey>) -> Option<Self> {
        let keys = Self { apex, keys };
        keys.signer().is_some().then_some(keys)
    }

    /// The zone.
    #[must_use]
    pub const fn apex(&self) -> &Owner {
        &self.apex
    }

    /// All keys.
    #[must_use]
    pub fn keys(&self) -> &[ZoneKey] {
        &self.keys
    }

    /// The key that signs.
    #[must_use]
    pub fn signer(&self) -> Option<&ZoneKey> {
        self.keys.iter().find(|key| matches!(key.state, KeyState::Active | KeyState::Leaving))
    }

    /// Who signs records of a type: all keys sign the set of keys, so that whichever the parent vouches for is believed.
    pub fn signers(&self, kind: RecordType) -> impl Iterator<Item = &ZoneKey> {
        let signer = self.signer().map(|key| key.tag);
        let is_all = kind == RecordType::DNSKEY;
        self.keys.iter().filter(move |key| is_all || Some(key.tag) == signer)
    }

    /// The key that the parent is to vouch for: the new one where there is one.
    #[must_use]
    pub fn wanted(&self) -> Option<&ZoneKey> {
        self.keys.iter().find(|key| key.state == KeyState::Incoming).or_else(|| self.signer())
    }

    /// The records of the zone's own name that come with the keys.
    ///
    /// # Errors
    /// [`SigningError`] for a key that has no wire form.
    pub fn sets(&self) -> Result<Vec<(u16, RecordSet)>, SigningError> {
        let dnskeys: Vec<RData> =
            self.keys.iter().map(|key| RData::DNSSEC(DNSSECRData::DNSKEY(key.dnskey.clone()))).collect();
        let is_leaving = self.keys.iter().any(|key| key.state == KeyState::Leaving);
        let (cds, cdnskey) = match self.wanted() {
            // "Take the DS records away" (RFC 8078 §4).
            _ if is_leaving => {
                (CDS::new(0, None, DigestType::Unknown(0), vec![0]), CDNSKEY::with_flags(0, None, vec![0]))
            }
            Some(key) => {
                let digest = key.digest(&self.apex)?;
                let public = key.dnskey.public_key().clone().into_inner();
                let algorithm = Some(Algorithm::ECDSAP256SHA256);
                (
                    CDS::new(key.tag, algorithm, DigestType::SHA256, digest),
                    CDNSKEY::with_flags(key.dnskey.flags(), algorithm, public),
                )
            }
            None => return Ok(Vec::new()),
        };
        let set = |all: &[RData]| RecordSet::new(KEY_TTL_S, all).map_err(|error| SigningError(error.to_string()));
        Ok(vec![
            (u16::from(RecordType::DNSKEY), set(&dnskeys)?),
            (u16::from(RecordType::CDS), set(&[RData::DNSSEC(DNSSECRData::CDS(cds))])?),
            (u16::from(RecordType::CDNSKEY), set(&[RData::DNSSEC(DNSSECRData::CDNSKEY(cdnskey))])?),
        ])
    }

    /// What stands in the parent zone, in the form of a zone file.
    ///
    /// # Errors
    /// [`SigningError`] for a key that has no wire form.
    pub fn ds_lines(&self) -> Result<Vec<String>, SigningError> {
        let Some(key) = self.wanted() else { return Ok(Vec::new()) };
        let digest = data_encoding::HEXUPPER.encode(&key.digest(&self.apex)?);
        Ok(vec![format!("{} {KEY_TTL_S} IN DS {} 13 2 {digest}", self.apex, key.tag)])
    }
}

/// Whether what a key waits for has had its time.
#[must_use]
pub fn has_waited(since: WallTime, wait: Duration, now: WallTime) -> bool {
    now >= since + wait
}
