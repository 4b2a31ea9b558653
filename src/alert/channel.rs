//! The ways by which an alert reaches a person, each written as one URL.

use std::fmt;

use ureq::http::Uri;

use crate::base::Mailbox;

/// Characters of a channel's URL, at most.
pub const URL_MAX: usize = 500;
/// Characters of a secret, at most.
pub const SECRET_MAX: usize = 512;
/// Characters of the key of a webhook, at least: 96 bits of hex and more.
pub const WEBHOOK_KEY_MIN: usize = 24;
/// Words of a command, at most.
const WORDS_MAX: usize = 32;

/// An `http` or `https` address without anything secret in it but, perhaps, its path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HttpUrl {
    text: String,
    host: String,
    is_encrypted: bool,
}

impl HttpUrl {
    fn parse(text: &str) -> Result<Self, ChannelError> {
        let uri: Uri = text.parse().map_err(|_| ChannelError::NotHttp)?;
        let is_encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(ChannelError::NotHttp),
        };
        let authority = uri.authority().ok_or(ChannelError::NotHttp)?;
        if authority.as_str().contains('@') {
            return Err(ChannelError::Password);
        }
        if text.contains('#') || authority.host().is_empty() {
            return Err(ChannelError::NotHttp);
        }
        Ok(Self { text: text.to_owned(), host: authority.host().to_owned(), is_encrypted })
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Name or address of the server, without its port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// `https`.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// This address with a path behind its own.
    #[must_use]
    pub fn join(&self, path: &str) -> String {
        format!("{}/{path}", self.text.trim_end_matches('/'))
    }

    /// The address it names without the DNS, with its port.
    #[must_use]
    pub fn literal_address(&self) -> Option<std::net::SocketAddr> {
        let ip = self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        let port = self.text.parse::<Uri>().ok().and_then(|uri| uri.port_u16());
        Some(std::net::SocketAddr::new(ip, port.unwrap_or(if self.is_encrypted { 443 } else { 80 })))
    }

    /// Splits off the last segment of the path: `https://host/a/b` is `https://host/a` and `b`.
    fn split_last(&self) -> Option<(Self, String)> {
        let path_at = self.text.find("://").map(|at| at + 3)?;
        let text = self.text.trim_end_matches('/');
        let slash = text.rfind('/').filter(|slash| *slash > path_at)?;
        let (base, last) = text.split_at(slash);
        let last = last.trim_start_matches('/');
        let is_plain = !last.is_empty() && !last.contains('?');
        is_plain.then(|| (Self { text: base.to_owned(), ..self.clone() }, last.to_owned()))
    }
}

/// A way to a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Channel {
    /// `webhook:https://host/path`: a signed JSON document by POST.
    Webhook(HttpUrl),
    /// `ntfy:https://host/topic`.
    Ntfy {
        /// The server.
        server: HttpUrl,
        /// The topic.
        topic: String,
    },
    /// `gotify:https://host/`.
    Gotify(HttpUrl),
    /// `matrix:https://homeserver/!room:server`: the client-server API.
    Matrix {
        /// The home server.
        server: HttpUrl,
        /// The id of the room.
        room: String,
    },
    /// `telegram:CHAT` or, with a Bot API server of one's own, `telegram:https://host/CHAT`.
    Telegram {
        /// The Bot API.
        server: HttpUrl,
        /// Number of the chat, or `@channel`.
        chat: String,
    },
    /// `mailto:person@elsewhere.example`.
    Mail(Mailbox),
    /// `command:/path/to/program argument ...`: started without a shell.
    Command(Vec<String>),
}

