//! The configuration as used: typed, complete, and free of contradictions.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::acme::AcmeConfig;
use super::file::{ConfigError, Written, parse_network, texts};
use super::names::{Besides, NamesConfig};
use super::options::{OPTIONS, Since};
use super::outbound::{OutboundConfig, SigningConfig};
use crate::account::OnlineMode;
use crate::alert::ConfiguredChannel;
use crate::base::{ByteCount, DomainName, Mailbox, parse_duration};
use crate::recipient::WithoutList;

/// Longest time from the last beat to neutralisation that we promise, for the ordinary rhythm of 5 s.
const NEUTRALISE_CEILING: Duration = Duration::from_secs(20);

/// A certificate and its key, both configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsFiles {
    /// Chain in PEM.
    pub cert: PathBuf,
    /// Key in PEM.
    pub key: PathBuf,
}

/// Everything that can be configured.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// Started without a configuration file: unprivileged ports on loopback.
    pub is_trial: bool,
    /// `hostname`.
    pub hostname: DomainName,
    /// `data_dir`.
    pub data_dir: PathBuf,
    /// `heartbeat.listen`.
    pub heartbeat_listen: Vec<SocketAddr>,
    /// `heartbeat.interval`.
    pub heartbeat_interval: Duration,
    /// `heartbeat.misses`.
    pub heartbeat_misses: u32,
    /// `heartbeat.grace`.
    pub heartbeat_grace: Duration,
    /// `heartbeat.self_check`.
    pub heartbeat_self_check: Vec<SocketAddr>,
    /// `heartbeat.renew_tokens_after`; zero for never.
    pub heartbeat_renew_tokens_after: Duration,
    /// `smtp.listen`.
    pub smtp_listen: Vec<SocketAddr>,
    /// `smtp.max_size`.
    pub smtp_size_max: ByteCount,
    /// `smtp.max_sessions`.
    pub smtp_sessions_max: u32,
    /// `smtp.max_sessions_per_peer`.
    pub smtp_sessions_per_peer_max: u32,
    /// `smtp.max_connections_per_minute`; 0 for any number, as in the next two.
    pub smtp_connections_per_minute_max: u32,
    /// `smtp.max_messages_per_minute`.
    pub smtp_messages_per_minute_max: u32,
    /// `smtp.max_recipients_per_minute`.
    pub smtp_recipients_per_minute_max: u32,
    /// `smtp.greeting_pause`.
    pub smtp_greeting_pause: Duration,
    /// `smtp.early_talkers` is `refuse`.
    pub smtp_refuses_early_talkers: bool,
    /// `smtp.exempt_networks`.
    pub smtp_exempt_networks: Vec<ipnet::IpNet>,
    /// `smtp.forwarders`.
    pub smtp_forwarders: Vec<ipnet::IpNet>,
    /// `checks.enabled`.
    pub checks_enabled: bool,
    /// `checks.resolvers`.
    pub checks_resolvers: Vec<SocketAddr>,
    /// `checks.question_timeout`.
    pub checks_question_timeout: Duration,
    /// `checks.message_timeout`.
    pub checks_message_timeout: Duration,
    /// `checks.dnsbl`.
    pub checks_lists: Vec<DomainName>,
    /// `checks.dnsbl_action` is `defer`.
    pub checks_defers_listed: bool,
    /// `checks.dnsbl_while_offline`.
    pub checks_defers_listed_while_offline: bool,
    /// `checks.exempt_networks`.
    pub checks_exempt_networks: Vec<ipnet::IpNet>,
    /// `smtp.unknown_recipients`.
    pub smtp_without_list: WithoutList,
    /// `smtp.postmaster`.
    pub smtp_postmaster: Option<Mailbox>,
    /// `smtp.online_mode`.
    pub smtp_online_mode: OnlineMode,
    /// `spool.keep`.
    pub spool_keep: Duration,
    /// `spool.keep_delivered`.
    pub spool_keep_delivered: Duration,
    /// `spool.per_account`.
    pub spool_per_account: ByteCount,
    /// `spool.reserve`.
    pub spool_reserve: Option<ByteCount>,
    /// `spool.after_5xx` is `hold`.
    pub spool_hold_after_5xx: bool,
    /// `delivery.per_account`.
    pub delivery_per_account: usize,
    /// `delivery.connections`.
    pub delivery_connections: usize,
    /// `delivery.allow_loopback_targets`.
    pub delivery_allow_loopback_targets: bool,
    /// The section `outbound`, if mail of our own leaves.
    pub outbound: Option<OutboundConfig>,
    /// What it, and seals, are signed with.
    pub signing: Option<SigningConfig>,
    /// `spool.warn_sender_after`.
    pub warn_sender_after: Option<Duration>,
    /// The section `dns`, if names are served.
    pub names: Option<NamesConfig>,
    /// `web.listen`.
    pub web_listen: Vec<SocketAddr>,
    /// `web.update_listen`.
    pub web_update_listen: Vec<SocketAddr>,
    /// `metrics.listen`.
    pub metrics_listen: Vec<SocketAddr>,
    /// `web.public_url`, without a final slash.
    pub web_public_url: Option<String>,
    /// `tls.cert` and `tls.key`.
    pub tls: Option<TlsFiles>,
    /// `tls.acme` and those beside it, if it is on.
    pub acme: Option<AcmeConfig>,
    /// `alerts.operator`.
    pub alerts_operator: Vec<ConfiguredChannel>,
    /// `log.format` is `json`.
    pub log_json: bool,
    /// Connections to the pages at a time; less where the process may have few open files.
    pub web_connections_max: u32,
    /// Connections to the name server over TCP and TLS; the same holds.
    pub dns_connections_max: u32,
    /// What the operator should know but what stops nothing.
    pub warnings: Vec<String>,
}

