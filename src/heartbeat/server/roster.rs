//! Keeps a million keys and paths small and near: flat lists found by one index, rare things in side tables.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use super::event::{KeptKey, OpenedBeatKey};
use super::path::{self, Path};
use super::replacement::Replacement;
use crate::base::{AccountId, EndpointId, Moment, PlaceIndex, WallTime};
use crate::heartbeat::datagram::Locator;
use crate::heartbeat::tag::MacKey;

/// Marks a key that has an end.
const ENDS: u32 = 1 << 31;
/// The path of a place without a key.
const NO_PATH: u32 = ENDS - 1;
/// Unusual paths that are kept before those that became usual again are looked for.
const SWEEP_FROM: usize = 1_024;

/// Both MAC keys: one cache line. Wiped when it is dropped or replaced.
#[derive(Clone)]
#[repr(align(64))]
pub(super) struct MacKeys {
    pub(super) c2s: MacKey,
    pub(super) s2c: MacKey,
}

#[derive(Clone, Copy)]
struct Name {
    locator: Locator,
    path: u32,
}

impl Name {
    const fn path(self) -> u32 {
        self.path & !ENDS
    }
}

/// All keys and paths. A place names a key, a path place a path, until they are gone.
#[derive(Default)]
pub(super) struct Roster {
    index: PlaceIndex,
    names: Vec<Name>,
    mac_keys: Vec<MacKeys>,
    move_keys: Vec<[u8; 32]>,
    ends: HashMap<u32, Moment>,
    vacant_keys: Vec<u32>,
    paths: Vec<path::Packed>,
    vacant_paths: Vec<u32>,
    /// The second path of those endpoints whose clients have one, by the first.
    second_of: HashMap<u32, u32>,
    /// Paths that do not pack now.
    unusual: HashMap<u32, Path>,
    sweep_at: usize,
    /// Row numbers that do not pack.
    large_ids: HashMap<u32, (AccountId, EndpointId)>,
}

/// The first path of an endpoint, and which of its two is meant: 0 or 1.
pub(super) type PathName = (u32, u8);

/// Keys taken over, or looked at, while beats wait: a millisecond or two.
pub(super) const PIECE: usize = 4_096;

/// A key that is valid now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    pub(super) key: u32,
    pub(super) path: u32,
}

impl Roster {
    pub(super) const fn len(&self) -> usize {
        self.index.len()
    }

    /// Reads what a search for `locator` will read first.
    pub(super) fn touch_index(&self, locator: Locator) -> u8 {
        self.index.touch(number(locator))
    }

    /// The key of this locator, also if its time is over.
    fn place_of(&self, locator: Locator) -> Option<u32> {
        self.index.find(number(locator), |place| self.name(place).is_some_and(|name| name.locator == locator))
    }

    /// The key, valid or not.
    pub(super) fn find(&self, locator: Locator) -> Option<Found> {
        let key = self.place_of(locator)?;
        self.name(key).map(|name| Found { key, path: name.path() })
    }

    /// Reads key and path, so that they are near when they are needed.
    pub(super) fn touch(&self, found: Found) -> u8 {
        let key = self.mac_keys(found.key).map_or(0, |keys| first(&keys.c2s));
        key ^ u8::from(self.paths.get(at(found.path)).is_some_and(|path| path.account == 0))
    }

    pub(super) fn is_valid(&self, key: u32, now: Moment) -> bool {
        self.name(key).is_some_and(|name| name.path & ENDS == 0) || self.end(key).is_some_and(|end| now < end)
    }

    pub(super) fn end(&self, key: u32) -> Option<Moment> {
        self.ends.get(&key).copied()
    }

    pub(super) fn mac_keys(&self, key: u32) -> Option<&MacKeys> {
        self.mac_keys.get(at(key))
    }

    pub(super) fn move_key(&self, key: u32) -> Option<&[u8; 32]> {
        self.move_keys.get(at(key))
    }