/// Why something is no channel.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChannelError {
    /// An unknown scheme.
    #[error(
        "write webhook:https://.., ntfy:https://host/topic, gotify:https://host, matrix:https://homeserver/!room:server, telegram:CHAT, mailto:address or (in the configuration) command:/path"
    )]
    Scheme,
    /// No address.
    #[error("behind the first colon belongs an address such as https://host/path, without a part behind #")]
    NotHttp,
    /// A name and password in the address.
    #[error("an address with a name or password in it would be shown in lists; give the secret with --secret-file")]
    Password,
    /// A path is missing.
    #[error("the address needs {0} as the last part of its path")]
    Path(&'static str),
    /// No mailbox.
    #[error("behind mailto: belongs one address such as admin@elsewhere.example")]
    Mailbox,
    /// No program.
    #[error("behind command: belongs the full path of a program, with up to 31 arguments between blanks")]
    Program,
    /// Too long.
    #[error("a channel has {URL_MAX} characters at most, none of them a control character")]
    Long,
    /// A secret is missing.
    #[error("{0} needs a secret; write it into a file and name that with --secret-file (- for standard input)")]
    NoSecret(&'static str),
    /// One too many.
    #[error("{0} takes no secret")]
    NeedlessSecret(&'static str),
    /// It cannot be one.
    #[error(
        "a secret is one line of up to {SECRET_MAX} printable characters without blanks; the key of a webhook has at least {WEBHOOK_KEY_MIN}"
    )]
    OddSecret,
    /// Customers may not.
    #[error("commands are started for the operator alone, from the configuration file (alerts.operator)")]
    CommandHere,
    /// Readable on the way.
    #[error("the address has to begin with https://")]
    Unencrypted,
}

impl Channel {
    /// Reads a channel as people write it.
    ///
    /// # Errors
    /// [`ChannelError`] with what to write instead.
    pub fn parse(text: &str) -> Result<Self, ChannelError> {
        if text.len() > URL_MAX || text.chars().any(char::is_control) {
            return Err(ChannelError::Long);
        }
        let (scheme, rest) = text.split_once(':').ok_or(ChannelError::Scheme)?;
        let split = |what| HttpUrl::parse(rest)?.split_last().ok_or(ChannelError::Path(what));
        match scheme {
            "webhook" => Ok(Self::Webhook(HttpUrl::parse(rest)?)),
            "ntfy" => split("the topic").map(|(server, topic)| Self::Ntfy { server, topic }),
            "gotify" => Ok(Self::Gotify(HttpUrl::parse(rest)?)),
            "matrix" => match split("the room, such as !abc:example.org,")? {
                (server, room) if room.starts_with('!') && room.len() > 1 => Ok(Self::Matrix { server, room }),
                _ => Err(ChannelError::Path("the id of the room, such as !abc:example.org,")),
            },
            "telegram" => telegram(rest),
            "mailto" => Mailbox::parse(rest, true).map(Self::Mail).map_err(|_| ChannelError::Mailbox),
            "command" => {
                let words: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
                let is_path = words.first().is_some_and(|program| program.starts_with('/'));
                if is_path && words.len() <= WORDS_MAX { Ok(Self::Command(words)) } else { Err(ChannelError::Program) }
            }
            _ => Err(ChannelError::Scheme),
        }
    }

