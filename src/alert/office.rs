//! Lists, adds, removes and tests channels, for commands and for pages.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::channel::{Channel, ChannelError, ConfiguredChannel};
use super::event::Event;
use super::kind::Kind;
use super::store::{AlertError, AlertRows, AlertStore, ChannelRow, Record, Terms};
use super::wire::driver::{Reach, draw_key};
use super::words::Language;
use crate::account::{Change, Directory, DirectoryHandle, SealKey};
use crate::base::{AccountId, DomainName, Mailbox, WallTime};

/// Orders to the task that sends, at most; who raises more waits, or loses what it does not wait for.
pub(super) const ORDERS_MAX: usize = 1_024;

/// Sends alerts by mail over a route that does not end in a domain served here.
#[async_trait]
pub trait MailRoute: Send + Sync {
    /// Takes one alert for good, or says why not; then it is tried again later.
    async fn send_alert(&self, to: &Mailbox, subject: &str, text: &str) -> Result<(), String>;
}

/// What the room has to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our public name.
    pub hostname: String,
    /// Customers' channels may lead to loopback and be unencrypted: tests and the demo.
    pub allow_loopback: bool,
    /// Where we listen: no customer's channel leads there.
    pub own_addresses: Vec<SocketAddr>,
    /// `alerts.operator`.
    pub configured: Vec<ConfiguredChannel>,
}

/// What the task that sends is asked for.
pub(super) enum Order {
    /// Something happened. Answered once it is on the disk.
    Raise(Vec<Event>, Option<oneshot::Sender<bool>>),
    /// Channels were changed. Answered once that is in force.
    Reload(oneshot::Sender<bool>),
    /// Sends a test, now.
    Test(i64, oneshot::Sender<Result<(), String>>),
}

/// Takes in what happened.
#[derive(Clone)]
pub struct Outbox(pub(super) mpsc::Sender<Order>);

impl Outbox {
    /// An outbox that leads nowhere, for tests of other rooms.
    #[must_use]
    pub fn nowhere() -> Self {
        Self(mpsc::channel(1).0)
    }

    /// Hands events over; true once they are on the disk.
    pub async fn raise(&self, events: Vec<Event>) -> bool {
        let (done, wait) = oneshot::channel();
        self.0.send(Order::Raise(events, Some(done))).await.is_ok() && wait.await.unwrap_or(false)
    }

    /// Hands one over without waiting.
    pub fn raise_soon(&self, event: Event) {
        if let Err(error) = self.0.try_send(Order::Raise(vec![event], None)) {
            tracing::error!(%error, "an alert was not taken by the outbox; the log alone has it");
        }
    }
}

/// A channel as it is shown. The names of fields are an interface.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ChannelShown {
    /// Its number.
    pub id: i64,
    /// Whose; the operator's if absent.
    pub account: Option<String>,
    /// Where it leads.
    pub url: String,
    /// It has a secret.
    pub has_secret: bool,
    /// It stands in the configuration file.
    pub configured: bool,
    /// Of its texts.
    pub language: Language,
    /// Of its times.
    pub zone: String,
    /// `22:00-07:00`.
    pub quiet: Option<String>,
    /// How long trouble has to last, seconds.
    pub delay_s: u64,
    /// The end of trouble is told.
    pub recovery: bool,
    /// What is told.
    pub kinds: Vec<Kind>,
    /// When it was added.
    pub created_at: WallTime,
    /// When an alert got through last.
    pub last_sent_at: Option<WallTime>,
    /// Why one did not, last.
    pub last_error: Option<String>,
    /// When.
    pub last_error_at: Option<WallTime>,
    /// Attempts that failed since one got through.
    pub failures: u64,
    /// Attempts that failed, all in all.
    pub failed_total: u64,
    /// Alerts that were given up after a day.
    pub lost_total: u64,
    /// Alerts that wait: for their delay, the end of quiet hours or another attempt.
    pub waiting: u64,
}

impl ChannelShown {
    /// The last attempt failed.
    #[must_use]
    pub const fn is_failing(&self) -> bool {
        self.failures > 0
    }
}

/// The channels of one owner, of accounts or of everybody, as stored.
#[must_use]
pub fn shown(
    rows: &AlertRows,
    directory: &Directory,
    is_wanted: impl Fn(Option<AccountId>) -> bool,
) -> Vec<ChannelShown> {
    let mut waiting: BTreeMap<i64, u64> = BTreeMap::new();
    for row in rows.outbox.iter().filter(|row| row.sent_at.is_none()) {
        *waiting.entry(row.channel).or_default() += 1;
    }
    let wanted = rows.channels.iter().filter(|row| is_wanted(row.account));
    wanted.map(|row| one_shown(row, directory, waiting.get(&row.id).copied().unwrap_or(0))).collect()
}

