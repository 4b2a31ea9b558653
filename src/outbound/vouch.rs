//! What is said of a sender to a primary that trusts us: one `Authentication-Results` line (RFC 8601).

use std::fmt::Write as _;
use std::net::IpAddr;

use crate::base::{DomainName, ReversePath};
use crate::verdict::{Finding, Verdict};

/// Age up to which a message may still be in the hands of the checks, seconds.
pub const CHECKED_WITHIN_S: i64 = 60;

/// The line, folded, with its CRLF. Every value in it was made fit when it was found; the address of the sender is left
/// out, as it may hold anything.
#[must_use]
pub fn results_line(authserv: &DomainName, verdict: &Verdict, sender: &ReversePath, peer: IpAddr) -> String {
    let mut line = format!("Authentication-Results: {authserv}");
    // Writing to a String does not fail.
    let _ = match sender {
        ReversePath::Mailbox(_) => {
            write!(line, ";\r\n\tspf={}{}", verdict.spf.finding, property("smtp.mailfrom", &verdict.spf.domain))
        }
        ReversePath::Null => {
            write!(line, ";\r\n\tspf={}{}", verdict.helo.finding, property("smtp.helo", &verdict.helo.domain))
        }
    };
    if verdict.dkim.is_empty() {
        line.push_str(";\r\n\tdkim=none");
    }
    for signature in &verdict.dkim {
        let (domain, selector) = (property("header.d", &signature.domain), property("header.s", &signature.selector));
        let _ = write!(line, ";\r\n\tdkim={}{domain}{selector}", signature.finding);
    }
    let _ = write!(line, ";\r\n\tdmarc={}{}", verdict.dmarc.finding, property("header.from", &verdict.dmarc.domain));
    if verdict.arc != Finding::None {
        let _ = write!(line, ";\r\n\tarc={}", verdict.arc);
    }
    let peer = match peer.to_canonical() {
        IpAddr::V4(v4) => v4.to_string(),
        // A colon wants quotes (RFC 8601 §2.2).
        IpAddr::V6(v6) => format!("\"{v6}\""),
    };
    let _ = write!(line, ";\r\n\tiprev={} policy.iprev={peer}\r\n", verdict.iprev.finding);
    line
}

fn property(name: &str, value: &str) -> String {
    let is_fit =
        !value.is_empty() && value.bytes().all(|o| o.is_ascii_alphanumeric() || matches!(o, b'.' | b'-' | b'_'));
    if is_fit { format!(" {name}={value}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{DkimFinding, DmarcFinding, SpfFinding};

    #[test]
    fn every_check_is_named_under_the_accounts_own_id() {
        let verdict = Verdict {
            spf: SpfFinding { finding: Finding::Pass, domain: "sender.example".to_owned() },
            dkim: vec![DkimFinding {
                finding: Finding::Fail,
                domain: "sender.example".to_owned(),
                selector: "s1".to_owned(),
            }],
            dmarc: DmarcFinding {
                finding: Finding::Pass,
                domain: "sender.example".to_owned(),
                ..DmarcFinding::default()
            },
            ..Verdict::default()
        };
        let id = DomainName::parse("k7.mx2.example").unwrap();
        let sender = ReversePath::parse("a@sender.example", false).unwrap();
        let line = results_line(&id, &verdict, &sender, "2001:db8::9".parse().unwrap());
        assert_eq!(
            line,
            "Authentication-Results: k7.mx2.example;\r\n\tspf=pass smtp.mailfrom=sender.example;\r\n\t\
             dkim=fail header.d=sender.example header.s=s1;\r\n\tdmarc=pass header.from=sender.example;\r\n\t\
             iprev=none policy.iprev=\"2001:db8::9\"\r\n"
        );
    }

    #[test]
    fn nothing_of_a_stranger_ends_the_line() {
        let evil = "a\r\nX-Evil: 1".to_owned();
        let verdict = Verdict {
            helo: SpfFinding { finding: Finding::None, domain: evil.clone() },
            dkim: vec![DkimFinding { finding: Finding::Pass, domain: evil.clone(), selector: evil }],
            ..Verdict::default()
        };
        let id = DomainName::parse("k7.mx2.example").unwrap();
        let line = results_line(&id, &verdict, &ReversePath::Null, "192.0.2.1".parse().unwrap());
        assert!(!line.contains("Evil") && line.contains("spf=none;") && line.contains("dkim=pass;"), "{line}");
    }
}
