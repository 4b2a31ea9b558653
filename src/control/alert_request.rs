//! The command line of alerts, and what of it travels to the server.

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::upload;
use crate::account::AccountName;
use crate::alert::Language;

/// A command about channels of alerts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertRequest {
    /// One more channel.
    Add {
        /// Whose; the operator's if absent.
        account: Option<AccountName>,
        /// Where it leads.
        url: String,
        /// Its secret.
        secret: Option<String>,
        /// How it tells: names and values.
        options: Vec<(String, String)>,
    },
    /// Channels of an account, of the operator, or all.
    List {
        /// Whose.
        account: Option<AccountName>,
        /// The operator's alone.
        operator: bool,
    },
    /// One less.
    Remove {
        /// Its number.
        id: i64,
    },
    /// A test through it.
    Test {
        /// Its number.
        id: i64,
    },
}

/// `pulsemx alert ...`
#[derive(Subcommand, Debug)]
pub enum AlertCommand {
    /// Tell an account, or the operator, of trouble by one more channel
    Add(AlertAdd),
    /// List channels: what they tell, when one worked last, why one did not
    List {
        /// Only those of this account
        account: Option<AccountName>,
        /// Only those of the operator
        #[arg(long, conflicts_with = "account")]
        operator: bool,
    },
    /// Remove a channel
    Rm {
        /// Its number in `alert list`
        id: i64,
    },
    /// Send a test through a channel and say whether it got through
    Test {
        /// Its number in `alert list`
        id: i64,
    },
}

/// `pulsemx alert add`
#[derive(Args, Debug)]
#[command(allow_missing_positional = true)]
pub struct AlertAdd {
    /// The account
    #[arg(conflicts_with = "operator", required_unless_present = "operator")]
    account: Option<AccountName>,
    /// webhook:https://.., ntfy:https://host/topic, gotify:https://host, matrix:https://homeserver/!room:server,
    /// telegram:CHAT or mailto:address
    url: String,
    /// For the operator instead of an account
    #[arg(long)]
    operator: bool,
    /// File with the token, or the key of a webhook; - for standard input. A webhook without one gets a key
    #[arg(long = "secret-file", value_name = "FILE", value_parser = upload::driver::key)]
    secret: Option<String>,
    /// Language of the texts
    #[arg(long, value_enum)]
    language: Option<Language>,
    /// Time zone of times and quiet hours, such as Europe/Berlin; UTC if absent
    #[arg(long)]
    zone: Option<String>,
    /// Hours in which nothing is told, such as 22:00-07:00
    #[arg(long, value_name = "FROM-TO")]
    quiet: Option<String>,
    /// How long trouble has to last before it is told; 2m for accounts and 0s for the operator if absent
    #[arg(long, value_name = "DURATION")]
    delay: Option<String>,
    /// Whether the end of trouble is told: on or off
    #[arg(long, value_name = "on|off")]
    recovery: Option<String>,
    /// What is told, with commas between: all, silent, stays_away, flapping, primary_broken, stranger, pin_moved,
    /// greylisted, expiring, quota; for the operator also mass_miss, timers_late, expired
    #[arg(long)]
    kinds: Option<String>,
}

impl From<AlertCommand> for AlertRequest {
    fn from(command: AlertCommand) -> Self {
        match command {
            AlertCommand::Add(add) => add.into(),
            AlertCommand::List { account, operator } => Self::List { account, operator },
            AlertCommand::Rm { id } => Self::Remove { id },
            AlertCommand::Test { id } => Self::Test { id },
        }
    }
}

impl From<AlertAdd> for AlertRequest {
    fn from(add: AlertAdd) -> Self {
        let options = [
            ("lang", add.language.map(|language| language.as_str().to_owned())),
            ("zone", add.zone),
            ("quiet", add.quiet),
            ("delay", add.delay),
            ("recovery", add.recovery),
            ("kinds", add.kinds),
        ];
        let options = options.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        Self::Add { account: add.account, url: add.url, secret: add.secret, options }
    }
}
