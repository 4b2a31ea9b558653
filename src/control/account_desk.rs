//! Carries out the commands about accounts: made, given keys and links, suspended, and ended.

use std::time::Duration;

use super::desk::{Desk, find, reload, unknown_account};
use super::reply::{CommandError, Reply, TokenShown};
use crate::account::{
    AccountName, AccountStatus, BeatKeyRecord, LEAVING_FOR, NewAccount, OnlineMode, SUSPENDED_TAKES_MAIL_FOR, SealKey,
    SignInLink,
};
use crate::base::{DomainName, EndpointId, WallTime};
use crate::heartbeat::token::NewToken;
use crate::web::beat::join::JOIN_LIFETIME;
use crate::web::sign_in;

/// Longest overlap of an old heartbeat token (docs/PROTOCOL.md §2).
const OVERLAP_S_MAX: u64 = 7 * 86_400;

impl Desk {
    pub(super) async fn add_account(
        &self,
        name: AccountName,
        mut domains: Vec<DomainName>,
        host: Option<DomainName>,
        port: u16,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let host = match host {
            Some(host) => host,
            None => DomainName::parse(&format!("{name}.{}", self.hostname)).map_err(|_| {
                CommandError::new("no dynamic name can be made from this account name; give one with --host")
            })?,
        };
        domains.sort();
        domains.dedup();
        let (token, key) = new_key(&running.seal, EndpointId(0), now)?;
        let new = NewAccount { name: name.clone(), host: host.clone(), smtp_port: port, domains, key };
        let mut shown = TokenShown {
            account: name.clone(),
            token,
            host: host.clone(),
            port,
            domains: new.domains.clone(),
            old_token_until: None,
            warnings: Vec::new(),
        };
        if !shown.domains.contains(&host) {
            shown.domains.push(host.clone());
        }
        let (_, endpoint) = self.accounts.create_account(new, Self::change(now)).await?;
        shown.warnings.extend(reload(running).await);
        if running.dns.as_ref().is_none_or(|dns| dns.front(endpoint).is_none()) {
            shown.warnings.push(format!(
                "'{host}' is in no zone served here: its address records stay where they are, and senders that follow \
                 them do not learn of an outage"
            ));
        }
        Ok(Reply::Token(shown))
    }

    pub(super) async fn rotate(
        &self,
        name: &AccountName,
        overlap_s: u64,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let running = self.running()?;
        if overlap_s > OVERLAP_S_MAX {
            return Err(CommandError::new("an old token stays valid for 7 days at most"));
        }
        let directory = self.directory.load();
        let account = find(&directory, name)?.id;
        let endpoint = *directory.endpoints_of(account).first().ok_or_else(|| unknown_account(name))?;
        let (token, key) = new_key(&running.seal, endpoint.id, now)?;
        let until = now + Duration::from_secs(overlap_s);
        let shown = TokenShown {
            account: name.clone(),
            token,
            host: endpoint.host.clone(),
            port: endpoint.smtp_port,
            domains: directory.domains_of(account).iter().map(|d| d.name.clone()).collect(),
            old_token_until: Some(until),
            warnings: Vec::new(),
        };
        self.accounts.rotate_key(key, until, Self::change(now)).await?;
        Ok(Reply::Token(TokenShown { warnings: reload(running).await, ..shown }))
    }

    /// Ordinarily the account goes on for a month without new mail; `at_once` is for one that was made by mistake.
    pub(super) async fn remove_account(
        &self,
        name: &AccountName,
        at_once: bool,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        if !at_once {
            return self.set_status(name, AccountStatus::Leaving, now).await;
        }
        let running = self.running()?;
        let account = find(&self.directory.load(), name)?.id;
        self.accounts.remove_account(account, Self::change(now)).await?;
        let mut warnings = reload(running).await;
        if let Err(error) = running.recipients.reload().await {
            warnings.push(format!("its recipients are forgotten at the next start only: {error}"));
        }
        if let Err(error) = running.updates.reload().await {
            warnings.push(format!("the names of the account are forgotten at the next start only: {error}"));
        }
        Ok(Reply::Done { message: format!("account {name} is removed"), warnings })
    }

