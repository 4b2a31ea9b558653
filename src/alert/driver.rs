//! Watches the lines, tells the operator by the log and hands everything on to the outbox.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::event::{Event, Fact};
use super::office::Outbox;
use super::policy::{Notice, NoticeKind, Policy, Subject};
use crate::account::DirectoryHandle;
use crate::base::{AccountId, Clock};
use crate::delivery;
use crate::liveness::{Alarm, HistoryRow, LineEvent, LineState, Lines, TransitionLog, WatchedEndpoint};

/// Sleep when nothing is due; any event wakes.
const IDLE: Duration = Duration::from_secs(3_600);

/// Where alarms come from.
pub struct Alarms {
    /// Of the lines.
    pub lines: Receiver<Alarm>,
    /// Of deliveries: each is told as it comes, since delivery tells an episode once.
    pub deliveries: Receiver<delivery::Alarm>,
}

/// Runs until the shutdown. `policy` goes on from what was stored, and what was told is remembered in `log`.
pub async fn run(
    lines: Arc<dyn Lines>,
    (alarms, outbox): (Alarms, Outbox),
    directory: DirectoryHandle,
    (mut policy, log): (Policy, Arc<dyn TransitionLog>),
    shutdown: CancellationToken,
) {
    let Alarms { lines: mut alarms, mut deliveries } = alarms;
    let mut events = lines.subscribe();
    match log.load().await {
        Ok(watched) => drop(outbox.raise(ends(&watched, &directory)).await),
        Err(error) => tracing::error!(%error, "outages that ended meanwhile stay open in the outbox"),
    }
    loop {
        let notices: Vec<Notice> = std::iter::from_fn(|| policy.poll_notice()).collect();
        tell_all(&notices, &directory, &outbox, &*log).await;
        let wait = policy.poll_timeout().map_or(IDLE, |at| at.since(Clock.monotonic()));
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(wait) => {
                let (directory, wall) = (directory.load(), Clock.wall());
                policy.handle_timeout(&|account| directory.holiday_left(account, wall), Clock.monotonic());
            }
            alarm = alarms.recv() => match alarm {
                Ok(alarm) => policy.handle_alarm(alarm, Clock.monotonic()),
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "alerts were too slow for the alarms of the lines"),
                Err(RecvError::Closed) => return,
            },
            alarm = deliveries.recv() => match alarm {
                Ok(alarm) => {
                    tell_of_delivery(&alarm, &directory);
                    outbox.raise(vec![Event::of_delivery(&alarm, &directory.load())]).await;
                }
                Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "alerts were too slow for the alarms of deliveries"),
                Err(RecvError::Closed) => return,
            },
            event = events.recv() => match event {
                Ok(LineEvent::Changed(HistoryRow::State(row))) => policy.handle_transition(&row, Clock.monotonic()),
                // What a person is told follows from states alone.
                Ok(LineEvent::Changed(HistoryRow::Address(_) | HistoryRow::NoData(_) | HistoryRow::Interval(_)) | LineEvent::Suspicion { .. } | LineEvent::MailAccepted { .. } | LineEvent::MailRefused { .. } | LineEvent::Addresses { .. } | LineEvent::Greeted { .. }) => {}
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "more lines changed at once than are followed; all are looked at");
                    match log.load().await {
                        Ok(watched) => policy.handle_states(&watched, Clock.monotonic(), Clock.wall()),
                        Err(error) => tracing::error!(%error, "some changes of lines are not told"),
                    }
                }
                Err(RecvError::Closed) => return,
            },
        }
    }
}

/// The log first, then the outbox; only what is on the disk there is remembered as told.
async fn tell_all(notices: &[Notice], directory: &DirectoryHandle, outbox: &Outbox, log: &dyn TransitionLog) {
    if notices.is_empty() {
        return;
    }
    notices.iter().for_each(|notice| tell(notice, directory));
    let events = {
        let directory = directory.load();
        notices.iter().map(|notice| Event::of_notice(notice, &directory)).collect()
    };
    if !outbox.raise(events).await {
        return tracing::warn!("alerts are not on the disk yet; after a restart they are told again");
    }
    for (endpoint, since) in notices.iter().filter_map(Policy::outage_told) {
        if let Err(error) = log.note_told(endpoint, since).await {
            tracing::warn!(%endpoint, %error, "not remembered that this outage was told; a restart tells it again");
        }
    }
}

