//! One connection of a flush: opens it, checks who answers, carries messages until none is left or it has to end.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::book::Book;
use super::supply::{Ready, Supply};
use crate::base::{AccountId, Clock, Moment, SpoolId};
use crate::delivery::board::Common;
use crate::delivery::call_out;
use crate::delivery::connection::{Attempt, Connection, Ledger, Offer};
use crate::delivery::flush::contact::{Contact, FirstContact};
use crate::delivery::flush::patience::LegEnd;
use crate::delivery::identity::{KeyDigest, Proof, judge_detour};
use crate::delivery::opening::{OpenFailure, Opened, Opening};
use crate::delivery::order::{MESSAGES_PER_CONNECTION_MAX, TURN_OCTETS_MAX};
use crate::delivery::outcome::{Verdict, is_greylisting};
use crate::delivery::route::Leg;
use crate::delivery::schedule::BEAT_RECHECK;
use crate::delivery::tls::TlsFacts;
use crate::spool::{DotNote, Outcome, Report, Via};

/// What all connections to one server have in common.
pub(super) struct Serving {
    pub(super) common: Arc<Common>,
    pub(super) account: AccountId,
    pub(super) leg: Leg,
    pub(super) book: Arc<Book>,
    pub(super) supply: Arc<Supply>,
    /// Otherwise the server is only called.
    pub(super) may_deliver: bool,
    /// The primary is taken to be broken: one message tries it.
    pub(super) is_broken: bool,
    /// The first message tries the server.
    pub(super) is_canary: bool,
    /// The last handshake failed: stay in plain text.
    pub(super) is_plain: bool,
    /// How long to wait for a greeting.
    pub(super) greeting: Duration,
}

impl Serving {
    /// Whether a further connection would have something to do.
    pub(super) fn has_more(&self) -> bool {
        self.may_deliver && self.book.why_stopped().is_none() && self.supply.has_ready()
    }
}

/// How a connection ended.
pub(super) struct Ended {
    pub(super) is_first: bool,
    pub(super) end: LegEnd,
    pub(super) contact: FirstContact,
    pub(super) greeted_at: Option<Moment>,
}

/// One connection.
pub(super) struct Lane {
    serving: Arc<Serving>,
    contact: FirstContact,
    is_first: bool,
    number: u64,
    greeted_at: Option<Moment>,
    /// To be pinned once the server took a message, and why.
    to_pin: Option<(KeyDigest, &'static str)>,
    /// Messages that this connection delivered.
    delivered: u64,
    octets: u64,
    log: LaneLog,
}

/// Outcomes of this connection that the next note takes along.
struct LaneLog {
    common: Arc<Common>,
    book: Arc<Book>,
    number: u64,
    peer: std::net::SocketAddr,
    pending: Mutex<Vec<Report>>,
    /// What is known of the connection, once the server has greeted.
    via: OnceLock<Via>,
}

impl Drop for LaneLog {
    fn drop(&mut self) {
        self.common.free_lane(self.number);
    }
}

impl LaneLog {
    fn take(&self) -> Vec<Report> {
        std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn push(&self, mut reports: Vec<Report>) {
        for report in &mut reports {
            report.via = self.via.get().cloned();
        }
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).extend(reports);
    }

    /// Writes what no note took along.
    async fn write(&self) -> bool {
        let reports = self.take();
        reports.is_empty() || self.book.settle(reports, Vec::new()).await
    }
}

/// Outcomes on their way into the spool; back in the log if the way is cut.
struct Taken<'a> {
    log: &'a LaneLog,
    reports: Vec<Report>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.reports.is_empty() {
            self.log.push(std::mem::take(&mut self.reports));
        }
    }
}

#[async_trait]
impl Ledger for LaneLog {
    async fn before_dot(&self, message: SpoolId) -> bool {
        let note = DotNote { lane: self.number, message, peer: self.peer, at: Clock.wall() };
        // The conversation may be cut here: what is known is written with the end of the lane then.
        let mut taken = Taken { log: self, reports: self.take() };
        let is_settled = self.book.settle(taken.reports.clone(), vec![note]).await;
        // Otherwise the book has kept them.
        taken.reports.clear();
        is_settled
    }
}

