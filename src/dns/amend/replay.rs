//! Is an update new, or one that was carried out before? A datagram may be sent again, by its sender or by a stranger.
//!
//! A key's clock goes forward only: what was signed earlier than the newest message of the key is refused (RFC 8945
//! §5.2.3), with some seconds for messages that overtake each other. What is newer is remembered by its signature.

use std::collections::HashMap;

use crate::dns::owner::Owner;
use crate::dns::query::Code;
use crate::dns::tsig::FUDGE_S;

/// How much older than the newest a message of the same key may be, s.
pub const OVERTAKEN_MAX_S: u64 = 5;
/// Messages of one key that are remembered, at most: some 800 a second. Beyond them nothing of this key is carried out until a
/// later message of it lets go of some.
pub const REMEMBERED_PER_KEY_MAX: usize = 4_096;
/// The same of all keys together, so that memory is bounded (some 10 MB). What is refused by its time goes first.
pub const REMEMBERED_MAX: usize = 65_536;

/// What an update is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// It was not here before.
    New,
    /// It is being carried out.
    Running,
    /// It was answered so.
    Answered(Code),
    /// Signed before others that came, or before the start of this service.
    Old,
    /// Too many at one time.
    Full,
}

/// Of one key.
#[derive(Debug, Default)]
struct OfKey {
    /// When its newest message was signed, s.
    newest_s: u64,
    /// By their signatures: when signed, and how it was answered.
    messages: HashMap<Vec<u8>, (u64, Option<Code>)>,
}

/// See the file.
#[derive(Debug)]
pub struct Memory {
    started_s: u64,
    keys: HashMap<Owner, OfKey>,
    remembered: usize,
}

impl Memory {
    /// What was signed before `started_s`, s, may have been carried out before.
    #[must_use]
    pub fn new(started_s: u64) -> Self {
        Self { started_s, keys: HashMap::new(), remembered: 0 }
    }

    /// An update with a good signature came in at `now_s`, s; a new one is remembered.
    pub fn take(&mut self, key: &Owner, mac: &[u8], signed_s: u64, now_s: u64) -> Seen {
        if self.remembered >= REMEMBERED_MAX {
            self.forget_unreadable(now_s);
        }
        let of_key = self.keys.entry(key.clone()).or_default();
        if let Some((_, answer)) = of_key.messages.get(mac) {
            return answer.map_or(Seen::Running, Seen::Answered);
        }
        if signed_s + OVERTAKEN_MAX_S < self.started_s.max(of_key.newest_s) {
            return Seen::Old;
        }
        if signed_s > of_key.newest_s {
            of_key.newest_s = signed_s;
            let before = of_key.messages.len();
            // These would be refused as old.
            of_key.messages.retain(|_, (at, _)| *at + OVERTAKEN_MAX_S >= signed_s);
            self.remembered -= before - of_key.messages.len();
        }
        if self.remembered >= REMEMBERED_MAX || of_key.messages.len() >= REMEMBERED_PER_KEY_MAX {
            return Seen::Full;
        }
        of_key.messages.insert(mac.to_vec(), (signed_s, None));
        self.remembered += 1;
        Seen::New
    }

    /// Lets go of what would not pass the check of its signature any more, of whatever key.
    fn forget_unreadable(&mut self, now_s: u64) {
        for of_key in self.keys.values_mut() {
            of_key.messages.retain(|_, (at, _)| *at + u64::from(FUDGE_S) >= now_s);
        }
        self.remembered = self.keys.values().map(|of_key| of_key.messages.len()).sum();
    }

    /// A new one was answered so.
    pub fn answered(&mut self, key: &Owner, mac: &[u8], code: Code) {
        if let Some((_, answer)) = self.keys.get_mut(key).and_then(|of_key| of_key.messages.get_mut(mac)) {
            *answer = Some(code);
        }
    }

    /// A new one was not carried out; it may come again.
    pub fn forget(&mut self, key: &Owner, mac: &[u8]) {
        if self.keys.get_mut(key).is_some_and(|of_key| of_key.messages.remove(mac).is_some()) {
            self.remembered -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DomainName;

    fn key(text: &str) -> Owner {
        Owner::of_domain(&DomainName::parse(text).unwrap())
    }

    #[test]
    fn a_message_is_carried_out_once() {
        let mut memory = Memory::new(1_000);
        let (one, other) = (key("a.example"), key("b.example"));
        assert_eq!(memory.take(&one, &[1], 1_010, 1_010), Seen::New);
        assert_eq!(memory.take(&one, &[1], 1_010, 1_010), Seen::Running);
        memory.answered(&one, &[1], Code::YxDomain);
        assert_eq!(memory.take(&one, &[1], 1_010, 1_010), Seen::Answered(Code::YxDomain));
        assert_eq!(memory.take(&other, &[1], 1_000, 1_010), Seen::New, "another key has a clock of its own");
        assert_eq!(memory.take(&one, &[2], 1_006, 1_010), Seen::New, "overtaken");
        assert_eq!(memory.take(&one, &[3], 1_004, 1_010), Seen::Old);
        memory.forget(&one, &[2]);
        assert_eq!(memory.take(&one, &[2], 1_006, 1_010), Seen::New, "it was not carried out");
        // Remembered no longer, and refused by its time.
        assert_eq!(memory.take(&one, &[4], 1_100, 1_010), Seen::New);
        assert_eq!(memory.take(&one, &[1], 1_010, 1_010), Seen::Old);
    }

    #[test]
    fn what_was_signed_before_the_start_is_old_and_one_key_fills_its_own_share_alone() {
        let mut memory = Memory::new(1_000);
        let (one, other) = (key("a.example"), key("b.example"));
        assert_eq!(memory.take(&one, &[0], 994, 1_000), Seen::Old);
        for n in 0..u32::try_from(REMEMBERED_PER_KEY_MAX).unwrap() {
            assert_eq!(memory.take(&one, &n.to_be_bytes(), 1_000, 1_000), Seen::New);
        }
        assert_eq!(memory.take(&one, b"more", 1_000, 1_000), Seen::Full);
        assert_eq!(memory.take(&other, b"more", 1_000, 1_000), Seen::New);
        assert_eq!(memory.take(&one, b"more", 1_006, 1_006), Seen::New, "the others are too old to come again");
    }

    #[test]
    fn keys_that_fell_silent_give_their_places_back_once_their_messages_have_run_out() {
        let mut memory = Memory::new(1_000);
        for n in 0..u32::try_from(REMEMBERED_MAX).unwrap() {
            let key = key(&format!("k{}.example", n % 20));
            assert_eq!(memory.take(&key, &n.to_be_bytes(), 1_000, 1_000), Seen::New);
        }
        let late = key("late.example");
        assert_eq!(memory.take(&late, &[1], 1_300, 1_300), Seen::Full, "all may still come again");
        assert_eq!(memory.take(&late, &[1], 1_301, 1_301), Seen::New);
        assert_eq!(memory.remembered, 1);
    }
}
