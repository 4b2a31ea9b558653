//! All dynamic names, found by name and by mail server, small enough for a million of them.

use std::collections::HashMap;
use std::hash::BuildHasher;

use super::front::{Front, FrontMachine};
use super::owner::{Owner, suffixes};
use crate::base::{AccountId, EndpointId, PlaceIndex};

/// Stands for no zone of ours.
pub const NO_ZONE: u32 = u32::MAX;

/// What kind of dynamic name it is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// It follows a mail server and is its mail domain.
    Server(FrontMachine),
    /// A further name of an account, such as one for web mail: where updates put it, while its server is there.
    Further {
        /// As set by updates.
        set: Front,
        /// Its mail server's line is up.
        is_up: bool,
    },
}

/// One dynamic name.
#[derive(Clone, Debug)]
pub struct Row {
    /// The name.
    pub owner: Owner,
    /// Whose mail server it is, or whose name hangs on it.
    pub endpoint: EndpointId,
    /// Whose.
    pub account: AccountId,
    /// Place of the zone that it lies in, or [`NO_ZONE`].
    pub zone: u32,
    /// We are its second MX.
    pub has_backup: bool,
    /// See [`Kind`].
    pub kind: Kind,
}

impl Row {
    /// Whether it is a further name of an account.
    #[must_use]
    pub const fn is_further(&self) -> bool {
        matches!(self.kind, Kind::Further { .. })
    }

    /// What it answers.
    #[must_use]
    pub const fn front(&self) -> Front {
        match &self.kind {
            Kind::Server(machine) => machine.front(),
            Kind::Further { set, is_up: true } => *set,
            Kind::Further { .. } => Front::PARKED,
        }
    }
}

/// See the file.
#[derive(Default)]
pub struct Names {
    rows: Vec<Option<Row>>,
    vacant: Vec<u32>,
    by_name: PlaceIndex,
    by_endpoint: PlaceIndex,
    further: HashMap<EndpointId, Vec<u32>>,
    /// Names that exist only because dynamic names lie below them, with how many do.
    above: HashMap<Owner, u32>,
    hasher: std::hash::RandomState,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Names").field("rows", &self.by_name.len()).finish_non_exhaustive()
    }
}

impl Names {
    /// Makes room for so many names.
    pub fn reserve(&mut self, names: usize) {
        self.rows.reserve(names);
        self.change_indices(|names_, by_name, by_endpoint| {
            by_name.reserve(names, |place| names_.hash_at(place));
            by_endpoint.reserve(names, |place| names_.endpoint_at(place));
        });
    }

