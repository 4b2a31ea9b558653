//! What the deliveries of all accounts share: settings, neighbours, places for connections, and who is at work.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ClientConfig;
use tokio::sync::{Notify, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

use crate::account::DirectoryHandle;
use crate::base::{AccountId, Clock};
use crate::delivery::flush::Wake;
use crate::delivery::route::{Leg, check_connection, check_conversation, check_line};
use crate::delivery::settings::Settings;
use crate::delivery::view::FlushView;
use crate::liveness::Lines;
use crate::spool::SpoolStore;

/// What all accounts share.
pub struct Common {
    /// Settings of the room.
    pub settings: Settings,
    /// Accounts and servers.
    pub directory: DirectoryHandle,
    /// Beats.
    pub lines: Arc<dyn Lines>,
    /// Mail.
    pub spool: Arc<dyn SpoolStore>,
    /// Client side of TLS.
    pub tls: Arc<ClientConfig>,
    /// Places for connections.
    pub places: Arc<Semaphore>,
    /// Accounts whose view changed.
    pub changes: broadcast::Sender<AccountId>,
    /// No new MAIL once cancelled.
    pub shutdown: CancellationToken,
    /// One for each account that ever had something to do.
    pub slots: Mutex<HashMap<AccountId, Slot>>,
}

/// The account's place on the board.
#[derive(Debug, Default)]
pub struct Slot {
    wake: Option<Wake>,
    /// What the last worker had heard and could not act on, for the next one.
    leftover: Option<Wake>,
    is_running: bool,
    bell: Arc<Notify>,
    view: FlushView,
}

impl Common {
    fn slots(&self) -> MutexGuard<'_, HashMap<AccountId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a reason to look. `true` if nobody is looking: the caller starts a worker.
    pub fn wake(&self, account: AccountId, wake: Wake) -> bool {
        let mut slots = self.slots();
        let slot = slots.entry(account).or_default();
        let leftover = slot.leftover.take();
        let whole = slot.wake.get_or_insert_default();
        whole.merge(leftover.unwrap_or_default());
        whole.merge(wake);
        slot.bell.notify_one();
        !std::mem::replace(&mut slot.is_running, true)
    }

    /// How delivery to the account stands.
    #[must_use]
    pub fn view(&self, account: AccountId) -> FlushView {
        self.slots().get(&account).map(|slot| slot.view.clone()).unwrap_or_default()
    }

    /// Changes what is shown, and tells those who look.
    pub fn edit_view(&self, account: AccountId, edit: impl FnOnce(&mut FlushView)) {
        let mut slots = self.slots();
        let view = &mut slots.entry(account).or_default().view;
        let before = view.clone();
        edit(view);
        if *view != before {
            drop(slots);
            // Nobody listens: nobody needs to know.
            let _ = self.changes.send(account);
        }
    }

    /// Whether a reason to look was left since the last [`take_wake`](Self::take_wake).
    #[must_use]
    pub fn has_wake(&self, account: AccountId) -> bool {
        self.slots().get(&account).is_some_and(|slot| slot.wake.is_some())
    }

    /// Takes the reasons to look.
    #[must_use]
    pub fn take_wake(&self, account: AccountId) -> Option<Wake> {
        self.slots().get_mut(&account)?.wake.take()
    }

    /// Rings with every new reason to look.
    #[must_use]
    pub fn bell(&self, account: AccountId) -> Arc<Notify> {
        Arc::clone(&self.slots().entry(account).or_default().bell)
    }

    /// Ends the worker unless a reason to look came in the meantime; `true` if it has to end. `leftover` comes with the
    /// next reason to look.
    #[must_use]
    pub fn retire(&self, account: AccountId, leftover: Wake) -> bool {
        let mut slots = self.slots();
        let slot = slots.entry(account).or_default();
        if slot.wake.is_none() {
            slot.is_running = false;
            slot.leftover = Some(leftover);
        }
        !slot.is_running
    }

    /// The check before each MAIL.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn may_send(&self, leg: &Leg) -> Result<(), String> {
        self.may_go_on()?;
        let line = self.lines.line(leg.endpoint);
        let rules = self.settings.target_rules();
        check_connection(&self.directory.load(), leg, line.as_ref(), rules, Clock.monotonic())
            .map_err(|closed| closed.to_string())
    }

    /// The check while a server is called, for which a suspended account is no hindrance.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn may_call(&self, leg: &Leg) -> Result<(), String> {
        self.may_go_on()?;
        let line = self.lines.line(leg.endpoint);
        let rules = self.settings.target_rules();
        check_line(&self.directory.load(), leg, line.as_ref(), rules, Clock.monotonic())
            .map_err(|closed| closed.to_string())
    }

    /// The check while a message is under way. Shutdown waits for it.
    ///
    /// # Errors
    /// Why no answer is to be expected any more, in words.
    pub fn may_await(&self, leg: &Leg) -> Result<(), String> {
        let line = self.lines.line(leg.endpoint);
        check_conversation(&self.directory.load(), leg, line.as_ref()).map_err(|closed| closed.to_string())
    }

    fn may_go_on(&self) -> Result<(), String> {
        if self.shutdown.is_cancelled() { Err("the service is closing down".to_owned()) } else { Ok(()) }
    }
}
