//! Cookies of challenges and the server's time: what makes an answer fresh without a stored word (docs/PROTOCOL.md §5).

use std::net::IpAddr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::path::Run;
use crate::base::Moment;
use crate::heartbeat::datagram::{Reason, address_octets};
use crate::heartbeat::tag::{Tag, first_half, tags_equal};

/// Age beyond which an answer is worth nothing (docs/PROTOCOL.md §5).
pub(super) const COOKIE_AGE_MAX: Duration = Duration::from_secs(5);
/// How long one cookie secret is used.
const SECRET_AGE_MAX: Duration = Duration::from_secs(3_600);

/// The random part of one run of the server: cookie secrets and where its time begins.
pub(super) struct Clockwork {
    seed: Zeroizing<[u8; 32]>,
    time_offset: u32,
}

/// What a cookie vouches for, apart from the reason.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) run: Run,
    pub(super) source: IpAddr,
    pub(super) server_time: u32,
    pub(super) path: u8,
}

impl Clockwork {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        let time_offset = blake3::keyed_hash(&seed, b"start of time").as_bytes().first_chunk().copied();
        Self { seed: Zeroizing::new(seed), time_offset: u32::from_be_bytes(time_offset.unwrap_or_default()) }
    }

    /// A random number for hash tables.
    pub(super) fn hash_seed(&self) -> u64 {
        let hash = blake3::keyed_hash(&self.seed, b"hash seed");
        u64::from_be_bytes(hash.as_bytes().first_chunk().copied().unwrap_or_default())
    }

    /// Milliseconds since a random start, wrapping; never 0, which means none.
    pub(super) fn server_time(&self, now: Moment) -> u32 {
        let [_, _, _, _, a, b, c, d] = now.as_millis().to_be_bytes();
        self.time_offset.wrapping_add(u32::from_be_bytes([a, b, c, d])).max(1)
    }

    pub(super) fn cookie(&self, asked: &Asked, reason: Reason, now: Moment) -> Tag {
        let turn = now.as_millis() / u64::try_from(SECRET_AGE_MAX.as_millis()).unwrap_or(u64::MAX);
        let secret = Zeroizing::new(*blake3::keyed_hash(&self.seed, &turn.to_be_bytes()).as_bytes());
        let mut text = Vec::with_capacity(38);
        text.extend_from_slice(&asked.run.locator.0);
        text.extend_from_slice(&asked.run.boot.0.to_be_bytes());
        text.extend_from_slice(&address_octets(asked.source));
        text.extend_from_slice(&asked.server_time.to_be_bytes());
        text.extend_from_slice(&[asked.path, reason.code()]);
        first_half(&blake3::keyed_hash(&secret, &text))
    }

    /// How long ago it was this server time.
    pub(super) fn age(&self, server_time: u32, now: Moment) -> Duration {
        Duration::from_millis(u64::from(self.server_time(now).wrapping_sub(server_time)))
    }

    /// Whether this server asked that of this source within the last 5 s.
    pub(super) fn is_ours(&self, cookie: &Tag, asked: &Asked, now: Moment) -> bool {
        let age = self.age(asked.server_time, now);
        age <= COOKIE_AGE_MAX
            && Reason::ALL.iter().any(|reason| tags_equal(&self.cookie(asked, *reason, now - age), cookie))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::datagram::{BootId, Locator};

    #[test]
    fn a_cookie_is_good_for_one_address_boot_path_run_and_5_s() {
        let clockwork = Clockwork::new([1; 32]);
        // One millisecond before the secret changes.
        let now = Moment::from_millis(2 * 3_600_000 - 1);
        let run = Run { locator: Locator([1; 8]), boot: BootId(5) };
        let asked =
            Asked { run, source: "192.0.2.1".parse().unwrap(), server_time: clockwork.server_time(now), path: 0 };
        let cookie = clockwork.cookie(&asked, Reason::AddressDiffers, now);
        assert!(clockwork.is_ours(&cookie, &asked, now));
        assert!(clockwork.is_ours(&cookie, &asked, now + COOKIE_AGE_MAX));
        assert!(!clockwork.is_ours(&cookie, &asked, now + COOKIE_AGE_MAX + Duration::from_millis(1)));
        assert!(!clockwork.is_ours(&cookie, &asked, now - Duration::from_millis(1)));
        assert!(!Clockwork::new([2; 32]).is_ours(&cookie, &asked, now));
        for other in [
            Asked { source: "192.0.2.2".parse().unwrap(), ..asked },
            Asked { path: 1, ..asked },
            Asked { run: Run { boot: BootId(6), ..run }, ..asked },
            Asked { run: Run { locator: Locator([2; 8]), ..run }, ..asked },
        ] {
            assert!(!clockwork.is_ours(&cookie, &other, now));
        }
    }

    #[test]
    fn server_time_wraps_and_is_never_0() {
        let clockwork = Clockwork::new([1; 32]);
        let zero_at = 0u32.wrapping_sub(clockwork.server_time(Moment::from_millis(0)));
        assert_eq!(clockwork.server_time(Moment::from_millis(u64::from(zero_at))), 1);
        assert_eq!(clockwork.server_time(Moment::from_millis(u64::from(zero_at) + 9)), 9);
    }
}
