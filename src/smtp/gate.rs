//! How many sessions are there, is there a place for one more from this network, and who has to leave for it?

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use super::settings::{FORWARDER_SHARE, Settings};
use crate::base::{Moment, is_near, network_of};

/// Silence between two transactions after which a session may have to leave for a newcomer when all places are taken.
/// A sender that waits for its own user or for a slow DNS server is silent for less.
pub const SILENT_ENOUGH: Duration = Duration::from_secs(5);

/// Written where a session is not to be asked to leave.
const BUSY: u64 = u64::MAX;

/// Counts sessions, in all and by network.
#[derive(Debug)]
pub struct Gate {
    limits: ArcSwap<Limits>,
    /// A [`Stress`].
    stress: AtomicU8,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Limits {
    sessions_max: u32,
    per_network_max: u32,
    exempt: Vec<IpNet>,
    spares_near: bool,
}

impl Limits {
    fn of(settings: &Settings) -> Self {
        Self {
            sessions_max: settings.sessions_max,
            per_network_max: settings.sessions_per_network_max,
            exempt: settings.exempt_networks.clone(),
            spares_near: settings.spares_near,
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    next: u64,
    /// One for each session that was not asked to leave; a session that was leaves within moments.
    seats: HashMap<u64, Arc<Seat>>,
    by_network: HashMap<IpAddr, u32>,
}

struct Seat {
    network: Option<IpAddr>,
    /// Milliseconds of the clock of the sessions, or [`BUSY`].
    silent_since: AtomicU64,
    ask_to_leave: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("silent_since", &self.silent_since).finish_non_exhaustive()
    }
}

/// A place in the gate, given back when dropped.
#[derive(Debug)]
pub struct Place {
    gate: Arc<Gate>,
    is_exempt: bool,
    number: u64,
    seat: Arc<Seat>,
}

/// How full the house is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stress {
    /// There are places.
    Calm,
    /// More than three quarters are taken.
    Crowded,
    /// More than fifteen sixteenths are taken.
    Packed,
}

impl Gate {
    /// An empty house.
    #[must_use]
    pub fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            limits: ArcSwap::from_pointee(Limits::of(settings)),
            stress: AtomicU8::new(0),
            counts: Mutex::default(),
        })
    }

    /// A place for a session from `peer`, or none. Where all are taken, or all of its network, the session that has been
    /// silent longest is asked to leave with `ask_to_leave`, and the newcomer has its place at once. A forwarder of some
    /// account has a share of the house and not of a stranger ([`FORWARDER_SHARE`]).
    #[must_use]
    pub fn enter(
        self: &Arc<Self>,
        peer: IpAddr,
        is_forwarder: bool,
        now: Moment,
        ask_to_leave: impl Fn() + Send + Sync + 'static,
    ) -> Option<Place> {
        let peer = peer.to_canonical();
        let limits = self.limits.load();
        let is_exempt = limits.exempt.iter().any(|net| net.contains(&peer));
        let is_near = limits.spares_near && is_near(peer);
        let network = (!is_exempt && !is_near).then(|| network_of(peer));
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let own = network.and_then(|network| counts.by_network.get(&network).copied()).unwrap_or(0);
        let share = limits.per_network_max.max(if is_forwarder { limits.sessions_max / FORWARDER_SHARE } else { 0 });
        if own >= share && network.is_some() && !counts.free_a_seat(now, network) {
            return None;
        }
        if count(&counts) >= limits.sessions_max && !counts.free_a_seat(now, None) {
            return None;
        }
        if let Some(network) = network {
            *counts.by_network.entry(network).or_default() += 1;
        }
        let number = counts.next;
        counts.next = number.wrapping_add(1);
        let seat = Arc::new(Seat { network, silent_since: AtomicU64::new(BUSY), ask_to_leave: Box::new(ask_to_leave) });
        counts.seats.insert(number, Arc::clone(&seat));
        self.note_crowd(&counts);
        Some(Place { gate: Arc::clone(self), is_exempt, number, seat })
    }

    /// Counts on by other limits. Who is here stays.
    pub fn change(&self, settings: &Settings) {
        self.limits.store(Arc::new(Limits::of(settings)));
    }

    /// Sessions now.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        count(&self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note_crowd(&self, counts: &Counts) {
        let (taken, all) = (u64::from(count(counts)), u64::from(self.limits.load().sessions_max));
        let stress = u8::from(taken * 4 > all * 3) + u8::from(taken * 16 > all * 15);
        self.stress.store(stress, Ordering::Relaxed);
    }

    fn stress(&self) -> Stress {
        match self.stress.load(Ordering::Relaxed) {
            0 => Stress::Calm,
            1 => Stress::Crowded,
            _ => Stress::Packed,
        }
    }
}

