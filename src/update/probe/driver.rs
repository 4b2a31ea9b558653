//! Calls one mail server and waits for its greeting, within the time of one call.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::base::DomainName;
use crate::delivery::stream::WireStream;
use crate::delivery::target::{TargetRules, check_target, leads_to_ourselves};

/// Who calls, and what is no target.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Our name: a server that greets with it is ourselves.
    pub hostname: DomainName,
    /// Loopback is allowed.
    pub allow_loopback: bool,
    /// Where we listen for SMTP.
    pub own_addresses: Vec<SocketAddr>,
}

impl Caller {
    /// What may be called.
    #[must_use]
    pub fn rules(&self) -> TargetRules<'_> {
        TargetRules { allow_loopback: self.allow_loopback, own_addresses: &self.own_addresses }
    }

    /// Whether an SMTP server greets at `target` with 220 in time.
    pub async fn is_greeted(&self, target: SocketAddr, limit: Duration) -> bool {
        timeout(limit, self.call(target)).await.is_ok_and(|greeting| greeting.is_some())
    }

    async fn call(&self, target: SocketAddr) -> Option<()> {
        let target = check_target(target, self.rules()).ok()?;
        let socket = TcpStream::connect(target).await.ok()?;
        if leads_to_ourselves(socket.local_addr().ok()?, target, &self.own_addresses) {
            return None;
        }
        let stream = WireStream::new(socket, target);
        let greeting = stream.read_reply().await.ok()?;
        let name = greeting.lines.first().and_then(|line| line.split(' ').next()).unwrap_or_default();
        if greeting.class() != 2 || name.eq_ignore_ascii_case(self.hostname.as_str()) {
            return None;
        }
        // Politeness; nothing depends on it.
        let _ = stream.send(b"QUIT\r\n").await;
        Some(())
    }
}
