//! Is this one mail server there? Decides from its beats and from silence.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use self::lane::{Lane, Silence};
use super::damping::Damping;
use super::guard::{Alarm, Mark};
use super::recent::Recent;
use super::transition::{
    AddressChange, Cause, HistoryRow, IntervalChange, LineState, NoData, Transition, WatchedEndpoint,
};
use super::view::LineEvent;
use crate::base::{Moment, WallTime};

/// Silence after which a line with an interval of up to 5 s is OFFLINE at the latest: the promise to customers.
pub const NEUTRALISE_CEILING: Duration = Duration::from_secs(20);
/// The longest interval that the ceiling is promised for.
const CEILING_INTERVAL_MAX: Duration = Duration::from_secs(5);
/// Two missed beats never neutralise, whatever the configuration says.
const MISSES_MIN: u32 = 3;
/// Between two rows about the rhythm of a client, so that one that changes it with each beat costs no row a beat.
const INTERVAL_ROWS_APART: Duration = Duration::from_secs(60);

/// When silence counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The rhythm of clients that did not choose one; also that of lines not heard since the start.
    pub interval: Duration,
    /// Missed beats that neutralise; at least 3.
    pub misses: u32,
    /// Jitter allowed on top.
    pub grace: Duration,
}

impl Settings {
    /// Silence after the last beat that neutralises a line of this rhythm.
    #[must_use]
    pub fn window(&self, interval: Duration) -> Duration {
        let window = interval.saturating_mul(self.misses.max(MISSES_MIN)).saturating_add(self.grace);
        if interval <= CEILING_INTERVAL_MAX { window.min(NEUTRALISE_CEILING) } else { window }
    }

    /// Silence after the last beat that makes a line of this rhythm SUSPECT.
    #[must_use]
    pub fn suspicion(&self, interval: Duration) -> Duration {
        interval.saturating_add(self.grace).min(self.window(interval))
    }
}

/// A beat that counts, from a proven address.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Beat {
    /// Over which of the client's paths it came, 0 or 1.
    pub path: u8,
    /// When it was due.
    pub base: Moment,
    /// When it arrived.
    pub at: Moment,
    /// The rhythm.
    pub interval: Duration,
    /// Where it came from.
    pub address: IpAddr,
    /// What the client says of its mail server.
    pub mail_ok: Option<bool>,
    /// Loss towards us in percent.
    pub loss_percent: f32,
    /// Datagrams of the client without a reply in percent, as it counts them.
    pub unanswered_percent: Option<f32>,
}

/// What the machine wants known.
#[derive(Clone, Debug)]
pub enum Output {
    /// To be written, then told.
    Row(HistoryRow),
    /// To be told at once.
    Note(LineEvent),
    /// The operator's matter.
    Alarm(Alarm),
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Phase {
    New,
    /// One beat came; `first` is absent if it came before our own start.
    Returning {
        first: Option<Moment>,
    },
    Online,
    Offline,
}

/// One endpoint. Reads no clock: `now` of successive calls must not go backwards.
#[derive(Clone, Debug)]
pub struct Machine {
    settings: Settings,
    watched: WatchedEndpoint,
    phase: Phase,
    since: Option<WallTime>,
    /// Set while SUSPECT: when the first missed beat was due.
    suspect_since: Option<WallTime>,
    /// The path that speaks for the line.
    main: Lane,
    /// The other one, until its silence is believed.
    second: Option<Lane>,
    last_at: Option<WallTime>,
    mail_ok: Option<bool>,
    /// What the client says of its datagrams without a reply, over the path that speaks for the line.
    unanswered: Unanswered,
    recent: Recent,
    recent_base: Option<Moment>,
    /// The rhythm as stored, and when a change of it was last written.
    stored_interval: (Duration, Option<Moment>),
    /// Set while the silence is taken to be our own fault, and after it until a beat comes or the line is neutralised.
    no_data_since: Option<WallTime>,
    /// Absent until the first change.
    damping: Option<Box<Damping>>,
    outputs: VecDeque<Output>,
}

impl Machine {
    /// Goes on from the stored state, with a full window from `now` to be heard in.
    #[must_use]
    pub fn new(settings: Settings, watched: WatchedEndpoint, now: Moment) -> Self {
        let phase = match watched.state {
            LineState::New => Phase::New,
            LineState::Online | LineState::Suspect => Phase::Online,
            LineState::Returning => Phase::Returning { first: None },
            LineState::Offline => Phase::Offline,
        };
        let interval = watched.interval.unwrap_or(settings.interval);
        let is_counting = !matches!(phase, Phase::New | Phase::Offline);
        let (first, other) = match (watched.address_v4.map(IpAddr::V4), watched.address_v6.map(IpAddr::V6)) {
            (None, only) => (only, None),
            both => both,
        };
        let second = other.filter(|_| is_counting);
        Self {
            settings,
            phase,
            since: watched.since,
            suspect_since: None,
            main: Lane::waiting(0, first.filter(|_| is_counting), interval, now),
            second: second.map(|address| Lane::waiting(1, Some(address), interval, now)),
            last_at: None,
            mail_ok: None,
            unanswered: Unanswered::default(),
            recent: Recent::default(),
            recent_base: None,
            stored_interval: (interval, None),
            no_data_since: watched.no_data_since.filter(|_| is_counting),
            damping: None,
            outputs: VecDeque::new(),
            watched,
        }
    }

