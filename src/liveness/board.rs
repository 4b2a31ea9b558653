//! All lines with their deadlines: who is due now, and what beats mean for whom.

use std::collections::HashMap;
use std::time::Duration;

use super::guard::{Alarm, Guard, OwnOutage, UplinkProof};
use super::machine::{Beat, Machine, Output, Settings};
use super::transition::{LineState, WatchedEndpoint};
use super::view::LineView;
use crate::base::{AccountId, EndpointId, Moment, WallTime};
use crate::heartbeat::datagram::ReplyState;
use crate::heartbeat::server::{BeatEvent, BeatKind, Standing};

/// A scan that comes later than this after the one before, or a wall clock that stepped by more, means that we were
/// away ourselves: silence in that time is nobody's fault.
pub const OWN_ABSENCE: Duration = Duration::from_secs(2);

/// Never due.
const NO_DEADLINE: Moment = Moment::from_millis(u64::MAX);

/// All lines.
#[derive(Debug)]
pub struct Board {
    settings: Settings,
    machines: Vec<Machine>,
    /// Of the machine at the same place; apart, so that a scan reads one flat list.
    deadlines: Vec<Moment>,
    places: HashMap<EndpointId, usize>,
    accounts: HashMap<AccountId, Vec<EndpointId>>,
    waiting: HashMap<AccountId, u32>,
    outputs: Vec<Output>,
    guard: Guard,
    scanned: (Moment, WallTime),
}

impl Board {
    /// Watches all of `watched`, each with a full window from `now`.
    #[must_use]
    pub fn new(settings: Settings, watched: Vec<WatchedEndpoint>, now: Moment, wall: WallTime) -> Self {
        let mut board = Self {
            settings,
            machines: Vec::with_capacity(watched.len()),
            deadlines: Vec::with_capacity(watched.len()),
            places: HashMap::new(),
            accounts: HashMap::new(),
            waiting: HashMap::new(),
            outputs: Vec::new(),
            guard: Guard::new(settings.window(settings.interval)),
            scanned: (now, wall),
        };
        for endpoint in watched {
            board.add(endpoint, now);
        }
        board
    }

    /// Watches one more endpoint. One that is watched already is left as it is.
    pub fn add(&mut self, watched: WatchedEndpoint, now: Moment) {
        if self.places.contains_key(&watched.endpoint) {
            return;
        }
        self.accounts.entry(watched.account).or_default().push(watched.endpoint);
        self.places.insert(watched.endpoint, self.machines.len());
        let machine = Machine::new(self.settings, watched, now);
        self.guard.handle_change(None, machine.mark());
        self.deadlines.push(machine.poll_timeout().unwrap_or(NO_DEADLINE));
        self.machines.push(machine);
    }

    /// Forgets an endpoint.
    pub fn remove(&mut self, endpoint: EndpointId) {
        let Some(place) = self.places.remove(&endpoint) else { return };
        let gone = self.machines.swap_remove(place);
        self.deadlines.swap_remove(place);
        self.guard.handle_change(gone.mark(), None);
        if let Some(moved) = self.machines.get(place) {
            self.places.insert(moved.watched().endpoint, place);
        }
        let account = gone.watched().account;
        if let Some(endpoints) = self.accounts.get_mut(&account) {
            endpoints.retain(|other| *other != endpoint);
            if endpoints.is_empty() {
                self.accounts.remove(&account);
                self.waiting.remove(&account);
            }
        }
    }

    /// A genuine datagram said something; what the reply has to say.
    pub fn handle_event(&mut self, event: &BeatEvent, wall: WallTime) -> Standing {
        self.with(event.endpoint, |machine| match &event.kind {
            BeatKind::Opened { address } => machine.handle_opened(*address),
            BeatKind::Moved { from, to } => machine.handle_moved(*from, *to, wall),
            BeatKind::Goodbye { .. } => machine.handle_goodbye(event.at, wall),
            BeatKind::Beat { base, address, interval, mail_ok, loss_percent_up } => {
                let (mail_ok, loss_percent) = (*mail_ok, *loss_percent_up);
                let beat =
                    Beat { base: *base, at: event.at, interval: *interval, address: *address, mail_ok, loss_percent };
                machine.handle_beat(&beat, wall);
            }
        });
        self.standing(event.endpoint)
    }

    /// The primary greeted at the address of the beats.
    pub fn handle_greeting(&mut self, endpoint: EndpointId, now: Moment, wall: WallTime) {
        self.with(endpoint, |machine| machine.handle_greeting(now, wall));
    }

