//! What a check came to, in the words of RFC 8601 §2.7, and all checks of one message together.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Characters of a name out of somebody's DNS or message that are kept.
const NAME_CHARACTERS_MAX: usize = 253;

/// Result of one check (RFC 8601 §2.7.1, RFC 8601 §2.7.2, RFC 8601 §2.7.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finding {
    /// Nothing published, nothing signed, or not asked.
    #[default]
    None,
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// It probably does not.
    SoftFail,
    /// Its owner says nothing, or it cannot be judged.
    Neutral,
    /// The DNS did not answer in time.
    TempError,
    /// What is published cannot be used.
    PermError,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        })
    }
}

/// SPF of one identity (RFC 7208 §2.6).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SpfFinding {
    /// Result.
    pub finding: Finding,
    /// The domain that was asked.
    pub domain: String,
}

/// One signature (RFC 6376 §6).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DkimFinding {
    /// Result.
    pub finding: Finding,
    /// `d=`.
    pub domain: String,
    /// `s=`.
    pub selector: String,
}

/// DMARC of the author's domain (RFC 9989 §5.3).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DmarcFinding {
    /// Result.
    pub finding: Finding,
    /// Domain of the `From` field.
    pub domain: String,
    /// What its owner asks for: `none`, `quarantine`, `reject`; empty where nothing is published.
    pub policy: String,
    /// It passed by an aligned DKIM signature, and not only by SPF.
    pub is_by_dkim: bool,
}

/// Whether the address has a name that leads back to it (RFC 8601 §3).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct IprevFinding {
    /// Result.
    pub finding: Finding,
    /// The first name of the address; only a claim unless the result is [`Finding::Pass`].
    pub name: String,
}

/// Everything that was found of one message.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// SPF of `MAIL FROM`; for the null reverse-path of `postmaster` at the name in EHLO (RFC 7208 §2.4).
    pub spf: SpfFinding,
    /// SPF of the name in EHLO (RFC 7208 §2.3).
    pub helo: SpfFinding,
    /// One for each signature that was looked at, at most [`SIGNATURES_MAX`](super::content::SIGNATURES_MAX).
    pub dkim: Vec<DkimFinding>,
    /// DMARC.
    pub dmarc: DmarcFinding,
    /// The whole chain (RFC 8617 §5.2).
    pub arc: Finding,
    /// Name of the sending address.
    pub iprev: IprevFinding,
    /// Lists of bad senders that have the sending address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listed_in: Vec<String>,
    /// It came from a forwarder: SPF would judge the forwarder and was not asked.
    pub is_forwarded: bool,
}

impl Verdict {
    /// All of it in one line for people: `spf=pass (example.org) dkim=pass (example.org) dmarc=none ...`.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut line = String::new();
        let mut add = |method: &str, finding: Finding, about: &str| {
            let space = if line.is_empty() { "" } else { " " };
            let about = if about.is_empty() { String::new() } else { format!(" ({about})") };
            line.push_str(&format!("{space}{method}={finding}{about}"));
        };
        add("spf", self.spf.finding, &self.spf.domain);
        add("helo", self.helo.finding, &self.helo.domain);
        if self.dkim.is_empty() {
            add("dkim", Finding::None, "");
        }
        for signature in &self.dkim {
            add("dkim", signature.finding, &signature.domain);
        }
        add("dmarc", self.dmarc.finding, &self.dmarc.domain);
        add("arc", self.arc, "");
        add("iprev", self.iprev.finding, &self.iprev.name);
        for list in &self.listed_in {
            line.push_str(&format!(" listed ({list})"));
        }
        if self.is_forwarded {
            line.push_str(" forwarded");
        }
        line
    }
}

/// A name from the outside, fit for rows, logs and pages: lower case, visible ASCII, cut to length.
#[must_use]
pub fn tidy_name(name: &str) -> String {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let fit = |c: char| if is_fit(c) { c.to_ascii_lowercase() } else { '?' };
    name.trim_end_matches('.').chars().take(NAME_CHARACTERS_MAX).map(fit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_every_check() {
        let verdict = Verdict {
            spf: SpfFinding { finding: Finding::SoftFail, domain: "example.org".to_owned() },
            dkim: vec![DkimFinding {
                finding: Finding::Pass,
                domain: "example.org".to_owned(),
                selector: "s".to_owned(),
            }],
            is_forwarded: true,
            ..Verdict::default()
        };
        let expected =
            "spf=softfail (example.org) helo=none dkim=pass (example.org) dmarc=none arc=none iprev=none forwarded";
        assert_eq!(verdict.to_line(), expected);
        assert!(Verdict::default().to_line().contains("dkim=none"));
    }

    #[test]
    fn a_name_from_outside_loses_what_no_name_has() {
        assert_eq!(tidy_name("Mail\r\n.Example.ORG."), "mail??.example.org");
        assert_eq!(tidy_name(&"ä".repeat(300)).len(), NAME_CHARACTERS_MAX);
    }
}
