//! What does one dynamic name point at now? Decides from the line, from greetings and from what was there before.
//!
//! The rule: a name points at the customer only while the line is
//! ONLINE and at addresses that beats proved and at which the mail server greeted us since; else it is parked. A
//! silence that is withheld as our own never becomes OFFLINE, so it changes nothing here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::base::{Moment, WallTime};
use crate::liveness::LineState;

/// A mail server that its client calls silent for longer than this is parked like one that is offline.
pub const SILENT_MAX: Duration = Duration::from_secs(20);

/// What the name answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Front {
    /// The customer's, to be published.
    pub v4: Option<Ipv4Addr>,
    /// The customer's, to be published.
    pub v6: Option<Ipv6Addr>,
}

impl Front {
    /// No address of the customer's is published.
    pub const PARKED: Self = Self { v4: None, v6: None };

    /// Whether no address of the customer's is published.
    #[must_use]
    pub fn is_parked(&self) -> bool {
        *self == Self::PARKED
    }
}

/// An address that the line proved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Proven<A> {
    address: A,
    /// When the mail server last greeted us there, in this presence of the line.
    greeted_at: Option<WallTime>,
}

/// What happened that a name has to follow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameEvent {
    /// The state of the line changed, at `at`.
    State {
        /// Into this.
        to: LineState,
        /// When.
        at: WallTime,
    },
    /// The addresses that beats vouch for now, and no others.
    Vouched(Front),
    /// The proven address of its family is this one.
    Moved(IpAddr),
    /// The mail server greeted us there.
    Greeted {
        /// Where.
        address: IpAddr,
        /// When.
        at: WallTime,
    },
    /// The client says that its mail server takes no mail, or that it does again.
    Mail {
        /// It does.
        is_accepted: bool,
    },
    /// From now until then the name keeps its record, as its line came and went too often; absent: no longer.
    Held(Option<Moment>),
}

/// One dynamic name. Reads no clock.
#[derive(Clone, Debug)]
pub struct FrontMachine {
    state: LineState,
    v4: Option<Proven<Ipv4Addr>>,
    v6: Option<Box<Proven<Ipv6Addr>>>,
    silent_since: Option<Moment>,
    held_until: Option<Moment>,
    front: Front,
}

