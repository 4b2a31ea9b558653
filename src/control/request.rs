//! What an operator may ask for, as it travels over the control socket.

use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use super::alert_request::AlertRequest;
use super::challenge_request::ChallengeRequest;
use super::drill_desk::DrillRequest;
use super::key_request::KeyRequest;
use super::mail_request::MailRequest;
use super::post_request::PostRequest;
use super::token_request::TokenRequest;
use super::transfer_request::TransferRequest;
use crate::account::{AccountName, OnlineMode};
use crate::base::DomainName;
use crate::recipient::Unknown;
use crate::update::TokenKind;

/// Which messages `queue list` shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum QueueFilter {
    /// Everything not delivered.
    #[default]
    Held,
    /// Waiting for the primary.
    Waiting,
    /// Refused by the primary.
    Refused,
    /// Delivered, as long as the envelope is kept.
    Delivered,
    /// All of them.
    Any,
}

/// One command. A line of JSON on the socket.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// A new account with one mail server.
    AccountAdd {
        /// Its name.
        name: AccountName,
        /// Mail domains.
        domains: Vec<DomainName>,
        /// The dynamic name; made from name and our hostname if absent.
        host: Option<DomainName>,
        /// SMTP port of the mail server.
        port: u16,
    },
    /// Every account.
    AccountList,
    /// One account.
    AccountShow {
        /// Its name.
        name: AccountName,
    },
    /// A new heartbeat token; the old one stays valid for a while.
    AccountRotate {
        /// Its name.
        name: AccountName,
        /// How long the old token is still taken, seconds.
        overlap_s: u64,
    },
    /// Ends an account: senders are put off for a month, then it goes.
    AccountRemove {
        /// Its name.
        name: AccountName,
        /// Without the month; only an account that holds no mail.
        at_once: bool,
    },
    /// Keeps the account's mail without delivering it.
    AccountSuspend {
        /// Its name.
        name: AccountName,
    },
    /// Says what happens to mail while the account's server is there.
    AccountOnline {
        /// Its name.
        name: AccountName,
        /// Absent: as the configuration says for all.
        mode: Option<OnlineMode>,
    },
    /// Takes back a suspension or an end.
    AccountResume {
        /// Its name.
        name: AccountName,
    },
    /// A sign-in link for the account's owner; for the operator without a name.
    AccountLink {
        /// The account.
        name: Option<AccountName>,
    },
    /// An address, good once, at which a heartbeat client fetches a new token.
    AccountJoin {
        /// Its name.
        name: AccountName,
    },
    /// Accepted = delivered + deleted + waiting + refused?
    AccountProof {
        /// Its name.
        name: AccountName,
    },
    /// One more mail domain.
    DomainAdd {
        /// Whose.
        account: AccountName,
        /// Which.
        domain: DomainName,
    },
    /// One mail domain less.
    DomainRemove {
        /// Whose.
        account: AccountName,
        /// Which.
        domain: DomainName,
    },
    /// Messages, oldest first.
    QueueList {
        /// Only this account's.
        account: Option<AccountName>,
        /// Only these.
        filter: QueueFilter,
        /// Behind this message.
        after: Option<String>,
        /// At most so many, up to 1,000.
        limit: u32,
    },
    /// One message.
    QueueShow {
        /// Spool id.
        id: String,
    },
    /// What became of mail from or to an address.
    QueueTrace {
        /// The address.
        address: String,
    },
    /// Another try, now.
    QueueRetry {
        /// Of one message.
        id: Option<String>,
        /// Of everything an account holds.
        account: Option<AccountName>,
    },
    /// Whether the silence of many is taken to be our own fault.
    StateList,
    /// It is real.
    StateRelease,
    /// Read the configuration and certificates again.
    Reload,
    /// The whole service in a few lines.
    Status,
    /// About mail that is kept.
    Mail(MailRequest),
    /// About what became of mail, and mail of our own.
    Post(PostRequest),
    /// About updates from devices.
    Updates(UpdateRequest),
    /// About tokens of the API.
    Tokens(TokenRequest),
    /// About customers' zones.
    Zones(ZoneRequest),
    /// About secondaries and shared keys.
    Transfers(TransferRequest),
    /// About keys of zones.
    Keys(KeyRequest),
    /// About keys of ACME clients.
    Challenges(ChallengeRequest),
    /// About recipients.
    Recipients(RecipientRequest),
    /// About channels of alerts.
    Alerts(AlertRequest),
    /// Fire drills.
    Drill(DrillRequest),
}

/// A command about customers' zones.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "zones", rename_all = "snake_case", deny_unknown_fields)]
pub enum ZoneRequest {
    /// A new zone with what every zone has.
    Add {
        /// Whose.
        account: AccountName,
        /// Which.
        zone: DomainName,
        /// For the history.
        why: String,
    },
    /// A zone as this file says.
    Import {
        /// Whose.
        account: AccountName,
        /// Which.
        zone: DomainName,
        /// A zone file.
        text: String,
        /// For the history.
        why: String,
    },
    /// A zone as a zone file.
    Export {
        /// Which.
        zone: DomainName,
    },
    /// The records of one name and type.
    Set {
        /// Which.
        zone: DomainName,
        /// Relative to the zone, as in a zone file.
        name: String,
        /// `MX`.
        record_type: String,
        /// As in a zone file, one for each record; none to take them away.
        data: Vec<String>,
        /// Seconds.
        ttl: u32,
        /// For the history.
        why: String,
    },
    /// A zone with its history.
    Show {
        /// Which.
        zone: DomainName,
    },
    /// All zones.
    List,
    /// What is wrong with a zone.
    Check {
        /// Which.
        zone: DomainName,
        /// A zone file; the zone as it is served if absent.
        text: Option<String>,
    },
    /// One zone less.
    Remove {
        /// Whose.
        account: AccountName,
        /// Which.
        zone: DomainName,
    },
}

