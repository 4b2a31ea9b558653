//! Cases to be decided and mail that leaves by itself.

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::job::{Terms, Work};
use super::notice;
use super::row::{self, keep_readable, parsed, parsed_optional, readable};
use super::verdict::verdict;
use crate::base::{AccountId, DomainName, Mailbox, ReversePath, SpoolId, WallTime};
use crate::outbound::model::{Case, CaseRecipient, Conclusion, MailEnd, NewMail, Outgoing, OutgoingRow};
use crate::outbound::store::OutboundStore;
use crate::spool::{DeliveryReply, HeaderSummary, MessageDsn, NoticeKind, RecipientDsn, SpoolError};

/// Rows that one step removes or notes, at most.
const BATCH: u64 = 500;

fn open_cases(db: &Connection, limit: u32) -> rusqlite::Result<Vec<Case>> {
    let mut statement = db.prepare_cached(
        "SELECT message, kind, min(at) FROM notice WHERE done_at IS NULL GROUP BY message, kind ORDER BY min(at) LIMIT ?1",
    )?;
    let open = statement.query_map([limit], |row| {
        Ok((row.get::<_, i64>(0)?, parsed(row, 1, str::parse::<NoticeKind>)?, row::time(row.get(2)?)))
    })?;
    let open = readable("notice", open)?;
    let mut cases = Vec::with_capacity(open.len());
    for (message, kind, first_at) in open {
        cases.extend(case(db, message, kind, first_at)?);
    }
    Ok(cases)
}

fn case(db: &Connection, message: i64, kind: NoticeKind, first_at: WallTime) -> rusqlite::Result<Option<Case>> {
    let row = db
        .prepare_cached(
            "SELECT accepted_at, reverse_path, smtputf8, dsn_ret, dsn_envid, subject, header_from, message_id, chunks,
                    delivered_at IS NOT NULL,
                    EXISTS (SELECT 1 FROM recipient WHERE message = m.id AND state IN ('queued', 'claimed')),
                    EXISTS (SELECT 1 FROM recipient WHERE message = m.id AND class = 1)
             FROM message AS m WHERE id = ?1",
        )?
        .query_row([message], |row| {
            let is_gone: bool = row.get(9)?;
            Ok(Case {
                message: SpoolId::from_i64(message),
                kind,
                first_at,
                is_unfinished: row.get(10)?,
                accepted_at: row::time(row.get(0)?),
                reverse_path: parsed(row, 1, |text| ReversePath::parse(text, true))?,
                smtputf8: row.get(2)?,
                dsn: MessageDsn { ret: parsed_optional(row, 3)?, envelope_id: row.get(4)? },
                is_automatic: row.get(11)?,
                header: HeaderSummary {
                    subject: row.get(5)?,
                    from: row.get(6)?,
                    message_id: row.get(7)?,
                    is_bulk: row.get(11)?,
                },
                chunks: if is_gone { 0 } else { row.get(8)? },
                verdict: None,
                recipients: Vec::new(),
            })
        })
        .optional();
    let Some(mut case) = keep_readable("message", row)?.flatten() else { return Ok(None) };
    let mut statement = db.prepare_cached(
        "SELECT r.ordinal, r.account, r.mailbox, r.dsn_notify, r.dsn_orcpt, r.state, r.reply_code, r.reply_text,
                r.last_attempt_at
         FROM notice AS n JOIN recipient AS r ON r.message = n.message AND r.ordinal = n.ordinal
         WHERE n.message = ?1 AND n.kind = ?2 AND n.done_at IS NULL ORDER BY r.ordinal",
    )?;
    let recipients = statement.query_map(params![message, kind.as_str()], |row| {
        let (code, text): (Option<u16>, Option<String>) = (row.get(6)?, row.get(7)?);
        let last_attempt_at: Option<i64> = row.get(8)?;
        Ok(CaseRecipient {
            ordinal: row.get(0)?,
            account: AccountId(row.get(1)?),
            mailbox: parsed(row, 2, |text| Mailbox::parse(text, true))?,
            dsn: RecipientDsn { notify: parsed_optional(row, 3)?, original_recipient: row.get(4)? },
            state: parsed(row, 5, str::parse)?,
            reply: text.map(|text| DeliveryReply { code, text }),
            last_attempt_at: last_attempt_at.map(row::time),
        })
    })?;
    case.recipients = readable("recipient", recipients)?;
    case.verdict = verdict(db, case.message)?;
    Ok(Some(case))
}

