//! What happened, as a value that waits in the outbox until somebody was told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::kind::Kind;
use super::policy::{Notice, NoticeKind, Subject};
use crate::account::Directory;
use crate::base::{AccountId, EndpointId, WallTime};
use crate::delivery;
use crate::liveness::guard::End;

/// Characters of a peer's words in an alert, at most.
const REASON_MAX: usize = 300;

/// Where an event stands in its episode.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Trouble begins: told if it is still true after the channel's delay.
    Begin,
    /// It is over: told to those who were told that it began.
    End,
    /// Something that has no end.
    Once,
}

impl Phase {
    /// As in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::End => "end",
            Self::Once => "once",
        }
    }
}

/// What happened. The names of fields are an interface: webhooks carry them as `details`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// No heartbeats any more.
    Silent,
    /// Said goodbye and did not come back.
    StaysAway,
    /// Heartbeats are back.
    Back {
        /// Length of the outage, seconds.
        after_s: u64,
    },
    /// Comes and goes.
    Flapping {
        /// How long its name keeps its record, seconds.
        held_s: u64,
    },
    /// The primary refuses recipients that it took before.
    Broken {
        /// In words.
        reason: String,
    },
    /// It takes them again.
    Well,
    /// Somebody else answers.
    Stranger {
        /// In words.
        reason: String,
    },
    /// The customer's server answers again.
    Known,
    /// The primary greylists us.
    Greylisted {
        /// Its words.
        reason: String,
    },
    /// Another key proves it.
    PinMoved {
        /// In words, with the fingerprint.
        reason: String,
    },
    /// The oldest mail comes to the end of its time.
    Expiring {
        /// Share of the time that is over.
        percent: u32,
        /// When it goes to quarantine.
        expires_at: WallTime,
    },
    /// The account's storage is nearly full.
    Quota {
        /// Share of it that is used.
        percent: u32,
        /// Octets used.
        held_bytes: u64,
        /// Octets there are.
        limit_bytes: u64,
    },
    /// There is room again.
    QuotaWell,
    /// A list of recipients is too old to refuse anybody.
    ListStale {
        /// Of this domain.
        domain: String,
    },
    /// It was renewed, or is not used any more.
    ListFresh {
        /// Of this domain.
        domain: String,
    },
    /// So many lines are silent that the fault is taken to be ours.
    MassMiss {
        /// Lines that are silent.
        silent: u64,
        /// Lines that were being heard.
        heard: u64,
    },
    /// Beats are dropped before we read them.
    Overload {
        /// Lines that are silent.
        silent: u64,
        /// Lines that were being heard.
        heard: u64,
    },
    /// Either is over.
    MassMissOver {
        /// After so many seconds.
        after_s: u64,
        /// Whether the silence was real.
        is_real: bool,
        /// Lines that are still silent.
        silent: u64,
    },
    /// Our own certificate could not be renewed.
    Certificate {
        /// In words.
        reason: String,
        /// End of the one that is shown.
        not_after: Option<WallTime>,
    },
    /// It could.
    CertificateWell {
        /// End of the new one.
        not_after: Option<WallTime>,
    },
    /// Our own timers came late.
    TimersLate {
        /// How late, ms.
        by_ms: u64,
    },
    /// Mail that waited too long.
    Expired {
        /// Recipients that went to quarantine.
        expired: u64,
        /// Recipients whose quarantine is over.
        removed: u64,
    },
    /// A person pressed the button.
    Test,
}

impl Fact {
    /// Its kind; none for a test.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Silent | Self::Back { .. } => Kind::Silent,
            Self::StaysAway => Kind::StaysAway,
            Self::Flapping { .. } => Kind::Flapping,
            Self::Broken { .. } | Self::Well => Kind::PrimaryBroken,
            Self::Stranger { .. } | Self::Known => Kind::Stranger,
            Self::Greylisted { .. } => Kind::Greylisted,
            Self::PinMoved { .. } => Kind::PinMoved,
            Self::Expiring { .. } => Kind::Expiring,
            Self::Quota { .. } | Self::QuotaWell => Kind::Quota,
            Self::ListStale { .. } | Self::ListFresh { .. } => Kind::ListStale,
            Self::MassMiss { .. } | Self::Overload { .. } | Self::MassMissOver { .. } => Kind::MassMiss,
            Self::Certificate { .. } | Self::CertificateWell { .. } => Kind::Certificate,
            Self::TimersLate { .. } => Kind::TimersLate,
            Self::Expired { .. } => Kind::Expired,
            Self::Test => return None,
        })
    }

    /// Its word in the JSON of a webhook.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.kind() {
            None => "test",
            Some(kind) => kind.as_str(),
        }
    }

    /// See [`Phase`].
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Silent
            | Self::StaysAway
            | Self::Broken { .. }
            | Self::Stranger { .. }
            | Self::Quota { .. }
            | Self::ListStale { .. }
            | Self::MassMiss { .. }
            | Self::Certificate { .. }
            | Self::Overload { .. } => Phase::Begin,
            Self::Back { .. }
            | Self::Well
            | Self::Known
            | Self::QuotaWell
            | Self::ListFresh { .. }
            | Self::CertificateWell { .. }
            | Self::MassMissOver { .. } => Phase::End,
            Self::Flapping { .. }
            | Self::Greylisted { .. }
            | Self::PinMoved { .. }
            | Self::Expiring { .. }
            | Self::TimersLate { .. }
            | Self::Expired { .. }
            | Self::Test => Phase::Once,
        }
    }
}

