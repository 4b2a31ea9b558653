//! Follows the servers whose accounts have no heartbeats: calls them, and tells liveness what they answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::{TICK, Updates};
use crate::account::Directory;
use crate::base::EndpointId;
use crate::heartbeat::server::{BeatEvent, BeatKind};
use crate::liveness::{LineState, LineView};
use crate::update::ledger::{Ledger, Owned};
use crate::update::model::{HostName, Role};
use crate::update::probe::ProbePlan;

impl Updates {
    /// A name was set, or confirmed: if it is a mail server's and no beat ever came, the server is called there.
    pub(super) async fn accept(&self, host: &HostName, before: Option<&HostName>) {
        let directory = self.directory.load();
        if let Some(before) = before {
            tracing::info!(
                account = %host.account, host = %host.name, from = ?before.addresses(), to = ?host.addresses(),
                withdrawn = host.is_withdrawn, "name updated"
            );
        }
        if !is_main(&directory, host) {
            return;
        }
        let line = self.lines.line(host.endpoint);
        let (role, is_new) = {
            let inner = self.inner();
            let role = role(&inner.ledger, &inner.plan, host.endpoint, line.as_ref());
            (role, inner.ledger.role(host.endpoint) != Some(role))
        };
        if is_new {
            self.keep_role(host.endpoint, role).await;
        }
        if role == Role::Beats {
            return;
        }
        if host.is_withdrawn {
            self.inner().plan.remove(host.endpoint);
            self.tell(host, 0, BeatKind::Goodbye { absence: None });
            return;
        }
        if let Some(before) = before {
            self.tell_moves(before, host);
        }
        self.plan_one(&directory, host);
    }

    async fn keep_role(&self, endpoint: EndpointId, role: Role) {
        self.inner().ledger.set_role(endpoint, role);
        if let Err(error) = self.store.set_role(endpoint, role).await {
            tracing::error!(%endpoint, %error, "the role of a server's updates was not stored");
        }
    }

    /// Each family has a path of its own, as with clients.
    fn tell(&self, host: &HostName, path: u8, kind: BeatKind) {
        let at = self.clock.monotonic();
        self.beats.handle(&BeatEvent { endpoint: host.endpoint, account: host.account, path, at, kind });
    }

    fn tell_moves(&self, before: &HostName, after: &HostName) {
        let v4 = (before.address_v4.map(IpAddr::V4), after.address_v4.map(IpAddr::V4));
        let v6 = (before.address_v6.map(IpAddr::V6), after.address_v6.map(IpAddr::V6));
        for (from, to) in [v4, v6] {
            if let Some(to) = to.filter(|to| from != Some(*to)) {
                self.tell(after, u8::from(to.is_ipv6()), BeatKind::Moved { from, to });
            }
        }
    }

    fn plan_one(&self, directory: &Directory, host: &HostName) {
        let Some(endpoint) = directory.endpoint(host.endpoint) else { return };
        let targets: Vec<SocketAddr> =
            host.addresses().into_iter().map(|address| SocketAddr::new(address, endpoint.smtp_port)).collect();
        let now = self.clock.monotonic();
        let mut inner = self.inner();
        let expiry = inner.ledger.policy(host.account).expiry;
        let is_new = !inner.plan.has(host.endpoint);
        inner.plan.set((host.endpoint, host.account), targets, expiry, now);
        if is_new {
            let before = self.lines.line(host.endpoint).and_then(|line| line.last_beat);
            inner.plan.set_beat_before(host.endpoint, before);
        }
    }

    /// Calls every server that only updates tell of, and no other: at the start and after changes by command.
    pub(super) fn plan_all(&self) {
        let directory = self.directory.load();
        let mut wanted = Vec::new();
        {
            let mut inner = self.inner();
            for id in inner.ledger.without_beats() {
                let Some(endpoint) = directory.endpoint(id) else { continue };
                if let Owned::Own(host) = inner.ledger.host(&endpoint.host, endpoint.account, &directory) {
                    wanted.push(*host);
                }
            }
            wanted.retain(|host| !host.is_withdrawn);
            let planned: Vec<EndpointId> = inner.plan.servers().collect();
            for gone in planned.into_iter().filter(|id| !wanted.iter().any(|host| host.endpoint == *id)) {
                inner.plan.remove(gone);
            }
            for account in directory.accounts() {
                let expiry = inner.ledger.policy(account.id).expiry;
                inner.plan.set_expiry(account.id, expiry);
            }
            wanted.retain(|host| !inner.plan.has(host.endpoint));
        }
        for host in wanted {
            self.plan_one(&directory, &host);
        }
    }

