//! Is this one mail server there? Decides from its beats and from silence.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use super::damping::Damping;
use super::guard::{Alarm, Family, Mark};
use super::recent::Recent;
use super::transition::{
    AddressChange, Cause, HistoryRow, IntervalChange, LineState, NoData, Transition, WatchedEndpoint,
};
use super::view::{LineEvent, LineView};
use crate::base::{Moment, WallTime};

/// Silence after which a line with an interval of up to 5 s is OFFLINE at the latest: the promise to customers
/// (SEMANTICS: three missed at 5 s).
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
    /// Silence is counted from here.
    counted_from: Moment,
    interval: Duration,
    last: Option<Beat>,
    last_at: Option<WallTime>,
    address: Option<IpAddr>,
    mail_ok: Option<bool>,
    recent: Recent,
    recent_base: Option<Moment>,
    /// The rhythm as stored, and when a change of it was last written.
    stored_interval: (Duration, Option<Moment>),
    /// Set while the silence is taken to be our own fault, and after it until a beat comes or the line is neutralised.
    no_data_since: Option<WallTime>,
    /// The guard keeps the line from being neutralised.
    is_withheld: bool,
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
        Self {
            settings,
            phase,
            since: watched.since,
            suspect_since: None,
            counted_from: now,
            interval,
            last: None,
            last_at: None,
            address: None,
            mail_ok: None,
            recent: Recent::default(),
            recent_base: None,
            stored_interval: (interval, None),
            no_data_since: watched.no_data_since.filter(|_| !matches!(phase, Phase::New | Phase::Offline)),
            is_withheld: false,
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
        let is_newest = self.last.is_none_or(|last| beat.base > last.base);
        if is_newest {
            self.counted_from = self.counted_from.max(beat.base);
            self.interval = beat.interval;
            self.last = Some(*beat);
            self.last_at = Some(wall);
            self.hear(beat.address);
            self.note_mail(beat.mail_ok);
            self.forget(beat.at);
            self.note_interval(beat, wall);
            self.end_no_data(wall);
            if self.recent_base.is_none_or(|recent| is_another_beat(recent, beat)) {
                self.recent.push(self.recent_base.map(|recent| beat.base.since(recent)), beat.interval);
                self.recent_base = Some(beat.base);
            }
        }
        match self.phase {
            Phase::New | Phase::Offline => {
                self.counted_from = beat.base;
                self.change(Phase::Returning { first: Some(beat.base) }, Cause::Beat, (beat.at, wall), wall);
            }
            Phase::Returning { first: None } => self.phase = Phase::Returning { first: Some(beat.base) },
            Phase::Returning { first: Some(first) } if is_another_beat(first, beat) => {
                self.change(Phase::Online, Cause::Confirmed, (beat.at, wall), wall);
            }
            Phase::Returning { first: Some(_) } | Phase::Online => {}
        }
        if beat.at < self.counted_from + self.settings.suspicion(self.interval) {
            self.heal();
        }
    }

    /// The client stops on purpose: OFFLINE at once.
    pub fn handle_goodbye(&mut self, now: Moment, wall: WallTime) {
        match self.phase {
            Phase::Returning { .. } | Phase::Online => self.change(Phase::Offline, Cause::Goodbye, (now, wall), wall),
            Phase::New | Phase::Offline => {}
        }
    }

    /// The primary greeted at the address of the beats: a return is confirmed, unless beats are missing by now.
    pub fn handle_greeting(&mut self, now: Moment, wall: WallTime) {
        if matches!(self.phase, Phase::Returning { first: Some(_) }) && self.suspect_since.is_none() {
            self.change(Phase::Online, Cause::Confirmed, (now, wall), wall);
        }
    }

    /// A run of the client was proven at `address`.
    pub fn handle_opened(&mut self, address: IpAddr) {
        self.hear(address);
    }

    /// The proven address of a family changed.
    pub fn handle_moved(&mut self, from: Option<IpAddr>, to: IpAddr, wall: WallTime) {
        self.address = Some(to);
        let (account, endpoint) = (self.watched.account, self.watched.endpoint);
        let change = AddressChange { account, endpoint, from, to, at: wall };
        self.outputs.push_back(Output::Row(HistoryRow::Address(change)));
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Moment, wall: WallTime) {
        if !self.is_counting() || self.is_withheld {
            return;
        }
        if self.is_due_to_fall(now) {
            // Of the time before, nothing is known: the outage begins where that ends.
            let since = if self.no_data_since.is_some() { wall } else { self.first_miss(now, wall) };
            self.change(Phase::Offline, Cause::MissedBeats, (now, wall), since);
        } else if now >= self.counted_from + self.settings.suspicion(self.interval) {
            self.suspect(now, wall);
        }
    }

    /// Whether silence neutralises the line now, unless it is withheld.
    #[must_use]
    pub fn is_due_to_fall(&self, now: Moment) -> bool {
        self.is_counting() && now >= self.counted_from + self.settings.window(self.interval)
    }

    /// The silence is taken to be our own fault: SUSPECT until a beat comes or [`release`](Self::release).
    pub fn withhold(&mut self, now: Moment, wall: WallTime) {
        self.suspect(now, wall);
        self.is_withheld = true;
        if self.no_data_since.is_none() {
            let since = self.suspect_since.unwrap_or(wall);
            self.no_data_since = Some(since);
            self.push_no_data(since, wall, false);
        }
    }

    /// Silence counts again, at the earliest from `from` on.
    pub fn release(&mut self, from: Moment) {
        if self.is_withheld {
            self.is_withheld = false;
            self.counted_from = self.counted_from.max(from);
        }
    }

    /// How the line counts for the judgement on silence of many.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        let mark = Mark { family: Family::of(self.address), is_silent: self.suspect_since.is_some() };
        self.is_counting().then_some(mark)
    }

    /// When the first missed beat was due.
    fn first_miss(&self, now: Moment, wall: WallTime) -> WallTime {
        wall - now.since(self.counted_from + self.interval)
    }

    fn suspect(&mut self, now: Moment, wall: WallTime) {
        if self.suspect_since.is_none() {
            self.suspect_since = Some(self.first_miss(now, wall));
            self.note_suspicion(true);
        }
    }

    fn end_no_data(&mut self, wall: WallTime) {
        self.is_withheld = false;
        if let Some(since) = self.no_data_since.take() {
            self.push_no_data(since, wall, true);
        }
    }

    fn push_no_data(&mut self, since: WallTime, at: WallTime, is_over: bool) {
        let (account, endpoint) = (self.watched.account, self.watched.endpoint);
        self.outputs.push_back(Output::Row(HistoryRow::NoData(NoData { account, endpoint, since, at, is_over })));
    }

    /// Lets go of what no longer matters, so that a calm line is small again.
    fn forget(&mut self, now: Moment) {
        if self.damping.as_ref().is_some_and(|damping| damping.is_idle(now)) {
            self.damping = None;
        }
        if self.stored_interval.1.is_some_and(|at| now.since(at) >= INTERVAL_ROWS_APART) {
            self.stored_interval.1 = None;
        }
    }

    fn note_interval(&mut self, beat: &Beat, wall: WallTime) {
        let (stored, written) = self.stored_interval;
        if stored == beat.interval || written.is_some() {
            return;
        }
        self.stored_interval = (beat.interval, Some(beat.at));
        let (account, endpoint) = (self.watched.account, self.watched.endpoint);
        let change = IntervalChange { account, endpoint, interval: beat.interval, at: wall };
        self.outputs.push_back(Output::Row(HistoryRow::Interval(change)));
    }

    /// The silence may have been our own: a full window from `now`, and no mail until the next beat.
    pub fn grant_window(&mut self, now: Moment) {
        self.counted_from = self.counted_from.max(now);
        self.last = None;
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        if !self.is_counting() || self.is_withheld {
            return None;
        }
        let silence = if self.suspect_since.is_none() {
            self.settings.suspicion(self.interval)
        } else {
            self.settings.window(self.interval)
        };
        Some(self.counted_from + silence)
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
        self.settings.window(self.interval)
    }

    /// The line as other rooms see it.
    #[must_use]
    pub fn view(&self, now: Moment) -> LineView {
        let missed = match self.state() {
            LineState::Suspect | LineState::Offline if self.last.is_some() => {
                let beats = now.since(self.counted_from).as_millis() / self.interval.as_millis().max(1);
                u32::try_from(beats).unwrap_or(u32::MAX)
            }
            LineState::New | LineState::Online | LineState::Returning | LineState::Suspect | LineState::Offline => 0,
        };
        LineView {
            account: self.watched.account,
            endpoint: self.watched.endpoint,
            state: self.state(),
            since: self.suspect_since.or(self.since),
            last_beat: self.last.map(|beat| beat.base),
            last_beat_at: self.last_at,
            address: self.address,
            interval: self.interval,
            missed,
            mail_ok: self.mail_ok,
            loss_percent: self.last.map_or(0.0, |beat| beat.loss_percent),
            name_held_until: self.damping.as_ref().and_then(|damping| damping.held_until(now)),
            recent_beats: self.recent_beats(),
        }
    }

    fn recent_beats(&self) -> Vec<WallTime> {
        let (Some(newest), Some(base)) = (self.last_at, self.recent_base) else { return Vec::new() };
        // The newest beat that arrived may be a copy of the newest one shown.
        let copied_after = self.last.map_or(Duration::ZERO, |last| last.base.since(base));
        self.recent.times(newest - copied_after, self.interval)
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
            address: self.address,
        };
        if self.is_come_or_gone(to) {
            self.damp(now, at);
        }
        self.phase = to;
        self.since = Some(since);
        self.suspect_since = None;
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

    fn heal(&mut self) {
        if self.suspect_since.take().is_some() {
            self.note_suspicion(false);
        }
    }

    fn note_suspicion(&mut self, is_suspect: bool) {
        let (account, endpoint) = (self.watched.account, self.watched.endpoint);
        self.outputs.push_back(Output::Note(LineEvent::Suspicion { account, endpoint, is_suspect }));
    }

    fn hear(&mut self, address: IpAddr) {
        if self.address != Some(address) {
            let (account, endpoint) = (self.watched.account, self.watched.endpoint);
            self.outputs.push_back(Output::Note(LineEvent::Heard { account, endpoint, address }));
        }
        self.address = Some(address);
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

mod packed;

pub(super) use packed::{Epoch, Kept, Packed};

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
