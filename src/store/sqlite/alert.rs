//! Channels of alerts and the outbox.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::account::audit;
use super::error::WriteFailure;
use super::job::Terms as WriteTerms;
use super::row::{self, parsed, parsed_optional, readable};
use crate::account::Change;
use crate::alert::store::CHANNELS_MAX;
use crate::alert::{AlertError, AlertRows, AlertStore, ChannelRow, Language, OutboxChange, Outgoing, Record, Terms};
use crate::base::AccountId;

type Done<T> = Result<T, AlertError>;

impl From<rusqlite::Error> for AlertError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl From<WriteFailure> for AlertError {
    fn from(failure: WriteFailure) -> Self {
        Self::Engine(Box::new(failure))
    }
}

fn channel(row: &Row<'_>) -> rusqlite::Result<ChannelRow> {
    Ok(ChannelRow {
        id: row.get(0)?,
        account: row.get::<_, Option<i64>>(1)?.map(AccountId),
        url: row.get(2)?,
        sealed: row.get(3)?,
        terms: Terms {
            language: parsed(row, 4, |word| Language::from_stored(word).ok_or("not a language"))?,
            zone: parsed(row, 5, str::parse)?,
            quiet: parsed_optional(row, 6)?,
            delay: Duration::from_secs(row::count(row.get(7)?)),
            recovery: row.get(8)?,
            kinds: parsed(row, 9, str::parse)?,
        },
        is_configured: row.get(10)?,
        created_at: row::time(row.get(11)?),
        record: Record {
            last_sent_at: row.get::<_, Option<i64>>(12)?.map(row::time),
            last_error: row.get(13)?,
            last_error_at: row.get::<_, Option<i64>>(14)?.map(row::time),
            failures: row::count(row.get(15)?),
            failed_total: row::count(row.get(16)?),
            lost_total: row::count(row.get(17)?),
        },
    })
}

fn outgoing(row: &Row<'_>) -> rusqlite::Result<Outgoing> {
    parsed(row, 0, |text| serde_json::from_str(text))
}

fn rows(db: &Connection) -> Done<AlertRows> {
    let mut channels = db.prepare_cached(
        "SELECT id, account, url, sealed, language, zone, quiet, delay_s, recovery, kinds, is_configured, created_at,
                last_sent_at, last_error, last_error_at, failures, failed_total, lost_total
         FROM alert_channel ORDER BY id",
    )?;
    let mut outbox = db.prepare_cached("SELECT alert FROM alert_outbox ORDER BY id")?;
    Ok(AlertRows {
        channels: readable("alert_channel", channels.query_map([], channel)?)?,
        outbox: readable("alert_outbox", outbox.query_map([], outgoing)?)?,
    })
}

fn insert(db: &Connection, channel: &ChannelRow) -> Done<i64> {
    let terms = channel.terms;
    db.prepare_cached(
        "INSERT INTO alert_channel (account, url, sealed, language, zone, quiet, delay_s, recovery, kinds, is_configured,
                                    created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        channel.account.map(|account| account.0),
        channel.url,
        channel.sealed,
        terms.language.as_str(),
        terms.zone.name(),
        terms.quiet.map(|quiet| quiet.to_string()),
        row::stored_count(terms.delay.as_secs()),
        terms.recovery,
        terms.kinds.to_string(),
        channel.is_configured,
        row::stored_time(channel.created_at),
    ])?;
    Ok(db.last_insert_rowid())
}

fn add(db: &Connection, channel: &ChannelRow, what: &str, change: &Change) -> Done<i64> {
    let account = channel.account.map(|account| account.0);
    if let Some(account) = account {
        db.query_row("SELECT 1 FROM account WHERE id = ?1", [account], |_| Ok(()))
            .optional()?
            .ok_or(AlertError::NoAccount)?;
    }
    let count = "SELECT count(*) FROM alert_channel WHERE account IS ?1 AND NOT is_configured";
    let count: i64 = db.query_row(count, [account], |row| row.get(0))?;
    if usize::try_from(count).unwrap_or(usize::MAX) >= CHANNELS_MAX {
        return Err(AlertError::Full);
    }
    let id = insert(db, channel)?;
    audit(db, change, channel.account, &format!("alert.add {id} {what}"))?;
    Ok(id)
}

