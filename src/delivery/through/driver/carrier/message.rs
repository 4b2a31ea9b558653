//! The whole message: sent on, its reply passed back, or stored; and what the reply decides that came too late.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::{Carrier, Request, passed_reply, until_gone};
use crate::base::{AccountId, Clock, EndpointId, SpoolId};
use crate::delivery::board::Common;
use crate::delivery::connection::{Passed, Pieces};
use crate::delivery::flush::Wake;
use crate::delivery::outcome::{Circumstances, Refusal, Stage, Verdict, judge as judge_reply, outcome, silence, words};
use crate::delivery::route::Leg;
use crate::delivery::schedule::REPORT_RETRY;
use crate::delivery::through::crossing::{End, Facts};
use crate::delivery::through::driver::pool::Line;
use crate::delivery::wire::Reply;
use crate::smtp::through::Handed;
use crate::spool::{Claimed, DotNote, NewMessage, Report, SpoolError, SpoolStore};

impl Carrier {
    pub(super) async fn hand_over(mut self, message: Box<NewMessage>, answer: oneshot::Sender<Handed>) {
        let may_send = |line: &Line| self.common.may_send(&line.leg).is_ok();
        let Some(line) = self.line.take_if(|line| self.crossing.sends_content(message.octets) && may_send(line)) else {
            let _ = answer.send(Handed::Store(message, None));
            return self.give_back().await;
        };
        let left = self.crossing.left();
        let Line { mut connection, leg, to_pin, count, is_reused, permit, place } = *line;
        let whole = claimed(&message);
        let pieces =
            Ahead { spool: Arc::clone(&self.common.spool), ahead: message.chunks_ahead, tail: message.tail.clone() };
        let dot_sent = connection.dot_sent();
        let is_handed_on = connection.is_client_handed_on();
        let passed = {
            let sending = connection.pass_content(&whole, &pieces);
            tokio::pin!(sending);
            let gone = until_gone(&self.common, Some(leg.clone()));
            tokio::select! {
                passed = &mut sending => Some(passed),
                // Nothing is lost: the sender's copy is stored, and where the dot was sent its reply is awaited.
                () = wait_for_either(gone, sleep(left)) => {
                    self.passages.0.through.handle_failure(leg.endpoint);
                    if !dot_sent.load(Ordering::Acquire) {
                        None
                    } else {
                        let waiting = Awaiting::new(&self.common, &leg, message.id);
                        let _ = answer.send(Handed::Store(message.clone(), Some(waiting.note.clone())));
                        tracing::info!(spool_id = %message.id, peer = %leg.target, "stored while the primary's reply is awaited");
                        let passed = tokio::select! {
                            passed = &mut sending => passed,
                            () = until_gone(&self.common, Some(leg.clone())) => Passed::Lost(silence("the line went away")),
                        };
                        self.settle_awaited(leg.endpoint, waiting, &message, &passed).await;
                        return;
                    }
                }
            }
        };
        let Some(passed) = passed else {
            let _ = answer.send(Handed::Store(message, None));
            return;
        };
        let line = Line { connection, leg, to_pin, count, is_reused, permit, place };
        self.finish(passed, is_handed_on, line, message, answer).await;
    }

    /// The primary has answered in time.
    async fn finish(
        mut self,
        passed: Passed,
        is_handed_on: bool,
        line: Line,
        message: Box<NewMessage>,
        answer: oneshot::Sender<Handed>,
    ) {
        let account = message.recipients.first().map(|recipient| recipient.account);
        let is_believed = message.recipients.iter().all(|recipient| {
            let is_known_good = self.is_known_good(recipient.account, &recipient.mailbox);
            self.common.believes_refusal(recipient.account, is_known_good)
        });
        let facts = Facts { is_handed_on, is_well: true, is_believed };
        let end = match &passed {
            Passed::Replied(said) => Some((said, self.crossing.handle_final(said, Stage::Final, facts))),
            Passed::NotWanted(said) => Some((said, self.crossing.handle_final(said, Stage::Data, facts))),
            Passed::Lost(_) | Passed::Withheld(_) => None,
        };
        let Some((said, end)) = end else {
            tracing::info!(spool_id = %message.id, peer = %line.leg.target, ?passed, "stored: the primary was lost");
            self.passages.0.through.handle_failure(line.leg.endpoint);
            let _ = answer.send(Handed::Store(message, None));
            return;
        };
        tracing::info!(
            spool_id = %message.id, peer = %line.leg.target, code = said.code, reply = %said.text(),
            is_passed = matches!(end, End::Passed(_)), "a primary answered a waiting sender"
        );
        match end {
            End::Passed(said) => {
                let is_taken = said.class() == 2;
                let record = is_taken.then(|| message.clone());
                let _ = answer.send(Handed::Passed(passed_reply(&said)));
                if let (Some(message), Some(account)) = (record, account) {
                    self.taken(account, *message, &said, &line).await;
                }
                self.line = Some(Box::new(Line { to_pin: line.to_pin.filter(|_| !is_taken), ..line }));
            }
            End::Store { is_one_by_one } => {
                if let Some(account) = account.filter(|_| is_one_by_one) {
                    self.common.set_one_by_one(account, line.leg.endpoint);
                }
                let _ = answer.send(Handed::Store(message, None));
                self.line = Some(Box::new(line));
            }
        }
        self.give_back().await;
    }

