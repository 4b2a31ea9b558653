//! Who may begin a drill now, and why not. Takes `now`, does no I/O.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::words;
use crate::account::AccountStatus;
use crate::alert::Language;
use crate::base::{AccountId, Moment};
use crate::liveness::LineState;

/// Drills of one account within [`PERIOD`]: enough for somebody who mends one thing after the other.
pub const PER_PERIOD: usize = 6;
/// See there.
pub const PERIOD: Duration = Duration::from_secs(3_600);
/// Drills of all accounts at one time. Each is one message and one connection.
pub const RUNNING_MAX: usize = 16;

/// Why no drill begins. Nothing was done.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "refusal", rename_all = "snake_case")]
pub enum Refusal {
    /// The line is not there: its mail is held anyway, and a drill would tell nothing.
    NotOnline {
        /// How it stands.
        state: LineState,
    },
    /// The account is suspended or ends.
    NotActive,
    /// A person or the circuit breaker stopped the account's delivery.
    Stopped {
        /// Why.
        reason: String,
    },
    /// One runs already.
    Running,
    /// Too many within the hour.
    TooMany {
        /// Seconds until the next may begin.
        after_s: u64,
    },
    /// Too many of others run.
    Busy,
    /// The account has no mail domain to write to.
    NoDomain,
    /// The address is not in a domain of the account.
    NotOwn {
        /// As it was given.
        address: String,
    },
    /// No such account.
    NoAccount,
    /// The service stops, or cannot write down that a drill begins.
    Service {
        /// Why.
        reason: String,
    },
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&words::refusal(self, Language::En))
    }
}

/// How the account stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Of its line.
    pub line: LineState,
    /// Its own.
    pub status: AccountStatus,
    /// Why its delivery is stopped.
    pub stopped: Option<String>,
}

/// Which drills run, and which ran lately.
#[derive(Debug, Default)]
pub struct Docket {
    running: HashSet<AccountId>,
    begun: HashMap<AccountId, VecDeque<Moment>>,
}

impl Docket {
    /// Enters a drill. [`end`](Self::end) takes it out.
    ///
    /// # Errors
    /// [`Refusal`]; nothing is entered.
    pub fn begin(&mut self, account: AccountId, standing: Standing, now: Moment) -> Result<(), Refusal> {
        if self.running.contains(&account) {
            return Err(Refusal::Running);
        }
        if standing.status != AccountStatus::Active {
            return Err(Refusal::NotActive);
        }
        if standing.line != LineState::Online {
            return Err(Refusal::NotOnline { state: standing.line });
        }
        if let Some(reason) = standing.stopped {
            return Err(Refusal::Stopped { reason });
        }
        self.begun.retain(|_, moments| {
            moments.retain(|at| now.since(*at) < PERIOD);
            !moments.is_empty()
        });
        if let Some(begun) = self.begun.get(&account).filter(|begun| begun.len() >= PER_PERIOD) {
            let age = begun.front().map_or(Duration::ZERO, |at| now.since(*at));
            return Err(Refusal::TooMany { after_s: PERIOD.saturating_sub(age).as_secs().max(1) });
        }
        if self.running.len() >= RUNNING_MAX {
            return Err(Refusal::Busy);
        }
        self.running.insert(account);
        self.begun.entry(account).or_default().push_back(now);
        Ok(())
    }

    /// It is over.
    pub fn end(&mut self, account: AccountId) {
        self.running.remove(&account);
    }

    /// Whether one runs.
    #[must_use]
    pub fn is_running(&self, account: AccountId) -> bool {
        self.running.contains(&account)
    }

    /// Of which accounts one runs, in no order.
    #[must_use]
    pub fn running(&self) -> Vec<AccountId> {
        self.running.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Standing {
        Standing { line: LineState::Online, status: AccountStatus::Active, stopped: None }
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_millis(seconds * 1_000)
    }

    #[test]
    fn one_drill_at_a_time_and_six_an_hour() {
        let (mut docket, account) = (Docket::default(), AccountId(1));
        for n in 0..6 {
            assert_eq!(docket.begin(account, well(), at(n)), Ok(()));
            assert_eq!(docket.begin(account, well(), at(n)), Err(Refusal::Running));
            docket.end(account);
        }
        assert_eq!(docket.begin(account, well(), at(600)), Err(Refusal::TooMany { after_s: 3_000 }));
        assert_eq!(docket.begin(AccountId(2), well(), at(600)), Ok(()), "another account has drills of its own");
        assert_eq!(docket.begin(account, well(), at(3_600)), Ok(()));
        docket.end(account);
        assert_eq!(docket.begin(account, well(), at(3_600)), Err(Refusal::TooMany { after_s: 1 }));
    }

    #[test]
    fn only_a_line_that_is_there_and_delivers_is_drilled() {
        let mut docket = Docket::default();
        for line in [LineState::New, LineState::Suspect, LineState::Offline, LineState::Returning] {
            let refused = docket.begin(AccountId(1), Standing { line, ..well() }, at(0));
            assert_eq!(refused, Err(Refusal::NotOnline { state: line }));
        }
        let leaving = Standing { status: AccountStatus::Leaving, ..well() };
        assert_eq!(docket.begin(AccountId(1), leaving, at(0)), Err(Refusal::NotActive));
        let stopped = Standing { stopped: Some("moving house".to_owned()), ..well() };
        let refused = docket.begin(AccountId(1), stopped, at(0));
        assert_eq!(refused, Err(Refusal::Stopped { reason: "moving house".to_owned() }));
        assert!(!docket.is_running(AccountId(1)));
        assert_eq!(docket.begin(AccountId(1), well(), at(0)), Ok(()), "a refusal uses nothing up");
    }

    #[test]
    fn so_many_at_one_time_and_no_more() {
        let mut docket = Docket::default();
        for n in 0..RUNNING_MAX {
            assert_eq!(docket.begin(AccountId(i64::try_from(n).unwrap()), well(), at(0)), Ok(()));
        }
        assert_eq!(docket.begin(AccountId(99), well(), at(0)), Err(Refusal::Busy));
        docket.end(AccountId(3));
        assert_eq!(docket.begin(AccountId(99), well(), at(0)), Ok(()));
    }
}
