//! Puts the client among the services of systemd, or takes it out.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::unit;
use crate::heartbeat::client::arguments::{InstallArguments, UninstallArguments};
use crate::heartbeat::client::token_file::driver::read_token;

/// Where units of the machine's administrator stand.
const UNIT: &str = "/etc/systemd/system/pulsemx-beat.service";
const NAME: &str = "pulsemx-beat.service";

/// Writes the unit and starts it; with `--dry-run` prints what would be done.
///
/// # Errors
/// What is wrong with the arguments or did not work, in words.
pub(in crate::heartbeat::client) fn install(arguments: &InstallArguments) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    if !program.file_stem().is_some_and(|name| name.to_string_lossy().starts_with("pulsemx-beat")) {
        return Err("the service runs pulsemx-beat; call `pulsemx-beat install` itself".to_owned());
    }
    let text = unit(&program, &arguments.run).map_err(|error| error.to_string())?;
    if arguments.dry_run {
        println!("# {UNIT}\n{text}\n# then: systemctl daemon-reload; systemctl enable --now {NAME}");
        return Ok(());
    }
    // What would keep the service from starting is better said here.
    arguments.run.options().map_err(|error| error.to_string())?;
    read_token(&arguments.run.token_file).map_err(|error| error.to_string())?;
    fs::write(UNIT, text).map_err(|error| format!("cannot write {UNIT}: {error}; run this as root"))?;
    systemctl(&["daemon-reload"])?;
    systemctl(&["enable", "--now", NAME])?;
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
    systemctl(&["disable", "--now", NAME])?;
    fs::remove_file(UNIT).map_err(|error| format!("cannot remove {UNIT}: {error}"))?;
    systemctl(&["daemon-reload"])?;
    println!("{NAME} is gone; the token file stays where it is");
    Ok(())
}

fn systemctl(arguments: &[&str]) -> Result<(), String> {
    let status = Command::new("systemctl").args(arguments).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("systemctl {} ended with {status}", arguments.join(" "))),
        Err(error) => Err(format!("cannot run systemctl: {error}")),
    }
}
