//! Commands about what became of mail, mail of our own, and how an account's mail is handed on.

use clap::{ArgGroup, Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::request::Request;
use crate::account::AccountName;
use crate::base::WallTime;

/// One command, as it travels.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "post", rename_all = "snake_case", deny_unknown_fields)]
pub enum PostRequest {
    /// Everything that happened to one message.
    Trace {
        /// Spool id.
        id: String,
    },
    /// Mail of our own.
    Outgoing {
        /// The newest so many.
        limit: u32,
    },
    /// Every message of an outage.
    Outage {
        /// Whose.
        account: AccountName,
        /// Accepted since then; absent for the last outage.
        since: Option<WallTime>,
        /// Accepted until then.
        until: Option<WallTime>,
    },
    /// Where digests of the quarantine go.
    AlertAddress {
        /// Whose.
        account: AccountName,
        /// The mailbox; none for nowhere.
        address: Option<String>,
    },
}

impl PostRequest {
    /// Whether it changes nothing.
    #[must_use]
    pub const fn only_looks(&self) -> bool {
        match self {
            Self::Trace { .. } | Self::Outgoing { .. } | Self::Outage { .. } => true,
            Self::AlertAddress { .. } => false,
        }
    }
}

/// `pulsemx account alert`
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("where").required(true).args(["address", "off"]))]
pub struct AccountAlert {
    /// The account
    name: AccountName,
    /// Mailbox outside the account's own domains
    address: Option<String>,
    /// Write to nobody
    #[arg(long)]
    off: bool,
}

impl From<AccountAlert> for Request {
    fn from(command: AccountAlert) -> Self {
        let AccountAlert { name, address, off: _ } = command;
        Self::Post(PostRequest::AlertAddress { account: name, address })
    }
}

/// `pulsemx report ...`
#[derive(Subcommand, Debug)]
pub enum ReportCommand {
    /// Every message that was accepted during an outage: when it came, when it went, what the primary said
    Outage {
        /// The account
        account: AccountName,
        /// From this time on, such as 2026-11-24T08:00:00Z; without it the last outage
        #[arg(long)]
        since: Option<WallTime>,
        /// Up to this time
        #[arg(long)]
        until: Option<WallTime>,
    },
}

impl From<ReportCommand> for Request {
    fn from(command: ReportCommand) -> Self {
        let ReportCommand::Outage { account, since, until } = command;
        Self::Post(PostRequest::Outage { account, since, until })
    }
}
