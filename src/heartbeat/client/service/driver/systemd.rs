//! Linux with systemd.

use std::fs;
use std::path::Path;

use super::super::systemd::unit;
use super::{check, program, tool};
use crate::heartbeat::client::arguments::{InstallArguments, UninstallArguments};

/// Where units of the machine's administrator stand.
const UNIT: &str = "/etc/systemd/system/pulsemx-beat.service";
const NAME: &str = "pulsemx-beat.service";

/// Writes the unit and starts it; with `--dry-run` prints what would be done.
///
/// # Errors
/// What is wrong with the arguments or did not work, in words.
pub(in crate::heartbeat::client) fn install(arguments: &InstallArguments) -> Result<(), String> {
    let text = unit(&program()?, &arguments.run).map_err(|error| error.to_string())?;
    if arguments.dry_run {
        println!("# {UNIT}\n{text}\n# then: systemctl daemon-reload; systemctl enable --now {NAME}");
        return Ok(());
    }
    check(&arguments.run)?;
    fs::write(UNIT, text).map_err(|error| format!("cannot write {UNIT}: {error}; run this as root"))?;
    tool("systemctl", &["daemon-reload"])?;
    tool("systemctl", &["enable", "--now", NAME])?;
    println!("{NAME} runs and starts with the machine; its words: journalctl -u pulsemx-beat");
    Ok(())
}

/// Stops the service and removes the unit; the token stays.
///
/// # Errors
/// What did not work, in words.
pub(in crate::heartbeat::client) fn uninstall(arguments: &UninstallArguments) -> Result<(), String> {
    if arguments.dry_run {
        println!("# systemctl disable --now {NAME}; rm {UNIT}; systemctl daemon-reload");
        return Ok(());
    }
    if !Path::new(UNIT).exists() {
        return Err(format!("{UNIT} is not there, so there is nothing to remove"));
    }
    tool("systemctl", &["disable", "--now", NAME])?;
    fs::remove_file(UNIT).map_err(|error| format!("cannot remove {UNIT}: {error}"))?;
    tool("systemctl", &["daemon-reload"])?;
    println!("{NAME} is gone; the token file stays where it is");
    Ok(())
}
