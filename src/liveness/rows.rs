//! Keeps a million lines small: packed rows, one flat list of deadlines, whole machines only for lines that are unusual.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use super::damping::Damping;
use super::machine::{Apart, Epoch, Kept, Machine, Output, Packed, PackedPaths, Settings};
use crate::base::{AccountId, EndpointId, Moment, PlaceIndex, WallTime};

/// How far the clock may run from what packed times are counted from, before they are counted anew.
/// Deadlines fit for 24 days.
const EPOCH_AGE_MAX: Duration = Duration::from_secs(20 * 86_400);
/// How far before now an epoch begins: older times do not pack, which only lines that are offline have.
const EPOCH_BEFORE: Duration = Duration::from_secs(10 * 86_400);

/// Never due.
const NEVER: i32 = i32::MAX;
/// Deadlines that are looked at together.
const TOGETHER: usize = 64;
const NOBODY: u32 = u32::MAX;
/// Lines whose changes are forgotten in one scan, at most: a few milliseconds of work.
const CALMED_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Row {
    packed: Packed,
    /// The next endpoint of the same account.
    next: u32,
}

/// All lines. A place names one of them until it is removed.
#[derive(Debug)]
pub(super) struct Rows {
    settings: Settings,
    epoch: Epoch,
    rows: Vec<Row>,
    /// Of the row at the same place, ms after the epoch; apart, so that a scan reads one flat list.
    deadlines: Vec<i32>,
    vacant: Vec<u32>,
    v6: HashMap<u32, IpAddr>,
    paths: HashMap<u32, PackedPaths>,
    damped: HashMap<u32, Damping>,
    /// When which of them may be forgotten; the soonest first, but for later changes, which stand behind.
    calming: VecDeque<(Moment, u32)>,
    whole: HashMap<u32, Machine>,
    by_endpoint: PlaceIndex,
    /// The first endpoint of each account.
    by_account: PlaceIndex,
}

impl Rows {
    pub(super) fn with_capacity(settings: Settings, lines: usize, now: Moment, wall: WallTime) -> Self {
        let mut rows = Self {
            settings,
            epoch: Epoch { start: now - EPOCH_BEFORE, wall_ahead_ms: wall_ahead_ms(now, wall) },
            rows: Vec::with_capacity(lines),
            deadlines: Vec::with_capacity(lines),
            vacant: Vec::new(),
            v6: HashMap::new(),
            paths: HashMap::new(),
            damped: HashMap::new(),
            calming: VecDeque::new(),
            whole: HashMap::new(),
            by_endpoint: PlaceIndex::default(),
            by_account: PlaceIndex::default(),
        };
        rows.by_endpoint.reserve(lines, |_| 0);
        rows.by_account.reserve(lines, |_| 0);
        rows
    }

    pub(super) fn place_of(&self, endpoint: EndpointId) -> Option<u32> {
        self.by_endpoint.find(endpoint.0.cast_unsigned(), |place| self.ids(place).1 == endpoint)
    }

