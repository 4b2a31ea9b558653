//! The Windows service. Compiled for `x86_64-pc-windows-gnu`; docs/CLIENT.md says what of it was run.

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Parser;
use windows_service::service::{
    ServiceAccess, ServiceAction, ServiceActionType, ServiceControl, ServiceControlAccept, ServiceErrorControl,
    ServiceExitCode, ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState,
    ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_service::{define_windows_service, service_dispatcher};

use super::super::{absolute, words};
use super::{check, program, tool};
use crate::heartbeat::client::arguments::{BeatCommand, InstallArguments, RunArguments, UninstallArguments};
use crate::heartbeat::client::driver::run_command;

const NAME: &str = "pulsemx-beat";
const SHOWN_AS: &str = "pulsemx heartbeat client";
/// An account without rights of its own, and its security identifier.
const ACCOUNT: &str = "NT AUTHORITY\\LocalService";
const ACCOUNT_SID: &str = "*S-1-5-19";
/// The goodbye takes less than a second.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Makes the service and starts it; with `--dry-run` prints what would be done. The token file is left readable for
/// administrators, the system and the service's account alone.
///
/// # Errors
/// What is wrong with the arguments or did not work, in words.
pub(in crate::heartbeat::client) fn install(arguments: &InstallArguments) -> Result<(), String> {
    let (program, run) = (program()?, &arguments.run);
    let token = absolute(&run.token_file).map_err(|error| error.to_string())?;
    let ca = run.ca_file.as_deref().map(absolute).transpose().map_err(|error| error.to_string())?;
    let mut words = words(run, &token, ca.as_deref());
    // `run` under the eyes of the service manager.
    words[..1].clone_from_slice(&["service".to_owned()]);
    if arguments.dry_run {
        println!("service {NAME} as {ACCOUNT}: \"{}\" {}", program.display(), words.join(" "));
        return Ok(());
    }
    check(run)?;
    // Administrators and the system by their identifiers, which are the same in every language.
    let rights = ["*S-1-5-18:F", "*S-1-5-32-544:F", &format!("{ACCOUNT_SID}:M")];
    tool("icacls", &[&[token.as_str(), "/inheritance:r", "/grant:r"], &rights[..]].concat())?;
    let manager = manager(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
    let service = ServiceInfo {
        name: NAME.into(),
        display_name: SHOWN_AS.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: program,
        launch_arguments: words.iter().map(OsString::from).collect(),
        dependencies: Vec::new(),
        account_name: Some(ACCOUNT.into()),
        account_password: None,
    };
    let service = manager
        .create_service(&service, ServiceAccess::START | ServiceAccess::CHANGE_CONFIG)
        .map_err(|error| format!("cannot make the service: {error}"))?;
    let again = ServiceAction { action_type: ServiceActionType::Restart, delay: Duration::from_secs(1) };
    let actions = ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(Duration::from_secs(60)),
        reboot_msg: None,
        command: None,
        actions: Some(vec![again]),
    };
    service.update_failure_actions(actions).map_err(|error| format!("cannot let it start again: {error}"))?;
    service.start::<OsString>(&[]).map_err(|error| format!("cannot start the service: {error}"))?;
    println!("{NAME} runs and starts with the machine; ask with: pulsemx-beat status");
    Ok(())
}

/// Stops the service and removes it; the token stays.
///
/// # Errors
/// What did not work, in words.
pub(in crate::heartbeat::client) fn uninstall(arguments: &UninstallArguments) -> Result<(), String> {
    if arguments.dry_run {
        println!("service {NAME} would be stopped and removed");
        return Ok(());
    }
    let service = manager(ServiceManagerAccess::CONNECT)?
        .open_service(NAME, ServiceAccess::STOP | ServiceAccess::DELETE)
        .map_err(|error| format!("there is no service {NAME} to remove: {error}"))?;
    // One that does not run needs no stop.
    let _ = service.stop();
    service.delete().map_err(|error| format!("cannot remove the service: {error}"))?;
    println!("{NAME} is gone; the token file stays where it is");
    Ok(())
}

fn manager(access: ServiceManagerAccess) -> Result<ServiceManager, String> {
    ServiceManager::local_computer(None::<&str>, access)
        .map_err(|error| format!("cannot reach the service manager: {error}; run this as administrator"))
}

/// The process that the service manager started; ends when the service is stopped.
///
/// # Errors
/// Somebody else started it.
pub(in crate::heartbeat::client) fn serve() -> Result<(), String> {
    service_dispatcher::start(NAME, service_main)
        .map_err(|error| format!("only the service manager runs this: {error}"))
}

define_windows_service!(service_main, run_service);

/// The arguments of the process, read once more: the service manager hands on others.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: BeatCommand,
}

fn run_service(_: Vec<OsString>) {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let handler = move |control| match control {
        ServiceControl::Stop | ServiceControl::Shutdown => {
            asked.store(true, Ordering::Relaxed);
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    // Without a handler nobody can be told anything.
    let Ok(handle) = service_control_handler::register(NAME, handler) else { return };
    let tell = |state: ServiceState, exit: u32| {
        let status = ServiceStatus {
            service_type: ServiceType::OWN_PROCESS,
            current_state: state,
            controls_accepted: ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN,
            exit_code: if exit == 0 { ServiceExitCode::NO_ERROR } else { ServiceExitCode::ServiceSpecific(exit) },
            checkpoint: 0,
            wait_hint: STOP_WITHIN,
            process_id: None,
        };
        let _ = handle.set_service_status(status);
    };
    tell(ServiceState::Running, 0);
    let run: Option<RunArguments> = Arguments::try_parse().ok().and_then(|arguments| match arguments.command {
        BeatCommand::Service(run) => Some(run),
        _ => None,
    });
    let done = run.map_or(false, |run| run_command(&RunArguments { quiet: true, ..run }, &stop).is_ok());
    tell(ServiceState::Stopped, if done { 0 } else { 2 });
}
