//! All lines with their deadlines: who is due now, and what beats mean for whom.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::guard::{Alarm, Guard, OwnOutage, UplinkProof};
use super::machine::{Beat, Machine, Output, Settings};
use super::mail_host::MailHost;
use super::rows::Rows;
use super::transition::{Cause, LineState, WatchedEndpoint};
use super::view::{EffectiveAddresses, Families, LineEvent, LineView};
use crate::base::{AccountId, EndpointId, Moment, WallTime};
use crate::heartbeat::datagram::{ListedAddress, ReplyState};
use crate::heartbeat::server::{BeatEvent, BeatKind, Standing};

/// A scan that comes later than this after the one before, or a wall clock that stepped by more, means that we were
/// away ourselves: silence in that time is nobody's fault.
pub const OWN_ABSENCE: Duration = Duration::from_secs(2);

/// All lines.
#[derive(Debug)]
pub struct Board {
    settings: Settings,
    rows: Rows,
    /// Of accounts with any.
    waiting: HashMap<AccountId, u32>,
    /// Mail servers on other machines than their clients, of the few that have one.
    mail_hosts: HashMap<EndpointId, MailHost>,
    outputs: Vec<Output>,
    guard: Guard,
    scanned: (Moment, WallTime),
    /// Places of the lines that are due or of a batch of events; kept for its room.
    places: Vec<Option<u32>>,
}

impl Board {
    /// Watches all of `watched`, each with a full window from `now`.
    #[must_use]
    pub fn new(settings: Settings, watched: Vec<WatchedEndpoint>, now: Moment, wall: WallTime) -> Self {
        let mut board = Self {
            settings,
            rows: Rows::with_capacity(settings, watched.len(), now, wall),
            waiting: HashMap::new(),
            mail_hosts: HashMap::new(),
            outputs: Vec::new(),
            guard: Guard::new(settings.window(settings.interval)),
            scanned: (now, wall),
            places: Vec::new(),
        };
        for endpoint in watched {
            board.add(endpoint, now);
        }
        board
    }

    /// Watches one more endpoint. One that is watched already is left as it is.
    pub fn add(&mut self, watched: WatchedEndpoint, now: Moment) {
        if self.rows.place_of(watched.endpoint).is_none() {
            let machine = Machine::new(self.settings, watched, now);
            self.guard.handle_change(None, machine.mark());
            self.rows.add(&machine);
        }
    }

    /// Forgets an endpoint.
    pub fn remove(&mut self, endpoint: EndpointId) {
        let Some(place) = self.rows.place_of(endpoint) else { return };
        let (account, _) = self.rows.ids(place);
        self.guard.handle_change(self.rows.machine(place).mark(), None);
        self.rows.remove(place);
        self.mail_hosts.remove(&endpoint);
        if self.rows.places_of(account).next().is_none() {
            self.waiting.remove(&account);
        }
    }

    /// A genuine datagram said something; what the reply has to say.
    pub fn handle_event(&mut self, event: &BeatEvent, wall: WallTime) -> Standing {
        let place = self.rows.place_of(event.endpoint);
        self.handle_event_at(place, event, wall)
    }

    /// As [`handle_event`](Self::handle_event) for many at once: one standing for each is put behind `standings`.
    pub fn handle_events(&mut self, events: &[BeatEvent], wall: WallTime, standings: &mut Vec<Standing>) {
        // All look-ups, then all rows, then the work, so that the waits for memory overlap.
        let touched = events.iter().fold(0, |sum, event| sum ^ self.rows.touch_index(event.endpoint));
        let mut places = std::mem::take(&mut self.places);
        places.clear();
        places.extend(events.iter().map(|event| self.rows.place_of(event.endpoint)));
        let touched = places.iter().flatten().fold(touched, |sum, place| sum ^ self.rows.touch(*place));
        std::hint::black_box(touched);
        for (event, place) in events.iter().zip(&places) {
            standings.push(self.handle_event_at(*place, event, wall));
        }
        self.places = places;
    }

    fn handle_event_at(&mut self, place: Option<u32>, event: &BeatEvent, wall: WallTime) -> Standing {
        let Some(place) = place else { return Standing::default() };
        self.with(place, |machine| {
            match &event.kind {
                BeatKind::Opened { address } => machine.handle_opened(event.path, *address),
                BeatKind::Moved { from, to } => machine.handle_moved(event.path, *from, *to, wall),
                BeatKind::Goodbye { .. } => machine.handle_end(Cause::Goodbye, event.at, wall),
                BeatKind::RanOut => machine.handle_end(Cause::UpdateRanOut, event.at, wall),
                BeatKind::Beat { base, address, interval, mail_ok, loss_percent_up, unanswered_percent } => {
                    let (base, interval, address) = (*base, *interval, *address);
                    let (mail_ok, loss_percent, unanswered_percent) = (*mail_ok, *loss_percent_up, *unanswered_percent);
                    let beat = Beat {
                        path: event.path,
                        base,
                        at: event.at,
                        interval,
                        address,
                        mail_ok,
                        loss_percent,
                        unanswered_percent,
                    };
                    machine.handle_beat(&beat, wall);
                }
            }
            (machine.state(), machine.neutralised_after(), machine.watched().account)
        })
        .map_or_else(Standing::default, |facts| self.standing_of(facts))
    }

