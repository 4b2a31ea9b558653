//! How much may one network bring in a minute? Kept for all networks in a table that cannot be flooded.
//!
//! A network is an IPv4 /24 or an IPv6 /56: what one sender gets from its provider, or a small part of a large one.
//! Nothing is refused for good here: what comes too fast is told to come again.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::settings::Settings;
use crate::base::Moment;

/// Groups of networks; which one a network belongs to depends on a secret of this process.
const GROUPS: usize = 4_096;
/// Networks in one group. Another one takes the place of one that owes nothing, else of the one silent longest. All
/// groups together are 32,768 networks in some 3 MiB.
const NETWORKS_PER_GROUP: usize = 8;

/// A burst is as much as this many minutes of the steady rate.
const BURST_MINUTES: u64 = 5;

/// Recipients refused for good that a network has in an hour. Beyond, each further refusal of the network waits, and its
/// sessions end after a few; what is accepted is never slowed.
pub const REFUSALS_PER_HOUR: u32 = 100;

/// Refused recipients of a network in an hour, beyond which its next sessions wait for their greeting: what talks before
/// it is no mail server.
pub const REFUSALS_OF_THE_HONEST: u32 = 20;

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// A connection.
    Connection,
    /// Content that begins. MAIL alone is none: whoever says it and goes takes nothing from his neighbours.
    Message,
    /// RCPT.
    Recipient,
    /// A recipient that was refused for good.
    Refusal,
}

/// All kinds of [`Deed`].
const DEEDS: usize = 4;

impl Deed {
    const fn place(self) -> usize {
        match self {
            Self::Connection => 0,
            Self::Message => 1,
            Self::Recipient => 2,
            Self::Refusal => 3,
        }
    }
}

/// What a network may do, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Limit {
    /// Between two deeds at the steady rate.
    interval_us: u64,
    /// How far ahead of the steady rate it may be.
    ahead_us: u64,
}

impl Limit {
    fn new(count: u32, per: Duration, burst: u64) -> Option<Self> {
        let per_us = u64::try_from(per.as_micros()).unwrap_or(u64::MAX);
        let interval_us = per_us.checked_div(u64::from(count))?.max(1);
        Some(Self { interval_us, ahead_us: interval_us.saturating_mul(burst.saturating_sub(1)) })
    }
}

#[derive(Clone, Copy, Debug)]
struct Row {
    network: IpAddr,
    touched: Moment,
    /// For each deed when it may be done at the steady rate, microseconds of the clock of the sessions.
    due_us: [u64; DEEDS],
}

impl Row {
    fn owes(&self, now_us: u64) -> bool {
        self.due_us.iter().any(|due| *due > now_us)
    }
}

/// See the file.
#[derive(Debug)]
pub struct Rates {
    groups: Box<[Mutex<Vec<Row>>]>,
    secret: RandomState,
    /// In the order of [`Deed::place`].
    limits: ArcSwap<Limits>,
}

type Limits = [Option<Limit>; DEEDS];

fn limits(settings: &Settings) -> Limits {
    let minute = Duration::from_secs(60);
    let steady = |count: u32| Limit::new(count, minute, u64::from(count).saturating_mul(BURST_MINUTES));
    [
        steady(settings.connections_per_minute_max),
        steady(settings.messages_per_minute_max),
        steady(settings.recipients_per_minute_max),
        Limit::new(REFUSALS_PER_HOUR, Duration::from_secs(3_600), REFUSALS_PER_HOUR.into()),
    ]
}

impl Rates {
    /// Nobody has done anything yet.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            groups: (0..GROUPS).map(|_| Mutex::default()).collect(),
            secret: RandomState::new(),
            limits: ArcSwap::from_pointee(limits(settings)),
        }
    }

    /// Counts on by other limits.
    pub fn change(&self, settings: &Settings) {
        self.limits.store(Arc::new(limits(settings)));
    }

    /// Whether the network of `peer` was refused more recipients of late than an honest sender is.
    #[must_use]
    pub fn is_suspicious(&self, peer: IpAddr, now: Moment) -> bool {
        let Some(limit) = self.limits.load().get(Deed::Refusal.place()).copied().flatten() else { return false };
        let network = neighbourhood_of(peer);
        let Some(group) = self.group_of(network) else { return false };
        let rows = group.lock().unwrap_or_else(PoisonError::into_inner);
        let due = rows.iter().find(|row| row.network == network).and_then(|row| row.due_us.get(Deed::Refusal.place()));
        let ahead = due.copied().unwrap_or(0).saturating_sub(now.as_millis().saturating_mul(1_000));
        ahead > limit.interval_us.saturating_mul(REFUSALS_OF_THE_HONEST.into())
    }

    fn group_of(&self, network: IpAddr) -> Option<&Mutex<Vec<Row>>> {
        self.groups.get(usize::try_from(self.secret.hash_one(network) % (GROUPS as u64)).unwrap_or(0))
    }

    /// Whether a deed would be admitted. Counts nothing and keeps nothing.
    #[must_use]
    pub fn would_admit(&self, peer: IpAddr, deed: Deed, now: Moment) -> bool {
        let Some(limit) = self.limits.load().get(deed.place()).copied().flatten() else { return true };
        let network = neighbourhood_of(peer);
        let Some(group) = self.group_of(network) else { return true };
        let rows = group.lock().unwrap_or_else(PoisonError::into_inner);
        let due = rows.iter().find(|row| row.network == network).and_then(|row| row.due_us.get(deed.place()));
        due.copied().unwrap_or(0).saturating_sub(now.as_millis().saturating_mul(1_000)) <= limit.ahead_us
    }

    /// Counts a deed. False, and not counted, when the network of `peer` has done too much.
    #[must_use]
    pub fn admits(&self, peer: IpAddr, deed: Deed, now: Moment) -> bool {
        let Some(limit) = self.limits.load().get(deed.place()).copied().flatten() else { return true };
        let network = neighbourhood_of(peer);
        let Some(group) = self.group_of(network) else { return true };
        let mut rows = group.lock().unwrap_or_else(PoisonError::into_inner);
        let now_us = now.as_millis().saturating_mul(1_000);
        let Some(row) = row_of(&mut rows, network, now, now_us) else { return true };
        let Some(due) = row.due_us.get_mut(deed.place()) else { return true };
        let next = (*due).max(now_us);
        if next - now_us > limit.ahead_us {
            return false;
        }
        *due = next.saturating_add(limit.interval_us);
        true
    }
}

