//! Decides what goes out through which channel, and when: after the channel's delay, outside its quiet hours, once an
//! episode, again after a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::event::{Event, Fact, Phase};
use super::store::{AlertRows, ChannelRow, OutboxChange, Outgoing, Record, Terms};
use crate::base::{AccountId, WallTime};

/// Alerts of one channel that may wait; what comes beyond is lost, counted and logged.
pub const WAITING_PER_CHANNEL_MAX: usize = 200;
/// After so long without success an alert is given up.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// But not before so many attempts: we may have been away ourselves.
pub const ATTEMPTS_MIN: u32 = 9;
/// The same trouble, raised anew within this time, is the same episode where nothing else tells.
pub const SAME_WITHIN: Duration = Duration::from_secs(24 * 3_600);
/// How long it is remembered that something without an end was told.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(31 * 86_400);
/// Pauses after the first, second ... failed attempt, in seconds; the last one from then on. Up to a fifth is added by
/// chance.
pub const PAUSES_S: [u64; 9] = [10, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600];
/// A clock that went back further than this since an alert was made is not waited for.
const CLOCK_BACK_MAX: Duration = Duration::from_secs(3_600);

#[derive(Debug)]
struct Target {
    account: Option<AccountId>,
    terms: Terms,
    record: Record,
    /// Nothing goes out before, because the last attempt failed.
    rests_until: Option<WallTime>,
    /// The alert that is being sent.
    busy_with: Option<i64>,
}

/// All channels and their alerts. Reads no clock and sends nothing.
///
/// Call `handle_*`, write what [`take_changes`](Self::take_changes) gives to the disk, and only then send what
/// [`poll_send`](Self::poll_send) gives.
#[derive(Debug, Default)]
pub struct Dispatch {
    targets: BTreeMap<i64, Target>,
    rows: BTreeMap<(i64, i64), Outgoing>,
    /// Alerts that wait, by time.
    due: BTreeSet<(WallTime, i64, i64)>,
    open: BTreeMap<(i64, String), i64>,
    changes: Vec<OutboxChange>,
    last_id: i64,
}

impl Dispatch {
    /// Goes on with what was stored.
    #[must_use]
    pub fn new(stored: AlertRows) -> Self {
        let mut dispatch = Self::default();
        dispatch.handle_channels(stored.channels);
        for row in stored.outbox {
            dispatch.last_id = dispatch.last_id.max(row.id);
            let Some(target) = dispatch.targets.get_mut(&row.channel) else { continue };
            if row.sent_at.is_none() && row.attempts > 0 {
                target.rests_until = target.rests_until.max(Some(row.due_at));
            }
            dispatch.index(row);
        }
        dispatch
    }

    /// Channels were added or removed. What became of those that stay is known here already.
    pub fn handle_channels(&mut self, channels: Vec<ChannelRow>) {
        let mut before = std::mem::take(&mut self.targets);
        for row in channels {
            let (account, terms) = (row.account, row.terms);
            let fresh = Target { account, terms, record: row.record, rests_until: None, busy_with: None };
            let known = before.remove(&row.id).map(|known| Target { account, terms, ..known });
            self.targets.insert(row.id, known.unwrap_or(fresh));
        }
        for gone in before.into_keys() {
            let ids: Vec<i64> = self.rows.range((gone, i64::MIN)..=(gone, i64::MAX)).map(|((_, id), _)| *id).collect();
            for id in ids {
                self.remove(gone, id);
            }
        }
    }

    /// Something happened.
    pub fn handle_event(&mut self, event: &Event, now: WallTime) {
        let Some(kind) = event.fact.kind() else { return };
        let wants = |target: &Target| {
            let is_theirs = match (target.account, event.account) {
                (Some(own), Some(account)) => own == account,
                (Some(_), None) => false,
                (None, _) => true,
            };
            is_theirs && target.terms.kinds.has(kind)
        };
        let channels: Vec<i64> = if event.fact.phase() == Phase::End {
            let key = event.key();
            self.targets.keys().copied().filter(|channel| self.open.contains_key(&(*channel, key.clone()))).collect()
        } else {
            self.targets.iter().filter(|(_, target)| wants(target)).map(|(channel, _)| *channel).collect()
        };
        for channel in channels {
            match event.fact.phase() {
                Phase::Begin => self.begin(channel, event, now, true),
                Phase::Once => self.begin(channel, event, now, false),
                Phase::End => self.end(channel, event, now),
            }
        }
    }

    fn begin(&mut self, channel: i64, event: &Event, now: WallTime, has_end: bool) {
        let key = (channel, event.key());
        if let Some(before) = self.open.get(&key).and_then(|id| self.rows.get(&(channel, *id))) {
            let is_same = match (before.event.since, event.since) {
                (Some(before), Some(since)) => before == since,
                (_, _) => now < before.made_at + SAME_WITHIN,
            };
            if is_same {
                return;
            }
            let id = before.id;
            self.close(channel, id);
        }
        let Some(target) = self.targets.get(&channel) else { return };
        let delay = if has_end { target.terms.delay } else { Duration::ZERO };
        self.add(channel, event, now, delay, true);
    }

