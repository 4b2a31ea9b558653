//! Carries drills out: sends the message, looks at the spool, opens the way again, writes down what came of it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use tokio::sync::broadcast;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::docket::{Docket, Refusal, Standing};
use super::letter;
use super::machine::{Machine, Mail, SEND_MAX, Sight, Todo};
use super::names::{self, LOOK_MAX, NamesSeen};
use super::record::{End, Record};
use super::store::{DrillError, DrillStore};
use super::words;
use crate::account::{Change, DirectoryHandle};
use crate::alert::Language;
use crate::base::{AccountId, Clock, DomainName, Mailbox, SpoolId};
use crate::delivery::identity::fingerprint;
use crate::delivery::{Flushes, MailPaths};
use crate::liveness::{LineState, Lines};
use crate::spool::{RecipientState, Ruling, SpoolStore};
use crate::survey::{Depth, Surveyor, judge};

/// How often the spool is looked at: what a person reads as "at once", and nothing beside one delivery.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often the message of a drill that failed is taken out again while a delivery still has it in its hands.
const CLEAR_EVERY: Duration = Duration::from_secs(5);
/// How often at most: a delivery waits for its server no longer than that.
const CLEARINGS_MAX: u32 = 120;
/// Looks for a key that the first delivery taught, half a second in all: one commit.
const PIN_LOOKS: u32 = 10;
/// Characters of what somebody else said that are kept.
const REASON_CHARS_MAX: usize = 400;

/// What drills need to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our own name.
    pub hostname: DomainName,
    /// Who writes.
    pub from: Mailbox,
    /// Our own port 25.
    pub smtp: SocketAddr,
}

impl Settings {
    /// The address at which a listener is reached from this machine.
    #[must_use]
    pub const fn reached_at(listener: SocketAddr) -> SocketAddr {
        let ip = match listener.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
        };
        SocketAddr::new(ip, listener.port())
    }
}

/// The neighbours.
pub struct Rooms {
    /// Accounts and servers.
    pub directory: DirectoryHandle,
    /// Beats.
    pub lines: Arc<dyn Lines>,
    /// Mail.
    pub spool: Arc<dyn SpoolStore>,
    /// How deliveries stand.
    pub flushes: Arc<dyn Flushes>,
    /// Cuts and mends.
    pub paths: Arc<dyn MailPaths>,
    /// Keeps what came of it.
    pub store: Arc<dyn DrillStore>,
    /// Open pages of an account.
    pub pages: broadcast::Sender<AccountId>,
    /// Asks the public DNS; without it nothing is said of that.
    pub surveyor: Option<Surveyor>,
}

/// The drills of all accounts.
pub struct Drills {
    settings: Settings,
    rooms: Rooms,
    docket: Mutex<Docket>,
    records: Mutex<HashMap<AccountId, Record>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drills {
    /// Reads what is kept. A drill that has no end was interrupted.
    ///
    /// # Errors
    /// [`DrillError`]: the store cannot be read.
    pub async fn start(settings: Settings, rooms: Rooms, shutdown: CancellationToken) -> Result<Arc<Self>, DrillError> {
        let mut records: HashMap<AccountId, Record> = rooms.store.drills().await?.into_iter().collect();
        for record in records.values_mut().filter(|record| record.end.is_none()) {
            record.end = Some(End::Interrupted);
            record.ended_at = Some(record.started_at);
        }
        Ok(Arc::new(Self {
            settings,
            rooms,
            docket: Mutex::default(),
            records: Mutex::new(records),
            tasks: TaskTracker::new(),
            shutdown,
        }))
    }

    /// The running drill of an account, or its last one.
    #[must_use]
    pub fn record(&self, account: AccountId) -> Option<Record> {
        locked(&self.records).get(&account).cloned()
    }

    /// Whether one runs.
    #[must_use]
    pub fn is_running(&self, account: AccountId) -> bool {
        locked(&self.docket).is_running(account)
    }

    /// Of which accounts one runs, in no order.
    #[must_use]
    pub fn running(&self) -> Vec<AccountId> {
        locked(&self.docket).running()
    }

    /// Begins a drill on behalf of `who` and returns at once; [`record`](Self::record) shows how it goes. Without an
    /// address it is sent to the postmaster of the account's first domain.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was done then.
    pub async fn begin(self: &Arc<Self>, account: AccountId, to: Option<&str>, who: &str) -> Result<Record, Refusal> {
        if self.shutdown.is_cancelled() {
            return Err(Refusal::Service { reason: "it is closing down".to_owned() });
        }
        let to = self.addressee(account, to)?;
        let standing = self.standing(account)?;
        locked(&self.docket).begin(account, standing, Clock.monotonic())?;
        // From here on, however it ends, the way is open and the account may have another drill.
        let place = Place { drills: Arc::clone(self), account };
        let record = Record {
            started_at: Clock.wall(),
            to: to.to_string(),
            who: who.to_owned(),
            steps: Vec::new(),
            ended_at: None,
            end: None,
            dns: None,
        };
        let change = Change { at: record.started_at, who: who.to_owned() };
        let what = format!("drill.start {to}");
        if let Err(error) = self.rooms.store.put_drill(account, record.clone(), what, change).await {
            tracing::error!(%account, %error, "a drill is not begun");
            return Err(Refusal::Service { reason: error.to_string() });
        }
        self.show(account, record.clone());
        tracing::info!(%account, %to, who, "a drill begins");
        self.tasks.spawn(Arc::clone(self).carry_out(place, to, record.clone()));
        Ok(record)
    }

    /// Waits until running drills have ended after the shutdown: their ways are open by then.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn addressee(&self, account: AccountId, to: Option<&str>) -> Result<Mailbox, Refusal> {
        let directory = self.rooms.directory.load();
        let domains = directory.domains_of(account);
        let Some(text) = to.map(str::trim).filter(|text| !text.is_empty()) else {
            let hosts: Vec<_> = directory.endpoints_of(account).into_iter().map(|endpoint| &endpoint.host).collect();
            let official = domains.iter().find(|domain| !hosts.contains(&&domain.name));
            let domain = official.or_else(|| domains.first()).ok_or(Refusal::NoDomain)?;
            return Ok(Mailbox::postmaster(&domain.name));
        };
        let not_own = || Refusal::NotOwn { address: text.chars().take(100).filter(|c| !c.is_control()).collect() };
        let mailbox = Mailbox::parse(text, false).map_err(|_| not_own())?;
        let is_own = mailbox.domain().is_some_and(|domain| domains.iter().any(|own| own.name == *domain));
        if is_own { Ok(mailbox) } else { Err(not_own()) }
    }