/// Something that happened to somebody.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Whose matter; the operator's alone if absent.
    pub account: Option<AccountId>,
    /// The account's name at that time.
    #[serde(default)]
    pub account_name: String,
    /// Which of its servers.
    pub endpoint: Option<EndpointId>,
    /// The server's name at that time.
    #[serde(default)]
    pub server: Option<String>,
    /// Since when, where that makes it the same episode or another one.
    pub since: Option<WallTime>,
    /// What.
    pub fact: Fact,
}

impl Event {
    /// Something about an account as a whole.
    #[must_use]
    pub fn of_account(directory: &Directory, account: AccountId, since: Option<WallTime>, fact: Fact) -> Self {
        let account_name = directory.account(account).map_or_else(|| "?".to_owned(), |known| known.name.to_string());
        Self { account: Some(account), account_name, endpoint: None, server: None, since, fact }
    }

    /// Something about one of its servers.
    #[must_use]
    pub fn of_server(
        directory: &Directory,
        account: AccountId,
        endpoint: EndpointId,
        since: Option<WallTime>,
        fact: Fact,
    ) -> Self {
        let server = directory.endpoint(endpoint).map(|known| known.host.to_string());
        Self { endpoint: Some(endpoint), server, ..Self::of_account(directory, account, since, fact) }
    }

    /// Something about the service.
    #[must_use]
    pub const fn of_service(fact: Fact) -> Self {
        Self { account: None, account_name: String::new(), endpoint: None, server: None, since: None, fact }
    }

    /// What Policy decided to tell.
    #[must_use]
    pub fn of_notice(notice: &Notice, directory: &Directory) -> Self {
        let (since, fact) = match notice.kind {
            NoticeKind::Silent { since } => (Some(since), Fact::Silent),
            NoticeKind::StaysAway { since } => (Some(since), Fact::StaysAway),
            NoticeKind::Back { after } => (None, Fact::Back { after_s: after.as_secs() }),
            NoticeKind::Flapping { held_for } => (None, Fact::Flapping { held_s: held_for.as_secs() }),
            NoticeKind::MassMiss { silent, heard } => (None, Fact::MassMiss { silent, heard }),
            NoticeKind::Overload { silent, heard } => (None, Fact::Overload { silent, heard }),
            NoticeKind::MassMissOver { after, end, silent } => {
                let is_real = matches!(end, End::UplinkWorks | End::Operator);
                (None, Fact::MassMissOver { after_s: after.as_secs(), is_real, silent })
            }
            NoticeKind::TimersLate { by } => (None, Fact::TimersLate { by_ms: millis(by) }),
        };
        match notice.subject {
            Subject::Server { account, endpoint } => Self::of_server(directory, account, endpoint, since, fact),
            Subject::Service => Self::of_service(fact),
        }
    }

    /// What delivery found.
    #[must_use]
    pub fn of_delivery(alarm: &delivery::Alarm, directory: &Directory) -> Self {
        use delivery::Alarm;
        let server = |account, endpoint, fact| Self::of_server(directory, account, endpoint, None, fact);
        let whole = |account, fact| Self::of_account(directory, account, None, fact);
        match alarm {
            Alarm::Broken { account, reason } => whole(*account, Fact::Broken { reason: plain(reason) }),
            Alarm::Well { account } => whole(*account, Fact::Well),
            Alarm::Stranger { account, endpoint, reason } => {
                server(*account, *endpoint, Fact::Stranger { reason: plain(reason) })
            }
            Alarm::Known { account, endpoint } => server(*account, *endpoint, Fact::Known),
            Alarm::Greylisted { account, reason } => whole(*account, Fact::Greylisted { reason: plain(reason) }),
            Alarm::PinMoved { account, endpoint, reason } => {
                server(*account, *endpoint, Fact::PinMoved { reason: plain(reason) })
            }
        }
    }

    /// Which episode it belongs to: at any time, one of each is open at most.
    #[must_use]
    pub fn key(&self) -> String {
        let account = self.account.map_or(0, |account| account.0);
        let endpoint = self.endpoint.map_or(0, |endpoint| endpoint.0);
        match &self.fact {
            Fact::Silent | Fact::StaysAway | Fact::Back { .. } => format!("line:{endpoint}"),
            Fact::Flapping { .. } => format!("flapping:{endpoint}"),
            Fact::Broken { .. } | Fact::Well => format!("primary:{account}"),
            Fact::Stranger { .. } | Fact::Known => format!("stranger:{endpoint}"),
            Fact::Greylisted { .. } => format!("greylisted:{account}"),
            Fact::PinMoved { reason } => format!("pin:{endpoint}:{reason}"),
            Fact::Expiring { percent, .. } => format!("expiring:{percent}:{account}"),
            Fact::Quota { .. } | Fact::QuotaWell => format!("quota:{account}"),
            Fact::ListStale { domain } | Fact::ListFresh { domain } => format!("list:{account}:{domain}"),
            Fact::MassMiss { .. } | Fact::Overload { .. } | Fact::MassMissOver { .. } => "mass".to_owned(),
            Fact::Certificate { .. } | Fact::CertificateWell { .. } => "certificate".to_owned(),
            Fact::TimersLate { .. } => "timers".to_owned(),
            Fact::Expired { expired, removed } => format!("expired:{expired}:{removed}"),
            Fact::Test => "test".to_owned(),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A stranger's words without control characters, cut.
fn plain(text: &str) -> String {
    let one_line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    one_line.take(REASON_MAX).collect()
}