    /// Time passed: everybody who is due. Call several times a second, after the beats that have arrived.
    pub fn scan(&mut self, now: Moment, wall: WallTime) {
        let (before, before_wall) = std::mem::replace(&mut self.scanned, (now, wall));
        let passed = now.since(before);
        let passed_wall = (wall - before_wall).to_std().unwrap_or(Duration::MAX);
        if passed > OWN_ABSENCE || passed_wall.abs_diff(passed) > OWN_ABSENCE {
            for machine in &mut self.machines {
                machine.grant_window(now);
            }
            let by = passed.max(passed_wall).max(passed_wall.abs_diff(passed));
            self.outputs.push(Output::Alarm(Alarm::TimersLate { by }));
        }
        if self.guard.handle_timeout(now) {
            self.release(now);
        }
        for (machine, deadline) in self.machines.iter_mut().zip(&mut self.deadlines) {
            // A deadline may lie too early after a grant or a beat, never too late.
            if *deadline <= now {
                wake(machine, &mut self.guard, now, wall);
                *deadline = machine.poll_timeout().unwrap_or(NO_DEADLINE);
                drain(machine, &mut self.outputs);
            }
        }
    }

    /// Our own uplink was asked.
    pub fn handle_uplink(&mut self, proof: UplinkProof, now: Moment) {
        if let Some(from) = self.guard.handle_proof(proof, now) {
            self.release(from);
        }
    }

    /// The kernel dropped so many datagrams for the heartbeat sockets within `time`.
    pub fn handle_drops(&mut self, dropped: u64, time: Duration, now: Moment) {
        let beats = time.as_secs_f64() / self.settings.interval.as_secs_f64().max(0.001);
        self.guard.handle_drops(dropped, beats, now);
    }

    /// The operator says that the silence of many is real. False if nothing waited for that.
    pub fn release_own_outage(&mut self, now: Moment) -> bool {
        let had_to_decide = self.guard.handle_release(now);
        if had_to_decide {
            self.release(Moment::default());
        }
        had_to_decide
    }

    /// The outage of our own that goes on.
    #[must_use]
    pub fn own_outage(&self) -> Option<OwnOutage> {
        self.guard.own_outage()
    }

    /// Silence counts again for all lines that were withheld; due ones go with the next scan.
    fn release(&mut self, from: Moment) {
        for (machine, deadline) in self.machines.iter_mut().zip(&mut self.deadlines) {
            machine.release(from);
            *deadline = machine.poll_timeout().unwrap_or(NO_DEADLINE);
        }
    }

    /// What is to be written and told, oldest first.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        self.outputs.extend(self.guard.take_alarms().into_iter().map(Output::Alarm));
        std::mem::take(&mut self.outputs)
    }

    /// How many messages wait for an account, for the replies to its beats.
    pub fn set_waiting(&mut self, account: AccountId, messages: u32) {
        if self.accounts.contains_key(&account) {
            self.waiting.insert(account, messages);
        }
    }

    /// What a reply says of a line.
    #[must_use]
    pub fn standing(&self, endpoint: EndpointId) -> Standing {
        let Some(machine) = self.machine(endpoint) else { return Standing::default() };
        let state = match machine.state() {
            LineState::New => ReplyState::New,
            LineState::Online => ReplyState::Online,
            LineState::Suspect => ReplyState::Suspect,
            LineState::Offline => ReplyState::Offline,
            LineState::Returning => ReplyState::Returning,
        };
        let waiting = self.waiting.get(&machine.watched().account).copied().unwrap_or(0);
        Standing { state, waiting, neutralised_after: machine.neutralised_after() }
    }

    /// One line.
    #[must_use]
    pub fn line(&self, endpoint: EndpointId, now: Moment) -> Option<LineView> {
        self.machine(endpoint).map(|machine| machine.view(now))
    }

    /// The best line of an account.
    #[must_use]
    pub fn account_line(&self, account: AccountId, now: Moment) -> Option<LineView> {
        let machines = self.accounts.get(&account)?.iter().filter_map(|endpoint| self.machine(*endpoint));
        machines.min_by_key(|machine| rank(machine.state())).map(|machine| machine.view(now))
    }

    fn machine(&self, endpoint: EndpointId) -> Option<&Machine> {
        self.machines.get(*self.places.get(&endpoint)?)
    }

    fn with(&mut self, endpoint: EndpointId, act: impl FnOnce(&mut Machine)) {
        let Some(place) = self.places.get(&endpoint) else { return };
        let Some(machine) = self.machines.get_mut(*place) else { return };
        let before = machine.mark();
        act(machine);
        self.guard.handle_change(before, machine.mark());
        if let Some(deadline) = self.deadlines.get_mut(*place) {
            *deadline = machine.poll_timeout().unwrap_or(NO_DEADLINE);
        }
        drain(machine, &mut self.outputs);
    }
}