impl ZoneRequest {
    const fn only_looks(&self) -> bool {
        match self {
            Self::Export { .. } | Self::Show { .. } | Self::List => true,
            Self::Add { .. } | Self::Import { .. } | Self::Set { .. } | Self::Check { .. } | Self::Remove { .. } => {
                false
            }
        }
    }
}

/// A command about updates from devices.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "update", rename_all = "snake_case", deny_unknown_fields)]
pub enum UpdateRequest {
    /// A new token.
    TokenNew {
        /// Whose.
        account: AccountName,
        /// What it opens.
        kind: TokenKind,
        /// The only name it sets.
        host: Option<DomainName>,
        /// How long it is valid, seconds; for ever if absent.
        valid_s: Option<u64>,
    },
    /// The tokens of an account, or all.
    TokenList {
        /// Whose.
        account: Option<AccountName>,
    },
    /// A token less.
    TokenRevoke {
        /// Whose.
        account: AccountName,
        /// Which.
        id: i64,
    },
    /// One more dynamic name, or another interface id for one.
    HostAdd {
        /// Whose.
        account: AccountName,
        /// Which.
        host: DomainName,
        /// The lower part of its IPv6 address.
        interface_id: Option<Ipv6Addr>,
    },
    /// The dynamic names of an account.
    HostList {
        /// Whose.
        account: AccountName,
    },
    /// One dynamic name less.
    HostRemove {
        /// Whose.
        account: AccountName,
        /// Which.
        host: DomainName,
    },
    /// What an account settles about its updates.
    Set {
        /// Whose.
        account: AccountName,
        /// Silence after which an update counts as gone, seconds; 0 for none.
        expiry_s: Option<u64>,
        /// Our name stands in the MX set.
        backup_mx: Option<bool>,
        /// Updates and the probe count again although beats came once.
        forget_beats: bool,
    },
}

impl UpdateRequest {
    const fn only_looks(&self) -> bool {
        match self {
            Self::TokenList { .. } | Self::HostList { .. } => true,
            Self::TokenNew { .. }
            | Self::TokenRevoke { .. }
            | Self::HostAdd { .. }
            | Self::HostRemove { .. }
            | Self::Set { .. } => false,
        }
    }
}

/// About recipients.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecipientRequest {
    /// Lists in place of those before.
    Import {
        /// Whose.
        account: AccountName,
        /// The text.
        list: String,
        /// Its only domain.
        domain: Option<DomainName>,
        /// Of its hashes.
        hash_key: Option<String>,
    },
    /// What is known.
    List {
        /// Whose.
        account: AccountName,
        /// Entries of this one.
        domain: Option<DomainName>,
        /// Behind this entry.
        after: Option<String>,
        /// Entries at most.
        limit: u32,
    },
    /// What would be said of one address.
    Check {
        /// Whose.
        account: AccountName,
        /// The address.
        address: String,
    },
    /// Forgets a list.
    Forget {
        /// Whose.
        account: AccountName,
        /// Which.
        domain: DomainName,
    },
    /// Settles what happens to strangers.
    Set {
        /// Whose.
        account: AccountName,
        /// Where.
        domain: DomainName,
        /// See there; unchanged if absent.
        unknown: Option<Unknown>,
        /// One character, or `none`; unchanged if absent.
        separator: Option<String>,
    },
}

impl Request {
    /// Whether it changes nothing, so that it can be answered from the database of a stopped server.
    #[must_use]
    pub const fn only_looks(&self) -> bool {
        match self {
            Self::AccountList
            | Self::AccountShow { .. }
            | Self::AccountProof { .. }
            | Self::QueueList { .. }
            | Self::QueueShow { .. }
            | Self::QueueTrace { .. }
            | Self::StateList
            | Self::Status => true,
            Self::AccountAdd { .. }
            | Self::AccountRotate { .. }
            | Self::AccountRemove { .. }
            | Self::AccountSuspend { .. }
            | Self::AccountOnline { .. }
            | Self::AccountResume { .. }
            | Self::AccountLink { .. }
            | Self::AccountJoin { .. }
            | Self::DomainAdd { .. }
            | Self::DomainRemove { .. }
            | Self::QueueRetry { .. }
            | Self::Reload
            | Self::Challenges(_)
            | Self::Keys(_)
            | Self::Drill(_)
            | Self::Tokens(_)
            | Self::StateRelease => false,
            Self::Mail(request) => request.only_looks(),
            Self::Post(request) => request.only_looks(),
            Self::Updates(request) => request.only_looks(),
            Self::Zones(request) => request.only_looks(),
            Self::Transfers(request) => request.only_looks(),
            Self::Recipients(request) => matches!(request, RecipientRequest::List { .. }),
            Self::Alerts(request) => matches!(request, AlertRequest::List { .. }),
        }
    }
}
