//! Asks the authority for certificates in time, one after the other, keeps them and shows them to the listeners.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder,
    OrderStatus, RetryPolicy,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::wire::driver::Wire;
use super::{Attempts, due_at};
use crate::base::{Clock, DomainName, WallTime};
use crate::certificate::driver::{read_together, write};
use crate::certificate::facts::CertificateFacts;
use crate::certificate::handle::CertificateHandle;

/// Longest wait between two looks at the clock, which may be set.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// For one certificate, from the first request to the last.
const ORDER_TIMEOUT: Duration = Duration::from_secs(600);
/// How long the authority may take to check, and then to issue.
const POLL_TIMEOUT: Duration = Duration::from_secs(180);
/// Characters of a reason that are kept.
const REASON_MAX: usize = 400;

/// Where the values of challenges are put.
#[async_trait]
pub trait ChallengePlace: Send + Sync {
    /// The name in our zones at which the value for a host stands. For a host elsewhere, `_acme-challenge` below it has to
    /// point there by CNAME.
    fn name_for(&self, host: &DomainName) -> DomainName;
    /// Puts a value at such a name; returns once everybody may be asked for it.
    async fn put(&self, name: &DomainName, value: &str);
    /// Takes it away again.
    fn take(&self, name: &DomainName, value: &str);
}

/// What the operator settled.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address of the authority's directory.
    pub directory: String,
    /// Whom it may write to.
    pub contact: Option<String>,
    /// The only authorities that may vouch for it, in PEM; the public ones if absent.
    pub trusted: Option<PathBuf>,
    /// Folder of keys and certificates.
    pub folder: PathBuf,
    /// The names in our certificate, our own first.
    pub names: Vec<DomainName>,
}

impl Settings {
    /// Where key and certificate are kept, in one file, so that they always belong together.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.join("acme.pem")
    }

    fn wish(&self) -> String {
        let names: Vec<&str> = self.names.iter().map(DomainName::as_str).collect();
        format!("{} {}", self.directory, names.join(","))
    }
}

/// How it stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// End of the certificate that is shown.
    pub not_after: Option<WallTime>,
    /// Tries that failed since the last success.
    pub failures: u32,
    /// Why the last one failed.
    pub error: Option<String>,
    /// When it is tried next.
    pub next_at: Option<WallTime>,
    /// Certificates that were issued since the start.
    pub issued: u64,
}

/// The account at the authority, as kept on disk with mode 0600.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    contact: Option<String>,
    credentials: AccountCredentials,
}

/// See the file.
pub struct Issuer {
    settings: Settings,
    place: Arc<dyn ChallengePlace>,
    handle: CertificateHandle,
    attempts: Mutex<Attempts>,
    asked: Notify,
    standing: watch::Sender<Standing>,
    /// Spreads renewals; the same as long as the process lives.
    spread: u32,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Works until `shutdown`. `handle` shows the certificate that was kept, or a self-signed one. Call within a tokio runtime.
    #[must_use]
    pub fn start(
        settings: Settings,
        place: Arc<dyn ChallengePlace>,
        handle: CertificateHandle,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        let mut attempts: Attempts = read_json(&settings.folder.join("acme-attempts.json")).unwrap_or_default();
        if attempts.wish != settings.wish() {
            attempts = Attempts { wish: settings.wish(), ..Attempts::default() };
        }
        let mut octets = [0; 4];
        // Without random numbers renewals are not spread.
        let _ = getrandom::fill(&mut octets);
        let issuer = Arc::new(Self {
            settings,
            place,
            handle,
            attempts: Mutex::new(attempts),
            asked: Notify::new(),
            standing: watch::Sender::default(),
            spread: u32::from_le_bytes(octets),
        });
        for host in &issuer.settings.names {
            let (own, usual) = (issuer.place.name_for(host), format!("_acme-challenge.{host}"));
            if own.as_str() != usual {
                tracing::info!(%host, "for its certificate this record is needed: {usual}. CNAME {own}.");
            }
        }
        tokio::spawn(Arc::clone(&issuer).run(shutdown));
        issuer
    }

    /// How it stands, now and from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// A person asks for another try if the last one failed.
    pub fn ask_again(&self) {
        self.asked.notify_one();
    }