/// What the machine says of itself, for options that were not set.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The machine's host name.
    pub machine_name: Option<String>,
    /// `$STATE_DIRECTORY` of systemd.
    pub state_directory: Option<PathBuf>,
}

/// Takes typed values out of what was written. The kinds were checked there, so a miss here is a slip in the table
/// of options and reported as such.
pub(super) struct Reader<'a>(&'a Written);

impl Reader<'_> {
    pub(super) fn fault(key: &str) -> ConfigError {
        ConfigError::Contradiction(format!("option {key} has no usable value"))
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.0.value(key).and_then(|v| v.as_str().map(str::to_owned)).filter(|t| !t.is_empty())
    }

    pub(super) fn addresses(&self, key: &str) -> Result<Vec<SocketAddr>, ConfigError> {
        let value = self.0.value(key).ok_or_else(|| Self::fault(key))?;
        texts(&value)
            .and_then(|list| list.iter().map(|text| text.parse().ok()).collect())
            .ok_or_else(|| Self::fault(key))
    }

    pub(super) fn duration(&self, key: &str) -> Result<Duration, ConfigError> {
        self.text(key).and_then(|t| parse_duration(&t).ok()).ok_or_else(|| Self::fault(key))
    }

    fn size(&self, key: &str) -> Result<ByteCount, ConfigError> {
        self.text(key).and_then(|t| t.parse().ok()).ok_or_else(|| Self::fault(key))
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, key: &str) -> Result<T, ConfigError> {
        self.0.value(key).and_then(|v| v.as_integer()).and_then(|n| T::try_from(n).ok()).ok_or_else(|| Self::fault(key))
    }

    fn flag(&self, key: &str) -> Result<bool, ConfigError> {
        self.0.value(key).and_then(|v| v.as_bool()).ok_or_else(|| Self::fault(key))
    }

    pub(super) fn value(&self, key: &str) -> Option<toml::Value> {
        self.0.value(key)
    }

    fn networks(&self, key: &str) -> Result<Vec<ipnet::IpNet>, ConfigError> {
        let value = self.0.value(key).ok_or_else(|| Self::fault(key))?;
        texts(&value)
            .and_then(|list| list.iter().map(|text| parse_network(text).ok()).collect())
            .ok_or_else(|| Self::fault(key))
    }
}

