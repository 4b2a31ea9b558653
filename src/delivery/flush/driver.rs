//! Runs the delivery of one account: looks what is due, claims, sends over one connection, reports, waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::contact::{Contact, FirstContact, Settled};
use super::patience::{LegEnd, Patience};
use super::progress::Progress;
use super::wake::Wake;
use crate::base::{AccountId, Clock, EndpointId, Moment, WallTime};
use crate::delivery::board::Common;
use crate::delivery::connection::Connection;
use crate::delivery::opening::{Opened, Opening};
use crate::delivery::order::{MESSAGES_PER_CONNECTION_MAX, claim_query};
use crate::delivery::outcome::{Verdict, outcome};
use crate::delivery::route::{Closed, Leg, Routes, check_account, routes};
use crate::delivery::schedule::{BEAT_RECHECK, IDLE_RECHECK, REPORT_RETRY};
use crate::delivery::tls::TlsFacts;
use crate::liveness::LineState;
use crate::spool::{Claimed, Outcome, Report};

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
    returned_at: Option<Moment>,
    /// The last server that greeted us, and when.
    greeted: Option<(EndpointId, Moment)>,
    make_due: bool,
    patience: Patience,
    unreported: Vec<Report>,
    progress: Option<Progress>,
    contact: FirstContact,
    /// A worker before ended by a fault: its claims are still open.
    has_orphans: bool,
}

impl Worker {
    /// A worker for an account; run one at a time. `has_orphans`: the one before ended by a fault.
    #[must_use]
    pub fn new(common: Arc<Common>, account: AccountId, has_orphans: bool) -> Self {
        Self {
            common,
            account,
            calls: Vec::new(),
            returned_at: None,
            greeted: None,
            make_due: false,
            patience: Patience::default(),
            unreported: Vec::new(),
            progress: None,
            contact: FirstContact::default(),
            has_orphans,
        }
    }

