//! Turns the clock for all lines, writes their history and tells the other rooms.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::guard::{Alarm, Fault, OwnOutage, UplinkProof};
use super::machine::{Output, Settings};
use super::transition::{HistoryRow, TransitionLog, WatchedEndpoint};
use super::view::{EffectiveAddresses, Families, LineEvent, LineView, Lines};
use crate::base::{AccountId, Clock, EndpointId, Moment};
use crate::heartbeat::datagram::ListedAddress;
use crate::heartbeat::server::{BeatEvent, BeatListener, Standing};

/// Between two scans of the deadlines.
const SCAN_EVERY: Duration = Duration::from_millis(200);
/// Between two tries to write rows that the log refused.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// Events that a slow reader may be behind.
const EVENTS_HELD: usize = 4_096;
/// Alarms that a slow reader may be behind.
const ALARMS_HELD: usize = 256;
/// Rows held in memory while the log refuses them, about 200 octets each. Beyond it the oldest are dropped, so that the
/// states that are stored once the log works again are the right ones; the history has a hole then.
pub const ROWS_HELD_MAX: usize = 100_000;
/// Tries to write the last rows when the service ends.
const LAST_TRIES: u32 = 3;

/// Rows that the log has not taken yet, oldest first.
#[derive(Default)]
struct Unwritten {
    rows: VecDeque<HistoryRow>,
    /// Rows that went because there were too many, since the log last took some.
    dropped: u64,
    /// When the log refused rows first, without having taken any since.
    refused_since: Option<Moment>,
}

impl Unwritten {
    fn push(&mut self, row: HistoryRow) {
        self.rows.push_back(row);
        self.trim();
    }

    /// Rows that the log refused.
    fn put_back(&mut self, batch: Vec<HistoryRow>, now: Moment) {
        self.refused_since.get_or_insert(now);
        for row in batch.into_iter().rev() {
            self.rows.push_front(row);
        }
        self.trim();
    }

    fn trim(&mut self) {
        while self.rows.len() > ROWS_HELD_MAX {
            if self.dropped == 0 {
                tracing::error!(
                    held = ROWS_HELD_MAX,
                    "the log refuses the history of the lines: the oldest rows are lost"
                );
            }
            self.rows.pop_front();
            self.dropped += 1;
        }
    }
}

/// What [`Liveness::condition`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Condition {
    /// Rises with every scan of the deadlines.
    pub scans: u64,
    /// Rows that wait for the log.
    pub unwritten: usize,
    /// For how long the log has refused all rows.
    pub refused_for: Option<Duration>,
}

/// The running liveness of all lines.
pub struct Liveness {
    board: Mutex<Board>,
    rows: Mutex<Unwritten>,
    rows_came: Notify,
    scans: AtomicU64,
    writer: Mutex<Option<JoinHandle<()>>>,
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
            rows: Mutex::default(),
            rows_came: Notify::new(),
            scans: AtomicU64::new(0),
            writer: Mutex::new(None),
            events: broadcast::Sender::new(EVENTS_HELD),
            alarms: broadcast::Sender::new(ALARMS_HELD),
            clock,
        });
        tokio::spawn(Arc::clone(&liveness).scan(shutdown.clone()));
        let writer = tokio::spawn(Arc::clone(&liveness).write(log, shutdown));
        *liveness.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
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

    /// Whether deadlines are scanned and rows are written.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let now = self.clock.monotonic();
        let rows = self.rows();
        Condition {
            scans: self.scans.load(Ordering::Relaxed),
            unwritten: rows.rows.len(),
            refused_for: rows.refused_since.map(|since| now.since(since)),
        }
    }

    /// Waits until the last rows are written after the shutdown.
    pub async fn stopped(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && let Err(error) = writer.await
        {
            tracing::error!(%error, "the writer of the history ended badly");
        }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows(&self) -> MutexGuard<'_, Unwritten> {
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
                Output::Row(row) => rows.push(row),
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
            self.scans.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn write(self: Arc<Self>, log: Arc<dyn TransitionLog>, shutdown: CancellationToken) {
        let mut tries_left = LAST_TRIES;
        loop {
            let is_closing = shutdown.is_cancelled();
            let is_written = self.write_what_waits(&*log).await;
            tries_left -= u32::from(is_closing);
            if is_closing && (is_written || tries_left == 0) {
                return;
            }
            let next = async {
                if is_written {
                    self.rows_came.notified().await;
                } else {
                    tokio::time::sleep(RETRY_EVERY).await;
                }
            };
            tokio::select! {
                () = shutdown.cancelled(), if !is_closing => {}
                () = next => {}
            }
        }
    }

    /// Writes the rows that wait, and tells them then; false if the log refused them.
    async fn write_what_waits(&self, log: &dyn TransitionLog) -> bool {
        let batch: Vec<HistoryRow> = self.rows().rows.drain(..).collect();
        if batch.is_empty() {
            return true;
        }
        if let Err(error) = log.append(batch.clone()).await {
            tracing::error!(%error, rows = batch.len(), "history not written; tried again");
            self.rows().put_back(batch, self.clock.monotonic());
            return false;
        }
        {
            let mut rows = self.rows();
            if rows.dropped > 0 {
                tracing::warn!(rows = rows.dropped, "the log takes the history again; so many rows of it were lost");
            }
            (rows.dropped, rows.refused_since) = (0, None);
        }
        for row in batch {
            log_row(&row);
            // Nobody listening is no failure.
            let _ = self.events.send(LineEvent::Changed(row));
        }
        true
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

    fn handle_drops(&self, dropped: u64, received: u64) {
        let now = self.clock.monotonic();
        self.board().handle_drops(dropped, received, now);
    }

    fn handle_addresses(&self, endpoint: EndpointId, list: &[ListedAddress]) {
        self.act(|board| board.handle_addresses(endpoint, list));
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

    fn effective_addresses(&self, endpoint: EndpointId) -> EffectiveAddresses {
        self.board().effective_addresses(endpoint)
    }

    fn families(&self, endpoint: EndpointId) -> Families {
        let now = self.clock.monotonic();
        self.board().families(endpoint, now)
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
