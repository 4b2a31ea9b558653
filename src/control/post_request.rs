//! Commands about what became of mail, mail of our own, and how an account's mail is handed on.

use std::net::{IpAddr, SocketAddr};

use clap::{ArgGroup, Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::request::Request;
use crate::account::AccountName;
use crate::base::{DomainName, WallTime};

/// One command, as it travels.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "post", rename_all = "snake_case", deny_unknown_fields)]
pub enum PostRequest {
    /// Everything that happened to one message.
    Trace {
        /// Spool id.
        id: String,
    },
    /// The content of a message that is kept for the operator.
    Content {
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
    /// Whether the primary was set up to trust us.
    Trust {
        /// Whose.
        account: AccountName,
        /// It was.
        is_on: bool,
    },
    /// Another server for the account's mail.
    Route {
        /// Whose.
        account: AccountName,
        /// Its address; none for the address of the heartbeat.
        address: Option<SocketAddr>,
        /// The name that its certificate has to show.
        host: Option<DomainName>,
    },
    /// Another domain in forward-paths on delivery.
    Rewrite {
        /// Whose.
        account: AccountName,
        /// Which becomes which; none for no change.
        domains: Option<(DomainName, DomainName)>,
    },
    /// The announced absence of an account's servers.
    Holiday {
        /// Whose.
        account: AccountName,
        /// First instant after it; none to end it now.
        until: Option<WallTime>,
    },
    /// Whether everybody may see the state of an account.
    Public {
        /// Whose.
        account: AccountName,
        /// On or off.
        is_on: bool,
    },
    /// The machines that pass on mail of others to an account.
    Forwarders {
        /// Whose.
        account: AccountName,
        /// All of them; none for none.
        networks: Vec<ipnet::IpNet>,
    },
    /// The configuration by which a primary trusts us.
    TrustText {
        /// Which program.
        program: Program,
        /// With the id of this account.
        account: Option<AccountName>,
        /// Our addresses, where they are not those of the configuration.
        addresses: Vec<IpAddr>,
    },
}

impl PostRequest {
    /// Whether it changes nothing.
    #[must_use]
    pub const fn only_looks(&self) -> bool {
        match self {
            Self::Trace { .. }
            | Self::Content { .. }
            | Self::Outgoing { .. }
            | Self::Outage { .. }
            | Self::TrustText { .. } => true,
            Self::AlertAddress { .. }
            | Self::Trust { .. }
            | Self::Route { .. }
            | Self::Rewrite { .. }
            | Self::Forwarders { .. }
            | Self::Public { .. }
            | Self::Holiday { .. } => false,
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

/// A mail program for which `pulsemx trust` writes the configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Program {
    /// Postfix.
    Postfix,
    /// Exim.
    Exim,
    /// rspamd, behind any server.
    Rspamd,
    /// mailcow.
    Mailcow,
    /// Stalwart.
    Stalwart,
    /// Microsoft Exchange.
    Exchange,
}

/// `pulsemx trust`
#[derive(Args, Debug)]
pub struct TrustText {
    /// The customer's mail program
    #[arg(value_enum)]
    program: Program,
    /// With the id under which this account's server gets Authentication-Results
    #[arg(long)]
    account: Option<AccountName>,
    /// Our address as the customer's server sees it; may be given several times
    #[arg(long = "address")]
    addresses: Vec<IpAddr>,
}

impl From<TrustText> for Request {
    fn from(command: TrustText) -> Self {
        let TrustText { program, account, addresses } = command;
        Self::Post(PostRequest::TrustText { program, account, addresses })
    }
}

/// On or off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Switch {
    /// It is so.
    On,
    /// It is not.
    Off,
}

/// `pulsemx account trust`
#[derive(Args, Debug)]
pub struct AccountTrust {
    /// The account
    name: AccountName,
    /// Whether the primary was set up to trust us
    #[arg(value_enum)]
    switch: Switch,
}

impl From<AccountTrust> for Request {
    fn from(command: AccountTrust) -> Self {
        Self::Post(PostRequest::Trust { account: command.name, is_on: command.switch == Switch::On })
    }
}

/// `pulsemx account route`
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("to").required(true).args(["address", "off"]))]
pub struct AccountRoute {
    /// The account
    name: AccountName,
    /// Address and port of the other server, such as 192.0.2.7:25; never a name, which could lead elsewhere tomorrow
    address: Option<SocketAddr>,
    /// The name that its certificate has to show
    #[arg(long, requires = "address")]
    host: Option<DomainName>,
    /// Back to the address of the heartbeat
    #[arg(long)]
    off: bool,
}

impl From<AccountRoute> for Request {
    fn from(command: AccountRoute) -> Self {
        let AccountRoute { name, address, host, off: _ } = command;
        Self::Post(PostRequest::Route { account: name, address, host })
    }
}

/// `pulsemx account rewrite`
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("which").required(true).args(["from", "off"]))]
pub struct AccountRewrite {
    /// The account
    name: AccountName,
    /// Domain as mail is taken
    #[arg(requires = "to")]
    from: Option<DomainName>,
    /// Domain as the primary is told
    to: Option<DomainName>,
    /// No change any more
    #[arg(long)]
    off: bool,
}

impl From<AccountRewrite> for Request {
    fn from(command: AccountRewrite) -> Self {
        let AccountRewrite { name, from, to, off: _ } = command;
        Self::Post(PostRequest::Rewrite { account: name, domains: from.zip(to) })
    }
}