    /// Works until nothing is due and nothing is to be waited for, or until shutdown.
    pub async fn run(mut self) {
        let common = Arc::clone(&self.common);
        let bell = common.bell(self.account);
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
                () = bell.notified() => {}
                () = sleep(wait) => {}
                () = common.shutdown.cancelled(), if !is_closing => {}
            }
        }
    }

    /// What was heard while no server was there to act on it.
    fn leftover(&self) -> Wake {
        Wake { make_due: self.make_due, returned_at: self.returned_at, ..Wake::look() }
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
        self.returned_at = wake.returned_at.or(self.returned_at);
        self.make_due |= wake.make_due;
        if wake.reset {
            self.patience.handle_event();
        }
    }

    /// At shutdown only what is known is still written.
    async fn close(&mut self) -> Next {
        let doubtful = self.contact.give_up();
        self.give_back(doubtful);
        self.end_flush();
        if self.return_orphans().await && self.write_reports().await { Next::Idle } else { Next::After(REPORT_RETRY) }
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
        if !self.return_orphans().await || !self.write_reports().await {
            return Next::After(REPORT_RETRY);
        }
        let now = Clock.monotonic();
        let routes = self.routes(now);
        self.calls.retain(|call| routes.legs.iter().any(|leg| leg.endpoint == *call));
        if routes.legs.is_empty() {
            return self.pause(&routes).await;
        }
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
            self.end_flush();
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
        self.end_flush();
        // What is delivered from now on was not waiting for the return.
        self.returned_at = None;
        due_in.map_or(Next::Idle, Next::After)
    }

    /// No server is there: everything goes back, and the next event of a line is the time to look again.
    async fn pause(&mut self, routes: &Routes) -> Next {
        let doubtful = self.contact.give_up();
        self.give_back(doubtful);
        self.end_flush();
        if !self.write_reports().await {
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
        self.record(doubtful).await
    }

    fn routes(&self, now: Moment) -> Routes {
        let directory = self.common.directory.load();
        let line = |endpoint| self.common.lines.line(endpoint);
        routes(&directory, self.account, &line, self.common.settings.target_rules(), now)
    }

    fn may_deliver(&self) -> bool {
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
            let Some(place) = self.place().await else { return Next::Again };
            let end = self.serve(leg, is_call, gets_mail).await;
            drop(place);
            self.common.edit_view(self.account, |view| view.is_delivering = false);
            has_worked |= !matches!(end, LegEnd::NothingDue);
            self.handle_end(leg, end);
        }
        if has_worked { Next::Again } else { Next::After(IDLE_RECHECK) }
    }

    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            place = Arc::clone(&self.common.places).acquire_owned() => place.ok(),
            () = self.common.shutdown.cancelled() => None,
        }
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
            self.give_back(doubtful);
        }
        let times = &self.common.settings.retry;
        let Some(problem) = self.patience.handle_end(end, is_returning, times, Clock.monotonic()) else { return };
        tracing::warn!(account = %self.account, peer = %leg.target, reason = %problem, "delivery failed");
        self.common.edit_view(self.account, |view| view.last_problem = Some(problem));
    }

    /// One connection to one server, if there is anything to do.
    async fn serve(&mut self, leg: &Leg, is_call: bool, may_deliver: bool) -> LegEnd {
        let mut batch = VecDeque::new();
        if !is_call {
            match self.claim(leg).await {
                Some(claimed) if claimed.is_empty() => {
                    return if self.record_doubtful().await { LegEnd::NothingDue } else { LegEnd::Spool };
                }
                Some(claimed) => batch = claimed,
                None => return LegEnd::Spool,
            }
        }
        self.common.edit_view(self.account, |view| view.is_delivering = true);
        let end = match self.open(leg, is_call).await {
            Err(end) => end,
            Ok(opened) => {
                // Called only once nothing more can fail before MAIL.
                self.greeted(leg, &opened);
                self.converse(leg, opened, &mut batch, may_deliver).await
            }
        };
        self.give_back(batch.into());
        if self.write_reports().await { end } else { LegEnd::Spool }
    }

    async fn open(&self, leg: &Leg, is_call: bool) -> Result<Opened, LegEnd> {
        let opening = Opening {
            settings: &self.common.settings,
            leg,
            tls: &self.common.tls,
            is_plain: self.patience.is_plain(Clock.monotonic()),
            greeting: self.patience.greeting(is_call, self.common.settings.timeouts.greeting),
        };
        tokio::select! {
            // The line may have changed while this account waited for a place.
            biased;
            why = self.until_closed(leg) => Err(LegEnd::Stopped(why)),
            opened = opening.run() => opened.map_err(LegEnd::NotOpened),
        }
    }

    /// Waits until the line stops to vouch for this address; whoever waits for an answer from there gives up.
    async fn until_closed(&self, leg: &Leg) -> String {
        let bell = self.common.bell(self.account);
        loop {
            if let Err(why) = self.common.may_call(leg) {
                return why;
            }
            tokio::select! {
                () = bell.notified() => {}
                () = self.common.shutdown.cancelled() => {}
            }
        }
    }

    fn greeted(&mut self, leg: &Leg, opened: &Opened) {
        self.patience.handle_greeted();
        self.calls.retain(|call| *call != leg.endpoint);
        self.greeted = Some((leg.endpoint, Clock.monotonic()));
        self.common.lines.primary_greeted(leg.endpoint, leg.target.ip());
        let tls = opened.tls.as_ref().map(TlsFacts::summary);
        tracing::info!(account = %self.account, peer = %leg.target, tls = tls.as_deref(), "the primary greeted us");
        self.common.edit_view(self.account, |view| view.last_tls = tls);
    }

    /// Messages one after the other until nothing is due or the connection has to end.
    async fn converse(
        &mut self,
        leg: &Leg,
        opened: Opened,
        batch: &mut VecDeque<Claimed>,
        may_deliver: bool,
    ) -> LegEnd {
        let common = Arc::clone(&self.common);
        let begun = Connection::begin(opened, &common.settings.hostname, common.settings.timeouts).await;
        let mut connection = match begun {
            Ok(connection) => connection,
            Err(why) => return LegEnd::Broken(why),
        };
        self.contact.handle_connected();
        let delivered_before = self.delivered();
        let mut end = LegEnd::Worked;
        for _ in 0..MESSAGES_PER_CONNECTION_MAX {
            if !may_deliver {
                break;
            }
            if batch.is_empty() {
                match self.next_batch(leg).await {
                    Some(claimed) => *batch = claimed,
                    None => return LegEnd::Spool,
                }
            }
            if let Err(why) = common.may_send(leg) {
                end = LegEnd::Stopped(why);
                break;
            }
            let Some(message) = batch.pop_front() else { break };
            let has_delivered = self.delivered() > delivered_before;
            match self.deliver(&mut connection, leg, message, has_delivered).await {
                None => {}
                Some(reason @ LegEnd::Identity(_)) => {
                    end = reason;
                    break;
                }
                // Many servers close after so many messages: what was delivered shows that all is well.
                Some(LegEnd::Broken(_)) if self.delivered() > delivered_before => return LegEnd::Worked,
                Some(reason) => return reason,
            }
            if self.progress.as_ref().is_some_and(Progress::must_pause) {
                end = LegEnd::Broken("it deferred three messages in a row".to_owned());
                break;
            }
        }
        // A server that beats no longer vouch for is not waited for.
        if !matches!(end, LegEnd::Stopped(_)) || common.shutdown.is_cancelled() {
            connection.quit().await;
        }
        end
    }

    /// The next portion. Doubt about refused senders lasts until nothing more can clear it.
    async fn next_batch(&mut self, leg: &Leg) -> Option<VecDeque<Claimed>> {
        let claimed = self.claim(leg).await?;
        if claimed.is_empty() && !self.record_doubtful().await {
            return None;
        }
        Some(claimed)
    }

    /// One message; `Some` if the connection has to end. `has_delivered`: this connection delivered others.
    async fn deliver(
        &mut self,
        connection: &mut Connection,
        leg: &Leg,
        message: Claimed,
        has_delivered: bool,
    ) -> Option<LegEnd> {
        let common = Arc::clone(&self.common);
        let may_go_on = || common.may_send(leg).is_ok();
        let gone = until_gone(&common, self.account, leg);
        let attempt = connection.deliver(&message, common.spool.as_ref(), &may_go_on, gone).await;
        if attempt.is_cut && attempt.verdicts.is_empty() {
            self.give_back(vec![message]);
            return attempt.ended.map(LegEnd::Stopped);
        }
        if has_delivered && !attempt.is_mail_answered && attempt.ended.is_some() {
            // Closed between two messages: no attempt of this one, which keeps its place.
            self.give_back(vec![message]);
            return attempt.ended.map(LegEnd::Broken);
        }
        let recorded = match self.contact.handle_attempt(message, &attempt) {
            Contact::Good(settled) => self.record(settled).await,
            Contact::Doubtful => true,
            Contact::Identity(messages) => {
                self.hand_back(messages, &Outcome::Postponed { until: Clock.wall() });
                return Some(LegEnd::Identity("it refuses us before it has accepted anything".to_owned()));
            }
        };
        if !recorded {
            return Some(LegEnd::Spool);
        }
        if attempt.is_cut {
            return attempt.ended.map(LegEnd::Stopped);
        }
        // A refusal is recorded, so that the next connection does not meet it again.
        if attempt.is_withheld { Some(LegEnd::Worked) } else { attempt.ended.map(LegEnd::Broken) }
    }

    /// The next portion; `None` if the spool failed.
    async fn claim(&mut self, leg: &Leg) -> Option<VecDeque<Claimed>> {
        match self.common.spool.claim(claim_query(self.account, leg, Clock.wall())).await {
            Ok(claimed) => {
                if !claimed.is_empty() && self.progress.is_none() {
                    let line = self.common.lines.line(leg.endpoint).filter(|line| line.state == LineState::Returning);
                    self.returned_at = self.returned_at.or(line.and_then(|line| line.last_beat));
                    self.progress = Some(Progress::new(Clock.wall()));
                    self.common.edit_view(self.account, |view| view.delivered_now = 0);
                }
                Some(claimed.into())
            }
            Err(error) => {
                tracing::error!(account = %self.account, reason = %error, "mail could not be claimed");
                None
            }
        }
    }

    /// Records what became of messages. `false` if the spool did not take it: it is kept and written first next time.
    async fn record(&mut self, settled: Vec<Settled>) -> bool {
        let now = Clock.wall();
        for Settled { message, verdicts } in settled {
            self.log(&message, &verdicts);
            if let Some(progress) = &mut self.progress {
                progress.count(&verdicts, &mut self.returned_at, Clock.monotonic());
            }
            self.unreported.push(self.report(&message, verdicts, now));
        }
        let delivered = self.delivered();
        let recorded = self.write_reports().await;
        let has_delivered = delivered > self.common.view(self.account).delivered_now;
        if has_delivered {
            self.patience.handle_delivered();
        }
        self.common.edit_view(self.account, |view| {
            view.delivered_now = delivered;
            if has_delivered {
                view.last_problem = None;
            }
        });
        recorded
    }

    fn report(&self, message: &Claimed, verdicts: Vec<(u32, Verdict)>, now: WallTime) -> Report {
        let attempts = |ordinal: u32| {
            message.recipients.iter().find(|known| known.ordinal == ordinal).map_or(0, |known| known.attempts)
        };
        let times = &self.common.settings.retry;
        let mut outcomes: Vec<(u32, Outcome)> = verdicts
            .into_iter()
            .map(|(ordinal, verdict)| (ordinal, outcome(verdict, attempts(ordinal), times, now)))
            .collect();
        if outcomes.is_empty() {
            // The claim has to be named to be ended.
            outcomes.extend(message.recipients.iter().map(|recipient| (recipient.ordinal, Outcome::Returned)));
        }
        Report { id: message.id, outcomes }
    }

    fn log(&self, message: &Claimed, verdicts: &[(u32, Verdict)]) {
        for (ordinal, verdict) in verdicts {
            let (result, reply) = match verdict {
                Verdict::Delivered(reply) => ("delivered", reply),
                Verdict::Deferred(reply) | Verdict::MailboxFull(reply) => ("deferred", reply),
                Verdict::Refused(reply) => ("refused", reply),
            };
            tracing::info!(
                account = %self.account, spool_id = %message.id, ordinal, result, code = reply.code,
                reply = %reply.text, "delivery attempt ended"
            );
        }
    }

    /// Claims that no attempt came to: back to the queue.
    fn give_back(&mut self, messages: Vec<Claimed>) {
        self.hand_back(messages, &Outcome::Returned);
    }

    /// Ends claims without an attempt. Recipients are named: another account may have a claim on the same message.
    fn hand_back(&mut self, messages: Vec<Claimed>, outcome: &Outcome) {
        self.unreported.extend(messages.into_iter().map(|message| Report {
            id: message.id,
            outcomes: message.recipients.iter().map(|recipient| (recipient.ordinal, outcome.clone())).collect(),
        }));
    }

    /// Writes what is known. `false` if the spool did not take it.
    async fn write_reports(&mut self) -> bool {
        if self.unreported.is_empty() {
            return true;
        }
        match self.common.spool.report(self.unreported.clone(), Clock.wall()).await {
            Ok(()) => {
                self.unreported.clear();
                true
            }
            Err(error) => {
                tracing::error!(account = %self.account, reason = %error, "outcomes could not be written, kept in memory");
                false
            }
        }
    }

    fn delivered(&self) -> u64 {
        self.progress.as_ref().map_or(0, Progress::delivered)
    }

    fn end_flush(&mut self) {
        let Some(progress) = self.progress.take() else { return };
        let summary = progress.summary(Clock.wall());
        self.common.edit_view(self.account, |view| {
            view.delivered_now = 0;
            if summary.is_some() {
                view.last = summary;
            }
        });
    }
}

/// Waits until the line is down or its address is another one; whoever waits for a reply from there gives up.
async fn until_gone(common: &Common, account: AccountId, leg: &Leg) -> String {
    let bell = common.bell(account);
    loop {
        if let Err(why) = common.may_await(leg) {
            return why;
        }
        tokio::select! {
            () = bell.notified() => {}
            // Not every change rings, such as the removal of the server.
            () = sleep(BEAT_RECHECK) => {}
        }
    }
}
