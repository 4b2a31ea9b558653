//! What comes back from a command. Field names are an interface: scripts read them with `--json`.

use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::certificate_reply::CertificateShown;
use super::challenge_request::ChallengeShown;
use super::key_request::ZoneKeysShown;
pub use super::line_reply::{FamilyShown, PinShown};
pub use super::mail_reply::{MessageDetailShown, MessageShown, QueueShown, RecipientShown, RefusedShown, TraceShown};
use super::post_reply::{MessageTraceShown, OutageShown, OutgoingShown};
pub use super::recipient_reply::{RecipientDomainShown, RecipientsShown};
use super::token_request::{ApiTokenShown, FreshTokenShown};
use super::transfer_reply::{KeyShown, NewKeyShown, SecondaryShown};
use crate::account::{AccountName, AccountStatus, OnlineMode};
use crate::alert::office::ChannelShown;
use crate::base::{DomainName, WallTime};
use crate::drill::shown::DrillShown;
use crate::liveness::LineState;
use crate::smtp::CountersShown;
use crate::spool::Hold;
use crate::update::{Reason, Source, TokenKind};

/// Why a command was not carried out, and what to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    /// One sentence with the remedy.
    pub message: String,
    /// The service failed; who asked did nothing wrong.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_trouble: bool,
}

impl CommandError {
    /// An error with this sentence.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_trouble: false }
    }

    /// Of an error of another room; `is_trouble` says that its engine failed.
    pub(super) fn of(error: &dyn std::fmt::Display, is_trouble: bool) -> Self {
        Self { message: error.to_string(), is_trouble }
    }
}

/// A new account or a new token. The token is shown this once.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TokenShown {
    /// The account.
    pub account: AccountName,
    /// The heartbeat token.
    pub token: String,
    /// The dynamic name.
    pub host: DomainName,
    /// SMTP port of the mail server.
    pub port: u16,
    /// Names that mail is taken for.
    pub domains: Vec<DomainName>,
    /// When the token before this one stops to be valid.
    pub old_token_until: Option<WallTime>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// The last flush of an account.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FlushShown {
    /// When it ended.
    pub ended_at: WallTime,
    /// Recipients delivered.
    pub delivered: u64,
    /// Recipients put off.
    pub deferred: u64,
    /// Recipients refused.
    pub refused: u64,
    /// From start to end, ms.
    pub took_ms: u64,
    /// From the beat of the return to the first delivered message, ms.
    pub first_delivery_ms: Option<u64>,
}

/// One account.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AccountShown {
    /// Its name.
    pub account: AccountName,
    /// Contract.
    pub status: AccountStatus,
    /// Since when.
    pub status_since: WallTime,
    /// What happens to mail while its server is there; absent: as the configuration says for all.
    #[serde(default)]
    pub online_mode: Option<OnlineMode>,
    /// End of its announced absence, or of the last one.
    #[serde(default)]
    pub holiday_until: Option<WallTime>,
    /// Networks that pass on mail of others to it.
    #[serde(default)]
    pub forwarders: Vec<ipnet::IpNet>,
    /// State of its line.
    pub state: LineState,
    /// Since when.
    pub since: Option<WallTime>,
    /// Address of the last authenticated heartbeat.
    pub address: Option<IpAddr>,
    /// SMTP port of the mail server.
    pub port: u16,
    /// The dynamic name.
    pub host: DomainName,
    /// Names that mail is taken for.
    pub domains: Vec<DomainName>,
    /// Datagrams lost on the way from the client, percent of the last 64. Absent without a heartbeat since the start.
    #[serde(default)]
    pub loss_percent: Option<f32>,
    /// Datagrams of the client without a reply, percent of the last 64, as it counts them: lost there or back. Absent where no
    /// client counts.
    #[serde(default)]
    pub unanswered_percent: Option<f32>,
    /// Each address family that is vouched for.
    #[serde(default)]
    pub families: Vec<FamilyShown>,
    /// A mail server that the client named and that no proven address covers.
    #[serde(default)]
    pub not_proven: Option<IpAddr>,
    /// Until when the name keeps its record because the line comes and goes. Mail does not wait.
    #[serde(default)]
    pub name_held_until: Option<WallTime>,
    /// When the last heartbeat came. Absent since the start of the server if none came.
    pub last_beat: Option<WallTime>,
    /// Messages that wait for the mail server.
    pub held: u64,
    /// Messages that it refused; kept.
    pub refused: u64,
    /// Octets of both.
    pub held_bytes: u64,
    /// A delivery is running.
    pub delivering: bool,
    /// Why the last delivery failed.
    pub last_problem: Option<String>,
    /// What spoke for the mail server at the last connection.
    #[serde(default)]
    pub proof: Option<String>,
    /// Why the server that answers is not taken to be the customer's.
    #[serde(default)]
    pub doubt: Option<String>,
    /// The flush is stopped.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// The last flush.
    pub last_flush: Option<FlushShown>,
    /// Whether a running server said this; else the state is the last one stored.
    pub live: bool,
    /// What tells us whether the server is there: `beats|updates|none`.
    pub source: Source,
    /// Longest time from the last sign of life to OFFLINE, seconds.
    pub detection_s: Option<u64>,
    /// Silence of the updates after which their address counts as gone, seconds; nothing: the probe alone decides. In
    /// `account show` only, as all below.
    pub expiry_s: Option<u64>,
    /// Our name is to stand in the MX set (`backmx` of dyndns2).
    pub backup_mx: bool,
    /// Dynamic names and where updates pointed them.
    pub names: Vec<HostShown>,
    /// The last request of each device, newest first.
    pub devices: Vec<DeviceShown>,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// A dynamic name.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct HostShown {
    /// The name.
    pub host: DomainName,
    /// Where it points.
    pub addresses: Vec<IpAddr>,
    /// The lower part of its IPv6 address under any prefix.
    pub interface_id: Option<Ipv6Addr>,
    /// Taken away by `offline=YES`.
    pub withdrawn: bool,
    /// When an update last changed it.
    pub changed_at: Option<WallTime>,
}

