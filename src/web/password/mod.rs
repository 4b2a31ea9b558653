//! Passwords: which are taken, and how often somebody may try one. What costs time is in `driver`.

pub(super) mod driver;

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::base::{Moment, network_of};

/// Characters of a password, at least (NIST SP 800-63B asks for 8 where there is a second limit on tries; we ask more).
pub(super) const PASSWORD_CHARS_MIN: usize = 12;
/// Octets of a password, at most: a sentence, not a book.
pub(super) const PASSWORD_OCTETS_MAX: usize = 256;
/// Different characters in a password, at least.
const DIFFERENT_CHARS_MIN: usize = 5;
/// Tries of one address, or /64 of IPv6, within [`WINDOW`].
const TRIES_PER_NETWORK: u32 = 20;
/// Tries of one name within [`WINDOW`], known or not. Who is kept out by the tries of others has sign-in links.
const TRIES_PER_NAME: u32 = 10;
/// See above.
const WINDOW: Duration = Duration::from_secs(900);
/// Networks and names remembered, each. Beyond it nobody new may try until some are forgotten.
const REMEMBERED_MAX: usize = 8_192;

/// Why a password is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Weakness {
    Short,
    Long,
    /// A name, or few characters again and again.
    Plain,
}

/// Whether a new password of the person `name` is taken.
pub(super) fn weakness(password: &str, name: &str) -> Option<Weakness> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Some(Weakness::Short);
    }
    if password.len() > PASSWORD_OCTETS_MAX {
        return Some(Weakness::Long);
    }
    let mut different: Vec<char> = password.chars().collect();
    different.sort_unstable();
    different.dedup();
    let is_name = password.to_lowercase() == name.to_lowercase();
    (different.len() < DIFFERENT_CHARS_MIN || is_name).then_some(Weakness::Plain)
}

/// How often each did something within [`WINDOW`].
#[derive(Debug)]
pub(super) struct Tally<K>(HashMap<K, (Moment, u32)>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Tally<K> {
    /// Counts one more; false if it is one too many.
    pub(super) fn counts(&mut self, key: K, most: u32, now: Moment) -> bool {
        if self.0.len() >= REMEMBERED_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, (since, _)| now.since(*since) < WINDOW);
            if self.0.len() >= REMEMBERED_MAX {
                return false;
            }
        }
        let (since, count) = self.0.entry(key).or_insert((now, 0));
        if now.since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= most
    }

    fn forget(&mut self, key: &K) {
        self.0.remove(key);
    }
}

/// Tries of late. Every try counts before it is looked at, so that many at once are no way round.
#[derive(Debug, Default)]
pub(super) struct Tries {
    networks: Tally<IpAddr>,
    names: Tally<[u8; 32]>,
}

fn key(name: &str) -> [u8; 32] {
    Sha256::digest(name.trim().to_lowercase()).into()
}

impl Tries {
    /// Whether a try from `peer` for `name` may be looked at.
    pub(super) fn admits(&mut self, peer: IpAddr, name: &str, now: Moment) -> bool {
        self.networks.counts(network_of(peer), TRIES_PER_NETWORK, now)
            && self.names.counts(key(name), TRIES_PER_NAME, now)
    }

    /// The try was right: those before it were slips.
    pub(super) fn was_right(&mut self, name: &str) {
        self.names.forget(&key(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_millis(3_600_000);

    #[test]
    fn a_password_is_long_and_no_name_and_not_one_letter() {
        assert_eq!(weakness("correct horse", "eva"), None);
        assert_eq!(weakness("elfzeichen1", "eva"), Some(Weakness::Short));
        assert_eq!(weakness("aaaaaaaaaaaaabbb", "eva"), Some(Weakness::Plain));
        assert_eq!(weakness("Firma GmbH (Owner)", "firma gmbh (owner)"), Some(Weakness::Plain));
        assert_eq!(weakness(&"abcdefgh".repeat(33), "eva"), Some(Weakness::Long));
        assert_eq!(weakness("äöüäöüßéèêëœ", "eva"), None, "characters count, not octets");
    }

    #[test]
    fn a_name_may_be_tried_ten_times_from_anywhere_and_again_after_the_window() {
        let mut tries = Tries::default();
        let peer = |n: u8| IpAddr::from([203, 0, n, 1]);
        for n in 0..10 {
            assert!(tries.admits(peer(n), "firma", START), "{n}");
        }
        assert!(!tries.admits(peer(50), " FIRMA ", START), "the same name");
        assert!(tries.admits(peer(50), "other", START));
        assert!(tries.admits(peer(50), "firma", START + WINDOW));
    }

    #[test]
    fn an_address_may_try_twenty_names() {
        let mut tries = Tries::default();
        for n in 0..20u8 {
            let peer: IpAddr = format!("2001:db8::{n}").parse().unwrap();
            assert!(tries.admits(peer, &n.to_string(), START));
        }
        assert!(!tries.admits("2001:db8::ffff".parse().unwrap(), "x", START), "the same /64");
        assert!(tries.admits("2001:db8:0:1::1".parse().unwrap(), "x", START));
    }

    #[test]
    fn who_was_right_begins_anew_and_what_is_remembered_is_bounded() {
        let mut tries = Tries::default();
        for n in 0..9u8 {
            tries.admits(IpAddr::from([203, 0, n, 1]), "firma", START);
        }
        tries.was_right("firma");
        assert!(tries.admits(IpAddr::from([203, 0, 77, 1]), "firma", START));
        assert!(tries.admits(IpAddr::from([203, 0, 78, 1]), "firma", START));
        let mut full = Tries::default();
        for n in 0..u32::try_from(REMEMBERED_MAX).unwrap() {
            let [_, a, b, c] = n.to_be_bytes();
            assert!(full.admits(IpAddr::from([10 + a, b, c, 1]), &n.to_string(), START));
        }
        assert!(!full.admits(IpAddr::from([9, 9, 9, 9]), "new", START));
        assert!(full.admits(IpAddr::from([9, 9, 9, 9]), "new", START + WINDOW));
    }
}