    /// Which endpoint this is.
    #[must_use]
    pub const fn watched(&self) -> &WatchedEndpoint {
        &self.watched
    }

    /// A beat counts. One that is so late that it could not keep the line alive is of no effect.
    pub fn handle_beat(&mut self, beat: &Beat, wall: WallTime) {
        if beat.base + self.settings.window(beat.interval) <= beat.at {
            return;
        }
        let is_first_of_line = self.newest_base().is_none_or(|newest| beat.base > newest);
        let addresses = self.lane_addresses();
        let lane = self.lane_of(beat);
        if lane.last.is_none_or(|last| beat.base > last.base) {
            lane.hear(beat, wall);
            self.note_mail(beat.mail_ok);
            self.note_unanswered(beat);
            self.forget(beat.at);
            self.note_interval(beat, wall);
            self.end_no_data(wall);
        }
        if is_first_of_line {
            self.last_at = Some(wall);
            if self.recent_base.is_none_or(|recent| is_another_beat(recent, beat)) {
                self.recent.push(self.recent_base.map(|recent| beat.base.since(recent)), beat.interval);
                self.recent_base = Some(beat.base);
            }
        }
        match self.phase {
            Phase::New | Phase::Offline => {
                self.main.counted_from = beat.base;
                self.change(Phase::Returning { first: Some(beat.base) }, Cause::Beat, (beat.at, wall), wall);
            }
            Phase::Returning { first: None } => self.phase = Phase::Returning { first: Some(beat.base) },
            Phase::Returning { first: Some(first) } if is_another_beat(first, beat) => {
                self.change(Phase::Online, Cause::Confirmed, (beat.at, wall), wall);
            }
            Phase::Returning { first: Some(_) } | Phase::Online => {}
        }
        self.heal(beat.at);
        if addresses != self.lane_addresses() {
            self.note_addresses();
        }
    }

    /// The path that a beat came over. While nothing is counted the line begins anew with it.
    fn lane_of(&mut self, beat: &Beat) -> &mut Lane {
        if self.main.path != beat.path && !self.is_counting() {
            self.main = Lane::waiting(beat.path, None, beat.interval, beat.base);
            self.second = None;
        }
        if self.main.path == beat.path {
            return &mut self.main;
        }
        self.second.get_or_insert_with(|| Lane::waiting(beat.path, None, beat.interval, beat.base))
    }

    /// When the newest beat of both paths was due.
    fn newest_base(&self) -> Option<Moment> {
        let newest = |lane: &Lane| lane.last.map(|last| last.base);
        newest(&self.main).max(self.second.as_ref().and_then(newest))
    }

    fn lane_addresses(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        (self.main.address, self.second.and_then(|lane| lane.address))
    }

    /// The client stops on purpose, or what spoke for it has run out: OFFLINE at once.
    pub fn handle_end(&mut self, cause: Cause, now: Moment, wall: WallTime) {
        match self.phase {
            Phase::Returning { .. } | Phase::Online => self.change(Phase::Offline, cause, (now, wall), wall),
            Phase::New | Phase::Offline => {}
        }
    }

