//! Is silence our own fault? Decides it for all lines at once, so that a broken uplink of ours neutralises nobody.
//!
//! When more than [`SHARE_MAX_PERCENT`] of the lines that were being heard, or of those of one address family, fall
//! silent inside one window, and [`LINES_MIN`] at least, the fault is taken to be ours. Lines that are due then stay
//! SUSPECT: their mail is stored as if they were OFFLINE, and no row says that they are. It ends when beats return
//! (who is still silent gets a full window), when our own uplink was proven all through a full window, or when the
//! operator says so (who is still silent is neutralised). An account with several servers counts with each.
//!
//! One provider's outage is real: when most of the silent are in one network, and outside of it too few are silent to
//! be a mass while [`WITNESSES_MIN`] at least are heard there, our own uplink has been proven by those. A path with a
//! slow rhythm is no such witness: it would not be missed yet.
//!
//! The same holds while the kernel drops more than [`DROPS_MAX_PERCENT`] of what is sent to us before we read it.

use std::net::IpAddr;
use std::time::Duration;

use self::tally::{Fallen, Tally, Verdict};

use crate::base::{AccountId, EndpointId, Moment, WallTime};

/// Silence of more lines than this, in percent, is taken to be our own fault.
pub const SHARE_MAX_PERCENT: u64 = 30;
/// Fewer silent lines than this never are.
pub const LINES_MIN: u64 = 10;
/// Lines that have to be heard outside of the one network that fell silent, so that its silence is not ours.
pub const WITNESSES_MIN: u64 = 3;
/// Dropped datagrams, in percent of all, from which on silence proves nothing (docs/PROTOCOL.md §11).
pub const DROPS_MAX_PERCENT: u64 = 1;
/// Two proofs of the uplink that lie further apart prove nothing of the time between them.
const PROOF_GAP_MAX: Duration = Duration::from_secs(6);

/// The network of an address, as far as an address tells: its provider's block.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Network {
    /// The first 16 bits of an IPv4 address.
    V4(u16),
    /// The first 32 bits of an IPv6 address: what a provider is given.
    V6(u32),
    /// Not heard since our own start.
    Unknown,
}

impl Network {
    /// That of an address.
    #[must_use]
    pub fn of(address: Option<IpAddr>) -> Self {
        match address {
            Some(IpAddr::V4(v4)) => {
                let [a, b, ..] = v4.octets();
                Self::V4(u16::from_be_bytes([a, b]))
            }
            Some(IpAddr::V6(v6)) => {
                let [a, b, c, d, ..] = v6.octets();
                Self::V6(u32::from_be_bytes([a, b, c, d]))
            }
            None => Self::Unknown,
        }
    }
}

/// How one path of a line counts here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaneMark {
    /// Where it is.
    pub network: Network,
    /// Whether a beat of it is missed.
    pub is_silent: bool,
    /// Whether it would be silent by now if none of its beats reached us any more: it was heard since our own start, and
    /// often enough.
    pub is_quick: bool,
}

/// How a line counts here; lines that are NEW or OFFLINE do not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Whether it is SUSPECT.
    pub is_silent: bool,
    /// The path that speaks for it.
    pub main: LaneMark,
    /// The other one.
    pub second: Option<LaneMark>,
}

impl Mark {
    /// Of a line with one path.
    #[must_use]
    pub const fn single(network: Network, is_silent: bool) -> Self {
        Self { is_silent, main: LaneMark { network, is_silent, is_quick: true }, second: None }
    }

    pub(super) fn lanes(&self) -> impl Iterator<Item = LaneMark> + use<> {
        [Some(self.main), self.second].into_iter().flatten()
    }
}

