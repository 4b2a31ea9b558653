//! The things that can be found, how bad each is, and the records that mend it.

use std::net::IpAddr;

use serde::Serialize;

use super::words::{self, Words};
use crate::alert::Language;
use crate::base::DomainName;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Fine,
    /// Works, but somebody should look.
    Warning,
    /// Mail is lost, late, or led to another place.
    Broken,
}

/// A record to be entered, in the words of a zone file. Holds names of ours and of the customer only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Record {
    /// Owner with a last dot.
    pub name: String,
    /// Seconds.
    pub ttl: u32,
    /// `MX`, `A` and so on.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The rest.
    pub data: String,
}

impl Record {
    /// MX of a domain.
    #[must_use]
    pub fn mx(domain: &DomainName, preference: u16, host: &DomainName) -> Self {
        Self { name: format!("{domain}."), ttl: 3_600, kind: "MX", data: format!("{preference} {host}.") }
    }

    /// As a line of a zone file.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {} IN {} {}", self.name, self.ttl, self.kind, self.data)
    }
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Matter {
    /// The domain does not exist.
    NoDomain,
    /// Nobody answers for the domain.
    DnsSilent,
    /// It is delegated to these.
    Delegated(Vec<String>),
    /// We host the zone and the world is sent elsewhere.
    DelegatedElsewhere(Vec<String>),
    /// The domain says that it takes no mail.
    NullMx,
    /// No MX at all.
    NoMx,
    /// Where the mail of a domain goes that is not served yet.
    Today(Vec<String>),
    /// The servers in the right order.
    MxGood,
    /// We are not in it.
    WeAreMissing,
    /// We come before the customer's server, or beside it.
    WeComeFirst,
    /// The customer's server is not in it.
    PrimaryMissing(DomainName),
    /// Somebody else is.
    ForeignMx {
        /// Who.
        host: String,
        /// Before us.
        is_before_us: bool,
    },
    /// An MX leads to an alias.
    MxIsAlias(String),
    /// An MX leads to something that is an address.
    MxIsAddress(String),
    /// Senders keep the MX that long, s.
    MxTtl(u32),
    /// A host has no address.
    NoAddress(String),
    /// Nobody says what the address of a host is.
    HostSilent(String),
    /// A host leads where it should.
    Resolves {
        /// Which.
        host: String,
        /// Where to.
        addresses: Vec<IpAddr>,
    },
    /// A host leads elsewhere.
    Elsewhere {
        /// Which.
        host: String,
        /// Where to.
        found: Vec<IpAddr>,
        /// Where it should.
        wanted: Vec<IpAddr>,
    },
    /// Senders keep the address of a host that moves that long, s.
    NameTtl(String, u32),
    /// Our address has our name.
    PointerGood(IpAddr),
    /// It has another, or none.
    PointerOdd(IpAddr, Option<String>),
    /// Our own HELO name has an SPF record.
    OwnSpfGood,
    /// It has none.
    OwnSpfMissing,
    /// Port 25 is open, with TLS.
    PortGood(String, IpAddr),
    /// Port 25 is closed.
    PortClosed(String, IpAddr, String),
    /// No mail server behind it.
    PortOdd(String, IpAddr, String),
    /// No STARTTLS.
    PortPlain(String, IpAddr),
    /// STARTTLS that fails.
    TlsFails(String, IpAddr, String),
    /// A certificate that no authority vouches for, or for another name.
    CertificateUnvouched(String),
    /// A certificate that has ended.
    CertificateEnded(String),
    /// MTA-STS covers all.
    StsGood,
    /// MTA-STS cannot be fetched.
    StsUnread(String),
    /// MTA-STS leaves a server out.
    StsLacks {
        /// Which.
        host: String,
        /// Senders obey.
        is_enforced: bool,
    },
    /// Some servers have TLSA, this one not.
    TlsaLacks(String),
    /// SPF of the domain is there.
    SpfGood,
    /// It is not.
    SpfMissing,
    /// There are several, which counts as an error (RFC 7208 §4.5).
    SpfSeveral,
}

/// A matter and the records that mend it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What.
    pub matter: Matter,
    /// To be copied; empty where no record helps.
    pub records: Vec<Record>,
}

/// A finding as programs read it. The fields stay.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// See [`Matter::code`].
    pub code: &'static str,
    /// How bad.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do; empty where nothing has to be done.
    pub fix: &'static str,
    /// To be copied.
    pub records: Vec<Record>,
}