    /// How many.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The row of a name.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&Row> {
        self.row(self.place_of(name)?)
    }

    /// The place of a name.
    #[must_use]
    pub fn place_of(&self, name: &[u8]) -> Option<u32> {
        let is_it = |place| self.row(place).is_some_and(|row| row.owner.octets() == name);
        self.by_name.find(self.hash(name), is_it)
    }

    /// The place of the name that follows a mail server.
    #[must_use]
    pub fn place_of_server(&self, endpoint: EndpointId) -> Option<u32> {
        let is_it = |place| self.row(place).is_some_and(|row| row.endpoint == endpoint);
        self.by_endpoint.find(endpoint.0.cast_unsigned(), is_it)
    }

    /// Places of the further names of a mail server.
    #[must_use]
    pub fn places_of_further(&self, endpoint: EndpointId) -> &[u32] {
        self.further.get(&endpoint).map_or(&[], Vec::as_slice)
    }

    /// The row at a place.
    #[must_use]
    pub fn row(&self, place: u32) -> Option<&Row> {
        self.rows.get(usize::try_from(place).ok()?)?.as_ref()
    }

    /// The row at a place, to be changed; not its name.
    pub fn row_mut(&mut self, place: u32) -> Option<&mut Row> {
        self.rows.get_mut(usize::try_from(place).ok()?)?.as_mut()
    }

    /// Every row with its place.
    pub fn rows(&self) -> impl Iterator<Item = (u32, &Row)> {
        (0u32..).zip(&self.rows).filter_map(|(place, row)| row.as_ref().map(|row| (place, row)))
    }

    /// Whether a name exists because dynamic names lie below it.
    #[must_use]
    pub fn is_above(&self, name: &[u8]) -> bool {
        self.above.contains_key(name)
    }

    /// Puts in a name that is not there yet; `apex` is that of its zone. Its place.
    pub fn insert(&mut self, row: Row, apex: Option<&Owner>) -> u32 {
        let (owner, endpoint) = (row.owner.clone(), row.endpoint);
        let is_server = matches!(row.kind, Kind::Server(_));
        let place = match self.vacant.pop() {
            Some(place) => place,
            None => {
                self.rows.push(None);
                u32::try_from(self.rows.len() - 1).unwrap_or(NO_ZONE)
            }
        };
        if let Some(seat) = usize::try_from(place).ok().and_then(|at| self.rows.get_mut(at)) {
            *seat = Some(row);
        }
        let hash = self.hash(owner.octets());
        self.change_indices(|names, by_name, by_endpoint| {
            by_name.insert(hash, place, |place| names.hash_at(place));
            if is_server {
                by_endpoint.insert(endpoint.0.cast_unsigned(), place, |place| names.endpoint_at(place));
            }
        });
        if !is_server {
            self.further.entry(endpoint).or_default().push(place);
        }
        self.count_above(&owner, apex, true);
        place
    }

    /// Takes a name out.
    pub fn remove(&mut self, place: u32, apex: Option<&Owner>) -> Option<Row> {
        let row = self.row(place)?;
        let (owner, endpoint, is_server) = (row.owner.clone(), row.endpoint, matches!(row.kind, Kind::Server(_)));
        let hash = self.hash(owner.octets());
        self.change_indices(|names, by_name, by_endpoint| {
            by_name.remove(hash, |other| other == place, |place| names.hash_at(place));
            if is_server {
                let key = endpoint.0.cast_unsigned();
                by_endpoint.remove(key, |other| other == place, |place| names.endpoint_at(place));
            }
        });
        if let Some(places) = self.further.get_mut(&endpoint) {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.further.remove(&endpoint);
            }
        }
        self.count_above(&owner, apex, false);
        let gone = self.rows.get_mut(usize::try_from(place).ok()?)?.take();
        self.vacant.push(place);
        gone
    }

    /// Zones have changed: `zone_of` says which one a name lies in now, with its apex.
    pub fn assign_zones(&mut self, zone_of: impl Fn(&[u8]) -> Option<(u32, Owner)>) {
        self.above.clear();
        let places: Vec<u32> = self.rows().map(|(place, _)| place).collect();
        for place in places {
            let Some(row) = self.row_mut(place) else { continue };
            let owner = row.owner.clone();
            let zone = zone_of(owner.octets());
            row.zone = zone.as_ref().map_or(NO_ZONE, |(zone, _)| *zone);
            self.count_above(&owner, zone.as_ref().map(|(_, apex)| apex), true);
        }
    }

    fn count_above(&mut self, owner: &Owner, apex: Option<&Owner>, is_new: bool) {
        let Some(apex) = apex else { return };
        for above in suffixes(owner.octets()).skip(1).take_while(|above| *above != apex.octets()) {
            if is_new {
                match self.above.get_mut(above) {
                    Some(count) => *count += 1,
                    None => drop(self.above.insert(Owner::of_octets(above), 1)),
                }
            } else if let Some(count) = self.above.get_mut(above) {
                *count -= 1;
                if *count == 0 {
                    self.above.remove(above);
                }
            }
        }
    }

    fn hash(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name)
    }

    fn hash_at(&self, place: u32) -> u64 {
        self.row(place).map_or(0, |row| self.hash(row.owner.octets()))
    }

    fn endpoint_at(&self, place: u32) -> u64 {
        self.row(place).map_or(0, |row| row.endpoint.0.cast_unsigned())
    }

    fn change_indices(&mut self, change: impl FnOnce(&Self, &mut PlaceIndex, &mut PlaceIndex)) {
        let (mut by_name, mut by_endpoint) = (std::mem::take(&mut self.by_name), std::mem::take(&mut self.by_endpoint));
        change(self, &mut by_name, &mut by_endpoint);
        (self.by_name, self.by_endpoint) = (by_name, by_endpoint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DomainName;

    fn owner(text: &str) -> Owner {
        Owner::of_domain(&DomainName::parse(text).unwrap())
    }

    fn row(text: &str, endpoint: i64) -> Row {
        Row {
            owner: owner(text),
            endpoint: EndpointId(endpoint),
            account: AccountId(1),
            zone: 0,
            has_backup: true,
            kind: Kind::Server(FrontMachine::new()),
        }
    }

    #[test]
    fn names_come_and_go_and_names_above_them_with_them() {
        let apex = owner("dyn.example");
        let mut names = Names::default();
        for n in 0..500 {
            names.insert(row(&format!("h{n}.dyn.example"), n), Some(&apex));
        }
        let deep = names.insert(row("a.b.c.dyn.example", 900), Some(&apex));
        assert!(names.is_above(owner("b.c.dyn.example").octets()) && names.is_above(owner("c.dyn.example").octets()));
        assert!(!names.is_above(apex.octets()));
        assert_eq!(names.remove(deep, Some(&apex)).unwrap().endpoint, EndpointId(900));
        assert!(!names.is_above(owner("c.dyn.example").octets()));
        for n in 0..250 {
            let place = names.place_of_server(EndpointId(n)).unwrap();
            names.remove(place, Some(&apex));
        }
        for n in 0..500 {
            let found = names.find(owner(&format!("h{n}.dyn.example")).octets());
            assert_eq!(found.is_some(), n >= 250, "{n}");
            assert_eq!(names.place_of_server(EndpointId(n)).is_some(), n >= 250, "{n}");
        }
        assert_eq!(names.len(), 250);
    }
}