/// The last request of a device.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DeviceShown {
    /// `token 7`, or `unknown token`.
    pub device: String,
    /// When.
    pub at: WallTime,
    /// From where.
    pub peer: IpAddr,
    /// What it calls itself.
    pub agent: String,
    /// Over TLS.
    pub encrypted: bool,
    /// Names as asked for.
    pub hosts: String,
    /// What it was answered.
    pub answer: String,
    /// Why, as a word.
    pub reason: Reason,
    /// Why, as a sentence.
    pub because: String,
}

/// An update token. Its text is there only in the answer to `token new`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct UpdateTokenShown {
    /// Number of the token.
    pub id: i64,
    /// The account.
    pub account: AccountName,
    /// What it opens.
    pub kind: TokenKind,
    /// The only name it sets.
    pub host: Option<DomainName>,
    /// The text, shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What to give the device: an address with the token in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it was made.
    pub created_at: WallTime,
    /// When it stops to be valid.
    pub expires_at: Option<WallTime>,
}

/// The conservation count of an account, per recipient.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ProofShown {
    /// The account.
    pub account: AccountName,
    /// Counter kept by intake.
    pub accepted: u64,
    /// Counter kept by reports.
    pub delivered: u64,
    /// Counter kept by removals.
    pub deleted: u64,
    /// Counter kept by the end of quarantines.
    pub expired: u64,
    /// Rows that wait.
    pub waiting: u64,
    /// Rows in quarantine: refused or expired.
    pub refused: u64,
    /// Whether it adds up.
    pub balanced: bool,
}

/// The whole service.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StatusShown {
    /// Our public name.
    pub hostname: DomainName,
    /// Version of the program that answers.
    pub version: String,
    /// Whether a server runs.
    pub running: bool,
    /// Since when.
    pub started_at: Option<WallTime>,
    /// Accounts in all.
    pub accounts: u64,
    /// Accounts by state.
    pub online: u64,
    /// SUSPECT.
    pub suspect: u64,
    /// OFFLINE.
    pub offline: u64,
    /// RETURNING.
    pub returning: u64,
    /// NEW.
    pub new: u64,
    /// Messages that wait.
    pub held: u64,
    /// Messages refused.
    pub refused: u64,
    /// Octets of both.
    pub held_bytes: u64,
    /// Accounts being delivered to.
    pub delivering: u64,
    /// Messages kept for the postmaster of this host.
    #[serde(default)]
    pub postmaster: u64,
    /// What the SMTP door has done since the start; none when no server runs.
    #[serde(default)]
    pub smtp: Option<CountersShown>,
    /// Channels of alerts whose last attempt failed.
    #[serde(default)]
    pub alerts_failing: u64,
    /// Accounts (or `operator`) all of whose channels fail: nobody is told.
    #[serde(default)]
    pub alerts_unreached: Vec<String>,
    /// Our own certificate, where an authority issues it.
    #[serde(default)]
    pub certificate: Option<CertificateShown>,
}

