//! The ways in which a domain can reach us, with the records of each filled in.

use serde::Serialize;

use super::facts::Expected;
use super::judge::wanted_exchanges;
use super::matter::Record;
use crate::base::DomainName;

/// One way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Way {
    /// `A` to `D`.
    pub letter: char,
    /// In a few words.
    pub title: &'static str,
    /// What it needs and gives.
    pub text: String,
    /// To be entered.
    pub records: Vec<Record>,
}

/// The dynamic name that an account for a domain would get below our zone: its first label.
#[must_use]
pub fn dynamic_name(domain: &DomainName, zone: &DomainName) -> Option<DomainName> {
    let first = domain.as_str().split('.').next()?;
    DomainName::parse(&format!("{first}.{zone}")).ok()
}

/// All four, the one that is least work first where it is possible. `name_servers` are ours, empty if we host no zones.
#[must_use]
pub fn propose(expected: &Expected, name_servers: &[DomainName]) -> Vec<Way> {
    let domain = &expected.domain;
    let host = expected.primaries.first().map(|primary| primary.host.to_string());
    let host = host.unwrap_or_else(|| "the dynamic name of the account".to_owned());
    let mut ways = Vec::new();
    if !name_servers.is_empty() {
        let record = |server: &DomainName| Record {
            name: format!("{domain}."),
            ttl: 86_400,
            kind: "NS",
            data: format!("{server}."),
        };
        ways.push(Way {
            letter: 'A',
            title: "the whole zone hosted here",
            text: format!(
                "Enter these name servers at the registrar of {domain}. Copy the zone first: `pulsemx zone propose {domain}` \
                 makes a file of what is public, `pulsemx zone import` takes it."
            ),
            records: name_servers.iter().map(record).collect(),
        });
    }
    ways.push(Way {
        letter: 'B',
        title: "two MX records at the DNS provider",
        text: "Enter these in place of the MX records that are there. The first leads to the mail server, the second here."
            .to_owned(),
        records: wanted_exchanges(expected),
    });
    ways.push(Way {
        letter: 'C',
        title: "a host name alone",
        text: format!(
            "No record of {domain} changes. The web host forwards each mailbox, user@{domain} to user@{host}; that name has its \
             MX already."
        ),
        records: Vec::new(),
    });
    ways.push(Way {
        letter: 'D',
        title: "no mail can come in at the line",
        text: format!(
            "Only this service takes mail for {domain}; the mail server fetches it over a connection of its own."
        ),
        records: vec![Record::mx(domain, super::judge::PRIMARY_PREFERENCE, &expected.hostname)],
    });
    ways
}