impl Config {
    /// Checks what was written against itself and the machine.
    ///
    /// # Errors
    /// [`ConfigError::Contradiction`] for values that do not go together.
    pub fn check(written: &Written, around: &Surroundings) -> Result<Self, ConfigError> {
        let read = Reader(written);
        let mut warnings = reserved_keys(written);
        let hostname = hostname(&read, around, &mut warnings);
        let smtp_listen = read.addresses("smtp.listen")?;
        let allow_loopback =
            written.value("delivery.allow_loopback_targets").and_then(|v| v.as_bool()).unwrap_or(false);
        let besides = Besides { hostname: &hostname, smtp_listen: &smtp_listen, allow_loopback };
        let names = NamesConfig::check(&read, &besides, &mut warnings)?;
        let acme = AcmeConfig::check(&read, &hostname, names.as_ref())?;
        let config = Self {
            is_trial: written.is_trial(),
            data_dir: data_dir(&read, around),
            heartbeat_listen: read.addresses("heartbeat.listen")?,
            heartbeat_interval: read.duration("heartbeat.interval")?,
            heartbeat_misses: read.number("heartbeat.misses")?,
            heartbeat_grace: read.duration("heartbeat.grace")?,
            heartbeat_self_check: read.addresses("heartbeat.self_check")?,
            heartbeat_renew_tokens_after: read.duration("heartbeat.renew_tokens_after")?,
            hostname,
            smtp_listen,
            smtp_size_max: read.size("smtp.max_size")?,
            smtp_sessions_max: read.number("smtp.max_sessions")?,
            smtp_sessions_per_peer_max: read.number("smtp.max_sessions_per_peer")?,
            smtp_connections_per_minute_max: read.number("smtp.max_connections_per_minute")?,
            smtp_messages_per_minute_max: read.number("smtp.max_messages_per_minute")?,
            smtp_recipients_per_minute_max: read.number("smtp.max_recipients_per_minute")?,
            smtp_greeting_pause: read.duration("smtp.greeting_pause")?,
            smtp_refuses_early_talkers: read.text("smtp.early_talkers").as_deref() == Some("refuse"),
            smtp_exempt_networks: read.networks("smtp.exempt_networks")?,
            smtp_forwarders: read.networks("smtp.forwarders")?,
            checks_enabled: read.flag("checks.enabled")?,
            checks_resolvers: read.addresses("checks.resolvers")?,
            checks_question_timeout: read.duration("checks.question_timeout")?,
            checks_message_timeout: read.duration("checks.message_timeout")?,
            checks_lists: lists(&read)?,
            checks_defers_listed: read.text("checks.dnsbl_action").as_deref() == Some("defer"),
            checks_defers_listed_while_offline: read.flag("checks.dnsbl_while_offline")?,
            checks_exempt_networks: read.networks("checks.exempt_networks")?,
            smtp_online_mode: read.text("smtp.online_mode").and_then(|word| word.parse().ok()).unwrap_or_default(),
            smtp_without_list: read
                .text("smtp.unknown_recipients")
                .and_then(|word| word.parse().ok())
                .unwrap_or_default(),
            smtp_postmaster: read.text("smtp.postmaster").and_then(|t| Mailbox::parse(&t, false).ok()),
            spool_keep: read.duration("spool.keep")?,
            spool_keep_delivered: read.duration("spool.keep_delivered")?,
            spool_per_account: read.size("spool.per_account")?,
            spool_reserve: read.text("spool.reserve").and_then(|text| text.parse().ok()),
            spool_hold_after_5xx: read.text("spool.after_5xx").as_deref() != Some("judge"),
            delivery_per_account: read.number("delivery.per_account")?,
            delivery_connections: read.number("delivery.connections")?,
            delivery_allow_loopback_targets: allow_loopback,
            outbound: OutboundConfig::check(&read, read.flag("checks.enabled")?, &mut warnings)?,
            signing: super::outbound::signing(&read)?,
            warn_sender_after: super::outbound::warn_sender_after(&read)?,
            names,
            web_listen: read.addresses("web.listen")?,
            web_update_listen: update_listen(&read, &mut warnings)?,
            metrics_listen: read.addresses("metrics.listen")?,
            web_public_url: read.text("web.public_url").map(|url| url.trim_end_matches('/').to_owned()),
            tls: tls_files(&read)?,
            acme,
            alerts_operator: alerts_operator(&read)?,
            log_json: read.text("log.format").as_deref() == Some("json"),
            web_connections_max: u32::try_from(crate::web::settings::CONNECTIONS_MAX).unwrap_or(u32::MAX),
            dns_connections_max: u32::try_from(crate::dns::tcp::driver::CONNECTIONS_MAX).unwrap_or(u32::MAX),
            warnings,
        };
        config.keep_the_promise()
    }

