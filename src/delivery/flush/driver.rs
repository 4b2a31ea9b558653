//! Runs the delivery of one account: looks what is due, opens connections, waits, looks again.

mod book;
mod lane;
mod supply;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::book::Book;
use self::lane::{Ended, Lane, Serving};
use self::supply::Supply;
use super::contact::FirstContact;
use super::patience::{LegEnd, Patience};
use super::wake::Wake;
use crate::base::{AccountId, Clock, EndpointId, Moment};
use crate::delivery::alarm::Alarm;
use crate::delivery::board::Common;
use crate::delivery::opening::OpenFailure;
use crate::delivery::order::lanes_after;
use crate::delivery::route::{Closed, Leg, Routes, check_account, routes};
use crate::delivery::schedule::{BEAT_RECHECK, IDLE_RECHECK, REPORT_RETRY};
use crate::liveness::LineState;

/// When to look again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// With the next event.
    Idle,
    /// At once.
    Again,
    /// Then, or with the next event.
    After(Duration),
}

/// The delivery of one account. Holds its claims until they are reported.
pub struct Worker {
    common: Arc<Common>,
    account: AccountId,
    calls: Vec<EndpointId>,
    /// The last server that greeted us, and when.
    greeted: Option<(EndpointId, Moment)>,
    make_due: bool,
    patience: Patience,
    book: Arc<Book>,
    contact: FirstContact,
    /// The next flush begins with the message that is best to try a server with.
    is_canary_next: bool,
    /// A worker before ended by a fault: its claims are still open.
    has_orphans: bool,
}

impl Worker {
    /// A worker for an account; run one at a time. `has_orphans`: the one before ended by a fault.
    #[must_use]
    pub fn new(common: Arc<Common>, account: AccountId, has_orphans: bool) -> Self {
        Self {
            book: Arc::new(Book::new(Arc::clone(&common), account)),
            common,
            account,
            calls: Vec::new(),
            greeted: None,
            make_due: false,
            patience: Patience::default(),
            contact: FirstContact::default(),
            is_canary_next: false,
            has_orphans,
        }
    }

    /// Works until nothing is due and nothing is to be waited for, or until shutdown.
    pub async fn run(mut self) {
        let common = Arc::clone(&self.common);
        let mut bell = common.bell(self.account);
        loop {
            if let Some(wake) = common.take_wake(self.account) {
                self.absorb(wake);
            }
            let is_closing = common.shutdown.is_cancelled();
            let next = if is_closing { self.close().await } else { self.pass().await };
            let wait = match next {
                Next::Again => continue,
                Next::Idle if is_closing || common.retire(self.account, self.leftover()) => return,
                Next::Idle => continue,
                // Its bell may have rung while an opening listened to it.
                Next::After(_) if !is_closing && common.has_wake(self.account) => continue,
                Next::After(wait) => wait,
            };
            tokio::select! {
                _ = bell.changed() => {}
                () = sleep(wait) => {}
                () = common.shutdown.cancelled(), if !is_closing => {}
            }
        }
    }

    /// What was heard while no server was there to act on it.
    fn leftover(&self) -> Wake {
        Wake { make_due: self.make_due, returned_at: self.book.returned_at(), ..Wake::look() }
    }

    fn absorb(&mut self, mut wake: Wake) {
        // The line was seen to return before the event of it came: that call was made.
        if let (Some((endpoint, at)), Some(beat)) = (self.greeted, wake.returned_at)
            && at >= beat
            && wake.calls.contains(&endpoint)
        {
            wake.calls.retain(|call| *call != endpoint);
            wake.returned_at = None;
        }
        self.calls.extend(wake.calls);
        self.book.handle_return(wake.returned_at);
        self.make_due |= wake.make_due;
        self.is_canary_next |= wake.is_return;
        if wake.is_return {
            self.patience.handle_return();
        } else if wake.reset {
            self.patience.handle_event();
        }
    }

    /// At shutdown only what is known is still written.
    async fn close(&mut self) -> Next {
        let doubtful = self.contact.give_up();
        self.book.give_back(doubtful);
        self.book.end_flush();
        if self.return_orphans().await && self.book.write_reports().await {
            Next::Idle
        } else {
            Next::After(REPORT_RETRY)
        }
    }

    /// Claims of a worker that ended by a fault go back. One worker serves the account: what is claimed before the
    /// first claim of this one is nobody's. `false` if the spool did not take it.
    async fn return_orphans(&mut self) -> bool {
        if !self.has_orphans {
            return true;
        }
        match self.common.spool.return_claims(self.account).await {
            Ok(recipients) => {
                tracing::warn!(account = %self.account, recipients, "claims of a delivery that failed went back");
                self.has_orphans = false;
                true
            }
            Err(error) => {
                tracing::error!(account = %self.account, reason = %error, "open claims could not be returned");
                false
            }
        }
    }

