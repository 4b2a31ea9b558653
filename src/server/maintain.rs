//! What has to be done now and then: mail that waited too long goes to quarantine, old envelopes and old changes of
//! lines go, accounts that left too, run-out heartbeat keys are forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::alerting::Raiser;
use super::keeper::Keeper;
use crate::account::Holiday;
use crate::base::{AccountId, Clock, Moment, WallTime};
use crate::config::Config;
use crate::control::DirectoryKeeper;
use crate::liveness::TransitionLog;
use crate::recipient::Recipients;
use crate::spool::{Expiry, ExpiryTerms, OldestWaiting, SpoolStore};
use crate::update::Updates;

/// Between two rounds. The limits it enforces are days.
const ROUND: Duration = Duration::from_secs(600);

/// How long each change of a line is kept; what it amounts to stays in the days: a year, and a month to look back.
const KEEP_HISTORY: Duration = Duration::from_secs(400 * 86_400);

/// Shares of the waiting time, in percent, at which the oldest mail of an account is spoken of.
const WARN_AT_PERCENT: [u32; 3] = [50, 80, 95];

/// How long mail is kept.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    /// Envelopes of delivered mail.
    pub delivered: Duration,
    /// Mail that waits, and then its copy in quarantine.
    pub waiting: Duration,
}

impl Keeping {
    /// As configured.
    #[must_use]
    pub const fn of(config: &Config) -> Self {
        Self { delivered: config.spool_keep_delivered, waiting: config.spool_keep }
    }
}

/// Rounds until the shutdown. What is old goes only once the clock has proven itself.
pub(super) async fn run(
    spool: Arc<dyn SpoolStore>,
    log: Arc<dyn TransitionLog>,
    keeper: Arc<Keeper>,
    (updates, recipients, mut raiser): (Arc<Updates>, Arc<Recipients>, Raiser),
    keeping: Keeping,
    shutdown: CancellationToken,
) {
    let mut warned = Warned::default();
    let mut steady = Steady::new(Clock.monotonic(), Clock.wall());
    loop {
        if steady.handle_look(Clock.monotonic(), Clock.wall()) {
            remove_what_is_old(&*spool, &*log, &keeper, (&updates, &recipients), keeping, (&raiser, &mut warned)).await;
        }
        raiser.look_at_storage(&*spool);
        if let Err(error) = keeper.reload().await {
            tracing::error!(%error, "accounts not read again");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
    }
}

async fn remove_what_is_old(
    spool: &dyn SpoolStore,
    log: &dyn TransitionLog,
    keeper: &Keeper,
    (updates, recipients): (&Updates, &Recipients),
    keeping: Keeping,
    (raiser, warned): (&Raiser, &mut Warned),
) {
    expire(spool, keeping, raiser, warned).await;
    match spool.purge_delivered(Clock.wall() - keeping.delivered).await {
        Ok(0) => {}
        Ok(purged) => tracing::info!(purged, "envelopes of delivered mail removed"),
        Err(error) => tracing::error!(%error, "envelopes of delivered mail not removed"),
    }
    match log.purge_history(Clock.wall() - KEEP_HISTORY).await {
        Ok(0) => {}
        Ok(purged) => tracing::info!(purged, "old changes of lines removed"),
        Err(error) => tracing::error!(%error, "old changes of lines not removed"),
    }
    if keeper.remove_left(Clock.wall()).await > 0 {
        if let Err(error) = updates.reload().await {
            tracing::error!(%error, "names of removed accounts are forgotten at the next start only");
        }
        if let Err(error) = recipients.reload().await {
            tracing::error!(%error, "recipients of removed accounts are forgotten at the next start only");
        }
    }
}

/// Whether the wall clock may be believed that mail is old: it went along with the running clock for a while. A machine
/// that starts with a wrong date sets it within minutes; until then nothing is removed by it.
#[derive(Debug)]
struct Steady {
    since: Moment,
    last: (Moment, WallTime),
}

/// How long the clocks have to agree.
const STEADY_FOR: Duration = Duration::from_secs(3_600);
/// How far they may drift apart between two looks.
const DRIFT_MAX: Duration = Duration::from_secs(60);

impl Steady {
    const fn new(now: Moment, wall: WallTime) -> Self {
        Self { since: now, last: (now, wall) }
    }

    fn handle_look(&mut self, now: Moment, wall: WallTime) -> bool {
        let (before, wall_before) = std::mem::replace(&mut self.last, (now, wall));
        let expected = wall_before + now.since(before);
        if (wall - expected).abs() > chrono::TimeDelta::from_std(DRIFT_MAX).unwrap_or_default() {
            self.since = now;
        }
        now.since(self.since) >= STEADY_FOR
    }
}

/// Which share of its waiting time each account was warned at. In memory: a restart repeats a warning.
type Warned = BTreeMap<AccountId, u32>;

async fn expire(spool: &dyn SpoolStore, keeping: Keeping, raiser: &Raiser, warned: &mut Warned) {
    let now = Clock.wall();
    let holidays: Holidays = raiser.directory().holidays().collect();
    let terms = terms(keeping.waiting, &holidays, now);
    match spool.expire(terms, now).await {
        Ok(Expiry { expired: 0, removed: 0 }) => {}
        Ok(Expiry { expired, removed }) => {
            tracing::error!(
                alert = "expired",
                expired,
                removed,
                "mail that waited too long went to quarantine, and from there"
            );
            raiser.expired(expired, removed);
        }
        Err(error) => tracing::error!(%error, "mail that waited too long was not put aside"),
    }
    match spool.oldest_waiting().await {
        Ok(oldest) => {
            for (oldest, percent) in warn(&oldest, keeping.waiting, &holidays, now, warned) {
                let more = holidays.get(&oldest.account).map(|holiday| holiday.adds_to(oldest.accepted_at));
                raiser.expiring(oldest, percent, oldest.accepted_at + keeping.waiting + more.unwrap_or_default());
            }
        }
        Err(error) => tracing::error!(%error, "the oldest mail is not known"),
    }
}

/// Announced absences, the last ones included.
type Holidays = BTreeMap<AccountId, Holiday>;

/// What has run out: for who is or was away the time of the absence does not count.
fn terms(limit: Duration, holidays: &Holidays, now: WallTime) -> ExpiryTerms {
    let before = |holiday: &Holiday| holiday.run_out_before(limit, now);
    let longer = holidays.iter().map(|(account, holiday)| (*account, (before(holiday), before(holiday)))).collect();
    ExpiryTerms { longer, ..ExpiryTerms::of_all(now - limit, now - limit) }
}

/// Speaks of each share once; forgets accounts whose oldest mail is young again.
fn warn<'a>(
    oldest: &'a [OldestWaiting],
    limit: Duration,
    holidays: &Holidays,
    now: WallTime,
    warned: &mut Warned,
) -> Vec<(&'a OldestWaiting, u32)> {
    let (mut still, mut spoken_of) = (Warned::new(), Vec::new());
    for one in oldest {
        let OldestWaiting { account, accepted_at } = one;
        let frozen = holidays.get(account).map(|holiday| holiday.ended(now).adds_to(*accepted_at)).unwrap_or_default();
        let waited = (now - *accepted_at).to_std().unwrap_or_default().saturating_sub(frozen);
        let Some(percent) = reached(waited, limit) else { continue };
        if warned.get(account).is_none_or(|before| *before < percent) {
            let days = waited.as_secs() / 86_400;
            tracing::warn!(alert = "expiring", %account, percent, days, "the oldest mail of an account comes to the end of its time");
            spoken_of.push((one, percent));
        }
        still.insert(*account, percent);
    }
    *warned = still;
    spoken_of
}