/// What the operator has to know beside the changes of the lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alarm {
    /// Our own timers came late, by suspend, overload or a jump of the clock; every line got a full window.
    TimersLate {
        /// How late.
        by: Duration,
    },
    /// The silence of many lines is taken to be our own fault.
    MassMiss {
        /// Lines that are silent.
        silent: u64,
        /// Lines that were being heard, these included.
        heard: u64,
    },
    /// The kernel drops heartbeats before we read them; nobody is neutralised meanwhile.
    Overload {
        /// Lines that are silent.
        silent: u64,
        /// Lines that were being heard, these included.
        heard: u64,
    },
    /// One of the two above is over.
    MassMissOver {
        /// Since it was decided.
        after: Duration,
        /// What ended it.
        end: End,
        /// Lines that are still silent.
        silent: u64,
    },
    /// A line comes and goes.
    Flapping {
        /// Whose.
        account: AccountId,
        /// Which.
        endpoint: EndpointId,
        /// How long its name keeps its record, to begin with.
        held_for: Duration,
    },
}

/// How an outage of our own ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Beats came back.
    Returned,
    /// Our uplink was proven for a full window: the silence is real.
    UplinkWorks,
    /// The operator said that the silence is real.
    Operator,
    /// No heartbeats were dropped for a full window.
    NoDrops,
}

/// Why silence is taken to be our own fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Too many are silent.
    MassMiss,
    /// Heartbeats are dropped before we read them.
    Overload,
}

/// An outage of our own that is going on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OwnOutage {
    /// Why it is taken to be one.
    pub fault: Fault,
    /// When it was decided.
    pub since: WallTime,
    /// Lines that are silent.
    pub silent: u64,
    /// Lines that were being heard, these included.
    pub heard: u64,
    /// The answer of the newest check of our own uplink; absent without one.
    pub is_uplink_up: Option<bool>,
}

/// Which of the configured addresses answered; absent for a family without an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UplinkProof {
    /// Over IPv4.
    pub v4: Option<bool>,
    /// Over IPv6.
    pub v6: Option<bool>,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Calm,
    /// The silence is ours.
    Ours {
        fault: Fault,
        from: Moment,
        since: WallTime,
        /// First and newest proof of the uplink in an unbroken row.
        proven: Option<(Moment, Moment)>,
        is_uplink_up: Option<bool>,
    },
    /// The silence is real, however many are silent.
    Real,
}

/// The judge of silence. Reads no clock.
///
/// Tell it each change with `handle_*`, ask [`is_ours`](Self::is_ours) before a line is neutralised.
#[derive(Debug)]
pub struct Guard {
    window: Duration,
    counted: Tally,
    /// Neutralised, or paths lost, for silence within the last window.
    fallen: Fallen,
    phase: Phase,
    /// Until a window after the last drops.
    overloaded_until: Moment,
    alarms: Vec<Alarm>,
}

