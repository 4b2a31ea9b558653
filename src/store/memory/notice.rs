//! Attempts, notices and mail that leaves by itself, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;

use super::{MemoryStore, Stored, Tables};
use crate::base::{DomainName, SpoolId, WallTime};
use crate::outbound::model::{Case, CaseRecipient, Conclusion, MailEnd, NewMail, Outgoing, OutgoingRow};
use crate::outbound::store::OutboundStore;
use crate::spool::notice::{attempt_word, is_attempt_kept, notice_of};
use crate::spool::{AttemptRow, NoticeKind, NoticeRow, Notify, Outcome, RecipientState, SpoolError, Trace, Via};

/// When a notice was made, and what came of it.
type Told = (WallTime, Option<(WallTime, String)>);

/// All rows of this kind.
#[derive(Debug, Default)]
pub(super) struct Notices {
    open: BTreeMap<(SpoolId, u32, NoticeKind), Told>,
    attempts: BTreeMap<(SpoolId, u32, u32), AttemptRow>,
    mails: BTreeMap<i64, Mail>,
}

#[derive(Debug)]
struct Mail {
    mail: NewMail,
    made_at: WallTime,
    due_at: WallTime,
    attempts: u32,
    reply: Option<String>,
    ended: Option<(WallTime, bool)>,
}

/// A recipient whose state a report has changed.
pub(super) struct Changed {
    pub(super) ordinal: u32,
    pub(super) number: u32,
    pub(super) after: RecipientState,
    pub(super) notify: Option<Notify>,
}

impl Notices {
    pub(super) fn ended(
        &mut self,
        message: SpoolId,
        changed: &Changed,
        (outcome, via): (&Outcome, Option<&Via>),
        now: WallTime,
    ) {
        let Some((word, reply)) = attempt_word(outcome) else { return };
        let Changed { ordinal, number, after, notify } = *changed;
        if is_attempt_kept(number, outcome) {
            let row = AttemptRow {
                ordinal,
                number,
                at: now,
                result: word.to_owned(),
                reply: reply.clone(),
                peer: via.map(|via| via.peer.to_string()),
                tls: via.and_then(|via| via.tls.clone()),
                proof: via.map(|via| via.proof.clone()),
            };
            self.attempts.insert((message, ordinal, number), row);
        }
        if let Some(kind) = notice_of(after, notify, via) {
            self.open.entry((message, ordinal, kind)).or_insert((now, None));
        }
    }

    pub(super) fn ruled(&mut self, message: SpoolId, ordinal: u32, to: RecipientState, now: WallTime) {
        match notice_of(to, None, None) {
            Some(kind) => {
                self.open.entry((message, ordinal, kind)).or_insert((now, None));
            }
            None => self.tried_again(message, ordinal),
        }
    }

    /// No failure is told that was not told yet.
    pub(super) fn tried_again(&mut self, message: SpoolId, ordinal: u32) {
        let key = (message, ordinal, NoticeKind::Failed);
        if self.open.get(&key).is_some_and(|(_, done)| done.is_none()) {
            self.open.remove(&key);
        }
    }

    /// Rows go with their message.
    pub(super) fn forget_all_but(&mut self, is_there: impl Fn(SpoolId) -> bool) {
        self.open.retain(|(id, ..), _| is_there(*id));
        self.attempts.retain(|(id, ..), _| is_there(*id));
    }

    pub(super) fn trace(&self, id: SpoolId) -> Trace {
        let mut attempts: Vec<AttemptRow> =
            self.attempts.iter().filter(|((message, ..), _)| *message == id).map(|(_, row)| row.clone()).collect();
        attempts.sort_by_key(|row| (row.at, row.ordinal, row.number));
        let notices = self.open.iter().filter(|((message, ..), _)| *message == id);
        let mut notices: Vec<NoticeRow> = notices
            .map(|((_, ordinal, kind), (at, done))| NoticeRow {
                ordinal: *ordinal,
                kind: *kind,
                at: *at,
                done: done.clone(),
            })
            .collect();
        notices.sort_by_key(|row| (row.ordinal, row.at));
        Trace { attempts, notices }
    }

