//! What `pulsemx-beat install` hands to the system so that the client always runs: a unit for systemd, a list for launchd,
//! a service for Windows.

pub(super) mod driver;
#[cfg(any(target_os = "macos", test))]
mod launchd;
#[cfg(any(not(any(target_os = "macos", windows)), test))]
mod systemd;

use std::path::Path;

use super::arguments::RunArguments;

/// Why no service can be made of the arguments.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[cfg_attr(any(target_os = "macos", windows), allow(dead_code, reason = "systemd alone is so particular"))]
enum ServiceError {
    /// systemd reads such characters its own way.
    #[error("'{0}' cannot be written into a systemd unit; use letters, digits and simple signs")]
    NotPlain(String),
    /// The system does not know the folder that the command was typed in.
    #[error("'{0}' has to be an absolute path")]
    Relative(String),
}

/// The arguments of a service that runs what `run` says, with its files at these places.
fn words(run: &RunArguments, token: &str, ca: Option<&str>) -> Vec<String> {
    let mut words = vec!["run".to_owned()];
    let mut option = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
    for server in &run.server {
        option("--server", server);
    }
    for (name, value) in [("--account", &run.account), ("--mail-server", &run.mail_server), ("--https", &run.https)] {
        if let Some(value) = value {
            option(name, value);
        }
    }
    if let Some(interval) = run.interval {
        option("--interval", &format!("{}ms", interval.as_millis()));
    }
    if let Some(bind) = run.bind {
        option("--bind", &bind.to_string());
    }
    if let Some(bits) = run.prefix_length {
        option("--prefix-length", &bits.to_string());
    }
    if let Some(ca) = ca {
        option("--ca-file", ca);
    }
    option("--token-file", token);
    for (name, is_set) in [("--metered", run.metered), ("--one-family", run.one_family)] {
        if is_set {
            words.push(name.to_owned());
        }
    }
    words
}

fn absolute(path: &Path) -> Result<String, ServiceError> {
    let text = path.to_string_lossy().into_owned();
    if path.is_absolute() { Ok(text) } else { Err(ServiceError::Relative(text)) }
}

#[cfg(test)]
fn arguments() -> RunArguments {
    RunArguments {
        server: vec!["mx2.example:5525".to_owned()],
        account: Some("firma".to_owned()),
        token_file: "/etc/pulsemx-beat/token".into(),
        interval: Some(std::time::Duration::from_secs(5)),
        metered: false,
        bind: None,
        one_family: true,
        mail_server: Some("127.0.0.1:25".to_owned()),
        prefix_length: None,
        https: None,
        ca_file: Some("/etc/pulsemx-beat/ca.pem".into()),
        quiet: false,
        json: false,
    }
}