    /// The primary greeted at the address of the beats. That confirms the return of a slow line, unless beats are missing
    /// by now: its second beat may be a quarter of an hour away. A line with a beat each 5 s has to come twice, so that
    /// one that rises for a moment moves no name; mail waits for neither.
    pub fn handle_greeting(&mut self, now: Moment, wall: WallTime) {
        let is_slow = self.best().interval > CEILING_INTERVAL_MAX;
        if is_slow && matches!(self.phase, Phase::Returning { first: Some(_) }) && self.suspect_since.is_none() {
            self.change(Phase::Online, Cause::Confirmed, (now, wall), wall);
        }
    }

    /// A run of the client was proven at `address`.
    pub fn handle_opened(&mut self, path: u8, address: IpAddr) {
        self.set_address(path, address);
    }

    /// The proven address of a family changed.
    pub fn handle_moved(&mut self, path: u8, from: Option<IpAddr>, to: IpAddr, wall: WallTime) {
        self.set_address(path, to);
        let (account, endpoint) = (self.watched.account, self.watched.endpoint);
        let change = AddressChange { account, endpoint, from, to, at: wall };
        self.outputs.push_back(Output::Row(HistoryRow::Address(change)));
    }

    /// The address of a path that is known; one that is not yet comes with its first beat.
    fn set_address(&mut self, path: u8, address: IpAddr) {
        let before = self.lane_addresses();
        if self.main.path == path {
            self.main.set_address(address);
        } else if let Some(second) = self.second.as_mut().filter(|second| second.path == path) {
            second.set_address(address);
        }
        if before != self.lane_addresses() && self.is_counting() {
            self.note_addresses();
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Moment, wall: WallTime) {
        if !self.is_counting() {
            return;
        }
        self.drop_silent_path(now);
        if self.is_due_to_fall(now) {
            // Of the time before, nothing is known: the outage begins where that ends.
            let since = if self.no_data_since.is_some() { wall } else { self.first_miss(now, wall) };
            self.change(Phase::Offline, Cause::MissedBeats, (now, wall), since);
            return;
        }
        self.main.fall_silent(&self.settings, now);
        if let Some(second) = &mut self.second {
            second.fall_silent(&self.settings, now);
        }
        self.suspect(now, wall);
    }

    /// One path is over while the other goes on: its address is no longer vouched for.
    fn drop_silent_path(&mut self, now: Moment) {
        let Some(second) = self.second else { return };
        let over = |lane: &Lane| lane.is_over(&self.settings, now);
        let keeps_main = match (over(&self.main), over(&second)) {
            (false, false) => return,
            (true, true) => self.main.over_at(&self.settings) >= second.over_at(&self.settings),
            (main_is_over, _) => !main_is_over,
        };
        if !keeps_main {
            self.main = second;
            self.unanswered = Unanswered::default();
        }
        self.second = None;
        self.note_addresses();
    }

    /// Whether silence neutralises the line now, unless it is withheld.
    #[must_use]
    pub fn is_due_to_fall(&self, now: Moment) -> bool {
        let is_over = |lane: &Lane| lane.is_over(&self.settings, now);
        self.is_counting() && is_over(&self.main) && self.second.as_ref().is_none_or(is_over)
    }

    /// Whether the silence of a path is to be believed now, unless it is withheld: its address goes, and with the last
    /// path the line falls.
    #[must_use]
    pub fn is_due_to_lose(&self, now: Moment) -> bool {
        let is_over = |lane: &Lane| lane.is_over(&self.settings, now);
        self.is_counting() && (is_over(&self.main) || self.second.as_ref().is_some_and(is_over))
    }

    /// The silence is taken to be our own fault: a path whose time is over stays until a beat comes or
    /// [`release`](Self::release), and the line SUSPECT if that is so of all its paths.
    pub fn withhold(&mut self, now: Moment, wall: WallTime) {
        for lane in [Some(&mut self.main), self.second.as_mut()].into_iter().flatten() {
            lane.fall_silent(&self.settings, now);
            if lane.is_over(&self.settings, now) {
                lane.silence = Silence::Withheld;
            }
        }
        self.suspect(now, wall);
        let is_withheld = |lane: &Lane| lane.silence == Silence::Withheld;
        let is_all = is_withheld(&self.main) && self.second.as_ref().is_none_or(is_withheld);
        if is_all && self.no_data_since.is_none() {
            let since = self.suspect_since.unwrap_or(wall);
            self.no_data_since = Some(since);
            self.push_no_data(since, wall, false);
        }
    }

    /// Silence counts again, at the earliest from `from` on.
    pub fn release(&mut self, from: Moment) {
        self.main.release(from);
        if let Some(second) = &mut self.second {
            second.release(from);
        }
    }

    /// How the line counts for the judgement on silence of many.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        let is_silent = self.suspect_since.is_some();
        let second = self.second.as_ref().map(|lane| lane.mark(&self.settings));
        let mark = Mark { is_silent, main: self.main.mark(&self.settings), second };
        self.is_counting().then_some(mark)
    }