    /// The primary greeted at the address of the beats; whose it is, if the line is watched.
    pub fn handle_greeting(&mut self, endpoint: EndpointId, now: Moment, wall: WallTime) -> Option<AccountId> {
        let place = self.rows.place_of(endpoint)?;
        self.with(place, |machine| machine.handle_greeting(now, wall));
        Some(self.rows.ids(place).0)
    }

    /// The client says which machines are beside it; the list before counts no longer.
    pub fn handle_addresses(&mut self, endpoint: EndpointId, list: &[ListedAddress]) {
        let Some(machine) = self.machine(endpoint) else { return };
        let addresses = machine.effective_addresses();
        let before = self.published(endpoint, addresses);
        // Its own address needs no list.
        let host = MailHost::of(list).filter(|host| addresses.v6.is_none_or(|(v6, _)| v6 != host.address()));
        match host {
            Some(host) => self.mail_hosts.insert(endpoint, host),
            None => self.mail_hosts.remove(&endpoint),
        };
        if before != self.published(endpoint, addresses) {
            let account = machine.watched().account;
            self.outputs.push(Output::Note(LineEvent::Addresses { account, endpoint }));
        }
    }

    /// The mail server beside the client that was proven at `source`, if it is another machine.
    fn mail_host(&self, endpoint: EndpointId, source: IpAddr) -> Option<Ipv6Addr> {
        let IpAddr::V6(source) = source else { return None };
        let host = if self.mail_hosts.is_empty() { None } else { self.mail_hosts.get(&endpoint) };
        host.filter(|host| host.is_covered_by(source)).map(|host| host.address())
    }

    fn published(&self, endpoint: EndpointId, mut addresses: EffectiveAddresses) -> EffectiveAddresses {
        if let Some((v6, _)) = &mut addresses.v6 {
            *v6 = self.mail_host(endpoint, IpAddr::V6(*v6)).unwrap_or(*v6);
        }
        addresses
    }

    fn view_of(&self, machine: &Machine, now: Moment) -> LineView {
        let mut view = machine.view(now);
        let host = view.address.and_then(|address| self.mail_host(view.endpoint, address));
        view.address = host.map(IpAddr::V6).or(view.address);
        view
    }

    /// How each family of an endpoint stands.
    #[must_use]
    pub fn families(&self, endpoint: EndpointId, now: Moment) -> Families {
        let Some(machine) = self.machine(endpoint) else { return Families::default() };
        let mut families = machine.families(now);
        if let Some(v6) = &mut families.v6 {
            v6.mail_host = self.mail_host(endpoint, v6.address).map(IpAddr::V6);
        }
        let is_published = families.v6.is_some_and(|v6| v6.mail_host.is_some());
        let named = self.mail_hosts.get(&endpoint).map(|host| IpAddr::V6(host.address()));
        families.not_proven = named.filter(|_| !is_published);
        families
    }

    /// Time passed: everybody who is due. Call several times a second, after the beats that have arrived.
    pub fn scan(&mut self, now: Moment, wall: WallTime) {
        let (before, before_wall) = std::mem::replace(&mut self.scanned, (now, wall));
        let passed = now.since(before);
        let stepped = stepped(passed, wall - before_wall);
        self.rows.keep_epoch_near(now);
        self.rows.calm(now);
        if stepped > OWN_ABSENCE {
            self.rows.set_wall(now, wall);
        }
        if passed > OWN_ABSENCE || stepped > OWN_ABSENCE {
            for place in self.rows.all() {
                self.with(place, |machine| machine.grant_window(now));
            }
            let by = passed.max(stepped);
            self.outputs.push(Output::Alarm(Alarm::TimersLate { by }));
        }
        if self.guard.handle_timeout(now) {
            self.release(now);
        }
        // A deadline may lie too early after a grant or a beat, never too late.
        let mut due = std::mem::take(&mut self.places);
        due.clear();
        self.rows.due(now, &mut due);
        for place in due.iter().flatten() {
            let guard = &mut self.guard;
            self.rows.with(*place, &mut self.outputs, |machine| wake(machine, guard, now, wall));
        }
        self.places = due;
    }

    /// Our own uplink was asked.
    pub fn handle_uplink(&mut self, proof: UplinkProof, now: Moment) {
        if let Some(from) = self.guard.handle_proof(proof, now) {
            self.release(from);
        }
    }

