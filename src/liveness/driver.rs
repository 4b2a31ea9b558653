//! Turns the clock for all lines, writes their history and tells the other rooms.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::guard::{Alarm, Fault, OwnOutage, UplinkProof};
use super::machine::{Output, Settings};
use super::transition::{HistoryRow, TransitionLog, WatchedEndpoint};
use super::view::{LineEvent, LineView, Lines};
use crate::base::{AccountId, Clock, EndpointId};
use crate::heartbeat::server::{BeatEvent, BeatListener, Standing};

/// Between two scans of the deadlines.
const SCAN_EVERY: Duration = Duration::from_millis(200);
/// Between two tries to write rows that the log refused.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Events that a slow reader may be behind.
const EVENTS_HELD: usize = 4_096;
/// Alarms that a slow reader may be behind.
const ALARMS_HELD: usize = 256;
/// Rows held in memory while the log refuses them, about 200 octets each. Beyond it the newest are dropped with an
/// error in the service's own log: days of a broken disk.
const ROWS_HELD_MAX: usize = 1_000_000;

/// The running liveness of all lines.
pub struct Liveness {
    board: Mutex<Board>,
    rows: Mutex<Vec<HistoryRow>>,
    rows_came: Notify,
    events: broadcast::Sender<LineEvent>,
    alarms: broadcast::Sender<Alarm>,
    clock: Clock,
}

impl std::fmt::Debug for Liveness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Liveness").finish_non_exhaustive()
    }
}

impl Liveness {
    /// Watches `watched` until `shutdown`, then writes what is left. Call within a tokio runtime.
    #[must_use]
    pub fn start(
        settings: Settings,
        log: Arc<dyn TransitionLog>,
        watched: Vec<WatchedEndpoint>,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let clock = Clock;
        let liveness = Arc::new(Self {
            board: Mutex::new(Board::new(settings, watched, clock.monotonic(), clock.wall())),
            rows: Mutex::new(Vec::new()),
            rows_came: Notify::new(),
            events: broadcast::Sender::new(EVENTS_HELD),
            alarms: broadcast::Sender::new(ALARMS_HELD),
            clock,
        });
        tokio::spawn(Arc::clone(&liveness).scan(shutdown.clone()));
        tokio::spawn(Arc::clone(&liveness).write(log, shutdown));
        liveness
    }

    /// Watches one more endpoint.
    pub fn add_endpoint(&self, watched: WatchedEndpoint) {
        let now = self.clock.monotonic();
        self.board().add(watched, now);
    }

    /// Forgets an endpoint.
    pub fn remove_endpoint(&self, endpoint: EndpointId) {
        self.board().remove(endpoint);
    }

    /// How many messages wait for an account; its clients are told with the next reply.
    pub fn set_waiting(&self, account: AccountId, messages: u32) {
        self.board().set_waiting(account, messages);
    }

    /// What the operator has to be told beside the changes of the lines, from now on.
    #[must_use]
    pub fn alarms(&self) -> broadcast::Receiver<Alarm> {
        self.alarms.subscribe()
    }

    /// Whether the silence of many is taken to be our own fault, so that the uplink has to be asked.
    #[must_use]
    pub fn is_uplink_in_doubt(&self) -> bool {
        self.board().own_outage().is_some_and(|outage| outage.fault == Fault::MassMiss)
    }

    /// The uplink was asked.
    pub fn handle_uplink(&self, proof: UplinkProof) {
        let now = self.clock.monotonic();
        self.act(|board| board.handle_uplink(proof, now));
    }

