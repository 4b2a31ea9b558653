//! Carries out an operator's command, on a running server or on the stored state of a stopped one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

use super::reply::{
    AccountShown, CommandError, FlushShown, MessageDetailShown, MessageShown, OwnOutageShown, ProofShown, QueueShown,
    RecipientShown, Reply, StateShown, StatusShown,
};
use super::request::{QueueFilter, Request};
use crate::account::{
    Account, AccountError, AccountName, AccountStatus, AccountStore, ApiTokenStore, ApiTokens, Change, Directory,
    DirectoryHandle, LEAVING_FOR, OPERATOR, OPERATOR_NAME, PeopleStore, SealKey,
};
use crate::alert::office::{ChannelShown, unreached};
use crate::alert::{AlertStore, Alerts};
use crate::base::{AccountId, DomainName, SpoolId, WallTime};
use crate::certificate::acme::driver::Issuer;
use crate::delivery::Flushes;
use crate::dns::sign::driver::KeyDesk;
use crate::dns::{ChallengeDesk, Dns, NameStore};
use crate::drill::Drills;
use crate::liveness::guard::Fault;
use crate::liveness::{self, LineState, Lines, TransitionLog};
use crate::outbound::OutboundStore;
use crate::recipient::{RecipientStore, Recipients};
use crate::smtp::Counters;
use crate::smtp::refusals::RefusalStore;
use crate::spool::{
    DeliveryReply, ListCursor, ListQuery, MessageRow, RecipientRow, RetrySelection, SpoolError, SpoolStore, StateFilter,
};
use crate::update::{Source, UpdateStore, Updates};
use crate::verdict::VerdictStore;
use crate::web::beat::join::JoinCodes;

/// Keeps the memory of the running server in step with the store.
#[async_trait]
pub trait DirectoryKeeper: Send + Sync {
    /// Reads the directory again and tells the heartbeat socket and liveness what is new and what is gone.
    async fn reload(&self) -> Result<(), AccountError>;
}

/// What only a running server has.
pub struct Running {
    /// What is public.
    pub people: Arc<dyn PeopleStore>,
    /// Live states.
    pub lines: Arc<dyn Lines>,
    /// The name server, if one is configured.
    pub dns: Option<Arc<Dns>>,
    /// Keys of ACME clients, if names are served.
    pub challenges: Option<Arc<ChallengeDesk>>,
    /// Keys by which zones are signed, if names are served.
    pub keys: Option<Arc<KeyDesk>>,
    /// Renews our own certificate, if that is wanted.
    pub issuer: Option<Arc<Issuer>>,
    /// Live deliveries.
    pub flushes: Arc<dyn Flushes>,
    /// Updates from devices.
    pub updates: Arc<Updates>,
    /// What is known of recipients.
    pub recipients: Arc<Recipients>,
    /// Channels of alerts.
    pub alerts: Arc<Alerts>,
    /// Tokens of the API.
    pub tokens: Arc<ApiTokens>,
    /// Fire drills.
    pub drills: Arc<Drills>,
    /// When silence counts.
    pub liveness: liveness::Settings,
    /// Keeps memory in step.
    pub keeper: Arc<dyn DirectoryKeeper>,
    /// Reads the configuration again; absent where there is none.
    pub reloads: Option<Arc<dyn Reloads>>,
    /// What the SMTP door has done.
    pub smtp: Arc<Counters>,
    /// Seals new heartbeat keys.
    pub seal: SealKey,
    /// Codes for `pulsemx-beat join`.
    pub joins: Arc<JoinCodes>,
    /// Where browsers reach the pages.
    pub public_url: String,
    /// When the server started.
    pub started_at: WallTime,
}

/// Reads the configuration again.
#[async_trait]
pub trait Reloads: Send + Sync {
    /// Sentences about what did not take effect.
    async fn reload(&self) -> Result<Vec<String>, CommandError>;
}