/// The row of a network, made if it is missing.
fn row_of(rows: &mut Vec<Row>, network: IpAddr, now: Moment, now_us: u64) -> Option<&mut Row> {
    let fresh = Row { network, touched: now, due_us: [0; DEEDS] };
    let at = match rows.iter().position(|row| row.network == network) {
        Some(at) => at,
        None if rows.len() < NETWORKS_PER_GROUP => {
            rows.push(fresh);
            rows.len() - 1
        }
        None => {
            let worth = |row: &Row| (row.owes(now_us), row.touched);
            let (at, least) = rows.iter_mut().enumerate().min_by_key(|(_, row)| worth(row))?;
            *least = fresh;
            at
        }
    };
    let row = rows.get_mut(at)?;
    row.touched = now;
    Some(row)
}

/// The IPv4 /24 or IPv6 /56 of an address.
#[must_use]
pub fn neighbourhood_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << 8))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 72))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DomainName;

    fn rates(connections: u32) -> Rates {
        let mut settings = Settings::new(DomainName::parse("mx.example").unwrap());
        settings.connections_per_minute_max = connections;
        Rates::new(&settings)
    }

    const fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_is_a_24_or_a_56() {
        let of = |text| neighbourhood_of(address(text));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.200"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:1:200::1"), of("2001:db8:1:2ff::1"));
        assert_ne!(of("2001:db8:1:200::1"), of("2001:db8:1:300::1"));
    }

    #[test]
    fn a_burst_is_taken_then_the_steady_rate_then_the_burst_again() {
        let rates = rates(60);
        let taken = |seconds, tries| {
            (0..tries)
                .filter(|n| rates.admits(address(&format!("192.0.2.{}", n % 250)), Deed::Connection, at(seconds)))
                .count()
        };
        assert_eq!(taken(1000, 1000), 300);
        assert_eq!(taken(1000, 10), 0);
        assert_eq!(taken(1010, 1000), 10);
        assert_eq!(taken(9999, 1000), 300);
        assert!(rates.admits(address("192.0.3.1"), Deed::Connection, at(1000)), "its neighbours pay nothing for it");
        assert!(rates.admits(address("192.0.2.1"), Deed::Message, at(1000)), "nor does another deed");
    }

    #[test]
    fn no_limit_is_no_limit() {
        let rates = rates(0);
        assert!((0..100_000).all(|_| rates.admits(address("192.0.2.1"), Deed::Connection, at(1))));
    }

    #[test]
    fn refusals_are_counted_by_the_hour() {
        let rates = rates(60);
        let peer = address("2001:db8::1");
        assert!((0..20).all(|_| rates.admits(peer, Deed::Refusal, at(50))));
        assert!(!rates.is_suspicious(peer, at(50)));
        assert!((0..80).all(|_| rates.admits(peer, Deed::Refusal, at(50))));
        assert!(rates.is_suspicious(peer, at(50)) && !rates.is_suspicious(peer, at(50 + 3_600)));
        assert!(!rates.admits(peer, Deed::Refusal, at(50)));
        assert!(rates.admits(peer, Deed::Refusal, at(50 + 36)));
        assert!(!rates.admits(peer, Deed::Refusal, at(50 + 37)));
    }

    #[test]
    fn a_flood_of_networks_takes_no_more_room_and_forgives_no_debt() {
        let rates = rates(60);
        let debtor = address("192.0.2.1");
        while rates.admits(debtor, Deed::Connection, at(1)) {}
        // Each owes something for a second only; the debtor for minutes.
        for number in 0..200_000u32 {
            let flood = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + (number << 8)));
            assert!(rates.admits(flood, Deed::Connection, at(2 + u64::from(number) / 1000)));
        }
        let regained = (0..1_000).take_while(|_| rates.admits(debtor, Deed::Connection, at(202))).count();
        assert!((200..=202).contains(&regained), "what he owes is not forgotten: {regained} of 300");
        let rows: usize = rates.groups.iter().map(|group| group.lock().unwrap().len()).sum();
        assert!(rows <= GROUPS * NETWORKS_PER_GROUP, "{rows}");
        assert!(std::mem::size_of::<Row>() * GROUPS * NETWORKS_PER_GROUP <= 3 << 20);
    }
}