    /// Its scheme.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Ntfy { .. } => "ntfy",
            Self::Gotify(_) => "gotify",
            Self::Matrix { .. } => "matrix",
            Self::Telegram { .. } => "telegram",
            Self::Mail(_) => "mailto",
            Self::Command(_) => "command",
        }
    }

    /// The address that is asked, if it is one.
    #[must_use]
    pub const fn url(&self) -> Option<&HttpUrl> {
        match self {
            Self::Webhook(url) | Self::Gotify(url) => Some(url),
            Self::Ntfy { server, .. } | Self::Matrix { server, .. } | Self::Telegram { server, .. } => Some(server),
            Self::Mail(_) | Self::Command(_) => None,
        }
    }

    /// For the audit log: kind and host, no path, which may be as good as a secret.
    #[must_use]
    pub fn audit_words(&self) -> String {
        match self {
            Self::Mail(mailbox) => format!("mailto {mailbox}"),
            Self::Command(words) => format!("command {}", words.first().map_or("", String::as_str)),
            Self::Webhook(_) | Self::Ntfy { .. } | Self::Gotify(_) | Self::Matrix { .. } | Self::Telegram { .. } => {
                format!("{} {}", self.scheme(), self.url().map_or("", |url| url.host.as_str()))
            }
        }
    }

    /// Whether a customer may have it: encrypted, unless `allow_plain`, and no command.
    ///
    /// # Errors
    /// [`ChannelError::CommandHere`], [`ChannelError::Unencrypted`].
    pub fn check_for_customer(&self, allow_plain: bool) -> Result<(), ChannelError> {
        match self.url() {
            _ if matches!(self, Self::Command(_)) => Err(ChannelError::CommandHere),
            Some(url) if !url.is_encrypted() && !allow_plain => Err(ChannelError::Unencrypted),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether `secret` is what it needs; a webhook without one gets a key of ours.
    ///
    /// # Errors
    /// [`ChannelError`] about the secret.
    pub fn check_secret(&self, secret: Option<&str>) -> Result<(), ChannelError> {
        let is_key = matches!(self, Self::Webhook(_));
        match (self, secret) {
            (Self::Gotify(_) | Self::Matrix { .. } | Self::Telegram { .. }, None) => {
                Err(ChannelError::NoSecret(self.scheme()))
            }
            (Self::Mail(_) | Self::Command(_), Some(_)) => Err(ChannelError::NeedlessSecret(self.scheme())),
            (_, None) => Ok(()),
            (_, Some(secret)) => {
                let is_long = (if is_key { WEBHOOK_KEY_MIN } else { 1 }..=SECRET_MAX).contains(&secret.len());
                let is_in_path = matches!(self, Self::Telegram { .. });
                let is_plain = secret.bytes().all(|b| {
                    b.is_ascii_graphic()
                        && (!is_in_path || b.is_ascii_alphanumeric() || matches!(b, b':' | b'_' | b'-'))
                });
                if is_long && is_plain { Ok(()) } else { Err(ChannelError::OddSecret) }
            }
        }
    }
}

fn telegram(rest: &str) -> Result<Channel, ChannelError> {
    const API: &str = "https://api.telegram.org";
    const WHAT: &str = "the number of the chat, or @channel,";
    let (server, chat) = if rest.contains('/') {
        HttpUrl::parse(rest)?.split_last().ok_or(ChannelError::Path(WHAT))?
    } else {
        (HttpUrl::parse(API)?, rest.to_owned())
    };
    let digits = chat.strip_prefix('-').unwrap_or(&chat);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let is_name = chat
        .strip_prefix('@')
        .is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    if is_number || is_name { Ok(Channel::Telegram { server, chat }) } else { Err(ChannelError::Path(WHAT)) }
}

/// As in the log: see [`Channel::audit_words`].
impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.audit_words())
    }
}

/// A channel of the operator as the configuration has it: `URL`, or `URL#name=value&name=value`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfiguredChannel {
    /// Without the part behind `#`.
    pub url: String,
    /// The same.
    pub channel: Channel,
    /// File with its secret.
    pub secret_file: Option<std::path::PathBuf>,
    /// How it tells.
    pub terms: super::store::Terms,
}