    /// The kernel dropped so many datagrams for the heartbeat sockets within `time`.
    pub fn handle_drops(&self, dropped: u64, time: Duration) {
        let now = self.clock.monotonic();
        self.board().handle_drops(dropped, time, now);
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows(&self) -> MutexGuard<'_, Vec<HistoryRow>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Acts on the board, then passes on what it wants known.
    fn act<T>(&self, act: impl FnOnce(&mut Board) -> T) -> T {
        let mut board = self.board();
        let result = act(&mut board);
        let outputs = board.take_outputs();
        if outputs.is_empty() {
            return result;
        }
        // The rows are taken over before the board is free, so that their order is that of the decisions.
        let mut rows = self.rows();
        drop(board);
        for output in outputs {
            match output {
                Output::Row(row) if rows.len() < ROWS_HELD_MAX => rows.push(row),
                Output::Row(row) => tracing::error!(?row, "history row dropped: the log has refused too many"),
                Output::Note(event) => {
                    // Nobody listening is no failure.
                    let _ = self.events.send(event);
                }
                Output::Alarm(alarm) => {
                    let _ = self.alarms.send(alarm);
                }
            }
        }
        drop(rows);
        self.rows_came.notify_one();
        result
    }

    async fn scan(self: Arc<Self>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(SCAN_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let (now, wall) = (self.clock.monotonic(), self.clock.wall());
            self.act(|board| board.scan(now, wall));
        }
    }

    async fn write(self: Arc<Self>, log: Arc<dyn TransitionLog>, shutdown: CancellationToken) {
        let mut batch: Vec<HistoryRow> = Vec::new();
        loop {
            let is_closing = shutdown.is_cancelled();
            batch.append(&mut self.rows());
            if !batch.is_empty() {
                match log.append(batch.clone()).await {
                    Ok(()) => {
                        for row in batch.drain(..) {
                            log_row(&row);
                            // Nobody listening is no failure.
                            let _ = self.events.send(LineEvent::Changed(row));
                        }
                    }
                    Err(error) => tracing::error!(%error, rows = batch.len(), "history not written; tried again"),
                }
            }
            if is_closing {
                return;
            }
            let next = async {
                if batch.is_empty() {
                    self.rows_came.notified().await;
                } else {
                    tokio::time::sleep(RETRY_EVERY).await;
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = next => {}
            }
        }
    }
}

fn log_row(row: &HistoryRow) {
    match row {
        HistoryRow::State(row) => tracing::info!(
            account = %row.account, endpoint = %row.endpoint, from = %row.from, to = %row.to,
            cause = row.cause.as_str(), since = %row.since, "line changed"
        ),
        HistoryRow::Address(row) => tracing::info!(
            account = %row.account, endpoint = %row.endpoint, from = ?row.from, to = %row.to, "address changed"
        ),
        HistoryRow::NoData(row) => tracing::info!(
            account = %row.account, endpoint = %row.endpoint, since = %row.since, is_over = row.is_over,
            "silence is taken to be our own fault"
        ),
        HistoryRow::Interval(row) => tracing::info!(
            account = %row.account, endpoint = %row.endpoint, interval_ms = row.interval.as_millis(),
            "client keeps another rhythm"
        ),
    }
}

impl BeatListener for Liveness {
    fn handle(&self, event: &BeatEvent) -> Standing {
        let wall = self.clock.wall();
        self.act(|board| board.handle_event(event, wall))
    }

    fn handle_all(&self, events: &[BeatEvent], standings: &mut Vec<Standing>) {
        let wall = self.clock.wall();
        self.act(|board| board.handle_events(events, wall, standings));
    }

    fn standing(&self, endpoint: EndpointId) -> Standing {
        self.board().standing(endpoint)
    }
}

impl Lines for Liveness {
    fn line(&self, endpoint: EndpointId) -> Option<LineView> {
        let now = self.clock.monotonic();
        self.board().line(endpoint, now)
    }

    fn account_line(&self, account: AccountId) -> Option<LineView> {
        let now = self.clock.monotonic();
        self.board().account_line(account, now)
    }

    fn primary_greeted(&self, endpoint: EndpointId, address: IpAddr) {
        let (now, wall) = (self.clock.monotonic(), self.clock.wall());
        let Some(account) = self.act(|board| board.handle_greeting(endpoint, now, wall)) else { return };
        // Nobody listening is no failure.
        let _ = self.events.send(LineEvent::Greeted { account, endpoint, address, at: wall });
    }

    fn subscribe(&self) -> broadcast::Receiver<LineEvent> {
        self.events.subscribe()
    }

    fn own_outage(&self) -> Option<OwnOutage> {
        self.board().own_outage()
    }

    fn release_own_outage(&self) -> bool {
        let now = self.clock.monotonic();
        self.act(|board| board.release_own_outage(now))
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
