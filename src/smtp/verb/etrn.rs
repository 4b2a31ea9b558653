//! ETRN: the customer's own server asks for its mail (RFC 1985). It asks from the address of its last heartbeat,
//! or has proven itself by AUTH.

use std::net::IpAddr;

use crate::account::ServedDomain;
use crate::base::{DomainName, EndpointId};
use crate::liveness::{LineState, LineView};
use crate::smtp::reply;
use crate::smtp::session::{FlushAnswer, Session, World};

impl Session {
    /// Who may not ask is told the same whether we know the name or not.
    pub(in crate::smtp) fn etrn(&mut self, node: &str, world: &dyn World) {
        if let Err(refusal) = self.between_transactions() {
            return self.refuse(&refusal);
        }
        // RFC 1985 §5.3.1: `@` asks for the names below as well; a queue by name is a matter of other servers.
        if node.starts_with('#') {
            return self.refuse(&reply::ETRN_NO_QUEUE);
        }
        let Ok(domain) = DomainName::parse(node.strip_prefix('@').unwrap_or(node)) else {
            return self.refuse(&reply::BAD_SYNTAX);
        };
        let directory = world.directory();
        let is_its_own = |served: &ServedDomain<'_>| self.login.account() == Some(served.account.id);
        let may_ask = |served: &ServedDomain<'_>| is_its_own(served) || is_beating(served, self.peer, world);
        let Some(served) = directory.served(&domain).filter(may_ask) else {
            tracing::info!(peer = %self.peer, %domain, "ETRN refused");
            return self.refuse(&reply::ETRN_NOT_ALLOWED);
        };
        let account = served.account.id;
        let waiting = world.usage(account).waiting;
        if waiting == 0 {
            return self.say(&reply::ETRN_NOTHING);
        }
        let is_there = |endpoint: &EndpointId| world.line(*endpoint).is_some_and(|line| beats(&line));
        if !served.endpoints.iter().any(is_there) {
            return self.refuse(&reply::ETRN_UNREACHABLE);
        }
        match world.start_flush(account) {
            FlushAnswer::Started => {
                tracing::info!(peer = %self.peer, %account, %domain, waiting, "ETRN");
                self.say(&reply::etrn_started(&domain, waiting));
            }
            FlushAnswer::TooOften => self.refuse(&reply::ETRN_TOO_OFTEN),
        }
    }
}

/// One of the domain's servers beats, and from there.
fn is_beating(served: &ServedDomain<'_>, peer: IpAddr, world: &dyn World) -> bool {
    let is_at_peer = |line: &LineView| line.address.map(|address| address.to_canonical()) == Some(peer.to_canonical());
    served.endpoints.iter().filter_map(|endpoint| world.line(*endpoint)).any(|line| beats(&line) && is_at_peer(&line))
}

const fn beats(line: &LineView) -> bool {
    matches!(line.state, LineState::Online | LineState::Returning | LineState::Suspect)
}