    fn insert(&mut self, mail: NewMail, now: WallTime) -> bool {
        if self.mails.values().any(|known| known.mail.tag == mail.tag) {
            return false;
        }
        let id = self.mails.keys().next_back().map_or(1, |last| last + 1);
        self.mails.insert(id, Mail { mail, made_at: now, due_at: now, attempts: 0, reply: None, ended: None });
        true
    }
}

impl Tables {
    fn case(&self, id: SpoolId, kind: NoticeKind) -> Option<Case> {
        let stored: &Stored = self.messages.get(&id)?;
        let of_kind = || {
            let all = self.notices.open.iter();
            all.filter(move |((message, _, k), (_, done))| *message == id && *k == kind && done.is_none())
        };
        let is_ours = |ordinal: &u32| of_kind().any(|((_, o, _), _)| o == ordinal);
        let recipient = |(ordinal, held): (u32, &super::Held)| {
            let sent = stored.message.recipients.get(ordinal as usize)?;
            Some(CaseRecipient {
                ordinal,
                account: held.account,
                mailbox: sent.mailbox.clone(),
                dsn: sent.dsn.clone(),
                state: held.state,
                reply: held.last_reply.clone(),
                last_attempt_at: held.last_attempt_at,
            })
        };
        let is_open = |state| matches!(state, RecipientState::Queued | RecipientState::Claimed);
        Some(Case {
            message: id,
            kind,
            first_at: of_kind().map(|(_, (at, _))| *at).min()?,
            is_unfinished: stored.of(None).any(|(_, held)| is_open(held.state)),
            accepted_at: stored.message.accepted_at,
            reverse_path: stored.message.reverse_path.clone(),
            smtputf8: stored.message.smtputf8,
            dsn: stored.message.dsn.clone(),
            is_automatic: stored.message.is_last(),
            header: crate::spool::HeaderSummary { is_bulk: stored.message.is_last(), ..stored.message.header.clone() },
            chunks: if stored.delivered_at.is_some() { 0 } else { stored.chunks },
            verdict: stored.verdict.clone(),
            recipients: stored.of(None).filter(|(ordinal, _)| is_ours(ordinal)).filter_map(recipient).collect(),
        })
    }
}

#[async_trait]
impl OutboundStore for MemoryStore {
    async fn open_cases(&self, limit: u32) -> Result<Vec<Case>, SpoolError> {
        let tables = self.tables();
        let open = tables.notices.open.iter().filter(|(_, (_, done))| done.is_none());
        let mut keys: Vec<(SpoolId, NoticeKind)> = open.map(|((id, _, kind), _)| (*id, *kind)).collect();
        keys.dedup();
        let mut cases: Vec<Case> = keys.into_iter().filter_map(|(id, kind)| tables.case(id, kind)).collect();
        cases.sort_by_key(|case| (case.first_at, case.message, case.kind));
        cases.dedup_by_key(|case| (case.message, case.kind));
        cases.truncate(limit as usize);
        Ok(cases)
    }

    async fn note_delays(&self, accepted_before: WallTime, now: WallTime) -> Result<u64, SpoolError> {
        let mut tables = self.tables();
        let before = SpoolId::first_of(accepted_before);
        let Tables { messages, notices, .. } = &mut *tables;
        let mut noted = 0;
        for (id, stored) in messages.range(..before) {
            for (ordinal, held) in stored.of(None).filter(|(_, held)| held.state == RecipientState::Queued) {
                let notify = stored.message.recipients.get(ordinal as usize).and_then(|sent| sent.dsn.notify);
                let is_asked = matches!(notify, Some(Notify::When { delay: true, .. }));
                let key = (*id, ordinal, NoticeKind::Delayed);
                if is_asked && !notices.open.contains_key(&key) {
                    debug_assert!(held.state.is_waiting(), "queued mail waits");
                    notices.open.insert(key, (now, None));
                    noted += 1;
                }
            }
        }
        Ok(noted)
    }