fn note_delays(db: &Connection, accepted_before: WallTime, now: WallTime) -> rusqlite::Result<u64> {
    let noted = db
        .prepare_cached(
            "INSERT OR IGNORE INTO notice (message, ordinal, kind, at)
             SELECT message, ordinal, 'delayed', ?2 FROM recipient AS r INDEXED BY recipient_asked
             WHERE state = 'queued' AND dsn_notify IS NOT NULL AND dsn_notify LIKE '%DELAY%' AND message < ?1
                AND NOT EXISTS (SELECT 1 FROM notice WHERE message = r.message AND ordinal = r.ordinal AND kind = 'delayed')
             LIMIT ?3",
        )?
        .execute(params![
            SpoolId::first_of(accepted_before).as_i64(),
            row::stored_time(now),
            row::stored_count(BATCH)
        ])?;
    Ok(u64::try_from(noted).unwrap_or(u64::MAX))
}

fn conclude(db: &Connection, conclusion: &Conclusion, now: WallTime) -> rusqlite::Result<bool> {
    let message = conclusion.message.as_i64();
    for (ordinal, _) in &conclusion.results {
        if !notice::is_open(db, message, *ordinal, conclusion.kind)? {
            return Ok(false);
        }
    }
    for (ordinal, result) in &conclusion.results {
        notice::conclude(db, message, (*ordinal, conclusion.kind), result, now)?;
    }
    if let Some(mail) = &conclusion.mail {
        insert(db, mail, now)?;
    }
    Ok(true)
}

fn insert(db: &Connection, mail: &NewMail, now: WallTime) -> rusqlite::Result<bool> {
    let made = db
        .prepare_cached(
            "INSERT OR IGNORE INTO outgoing (tag, kind, account, message, recipient, domain, smtputf8, content, made_at, due_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
        )?
        .execute(params![
            mail.tag,
            mail.kind.as_str(),
            mail.account.map(|account| account.0),
            mail.message.map(SpoolId::as_i64),
            mail.recipient.to_string(),
            mail.recipient.domain().map(DomainName::as_str).unwrap_or_default(),
            mail.smtputf8,
            &mail.content[..],
            row::stored_time(now)
        ])?;
    Ok(made > 0)
}

fn due(db: &Connection, now: WallTime, limit: u32) -> rusqlite::Result<Vec<Outgoing>> {
    let mut statement = db.prepare_cached(
        "SELECT id, tag, kind, account, message, recipient, smtputf8, content, made_at, attempts FROM outgoing
         WHERE ended_at IS NULL AND due_at <= ?1 ORDER BY due_at, id LIMIT ?2",
    )?;
    let rows = statement.query_map(params![row::stored_time(now), limit], |row| {
        let content: Option<Vec<u8>> = row.get(7)?;
        Ok(Outgoing {
            id: row.get(0)?,
            mail: NewMail {
                tag: row.get(1)?,
                kind: parsed(row, 2, str::parse)?,
                account: account_of(row, 3)?,
                message: row.get::<_, Option<i64>>(4)?.map(SpoolId::from_i64),
                recipient: parsed(row, 5, |text| Mailbox::parse(text, true))?,
                smtputf8: row.get(6)?,
                content: Bytes::from(content.unwrap_or_default()),
            },
            made_at: row::time(row.get(8)?),
            attempts: row.get(9)?,
        })
    })?;
    readable("outgoing", rows)
}

fn account_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<AccountId>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(AccountId))
}

fn settle_mail(db: &Connection, id: i64, end: &MailEnd, now: WallTime) -> rusqlite::Result<()> {
    let (due_at, reply, ended_at, is_sent) = match end {
        MailEnd::Sent(reply) => (None, reply, Some(row::stored_time(now)), true),
        MailEnd::Later { until, why } => (Some(row::stored_time(*until)), why, None, false),
        MailEnd::GivenUp(why) => (None, why, Some(row::stored_time(now)), false),
    };
    db.prepare_cached(
        "UPDATE outgoing SET due_at = coalesce(?2, due_at), reply = ?3, ended_at = ?4, is_sent = ?5,
                attempts = attempts + 1, content = CASE WHEN ?4 IS NULL THEN content END
         WHERE id = ?1 AND ended_at IS NULL",
    )?
    .execute(params![id, due_at, reply, ended_at, is_sent])
    .map(drop)
}