    /// Whose path it is.
    pub(super) fn ids(&self, path: u32) -> (AccountId, EndpointId) {
        if let Some(ids) = self.large_ids.get(&path).filter(|_| !self.large_ids.is_empty()) {
            return *ids;
        }
        let row = self.paths.get(at(path)).unwrap_or(&path::Packed::VACANT);
        (AccountId(i64::from(row.account)), EndpointId(i64::from(row.endpoint)))
    }

    /// Does something to a path.
    pub(super) fn with<T>(&mut self, place: u32, now: Moment, act: impl FnOnce(&mut Path) -> T) -> Option<T> {
        let row = self.paths.get(at(place))?;
        let before = if row.is_elsewhere() { self.unusual.remove(&place) } else { None };
        let was_unusual = before.is_some();
        let mut path = before.unwrap_or_else(|| row.load(|key| self.locator_at(key)));
        let result = act(&mut path);
        self.store(place, path);
        if !was_unusual && self.unusual.len() > self.sweep_at.max(SWEEP_FROM) {
            self.sweep(now);
        }
        Some(result)
    }

    /// Does something to one of the two paths of an endpoint; the second begins when it is first asked for. What was
    /// proven over one is stored for both.
    pub(super) fn with_path<T>(
        &mut self,
        (first, number): PathName,
        now: Moment,
        act: impl FnOnce(&mut Path) -> T,
    ) -> Option<T> {
        let (place, other) = if number == 0 {
            (first, if self.second_of.is_empty() { None } else { self.second_of.get(&first).copied() })
        } else {
            (self.second_path(first), Some(first))
        };
        let (result, proven) = self.with(place, now, |path| {
            let before = path.stored();
            let result = act(path);
            (result, (path.stored() != before).then(|| path.stored()))
        })?;
        if let (Some(other), Some(stored)) = (other, proven) {
            self.with(other, now, |path| path.set_stored(stored));
        }
        Some(result)
    }

    /// Where the client was heard a moment ago over one of its paths.
    pub(super) fn heard_from(&self, (first, number): PathName, now: Moment) -> Option<IpAddr> {
        let place = if number == 0 { first } else { *self.second_of.get(&first)? };
        let row = self.paths.get(at(place))?;
        match self.unusual(place) {
            Some(path) => path.heard_from(now),
            None => row.load(|key| self.locator_at(key)).heard_from(now),
        }
    }

    /// When a path has something to do.
    pub(super) fn poll_timeout(&self, (first, number): PathName) -> Option<Moment> {
        let place = if number == 0 { first } else { *self.second_of.get(&first)? };
        // A path that packs waits for nothing.
        self.unusual(place)?.poll_timeout()
    }

    /// The client said goodbye over this path: its other one is over as well.
    pub(super) fn end_other_path(&mut self, (first, number): PathName, now: Moment) {
        let other = if number == 0 { self.second_of.get(&first).copied() } else { Some(first) };
        if let Some(other) = other {
            self.with(other, now, |path| path.handle_goodbye_elsewhere(now));
        }
    }

    /// Whether a client of this endpoint has proven this address, over whichever path.
    pub(super) fn is_home(&self, first: u32, address: IpAddr) -> bool {
        let is_of = |place: u32| match self.unusual(place) {
            Some(path) => path.is_home(address),
            None => self.paths.get(at(place)).is_some_and(|row| row.is_home(address)),
        };
        is_of(first) || self.second_of.get(&first).is_some_and(|second| is_of(*second))
    }

    fn second_path(&mut self, first: u32) -> u32 {
        if let Some(second) = self.second_of.get(&first) {
            return *second;
        }
        let (account, endpoint) = self.ids(first);
        let first_row = self.paths.get(at(first)).copied().unwrap_or(path::Packed::VACANT);
        let stored = match self.unusual(first) {
            Some(path) => path.stored(),
            None => first_row.load(|key| self.locator_at(key)).stored(),
        };
        let place = self.put_path(account, endpoint, Path::new(stored));
        self.second_of.insert(first, place);
        place
    }