    /// One look: what is due, and the work that follows from it.
    async fn pass(&mut self) -> Next {
        if !self.return_orphans().await || !self.book.write_reports().await {
            return Next::After(REPORT_RETRY);
        }
        let now = Clock.monotonic();
        let routes = self.routes(now);
        self.calls.retain(|call| routes.legs.iter().any(|leg| leg.endpoint == *call));
        if routes.legs.is_empty() {
            return self.pause(&routes).await;
        }
        self.make_due |= self.book.take_make_due();
        if self.make_due {
            match self.common.spool.make_due(self.account, Clock.wall()).await {
                Ok(_) => self.make_due = false,
                Err(error) => {
                    tracing::error!(account = %self.account, reason = %error, "queued mail could not be made due");
                    // The call does not wait for the spool.
                    if self.calls.is_empty() {
                        return Next::After(REPORT_RETRY);
                    }
                }
            }
        }
        if let Some(wait) = self.patience.wait(now) {
            self.book.end_flush();
            return Next::After(wait);
        }
        let may_deliver = self.may_deliver();
        let due_in = if may_deliver { self.due_in().await } else { None };
        if !self.calls.is_empty() || due_in.is_some_and(|wait| wait.is_zero()) {
            return self.work(&routes, may_deliver).await;
        }
        if due_in.is_some_and(|wait| wait > self.common.settings.retry.longest()) {
            tracing::warn!(account = %self.account, "mail was to wait longer than any wait: the clock was ahead");
            self.make_due = true;
            return Next::Again;
        }
        if !self.record_doubtful().await {
            return Next::After(REPORT_RETRY);
        }
        self.book.end_flush();
        // What is delivered from now on was not waiting for the return.
        self.book.forget_return();
        due_in.map_or(Next::Idle, Next::After)
    }

    /// No server is there: everything goes back, and the next event of a line is the time to look again.
    async fn pause(&mut self, routes: &Routes) -> Next {
        let doubtful = self.contact.give_up();
        self.book.give_back(doubtful);
        self.book.end_flush();
        if !self.book.write_reports().await {
            return Next::After(REPORT_RETRY);
        }
        let refused_target = |closed: &Closed| matches!(closed, Closed::Target(_)).then(|| closed.to_string());
        if let Some(problem) = routes.closed.iter().find_map(|(_, closed)| refused_target(closed)) {
            self.common.edit_view(self.account, |view| view.last_problem = Some(problem));
        }
        // A line that is up and only waits for a beat may go on without an event.
        let is_near = |closed: &Closed| matches!(closed, Closed::BeatTooOld | Closed::NoAddress);
        if routes.closed.iter().any(|(_, closed)| is_near(closed)) { Next::After(BEAT_RECHECK) } else { Next::Idle }
    }

    /// Nothing came that cleared the doubt about refused senders.
    async fn record_doubtful(&mut self) -> bool {
        let doubtful = self.contact.take_doubtful();
        self.book.record(doubtful).await;
        self.book.write_reports().await
    }

    fn routes(&self, now: Moment) -> Routes {
        let directory = self.common.directory.load();
        let line = |endpoint| self.common.lines.line(endpoint);
        routes(&directory, self.account, &line, self.common.settings.target_rules(), now)
    }

    fn may_deliver(&self) -> bool {
        if self.common.is_held(self.account) || self.common.is_cut(self.account) {
            return false;
        }
        match check_account(&self.common.directory.load(), self.account) {
            Ok(()) => true,
            Err(closed) => {
                tracing::debug!(account = %self.account, reason = %closed, "nothing is delivered");
                false
            }
        }
    }

    /// Until something is due; `None` if nothing waits.
    async fn due_in(&self) -> Option<Duration> {
        match self.common.spool.next_due(self.account).await {
            Ok(due) => due.map(|due| (due - Clock.wall()).to_std().unwrap_or(Duration::ZERO)),
            Err(error) => {
                tracing::error!(account = %self.account, reason = %error, "the queue could not be read");
                Some(REPORT_RETRY)
            }
        }
    }

    /// Serves every server that has something to get.
    async fn work(&mut self, routes: &Routes, may_deliver: bool) -> Next {
        let mut has_worked = false;
        for leg in &routes.legs {
            let is_call = self.calls.contains(&leg.endpoint);
            let gets_mail = may_deliver && leg.takes_mail;
            if !is_call && !gets_mail {
                continue;
            }
            // One for each connection, so that an account with many servers waits its turn.
            let Some(place) = self.common.place().await else { return Next::Again };
            let end = self.serve(leg, is_call, gets_mail, place).await;
            self.common.edit_view(self.account, |view| view.is_delivering = false);
            has_worked |= !matches!(end, LegEnd::NothingDue);
            self.handle_end(leg, end);
        }
        if has_worked { Next::Again } else { Next::After(IDLE_RECHECK) }
    }

