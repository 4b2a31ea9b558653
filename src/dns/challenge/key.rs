//! The key of one ACME client: made here, shown once, kept only as a one-way image; it opens one name.

use std::net::IpAddr;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use ipnet::IpNet;
use subtle::ConstantTimeEq;

use super::{AUTH_LABEL, challenge_name};
use crate::base::{AccountId, DomainName, WallTime};

/// Keys of one account, at most: as many as it may have dynamic names, and one each for its names elsewhere.
pub const KEYS_PER_ACCOUNT_MAX: usize = 100;
/// Networks of one key, at most.
pub const NETWORKS_MAX: usize = 32;
/// Octets of a secret: 160 bits, so that nobody guesses and the image needs no salt.
const SECRET_OCTETS: usize = 20;
const CONTEXT: &str = "pulsemx 2026-11-24 challenge key v1 verifier";

/// A key as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChallengeKey {
    /// The client's word for the name (`subdomain` in acme-dns).
    pub id: String,
    /// Whose.
    pub account: AccountId,
    /// Where its values stand.
    pub name: DomainName,
    /// The client's own name (`X-Api-User`).
    pub user: String,
    /// One-way image of the secret (`X-Api-Key`).
    pub verifier: [u8; 32],
    /// Where the client may be; anywhere if empty.
    pub networks: Vec<IpNet>,
    /// When it was made.
    pub created_at: WallTime,
}

/// The system gave no random numbers.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the system has no random numbers; try again later")]
pub struct NoRandomness;

/// What a new key is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// Whose.
    pub account: AccountId,
    /// The dynamic name that certificates are for; absent for a name of its own, which others point at by CNAME.
    pub host: Option<DomainName>,
    /// Where the client may be; anywhere if empty.
    pub networks: Vec<IpNet>,
}

impl ChallengeKey {
    /// A new key and its secret, which is shown this once; `zone` is the service's own.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn draw(wanted: Wanted, zone: &DomainName, now: WallTime) -> Result<(Self, String), NoRandomness> {
        let (id, user) = (random_id()?, random_id()?);
        let mut octets = [0u8; SECRET_OCTETS];
        getrandom::fill(&mut octets).map_err(|_| NoRandomness)?;
        let secret = format!("pmc-{}", BASE32_NOPAD.encode(&octets).to_ascii_lowercase());
        let Wanted { account, host, networks } = wanted;
        // Only a name of more than 237 letters is too long for this; it keeps a name of its own.
        let name = host.as_ref().and_then(challenge_name);
        let name = match name.or_else(|| DomainName::parse(&format!("{id}.{AUTH_LABEL}.{zone}")).ok()) {
            Some(name) => name,
            None => zone.clone(),
        };
        let verifier = verifier(&secret);
        Ok((Self { id, account, name, user, verifier, networks, created_at: now }, secret))
    }

    /// Whether a client may use it. Takes the same time for every secret.
    #[must_use]
    pub fn opens(&self, secret: &str, peer: IpAddr) -> bool {
        let is_secret = bool::from(verifier(secret).ct_eq(&self.verifier));
        is_secret && self.is_from(peer)
    }

    /// Whether a client may be there.
    fn is_from(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.networks.is_empty() || self.networks.iter().any(|network| network.contains(&peer))
    }

    /// Networks as stored: with commas between.
    #[must_use]
    pub fn stored_networks(&self) -> String {
        self.networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// For the audit log.
    #[must_use]
    pub fn audit_words(&self) -> String {
        format!("challenge.new {} {}", self.id, self.name)
    }
}

/// Reads what [`ChallengeKey::stored_networks`] wrote.
///
/// # Errors
/// The library's, for what is no list of networks.
pub fn networks_from_stored(text: &str) -> Result<Vec<IpNet>, ipnet::AddrParseError> {
    text.split(',').filter(|part| !part.is_empty()).map(str::parse).collect()
}

/// The image of whatever a client sent as its secret.
#[must_use]
pub fn verifier(secret: &str) -> [u8; 32] {
    blake3::derive_key(CONTEXT, secret.trim().as_bytes())
}

/// 122 random bits in the form of RFC 9562 §5.4, which acme-dns gives its clients.
fn random_id() -> Result<String, NoRandomness> {
    let mut octets = [0u8; 16];
    getrandom::fill(&mut octets).map_err(|_| NoRandomness)?;
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut octets;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    let hex = HEXLOWER.encode(&octets);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    Ok(format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Clock;

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    fn wanted(host: Option<&str>, networks: &[&str]) -> Wanted {
        Wanted {
            account: AccountId(1),
            host: host.map(name),
            networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn a_key_opens_its_name_to_its_secret_from_its_networks() {
        let zone = name("dyn.example");
        let (key, secret) = ChallengeKey::draw(wanted(None, &["192.0.2.0/24"]), &zone, Clock.wall()).unwrap();
        assert_eq!(key.name.as_str(), format!("{}.auth.dyn.example", key.id));
        assert_eq!((key.id.len(), key.user.len()), (36, 36));
        assert!(key.opens(&secret, "192.0.2.9".parse().unwrap()));
        assert!(key.opens(&secret, "::ffff:192.0.2.9".parse().unwrap()));
        assert!(!key.opens(&secret, "198.51.100.9".parse().unwrap()));
        assert!(!key.opens("pmc-other", "192.0.2.9".parse().unwrap()));
        assert_eq!(networks_from_stored(&key.stored_networks()), Ok(key.networks.clone()));
        assert_eq!(networks_from_stored(""), Ok(Vec::new()));
        let (key, secret) = ChallengeKey::draw(wanted(Some("firma.dyn.example"), &[]), &zone, Clock.wall()).unwrap();
        assert_eq!(key.name, name("_acme-challenge.firma.dyn.example"));
        assert!(key.opens(&secret, "2001:db8::1".parse().unwrap()));
    }
}
