//! The real drivers over loopback: online, replies, goodbye.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pulsemx::base::{AccountId, EndpointId};
use pulsemx::heartbeat::client::report::Report;
use pulsemx::heartbeat::client::{Options, run};
use pulsemx::heartbeat::datagram::ReplyState;
use pulsemx::heartbeat::server::{BeatServer, OpenedBeatKey, Settings, bind};
use pulsemx::heartbeat::token::Token;
use pulsemx::liveness::{
    Cause, HistoryRow, LineEvent, LineState, Lines, Liveness, LogError, Transition, TransitionLog, WatchedEndpoint,
};
use tokio::sync::broadcast::Receiver;
use tokio_util::sync::CancellationToken;

use crate::world::line_settings;

/// Far more than any step needs; reached only by a failure.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Log(Mutex<Vec<HistoryRow>>);

#[async_trait]
impl TransitionLog for Log {
    async fn append(&self, rows: Vec<HistoryRow>) -> Result<(), LogError> {
        self.0.lock().unwrap().extend(rows);
        Ok(())
    }
    async fn load(&self) -> Result<Vec<WatchedEndpoint>, LogError> {
        Ok(Vec::new())
    }
    async fn history(&self, _: AccountId, _: u32) -> Result<Vec<HistoryRow>, LogError> {
        Ok(self.0.lock().unwrap().clone())
    }
    async fn days(
        &self,
        _: AccountId,
        _: chrono::NaiveDate,
        _: chrono::NaiveDate,
        _: pulsemx::base::WallTime,
    ) -> Result<Vec<pulsemx::liveness::DaySummary>, LogError> {
        Ok(Vec::new())
    }
    async fn purge_history(&self, _: pulsemx::base::WallTime) -> Result<u64, LogError> {
        Ok(0)
    }
}

async fn next_state(events: &mut Receiver<LineEvent>) -> Transition {
    loop {
        let event = tokio::time::timeout(PATIENCE, events.recv()).await.expect("no event").unwrap();
        if let LineEvent::Changed(HistoryRow::State(row)) = event {
            return row;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_goes_online_over_loopback_and_says_goodbye() {
    let (account, endpoint) = (AccountId(1), EndpointId(2));
    let watched = WatchedEndpoint::new(account, endpoint);
    let shutdown = CancellationToken::new();
    let liveness = Liveness::start(line_settings(), Arc::new(Log::default()), vec![watched], shutdown.clone());
    liveness.set_waiting(account, 3);
    let mut events = liveness.subscribe();

    let token = Token::from_octets([42; 32]);
    let key = OpenedBeatKey {
        locator: token.locator(),
        account,
        endpoint,
        c2s: token.client_to_server(),
        s2c: token.server_to_client(),
        move_key: token.move_key().verifying_key().to_bytes(),
        expires_at: None,
        stored_addresses: Vec::new(),
    };
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let settings = Settings { interval: Duration::from_secs(5) };
    let server = BeatServer::start(settings, vec![socket], vec![key], liveness.clone(), &shutdown).unwrap();

    let options = Options {
        servers: vec![server.addresses()[0].to_string()],
        token,
        interval: Some(Duration::from_secs(1)),
        bind: None,
        one_family: false,
        mail: None,
        delegated: None,
        https: None,
        ca_file: None,
        token_file: None,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let client = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut reports = Vec::new();
            run(&options, &stop, |report| reports.push(report.clone())).unwrap();
            reports
        }
    });

    assert_eq!(next_state(&mut events).await.to, LineState::Returning);
    assert_eq!(next_state(&mut events).await.to, LineState::Online);
    let line = liveness.line(endpoint).unwrap();
    assert_eq!(line.address, Some("127.0.0.1".parse().unwrap()));
    assert_eq!(line.interval, Duration::from_secs(1), "an interval that the user fixed is accepted");

    stop.store(true, Ordering::Relaxed);
    let goodbye = next_state(&mut events).await;
    assert_eq!((goodbye.to, goodbye.cause), (LineState::Offline, Cause::Goodbye));
    let reports = client.join().unwrap();
    // On a busy machine the acknowledgement may come after the client's 0.6 s.
    assert!(matches!(reports.last(), Some(Report::Goodbye { .. })), "{reports:?}");
    let online = Report::Standing {
        state: ReplyState::Online,
        address: "127.0.0.1".parse().unwrap(),
        waiting: 3,
        is_contested: false,
    };
    assert!(reports.contains(&online), "{reports:?}");
    assert_eq!(server.counters().moved, 1);
    shutdown.cancel();
}