impl Matter {
    /// A word for programs; it stays.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoDomain => "no_domain",
            Self::DnsSilent => "dns_silent",
            Self::Delegated(_) => "delegated",
            Self::DelegatedElsewhere(_) => "delegated_elsewhere",
            Self::NullMx => "null_mx",
            Self::NoMx => "no_mx",
            Self::Today(_) => "mx_today",
            Self::MxGood => "mx_good",
            Self::WeAreMissing => "mx_without_us",
            Self::WeComeFirst => "mx_we_come_first",
            Self::PrimaryMissing(_) => "mx_without_primary",
            Self::ForeignMx { .. } => "mx_foreign",
            Self::MxIsAlias(_) => "mx_alias",
            Self::MxIsAddress(_) => "mx_address",
            Self::MxTtl(_) => "mx_ttl",
            Self::NoAddress(_) => "host_without_address",
            Self::HostSilent(_) => "host_silent",
            Self::Resolves { .. } => "host_good",
            Self::Elsewhere { .. } => "host_elsewhere",
            Self::NameTtl(..) => "name_ttl",
            Self::PointerGood(_) => "ptr_good",
            Self::PointerOdd(..) => "ptr_odd",
            Self::OwnSpfGood => "helo_spf_good",
            Self::OwnSpfMissing => "helo_spf_missing",
            Self::PortGood(..) => "port_good",
            Self::PortClosed(..) => "port_closed",
            Self::PortOdd(..) => "port_odd",
            Self::PortPlain(..) => "starttls_missing",
            Self::TlsFails(..) => "starttls_fails",
            Self::CertificateUnvouched(_) => "certificate_unvouched",
            Self::CertificateEnded(_) => "certificate_ended",
            Self::StsGood => "mta_sts_good",
            Self::StsUnread(_) => "mta_sts_unread",
            Self::StsLacks { .. } => "mta_sts_lacks",
            Self::TlsaLacks(_) => "tlsa_lacks",
            Self::SpfGood => "spf_good",
            Self::SpfMissing => "spf_missing",
            Self::SpfSeveral => "spf_several",
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Self::Delegated(_)
            | Self::Today(_)
            | Self::MxGood
            | Self::Resolves { .. }
            | Self::PointerGood(_)
            | Self::OwnSpfGood
            | Self::PortGood(..)
            | Self::StsGood
            | Self::SpfGood => Level::Fine,
            Self::ForeignMx { .. }
            | Self::MxTtl(_)
            | Self::HostSilent(_)
            | Self::NameTtl(..)
            | Self::PointerOdd(..)
            | Self::OwnSpfMissing
            | Self::PortPlain(..)
            | Self::CertificateUnvouched(_)
            | Self::CertificateEnded(_)
            | Self::StsUnread(_)
            | Self::StsLacks { is_enforced: false, .. }
            | Self::TlsaLacks(_)
            | Self::SpfMissing => Level::Warning,
            Self::NoDomain
            | Self::DnsSilent
            | Self::DelegatedElsewhere(_)
            | Self::NullMx
            | Self::NoMx
            | Self::WeAreMissing
            | Self::WeComeFirst
            | Self::PrimaryMissing(_)
            | Self::MxIsAlias(_)
            | Self::MxIsAddress(_)
            | Self::NoAddress(_)
            | Self::Elsewhere { .. }
            | Self::PortClosed(..)
            | Self::PortOdd(..)
            | Self::TlsFails(..)
            | Self::StsLacks { is_enforced: true, .. }
            | Self::SpfSeveral => Level::Broken,
        }
    }
}

impl Finding {
    /// Without records.
    #[must_use]
    pub const fn plain(matter: Matter) -> Self {
        Self { matter, records: Vec::new() }
    }

    /// Its sentences.
    #[must_use]
    pub fn words(&self, language: Language) -> Words {
        words::of(&self.matter, language)
    }

    /// For programs, in English.
    #[must_use]
    pub fn shown(&self) -> Shown {
        let Words { what, why, fix } = self.words(Language::En);
        Shown { code: self.matter.code(), level: self.matter.level(), what, why, fix, records: self.records.clone() }
    }
}

/// The worst of all: decides the exit code (0 fine, 1 warning, 2 broken).
#[must_use]
pub fn worst(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.matter.level()).max().unwrap_or(Level::Fine)
}