impl Lane {
    /// The connection that finds out whether the server is well.
    pub(super) fn first(serving: Arc<Serving>, contact: FirstContact) -> Self {
        Self::new(serving, contact, true)
    }

    /// One that joins it.
    pub(super) fn further(serving: Arc<Serving>) -> Self {
        Self::new(serving, FirstContact::joining(), false)
    }

    fn new(serving: Arc<Serving>, contact: FirstContact, is_first: bool) -> Self {
        let number = serving.common.take_lane();
        let log = LaneLog {
            common: Arc::clone(&serving.common),
            book: Arc::clone(&serving.book),
            number,
            peer: serving.leg.target,
            pending: Mutex::default(),
            via: OnceLock::new(),
        };
        Self { serving, contact, is_first, number, greeted_at: None, to_pin: None, delivered: 0, octets: 0, log }
    }

    /// Runs to the end. The place is held meanwhile.
    pub(super) async fn run(mut self, place: OwnedSemaphorePermit) -> Ended {
        let end = match self.open().await {
            Err(end) => end,
            Ok(opened) => self.converse(opened).await,
        };
        // Whatever ended it: its outcomes are known.
        let end = if self.log.write().await { end } else { LegEnd::Spool };
        drop(place);
        Ended { is_first: self.is_first, end, contact: self.contact, greeted_at: self.greeted_at }
    }

    async fn open(&mut self) -> Result<Opened, LegEnd> {
        let serving = Arc::clone(&self.serving);
        let opening = Opening {
            settings: &serving.common.settings,
            leg: &serving.leg,
            tls: &serving.common.tls,
            is_plain: serving.is_plain,
            greeting: serving.greeting,
        };
        let mut opened = tokio::select! {
            // The line may have changed while this account waited for a place.
            biased;
            why = until_closed(&serving) => return Err(LegEnd::Stopped(why)),
            opened = opening.run() => opened.map_err(LegEnd::NotOpened)?,
        };
        let proof = if serving.leg.is_detour {
            judge_detour(opened.tls.as_ref())
        } else {
            let judged = serving.common.judge(&serving.leg, opened.tls.as_ref());
            judged.map_err(|doubt| LegEnd::NotOpened(OpenFailure::Stranger(doubt)))?
        };
        let is_key_proven = !matches!(proof, Proof::Beat { .. } | Proof::Operator);
        opened.is_key_proven = opened.tls.is_some() && is_key_proven;
        // Called only once nothing more can fail before MAIL.
        self.greeted(&opened, proof);
        Ok(opened)
    }

    fn greeted(&mut self, opened: &Opened, proof: Proof) {
        let Serving { common, account, leg, .. } = &*self.serving;
        self.greeted_at = Some(Clock.monotonic());
        if !leg.is_detour {
            common.lines.primary_greeted(leg.endpoint, leg.target.ip());
        }
        self.to_pin = proof.to_pin();
        let tls = opened.tls.as_ref().map(TlsFacts::summary);
        let proof = proof.words();
        let offers_dsn = opened.offered.dsn;
        let via = Via { peer: leg.target, tls: tls.clone(), proof: proof.to_owned(), offers_dsn };
        // Set once: a connection is greeted once.
        let _ = self.log.via.set(via);
        tracing::info!(account = %account, peer = %leg.target, lane = self.number, tls = tls.as_deref(), proof, "the primary greeted us");
        common.edit_view(*account, |view| {
            view.last_tls = tls;
            view.proof = Some(proof);
        });
        if !self.serving.may_deliver || self.serving.leg.pin.is_some() {
            common.handle_known(*account, leg.endpoint);
        }
    }

