//! One line at rest in as few octets as a million of them need; whatever does not fit stays a whole [`Machine`].

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{Beat, Machine, Phase, Settings};
use crate::base::{AccountId, EndpointId, Moment, WallTime};
use crate::liveness::recent::Recent;
use crate::liveness::transition::{LineState, WatchedEndpoint};

/// What packed times are counted from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::liveness) struct Epoch {
    /// The beginning.
    pub(in crate::liveness) start: Moment,
    /// Wall clock less monotonic clock when the board began, ms.
    pub(in crate::liveness) wall_ahead_ms: i64,
}

impl Epoch {
    /// Milliseconds after the beginning, if they fit.
    fn offset(self, at: Moment) -> Option<u32> {
        at.as_millis().checked_sub(self.start.as_millis()).and_then(|offset| u32::try_from(offset).ok())
    }

    fn moment(self, offset: u32) -> Moment {
        self.start + Duration::from_millis(u64::from(offset))
    }

    /// What the wall clock shows at a monotonic time, if nobody sets it.
    fn wall_ms(self, at: Moment) -> i64 {
        i64::try_from(at.as_millis()).unwrap_or(i64::MAX).saturating_add(self.wall_ahead_ms)
    }
}

/// A line at rest.
#[derive(Clone, Copy, Debug)]
pub(in crate::liveness) struct Packed {
    pub(in crate::liveness) account: u32,
    pub(in crate::liveness) endpoint: u32,
    since_ms: [u16; 3],
    /// Also when the newest beat was due, if there was one.
    counted_from: u32,
    recent: [u32; 2],
    address_v4: [u8; 4],
    /// By how much the newest beat arrived later than it was due, as the wall clock shows it.
    last_at_after_ms: i16,
    interval: u16,
    /// How much later the newest beat was due than the newest one shown, ms.
    recent_before_ms: u16,
    loss_half_percent: u8,
    phase: PackedPhase,
    flags: u8,
    /// How it is kept; for the list of rows, since there is room for it here.
    pub(in crate::liveness) kept: Kept,
}

/// How a row is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::liveness) enum Kept {
    /// Not at all: the place is free.
    Vacant,
    /// Here.
    Packed,
    /// Here, with an IPv6 address in its own list.
    PackedV6,
    /// As a whole machine elsewhere.
    Whole,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PackedPhase {
    New,
    Unheard,
    Online,
    Offline,
}

const HAS_SINCE: u8 = 1;
const HAS_LAST: u8 = 1 << 1;
const HAS_LAST_AT: u8 = 1 << 2;
const HAS_ADDRESS: u8 = 1 << 3;
const MAIL_KNOWN: u8 = 1 << 4;
const MAIL_OK: u8 = 1 << 5;
const HAS_RECENT: u8 = 1 << 6;
/// The interval is in 10 s, else in 10 ms.
const LONG_INTERVAL: u8 = 1 << 7;

const fn flag(flag: u8, on: bool) -> u8 {
    if on { flag } else { 0 }
}

impl Packed {
    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Of nobody.
    pub(in crate::liveness) const VACANT: Self = Self {
        account: 0,
        endpoint: 0,
        since_ms: [0; 3],
        counted_from: 0,
        recent: [0; 2],
        address_v4: [0; 4],
        last_at_after_ms: 0,
        interval: 0,
        recent_before_ms: 0,
        loss_half_percent: 0,
        phase: PackedPhase::New,
        flags: 0,
        kept: Kept::Vacant,
    };
}

impl Machine {
    /// The line in short, with its IPv6 address apart; `None` if anything about it is unusual.
    pub(in crate::liveness) fn pack(&self, epoch: Epoch) -> Option<(Packed, Option<IpAddr>)> {
        // Named one by one, so that a new field cannot be forgotten here.
        let Self {
            settings: _,
            watched,
            phase,
            since,
            suspect_since: None,
            counted_from,
            interval,
            last,
            last_at,
            address,
            mail_ok,
            recent,
            recent_base,
            stored_interval: (stored_interval, None),
            no_data_since: None,
            is_withheld: false,
            damping: None,
            outputs,
        } = self
        else {
            return None;
        };
        let phase = match phase {
            Phase::New => PackedPhase::New,
            Phase::Returning { first: None } => PackedPhase::Unheard,
            Phase::Returning { first: Some(_) } => return None,
            Phase::Online => PackedPhase::Online,
            Phase::Offline => PackedPhase::Offline,
        };
        let is_plain =
            stored_interval == interval && outputs.is_empty() && last.is_none_or(|last| last.base == *counted_from);
        if !is_plain || recent_base.is_some_and(|base| base > *counted_from) {
            return None;
        }
        // After an absence of our own the strip begins anew.
        let recent_before = recent_base.and_then(|base| u16::try_from(counted_from.since(base).as_millis()).ok());
        let loss_half_percent = last.map_or(0.0, |last| (last.loss_percent * 2.0).clamp(0.0, 200.0)) as u8;
        let (interval, is_long) = pack_interval(*interval)?;
        let last_at_after = last_at.map_or(0, |at| at.timestamp_millis().saturating_sub(epoch.wall_ms(*counted_from)));
        let (address_v4, apart) = match address {
            Some(IpAddr::V4(v4)) => (v4.octets(), None),
            None | Some(IpAddr::V6(_)) => ([0; 4], *address),
        };
        let packed = Packed {
            account: u32::try_from(watched.account.0).ok()?,
            endpoint: u32::try_from(watched.endpoint.0).ok()?,
            since_ms: pack_wall(since.map_or(0, |at| at.timestamp_millis()))?,
            counted_from: epoch.offset(*counted_from)?,
            recent: halves(if recent_before.is_some() { recent.0 } else { 0 }),
            address_v4,
            last_at_after_ms: i16::try_from(last_at_after).ok()?,
            interval,
            recent_before_ms: recent_before.unwrap_or(0),
            loss_half_percent,
            phase,
            flags: flag(HAS_SINCE, since.is_some())
                | flag(HAS_LAST, last.is_some())
                | flag(HAS_LAST_AT, last_at.is_some())
                | flag(HAS_ADDRESS, address.is_some() && apart.is_none())
                | flag(MAIL_KNOWN, mail_ok.is_some())
                | flag(MAIL_OK, *mail_ok == Some(true))
                | flag(HAS_RECENT, recent_before.is_some())
                | flag(LONG_INTERVAL, is_long),
            kept: if apart.is_some() { Kept::PackedV6 } else { Kept::Packed },
        };
        Some((packed, apart))
    }