    pub(super) async fn call_servers(self: Arc<Self>, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.yield_to_beats().await;
            self.let_run_out();
            let calls = self.inner().plan.poll(self.clock.monotonic(), self.places.available_permits());
            for target in calls {
                let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { break };
                let updates = Arc::clone(&self);
                tokio::spawn(async move {
                    updates.call(target).await;
                    drop(place);
                });
            }
        }
    }

    /// An update that has run out vouches for no address from this moment on.
    fn let_run_out(&self) {
        let now = self.clock.monotonic();
        // Told under the lock: an update that comes now is told after it.
        let mut inner = self.inner();
        for (endpoint, account) in inner.plan.take_run_out(now) {
            tracing::info!(%account, %endpoint, "the last update has run out");
            self.beats.handle(&BeatEvent { endpoint, account, path: 0, at: now, kind: BeatKind::RanOut });
        }
    }

    /// A beat that is not one of our greetings: the customer has set up a client, and from now on only it counts.
    async fn yield_to_beats(&self) {
        // Looked at under the lock under which greetings are told, so that none is taken for a client's beat.
        let beating: Vec<EndpointId> = {
            let mut inner = self.inner();
            let newest = |endpoint| self.lines.line(endpoint).and_then(|line| line.last_beat);
            let is_beating = |id: &EndpointId| newest(*id).is_some_and(|beat| inner.plan.is_of_client(*id, beat));
            let beating: Vec<EndpointId> = inner.plan.servers().filter(is_beating).collect();
            for endpoint in &beating {
                inner.plan.remove(*endpoint);
            }
            beating
        };
        for endpoint in beating {
            tracing::info!(%endpoint, "heartbeats come: updates and probes no longer speak for this server");
            self.keep_role(endpoint, Role::Beats).await;
        }
    }

    /// Servers with a key to prove themselves by that did not do so at this address: somebody else may have it by now.
    async fn doubted_at(&self, target: SocketAddr) -> Vec<EndpointId> {
        let Some(deliveries) = self.deliveries.get() else { return Vec::new() };
        let directory = self.directory.load();
        let is_pinned = |id: &EndpointId| directory.endpoint(*id).is_some_and(|endpoint| endpoint.pin.is_some());
        let pinned: Vec<EndpointId> = self.inner().plan.servers_at(target).filter(is_pinned).collect();
        let mut doubted = Vec::new();
        for endpoint in pinned {
            let call = deliveries.is_proven_at(endpoint, target.ip());
            if !tokio::time::timeout(self.settings.rhythm.timeout(), call).await.unwrap_or(false) {
                doubted.push(endpoint);
            }
        }
        doubted
    }

    async fn call(&self, target: SocketAddr) {
        let rhythm = self.settings.rhythm;
        let has_greeted = self.settings.caller.is_greeted(target, rhythm.timeout()).await;
        let doubted = if has_greeted { self.doubted_at(target).await } else { Vec::new() };
        let now = self.clock.monotonic();
        // Told under the lock, so that the next look does not take our own greeting for a client's beat.
        let mut inner = self.inner();
        for (endpoint, account) in inner.plan.handle_result(target, has_greeted, &doubted, now) {
            let kind = BeatKind::Beat {
                base: now,
                address: target.ip(),
                interval: rhythm.interval(),
                mail_ok: Some(true),
                loss_percent_up: 0.0,
                unanswered_percent: None,
            };
            let path = u8::from(target.is_ipv6());
            self.beats.handle(&BeatEvent { endpoint, account, path, at: now, kind });
            self.lines.primary_greeted(endpoint, target.ip());
        }
    }
}

/// Whether the name is the one that follows its mail server.
pub(super) fn is_main(directory: &Directory, host: &HostName) -> bool {
    directory.endpoint(host.endpoint).is_some_and(|endpoint| endpoint.host == host.name)
}

/// Whose word counts: as noted, else that of beats if any came.
pub(super) fn role(ledger: &Ledger, plan: &ProbePlan, endpoint: EndpointId, line: Option<&LineView>) -> Role {
    let was_heard = line.is_some_and(|line| line.last_beat.is_some() || line.state != LineState::New);
    match ledger.role(endpoint) {
        Some(role) => role,
        None if was_heard && !plan.has(endpoint) => Role::Beats,
        None => Role::Updates,
    }
}