    /// What an unusual path says; the others wait for nothing.
    fn unusual(&self, path: u32) -> Option<&Path> {
        self.paths.get(at(path)).filter(|row| row.is_elsewhere()).and_then(|_| self.unusual.get(&path))
    }

    fn store(&mut self, place: u32, path: Path) {
        let Some(mut row) = self.paths.get(at(place)).copied() else { return };
        let before = row.key_in_use();
        let is_packed = row.store(&path, |locator| self.key_in_run(before, locator));
        if !is_packed {
            row.set_elsewhere();
            self.unusual.insert(place, path);
        }
        if let Some(kept) = self.paths.get_mut(at(place)) {
            *kept = row;
        }
    }

    /// The place of a run's key, which is most often the one it had before.
    fn key_in_run(&self, before: Option<u32>, locator: Locator) -> Option<u32> {
        let is_it = |key: &u32| self.name(*key).is_some_and(|name| name.locator == locator);
        before.filter(is_it).or_else(|| self.place_of(locator))
    }

    /// Packs what became usual by the passing of time.
    fn sweep(&mut self, now: Moment) {
        for (place, mut path) in std::mem::take(&mut self.unusual) {
            path.forget_old(now);
            self.store(place, path);
        }
        self.sweep_at = self.unusual.len() * 2;
    }

    fn name(&self, key: u32) -> Option<&Name> {
        self.names.get(at(key))
    }

    fn locator_at(&self, key: u32) -> Locator {
        self.name(key).map_or(Locator([0; 8]), |name| name.locator)
    }

    /// Sets when a key ends.
    fn set_end(&mut self, key: u32, end: Option<Moment>) {
        let Some(name) = self.names.get_mut(at(key)) else { return };
        name.path = name.path() | if end.is_some() { ENDS } else { 0 };
        match end {
            Some(end) => self.ends.insert(key, end),
            None => self.ends.remove(&key),
        };
    }

    /// Keys of this path that have an end get no more than `end`.
    pub(super) fn end_at_most(&mut self, path: u32, end: Moment) {
        for (key, kept) in &mut self.ends {
            if self.names.get(at(*key)).is_some_and(|name| name.path() == path) {
                *kept = (*kept).min(end);
            }
        }
    }

    /// Begins to put other keys in the place of those that are known, in pieces, so that beats are answered in between.
    pub(super) fn begin_replacement(&mut self, keys: usize) -> Replacement {
        self.make_room(keys);
        Replacement::new(self.names.len())
    }

    /// Reads whose the known keys are, [`PIECE`] at a time; false once all are read.
    pub(super) fn read_piece(&self, replacement: &mut Replacement) -> bool {
        let Some(piece) = self.names.get(replacement.read..) else { return false };
        let taken = piece.iter().take(PIECE).filter(|name| name.path() != NO_PATH);
        replacement.by_endpoint.extend(taken.map(|name| (self.ids(name.path()).1, name.path())));
        replacement.read += PIECE;
        replacement.read < self.names.len()
    }

    /// Takes over some keys.
    pub(super) fn put_piece(
        &mut self,
        replacement: &mut Replacement,
        keys: impl Iterator<Item = KeptKey>,
        (now, wall): (Moment, WallTime),
    ) {
        for key in keys {
            let opened = match key {
                KeptKey::Known(locator) => {
                    self.place_of(locator).into_iter().for_each(|key| replacement.keep(key));
                    continue;
                }
                KeptKey::Opened(opened) => opened,
            };
            let from_row = opened.expires_at.map(|at| now + (at - wall).to_std().unwrap_or(Duration::ZERO));
            let path = match replacement.by_endpoint.get(&opened.endpoint) {
                Some(path) => *path,
                None => self.add_path(&opened),
            };
            replacement.by_endpoint.insert(opened.endpoint, path);
            let known = self.place_of(opened.locator);
            let old_path = known.and_then(|key| self.name(key)).map(|name| name.path());
            replacement.left.extend(old_path.filter(|old| *old != path));
            let kept = known.filter(|_| old_path == Some(path));
            let end = match (from_row, kept.and_then(|key| self.end(key))) {
                (Some(row), Some(kept)) => Some(row.min(kept)),
                (row, _) => row,
            };
            let key = self.put_key(known, opened, path);
            self.set_end(key, end);
            replacement.keep(key);
        }
    }

