//! What the public DNS says of a domain's mail way: without it the best backup is never asked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::account::{Directory, ServedDomain};
use crate::alert::Language;
use crate::base::DomainName;
use crate::survey::facts::{Expected, Primary};
use crate::survey::{Finding, Level, Matter};

/// Longest look, all questions together: a resolver that does not answer delays a drill by so much and no more.
pub const LOOK_MAX: Duration = Duration::from_secs(3);

/// Ends of names that are in nobody's DNS (RFC 6761 §6.2 to §6.5).
const SPECIAL: [&str; 4] = ["test", "localhost", "invalid", "example"];

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judgement {
    /// As it should be.
    Good,
    /// Mail finds its way, but somebody should look.
    Doubtful,
    /// Mail does not find us, or finds us while the customer's server is there: the drill has not passed.
    Bad,
    /// Nobody answered in time.
    Unknown,
}

/// What was seen at the beginning of a drill.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NamesSeen {
    /// Of which domain.
    pub domain: String,
    /// How bad it is.
    pub judgement: Judgement,
    /// What was found, and what to do; may hold names that strangers chose, cleaned.
    pub english: String,
    /// The same in German.
    pub german: String,
}

impl NamesSeen {
    /// What was found, in words.
    #[must_use]
    pub fn says(&self, language: Language) -> &str {
        match language {
            Language::En => &self.english,
            Language::De => &self.german,
        }
    }

    /// Nobody answered in time.
    #[must_use]
    pub fn unknown(domain: &DomainName) -> Self {
        Self {
            domain: domain.to_string(),
            judgement: Judgement::Unknown,
            english: "no resolver answered in time, so the MX records were not looked at".to_owned(),
            german: "kein Resolver hat rechtzeitig geantwortet, die MX-Einträge sind ungeprüft".to_owned(),
        }
    }
}

/// What should stand in the public DNS for the domain of a drill. Nothing for a name that no public DNS has, and for the
/// name of a mail server itself, which needs no MX record.
#[must_use]
pub fn expected(domain: &DomainName, directory: &Directory, hostname: &DomainName) -> Option<Expected> {
    let top = domain.as_str().rsplit('.').next().unwrap_or_default();
    if SPECIAL.contains(&top) {
        return None;
    }
    let ServedDomain { endpoints, .. } = directory.served(domain)?;
    let hosts = || endpoints.iter().filter_map(|id| directory.endpoint(*id)).map(|endpoint| endpoint.host.clone());
    if hosts().any(|host| host == *domain) {
        return None;
    }
    let primary = |host| Primary { host, addresses: Vec::new(), is_dynamic: false, is_parked: false };
    Some(Expected {
        domain: domain.clone(),
        is_served: true,
        primaries: hosts().map(primary).collect(),
        hostname: hostname.clone(),
        own_addresses: Vec::new(),
        zone_servers: None,
    })
}