impl ConfiguredChannel {
    /// Reads one entry of `alerts.operator`. Options: `secret-file`, `lang`, `zone`, `quiet`, `delay`, `recovery`,
    /// `kinds`.
    ///
    /// # Errors
    /// One sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (url, options) = text.split_once('#').map_or((text, ""), |(url, options)| (url, options));
        // The id of a Matrix room begins with '!'; '#' is free for the options.
        let channel = Channel::parse(url).map_err(|e| e.to_string())?;
        let mut terms = super::store::Terms::ordinary(true);
        let mut secret_file = None;
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            if name == "secret-file" {
                secret_file = Some(value.into());
            } else {
                terms.set(name, value)?;
            }
        }
        if secret_file.is_some() || !matches!(channel, Channel::Webhook(_)) {
            channel.check_secret(secret_file.as_ref().map(|_| "a-secret-of-good-length-for-all")).map_err(|e| {
                e.to_string().replace("--secret-file (- for standard input)", "#secret-file=PATH behind the URL")
            })?;
        } else {
            return Err("webhook needs a key of 24 characters and more; write it into a file and name that with #secret-file=PATH behind the URL".to_owned());
        }
        Ok(Self { url: url.to_owned(), channel, secret_file, terms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_is_read() {
        let read = |text: &str| Channel::parse(text).unwrap();
        assert_eq!(read("webhook:https://hooks.example/a?b=c").url().unwrap().as_str(), "https://hooks.example/a?b=c");
        let Channel::Ntfy { server, topic } = read("ntfy:https://ntfy.example/sub/my-topic") else { panic!() };
        assert_eq!((server.as_str(), topic.as_str()), ("https://ntfy.example/sub", "my-topic"));
        let Channel::Matrix { server, room } = read("matrix:https://home.example/!abc:home.example") else { panic!() };
        assert_eq!((server.join("x").as_str(), room.as_str()), ("https://home.example/x", "!abc:home.example"));
        let Channel::Telegram { server, chat } = read("telegram:-100123") else { panic!() };
        assert_eq!((server.as_str(), chat.as_str()), ("https://api.telegram.org", "-100123"));
        assert!(matches!(read("telegram:http://127.0.0.1:9/@news"), Channel::Telegram { .. }));
        assert_eq!(read("gotify:https://push.example/").url().unwrap().join("message"), "https://push.example/message");
        assert!(matches!(read("mailto:a@b.example"), Channel::Mail(_)));
        assert_eq!(
            read("command:/bin/tell -x  y"),
            Channel::Command(["/bin/tell", "-x", "y"].map(str::to_owned).into())
        );
    }

    #[test]
    fn what_is_no_way_is_refused_with_a_sentence() {
        for odd in [
            "https://hooks.example/",
            "webhook:ftp://hooks.example/",
            "webhook:/path",
            "webhook:https://user:pw@hooks.example/",
            "webhook:https://hooks.example/#x",
            "ntfy:https://ntfy.example/",
            "ntfy:https://ntfy.example",
            "matrix:https://home.example/room",
            "telegram:abc",
            "telegram:",
            "mailto:nobody",
            "mailto:a@b.example,c@d.example",
            "command:tell",
            "webhook:https://hooks.example/\r\nHost: x",
        ] {
            let error = Channel::parse(odd).unwrap_err();
            assert!(error.to_string().len() > 20, "{odd}: {error}");
        }
        assert_eq!(Channel::parse(&format!("webhook:https://h.example/{}", "a".repeat(500))), Err(ChannelError::Long));
    }

    #[test]
    fn customers_get_no_commands_and_nothing_unencrypted() {
        let check = |text: &str, plain| Channel::parse(text).unwrap().check_for_customer(plain);
        assert_eq!(check("command:/bin/true", true), Err(ChannelError::CommandHere));
        assert_eq!(check("webhook:http://127.0.0.1/", false), Err(ChannelError::Unencrypted));
        assert_eq!(check("webhook:http://127.0.0.1/", true), Ok(()));
        assert_eq!(check("ntfy:https://ntfy.example/t", false), Ok(()));
    }

    #[test]
    fn a_secret_cannot_write_headers_or_paths() {
        let check = |text: &str, secret| Channel::parse(text).unwrap().check_secret(secret);
        assert_eq!(check("gotify:https://push.example/", None), Err(ChannelError::NoSecret("gotify")));
        assert_eq!(check("gotify:https://push.example/", Some("a\r\nHost: x")), Err(ChannelError::OddSecret));
        assert_eq!(check("telegram:1", Some("1/../x")), Err(ChannelError::OddSecret));
        assert_eq!(check("telegram:1", Some("123:AB-c_d")), Ok(()));
        assert_eq!(check("webhook:https://h.example/", Some("short")), Err(ChannelError::OddSecret));
        assert_eq!(check("webhook:https://h.example/", None), Ok(()));
        assert_eq!(check("mailto:a@b.example", Some("x")), Err(ChannelError::NeedlessSecret("mailto")));
    }

    #[test]
    fn an_entry_of_the_configuration_carries_its_options() {
        let read = |text: &str| ConfiguredChannel::parse(text);
        let entry = read("gotify:https://push.example/#secret-file=/etc/g.token&lang=de&delay=5m&kinds=all").unwrap();
        assert_eq!(entry.url, "gotify:https://push.example/");
        assert_eq!(entry.secret_file.unwrap(), std::path::Path::new("/etc/g.token"));
        assert_eq!(entry.terms.delay.as_secs(), 300);
        assert!(entry.terms.kinds.has(super::super::Kind::Silent));
        assert!(read("gotify:https://push.example/").unwrap_err().contains("#secret-file"));
        assert!(read("webhook:https://push.example/").unwrap_err().contains("#secret-file"));
        assert!(read("ntfy:https://n.example/t#langs=de").unwrap_err().contains("langs"));
        assert!(!read("ntfy:https://n.example/t").unwrap().terms.kinds.has(super::super::Kind::Silent));
    }
}
