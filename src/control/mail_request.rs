//! Commands about mail that is kept and about the server it is kept for.

use clap::{ArgGroup, Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::request::Request;
use crate::account::AccountName;

/// What a person says about one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageRuling {
    /// Keep it back.
    Hold,
    /// Deliver it after all.
    Release,
    /// Give it up: to quarantine.
    Fail,
    /// Remove it for good.
    Drop,
}

/// One command, as it travels.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "mail", rename_all = "snake_case", deny_unknown_fields)]
pub enum MailRequest {
    /// About one message.
    Rule {
        /// Spool id.
        id: String,
        /// What is to become of it.
        ruling: MessageRuling,
    },
    /// Stops the flush of an account.
    HoldAccount {
        /// Whose.
        account: AccountName,
        /// Why, for the page.
        reason: String,
    },
    /// Lets it go on.
    ReleaseAccount {
        /// Whose.
        account: AccountName,
    },
    /// The key of the account's mail server.
    PinShow {
        /// Whose.
        account: AccountName,
    },
    /// The key that was shown last is meant.
    PinAccept {
        /// Whose.
        account: AccountName,
    },
    /// No key is asked for until the next delivery.
    PinClear {
        /// Whose.
        account: AccountName,
    },
}

impl MailRequest {
    /// Whether it changes nothing.
    #[must_use]
    pub const fn only_looks(&self) -> bool {
        matches!(self, Self::PinShow { .. })
    }
}

/// `pulsemx account pin ...`
#[derive(Subcommand, Debug)]
pub enum PinCommand {
    /// Show the key that the mail server has to prove itself with, and the one it showed last instead
    Show {
        /// The account
        name: AccountName,
    },
    /// Take the key that the mail server showed last: it was changed on purpose
    Accept {
        /// The account
        name: AccountName,
    },
    /// Forget the key: the next delivery pins a new one, whoever shows it
    Clear {
        /// The account
        name: AccountName,
    },
}

impl From<PinCommand> for Request {
    fn from(command: PinCommand) -> Self {
        Self::Mail(match command {
            PinCommand::Show { name } => MailRequest::PinShow { account: name },
            PinCommand::Accept { name } => MailRequest::PinAccept { account: name },
            PinCommand::Clear { name } => MailRequest::PinClear { account: name },
        })
    }
}

/// `pulsemx queue hold`
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("which").required(true).args(["id", "account"]))]
pub struct QueueHold {
    /// Spool id
    id: Option<String>,
    /// All mail of this account, what is still to come included
    #[arg(long)]
    account: Option<AccountName>,
    /// Why, for those who look
    #[arg(long, default_value = "held by the operator", requires = "account")]
    reason: String,
}

/// `pulsemx queue release`
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("which").required(true).args(["id", "account"]))]
pub struct QueueRelease {
    /// Spool id
    id: Option<String>,
    /// End the hold of this account, whoever began it
    #[arg(long)]
    account: Option<AccountName>,
}

fn rule(id: String, ruling: MessageRuling) -> Request {
    Request::Mail(MailRequest::Rule { id, ruling })
}

/// A message is given up.
pub(super) fn fail(id: String) -> Request {
    rule(id, MessageRuling::Fail)
}

/// A message is removed.
pub(super) fn drop(id: String) -> Request {
    rule(id, MessageRuling::Drop)
}

impl From<QueueHold> for Request {
    fn from(command: QueueHold) -> Self {
        match (command.id, command.account) {
            (_, Some(account)) => Self::Mail(MailRequest::HoldAccount { account, reason: command.reason }),
            (id, None) => rule(id.unwrap_or_default(), MessageRuling::Hold),
        }
    }
}

impl From<QueueRelease> for Request {
    fn from(command: QueueRelease) -> Self {
        match (command.id, command.account) {
            (_, Some(account)) => Self::Mail(MailRequest::ReleaseAccount { account }),
            (id, None) => rule(id.unwrap_or_default(), MessageRuling::Release),
        }
    }
}
