//! From mail-auth's results to ours.

use mail_auth::dmarc::Policy;
use mail_auth::{
    DkimOutput, DkimResult, DmarcOutput, DmarcResult, DnsError, Error, IprevOutput, IprevResult, SpfOutput, SpfResult,
};

use crate::verdict::finding::{DkimFinding, DmarcFinding, Finding, IprevFinding, SpfFinding, tidy_name};

/// SPF; none when the time was over.
#[must_use]
pub fn spf(output: Option<&SpfOutput>, domain: &str) -> SpfFinding {
    let finding = output.map_or(Finding::TempError, |output| match output.result() {
        SpfResult::Pass => Finding::Pass,
        SpfResult::Fail => Finding::Fail,
        SpfResult::SoftFail => Finding::SoftFail,
        SpfResult::Neutral => Finding::Neutral,
        SpfResult::TempError => Finding::TempError,
        SpfResult::PermError => Finding::PermError,
        SpfResult::None => Finding::None,
    });
    SpfFinding { finding, domain: tidy_name(domain) }
}

/// One result of DKIM or ARC.
#[must_use]
pub const fn dkim_result(result: &DkimResult) -> Finding {
    match result {
        DkimResult::Pass => Finding::Pass,
        DkimResult::Neutral(_) => Finding::Neutral,
        DkimResult::Fail(_) => Finding::Fail,
        DkimResult::PermError(_) => Finding::PermError,
        DkimResult::TempError(_) => Finding::TempError,
        DkimResult::None => Finding::None,
    }
}

/// One signature. A third party's (RFC 6541) is not its domain's and never passes here.
#[must_use]
pub fn dkim(output: &DkimOutput<'_>) -> DkimFinding {
    let signature = output.signature();
    // A body hash that does not fit is a failure for everybody but the library (RFC 6376 §6.1.3, RFC 8601 §2.7.1).
    let is_altered =
        *output.result() == DkimResult::Neutral(Error::Dkim(mail_auth::dkim::DkimError::FailedBodyHashMatch));
    let finding = if is_altered { Finding::Fail } else { dkim_result(output.result()) };
    let is_third_party = signature.is_some_and(|signature| signature.atps.is_some());
    DkimFinding {
        finding: if is_third_party && finding == Finding::Pass { Finding::Neutral } else { finding },
        domain: signature.map(|signature| tidy_name(&signature.d)).unwrap_or_default(),
        selector: signature.map(|signature| tidy_name(&signature.s)).unwrap_or_default(),
    }
}

/// DMARC.
#[must_use]
pub fn dmarc(output: &DmarcOutput) -> DmarcFinding {
    let finding = match output.result() {
        DmarcResult::Pass => Finding::Pass,
        DmarcResult::Fail(_) => Finding::Fail,
        DmarcResult::TempError(_) => Finding::TempError,
        DmarcResult::PermError(_) => Finding::PermError,
        DmarcResult::None => Finding::None,
    };
    let policy = match output.policy() {
        Policy::Quarantine => "quarantine",
        Policy::Reject => "reject",
        Policy::None | Policy::Unspecified => "none",
    };
    DmarcFinding {
        finding,
        domain: tidy_name(output.domain()),
        policy: if output.dmarc_record().is_some() { policy.to_owned() } else { String::new() },
        is_by_dkim: matches!(output.dkim_result(), DmarcResult::Pass),
    }
}

/// The name of the address. An address without a name fails (RFC 8601 §2.7.3).
#[must_use]
pub fn iprev(output: &IprevOutput) -> IprevFinding {
    let finding = match &output.result {
        IprevResult::Pass => Finding::Pass,
        IprevResult::TempError(_) => Finding::TempError,
        IprevResult::Fail(_) | IprevResult::PermError(Error::Dns(DnsError::RecordNotFound(_))) => Finding::Fail,
        IprevResult::PermError(_) => Finding::PermError,
        IprevResult::None => Finding::None,
    };
    let name = output.ptr.as_ref().and_then(|names| names.first()).map(|name| tidy_name(name)).unwrap_or_default();
    IprevFinding { finding, name }
}
