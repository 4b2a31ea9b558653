//! What is kept of channels and of alerts on their way, and what is asked of a storage engine for it.

use std::time::Duration;

use async_trait::async_trait;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::event::Event;
use super::kind::Kinds;
use super::quiet::Quiet;
use super::words::Language;
use crate::account::Change;
use crate::base::{AccountId, WallTime, parse_duration};

/// Channels of one account, and of the operator beside those of the configuration, at most.
pub const CHANNELS_MAX: usize = 20;
/// How long trouble has to last before it is told, unless told otherwise: a line that is forced to reconnect every day is
/// back by then.
pub const DELAY: Duration = Duration::from_secs(120);
/// The longest delay.
pub const DELAY_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How a channel tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Its texts.
    pub language: Language,
    /// Of its times and quiet hours.
    pub zone: Tz,
    /// When nothing is told.
    pub quiet: Option<Quiet>,
    /// How long trouble has to last.
    pub delay: Duration,
    /// Whether the end of trouble is told.
    pub recovery: bool,
    /// What is told.
    pub kinds: Kinds,
}

impl Terms {
    /// Without anything settled.
    #[must_use]
    pub fn ordinary(is_operators: bool) -> Self {
        let delay = if is_operators { Duration::ZERO } else { DELAY };
        let kinds = Kinds::ordinary(is_operators);
        Self { language: Language::En, zone: Tz::UTC, quiet: None, delay, recovery: true, kinds }
    }

    /// Settles one of `lang`, `zone`, `quiet`, `delay`, `recovery`, `kinds`.
    ///
    /// # Errors
    /// One sentence.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "lang" => {
                self.language = Language::from_stored(value).ok_or("lang is de or en")?;
            }
            "zone" => {
                self.zone = value
                    .parse()
                    .map_err(|_| format!("'{value}' is no time zone; write Europe/Berlin, Europe/Vienna or UTC"))?;
            }
            "quiet" => self.quiet = Some(value.parse().map_err(|e: super::quiet::QuietError| e.to_string())?),
            "delay" => {
                let delay = parse_duration(value).map_err(|e| format!("delay: {e}"))?;
                self.delay = Some(delay).filter(|delay| *delay <= DELAY_MAX).ok_or("delay is 24h at most")?;
            }
            "recovery" => {
                self.recovery = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err("recovery is on or off".to_owned()),
                };
            }
            "kinds" => self.kinds = value.parse().map_err(|e: super::kind::KindError| e.to_string())?,
            _ => {
                return Err(format!(
                    "'{name}' is no option of a channel; there are secret-file, lang, zone, quiet, delay, recovery and kinds"
                ));
            }
        }
        Ok(())
    }
}

/// What became of a channel's alerts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// When one got through last.
    pub last_sent_at: Option<WallTime>,
    /// Why one did not, last.
    pub last_error: Option<String>,
    /// When.
    pub last_error_at: Option<WallTime>,
    /// Attempts that failed since one got through.
    pub failures: u64,
    /// Attempts that failed, all in all.
    pub failed_total: u64,
    /// Alerts that were given up.
    pub lost_total: u64,
}

/// A channel as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelRow {
    /// Its number, over all accounts; 0 before it has one.
    pub id: i64,
    /// Whose; the operator's if absent.
    pub account: Option<AccountId>,
    /// See [`Channel`](super::channel::Channel).
    pub url: String,
    /// Its secret, sealed.
    pub sealed: Option<Vec<u8>>,
    /// How it tells.
    pub terms: Terms,
    /// It stands in the configuration file, and its secret in a file that is named there.
    pub is_configured: bool,
    /// When it was added.
    pub created_at: WallTime,
    /// What became of it.
    pub record: Record,
}

/// One alert on its way through one channel, or told and open.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Outgoing {
    /// Milliseconds since 1970 when it was made, or one more than the one before: the same over all attempts.
    pub id: i64,
    /// Which channel.
    pub channel: i64,
    /// Which episode.
    pub key: String,
    /// What happened.
    pub event: Event,
    /// When it was noticed.
    pub made_at: WallTime,
    /// Not before then.
    pub due_at: WallTime,
    /// Attempts that failed.
    pub attempts: u32,
    /// When the first of them was.
    pub tried_at: Option<WallTime>,
    /// Its trouble has not ended: kept when it was told, so that it is told once and its end as well.
    pub is_open: bool,
    /// When it was told.
    pub sent_at: Option<WallTime>,
}

/// A change of what is kept, as decided.
#[derive(Clone, PartialEq, Debug)]
pub enum OutboxChange {
    /// Keeps this alert in place of the one with its id.
    Put(Box<Outgoing>),
    /// Forgets it.
    Drop(i64),
    /// Keeps what became of a channel.
    Note(i64, Record),
}

/// Everything.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct AlertRows {
    /// By number.
    pub channels: Vec<ChannelRow>,
    /// By id.
    pub outbox: Vec<Outgoing>,
}

/// Why a change did not happen. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// No such account.
    #[error("there is no such account; see `pulsemx account list`")]
    NoAccount,
    /// No such channel.
    #[error("there is no such channel {0}; see `pulsemx alert list`")]
    NoChannel(i64),
    /// It stands in the configuration.
    #[error("channel {0} stands in the configuration file; take it out of alerts.operator there")]
    Configured(i64),
    /// There are enough.
    #[error("there are {CHANNELS_MAX} channels already; remove one first")]
    Full,
    /// The engine failed.
    #[error("the store of alerts failed: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Channels and the outbox. Changes by a person carry their audit row in the same transaction.
#[async_trait]
pub trait AlertStore: Send + Sync {
    /// Everything.
    async fn load_alerts(&self) -> Result<AlertRows, AlertError>;
    /// Adds a channel and returns its number. `what` is how the audit log calls it.
    async fn add_channel(&self, channel: ChannelRow, what: String, change: Change) -> Result<i64, AlertError>;
    /// Removes a channel with its alerts; of the operator for none.
    async fn remove_channel(&self, account: Option<AccountId>, id: i64, change: Change) -> Result<(), AlertError>;
    /// Makes the channels of the configuration those given, each known by its URL: their numbers and what became of
    /// them stay.
    async fn settle_configured(&self, channels: Vec<ChannelRow>) -> Result<(), AlertError>;
    /// Carries out all of these or none; durable when it returns. What belongs to a channel that is gone is left out.
    async fn write_outbox(&self, changes: Vec<OutboxChange>) -> Result<(), AlertError>;
}
