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
    /// Those not silent whose beats prove that beats reach us.
    witnesses: u64,
}

impl Count {
    const fn plus(self, other: Self) -> Self {
        Self {
            heard: self.heard + other.heard,
            silent: self.silent + other.silent,
            witnesses: self.witnesses + other.witnesses,
        }
    }

    const fn minus(self, other: Self) -> Self {
        Self {
            heard: self.heard.saturating_sub(other.heard),
            silent: self.silent.saturating_sub(other.silent),
            witnesses: self.witnesses.saturating_sub(other.witnesses),
        }
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
        let proven = Self { heard: others.silent + others.witnesses, ..others };
        is_most && others.witnesses >= WITNESSES_MIN && !proven.is_large_share()
    }
}

/// All lines by what they are now.
#[derive(Default, Debug)]
pub(super) struct Tally {
    pub(super) lines: Count,
    /// Paths; at most 65,536 networks of IPv4, and of IPv6 as many as there are providers.
    networks: HashMap<Network, Count>,
    /// Lines, each in the network of the path that speaks for it.
    homes: HashMap<Network, Count>,
    families: Families<Count>,
}

fn remove_from(counts: &mut HashMap<Network, Count>, network: Network, one: Count) {
    if let Some(count) = counts.get_mut(&network) {
        *count = count.minus(one);
        if *count == Count::default() {
            counts.remove(&network);
        }
    }
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
        let line = line_count(mark);
        self.lines = self.lines.plus(line);
        let home = self.homes.entry(mark.main.network).or_default();
        *home = home.plus(line);
        for lane in mark.lanes() {
            let one = count(lane.is_silent, lane.is_quick);
            let family = self.families.place(lane.network);
            *family = family.plus(one);
            let network = self.networks.entry(lane.network).or_default();
            *network = network.plus(one);
        }
    }

    pub(super) fn take_out(&mut self, mark: &Mark) {
        let line = line_count(mark);
        self.lines = self.lines.minus(line);
        remove_from(&mut self.homes, mark.main.network, line);
        for lane in mark.lanes() {
            let one = count(lane.is_silent, lane.is_quick);
            let family = self.families.place(lane.network);
            *family = family.minus(one);
            remove_from(&mut self.networks, lane.network, one);
        }
    }
}

fn count(is_silent: bool, is_quick: bool) -> Count {
    Count { heard: 1, silent: u64::from(is_silent), witnesses: u64::from(is_quick && !is_silent) }
}

/// Many that fell: they were being heard, and are silent.
const fn fell(many: u64) -> Count {
    Count { heard: many, silent: many, witnesses: 0 }
}

fn line_count(mark: &Mark) -> Count {
    count(mark.is_silent, mark.lanes().any(|lane| lane.is_quick && !lane.is_silent))
}

/// What fell for silence a moment ago; it was being heard, and is not.
#[derive(Default, Debug)]
pub(super) struct Fallen {
    steps: VecDeque<(Moment, Step)>,
    lines: u64,
    families: Families<u64>,
    networks: HashMap<Network, u64>,
    homes: HashMap<Network, u64>,
}

#[derive(Default, Debug)]
struct Step {
    lines: u64,
    networks: HashMap<Network, u64>,
    homes: HashMap<Network, u64>,
}

/// Takes many off a count, and the count away with the last.
fn lessen(counts: &mut HashMap<Network, u64>, network: Network, many: u64) {
    if let Some(all) = counts.get_mut(&network) {
        *all = all.saturating_sub(many);
        if *all == 0 {
            counts.remove(&network);
        }
    }
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
        if lines > 0 {
            *step.homes.entry(before.main.network).or_default() += lines;
            *self.homes.entry(before.main.network).or_default() += lines;
        }
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
                lessen(&mut self.networks, network, fell);
            }
            for (network, fell) in step.homes.into_iter().collect::<Vec<_>>() {
                lessen(&mut self.homes, network, fell);
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
    let v4 = counted.families.v4.plus(fell(fallen.families.v4));
    let v6 = counted.families.v6.plus(fell(fallen.families.v6));
    let lines = counted.lines.plus(fell(fallen.lines));
    let raw = Verdict { all: lines.is_mass(), v4: v4.is_mass(), v6: v6.is_mass() };
    if !raw.is_mass() {
        return raw;
    }
    let worst = worst_of(&counted.networks, &fallen.networks);
    let home = worst_of(&counted.homes, &fallen.homes);
    let worst_home = [home.v4, home.v6].into_iter().max_by_key(|count| count.silent).unwrap_or_default();
    Verdict {
        all: raw.all && !lines.is_of_one(worst_home),
        v4: raw.v4 && !v4.is_of_one(worst.v4),
        v6: raw.v6 && !v6.is_of_one(worst.v6),
    }
}

/// The network with the most silent in each family.
fn worst_of(counted: &HashMap<Network, Count>, fallen: &HashMap<Network, u64>) -> Families<Count> {
    let mut worst = Families::<Count>::default();
    for network in counted.keys().chain(fallen.keys()).copied().collect::<Vec<_>>() {
        let now = counted.get(&network).copied().unwrap_or_default();
        let count = now.plus(fell(fallen.get(&network).copied().unwrap_or(0)));
        let place = worst.place(network);
        if count.silent > place.silent {
            *place = count;
        }
    }
    worst
}