    fn attempts(&self) -> Attempts {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what was tried and keeps it on disk.
    fn note(&self, change: impl FnOnce(&mut Attempts)) {
        let after = {
            let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut attempts);
            attempts.clone()
        };
        let path = self.settings.folder.join("acme-attempts.json");
        if let Err(error) = write_json(&path, &after, 0o644) {
            tracing::error!(%error, "what was tried for the certificate is not kept");
        }
    }

    async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            let now = Clock.wall();
            let facts = self.handle.facts();
            let due = due_at(Some(&facts), &self.settings.names, &self.attempts(), self.spread, now);
            self.tell(&facts, Some(due), 0);
            if due > now {
                let wait = (due - now).to_std().unwrap_or_default().min(LOOK_EVERY);
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    // One more millisecond, as clocks count whole ones.
                    () = tokio::time::sleep(wait + Duration::from_millis(1)) => {}
                    () = self.asked.notified() => self.note(|attempts| {
                        attempts.forgive(Clock.wall());
                    }),
                }
                continue;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.attempt(now) => {}
            }
        }
    }

    fn tell(&self, facts: &CertificateFacts, next_at: Option<WallTime>, issued: u64) {
        let attempts = self.attempts();
        // While a try runs it does not count yet.
        let failures = if attempts.error.is_some() { attempts.failures } else { 0 };
        self.standing.send_modify(|standing| {
            let issued = standing.issued + issued;
            *standing = Standing { not_after: Some(facts.not_after), failures, error: attempts.error, next_at, issued };
        });
    }

    async fn attempt(&self, now: WallTime) {
        self.note(|attempts| attempts.begin(now));
        tracing::info!(directory = %self.settings.directory, names = ?self.settings.names, "asking for a certificate");
        let done = match tokio::time::timeout(ORDER_TIMEOUT, self.obtain()).await {
            Ok(done) => done,
            Err(_) => Err(format!("not done within {} s", ORDER_TIMEOUT.as_secs())),
        };
        match done {
            Ok(()) => {
                self.note(Attempts::succeed);
                let facts = self.handle.facts();
                tracing::info!(not_after = %facts.not_after, names = ?facts.names, "the new certificate is shown");
                self.tell(&facts, None, 1);
            }
            Err(error) => {
                let error: String =
                    error.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_MAX).collect();
                self.note(|attempts| attempts.fail(&error));
                let failures = self.attempts().failures;
                tracing::error!(alert = "certificate", %error, failures, "there is no new certificate");
                self.tell(&self.handle.facts(), None, 0);
            }
        }
    }

    /// A new certificate for the key that we have, or for a new one where there is none; kept and shown.
    async fn obtain(&self) -> Result<(), String> {
        let file = self.settings.file();
        let key = key_of(&file)?;
        let account = self.account().await?;
        let chain = match order(&account, &self.settings.names, &key, &*self.place).await {
            Err(Error::Api(problem)) if is_type(&problem, "accountDoesNotExist") => {
                // The authority has forgotten us; the next account is a new one.
                let _ = std::fs::remove_file(self.account_file());
                order(&self.account().await?, &self.settings.names, &key, &*self.place).await
            }
            done => done,
        };
        let chain = chain.map_err(|error| words(&error))?;
        let whole = format!("{}{chain}", key.serialize_pem());
        write(&file, whole.as_bytes(), 0o600).map_err(|error| error.to_string())?;
        let (chain, key) = read_together(&file).map_err(|error| error.to_string())?;
        self.handle.replace(chain, key).map_err(|error| error.to_string())
    }

    fn account_file(&self) -> PathBuf {
        self.settings.folder.join("acme-account.json")
    }

    /// The account that we have there, or a new one.
    async fn account(&self) -> Result<Account, String> {
        let Settings { directory, contact, trusted, .. } = &self.settings;
        let pem = match trusted {
            Some(path) => Some(std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?),
            None => None,
        };
        let wire = Wire::new(pem.as_deref())?;
        let builder = Account::builder_with_http(Box::new(wire));
        let path = self.account_file();
        let contacts: Vec<String> = contact.iter().map(|mailbox| format!("mailto:{mailbox}")).collect();
        let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
        match read_json::<Kept>(&path).filter(|kept| kept.directory == *directory) {
            Some(kept) => {
                let is_other = kept.contact != *contact;
                // What is kept cannot be cloned: it is read again to be kept with the new contact.
                let again = read_json::<Kept>(&path).filter(|_| is_other);
                let account = builder.from_credentials(kept.credentials).await.map_err(|error| words(&error))?;
                if let Some(again) = again {
                    account.update_contacts(&contacts).await.map_err(|error| words(&error))?;
                    let kept = Kept { contact: contact.clone(), ..again };
                    write_json(&path, &kept, 0o600)?;
                }
                Ok(account)
            }
            None => {
                let wanted =
                    NewAccount { contact: &contacts, terms_of_service_agreed: true, only_return_existing: false };
                let made = builder.create(&wanted, directory.clone(), None).await;
                let (account, credentials) = made.map_err(|error| words(&error))?;
                let kept = Kept { directory: directory.clone(), contact: contact.clone(), credentials };
                write_json(&path, &kept, 0o600)?;
                tracing::info!(%directory, "there is an account at the authority now");
                Ok(account)
            }
        }
    }
}

