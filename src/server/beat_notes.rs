//! Has the replies to heartbeats say that a drill is running, that an absence was announced, that the server stops.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::account::{Directory, DirectoryHandle};
use crate::base::{AccountId, Clock, WallTime};
use crate::drill::Drills;
use crate::heartbeat::server::{BeatServer, Notes};

/// How often it is looked whether an absence begins or ends: it is told with the next reply, and that comes every 5 s.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks after the notes until `shutdown`.
pub(super) fn start(shared: &Shared, beats: &Arc<BeatServer>, drills: &Arc<Drills>, shutdown: &CancellationToken) {
    let notes = BeatNotes {
        beats: Arc::clone(beats),
        drills: Arc::clone(drills),
        directory: shared.directory.clone(),
        running: HashSet::new(),
        seen: None,
        look_again_at: None,
    };
    tokio::spawn(notes.run(shared.pages.subscribe(), shutdown.clone()));
}

struct BeatNotes {
    beats: Arc<BeatServer>,
    drills: Arc<Drills>,
    directory: DirectoryHandle,
    /// Accounts whose replies say DRILL.
    running: HashSet<AccountId>,
    /// What the absences were read from last.
    seen: Option<Arc<Directory>>,
    /// When the next of those absences begins or ends.
    look_again_at: Option<WallTime>,
}

impl BeatNotes {
    async fn run(mut self, mut pages: broadcast::Receiver<AccountId>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => {
                    // Beats are answered until the last delivery has ended.
                    self.beats.note(Notes::set_closing);
                    return;
                }
                _ = ticks.tick() => {
                    self.look_at_drills();
                    self.look_at_holidays(Clock.wall());
                }
                // A drill shows each of its steps, its first and its last as well.
                told = pages.recv() => match told {
                    Ok(account) => self.look_at(account),
                    Err(RecvError::Lagged(_)) => self.look_at_drills(),
                    Err(RecvError::Closed) => return,
                },
            }
        }
    }

    fn look_at(&mut self, account: AccountId) {
        let is_running = self.drills.is_running(account);
        let is_new = if is_running { self.running.insert(account) } else { self.running.remove(&account) };
        if is_new {
            self.beats.note(|notes| notes.set_drill(account, is_running));
        }
    }

    fn look_at_drills(&mut self) {
        let before = std::mem::take(&mut self.running);
        let running: HashSet<AccountId> = self.drills.running().into_iter().collect();
        self.beats.note(|notes| {
            before.difference(&running).for_each(|ended| notes.set_drill(*ended, false));
            running.difference(&before).for_each(|begun| notes.set_drill(*begun, true));
        });
        self.running = running;
    }

    /// Reads the absences anew if the directory is another one, or if one of them begins or ends.
    fn look_at_holidays(&mut self, now: WallTime) {
        let directory = self.directory.load();
        let is_same = self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &directory));
        if is_same && self.look_again_at.is_none_or(|at| now < at) {
            return;
        }
        let (away, next) = away(&directory, now);
        self.beats.note(|notes| notes.set_holidays(away));
        (self.seen, self.look_again_at) = (Some(directory), next);
    }
}

/// The accounts whose absence lasts now, and when that changes next.
fn away(directory: &Directory, now: WallTime) -> (HashSet<AccountId>, Option<WallTime>) {
    let (mut away, mut next) = (HashSet::new(), None::<WallTime>);
    for (account, holiday) in directory.holidays() {
        if holiday.left(now).is_some() {
            away.insert(account);
        }
        let changes = [holiday.from, holiday.until].into_iter().filter(|at| *at > now).min();
        next = [next, changes].into_iter().flatten().min();
    }
    (away, next)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::account::{Account, AccountStatus, Holiday, Preferences};

    #[test]
    fn an_absence_is_told_while_it_lasts_and_looked_at_when_it_begins_or_ends() {
        let at = |seconds: u64| WallTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let ids = [1, 2, 3].map(AccountId);
        let accounts = ids.map(|id| Account {
            id,
            name: format!("account{}", id.0).parse().unwrap(),
            status: AccountStatus::Active,
            status_since: at(0),
            created_at: at(0),
            online_mode: None,
        });
        let chosen = |from, until| Preferences {
            holiday: Some(Holiday { from: at(from), until: at(until) }),
            ..Preferences::default()
        };
        let preferences = HashMap::from([(ids[0], chosen(10, 20)), (ids[1], chosen(15, 30))]);
        let directory =
            Directory::new(accounts.to_vec(), Vec::new(), Vec::new(), Vec::new()).with_preferences(preferences);
        let told = |now| {
            let (mut who, next) = away(&directory, at(now));
            (ids.map(|id| who.take(&id).is_some()), next)
        };
        assert_eq!(told(9), ([false, false, false], Some(at(10))));
        assert_eq!(told(10), ([true, false, false], Some(at(15))));
        assert_eq!(told(15), ([true, true, false], Some(at(20))));
        assert_eq!(told(20), ([false, true, false], Some(at(30))));
        assert_eq!(told(30), ([false, false, false], None));
    }
}
