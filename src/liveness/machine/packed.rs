//! One line at rest in as few octets as a million of them need; whatever does not fit stays a whole [`Machine`].

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::lane::{Lane, Silence};
use super::{Beat, Machine, Phase, Settings};
use crate::base::{AccountId, EndpointId, Moment, WallTime};
use crate::liveness::damping::Damping;
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
    /// Milliseconds since 1970 in 46 bits, and the phase in the two above.
    since_and_phase: [u16; 3],
    /// Also when the newest beat was due, if there was one.
    counted_from: u32,
    recent: [u32; 2],
    address_v4: [u8; 4],
    proven_s: u32,
    /// By how much the newest beat arrived later than it was due, as the wall clock shows it.
    last_at_after_ms: i16,
    interval: u16,
    /// How much later the newest beat was due than the newest one shown, ms.
    recent_before_ms: u16,
    loss_half_percent: u8,
    unanswered: Unanswered,
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
    /// Here, with some of what few lines have in lists of its own.
    PackedApart,
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

impl PackedPhase {
    const fn code(self) -> u16 {
        match self {
            Self::New => 0,
            Self::Unheard => 1,
            Self::Online => 2,
            Self::Offline => 3,
        }
    }

    const fn of_code(code: u16) -> Self {
        match code {
            0 => Self::New,
            1 => Self::Unheard,
            2 => Self::Online,
            _ => Self::Offline,
        }
    }
}

/// Datagrams without a reply in 0.5 %, as a client counts them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unanswered(u8);

impl Default for Unanswered {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl Unanswered {
    const UNKNOWN: Self = Self(u8::MAX);

    pub(super) fn of_percent(percent: Option<f32>) -> Self {
        percent.map_or(Self::UNKNOWN, |percent| Self(half_percents(percent)))
    }

    pub(super) fn percent(self) -> Option<f32> {
        (self != Self::UNKNOWN).then(|| f32::from(self.0) / 2.0)
    }
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
        since_and_phase: [0; 3],
        counted_from: 0,
        recent: [0; 2],
        address_v4: [0; 4],
        proven_s: 0,
        last_at_after_ms: 0,
        interval: 0,
        recent_before_ms: 0,
        loss_half_percent: 0,
        unanswered: Unanswered::UNKNOWN,
        flags: 0,
        kept: Kept::Vacant,
    };
}

/// What few lines have, in lists of its own.
#[derive(Clone, Copy, Default, Debug)]
pub(in crate::liveness) struct Apart {
    /// The address of the main path, if it is of IPv6.
    pub(in crate::liveness) v6: Option<IpAddr>,
    /// Of a line with two paths, or whose only path is the second.
    pub(in crate::liveness) paths: Option<PackedPaths>,
    /// Of a line that changed its state a moment ago.
    pub(in crate::liveness) damping: Option<Damping>,
}

/// The second path of a line, and which is which.
#[derive(Clone, Copy, Debug)]
pub(in crate::liveness) struct PackedPaths {
    address: [u8; 16],
    counted_from: u32,
    proven_s: u32,
    interval: u16,
    loss_half_percent: u8,
    flags: u8,
}

const MAIN_IS_PATH_1: u8 = 1;
const MAIN_IS_STORED: u8 = 1 << 1;
const HAS_SECOND: u8 = 1 << 2;
const SECOND_HAS_ADDRESS: u8 = 1 << 3;
const SECOND_IS_STORED: u8 = 1 << 4;
const SECOND_HAS_LAST: u8 = 1 << 5;
const SECOND_LONG_INTERVAL: u8 = 1 << 6;

