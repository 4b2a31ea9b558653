//! `pulsemx-beat`: tells a backup MX that the mail server beside it is there.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::{Parser, Subcommand};
use pulsemx::heartbeat::client::{RunArguments, run_command};
use signal_hook::consts::{SIGINT, SIGTERM};

/// Tells a backup MX that the mail server beside it is there
#[derive(Parser)]
#[command(name = "pulsemx-beat", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send heartbeats until stopped, then say goodbye
    Run(RunArguments),
}

/// Exit code for what the user has to mend.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let Arguments { command: Command::Run(arguments) } = Arguments::parse();
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&stop)) {
            eprintln!("pulsemx-beat: cannot watch for signals: {error}");
            return ExitCode::FAILURE;
        }
    }
    match run_command(&arguments, &stop) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pulsemx-beat: {error}");
            ExitCode::from(USAGE)
        }
    }
}
