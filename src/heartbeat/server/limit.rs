//! How many challenges one source may cause: 2 a second for each run of a client.

use std::net::IpAddr;
use std::time::Duration;

use super::path::Run;
use crate::base::Moment;

/// Challenges for one source and run within a second (docs/PROTOCOL.md §5).
const CHALLENGES_PER_SECOND: u8 = 2;
/// Sources remembered of one endpoint. Beyond it the oldest is forgotten: a challenge is never longer than what
/// caused it, so nothing is amplified.
const SOURCES_MAX: usize = 16;

#[derive(Debug, Default)]
pub(super) struct ChallengeLimit {
    sources: Vec<(IpAddr, Run, Moment, u8)>,
}

impl ChallengeLimit {
    /// Whether one more may be sent now.
    pub(super) fn admits(&mut self, source: IpAddr, run: Run, now: Moment) -> bool {
        if let Some((_, _, since, count)) = self.sources.iter_mut().find(|(s, r, ..)| *s == source && *r == run) {
            if now.since(*since) >= Duration::from_secs(1) {
                (*since, *count) = (now, 0);
            }
            *count = count.saturating_add(1);
            return *count <= CHALLENGES_PER_SECOND;
        }
        if self.sources.len() >= SOURCES_MAX {
            self.sources.remove(0);
        }
        self.sources.push((source, run, now, 1));
        true
    }
}