    /// When the first missed beat was due.
    fn first_miss(&self, now: Moment, wall: WallTime) -> WallTime {
        let due = |lane: &Lane| lane.counted_from + lane.interval;
        wall - now.since(self.second.as_ref().map(due).map_or(due(&self.main), |second| second.max(due(&self.main))))
    }

    /// SUSPECT, if all paths are silent.
    fn suspect(&mut self, now: Moment, wall: WallTime) {
        let is_silent = self.main.is_silent() && self.second.as_ref().is_none_or(Lane::is_silent);
        if is_silent && self.suspect_since.is_none() {
            self.suspect_since = Some(self.first_miss(now, wall));
            self.note_suspicion(true);
        }
    }

    fn end_no_data(&mut self, wall: WallTime) {
        if let Some(since) = self.no_data_since.take() {
            self.push_no_data(since, wall, true);
        }
    }

    fn push_no_data(&mut self, since: WallTime, at: WallTime, is_over: bool) {
        let (account, endpoint) = (self.watched.account, self.watched.endpoint);
        self.outputs.push_back(Output::Row(HistoryRow::NoData(NoData { account, endpoint, since, at, is_over })));
    }

    /// When the changes of the line no longer count.
    pub(in crate::liveness) fn calm_at(&self) -> Option<Moment> {
        self.damping.as_ref().and_then(|damping| damping.idle_at())
    }

    /// Lets go of what no longer matters, so that a calm line is small again.
    pub(in crate::liveness) fn forget(&mut self, now: Moment) {
        if self.damping.as_ref().is_some_and(|damping| damping.is_idle(now)) {
            self.damping = None;
        }
        if self.stored_interval.1.is_some_and(|at| now.since(at) >= INTERVAL_ROWS_APART) {
            self.stored_interval.1 = None;
        }
    }

    fn note_interval(&mut self, beat: &Beat, wall: WallTime) {
        let (stored, written) = self.stored_interval;
        if stored == beat.interval || written.is_some() || beat.path != self.main.path {
            return;
        }
        self.stored_interval = (beat.interval, Some(beat.at));
        let (account, endpoint) = (self.watched.account, self.watched.endpoint);
        let change = IntervalChange { account, endpoint, interval: beat.interval, at: wall };
        self.outputs.push_back(Output::Row(HistoryRow::Interval(change)));
    }

