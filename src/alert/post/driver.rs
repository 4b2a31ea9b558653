//! Keeps the outbox on the disk, and sends what [`Dispatch`] says: never before it is there.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::account::{DirectoryHandle, SealKey};
use crate::alert::channel::{Channel, ConfiguredChannel};
use crate::alert::dispatch::Dispatch;
use crate::alert::event::{Event, Fact};
use crate::alert::office::{Alerts, MailRoute, ORDERS_MAX, Order, Outbox, Settings, check_mailbox, seal_context};
use crate::alert::request::{Letter, ask};
use crate::alert::store::{AlertError, AlertStore, ChannelRow, OutboxChange, Outgoing, Record, Terms};
use crate::alert::wire::driver::{Reach, draw, program, request};
use crate::alert::words::Writer;
use crate::base::{AccountId, Clock};

/// Alerts on their way at one time, over all channels.
const SENDS_MAX: usize = 16;
/// The longest sleep: a wall clock that was set is noticed within it.
const LOOK: Duration = Duration::from_secs(60);
/// Between two attempts to write.
const WRITE_AGAIN: Duration = Duration::from_secs(5);
/// Changes in one write, at most.
const CHANGES_MAX: usize = 1_000;
/// How long a shutdown waits for alerts on their way; what is cut off goes out again after the next start.
const DRAIN: Duration = Duration::from_secs(3);
/// Octets of a file with a secret, at most.
const SECRET_FILE_MAX: u64 = 4_096;

/// Starts the task.
///
/// # Errors
/// [`AlertError`] when channels or the outbox cannot be read.
pub async fn start(
    settings: Settings,
    store: Arc<dyn AlertStore>,
    seal: SealKey,
    directory: DirectoryHandle,
    shutdown: CancellationToken,
) -> Result<Arc<Alerts>, AlertError> {
    let now = Clock.wall();
    let configured = settings.configured.iter().map(|entry| ChannelRow {
        id: 0,
        account: None,
        url: entry.url.clone(),
        sealed: None,
        terms: entry.terms,
        is_configured: true,
        created_at: now,
        record: Record::default(),
    });
    store.settle_configured(configured.collect()).await?;
    let rows = store.load_alerts().await?;
    let (sender, orders) = mpsc::channel(ORDERS_MAX);
    let mail: Arc<OnceLock<Arc<dyn MailRoute>>> = Arc::default();
    let office = Arc::new(Alerts {
        settings: settings.clone(),
        store: Arc::clone(&store),
        seal: seal.clone(),
        directory: directory.clone(),
        outbox: Outbox(sender),
        mail: Arc::clone(&mail),
    });
    let post = Post {
        ways: ways(&rows.channels, &settings, &seal),
        dispatch: Dispatch::new(rows),
        pending: Vec::new(),
        sends: JoinSet::new(),
        settings,
        store,
        seal,
        directory,
        mail,
    };
    tokio::spawn(post.run(orders, shutdown));
    Ok(office)
}

/// A channel that can be used, or why not.
#[derive(Clone)]
struct Way {
    account: Option<AccountId>,
    channel: Channel,
    secret: Option<Zeroizing<String>>,
    terms: Terms,
}

fn ways(rows: &[ChannelRow], settings: &Settings, seal: &SealKey) -> BTreeMap<i64, Result<Way, String>> {
    rows.iter().map(|row| (row.id, way(row, settings, seal))).collect()
}

fn way(row: &ChannelRow, settings: &Settings, seal: &SealKey) -> Result<Way, String> {
    let channel = Channel::parse(&row.url).map_err(|e| e.to_string())?;
    let entry = settings.configured.iter().find(|entry| row.is_configured && entry.url == row.url);
    if matches!(channel, Channel::Command(_)) && entry.is_none() {
        return Err("commands are started from the configuration alone".to_owned());
    }
    let secret = match (entry.and_then(|entry| entry.secret_file.as_deref()), &row.sealed) {
        (Some(path), _) => Some(secret_in(path)?),
        (None, Some(sealed)) => {
            let opened = seal.open(sealed, &seal_context(row.account, &row.url));
            let opened = opened.map_err(|_| "its secret does not open with this seal.key; add it anew".to_owned())?;
            Some(Zeroizing::new(String::from_utf8_lossy(&opened).into_owned()))
        }
        (None, None) => None,
    };
    channel.check_secret(secret.as_deref().map(String::as_str)).map_err(|e| e.to_string())?;
    Ok(Way { account: row.account, channel, secret, terms: row.terms })
}

