//! macOS.

use std::fs;
use std::path::Path;

use super::super::launchd::{LABEL, list};
use super::{check, program, tool};
use crate::heartbeat::client::arguments::{InstallArguments, UninstallArguments};

/// Where lists of the machine's administrator stand.
const LIST: &str = "/Library/LaunchDaemons/net.pulsemx.beat.plist";

/// Writes the list and starts the service; with `--dry-run` prints what would be done.
///
/// # Errors
/// What is wrong with the arguments or did not work, in words.
pub(in crate::heartbeat::client) fn install(arguments: &InstallArguments) -> Result<(), String> {
    let text = list(&program()?, &arguments.run).map_err(|error| error.to_string())?;
    if arguments.dry_run {
        println!("# {LIST}\n{text}\n# then: launchctl bootstrap system {LIST}");
        return Ok(());
    }
    check(&arguments.run)?;
    fs::write(LIST, text).map_err(|error| format!("cannot write {LIST}: {error}; run this with sudo"))?;
    tool("launchctl", &["bootstrap", "system", LIST])?;
    println!("{LABEL} runs and starts with the machine; its words: /var/log/pulsemx-beat.log");
    Ok(())
}

/// Stops the service and removes its list; the token stays.
///
/// # Errors
/// What did not work, in words.
pub(in crate::heartbeat::client) fn uninstall(arguments: &UninstallArguments) -> Result<(), String> {
    let service = format!("system/{LABEL}");
    if arguments.dry_run {
        println!("# launchctl bootout {service}; rm {LIST}");
        return Ok(());
    }
    if !Path::new(LIST).exists() {
        return Err(format!("{LIST} is not there, so there is nothing to remove"));
    }
    tool("launchctl", &["bootout", &service])?;
    fs::remove_file(LIST).map_err(|error| format!("cannot remove {LIST}: {error}"))?;
    println!("{LABEL} is gone; the token file stays where it is");
    Ok(())
}
