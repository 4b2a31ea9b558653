//! The seal of a badge: a copied or changed picture is told from one that we drew.

use chrono::TimeZone;
use data_encoding::BASE64URL_NOPAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::account::SealKey;
use crate::base::WallTime;
use crate::liveness::LineState;

/// Octets of the seal: nobody guesses 128 bits.
const SEAL_OCTETS: usize = 16;
/// Separates this use of the server's secret from all others.
const CONTEXT: &str = "pulsemx 2026-11 seal of public badges v1";

/// Seals badges. Made of the server's own secret, so that a badge stays genuine over a restart.
#[derive(Clone)]
pub struct BadgeKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for BadgeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BadgeKey(..)")
    }
}

impl BadgeKey {
    /// Of this server.
    #[must_use]
    pub fn of(seal: &SealKey) -> Self {
        Self(Zeroizing::new(seal.derived(CONTEXT)))
    }

    fn seal(&self, badge_id: &str, said: &str) -> String {
        let hash = blake3::keyed_hash(&self.0, format!("{badge_id}\n{said}").as_bytes());
        BASE64URL_NOPAD.encode(hash.as_bytes().get(..SEAL_OCTETS).unwrap_or_default())
    }

    /// What a badge says, sealed: `online.1795492800.SEAL`.
    pub(super) fn sealed(&self, badge_id: &str, state: LineState, at: WallTime) -> String {
        let said = format!("{state}.{}", at.timestamp());
        let seal = self.seal(badge_id, &said);
        format!("{said}.{seal}")
    }

    /// State and time of a badge of this account that we drew; absent of any other.
    pub(super) fn opened(&self, badge_id: &str, text: &str) -> Option<(LineState, WallTime)> {
        let (said, seal) = text.trim().rsplit_once('.')?;
        if !bool::from(seal.as_bytes().ct_eq(self.seal(badge_id, said).as_bytes())) {
            return None;
        }
        let (state, at) = said.split_once('.')?;
        Some((state.parse().ok()?, chrono::Utc.timestamp_opt(at.parse().ok()?, 0).single()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_opens_for_its_own_account_and_unchanged_only() {
        let key = BadgeKey::of(&SealKey::new([7; 32]));
        let at = chrono::Utc.timestamp_opt(1_795_492_800, 0).unwrap();
        let text = key.sealed("badge", LineState::Online, at);
        assert_eq!(key.opened("badge", &text), Some((LineState::Online, at)));
        assert_eq!(key.opened("badge", &format!(" {text}\n")), Some((LineState::Online, at)));
        assert_eq!(key.opened("other", &text), None);
        assert_eq!(key.opened("badge", &text.replace("online", "offline")), None);
        assert_eq!(key.opened("badge", &text.replace("800.", "801.")), None);
        assert_eq!(BadgeKey::of(&SealKey::new([8; 32])).opened("badge", &text), None);
        for odd in ["", ".", "online", "online.1", "...."] {
            assert_eq!(key.opened("badge", odd), None, "{odd}");
        }
    }
}
