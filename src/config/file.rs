//! The configuration as written: file and environment, flattened to `section.key`, each key known and of its kind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Value;

use super::options::{self, Kind, OptionSpec};
use crate::base::{ByteCount, DomainName, Mailbox, parse_duration};

/// Prefix of environment variables: `PULSEMX__SMTP__LISTEN` sets `smtp.listen`.
pub const ENVIRONMENT_PREFIX: &str = "PULSEMX__";
/// Ending of variables that name a file with the value: `PULSEMX__HOSTNAME_FILE`.
const FILE_SUFFIX: &str = "_FILE";

/// What is wrong with the configuration, where, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}", path = path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML.
    #[error("{path}: {message}", path = path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Line and column with the parser's words.
        message: String,
    },
    /// A key that does not exist.
    #[error("{place}: there is no option '{key}'; did you mean '{nearest}'?")]
    UnknownKey {
        /// File or variable.
        place: String,
        /// As written.
        key: String,
        /// A key that exists.
        nearest: &'static str,
    },
    /// A value of the wrong kind or out of range.
    #[error("{place}: {key}: {problem}")]
    BadValue {
        /// File or variable.
        place: String,
        /// The key.
        key: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Values that do not go together.
    #[error("{0}")]
    Contradiction(String),
}

/// The options that were set, by key, and where; everything else has its default.
#[derive(Debug, Default)]
pub struct Written {
    values: BTreeMap<&'static str, Value>,
    has_file: bool,
}

impl Written {
    /// Reads the file, if one is named, and lets the environment override it.
    ///
    /// # Errors
    /// [`ConfigError`] names the place.
    pub fn read(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut written = match path {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
                Self::parse(&text, path)?
            }
            None => Self::default(),
        };
        written.apply_environment(environment)?;
        Ok(written)
    }

    /// Takes the text of a file; `path` is for messages.
    ///
    /// # Errors
    /// [`ConfigError`] names the place.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        let mut written = Self { values: BTreeMap::new(), has_file: true };
        for (key, value) in flatten(table) {
            written.set(&key, value, &path.display().to_string())?;
        }
        Ok(written)
    }

    fn apply_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (variable, text) in environment {
            let Some(rest) = variable.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            let key = rest.to_ascii_lowercase().replace("__", ".");
            if let (None, Some(base)) = (options::find(&key), rest.strip_suffix(FILE_SUFFIX)) {
                let path = PathBuf::from(&text);
                let inner = std::fs::read_to_string(&path)
                    .map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?;
                let key = base.to_ascii_lowercase().replace("__", ".");
                self.set(&key, value_of_variable(&key, inner.trim_end()), &variable)?;
            } else {
                self.set(&key, value_of_variable(&key, &text), &variable)?;
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: Value, place: &str) -> Result<(), ConfigError> {
        let Some(spec) = options::find(key) else {
            return Err(ConfigError::UnknownKey {
                place: place.to_owned(),
                key: key.to_owned(),
                nearest: options::nearest(key),
            });
        };
        check(spec, &value).map_err(|problem| ConfigError::BadValue {
            place: place.to_owned(),
            key: spec.key,
            problem,
        })?;
        self.values.insert(spec.key, value);
        Ok(())
    }

    /// Whether nothing was configured by a file: the server is being tried out.
    #[must_use]
    pub const fn is_trial(&self) -> bool {
        !self.has_file
    }

    /// The value as set, if it was.
    #[must_use]
    pub fn set_value(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Keys that were set, in order.
    pub fn set_keys(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.values.keys().copied()
    }

    /// The value in force: as set, else the default of this kind of start; `None` for "not set".
    #[must_use]
    pub fn value(&self, key: &str) -> Option<Value> {
        if let Some(value) = self.values.get(key) {
            return Some(value.clone());
        }
        let spec = options::find(key)?;
        let text = if self.is_trial() { spec.trial.unwrap_or(spec.default) } else { spec.default };
        parse_literal(text)
    }
}

/// Parses a value as it would stand behind `key =`.
#[must_use]
pub fn parse_literal(text: &str) -> Option<Value> {
    format!("v = {text}").parse::<toml::Table>().ok()?.remove("v")
}

/// A variable has no quotes: lists and numbers are read as TOML where the option wants one, else as text.
fn value_of_variable(key: &str, text: &str) -> Value {
    let wants_text = options::find(key).is_none_or(|spec| match spec.kind {
        Kind::Text
        | Kind::Name
        | Kind::Mailbox
        | Kind::Path
        | Kind::Duration { .. }
        | Kind::Size { .. }
        | Kind::Choice(_) => true,
        Kind::Number { .. } | Kind::Flag => false,
        Kind::Addresses | Kind::Ips | Kind::Networks | Kind::Texts => !text.trim_start().starts_with('['),
    });
    let literal = if wants_text { None } else { parse_literal(text) };
    // An IPv6 address also begins with a bracket and is no list.
    literal.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn flatten(table: toml::Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (key, value) in table {
        if let Value::Table(inner) = value {
            flat.extend(flatten(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)));
        } else {
            flat.push((key, value));
        }
    }
    flat
}

/// The texts of a value that may be one text or a list.
#[must_use]
pub fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(one) => Some(vec![one.as_str()]),
        Value::Array(many) => many.iter().map(Value::as_str).collect(),
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}

fn text(value: &Value, wanted: &str) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("expected {wanted} in quotes, found {value}"))
}

fn within(amount: u64, min: u64, max: u64, write: impl Fn(u64) -> String) -> Result<(), String> {
    if (min..=max).contains(&amount) {
        Ok(())
    } else {
        Err(format!("{} is out of range; from {} to {}", write(amount), write(min), write(max)))
    }
}

