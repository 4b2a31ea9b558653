//! Carries out the commands about updates from devices, and adds to an account what is known of them.

use std::time::Duration;

use super::desk::{Desk, find};
use super::reply::{AccountShown, CommandError, DeviceShown, HostShown, Reply, UpdateTokenShown};
use super::request::UpdateRequest;
use crate::account::{Account, AccountName, Directory};
use crate::base::{AccountId, DomainName, WallTime};
use crate::liveness::LineState;
use crate::update::model::{EXPIRY_MAX, EXPIRY_MIN};
use crate::update::{
    AccountUpdates, DeviceRequest, HostName, Ledger, Policy, Source, TokenKind, TokenRecord, UpdateError, token,
};

impl From<UpdateError> for CommandError {
    fn from(error: UpdateError) -> Self {
        Self::new(error.to_string())
    }
}

impl Desk {
    pub(super) async fn carry_out_update(&self, request: UpdateRequest, now: WallTime) -> Result<Reply, CommandError> {
        match request {
            UpdateRequest::TokenNew { account, kind, host, valid_s } => {
                self.new_token(&account, kind, host, valid_s, now).await
            }
            UpdateRequest::TokenList { account } => self.list_tokens(account.as_ref(), now).await,
            UpdateRequest::TokenRevoke { account, id } => {
                let running = self.running()?;
                let owner = find(&self.directory.load(), &account)?.id;
                self.updates.revoke_token(owner, id, Self::change(now)).await?;
                running.updates.reload().await?;
                Ok(done(format!("token {id} of {account} opens nothing any more")))
            }
            UpdateRequest::HostAdd { account, host, interface_id } => {
                let running = self.running()?;
                let directory = self.directory.load();
                let owner = find(&directory, &account)?.id;
                let all = directory.endpoints_of(owner);
                let gone = || CommandError::new("this account has no mail server; see `pulsemx account show`");
                let own = all.iter().find(|endpoint| endpoint.host == host).or(all.first());
                let endpoint = own.ok_or_else(gone)?.id;
                let row = HostName { interface_id, ..HostName::new(host.clone(), owner, endpoint) };
                self.updates.add_host(row, Self::change(now)).await?;
                running.updates.reload().await?;
                Ok(done(format!("{host} is a dynamic name of {account}")))
            }
            UpdateRequest::HostList { account } => {
                let directory = self.directory.load();
                let owner = find(&directory, &account)?.id;
                Ok(Reply::Hosts(self.hosts(&directory, owner).await?))
            }
            UpdateRequest::HostRemove { account, host } => {
                let running = self.running()?;
                let owner = find(&self.directory.load(), &account)?.id;
                self.updates.remove_host(owner, host.clone(), Self::change(now)).await?;
                running.updates.reload().await?;
                Ok(done(format!("{host} is no dynamic name any more")))
            }
            UpdateRequest::Set { account, expiry_s, backup_mx, forget_beats } => {
                self.settle(&account, expiry_s, backup_mx, forget_beats, now).await
            }
        }
    }

    async fn new_token(
        &self,
        name: &AccountName,
        kind: TokenKind,
        host: Option<DomainName>,
        valid_s: Option<u64>,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let account = find(&self.directory.load(), name)?.id;
        let names = running.updates.hosts(account);
        let host = match (host, kind) {
            (Some(host), _) if names.iter().any(|known| known.name == host) => Some(host),
            (Some(host), _) => {
                return Err(CommandError::new(format!(
                    "'{host}' is no dynamic name of {name}; add it with `pulsemx host add {name} {host}`"
                )));
            }
            (None, TokenKind::Update | TokenKind::Acme) => None,
            (None, TokenKind::Duckdns | TokenKind::Ping) => match names.as_slice() {
                [only] => Some(only.name.clone()),
                _ => return Err(CommandError::new("say which name the token sets: --host NAME")),
            },
        };
        let (text, verifier) = token::new_token(kind).map_err(|e| CommandError::new(e.to_string()))?;
        let expires_at = valid_s.map(|seconds| now + Duration::from_secs(seconds));
        let record = TokenRecord { id: 0, account, kind, host, verifier, created_at: now, expires_at };
        let id = self.updates.add_token(record.clone(), Self::change(now)).await?;
        running.updates.reload().await?;
        let mut shown = token_shown(&TokenRecord { id, ..record }, name.clone());
        shown.url = Some(address(&running.public_url, kind, &text, shown.host.as_ref()));
        shown.token = Some(text);
        Ok(Reply::UpdateToken(shown))
    }

    async fn list_tokens(&self, name: Option<&AccountName>, now: WallTime) -> Result<Reply, CommandError> {
        let directory = self.directory.load();
        let only = name.map(|name| find(&directory, name).map(|account| account.id)).transpose()?;
        let rows = self.updates.load_updates().await?;
        let shown = rows.tokens.iter().filter(|token| only.is_none_or(|only| only == token.account));
        let shown = shown.filter_map(|token| Some(token_shown(token, directory.account(token.account)?.name.clone())));
        Ok(Reply::UpdateTokens { tokens: shown.collect(), api_tokens: self.api_tokens(only, now).await? })
    }