impl Guard {
    /// Judges with this window of silence.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self {
            window,
            counted: Tally::default(),
            fallen: Fallen::default(),
            phase: Phase::Calm,
            overloaded_until: Moment::from_millis(0),
            alarms: Vec::new(),
        }
    }

    /// A line counts otherwise than before.
    pub fn handle_change(&mut self, before: Option<Mark>, after: Option<Mark>) {
        if let Some(mark) = before {
            self.counted.take_out(&mark);
        }
        if let Some(mark) = after {
            self.counted.put_in(&mark);
        }
    }

    /// Time has passed for a line: what was counted and is no longer has fallen for silence.
    pub fn handle_fall(&mut self, before: &Mark, after: Option<&Mark>, now: Moment) {
        self.fallen.note(before, after, now);
        self.fallen.forget(now, self.window);
    }

    /// Our uplink was asked. Only while [`is_waiting`](Self::is_waiting) does the answer matter. The moment from which
    /// the silence is proven to be real, once it is: neutralise who was silent for a window since then.
    pub fn handle_proof(&mut self, proof: UplinkProof, now: Moment) -> Option<Moment> {
        let is_proven = self.is_proven_by(proof);
        let Phase::Ours { fault: Fault::MassMiss, from, proven, is_uplink_up, .. } = &mut self.phase else {
            return None;
        };
        *is_uplink_up = Some(is_proven);
        if !is_proven {
            *proven = None;
            return None;
        }
        let first = match *proven {
            Some((first, newest)) if now.since(newest) <= PROOF_GAP_MAX => first,
            Some(_) | None => now,
        };
        *proven = Some((first, now));
        if now.since(first) < self.window {
            return None;
        }
        let after = now.since(*from);
        self.end(End::UplinkWorks, after);
        Some(first)
    }

    /// The kernel dropped `dropped` datagrams for the heartbeat sockets while `received` were read. Which were beats
    /// nobody knows, so all are counted: a full queue drops the good and the bad alike.
    pub fn handle_drops(&mut self, dropped: u64, received: u64, now: Moment) {
        if dropped * 100 > (dropped + received) * DROPS_MAX_PERCENT {
            self.overloaded_until = now + self.window;
        }
    }

    /// The operator says that the silence is real. Whether there was anything to decide.
    pub fn handle_release(&mut self, now: Moment) -> bool {
        let Phase::Ours { from, .. } = self.phase else { return false };
        self.end(End::Operator, now.since(from));
        true
    }

    /// Time has passed. True when beats have returned: who is still silent gets a full window from now.
    pub fn handle_timeout(&mut self, now: Moment) -> bool {
        self.fallen.forget(now, self.window);
        match self.phase {
            Phase::Calm => false,
            Phase::Ours { fault, from, .. } => {
                let (goes_on, end) = match fault {
                    Fault::MassMiss => (self.sees_mass(), End::Returned),
                    Fault::Overload => (now < self.overloaded_until, End::NoDrops),
                };
                if !goes_on {
                    self.end(end, now.since(from));
                    self.phase = Phase::Calm;
                }
                !goes_on
            }
            Phase::Real => {
                if !self.sees_mass() && now >= self.overloaded_until {
                    self.phase = Phase::Calm;
                }
                false
            }
        }
    }

    /// A line is due to be neutralised, or to lose a path: is its silence our own fault?
    pub fn is_ours(&mut self, now: Moment, wall: WallTime) -> bool {
        self.fallen.forget(now, self.window);
        match self.phase {
            Phase::Ours { .. } => true,
            Phase::Real => false,
            Phase::Calm => {
                let is_overloaded = now < self.overloaded_until;
                if !is_overloaded && !self.sees_mass() {
                    return false;
                }
                let (silent, heard) = self.counts();
                let (fault, alarm) = if is_overloaded {
                    (Fault::Overload, Alarm::Overload { silent, heard })
                } else {
                    (Fault::MassMiss, Alarm::MassMiss { silent, heard })
                };
                self.phase = Phase::Ours { fault, from: now, since: wall, proven: None, is_uplink_up: None };
                self.alarms.push(alarm);
                true
            }
        }
    }

    /// Whether an outage of our own goes on, so that the uplink has to be asked.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Ours { .. })
    }

    /// The outage of our own that goes on.
    #[must_use]
    pub fn own_outage(&self) -> Option<OwnOutage> {
        let Phase::Ours { fault, since, is_uplink_up, .. } = self.phase else { return None };
        let (silent, heard) = self.counts();
        Some(OwnOutage { fault, since, silent, heard, is_uplink_up })
    }

    /// What the operator has to know, oldest first.
    pub fn take_alarms(&mut self) -> Vec<Alarm> {
        std::mem::take(&mut self.alarms)
    }

    fn end(&mut self, end: End, after: Duration) {
        let (silent, _) = self.counts();
        self.alarms.push(Alarm::MassMissOver { after, end, silent });
        self.phase = Phase::Real;
    }

    /// Silent lines, and all that were being heard.
    const fn counts(&self) -> (u64, u64) {
        let fell = self.fallen.lines();
        (self.counted.lines.silent + fell, self.counted.lines.heard + fell)
    }

    fn sees_mass(&self) -> bool {
        self.verdict().is_mass()
    }

    fn verdict(&self) -> Verdict {
        tally::judge(&self.counted, &self.fallen)
    }

    /// An answer over IPv4 says nothing of IPv6: each family that fell silent has to be proven by itself.
    fn is_proven_by(&self, proof: UplinkProof) -> bool {
        let Verdict { v4, v6, .. } = self.verdict();
        if v4 || v6 {
            (!v4 || proof.v4 == Some(true)) && (!v6 || proof.v6 == Some(true))
        } else {
            proof.v4 != Some(false) && proof.v6 != Some(false) && proof != UplinkProof::default()
        }
    }
}

mod tally;

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
