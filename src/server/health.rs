//! Says in `/ready` when something that nothing works without has failed after the start.
//!
//! Asked every five seconds: does the thread of the heartbeats turn, are the deadlines scanned, does the store commit, does
//! it take the history? A disk that has reached its reserve is no failure: heartbeats, delivery and pages go on.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::base::{Clock, Moment};
use crate::heartbeat::server::BeatServer;
use crate::liveness::{Liveness, LogError};
use crate::store::sqlite::SqliteStore;
use crate::web::readiness::Readiness;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What should move all the time and stood still for so long has failed.
const STILL_MAX: Duration = Duration::from_secs(15);
/// Without any commit for so long one is made, to see whether it works.
const COMMIT_EVERY: Duration = Duration::from_secs(15);
/// For so long history may wait for a store that refuses it.
const REFUSED_MAX: Duration = Duration::from_secs(30);
/// How long the last rows may take at the end.
const LAST_ROWS_WITHIN: Duration = Duration::from_secs(15);

/// What nothing works without.
#[derive(Clone)]
pub(super) struct Essentials {
    pub(super) store: Arc<SqliteStore>,
    pub(super) beats: Arc<BeatServer>,
    pub(super) liveness: Arc<Liveness>,
}

impl Essentials {
    /// These, watched until the shutdown.
    pub(super) fn watched(
        store: &Arc<SqliteStore>,
        (beats, liveness): (&Arc<BeatServer>, &Arc<Liveness>),
        readiness: &Arc<Readiness>,
        shutdown: &CancellationToken,
    ) -> Self {
        let (store, beats, liveness) = (Arc::clone(store), Arc::clone(beats), Arc::clone(liveness));
        let essentials = Self { store, beats, liveness };
        tokio::spawn(essentials.clone().look_again_and_again(Arc::clone(readiness), shutdown.clone()));
        essentials
    }

    /// Heartbeats stop, and when the last one was heard the last rows are written.
    pub(super) async fn stop(&self, heartbeats: &CancellationToken, history: &CancellationToken) {
        heartbeats.cancel();
        let ended = tokio::time::timeout(LAST_ROWS_WITHIN, async {
            self.beats.stopped().await;
            history.cancel();
            self.liveness.stopped().await;
        });
        if ended.await.is_err() {
            tracing::error!("the last changes of the lines were not written in time");
        }
    }

    async fn look_again_and_again(self, readiness: Arc<Readiness>, shutdown: CancellationToken) {
        let mut watchdog = Watchdog::new(Clock.monotonic());
        let mut proof: Option<JoinHandle<Result<(), LogError>>> = None;
        loop {
            self.beats.wake();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let now = Clock.monotonic();
            let is_over = proof.as_ref().is_some_and(JoinHandle::is_finished);
            if let Some(done) = proof.take_if(|_| is_over) {
                let done = done.await.map_err(|error| error.to_string());
                watchdog.handle_proof(done.and_then(|done| done.map_err(|error| error.to_string())), now);
            }
            let condition = self.liveness.condition();
            let seen = Seen {
                turns: self.beats.turns(),
                scans: condition.scans,
                commits: self.store.statistics().commits,
                refused_for: condition.refused_for,
                unwritten: condition.unwritten,
            };
            for (part, reason) in watchdog.judge(seen, now) {
                match reason {
                    Some(reason) => readiness.not_ready(part, reason),
                    None => readiness.ready(part),
                }
            }
            if proof.is_none() && watchdog.wants_proof(now) {
                let store = Arc::clone(&self.store);
                proof = Some(tokio::spawn(async move { store.prove_writing().await }));
            }
        }
    }
}

/// What one look saw.
#[derive(Clone, Copy, Debug)]
struct Seen {
    turns: u64,
    scans: u64,
    commits: u64,
    refused_for: Option<Duration>,
    unwritten: usize,
}

/// A number that should rise.
#[derive(Clone, Copy, Debug)]
struct Mover {
    value: u64,
    moved: Moment,
}

impl Mover {
    /// For how long it has not.
    fn still_for(&mut self, value: u64, now: Moment) -> Duration {
        if self.value != value {
            *self = Self { value, moved: now };
        }
        now.since(self.moved)
    }
}

/// Judges what was seen. Reads no clock.
#[derive(Debug)]
struct Watchdog {
    turns: Mover,
    scans: Mover,
    commits: Mover,
    /// The newest proof failed, and why.
    failure: Option<String>,
}

impl Watchdog {
    const fn new(now: Moment) -> Self {
        let mover = Mover { value: 0, moved: now };
        Self { turns: mover, scans: mover, commits: mover, failure: None }
    }

