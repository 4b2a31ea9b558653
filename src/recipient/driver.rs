//! Keeps the table in memory and the rows in the store in step, and takes in what delivery learns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::list::NewList;
use super::model::{CallOut, Learned, Policy, WithoutList, comparable};
use super::store::{DomainRow, RecipientError, RecipientRows, RecipientStore};
use super::table::{Knowledge, RecipientBook, Table};
use crate::account::Change;
use crate::base::{AccountId, Clock, DomainName, Mailbox, WallTime};

/// What servers said waits so long for company before it is stored.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// What waits to be stored, at most. Beyond it memory knows and the disk learns at the next delivery.
const WAITING_MAX: usize = 10_000;
/// How often it is looked for what is no longer believed.
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// The room at work. Questions are answered from memory at once.
pub struct Recipients {
    store: Arc<dyn RecipientStore>,
    book: RecipientBook,
    waiting: mpsc::Sender<Learned>,
    /// One change at a time, so that store and memory end up the same.
    turn: tokio::sync::Mutex<()>,
}

impl Recipients {
    /// Reads what is stored and starts to learn.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn start(
        store: Arc<dyn RecipientStore>,
        without_list: WithoutList,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, RecipientError> {
        let rows = store.load_recipients(Clock.wall()).await?;
        let (waiting, learned) = mpsc::channel(WAITING_MAX);
        let room = Arc::new(Self {
            store,
            book: RecipientBook::new(rows, without_list),
            waiting,
            turn: tokio::sync::Mutex::default(),
        });
        tokio::spawn(Arc::clone(&room).write(learned, shutdown.clone()));
        tokio::spawn(Arc::clone(&room).sweep(shutdown));
        Ok(room)
    }

    /// What is known, for whoever only reads.
    #[must_use]
    pub fn book(&self) -> RecipientBook {
        self.book.clone()
    }

    /// What is known of a mailbox of an account.
    #[must_use]
    pub fn knowledge(&self, account: AccountId, mailbox: &Mailbox) -> Knowledge {
        let Some(domain) = mailbox.domain() else { return Knowledge::Unknown };
        self.book.read().knowledge(account, domain, &mailbox.local_part, Clock.wall())
    }

    /// Number of entries of a domain's list and when it was uploaded.
    #[must_use]
    pub fn list_of(&self, account: AccountId, domain: &DomainName) -> Option<(usize, WallTime)> {
        self.book.read().list_of(account, domain)
    }

    /// What the customer settled for a domain.
    #[must_use]
    pub fn policy(&self, account: AccountId, domain: &DomainName) -> Policy {
        self.book.read().policy(account, domain)
    }

    /// The customer's server took mail for a mailbox, or said that there is none of that name (550 5.1.1).
    pub fn learn(&self, account: AccountId, mailbox: &Mailbox, is_accepted: bool) {
        let Some(domain) = mailbox.domain() else { return };
        let learned = Learned {
            account,
            domain: domain.clone(),
            name: comparable(&mailbox.local_part),
            is_accepted,
            at: Clock.wall(),
        };
        let is_new = self.book.write().learn(&learned);
        if is_new && self.waiting.try_send(learned).is_err() {
            tracing::debug!(%account, "what a server said of a recipient is not stored, too much waits");
        }
    }

    /// Whether the customer's server is to be asked now for an address of that domain that nobody has. Yes to one asker.
    #[must_use]
    pub fn wants_call_out(&self, account: AccountId, domain: &DomainName) -> bool {
        let now = Clock.wall();
        if !self.book.read().wants_call_out(account, domain, now) {
            return false;
        }
        let mut book = self.book.write();
        let is_first = book.wants_call_out(account, domain, now);
        book.handle_calling(account, domain.clone(), now);
        is_first
    }

    /// Whether a server said that it takes every address of that domain.
    #[must_use]
    pub fn takes_everybody(&self, account: AccountId, domain: &DomainName) -> bool {
        self.book.read().call_out(account, domain).is_some_and(|said| said.takes_everybody)
    }