fn count(counts: &Counts) -> u32 {
    u32::try_from(counts.seats.len()).unwrap_or(u32::MAX)
}

impl Counts {
    /// False when nobody, of `network` if that is given, has been silent long enough. Looks at every seat: no more than
    /// the sessions' maximum.
    fn free_a_seat(&mut self, now: Moment, network: Option<IpAddr>) -> bool {
        let silent_since = |seat: &Seat| seat.silent_since.load(Ordering::Relaxed);
        let may_go = self.seats.iter().filter(|(_, seat)| network.is_none() || seat.network == network);
        let longest = may_go.map(|(number, seat)| (silent_since(seat), *number)).min();
        let Some((since, number)) = longest.filter(|(since, _)| *since != BUSY) else { return false };
        if now.since(Moment::from_millis(since)) < SILENT_ENOUGH {
            return false;
        }
        let Some(seat) = self.seats.remove(&number) else { return false };
        self.forget(seat.network);
        (seat.ask_to_leave)();
        true
    }

    fn forget(&mut self, network: Option<IpAddr>) {
        let Some(network) = network else { return };
        if let Some(own) = self.by_network.get_mut(&network) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.by_network.remove(&network);
            }
        }
    }
}

impl Place {
    /// The session waits for its peer since then and would lose nothing by leaving; none: it would, or it works.
    pub fn note_silence(&self, since: Option<Moment>) {
        // Exempt networks keep their places.
        let since = since.filter(|_| !self.is_exempt).map_or(BUSY, Moment::as_millis);
        self.seat.silent_since.store(since, Ordering::Relaxed);
    }