fn reached(waited: Duration, limit: Duration) -> Option<u32> {
    WARN_AT_PERCENT.into_iter().rev().find(|percent| waited.as_secs() * 100 >= limit.as_secs() * u64::from(*percent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_removes_nothing_for_an_hour() {
        let at = |second: u64| Moment::from_millis(second * 1_000);
        let wall = |second: i64| chrono::DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap();
        let mut steady = Steady::new(at(0), wall(0));
        let looks = |steady: &mut Steady, from: u64, to: u64, off: i64| -> Vec<bool> {
            let times = (from..=to).step_by(600);
            times.map(|t| steady.handle_look(at(t), wall(i64::try_from(t).unwrap() + off))).collect()
        };
        assert_eq!(looks(&mut steady, 0, 3_600, 0), [false, false, false, false, false, false, true]);
        let year = 365 * 86_400;
        assert!(!looks(&mut steady, 4_200, 7_200, year).contains(&true));
        assert_eq!(looks(&mut steady, 7_800, 7_800, year), [true]);
    }

    #[test]
    fn the_oldest_mail_is_spoken_of_three_times() {
        let limit = Duration::from_secs(1000);
        let at = |seconds| reached(Duration::from_secs(seconds), limit);
        assert_eq!([at(499), at(500), at(799), at(800), at(949), at(950), at(2000)], {
            [None, Some(50), Some(50), Some(80), Some(80), Some(95), Some(95)]
        });
    }

    #[test]
    fn a_warning_is_not_repeated_and_a_young_queue_is_forgotten() {
        let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let limit = Duration::from_secs(1000);
        let oldest = |age| [OldestWaiting { account: AccountId(1), accepted_at: now - Duration::from_secs(age) }];
        let mut warned = Warned::new();
        let mut spoken = |age, holidays: &Holidays| -> Vec<u32> {
            let oldest = oldest(age);
            warn(&oldest, limit, holidays, now, &mut warned).into_iter().map(|(_, percent)| percent).collect()
        };
        assert_eq!([600, 700, 960, 10, 500].map(|age| spoken(age, &Holidays::new())), {
            [vec![50], vec![], vec![95], vec![], vec![50]]
        });
        let holiday = Holiday { from: now - Duration::from_secs(300), until: now + Duration::from_secs(9) };
        let away = Holidays::from([(AccountId(1), holiday)]);
        assert_eq!([1090, 1110].map(|age| spoken(age, &away)), [vec![], vec![80]], "the absence does not count");
    }

    #[test]
    fn who_is_away_has_his_mail_kept_for_longer() {
        let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let (limit, away) = (Duration::from_secs(1000), AccountId(2));
        let holiday = Holiday { from: now - Duration::from_secs(300), until: now + Duration::from_secs(9) };
        let terms = terms(limit, &Holidays::from([(away, holiday)]), now);
        assert_eq!(terms.of(AccountId(1)).0, now - limit);
        assert_eq!(terms.of(away), (now - Duration::from_secs(1300), now - Duration::from_secs(1300)));
    }
}