impl PackedPaths {
    fn pack(main: &Lane, second: Option<&Lane>, epoch: Epoch) -> Option<Self> {
        let flags = flag(MAIN_IS_PATH_1, main.path == 1) | flag(MAIN_IS_STORED, main.is_stored);
        let Some(second) = second else {
            return Some(Self {
                address: [0; 16],
                counted_from: 0,
                proven_s: 0,
                interval: 0,
                loss_half_percent: 0,
                flags,
            });
        };
        if !is_plain(second) {
            return None;
        }
        let (interval, is_long) = pack_interval(second.interval)?;
        Some(Self {
            address: second.address.map_or([0; 16], address_octets),
            counted_from: epoch.offset(second.counted_from)?,
            proven_s: second.proven_s,
            interval,
            loss_half_percent: pack_loss(second),
            flags: flags
                | HAS_SECOND
                | flag(SECOND_HAS_ADDRESS, second.address.is_some())
                | flag(SECOND_IS_STORED, second.is_stored)
                | flag(SECOND_HAS_LAST, second.last.is_some())
                | flag(SECOND_LONG_INTERVAL, is_long),
        })
    }

    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn second(&self, mail_ok: Option<bool>, epoch: Epoch) -> Option<Lane> {
        let address = self.has(SECOND_HAS_ADDRESS).then(|| IpAddr::V6(Ipv6Addr::from(self.address)).to_canonical());
        let mut second = lane(
            u8::from(!self.has(MAIN_IS_PATH_1)),
            address,
            epoch.moment(self.counted_from),
            unpack_interval(self.interval, self.has(SECOND_LONG_INTERVAL)),
            self.has(SECOND_HAS_LAST).then_some((self.loss_half_percent, mail_ok)),
        );
        second.is_stored = self.has(SECOND_IS_STORED);
        second.proven_s = self.proven_s;
        self.has(HAS_SECOND).then_some(second)
    }
}

/// Whether a path is at rest.
fn is_plain(lane: &Lane) -> bool {
    lane.silence == Silence::None && lane.last.is_none_or(|last| last.base == lane.counted_from)
}

fn pack_loss(lane: &Lane) -> u8 {
    lane.last.map_or(0, |last| half_percents(last.loss_percent))
}

fn half_percents(percent: f32) -> u8 {
    (percent * 2.0).clamp(0.0, 200.0) as u8
}

/// What the times of the newest beat of all are counted from.
fn anchor(main: &Lane, second: Option<&Lane>) -> Moment {
    let newest = second.filter(|lane| lane.last.is_some()).map(|lane| lane.counted_from);
    newest.map_or(main.counted_from, |newest| newest.max(main.counted_from))
}

/// A path at rest. `heard` is the loss and what the client said of its mail server, if a beat came.
fn lane(
    path: u8,
    address: Option<IpAddr>,
    counted_from: Moment,
    interval: Duration,
    heard: Option<(u8, Option<bool>)>,
) -> Lane {
    let last = heard.map(|(loss_half_percent, mail_ok)| Beat {
        path,
        base: counted_from,
        at: counted_from,
        interval,
        address: address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        mail_ok,
        loss_percent: f32::from(loss_half_percent) / 2.0,
        unanswered_percent: None,
    });
    Lane { path, address, is_stored: false, proven_s: 0, counted_from, interval, last, silence: Silence::None }
}

