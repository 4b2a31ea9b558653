//! Calls a mail server at each address that its beats vouch for, until it has greeted us there: a name is answered with an
//! address only then. Delivery calls at one of them, and its greeting counts as well.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::account::DirectoryHandle;
use crate::base::{Clock, EndpointId, Moment};
use crate::delivery::driver::Deliveries;
use crate::dns::Dns;
use crate::liveness::{HistoryRow, LineEvent, LineState, Lines};
use crate::update::probe::driver::Caller;

/// Delivery calls first.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Between two calls in the first minute, and after it.
const CALL_EVERY: Duration = Duration::from_secs(2);
/// See [`CALL_EVERY`].
const CALL_LATER_EVERY: Duration = Duration::from_secs(30);
const FIRST_MINUTE: Duration = Duration::from_secs(60);
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Calls under way at one time.
const CALLS_MAX: usize = 64;
/// Between two looks at what is due.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two looks at all names; the first one once the first beats after our own start have come.
const ROUND_EVERY: Duration = Duration::from_secs(20);
/// Names looked at before others have their turn.
const YIELD_EVERY: usize = 256;

/// Where a greeting is waited for. Reads no clock.
#[derive(Debug, Default)]
struct Waiting {
    wanted: BTreeMap<(EndpointId, IpAddr), Wanted>,
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    since: Moment,
    due: Moment,
}

impl Waiting {
    /// The mail server is vouched for at these addresses and may not have greeted there.
    fn want(&mut self, endpoint: EndpointId, addresses: &[IpAddr], now: Moment) {
        self.keep_only(endpoint, addresses);
        for address in addresses {
            let wanted = Wanted { since: now, due: now + PATIENCE };
            self.wanted.entry((endpoint, *address)).or_insert(wanted);
        }
    }

    /// Addresses that are no longer vouched for are not called.
    fn keep_only(&mut self, endpoint: EndpointId, addresses: &[IpAddr]) {
        let (first, last) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::from_bits(u128::MAX)));
        let own = self.wanted.range((endpoint, first)..=(endpoint, last)).map(|((_, address), _)| *address);
        for gone in own.filter(|address| !addresses.contains(address)).collect::<Vec<_>>() {
            self.wanted.remove(&(endpoint, gone));
        }
    }

    fn handle_greeting(&mut self, endpoint: EndpointId, address: IpAddr) {
        self.wanted.remove(&(endpoint, address));
    }

    /// Whom to call now, so many at most.
    fn poll(&mut self, now: Moment, at_most: usize) -> Vec<(EndpointId, IpAddr)> {
        let is_due = |(_, wanted): &(_, &mut Wanted)| wanted.due <= now;
        let due = self.wanted.iter_mut().filter(is_due).take(at_most);
        due.map(|(key, wanted)| {
            let is_young = now.since(wanted.since) < FIRST_MINUTE;
            wanted.due = now + if is_young { CALL_EVERY } else { CALL_LATER_EVERY };
            *key
        })
        .collect()
    }
}

/// Who is called, and by whom.
pub(super) struct Rooms {
    pub(super) lines: Arc<dyn Lines>,
    pub(super) directory: DirectoryHandle,
    /// Calls servers that have a key to prove themselves with.
    pub(super) deliveries: Arc<Deliveries>,
    /// What the names answer now.
    pub(super) dns: Arc<Dns>,
}

/// Calls until the shutdown.
pub(super) async fn run(rooms: Rooms, caller: Caller, shutdown: CancellationToken) {
    let (rooms, caller, places) = (Arc::new(rooms), Arc::new(caller), Arc::new(Semaphore::new(CALLS_MAX)));
    let mut events = rooms.lines.subscribe();
    let mut waiting = Waiting::default();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    let mut rounds = tokio::time::interval(ROUND_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            // Before events, so that any number of them keeps nobody waiting.
            _ = looks.tick() => call_who_is_due(&rooms, &caller, &places, &mut waiting),
            _ = rounds.tick() => look_everywhere(&rooms, &mut waiting).await,
            event = events.recv() => match event {
                Ok(event) => handle(&event, &*rooms.lines, &mut waiting),
                Err(RecvError::Lagged(_)) => look_everywhere(&rooms, &mut waiting).await,
                Err(RecvError::Closed) => return,
            },
        }
    }
}

