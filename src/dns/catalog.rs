//! All zones and dynamic names: which of them a question is about, and what events change.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_proto::rr::rdata::{HINFO, MX};
use hickory_proto::rr::{RData, RecordType};

use super::answer::OWN_PREFERENCE;
use super::challenge::Challenges;
use super::front::{Front, FrontMachine, NameEvent};
use super::names::{Kind, NO_ZONE, Names, Row};
use super::owner::{Owner, suffixes};
use super::records::{RecordError, RecordSet, address_data};
use super::settings::{Settings, v4_of, v6_of};
use super::sign::ZoneKeys;
use super::sign::answer::Signing;
use super::transfer::Snapshot;
use super::zone::{Found, Node, Zone, ZoneRecord, is_serial_newer, next_serial};
use crate::base::{AccountId, EndpointId, Moment, WallTime};
use crate::delivery::target::{TargetRules, check_target};

/// Preference of our own name in the MX set of a dynamic name; the name itself has 10.
const BACKUP_PREFERENCE: u16 = 20;

/// Numbers of types (RFC 1035 §3.2.2, RFC 3596 §2.1).
const A: u16 = 1;
const MX_NUMBER: u16 = 15;
const AAAA: u16 = 28;
const DS_NUMBER: u16 = 43;

/// What a question for everything is answered with (RFC 8482 §4.2).
const ANY_WORD: &str = concat!("RFC", "8482");

/// What the answers of all dynamic names have in common.
#[derive(Clone, Debug)]
pub struct Shared {
    /// TTL, s.
    pub ttl: u32,
    /// A records of a parked name.
    pub parked_v4: RecordSet,
    /// AAAA records of a parked name.
    pub parked_v6: RecordSet,
    /// The second MX.
    pub backup_mx: RecordSet,
    /// The answer to a question for everything (RFC 8482 §4.2).
    pub any: RecordSet,
}