/// Silence that may be our own fault.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StateShown {
    /// Set while the silence of many is taken to be our own fault.
    pub own_outage: Option<OwnOutageShown>,
    /// Accounts that are silent and not neutralised, by name.
    pub suspect: Vec<AccountName>,
}

/// An outage of our own that goes on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OwnOutageShown {
    /// `mass_miss` or `overload`.
    pub fault: String,
    /// When it was decided.
    pub since: WallTime,
    /// Lines that are silent.
    pub silent: u64,
    /// Lines that were being heard, these included.
    pub heard: u64,
    /// The answer of the newest check of our own uplink; absent without one.
    pub uplink_up: Option<bool>,
}

/// A zone of a customer.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ZoneShown {
    /// Its name.
    pub zone: DomainName,
    /// Whose.
    pub account: AccountName,
    /// As its SOA record shows it.
    pub serial: u32,
    /// Lines of a zone file.
    pub records: Vec<String>,
    /// The newest first; in `zone show` only.
    pub changes: Vec<ZoneChangeShown>,
}

/// A change of a zone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ZoneChangeShown {
    /// When.
    pub at: WallTime,
    /// Who.
    pub who: String,
    /// In his words.
    pub why: String,
    /// The serial that it led to.
    pub serial: u32,
    /// Lines of a zone file with `+` or `-` in front.
    pub what: Vec<String>,
}

/// The answer to a command.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To `account add` and `account rotate`.
    Token(TokenShown),
    /// To `account list`.
    Accounts(Vec<AccountShown>),
    /// To `account show`.
    Account(Box<AccountShown>),
    /// To `account link`.
    Link {
        /// The link; valid once.
        url: String,
        /// Until when.
        expires_at: WallTime,
    },
    /// To `account proof`.
    Proof(ProofShown),
    /// To `drill`.
    Drill(Box<DrillShown>),
    /// To `account pin show`.
    Pin(PinShown),
    /// To `queue list`.
    Queue(QueueShown),
    /// To `queue trace`.
    Trace(TraceShown),
    /// To `queue show`.
    Message(Box<MessageDetailShown>),
    /// To `queue retry`.
    Retried {
        /// Recipients queued for now.
        recipients: u64,
    },
    /// To `state list`.
    State(StateShown),
    /// To `status`.
    Status(StatusShown),
    /// To `token new`.
    UpdateToken(UpdateTokenShown),
    /// To `token list`.
    UpdateTokens {
        /// For updates from devices.
        tokens: Vec<UpdateTokenShown>,
        /// Of the API.
        #[serde(default)]
        api_tokens: Vec<ApiTokenShown>,
    },
    /// To `token new --scope` and `token rotate`.
    ApiToken(Box<FreshTokenShown>),
    /// To `host list`.
    Hosts(Vec<HostShown>),
    /// To `zone list`.
    Zones(Vec<ZoneShown>),
    /// To `zone show`.
    Zone(Box<ZoneShown>),
    /// To `zone secondary list`.
    Secondaries(Vec<SecondaryShown>),
    /// To `tsig new`.
    NewKey(NewKeyShown),
    /// To `zone keys`, `zone sign`, `zone roll` and `zone unsign`.
    ZoneKeys(Box<ZoneKeysShown>),
    /// To `challenge new`.
    Challenge(Box<ChallengeShown>),
    /// To `challenge list`.
    Challenges(Vec<ChallengeShown>),
    /// To `tsig list`.
    Keys(Vec<KeyShown>),
    /// To `zone export`.
    ZoneText {
        /// Which.
        zone: DomainName,
        /// A zone file.
        text: String,
    },
    /// To `zone check`.
    ZoneChecked {
        /// It can be served.
        is_good: bool,
        /// What was found, the worst first.
        findings: Vec<String>,
    },
    /// To `queue trace`.
    MessageTrace(Box<MessageTraceShown>),
    /// To `queue outgoing`.
    Outgoing(Vec<OutgoingShown>),
    /// To `report outage`.
    Outage(Box<OutageShown>),
    /// To `trust`.
    Text {
        /// Lines to be put into a configuration.
        text: String,
    },
    /// To `recipient list`.
    Recipients(RecipientsShown),
    /// To `alert list`.
    Alerts(Vec<ChannelShown>),
    /// To `alert add`.
    AlertAdded {
        /// The channel's number.
        id: i64,
        /// The key of a webhook, where it was made here; shown this once.
        key: Option<String>,
    },
    /// To commands with nothing to show.
    Done {
        /// What was done, one sentence.
        message: String,
        /// What the operator should know.
        warnings: Vec<String>,
    },
}

