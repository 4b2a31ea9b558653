//! The arguments of `pulsemx-beat run`, also for other binaries that offer the same command.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::cadence::{INTERVAL_MAX, INTERVAL_MIN};
use super::driver::{ClientError, Options};
use super::https::Base;
#[cfg(feature = "https")]
use super::https::driver::Settings;
use super::token_file::driver::read_token;
use crate::base::parse_duration;
#[cfg(feature = "https")]
use crate::heartbeat::token::Token;

/// The interval where each octet is paid for: the longest there is.
const METERED: Duration = INTERVAL_MAX;

/// What the client can do.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum BeatCommand {
    /// Send heartbeats until stopped, then say goodbye
    Run(RunArguments),
    /// Fetch a token from the address that your backup MX gave you
    #[cfg(feature = "https")]
    Join(JoinArguments),
    /// Ask the backup MX how your line stands; exit code 0 while heartbeats come, 1 otherwise
    #[cfg(feature = "https")]
    Status(StatusArguments),
    /// Fire drill: your backup MX plays an outage through with a test message, without touching your names; exit code 0
    /// if the message arrived, 1 otherwise
    #[cfg(feature = "https")]
    Drill(DrillArguments),
    /// Tell the backup MX who lives in your domains, so that it can refuse others while your mail server is away
    #[cfg(feature = "https")]
    Recipients(RecipientsArguments),
    /// Run as a service of the system from now on (systemd, launchd, Windows), with the same arguments as `run`
    Install(InstallArguments),
    /// Remove the service; the token stays
    Uninstall(UninstallArguments),
    /// What the service manager of Windows runs
    #[cfg(windows)]
    #[command(hide = true)]
    Service(RunArguments),
}

/// `pulsemx-beat join`
#[cfg(feature = "https")]
#[derive(Clone, Debug, clap::Args)]
pub struct JoinArguments {
    /// The address, good once: https://HOST/join/...; or - to read a token from standard input
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// New file for the token; made with mode 0600
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// Believe only the certificates in this PEM file
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// Whom a command asks over HTTPS, and with which token.
#[cfg(feature = "https")]
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArguments {
    /// Heartbeat server of your backup MX
    #[arg(long, value_name = "HOST:PORT")]
    pub server: Option<String>,
    /// File whose first line is the heartbeat token
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// Address of your backup MX's pages [default: https://HOST/ of the server]
    #[arg(long, value_name = "URL")]
    pub https: Option<String>,
    /// Believe only the certificates in this PEM file
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

#[cfg(feature = "https")]
impl ServerArguments {
    /// How the server is reached.
    ///
    /// # Errors
    /// Neither `--server` nor `--https`, or no address; in words.
    pub(super) fn settings(&self) -> Result<Settings, String> {
        let base = match (&self.https, &self.server) {
            (Some(text), _) => Base::parse(text)?,
            (None, Some(server)) => Base::beside(server).ok_or_else(|| format!("'{server}' is no HOST:PORT"))?,
            (None, None) => return Err("say which server: --server HOST:PORT or --https URL".to_owned()),
        };
        Ok(Settings { base, ca_file: self.ca_file.clone(), bind: None })
    }

    /// The token, read anew each time: the running client may have renewed it.
    ///
    /// # Errors
    /// The file, and why it is of no use; in words.
    pub(super) fn token(&self) -> Result<Token, String> {
        read_token(&self.token_file).map_err(|error| error.to_string())
    }
}

/// `pulsemx-beat status`
#[cfg(feature = "https")]
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArguments {
    /// Whom it asks
    #[command(flatten)]
    pub at: ServerArguments,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `pulsemx-beat drill`
#[cfg(feature = "https")]
#[derive(Clone, Debug, clap::Args)]
pub struct DrillArguments {
    /// Where the test message goes, in one of your mail domains [default: postmaster]
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<String>,
    /// Whom it asks
    #[command(flatten)]
    pub at: ServerArguments,
    /// Print one JSON object at the end
    #[arg(long)]
    pub json: bool,
}

/// `pulsemx-beat recipients`
#[cfg(feature = "https")]
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("source").required(true).args(["file", "command"]))]
pub struct RecipientsArguments {
    /// File with one address a line (`*@domain` for everybody), or - for standard input
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Program that prints the list, run without a shell
    #[arg(long, value_name = "PROGRAM [ARGUMENT]...", num_args = 1.., allow_hyphen_values = true, value_terminator = ";")]
    pub command: Vec<String>,
    /// Only domain of the list; lines may then leave it out
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// File with the key of the hashes in the list
    #[arg(long, value_name = "FILE")]
    pub hash_key_file: Option<PathBuf>,
    /// Whom it asks
    #[command(flatten)]
    pub at: ServerArguments,
    /// Stay and upload the list again whenever it has changed, looked at so often; a list that is a day old is uploaded
    /// again in any case
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub every: Option<Duration>,
}

/// `pulsemx-beat install`
#[derive(Clone, Debug, clap::Args)]
pub struct InstallArguments {
    /// What the service runs
    #[command(flatten)]
    pub run: RunArguments,
    /// Only print what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// `pulsemx-beat uninstall`
#[derive(Clone, Debug, clap::Args)]
pub struct UninstallArguments {
    /// Only print what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Sends heartbeats until it is stopped, then says goodbye.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArguments {
    /// Heartbeat server of your backup MX; more than one if it has several, of which the first that answers is used
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub server: Vec<String>,
    /// Name of your account there, for the lines that this command prints
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// File whose first line is the heartbeat token; only its owner may read it (mode 0600)
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
    /// Keep this interval (1s to 60s) whatever the server would like
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    pub interval: Option<Duration>,
    /// For lines that are paid by volume: one beat a minute over one address family, some 8 MB a month instead of 95; an
    /// outage is noticed after 182 s instead of 17 s
    #[arg(long, conflicts_with = "interval")]
    pub metered: bool,
    /// Own address to send from
    #[arg(long, value_name = "ADDRESS")]
    pub bind: Option<IpAddr>,
    /// Beat over one address family only, even where there are both
    #[arg(long)]
    pub one_family: bool,
    /// Look whether the mail server there greets and which key its certificate has, and tell the backup MX; it may be
    /// another machine
    #[arg(long, visible_alias = "mail", value_name = "HOST:PORT")]
    pub mail_server: Option<String>,
    /// How many bits the IPv6 network has that your provider gives you, if the mail server stands in another /64 of it
    /// than this machine
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(16..=64))]
    pub prefix_length: Option<u8>,
    /// Where beats go while UDP is not answered: the address of your backup MX's pages, or `off` [default: https://HOST/ of the server]
    #[arg(long, value_name = "URL")]
    pub https: Option<String>,
    /// Believe only the certificates in this PEM file there
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Print nothing but errors that end the command
    #[arg(long)]
    pub quiet: bool,
    /// Print each change as one line of JSON
    #[arg(long)]
    pub json: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).map_err(|error| error.to_string())?;
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        Ok(interval)
    } else {
        Err("an interval lies between 1s and 60s".to_owned())
    }
}

