//! When a secondary is told that its zone has changed (NOTIFY, RFC 1996).

pub mod driver;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::owner::Owner;
use crate::base::Moment;

/// Notices of one serial, at most (RFC 1996 §3.6: five); after that the secondary's own refresh finds the change.
const TRIES_MAX: u32 = 5;
/// Until an answer is missed; twice as long each time.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two notices to one secondary, at least: changes come in groups.
const PAUSE: Duration = Duration::from_millis(250);

/// What one secondary knows of one zone.
#[derive(Debug)]
struct Told {
    serial: u32,
    id: u16,
    tries: u32,
    is_answered: bool,
    next_at: Moment,
}

/// All notices under way. Holds no more rows than there are secondaries.
#[derive(Default, Debug)]
pub struct Notices(BTreeMap<(Owner, SocketAddr), Told>);

impl Notices {
    /// Only these are followed from now on.
    pub fn retain(&mut self, is_followed: impl Fn(&Owner, SocketAddr) -> bool) {
        self.0.retain(|(apex, address), _| is_followed(apex, *address));
    }

    /// Whether this secondary has to be told of the serial now; then with this id, which nobody should guess.
    pub fn is_due(&mut self, apex: &Owner, address: SocketAddr, serial: u32, id: u16, now: Moment) -> bool {
        let fresh = Told { serial, id, tries: 0, is_answered: false, next_at: now };
        let told = self.0.entry((apex.clone(), address)).or_insert(fresh);
        if told.serial != serial {
            *told = Told { serial, id, tries: 0, is_answered: false, next_at: told.next_at.min(now + PAUSE) };
        }
        if told.is_answered || told.tries >= TRIES_MAX || told.next_at > now {
            return false;
        }
        let wait = PATIENCE * 2u32.saturating_pow(told.tries);
        told.id = id;
        told.tries += 1;
        told.next_at = now + wait;
        true
    }

    /// An answer came. Whatever its code, the secondary has heard.
    pub fn handle_answer(&mut self, from: SocketAddr, id: u16, now: Moment) {
        let mut waiting = self.0.iter_mut().filter(|((_, address), told)| *address == from && !told.is_answered);
        if let Some((_, told)) = waiting.find(|(_, told)| told.tries > 0 && told.id == id) {
            told.is_answered = true;
            told.next_at = now + PAUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DomainName;

    fn apex() -> Owner {
        Owner::of_domain(&DomainName::parse("firma.example").unwrap())
    }

    #[test]
    fn a_secondary_is_told_until_it_answers_and_of_each_serial_anew() {
        let address: SocketAddr = "127.0.0.9:53".parse().unwrap();
        let mut notices = Notices::default();
        let at = |ms: u64| Moment::from_millis(0) + Duration::from_millis(ms);
        assert!(notices.is_due(&apex(), address, 5, 77, at(0)));
        assert!(!notices.is_due(&apex(), address, 5, 78, at(1_999)));
        assert!(notices.is_due(&apex(), address, 5, 79, at(2_000)));
        notices.handle_answer(address, 77, at(2_001));
        assert!(notices.is_due(&apex(), address, 5, 80, at(6_000)), "an old answer, or a guessed one");
        notices.handle_answer("127.0.0.8:53".parse().unwrap(), 80, at(6_001));
        notices.handle_answer(address, 80, at(6_002));
        assert!(!notices.is_due(&apex(), address, 5, 81, at(60_000)));
        assert!(notices.is_due(&apex(), address, 6, 82, at(60_000)));
    }

    #[test]
    fn changes_in_quick_succession_are_told_together_and_silence_ends() {
        let address: SocketAddr = "127.0.0.9:53".parse().unwrap();
        let mut notices = Notices::default();
        let at = |ms: u64| Moment::from_millis(0) + Duration::from_millis(ms);
        let told = (0..1_000).filter(|ms| notices.is_due(&apex(), address, u32::try_from(*ms).unwrap(), 1, at(*ms)));
        assert!(told.count() <= 5);
        let told = (0..1_000).filter(|s| notices.is_due(&apex(), address, 9_999, 1, at(10_000 + s * 1_000))).count();
        assert_eq!(told, 5);
        notices.retain(|_, _| false);
        assert!(notices.0.is_empty());
    }
}
