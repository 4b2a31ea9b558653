//! Signatures that were made lately, so that a popular answer is signed once and not each time; bounded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use hickory_proto::rr::RData;

use super::VALID_FOR;
use crate::base::WallTime;

/// Parts of the cache, so that threads rarely wait for each other.
const PARTS: usize = 16;
/// Signatures of one part and generation, at most. With two generations and some 300 octets each the whole takes 40 MB.
const PART_MAX: usize = 4_096;

/// What a signature is over, and by which key: a hash of all that is signed.
pub type SetHash = [u8; 16];

#[derive(Default)]
struct Part {
    young: HashMap<SetHash, (RData, WallTime)>,
    old: HashMap<SetHash, (RData, WallTime)>,
}

/// See the file.
#[derive(Default)]
pub struct Signatures([Mutex<Part>; PARTS]);

impl std::fmt::Debug for Signatures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signatures").finish_non_exhaustive()
    }
}

impl Signatures {
    fn part(&self, hash: &SetHash) -> Option<&Mutex<Part>> {
        let [first, ..] = *hash;
        self.0.get(usize::from(first) % PARTS)
    }

    /// A signature that is valid for another half of its life at least.
    #[must_use]
    pub fn find(&self, hash: &SetHash, now: WallTime) -> Option<RData> {
        let part = self.part(hash)?.lock().unwrap_or_else(PoisonError::into_inner);
        let (signature, made_at) = part.young.get(hash).or_else(|| part.old.get(hash))?;
        (*made_at <= now && now < *made_at + VALID_FOR / 2).then(|| signature.clone())
    }

    /// Keeps a signature made at a time. Those that were not made while half the part filled are forgotten.
    pub fn keep(&self, hash: SetHash, signature: RData, made_at: WallTime) {
        let Some(part) = self.part(&hash) else { return };
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        if part.young.len() >= PART_MAX {
            part.old = std::mem::take(&mut part.young);
        }
        part.young.insert(hash, (signature, made_at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn signatures_are_found_while_they_are_young_and_their_number_is_bounded() {
        let at = |second: i64| chrono::Utc.timestamp_opt(1_795_492_800 + second, 0).unwrap();
        let signatures = Signatures::default();
        let data = crate::dns::records::address_data("192.0.2.1".parse().unwrap());
        let hash = |n: u32| {
            let mut hash = [0; 16];
            hash[4..8].copy_from_slice(&n.to_be_bytes());
            hash
        };
        signatures.keep(hash(0), data.clone(), at(0));
        let half = i64::try_from(VALID_FOR.as_secs() / 2).unwrap();
        assert_eq!(signatures.find(&hash(0), at(half - 1)), Some(data.clone()));
        assert_eq!(signatures.find(&hash(0), at(half)), None, "half of its life is over");
        assert_eq!(signatures.find(&hash(0), at(-5)), None, "the clock went back");
        for n in 1..u32::try_from(PART_MAX * 3).unwrap() {
            signatures.keep(hash(n), data.clone(), at(1));
        }
        assert_eq!(signatures.find(&hash(0), at(1)), None);
        let held: usize = signatures
            .0
            .iter()
            .map(|part| {
                let part = part.lock().unwrap();
                part.young.len() + part.old.len()
            })
            .sum();
        assert!(held <= 2 * PART_MAX, "{held}");
    }
}