fn check(spec: &OptionSpec, value: &Value) -> Result<(), String> {
    match spec.kind {
        Kind::Text | Kind::Path => text(value, "a text").map(drop),
        Kind::Name => DomainName::parse(&text(value, "a name")?).map(drop).map_err(|e| e.to_string()),
        Kind::Mailbox => Mailbox::parse(&text(value, "an address")?, false).map(drop).map_err(|e| e.to_string()),
        Kind::Addresses => {
            for address in texts(value).ok_or("expected \"address:port\" or a list of them")? {
                address.parse::<std::net::SocketAddr>().map_err(|_| {
                    format!("'{address}' is not an address with a port; write \"192.0.2.1:25\" or \"[::]:25\"")
                })?;
            }
            Ok(())
        }
        Kind::Ips => {
            for address in texts(value).ok_or("expected a list of addresses")? {
                address
                    .parse::<std::net::IpAddr>()
                    .map_err(|_| format!("'{address}' is not an address without port"))?;
            }
            Ok(())
        }
        Kind::Networks => {
            for network in texts(value).ok_or("expected a list of networks")? {
                parse_network(network)?;
            }
            Ok(())
        }
        Kind::Texts => texts(value).map(drop).ok_or_else(|| "expected a list of texts".to_owned()),
        Kind::Duration { min_ms, max_ms } => {
            let duration = parse_duration(&text(value, "a duration such as \"5s\"")?).map_err(|e| e.to_string())?;
            let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            within(millis, min_ms, max_ms, |ms| crate::base::write_duration(std::time::Duration::from_millis(ms)))
        }
        Kind::Size { min, max } => {
            let size: ByteCount = text(value, "a size such as \"64MiB\"")?.parse().map_err(|e| format!("{e}"))?;
            within(size.0, min, max, |octets| ByteCount(octets).to_string())
        }
        Kind::Number { min, max } => {
            let number = value.as_integer().ok_or_else(|| format!("expected a whole number, found {value}"))?;
            if (min..=max).contains(&number) {
                Ok(())
            } else {
                Err(format!("{number} is out of range; from {min} to {max}"))
            }
        }
        Kind::Flag => value.as_bool().map(drop).ok_or_else(|| format!("expected true or false, found {value}")),
        Kind::Choice(words) => {
            let word = text(value, "a word")?;
            if words.contains(&word.as_str()) {
                Ok(())
            } else {
                Err(format!("'{word}' is not one of {}", words.join(", ")))
            }
        }
    }
}

/// Parses `192.0.2.0/24`; a bare address is the network of that address alone.
///
/// # Errors
/// A sentence for people.
pub fn parse_network(text: &str) -> Result<ipnet::IpNet, String> {
    text.parse::<ipnet::IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(ipnet::IpNet::from))
        .map_err(|_| format!("'{text}' is not a network; write \"192.0.2.0/24\" or \"2001:db8::/32\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Written, ConfigError> {
        Written::parse(text, Path::new("pulsemx.toml"))
    }

    #[test]
    fn an_unknown_key_names_its_neighbour() {
        let error = parse("[smtp]\nlisten_on = \"[::]:25\"\n").unwrap_err().to_string();
        assert_eq!(error, "pulsemx.toml: there is no option 'smtp.listen_on'; did you mean 'smtp.listen'?");
    }

    #[test]
    fn a_bad_value_says_what_would_be_right() {
        for (text, part) in [
            ("[heartbeat]\ninterval = 5", "such as \"5s\""),
            ("[heartbeat]\ninterval = \"5\"", "not a duration"),
            ("[heartbeat]\ninterval = \"5h\"", "from 1s to 1m"),
            ("[heartbeat]\nmisses = 1", "from 3 to 10"),
            ("[smtp]\nlisten = \"25\"", "192.0.2.1:25"),
            ("[smtp]\nexempt_networks = [\"10/8\"]", "192.0.2.0/24"),
            ("[delivery]\nallow_loopback_targets = \"yes\"", "true or false"),
            ("[log]\nformat = \"xml\"", "auto, text, json"),
            ("hostname = \"a b\"", "letters"),
            ("[smtp\n", "pulsemx.toml"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let mut written = parse("[smtp]\nlisten = \"[::]:25\"\n").unwrap();
        let environment = [
            ("PULSEMX__SMTP__LISTEN", "[\"127.0.0.1:1\", \"[::1]:1\"]"),
            ("PULSEMX__HEARTBEAT__LISTEN", "[::1]:9"),
            ("PULSEMX__HEARTBEAT__MISSES", "4"),
            ("PULSEMX__DELIVERY__ALLOW_LOOPBACK_TARGETS", "true"),
            ("HOME", "/nowhere"),
        ];
        written.apply_environment(environment.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
        assert_eq!(texts(&written.value("smtp.listen").unwrap()).unwrap(), ["127.0.0.1:1", "[::1]:1"]);
        assert_eq!(texts(&written.value("heartbeat.listen").unwrap()).unwrap(), ["[::1]:9"]);
        assert_eq!(written.value("heartbeat.misses").unwrap().as_integer(), Some(4));
        let error = written.apply_environment([("PULSEMX__SMTP__LISTN".to_owned(), "x".to_owned())]).unwrap_err();
        assert!(error.to_string().contains("did you mean 'smtp.listen'"), "{error}");
    }

    #[test]
    fn every_default_is_a_legal_value() {
        for spec in options::OPTIONS {
            for text in [Some(spec.default), spec.trial].into_iter().flatten().filter(|text| !text.is_empty()) {
                let value = parse_literal(text).unwrap_or_else(|| panic!("{}: {text}", spec.key));
                check(spec, &value).unwrap_or_else(|e| panic!("{}: {e}", spec.key));
            }
        }
    }
}
