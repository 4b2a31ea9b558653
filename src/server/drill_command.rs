//! `pulsemx drill`: begins a drill and tells how it goes until its end.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::run::{RunError, configuration, say};
use crate::alert::Language;
use crate::control::drill_desk::{DrillArguments, DrillRequest};
use crate::control::driver::ask;
use crate::control::{CommandError, Reply, Request};
use crate::drill::shown::DrillShown;
use crate::drill::words::seconds;

/// How often the server is asked.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Carries it out and prints each step, or at the end one JSON object. Failure when the drill failed.
///
/// # Errors
/// [`RunError`]: no server, or no drill began.
pub async fn run(path: Option<&Path>, arguments: DrillArguments, json: bool) -> Result<ExitCode, RunError> {
    let (_, config) = configuration(path)?;
    let socket = config.control_socket();
    let account = arguments.account.clone();
    let mut request = Request::Drill(arguments.into());
    let mut printed = 0;
    loop {
        let Reply::Drill(shown) = ask(&socket, &request).await? else {
            return Err(CommandError::new("the server answers something else; are both of the same version?").into());
        };
        if !json {
            if matches!(request, Request::Drill(DrillRequest::Begin { .. })) {
                say(&format!("fire drill of {}, test message to {}\n", shown.account, shown.to))?;
            }
            say(&further_steps(&shown, printed))?;
            printed = shown.steps.len();
        }
        if let Some(passed) = shown.passed {
            say(&if json { format!("{}\n", serde_json::to_string(&shown)?) } else { format!("{}\n", shown.result) })?;
            return Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        request = Request::Drill(DrillRequest::Show { account: account.clone() });
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn further_steps(shown: &DrillShown, printed: usize) -> String {
    let line = |step: &crate::drill::shown::StepShown| {
        format!("  {:>7}  {}\n", seconds(step.after_ms, Language::En), step.says)
    };
    shown.steps.iter().skip(printed).map(line).collect()
}