    /// Messages one after the other until nothing is due or the connection has to end.
    async fn converse(&mut self, opened: Opened) -> LegEnd {
        let serving = Arc::clone(&self.serving);
        let Serving { common, account, leg, .. } = &*serving;
        let is_one_by_one = common.is_one_by_one(*account, leg.endpoint);
        let settings = &common.settings;
        if !leg.is_detour {
            common.learn_manners(*account, leg.endpoint, opened.offered.manners()).await;
        }
        let begun = Connection::begin(opened, &settings.hostname, settings.timeouts, is_one_by_one).await;
        let mut connection = match begun {
            Ok(connection) => connection,
            Err(why) => return LegEnd::Broken(why),
        };
        self.contact.handle_connected();
        let end = self.carry(&mut connection).await;
        if connection.is_one_by_one() {
            common.set_one_by_one(*account, leg.endpoint);
        }
        let is_over = matches!(end, Course::Over(_));
        let end = end.into_end();
        // A server that beats no longer vouch for is not waited for.
        if !is_over && (!matches!(end, LegEnd::Stopped(_)) || common.shutdown.is_cancelled()) {
            call_out::part(common, *account, leg, connection).await;
        }
        end
    }

    async fn carry(&mut self, connection: &mut Connection) -> Course {
        let serving = Arc::clone(&self.serving);
        if !serving.may_deliver {
            return Course::Polite(LegEnd::Worked);
        }
        for count in 0..MESSAGES_PER_CONNECTION_MAX {
            if serving.book.why_stopped().is_some() || self.is_turn_over() {
                return Course::Polite(LegEnd::Worked);
            }
            let ready = match self.next(count == 0).await {
                Ok(Some(ready)) => ready,
                Ok(None) => return Course::Polite(LegEnd::Worked),
                Err(end) => return Course::Over(end),
            };
            if let Err(why) = serving.common.may_send(&serving.leg) {
                serving.supply.put_back(ready);
                return Course::Polite(LegEnd::Stopped(why));
            }
            match self.deliver(connection, ready).await {
                None => {}
                Some(reason @ (LegEnd::Identity(_) | LegEnd::Greylisted(_))) => {
                    serving.book.stop(reason.clone());
                    return Course::Polite(reason);
                }
                // Many servers close after so many messages: what was delivered shows that all is well.
                Some(LegEnd::Broken(_)) if self.delivered > 0 => return Course::Over(LegEnd::Worked),
                Some(reason) => return Course::Over(reason),
            }
            if let Some(why) = serving.book.must_pause() {
                let end = LegEnd::Broken(why.to_owned());
                serving.book.stop(end.clone());
                return Course::Polite(end);
            }
            if serving.is_broken && serving.common.is_broken(serving.account) {
                return Course::Polite(LegEnd::Held("it still refuses recipients that it took before".to_owned()));
            }
        }
        Course::Polite(LegEnd::Worked)
    }

    /// Others wait for a place and this connection carried its share, or is one of several.
    fn is_turn_over(&self) -> bool {
        self.serving.common.is_place_awaited() && (!self.is_first || self.octets >= TURN_OCTETS_MAX)
    }

    /// The next message. What is known is written before anything is waited for. Doubt about refused senders lasts
    /// until nothing more can clear it.
    async fn next(&mut self, is_first_message: bool) -> Result<Option<Ready>, LegEnd> {
        let serving = Arc::clone(&self.serving);
        if let Some(ready) = serving.supply.pop() {
            return Ok(Some(ready));
        }
        if !self.log.write().await {
            return Err(LegEnd::Spool);
        }
        let is_canary = is_first_message && serving.is_canary && self.is_first;
        loop {
            match serving.supply.fetch(is_canary).await {
                None => return Err(LegEnd::Spool),
                Some(true) => match serving.supply.pop() {
                    Some(ready) => return Ok(Some(ready)),
                    // Another connection was quicker; there may be more.
                    None => continue,
                },
                Some(false) => break,
            }
        }
        let doubtful = self.contact.take_doubtful();
        let reports = serving.book.judge(doubtful).await;
        self.log.push(reports);
        if self.log.write().await { Ok(None) } else { Err(LegEnd::Spool) }
    }