    /// The lines of an account, oldest first.
    pub(super) fn places_of(&self, account: AccountId) -> impl Iterator<Item = u32> + '_ {
        let first = self.by_account.find(account.0.cast_unsigned(), |place| self.ids(place).0 == account);
        std::iter::successors(first, |place| self.row(*place).map(|row| row.next).filter(|next| *next != NOBODY))
    }

    /// Every place that is taken.
    pub(super) fn all(&self) -> Vec<u32> {
        let taken = (0u32..).zip(&self.rows).filter(|(_, row)| row.packed.kept != Kept::Vacant);
        taken.map(|(place, _)| place).collect()
    }

    /// The places of lines that are unusual in some way, silence included.
    pub(super) fn unusual(&self) -> Vec<u32> {
        let mut places: Vec<u32> = self.whole.keys().copied().collect();
        places.sort_unstable();
        places
    }

    pub(super) fn ids(&self, place: u32) -> (AccountId, EndpointId) {
        match self.row(place) {
            Some(row) if row.packed.kept == Kept::Whole => {
                self.whole.get(&place).map_or((AccountId(0), EndpointId(0)), |line| {
                    let watched = line.watched();
                    (watched.account, watched.endpoint)
                })
            }
            Some(row) => (AccountId(i64::from(row.packed.account)), EndpointId(i64::from(row.packed.endpoint))),
            None => (AccountId(0), EndpointId(0)),
        }
    }

    pub(super) fn add(&mut self, machine: &Machine) {
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.rows.push(Row { packed: Packed::VACANT, next: NOBODY });
            self.deadlines.push(NEVER);
            u32::try_from(self.rows.len() - 1).unwrap_or(NOBODY)
        });
        let (account, endpoint) = (machine.watched().account, machine.watched().endpoint);
        let last = self.places_of(account).last();
        self.store(place, machine);
        if let Some(row) = self.rows.get_mut(at(place)) {
            row.next = NOBODY;
        }
        self.change_index(|rows, index, _| {
            index.insert(endpoint.0.cast_unsigned(), place, |place| rows.ids(place).1.0.cast_unsigned());
        });
        match last.and_then(|last| self.rows.get_mut(at(last))) {
            Some(row) => row.next = place,
            None => self.index_account(account, place),
        }
    }

    pub(super) fn remove(&mut self, place: u32) {
        let (account, endpoint) = self.ids(place);
        let next = self.row(place).map_or(NOBODY, |row| row.next);
        let before = self.places_of(account).find(|other| self.row(*other).is_some_and(|row| row.next == place));
        self.change_index(|rows, by_endpoint, by_account| {
            let key = |place| rows.ids(place).1.0.cast_unsigned();
            by_endpoint.remove(endpoint.0.cast_unsigned(), |other| other == place, key);
            if before.is_none() {
                let key = |place| rows.ids(place).0.0.cast_unsigned();
                by_account.remove(account.0.cast_unsigned(), |other| other == place, key);
            }
        });
        match before.and_then(|before| self.rows.get_mut(at(before))) {
            Some(row) => row.next = next,
            None if next != NOBODY => self.index_account(account, next),
            None => {}
        }
        self.whole.remove(&place);
        self.v6.remove(&place);
        self.paths.remove(&place);
        self.damped.remove(&place);
        if let (Some(row), Some(deadline)) = (self.rows.get_mut(at(place)), self.deadlines.get_mut(at(place))) {
            (row.packed.kept, *deadline) = (Kept::Vacant, NEVER);
            self.vacant.push(place);
        }
    }

    fn index_account(&mut self, account: AccountId, place: u32) {
        self.change_index(|rows, _, index| {
            index.insert(account.0.cast_unsigned(), place, |place| rows.ids(place).0.0.cast_unsigned());
        });
    }

    /// Lends the indexes out while the rows are asked for their keys.
    fn change_index(&mut self, change: impl FnOnce(&Self, &mut PlaceIndex, &mut PlaceIndex)) {
        let mut by_endpoint = std::mem::take(&mut self.by_endpoint);
        let mut by_account = std::mem::take(&mut self.by_account);
        change(self, &mut by_endpoint, &mut by_account);
        (self.by_endpoint, self.by_account) = (by_endpoint, by_account);
    }

    /// The line as a machine of its own.
    pub(super) fn machine(&self, place: u32) -> Machine {
        let row = self.row(place);
        match row.filter(|row| row.packed.kept == Kept::Whole).and_then(|_| self.whole.get(&place)) {
            Some(machine) => machine.clone(),
            None => Machine::unpack(
                self.settings,
                row.map_or(&Packed::VACANT, |row| &row.packed),
                self.apart(place),
                self.epoch,
            ),
        }
    }

    /// Does something to a line; what it wants known goes behind `outputs`.
    pub(super) fn with<T>(
        &mut self,
        place: u32,
        outputs: &mut Vec<Output>,
        act: impl FnOnce(&mut Machine) -> T,
    ) -> Option<T> {
        let row = self.rows.get(at(place))?;
        let mut machine = match row.packed.kept {
            Kept::Vacant => return None,
            Kept::Whole => self.whole.remove(&place)?,
            Kept::Packed => Machine::unpack(self.settings, &row.packed, Apart::default(), self.epoch),
            Kept::PackedV6 | Kept::PackedApart => {
                Machine::unpack(self.settings, &row.packed, self.apart(place), self.epoch)
            }
        };
        let before = machine.calm_at();
        let result = act(&mut machine);
        if let Some(calm_at) = machine.calm_at().filter(|calm_at| before != Some(*calm_at)) {
            self.calming.push_back((calm_at, place));
        }
        outputs.extend(std::iter::from_fn(|| machine.poll_transition()));
        self.store(place, &machine);
        Some(result)
    }

    fn apart(&self, place: u32) -> Apart {
        let damping = self.damped.get(&place).copied();
        Apart { v6: self.v6.get(&place).copied(), paths: self.paths.get(&place).copied(), damping }
    }

    fn store(&mut self, place: u32, machine: &Machine) {
        let deadline = machine.poll_timeout().map_or(NEVER, |due| self.deadline(due));
        let packed = machine.pack(self.epoch);
        let (Some(row), Some(kept)) = (self.rows.get_mut(at(place)), self.deadlines.get_mut(at(place))) else { return };
        *kept = deadline;
        let before = row.packed.kept;
        match packed {
            Some((packed, apart)) => {
                row.packed = packed;
                if before != Kept::Packed || packed.kept != Kept::Packed {
                    keep(&mut self.v6, place, apart.v6);
                    keep(&mut self.paths, place, apart.paths);
                    keep(&mut self.damped, place, apart.damping);
                }
            }
            None => {
                row.packed.kept = Kept::Whole;
                self.whole.insert(place, machine.clone());
            }
        }
        let after = row.packed.kept;
        if before == Kept::Whole && after != Kept::Whole {
            self.whole.remove(&place);
        }
        if matches!(before, Kept::PackedV6 | Kept::PackedApart) && after == Kept::Whole {
            self.v6.remove(&place);
            self.paths.remove(&place);
            self.damped.remove(&place);
        }
        // A mass of lines that were unusual for a moment leaves its room behind.
        if before == Kept::Whole && self.whole.capacity() > 1_024 && self.whole.len() * 8 < self.whole.capacity() {
            self.whole.shrink_to(self.whole.len() * 2);
        }
    }

    /// Forgets changes that no longer count, also of lines that nothing happens to: [`CALMED_MAX`] at most.
    pub(super) fn calm(&mut self, now: Moment) {
        for _ in 0..CALMED_MAX {
            let Some((_, place)) = self.calming.front().copied().filter(|(calm_at, _)| *calm_at <= now) else { return };
            self.calming.pop_front();
            // Nothing is told by it.
            self.with(place, &mut Vec::new(), |machine| machine.forget(now));
            if self.damped.capacity() > 1_024 && self.damped.len() * 8 < self.damped.capacity() {
                self.damped.shrink_to(self.damped.len() * 2);
            }
        }
    }

    /// The places whose deadline has come.
    pub(super) fn due(&self, now: Moment, due: &mut Vec<Option<u32>>) {
        // Never is not due, however far the clock has run.
        let now = self.deadline(now).min(NEVER - 1);
        for (chunk, first) in self.deadlines.chunks(TOGETHER).zip((0u32..).step_by(TOGETHER)) {
            if chunk.iter().fold(false, |any, deadline| any | (*deadline <= now)) {
                let here = (first..).zip(chunk).filter(|(_, deadline)| **deadline <= now);
                due.extend(here.map(|(place, _)| Some(place)));
            }
        }
    }

    /// Counts packed times anew when the clock has run far.
    pub(super) fn keep_epoch_near(&mut self, now: Moment) {
        if now.since(self.epoch.start) >= EPOCH_AGE_MAX {
            self.repack(Epoch { start: now - EPOCH_BEFORE, ..self.epoch });
        }
    }

    /// The wall clock was set.
    pub(super) fn set_wall(&mut self, now: Moment, wall: WallTime) {
        self.repack(Epoch { wall_ahead_ms: wall_ahead_ms(now, wall), ..self.epoch });
    }

    fn repack(&mut self, next: Epoch) {
        for place in self.all() {
            let machine = self.machine(place);
            let before = std::mem::replace(&mut self.epoch, next);
            self.store(place, &machine);
            self.epoch = before;
        }
        self.epoch = next;
    }

    fn deadline(&self, due: Moment) -> i32 {
        // Early is harmless: the machine is asked again.
        let offset = due.as_millis().saturating_sub(self.epoch.start.as_millis());
        i32::try_from(offset).unwrap_or(NEVER - 1)
    }

    fn row(&self, place: u32) -> Option<&Row> {
        self.rows.get(at(place))
    }

    /// Reads what a search for `endpoint` will read first.
    pub(super) fn touch_index(&self, endpoint: EndpointId) -> u8 {
        self.by_endpoint.touch(endpoint.0.cast_unsigned())
    }

    /// Reads a line's row and deadline, so that they are near when they are needed.
    pub(super) fn touch(&self, place: u32) -> u8 {
        let deadline = self.deadlines.get(at(place)).map_or(0, |deadline| u8::from(*deadline == NEVER));
        deadline ^ self.row(place).map_or(0, |row| u8::from(row.next == NOBODY))
    }
}

