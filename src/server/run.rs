//! The commands of the `pulsemx` binary: serve until told to stop, ask the running server, show the configuration.

use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::assemble::{Extras, Origin, StartError, start};
use super::inherited::{Inherited, InheritedError};
use super::stopped;
use crate::base::Clock;
use crate::config::checked::Surroundings;
use crate::config::{Config, ConfigError, Written};
use crate::control::driver::{ControlError, ask};
use crate::control::{CommandError, Reply, Request, print};
use crate::doctor;

/// Why a command failed; printed as one line, exit code 1.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Sockets handed over by systemd.
    #[error(transparent)]
    Inherited(#[from] InheritedError),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The command itself.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// The runtime or a signal handler.
    #[error("the system refused: {0}")]
    System(#[from] std::io::Error),
    /// JSON could not be written.
    #[error("the answer cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// Reads and checks the configuration of this process.
///
/// # Errors
/// [`ConfigError`] names file, key and remedy.
pub fn configuration(path: Option<&Path>) -> Result<(Written, Config), ConfigError> {
    let environment = std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
    let written = Written::read(path, environment)?;
    let around = Surroundings {
        machine_name: rustix::system::uname().nodename().to_str().ok().map(str::to_owned),
        state_directory: std::env::var_os("STATE_DIRECTORY").map(Into::into),
    };
    let config = Config::check(&written, &around)?;
    Ok((written, config))
}

/// Prints to stdout. A reader that has gone, such as `head`, has seen enough.
pub(super) fn say(text: &str) -> Result<(), RunError> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints the example configuration.
///
/// # Errors
/// [`RunError::System`] when stdout cannot be written.
pub fn show_example() -> Result<(), RunError> {
    say(&crate::config::example::example())
}

/// Sends log lines to stderr; `PULSEMX_LOG` sets the level, `info` without it.
fn start_log(json: bool) {
    let filter = EnvFilter::try_from_env("PULSEMX_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start in one process keeps the first log; that is what tests want.
    let _ = if json { lines.json().try_init() } else { lines.with_ansi(false).try_init() };
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// [`RunError`] when the server does not start.
pub async fn serve(path: Option<&Path>) -> Result<(), RunError> {
    let (written, mut config) = configuration(path)?;
    super::files::fit(&mut config);
    start_log(config.log_json);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let is_trial = config.is_trial;
    let data_dir = config.data_dir.clone();
    let origin = Some(Origin { path: path.map(Path::to_owned), written });
    let extras = Extras { origin, inherited: Inherited::take()?, ..Extras::default() };
    let server = start(config, extras).await?;
    for (what, addresses) in [
        ("smtp", &server.smtp_all),
        ("heartbeat", &server.heartbeat_all),
        ("names", &server.names_all),
        ("web", &server.web_all),
        ("updates", &server.update_all),
    ] {
        for address in addresses {
            println!("{what:9} {address}");
        }
    }
    println!("data      {}", data_dir.display());
    if is_trial
        && let Reply::Link { url, .. } =
            server.desk.carry_out(Request::AccountLink { name: None }, Clock.wall()).await?
    {
        println!("sign in   {url}");
        println!("next      pulsemx account add NAME --domain DOMAIN");
    }
    println!("ready     pulsemx {} accepts mail and heartbeats", env!("CARGO_PKG_VERSION"));
    sd_notify::notify(&[sd_notify::NotifyState::Ready])?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang_up.recv() => {
                // What it came to is in the log.
                let _ = server.desk.carry_out(Request::Reload, Clock.wall()).await;
            }
        }
    }
    tracing::info!("stopping: running transactions and deliveries are finished first");
    sd_notify::notify(&[sd_notify::NotifyState::Stopping])?;
    server.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Carries out an operator's command and prints the answer: text, or JSON alone on stdout.
///
/// # Errors
/// [`RunError`] with one sentence.
pub async fn command(path: Option<&Path>, request: Request, json: bool) -> Result<(), RunError> {
    let (_, config) = configuration(path)?;
    let reply = match ask(&config.control_socket(), &request).await {
        Err(ControlError::NotRunning(_)) if request.only_looks() => stopped::answer(&config, request).await?,
        answered => answered?,
    };
    for warning in reply.warnings() {
        eprintln!("warning: {warning}");
    }
    if json { say(&format!("{}\n", reply.to_json()?)) } else { say(&print::as_text(&reply, Clock.wall())) }
}

/// Checks the configuration and says so.
///
/// # Errors
/// As [`configuration`].
pub fn check(path: Option<&Path>, json: bool) -> Result<(), RunError> {
    let (_, config) = configuration(path)?;
    for warning in &config.warnings {
        eprintln!("warning: {warning}");
    }
    let words = "the configuration is good";
    say(&if json {
        format!("{}\n", serde_json::json!({ "done": words, "warnings": config.warnings }))
    } else {
        format!("{words}\n")
    })
}

/// Prints options: those that were set, or all in force.
///
/// # Errors
/// As [`configuration`].
pub fn show_config(path: Option<&Path>, all: bool, json: bool) -> Result<(), RunError> {
    let (written, _) = configuration(path)?;
    let shown = crate::config::example::show(&written, all);
    if json {
        let object: serde_json::Map<String, serde_json::Value> =
            shown.into_iter().map(|(key, value)| (key, serde_json::Value::String(value))).collect();
        say(&format!("{}\n", serde_json::to_string(&object)?))
    } else {
        say(&shown.iter().map(|(key, value)| format!("{key} = {value}\n")).collect::<String>())
    }
}

/// Looks at the installation and prints what it finds. Exit code 0 fine, 1 warning, 2 broken.
///
/// # Errors
/// As [`configuration`]: without a readable one there is nothing to look at.
pub async fn doctor(path: Option<&Path>, json: bool) -> Result<u8, RunError> {
    let (_, config) = configuration(path)?;
    let settings = doctor::Settings {
        hostname: config.hostname.clone(),
        data_dir: config.data_dir.clone(),
        database: config.database(),
        smtp_listen: super::listen::expand(&config.smtp_listen),
        web_listen: super::listen::expand(&config.web_listen),
    };
    let findings = doctor::examine(&settings).await;
    if json {
        say(&format!("{}\n", serde_json::json!({ "findings": findings, "worst": doctor::worst(&findings) })))?;
    } else {
        let mut text = String::new();
        for warning in &config.warnings {
            text.push_str(&format!("note     {warning}\n"));
        }
        for finding in &findings {
            let level = match finding.level {
                doctor::Level::Fine => "fine",
                doctor::Level::Warning => "warning",
                doctor::Level::Broken => "BROKEN",
            };
            text.push_str(&format!("{level:8} {}: {}\n", finding.what, print::safe(&finding.words)));
            if let Some(remedy) = &finding.remedy {
                text.push_str(&format!("         -> {remedy}\n"));
            }
        }
        say(&text)?;
    }
    Ok(match doctor::worst(&findings) {
        doctor::Level::Fine => 0,
        doctor::Level::Warning => 1,
        doctor::Level::Broken => 2,
    })
}

/// As [`doctor()`], for a process: what cannot be looked at is broken, and said on stderr.
pub async fn doctor_code(path: Option<&Path>, json: bool) -> u8 {
    match doctor(path, json).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pulsemx: {error}");
            2
        }
    }
}
