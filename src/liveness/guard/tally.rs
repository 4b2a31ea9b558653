//! How many lines and paths are heard and silent, in all and by network, and whether that is a mass.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::{LINES_MIN, LaneMark, Mark, Network, SHARE_MAX_PERCENT, WITNESSES_MIN};
use crate::base::Moment;

/// What fell is counted in steps of this.
const STEP: Duration = Duration::from_secs(1);

/// Those that are being heard or were a moment ago, and the silent ones among them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Count {
    pub(super) heard: u64,
    pub(super) silent: u64,
}

impl Count {
    const fn plus(self, other: Self) -> Self {
        Self { heard: self.heard + other.heard, silent: self.silent + other.silent }
    }

    const fn minus(self, other: Self) -> Self {
        Self { heard: self.heard.saturating_sub(other.heard), silent: self.silent.saturating_sub(other.silent) }
    }

    const fn is_mass(self) -> bool {
        self.silent >= LINES_MIN && self.is_large_share()
    }

    const fn is_large_share(self) -> bool {
        self.silent * 100 > self.heard * SHARE_MAX_PERCENT
    }

    /// Whether the silence is that of one network alone, as those outside of it prove that beats reach us.
    const fn is_of_one(self, network: Self) -> bool {
        let others = self.minus(network);
        let is_most = network.silent * 2 > self.silent;
        is_most && others.heard >= others.silent + WITNESSES_MIN && !others.is_large_share()
    }
}

/// All lines by what they are now.
#[derive(Default, Debug)]
pub(super) struct Tally {
    pub(super) lines: Count,
    /// Paths; at most 65,536 networks of IPv4, and of IPv6 as many as there are providers.
    networks: HashMap<Network, Count>,
    families: Families<Count>,
}

/// One of something for each address family.
#[derive(Clone, Copy, Default, Debug)]
struct Families<T> {
    v4: T,
    v6: T,
    unknown: T,
}

impl<T> Families<T> {
    const fn place(&mut self, network: Network) -> &mut T {
        match network {
            Network::V4(_) => &mut self.v4,
            Network::V6(_) => &mut self.v6,
            Network::Unknown => &mut self.unknown,
        }
    }
}

impl Tally {
    pub(super) fn put_in(&mut self, mark: &Mark) {
        self.lines = self.lines.plus(count(mark.is_silent));
        for lane in mark.lanes() {
            let one = count(lane.is_silent);
            let family = self.families.place(lane.network);
            *family = family.plus(one);
            let network = self.networks.entry(lane.network).or_default();
            *network = network.plus(one);
        }
    }

    pub(super) fn take_out(&mut self, mark: &Mark) {
        self.lines = self.lines.minus(count(mark.is_silent));
        for lane in mark.lanes() {
            let one = count(lane.is_silent);
            let family = self.families.place(lane.network);
            *family = family.minus(one);
            if let Some(network) = self.networks.get_mut(&lane.network) {
                *network = network.minus(one);
                if *network == Count::default() {
                    self.networks.remove(&lane.network);
                }
            }
        }
    }
}

const fn count(is_silent: bool) -> Count {
    Count { heard: 1, silent: if is_silent { 1 } else { 0 } }
}

/// What fell for silence a moment ago; it was being heard, and is not.
#[derive(Default, Debug)]
pub(super) struct Fallen {
    steps: VecDeque<(Moment, Step)>,
    lines: u64,
    families: Families<u64>,
    networks: HashMap<Network, u64>,
}

#[derive(Default, Debug)]
struct Step {
    lines: u64,
    networks: HashMap<Network, u64>,
}

impl Fallen {
    /// What `before` had and `after` has not.
    pub(super) fn note(&mut self, before: &Mark, after: Option<&Mark>, now: Moment) {
        let is_left = |lane: &LaneMark| after.is_some_and(|mark| mark.lanes().any(|left| left.network == lane.network));
        let lost = before.lanes().filter(|lane| !is_left(lane)).map(|lane| lane.network);
        if after.is_some() && before.second.is_none() {
            return;
        }
        if self.steps.back().is_none_or(|(step, _)| now.since(*step) >= STEP) {
            self.steps.push_back((now, Step::default()));
        }
        let Some((_, step)) = self.steps.back_mut() else { return };
        let lines = u64::from(after.is_none());
        step.lines += lines;
        self.lines += lines;
        for network in lost {
            *step.networks.entry(network).or_default() += 1;
            *self.networks.entry(network).or_default() += 1;
            *self.families.place(network) += 1;
        }
    }

    /// Lets go of what fell a window ago.
    pub(super) fn forget(&mut self, now: Moment, window: Duration) {
        while self.steps.front().is_some_and(|(step, _)| now.since(*step) >= window) {
            let Some((_, step)) = self.steps.pop_front() else { return };
            self.lines = self.lines.saturating_sub(step.lines);
            // The order of subtraction does not matter.
            for (network, fell) in step.networks.into_iter().collect::<Vec<_>>() {
                let family = self.families.place(network);
                *family = family.saturating_sub(fell);
                if let Some(all) = self.networks.get_mut(&network) {
                    *all = all.saturating_sub(fell);
                    if *all == 0 {
                        self.networks.remove(&network);
                    }
                }
            }
        }
    }

    pub(super) const fn lines(&self) -> u64 {
        self.lines
    }
}

/// Which silence is that of a mass.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Verdict {
    pub(super) all: bool,
    pub(super) v4: bool,
    pub(super) v6: bool,
}

impl Verdict {
    pub(super) const fn is_mass(self) -> bool {
        self.all || self.v4 || self.v6
    }
}

/// Is the silence that of a mass, and not of one provider alone?
pub(super) fn judge(counted: &Tally, fallen: &Fallen) -> Verdict {
    let fell = |fell: u64| Count { heard: fell, silent: fell };
    let v4 = counted.families.v4.plus(fell(fallen.families.v4));
    let v6 = counted.families.v6.plus(fell(fallen.families.v6));
    let unknown = counted.families.unknown.plus(fell(fallen.families.unknown));
    let lines = counted.lines.plus(fell(fallen.lines));
    let raw = Verdict { all: lines.is_mass(), v4: v4.is_mass(), v6: v6.is_mass() };
    if !raw.is_mass() {
        return raw;
    }
    let mut worst = Families::<Count>::default();
    let mut look = |network: Network, count: Count| {
        let place = worst.place(network);
        if count.silent > place.silent {
            *place = count;
        }
    };
    for network in counted.networks.keys().chain(fallen.networks.keys()).copied().collect::<Vec<_>>() {
        let now = counted.networks.get(&network).copied().unwrap_or_default();
        look(network, now.plus(fell(fallen.networks.get(&network).copied().unwrap_or(0))));
    }
    let (worst_v4, worst_v6) = (worst.v4, worst.v6);
    let all = v4.plus(v6).plus(unknown);
    let worst_of_all = if worst_v4.silent >= worst_v6.silent { worst_v4 } else { worst_v6 };
    Verdict {
        all: raw.all && !all.is_of_one(worst_of_all),
        v4: raw.v4 && !v4.is_of_one(worst_v4),
        v6: raw.v6 && !v6.is_of_one(worst_v6),
    }
}
