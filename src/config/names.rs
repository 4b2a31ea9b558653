//! The `dns` section as used.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::checked::Reader;
use super::file::{ConfigError, parse_network, texts};
use crate::base::{DomainName, Mailbox};
use crate::dns::Offline;

/// See the file. Present only if `dns.zone` is set.
#[derive(Clone, PartialEq, Debug)]
pub struct NamesConfig {
    /// `dns.zone`.
    pub zone: DomainName,
    /// `dns.listen`.
    pub listen: Vec<SocketAddr>,
    /// `dns.tls_listen`.
    pub tls_listen: Vec<SocketAddr>,
    /// `dns.ttl`.
    pub ttl: Duration,
    /// `dns.name_servers`, never empty.
    pub name_servers: Vec<DomainName>,
    /// `dns.contact` as the name that stands in a SOA record.
    pub contact: DomainName,
    /// `dns.offline`.
    pub offline: Offline,
    /// `dns.own`, or what `smtp.listen` says.
    pub own: Vec<IpAddr>,
    /// `dns.neutral`.
    pub neutral: Vec<IpAddr>,
    /// `dns.answers_per_second`.
    pub answers_per_second: u32,
    /// `dns.exempt_networks`.
    pub exempt_networks: Vec<ipnet::IpNet>,
}

/// What the section is checked against.
pub(super) struct Besides<'a> {
    pub(super) hostname: &'a DomainName,
    pub(super) smtp_listen: &'a [SocketAddr],
    pub(super) allow_loopback: bool,
}

impl NamesConfig {
    pub(super) fn check(
        read: &Reader<'_>,
        besides: &Besides<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(zone) = read.text("dns.zone").and_then(|name| DomainName::parse(&name).ok()) else { return Ok(None) };
        let mut name_servers = names(read, "dns.name_servers")?;
        if name_servers.is_empty() {
            name_servers.push(besides.hostname.clone());
        }
        let offline = match read.text("dns.offline").as_deref() {
            Some("neutral") => Offline::Neutral,
            Some("nothing") => Offline::Nothing,
            _ => Offline::Park,
        };
        let mut own = addresses(read, "dns.own")?;
        if own.is_empty() {
            own = besides.smtp_listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).collect();
            own.dedup();
        }
        own.retain(|ip| besides.allow_loopback || !ip.is_loopback());
        let neutral = addresses(read, "dns.neutral")?;
        if offline == Offline::Neutral && neutral.is_empty() {
            return Err(ConfigError::Contradiction(
                "dns.offline is \"neutral\" but dns.neutral has no address; set dns.neutral".to_owned(),
            ));
        }
        if offline == Offline::Park && own.is_empty() {
            warnings.push(
                "names have no address while their server is not there: set dns.own to this server's public addresses"
                    .to_owned(),
            );
        }
        let is_glueless = name_servers.iter().any(|server| is_within(server, &zone)) && own.is_empty();
        if is_glueless {
            return Err(ConfigError::Contradiction(
                "a name server of dns.name_servers lies in dns.zone and has no address; set dns.own".to_owned(),
            ));
        }
        let networks = read.value("dns.exempt_networks").and_then(|value| {
            texts(&value).and_then(|list| list.iter().map(|text| parse_network(text).ok()).collect())
        });
        Ok(Some(Self {
            contact: contact(read, &zone)?,
            listen: read.addresses("dns.listen")?,
            tls_listen: read.addresses("dns.tls_listen")?,
            ttl: read.duration("dns.ttl")?,
            name_servers,
            offline,
            own,
            neutral,
            answers_per_second: read.number("dns.answers_per_second")?,
            exempt_networks: networks.unwrap_or_default(),
            zone,
        }))
    }
}

fn is_within(name: &DomainName, zone: &DomainName) -> bool {
    name == zone || name.as_str().strip_suffix(zone.as_str()).is_some_and(|rest| rest.ends_with('.'))
}

/// `info@dyn.example` as `info.dyn.example`. A dot in front of the `@` would have to be escaped and is refused.
fn contact(read: &Reader<'_>, zone: &DomainName) -> Result<DomainName, ConfigError> {
    let fault = |text: &str| {
        ConfigError::Contradiction(format!(
            "dns.contact: '{text}' cannot stand in a SOA record; use letters and digits"
        ))
    };
    let text = read.text("dns.contact").unwrap_or_else(|| format!("hostmaster@{zone}"));
    let is_plain = Mailbox::parse(&text, false).is_ok();
    let (local, domain) = text.rsplit_once('@').filter(|_| is_plain).ok_or_else(|| fault(&text))?;
    if local.contains('.') {
        return Err(fault(&text));
    }
    DomainName::parse(&format!("{local}.{domain}")).map_err(|_| fault(&text))
}

fn names(read: &Reader<'_>, key: &str) -> Result<Vec<DomainName>, ConfigError> {
    let value = read
        .value(key)
        .and_then(|value| texts(&value).map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>()));
    let name = |text: &String| {
        DomainName::parse(text).map_err(|error| ConfigError::Contradiction(format!("{key}: '{text}': {error}")))
    };
    value.unwrap_or_default().iter().map(name).collect()
}

fn addresses(read: &Reader<'_>, key: &str) -> Result<Vec<IpAddr>, ConfigError> {
    let value = read.value(key).ok_or_else(|| Reader::fault(key))?;
    texts(&value).and_then(|list| list.iter().map(|text| text.parse().ok()).collect()).ok_or_else(|| Reader::fault(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::checked::Surroundings;
    use crate::config::file::Written;
    use std::path::Path;

    fn check(section: &str) -> Result<Option<NamesConfig>, String> {
        let text = format!("hostname = \"mx2.example.net\"\n[smtp]\nlisten = \"192.0.2.1:25\"\n[dns]\n{section}");
        let written = Written::parse(&text, Path::new("pulsemx.toml")).map_err(|e| e.to_string())?;
        Config::check(&written, &Surroundings::default()).map(|config| config.names).map_err(|e| e.to_string())
    }

    #[test]
    fn without_a_zone_no_names_are_served() {
        assert_eq!(check("ttl = \"20s\"").unwrap(), None);
    }

    #[test]
    fn the_rest_follows_from_the_mail_server() {
        let names = check("zone = \"dyn.example\"").unwrap().unwrap();
        assert_eq!(names.name_servers, [DomainName::parse("mx2.example.net").unwrap()]);
        assert_eq!(names.contact.as_str(), "hostmaster.dyn.example");
        assert_eq!(names.own, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert_eq!((names.ttl, names.offline), (Duration::from_secs(30), Offline::Park));
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_the_option_to_set() {
        for (section, option) in [
            ("offline = \"neutral\"", "dns.neutral"),
            ("contact = \"a.b@dyn.example\"", "dns.contact"),
            ("name_servers = [\"-x\"]", "dns.name_servers"),
            ("own = [\"192.0.2\"]", "dns.own"),
        ] {
            let error = check(&format!("zone = \"dyn.example\"\n{section}")).unwrap_err();
            assert!(error.contains(option), "{error}");
        }
    }
}
