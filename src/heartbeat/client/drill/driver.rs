//! Begins the drill over HTTPS and asks until it has ended.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::super::arguments::DrillArguments;
use super::super::https::driver as https;
use crate::base::Clock;

/// How often the server is asked.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// The server ends every drill in less: 35 s until the message is held, 30 s until it is delivered.
const ENDS_WITHIN: Duration = Duration::from_secs(120);

/// Carries out `drill`: success if the test message arrived.
///
/// # Errors
/// The reason in words, the server's own where no drill began.
pub(in crate::heartbeat::client) fn drill(arguments: &DrillArguments) -> Result<ExitCode, String> {
    let settings = arguments.at.settings()?;
    let token = arguments.at.token()?;
    let began = Clock.monotonic();
    let mut said = https::drill(&settings, &token, Some(arguments.to.as_deref()))?;
    let mut printed = 0;
    if !arguments.json {
        println!("fire drill of {}, test message to {}", text(&said, "account"), text(&said, "to"));
    }
    loop {
        if !arguments.json {
            let steps = said.get("steps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            for step in steps.iter().skip(printed) {
                let ms = step.get("after_ms").and_then(Value::as_u64).unwrap_or_default();
                println!("  {:>5}.{} s  {}", ms / 1_000, ms % 1_000 / 100, text(step, "says"));
            }
            printed = steps.len().max(printed);
        }
        if let Some(passed) = said.get("passed").and_then(Value::as_bool) {
            println!("{}", if arguments.json { said.to_string() } else { text(&said, "result") });
            return Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        if Clock.monotonic().since(began) >= ENDS_WITHIN {
            return Err("the server does not say how the drill ended; ask again on its page".to_owned());
        }
        std::thread::sleep(LOOK_EVERY);
        said = https::drill(&settings, &token, None)?;
    }
}

/// What a server says is shown, so control characters are left out.
fn text(said: &Value, field: &str) -> String {
    said.get(field).and_then(Value::as_str).unwrap_or("-").chars().filter(|c| !c.is_control()).collect()
}