    /// Drops what is not among the new keys.
    pub(super) fn end_replacement(&mut self, replacement: Replacement) {
        let mut left = replacement.left;
        left.extend(self.drop_keys_except(&replacement.is_kept));
        if !left.is_empty() {
            self.drop_paths_without_keys(&left);
            self.close_runs_without_keys(&left);
        }
    }

    fn taken_keys(&self) -> impl Iterator<Item = (u32, Name)> + '_ {
        (0u32..).zip(self.names.iter().copied()).filter(|(_, name)| name.path() != NO_PATH)
    }

    /// Room for so many in all; when more come by and by not for each one anew.
    fn make_room(&mut self, keys: usize) {
        let is_first = self.names.is_empty();
        if is_first || keys > self.mac_keys.capacity() {
            self.reserve(if is_first { keys } else { keys + keys / 16 + 8 });
        }
    }

    /// Makes room for so many in all. Lists of keys are copied and wiped, never moved and left behind.
    fn reserve(&mut self, keys: usize) {
        if keys > self.mac_keys.capacity() {
            let mut larger = Vec::with_capacity(keys);
            larger.extend(self.mac_keys.iter().cloned());
            self.mac_keys = larger;
            self.names.reserve_exact(keys.saturating_sub(self.names.len()));
            self.move_keys.reserve_exact(keys.saturating_sub(self.move_keys.len()));
            self.paths.reserve_exact(keys.saturating_sub(self.paths.len()));
        }
        let names = &self.names;
        let locator_at = |key: u32| names.get(at(key)).map_or(0, |name| number(name.locator));
        self.index.reserve(keys, locator_at);
    }

    fn add_path(&mut self, opened: &OpenedBeatKey) -> u32 {
        let stored = opened.stored_addresses.iter().copied().collect();
        self.put_path(opened.account, opened.endpoint, Path::new(stored))
    }

    fn put_path(&mut self, account: AccountId, endpoint: EndpointId, path: Path) -> u32 {
        let place = self.vacant_paths.pop().unwrap_or_else(|| {
            self.paths.push(path::Packed::VACANT);
            u32::try_from(self.paths.len() - 1).unwrap_or(NO_PATH)
        });
        let ids = (u32::try_from(account.0), u32::try_from(endpoint.0));
        let mut row = path::Packed::VACANT;
        if let (Ok(account), Ok(endpoint)) = ids {
            (row.account, row.endpoint) = (account, endpoint);
        } else {
            self.large_ids.insert(place, (account, endpoint));
        }
        if let Some(kept) = self.paths.get_mut(at(place)) {
            *kept = row;
        }
        self.store(place, path);
        place
    }

    /// Writes a key over the one at `known`, or at a new place; which one.
    fn put_key(&mut self, known: Option<u32>, opened: OpenedBeatKey, path: u32) -> u32 {
        let name = Name { locator: opened.locator, path };
        let mac_keys = MacKeys { c2s: opened.c2s, s2c: opened.s2c };
        let key = known.or_else(|| self.vacant_keys.pop()).unwrap_or_else(|| {
            if self.mac_keys.len() == self.mac_keys.capacity() {
                self.reserve(self.mac_keys.len() * 3 / 2 + 8);
            }
            self.names.push(name);
            self.mac_keys.push(mac_keys.clone());
            self.move_keys.push([0; 32]);
            u32::try_from(self.names.len() - 1).unwrap_or(NO_PATH)
        });
        let lists = (self.names.get_mut(at(key)), self.mac_keys.get_mut(at(key)), self.move_keys.get_mut(at(key)));
        if let (Some(kept), Some(kept_keys), Some(move_key)) = lists {
            (*kept, *kept_keys, *move_key) = (name, mac_keys, opened.move_key);
        }
        if known.is_none() {
            let names = &self.names;
            let locator_at = |key: u32| names.get(at(key)).map_or(0, |name| number(name.locator));
            self.index.insert(number(name.locator), key, locator_at);
        }
        key
    }

    /// The paths that lost a key by it.
    fn drop_keys_except(&mut self, is_kept: &[bool]) -> Vec<u32> {
        let gone: Vec<(u32, Name)> =
            self.taken_keys().filter(|(key, _)| !is_kept.get(at(*key)).copied().unwrap_or(false)).collect();
        let left = gone.iter().map(|(_, name)| name.path()).collect();
        for (key, name) in gone {
            let names = &self.names;
            let locator_at = |key: u32| names.get(at(key)).map_or(0, |name| number(name.locator));
            self.index.remove(number(name.locator), |place| place == key, locator_at);
            self.ends.remove(&key);
            let lists = (self.names.get_mut(at(key)), self.mac_keys.get_mut(at(key)));
            if let (Some(name), Some(mac_keys)) = lists {
                *name = Name { locator: Locator([0; 8]), path: NO_PATH };
                *mac_keys = MacKeys { c2s: MacKey::new([0; 32]), s2c: MacKey::new([0; 32]) };
            }
            self.vacant_keys.push(key);
        }
        left
    }

    /// Of the paths that lost a key, and their second ones, those without any go.
    fn drop_paths_without_keys(&mut self, left: &HashSet<u32>) {
        let mut gone = left.clone();
        self.taken_keys().for_each(|(_, name)| {
            gone.remove(&name.path());
        });
        let gone: std::collections::BTreeSet<u32> = gone.into_iter().collect();
        let seconds: Vec<u32> = gone.iter().filter_map(|first| self.second_of.remove(first)).collect();
        for place in gone.into_iter().chain(seconds) {
            if let Some(row) = self.paths.get_mut(at(place)) {
                *row = path::Packed::VACANT;
            }
            self.unusual.remove(&place);
            self.large_ids.remove(&place);
            self.vacant_paths.push(place);
        }
    }

    /// A run under a key that is gone is over.
    fn close_runs_without_keys(&mut self, left: &HashSet<u32>) {
        let owners: std::collections::BTreeSet<u32> = left.iter().copied().collect();
        for owner in owners {
            for place in std::iter::once(owner).chain(self.second_of.get(&owner).copied()) {
                let has_key = |key: u32| self.names.get(at(key)).is_some_and(|name| name.path() == owner);
                if let Some(row) = self.paths.get_mut(at(place))
                    && row.key_in_use().is_some_and(|key| !has_key(key))
                {
                    row.close();
                }
                if let Some(mut path) = self.unusual.remove(&place) {
                    path.close_unless(|locator| self.find(locator).is_some_and(|found| found.path == owner));
                    self.store(place, path);
                }
            }
        }
    }
}

