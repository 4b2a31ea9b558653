//! Asks the lists of bad senders about a peer while its session goes on.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use crate::smtp::driver::Host;
use crate::smtp::settings::Settings;

/// A question that is under way, or answered. Nobody waits for it: a recipient that is named before the answer counts as
/// one of a sender that is on no list.
pub(in crate::smtp) struct Listing {
    is_listed: Arc<AtomicBool>,
    question: JoinHandle<()>,
}

impl Listing {
    /// Asks, where listed senders are to be deferred.
    pub(in crate::smtp) fn ask(host: &Host, settings: &Settings, peer: IpAddr) -> Option<Self> {
        let checks = host.rooms.checks.as_ref()?;
        if !settings.defers_listed || settings.is_without_limits(peer) || !checks.has_lists() {
            return None;
        }
        let (checks, is_listed) = (Arc::clone(checks), Arc::new(AtomicBool::new(false)));
        let answer = Arc::clone(&is_listed);
        let question = tokio::spawn(async move {
            let lists = checks.lists_with(peer).await;
            if !lists.is_empty() {
                tracing::info!(%peer, lists = lists.join(" "), "sender is on a list of bad senders");
                answer.store(true, Ordering::Relaxed);
            }
        });
        Some(Self { is_listed, question })
    }

    /// As far as is known.
    pub(in crate::smtp) fn is_listed(&self) -> bool {
        self.is_listed.load(Ordering::Relaxed)
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.question.abort();
    }
}
