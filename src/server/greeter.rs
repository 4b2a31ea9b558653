//! Calls a mail server at each address that its beats vouch for, until it has greeted us there: a name is answered with an
//! address only then (SEMANTICS: who stands in front). Delivery calls at one of them, and its greeting counts as well.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::account::DirectoryHandle;
use crate::base::{Clock, EndpointId, Moment};
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
        self.wanted.retain(|(of, address), _| *of != endpoint || addresses.contains(address));
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

/// Calls until the shutdown.
pub(super) async fn run(
    lines: Arc<dyn Lines>,
    directory: DirectoryHandle,
    caller: Caller,
    shutdown: CancellationToken,
) {
    let (caller, places) = (Arc::new(caller), Arc::new(Semaphore::new(CALLS_MAX)));
    let mut events = lines.subscribe();
    let mut waiting = Waiting::default();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
            event = events.recv() => match event {
                Ok(event) => {
                    handle(&event, &*lines, &mut waiting);
                    continue;
                }
                Err(RecvError::Lagged(_)) => {
                    for endpoint in directory.load().endpoints() {
                        want(endpoint.id, &*lines, &mut waiting);
                    }
                }
                Err(RecvError::Closed) => return,
            },
        }
        for (endpoint, address) in waiting.poll(Clock.monotonic(), places.available_permits()) {
            let Some(port) = directory.load().endpoint(endpoint).map(|endpoint| endpoint.smtp_port) else {
                waiting.keep_only(endpoint, &[]);
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { break };
            let (caller, lines) = (Arc::clone(&caller), Arc::clone(&lines));
            tokio::spawn(async move {
                if caller.is_greeted(SocketAddr::new(address, port), CALL_TIMEOUT).await
                    && vouched(endpoint, &*lines).contains(&address)
                {
                    lines.primary_greeted(endpoint, address);
                }
                drop(place);
            });
        }
    }
}

fn handle(event: &LineEvent, lines: &dyn Lines, waiting: &mut Waiting) {
    match event {
        LineEvent::Greeted { endpoint, address, .. } => waiting.handle_greeting(*endpoint, *address),
        LineEvent::Addresses { endpoint, .. } | LineEvent::MailAccepted { endpoint, .. } => {
            want(*endpoint, lines, waiting);
        }
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