fn number(locator: Locator) -> u64 {
    u64::from_le_bytes(locator.0)
}

fn first(key: &MacKey) -> u8 {
    let [first, ..] = key.as_octets();
    *first
}

fn at(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_millis(3_600_000);

    fn key(locator: u64, endpoint: i64, stored: &[&str]) -> OpenedBeatKey {
        let octets = |salt: u8| MacKey::new([u8::try_from(locator % 251).unwrap() ^ salt; 32]);
        OpenedBeatKey {
            locator: Locator(locator.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes()),
            account: AccountId(endpoint + 1),
            endpoint: EndpointId(endpoint),
            c2s: octets(0),
            s2c: octets(1),
            move_key: [9; 32],
            expires_at: None,
            stored_addresses: stored.iter().map(|text| text.parse::<IpAddr>().unwrap()).collect(),
        }
    }

    fn replace(roster: &mut Roster, keys: &[OpenedBeatKey]) {
        let mut replacement = roster.begin_replacement(keys.len());
        while roster.read_piece(&mut replacement) {}
        for piece in keys.chunks(PIECE) {
            roster.put_piece(&mut replacement, piece.iter().cloned().map(KeptKey::Opened), (NOW, WallTime::UNIX_EPOCH));
        }
        roster.end_replacement(replacement);
    }

    fn holds(roster: &Roster, key: &OpenedBeatKey) -> bool {
        roster.find(key.locator).is_some_and(|found| {
            let keys = roster.mac_keys(found.key).unwrap();
            keys.c2s == key.c2s
                && keys.s2c == key.s2c
                && roster.ids(found.path) == (key.account, key.endpoint)
                && roster.is_valid(found.key, NOW)
        })
    }

    #[test]
    fn keys_are_found_as_long_as_they_are_among_those_given_and_places_are_used_again() {
        let all: Vec<OpenedBeatKey> =
            (0..3_000).map(|number| key(number, i64::try_from(number).unwrap(), &[])).collect();
        let mut roster = Roster::default();
        for chosen in [&all[..2_000], &all[1_000..], &all[..10], &all[5..2_500]] {
            replace(&mut roster, chosen);
            assert_eq!(roster.len(), chosen.len());
            for key in &all {
                assert_eq!(holds(&roster, key), chosen.contains(key), "{}", key.endpoint);
            }
        }
        assert!(roster.names.len() <= 4_000 && roster.paths.len() <= 4_000);
    }

    #[test]
    fn a_key_that_is_known_stays_without_being_opened_and_what_is_not_named_goes() {
        let mut all: Vec<OpenedBeatKey> = (0..10).map(|number| key(number, 1, &[])).collect();
        all[3].expires_at = Some(WallTime::UNIX_EPOCH + Duration::from_secs(60));
        let mut roster = Roster::default();
        replace(&mut roster, &all[..8]);
        let mut replacement = roster.begin_replacement(7);
        while roster.read_piece(&mut replacement) {}
        let known = all[2..6].iter().chain(&all[9..]).map(|key| KeptKey::Known(key.locator));
        let kept = known.chain([KeptKey::Opened(all[8].clone())]);
        roster.put_piece(&mut replacement, kept, (NOW, WallTime::UNIX_EPOCH));
        roster.end_replacement(replacement);
        for (number, key) in all.iter().enumerate() {
            assert_eq!(holds(&roster, key), (2..6).contains(&number) || number == 8, "{number}");
        }
        let ended = roster.find(all[3].locator).unwrap();
        assert!(!roster.is_valid(ended.key, NOW + Duration::from_secs(60)), "its end stays as well");
    }

    #[test]
    fn large_row_numbers_are_kept_and_two_keys_of_an_endpoint_share_its_path() {
        let large = i64::from(u32::MAX) + 5;
        let keys = [key(1, large, &["192.0.2.1", "2001:db8::1"]), key(2, large, &[]), key(3, 3, &[])];
        let mut roster = Roster::default();
        replace(&mut roster, &keys);
        assert!(keys.iter().all(|key| holds(&roster, key)));
        let path = |key: &OpenedBeatKey| roster.find(key.locator).unwrap().path;
        assert_eq!(path(&keys[0]), path(&keys[1]));
        assert_ne!(path(&keys[0]), path(&keys[2]));
    }

    #[test]
    fn a_key_with_an_end_is_valid_until_then_and_never_longer_than_before() {
        let mut rotated = key(1, 1, &[]);
        rotated.expires_at = Some(WallTime::UNIX_EPOCH + Duration::from_secs(60));
        let current = key(2, 1, &[]);
        let mut roster = Roster::default();
        for _ in 0..2 {
            replace(&mut roster, &[rotated.clone(), current.clone()]);
            let found = roster.find(rotated.locator).unwrap();
            roster.end_at_most(found.path, NOW + Duration::from_secs(30));
            assert!(roster.is_valid(found.key, NOW + Duration::from_secs(29)));
            assert!(!roster.is_valid(found.key, NOW + Duration::from_secs(30)));
            let current = roster.find(current.locator).unwrap();
            assert!(roster.is_valid(current.key, NOW + Duration::from_secs(1_000_000)));
        }
    }
}
