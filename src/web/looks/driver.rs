//! Looks at the domains of an account in the background, within a bounded time, and rings for the open pages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Begin, Book, DOMAINS_MAX, Kept, Looked};
use crate::account::Account;
use crate::base::{AccountId, DomainName};
use crate::survey::Look;
use crate::web::domain_pages::mail_domains;
use crate::web::request::App;

/// Looks of all accounts at the same time; the others wait.
const AT_ONCE_MAX: usize = 4;
/// A look with everything, waiting included, ends after this time with what it has.
const LOOK_TIMEOUT: Duration = Duration::from_secs(180);

/// Looks and who keeps them.
#[derive(Debug)]
pub(in crate::web) struct Looks {
    book: Mutex<Book>,
    turns: Arc<Semaphore>,
}

impl Default for Looks {
    fn default() -> Self {
        Self { book: Mutex::default(), turns: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }
}

impl Looks {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl App {
    /// What was seen of the domains of an account.
    pub(in crate::web) fn looked(&self, account: AccountId) -> Option<Kept> {
        self.looks.book().of(account, self.clock.monotonic()).cloned()
    }

    /// Begins a look at all domains of the account, and at `typed` besides; absent where nobody can look.
    pub(in crate::web) fn look(self: &Arc<Self>, account: &Account, typed: Option<DomainName>) -> Option<Begin> {
        let surveys = self.rooms.surveys.clone()?;
        let begin = self.looks.book().begin(account.id, true, self.clock.monotonic());
        if begin == Begin::Started {
            let served = mail_domains(&self.rooms.directory.load(), account.id);
            let domains = typed.into_iter().chain(served.into_iter().map(|(domain, _)| domain));
            self.spawn(surveys, account.id, domains.take(DOMAINS_MAX).collect());
        }
        Some(begin)
    }

    /// Looks again while somebody waits in front of an open page for what he entered.
    pub(in crate::web) fn look_again(self: &Arc<Self>, account: AccountId) {
        let Some(surveys) = self.rooms.surveys.clone() else { return };
        let now = self.clock.monotonic();
        let mut book = self.looks.book();
        let Some(domains) = book.wants_again(account, now) else { return };
        if book.begin(account, false, now) == Begin::Started {
            drop(book);
            self.spawn(surveys, account, domains);
        }
    }

    fn spawn(self: &Arc<Self>, surveys: Arc<dyn Look>, account: AccountId, domains: Vec<DomainName>) {
        let app = Arc::clone(self);
        app.hub.ring(account);
        tokio::spawn(async move {
            let mut seen = BTreeMap::new();
            let all = async {
                let Ok(_turn) = app.looks.turns.acquire().await else { return };
                for domain in domains {
                    match surveys.expected(account, &domain).await {
                        Ok(expected) => {
                            let facts = surveys.facts(&expected).await;
                            seen.insert(domain, Looked::of(&expected, &facts, app.clock.wall()));
                        }
                        Err(error) => tracing::error!(%domain, %error, "a domain cannot be looked at"),
                    }
                }
            };
            if timeout(LOOK_TIMEOUT, all).await.is_err() {
                tracing::warn!(%account, "a look at the domains of an account took too long");
            }
            app.looks.book().end(account, seen, app.clock.wall());
            app.hub.ring(account);
        });
    }
}