/// What stands at a name.
#[derive(Debug)]
pub enum Place<'a> {
    /// In no zone of ours.
    Elsewhere,
    /// A dynamic name, perhaps with records of its own.
    Dynamic(&'a Zone, &'a Row, Option<&'a Node>),
    /// Records.
    Node(&'a Zone, &'a Node),
    /// Records of ACME clients, perhaps none now.
    Challenge(&'a Zone, &'a RecordSet),
    /// Others serve it from here on.
    Cut(&'a Owner, &'a Node),
    /// It only has names below it.
    Between(&'a Zone),
    /// There is no such name.
    Nothing(&'a Zone),
}

/// See the file. Changed only by the driver, under a lock.
#[derive(Debug)]
pub struct Catalog {
    settings: Settings,
    shared: Shared,
    zones: Vec<Option<Zone>>,
    by_apex: HashMap<Owner, u32>,
    names: Names,
    challenges: Challenges,
    /// Zones that were put in since the start.
    versions: u64,
    signing: Signing,
}

impl Catalog {
    /// The service's own zone without any name in it.
    ///
    /// # Errors
    /// [`RecordError`] for settings that have no wire form.
    pub fn new(settings: Settings, now: WallTime) -> Result<Self, RecordError> {
        let ttl = settings.ttl_s();
        let offline = settings.offline_addresses();
        let backup = RData::MX(MX::new(BACKUP_PREFERENCE, Owner::of_domain(&settings.backup_mx).to_name()));
        let any = RData::HINFO(HINFO::new(ANY_WORD.to_owned(), String::new()));
        let shared = Shared {
            ttl,
            parked_v4: RecordSet::of_addresses(ttl, v4_of(offline).map(IpAddr::V4)),
            parked_v6: RecordSet::of_addresses(ttl, v6_of(offline).map(IpAddr::V6)),
            backup_mx: RecordSet::new(ttl, [&backup])?,
            any: RecordSet::new(ttl, [&any])?,
        };
        let zone = Zone::service(&settings, next_serial(0, now.timestamp()))?;
        let challenges = Challenges::new(&settings.zone);
        let (zones, by_apex, names) = (Vec::new(), HashMap::new(), Names::default());
        let signing = Signing::default();
        let mut catalog = Self { settings, shared, zones, by_apex, names, challenges, signing, versions: 0 };
        catalog.set_zone(zone);
        Ok(catalog)
    }

    /// See [`Shared`].
    #[must_use]
    pub const fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What the operator settled.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The dynamic names.
    #[must_use]
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Makes room for so many names.
    pub fn reserve(&mut self, names: usize) {
        self.names.reserve(names);
    }

    /// A zone by its apex.
    #[must_use]
    pub fn zone(&self, apex: &Owner) -> Option<&Zone> {
        self.zone_at(*self.by_apex.get(apex)?)
    }

    /// Puts in a zone, or puts a newer one in its place.
    pub fn set_zone(&mut self, mut zone: Zone) {
        self.versions += 1;
        zone.set_version(self.versions);
        let apex = zone.apex().clone();
        put_keys(&mut zone, self.signing.keys(&apex).map(|keys| &**keys));
        if let Some(place) = self.by_apex.get(&apex).copied() {
            if let Some(seat) = self.zones.get_mut(at(place)) {
                *seat = Some(zone);
            }
            return;
        }
        let place = u32::try_from(self.zones.len()).unwrap_or(NO_ZONE);
        self.zones.push(Some(zone));
        self.by_apex.insert(apex, place);
        self.assign_zones();
    }

    /// Takes out a zone. The service's own one stays.
    pub fn remove_zone(&mut self, apex: &Owner) {
        if *apex == Owner::of_domain(&self.settings.zone) {
            return;
        }
        let Some(place) = self.by_apex.remove(apex) else { return };
        self.signing.set(apex, None);
        if let Some(seat) = self.zones.get_mut(at(place)) {
            *seat = None;
        }
        self.assign_zones();
    }

    /// Customers' zones whose account is not among those that `is_there` knows.
    pub fn orphans(&self, is_there: impl Fn(AccountId) -> bool) -> Vec<Owner> {
        let customers = self.zones.iter().flatten().filter_map(|zone| Some((zone, zone.account()?)));
        customers.filter(|(_, account)| !is_there(*account)).map(|(zone, _)| zone.apex().clone()).collect()
    }

    fn assign_zones(&mut self) {
        let mut names = std::mem::take(&mut self.names);
        names.assign_zones(|name| {
            let (place, zone) = self.zone_of(name)?;
            Some((place, zone.apex().clone()))
        });
        self.names = names;
    }

    /// The zone that a name lies in: the one with the longest apex.
    fn zone_of(&self, name: &[u8]) -> Option<(u32, &Zone)> {
        let place = suffixes(name).find_map(|suffix| self.by_apex.get(suffix)).copied()?;
        Some((place, self.zone_at(place)?))
    }

    /// The apex of the zone that a name lies in.
    #[must_use]
    pub fn zone_above(&self, name: &Owner) -> Option<&Owner> {
        self.zone_of(name.octets()).map(|(_, zone)| zone.apex())
    }

    fn zone_at(&self, place: u32) -> Option<&Zone> {
        self.zones.get(at(place))?.as_ref()
    }

    /// What stands at a name, which is in wire form and lower case.
    #[must_use]
    pub fn look_up(&self, name: &[u8]) -> Place<'_> {
        if let Some(row) = self.names.find(name)
            && let Some(zone) = self.zone_at(row.zone)
        {
            return Place::Dynamic(zone, row, zone.node(name));
        }
        let Some((_, zone)) = self.zone_of(name) else { return Place::Elsewhere };
        if let Some(place) = self.challenge(zone, name) {
            return place;
        }
        let is_dynamic = |above: &[u8]| self.names.place_of(above).is_some() || self.names.is_above(above);
        match zone.find(name, is_dynamic) {
            Found::Node(node) if node.is_empty() && name != zone.apex().octets() => Place::Between(zone),
            Found::Node(node) => Place::Node(zone, node),
            Found::Cut(owner, node) => Place::Cut(owner, node),
            Found::Wildcard(_) | Found::Nothing if self.names.is_above(name) => Place::Between(zone),
            Found::Wildcard(node) => Place::Node(zone, node),
            Found::Nothing => Place::Nothing(zone),
        }
    }

    /// What ACME clients have to do with a name, if anything. What stands in the zone there counts while they put nothing.
    fn challenge<'a>(&'a self, zone: &'a Zone, name: &[u8]) -> Option<Place<'a>> {
        let is_other = || zone.node(name).is_some_and(|node| !node.is_empty());
        match self.challenges.find(name) {
            Some(set) if !set.is_empty() || !is_other() => Some(Place::Challenge(zone, set)),
            Some(_) => None,
            None if self.challenges.is_above(name) && !is_other() => Some(Place::Between(zone)),
            None => None,
        }
    }

    /// Who signs what.
    #[must_use]
    pub const fn signing(&self) -> &Signing {
        &self.signing
    }

    /// Signs a zone with these keys from now on; without any no more.
    pub fn set_keys(&mut self, apex: &Owner, keys: Option<Arc<ZoneKeys>>) {
        let place = self.by_apex.get(apex).copied();
        if let Some(Some(zone)) = place.and_then(|place| self.zones.get_mut(at(place))) {
            put_keys(zone, keys.as_deref());
            zone.mark_changed();
            self.signing.set(apex, keys);
        }
    }

    /// What a zone of ours says of the keys of one below it (RFC 4034 §5); absent where it says nothing.
    #[must_use]
    pub fn delegation(&self, cut: &Owner) -> Option<Vec<RData>> {
        let above = suffixes(cut.octets()).nth(1)?;
        let set = self.zone_of(above)?.1.node(cut.octets())?.set(DS_NUMBER)?;
        let read = |record| ZoneRecord::read(cut, RecordType::DS, record).map(|record| record.data);
        Some(set.records().filter_map(read).collect())
    }

    /// The zone above a name that is a zone's own, if that is ours too: it speaks for the name's DS records.
    #[must_use]
    pub fn zone_over(&self, apex: &[u8]) -> Option<&Zone> {
        self.by_apex.get(apex)?;
        self.zone_of(suffixes(apex).nth(1)?).map(|(_, zone)| zone)
    }

    /// Numbers of the types that a dynamic name has now, those of DNSSEC and SOA aside.
    #[must_use]
    pub fn dynamic_types(&self, row: &Row, node: Option<&Node>) -> Vec<u16> {
        let addresses = self.addresses_of(row);
        let shown = addresses.iter().filter(|(_, set)| !set.is_empty()).map(|(kind, _)| u16::from(*kind));
        let standing = node.into_iter().flat_map(Node::sets).map(|(kind, _)| kind);
        let own_mx = (!row.is_further()).then_some(MX_NUMBER);
        shown.chain(standing.filter(|kind| !matches!(*kind, A | AAAA))).chain(own_mx).collect()
    }

    /// Records of ACME clients.
    #[must_use]
    pub const fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    /// Changes the records of ACME clients at a name; `change` says whether the answers are others now.
    pub fn change_challenges(&mut self, owner: &Owner, change: impl FnOnce(&mut Challenges) -> bool) {
        if change(&mut self.challenges) {
            let zone = self.zone_of(owner.octets()).map_or(NO_ZONE, |(place, _)| place);
            self.touch_zone(zone);
        }
    }

    /// Records of ACME clients that are old go.
    pub fn expire_challenges(&mut self, now: WallTime) {
        for owner in self.challenges.expire(now) {
            self.change_challenges(&owner, |_| true);
        }
    }

    /// Addresses of a name server below a cut, which only we can tell (RFC 9471 §3.1).
    #[must_use]
    pub fn glue(&self, cut: &[u8], target: &[u8], record_type: u16) -> Option<&RecordSet> {
        let is_below = suffixes(target).any(|suffix| suffix == cut);
        let (_, zone) = self.zone_of(target).filter(|_| is_below)?;
        zone.node(target)?.set(record_type)
    }

    /// The names in a zone that follow something, as records with their addresses of this moment, by name.
    #[must_use]
    pub fn dynamic_in(&self, apex: &Owner) -> Vec<(Owner, Vec<ZoneRecord>)> {
        let Some(zone) = self.by_apex.get(apex) else { return Vec::new() };
        let ttl = self.shared.ttl;
        let offline = self.settings.offline_addresses();
        let mut all: Vec<(Owner, Vec<ZoneRecord>)> = Vec::new();
        for (_, row) in self.names.rows().filter(|(_, row)| row.zone == *zone) {
            let front = row.front();
            let shown: Vec<IpAddr> = if front.is_parked() && !row.is_further() {
                offline.to_vec()
            } else {
                front.v4.map(IpAddr::V4).into_iter().chain(front.v6.map(IpAddr::V6)).collect()
            };
            let record = |address: &IpAddr| ZoneRecord { owner: row.owner.clone(), ttl, data: address_data(*address) };
            all.push((row.owner.clone(), shown.iter().map(record).collect()));
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    /// What a dynamic name answers now beside what stands at it in its zone, and whose it is; absent if it is none.
    #[must_use]
    pub fn answered_at(&self, owner: &Owner) -> Option<(AccountId, Vec<ZoneRecord>)> {
        let row = self.names.find(owner.octets())?;
        let zone = self.zone_at(row.zone)?;
        let mut sets = self.addresses_of(row);
        if !row.is_further() && zone.node(owner.octets()).is_none_or(|node| node.set(MX_NUMBER).is_none()) {
            let own = RData::MX(MX::new(OWN_PREFERENCE, owner.to_name()));
            sets.push((RecordType::MX, RecordSet::new(self.shared.ttl, [&own]).unwrap_or_default()));
            sets.extend(row.has_backup.then(|| (RecordType::MX, self.shared.backup_mx.clone())));
        }
        let read = |(kind, set): &(RecordType, RecordSet)| -> Vec<ZoneRecord> {
            set.records().filter_map(|record| ZoneRecord::read(owner, *kind, record)).collect()
        };
        Some((row.account, sets.iter().flat_map(read).collect()))
    }

    /// The address records of a dynamic name.
    fn addresses_of(&self, row: &Row) -> Vec<(RecordType, RecordSet)> {
        let front = row.front();
        let (v4, v6) = if front.is_parked() && !row.is_further() {
            (self.shared.parked_v4.clone(), self.shared.parked_v6.clone())
        } else {
            let set = |address: Option<IpAddr>| RecordSet::of_addresses(self.shared.ttl, address);
            (set(front.v4.map(IpAddr::V4)), set(front.v6.map(IpAddr::V6)))
        };
        vec![(RecordType::A, v4), (RecordType::AAAA, v6)]
    }

    /// A zone as it is now, for a secondary; how many records it has if these are more than `records_max`. Absent if it is
    /// not served here.
    #[must_use]
    pub fn snapshot(&self, apex: &Owner, records_max: usize) -> Option<Result<Snapshot, usize>> {
        let place = *self.by_apex.get(apex)?;
        let zone = self.zone_at(place)?;
        let rows = || self.names.rows().map(|(_, row)| row).filter(|row| row.zone == place);
        let standing: usize =
            zone.nodes().flat_map(|(_, node)| node.sets()).map(|(_, set)| usize::from(set.count())).sum();
        let at_least = standing + rows().count();
        if at_least > records_max {
            return Some(Err(at_least));
        }
        let mut records = Vec::with_capacity(at_least);
        let mut push = |owner: &Owner, set: &RecordSet| {
            records.extend(set.records().map(|record| [owner.octets(), record].concat()));
        };
        for (owner, node) in zone.nodes() {
            let is_dynamic = self.names.place_of(owner.octets()).is_some();
            let sets = node.sets().filter(|(kind, _)| !(is_dynamic && matches!(*kind, A | AAAA)));
            sets.for_each(|(_, set)| push(owner, set));
        }
        for row in rows() {
            self.addresses_of(row).iter().for_each(|(_, set)| push(&row.owner, set));
            let has_own_mx = zone.node(row.owner.octets()).is_some_and(|node| node.set(MX_NUMBER).is_some());
            if !row.is_further() && !has_own_mx {
                let own = RData::MX(MX::new(OWN_PREFERENCE, row.owner.to_name()));
                push(&row.owner, &RecordSet::new(self.shared.ttl, [&own]).unwrap_or_default());
                if row.has_backup {
                    push(&row.owner, &self.shared.backup_mx);
                }
            }
        }
        // A secondary answers a certificate authority as well.
        let is_here = |owner: &Owner| self.zone_of(owner.octets()).is_some_and(|(of, _)| of == place);
        let challenges = self.challenges.sets().filter(|(owner, set)| !set.is_empty() && is_here(owner));
        challenges.for_each(|(owner, set)| push(owner, set));
        let soa = zone.soa().records().map(|record| [apex.octets(), record].concat()).next()?;
        Some(Ok(Snapshot { serial: zone.serial(), soa, records }))
    }

    /// Whether an address may be published: never one that is not public, and never our own mail server's.
    #[must_use]
    pub fn is_publishable(&self, address: IpAddr, smtp_port: u16) -> bool {
        let rules =
            TargetRules { allow_loopback: self.settings.allow_loopback, own_addresses: &self.settings.smtp_addresses };
        check_target(SocketAddr::new(address, smtp_port), rules).is_ok()
    }

    /// A mail server's name from now on. One that is there already keeps what it points at.
    pub fn add_server(
        &mut self,
        owner: Owner,
        (endpoint, account): Ids,
        has_backup: bool,
        machine: FrontMachine,
    ) -> u32 {
        if let Some(place) = self.names.place_of_server(endpoint) {
            return place;
        }
        self.add_row(Row { owner, endpoint, account, zone: NO_ZONE, has_backup, kind: Kind::Server(machine) })
    }

    /// A further name from now on, or what it is set to now.
    pub fn set_further(&mut self, owner: Owner, (endpoint, account): Ids, set: Front, is_up: bool) {
        match self.names.place_of(owner.octets()).and_then(|place| self.names.row_mut(place)) {
            Some(Row { kind: Kind::Further { set: known, .. }, zone, .. }) => {
                if *known != set {
                    *known = set;
                    let zone = *zone;
                    self.touch_zone(zone);
                }
            }
            Some(_) => {}
            None => {
                let kind = Kind::Further { set, is_up };
                self.add_row(Row { owner, endpoint, account, zone: NO_ZONE, has_backup: false, kind });
            }
        }
    }

    fn add_row(&mut self, mut row: Row) -> u32 {
        let zone = self.zone_of(row.owner.octets()).map(|(place, zone)| (place, zone.apex().clone()));
        row.zone = zone.as_ref().map_or(NO_ZONE, |(place, _)| *place);
        let place = self.names.insert(row, zone.as_ref().map(|(_, apex)| apex));
        self.touch(place);
        place
    }

    /// A name that answers no more.
    pub fn remove(&mut self, place: u32) {
        self.touch(place);
        let Some(row) = self.names.row(place) else { return };
        let apex = self.zone_at(row.zone).map(|zone| zone.apex().clone());
        self.names.remove(place, apex.as_ref());
    }

    /// Something happened to a mail server's line. Returns what its name points at if that is another than before,
    /// and when to look again.
    pub fn handle(&mut self, endpoint: EndpointId, event: NameEvent, now: Moment) -> Told {
        let Some(place) = self.names.place_of_server(endpoint) else { return Told::default() };
        self.change(place, |machine| machine.handle(event, now))
    }

    /// Time passed for the name at a place.
    pub fn handle_timeout(&mut self, place: u32, now: Moment) -> Told {
        self.change(place, |machine| machine.handle_timeout(now))
    }

    /// The line of a mail server is up or down: its further names are there, or not.
    pub fn set_further_up(&mut self, endpoint: EndpointId, is_up: bool) {
        for place in self.names.places_of_further(endpoint).to_vec() {
            if let Some(Row { kind: Kind::Further { is_up: known, .. }, .. }) = self.names.row_mut(place)
                && *known != is_up
            {
                *known = is_up;
                self.touch(place);
            }
        }
    }

    /// Whether we stand in the MX set of a mail server's name.
    pub fn set_backup(&mut self, endpoint: EndpointId, has_backup: bool) {
        let Some(place) = self.names.place_of_server(endpoint) else { return };
        if let Some(row) = self.names.row_mut(place).filter(|row| row.has_backup != has_backup) {
            row.has_backup = has_backup;
            self.touch(place);
        }
    }

    fn change(&mut self, place: u32, act: impl FnOnce(&mut FrontMachine)) -> Told {
        let Some(row) = self.names.row_mut(place) else { return Told::default() };
        let endpoint = row.endpoint;
        let Kind::Server(machine) = &mut row.kind else { return Told::default() };
        let before = machine.front();
        act(machine);
        let (after, again_at) = (machine.front(), machine.poll_timeout());
        if before != after {
            self.touch(place);
        }
        let changed = (before != after).then_some((endpoint, after));
        Told { changed, again_at: again_at.map(|at| (at, place)) }
    }

    /// The zone of a name has changed with it.
    fn touch(&mut self, place: u32) {
        let zone = self.names.row(place).map_or(NO_ZONE, |row| row.zone);
        self.touch_zone(zone);
    }

    fn touch_zone(&mut self, zone: u32) {
        if let Some(Some(zone)) = self.zones.get_mut(at(zone)) {
            zone.mark_changed();
        }
    }

    /// A zone that showed a later serial before a restart goes on from there.
    pub fn raise_serial(&mut self, apex: &Owner, serial: u32) {
        let place = self.by_apex.get(apex).map(|place| at(*place));
        if let Some(Some(zone)) = place.and_then(|place| self.zones.get_mut(place))
            && is_serial_newer(serial, zone.serial())
        {
            zone.set_serial(serial);
        }
    }

    /// New serials for the zones that have changed since the last call.
    pub fn settle_serials(&mut self, now: WallTime) {
        for zone in self.zones.iter_mut().flatten().filter(|zone| zone.is_changed()) {
            zone.set_serial(next_serial(zone.serial(), now.timestamp()));
        }
    }
}

/// A mail server and whose it is.
pub type Ids = (EndpointId, crate::base::AccountId);

/// What followed from an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// The name of this mail server points there now, and did not before.
    pub changed: Option<(EndpointId, Front)>,
    /// When to look at the name again, and its place.
    pub again_at: Option<(Moment, u32)>,
}

fn at(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

/// Puts the records that come with keys at the zone's own name, in place of those of other keys.
fn put_keys(zone: &mut Zone, keys: Option<&ZoneKeys>) {
    let sets = keys.map(ZoneKeys::sets).transpose();
    let sets = sets.unwrap_or_else(|error| {
        tracing::error!(zone = %zone.apex(), %error, "keys of a zone are not shown");
        None
    });
    zone.put_key_sets(sets.unwrap_or_default());
}