impl Machine {
    /// The line in short, with what few lines have apart; `None` if anything about it is unusual.
    pub(in crate::liveness) fn pack(&self, epoch: Epoch) -> Option<(Packed, Apart)> {
        // Named one by one, so that a new field cannot be forgotten here.
        let Self {
            settings: _,
            watched,
            phase,
            since,
            suspect_since: None,
            main,
            second,
            last_at,
            mail_ok,
            unanswered,
            recent,
            recent_base,
            stored_interval: (stored_interval, None),
            no_data_since: None,
            damping,
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
        let anchor = anchor(main, second.as_ref());
        let is_plain = *stored_interval == main.interval && outputs.is_empty() && is_plain(main);
        if !is_plain || recent_base.is_some_and(|base| base > anchor) {
            return None;
        }
        let is_single = second.is_none() && main.path == 0 && main.is_stored == last_at.is_none();
        let paths = if is_single { None } else { Some(PackedPaths::pack(main, second.as_ref(), epoch)?) };
        // After an absence of our own the strip begins anew.
        let recent_before = recent_base.and_then(|base| u16::try_from(anchor.since(base).as_millis()).ok());
        let (interval, is_long) = pack_interval(main.interval)?;
        let last_at_after = last_at.map_or(0, |at| at.timestamp_millis().saturating_sub(epoch.wall_ms(anchor)));
        let (address_v4, v6) = match main.address {
            Some(IpAddr::V4(v4)) => (v4.octets(), None),
            None | Some(IpAddr::V6(_)) => ([0; 4], main.address),
        };
        let packed = Packed {
            account: u32::try_from(watched.account.0).ok()?,
            endpoint: u32::try_from(watched.endpoint.0).ok()?,
            since_and_phase: pack_wall(since.map_or(0, |at| at.timestamp_millis()), phase)?,
            counted_from: epoch.offset(main.counted_from)?,
            recent: halves(if recent_before.is_some() { recent.0 } else { 0 }),
            address_v4,
            proven_s: main.proven_s,
            last_at_after_ms: i16::try_from(last_at_after).ok()?,
            interval,
            recent_before_ms: recent_before.unwrap_or(0),
            loss_half_percent: pack_loss(main),
            unanswered: *unanswered,
            flags: flag(HAS_SINCE, since.is_some())
                | flag(HAS_LAST, main.last.is_some())
                | flag(HAS_LAST_AT, last_at.is_some())
                | flag(HAS_ADDRESS, main.address.is_some() && v6.is_none())
                | flag(MAIL_KNOWN, mail_ok.is_some())
                | flag(MAIL_OK, *mail_ok == Some(true))
                | flag(HAS_RECENT, recent_before.is_some())
                | flag(LONG_INTERVAL, is_long),
            kept: match (v6, paths, damping) {
                (None, None, None) => Kept::Packed,
                (Some(_), None, None) => Kept::PackedV6,
                (_, Some(_), _) | (_, _, Some(_)) => Kept::PackedApart,
            },
        };
        Some((packed, Apart { v6, paths, damping: damping.as_deref().copied() }))
    }

    /// The whole line again. Times of day are exact to the millisecond.
    pub(in crate::liveness) fn unpack(
        settings: Settings,
        packed: &Packed,
        Apart { v6, paths, damping }: Apart,
        epoch: Epoch,
    ) -> Self {
        let (since_ms, phase) = unpack_wall(packed.since_and_phase);
        let (phase, state) = match phase {
            PackedPhase::New => (Phase::New, LineState::New),
            PackedPhase::Unheard => (Phase::Returning { first: None }, LineState::Returning),
            PackedPhase::Online => (Phase::Online, LineState::Online),
            PackedPhase::Offline => (Phase::Offline, LineState::Offline),
        };
        let counted_from = epoch.moment(packed.counted_from);
        let interval = unpack_interval(packed.interval, packed.has(LONG_INTERVAL));
        let has_address = packed.has(HAS_ADDRESS);
        let address = if has_address { Some(IpAddr::V4(Ipv4Addr::from(packed.address_v4))) } else { v6 };
        let mail_ok = packed.has(MAIL_KNOWN).then(|| packed.has(MAIL_OK));
        let since = packed.has(HAS_SINCE).then(|| wall_of(since_ms));
        let path = u8::from(paths.is_some_and(|paths| paths.has(MAIN_IS_PATH_1)));
        let heard = packed.has(HAS_LAST).then_some((packed.loss_half_percent, mail_ok));
        let mut main = lane(path, address, counted_from, interval, heard);
        main.is_stored = paths.map_or(!packed.has(HAS_LAST_AT), |paths| paths.has(MAIN_IS_STORED));
        main.proven_s = packed.proven_s;
        let second = paths.and_then(|paths| paths.second(mail_ok, epoch));
        let anchor = anchor(&main, second.as_ref());
        let last_at_ms = epoch.wall_ms(anchor).saturating_add(i64::from(packed.last_at_after_ms));
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
            main,
            second,
            last_at: packed.has(HAS_LAST_AT).then(|| wall_of(last_at_ms)),
            mail_ok,
            unanswered: packed.unanswered,
            recent: Recent(whole(packed.recent)),
            recent_base: packed
                .has(HAS_RECENT)
                .then(|| anchor - Duration::from_millis(u64::from(packed.recent_before_ms))),
            stored_interval: (interval, None),
            no_data_since: None,
            damping: damping.map(Box::new),
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

fn unpack_interval(interval: u16, is_long: bool) -> Duration {
    if is_long { LONG_UNIT * u32::from(interval) } else { SHORT_UNIT * u32::from(interval) }
}

const fn address_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// Bits of the highest part of a time of day; the two above are the phase.
const HIGH_BITS: u32 = 14;

/// Milliseconds since 1970 in 46 bits, with the phase.
fn pack_wall(millis: i64, phase: PackedPhase) -> Option<[u16; 3]> {
    let [a, b, c, d, e, f, 0, 0] = millis.to_le_bytes() else { return None };
    let high = u16::from_le_bytes([e, f]);
    let is_within = high >> HIGH_BITS == 0;
    is_within.then(|| [u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]), high | phase.code() << HIGH_BITS])
}

fn unpack_wall([low, middle, high]: [u16; 3]) -> (i64, PackedPhase) {
    let millis = i64::from(low) | i64::from(middle) << 16 | i64::from(high & ((1 << HIGH_BITS) - 1)) << 32;
    (millis, PackedPhase::of_code(high >> HIGH_BITS))
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
