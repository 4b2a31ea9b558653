//! Reads verdicts for messages that are about to be handed on; never waits longer than 2 s for one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::base::{Clock, DomainName};
use crate::delivery::dress::Voucher;
use crate::outbound::seal::Sealer;
use crate::outbound::vouch::{CHECKED_WITHIN_S, results_line};
use crate::spool::{Claimed, SpoolStore};
use crate::verdict::{self, Verdict, VerdictStore};

/// Longest wait for a check that runs; without it the line is left out.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Vouches for senders.
pub struct Vouching {
    /// What was found.
    pub verdicts: Arc<dyn VerdictStore>,
    /// Content, for seals.
    pub spool: Arc<dyn SpoolStore>,
    /// Who is checked at all.
    pub checks: verdict::Settings,
    /// Seals, where a key is configured.
    pub sealer: Option<Sealer>,
}

impl Vouching {
    async fn verdict(&self, message: &Claimed) -> Option<Verdict> {
        let is_expected = self.checks.is_on
            && !self.checks.is_exempt(message.peer.to_canonical())
            && (Clock.wall() - message.accepted_at).num_seconds() < CHECKED_WITHIN_S;
        let until = Clock.monotonic() + WAIT_MAX;
        loop {
            match self.verdicts.verdict(message.id).await {
                Ok(Some(verdict)) => return Some(verdict),
                Ok(None) if is_expected && Clock.monotonic() < until => tokio::time::sleep(LOOK).await,
                Ok(None) => return None,
                Err(error) => {
                    tracing::warn!(spool_id = %message.id, %error, "the verdict on a sender was not read and is left out");
                    return None;
                }
            }
        }
    }
}

#[async_trait]
impl Voucher for Vouching {
    async fn lines(&self, message: &Claimed, authserv: &DomainName) -> Vec<u8> {
        let Some(verdict) = self.verdict(message).await else { return Vec::new() };
        let mut lines = results_line(authserv, &verdict, &message.reverse_path, message.peer).into_bytes();
        if let Some(sealer) = &self.sealer
            && let Some(seal) = sealer.seal(message, &verdict, authserv, self.spool.as_ref()).await
        {
            lines.extend(seal);
        }
        lines
    }
}
