//! Questions to the resolver: MX, then A and AAAA of each host, within a time for each.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use mail_auth::MessageAuthenticator;
use mail_auth::hickory_resolver::proto::rr::RData;
use tokio::time::timeout;

use crate::base::DomainName;
use crate::delivery::target::{TargetRules, check_target};
use crate::outbound::route::{ADDRESSES_MAX, Hosts, MxRecord, in_order};
use crate::verdict;
use crate::verdict::question::driver::{ResolverError, asker};

/// Longest wait for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Where to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Its name, for TLS.
    pub host: DomainName,
    /// Its address and port.
    pub address: SocketAddr,
}

/// Why there is nowhere to connect to.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoHosts {
    /// It never will be.
    #[error("{0}")]
    ForGood(String),
    /// Later perhaps.
    #[error("{0}")]
    ForNow(String),
}

/// Puts questions to the DNS.
pub struct Lookup(MessageAuthenticator);

impl Lookup {
    /// With the resolvers of the checks.
    ///
    /// # Errors
    /// No resolver can be set up.
    pub fn new(settings: &verdict::Settings) -> Result<Self, ResolverError> {
        asker(settings).map(Self)
    }

    /// The machines that take mail for a domain, best first.
    ///
    /// # Errors
    /// [`NoHosts`].
    pub async fn targets(
        &self,
        domain: &DomainName,
        own: &DomainName,
        (port, draw): (u16, u32),
        rules: TargetRules<'_>,
    ) -> Result<Vec<Target>, NoHosts> {
        let hosts = match in_order(&self.mx(domain).await?, domain, own, draw) {
            Hosts::NoMail => return Err(NoHosts::ForGood(format!("{domain} takes no mail (null MX)"))),
            Hosts::Ourselves => return Err(NoHosts::ForNow(format!("the mail server of {domain} is this one"))),
            Hosts::InOrder(hosts) => hosts,
        };
        let mut targets = Vec::new();
        let mut last = format!("no mail server of {domain} has an address");
        for host in hosts {
            for address in self.addresses(&host).await {
                match check_target(SocketAddr::new(address, port), rules) {
                    Ok(address) => targets.push(Target { host: host.clone(), address }),
                    Err(why) => last = format!("{host}: {why}"),
                }
            }
            if targets.len() >= ADDRESSES_MAX {
                break;
            }
        }
        targets.truncate(ADDRESSES_MAX);
        if targets.is_empty() { Err(NoHosts::ForNow(last)) } else { Ok(targets) }
    }

    /// MX records; none where the domain has no such record, an error where it does not exist or nobody answers.
    async fn mx(&self, domain: &DomainName) -> Result<Vec<MxRecord>, NoHosts> {
        let asked = timeout(ANSWER_TIMEOUT, self.0.resolver().mx_lookup(format!("{domain}."))).await;
        match asked {
            Err(_) => Err(NoHosts::ForNow(format!("the DNS does not answer for {domain}"))),
            Ok(Ok(lookup)) => Ok(lookup
                .answers()
                .iter()
                .filter_map(|record| {
                    let RData::MX(mx) = &record.data else { return None };
                    Some((mx.preference, mx.exchange.to_ascii()))
                })
                .collect()),
            Ok(Err(error)) if error.is_nx_domain() => Err(NoHosts::ForGood(format!("{domain} does not exist"))),
            Ok(Err(error)) if error.is_no_records_found() => Ok(Vec::new()),
            Ok(Err(error)) => Err(NoHosts::ForNow(format!("the DNS does not answer for {domain}: {error}"))),
        }
    }

    /// Addresses of a host, IPv4 first; none where there are none or nobody answers.
    pub async fn addresses(&self, host: &DomainName) -> Vec<IpAddr> {
        if let Ok(address) = host.as_str().parse::<IpAddr>() {
            return vec![address];
        }
        let name = format!("{host}.");
        let (v4, v6) = futures_util::join!(
            timeout(ANSWER_TIMEOUT, self.0.resolver().ipv4_lookup(name.clone())),
            timeout(ANSWER_TIMEOUT, self.0.resolver().ipv6_lookup(name))
        );
        let v4 = v4.ok().and_then(Result::ok).into_iter().flat_map(|lookup| {
            let found = lookup.answers().iter().filter_map(|record| {
                let RData::A(a) = &record.data else { return None };
                Some(IpAddr::V4(a.0))
            });
            found.collect::<Vec<_>>()
        });
        let v6 = v6.ok().and_then(Result::ok).into_iter().flat_map(|lookup| {
            let found = lookup.answers().iter().filter_map(|record| {
                let RData::AAAA(aaaa) = &record.data else { return None };
                Some(IpAddr::V6(aaaa.0))
            });
            found.collect::<Vec<_>>()
        });
        v4.chain(v6).collect()
    }
}