fn secret_in(path: &Path) -> Result<Zeroizing<String>, String> {
    let fault = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let file = std::fs::File::open(path).map_err(fault)?;
    let mut text = Zeroizing::new(String::new());
    std::io::Read::read_to_string(&mut std::io::Read::take(file, SECRET_FILE_MAX), &mut text).map_err(fault)?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// One alert that came to its end: channel, id, outcome.
type Done = (i64, i64, Result<(), String>);

struct Post {
    dispatch: Dispatch,
    ways: BTreeMap<i64, Result<Way, String>>,
    /// Decided and not on the disk yet.
    pending: Vec<OutboxChange>,
    sends: JoinSet<Done>,
    settings: Settings,
    store: Arc<dyn AlertStore>,
    seal: SealKey,
    directory: DirectoryHandle,
    mail: Arc<OnceLock<Arc<dyn MailRoute>>>,
}

/// A test by hand that came to its end.
type Tested = (i64, Result<(), String>, oneshot::Sender<Result<(), String>>);

impl Post {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>, shutdown: CancellationToken) {
        self.dispatch.handle_age(Clock.wall());
        let mut tests: JoinSet<Tested> = JoinSet::new();
        loop {
            let is_written = self.write().await;
            if is_written {
                self.send();
            }
            let wait = if is_written { self.wait() } else { WRITE_AGAIN };
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
                Some(done) = self.sends.join_next() => self.conclude(done),
                Some(tested) = tests.join_next() => {
                    if let Ok((channel, outcome, answer)) = tested {
                        self.dispatch.handle_tested(channel, &outcome, Clock.wall());
                        self.write().await;
                        let _ = answer.send(outcome);
                    }
                }
                order = orders.recv() => match order {
                    None => break,
                    Some(Order::Raise(events, answer)) => {
                        self.raise(&events);
                        let is_kept = self.write().await;
                        answer.map(|answer| answer.send(is_kept));
                    }
                    Some(Order::Reload(answer)) => {
                        let is_done = self.reload().await;
                        let _ = answer.send(is_done);
                    }
                    Some(Order::Test(channel, answer)) => self.test(channel, answer, &mut tests),
                },
            }
        }
        self.drain().await;
    }

    /// Records what comes to its end in a moment.
    async fn drain(mut self) {
        let until = tokio::time::Instant::now() + DRAIN;
        while let Ok(Some(done)) = tokio::time::timeout_at(until, self.sends.join_next()).await {
            self.conclude(done);
        }
        self.write().await;
    }

    /// How long nothing has to be done.
    fn wait(&self) -> Duration {
        let next = self.dispatch.poll_timeout().filter(|_| self.sends.len() < SENDS_MAX);
        next.map_or(LOOK, |next| {
            (next - Clock.wall()).to_std().unwrap_or_default().clamp(Duration::from_millis(1), LOOK)
        })
    }

    fn raise(&mut self, events: &[Event]) {
        let now = Clock.wall();
        for event in events {
            self.dispatch.handle_event(event, now);
        }
        self.dispatch.handle_age(now);
    }

    /// True when everything that was decided is on the disk.
    async fn write(&mut self) -> bool {
        self.pending.append(&mut self.dispatch.take_changes());
        while !self.pending.is_empty() {
            let count = self.pending.len().min(CHANGES_MAX);
            let changes: Vec<OutboxChange> = self.pending.iter().take(count).cloned().collect();
            if let Err(error) = self.store.write_outbox(changes).await {
                tracing::error!(%error, waiting = self.pending.len(), "alerts are not on the disk; nothing is sent meanwhile");
                return false;
            }
            self.pending.drain(..count);
        }
        true
    }

    async fn reload(&mut self) -> bool {
        match self.store.load_alerts().await {
            Ok(rows) => {
                self.ways = ways(&rows.channels, &self.settings, &self.seal);
                self.dispatch.handle_channels(rows.channels);
                true
            }
            Err(error) => {
                tracing::error!(%error, "channels of alerts were not read again");
                false
            }
        }
    }

    fn send(&mut self) {
        while self.sends.len() < SENDS_MAX {
            let Some(row) = self.dispatch.poll_send(Clock.wall()) else { return };
            let (channel, id) = (row.channel, row.id);
            let sending = self.attempt(row);
            self.sends.spawn(async move { (channel, id, sending.await) });
        }
    }

    fn conclude(&mut self, done: Result<Done, tokio::task::JoinError>) {
        let (channel, id, outcome) = match done {
            Ok(done) => done,
            // Its channel rests until the next start, which sends it again.
            Err(error) => return tracing::error!(%error, "the sending of an alert ended badly"),
        };
        let now = Clock.wall();
        match outcome {
            Ok(()) => self.dispatch.handle_sent(channel, id, now),
            Err(why) => {
                tracing::warn!(alert_channel = channel, alert = id, %why, "an alert did not get through");
                if self.dispatch.handle_failed(channel, id, why, now, draw()) {
                    tracing::error!(alert_channel = channel, alert = id, "an alert is given up after a day");
                }
            }
        }
    }

    fn test(&self, channel: i64, answer: oneshot::Sender<Result<(), String>>, tests: &mut JoinSet<Tested>) {
        if tests.len() >= SENDS_MAX {
            let _ = answer.send(Err("too many tests are running; try again in a moment".to_owned()));
            return;
        }
        let now = Clock.wall();
        let event = match self.ways.get(&channel) {
            Some(Ok(Way { account: Some(account), .. })) => {
                Event::of_account(&self.directory.load(), *account, None, Fact::Test)
            }
            _ => Event::of_service(Fact::Test),
        };
        let row = Outgoing {
            id: now.timestamp_millis(),
            channel,
            key: event.key(),
            event,
            made_at: now,
            due_at: now,
            attempts: 0,
            tried_at: None,
            is_open: false,
            sent_at: None,
        };
        let sending = self.attempt(row);
        tests.spawn(async move { (channel, sending.await, answer) });
    }

    /// One attempt, with everything it needs.
    fn attempt(&self, row: Outgoing) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let way = self.ways.get(&row.channel).cloned();
        let (settings, directory) = (self.settings.clone(), self.directory.clone());
        let mail = self.mail.get().cloned();
        async move {
            let way = way.ok_or("the channel is gone")??;
            deliver(way, row, &settings, &directory, mail).await
        }
    }
}