/// What is apart of a line, or nothing any more.
fn keep<T>(list: &mut HashMap<u32, T>, place: u32, value: Option<T>) {
    match value {
        Some(value) => {
            list.insert(place, value);
        }
        None if list.is_empty() => {}
        None => {
            list.remove(&place);
        }
    }
}

fn wall_ahead_ms(now: Moment, wall: WallTime) -> i64 {
    wall.timestamp_millis().saturating_sub(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))
}

fn at(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::server::{BeatEvent, BeatKind};
    use crate::liveness::{Beat, Board, LineState, WatchedEndpoint};
    use proptest::prelude::*;

    const START: u64 = 3_600_000;

    fn wall(now: Moment) -> WallTime {
        WallTime::from_timestamp_millis(1_795_492_800_000 + i64::try_from(now.as_millis()).unwrap()).unwrap()
    }

    fn settings() -> Settings {
        Settings { interval: Duration::from_secs(5), misses: 3, grace: Duration::from_secs(2) }
    }

    fn watched(account: i64, endpoint: i64) -> WatchedEndpoint {
        let (account, endpoint) = (AccountId(account), EndpointId(endpoint));
        WatchedEndpoint::new(account, endpoint)
    }

    fn beat(at: Moment, late: u64, address: &str, loss_percent: f32) -> Beat {
        let (base, interval) = (at - Duration::from_millis(late), Duration::from_secs(5));
        Beat {
            path: 0,
            base,
            at,
            interval,
            address: address.parse().unwrap(),
            mail_ok: Some(late < 500),
            loss_percent,
            unanswered_percent: Some(loss_percent / 2.0),
        }
    }

    fn event(endpoint: EndpointId, beat: &Beat) -> BeatEvent {
        let Beat { path, base, at, interval, address, mail_ok, loss_percent, unanswered_percent } = *beat;
        let kind =
            BeatKind::Beat { base, address, interval, mail_ok, loss_percent_up: loss_percent, unanswered_percent };
        BeatEvent { endpoint, account: AccountId(1), path, at, kind }
    }

    proptest! {
        #[test]
        fn a_line_on_the_board_goes_on_like_a_machine_of_its_own(
            steps in prop::collection::vec((0u64..6_000, 0u64..4_000, 0u8..13), 1..120),
            stored in 0u8..4,
        ) {
            let mut now = Moment::from_millis(START);
            let mut line = watched(1, 2);
            if stored > 0 {
                line.state = LineState::Online;
                line.address_v4 = (stored & 1 > 0).then(|| "192.0.2.1".parse().unwrap());
                line.address_v6 = (stored & 2 > 0).then(|| "2001:db8::7".parse().unwrap());
            }
            let (mut alone, mut told) = (Machine::new(settings(), line.clone(), now), Vec::new());
            let mut board = Board::new(settings(), vec![line], now, wall(now));
            for (passed, late, what) in steps {
                let end = now + Duration::from_millis(passed);
                while now < end {
                    now = (now + Duration::from_millis(200)).min(end);
                    board.scan(now, wall(now));
                    if alone.poll_timeout().is_some_and(|due| due <= now) {
                        alone.handle_timeout(now, wall(now));
                    }
                }
                let address = if what % 2 == 0 { "192.0.2.1" } else { "2001:db8::1" };
                match what {
                    0..5 | 8..13 => {
                        let mut beat = beat(now, late, address, f32::from(what) / 2.0);
                        beat.path = if what > 8 { what % 2 } else { 0 };
                        beat.interval = Duration::from_secs(if what == 12 { 9 } else { 5 });
                        alone.handle_beat(&beat, wall(now));
                        board.handle_events(&[event(EndpointId(2), &beat)], wall(now), &mut Vec::new());
                    }
                    5 => {
                        alone.handle_greeting(now, wall(now));
                        board.handle_greeting(EndpointId(2), now, wall(now));
                    }
                    _ => {}
                }
                prop_assert_eq!(board.line(EndpointId(2), now), Some(alone.view(now)));
                prop_assert_eq!(board.effective_addresses(EndpointId(2)), alone.effective_addresses());
                prop_assert_eq!(board.families(EndpointId(2), now), alone.families(now));
            }
            told.extend(std::iter::from_fn(|| alone.poll_transition()));
            prop_assert_eq!(format!("{:?}", board.take_outputs()), format!("{told:?}"));
        }
    }

    #[test]
    fn large_row_numbers_months_of_running_and_a_wall_clock_that_is_set_change_nothing() {
        let mut now = Moment::from_millis(START);
        let large = i64::from(u32::MAX) + 7;
        let lines = vec![watched(1, 2), watched(1, large), watched(large, 3)];
        let mut board = Board::new(settings(), lines, now, wall(now));
        let heard = [EndpointId(2), EndpointId(large)];
        for hours in 0..3 {
            let wall = |now| wall(now) + chrono::TimeDelta::hours(hours);
            for _ in 0..2 {
                now = now + Duration::from_secs(5);
                let beat = beat(now, 0, "2001:db8::1", 0.0);
                let events = heard.map(|endpoint| event(endpoint, &beat));
                let mut standings = Vec::new();
                board.scan(now, wall(now));
                board.handle_events(&events, wall(now), &mut standings);
                assert_eq!(standings.len(), 2);
            }
            for endpoint in heard {
                let line = board.line(endpoint, now).unwrap();
                assert_eq!(
                    (line.state, line.last_beat, line.last_beat_at),
                    (LineState::Online, Some(now), Some(wall(now)))
                );
                assert_eq!(line.address, Some("2001:db8::1".parse().unwrap()));
            }
            assert_eq!(board.account_line(AccountId(large), now).unwrap().state, LineState::New);
            now = now + Duration::from_secs(30 * 86_400);
            board.scan(now, wall(now));
            for _ in 0..90 {
                now = now + Duration::from_millis(200);
                board.scan(now, wall(now));
            }
            assert_eq!(board.line(heard[0], now).unwrap().state, LineState::Offline);
        }
    }

    #[test]
    fn lines_that_fell_a_moment_ago_are_at_rest_and_forget_it_though_nothing_happens_to_them() {
        let start = Moment::from_millis(START);
        let mut rows = Rows::with_capacity(settings(), 0, start, wall(start));
        let count = 20_000;
        (1..=count).for_each(|id| rows.add(&Machine::new(settings(), watched(id, id), start)));
        let mut outputs = Vec::new();
        let later = start + Duration::from_secs(30);
        for place in rows.all() {
            for seconds in [0, 5] {
                let at = start + Duration::from_secs(seconds);
                let address = if place % 2 == 0 { "192.0.2.1" } else { "2001:db8::1" };
                rows.with(place, &mut outputs, |machine| machine.handle_beat(&beat(at, 0, address, 0.0), wall(at)));
            }
            rows.with(place, &mut outputs, |machine| machine.handle_timeout(later, wall(later)));
        }
        let lines = usize::try_from(count).unwrap();
        assert!(rows.all().iter().all(|place| rows.machine(*place).state() == LineState::Offline));
        assert_eq!((rows.whole.len(), rows.damped.len()), (0, lines));
        let calm = later + crate::liveness::damping::FLAP_WINDOW;
        rows.calm(calm - Duration::from_millis(1));
        // What the rise left is over, what the fall left is not.
        assert_eq!(rows.damped.len(), lines);
        for _ in 0..2 * lines / CALMED_MAX {
            rows.calm(calm);
        }
        assert_eq!((rows.damped.len(), rows.calming.len(), rows.whole.len()), (0, 0, 0));
        assert!(rows.damped.capacity() < lines / 4);
    }

    #[test]
    fn places_are_used_again_and_the_endpoints_of_an_account_stay_in_order() {
        let now = Moment::from_millis(START);
        let mut rows = Rows::with_capacity(settings(), 0, now, wall(now));
        let add =
            |rows: &mut Rows, account, endpoint| rows.add(&Machine::new(settings(), watched(account, endpoint), now));
        for endpoint in 1..=200 {
            add(&mut rows, endpoint % 50, endpoint);
        }
        let endpoints = |rows: &Rows, account| -> Vec<i64> {
            rows.places_of(AccountId(account)).map(|place| rows.ids(place).1.0).collect()
        };
        assert_eq!(endpoints(&rows, 7), [7, 57, 107, 157]);
        for gone in [57, 7, 157] {
            rows.remove(rows.place_of(EndpointId(gone)).unwrap());
            assert_eq!(rows.place_of(EndpointId(gone)), None);
        }
        assert_eq!(endpoints(&rows, 7), [107]);
        add(&mut rows, 7, 300);
        assert_eq!((endpoints(&rows, 7), rows.rows.len()), (vec![107, 300], 200));
        assert_eq!(endpoints(&rows, 8), [8, 58, 108, 158]);
    }
}
