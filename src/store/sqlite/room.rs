//! How much mail the disk may still take. Below the reserve intake stops, so that flushes, history and commands, which
//! write too, go on: a full disk must not keep held mail from leaving.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::base::{ByteCount, Clock, Moment};

/// The reserve where none is set: 1 GiB, or [`RESERVE_PERCENT`] of the disk if that is more.
const RESERVE_MIN: u64 = 1 << 30;
/// See [`RESERVE_MIN`].
const RESERVE_PERCENT: u64 = 2;
/// From this much of the disk on, each account has its fair share only.
const TIGHT_PERCENT: u64 = 70;
/// How long one look at the disk is good for. A full gigabit line brings 25 MB in this time.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Free space of the disk below one folder.
#[derive(Debug)]
pub(super) struct Room {
    folder: PathBuf,
    reserve: Option<ByteCount>,
    looked_at_ms: AtomicU64,
    octets: AtomicU64,
    is_tight: AtomicBool,
}

impl Room {
    pub(super) const fn new(folder: PathBuf, reserve: Option<ByteCount>) -> Self {
        Self {
            folder,
            reserve,
            looked_at_ms: AtomicU64::new(0),
            octets: AtomicU64::new(0),
            is_tight: AtomicBool::new(false),
        }
    }

    /// Octets above the reserve. A disk that cannot be asked counts as free: the write itself will tell.
    pub(super) fn octets(&self) -> u64 {
        let now = Clock.monotonic();
        let looked_at = Moment::from_millis(self.looked_at_ms.load(Ordering::Relaxed));
        if now.since(looked_at) < LOOK_AGAIN_AFTER {
            return self.octets.load(Ordering::Relaxed);
        }
        let octets = rustix::fs::statvfs(&self.folder).map_or(u64::MAX, |volume| {
            let free = volume.f_bavail.saturating_mul(volume.f_frsize);
            let whole = volume.f_blocks.saturating_mul(volume.f_frsize);
            self.is_tight.store(is_tight(free, whole), Ordering::Relaxed);
            free.saturating_sub(reserve(self.reserve, whole))
        });
        self.octets.store(octets, Ordering::Relaxed);
        self.looked_at_ms.store(now.as_millis(), Ordering::Relaxed);
        octets
    }

    /// Whether so much of the disk was taken at the last look that accounts have to share the rest.
    pub(super) fn is_tight(&self) -> bool {
        self.is_tight.load(Ordering::Relaxed)
    }
}

/// What only root may use counts as taken: the spool is no root.
const fn is_tight(free: u64, whole: u64) -> bool {
    whole.saturating_sub(free) >= whole / 100 * TIGHT_PERCENT
}

fn reserve(set: Option<ByteCount>, whole: u64) -> u64 {
    set.map_or_else(|| RESERVE_MIN.max(whole / 100 * RESERVE_PERCENT), |set| set.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_a_gibibyte_or_two_percent_unless_set() {
        assert_eq!(reserve(None, 10 << 30), 1 << 30);
        assert_eq!(reserve(None, 100_000 << 20), 2_000 << 20);
        assert_eq!(reserve(Some(ByteCount(5)), 100_000 << 20), 5);
    }

    #[test]
    fn a_disk_is_tight_from_seventy_percent_on() {
        assert!(!is_tight(31_000, 100_000));
        assert!(is_tight(30_000, 100_000));
        assert!(is_tight(0, 100_000));
    }

    #[test]
    fn a_reserve_beyond_the_disk_leaves_no_room() {
        assert_eq!(Room::new(std::env::temp_dir(), Some(ByteCount(u64::MAX))).octets(), 0);
        assert!(Room::new(std::env::temp_dir(), Some(ByteCount(0))).octets() > 0);
        assert_eq!(Room::new("/nowhere/at/all".into(), None).octets(), u64::MAX);
    }
}