    /// The whole line again. Times of day are exact to the millisecond.
    pub(in crate::liveness) fn unpack(
        settings: Settings,
        packed: &Packed,
        apart: Option<IpAddr>,
        epoch: Epoch,
    ) -> Self {
        let (phase, state) = match packed.phase {
            PackedPhase::New => (Phase::New, LineState::New),
            PackedPhase::Unheard => (Phase::Returning { first: None }, LineState::Returning),
            PackedPhase::Online => (Phase::Online, LineState::Online),
            PackedPhase::Offline => (Phase::Offline, LineState::Offline),
        };
        let counted_from = epoch.moment(packed.counted_from);
        let interval_unit = if packed.has(LONG_INTERVAL) { LONG_UNIT } else { SHORT_UNIT };
        let interval = interval_unit * u32::from(packed.interval);
        let has_address = packed.has(HAS_ADDRESS);
        let address = if has_address { Some(IpAddr::V4(Ipv4Addr::from(packed.address_v4))) } else { apart };
        let mail_ok = packed.has(MAIL_KNOWN).then(|| packed.has(MAIL_OK));
        let since = packed.has(HAS_SINCE).then(|| wall_of(unpack_wall(packed.since_ms)));
        let last = packed.has(HAS_LAST).then(|| Beat {
            base: counted_from,
            at: counted_from,
            interval,
            address: address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            mail_ok,
            loss_percent: f32::from(packed.loss_half_percent) / 2.0,
        });
        let last_at_ms = epoch.wall_ms(counted_from).saturating_add(i64::from(packed.last_at_after_ms));
        Self {
            settings,
            watched: WatchedEndpoint {
                state,
                since,
                ..WatchedEndpoint::new(AccountId(i64::from(packed.account)), EndpointId(i64::from(packed.endpoint)))
            },
            phase,
            since,
            suspect_since: None,
            counted_from,
            interval,
            last,
            last_at: packed.has(HAS_LAST_AT).then(|| wall_of(last_at_ms)),
            address,
            mail_ok,
            recent: Recent(whole(packed.recent)),
            recent_base: packed
                .has(HAS_RECENT)
                .then(|| counted_from - Duration::from_millis(u64::from(packed.recent_before_ms))),
            stored_interval: (interval, None),
            no_data_since: None,
            is_withheld: false,
            damping: None,
            outputs: VecDeque::new(),
        }
    }
}

const SHORT_UNIT: Duration = Duration::from_millis(10);
const LONG_UNIT: Duration = Duration::from_secs(10);

fn pack_interval(interval: Duration) -> Option<(u16, bool)> {
    let exactly = |unit: Duration| {
        let count = u16::try_from(interval.as_millis() / unit.as_millis()).ok()?;
        (unit * u32::from(count) == interval).then_some(count)
    };
    exactly(SHORT_UNIT).map(|count| (count, false)).or_else(|| exactly(LONG_UNIT).map(|count| (count, true)))
}

/// Milliseconds since 1970 in 48 bits.
fn pack_wall(millis: i64) -> Option<[u16; 3]> {
    let [a, b, c, d, e, f, 0, 0] = millis.to_le_bytes() else { return None };
    Some([u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]), u16::from_le_bytes([e, f])])
}

fn unpack_wall([low, middle, high]: [u16; 3]) -> i64 {
    i64::from(low) | i64::from(middle) << 16 | i64::from(high) << 32
}

fn wall_of(millis: i64) -> WallTime {
    WallTime::from_timestamp_millis(millis).unwrap_or(WallTime::UNIX_EPOCH)
}

const fn halves(value: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

fn whole([low, high]: [u32; 2]) -> u64 {
    u64::from(low) | u64::from(high) << 32
}
