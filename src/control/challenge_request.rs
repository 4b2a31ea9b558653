//! Commands about keys of ACME clients: on the command line, over the socket, what they answer, and as text.

use clap::Subcommand;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::desk::{Desk, find};
use super::print::{pairs, table, time};
use super::reply::{CommandError, Reply};
use crate::account::AccountName;
use crate::base::{DomainName, WallTime};
use crate::dns::challenge::driver::NoKey;
use crate::dns::challenge::key::{ChallengeKey, Wanted};

/// Such a command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "challenge", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChallengeRequest {
    /// A new key.
    New {
        /// Whose.
        account: AccountName,
        /// The dynamic name that certificates are for.
        host: Option<DomainName>,
        /// Where the client may be.
        networks: Vec<IpNet>,
    },
    /// The keys of an account, or all.
    List {
        /// Whose.
        account: Option<AccountName>,
    },
    /// A key less.
    Revoke {
        /// Whose.
        account: AccountName,
        /// Which.
        id: String,
    },
}

/// `pulsemx challenge ...`
#[derive(Subcommand, Debug)]
pub enum ChallengeCommand {
    /// Make a key for one ACME client (lego, acme.sh, certbot and others, as acme-dns); it is shown this once
    New {
        /// The account
        account: AccountName,
        /// The dynamic name that certificates are for; without it the key gets a name of its own, to which
        /// _acme-challenge of a name elsewhere points by CNAME
        #[arg(long)]
        host: Option<DomainName>,
        /// A network in which the client is, such as 192.0.2.0/24; may be given several times; anywhere if absent
        #[arg(long = "allow-from", value_name = "NETWORK")]
        networks: Vec<IpNet>,
    },
    /// List the keys of an account, or of all
    List {
        /// The account
        account: Option<AccountName>,
    },
    /// Revoke a key at once, with what it put into the DNS
    Revoke {
        /// The account
        account: AccountName,
        /// As `challenge list` shows it
        id: String,
    },
}

impl From<ChallengeCommand> for ChallengeRequest {
    fn from(command: ChallengeCommand) -> Self {
        match command {
            ChallengeCommand::New { account, host, networks } => Self::New { account, host, networks },
            ChallengeCommand::List { account } => Self::List { account },
            ChallengeCommand::Revoke { account, id } => Self::Revoke { account, id },
        }
    }
}

/// A key; its secret is shown once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChallengeShown {
    /// Whose.
    pub account: AccountName,
    /// Where its values stand.
    pub fulldomain: DomainName,
    /// The client's word for it.
    pub subdomain: String,
    /// The client's own name.
    pub username: String,
    /// Its secret, the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The address that the client calls.
    pub server_url: String,
    /// Where the client may be; anywhere if empty.
    pub allowfrom: Vec<IpNet>,
    /// When it was made.
    pub created_at: WallTime,
}

impl From<NoKey> for CommandError {
    fn from(error: NoKey) -> Self {
        Self::new(error.to_string())
    }
}

impl Desk {
    pub(super) async fn carry_out_challenge(
        &self,
        request: ChallengeRequest,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let absent = || CommandError::new("this server serves no names; set dns.zone in its configuration");
        let running = self.running()?;
        let challenges = running.challenges.clone().ok_or_else(absent)?;
        let directory = self.directory.load();
        let shown = |key: ChallengeKey, password: Option<String>| {
            Some(ChallengeShown {
                account: directory.account(key.account)?.name.clone(),
                fulldomain: key.name,
                subdomain: key.id,
                username: key.user,
                password,
                server_url: running.public_url.clone(),
                allowfrom: key.networks,
                created_at: key.created_at,
            })
        };
        match request {
            ChallengeRequest::New { account, host, networks } => {
                let account = find(&directory, &account)?.id;
                let (key, secret) =
                    challenges.register(Wanted { account, host, networks }, Self::change(now).who).await?;
                let gone = || CommandError::new("the account is gone");
                shown(key, Some(secret)).ok_or_else(gone).map(|shown| Reply::Challenge(Box::new(shown)))
            }
            ChallengeRequest::List { account } => {
                let only = account.map(|name| find(&directory, &name).map(|account| account.id)).transpose()?;
                let all = challenges.keys().into_iter().filter(|key| only.is_none_or(|only| only == key.account));
                Ok(Reply::Challenges(all.filter_map(|key| shown(key, None)).collect()))
            }
            ChallengeRequest::Revoke { account, id } => {
                let owner = find(&directory, &account)?.id;
                challenges.remove(owner, id.clone(), Self::change(now)).await?;
                Ok(Reply::Done {
                    message: format!("the key {id} of {account} opens nothing any more"),
                    warnings: vec![],
                })
            }
        }
    }
}

/// The answer to `challenge new`.
pub(super) fn new_key(shown: &ChallengeShown) -> String {
    let rows = [
        ("account", shown.account.to_string()),
        ("fulldomain", shown.fulldomain.to_string()),
        ("subdomain", shown.subdomain.clone()),
        ("username", shown.username.clone()),
        ("password", shown.password.clone().unwrap_or_default()),
        ("server", shown.server_url.clone()),
    ];
    let host = shown.fulldomain.as_str().strip_prefix("_acme-challenge.");
    let how = match host {
        Some(host) => format!("The client may have certificates for {host} and *.{host}; no further record is needed."),
        None => format!(
            "For a name elsewhere, such as owa.firma.example, this record is needed there:\n\n\
             _acme-challenge.owa.firma.example. CNAME {}.",
            shown.fulldomain
        ),
    };
    let file = serde_json::json!({ host.unwrap_or("owa.firma.example"): {
        "fulldomain": shown.fulldomain, "subdomain": shown.subdomain, "username": shown.username,
        "password": shown.password, "server_url": shown.server_url,
    } });
    format!(
        "{}\nThe password is shown this once. {how}\n\n\
         lego: put this into a file that ACME_DNS_STORAGE_PATH names, and set ACME_DNS_API_BASE={}\n{file}\n",
        pairs(&rows),
        shown.server_url
    )
}

/// The answer to `challenge list`.
pub(super) fn keys(shown: &[ChallengeShown]) -> String {
    if shown.is_empty() {
        return "no keys of ACME clients; make one with `pulsemx challenge new ACCOUNT`\n".to_owned();
    }
    let mut rows = vec![["ACCOUNT", "NAME", "KEY", "MADE", "FROM"].map(str::to_owned).to_vec()];
    rows.extend(shown.iter().map(|key| {
        let from: Vec<String> = key.allowfrom.iter().map(ToString::to_string).collect();
        let from = if from.is_empty() { "anywhere".to_owned() } else { from.join(", ") };
        vec![key.account.to_string(), key.fulldomain.to_string(), key.subdomain.clone(), time(key.created_at), from]
    }));
    table(&rows)
}
