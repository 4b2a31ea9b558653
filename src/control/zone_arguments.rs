//! The command line of customers' zones.

use clap::Subcommand;

use super::key_request::KeyRequest;
use super::request::{Request, ZoneRequest};
use super::transfer_request::SecondaryCommand;
use super::upload;
use crate::account::AccountName;
use crate::base::DomainName;

/// `pulsemx zone ...`
#[derive(Subcommand, Debug)]
pub enum ZoneCommand {
    /// Serve a zone of an account: SOA and NS of this server, MX for the account's mail server and us
    Add {
        /// The account
        account: AccountName,
        /// The zone, such as firma.example
        zone: DomainName,
        /// Said in the history
        #[arg(long, default_value = "")]
        why: String,
    },
    /// Take a zone from a zone file, in place of what is there
    Import {
        /// The account
        account: AccountName,
        /// The zone
        zone: DomainName,
        /// The file, or - for standard input
        #[arg(value_parser = upload::driver::zone)]
        file: String,
        /// Said in the history
        #[arg(long, default_value = "")]
        why: String,
    },
    /// Print a zone as a zone file, with the names that follow a mail server as they are now
    Export {
        /// The zone
        zone: DomainName,
    },
    /// Set the records of one name and type, or take them away if no data is given
    Set {
        /// The zone
        zone: DomainName,
        /// The name, relative to the zone; @ for the zone itself
        name: String,
        /// MX, TXT, CNAME ...
        record_type: String,
        /// Data as in a zone file, once for each record
        data: Vec<String>,
        /// TTL in seconds
        #[arg(long, default_value_t = 3600)]
        ttl: u32,
        /// Said in the history
        #[arg(long, default_value = "")]
        why: String,
    },
    /// Show what was changed in a zone, when, by whom and why
    Show {
        /// The zone
        zone: DomainName,
    },
    /// List all zones
    List,
    /// Say what is wrong with a zone, or with a zone file before it is imported
    Check {
        /// The zone
        zone: DomainName,
        /// The file, or - for standard input; the zone as it is served if absent
        #[arg(value_parser = upload::driver::zone)]
        file: Option<String>,
    },
    /// Show the keys by which a zone is signed, and the DS record for its parent zone
    Keys {
        /// The zone, also that of the dynamic names
        zone: DomainName,
    },
    /// Sign a zone (DNSSEC) and print the DS record for its parent zone
    Sign {
        /// The zone, also that of the dynamic names
        zone: DomainName,
    },
    /// Exchange the key of a signed zone: first a new one stands beside the old one
    Roll {
        /// The zone
        zone: DomainName,
        /// The parent zone has the new DS record: the new key signs, the old one goes
        #[arg(long)]
        done: bool,
    },
    /// Sign a zone no more: first the parent zone is asked to forget its DS record
    Unsign {
        /// The zone
        zone: DomainName,
        /// The parent zone has no DS record any more
        #[arg(long)]
        done: bool,
    },
    /// Name servers elsewhere that follow a zone
    #[command(subcommand)]
    Secondary(SecondaryCommand),
    /// Serve a zone no more
    Rm {
        /// The account
        account: AccountName,
        /// The zone
        zone: DomainName,
    },
}

impl From<ZoneCommand> for Request {
    fn from(command: ZoneCommand) -> Self {
        Self::Zones(match command {
            ZoneCommand::Add { account, zone, why } => ZoneRequest::Add { account, zone, why },
            ZoneCommand::Import { account, zone, file, why } => ZoneRequest::Import { account, zone, text: file, why },
            ZoneCommand::Export { zone } => ZoneRequest::Export { zone },
            ZoneCommand::Set { zone, name, record_type, data, ttl, why } => {
                ZoneRequest::Set { zone, name, record_type, data, ttl, why }
            }
            ZoneCommand::Show { zone } => ZoneRequest::Show { zone },
            ZoneCommand::List => ZoneRequest::List,
            ZoneCommand::Check { zone, file } => ZoneRequest::Check { zone, text: file },
            ZoneCommand::Rm { account, zone } => ZoneRequest::Remove { account, zone },
            ZoneCommand::Keys { zone } => return Self::Keys(KeyRequest::Show { zone }),
            ZoneCommand::Sign { zone } => return Self::Keys(KeyRequest::Sign { zone }),
            ZoneCommand::Roll { zone, done } => return Self::Keys(KeyRequest::Roll { zone, is_done: done }),
            ZoneCommand::Unsign { zone, done } => return Self::Keys(KeyRequest::Unsign { zone, is_done: done }),
            ZoneCommand::Secondary(command) => return Self::Transfers(command.into()),
        })
    }
}