    /// The silence may have been our own: a full window from `now`, and no mail until the next beat.
    pub fn grant_window(&mut self, now: Moment) {
        self.main.grant_window(now);
        if let Some(second) = &mut self.second {
            second.grant_window(now);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        let due = |lane: &Lane| lane.poll_timeout(&self.settings);
        let both = [due(&self.main), self.second.as_ref().and_then(due)];
        both.into_iter().flatten().min().filter(|_| self.is_counting())
    }

    /// The next thing to be written or told.
    pub fn poll_transition(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The state, SUSPECT included.
    #[must_use]
    pub const fn state(&self) -> LineState {
        if self.suspect_since.is_some() { LineState::Suspect } else { recorded(self.phase) }
    }

    /// Silence that neutralises this line.
    #[must_use]
    pub fn neutralised_after(&self) -> Duration {
        self.settings.window(self.main.interval)
    }

    /// The path that mail goes over: the one that speaks for the line, unless it alone is silent.
    fn best(&self) -> &Lane {
        match &self.second {
            Some(second) if self.main.is_silent() && !second.is_silent() => second,
            Some(second) if self.main.last.is_none() && second.last.is_some() => second,
            Some(_) | None => &self.main,
        }
    }

    const fn is_counting(&self) -> bool {
        matches!(self.phase, Phase::Returning { .. } | Phase::Online)
    }

    fn change(&mut self, to: Phase, cause: Cause, (now, at): (Moment, WallTime), since: WallTime) {
        if to == Phase::Offline {
            self.end_no_data(at);
        }
        let row = Transition {
            account: self.watched.account,
            endpoint: self.watched.endpoint,
            from: recorded(self.phase),
            to: recorded(to),
            cause,
            at,
            since,
            address: self.best().heard_address(),
        };
        if self.is_come_or_gone(to) {
            self.damp(now, at);
        }
        self.phase = to;
        self.since = Some(since);
        self.suspect_since = None;
        self.main.silence = Silence::None;
        if to == Phase::Offline {
            // The next presence may write its rhythm at once: an outage lies between.
            self.stored_interval.1 = None;
            self.second = None;
            self.main.proven_s = 0;
        }
        self.outputs.push_back(Output::Row(HistoryRow::State(row)));
    }

    /// A change between ONLINE and OFFLINE; RETURNING is the way from one to the other.
    const fn is_come_or_gone(&self, to: Phase) -> bool {
        matches!((self.phase, to), (Phase::Returning { .. }, Phase::Online) | (Phase::Online, Phase::Offline))
    }

    /// Every change counts, the first rise too; a calm line forgets them after the window (`forget`).
    fn damp(&mut self, now: Moment, wall: WallTime) {
        let (account, endpoint) = (self.watched.account, self.watched.endpoint);
        if let Some(held_for) = self.damping.get_or_insert_default().handle_change(now, wall) {
            self.outputs.push_back(Output::Alarm(Alarm::Flapping { account, endpoint, held_for }));
        }
    }

    /// Paths that are heard in time are not silent, and then the line is not SUSPECT.
    fn heal(&mut self, now: Moment) {
        for lane in [Some(&mut self.main), self.second.as_mut()].into_iter().flatten() {
            if now < lane.suspect_at(&self.settings) && lane.last.is_some() {
                lane.silence = Silence::None;
            }
        }
        let is_heard = !self.main.is_silent() || self.second.as_ref().is_some_and(|lane| !lane.is_silent());
        if is_heard && self.suspect_since.take().is_some() {
            self.note_suspicion(false);
        }
    }

    fn note_unanswered(&mut self, beat: &Beat) {
        if beat.path == self.main.path {
            self.unanswered = Unanswered::of_percent(beat.unanswered_percent);
        }
    }

    fn note_addresses(&mut self) {
        let (account, endpoint) = (self.watched.account, self.watched.endpoint);
        self.outputs.push_back(Output::Note(LineEvent::Addresses { account, endpoint }));
    }

    fn note_suspicion(&mut self, is_suspect: bool) {
        let (account, endpoint) = (self.watched.account, self.watched.endpoint);
        self.outputs.push_back(Output::Note(LineEvent::Suspicion { account, endpoint, is_suspect }));
    }

    fn note_mail(&mut self, mail_ok: Option<bool>) {
        let (account, endpoint) = (self.watched.account, self.watched.endpoint);
        match (self.mail_ok, mail_ok) {
            (Some(false), Some(true)) => {
                self.outputs.push_back(Output::Note(LineEvent::MailAccepted { account, endpoint }));
            }
            (None | Some(true), Some(false)) => {
                self.outputs.push_back(Output::Note(LineEvent::MailRefused { account, endpoint }));
            }
            (_, Some(false) | None) | (None | Some(true), Some(true)) => {}
        }
        self.mail_ok = mail_ok;
    }
}

/// Whether `beat` is another than the one due at `earlier`, not a copy of it: beats are due at least 0.5 intervals
/// apart (docs/PROTOCOL.md §8).
fn is_another_beat(earlier: Moment, beat: &Beat) -> bool {
    beat.base >= earlier + beat.interval * 2 / 5
}

const fn recorded(phase: Phase) -> LineState {
    match phase {
        Phase::New => LineState::New,
        Phase::Returning { .. } => LineState::Returning,
        Phase::Online => LineState::Online,
        Phase::Offline => LineState::Offline,
    }
}

mod lane;
mod packed;
mod shown;

use packed::Unanswered;
pub(super) use packed::{Apart, Epoch, Kept, Packed, PackedPaths};

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
