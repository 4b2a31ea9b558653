//! The section `outbound`: mail of our own.

use std::path::PathBuf;
use std::time::Duration;

use super::checked::Reader;
use super::file::ConfigError;
use crate::base::{DomainName, Mailbox, parse_duration};

/// A machine that sends on what we give it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmartHostConfig {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name for the login and the file of its password.
    pub login: Option<(String, PathBuf)>,
}

/// What mail of our own, and seals, are signed with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SigningConfig {
    /// `d=`.
    pub domain: DomainName,
    /// `s=`.
    pub selector: String,
    /// Private key in PEM.
    pub key: PathBuf,
}

/// How mail of our own leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutboundConfig {
    /// `outbound.from`.
    pub from: Mailbox,
    /// `outbound.smart_host`, `outbound.user`, `outbound.password_file`.
    pub smart_host: Option<SmartHostConfig>,
    /// `outbound.per_domain_hour`.
    pub per_domain_hour: u64,
    /// `outbound.digest_hour`.
    pub digest_hour: u32,
}

/// Keys that do nothing without `outbound.from`.
const DEPENDENT: [&str; 3] = ["outbound.smart_host", "outbound.user", "outbound.password_file"];

fn contradiction(words: &str) -> ConfigError {
    ConfigError::Contradiction(words.to_owned())
}

impl OutboundConfig {
    /// `None` while nobody is named who writes: no mail of our own leaves.
    pub(super) fn check(
        read: &Reader<'_>,
        has_checks: bool,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(from) = read.text("outbound.from").and_then(|text| Mailbox::parse(&text, false).ok()) else {
            return match DEPENDENT.iter().find(|key| read.text(key).is_some()) {
                Some(key) => Err(ConfigError::Contradiction(format!(
                    "{key} is set but outbound.from is not; name the sender of our own mail, such as mailer-daemon@ our hostname"
                ))),
                None => Ok(None),
            };
        };
        if from.domain().is_none() {
            return Err(contradiction("outbound.from: an address literal cannot write"));
        }
        if !has_checks {
            warnings.push("checks.enabled is false: no sender is authenticated, so none is ever told".to_owned());
        }
        Ok(Some(Self {
            from,
            smart_host: smart_host(read)?,
            per_domain_hour: read.number("outbound.per_domain_hour")?,
            digest_hour: read.number("outbound.digest_hour")?,
        }))
    }
}

fn smart_host(read: &Reader<'_>) -> Result<Option<SmartHostConfig>, ConfigError> {
    let login = match (read.text("outbound.user"), read.text("outbound.password_file")) {
        (Some(user), Some(file)) => Some((user, PathBuf::from(file))),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err(contradiction("outbound.user and outbound.password_file belong together; set both or none"));
        }
    };
    let Some(text) = read.text("outbound.smart_host") else {
        return match login {
            Some(_) => Err(contradiction("outbound.user is set but outbound.smart_host is not")),
            None => Ok(None),
        };
    };
    let route: crate::account::Route =
        text.parse().map_err(|error| ConfigError::Contradiction(format!("outbound.smart_host: '{text}': {error}")))?;
    Ok(Some(SmartHostConfig { host: route.host, port: route.port, login }))
}

/// `outbound.dkim_domain`, `outbound.dkim_selector`, `outbound.dkim_key`: all or none.
pub(super) fn signing(read: &Reader<'_>) -> Result<Option<SigningConfig>, ConfigError> {
    let (domain, selector, key) =
        (read.text("outbound.dkim_domain"), read.text("outbound.dkim_selector"), read.text("outbound.dkim_key"));
    match (domain, selector, key) {
        (None, None, None) => Ok(None),
        (Some(domain), Some(selector), Some(key)) => {
            let name = |text: &str| {
                DomainName::parse(text)
                    .map_err(|error| ConfigError::Contradiction(format!("outbound.dkim: '{text}': {error}")))
            };
            let selector = name(&selector)?.to_string();
            Ok(Some(SigningConfig { domain: name(&domain)?, selector, key: PathBuf::from(key) }))
        }
        (_, _, _) => Err(contradiction(
            "outbound.dkim_domain, outbound.dkim_selector and outbound.dkim_key belong together; set all or none",
        )),
    }
}

/// `spool.warn_sender_after`: `off` or a time from 1 hour to 5 days.
pub(super) fn warn_sender_after(read: &Reader<'_>) -> Result<Option<Duration>, ConfigError> {
    let text = read.text("spool.warn_sender_after").unwrap_or_else(|| "off".to_owned());
    if text == "off" {
        return Ok(None);
    }
    let range = Duration::from_secs(3_600)..=Duration::from_secs(5 * 86_400);
    match parse_duration(&text) {
        Ok(after) if range.contains(&after) => Ok(Some(after)),
        Ok(_) | Err(_) => Err(ConfigError::Contradiction(format!(
            "spool.warn_sender_after: '{text}': expected off, or a time from 1h to 5d such as 24h"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::checked::{Config, Surroundings};
    use super::super::file::Written;
    use super::*;

    fn check(text: &str) -> Result<Config, ConfigError> {
        let written = Written::parse(text, Path::new("pulsemx.toml")).unwrap();
        Config::check(&written, &Surroundings { machine_name: Some("box.example".to_owned()), state_directory: None })
    }

    #[test]
    fn nothing_leaves_until_somebody_is_named_who_writes() {
        assert_eq!(check("").unwrap().outbound, None);
        let config = check("[outbound]\nfrom = \"mailer-daemon@box.example\"").unwrap();
        let outbound = config.outbound.unwrap();
        assert_eq!((outbound.smart_host, outbound.per_domain_hour), (None, 20));
        let words = check("[outbound]\nsmart_host = \"relay.example:587\"").unwrap_err().to_string();
        assert!(words.contains("outbound.from"), "{words}");
    }

    #[test]
    fn what_belongs_together_is_asked_for_together() {
        let from = "[outbound]\nfrom = \"mailer-daemon@box.example\"\n";
        let login = "smart_host = \"relay.example:587\"\nuser = \"u\"\npassword_file = \"/etc/p\"";
        let host = check(&format!("{from}{login}")).unwrap().outbound.unwrap().smart_host.unwrap();
        assert_eq!((host.port, host.login), (587, Some(("u".to_owned(), PathBuf::from("/etc/p")))));
        for bad in [
            "smart_host = \"relay.example\"",
            "user = \"u\"",
            "user = \"u\"\npassword_file = \"/etc/p\"",
            "dkim_key = \"/etc/k\"",
            "dkim_domain = \"box.example\"\ndkim_selector = \"s\"",
        ] {
            assert!(check(&format!("{from}{bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_delay_is_told_after_hours_or_never() {
        let after =
            |text: &str| check(&format!("[spool]\nwarn_sender_after = \"{text}\"")).map(|c| c.warn_sender_after);
        assert_eq!(after("off").unwrap(), None);
        assert_eq!(after("24h").unwrap(), Some(Duration::from_secs(86_400)));
        assert!(after("5s").is_err() && after("never").is_err());
    }
}