    pub(super) async fn link(&self, name: Option<&AccountName>, now: WallTime) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let person = match name {
            Some(name) => {
                let account = find(&self.directory.load(), name)?.id;
                self.accounts.owner_of(account).await?.ok_or_else(|| CommandError::new("this account has no owner"))?
            }
            None => self.accounts.ensure_person("operator", true, Self::change(now)).await?,
        };
        let (secret, secret_hash) =
            sign_in::new_secret().map_err(|_| CommandError::new("the system has no random numbers"))?;
        let expires_at = now + sign_in::LINK_LIFETIME;
        self.accounts.add_link(SignInLink { secret_hash, person, expires_at }, Self::change(now)).await?;
        Ok(Reply::Link { url: format!("{}/sign-in/{secret}", running.public_url), expires_at })
    }

    pub(super) fn join(&self, name: &AccountName, now: WallTime) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let directory = self.directory.load();
        let account = find(&directory, name)?.id;
        let endpoint = directory.endpoints_of(account).first().map(|e| e.id).ok_or_else(|| unknown_account(name))?;
        let (secret, hash) =
            sign_in::new_secret().map_err(|_| CommandError::new("the system has no random numbers"))?;
        if !running.joins.keep(hash, endpoint, now) {
            return Err(CommandError::new("too many join addresses wait to be used; wait an hour"));
        }
        let url = format!("{}/join/{secret}", running.public_url);
        Ok(Reply::Link { url, expires_at: now + JOIN_LIFETIME })
    }

    /// Says what happens to mail while the account's server is there.
    pub(super) async fn set_online_mode(
        &self,
        name: &AccountName,
        mode: Option<OnlineMode>,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let account = find(&self.directory.load(), name)?.id;
        self.accounts.set_online_mode(account, mode, Self::change(now)).await?;
        let warnings = reload(running).await;
        let message = match mode {
            Some(OnlineMode::CutThrough) => {
                format!("account {name}: its server is asked while the sender waits, and its answers are passed on")
            }
            Some(OnlineMode::Defer) => format!("account {name}: while its server is there senders are sent to it"),
            Some(OnlineMode::Accept) => format!("account {name}: mail is stored and relayed at once"),
            None => format!("account {name}: as smtp.online_mode says"),
        };
        Ok(Reply::Done { message, warnings })
    }

    /// Says what the account may do from now on.
    pub(super) async fn set_status(
        &self,
        name: &AccountName,
        status: AccountStatus,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let account = find(&self.directory.load(), name)?.id;
        self.accounts.set_status(account, status, Self::change(now)).await?;
        let warnings = reload(running).await;
        if status != AccountStatus::Suspended {
            running.flushes.retry(account);
        }
        let days = |limit: Duration| limit.as_secs() / 86_400;
        let message = match status {
            AccountStatus::Active => format!("account {name} is active: mail is taken and delivered"),
            AccountStatus::Suspended => format!(
                "account {name} is suspended: mail is taken for {} more days and kept, nothing is delivered; undo it with \
                 `pulsemx account resume {name}`",
                days(SUSPENDED_TAKES_MAIL_FOR)
            ),
            AccountStatus::Leaving => format!(
                "account {name} leaves: senders are put off for {} days, what is held is still delivered, then the \
                 account goes; undo it with `pulsemx account resume {name}`",
                days(LEAVING_FOR)
            ),
        };
        Ok(Reply::Done { message, warnings })
    }
}

/// A new token and its row, ready to be stored.
fn new_key(seal: &SealKey, endpoint: EndpointId, now: WallTime) -> Result<(String, BeatKeyRecord), CommandError> {
    let new = NewToken::generate().map_err(|e| CommandError::new(e.to_string()))?;
    let sealed_mac_keys = seal.seal(&new.mac_keys, &new.locator).map_err(|e| CommandError::new(e.to_string()))?;
    let record = BeatKeyRecord {
        endpoint,
        locator: new.locator,
        sealed_mac_keys,
        move_key: new.move_key,
        bearer_verifier: new.bearer_verifier,
        created_at: now,
        expires_at: None,
    };
    Ok((new.text.to_string(), record))
}