fn outgoing(db: &Connection, about: Option<SpoolId>, limit: u32) -> rusqlite::Result<Vec<OutgoingRow>> {
    let mut statement = db.prepare_cached(
        "SELECT id, kind, account, message, recipient, made_at, CASE WHEN ended_at IS NULL THEN due_at END, attempts,
                is_sent, reply
         FROM outgoing WHERE ?1 IS NULL OR message = ?1 ORDER BY id DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![about.map(SpoolId::as_i64), limit], |row| {
        Ok(OutgoingRow {
            id: row.get(0)?,
            kind: parsed(row, 1, str::parse)?,
            account: account_of(row, 2)?,
            message: row.get::<_, Option<i64>>(3)?.map(SpoolId::from_i64),
            recipient: row.get(4)?,
            made_at: row::time(row.get(5)?),
            due_at: row.get::<_, Option<i64>>(6)?.map(row::time),
            attempts: row.get(7)?,
            is_sent: row.get(8)?,
            reply: row.get(9)?,
        })
    })?;
    readable("outgoing", rows)
}

#[async_trait]
impl OutboundStore for SqliteStore {
    async fn open_cases(&self, limit: u32) -> Result<Vec<Case>, SpoolError> {
        self.read(move |db| Ok(open_cases(db, limit)?)).await
    }

    async fn note_delays(&self, accepted_before: WallTime, now: WallTime) -> Result<u64, SpoolError> {
        let mut all = 0;
        loop {
            let step =
                move |work: &mut Work<'_>| Ok::<_, SpoolError>(note_delays(work.connection, accepted_before, now)?);
            let noted = self.write(Terms::LAZY, step).await?;
            all += noted;
            if noted < BATCH {
                return Ok(all);
            }
        }
    }

    async fn conclude(&self, conclusion: Conclusion, now: WallTime) -> Result<bool, SpoolError> {
        self.write(Terms::SYNCED, move |work| Ok(conclude(work.connection, &conclusion, now)?)).await
    }

    async fn enqueue(&self, mail: NewMail, now: WallTime) -> Result<bool, SpoolError> {
        self.write(Terms::SYNCED, move |work| Ok(insert(work.connection, &mail, now)?)).await
    }

    async fn is_made(&self, tag: &str) -> Result<bool, SpoolError> {
        let tag = tag.to_owned();
        self.read(move |db| Ok(db.prepare_cached("SELECT 1 FROM outgoing WHERE tag = ?1")?.exists([tag])?)).await
    }

    async fn due(&self, now: WallTime, limit: u32) -> Result<Vec<Outgoing>, SpoolError> {
        self.read(move |db| Ok(due(db, now, limit)?)).await
    }

    async fn settle_mail(&self, id: i64, end: MailEnd, now: WallTime) -> Result<(), SpoolError> {
        self.write(Terms::SYNCED, move |work| Ok(settle_mail(work.connection, id, &end, now)?)).await
    }

    async fn made_for(&self, domain: &DomainName, since: WallTime) -> Result<u64, SpoolError> {
        let domain = domain.clone();
        self.read(move |db| {
            let count: i64 = db
                .prepare_cached("SELECT count(*) FROM outgoing WHERE domain = ?1 AND made_at >= ?2")?
                .query_row(params![domain.as_str(), row::stored_time(since)], |row| row.get(0))?;
            Ok::<_, SpoolError>(row::count(count))
        })
        .await
    }

    async fn outgoing(&self, about: Option<SpoolId>, limit: u32) -> Result<Vec<OutgoingRow>, SpoolError> {
        self.read(move |db| Ok(outgoing(db, about, limit)?)).await
    }

    async fn purge_outgoing(&self, ended_before: WallTime) -> Result<u64, SpoolError> {
        self.write(Terms::LAZY, move |work| {
            let removed = work
                .connection
                .prepare_cached("DELETE FROM outgoing WHERE ended_at IS NOT NULL AND ended_at < ?1")?
                .execute([row::stored_time(ended_before)])?;
            Ok::<_, SpoolError>(u64::try_from(removed).unwrap_or(u64::MAX))
        })
        .await
    }
}