/// Time passed for a line that is due.
fn wake(machine: &mut Machine, guard: &mut Guard, now: Moment, wall: WallTime) {
    let before = machine.mark();
    if machine.is_due_to_fall(now) && guard.is_ours(now, wall) {
        machine.withhold(now, wall);
    } else {
        machine.handle_timeout(now, wall);
    }
    let after = machine.mark();
    guard.handle_change(before, after);
    if let (Some(mark), None) = (before, after) {
        guard.handle_fall(mark.family, now);
    }
}

fn drain(machine: &mut Machine, outputs: &mut Vec<Output>) {
    outputs.extend(std::iter::from_fn(|| machine.poll_transition()));
}

/// Best first.
const fn rank(state: LineState) -> u8 {
    match state {
        LineState::Online => 0,
        LineState::Returning => 1,
        LineState::Suspect => 2,
        LineState::Offline => 3,
        LineState::New => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn wall(now: Moment) -> WallTime {
        chrono::Utc.timestamp_millis_opt(1_795_492_800_000 + i64::try_from(now.as_millis()).unwrap()).unwrap()
    }

    fn stored(endpoint: i64, state: LineState) -> WatchedEndpoint {
        let since = (state != LineState::New).then(|| wall(Moment::default()));
        WatchedEndpoint { state, since, ..WatchedEndpoint::new(AccountId(1), EndpointId(endpoint)) }
    }

    fn settings() -> Settings {
        Settings { interval: Duration::from_secs(5), misses: 3, grace: Duration::from_secs(2) }
    }

    fn board(states: &[LineState]) -> Board {
        let watched = states.iter().zip(1..).map(|(state, id)| stored(id, *state)).collect();
        Board::new(settings(), watched, Moment::default(), wall(Moment::default()))
    }

    fn state(board: &Board, endpoint: i64) -> LineState {
        board.line(EndpointId(endpoint), Moment::default()).unwrap().state
    }

    #[test]
    fn a_late_scan_grants_everybody_a_full_window() {
        let mut board = board(&[LineState::Online, LineState::Returning]);
        for tick in 1..=160 {
            let now = Moment::from_millis(tick * 100);
            board.scan(now, wall(now));
        }
        let woken = Moment::from_millis(60_000);
        board.scan(woken, wall(woken));
        for tick in 1..170 {
            let now = woken + Duration::from_millis(tick * 100);
            board.scan(now, wall(now));
            assert_ne!(state(&board, 1), LineState::Offline, "{now}");
        }
        let end = woken + Duration::from_secs(17);
        board.scan(end, wall(end));
        assert_eq!((state(&board, 1), state(&board, 2)), (LineState::Offline, LineState::Offline));
    }

    #[test]
    fn a_wall_clock_that_jumps_grants_a_full_window() {
        let mut board = board(&[LineState::Online]);
        for tick in 1..=160 {
            let now = Moment::from_millis(tick * 100);
            board.scan(now, wall(now));
        }
        for tick in 161..=320 {
            let now = Moment::from_millis(tick * 100);
            board.scan(now, wall(now) + chrono::TimeDelta::hours(1));
            assert_ne!(state(&board, 1), LineState::Offline, "{now}");
        }
    }

    #[test]
    fn the_best_endpoint_speaks_for_an_account_and_removal_leaves_the_others() {
        let mut board = board(&[LineState::Offline, LineState::New, LineState::Online, LineState::Returning]);
        let best = |board: &Board| board.account_line(AccountId(1), Moment::default()).map(|line| line.state);
        assert_eq!(best(&board), Some(LineState::Online));
        board.remove(EndpointId(3));
        assert_eq!(best(&board), Some(LineState::Returning));
        board.remove(EndpointId(1));
        assert_eq!(state(&board, 4), LineState::Returning);
        board.remove(EndpointId(4));
        assert_eq!(best(&board), Some(LineState::New));
        board.remove(EndpointId(2));
        assert_eq!(best(&board), None);
        assert_eq!(board.standing(EndpointId(2)), Standing::default());
    }
}
