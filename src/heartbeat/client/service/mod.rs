//! The systemd unit that `pulsemx-beat install` writes: the packaged one with the command that was asked for.

pub(super) mod driver;

use std::path::Path;

use super::arguments::RunArguments;

/// The unit that packages install, hardened; the lines about its arguments are replaced.
const PACKAGED: &str = include_str!("../../../../deploy/systemd/pulsemx-beat.service");

/// Why no unit can be written.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum UnitError {
    /// systemd reads such characters its own way.
    #[error("'{0}' cannot be written into a systemd unit; use letters, digits and simple signs")]
    NotPlain(String),
    /// systemd does not know the folder that the command was typed in.
    #[error("'{0}' has to be an absolute path")]
    Relative(String),
}

/// A word that systemd takes as it stands.
fn plain(word: &str) -> Result<&str, UnitError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@[]+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) { Ok(word) } else { Err(UnitError::NotPlain(word.to_owned())) }
}

fn absolute(path: &Path) -> Result<String, UnitError> {
    let text = path.to_string_lossy();
    if path.is_absolute() { plain(&text).map(str::to_owned) } else { Err(UnitError::Relative(text.into_owned())) }
}

/// The unit that runs `program` with these arguments. The token is handed over as a credential, so that the service
/// needs no right to its file.
///
/// # Errors
/// [`UnitError`].
pub(super) fn unit(program: &Path, run: &RunArguments) -> Result<String, UnitError> {
    let mut words = vec![absolute(program)?, "run".to_owned()];
    let mut option = |name: &str, value: &str| -> Result<(), UnitError> {
        words.extend([name.to_owned(), plain(value)?.to_owned()]);
        Ok(())
    };
    for server in &run.server {
        option("--server", server)?;
    }
    for (name, value) in [("--account", &run.account), ("--mail-server", &run.mail_server), ("--https", &run.https)] {
        if let Some(value) = value {
            option(name, value)?;
        }
    }
    if let Some(interval) = run.interval {
        option("--interval", &format!("{}ms", interval.as_millis()))?;
    }
    if let Some(bind) = run.bind {
        option("--bind", &bind.to_string())?;
    }
    if let Some(bits) = run.prefix_length {
        option("--prefix-length", &bits.to_string())?;
    }
    if run.metered {
        words.push("--metered".to_owned());
    }
    if run.one_family {
        words.push("--one-family".to_owned());
    }
    if run.ca_file.is_some() {
        words.push("--ca-file ${CREDENTIALS_DIRECTORY}/ca".to_owned());
    }
    words.push("--token-file ${CREDENTIALS_DIRECTORY}/token".to_owned());
    let mut unit = String::with_capacity(PACKAGED.len() + 256);
    for line in PACKAGED.lines() {
        match line.split_once('=') {
            _ if line.starts_with('#') => continue,
            Some(("EnvironmentFile", _)) => continue,
            Some(("LoadCredential", _)) => {
                unit.push_str(&format!("LoadCredential=token:{}\n", absolute(&run.token_file)?));
                if let Some(ca) = &run.ca_file {
                    unit.push_str(&format!("LoadCredential=ca:{}\n", absolute(ca)?));
                }
                continue;
            }
            Some(("ExecStart", _)) => unit.push_str(&format!("ExecStart={}", words.join(" "))),
            _ => unit.push_str(line),
        }
        unit.push('\n');
    }
    Ok(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn arguments() -> RunArguments {
        RunArguments {
            server: vec!["mx2.example:5525".to_owned()],
            account: Some("firma".to_owned()),
            token_file: "/etc/pulsemx-beat/token".into(),
            interval: Some(Duration::from_secs(5)),
            bind: None,
            one_family: true,
            metered: false,
            mail_server: Some("127.0.0.1:25".to_owned()),
            prefix_length: None,
            https: None,
            ca_file: Some("/etc/pulsemx-beat/ca.pem".into()),
            quiet: false,
            json: false,
        }
    }

    #[test]
    fn the_unit_runs_what_was_asked_for_and_keeps_the_hardening() {
        let unit = unit(Path::new("/usr/local/bin/pulsemx-beat"), &arguments()).unwrap();
        let start: Vec<&str> = unit.lines().filter(|line| line.starts_with("ExecStart=")).collect();
        assert_eq!(
            start,
            [
                "ExecStart=/usr/local/bin/pulsemx-beat run --server mx2.example:5525 --account firma --mail-server 127.0.0.1:25 \
              --interval 5000ms --one-family --ca-file ${CREDENTIALS_DIRECTORY}/ca --token-file ${CREDENTIALS_DIRECTORY}/token"
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
            assert!(matches!(unit(Path::new("/p"), &run), Err(UnitError::NotPlain(_))), "{server}");
        }
        let run = RunArguments { token_file: "token".into(), ..arguments() };
        assert_eq!(unit(Path::new("/p"), &run), Err(UnitError::Relative("token".to_owned())));
    }
}
