//! The systemd unit: the packaged one with the command that was asked for.

use std::path::Path;

use super::{ServiceError, absolute, words};
use crate::heartbeat::client::arguments::RunArguments;

/// The unit that packages install, hardened; the lines about its arguments are replaced.
const PACKAGED: &str = include_str!("../../../../deploy/systemd/pulsemx-beat.service");
/// Where systemd puts the files that it hands over.
const TOKEN: &str = "${CREDENTIALS_DIRECTORY}/token";
const CA: &str = "${CREDENTIALS_DIRECTORY}/ca";

/// A word that systemd takes as it stands.
fn plain(word: &str) -> Result<&str, ServiceError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@[]+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) { Ok(word) } else { Err(ServiceError::NotPlain(word.to_owned())) }
}

fn plain_path(path: &Path) -> Result<String, ServiceError> {
    let text = absolute(path)?;
    plain(&text)?;
    Ok(text)
}

/// The unit that runs `program` with these arguments. The token is handed over as a credential, so that the service
/// needs no right to its file.
///
/// # Errors
/// [`ServiceError`].
pub(super) fn unit(program: &Path, run: &RunArguments) -> Result<String, ServiceError> {
    let words = words(run, TOKEN, run.ca_file.as_ref().map(|_| CA));
    for word in words.iter().filter(|word| ![TOKEN, CA].contains(&word.as_str())) {
        plain(word)?;
    }
    let start = format!("{} {}", plain_path(program)?, words.join(" "));
    let mut unit = String::with_capacity(PACKAGED.len() + 256);
    for line in PACKAGED.lines() {
        match line.split_once('=') {
            _ if line.starts_with('#') => continue,
            Some(("EnvironmentFile", _)) => continue,
            Some(("LoadCredential", _)) => {
                unit.push_str(&format!("LoadCredential=token:{}\n", plain_path(&run.token_file)?));
                if let Some(ca) = &run.ca_file {
                    unit.push_str(&format!("LoadCredential=ca:{}\n", plain_path(ca)?));
                }
                continue;
            }
            Some(("ExecStart", _)) => unit.push_str(&format!("ExecStart={start}")),
            _ => unit.push_str(line),
        }
        unit.push('\n');
    }
    Ok(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::client::service::arguments;

    #[test]
    fn the_unit_runs_what_was_asked_for_and_keeps_the_hardening() {
        let unit = unit(Path::new("/usr/local/bin/pulsemx-beat"), &arguments()).unwrap();
        let start: Vec<&str> = unit.lines().filter(|line| line.starts_with("ExecStart=")).collect();
        assert_eq!(
            start,
            [
                "ExecStart=/usr/local/bin/pulsemx-beat run --server mx2.example:5525 --account firma --mail-server 127.0.0.1:25 \
              --interval 5000ms --ca-file ${CREDENTIALS_DIRECTORY}/ca --token-file ${CREDENTIALS_DIRECTORY}/token --one-family"
            ]
        );
        for line in [
            "LoadCredential=token:/etc/pulsemx-beat/token",
            "LoadCredential=ca:/etc/pulsemx-beat/ca.pem",
            "DynamicUser=yes",
            "NoNewPrivileges=yes",
            "WantedBy=multi-user.target",
        ] {
            assert!(unit.lines().any(|l| l == line), "{line}");
        }
        assert!(!unit.contains("PULSEMX_SERVER"));
    }

    #[test]
    fn words_that_systemd_would_read_its_own_way_are_refused() {
        for server in ["a b:1", "mx\nExecStartPre=x:1", "$HOME:1", "%h:1", "a;b:1", "\"a:1", "", "a\\b:1"] {
            let run = RunArguments { server: vec![server.to_owned()], ..arguments() };
            assert!(matches!(unit(Path::new("/p"), &run), Err(ServiceError::NotPlain(_))), "{server}");
        }
        let run = RunArguments { token_file: "token".into(), ..arguments() };
        assert_eq!(unit(Path::new("/p"), &run), Err(ServiceError::Relative("token".to_owned())));
    }
}
