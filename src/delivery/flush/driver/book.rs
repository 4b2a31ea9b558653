//! What all connections of a flush write into: counts, outcomes, why it stops.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::base::{AccountId, Clock, Moment, WallTime};
use crate::delivery::RecipientWitness;
use crate::delivery::board::Common;
use crate::delivery::flush::contact::Settled;
use crate::delivery::flush::patience::LegEnd;
use crate::delivery::flush::progress::Progress;
use crate::delivery::flush::{Fare, Verdicts};
use crate::delivery::outcome::{Circumstances, Refusal, Verdict, outcome};
use crate::spool::{Claimed, ClaimedRecipient, DotNote, Outcome, Report};

/// The book of one account's worker.
pub(super) struct Book {
    common: Arc<Common>,
    account: AccountId,
    pages: Mutex<Pages>,
    /// Messages delivered since [`begin_serving`](Self::begin_serving).
    moved: watch::Sender<u64>,
}

#[derive(Default)]
struct Pages {
    progress: Option<Progress>,
    /// The beat that brought the line back; taken by the first delivery.
    returned_at: Option<Moment>,
    /// Not yet written: of connections that have ended, or refused by the spool.
    unreported: Vec<Report>,
    /// Everything queued is due again: the primary is well.
    make_due: bool,
    stopped: Option<LegEnd>,
}

impl Book {
    pub(super) fn new(common: Arc<Common>, account: AccountId) -> Self {
        Self { common, account, pages: Mutex::default(), moved: watch::channel(0).0 }
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn account(&self) -> AccountId {
        self.account
    }

    // ---- how it stands ----

    pub(super) fn returned_at(&self) -> Option<Moment> {
        self.pages().returned_at
    }

    pub(super) fn handle_return(&self, beat: Option<Moment>) {
        let mut pages = self.pages();
        pages.returned_at = beat.or(pages.returned_at);
    }

    pub(super) fn forget_return(&self) {
        self.pages().returned_at = None;
    }

    pub(super) fn take_make_due(&self) -> bool {
        std::mem::take(&mut self.pages().make_due)
    }

    /// Connections to a server begin.
    pub(super) fn begin_serving(&self) {
        self.pages().stopped = None;
        self.moved.send_replace(0);
    }

    /// Messages delivered since.
    pub(super) fn delivered_here(&self) -> u64 {
        *self.moved.borrow()
    }

    /// Changes with each of them.
    pub(super) fn moved(&self) -> watch::Receiver<u64> {
        self.moved.subscribe()
    }

    /// No connection begins another message. The first reason stands.
    pub(super) fn stop(&self, end: LegEnd) {
        self.pages().stopped.get_or_insert(end);
    }

    pub(super) fn why_stopped(&self) -> Option<LegEnd> {
        self.pages().stopped.clone()
    }

    /// Why the account has to wait, if it has.
    pub(super) fn must_pause(&self) -> Option<&'static str> {
        self.pages().progress.as_ref().and_then(Progress::must_pause)
    }

    /// Messages were claimed: a flush runs. `beat`: of a line that is just returning.
    pub(super) fn begin_flush(&self, beat: Option<Moment>) {
        {
            let mut pages = self.pages();
            if pages.progress.is_some() {
                return;
            }
            pages.returned_at = pages.returned_at.or(beat);
            pages.progress = Some(Progress::new(Clock.wall()));
        }
        self.common.edit_view(self.account, |view| view.delivered_now = 0);
    }

    pub(super) fn end_flush(&self) {
        let Some(progress) = self.pages().progress.take() else { return };
        let summary = progress.summary(Clock.wall());
        self.common.edit_view(self.account, |view| {
            view.delivered_now = 0;
            if summary.is_some() {
                view.last = summary;
            }
        });
    }

    // ---- what became of messages ----

    /// Takes in what became of messages; written with [`write_reports`](Self::write_reports).
    pub(super) async fn record(&self, settled: Vec<Settled>) {
        let reports = self.judge(settled).await;
        self.pages().unreported.extend(reports);
    }

    /// What is to be written for these messages.
    pub(super) async fn judge(&self, settled: Vec<Settled>) -> Vec<Report> {
        let now = Clock.wall();
        let mut reports = Vec::with_capacity(settled.len());
        for Settled { message, verdicts } in settled {
            self.log(&message, &verdicts);
            self.tell_breaker(&message, &verdicts).await;
            self.count(&verdicts);
            reports.push(self.report(&message, verdicts, now));
        }
        reports
    }