    /// Whether a commit has to be made to see whether that works.
    fn wants_proof(&self, now: Moment) -> bool {
        self.failure.is_some() || now.since(self.commits.moved) >= COMMIT_EVERY
    }

    fn handle_proof(&mut self, done: Result<(), String>, now: Moment) {
        if done.is_ok() {
            self.commits.moved = now;
        }
        self.failure = done.err();
    }

    /// Which parts are ready, and why not.
    fn judge(&mut self, seen: Seen, now: Moment) -> [(&'static str, Option<String>); 3] {
        let stands_still =
            |what: &str, still: Duration| (still >= STILL_MAX).then(|| format!("{what} for {} s", still.as_secs()));
        let (turns, scans) = (self.turns.still_for(seen.turns, now), self.scans.still_for(seen.scans, now));
        let heartbeat = stands_still("the thread stands still", turns)
            .or_else(|| stands_still("no deadlines were looked at", scans));
        let waited = self.commits.still_for(seen.commits, now);
        let store = match &self.failure {
            Some(_) if waited.is_zero() => None,
            Some(failure) => Some(format!("cannot write: {failure}")),
            None => {
                (waited >= COMMIT_EVERY + STILL_MAX).then(|| format!("nothing was written for {} s", waited.as_secs()))
            }
        };
        let history = seen
            .refused_for
            .filter(|refused| *refused >= REFUSED_MAX)
            .map(|refused| format!("{} rows refused for {} s", seen.unwritten, refused.as_secs()));
        [("heartbeat", heartbeat), ("store", store), ("history", history)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Moment {
        Moment::from_millis(second * 1_000)
    }

    fn seen(turns: u64, scans: u64, commits: u64) -> Seen {
        Seen { turns, scans, commits, refused_for: None, unwritten: 0 }
    }

    fn reasons(watchdog: &mut Watchdog, seen: Seen, second: u64) -> Vec<String> {
        let judged = watchdog.judge(seen, at(second));
        judged.into_iter().filter_map(|(part, reason)| Some(format!("{part}: {}", reason?))).collect()
    }

    #[test]
    fn a_thread_that_stands_still_is_not_ready_until_it_turns_again() {
        let mut watchdog = Watchdog::new(at(0));
        assert_eq!(reasons(&mut watchdog, seen(5, 5, 5), 5), [""; 0]);
        assert_eq!(reasons(&mut watchdog, seen(5, 6, 6), 15), [""; 0]);
        assert_eq!(reasons(&mut watchdog, seen(5, 7, 7), 20), ["heartbeat: the thread stands still for 15 s"]);
        assert_eq!(reasons(&mut watchdog, seen(6, 7, 8), 25), [""; 0]);
        assert_eq!(reasons(&mut watchdog, seen(7, 7, 9), 35), ["heartbeat: no deadlines were looked at for 15 s"]);
    }

    #[test]
    fn a_store_without_work_is_asked_and_one_that_does_not_answer_is_not_ready() {
        let mut watchdog = Watchdog::new(at(0));
        reasons(&mut watchdog, seen(1, 1, 9), 5);
        assert!(!watchdog.wants_proof(at(19)) && watchdog.wants_proof(at(20)));
        watchdog.handle_proof(Ok(()), at(20));
        assert!(!watchdog.wants_proof(at(34)) && watchdog.wants_proof(at(35)));
        assert_eq!(reasons(&mut watchdog, seen(2, 2, 9), 49), [""; 0]);
        assert_eq!(reasons(&mut watchdog, seen(3, 3, 9), 50), ["store: nothing was written for 30 s"]);
        watchdog.handle_proof(Err("disk on fire".to_owned()), at(52));
        assert_eq!(reasons(&mut watchdog, seen(4, 4, 9), 53), ["store: cannot write: disk on fire"]);
        assert!(watchdog.wants_proof(at(53)), "until it works again");
        watchdog.handle_proof(Ok(()), at(58));
        assert_eq!(reasons(&mut watchdog, seen(5, 5, 9), 58), [""; 0]);
    }

    #[test]
    fn history_that_the_store_refuses_is_named() {
        let mut watchdog = Watchdog::new(at(0));
        let refused = |seconds| Seen { refused_for: Some(Duration::from_secs(seconds)), unwritten: 7, ..seen(1, 1, 1) };
        assert_eq!(reasons(&mut watchdog, refused(29), 1), [""; 0]);
        assert_eq!(reasons(&mut watchdog, refused(30), 2), ["history: 7 rows refused for 30 s"]);
    }
}
