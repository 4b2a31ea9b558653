//! The command line of the operator's commands.

use clap::{Args, Subcommand};

use super::alert_request::AlertCommand;
use super::challenge_request::ChallengeCommand;
use super::choice_arguments::{AccountForwarders, AccountHoliday, AccountPublic};
use super::drill_desk::DrillArguments;
use super::mail_request::{self, PinCommand, QueueHold, QueueRelease};
use super::post_request::{
    AccountAlert, AccountRewrite, AccountRoute, AccountTrust, PostRequest, ReportCommand, TrustText,
};
use super::recipient_arguments::RecipientCommand;
use super::request::{QueueFilter, Request};
use super::transfer_request::TsigCommand;
use super::update_arguments::{HostCommand, TokenCommand, UpdatesSet};
use crate::account::{AccountName, OnlineMode};
use crate::base::{DomainName, parse_duration};

/// Rows of a list unless told otherwise.
const LIST_LIMIT: u32 = 100;

/// Commands that talk to the running server.
#[derive(Subcommand, Debug)]
pub enum OperatorCommand {
    /// Add, show and change accounts
    #[command(subcommand)]
    Account(AccountCommand),
    /// Add and remove mail domains of an account
    #[command(subcommand)]
    Domain(DomainCommand),
    /// Look at the spool and retry
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Look at and end a time in which silence is taken to be our own fault
    #[command(subcommand)]
    State(StateCommand),
    /// Make, list, rotate and revoke tokens for routers and other devices, and for programs that use the API
    #[command(subcommand)]
    Token(TokenCommand),
    /// Add, list and remove dynamic names of an account
    #[command(subcommand)]
    Host(HostCommand),
    /// Make, list and forget keys that other name servers sign with
    #[command(subcommand)]
    Tsig(TsigCommand),
    /// Make, list and revoke keys of ACME clients: each may answer for one name and nothing else
    #[command(subcommand)]
    Challenge(ChallengeCommand),
    /// Lists of who lives in an account's domains, and what happens to strangers
    #[command(subcommand)]
    Recipient(RecipientCommand),
    /// Tell accounts and the operator of trouble: by webhook, ntfy, Gotify, Matrix, Telegram, mail
    #[command(subcommand)]
    Alert(AlertCommand),
    /// Fire drill: cut one account off for some seconds, send a test message through our own port 25, deliver it; exit
    /// code 0 if it arrived
    Drill(DrillArguments),
    /// Write reports
    #[command(subcommand)]
    Report(ReportCommand),
    /// Print what makes a customer's mail program trust us, so that it judges the sender and not us
    Trust(TrustText),
    /// Settle what updates of an account mean
    Updates(UpdatesSet),
    /// Read certificates and the settings of port 25 again, without dropping a connection
    Reload,
    /// Show the whole service in a few lines
    Status,
}

/// `pulsemx account ...`
#[derive(Subcommand, Debug)]
pub enum AccountCommand {
    /// Add an account; prints its heartbeat token once
    Add(AccountAdd),
    /// List all accounts
    List,
    /// Show one account
    Show {
        /// The account
        name: AccountName,
    },
    /// Make a new heartbeat token; the old one stays valid for a while
    Rotate {
        /// The account
        name: AccountName,
        /// How long the old token is still taken, such as 10m or 7d; 0s revokes it now
        #[arg(long, default_value = "7d", value_parser = parse_duration)]
        overlap: std::time::Duration,
    },
    /// End an account: senders are put off for 30 days, held mail is still delivered, then it goes
    Rm {
        /// The account
        name: AccountName,
        /// Without the 30 days, for one made by mistake; it must hold no mail, and senders are refused from now on
        #[arg(long)]
        now: bool,
    },
    /// Keep an account's mail without delivering it; new mail is taken for 7 days, then put off
    Suspend {
        /// The account
        name: AccountName,
    },
    /// What happens to mail while the account's server is there
    Online {
        /// The account
        name: AccountName,
        /// cut-through (ask it while the sender waits), defer (send the sender to it), accept (store and relay), or
        /// default (as smtp.online_mode says)
        #[arg(value_parser = mode_or_default)]
        mode: ModeOrDefault,
    },
    /// Take back a suspension or an end
    Resume {
        /// The account
        name: AccountName,
    },
    /// Print a sign-in link for the account's owner; without a name, for the operator
    Link {
        /// The account
        name: Option<AccountName>,
    },
    /// Print an address, good once for an hour, for `pulsemx-beat join`: it fetches a new heartbeat token there
    Join {
        /// The account
        name: AccountName,
    },
    /// Look at, accept and forget the key by which the mail server proves itself
    #[command(subcommand)]
    Pin(PinCommand),
    /// Where a daily digest goes while mail is in quarantine
    Alert(AccountAlert),
    /// Say that the primary was set up to trust us (`pulsemx trust`): it gets Authentication-Results and an ARC seal
    Trust(AccountTrust),
    /// Send an account's mail to another server, by your word and without heartbeats, until that is taken back
    Route(AccountRoute),
    /// Announce that an account's server stays away: no alert when it says goodbye, and its mail may wait for longer
    Holiday(AccountHoliday),
    /// Show the state of an account to everybody who has the address: page, badge, RSS and iCal of outages
    Public(AccountPublic),
    /// Name the machines of a web host that pass on mail to an account: its mail from there knows no rates, pauses, black
    /// lists and SPF; they may do nothing else
    Forwarders(AccountForwarders),
    /// Replace the domain of recipients on delivery; the content is never touched
    Rewrite(AccountRewrite),
    /// Count: accepted = delivered + deleted + expired + waiting + refused
    Proof {
        /// The account
        name: AccountName,
    },
}