    fn end(&mut self, channel: i64, event: &Event, now: WallTime) {
        let Some(id) = self.open.get(&(channel, event.key())).copied() else { return };
        let Some(row) = self.rows.get(&(channel, id)) else { return };
        let mut event = event.clone();
        if let (Fact::Back { after_s }, Some(down), Some(up)) = (&mut event.fact, row.event.since, event.since) {
            *after_s = u64::try_from((up - down).num_seconds()).unwrap_or(0);
        }
        event.since = row.event.since;
        let is_busy = self.targets.get(&channel).is_some_and(|target| target.busy_with == Some(id));
        let is_untold = row.sent_at.is_none() && row.attempts == 0 && !is_busy;
        self.close(channel, id);
        let tells_ends = self.targets.get(&channel).is_some_and(|target| target.terms.recovery);
        if !is_untold && tells_ends {
            self.add(channel, &event, now, Duration::ZERO, false);
        }
    }

    /// Its trouble is over, or is another one now: an alert that was told, or that nobody has tried to tell, goes; one
    /// that may have arrived is still told.
    fn close(&mut self, channel: i64, id: i64) {
        let is_busy = self.targets.get(&channel).is_some_and(|target| target.busy_with == Some(id));
        let Some(row) = self.rows.get(&(channel, id)) else { return };
        if row.sent_at.is_some() || (row.attempts == 0 && !is_busy) {
            self.remove(channel, id);
            self.changes.push(OutboxChange::Drop(id));
        } else {
            let mut row = row.clone();
            self.open.remove(&(channel, row.key.clone()));
            row.is_open = false;
            self.keep(row);
        }
    }

    fn add(&mut self, channel: i64, event: &Event, now: WallTime, delay: Duration, is_open: bool) {
        let Some(target) = self.targets.get_mut(&channel) else { return };
        let waiting = self.rows.range((channel, i64::MIN)..=(channel, i64::MAX));
        if waiting.filter(|(_, row)| row.sent_at.is_none()).count() >= WAITING_PER_CHANNEL_MAX {
            target.record.lost_total += 1;
            target.record.last_error = Some(format!("{WAITING_PER_CHANNEL_MAX} alerts wait already"));
            target.record.last_error_at = Some(now);
            self.changes.push(OutboxChange::Note(channel, target.record.clone()));
            return;
        }
        let due_at = target.terms.quiet.map_or(now + delay, |quiet| quiet.end(target.terms.zone, now + delay));
        self.last_id = now.timestamp_millis().max(self.last_id + 1);
        self.keep(Outgoing {
            id: self.last_id,
            channel,
            key: event.key(),
            event: event.clone(),
            made_at: now,
            due_at,
            attempts: 0,
            tried_at: None,
            is_open,
            sent_at: None,
        });
    }

    /// An alert got through.
    pub fn handle_sent(&mut self, channel: i64, id: i64, now: WallTime) {
        let Some(target) = self.targets.get_mut(&channel) else { return };
        target.busy_with = None;
        target.rests_until = None;
        target.record.last_sent_at = Some(now);
        target.record.failures = 0;
        self.changes.push(OutboxChange::Note(channel, target.record.clone()));
        let Some(row) = self.rows.get(&(channel, id)) else { return };
        if row.is_open {
            let row = Outgoing { sent_at: Some(now), ..row.clone() };
            self.keep(row);
        } else {
            self.remove(channel, id);
            self.changes.push(OutboxChange::Drop(id));
        }
    }

    /// An alert did not get through. `draw` is a random number. True if it is given up.
    pub fn handle_failed(&mut self, channel: i64, id: i64, why: String, now: WallTime, draw: u32) -> bool {
        let Some(target) = self.targets.get_mut(&channel) else { return false };
        target.busy_with = None;
        target.record.failures += 1;
        target.record.failed_total += 1;
        target.record.last_error = Some(why);
        target.record.last_error_at = Some(now);
        let mut until = now + pause(target.record.failures, draw);
        if let Some(quiet) = target.terms.quiet {
            until = quiet.end(target.terms.zone, until);
        }
        target.rests_until = Some(until);
        let mut given_up = false;
        if let Some(row) = self.rows.get(&(channel, id)) {
            let mut row = row.clone();
            row.attempts += 1;
            let tried_at = *row.tried_at.get_or_insert(now);
            row.due_at = until;
            given_up = now >= tried_at + GIVE_UP_AFTER && row.attempts >= ATTEMPTS_MIN;
            if given_up {
                target.record.lost_total += 1;
                self.remove(channel, id);
                self.changes.push(OutboxChange::Drop(id));
            } else {
                self.keep(row);
            }
        }
        if let Some(target) = self.targets.get(&channel) {
            self.changes.push(OutboxChange::Note(channel, target.record.clone()));
        }
        given_up
    }