impl Reply {
    /// The JSON object that `--json` prints: the content alone.
    ///
    /// # Errors
    /// Never for these types; serde's signature.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::Token(shown) => serde_json::to_string(shown),
            Self::Accounts(shown) => serde_json::to_string(&serde_json::json!({ "accounts": shown })),
            Self::Account(shown) => serde_json::to_string(shown),
            Self::Link { url, expires_at } => {
                serde_json::to_string(&serde_json::json!({ "url": url, "expires_at": expires_at }))
            }
            Self::Proof(shown) => serde_json::to_string(shown),
            Self::Drill(shown) => serde_json::to_string(shown),
            Self::Pin(shown) => serde_json::to_string(shown),
            Self::Queue(shown) => serde_json::to_string(shown),
            Self::Trace(shown) => serde_json::to_string(shown),
            Self::Message(shown) => serde_json::to_string(shown),
            Self::Text { text } => serde_json::to_string(&serde_json::json!({ "text": text })),
            Self::MessageTrace(shown) => serde_json::to_string(shown),
            Self::Outgoing(shown) => serde_json::to_string(&serde_json::json!({ "mails": shown })),
            Self::Outage(shown) => serde_json::to_string(shown),
            Self::Recipients(shown) => serde_json::to_string(shown),
            Self::Alerts(shown) => serde_json::to_string(&serde_json::json!({ "channels": shown })),
            Self::AlertAdded { id, key } => serde_json::to_string(&serde_json::json!({ "id": id, "key": key })),
            Self::Retried { recipients } => serde_json::to_string(&serde_json::json!({ "recipients": recipients })),
            Self::State(shown) => serde_json::to_string(shown),
            Self::Status(shown) => serde_json::to_string(shown),
            Self::UpdateToken(shown) => serde_json::to_string(shown),
            Self::UpdateTokens { tokens, api_tokens } => {
                serde_json::to_string(&serde_json::json!({ "tokens": tokens, "api_tokens": api_tokens }))
            }
            Self::ApiToken(shown) => serde_json::to_string(shown),
            Self::Hosts(shown) => serde_json::to_string(&serde_json::json!({ "hosts": shown })),
            Self::Zones(shown) => serde_json::to_string(&serde_json::json!({ "zones": shown })),
            Self::Zone(shown) => serde_json::to_string(shown),
            Self::Secondaries(shown) => serde_json::to_string(&serde_json::json!({ "secondaries": shown })),
            Self::NewKey(shown) => serde_json::to_string(shown),
            Self::Challenge(shown) => serde_json::to_string(shown),
            Self::ZoneKeys(shown) => serde_json::to_string(shown),
            Self::Challenges(shown) => serde_json::to_string(&serde_json::json!({ "keys": shown })),
            Self::Keys(shown) => serde_json::to_string(&serde_json::json!({ "keys": shown })),
            Self::ZoneText { zone, text } => serde_json::to_string(&serde_json::json!({ "zone": zone, "text": text })),
            Self::ZoneChecked { is_good, findings } => {
                serde_json::to_string(&serde_json::json!({ "good": is_good, "findings": findings }))
            }
            Self::Done { message, warnings } => {
                serde_json::to_string(&serde_json::json!({ "done": message, "warnings": warnings }))
            }
        }
    }

    /// What goes to stderr beside the answer.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        match self {
            Self::Token(TokenShown { warnings, .. }) | Self::Done { warnings, .. } => warnings,
            Self::Account(shown) => &shown.warnings,
            Self::Accounts(_)
            | Self::Link { .. }
            | Self::Proof(_)
            | Self::Drill(_)
            | Self::Pin(_)
            | Self::Queue(_)
            | Self::Trace(_)
            | Self::Message(_)
            | Self::Retried { .. }
            | Self::State(_)
            | Self::Status(_)
            | Self::UpdateToken(_)
            | Self::UpdateTokens { .. }
            | Self::ApiToken(_)
            | Self::Zones(_)
            | Self::Zone(_)
            | Self::Secondaries(_)
            | Self::NewKey(_)
            | Self::Keys(_)
            | Self::Challenge(_)
            | Self::ZoneKeys(_)
            | Self::Challenges(_)
            | Self::ZoneText { .. }
            | Self::ZoneChecked { .. }
            | Self::Recipients(_)
            | Self::Alerts(_)
            | Self::AlertAdded { .. }
            | Self::MessageTrace(_)
            | Self::Text { .. }
            | Self::Outgoing(_)
            | Self::Outage(_)
            | Self::Hosts(_) => &[],
        }
    }
}
