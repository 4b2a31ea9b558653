//! What the DNS said of a message's sender, in words.

use super::format;
use super::words::Locale;
use crate::verdict::{Finding, Verdict};

/// One check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CheckLine {
    pub(super) tone: &'static str,
    pub(super) name: &'static str,
    pub(super) says: &'static str,
    /// The domain or name that it is about, as strangers chose it.
    pub(super) about: String,
}

impl Locale {
    const fn finding(self, finding: Finding) -> &'static str {
        match finding {
            Finding::None => self.pick("nicht vorhanden", "not there"),
            Finding::Pass => self.pick("bestanden", "passed"),
            Finding::Fail => self.pick("nicht bestanden", "failed"),
            Finding::SoftFail => self.pick("wahrscheinlich nicht echt", "probably not genuine"),
            Finding::Neutral => self.pick("ohne Aussage", "says nothing"),
            Finding::TempError => {
                self.pick("nicht prüfbar: das DNS schwieg", "could not be checked: the DNS was silent")
            }
            Finding::PermError => self.pick("falsch eingerichtet beim Absender", "set up wrongly by the sender"),
        }
    }
}

/// All checks of a message, the ones that people ask for first.
pub(super) fn lines(verdict: &Verdict, l: Locale) -> Vec<CheckLine> {
    let line = |name, finding: Finding, about: &str| CheckLine {
        tone: match finding {
            Finding::Pass => "ok",
            Finding::Fail | Finding::SoftFail => "warn",
            Finding::None | Finding::Neutral | Finding::TempError | Finding::PermError => "none",
        },
        name,
        says: l.finding(finding),
        about: format::visible(about),
    };
    let mut lines = if verdict.is_forwarded {
        let says = l.pick("nicht gefragt: von einer Weiterleitung", "not asked: by a forwarder");
        vec![CheckLine { tone: "none", name: "SPF", says, about: String::new() }]
    } else {
        vec![line("SPF", verdict.spf.finding, &verdict.spf.domain)]
    };
    if verdict.dkim.is_empty() {
        lines.push(line("DKIM", Finding::None, ""));
    }
    lines.extend(verdict.dkim.iter().map(|signature| line("DKIM", signature.finding, &signature.domain)));
    lines.push(line("DMARC", verdict.dmarc.finding, &verdict.dmarc.domain));
    if verdict.arc != Finding::None {
        lines.push(line("ARC", verdict.arc, ""));
    }
    lines.push(line("PTR", verdict.iprev.finding, &verdict.iprev.name));
    let listed = |list: &String| CheckLine {
        tone: "warn",
        name: "DNSBL",
        says: l.pick("steht auf der Liste", "is on the list"),
        about: format::visible(list),
    };
    lines.extend(verdict.listed_in.iter().map(listed));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{DkimFinding, SpfFinding};

    #[test]
    fn each_check_has_its_line_and_names_of_strangers_are_made_visible() {
        let verdict = Verdict {
            spf: SpfFinding { finding: Finding::Fail, domain: "a\u{202e}b.example".to_owned() },
            dkim: vec![DkimFinding { finding: Finding::Pass, ..DkimFinding::default() }; 2],
            listed_in: vec!["list.example".to_owned()],
            ..Verdict::default()
        };
        let all = lines(&verdict, Locale::En);
        let shown: Vec<_> = all.iter().map(|line| (line.name, line.tone)).collect();
        let wanted =
            [("SPF", "warn"), ("DKIM", "ok"), ("DKIM", "ok"), ("DMARC", "none"), ("PTR", "none"), ("DNSBL", "warn")];
        assert_eq!(shown, wanted);
        assert_eq!(all[0].about, "a\u{fffd}b.example");
        let forwarded = lines(&Verdict { is_forwarded: true, ..Verdict::default() }, Locale::De);
        assert!(forwarded[0].says.contains("Weiterleitung"));
    }
}
