//! When is a certificate asked for at the authority (RFC 8555), and how long is it left alone after a failure?
//!
//! This file decides; `driver` asks the authority, `wire` carries its requests. A certificate is renewed when two thirds of its
//! life are over, a little earlier by chance, so that many servers do not come at once. A failure waits a quarter of an
//! hour, then twice as long each time: authorities bar whoever fails often. What was tried is kept on disk, so that a
//! restart is no way around it.

pub mod driver;
mod wire;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::facts::CertificateFacts;
use crate::base::{DomainName, WallTime};

/// After the first failure. Let's Encrypt allows 5 failures of one name in an hour.
const FIRST_WAIT: Duration = Duration::from_secs(15 * 60);
/// After many.
const WAIT_MAX: Duration = Duration::from_secs(12 * 3_600);
/// After a success at least, however short the new certificate is valid.
const REST_MIN: Duration = Duration::from_secs(10);
/// After a success at least, for certificates of the usual length.
const REST_MAX: Duration = Duration::from_secs(3_600);
/// Between two tries that a person asked for.
pub const ASKED_EVERY: Duration = Duration::from_secs(30);

/// What was tried for one certificate, as kept beside it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Attempts {
    /// What was asked for, and where; another wish begins anew.
    #[serde(default)]
    pub wish: String,
    /// When the last try began.
    #[serde(default)]
    pub last_at: Option<WallTime>,
    /// Tries since the last success that did not succeed, the one that runs included.
    #[serde(default)]
    pub failures: u32,
    /// Why the last one failed; absent after a success.
    #[serde(default)]
    pub error: Option<String>,
}

impl Attempts {
    /// A try begins: it counts as failed until it is known better, so that a crash is no success.
    pub fn begin(&mut self, now: WallTime) {
        self.last_at = Some(now);
        self.failures = self.failures.saturating_add(1);
    }

    /// It failed.
    pub fn fail(&mut self, error: &str) {
        self.error = Some(error.to_owned());
    }

    /// It succeeded.
    pub fn succeed(&mut self) {
        self.failures = 0;
        self.error = None;
    }

    /// A person asks for another try now: the waiting ends. Not right after the last try.
    pub fn forgive(&mut self, now: WallTime) -> bool {
        let is_fresh = self.last_at.is_some_and(|at| at <= now && now - at < delta(ASKED_EVERY));
        if self.failures == 0 || is_fresh {
            return false;
        }
        self.failures = 0;
        self.last_at = None;
        true
    }
}

/// When to ask for a certificate: `held` is what there is, `spread` a random number that stays the same for one
/// certificate.
#[must_use]
pub fn due_at(
    held: Option<&CertificateFacts>,
    names: &[DomainName],
    attempts: &Attempts,
    spread: u32,
    now: WallTime,
) -> WallTime {
    let held = held.filter(|facts| !facts.is_self_signed && names.iter().all(|name| facts.is_for(name.as_str())));
    let wanted = held.map_or(now, |facts| renewed_at(facts, spread));
    // A clock that was set back must not keep us from asking for years.
    let Some(last_at) = attempts.last_at.filter(|at| *at <= now) else { return wanted };
    let wait = match (attempts.failures, held) {
        (0, None) => REST_MAX,
        (0, Some(facts)) => (life(facts) / 3).clamp(REST_MIN, REST_MAX),
        (failures, _) => wait_after(failures, spread),
    };
    wanted.max(last_at + delta(wait))
}

/// How long to wait after so many failures in a row.
#[must_use]
pub fn wait_after(failures: u32, spread: u32) -> Duration {
    let doubled = FIRST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(WAIT_MAX);
    // Up to a tenth more.
    doubled + doubled.mul_f64(f64::from(spread) / f64::from(u32::MAX) / 10.0)
}

fn life(facts: &CertificateFacts) -> Duration {
    (facts.not_after - facts.not_before).to_std().unwrap_or_default()
}

/// Two thirds of its life, and by chance up to a twelfth of it less.
fn renewed_at(facts: &CertificateFacts, spread: u32) -> WallTime {
    let life = life(facts);
    let chance = (life / 12).mul_f64(f64::from(spread) / f64::from(u32::MAX));
    facts.not_after - delta(life / 3) - delta(chance)
}

fn delta(span: Duration) -> chrono::TimeDelta {
    chrono::TimeDelta::from_std(span).unwrap_or(chrono::TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn at(second: i64) -> WallTime {
        chrono::Utc.timestamp_opt(1_795_492_800 + second, 0).unwrap()
    }

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    fn facts(days: i64) -> CertificateFacts {
        CertificateFacts {
            not_before: at(0),
            not_after: at(days * 86_400),
            spki_sha256: [0; 32],
            names: vec!["mx.example".to_owned()],
            is_self_signed: false,
        }
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life_or_a_little_earlier() {
        let (names, tried) = ([name("mx.example")], Attempts::default());
        let due = |spread| due_at(Some(&facts(90)), &names, &tried, spread, at(5));
        assert_eq!(due(0), at(60 * 86_400));
        assert_eq!(due(u32::MAX), at(60 * 86_400 - 90 * 86_400 / 12));
        let now = at(5);
        assert_eq!(due_at(None, &names, &tried, 7, now), now);
        assert_eq!(due_at(Some(&facts(90)), &[name("mx.example"), name("b.example")], &tried, 7, now), now);
        let own = CertificateFacts { is_self_signed: true, ..facts(3_650) };
        assert_eq!(due_at(Some(&own), &names, &tried, 7, now), now);
    }

    #[test]
    fn failures_wait_longer_each_time_and_no_state_asks_all_the_time() {
        assert_eq!(wait_after(1, 0), FIRST_WAIT);
        assert_eq!(wait_after(2, 0), FIRST_WAIT * 2);
        assert_eq!(wait_after(40, 0), WAIT_MAX);
        assert_eq!(wait_after(1, u32::MAX), FIRST_WAIT + FIRST_WAIT / 10);
        let names = [name("mx.example")];
        let mut tried = Attempts::default();
        tried.begin(at(100));
        // As after a crash in the middle of it.
        assert_eq!(due_at(None, &names, &tried, 0, at(101)), at(100 + 900));
        tried.fail("no");
        tried.begin(at(1_000));
        assert_eq!(due_at(None, &names, &tried, 0, at(1_001)), at(1_000 + 1_800));
        tried.succeed();
        assert_eq!(tried.failures, 0);
        // An authority whose certificates never fit.
        assert_eq!(due_at(None, &names, &tried, 0, at(1_001)), at(1_000 + 3_600));
        // One whose certificates are old when they come.
        let old = CertificateFacts { not_after: at(3), ..facts(1) };
        assert_eq!(due_at(Some(&old), &names, &tried, 0, at(1_001)), at(1_010));
    }

    #[test]
    fn a_person_may_ask_for_another_try_but_not_all_the_time() {
        let mut tried = Attempts::default();
        assert!(!tried.forgive(at(0)), "nothing failed");
        tried.begin(at(100));
        tried.fail("no");
        assert!(!tried.forgive(at(120)));
        assert!(tried.forgive(at(161)));
        assert_eq!(due_at(None, &[name("mx.example")], &tried, 0, at(161)), at(161));
    }
}