impl FrontMachine {
    /// A name that was never heard of.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: LineState::New, v4: None, v6: None, silent_since: None, held_until: None, front: Front::PARKED }
    }

    /// Goes on after a restart: what was published stays as long as the line was there. What a line that was away still
    /// had published, for its coming and going, was greeted in another presence.
    #[must_use]
    pub fn resume(state: LineState, published: Front, now: Moment, wall: WallTime) -> Self {
        let mut machine = Self { state, ..Self::new() };
        let greeted_at = matches!(state, LineState::Online | LineState::Suspect).then_some(wall);
        machine.v4 = published.v4.map(|address| Proven { address, greeted_at });
        machine.v6 = published.v6.map(|address| Box::new(Proven { address, greeted_at }));
        machine.front = machine.wanted(now);
        machine
    }

    /// What the name answers.
    #[must_use]
    pub const fn front(&self) -> Front {
        self.front
    }

    /// Something happened.
    pub fn handle(&mut self, event: NameEvent, now: Moment) {
        match event {
            NameEvent::State { to, at } => self.handle_state(to, at),
            NameEvent::Vouched(addresses) => self.handle_vouched(addresses),
            NameEvent::Moved(address) => self.prove(address),
            NameEvent::Greeted { address, at } => self.handle_greeting(address, at),
            NameEvent::Mail { is_accepted: true } => self.silent_since = None,
            NameEvent::Mail { is_accepted: false } => self.silent_since = self.silent_since.or(Some(now)),
            NameEvent::Held(until) => self.held_until = until,
        }
        self.settle(now);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Moment) {
        self.settle(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Moment> {
        let of_silence = self.silent_since.filter(|_| self.has_greeted()).map(|since| since + SILENT_MAX);
        of_silence.into_iter().chain(self.held_until).min()
    }

    fn handle_state(&mut self, to: LineState, at: WallTime) {
        self.state = to;
        if to == LineState::Offline {
            self.silent_since = None;
            // A greeting that is newer belongs to the next presence: rows are told once they are on the disk.
            let is_newer = |greeted: &WallTime| *greeted > at;
            if let Some(proven) = &mut self.v4 {
                proven.greeted_at = proven.greeted_at.filter(is_newer);
            }
            if let Some(proven) = &mut self.v6 {
                proven.greeted_at = proven.greeted_at.filter(is_newer);
            }
        }
    }

    fn handle_vouched(&mut self, addresses: Front) {
        match addresses.v4 {
            Some(v4) => self.prove(IpAddr::V4(v4)),
            None => self.v4 = None,
        }
        match addresses.v6 {
            Some(v6) => self.prove(IpAddr::V6(v6)),
            None => self.v6 = None,
        }
    }

    fn prove(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => match &mut self.v4 {
                Some(proven) if proven.address == address => {}
                other => *other = Some(Proven { address, greeted_at: None }),
            },
            IpAddr::V6(address) => match &mut self.v6 {
                Some(proven) if proven.address == address => {}
                other => *other = Some(Box::new(Proven { address, greeted_at: None })),
            },
        }
    }

    fn handle_greeting(&mut self, address: IpAddr, at: WallTime) {
        match address {
            IpAddr::V4(v4) => {
                if let Some(proven) = self.v4.as_mut().filter(|proven| proven.address == v4) {
                    proven.greeted_at = Some(at);
                }
            }
            IpAddr::V6(v6) => {
                if let Some(proven) = self.v6.as_mut().filter(|proven| proven.address == v6) {
                    proven.greeted_at = Some(at);
                }
            }
        }
    }

    fn settle(&mut self, now: Moment) {
        if is_over(self.held_until, now) {
            self.held_until = None;
        }
        if self.is_silent(now) {
            // It has to greet us again before it comes back.
            if let Some(proven) = &mut self.v4 {
                proven.greeted_at = None;
            }
            if let Some(proven) = &mut self.v6 {
                proven.greeted_at = None;
            }
        }
        let wanted = self.wanted(now);
        if self.held_until.is_none() {
            self.front = wanted;
        } else if !self.is_still_proven() {
            // Held or not: an address that the line has left may be a stranger's by now.
            self.front = Front::PARKED;
        }
    }

    fn has_greeted(&self) -> bool {
        let v4 = self.v4.is_some_and(|proven| proven.greeted_at.is_some());
        v4 || self.v6.as_ref().is_some_and(|proven| proven.greeted_at.is_some())
    }

    fn is_silent(&self, now: Moment) -> bool {
        self.silent_since.is_some_and(|since| now.since(since) >= SILENT_MAX)
    }

    fn is_still_proven(&self) -> bool {
        let v4 = self.front.v4.is_none_or(|v4| self.v4.is_some_and(|proven| proven.address == v4));
        let v6 = self.front.v6.is_none_or(|v6| self.v6.as_ref().is_some_and(|proven| proven.address == v6));
        v4 && v6
    }

    fn wanted(&self, now: Moment) -> Front {
        match self.state {
            LineState::New | LineState::Offline | LineState::Returning => Front::PARKED,
            LineState::Online | LineState::Suspect if self.is_silent(now) => Front::PARKED,
            LineState::Online | LineState::Suspect => Front {
                v4: self.v4.filter(|proven| proven.greeted_at.is_some()).map(|proven| proven.address),
                v6: self.v6.as_ref().filter(|proven| proven.greeted_at.is_some()).map(|proven| proven.address),
            },
        }
    }
}

impl Default for FrontMachine {
    fn default() -> Self {
        Self::new()
    }
}