impl RunArguments {
    /// Reads the token and checks what was typed.
    ///
    /// # Errors
    /// What is wrong with the token file or the addresses, with the command that mends it.
    pub fn options(&self) -> Result<Options, ClientError> {
        for address in self.server.iter().chain(&self.mail_server) {
            let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
            if port.is_none_or(|port| port.parse::<u16>().is_err()) {
                return Err(ClientError::NoPort(address.clone()));
            }
        }
        Ok(Options {
            servers: self.server.clone(),
            token: read_token(&self.token_file)?,
            interval: if self.metered { Some(METERED) } else { self.interval },
            bind: self.bind,
            one_family: self.one_family || self.metered,
            mail: self.mail_server.clone(),
            delegated: self.prefix_length,
            https: self.https_base()?,
            ca_file: self.ca_file.clone(),
            token_file: Some(self.token_file.clone()),
        })
    }
}

impl RunArguments {
    /// Where HTTPS leads; nowhere if it was switched off or is not built in.
    fn https_base(&self) -> Result<Option<Base>, ClientError> {
        match self.https.as_deref() {
            Some("off") => Ok(None),
            Some(text) => Base::parse(text).map(Some).map_err(ClientError::Https),
            None if cfg!(feature = "https") => Ok(self.server.first().and_then(|server| Base::beside(server))),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(not(feature = "https"))]
    use crate::heartbeat::token::Token;

    fn token_file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn the_first_line_of_the_token_file_is_the_token() {
        let token = Token::from_octets([5; 32]);
        let file = token_file(&format!("{}\n# made today\n", *token.text()));
        assert_eq!(*read_token(file.path()).unwrap().text(), *token.text());
    }

    #[test]
    #[cfg(unix)]
    fn a_token_file_that_others_may_read_is_refused_with_the_remedy() {
        use std::os::unix::fs::PermissionsExt;
        let file = token_file(&Token::from_octets([5; 32]).text());
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
        let message = read_token(file.path()).unwrap_err().to_string();
        assert!(message.contains(&format!("chmod 600 {}", file.path().display())), "{message}");
    }

    #[test]
    fn a_wrong_token_is_named_without_being_shown() {
        let file = token_file("pmb1-secretsecret");
        let message = read_token(file.path()).unwrap_err().to_string();
        assert!(message.contains("pmb1-") && !message.contains("secretsecret"), "{message}");
    }

    #[test]
    fn intervals_outside_1_s_to_60_s_are_refused() {
        assert_eq!(interval("1s"), Ok(Duration::from_secs(1)));
        assert!(interval("900ms").is_err() && interval("61s").is_err() && interval("5").is_err());
    }
}