/// `pulsemx account add`
#[derive(Args, Debug)]
pub struct AccountAdd {
    /// Short name: lower case letters, digits, hyphens
    name: AccountName,
    /// Mail domain to take mail for; may be given several times
    #[arg(long = "domain", required = true)]
    domains: Vec<DomainName>,
    /// Dynamic name that follows the server's address; NAME.HOSTNAME if absent
    #[arg(long)]
    host: Option<DomainName>,
    /// SMTP port of the customer's mail server
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

/// `pulsemx domain ...`
#[derive(Subcommand, Debug)]
pub enum DomainCommand {
    /// Take mail for one more domain
    Add {
        /// The account
        account: AccountName,
        /// The domain
        domain: DomainName,
    },
    /// Stop taking mail for a domain; mail already held is still delivered
    Rm {
        /// The account
        account: AccountName,
        /// The domain
        domain: DomainName,
    },
}

/// `pulsemx state ...`
#[derive(Subcommand, Debug)]
pub enum StateCommand {
    /// Show whether the silence of many is taken to be our own fault, and which accounts are silent
    List,
    /// Say that the silence is real: who is still silent is neutralised now
    Release,
}

/// `pulsemx queue ...`
#[derive(Subcommand, Debug)]
pub enum QueueCommand {
    /// List messages, oldest first
    List {
        /// Only this account
        #[arg(long)]
        account: Option<AccountName>,
        /// Only these
        #[arg(long, value_enum, default_value_t = QueueFilter::Held)]
        state: QueueFilter,
        /// Continue behind this message
        #[arg(long)]
        after: Option<String>,
        /// Rows, at most 1000
        #[arg(long, default_value_t = LIST_LIMIT, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Show one message
    Show {
        /// Spool id
        id: String,
        /// Its content, of a message that is kept for the operator; customers' mail is not read here
        #[arg(long)]
        content: bool,
    },
    /// Show what became of mail from or to an address in the last week, refused recipients included; or everything that
    /// happened to one message: attempts with replies, TLS and proof, and what its sender was told
    Trace {
        /// Address or spool id
        what: String,
    },
    /// List mail of our own: reports to senders, digests to customers
    Outgoing {
        /// The newest so many
        #[arg(long, default_value_t = LIST_LIMIT, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Keep mail back: one message, or all of an account
    Hold(QueueHold),
    /// Deliver what is kept back: one message (refused and expired ones as well), or end the hold of an account
    Release(QueueRelease),
    /// Give a message up: it stays in quarantine
    Fail {
        /// Spool id
        id: String,
    },
    /// Remove a message for good
    Drop {
        /// Spool id
        id: String,
        /// Yes, nobody will ever get it
        #[arg(long, required = true)]
        yes: bool,
    },
    /// Try now: one message, or all of an account, refused ones included
    #[command(group = clap::ArgGroup::new("which").required(true).args(["id", "account"]))]
    Retry {
        /// Spool id
        id: Option<String>,
        /// All of this account
        #[arg(long)]
        account: Option<AccountName>,
    },
}

impl From<OperatorCommand> for Request {
    fn from(command: OperatorCommand) -> Self {
        match command {
            OperatorCommand::Account(command) => command.into(),
            OperatorCommand::Domain(DomainCommand::Add { account, domain }) => Self::DomainAdd { account, domain },
            OperatorCommand::Domain(DomainCommand::Rm { account, domain }) => Self::DomainRemove { account, domain },
            OperatorCommand::Queue(QueueCommand::List { account, state, after, limit }) => {
                Self::QueueList { account, filter: state, after, limit }
            }
            OperatorCommand::Queue(QueueCommand::Show { id, content: true }) => Self::Post(PostRequest::Content { id }),
            OperatorCommand::Queue(QueueCommand::Show { id, content: false }) => Self::QueueShow { id },
            OperatorCommand::Queue(QueueCommand::Trace { what }) if what.contains('@') || what.is_empty() => {
                Self::QueueTrace { address: what }
            }
            OperatorCommand::Queue(QueueCommand::Trace { what }) => Self::Post(PostRequest::Trace { id: what }),
            OperatorCommand::Queue(QueueCommand::Outgoing { limit }) => Self::Post(PostRequest::Outgoing { limit }),
            OperatorCommand::Report(command) => command.into(),
            OperatorCommand::Trust(command) => command.into(),
            OperatorCommand::Queue(QueueCommand::Hold(command)) => command.into(),
            OperatorCommand::Queue(QueueCommand::Release(command)) => command.into(),
            OperatorCommand::Queue(QueueCommand::Fail { id }) => mail_request::fail(id),
            OperatorCommand::Queue(QueueCommand::Drop { id, yes: _ }) => mail_request::drop(id),
            OperatorCommand::Queue(QueueCommand::Retry { id, account }) => Self::QueueRetry { id, account },
            OperatorCommand::State(StateCommand::List) => Self::StateList,
            OperatorCommand::Reload => Self::Reload,
            OperatorCommand::State(StateCommand::Release) => Self::StateRelease,
            OperatorCommand::Token(command) => command.into(),
            OperatorCommand::Host(command) => Self::Updates(command.into()),
            OperatorCommand::Tsig(command) => Self::Transfers(command.into()),
            OperatorCommand::Challenge(command) => Self::Challenges(command.into()),
            OperatorCommand::Updates(set) => Self::Updates(set.into()),
            OperatorCommand::Recipient(command) => Self::Recipients(command.into()),
            OperatorCommand::Alert(command) => Self::Alerts(command.into()),
            OperatorCommand::Drill(arguments) => Self::Drill(arguments.into()),
            OperatorCommand::Status => Self::Status,
        }
    }
}

impl From<AccountCommand> for Request {
    fn from(command: AccountCommand) -> Self {
        match command {
            AccountCommand::Add(AccountAdd { name, domains, host, port }) => {
                Self::AccountAdd { name, domains, host, port }
            }
            AccountCommand::List => Self::AccountList,
            AccountCommand::Show { name } => Self::AccountShow { name },
            AccountCommand::Rotate { name, overlap } => Self::AccountRotate { name, overlap_s: overlap.as_secs() },
            AccountCommand::Rm { name, now } => Self::AccountRemove { name, at_once: now },
            AccountCommand::Suspend { name } => Self::AccountSuspend { name },
            AccountCommand::Online { name, mode } => Self::AccountOnline { name, mode: mode.0 },
            AccountCommand::Resume { name } => Self::AccountResume { name },
            AccountCommand::Link { name } => Self::AccountLink { name },
            AccountCommand::Join { name } => Self::AccountJoin { name },
            AccountCommand::Pin(command) => command.into(),
            AccountCommand::Alert(command) => command.into(),
            AccountCommand::Trust(command) => command.into(),
            AccountCommand::Route(command) => command.into(),
            AccountCommand::Rewrite(command) => command.into(),
            AccountCommand::Holiday(command) => command.into(),
            AccountCommand::Public(command) => command.into(),
            AccountCommand::Forwarders(command) => command.into(),
            AccountCommand::Proof { name } => Self::AccountProof { name },
        }
    }
}

/// A mode, or none of one's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ModeOrDefault(Option<OnlineMode>);

fn mode_or_default(word: &str) -> Result<ModeOrDefault, String> {
    match word {
        "default" => Ok(ModeOrDefault(None)),
        word => word.parse().map(|mode| ModeOrDefault(Some(mode))).map_err(|what: &str| format!("{what}, or default")),
    }
}
