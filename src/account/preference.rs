//! What an account chose for the way its mail is handed on, and where it is written to.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::holiday::Holiday;
use crate::base::{DomainName, Mailbox};

/// Choices of one account; all of them have a default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    /// Where the digest of the quarantine goes; outside the account's own domains, as it has to arrive when they do not.
    #[serde(with = "mailbox_text", skip_serializing_if = "Option::is_none")]
    pub alert_address: Option<Mailbox>,
    /// The primary was set up to trust us: under this authserv-id it gets `Authentication-Results`, and a seal where a key
    /// is configured. Chosen by chance, so that no sender can forge it (RFC 8601 §5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trust: Option<DomainName>,
    /// Mail goes there instead of to the address of the heartbeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detour: Option<Detour>,
    /// The domain of forward-paths is replaced on delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// The announced absence of its servers, or the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holiday: Option<Holiday>,
    /// Machines that pass on mail of others to this account, as [`checked_forwarders`](super::checked_forwarders) has
    /// them: its mail from there knows no rates, pauses, black lists and SPF. Gives no further rights.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub forwarders: Vec<IpNet>,
}

/// Another server for an account's mail, by the operator's word.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Detour {
    /// Exactly this address: no name is asked for at delivery.
    pub address: std::net::SocketAddr,
    /// The name that its certificate has to show.
    pub host: Option<DomainName>,
}

/// Which domain of a forward-path becomes which.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rewrite {
    /// As mail is taken.
    pub from: DomainName,
    /// As the primary is told.
    pub to: DomainName,
}

/// A host and its port, as people write them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// A name, or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// The text names no place.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected HOST:PORT, such as mail.example.net:25, 192.0.2.7:25 or [2001:db8::7]:25")]
pub struct RouteError;

impl FromStr for Route {
    type Err = RouteError;
    fn from_str(text: &str) -> Result<Self, RouteError> {
        let (host, port) = text.rsplit_once(':').ok_or(RouteError)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or(RouteError)?;
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match bare {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().map_err(|_| RouteError)?.to_string(),
            None => match host.parse::<std::net::Ipv4Addr>() {
                Ok(v4) => v4.to_string(),
                Err(_) => DomainName::parse(host).map_err(|_| RouteError)?.to_string(),
            },
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

mod mailbox_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::base::Mailbox;

    pub(super) fn serialize<S: Serializer>(mailbox: &Option<Mailbox>, to: S) -> Result<S::Ok, S::Error> {
        match mailbox {
            Some(mailbox) => to.serialize_str(&mailbox.to_string()),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Mailbox>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| Mailbox::parse(&text, true).map_err(serde::de::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> crate::base::WallTime {
        crate::base::WallTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    #[test]
    fn choices_are_read_as_they_were_written() {
        let chosen = Preferences {
            alert_address: Some(Mailbox::parse("chef@privat.example", false).unwrap()),
            trust: DomainName::parse("x.mx2.example").ok(),
            detour: Some(Detour { address: "[2001:db8::7]:2525".parse().unwrap(), host: None }),
            rewrite: Some(Rewrite {
                from: DomainName::parse("firma.dyn.example").unwrap(),
                to: DomainName::parse("firma.example").unwrap(),
            }),
            holiday: Some(Holiday { from: at(0), until: at(86_400) }),
            forwarders: vec!["203.0.113.0/24".parse().unwrap(), "2001:db8:5::/48".parse().unwrap()],
        };
        let text = serde_json::to_string(&chosen).unwrap();
        assert_eq!(serde_json::from_str::<Preferences>(&text).unwrap(), chosen);
        assert_eq!(serde_json::from_str::<Preferences>("{}").unwrap(), Preferences::default());
        assert!(serde_json::from_str::<Preferences>("{\"trust\":\"a b\"}").is_err());
    }

    #[test]
    fn a_route_is_a_name_or_an_address_with_a_port() {
        for text in ["mail.example.net:25", "192.0.2.7:2525", "[2001:db8::7]:25"] {
            assert_eq!(text.parse::<Route>().unwrap().to_string(), text);
        }
        for text in ["", "mail.example.net", "mail.example.net:0", ":25", "[x]:25", "2001:db8::7:25", "a b:25"] {
            assert_eq!(text.parse::<Route>(), Err(RouteError), "{text}");
        }
    }
}