    /// The primary has it: that is remembered, and the server is known.
    async fn taken(&self, account: AccountId, message: NewMessage, said: &Reply, line: &Line) {
        self.common.handle_known(account, line.leg.endpoint);
        let id = message.id;
        if let Err(error) = self.common.spool.record_passed(message, words(said), Clock.wall()).await {
            tracing::error!(spool_id = %id, reason = %error, "a message is with the primary and has no line in the history");
        }
        if let Some((key, why)) = line.to_pin.filter(|(key, _)| line.leg.pin != Some(*key)) {
            self.common.learn_pin(account, line.leg.endpoint, key, why).await;
        }
    }

    /// The reply that came too late for the sender decides about the stored copy.
    async fn settle_awaited(&mut self, endpoint: EndpointId, waiting: Awaiting, message: &NewMessage, passed: &Passed) {
        let is_stored = loop {
            match self.requests.recv().await {
                Some(Request::Stored(is_stored)) => break is_stored,
                Some(Request::Recipient(..) | Request::HandOver(..)) => {}
                // The session ended in between; a report on what is not there says nothing.
                None => break true,
            }
        };
        if !is_stored {
            return;
        }
        let verdict = match passed {
            Passed::Replied(said) => judge_reply(said, Stage::Final),
            Passed::NotWanted(said) => judge_reply(said, Stage::Data),
            Passed::Lost(why) => Verdict::Deferred(why.clone()),
            Passed::Withheld(verdict) => verdict.clone(),
        };
        let mut outcomes = Vec::with_capacity(message.recipients.len());
        let is_split = message.recipients.len() > 1 && matches!(verdict, Verdict::Refused(_, Refusal::Recipient));
        if let Some(recipient) = message.recipients.first().filter(|_| is_split) {
            self.common.set_one_by_one(recipient.account, endpoint);
        }
        for (ordinal, recipient) in (0u32..).zip(&message.recipients) {
            let circumstances = Circumstances {
                attempts_before: 0,
                refusals_before: 0,
                is_known_good: self.is_known_good(recipient.account, &recipient.mailbox),
                held_until: self.common.held_until(recipient.account),
                times: &self.common.settings.retry,
                now: Clock.wall(),
            };
            let verdict = if is_split { Verdict::Deferred(silence("asked one by one")) } else { verdict.clone() };
            outcomes.push((ordinal, outcome(verdict, circumstances)));
        }
        let report = Report { id: message.id, outcomes, via: None };
        while let Err(error) = self.common.spool.report(vec![report.clone()], Clock.wall()).await {
            tracing::error!(spool_id = %message.id, reason = %error, "an awaited outcome could not be written yet");
            tokio::select! {
                () = sleep(REPORT_RETRY) => {}
                () = self.common.shutdown.cancelled() => break,
            }
        }
        drop(waiting);
        for account in message.recipients.iter().map(|recipient| recipient.account).take(1) {
            self.passages.0.wake(account, Wake::look());
        }
    }
}

/// A message whose dot was sent and whose reply is awaited: its place among the notes.
struct Awaiting {
    common: Arc<Common>,
    note: DotNote,
}

impl Awaiting {
    fn new(common: &Arc<Common>, leg: &Leg, message: SpoolId) -> Self {
        let note = DotNote { lane: common.take_lane(), message, peer: leg.target, at: Clock.wall() };
        Self { common: Arc::clone(common), note }
    }
}

impl Drop for Awaiting {
    fn drop(&mut self) {
        self.common.free_lane(self.note.lane);
    }
}

/// A content of which the first pieces were stored ahead.
struct Ahead {
    spool: Arc<dyn SpoolStore>,
    ahead: u32,
    tail: Vec<Bytes>,
}

#[async_trait]
impl Pieces for Ahead {
    async fn piece(&self, message: SpoolId, ordinal: u32) -> Result<Bytes, SpoolError> {
        match ordinal.checked_sub(self.ahead) {
            None => self.spool.body_chunk(message, ordinal).await,
            Some(place) => {
                let piece = self.tail.get(usize::try_from(place).unwrap_or(usize::MAX));
                piece.cloned().ok_or(SpoolError::ChunkMissing(message))
            }
        }
    }
}

fn claimed(message: &NewMessage) -> Claimed {
    Claimed {
        id: message.id,
        accepted_at: message.accepted_at,
        reverse_path: message.reverse_path.clone(),
        smtputf8: message.smtputf8,
        requires_tls: message.requires_tls,
        body: message.body,
        dsn: message.dsn.clone(),
        trace: message.trace.clone(),
        sha256: message.sha256,
        octets: message.octets,
        chunks: message.chunks_ahead.saturating_add(u32::try_from(message.tail.len()).unwrap_or(u32::MAX)),
        peer: message.peer,
        helo: message.helo.clone(),
        recipients: Vec::new(),
    }
}

async fn wait_for_either(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    tokio::select! {
        () = one => {}
        () = other => {}
    }
}