fn one_shown(row: &ChannelRow, directory: &Directory, waiting: u64) -> ChannelShown {
    let name = |id| directory.account(id).map_or_else(|| "?".to_owned(), |account| account.name.to_string());
    let record = row.record.clone();
    ChannelShown {
        id: row.id,
        account: row.account.map(name),
        url: row.url.clone(),
        has_secret: row.sealed.is_some(),
        configured: row.is_configured,
        language: row.terms.language,
        zone: row.terms.zone.name().to_owned(),
        quiet: row.terms.quiet.map(|quiet| quiet.to_string()),
        delay_s: row.terms.delay.as_secs(),
        recovery: row.terms.recovery,
        kinds: row.terms.kinds.iter().collect(),
        created_at: row.created_at,
        last_sent_at: record.last_sent_at,
        last_error: record.last_error,
        last_error_at: record.last_error_at,
        failures: record.failures,
        failed_total: record.failed_total,
        lost_total: record.lost_total,
        waiting,
    }
}

/// Those whom no alert reaches: all their channels fail. `operator` is the operator.
#[must_use]
pub fn unreached(channels: &[ChannelShown]) -> Vec<String> {
    let mut reached: BTreeMap<&str, bool> = BTreeMap::new();
    for channel in channels {
        *reached.entry(channel.account.as_deref().unwrap_or("operator")).or_default() |= !channel.is_failing();
    }
    reached.into_iter().filter(|(_, is_reached)| !is_reached).map(|(name, _)| name.to_owned()).collect()
}

/// A channel that is to be added.
#[derive(Debug)]
pub struct NewChannel {
    /// Whose; the operator's if absent.
    pub account: Option<AccountId>,
    /// See [`Channel::parse`].
    pub url: String,
    /// Its secret; a webhook without one gets a key of ours.
    pub secret: Option<String>,
    /// How it tells.
    pub terms: Terms,
}

/// A channel that was added.
#[derive(Debug)]
pub struct Added {
    /// Its number.
    pub id: i64,
    /// The key of a webhook that was drawn for it; shown this once.
    pub key: Option<String>,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum OfficeError {
    /// It is no channel.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The store.
    #[error(transparent)]
    Store(#[from] AlertError),
    /// The address may not be asked.
    #[error("{0}; an alert cannot go there")]
    Target(String),
    /// Its mail would wait here while it is needed.
    #[error(
        "mail for {0} is taken here: an alert to it would wait until the trouble is over; give an address elsewhere"
    )]
    Served(DomainName),
    /// Nothing sends mail.
    #[error("this server sends no mail of its own; set outbound.from, or use another channel than mailto:")]
    NoMail,
    /// No kinds.
    #[error("a channel needs at least one kind of alert")]
    NoKinds,
    /// It could not be sealed.
    #[error("the secret could not be sealed: {0}")]
    Seal(String),
    /// A test did not get through.
    #[error("the test did not get through: {0}")]
    Test(String),
    /// The task that sends has ended.
    #[error("the server is stopping")]
    Stopping,
}

/// What makes the seal of a secret fit one owner and one address only.
pub(super) fn seal_context(account: Option<AccountId>, url: &str) -> Vec<u8> {
    format!("alert channel {} {url}", account.map_or(0, |account| account.0)).into_bytes()
}

/// The place for everything that people do with channels.
pub struct Alerts {
    pub(super) settings: Settings,
    pub(super) store: Arc<dyn AlertStore>,
    pub(super) seal: SealKey,
    pub(super) directory: DirectoryHandle,
    pub(super) outbox: Outbox,
    pub(super) mail: Arc<OnceLock<Arc<dyn MailRoute>>>,
}

impl Alerts {
    /// Where other rooms hand in what happened.
    #[must_use]
    pub fn outbox(&self) -> Outbox {
        self.outbox.clone()
    }

    /// From now on mail is sent by this route; a second one is ignored.
    pub fn mail_by(&self, route: Arc<dyn MailRoute>) {
        let _ = self.mail.set(route);
    }

    /// The channels of one owner (the operator for none).
    ///
    /// # Errors
    /// [`OfficeError::Store`].
    pub async fn list(&self, account: Option<AccountId>) -> Result<Vec<ChannelShown>, OfficeError> {
        Ok(shown(&self.store.load_alerts().await?, &self.directory.load(), |owner| owner == account))
    }

