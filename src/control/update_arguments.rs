//! The command line of tokens, names and settings for updates from devices.

use std::net::Ipv6Addr;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::request::{Request, UpdateRequest};
use super::token_request::{TokenNumber, TokenRequest};
use crate::account::{AccountName, ApiTokenId, Scope};
use crate::base::{DomainName, parse_duration};
use crate::update::TokenKind;

/// `pulsemx token ...`
#[derive(Subcommand, Debug)]
pub enum TokenCommand {
    /// Make a token for one device, or with --scope one of the API; it is shown this once
    New {
        /// The account
        account: AccountName,
        /// What it opens: update (dyndns2, password), duckdns or ping (one name, token in the address), acme (keys for
        /// ACME clients, see `pulsemx challenge`)
        #[arg(long, value_enum, default_value_t = TokenKind::Update)]
        kind: TokenKind,
        /// The only name it may set; duckdns and ping take the account's first name if absent
        #[arg(long)]
        host: Option<DomainName>,
        /// How long it is valid, such as 90d; for ever if absent
        #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
        valid: Option<Duration>,
        /// For the API: what it opens, with commas between: status, dns, spool:read, spool:write, admin; etrn
        /// is for AUTH on port 25 and opens nothing of the API
        #[arg(long = "scope", value_delimiter = ',', requires = "label", conflicts_with_all = ["kind", "host"])]
        scopes: Vec<Scope>,
        /// For the API: what it is for
        #[arg(long, requires = "scopes")]
        label: Option<String>,
    },
    /// Give a token of the API a new secret; the one of today stays good for a while
    Rotate {
        /// The account
        account: AccountName,
        /// Its id in `token list`
        id: ApiTokenId,
        /// How long the old one is still taken, such as 10m or 7d, 30d at most; 0s ends it now
        #[arg(long, default_value = "1d", value_parser = parse_duration)]
        overlap: Duration,
    },
    /// List the tokens of an account, or of all
    List {
        /// The account
        account: Option<AccountName>,
    },
    /// Revoke a token at once
    Revoke {
        /// The account
        account: AccountName,
        /// Its number in `token list`, or the id of one of the API
        id: TokenNumber,
    },
}

/// `pulsemx host ...`
#[derive(Subcommand, Debug)]
pub enum HostCommand {
    /// Add a dynamic name, or change its interface id
    Add {
        /// The account
        account: AccountName,
        /// The name
        host: DomainName,
        /// Lower part of its IPv6 address under any prefix, such as ::25
        #[arg(long, value_name = "ADDRESS")]
        interface_id: Option<Ipv6Addr>,
    },
    /// List the dynamic names of an account
    List {
        /// The account
        account: AccountName,
    },
    /// Remove a dynamic name and its tokens
    Rm {
        /// The account
        account: AccountName,
        /// The name
        host: DomainName,
    },
}

/// `pulsemx updates ACCOUNT ...`
#[derive(Args, Debug)]
pub struct UpdatesSet {
    /// The account
    account: AccountName,
    /// Without heartbeats: silence after which an update counts as gone, 5m to 25h; 0s for none
    #[arg(long, value_parser = parse_duration, value_name = "DURATION")]
    expiry: Option<Duration>,
    /// Whether our name is to stand in the MX set
    #[arg(long, value_name = "true|false")]
    backup_mx: Option<bool>,
    /// Let updates and the probe count again although heartbeats came once
    #[arg(long)]
    forget_beats: bool,
}

impl From<TokenCommand> for Request {
    fn from(command: TokenCommand) -> Self {
        match command {
            TokenCommand::New { account, valid, scopes, label: Some(label), .. } => {
                let (scopes, valid_s) = (scopes.into_iter().collect(), valid.map(|valid| valid.as_secs()));
                Self::Tokens(TokenRequest::New { account, label, scopes, valid_s })
            }
            TokenCommand::New { account, kind, host, valid, .. } => {
                let valid_s = valid.map(|valid| valid.as_secs());
                Self::Updates(UpdateRequest::TokenNew { account, kind, host, valid_s })
            }
            TokenCommand::Rotate { account, id, overlap } => {
                Self::Tokens(TokenRequest::Rotate { account, id, overlap_s: overlap.as_secs() })
            }
            TokenCommand::List { account } => Self::Updates(UpdateRequest::TokenList { account }),
            TokenCommand::Revoke { account, id: TokenNumber::Update(id) } => {
                Self::Updates(UpdateRequest::TokenRevoke { account, id })
            }
            TokenCommand::Revoke { account, id: TokenNumber::Api(id) } => {
                Self::Tokens(TokenRequest::Revoke { account, id })
            }
        }
    }
}

impl From<HostCommand> for UpdateRequest {
    fn from(command: HostCommand) -> Self {
        match command {
            HostCommand::Add { account, host, interface_id } => Self::HostAdd { account, host, interface_id },
            HostCommand::List { account } => Self::HostList { account },
            HostCommand::Rm { account, host } => Self::HostRemove { account, host },
        }
    }
}

impl From<UpdatesSet> for UpdateRequest {
    fn from(set: UpdatesSet) -> Self {
        Self::Set {
            account: set.account,
            expiry_s: set.expiry.map(|expiry| expiry.as_secs()),
            backup_mx: set.backup_mx,
            forget_beats: set.forget_beats,
        }
    }
}
