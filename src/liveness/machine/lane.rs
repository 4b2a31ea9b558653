//! One path of a client as its line sees it: where it was last heard, and how long its silence may be.

use std::net::IpAddr;
use std::time::Duration;

use super::{Beat, Settings};
use crate::base::{Moment, WallTime};
use crate::liveness::guard::{LaneMark, Network};
use crate::liveness::view::{FamilyView, HeardAt};

/// How far the silence of a path has gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Silence {
    /// It is heard.
    None,
    /// A beat is missed.
    Missed,
    /// It would be over by now, but the silence is taken to be our own fault.
    Withheld,
}

/// One path: 0 or 1 (docs/PROTOCOL.md §5).
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Lane {
    pub(super) path: u8,
    /// Where it was heard, or where it was before our own start.
    pub(super) address: Option<IpAddr>,
    /// Whether the address is only that of before our own start.
    pub(super) is_stored: bool,
    /// Since when it is heard there, seconds since 1970; 0 while it was not since our own start.
    pub(super) proven_s: u32,
    /// Silence is counted from here.
    pub(super) counted_from: Moment,
    pub(super) interval: Duration,
    /// The newest beat; absent after an absence of our own.
    pub(super) last: Option<Beat>,
    pub(super) silence: Silence,
}

impl Lane {
    /// A path that has a full window from `now` to be heard in.
    pub(super) const fn waiting(path: u8, stored: Option<IpAddr>, interval: Duration, now: Moment) -> Self {
        Self {
            path,
            address: stored,
            is_stored: true,
            proven_s: 0,
            counted_from: now,
            interval,
            last: None,
            silence: Silence::None,
        }
    }

    /// When it becomes silent.
    pub(super) fn suspect_at(&self, settings: &Settings) -> Moment {
        self.counted_from + settings.suspicion(self.interval)
    }

    /// When its silence is long enough to be believed.
    pub(super) fn over_at(&self, settings: &Settings) -> Moment {
        self.counted_from + settings.window(self.interval)
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silence != Silence::None
    }

    /// Whether its silence is to be believed now, unless it is withheld.
    pub(super) fn is_over(&self, settings: &Settings, now: Moment) -> bool {
        self.silence != Silence::Withheld && now >= self.over_at(settings)
    }

    /// The next moment at which something about its silence changes.
    pub(super) fn poll_timeout(&self, settings: &Settings) -> Option<Moment> {
        match self.silence {
            Silence::None => Some(self.suspect_at(settings)),
            Silence::Missed => Some(self.over_at(settings)),
            Silence::Withheld => None,
        }
    }

    /// A newer beat came.
    pub(super) fn hear(&mut self, beat: &Beat, wall: WallTime) {
        self.counted_from = self.counted_from.max(beat.base);
        self.interval = beat.interval;
        self.last = Some(*beat);
        if self.silence == Silence::Withheld {
            self.silence = Silence::Missed;
        }
        self.set_address(beat.address);
        if self.proven_s == 0 {
            self.proven_s = u32::try_from(wall.timestamp()).unwrap_or(0);
        }
    }

    /// The address was proven.
    pub(super) fn set_address(&mut self, address: IpAddr) {
        if self.address != Some(address) {
            self.proven_s = 0;
        }
        self.address = Some(address);
        self.is_stored = false;
    }

    /// Where it was heard since our own start.
    pub(super) fn heard_address(&self) -> Option<IpAddr> {
        self.address.filter(|_| !self.is_stored)
    }

    /// Time passed: true if the path became silent by that.
    pub(super) fn fall_silent(&mut self, settings: &Settings, now: Moment) -> bool {
        let falls = self.silence == Silence::None && now >= self.suspect_at(settings);
        if falls {
            self.silence = Silence::Missed;
        }
        falls
    }

    /// The silence may have been our own.
    pub(super) fn grant_window(&mut self, now: Moment) {
        self.counted_from = self.counted_from.max(now);
        self.last = None;
    }

    /// Silence counts again, at the earliest from `from` on.
    pub(super) fn release(&mut self, from: Moment) {
        if self.silence == Silence::Withheld {
            self.silence = Silence::Missed;
            self.counted_from = self.counted_from.max(from);
        }
    }

    pub(super) fn mark(&self, settings: &Settings) -> LaneMark {
        let is_quick = self.last.is_some() && settings.suspicion(self.interval) < settings.window(settings.interval);
        LaneMark { network: Network::of(self.address), is_silent: self.is_silent(), is_quick }
    }

    /// How its family stands.
    pub(super) fn family(&self, settings: &Settings, now: Moment) -> Option<FamilyView> {
        let is_heard = !self.is_stored && self.last.is_some();
        Some(FamilyView {
            address: self.address?,
            path: self.path,
            proven_since: WallTime::from_timestamp(i64::from(self.proven_s), 0).filter(|_| self.proven_s > 0),
            silent_for: is_heard.then(|| now.since(self.counted_from)),
            goes_after: settings.window(self.interval),
            loss_percent: self.last.filter(|_| is_heard).map(|last| last.loss_percent),
            mail_host: None,
        })
    }

    /// For the other rooms.
    pub(super) fn heard_at(&self) -> Option<(IpAddr, HeardAt)> {
        let beat = if self.is_stored { None } else { self.last.map(|last| last.base) };
        self.address.map(|address| (address, HeardAt { path: self.path, beat }))
    }
}