    /// How much the peer has to hurry; one that is exempt never has to.
    #[must_use]
    pub fn stress(&self, of_transactions: Stress) -> Stress {
        if self.is_exempt { Stress::Calm } else { self.gate.stress().max(of_transactions) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.gate.counts.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was asked to leave gave its place back then.
        if let Some(seat) = counts.seats.remove(&self.number) {
            counts.forget(seat.network);
        }
        self.gate.note_crowd(&counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DomainName;

    fn gate(sessions_max: u32, per_network: u32) -> Arc<Gate> {
        let mut settings = Settings::new(DomainName::parse("mx.example").unwrap());
        settings.sessions_max = sessions_max;
        settings.sessions_per_network_max = per_network;
        settings.exempt_networks = vec!["203.0.113.0/24".parse().unwrap()];
        Gate::new(&settings)
    }

    const fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn enter(gate: &Arc<Gate>, text: &str) -> Option<Place> {
        gate.enter(text.parse().unwrap(), false, at(100), || {})
    }

    #[test]
    fn a_network_has_its_share_and_gets_it_back() {
        let gate = gate(10, 2);
        let first = enter(&gate, "192.0.2.1");
        let _second = enter(&gate, "::ffff:192.0.2.1").unwrap();
        assert!(enter(&gate, "192.0.2.1").is_none());
        assert!(enter(&gate, "192.0.2.2").is_some());
        drop(first);
        assert!(enter(&gate, "192.0.2.1").is_some());
        assert_eq!(gate.sessions(), 1);
    }

    #[test]
    fn one_ipv6_network_is_one_peer() {
        let gate = gate(10, 1);
        let _first = enter(&gate, "2001:db8:0:1::1").unwrap();
        assert!(enter(&gate, "2001:db8:0:1:ffff::2").is_none());
        assert!(enter(&gate, "2001:db8:0:2::1").is_some());
    }

    #[test]
    fn exempt_networks_know_only_the_limit_of_all() {
        let gate = gate(3, 1);
        let places: Vec<_> = (0..3).map(|_| enter(&gate, "203.0.113.5").unwrap()).collect();
        assert_eq!(places[0].stress(Stress::Calm), Stress::Calm);
        places.iter().for_each(|place| place.note_silence(Some(at(0))));
        assert!(enter(&gate, "203.0.113.5").is_none(), "nobody exempt has to leave");
        assert!(enter(&gate, "192.0.2.1").is_none());
    }

    #[test]
    fn a_forwarder_has_more_than_a_stranger_and_never_the_house() {
        let gate = gate(32, 2);
        let enter = || gate.enter("192.0.2.1".parse().unwrap(), true, at(100), || {});
        let _places: Vec<_> = (0..4).map(|_| enter().unwrap()).collect();
        assert!(enter().is_none());
        let _other = gate.enter("192.0.2.2".parse().unwrap(), true, at(100), || {}).unwrap();
    }

    #[test]
    fn the_one_that_is_silent_longest_leaves_for_a_newcomer() {
        let gate = gate(3, 10);
        let (told, asked) = std::sync::mpsc::channel();
        let places: Vec<Place> = (0..3)
            .map(|n| {
                let told = told.clone();
                gate.enter("192.0.2.1".parse().unwrap(), false, at(0), move || told.send(n).unwrap()).unwrap()
            })
            .collect();
        assert!(enter(&gate, "192.0.2.9").is_none(), "all of them work");
        places[0].note_silence(Some(at(96)));
        assert!(enter(&gate, "192.0.2.9").is_none(), "silent for four seconds is not silent enough");
        places[0].note_silence(Some(at(95)));
        places[1].note_silence(Some(at(50)));
        let newcomer = enter(&gate, "192.0.2.9").unwrap();
        assert_eq!((asked.try_iter().collect::<Vec<_>>(), gate.sessions()), (vec![1], 3));
        let _second = enter(&gate, "192.0.2.9").unwrap();
        assert_eq!(asked.try_iter().collect::<Vec<_>>(), [0]);
        assert!(enter(&gate, "192.0.2.9").is_none());
        drop(places);
        assert_eq!(gate.sessions(), 2);
        drop(newcomer);
        assert_eq!(gate.sessions(), 1);
    }

    #[test]
    fn a_network_makes_room_for_itself() {
        let gate = gate(10, 2);
        let (first, second) = (enter(&gate, "192.0.2.1").unwrap(), enter(&gate, "192.0.2.1").unwrap());
        let stranger = enter(&gate, "192.0.2.7").unwrap();
        stranger.note_silence(Some(at(0)));
        assert!(enter(&gate, "192.0.2.1").is_none(), "a stranger's silence is no place of theirs");
        second.note_silence(Some(at(90)));
        let third = enter(&gate, "192.0.2.1").unwrap();
        assert!(enter(&gate, "192.0.2.1").is_none());
        drop((first, second));
        let _fourth = enter(&gate, "192.0.2.1").unwrap();
        assert!(enter(&gate, "192.0.2.1").is_none());
        drop(third);
    }

    #[test]
    fn near_networks_have_no_share_but_leave_when_asked() {
        let gate = gate(2, 1);
        let places = [enter(&gate, "127.0.0.1").unwrap(), enter(&gate, "172.17.0.1").unwrap()];
        assert_eq!(places[0].stress(Stress::Calm), Stress::Packed);
        assert!(enter(&gate, "192.0.2.1").is_none());
        places[1].note_silence(Some(at(0)));
        assert!(enter(&gate, "127.0.0.1").is_some());
    }

    #[test]
    fn stress_rises_with_the_places_taken() {
        let gate = gate(16, 100);
        let mut places: Vec<Place> = (0..12).map(|_| enter(&gate, "192.0.2.1").unwrap()).collect();
        assert_eq!(places[0].stress(Stress::Calm), Stress::Calm);
        places.push(enter(&gate, "192.0.2.1").unwrap());
        assert_eq!(places[0].stress(Stress::Calm), Stress::Crowded);
        places.extend((13..16).map(|_| enter(&gate, "192.0.2.1").unwrap()));
        assert_eq!(places[0].stress(Stress::Calm), Stress::Packed);
        places.truncate(12);
        assert_eq!(places[0].stress(Stress::Calm), Stress::Calm);
    }
}