    fn count(&self, verdicts: &[(u32, Verdict)]) {
        let delivered = {
            let mut pages = self.pages();
            let Pages { progress, returned_at, .. } = &mut *pages;
            let Some(progress) = progress else { return };
            progress.count(verdicts, returned_at, Clock.monotonic());
            progress.delivered()
        };
        let has_delivered = verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Delivered(_)));
        if has_delivered {
            self.moved.send_modify(|messages| *messages += 1);
            self.common.edit_view(self.account, |view| {
                view.delivered_now = delivered;
                view.last_problem = None;
            });
        }
    }

    /// A backup MX has seen few deliveries: what the customer's own list says counts as much.
    fn is_known_good(&self, recipient: &ClaimedRecipient) -> bool {
        let is_listed = |witness: &Arc<dyn RecipientWitness>| witness.is_known_good(self.account, &recipient.mailbox);
        recipient.is_known_good || self.common.witness.get().is_some_and(is_listed)
    }

    async fn tell_breaker(&self, message: &Claimed, verdicts: &[(u32, Verdict)]) {
        for (ordinal, verdict) in verdicts {
            let Some(recipient) = message.recipients.iter().find(|known| known.ordinal == *ordinal) else { continue };
            let mailbox = recipient.mailbox.to_string();
            let fare = Fare { mailbox: &mailbox, is_known_good: self.is_known_good(recipient), verdict };
            match self.common.fared(self.account, &fare) {
                Verdicts::Quiet => {}
                Verdicts::Opened(reason) => {
                    self.stop(LegEnd::Held(reason.clone()));
                    self.common.store_breaker(self.account, Some(reason)).await;
                }
                Verdicts::Closed => {
                    // What was held meanwhile is asked for again.
                    self.pages().make_due = true;
                    self.common.store_breaker(self.account, None).await;
                }
            }
        }
    }

    fn report(&self, message: &Claimed, verdicts: Vec<(u32, Verdict)>, now: WallTime) -> Report {
        let held_until = self.common.held_until(self.account);
        let mut outcomes = Vec::with_capacity(verdicts.len());
        for (ordinal, verdict) in verdicts {
            let recipient = message.recipients.iter().find(|known| known.ordinal == ordinal);
            let circumstances = Circumstances {
                attempts_before: recipient.map_or(0, |known| known.attempts),
                refusals_before: recipient.map_or(0, |known| known.refusals),
                is_known_good: recipient.is_some_and(|known| self.is_known_good(known)),
                held_until,
                times: &self.common.settings.retry,
                now,
            };
            let says_of_mailbox = says_of_mailbox(&verdict);
            let outcome = outcome(verdict, circumstances);
            if let Some(known) = recipient {
                self.witness(known, says_of_mailbox, &outcome);
            }
            outcomes.push((ordinal, outcome));
        }
        if outcomes.is_empty() {
            // The claim has to be named to be ended.
            outcomes.extend(message.recipients.iter().map(|recipient| (recipient.ordinal, Outcome::Returned)));
        }
        Report { id: message.id, outcomes }
    }

    /// Passes on what the primary said of a mailbox. A refusal that is not believed yet says nothing.
    fn witness(&self, recipient: &ClaimedRecipient, says_of_mailbox: bool, outcome: &Outcome) {
        let is_final = matches!(outcome, Outcome::Delivered { .. } | Outcome::Refused { .. });
        if let Some(witness) = self.common.witness.get().filter(|_| says_of_mailbox && is_final) {
            let is_accepted = matches!(outcome, Outcome::Delivered { .. });
            witness.handle_recipient(self.account, &recipient.mailbox, is_accepted);
        }
    }

    fn log(&self, message: &Claimed, verdicts: &[(u32, Verdict)]) {
        for (ordinal, verdict) in verdicts {
            let (result, reply) = match verdict {
                Verdict::Delivered(reply) => ("delivered", reply),
                Verdict::Deferred(reply) | Verdict::MailboxFull(reply) => ("deferred", reply),
                Verdict::Refused(reply, _) => ("refused", reply),
            };
            tracing::info!(
                account = %self.account, spool_id = %message.id, ordinal, result, code = reply.code,
                reply = %reply.text, "delivery attempt ended"
            );
        }
    }

    /// Claims that no attempt came to: back to the queue.
    pub(super) fn give_back(&self, messages: Vec<Claimed>) {
        self.hand_back(messages, &Outcome::Returned);
    }

    /// Ends claims without an attempt. Recipients are named: another account may have a claim on the same message.
    pub(super) fn hand_back(&self, messages: Vec<Claimed>, outcome: &Outcome) {
        self.pages().unreported.extend(messages.into_iter().map(|message| Report {
            id: message.id,
            outcomes: message.recipients.iter().map(|recipient| (recipient.ordinal, outcome.clone())).collect(),
        }));
    }

    // ---- writing ----

    /// Writes what is known. `false` if the spool did not take it: it is kept.
    pub(super) async fn write_reports(&self) -> bool {
        let reports = std::mem::take(&mut self.pages().unreported);
        if reports.is_empty() { true } else { self.settle(reports, Vec::new()).await }
    }

    /// Writes outcomes and a note in one step. `false` if the spool did not take it: the outcomes are kept.
    pub(super) async fn settle(&self, reports: Vec<Report>, notes: Vec<DotNote>) -> bool {
        match self.common.spool.settle(reports.clone(), notes, Clock.wall()).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(account = %self.account, reason = %error, "outcomes could not be written, kept in memory");
                self.pages().unreported.extend(reports);
                false
            }
        }
    }
}

/// Whether a verdict is about the mailbox itself: it was taken, or there is none of that name (RFC 3463 §3.2).
fn says_of_mailbox(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Delivered(_) => true,
        Verdict::Refused(reply, Refusal::Recipient) => reply.text.starts_with("5.1.1"),
        Verdict::Refused(..) | Verdict::Deferred(_) | Verdict::MailboxFull(_) => false,
    }
}