/// Wants a greeting wherever a name does not answer with an address that is vouched for: events that were lost, and all
/// lines after our own start, which come back without one.
async fn look_everywhere(rooms: &Rooms, waiting: &mut Waiting) {
    for (count, endpoint) in rooms.directory.load().endpoints().iter().enumerate() {
        if let Some(front) = rooms.dns.front(endpoint.id) {
            let is_answered = |address: &IpAddr| match address {
                IpAddr::V4(v4) => front.v4 == Some(*v4),
                IpAddr::V6(v6) => front.v6 == Some(*v6),
            };
            let mut missing = vouched(endpoint.id, &*rooms.lines);
            missing.retain(|address| !is_answered(address));
            waiting.want(endpoint.id, &missing, Clock.monotonic());
        }
        if count % YIELD_EVERY == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn call_who_is_due(rooms: &Arc<Rooms>, caller: &Arc<Caller>, places: &Arc<Semaphore>, waiting: &mut Waiting) {
    let directory = rooms.directory.load();
    for (endpoint, address) in waiting.poll(Clock.monotonic(), places.available_permits()) {
        let Some(known) = directory.endpoint(endpoint) else {
            waiting.keep_only(endpoint, &[]);
            continue;
        };
        let Ok(place) = Arc::clone(places).try_acquire_owned() else { break };
        let (rooms, caller, port, is_pinned) =
            (Arc::clone(rooms), Arc::clone(caller), known.smtp_port, known.pin.is_some());
        tokio::spawn(async move {
            // A name never leads to a machine that mail would not be given to.
            let is_met = if is_pinned {
                let call = rooms.deliveries.is_proven_at(endpoint, address);
                tokio::time::timeout(CALL_TIMEOUT, call).await.unwrap_or(false)
            } else {
                caller.is_greeted(SocketAddr::new(address, port), CALL_TIMEOUT).await
            };
            if is_met && vouched(endpoint, &*rooms.lines).contains(&address) {
                rooms.lines.primary_greeted(endpoint, address);
            }
            drop(place);
        });
    }
}

fn handle(event: &LineEvent, lines: &dyn Lines, waiting: &mut Waiting) {
    match event {
        LineEvent::Greeted { endpoint, address, .. } => waiting.handle_greeting(*endpoint, *address),
        LineEvent::Addresses { endpoint, .. } | LineEvent::MailAccepted { endpoint, .. } => {
            want(*endpoint, lines, waiting);
        }
        LineEvent::Changed(HistoryRow::Address(row)) => want(row.endpoint, lines, waiting),
        LineEvent::Changed(HistoryRow::State(row)) if row.to == LineState::Offline => {
            waiting.keep_only(row.endpoint, &[]);
        }
        LineEvent::Changed(HistoryRow::State(row)) if row.to == LineState::Returning => {
            want(row.endpoint, lines, waiting);
        }
        LineEvent::Changed(_) | LineEvent::Suspicion { .. } | LineEvent::MailRefused { .. } => {}
    }
}

fn want(endpoint: EndpointId, lines: &dyn Lines, waiting: &mut Waiting) {
    waiting.want(endpoint, &vouched(endpoint, lines), Clock.monotonic());
}

/// Where beats have come from since our own start or absence; of what was before them the greeting is known.
fn vouched(endpoint: EndpointId, lines: &dyn Lines) -> Vec<IpAddr> {
    let addresses = lines.effective_addresses(endpoint);
    let v4 = addresses.v4.filter(|(_, heard)| heard.beat.is_some()).map(|(v4, _)| IpAddr::V4(v4));
    let v6 = addresses.v6.filter(|(_, heard)| heard.beat.is_some()).map(|(v6, _)| IpAddr::V6(v6));
    v4.into_iter().chain(v6).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_vouched_address_is_called_until_it_greets_or_goes() {
        let (server, v4, v6) = (EndpointId(1), ip("192.0.2.1"), ip("2001:db8::1"));
        let mut waiting = Waiting::default();
        waiting.want(server, &[v4, v6], at(0));
        assert_eq!(waiting.poll(at(1_499), 9), []);
        waiting.handle_greeting(server, v4);
        assert_eq!(waiting.poll(at(1_500), 9), [(server, v6)]);
        assert_eq!(waiting.poll(at(3_499), 9), []);
        let calls: Vec<u64> = (3_500..200_000).filter(|millis| !waiting.poll(at(*millis), 9).is_empty()).collect();
        assert_eq!(calls.iter().filter(|at| **at < 60_000).count(), 29, "each 2 s in the first minute");
        assert_eq!(calls.iter().filter(|at| **at > 62_000).count(), 4, "then each 30 s: {calls:?}");
        waiting.want(server, &[v4], at(200_000));
        assert_eq!(waiting.poll(at(300_000), 9), [(server, v4)], "IPv6 is no longer vouched for");
        waiting.keep_only(server, &[]);
        assert!(waiting.wanted.is_empty());
    }
}