fn remove(db: &Connection, account: Option<AccountId>, id: i64, change: &Change) -> Done<()> {
    let owner = "SELECT is_configured FROM alert_channel WHERE id = ?1 AND account IS ?2";
    let is_configured = db
        .query_row(owner, params![id, account.map(|account| account.0)], |row| row.get::<_, bool>(0))
        .optional()?
        .ok_or(AlertError::NoChannel(id))?;
    if is_configured {
        return Err(AlertError::Configured(id));
    }
    db.execute("DELETE FROM alert_channel WHERE id = ?1", [id])?;
    audit(db, change, account, &format!("alert.remove {id}"))?;
    Ok(())
}

fn settle(db: &Connection, channels: &[ChannelRow]) -> Done<()> {
    let mut known = db.prepare_cached("SELECT id, url FROM alert_channel WHERE is_configured")?;
    let known = known.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    let known: Vec<(i64, String)> = known.collect::<rusqlite::Result<_>>()?;
    for (id, url) in &known {
        if !channels.iter().any(|channel| channel.url == *url) {
            db.execute("DELETE FROM alert_channel WHERE id = ?1", [id])?;
        }
    }
    for channel in channels {
        let Some((id, _)) = known.iter().find(|(_, url)| *url == channel.url) else {
            insert(db, channel)?;
            continue;
        };
        let terms = channel.terms;
        db.prepare_cached(
            "UPDATE alert_channel SET language = ?2, zone = ?3, quiet = ?4, delay_s = ?5, recovery = ?6, kinds = ?7
             WHERE id = ?1",
        )?
        .execute(params![
            id,
            terms.language.as_str(),
            terms.zone.name(),
            terms.quiet.map(|quiet| quiet.to_string()),
            row::stored_count(terms.delay.as_secs()),
            terms.recovery,
            terms.kinds.to_string(),
        ])?;
    }
    Ok(())
}

fn write(db: &Connection, changes: &[OutboxChange]) -> Done<()> {
    for change in changes {
        match change {
            OutboxChange::Put(alert) => {
                let text = serde_json::to_string(alert).map_err(|error| AlertError::Engine(Box::new(error)))?;
                db.prepare_cached(
                    "INSERT OR REPLACE INTO alert_outbox (id, channel, alert)
                     SELECT ?1, id, ?3 FROM alert_channel WHERE id = ?2",
                )?
                .execute(params![alert.id, alert.channel, text])?;
            }
            OutboxChange::Drop(id) => {
                db.prepare_cached("DELETE FROM alert_outbox WHERE id = ?1")?.execute([id])?;
            }
            OutboxChange::Note(id, record) => {
                db.prepare_cached(
                    "UPDATE alert_channel SET last_sent_at = ?2, last_error = ?3, last_error_at = ?4, failures = ?5,
                            failed_total = ?6, lost_total = ?7 WHERE id = ?1",
                )?
                .execute(params![
                    id,
                    record.last_sent_at.map(row::stored_time),
                    record.last_error,
                    record.last_error_at.map(row::stored_time),
                    row::stored_count(record.failures),
                    row::stored_count(record.failed_total),
                    row::stored_count(record.lost_total),
                ])?;
            }
        }
    }
    Ok(())
}

#[async_trait]
impl AlertStore for SqliteStore {
    async fn load_alerts(&self) -> Done<AlertRows> {
        self.read(rows).await
    }

    async fn add_channel(&self, channel: ChannelRow, what: String, change: Change) -> Done<i64> {
        self.write(WriteTerms::SYNCED, move |work| add(work.connection, &channel, &what, &change)).await
    }

    async fn remove_channel(&self, account: Option<AccountId>, id: i64, change: Change) -> Done<()> {
        self.write(WriteTerms::SYNCED, move |work| remove(work.connection, account, id, &change)).await
    }

    async fn settle_configured(&self, channels: Vec<ChannelRow>) -> Done<()> {
        self.write(WriteTerms::SYNCED, move |work| settle(work.connection, &channels)).await
    }

    async fn write_outbox(&self, changes: Vec<OutboxChange>) -> Done<()> {
        self.write(WriteTerms::SYNCED, move |work| write(work.connection, &changes)).await
    }
}
