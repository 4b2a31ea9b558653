//! The command line of lists of recipients.

use clap::Subcommand;

use super::request::RecipientRequest;
use super::upload;
use crate::account::AccountName;
use crate::base::DomainName;
use crate::recipient::Unknown;

/// Rows of a list unless told otherwise.
const LIST_LIMIT: u32 = 100;

/// `pulsemx recipient ...`
#[derive(Subcommand, Debug)]
pub enum RecipientCommand {
    /// Take a list of recipients in place of the one before: one address a line, `*@domain` for everybody
    Import {
        /// The account
        account: AccountName,
        /// The file, or - for standard input
        #[arg(value_name = "FILE", value_parser = upload::driver::text)]
        list: String,
        /// The only domain of the list; lines may then leave it out
        #[arg(long)]
        domain: Option<DomainName>,
        /// File with the key of the hashes in the list (hmac-sha256:HEX of name@domain in lower case)
        #[arg(long = "hash-key-file", value_name = "FILE", value_parser = upload::driver::key)]
        hash_key: Option<String>,
    },
    /// Show what is known of the recipients of each domain, and the entries of one list
    List {
        /// The account
        account: AccountName,
        /// Show the entries of this domain's list
        #[arg(long)]
        domain: Option<DomainName>,
        /// Continue behind this entry
        #[arg(long, requires = "domain")]
        after: Option<String>,
        /// Entries, at most 1000
        #[arg(long, default_value_t = LIST_LIMIT, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// Say what a sender would be told about one address now
    Check {
        /// The account
        account: AccountName,
        /// The address
        address: String,
    },
    /// Forget the list of a domain: everybody is taken again
    Forget {
        /// The account
        account: AccountName,
        /// The domain
        domain: DomainName,
    },
    /// Settle what happens to unknown recipients while the mail server is away
    Set {
        /// The account
        account: AccountName,
        /// The domain
        domain: DomainName,
        /// by-list (a list of the last 7 days refuses, an older one puts off, without one all are taken), accept, defer, reject
        #[arg(long)]
        unknown: Option<Unknown>,
        /// What separates a name from the detail behind it, such as +; none for no detail
        #[arg(long, value_parser = separator)]
        separator: Option<String>,
    },
}

fn separator(text: &str) -> Result<String, &'static str> {
    let is_known = text == "none" || (text.chars().count() == 1 && text.chars().all(|c| "+-_=.#".contains(c)));
    if is_known { Ok(text.to_owned()) } else { Err("say none or one of + - _ = . #") }
}

impl From<RecipientCommand> for RecipientRequest {
    fn from(command: RecipientCommand) -> Self {
        match command {
            RecipientCommand::Import { account, list, domain, hash_key } => {
                Self::Import { account, list, domain, hash_key }
            }
            RecipientCommand::List { account, domain, after, limit } => Self::List { account, domain, after, limit },
            RecipientCommand::Check { account, address } => Self::Check { account, address },
            RecipientCommand::Forget { account, domain } => Self::Forget { account, domain },
            RecipientCommand::Set { account, domain, unknown, separator } => {
                Self::Set { account, domain, unknown, separator }
            }
        }
    }
}