    /// It was asked: whether it takes every address. In force at once, stored soon.
    pub fn called_out(self: &Arc<Self>, account: AccountId, domain: &DomainName, takes_everybody: bool) {
        let said = CallOut { takes_everybody, at: Clock.wall() };
        self.book.write().set_call_out(account, domain.clone(), said);
        let (room, domain) = (Arc::clone(self), domain.clone());
        tokio::spawn(async move {
            if let Err(error) = room.store.set_call_out(account, domain, said).await {
                tracing::error!(%account, %error, "what a server said of an address that nobody has is not stored");
            }
        });
    }

    /// Takes uploaded lists, each in place of the one before; in force when it returns.
    ///
    /// # Errors
    /// [`RecipientError`]; lists before the one that failed stay in force.
    pub async fn replace_lists(
        &self,
        account: AccountId,
        lists: BTreeMap<DomainName, NewList>,
        change: &Change,
    ) -> Result<(), RecipientError> {
        let _turn = self.turn.lock().await;
        for (domain, list) in lists {
            let row = DomainRow {
                account,
                domain: domain.clone(),
                policy: self.policy(account, &domain),
                list_at: Some(change.at),
                hash_key: list.hash_key.clone(),
                call_out: self.book.read().call_out(account, &domain),
            };
            let entries = list.entries.clone();
            self.store.replace_list(account, domain, list, change.clone()).await?;
            self.book.write().set_domain(row, entries);
        }
        Ok(())
    }

    /// Forgets the list of a domain.
    ///
    /// # Errors
    /// [`RecipientError`]; nothing changed.
    pub async fn forget_list(
        &self,
        account: AccountId,
        domain: DomainName,
        change: Change,
    ) -> Result<(), RecipientError> {
        let _turn = self.turn.lock().await;
        self.store.forget_list(account, domain.clone(), change).await?;
        let policy = self.policy(account, &domain);
        let call_out = self.book.read().call_out(account, &domain);
        let row = DomainRow { account, domain, policy, list_at: None, hash_key: None, call_out };
        self.book.write().set_domain(row, []);
        Ok(())
    }

    /// Keeps what the customer settled for a domain.
    ///
    /// # Errors
    /// [`RecipientError`]; nothing changed.
    pub async fn set_policy(
        &self,
        account: AccountId,
        domain: DomainName,
        policy: Policy,
        change: Change,
    ) -> Result<(), RecipientError> {
        let _turn = self.turn.lock().await;
        self.store.set_recipient_policy(account, domain.clone(), policy.clone(), change).await?;
        self.book.write().set_policy(account, domain, policy);
        Ok(())
    }

    /// What is done from now on in domains without a list whose owners settled nothing.
    pub fn set_without_list(&self, rule: WithoutList) {
        self.book.write().set_without_list(rule);
    }

    /// Reads everything again, after domains or accounts went.
    ///
    /// # Errors
    /// The store cannot be read; what was known stays in force.
    pub async fn reload(&self) -> Result<(), RecipientError> {
        let _turn = self.turn.lock().await;
        let rows: RecipientRows = self.store.load_recipients(Clock.wall()).await?;
        let fresh = Table::new(rows);
        let mut book = self.book.write();
        let rule = book.rule_without_list();
        *book = fresh.without_list(rule);
        Ok(())
    }

    async fn write(self: Arc<Self>, mut learned: mpsc::Receiver<Learned>, shutdown: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            let is_last = tokio::select! {
                () = shutdown.cancelled() => true,
                () = tokio::time::sleep(WRITE_EVERY) => false,
            };
            while let Ok(one) = learned.try_recv() {
                batch.push(one);
            }
            if !batch.is_empty()
                && let Err(error) = self.store.learn(std::mem::take(&mut batch)).await
            {
                tracing::error!(%error, "what servers said of recipients was not stored");
            }
            if is_last {
                return;
            }
        }
    }

    async fn sweep(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(SWEEP_EVERY) => {}
            }
            self.book.write().sweep(Clock.wall());
            if let Err(error) = self.store.purge_learned(Clock.wall()).await {
                tracing::error!(%error, "what is known of recipients was not tidied up");
            }
        }
    }
}
