//! Reads the list and uploads it, once or whenever it has changed.

use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::super::arguments::RecipientsArguments;
use super::super::https::driver as https;
use crate::base::{Clock, Moment};

/// Shortest time between two looks: the server takes a list each two seconds.
const LOOK_EVERY_MIN: Duration = Duration::from_secs(10);
/// An unchanged list is uploaded again after this time: the server believes one for a week.
const REFRESH_EVERY: Duration = Duration::from_secs(86_400);
/// The server takes no longer list, octets.
const LIST_OCTETS_MAX: u64 = 16 * 1024 * 1024;

/// Carries out `recipients`.
///
/// # Errors
/// The reason in words. With `--every` only what is wrong with the arguments: later failures are printed and tried again.
pub(in crate::heartbeat::client) fn upload(arguments: &RecipientsArguments) -> Result<(), String> {
    let settings = arguments.at.settings()?;
    let hash_key = arguments.hash_key_file.as_deref().map(key).transpose()?;
    let once = |list: &str| {
        let token = arguments.at.token()?;
        let told = https::upload_recipients(&settings, &token, list, arguments.domain.as_deref(), hash_key.as_deref())?;
        println!("recipients listed: {told}");
        Ok::<(), String>(())
    };
    let Some(every) = arguments.every else { return once(&read(arguments)?) };
    if every < LOOK_EVERY_MIN {
        return Err(format!("--every is {} s at least", LOOK_EVERY_MIN.as_secs()));
    }
    let mut uploaded: Option<(String, Moment)> = None;
    loop {
        let now = Clock.monotonic();
        match read(arguments) {
            Err(error) => eprintln!("pulsemx-beat: {error}"),
            Ok(list) => {
                let is_known =
                    uploaded.as_ref().is_some_and(|(known, at)| *known == list && now.since(*at) < REFRESH_EVERY);
                if !is_known {
                    match once(&list) {
                        Ok(()) => uploaded = Some((list, now)),
                        Err(error) => eprintln!("pulsemx-beat: {error}; tried again in {} s", every.as_secs()),
                    }
                }
            }
        }
        std::thread::sleep(every);
    }
}

fn key(path: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn read(arguments: &RecipientsArguments) -> Result<String, String> {
    match (&arguments.file, arguments.command.split_first()) {
        (Some(path), _) if path.as_os_str() == "-" => whole(std::io::stdin(), "standard input"),
        (Some(path), _) => {
            let name = path.display().to_string();
            whole(std::fs::File::open(path).map_err(|error| format!("cannot read {name}: {error}"))?, &name)
        }
        (None, Some((program, arguments))) => printed(program, arguments),
        (None, None) => Err("say where the list is: FILE or --command PROGRAM".to_owned()),
    }
}

fn whole(source: impl Read, name: &str) -> Result<String, String> {
    let mut text = String::new();
    let fault = |error: std::io::Error| format!("cannot read {name}: {error}");
    let octets = source.take(LIST_OCTETS_MAX + 1).read_to_string(&mut text).map_err(fault)?;
    if u64::try_from(octets).unwrap_or(u64::MAX) > LIST_OCTETS_MAX {
        return Err(format!("{name} is longer than {LIST_OCTETS_MAX} octets"));
    }
    Ok(text)
}

/// What a program printed. One that failed says nothing about who lives there: half a list would refuse the others.
fn printed(program: &str, arguments: &[String]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run {program}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} failed ({}); its list is not used", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{program} does not print UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::client::arguments::ServerArguments;

    fn arguments(program: &[&str]) -> RecipientsArguments {
        RecipientsArguments {
            file: None,
            command: program.iter().map(|&word| word.to_owned()).collect(),
            domain: None,
            hash_key_file: None,
            at: ServerArguments {
                server: None,
                token_file: "token".into(),
                https: Some("https://mx.example/".to_owned()),
                ca_file: None,
            },
            every: None,
        }
    }

    #[test]
    fn a_program_that_fails_has_no_list() {
        assert_eq!(read(&arguments(&["printf", "a@b.example\n"])).unwrap(), "a@b.example\n");
        assert!(read(&arguments(&["sh", "-c", "echo a@b.example; exit 1"])).unwrap_err().contains("not used"));
        assert!(read(&arguments(&["/nowhere/at/all"])).unwrap_err().contains("cannot run"));
    }

    #[test]
    fn a_list_longer_than_the_server_takes_is_not_sent() {
        let endless = std::io::repeat(b'a').take(LIST_OCTETS_MAX + 5);
        assert!(whole(endless, "x").unwrap_err().contains("longer"));
    }
}