/// The place where commands are carried out.
pub struct Desk {
    /// Accounts and people.
    pub accounts: Arc<dyn AccountStore>,
    /// Mail.
    pub spool: Arc<dyn SpoolStore>,
    /// What is told of it, and mail of our own.
    pub post: Arc<dyn OutboundStore>,
    /// What was found of its senders.
    pub verdicts: Arc<dyn VerdictStore>,
    /// Recipients refused at the door.
    pub refusals: Arc<dyn RefusalStore>,
    /// History.
    pub log: Arc<dyn TransitionLog>,
    /// Update tokens, names, last requests.
    pub updates: Arc<dyn UpdateStore>,
    /// Tokens of the API.
    pub api_tokens: Arc<dyn ApiTokenStore>,
    /// Where names point, and customers' zones.
    pub names: Arc<dyn NameStore>,
    /// Channels of alerts.
    pub alerts: Arc<dyn AlertStore>,
    /// Held while a zone is read, changed and written: of two changes at once none is lost.
    pub zone_turn: tokio::sync::Mutex<()>,
    /// Lists of recipients.
    pub recipients: Arc<dyn RecipientStore>,
    /// All accounts in memory.
    pub directory: DirectoryHandle,
    /// Our public name.
    pub hostname: DomainName,
    /// Our public addresses, as far as the configuration names them.
    pub public_addresses: Vec<IpAddr>,
    /// Absent when the database of a stopped server is read.
    pub running: Option<Running>,
}

impl From<AccountError> for CommandError {
    fn from(error: AccountError) -> Self {
        Self::of(&error, matches!(error, AccountError::Engine(_)))
    }
}

impl From<SpoolError> for CommandError {
    fn from(error: SpoolError) -> Self {
        Self::of(&error, true)
    }
}

pub(super) fn unknown_account(name: &AccountName) -> CommandError {
    CommandError::new(format!("there is no account '{name}'; see `pulsemx account list`"))
}

impl Desk {
    /// Carries out one command.
    ///
    /// # Errors
    /// [`CommandError`] with one sentence for the operator.
    pub async fn carry_out(&self, request: Request, now: WallTime) -> Result<Reply, CommandError> {
        match request {
            Request::AccountAdd { name, domains, host, port } => self.add_account(name, domains, host, port, now).await,
            Request::AccountList => self.list_accounts().await,
            Request::AccountShow { name } => {
                let directory = self.directory.load();
                let account = find(&directory, &name)?;
                let mut shown = self.account_shown(&directory, account, &self.stored_states().await?);
                self.show_updates(&directory, account, &mut shown).await?;
                Ok(Reply::Account(Box::new(shown)))
            }
            Request::AccountRotate { name, overlap_s } => self.rotate(&name, overlap_s, now).await,
            Request::AccountRemove { name, at_once } => self.remove_account(&name, at_once, now).await,
            Request::AccountSuspend { name } => self.set_status(&name, AccountStatus::Suspended, now).await,
            Request::AccountOnline { name, mode } => self.set_online_mode(&name, mode, now).await,
            Request::AccountResume { name } => self.set_status(&name, AccountStatus::Active, now).await,
            Request::AccountLink { name } => self.link(name.as_ref(), now).await,
            Request::AccountJoin { name } => self.join(&name, now),
            Request::AccountProof { name } => self.proof(name).await,
            Request::DomainAdd { account, domain } => self.add_domain(&account, domain, now).await,
            Request::DomainRemove { account, domain } => self.remove_domain(&account, domain, now).await,
            Request::QueueList { account, filter, after, limit } => {
                self.queue(account.as_ref(), filter, after, limit).await
            }
            Request::QueueShow { id } => self.message(&id).await,
            Request::QueueTrace { address } => self.trace(&address, now).await,
            Request::QueueRetry { id, account } => self.retry(id, account.as_ref(), now).await,
            Request::StateList => self.state().await,
            Request::Reload => {
                let reloads = self.running()?.reloads.as_ref();
                let reloads = reloads.ok_or_else(|| CommandError::new("this server reads no configuration"))?;
                let warnings = reloads.reload().await?;
                self.issuer().iter().for_each(|issuer| issuer.ask_again());
                let message = "configuration and certificates were read again".to_owned();
                Ok(Reply::Done { message, warnings })
            }
            Request::StateRelease => self.release(now).await,
            Request::Status => self.status().await,
            Request::Mail(request) => self.carry_out_mail(request, now).await,
            Request::Post(request) => self.carry_out_post(request, now).await,
            Request::Tokens(request) => self.carry_out_token(request, now).await,
            Request::Updates(request) => self.carry_out_update(request, now).await,
            Request::Zones(request) => self.carry_out_zone(request, Self::change(now)).await,
            Request::Challenges(request) => self.carry_out_challenge(request, now).await,
            Request::Keys(request) => self.carry_out_keys(request, now).await,
            Request::Transfers(request) => self.carry_out_transfer(request, now).await,
            Request::Recipients(request) => self.carry_out_recipients(request, Self::change(now)).await,
            Request::Alerts(request) => self.carry_out_alert(request, now).await,
            Request::Drill(request) => self.carry_out_drill(request).await,
        }
    }

