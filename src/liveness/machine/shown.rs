//! The line as other rooms and people see it.

use std::time::Duration;

use super::{Lane, Machine};
use crate::base::{Moment, WallTime};
use crate::liveness::transition::LineState;
use crate::liveness::view::{EffectiveAddresses, Families, LineView};

impl Machine {
    /// The line as other rooms see it.
    #[must_use]
    pub fn view(&self, now: Moment) -> LineView {
        let best = self.best();
        let missed = match self.state() {
            LineState::Suspect | LineState::Offline if best.last.is_some() => {
                let beats = now.since(best.counted_from).as_millis() / best.interval.as_millis().max(1);
                u32::try_from(beats).unwrap_or(u32::MAX)
            }
            LineState::New | LineState::Online | LineState::Returning | LineState::Suspect | LineState::Offline => 0,
        };
        LineView {
            account: self.watched.account,
            endpoint: self.watched.endpoint,
            state: self.state(),
            since: self.suspect_since.or(self.since),
            last_beat: best.last.map(|beat| beat.base),
            last_beat_at: self.last_at,
            address: best.heard_address(),
            interval: best.interval,
            missed,
            mail_ok: self.mail_ok,
            loss_percent: best.last.map_or(0.0, |beat| beat.loss_percent),
            unanswered_percent: best.last.and_then(|_| self.unanswered.percent()),
            name_held_until: self.damping.as_ref().and_then(|damping| damping.held_until(now)),
            recent_beats: self.recent_beats(),
        }
    }

    /// The address of each family that the paths vouch for.
    #[must_use]
    pub fn effective_addresses(&self) -> EffectiveAddresses {
        let lanes = [Some(&self.main), self.second.as_ref()].into_iter().flatten().filter_map(Lane::heard_at);
        EffectiveAddresses::of(lanes.filter(|_| self.is_counting()))
    }

    /// How each family stands that the paths vouch for.
    #[must_use]
    pub fn families(&self, now: Moment) -> Families {
        let lanes = [Some(&self.main), self.second.as_ref()].into_iter().flatten();
        let views = lanes.filter_map(|lane| lane.family(&self.settings, now)).filter(|_| self.is_counting());
        Families::of(views)
    }

    fn recent_beats(&self) -> Vec<WallTime> {
        let (Some(newest), Some(base)) = (self.last_at, self.recent_base) else { return Vec::new() };
        // The newest beat that arrived may be a copy of the newest one shown.
        let copied_after = self.newest_base().map_or(Duration::ZERO, |newest| newest.since(base));
        self.recent.times(newest - copied_after, self.main.interval)
    }
}