    /// One message; `Some` if the connection has to end.
    async fn deliver(&mut self, connection: &mut Connection, ready: Ready) -> Option<LegEnd> {
        let serving = Arc::clone(&self.serving);
        let common = &serving.common;
        let may_go_on = || common.may_send(&serving.leg).is_ok();
        let gone = until_gone(&serving);
        let Ready { message, head } = ready;
        let dressed = common.dress(serving.account, &message).await;
        let offer = Offer { message: dressed.as_ref().unwrap_or(&message), head: head.as_ref() };
        let attempt = connection.deliver(offer, common.spool.as_ref(), &self.log, &may_go_on, gone).await;
        drop(head);
        if attempt.is_spool_failed && attempt.verdicts.is_empty() {
            serving.book.give_back(vec![message]);
            return Some(LegEnd::Spool);
        }
        if attempt.is_cut && attempt.verdicts.is_empty() {
            serving.book.give_back(vec![message]);
            return attempt.ended.map(LegEnd::Stopped);
        }
        if self.delivered > 0 && !attempt.is_mail_answered && attempt.ended.is_some() {
            // Closed between two messages: no attempt of this one, which keeps its place.
            serving.book.give_back(vec![message]);
            return attempt.ended.map(LegEnd::Broken);
        }
        self.octets = self.octets.saturating_add(message.octets);
        let greylisted = self.greylisting(&attempt);
        match self.contact.handle_attempt(message, &attempt) {
            Contact::Good(settled) => {
                let reports = serving.book.judge(settled).await;
                self.log.push(reports);
            }
            Contact::Doubtful => {}
            Contact::Identity(messages) => {
                serving.book.hand_back(messages, &Outcome::Postponed { until: Clock.wall() });
                return Some(LegEnd::Identity("it refuses us before it has accepted anything".to_owned()));
            }
        }
        self.handle_delivered(&attempt).await;
        if attempt.is_spool_failed {
            return Some(LegEnd::Spool);
        }
        if attempt.is_cut {
            return attempt.ended.map(LegEnd::Stopped);
        }
        if let Some(words) = greylisted {
            return Some(LegEnd::Greylisted(words));
        }
        // A refusal is recorded, so that the next connection does not meet it again.
        if attempt.is_withheld { Some(LegEnd::Worked) } else { attempt.ended.map(LegEnd::Broken) }
    }

    /// The words of a server that greylists the first message it hears of.
    fn greylisting(&self, attempt: &Attempt) -> Option<String> {
        if !self.is_first || !self.serving.is_canary || self.delivered > 0 {
            return None;
        }
        attempt.verdicts.iter().find_map(|(_, verdict)| match verdict {
            Verdict::Deferred(reply) if is_greylisting(reply) => {
                Some(format!("it greylists us ({}); tell it not to", reply.text))
            }
            Verdict::Delivered(_) | Verdict::Deferred(_) | Verdict::MailboxFull(_) | Verdict::Refused(..) => None,
        })
    }

    async fn handle_delivered(&mut self, attempt: &Attempt) {
        if !attempt.verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Delivered(_))) {
            return;
        }
        let Serving { common, account, leg, .. } = &*self.serving;
        if self.delivered == 0 {
            common.handle_known(*account, leg.endpoint);
        }
        self.delivered += 1;
        if let Some((key, why)) = self.to_pin.take().filter(|(key, _)| leg.pin != Some(*key) && self.is_first) {
            common.learn_pin(*account, leg.endpoint, key, why).await;
        }
    }
}

/// How the conversation ended.
enum Course {
    /// QUIT is in order.
    Polite(LegEnd),
    /// The connection is of no use any more.
    Over(LegEnd),
}

impl Course {
    fn into_end(self) -> LegEnd {
        match self {
            Self::Polite(end) | Self::Over(end) => end,
        }
    }
}

/// Waits until the line stops to vouch for this address; whoever waits for an answer from there gives up.
async fn until_closed(serving: &Serving) -> String {
    let mut bell = serving.common.bell(serving.account);
    loop {
        if let Err(why) = serving.common.may_call(&serving.leg) {
            return why;
        }
        tokio::select! {
            _ = bell.changed() => {}
            () = serving.common.shutdown.cancelled() => {}
        }
    }
}

/// Waits until the line is down or its address is another one; whoever waits for a reply from there gives up.
async fn until_gone(serving: &Serving) -> String {
    let mut bell = serving.common.bell(serving.account);
    loop {
        if let Err(why) = serving.common.may_await(&serving.leg) {
            return why;
        }
        tokio::select! {
            _ = bell.changed() => {}
            // Not every change rings, such as the removal of the server.
            () = sleep(BEAT_RECHECK) => {}
        }
    }
}