    pub(super) fn running(&self) -> Result<&Running, CommandError> {
        self.running
            .as_ref()
            .ok_or_else(|| CommandError::new("this command needs the running server; start it with `pulsemx serve`"))
    }

    pub(super) fn change(now: WallTime) -> Change {
        Change { at: now, who: "operator".to_owned() }
    }

    async fn proof(&self, name: AccountName) -> Result<Reply, CommandError> {
        let account = find(&self.directory.load(), &name)?.id;
        let tally = self.spool.tally(account).await?;
        Ok(Reply::Proof(ProofShown {
            account: name,
            accepted: tally.accepted,
            delivered: tally.delivered,
            deleted: tally.deleted,
            expired: tally.expired,
            waiting: tally.waiting,
            refused: tally.refused,
            balanced: tally.is_balanced(),
        }))
    }

    async fn add_domain(&self, name: &AccountName, domain: DomainName, now: WallTime) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let directory = self.directory.load();
        let account = find(&directory, name)?.id;
        let endpoints = directory.endpoints_of(account).iter().map(|e| e.id).collect();
        self.accounts.add_domain(account, domain.clone(), endpoints, Self::change(now)).await?;
        let warnings = reload(running).await;
        Ok(Reply::Done { message: format!("mail for {domain} is taken for account {name}"), warnings })
    }

    async fn remove_domain(
        &self,
        name: &AccountName,
        domain: DomainName,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let account = find(&self.directory.load(), name)?.id;
        self.accounts.remove_domain(account, domain.clone(), Self::change(now)).await?;
        let mut warnings = reload(running).await;
        if let Err(error) = running.recipients.reload().await {
            warnings.push(format!("its recipients are forgotten at the next start only: {error}"));
        }
        warnings.extend([format!(
            "senders to {domain} are put off for {} days and refused afterwards; take us out of its MX records",
            LEAVING_FOR.as_secs() / 86_400
        )]);
        Ok(Reply::Done { message: format!("mail for {domain} is taken no longer"), warnings })
    }

    async fn queue(
        &self,
        account: Option<&AccountName>,
        filter: QueueFilter,
        after: Option<String>,
        limit: u32,
    ) -> Result<Reply, CommandError> {
        let directory = self.directory.load();
        let mail_of = |name: &AccountName| directory.mail_of(name.as_str()).ok_or_else(|| unknown_account(name));
        let account = account.map(mail_of).transpose()?;
        let filter = match filter {
            QueueFilter::Held => StateFilter::Held,
            QueueFilter::Waiting => StateFilter::Waiting,
            QueueFilter::Refused => StateFilter::Refused,
            QueueFilter::Delivered => StateFilter::Delivered,
            QueueFilter::Any => StateFilter::Any,
        };
        let after = after.map(|id| spool_id(&id).map(ListCursor)).transpose()?;
        let page = self.spool.list(ListQuery { account, filter, after, limit: limit.clamp(1, 1_000) }).await?;
        Ok(Reply::Queue(QueueShown {
            messages: page.rows.iter().map(|row| message_shown(&directory, row)).collect(),
            next: page.next.map(|cursor| cursor.0.to_string()),
        }))
    }

    async fn message(&self, id: &str) -> Result<Reply, CommandError> {
        let detail = self.spool.show(spool_id(id)?).await?.ok_or_else(|| {
            CommandError::new(format!("there is no message {id}; see `pulsemx queue list --state any`"))
        })?;
        Ok(Reply::Message(Box::new(MessageDetailShown {
            message: message_shown(&self.directory.load(), &detail.row),
            peer: detail.peer,
            helo: detail.helo,
            tls: detail.row.tls,
            message_id: detail.message_id,
            verdict: self.verdicts.verdict(detail.row.id).await?,
            sha256: data_encoding::HEXLOWER.encode(&detail.sha256),
        })))
    }

    async fn retry(
        &self,
        id: Option<String>,
        account: Option<&AccountName>,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let directory = self.directory.load();
        let (selection, accounts) = match (id, account) {
            (Some(id), _) => {
                let id = spool_id(&id)?;
                let detail =
                    self.spool.show(id).await?.ok_or_else(|| CommandError::new(format!("there is no message {id}")))?;
                (RetrySelection::Message(id), detail.row.recipients.iter().map(|r| r.account).collect())
            }
            (None, Some(name)) => {
                let account = find(&directory, name)?.id;
                (RetrySelection::Account(account), vec![account])
            }
            (None, None) => return Err(CommandError::new("say which: a spool id or --account NAME")),
        };
        let recipients = self.try_again(selection, &accounts, Self::change(now)).await?;
        Ok(Reply::Retried { recipients })
    }

    /// Queues mail of `accounts` for now on behalf of whoever `by` names; returns how many recipients that concerns.
    ///
    /// # Errors
    /// [`CommandError`]; nothing was changed then.
    pub async fn try_again(
        &self,
        what: RetrySelection,
        accounts: &[AccountId],
        by: Change,
    ) -> Result<u64, CommandError> {
        let running = self.running()?;
        let recipients = self.spool.retry(what, by).await?;
        for account in accounts {
            running.flushes.retry(*account);
        }
        Ok(recipients)
    }

    async fn list_accounts(&self) -> Result<Reply, CommandError> {
        let directory = self.directory.load();
        let stored = self.stored_states().await?;
        let mut all: Vec<AccountShown> =
            directory.accounts().into_iter().map(|a| self.account_shown(&directory, a, &stored)).collect();
        self.show_sources(&directory, &mut all).await?;
        Ok(Reply::Accounts(all))
    }

    async fn state(&self) -> Result<Reply, CommandError> {
        let directory = self.directory.load();
        let stored = self.stored_states().await?;
        let shown = directory.accounts().into_iter().map(|a| self.account_shown(&directory, a, &stored));
        let suspect = shown.filter(|a| a.state == LineState::Suspect).map(|a| a.account).collect();
        let own_outage = self.running.as_ref().and_then(|running| running.lines.own_outage());
        let own_outage = own_outage.map(|outage| OwnOutageShown {
            fault: match outage.fault {
                Fault::MassMiss => "mass_miss",
                Fault::Overload => "overload",
            }
            .to_owned(),
            since: outage.since,
            silent: outage.silent,
            heard: outage.heard,
            uplink_up: outage.is_uplink_up,
        });
        Ok(Reply::State(StateShown { own_outage, suspect }))
    }

    async fn release(&self, now: WallTime) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let outage = running
            .lines
            .own_outage()
            .ok_or_else(|| CommandError::new("no silence is taken to be our own fault; there is nothing to release"))?;
        let words = format!("silence of {} of {} lines is real", outage.silent, outage.heard);
        self.accounts.note(words.clone(), Self::change(now)).await?;
        // It may have ended by itself in between; the accounts are right either way.
        running.lines.release_own_outage();
        Ok(Reply::Done { message: format!("{words}: who is still silent is neutralised"), warnings: Vec::new() })
    }

    async fn status(&self) -> Result<Reply, CommandError> {
        let directory = self.directory.load();
        let stored = self.stored_states().await?;
        let all: Vec<AccountShown> =
            directory.accounts().into_iter().map(|a| self.account_shown(&directory, a, &stored)).collect();
        let channels = self.channels(|_| true).await?;
        let count = |state: LineState| len(all.iter().filter(|a| a.state == state).count());
        Ok(Reply::Status(StatusShown {
            hostname: self.hostname.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            running: self.running.is_some(),
            started_at: self.running.as_ref().map(|r| r.started_at),
            accounts: len(all.len()),
            online: count(LineState::Online),
            suspect: count(LineState::Suspect),
            offline: count(LineState::Offline),
            returning: count(LineState::Returning),
            new: count(LineState::New),
            held: all.iter().map(|a| a.held).sum(),
            refused: all.iter().map(|a| a.refused).sum(),
            held_bytes: all.iter().map(|a| a.held_bytes).sum(),
            delivering: len(all.iter().filter(|a| a.delivering).count()),
            postmaster: self.spool.usage(OPERATOR).waiting,
            smtp: self.running.as_ref().map(|running| running.smtp.shown()),
            alerts_failing: len(channels.iter().filter(|channel| ChannelShown::is_failing(channel)).count()),
            alerts_unreached: unreached(&channels),
            certificate: self.issuer().map(|issuer| issuer.watch().borrow().clone().into()),
        }))
    }

    /// Who renews our own certificate.
    fn issuer(&self) -> Option<&Arc<Issuer>> {
        self.running.as_ref()?.issuer.as_ref()
    }

    /// The states that the log knows, for a server that does not run; the best endpoint speaks for its account.
    async fn stored_states(&self) -> Result<BTreeMap<AccountId, (LineState, Option<WallTime>)>, CommandError> {
        let mut states = BTreeMap::new();
        if self.running.is_some() {
            return Ok(states);
        }
        for watched in self.log.load().await.map_err(|e| CommandError::new(e.to_string()))? {
            let rank = |state| match state {
                LineState::Online => 0,
                LineState::Returning => 1,
                LineState::Suspect => 2,
                LineState::Offline => 3,
                LineState::New => 4,
            };
            let entry = states.entry(watched.account).or_insert((watched.state, watched.since));
            if rank(watched.state) < rank(entry.0) {
                *entry = (watched.state, watched.since);
            }
        }
        Ok(states)
    }

    fn account_shown(
        &self,
        directory: &Directory,
        account: &Account,
        stored: &BTreeMap<AccountId, (LineState, Option<WallTime>)>,
    ) -> AccountShown {
        let line = self.running.as_ref().and_then(|r| r.lines.account_line(account.id));
        let flush = self.running.as_ref().map(|r| r.flushes.view(account.id)).unwrap_or_default();
        let usage = self.spool.usage(account.id);
        let endpoints = directory.endpoints_of(account.id);
        let endpoint =
            line.as_ref().and_then(|l| directory.endpoint(l.endpoint)).or_else(|| endpoints.first().copied());
        let (state, since) = line
            .as_ref()
            .map(|l| (l.state, l.since))
            .or_else(|| stored.get(&account.id).copied())
            .unwrap_or((LineState::New, None));
        let last_known = endpoint.and_then(|e| e.address_v4.map(Into::into).or(e.address_v6.map(Into::into)));
        let families = self.running.as_ref().zip(line.as_ref()).map(|(r, line)| r.lines.families(line.endpoint));
        let families = families.unwrap_or_default();
        AccountShown {
            account: account.name.clone(),
            status: account.status,
            status_since: account.status_since,
            online_mode: account.online_mode,
            holiday_until: directory.preferences(account.id).holiday.map(|holiday| holiday.until),
            forwarders: directory.preferences(account.id).forwarders.clone(),
            state,
            since,
            address: line.as_ref().and_then(|l| l.address).or(last_known),
            port: endpoint.map_or(0, |e| e.smtp_port),
            host: endpoint.map_or_else(|| self.hostname.clone(), |e| e.host.clone()),
            domains: directory.domains_of(account.id).iter().map(|d| d.name.clone()).collect(),
            loss_percent: line.as_ref().filter(|l| l.last_beat.is_some()).map(|l| l.loss_percent),
            unanswered_percent: line.as_ref().and_then(|l| l.unanswered_percent),
            families: [families.v4, families.v6].into_iter().flatten().map(Into::into).collect(),
            not_proven: families.not_proven,
            name_held_until: line.as_ref().and_then(|l| l.name_held_until),
            last_beat: line.as_ref().and_then(|l| l.last_beat_at),
            held: usage.waiting,
            refused: usage.refused,
            held_bytes: usage.octets,
            delivering: flush.is_delivering,
            last_problem: flush.last_problem,
            proof: flush.proof.map(str::to_owned),
            doubt: flush.doubt,
            hold: flush.hold,
            last_flush: flush.last.map(|f| FlushShown {
                ended_at: f.ended_at,
                delivered: f.delivered,
                deferred: f.deferred,
                refused: f.refused,
                took_ms: u64::try_from((f.ended_at - f.started_at).num_milliseconds()).unwrap_or(0),
                first_delivery_ms: f.first_delivery_after.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            }),
            live: self.running.is_some(),
            source: Source::None,
            detection_s: None,
            expiry_s: None,
            backup_mx: true,
            names: Vec::new(),
            devices: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// Tells memory of a change that is stored. Should that fail, the change stands and is read again within minutes: the
/// command has succeeded, and says so with a warning.
pub(super) async fn reload(running: &Running) -> Vec<String> {
    match running.keeper.reload().await {
        Ok(()) => Vec::new(),
        Err(error) => {
            vec![format!("stored, but not in force before the next look at the accounts, 10 minutes at most: {error}")]
        }
    }
}

pub(super) fn len(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

pub(super) fn find<'a>(directory: &'a Directory, name: &AccountName) -> Result<&'a Account, CommandError> {
    directory.account_named(name.as_str()).ok_or_else(|| unknown_account(name))
}

pub(super) fn spool_id(text: &str) -> Result<SpoolId, CommandError> {
    text.parse().map_err(|e: crate::base::id::SpoolIdError| CommandError::new(e.to_string()))
}

/// A row as it is shown.
#[must_use]
pub fn message_shown(directory: &Directory, row: &MessageRow) -> MessageShown {
    let first = row.recipients.first().map(|r| r.account);
    let name = |id| match id {
        OPERATOR => OPERATOR_NAME.parse().ok(),
        id => directory.account(id).map(|account| account.name.clone()),
    };
    let account = first.filter(|first| row.recipients.iter().all(|r| r.account == *first)).and_then(name);
    MessageShown {
        id: row.id.to_string(),
        account,
        accepted_at: row.accepted_at,
        from: row.reverse_path.clone(),
        recipients: row.recipients.iter().map(recipient_shown).collect(),
        bytes: row.octets,
    }
}

fn recipient_shown(row: &RecipientRow) -> RecipientShown {
    let words =
        |reply: &DeliveryReply| reply.code.map_or_else(|| reply.text.clone(), |code| format!("{code} {}", reply.text));
    RecipientShown {
        to: row.mailbox.clone(),
        state: row.state.to_string(),
        due_at: row.due_at,
        attempts: row.attempts,
        last_attempt_at: row.last_attempt_at,
        last_reply: row.last_reply.as_ref().map(words),
    }
}