    fn standing(&self, account: AccountId) -> Result<Standing, Refusal> {
        let directory = self.rooms.directory.load();
        let status = directory.account(account).ok_or(Refusal::NoAccount)?.status;
        let line = self.rooms.lines.account_line(account).map_or(LineState::New, |line| line.state);
        let stopped = self.rooms.flushes.view(account).hold.map(|hold| hold.reason);
        Ok(Standing { line, status, stopped })
    }

    fn show(&self, account: AccountId, record: Record) {
        locked(&self.records).insert(account, record);
        // Nobody has a page open: nobody needs to know.
        let _ = self.rooms.pages.send(account);
    }

    async fn carry_out(self: Arc<Self>, place: Place, to: Mailbox, mut record: Record) {
        let account = place.account;
        tokio::select! {
            seen = self.look_at_names(&to) => record.dns = seen,
            () = self.shutdown.cancelled() => {}
        }
        let mut machine = Machine::begin(Clock.monotonic());
        self.rooms.paths.cut(account, machine.cut_until());
        let mut message = None;
        loop {
            let todo = machine.poll(Clock.monotonic());
            if machine.steps() != record.steps {
                record.steps = machine.steps().to_vec();
                self.show(account, record.clone());
            }
            message = machine.message().or(message);
            match todo {
                Todo::Send => {
                    let said = self.send(&to).await;
                    machine.handle_sent(said, Clock.monotonic());
                    continue;
                }
                Todo::Mend => {
                    machine.handle_mended(Clock.monotonic());
                    self.rooms.paths.mend(account);
                    continue;
                }
                Todo::Look(id) | Todo::Watch(id) => match self.look(account, id).await {
                    Ok(sight) => machine.handle_sight(sight, Clock.monotonic()),
                    Err(reason) => machine.handle_fault(reason),
                },
                Todo::Stop => break,
            }
            if machine.end().is_some() {
                continue;
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = self.shutdown.cancelled() => machine.handle_fault("it is closing down".to_owned()),
            }
        }
        let end = machine.end().cloned();
        self.finish(place, record, end, message).await;
    }

    /// What the world's DNS says of the domain that is written to. A resolver that does not answer stops nothing.
    async fn look_at_names(&self, to: &Mailbox) -> Option<NamesSeen> {
        let (surveyor, domain) = (self.rooms.surveyor.as_ref()?, to.domain()?);
        let expected = names::expected(domain, &self.rooms.directory.load(), &self.settings.hostname)?;
        let Ok(facts) = timeout(LOOK_MAX, surveyor.look(&expected, Depth::Names)).await else {
            return Some(NamesSeen::unknown(domain));
        };
        names::judged(&expected, &judge(&expected, &facts, Clock.wall()))
    }

    async fn finish(&self, place: Place, mut record: Record, end: Option<End>, message: Option<SpoolId>) {
        let account = place.account;
        record.ended_at = Some(Clock.wall());
        record.end = match end {
            Some(End::Failed { gate, reason }) => {
                let reason = reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
                Some(End::Failed { gate, reason })
            }
            Some(End::Passed { proof, key: None }) => Some(End::Passed { proof, key: self.new_pin(account).await }),
            end => end,
        };
        let line = words::result(&record, Language::En);
        tracing::info!(%account, passed = record.has_passed(), "{line}");
        let what = format!("drill.end {line}");
        let change = Change { at: Clock.wall(), who: record.who.clone() };
        if let Err(error) = self.rooms.store.put_drill(account, record.clone(), what, change).await {
            tracing::error!(%account, %error, "the result of a drill is not kept");
        }
        let (has_arrived, who) = (record.has_arrived(), record.who.clone());
        // The way is open and another drill may begin before anybody reads of the end.
        drop(place);
        self.show(account, record);
        if let Some(id) = message.filter(|_| !has_arrived) {
            self.clear(id, &who).await;
        }
    }

