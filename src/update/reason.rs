//! Why a request of a device was answered as it was, for the customer's page.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $sentence:literal;)*) => {
        /// Why. A word for the store and the API, a sentence for people.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// As stored and in the API.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Reads what [`as_str`](Self::as_str) wrote.
            #[must_use]
            pub fn from_stored(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$name),)* _ => None }
            }

            /// The sentence of the operator's commands. Pages have their own in both languages.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }
        }
    };
}

impl Reason {
    /// Whether the device did not get what it asked for, so that somebody should look.
    #[must_use]
    pub const fn is_fault(self) -> bool {
        match self {
            Self::Changed | Self::Unchanged | Self::Parked | Self::BeatsLead | Self::Withdrawn => false,
            Self::BadToken
            | Self::WrongUser
            | Self::TokenInUrl
            | Self::WrongKind
            | Self::NoHostGiven
            | Self::UnknownHost
            | Self::OtherAccount
            | Self::OutOfScope
            | Self::TooManyHosts
            | Self::BadAddress
            | Self::NoInterfaceId
            | Self::TooOften
            | Self::NotStored => true,
        }
    }
}

reasons! {
    /// The name points elsewhere now.
    Changed = "changed", "the address was set";
    /// It pointed there already.
    Unchanged = "unchanged", "the address was set already";
    /// It pointed there already, and the server is offline: no fault of the device.
    Parked = "parked", "the address was set already; the name is parked while the server is offline";
    /// Heartbeats come: the name follows them.
    BeatsLead = "beats_lead", "heartbeats come from this server, so its name follows them and not the router";
    /// `offline=YES`.
    Withdrawn = "withdrawn", "the device asked to take the name away";
    /// The token is unknown, revoked or run out.
    BadToken = "bad_token", "the token is unknown, revoked or run out";
    /// The user name belongs to nothing of this account.
    WrongUser = "wrong_user", "the user name is neither the account's nor one of its names";
    /// A token for all names stood in an address, where proxies and logs see it.
    TokenInUrl = "token_in_url", "a token for several names belongs in the password, not in the address; make one with --host";
    /// A token of another kind.
    WrongKind = "wrong_kind", "the token is for another kind of update";
    /// No name was given.
    NoHostGiven = "no_host_given", "the request names no host, or one that is no domain name";
    /// No such name.
    UnknownHost = "unknown_host", "the name is not registered; see `pulsemx host list`";
    /// A name of somebody else.
    OtherAccount = "other_account", "the name belongs to another account";
    /// The token is for another name.
    OutOfScope = "out_of_scope", "the token is for another name of this account";
    /// More than 20 names.
    TooManyHosts = "too_many_hosts", "more than 20 names in one request";
    /// Not an address, or one that nobody can reach.
    BadAddress = "bad_address", "the address cannot be read or is not a public one";
    /// A bare prefix for a name without an interface id.
    NoInterfaceId = "no_interface_id", "a prefix alone is no address: send a whole one once, or give the name an interface id";
    /// Too many changes in a short time.
    TooOften = "too_often", "the address changes too often; the device will try again";
    /// Our store failed.
    NotStored = "not_stored", "the update could not be stored; the device will try again";
}