    /// Three misses and the grace have to stay below the 20 s that customers are promised; slower rhythms are the
    /// operator's choice and only said aloud.
    fn keep_the_promise(mut self) -> Result<Self, ConfigError> {
        let detection = self.heartbeat_interval * self.heartbeat_misses + self.heartbeat_grace;
        if detection <= NEUTRALISE_CEILING {
            return Ok(self);
        }
        let words = format!(
            "an outage is noticed after {} s only (heartbeat.interval x heartbeat.misses + heartbeat.grace)",
            detection.as_secs()
        );
        if self.heartbeat_interval <= Duration::from_secs(5) {
            return Err(ConfigError::Contradiction(format!(
                "{words}; the promise is {} s",
                NEUTRALISE_CEILING.as_secs()
            )));
        }
        self.warnings.push(words);
        Ok(self)
    }

    /// The control socket of a server with this configuration.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.data_dir.join("control.sock")
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("pulsemx.db")
    }

    /// Where browsers reach the pages: as configured, else made from the first web listener.
    #[must_use]
    pub fn public_url(&self, bound: Option<SocketAddr>) -> String {
        if let Some(url) = &self.web_public_url {
            return url.clone();
        }
        match bound.or_else(|| self.web_listen.first().copied()) {
            Some(address) if address.ip().is_loopback() => format!("http://{address}"),
            Some(address) if address.port() == 443 => format!("https://{}", self.hostname),
            Some(address) => format!("https://{}:{}", self.hostname, address.port()),
            None => format!("https://{}", self.hostname),
        }
    }
}

/// Plain HTTP beyond this machine is the operator's choice and said aloud.
fn update_listen(read: &Reader<'_>, warnings: &mut Vec<String>) -> Result<Vec<SocketAddr>, ConfigError> {
    let addresses = read.addresses("web.update_listen")?;
    for address in addresses.iter().filter(|address| !address.ip().to_canonical().is_loopback()) {
        warnings.push(format!(
            "web.update_listen: update tokens travel unencrypted to {address}; give routers tokens for one name each"
        ));
    }
    Ok(addresses)
}

/// Zones of lists of bad senders.
fn lists(read: &Reader<'_>) -> Result<Vec<DomainName>, ConfigError> {
    let value = read.0.value("checks.dnsbl").ok_or_else(|| Reader::fault("checks.dnsbl"))?;
    let written = texts(&value).ok_or_else(|| Reader::fault("checks.dnsbl"))?;
    let zone = |text: &&str| {
        DomainName::parse(text).map_err(|error| {
            ConfigError::Contradiction(format!("checks.dnsbl: '{text}' is no zone of a list: {error}"))
        })
    };
    written.iter().map(zone).collect()
}

/// Each channel once.
fn alerts_operator(read: &Reader<'_>) -> Result<Vec<ConfiguredChannel>, ConfigError> {
    const KEY: &str = "alerts.operator";
    let value = read.value(KEY).ok_or_else(|| Reader::fault(KEY))?;
    let mut channels: Vec<ConfiguredChannel> = Vec::new();
    for text in texts(&value).ok_or_else(|| Reader::fault(KEY))? {
        // The text may hold something that is better not repeated in a log.
        let channel = ConfiguredChannel::parse(text)
            .map_err(|why| ConfigError::Contradiction(format!("{KEY}, entry {}: {why}", channels.len() + 1)))?;
        if channels.iter().any(|known| known.url == channel.url) {
            return Err(ConfigError::Contradiction(format!("{KEY}: entry {} is there twice", channels.len() + 1)));
        }
        channels.push(channel);
    }
    Ok(channels)
}

fn hostname(read: &Reader<'_>, around: &Surroundings, warnings: &mut Vec<String>) -> DomainName {
    let machine = around.machine_name.as_deref().and_then(|name| DomainName::parse(name).ok());
    let configured = read.text("hostname").and_then(|name| DomainName::parse(&name).ok());
    let localhost = || DomainName::parse("localhost").ok();
    match (configured, machine.or_else(localhost)) {
        (Some(name), _) => name,
        (None, Some(name)) => {
            warnings.push(format!(
                "hostname is not set; '{name}' is used. Senders see this name: set it to the one in the MX records"
            ));
            name
        }
        // `localhost` is a name, so this arm is never taken; an empty default would be worse than a loud one.
        (None, None) => unreachable_name(),
    }
}

#[expect(clippy::expect_used, reason = "a constant that a test parses")]
fn unreachable_name() -> DomainName {
    DomainName::parse("localhost").expect("localhost is a name")
}

fn data_dir(read: &Reader<'_>, around: &Surroundings) -> PathBuf {
    read.text("data_dir")
        .map(PathBuf::from)
        .or_else(|| around.state_directory.clone())
        .unwrap_or_else(|| PathBuf::from("/var/lib/pulsemx"))
}