async fn deliver(
    way: Way,
    row: Outgoing,
    settings: &Settings,
    directory: &DirectoryHandle,
    mail: Option<Arc<dyn MailRoute>>,
) -> Result<(), String> {
    let Terms { language, zone, .. } = way.terms;
    let message = Writer { language, zone, hostname: &settings.hostname }.write(&row.event, row.made_at);
    match &way.channel {
        Channel::Mail(mailbox) => {
            check_mailbox(mailbox, way.account, &directory.load()).map_err(|e| e.to_string())?;
            let route = mail.ok_or("this server has no route for mail of its own")?;
            return route.send_alert(mailbox, &message.title, &message.text).await;
        }
        Channel::Command(words) => return program(words, format!("{}\n{}\n", message.title, message.text)).await,
        Channel::Webhook(_)
        | Channel::Ntfy { .. }
        | Channel::Gotify(_)
        | Channel::Matrix { .. }
        | Channel::Telegram { .. } => {}
    }
    // Checked anew: a server that was started without `allow_loopback` sends nothing in the clear for customers.
    if way.account.is_some() {
        way.channel.check_for_customer(settings.allow_loopback).map_err(|e| e.to_string())?;
    }
    let letter = Letter { row: &row, message: &message, language, hostname: &settings.hostname };
    let secret = way.secret.as_deref().map(String::as_str);
    let ask = ask(&way.channel, secret, letter, Clock.wall()).ok_or("no request fits this channel")?;
    let reach = Reach {
        is_free: way.account.is_none(),
        allow_loopback: settings.allow_loopback,
        own_addresses: settings.own_addresses.clone(),
    };
    let secret = way.secret.clone();
    let done = tokio::task::spawn_blocking(move || request(&ask, secret.as_deref().map(String::as_str), reach));
    done.await.map_err(|error| error.to_string())?
}

/// Entries of the configuration whose secret cannot be read, each as a sentence: said at the start.
#[must_use]
pub fn faults(configured: &[ConfiguredChannel]) -> Vec<String> {
    let files = configured.iter().filter_map(|entry| Some((entry, entry.secret_file.as_deref()?)));
    files
        .filter_map(|(entry, path)| Some(format!("alerts.operator: {}: {}", entry.channel, secret_in(path).err()?)))
        .collect()
}
