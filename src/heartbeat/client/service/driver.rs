//! Puts the client among the services of the system, or takes it out.

use std::path::PathBuf;

use crate::heartbeat::client::arguments::RunArguments;

#[cfg(target_os = "macos")]
#[path = "driver/launchd.rs"]
mod system;
#[cfg(not(any(target_os = "macos", windows)))]
#[path = "driver/systemd.rs"]
mod system;
#[cfg(windows)]
#[path = "driver/windows.rs"]
mod system;

#[cfg(windows)]
pub(in crate::heartbeat::client) use system::serve;
pub(in crate::heartbeat::client) use system::{install, uninstall};

/// This program, which the service will run.
fn program() -> Result<PathBuf, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    if !program.file_stem().is_some_and(|name| name.to_string_lossy().starts_with("pulsemx-beat")) {
        return Err("the service runs pulsemx-beat; call `pulsemx-beat install` itself".to_owned());
    }
    Ok(program)
}

/// What would keep the service from starting is better said before it is made.
fn check(run: &RunArguments) -> Result<(), String> {
    run.options().map(drop).map_err(|error| error.to_string())
}

/// Runs a program of the system.
#[cfg_attr(windows, allow(dead_code, reason = "the service manager is called"))]
fn tool(program: &str, arguments: &[&str]) -> Result<(), String> {
    match std::process::Command::new(program).args(arguments).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} {} ended with {status}", arguments.join(" "))),
        Err(error) => Err(format!("cannot run {program}: {error}")),
    }
}