/// Ends that came while the service was going down or away: who is online has no outage.
fn ends(watched: &[WatchedEndpoint], directory: &DirectoryHandle) -> Vec<Event> {
    let directory = directory.load();
    let online = watched.iter().filter(|line| line.state == LineState::Online);
    let back = |line: &WatchedEndpoint| {
        Event::of_server(&directory, line.account, line.endpoint, line.since, Fact::Back { after_s: 0 })
    };
    online.map(back).collect()
}

fn tell_of_delivery(alarm: &delivery::Alarm, directory: &DirectoryHandle) {
    let directory = directory.load();
    let name = |id: AccountId| directory.account(id).map_or("?", |account| account.name.as_str());
    match alarm {
        delivery::Alarm::Broken { account, reason } => {
            tracing::error!(alert = "primary_broken", account = name(*account), %reason, "the flush is stopped, all mail is held");
        }
        delivery::Alarm::Well { account } => {
            tracing::info!(
                alert = "primary_well",
                account = name(*account),
                "recipients are taken again, the flush goes on"
            );
        }
        delivery::Alarm::Stranger { account, endpoint, reason } => {
            tracing::error!(alert = "stranger", account = name(*account), %endpoint, %reason, "no mail goes there, all of it is held");
        }
        delivery::Alarm::Known { account, endpoint } => {
            tracing::info!(alert = "known", account = name(*account), %endpoint, "the mail server is known again");
        }
        delivery::Alarm::Greylisted { account, reason } => {
            tracing::warn!(alert = "greylisted", account = name(*account), %reason, "mail waits for the greylisting of its own server");
        }
        delivery::Alarm::PinMoved { account, endpoint, reason } => {
            tracing::warn!(alert = "pin", account = name(*account), %endpoint, %reason, "the mail server has to prove itself with this key from now on");
        }
    }
}

fn tell(notice: &Notice, directory: &DirectoryHandle) {
    let directory = directory.load();
    let account = match notice.subject {
        Subject::Server { account, .. } => directory.account(account).map_or("?", |account| account.name.as_str()),
        Subject::Service => "",
    };
    match &notice.kind {
        NoticeKind::Silent { since } => {
            tracing::warn!(alert = "silent", account, since = %since.to_rfc3339(), "no heartbeats: neutralised, mail is held");
        }
        NoticeKind::StaysAway { since } => {
            tracing::warn!(alert = "stays_away", account, since = %since.to_rfc3339(), "said goodbye and has not come back");
        }
        NoticeKind::Back { after } => {
            tracing::info!(alert = "back", account, outage_s = after.as_secs(), "heartbeats are back");
        }
        NoticeKind::Flapping { held_for } => {
            tracing::warn!(
                alert = "flapping",
                account,
                held_s = held_for.as_secs(),
                "comes and goes: the name keeps its record, mail does not wait"
            );
        }
        NoticeKind::MassMiss { silent, heard } => tracing::error!(
            alert = "mass_miss",
            silent,
            heard,
            "so many lines are silent that the fault is taken to be ours: nobody is neutralised; `pulsemx state release` says that it is real"
        ),
        NoticeKind::Overload { silent, heard } => tracing::error!(
            alert = "overload",
            silent,
            heard,
            "the kernel drops heartbeats before they are read: nobody is neutralised; this machine is too slow or net.core.rmem_max too small"
        ),
        NoticeKind::MassMissOver { after, end, silent } => {
            tracing::warn!(alert = "mass_miss_over", after_s = after.as_secs(), ?end, silent, "silence counts again");
        }
        NoticeKind::TimersLate { by } => {
            tracing::warn!(
                alert = "timers_late",
                by_ms = by.as_millis(),
                "our own timers came late: every line got a full window"
            );
        }
    }
}
