//! `pulsemx-beat`: tells a backup MX that the mail server beside it is there.

use std::process::ExitCode;

use clap::Parser;
use pulsemx::heartbeat::client::{BeatCommand, carry_out};

/// Tells a backup MX that the mail server beside it is there
#[derive(Parser)]
#[command(name = "pulsemx-beat", version)]
struct Arguments {
    #[command(subcommand)]
    command: BeatCommand,
}

fn main() -> ExitCode {
    carry_out(&Arguments::parse().command)
}
