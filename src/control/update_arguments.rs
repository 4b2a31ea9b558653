//! The command line of tokens, names and settings for updates from devices.

use std::net::Ipv6Addr;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::request::UpdateRequest;
use crate::account::AccountName;
use crate::base::{DomainName, parse_duration};
use crate::update::TokenKind;

/// `pulsemx token ...`
#[derive(Subcommand, Debug)]
pub enum TokenCommand {
    /// Make a token for one device; it is shown this once
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
        /// Its number in `token list`
        id: i64,
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

impl From<TokenCommand> for UpdateRequest {
    fn from(command: TokenCommand) -> Self {
        match command {
            TokenCommand::New { account, kind, host, valid } => {
                Self::TokenNew { account, kind, host, valid_s: valid.map(|valid| valid.as_secs()) }
            }
            TokenCommand::List { account } => Self::TokenList { account },
            TokenCommand::Revoke { account, id } => Self::TokenRevoke { account, id },
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