    /// A test by hand got through, or not.
    pub fn handle_tested(&mut self, channel: i64, outcome: &Result<(), String>, now: WallTime) {
        let Some(target) = self.targets.get_mut(&channel) else { return };
        match outcome {
            Ok(()) => {
                target.record.last_sent_at = Some(now);
                target.record.failures = 0;
                // It works again: what waits is tried at once.
                target.rests_until = None;
            }
            Err(why) => {
                target.record.failures += 1;
                target.record.failed_total += 1;
                target.record.last_error = Some(why.clone());
                target.record.last_error_at = Some(now);
            }
        }
        self.changes.push(OutboxChange::Note(channel, target.record.clone()));
    }

    /// Forgets what has no end and was told long ago.
    pub fn handle_age(&mut self, now: WallTime) {
        let is_old = |row: &Outgoing| {
            row.event.fact.phase() == Phase::Once && row.sent_at.is_some_and(|at| now > at + REMEMBERED_FOR)
        };
        let old: Vec<(i64, i64)> = self.rows.iter().filter(|(_, row)| is_old(row)).map(|(key, _)| *key).collect();
        for (channel, id) in old {
            self.remove(channel, id);
            self.changes.push(OutboxChange::Drop(id));
        }
    }

    /// What has to be on the disk before the next alert goes out.
    pub fn take_changes(&mut self) -> Vec<OutboxChange> {
        std::mem::take(&mut self.changes)
    }

    /// The next alert to send. One of each channel is on its way at most; in the order in which they were made.
    pub fn poll_send(&mut self, now: WallTime) -> Option<Outgoing> {
        let is_due = |at: WallTime, made_at: WallTime| at <= now || now + CLOCK_BACK_MAX < made_at;
        let is_free = |channel: i64| {
            self.targets.get(&channel).is_some_and(|target| {
                target.busy_with.is_none() && target.rests_until.is_none_or(|until| is_due(until, until - PAUSE_MAX))
            })
        };
        let channel = self.due.iter().find_map(|(at, channel, id)| {
            let row = self.rows.get(&(*channel, *id))?;
            (is_due(*at, row.made_at) && is_free(*channel)).then_some(*channel)
        })?;
        let mut own = self.rows.range((channel, i64::MIN)..=(channel, i64::MAX)).map(|(_, row)| row);
        let row = own.find(|row| row.sent_at.is_none() && is_due(row.due_at, row.made_at))?.clone();
        if let Some(target) = self.targets.get_mut(&channel) {
            target.busy_with = Some(row.id);
        }
        Some(row)
    }

    /// When [`poll_send`](Self::poll_send) has something to give, if nothing else happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<WallTime> {
        let mut first: Option<WallTime> = None;
        for (at, channel, _) in &self.due {
            if first.is_some_and(|first| first <= *at) {
                break;
            }
            let Some(target) = self.targets.get(channel).filter(|target| target.busy_with.is_none()) else { continue };
            let at = target.rests_until.map_or(*at, |until| until.max(*at));
            first = Some(first.map_or(at, |first| first.min(at)));
        }
        first
    }

    /// How the texts of a channel are written.
    #[must_use]
    pub fn terms(&self, channel: i64) -> Option<Terms> {
        self.targets.get(&channel).map(|target| target.terms)
    }

    fn keep(&mut self, row: Outgoing) {
        self.changes.push(OutboxChange::Put(Box::new(row.clone())));
        self.index(row);
    }

    fn index(&mut self, row: Outgoing) {
        self.unindex(row.channel, row.id);
        if row.sent_at.is_none() {
            self.due.insert((row.due_at, row.channel, row.id));
        }
        if row.is_open {
            self.open.insert((row.channel, row.key.clone()), row.id);
        }
        self.rows.insert((row.channel, row.id), row);
    }

    fn unindex(&mut self, channel: i64, id: i64) {
        if let Some(before) = self.rows.get(&(channel, id)) {
            self.due.remove(&(before.due_at, channel, id));
        }
    }

    fn remove(&mut self, channel: i64, id: i64) {
        self.unindex(channel, id);
        if let Some(row) = self.rows.remove(&(channel, id)) {
            let key = (channel, row.key);
            if self.open.get(&key) == Some(&id) {
                self.open.remove(&key);
            }
        }
    }
}

/// The longest of [`PAUSES_S`] with what is added to it, and quiet hours behind it.
const PAUSE_MAX: Duration = Duration::from_secs(26 * 3_600);

/// The pause after so many failures.
fn pause(failures: u64, draw: u32) -> Duration {
    let place = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(PAUSES_S.len() - 1);
    let pause = Duration::from_secs(PAUSES_S.get(place).copied().unwrap_or(3_600));
    pause + pause.mul_f64(f64::from(draw) / f64::from(u32::MAX) / 5.0)
}

#[cfg(test)]
#[path = "dispatch_tests.rs"]
mod tests;