/// The whole of RFC 8555 §7.4: a chain in PEM for these names and this key.
async fn order(
    account: &Account,
    names: &[DomainName],
    key: &rcgen::KeyPair,
    place: &dyn ChallengePlace,
) -> Result<String, Error> {
    let mut put = Put { place, all: Vec::new() };
    let identifiers: Vec<Identifier> = names.iter().map(|name| Identifier::Dns(name.to_string())).collect();
    let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let mut challenge =
            authorization.challenge(ChallengeType::Dns01).ok_or(Error::Unsupported("the challenge dns-01"))?;
        let host = challenge.identifier().to_string();
        let host = DomainName::parse(host.trim_start_matches("*.")).map_err(|error| Error::Other(Box::new(error)))?;
        put.add(place.name_for(&host), challenge.key_authorization().dns_value()).await;
        challenge.set_ready().await?;
    }
    let patience = RetryPolicy::new().initial_delay(Duration::from_secs(1)).backoff(1.5).timeout(POLL_TIMEOUT);
    if order.poll_ready(&patience).await? != OrderStatus::Ready {
        return Err(refused(&mut order).await);
    }
    let mut params = rcgen::CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())
        .map_err(|error| Error::Other(Box::new(error)))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params.serialize_request(key).map_err(|error| Error::Other(Box::new(error)))?;
    order.finalize_csr(request.der()).await?;
    order.poll_certificate(&patience).await
}

/// Why an order is invalid: the first authorization that says so.
async fn refused(order: &mut instant_acme::Order) -> Error {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let Ok(mut authorization) = authorization else { continue };
        // What was read before the challenge says nothing of it.
        let Ok(state) = authorization.refresh().await else { continue };
        let fault = state.challenges.iter().find_map(|challenge| challenge.error.clone());
        if let Some(problem) = fault {
            return Error::Api(problem);
        }
    }
    Error::Str("the authority found the order invalid and does not say why")
}

/// Values that stand in the DNS until this is dropped, whatever happens.
struct Put<'a> {
    place: &'a dyn ChallengePlace,
    all: Vec<(DomainName, String)>,
}

impl Put<'_> {
    async fn add(&mut self, name: DomainName, value: String) {
        self.all.push((name.clone(), value.clone()));
        self.place.put(&name, &value).await;
    }
}

impl Drop for Put<'_> {
    fn drop(&mut self) {
        self.all.iter().for_each(|(name, value)| self.place.take(name, value));
    }
}

fn is_type(problem: &instant_acme::Problem, word: &str) -> bool {
    problem.r#type.as_deref().is_some_and(|kind| kind.rsplit(':').next() == Some(word))
}

/// An error with what lies behind it: the library's own words often say little.
fn words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = inner.source();
    }
    text
}

/// The key of an earlier certificate, so that what others pinned (TLSA) stays right; else a new one.
fn key_of(file: &Path) -> Result<rcgen::KeyPair, String> {
    let kept = std::fs::read_to_string(file).ok().and_then(|text| {
        // The key stands first.
        let end = "-----END PRIVATE KEY-----";
        let pem = text.get(..text.find(end)? + end.len())?;
        rcgen::KeyPair::from_pem(pem).ok()
    });
    match kept {
        Some(key) => Ok(key),
        None => rcgen::KeyPair::generate().map_err(|error| error.to_string()),
    }
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Option<T> {
    let text = std::fs::read(path).ok()?;
    serde_json::from_slice(&text)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "not readable, begun anew"))
        .ok()
}

fn write_json(path: &Path, value: &impl Serialize, mode: u32) -> Result<(), String> {
    let text = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    write(path, &text, mode).map_err(|error| error.to_string())
}
