//! Commands about secondaries and shared keys, on the command line and over the socket.

use std::net::{IpAddr, SocketAddr};

use clap::Subcommand;
use serde::{Deserialize, Serialize};

use crate::account::AccountName;
use crate::base::DomainName;
use crate::dns::amend::scope::TypeList;

/// Where secondaries listen (RFC 1035 §4.2).
const DNS_PORT: u16 = 53;

/// Such a command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "transfers", rename_all = "snake_case", deny_unknown_fields)]
pub enum TransferRequest {
    /// A server may follow a zone.
    SecondaryAdd {
        /// Which zone.
        zone: DomainName,
        /// Where it is told of changes.
        address: SocketAddr,
        /// What it has to sign with.
        key: Option<DomainName>,
    },
    /// All of them.
    SecondaryList,
    /// A server may follow a zone no more.
    SecondaryRemove {
        /// Which zone.
        zone: DomainName,
        /// As it was added.
        address: SocketAddr,
    },
    /// A new shared key.
    KeyNew {
        /// Its name.
        name: DomainName,
    },
    /// All of them.
    KeyList,
    /// A shared key may change a name.
    KeyAllow {
        /// Whose name.
        account: AccountName,
        /// The key.
        key: DomainName,
        /// The name.
        name: DomainName,
        /// All names below it too.
        is_below: bool,
        /// Which types.
        types: TypeList,
    },
    /// A shared key may not change a name any more.
    KeyDeny {
        /// The key.
        key: DomainName,
        /// As it was allowed.
        name: DomainName,
    },
    /// One shared key less.
    KeyRemove {
        /// Which.
        name: DomainName,
    },
}

impl TransferRequest {
    /// Whether it changes nothing.
    #[must_use]
    pub const fn only_looks(&self) -> bool {
        matches!(self, Self::SecondaryList | Self::KeyList)
    }
}

/// `pulsemx zone secondary ...`
#[derive(Subcommand, Debug)]
pub enum SecondaryCommand {
    /// Let a name server follow a zone: it is told of changes and may copy the zone
    Add {
        /// The zone, also that of the dynamic names
        zone: DomainName,
        /// Its address, with a port if that is not 53
        #[arg(value_parser = address)]
        address: SocketAddr,
        /// The key it signs with, see `pulsemx tsig new`; without one its address alone counts
        #[arg(long)]
        key: Option<DomainName>,
    },
    /// List all name servers that follow a zone
    List,
    /// Let a name server follow a zone no more
    Rm {
        /// The zone
        zone: DomainName,
        /// Its address as it was added
        #[arg(value_parser = address)]
        address: SocketAddr,
    },
}

/// `pulsemx tsig ...`
#[derive(Subcommand, Debug)]
pub enum TsigCommand {
    /// Make a key; prints its secret once
    New {
        /// A name that both sides give it, such as ns.provider.example
        name: DomainName,
    },
    /// List all keys with what they may change
    List,
    /// Let a key change a name of an account by DNS updates (RFC 2136), as nsupdate and ACME clients send them
    Allow {
        /// The account
        account: AccountName,
        /// The key
        key: DomainName,
        /// The name, such as _acme-challenge.firma.example
        name: DomainName,
        /// All names below it too
        #[arg(long)]
        below: bool,
        /// Types with commas between, or ANY
        #[arg(long, default_value = "A,AAAA,TXT")]
        types: TypeList,
    },
    /// Let a key change a name no more
    Deny {
        /// The key
        key: DomainName,
        /// The name as it was allowed
        name: DomainName,
    },
    /// Forget a key that no secondary uses
    Rm {
        /// The key
        name: DomainName,
    },
}

impl From<SecondaryCommand> for TransferRequest {
    fn from(command: SecondaryCommand) -> Self {
        match command {
            SecondaryCommand::Add { zone, address, key } => Self::SecondaryAdd { zone, address, key },
            SecondaryCommand::List => Self::SecondaryList,
            SecondaryCommand::Rm { zone, address } => Self::SecondaryRemove { zone, address },
        }
    }
}

impl From<TsigCommand> for TransferRequest {
    fn from(command: TsigCommand) -> Self {
        match command {
            TsigCommand::New { name } => Self::KeyNew { name },
            TsigCommand::List => Self::KeyList,
            TsigCommand::Allow { account, key, name, below, types } => {
                Self::KeyAllow { account, key, name, is_below: below, types }
            }
            TsigCommand::Deny { key, name } => Self::KeyDeny { key, name },
            TsigCommand::Rm { name } => Self::KeyRemove { name },
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
    let parsed = text.parse::<SocketAddr>().or_else(|_| bare());
    let address =
        parsed.map_err(|_| "write an address such as 192.0.2.53, 192.0.2.53:5300 or [2001:db8::53]:5300".to_owned())?;
    if address.ip().is_unspecified() || address.ip().is_multicast() || address.port() == 0 {
        return Err("no server can be told there".to_owned());
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_or_the_usual_one() {
        assert_eq!(address("192.0.2.53"), Ok("192.0.2.53:53".parse().unwrap()));
        assert_eq!(address("2001:db8::53"), Ok("[2001:db8::53]:53".parse().unwrap()));
        assert_eq!(address("[2001:db8::53]:5300"), Ok("[2001:db8::53]:5300".parse().unwrap()));
        for wrong in ["ns.example", "0.0.0.0", "192.0.2.53:0", "224.0.0.1", ""] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
