//! The log that fails, and who hears of what when.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::base::WallTime;
use crate::heartbeat::server::BeatKind;
use crate::liveness::{DaySummary, LineState, LogError};

/// Refuses the first `failures` appends.
#[derive(Default)]
struct Log {
    failures: AtomicUsize,
    written: Mutex<Vec<HistoryRow>>,
}

#[async_trait]
impl TransitionLog for Log {
    async fn append(&self, rows: Vec<HistoryRow>) -> Result<(), LogError> {
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
            return Err(LogError("disk full".into()));
        }
        self.written.lock().unwrap().extend(rows);
        Ok(())
    }
    async fn load(&self) -> Result<Vec<WatchedEndpoint>, LogError> {
        Ok(Vec::new())
    }
    async fn history(&self, _: AccountId, _: u32) -> Result<Vec<HistoryRow>, LogError> {
        Ok(self.written.lock().unwrap().clone())
    }
    async fn days(
        &self,
        _: AccountId,
        _: chrono::NaiveDate,
        _: chrono::NaiveDate,
        _: WallTime,
    ) -> Result<Vec<DaySummary>, LogError> {
        Ok(Vec::new())
    }
    async fn purge_history(&self, _: WallTime) -> Result<u64, LogError> {
        Ok(0)
    }
}

fn settings() -> Settings {
    Settings { interval: Duration::from_secs(5), misses: 3, grace: Duration::from_secs(2) }
}

fn watched() -> WatchedEndpoint {
    WatchedEndpoint::new(AccountId(1), EndpointId(2))
}

fn beat(liveness: &Liveness) -> Standing {
    let at = liveness.clock.monotonic();
    let kind = BeatKind::Beat {
        base: at,
        address: "192.0.2.1".parse().unwrap(),
        interval: Duration::from_secs(5),
        mail_ok: None,
        loss_percent_up: 0.0,
        unanswered_percent: None,
    };
    liveness.handle(&BeatEvent { endpoint: EndpointId(2), account: AccountId(1), path: 0, at, kind })
}

#[tokio::test]
async fn rows_that_the_log_refused_are_written_later_in_order_and_told_only_then() {
    let log = Arc::new(Log { failures: AtomicUsize::new(1), written: Mutex::default() });
    let shutdown = CancellationToken::new();
    let liveness = Liveness::start(settings(), log.clone(), vec![watched()], shutdown.clone());
    let mut events = liveness.subscribe();
    beat(&liveness);
    liveness.primary_greeted(EndpointId(2), "192.0.2.7".parse().unwrap());
    let kind = BeatKind::Goodbye { absence: None };
    let at = Clock.monotonic();
    liveness.handle(&BeatEvent { endpoint: EndpointId(2), account: AccountId(1), path: 0, at, kind });
    assert_eq!(liveness.line(EndpointId(2)).unwrap().state, LineState::Offline);
    let mut told_at_once = Vec::new();
    for expected in [LineState::Returning, LineState::Offline] {
        let row = loop {
            let event = events.recv().await.unwrap();
            if let LineEvent::Changed(HistoryRow::State(row)) = event {
                break row;
            }
            told_at_once.push(event);
        };
        assert_eq!(row.to, expected);
        assert!(!log.written.lock().unwrap().is_empty());
    }
    assert!(
        matches!(told_at_once.as_slice(), [LineEvent::Addresses { .. }, LineEvent::Greeted { .. }]),
        "what is no row waits for no disk: {told_at_once:?}"
    );
    assert_eq!(log.history(AccountId(1), 9).await.unwrap().len(), 2);
    shutdown.cancel();
}

#[tokio::test]
async fn rows_are_written_before_the_service_ends_and_replies_carry_what_waits() {
    let log = Arc::new(Log::default());
    let shutdown = CancellationToken::new();
    let liveness = Liveness::start(settings(), log.clone(), Vec::new(), shutdown.clone());
    assert_eq!(beat(&liveness), Standing::default());
    liveness.add_endpoint(watched());
    liveness.set_waiting(AccountId(1), 7);
    let standing = beat(&liveness);
    assert_eq!((standing.waiting, standing.neutralised_after), (7, Duration::from_secs(17)));
    shutdown.cancel();
    while log.written.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    liveness.remove_endpoint(EndpointId(2));
    assert_eq!(liveness.account_line(AccountId(1)), None);
}

#[test]
fn of_rows_that_nobody_takes_the_newest_are_kept() {
    let row = |second| {
        let at = WallTime::from_timestamp(second, 0).unwrap();
        let (account, endpoint) = (AccountId(1), EndpointId(2));
        HistoryRow::Address(crate::liveness::AddressChange {
            account,
            endpoint,
            from: None,
            to: "192.0.2.1".parse().unwrap(),
            at,
        })
    };
    let mut unwritten = Unwritten::default();
    let count = i64::try_from(ROWS_HELD_MAX).unwrap();
    (0..count).for_each(|second| unwritten.push(row(second)));
    let batch: Vec<HistoryRow> = unwritten.rows.drain(..).collect();
    (count..count + 10).for_each(|second| unwritten.push(row(second)));
    unwritten.put_back(batch, Moment::from_millis(5));
    assert_eq!((unwritten.rows.len(), unwritten.dropped), (ROWS_HELD_MAX, 10));
    assert_eq!(unwritten.rows.front(), Some(&row(10)));
    assert_eq!(unwritten.rows.back(), Some(&row(count + 9)));
}