    /// Adds a channel.
    ///
    /// # Errors
    /// [`OfficeError`] with what to do instead.
    pub async fn add(&self, new: NewChannel, change: Change) -> Result<Added, OfficeError> {
        let channel = Channel::parse(&new.url)?;
        self.check(&channel, new.account)?;
        channel.check_secret(new.secret.as_deref())?;
        if new.terms.kinds.is_empty() {
            return Err(OfficeError::NoKinds);
        }
        let key = match (&channel, &new.secret) {
            (Channel::Webhook(_), None) => Some(draw_key().map_err(OfficeError::Seal)?),
            _ => None,
        };
        let context = seal_context(new.account, &new.url);
        let secret = key.as_ref().or(new.secret.as_ref());
        let sealed = secret.map(|secret| self.seal.seal(secret.as_bytes(), &context)).transpose();
        let row = ChannelRow {
            id: 0,
            account: new.account,
            url: new.url,
            sealed: sealed.map_err(|e| OfficeError::Seal(e.to_string()))?,
            terms: new.terms,
            is_configured: false,
            created_at: change.at,
            record: Record::default(),
        };
        let id = self.store.add_channel(row, channel.audit_words(), change).await?;
        self.reload().await?;
        Ok(Added { id, key })
    }

    fn check(&self, channel: &Channel, account: Option<AccountId>) -> Result<(), OfficeError> {
        match channel {
            // Whoever may type commands here could start them anyway; the file is where the operator looks for them.
            Channel::Command(_) => return Err(ChannelError::CommandHere.into()),
            Channel::Mail(mailbox) => {
                check_mailbox(mailbox, account, &self.directory.load())?;
                if self.mail.get().is_none() {
                    return Err(OfficeError::NoMail);
                }
            }
            Channel::Webhook(_)
            | Channel::Ntfy { .. }
            | Channel::Gotify(_)
            | Channel::Matrix { .. }
            | Channel::Telegram { .. } => {}
        }
        if account.is_some() {
            channel.check_for_customer(self.settings.allow_loopback)?;
            if let Some(address) = channel.url().and_then(super::channel::HttpUrl::literal_address) {
                self.reach(account).check(address).map_err(OfficeError::Target)?;
            }
        }
        Ok(())
    }

    pub(super) fn reach(&self, account: Option<AccountId>) -> Reach {
        Reach {
            is_free: account.is_none(),
            allow_loopback: self.settings.allow_loopback,
            own_addresses: self.settings.own_addresses.clone(),
        }
    }

    /// Removes a channel with all that waits for it.
    ///
    /// # Errors
    /// [`OfficeError::Store`], also for a channel of somebody else.
    pub async fn remove(&self, account: Option<AccountId>, id: i64, change: Change) -> Result<(), OfficeError> {
        self.store.remove_channel(account, id, change).await?;
        self.reload().await
    }

    /// Sends a test through a channel of this owner, without delay and quiet hours.
    ///
    /// # Errors
    /// [`OfficeError::Test`] with what the other side said.
    pub async fn test(&self, account: Option<AccountId>, id: i64) -> Result<(), OfficeError> {
        let rows = self.store.load_alerts().await?;
        if !rows.channels.iter().any(|row| row.id == id && row.account == account) {
            return Err(AlertError::NoChannel(id).into());
        }
        let (done, wait) = oneshot::channel();
        self.outbox.0.send(Order::Test(id, done)).await.map_err(|_| OfficeError::Stopping)?;
        wait.await.map_err(|_| OfficeError::Stopping)?.map_err(OfficeError::Test)
    }

    /// The owner of a channel: absent if there is none, `Some(None)` for the operator.
    ///
    /// # Errors
    /// [`OfficeError::Store`].
    pub async fn owner(&self, id: i64) -> Result<Option<Option<AccountId>>, OfficeError> {
        let rows = self.store.load_alerts().await?;
        Ok(rows.channels.iter().find(|row| row.id == id).map(|row| row.account))
    }

    async fn reload(&self) -> Result<(), OfficeError> {
        let (done, wait) = oneshot::channel();
        self.outbox.0.send(Order::Reload(done)).await.map_err(|_| OfficeError::Stopping)?;
        if wait.await.unwrap_or(false) { Ok(()) } else { Err(OfficeError::Stopping) }
    }
}

/// Whether alerts may go to this mailbox: not into a domain that is served for the account (for anybody, if it is the
/// operator's), nor into a name below it.
///
/// # Errors
/// [`OfficeError::Served`].
pub(super) fn check_mailbox(
    mailbox: &Mailbox,
    account: Option<AccountId>,
    directory: &Directory,
) -> Result<(), OfficeError> {
    let written = mailbox.domain_as_written();
    // An address literal is nobody's domain here.
    let Ok(domain) = DomainName::parse(written) else { return Ok(()) };
    let mut rest = Some(domain.as_str());
    while let Some(name) = rest {
        let parsed = DomainName::parse(name).ok();
        let served = parsed.as_ref().and_then(|name| directory.served(name));
        if served.is_some_and(|served| account.is_none_or(|account| account == served.account.id)) {
            return Err(OfficeError::Served(domain));
        }
        rest = name.split_once('.').map(|(_, above)| above);
    }
    Ok(())
}

#[cfg(test)]
#[path = "office_tests.rs"]
mod tests;