fn is_over(until: Option<Moment>, now: Moment) -> bool {
    until.is_some_and(|until| now >= until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use proptest::prelude::*;

    fn wall(second: u64) -> WallTime {
        chrono::Utc.timestamp_opt(1_795_492_800 + i64::try_from(second).unwrap(), 0).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    struct World {
        machine: FrontMachine,
        second: u64,
    }

    impl World {
        fn online() -> Self {
            let mut world = Self { machine: FrontMachine::new(), second: 100 };
            world.returns("203.0.113.7");
            world
        }

        fn now(&self) -> Moment {
            Moment::from_millis(self.second * 1_000)
        }

        fn tell(&mut self, event: NameEvent) {
            self.machine.handle(event, self.now());
        }

        fn state(&mut self, to: LineState) {
            let at = wall(self.second);
            self.tell(NameEvent::State { to, at });
        }

        fn greeted(&mut self, address: &str) {
            let at = wall(self.second);
            self.tell(NameEvent::Greeted { address: ip(address), at });
        }

        fn returns(&mut self, address: &str) {
            self.tell(NameEvent::Moved(ip(address)));
            self.state(LineState::Returning);
            self.greeted(address);
            self.state(LineState::Online);
        }

        fn after(&mut self, seconds: u64) {
            self.second += seconds;
            self.machine.handle_timeout(self.now());
        }

        fn shown(&self) -> Vec<String> {
            let front = self.machine.front();
            front.v4.map(|v4| v4.to_string()).into_iter().chain(front.v6.map(|v6| v6.to_string())).collect()
        }
    }

    #[test]
    fn a_name_comes_back_with_the_greeting_and_not_before() {
        let mut world = World { machine: FrontMachine::new(), second: 100 };
        assert!(world.shown().is_empty(), "never heard of");
        world.tell(NameEvent::Moved(ip("203.0.113.7")));
        world.state(LineState::Returning);
        world.state(LineState::Online);
        assert!(world.shown().is_empty(), "two beats, nobody greets");
        world.greeted("203.0.113.8");
        assert!(world.shown().is_empty(), "somebody else greets");
        world.greeted("203.0.113.7");
        assert_eq!(world.shown(), ["203.0.113.7"]);
    }

    #[test]
    fn an_outage_parks_and_asks_for_a_new_greeting() {
        let mut world = World::online();
        world.after(60);
        world.state(LineState::Offline);
        assert!(world.shown().is_empty());
        world.after(60);
        world.state(LineState::Returning);
        world.state(LineState::Online);
        assert!(world.shown().is_empty(), "the greeting of the time before does not count");
        world.greeted("203.0.113.7");
        assert_eq!(world.shown(), ["203.0.113.7"]);
    }

    #[test]
    fn a_greeting_of_a_return_counts_though_the_row_of_the_outage_is_told_later() {
        let mut world = World::online();
        let offline_at = wall(world.second + 20);
        world.after(60);
        world.greeted("203.0.113.7");
        world.tell(NameEvent::State { to: LineState::Offline, at: offline_at });
        world.state(LineState::Returning);
        world.state(LineState::Online);
        assert_eq!(world.shown(), ["203.0.113.7"]);
    }

    #[test]
    fn an_old_address_is_not_published_for_a_moment_longer_than_it_is_proven() {
        let mut world = World::online();
        world.tell(NameEvent::Moved(ip("203.0.113.9")));
        assert!(world.shown().is_empty());
        world.greeted("203.0.113.9");
        assert_eq!(world.shown(), ["203.0.113.9"]);
    }

    #[test]
    fn a_silent_server_is_parked_after_20_s_and_has_to_greet_again() {
        let mut world = World::online();
        world.tell(NameEvent::Mail { is_accepted: false });
        assert_eq!(world.machine.poll_timeout(), Some(world.now() + SILENT_MAX));
        world.after(19);
        assert_eq!(world.shown(), ["203.0.113.7"]);
        world.after(1);
        assert!(world.shown().is_empty());
        world.tell(NameEvent::Mail { is_accepted: true });
        assert!(world.shown().is_empty());
        world.greeted("203.0.113.7");
        assert_eq!(world.shown(), ["203.0.113.7"]);
    }

    #[test]
    fn a_line_that_comes_and_goes_keeps_its_record_until_the_hold_is_over() {
        let mut world = World::online();
        let until = world.now() + Duration::from_secs(60);
        world.tell(NameEvent::Held(Some(until)));
        world.state(LineState::Offline);
        assert_eq!(world.shown(), ["203.0.113.7"], "held");
        assert_eq!(world.machine.poll_timeout(), Some(until));
        world.after(60);
        assert!(world.shown().is_empty(), "over");
        let until = world.now() + Duration::from_secs(120);
        world.tell(NameEvent::Held(Some(until)));
        world.after(1);
        world.returns("203.0.113.7");
        assert!(world.shown().is_empty(), "held, parked");
        world.after(119);
        assert_eq!(world.shown(), ["203.0.113.7"]);
    }

    #[test]
    fn an_address_that_the_line_left_is_not_held() {
        let mut world = World::online();
        let until = world.now() + Duration::from_secs(60);
        world.tell(NameEvent::Held(Some(until)));
        world.tell(NameEvent::Moved(ip("203.0.113.9")));
        world.greeted("203.0.113.9");
        assert!(world.shown().is_empty());
        world.after(60);
        assert_eq!(world.shown(), ["203.0.113.9"]);
    }

    #[test]
    fn each_family_is_shown_while_beats_vouch_for_it_and_it_greeted() {
        let (v4, v6) = ("203.0.113.7".parse().ok(), "2001:db8::7".parse().ok());
        let mut world = World::online();
        world.tell(NameEvent::Vouched(Front { v4, v6 }));
        assert_eq!(world.shown(), ["203.0.113.7"], "not greeted over IPv6 yet");
        world.greeted("2001:db8::7");
        assert_eq!(world.shown(), ["203.0.113.7", "2001:db8::7"]);
        world.tell(NameEvent::Vouched(Front { v4: None, v6 }));
        assert_eq!(world.shown(), ["2001:db8::7"], "at once");
        world.tell(NameEvent::Vouched(Front { v4, v6 }));
        assert_eq!(world.shown(), ["2001:db8::7"], "it has to greet there again");
        world.greeted("203.0.113.7");
        assert_eq!(world.shown(), ["203.0.113.7", "2001:db8::7"]);
    }

    fn any_event() -> impl Strategy<Value = (u64, u8, u8)> {
        (0u64..30, 0u8..9, 0u8..3)
    }

    proptest! {
        /// Whatever happens in whatever order: nothing is shown but addresses proven last for their family and greeted.
        #[test]
        fn nothing_is_shown_that_was_not_proven_and_greeted(deeds in proptest::collection::vec(any_event(), 1..120)) {
            let addresses = ["203.0.113.7", "203.0.113.8", "2001:db8::7"];
            let mut world = World { machine: FrontMachine::new(), second: 100 };
            let (mut proven, mut greeted) = ([None::<IpAddr>; 2], Vec::new());
            let family = |address: IpAddr| usize::from(address.is_ipv6());
            for (wait, deed, which) in deeds {
                world.after(wait);
                let address = ip(addresses[usize::from(which)]);
                match deed {
                    0 => world.state(LineState::Offline),
                    1 => world.state(LineState::Returning),
                    2 => world.state(LineState::Online),
                    3 => {
                        let mut front = Front::PARKED;
                        match address {
                            IpAddr::V4(v4) => front.v4 = Some(v4),
                            IpAddr::V6(v6) => front.v6 = Some(v6),
                        }
                        world.tell(NameEvent::Vouched(front));
                        let before = std::mem::take(&mut proven);
                        proven[family(address)] = Some(address);
                        greeted.retain(|known| before.contains(&Some(*known)) && proven.contains(&Some(*known)));
                    }
                    4 => {
                        world.tell(NameEvent::Moved(address));
                        if proven[family(address)] != Some(address) {
                            greeted.retain(|known| *known != address);
                        }
                        proven[family(address)] = Some(address);
                    }
                    5 => {
                        world.greeted(addresses[usize::from(which)]);
                        greeted.push(address);
                    }
                    6 => world.tell(NameEvent::Mail { is_accepted: which == 0 }),
                    7 => {
                        let until = world.now() + Duration::from_secs(60);
                        world.tell(NameEvent::Held(Some(until)));
                    }
                    _ => world.tell(NameEvent::Held(None)),
                }
                for shown in world.shown() {
                    let shown = ip(&shown);
                    prop_assert_eq!(proven[family(shown)], Some(shown));
                    prop_assert!(greeted.contains(&shown));
                }
                let timeout = world.machine.poll_timeout();
                prop_assert!(timeout.is_none_or(|at| at > world.now()), "{:?}", timeout);
            }
        }
    }
}
