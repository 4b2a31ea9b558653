//! Where in a flat list a record stands, found by a 64-bit key: a hash table that does not repeat the keys.

/// Stands for no place.
const NOWHERE: u32 = u32::MAX;

/// One slot: eight bits of the hash, then the place.
#[derive(Clone, Copy)]
struct Slot {
    tag: u8,
    place: [u8; 4],
}

const EMPTY: Slot = Slot { tag: 0, place: NOWHERE.to_le_bytes() };

impl Slot {
    const fn place(self) -> u32 {
        u32::from_le_bytes(self.place)
    }
}

/// Places of records by key, about six octets a record whatever the key; the list itself holds the keys.
///
/// Keys come from ourselves (random locators, row numbers), so the hash needs no secret: a stranger who asks for keys
/// of his choice finds nothing and costs one look.
#[derive(Default)]
pub struct PlaceIndex {
    slots: Vec<Slot>,
    used: usize,
}

impl std::fmt::Debug for PlaceIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlaceIndex").field("used", &self.used).finish_non_exhaustive()
    }
}

/// Spreads neighbouring keys; the upper half picks the slot, other bits are the tag.
const fn mix(key: u64) -> u64 {
    let mixed = (key ^ (key >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

impl PlaceIndex {
    /// How many records are in it.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.used
    }

    /// Whether it holds nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Makes room for `records` in all. `key_at` tells the key of each place that was put in.
    pub fn reserve(&mut self, records: usize, key_at: impl Fn(u32) -> u64) {
        let wanted = records.saturating_mul(8) / 7 + 8;
        if wanted <= self.slots.len() {
            return;
        }
        let before = std::mem::replace(&mut self.slots, vec![EMPTY; wanted]);
        for slot in before.into_iter().filter(|slot| slot.place() != NOWHERE) {
            self.put(key_at(slot.place()), slot.place());
        }
    }

    /// The place of `key`. `is_it` looks whether the record at a place has this key.
    pub fn find(&self, key: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        self.slot_of(key, is_it).and_then(|at| self.slots.get(at)).map(|slot| slot.place())
    }

    /// Reads what a search for `key` will read first, so that many searches wait for memory together.
    #[must_use]
    pub fn touch(&self, key: u64) -> u8 {
        self.slots.get(self.home(mix(key))).map_or(0, |slot| slot.tag)
    }

    /// Puts in a key that is not in it. `key_at` tells the key of each place that was put in before.
    pub fn insert(&mut self, key: u64, place: u32, key_at: impl Fn(u32) -> u64) {
        if (self.used + 1) * 8 > self.slots.len() * 7 {
            self.reserve(self.used * 3 / 2 + 8, key_at);
        }
        self.put(key, place);
        self.used += 1;
    }

    /// Takes a key out. `key_at` tells the key of each place that is in it.
    pub fn remove(&mut self, key: u64, is_it: impl Fn(u32) -> bool, key_at: impl Fn(u32) -> u64) {
        let Some(mut hole) = self.slot_of(key, is_it) else { return };
        self.used -= 1;
        let mut at = hole;
        // Whoever stands behind the hole and could stand in it moves up.
        loop {
            at = self.after(at);
            let Some(slot) = self.slots.get(at).copied().filter(|slot| slot.place() != NOWHERE) else { break };
            let home = self.home(mix(key_at(slot.place())));
            let count = self.slots.len();
            let is_reachable = (at + count - home) % count >= (at + count - hole) % count;
            if is_reachable {
                self.set(hole, slot);
                hole = at;
            }
        }
        self.set(hole, EMPTY);
    }

    fn slot_of(&self, key: u64, is_it: impl Fn(u32) -> bool) -> Option<usize> {
        let mixed = mix(key);
        let tag = tag(mixed);
        let mut at = self.home(mixed);
        loop {
            let slot = self.slots.get(at)?;
            if slot.place() == NOWHERE {
                return None;
            }
            if slot.tag == tag && is_it(slot.place()) {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    /// There is always an empty slot: an eighth of them is.
    fn put(&mut self, key: u64, place: u32) {
        let mixed = mix(key);
        let mut at = self.home(mixed);
        while self.slots.get(at).is_some_and(|slot| slot.place() != NOWHERE) {
            at = self.after(at);
        }
        self.set(at, Slot { tag: tag(mixed), place: place.to_le_bytes() });
    }

    fn set(&mut self, at: usize, slot: Slot) {
        if let Some(place) = self.slots.get_mut(at) {
            *place = slot;
        }
    }

    fn home(&self, mixed: u64) -> usize {
        let range = u64::try_from(self.slots.len()).unwrap_or(0);
        usize::try_from(((mixed >> 32) * range) >> 32).unwrap_or(0)
    }

    const fn after(&self, at: usize) -> usize {
        if at + 1 >= self.slots.len() { 0 } else { at + 1 }
    }
}

const fn tag(mixed: u64) -> u8 {
    let [first, ..] = mixed.to_le_bytes();
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn it_agrees_with_a_map_through_any_changes(steps in prop::collection::vec((0u64..60, any::<bool>()), 0..400)) {
            let mut index = PlaceIndex::default();
            let mut keys: Vec<u64> = Vec::new();
            let mut map: HashMap<u64, u32> = HashMap::new();
            for (key, is_in) in steps {
                if is_in && !map.contains_key(&key) {
                    let place = u32::try_from(keys.len()).unwrap();
                    keys.push(key);
                    index.insert(key, place, |at| keys[at as usize]);
                    map.insert(key, place);
                } else if !is_in {
                    index.remove(key, |at| keys[at as usize] == key, |at| keys[at as usize]);
                    map.remove(&key);
                }
                prop_assert_eq!(index.len(), map.len());
                for key in 0..60 {
                    prop_assert_eq!(index.find(key, |at| keys[at as usize] == key), map.get(&key).copied());
                }
            }
        }
    }

    #[test]
    fn an_empty_one_finds_nothing_and_room_made_ahead_is_kept() {
        let mut index = PlaceIndex::default();
        assert!(index.is_empty() && index.find(1, |_| true).is_none());
        assert_eq!(index.touch(1), 0);
        index.reserve(1_000, |_| 0);
        let slots = index.slots.len();
        for key in 0..1_000u32 {
            index.insert(u64::from(key), key, u64::from);
        }
        assert_eq!((index.slots.len(), index.find(999, |at| at == 999)), (slots, Some(999)));
    }
}
