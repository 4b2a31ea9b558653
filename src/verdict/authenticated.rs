//! Did the envelope sender really send this? Asked before anything is sent back to it, and answered here only.

use super::finding::{Finding, Verdict};
use crate::base::{DomainName, ReversePath};

/// Beginnings of local parts that a forwarder has rewritten so that SPF passes for it (SRS).
const REWRITTEN_BEGINNINGS: &[&str] = &["srs0", "srs1"];
/// The same, within a local part: large providers mark what they forward so.
const REWRITTEN_INFIXES: &[&str] = &["+srs=", "+caf_="];

/// What else decides whether SPF may speak for a sender.
#[derive(Clone, Copy, Debug)]
pub struct SenderCircumstances {
    /// The sender's domain is one of the accounts the mail is for: a stranger may write in its name.
    pub is_own_domain: bool,
}

/// Whether a bounce to `sender` reaches the one who sent the message.
///
/// It does when SPF passed for the envelope sender, or a DKIM signature of the sender's domain, or of one above it,
/// passed. A signature below or beside it counts only where DMARC found it aligned with a `From` field in the sender's own
/// domain. SPF alone does not do for an address that a forwarder rewrote (it speaks for the forwarder) nor for the
/// account's own domains. Never for the null reverse-path and for address literals (RFC 3834 §4, RFC 5321 §4.5.5).
#[must_use]
pub fn authenticates_sender(verdict: &Verdict, sender: &ReversePath, around: SenderCircumstances) -> bool {
    let ReversePath::Mailbox(mailbox) = sender else { return false };
    let Some(domain) = mailbox.domain() else { return false };
    let is_signed = verdict
        .dkim
        .iter()
        .any(|signature| signature.finding == Finding::Pass && speaks_for(&signature.domain, domain))
        || (verdict.dmarc.finding == Finding::Pass
            && verdict.dmarc.is_by_dkim
            && verdict.dmarc.domain == domain.as_str());
    let spf_may_speak = !around.is_own_domain && !verdict.is_forwarded && !is_rewritten(&mailbox.local_part.unquoted());
    let has_spf = spf_may_speak && verdict.spf.finding == Finding::Pass && verdict.spf.domain == domain.as_str();
    is_signed || has_spf
}

/// Whether the holder of `signer` also holds `domain`: it is the same or above it, and no bare top-level domain.
fn speaks_for(signer: &str, domain: &DomainName) -> bool {
    let domain = domain.as_str();
    signer == domain || (signer.contains('.') && domain.strip_suffix(signer).is_some_and(|below| below.ends_with('.')))
}

fn is_rewritten(local_part: &str) -> bool {
    let lower = local_part.to_ascii_lowercase();
    let begins = |word: &str| lower.strip_prefix(word).is_some_and(|rest| rest.starts_with(['=', '+', '-']));
    REWRITTEN_BEGINNINGS.iter().any(|word| begins(word)) || REWRITTEN_INFIXES.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    use super::super::finding::{DkimFinding, DmarcFinding, SpfFinding};
    use super::*;

    const STRANGER: SenderCircumstances = SenderCircumstances { is_own_domain: false };
    const OWN: SenderCircumstances = SenderCircumstances { is_own_domain: true };

    fn asks(verdict: &Verdict, sender: &str, around: SenderCircumstances) -> bool {
        authenticates_sender(verdict, &ReversePath::parse(sender, false).unwrap(), around)
    }

    fn spf(domain: &str) -> Verdict {
        Verdict { spf: SpfFinding { finding: Finding::Pass, domain: domain.to_owned() }, ..Verdict::default() }
    }

    fn dkim(domain: &str) -> Verdict {
        let signature = DkimFinding { finding: Finding::Pass, domain: domain.to_owned(), selector: "s".to_owned() };
        Verdict { dkim: vec![signature], ..Verdict::default() }
    }

    #[test]
    fn spf_speaks_for_the_domain_it_passed_for() {
        assert!(asks(&spf("example.org"), "a@example.org", STRANGER));
        assert!(!asks(&spf("helo.example"), "a@example.org", STRANGER));
        for finding in [Finding::None, Finding::Neutral, Finding::SoftFail, Finding::TempError, Finding::Fail] {
            let mut verdict = spf("example.org");
            verdict.spf.finding = finding;
            assert!(!asks(&verdict, "a@example.org", STRANGER), "{finding}");
        }
    }

    #[test]
    fn spf_does_not_speak_for_what_a_forwarder_rewrote_nor_for_own_domains() {
        for sender in [
            "SRS0=ab=cd=other.example=a@example.org",
            "srs1+x=y@example.org",
            "b+SRS=x=y@example.org",
            "me+caf_=a=b.example@example.org",
        ] {
            assert!(!asks(&spf("example.org"), sender, STRANGER), "{sender}");
            assert!(asks(&dkim("example.org"), sender, STRANGER), "{sender}");
        }
        assert!(asks(&spf("example.org"), "srs0nny@example.org", STRANGER));
        assert!(!asks(&spf("example.org"), "a@example.org", OWN));
        assert!(asks(&dkim("example.org"), "a@example.org", OWN));
        let forwarded = Verdict { is_forwarded: true, ..spf("example.org") };
        assert!(!asks(&forwarded, "a@example.org", STRANGER));
    }

    #[test]
    fn a_signature_speaks_for_its_domain_and_below() {
        assert!(asks(&dkim("example.org"), "a@bounce.example.org", STRANGER));
        assert!(!asks(&dkim("bounce.example.org"), "a@example.org", STRANGER));
        assert!(!asks(&dkim("ample.org"), "a@example.org", STRANGER));
        assert!(!asks(&dkim("org"), "a@example.org", STRANGER));
        let mut failed = dkim("example.org");
        failed.dkim[0].finding = Finding::Fail;
        assert!(!asks(&failed, "a@example.org", STRANGER));
    }

    #[test]
    fn dmarc_speaks_for_the_from_domain_if_a_signature_was_aligned() {
        let dmarc = |is_by_dkim| Verdict {
            dmarc: DmarcFinding {
                finding: Finding::Pass,
                domain: "example.org".to_owned(),
                policy: "none".to_owned(),
                is_by_dkim,
            },
            ..Verdict::default()
        };
        assert!(asks(&dmarc(true), "a@example.org", STRANGER));
        assert!(!asks(&dmarc(false), "a@example.org", STRANGER));
        assert!(!asks(&dmarc(true), "a@other.example", STRANGER));
    }

    #[test]
    fn nobody_is_authenticated_as_the_null_reverse_path_or_a_literal() {
        assert!(!authenticates_sender(&spf("example.org"), &ReversePath::Null, STRANGER));
        assert!(!asks(&spf("[192.0.2.1]"), "a@[192.0.2.1]", STRANGER));
    }
}