    /// The key that this very delivery taught: it is pinned after the message was taken.
    async fn new_pin(&self, account: AccountId) -> Option<String> {
        for _ in 0..PIN_LOOKS {
            if let Some(pin) = self.pin(account) {
                return Some(pin);
            }
            sleep(LOOK_EVERY).await;
        }
        None
    }

    fn pin(&self, account: AccountId) -> Option<String> {
        let endpoint = self.rooms.lines.account_line(account)?.endpoint;
        self.rooms.directory.load().endpoint(endpoint)?.pin.map(|pin| fingerprint(&pin))
    }

    /// Over a connection of its own, as a stranger would.
    async fn send(&self, to: &Mailbox) -> Result<SpoolId, String> {
        let Settings { hostname, from, smtp } = &self.settings;
        let mut name = [0; 10];
        getrandom::fill(&mut name).map_err(|error| error.to_string())?;
        let name = data_encoding::HEXLOWER.encode(&name);
        let text = letter::text(from, to, hostname, &name, Clock.wall());
        let address =
            |mailbox: &Mailbox| mailbox.to_string().parse().map_err(|_| format!("{mailbox} cannot be written to"));
        let envelope = Envelope::new(Some(address(from)?), vec![address(to)?]).map_err(|error| error.to_string())?;
        let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(smtp.ip().to_string())
            .port(smtp.port())
            .hello_name(ClientId::Domain(hostname.to_string()))
            .timeout(Some(SEND_MAX))
            .build();
        let sent = timeout(SEND_MAX, transport.send_raw(&envelope, &text)).await;
        let reply = sent.map_err(|_| format!("no reply within {} s", SEND_MAX.as_secs()))?.map_err(|error| {
            // Its source has the words of the door.
            let why = std::error::Error::source(&error).map(ToString::to_string);
            why.map_or_else(|| error.to_string(), |why| format!("{error}: {why}"))
        })?;
        letter::spool_id(reply.message().next().unwrap_or_default())
    }

    /// What is to be seen of the message and of its server.
    async fn look(&self, account: AccountId, id: SpoolId) -> Result<Sight, String> {
        let shown = self.rooms.spool.show(id).await.map_err(|error| error.to_string())?;
        let recipient = shown.and_then(|detail| detail.row.recipients.into_iter().next());
        let line = self.rooms.lines.account_line(account);
        let mail = match recipient {
            None => Mail::Absent,
            Some(row) => match (row.state, row.last_reply) {
                (RecipientState::Delivered, _) => {
                    let trace = self.rooms.spool.trace(id).await.map_err(|error| error.to_string())?;
                    let proof = trace.attempts.into_iter().next_back().and_then(|attempt| attempt.proof);
                    Mail::Delivered {
                        proof: proof.unwrap_or_else(|| "its heartbeats alone".to_owned()),
                        key: self.pin(account),
                    }
                }
                (RecipientState::Refused | RecipientState::Expired, Some(reply)) => Mail::Refused(reply),
                (RecipientState::Queued, Some(reply)) if row.attempts > 0 => Mail::Deferred(reply),
                (RecipientState::Queued | RecipientState::Claimed, _) => Mail::Waiting,
                (RecipientState::Held | RecipientState::Refused | RecipientState::Expired, _) => Mail::KeptBack,
            },
        };
        let view = self.rooms.flushes.view(account);
        let doubt = view.doubt.filter(|_| view.last_problem.is_some());
        let is_line_up = line.is_some_and(|line| line.state.is_deliverable());
        Ok(Sight { mail, problem: view.last_problem, doubt, is_line_up })
    }

    /// Takes the message of a drill that failed out of the spool, so that it does not arrive hours later.
    async fn clear(&self, id: SpoolId, who: &str) {
        for _ in 0..CLEARINGS_MAX {
            let change = Change { at: Clock.wall(), who: who.to_owned() };
            match self.rooms.spool.rule(id, Ruling::Drop, change).await {
                Ok(0) => {}
                Ok(_) => return,
                Err(error) => tracing::warn!(spool_id = %id, %error, "the message of a drill is not removed yet"),
            }
            let is_over = match self.rooms.spool.show(id).await {
                Ok(None) => true,
                Ok(Some(detail)) => detail.row.recipients.iter().all(|row| row.state == RecipientState::Delivered),
                Err(_) => false,
            };
            if is_over {
                return;
            }
            tokio::select! {
                () = sleep(CLEAR_EVERY) => {}
                // It is delivered or refused after the next start, as any other.
                () = self.shutdown.cancelled() => return,
            }
        }
        tracing::warn!(spool_id = %id, "the message of a drill stays in the spool");
    }
}

/// A drill that runs. Dropped, also by a fault, the way is open and the account is free for another.
struct Place {
    drills: Arc<Drills>,
    account: AccountId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.drills.rooms.paths.mend(self.account);
        locked(&self.drills.docket).end(self.account);
    }
}
