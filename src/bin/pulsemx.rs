//! `pulsemx`: the server and its operator's commands.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use pulsemx::control::arguments::OperatorCommand;
use pulsemx::demo::{self, DemoOptions};
use pulsemx::heartbeat::client::{self, BeatCommand};
use pulsemx::server::{doctor_command, drill_command, propose_command, run};

/// Backup MX that knows by heartbeat whether the mail server is there
#[derive(Parser)]
#[command(name = "pulsemx", version, propagate_version = true)]
struct Arguments {
    /// Configuration file; without one the server runs on unprivileged loopback ports
    #[arg(long, global = true, env = "PULSEMX_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve {
        /// Check the configuration and exit
        #[arg(long)]
        check_config: bool,
    },
    /// Show an outage and a return on this machine, with the real server
    Demo(DemoOptions),
    /// Show or check the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look for what is wrong with this installation, or with a domain; exit code 0 fine, 1 warning, 2 broken
    Doctor(doctor_command::DoctorArguments),
    /// The heartbeat client, as in pulsemx-beat
    #[command(subcommand, hide = true)]
    Beat(BeatCommand),
    /// Serve, change and check zones of customers
    #[command(subcommand)]
    Zone(propose_command::ZoneWord),
    #[command(flatten)]
    Operator(OperatorCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the options that are set; with --defaults all that are in force
    Show {
        /// Also those that are not set
        #[arg(long)]
        defaults: bool,
        /// Print an example file with every option instead
        #[arg(long)]
        example: bool,
    },
    /// Check the configuration and exit
    Check,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = tokio::runtime::Runtime::new()
        .map_err(|e| e.to_string())
        .and_then(|runtime| runtime.block_on(carry_out(arguments.command, arguments.config, arguments.json)));
    match result {
        Ok(code) => code,
        Err(message) => {
            eprintln!("pulsemx: {message}");
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(command: Command, config: Option<PathBuf>, json: bool) -> Result<ExitCode, String> {
    let path = config.as_deref();
    let done = match command {
        Command::Serve { check_config: true } | Command::Config(ConfigCommand::Check) => run::check(path, json),
        Command::Serve { check_config: false } => run::serve(path).await,
        Command::Config(ConfigCommand::Show { example: true, .. }) => run::show_example(),
        Command::Config(ConfigCommand::Show { defaults, .. }) => run::show_config(path, defaults, json),
        Command::Operator(OperatorCommand::Drill(arguments)) => {
            return drill_command::run(path, arguments, json).await.map_err(|e| e.to_string());
        }
        Command::Zone(word) => propose_command::run(path, word, json).await,
        Command::Operator(command) => run::command(path, command.into(), json).await,
        Command::Doctor(arguments) => return Ok(doctor_command::code(path, arguments, json).await),
        Command::Demo(options) => {
            return demo::run(options).await.map(|()| ExitCode::SUCCESS).map_err(|e| e.to_string());
        }
        Command::Beat(command) => return Ok(client::carry_out(&command)),
    };
    done.map(|()| ExitCode::SUCCESS).map_err(|e| e.to_string())
}