/// What of the findings concerns the way of mail, the worst of it first; nothing if there is none.
#[must_use]
pub fn judged(expected: &Expected, findings: &[Finding]) -> Option<NamesSeen> {
    let own = |host: &str| {
        host == expected.hostname.as_str() || expected.primaries.iter().any(|primary| primary.host.as_str() == host)
    };
    let concerns = |finding: &&Finding| is_about_way(&finding.matter, own);
    // Of equals the first: things build on one another in this order.
    let worst = findings.iter().filter(concerns).rev().max_by_key(|finding| finding.matter.level())?;
    if worst.matter == Matter::DnsSilent {
        return Some(NamesSeen::unknown(&expected.domain));
    }
    let judgement = match worst.matter.level() {
        Level::Fine => Judgement::Good,
        Level::Warning => Judgement::Doubtful,
        Level::Broken => Judgement::Bad,
    };
    let says = |language| {
        let words = worst.words(language);
        if words.fix.is_empty() { words.what } else { format!("{}. {}", words.what, words.fix) }
    };
    let (english, german) = (says(Language::En), says(Language::De));
    Some(NamesSeen { domain: expected.domain.to_string(), judgement, english, german })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what a survey finds beside is no part of a drill")]
fn is_about_way(matter: &Matter, is_own: impl Fn(&str) -> bool) -> bool {
    match matter {
        Matter::NoDomain
        | Matter::DnsSilent
        | Matter::NullMx
        | Matter::NoMx
        | Matter::MxGood
        | Matter::WeAreMissing
        | Matter::WeComeFirst
        | Matter::PrimaryMissing(_)
        | Matter::ForeignMx { .. }
        | Matter::MxIsAddress(_)
        | Matter::MxTtl(_) => true,
        Matter::MxIsAlias(host) | Matter::NoAddress(host) => is_own(host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::account::{Account, AccountStatus, Domain, Endpoint};
    use crate::base::{AccountId, EndpointId, WallTime};
    use crate::survey::facts::{Answer, Exchange, Facts, Host, Sts};
    use crate::survey::judge;

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    fn directory() -> Directory {
        let account = Account {
            id: AccountId(1),
            name: "firma".parse().unwrap(),
            status: AccountStatus::Active,
            status_since: WallTime::UNIX_EPOCH,
            created_at: WallTime::UNIX_EPOCH,
            online_mode: None,
        };
        let endpoint = Endpoint {
            id: EndpointId(1),
            account: AccountId(1),
            host: name("mail.firma.de"),
            smtp_port: 25,
            address_v4: None,
            address_v6: None,
            pin: None,
            manners: None,
        };
        let domain = |text| Domain { name: name(text), account: AccountId(1), endpoints: vec![EndpointId(1)] };
        Directory::new(vec![account], vec![endpoint], vec![domain("firma.de"), domain("firma.example")], Vec::new())
    }

    fn seen(exchanges: Answer<Exchange>) -> NamesSeen {
        let expected = expected(&name("firma.de"), &directory(), &name("mx2.backup.net")).unwrap();
        let hosts = exchanges.values().iter().map(|exchange| {
            let addresses = Answer::Found { values: vec!["192.0.2.1".parse().unwrap()], ttl_s: 60 };
            (exchange.host.clone(), Host { alias: None, addresses, has_tlsa: None })
        });
        let facts = Facts {
            name_servers: Answer::Nothing,
            hosts: hosts.collect(),
            exchanges,
            spf: Answer::Nothing,
            sts: Sts::Absent,
            ports: BTreeMap::new(),
            pointers: BTreeMap::new(),
            own_spf: Answer::Nothing,
        };
        judged(&expected, &judge(&expected, &facts, WallTime::UNIX_EPOCH)).unwrap()
    }

    fn found(list: &[(u16, &str)], ttl_s: u32) -> Answer<Exchange> {
        let exchange =
            |(preference, host): &(u16, &str)| Exchange { preference: *preference, host: (*host).to_owned() };
        Answer::Found { values: list.iter().map(exchange).collect(), ttl_s }
    }

    #[test]
    fn the_customers_server_comes_first_then_we_and_what_is_wrong_is_said_with_its_cure() {
        let (theirs, ours) = ("mail.firma.de", "mx2.backup.net");
        let good = seen(found(&[(10, theirs), (20, ours)], 3_600));
        assert_eq!((good.judgement, good.domain.as_str()), (Judgement::Good, "firma.de"));
        let cases: [(Answer<Exchange>, Judgement, &str); 8] = [
            (found(&[(10, ours), (20, theirs)], 60), Judgement::Bad, "this service comes before the mail server"),
            (found(&[(10, ours), (10, theirs)], 60), Judgement::Bad, "this service comes before the mail server"),
            (found(&[(10, theirs)], 60), Judgement::Bad, "this service is not among the MX records"),
            (found(&[(20, ours)], 60), Judgement::Bad, "the mail server mail.firma.de is not among the MX records"),
            (found(&[(10, theirs), (20, ours)], 604_800), Judgement::Doubtful, "MX records are kept for 604800 s"),
            (
                found(&[(10, theirs), (15, "mx.other.net"), (20, ours)], 60),
                Judgement::Doubtful,
                "another MX, mx.other.net",
            ),
            (Answer::NoName, Judgement::Bad, "the domain does not exist"),
            (Answer::Silent, Judgement::Unknown, "no resolver answered in time"),
        ];
        for (answer, judgement, part) in cases {
            let seen = seen(answer);
            assert_eq!(seen.judgement, judgement, "{seen:?}");
            assert!(seen.says(Language::En).starts_with(part), "{seen:?}");
            assert_ne!(seen.says(Language::De), seen.says(Language::En));
            assert!(judgement == Judgement::Unknown || seen.english.contains(". "), "it says what to do: {seen:?}");
        }
    }

    #[test]
    fn names_that_no_public_dns_has_are_not_looked_for() {
        let directory = directory();
        let of = |domain: &str| expected(&name(domain), &directory, &name("mx2.backup.net"));
        assert!(of("firma.de").is_some());
        for skipped in ["firma.example", "mail.firma.de", "nobody.de"] {
            assert!(of(skipped).is_none(), "{skipped}");
        }
    }
}