fn tls_files(read: &Reader<'_>) -> Result<Option<TlsFiles>, ConfigError> {
    match (read.text("tls.cert"), read.text("tls.key")) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert: cert.into(), key: key.into() })),
        (None, None) => Ok(None),
        (Some(_), None) => {
            Err(ConfigError::Contradiction("tls.cert is set but tls.key is not; set both or none".to_owned()))
        }
        (None, Some(_)) => {
            Err(ConfigError::Contradiction("tls.key is set but tls.cert is not; set both or none".to_owned()))
        }
    }
}

/// Reserved keys set to something else than their default, each as a sentence.
fn reserved_keys(written: &Written) -> Vec<String> {
    OPTIONS
        .iter()
        .filter(|spec| spec.since == Since::Reserved)
        .filter(|spec| {
            written
                .set_value(spec.key)
                .is_some_and(|set| super::file::parse_literal(spec.default).as_ref() != Some(set))
        })
        .map(|spec| format!("option {} has no effect in this version. {}", spec.key, spec.help))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn check(text: &str) -> Result<Config, ConfigError> {
        let written = Written::parse(text, Path::new("pulsemx.toml")).unwrap();
        Config::check(&written, &Surroundings { machine_name: Some("box.example".to_owned()), state_directory: None })
    }

    #[test]
    fn without_a_file_ports_are_unprivileged_and_on_loopback() {
        let config = Config::check(&Written::default(), &Surroundings::default()).unwrap();
        assert!(config.is_trial);
        for address in config.smtp_listen.iter().chain(&config.web_listen).chain(&config.heartbeat_listen) {
            assert!(address.ip().is_loopback() && address.port() > 1024, "{address}");
        }
        assert_eq!(config.data_dir, Path::new("./pulsemx-data"));
    }

    #[test]
    fn with_a_file_the_defaults_are_those_of_a_server() {
        let config = check("").unwrap();
        assert_eq!(config.smtp_listen, ["[::]:25".parse().unwrap()]);
        assert_eq!(config.hostname.as_str(), "box.example");
        assert_eq!(config.data_dir, Path::new("/var/lib/pulsemx"));
        assert_eq!(config.public_url(None), "https://box.example");
        assert_eq!(config.warnings.len(), 1);
    }

    #[test]
    fn the_promise_of_20_s_cannot_be_configured_away() {
        let error = check("[heartbeat]\nmisses = 4").unwrap_err().to_string();
        assert!(error.contains("22 s"), "{error}");
        let slow = check("hostname = \"a.example\"\n[heartbeat]\ninterval = \"10s\"").unwrap();
        assert!(slow.warnings.iter().any(|w| w.contains("32 s")), "{:?}", slow.warnings);
    }

    #[test]
    fn reserved_keys_are_taken_and_said_to_be_without_effect() {
        let config = check(
            "hostname = \"a.example\"
[web]
languages = [\"de\"]",
        )
        .unwrap();
        assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
        assert!(config.warnings[0].contains("web.languages"));
    }

    #[test]
    fn certificates_by_acme_need_a_zone_of_ours() {
        let dns = "hostname = \"mx.dyn.example\"\n[dns]\nzone = \"dyn.example\"\nown = [\"192.0.2.1\"]\n";
        let config = check(&format!("{dns}[tls]\nacme = \"on\"\nnames = [\"ns.dyn.example\"]")).unwrap();
        let acme = config.acme.unwrap();
        let names: Vec<&str> = acme.names.iter().map(DomainName::as_str).collect();
        assert_eq!(names, ["mx.dyn.example", "ns.dyn.example"]);
        assert!(acme.directory.starts_with("https://acme-v02."));
        for (text, word) in [
            ("hostname = \"a.example\"\n[tls]\nacme = \"on\"".to_owned(), "dns.zone"),
            (format!("{dns}[tls]\nacme = \"on\"\ncert = \"a\"\nkey = \"b\""), "tls.cert"),
            (format!("{dns}[tls]\nacme = \"on\"\ncontact = \"nobody\""), "tls.contact"),
            (format!("{dns}[tls]\nacme = \"on\"\ndirectory = \"http://a.example/\""), "tls.directory"),
        ] {
            let error = check(&text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn half_a_certificate_is_an_error() {
        assert!(check("[tls]\ncert = \"a.pem\"").is_err());
    }
}