    async fn conclude(&self, conclusion: Conclusion, now: WallTime) -> Result<bool, SpoolError> {
        let mut tables = self.tables();
        let Conclusion { message, kind, results, mail } = conclusion;
        let open = &mut tables.notices.open;
        let is_open = |ordinal: u32| open.get(&(message, ordinal, kind)).is_some_and(|(_, done)| done.is_none());
        if !results.iter().all(|(ordinal, _)| is_open(*ordinal)) {
            return Ok(false);
        }
        for (ordinal, result) in results {
            if let Some((_, done)) = open.get_mut(&(message, ordinal, kind)) {
                *done = Some((now, result));
            }
        }
        if let Some(mail) = mail {
            tables.notices.insert(mail, now);
        }
        Ok(true)
    }

    async fn enqueue(&self, mail: NewMail, now: WallTime) -> Result<bool, SpoolError> {
        Ok(self.tables().notices.insert(mail, now))
    }

    async fn is_made(&self, tag: &str) -> Result<bool, SpoolError> {
        Ok(self.tables().notices.mails.values().any(|mail| mail.mail.tag == tag))
    }

    async fn due(&self, now: WallTime, limit: u32) -> Result<Vec<Outgoing>, SpoolError> {
        let tables = self.tables();
        let mut due: Vec<(WallTime, Outgoing)> = tables
            .notices
            .mails
            .iter()
            .filter(|(_, mail)| mail.ended.is_none() && mail.due_at <= now)
            .map(|(id, mail)| {
                let Mail { mail, made_at, due_at, attempts, .. } = mail;
                (*due_at, Outgoing { id: *id, mail: mail.clone(), made_at: *made_at, attempts: *attempts })
            })
            .collect();
        due.sort_by_key(|(due_at, outgoing)| (*due_at, outgoing.id));
        Ok(due.into_iter().map(|(_, outgoing)| outgoing).take(limit as usize).collect())
    }

    async fn settle_mail(&self, id: i64, end: MailEnd, now: WallTime) -> Result<(), SpoolError> {
        let mut tables = self.tables();
        let Some(mail) = tables.notices.mails.get_mut(&id).filter(|mail| mail.ended.is_none()) else { return Ok(()) };
        mail.attempts += 1;
        mail.reply = Some(match end {
            MailEnd::Sent(reply) => {
                mail.ended = Some((now, true));
                reply
            }
            MailEnd::Later { until, why } => {
                mail.due_at = until;
                why
            }
            MailEnd::GivenUp(why) => {
                mail.ended = Some((now, false));
                why
            }
        });
        if mail.ended.is_some() {
            mail.mail.content = Bytes::new();
        }
        Ok(())
    }

    async fn made_for(&self, domain: &DomainName, since: WallTime) -> Result<u64, SpoolError> {
        let tables = self.tables();
        let mails = tables.notices.mails.values();
        Ok(mails.filter(|mail| mail.mail.recipient.domain() == Some(domain) && mail.made_at >= since).count() as u64)
    }

    async fn outgoing(&self, about: Option<SpoolId>, limit: u32) -> Result<Vec<OutgoingRow>, SpoolError> {
        let tables = self.tables();
        let row = |(id, mail): (&i64, &Mail)| OutgoingRow {
            id: *id,
            kind: mail.mail.kind,
            account: mail.mail.account,
            message: mail.mail.message,
            recipient: mail.mail.recipient.to_string(),
            made_at: mail.made_at,
            due_at: mail.ended.is_none().then_some(mail.due_at),
            attempts: mail.attempts,
            is_sent: mail.ended.is_some_and(|(_, is_sent)| is_sent),
            reply: mail.reply.clone(),
        };
        let mails = tables.notices.mails.iter().rev();
        Ok(mails
            .filter(|(_, mail)| about.is_none() || mail.mail.message == about)
            .take(limit as usize)
            .map(row)
            .collect())
    }

    async fn purge_outgoing(&self, ended_before: WallTime) -> Result<u64, SpoolError> {
        let mut tables = self.tables();
        let before = tables.notices.mails.len();
        tables.notices.mails.retain(|_, mail| mail.ended.is_none_or(|(at, _)| at >= ended_before));
        Ok((before - tables.notices.mails.len()) as u64)
    }
}