    async fn settle(
        &self,
        name: &AccountName,
        expiry_s: Option<u64>,
        backup_mx: Option<bool>,
        forget_beats: bool,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let account = find(&self.directory.load(), name)?.id;
        let before = running.updates.account(account).policy;
        let expiry = match expiry_s.map(Duration::from_secs) {
            None => before.expiry,
            Some(Duration::ZERO) => None,
            Some(expiry) if (EXPIRY_MIN..=EXPIRY_MAX).contains(&expiry) => Some(expiry),
            Some(_) => return Err(CommandError::new("an update counts for 5m to 25h; 0s for no end")),
        };
        let policy = Policy { expiry, backup_mx: backup_mx.unwrap_or(before.backup_mx) };
        self.updates.set_policy(account, policy, Self::change(now)).await?;
        running.updates.reload().await?;
        if forget_beats {
            running.updates.forget_beats(account).await?;
        }
        Ok(done(format!("{name}: {}", policy.audit_words())))
    }

    async fn ledger(&self) -> Result<Ledger, CommandError> {
        Ok(Ledger::new(self.updates.load_updates().await?))
    }

    async fn hosts(&self, directory: &Directory, account: AccountId) -> Result<Vec<HostShown>, CommandError> {
        let hosts = match &self.running {
            Some(running) => running.updates.hosts(account),
            None => self.ledger().await?.hosts_of(account, directory),
        };
        Ok(hosts.into_iter().map(host_shown).collect())
    }

    /// What tells of each account of a list, and how long an outage of it may go unnoticed.
    pub(super) async fn show_sources(
        &self,
        directory: &Directory,
        accounts: &mut [AccountShown],
    ) -> Result<(), CommandError> {
        let ledger = self.ledger_of_stopped().await?;
        for shown in accounts {
            let Some(account) = directory.account_named(shown.account.as_str()) else { continue };
            shown.source = self.known_updates(directory, account, shown.state, ledger.as_ref()).source;
            shown.detection_s = self.detection_s(account, shown.source);
        }
        Ok(())
    }

    async fn ledger_of_stopped(&self) -> Result<Option<Ledger>, CommandError> {
        if self.running.is_some() { Ok(None) } else { self.ledger().await.map(Some) }
    }

    fn known_updates(
        &self,
        directory: &Directory,
        account: &Account,
        state: LineState,
        ledger: Option<&Ledger>,
    ) -> AccountUpdates {
        let of_stopped = || {
            let stored = ledger.map(|ledger| ledger.account(account.id, directory, state != LineState::New));
            stored.unwrap_or_else(|| Ledger::default().account(account.id, directory, false))
        };
        self.running.as_ref().map_or_else(of_stopped, |running| running.updates.account(account.id))
    }

    fn detection_s(&self, account: &Account, source: Source) -> Option<u64> {
        let running = self.running.as_ref()?;
        let interval = match source {
            Source::Beats => running.lines.account_line(account.id)?.interval,
            Source::Updates => running.updates.probe_interval(),
            Source::None => return None,
        };
        Some(whole_seconds(running.liveness.window(interval)))
    }

    /// What updates tell of an account, and how long an outage may go unnoticed.
    pub(super) async fn show_updates(
        &self,
        directory: &Directory,
        account: &Account,
        shown: &mut AccountShown,
    ) -> Result<(), CommandError> {
        let ledger = self.ledger_of_stopped().await?;
        let known = self.known_updates(directory, account, shown.state, ledger.as_ref());
        shown.source = known.source;
        shown.expiry_s = known.policy.expiry.map(|expiry| expiry.as_secs());
        shown.backup_mx = known.policy.backup_mx;
        shown.names = self.hosts(directory, account.id).await?;
        if shown.address.is_none() {
            shown.address = shown.names.iter().find_map(|host| host.addresses.first().copied());
        }
        shown.devices = known.devices.into_iter().map(device_shown).collect();
        shown.detection_s = self.detection_s(account, known.source);
        if known.source == Source::Updates {
            shown.warnings.push(
                "no heartbeats: the server at the updated address gets mail only with a proof over TLS (`pulsemx account pin show`); or install pulsemx-beat"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

const fn done(message: String) -> Reply {
    Reply::Done { message, warnings: Vec::new() }
}

/// Rounded up: a promise.
fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

fn address(public_url: &str, kind: TokenKind, text: &str, host: Option<&DomainName>) -> String {
    match kind {
        TokenKind::Update => public_url.to_owned() + "/nic/update",
        TokenKind::Duckdns => {
            format!("{public_url}/update?domains={}&token={text}", host.map(DomainName::as_str).unwrap_or_default())
        }
        TokenKind::Ping => format!("{public_url}/ping/{text}"),
        // ACME clients take a login from the address of their server.
        TokenKind::Acme => match public_url.split_once("://") {
            Some((scheme, rest)) => format!("{scheme}://acme:{text}@{rest}"),
            None => public_url.to_owned(),
        },
    }
}

fn token_shown(token: &TokenRecord, account: AccountName) -> UpdateTokenShown {
    UpdateTokenShown {
        id: token.id,
        account,
        kind: token.kind,
        host: token.host.clone(),
        token: None,
        url: None,
        created_at: token.created_at,
        expires_at: token.expires_at,
    }
}

fn host_shown(host: HostName) -> HostShown {
    HostShown {
        addresses: host.addresses(),
        host: host.name,
        interface_id: host.interface_id,
        withdrawn: host.is_withdrawn,
        changed_at: host.changed_at,
    }
}

fn device_shown(request: DeviceRequest) -> DeviceShown {
    DeviceShown {
        device: request.device,
        at: request.at,
        peer: request.peer,
        agent: request.agent,
        encrypted: request.is_encrypted,
        hosts: request.hosts,
        answer: request.answer,
        reason: request.reason,
        because: request.reason.sentence().to_owned(),
    }
}