    /// What follows from the end of a connection: when the next one may be made, and what the page says.
    fn handle_end(&mut self, leg: &Leg, end: LegEnd) {
        let line = self.common.lines.line(leg.endpoint);
        let is_returning =
            self.calls.contains(&leg.endpoint) || line.is_some_and(|line| line.state == LineState::Returning);
        if end == LegEnd::Worked {
            self.common.edit_view(self.account, |view| view.last_problem = None);
        }
        if let LegEnd::Stopped(why) = &end {
            tracing::info!(account = %self.account, peer = %leg.target, reason = %why, "delivery stopped");
            // Whoever answers next may be somebody else.
            let doubtful = self.contact.give_up();
            self.book.give_back(doubtful);
        }
        if let LegEnd::Greylisted(why) = &end {
            self.common.tell(Alarm::Greylisted { account: self.account, reason: why.clone() });
        }
        if let LegEnd::NotOpened(OpenFailure::Identity(why)) | LegEnd::Identity(why) = &end {
            self.common.handle_stranger(self.account, leg.endpoint, why, None);
        }
        if let LegEnd::NotOpened(OpenFailure::Stranger(doubt)) = &end {
            self.common.handle_stranger(self.account, leg.endpoint, &doubt.to_string(), Some(doubt));
        }
        let times = &self.common.settings.retry;
        let Some(problem) = self.patience.handle_end(end, is_returning, times, Clock.monotonic()) else { return };
        tracing::warn!(account = %self.account, peer = %leg.target, reason = %problem, "delivery failed");
        self.common.edit_view(self.account, |view| view.last_problem = Some(problem));
    }

    /// The connections to one server, if there is anything to do: one that tries it, more once it took a message.
    async fn serve(&mut self, leg: &Leg, is_call: bool, may_deliver: bool, place: OwnedSemaphorePermit) -> LegEnd {
        let is_broken = self.common.is_broken(self.account);
        let supply = Arc::new(Supply::new(Arc::clone(&self.common), Arc::clone(&self.book), leg.clone()));
        let is_canary = is_broken || self.is_canary_next;
        if !is_call {
            match supply.fetch(is_canary).await {
                None => return LegEnd::Spool,
                Some(false) => {
                    return if self.record_doubtful().await { LegEnd::NothingDue } else { LegEnd::Spool };
                }
                Some(true) => {}
            }
        }
        self.common.edit_view(self.account, |view| view.is_delivering = true);
        let serving = Arc::new(Serving {
            common: Arc::clone(&self.common),
            account: self.account,
            leg: leg.clone(),
            book: Arc::clone(&self.book),
            supply: Arc::clone(&supply),
            may_deliver,
            is_broken,
            is_canary,
            is_plain: leg.pin.is_none() && self.patience.is_plain(Clock.monotonic()),
            greeting: self.patience.greeting(is_call, self.common.settings.timeouts.greeting),
        });
        self.is_canary_next &= !may_deliver;
        self.book.begin_serving();
        let end = self.run_lanes(&serving, place).await;
        supply.close().await;
        if self.book.write_reports().await { end } else { LegEnd::Spool }
    }

    /// Runs the first connection and those that join it, until all have ended.
    async fn run_lanes(&mut self, serving: &Arc<Serving>, place: OwnedSemaphorePermit) -> LegEnd {
        let mut lanes: JoinSet<Ended> = JoinSet::new();
        let contact = std::mem::take(&mut self.contact);
        lanes.spawn(Lane::first(Arc::clone(serving), contact).run(place));
        let mut moved = self.book.moved();
        let mut most = self.common.settings.lanes_max.max(1);
        let mut first_end = LegEnd::Worked;
        loop {
            tokio::select! {
                ended = lanes.join_next() => match ended {
                    None => return self.book.why_stopped().unwrap_or(first_end),
                    Some(Ok(ended)) => {
                        // A server that takes no more connections has as many as it wants.
                        if !ended.is_first && matches!(ended.end, LegEnd::NotOpened(_) | LegEnd::Broken(_)) {
                            most = 1;
                        }
                        self.end_lane(serving, ended, &mut first_end);
                    }
                    // A fault of ours: it ends this worker, and its claims go back.
                    Some(Err(fault)) => match fault.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(_) => return LegEnd::Spool,
                    },
                },
                _ = moved.changed() => {}
            }
            let wanted = lanes_after(self.book.delivered_here(), most);
            while lanes.len() < wanted && !lanes.is_empty() && serving.has_more() {
                let Some(place) = self.common.spare_place() else { break };
                lanes.spawn(Lane::further(Arc::clone(serving)).run(place));
            }
        }
    }

    fn end_lane(&mut self, serving: &Serving, ended: Ended, first_end: &mut LegEnd) {
        if let Some(at) = ended.greeted_at {
            self.patience.handle_greeted();
            self.calls.retain(|call| *call != serving.leg.endpoint);
            self.greeted = Some((serving.leg.endpoint, at));
        }
        if self.book.delivered_here() > 0 {
            self.patience.handle_delivered();
        }
        if ended.is_first {
            self.contact = ended.contact;
            *first_end = ended.end;
        } else {
            let mut contact = ended.contact;
            self.book.give_back(contact.give_up());
            // What stops a further connection may be its own affair; what concerns all is in the book.
            if matches!(ended.end, LegEnd::Spool | LegEnd::Identity(_)) && *first_end == LegEnd::Worked {
                *first_end = ended.end;
            }
        }
    }
}