    /// The kernel dropped so many datagrams for the heartbeat sockets, while so many were received.
    pub fn handle_drops(&mut self, dropped: u64, received: u64, now: Moment) {
        self.guard.handle_drops(dropped, received, now);
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
        // A line whose silence is withheld is never at rest.
        for place in self.rows.unusual() {
            self.with(place, |machine| machine.release(from));
        }
    }

    /// What is to be written and told, oldest first.
    pub fn take_outputs(&mut self) -> Vec<Output> {
        self.outputs.extend(self.guard.take_alarms().into_iter().map(Output::Alarm));
        std::mem::take(&mut self.outputs)
    }

    /// How many messages wait for an account, for the replies to its beats.
    pub fn set_waiting(&mut self, account: AccountId, messages: u32) {
        if messages == 0 {
            self.waiting.remove(&account);
        } else if self.rows.places_of(account).next().is_some() {
            self.waiting.insert(account, messages);
        }
    }

    /// What a reply says of a line.
    #[must_use]
    pub fn standing(&self, endpoint: EndpointId) -> Standing {
        let Some(machine) = self.machine(endpoint) else { return Standing::default() };
        self.standing_of((machine.state(), machine.neutralised_after(), machine.watched().account))
    }

    fn standing_of(&self, (state, neutralised_after, account): (LineState, Duration, AccountId)) -> Standing {
        let state = match state {
            LineState::New => ReplyState::New,
            LineState::Online => ReplyState::Online,
            LineState::Suspect => ReplyState::Suspect,
            LineState::Offline => ReplyState::Offline,
            LineState::Returning => ReplyState::Returning,
        };
        let waiting = if self.waiting.is_empty() { None } else { self.waiting.get(&account).copied() };
        Standing { state, waiting: waiting.unwrap_or(0), neutralised_after }
    }

    /// One line.
    #[must_use]
    pub fn line(&self, endpoint: EndpointId, now: Moment) -> Option<LineView> {
        self.machine(endpoint).map(|machine| self.view_of(&machine, now))
    }

    /// Where an endpoint is now, of each family; nowhere if it is not watched.
    #[must_use]
    pub fn effective_addresses(&self, endpoint: EndpointId) -> EffectiveAddresses {
        let addresses = self.machine(endpoint).map(|machine| machine.effective_addresses());
        addresses.map_or_else(EffectiveAddresses::default, |addresses| self.published(endpoint, addresses))
    }

    /// The best line of an account.
    #[must_use]
    pub fn account_line(&self, account: AccountId, now: Moment) -> Option<LineView> {
        let machines = self.rows.places_of(account).map(|place| self.rows.machine(place));
        machines.min_by_key(|machine| rank(machine.state())).map(|machine| self.view_of(&machine, now))
    }

    fn machine(&self, endpoint: EndpointId) -> Option<Machine> {
        self.rows.place_of(endpoint).map(|place| self.rows.machine(place))
    }

    fn with<T>(&mut self, place: u32, act: impl FnOnce(&mut Machine) -> T) -> Option<T> {
        let guard = &mut self.guard;
        self.rows.with(place, &mut self.outputs, |machine| {
            let before = machine.mark();
            let result = act(machine);
            let after = machine.mark();
            if before != after {
                guard.handle_change(before, after);
            }
            result
        })
    }
}

/// How far the wall clock went its own way, forwards or back, while `passed` on the monotonic clock.
fn stepped(passed: Duration, passed_wall: chrono::TimeDelta) -> Duration {
    let passed = chrono::TimeDelta::from_std(passed).unwrap_or(chrono::TimeDelta::MAX);
    let apart = passed_wall.checked_sub(&passed).unwrap_or(chrono::TimeDelta::MAX);
    apart.abs().to_std().unwrap_or(Duration::MAX)
}

/// Time passed for a line that is due.
fn wake(machine: &mut Machine, guard: &mut Guard, now: Moment, wall: WallTime) {
    let before = machine.mark();
    if machine.is_due_to_lose(now) && guard.is_ours(now, wall) {
        machine.withhold(now, wall);
    } else {
        machine.handle_timeout(now, wall);
    }
    let after = machine.mark();
    guard.handle_change(before, after);
    if let Some(before) = before {
        guard.handle_fall(&before, after.as_ref(), now);
    }
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
    use crate::liveness::HistoryRow;
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
    fn a_wall_clock_that_is_set_back_a_little_again_and_again_postpones_nothing() {
        let mut board = board(&[LineState::Online]);
        let mut now = Moment::default();
        for tick in 0..180 {
            now = now + Duration::from_millis(100);
            let set_back = chrono::TimeDelta::milliseconds(if tick % 10 == 9 { 300 } else { 0 });
            board.scan(now, wall(now) - set_back);
        }
        let outputs = board.take_outputs();
        assert!(outputs.iter().any(|output| matches!(output, Output::Row(HistoryRow::State(_)))), "{outputs:?}");
        assert!(!outputs.iter().any(|output| matches!(output, Output::Alarm(_))), "{outputs:?}");
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
