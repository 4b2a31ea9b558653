//! Which checks may take long: so few, and so few for one sender, that a slow zone holds up nobody else's.
//!
//! A check has one of the quick places for [`QUICK_FOR`]. One that is not done then needs a place among the slow, counted in all
//! and for its sender's network and domain; without one it ends with what is known, which is `temperror`. So the quick
//! places turn over whatever strangers' name servers do.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::store::Subject;
use crate::base::{ReversePath, network_of};

/// Time with a quick place. An honest sender's zones answer within a fraction of it.
pub const QUICK_FOR: Duration = Duration::from_secs(2);

/// Checks that take longer, in all: with the largest header sections they hold some 10 MiB.
pub const SLOW_MAX: usize = 32;

/// The same of one network (an IPv4 address, an IPv6 /64), and of one domain.
pub const SLOW_PER_SENDER_MAX: usize = 4;

/// The checks that take long.
#[derive(Debug, Default)]
pub struct SlowLane(Mutex<HashMap<String, usize>>);

/// A place among them, given back when dropped.
#[derive(Debug)]
pub struct SlowPlace {
    lane: Arc<SlowLane>,
    keys: [String; 3],
}

impl SlowLane {
    /// A place for the check of that message, or none.
    #[must_use]
    pub fn enter(self: &Arc<Self>, subject: &Subject) -> Option<SlowPlace> {
        let domain = match &subject.reverse_path {
            ReversePath::Mailbox(mailbox) => mailbox.domain_as_written().to_ascii_lowercase(),
            ReversePath::Null => subject.helo.to_ascii_lowercase(),
        };
        let keys = ["all".to_owned(), format!("network {}", network_of(subject.peer)), format!("domain {domain}")];
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = |key: &String| counts.get(key).copied().unwrap_or(0);
        let [all, senders @ ..] = &keys;
        if taken(all) >= SLOW_MAX || senders.iter().any(|key| taken(key) >= SLOW_PER_SENDER_MAX) {
            return None;
        }
        for key in &keys {
            *counts.entry(key.clone()).or_default() += 1;
        }
        drop(counts);
        Some(SlowPlace { lane: Arc::clone(self), keys })
    }
}

impl Drop for SlowPlace {
    fn drop(&mut self) {
        let mut counts = self.lane.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            match counts.get_mut(key) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    counts.remove(key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SpoolId;

    fn subject(peer: &str, sender: &str) -> Subject {
        let reverse_path =
            if sender.is_empty() { ReversePath::Null } else { ReversePath::parse(sender, false).unwrap() };
        let id = SpoolId::from_i64(1);
        Subject {
            id,
            peer: peer.parse().unwrap(),
            helo: "H.example".to_owned(),
            reverse_path,
            accounts: vec![],
            chunks: 1,
        }
    }

    #[test]
    fn one_sender_has_few_slow_checks_by_its_address_and_by_its_domain() {
        let lane = Arc::<SlowLane>::default();
        let enter = |peer: &str, sender: &str| lane.enter(&subject(peer, sender));
        let mut places: Vec<_> = (0..4).map(|n| enter("192.0.2.1", &format!("a@d{n}.example")).unwrap()).collect();
        assert!(enter("192.0.2.1", "a@other.example").is_none(), "its address");
        places.extend((5..8).map(|n| enter(&format!("192.0.2.{n}"), "a@D0.example").unwrap()));
        assert!(enter("192.0.2.9", "b@d0.example").is_none(), "its domain");
        let kept: Vec<_> = (10..14).map(|n| enter(&format!("192.0.2.{n}"), "").unwrap()).collect();
        assert!(enter("192.0.2.14", "").is_none(), "its HELO name where it has no other");
        drop((places, kept));
        assert!(lane.0.lock().unwrap().is_empty());
    }

    #[test]
    fn all_together_have_their_number() {
        let lane = Arc::<SlowLane>::default();
        let enter = |n: usize| lane.enter(&subject(&format!("192.0.2.{n}"), &format!("a@d{n}.example")));
        let places: Vec<_> = (0..SLOW_MAX).map(|n| enter(n).unwrap()).collect();
        assert!(enter(100).is_none());
        drop(places);
        assert!(enter(100).is_some());
    }
}
