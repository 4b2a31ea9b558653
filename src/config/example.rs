//! The example file with every option, made from the table of options so that the two cannot differ.

use std::fmt::Write;

use super::file::Written;
use super::options::{Kind, OPTIONS, OptionSpec, Since};
use crate::base::{ByteCount, write_duration};

/// The example configuration: every option commented out with its default, help and range.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Configuration of pulsemx. Every option is optional and shown with its default.\n\
         # Environment variables override it: PULSEMX__SMTP__LISTEN sets smtp.listen.\n\
         # Accounts and domains live in the database: see `pulsemx account add`.\n",
    );
    let mut section = "";
    for spec in OPTIONS {
        let (own_section, name) = spec.key.rsplit_once('.').unwrap_or(("", spec.key));
        if own_section != section {
            section = own_section;
            // Writing to a String cannot fail.
            let _ = write!(text, "\n[{section}]\n");
        }
        let _ = writeln!(text, "\n# {}{}", spec.help, range(spec));
        if spec.since == Since::Reserved {
            text.push_str("# Reserved: taken and checked, without effect in this version.\n");
        }
        let default = if spec.default.is_empty() { "\"\"" } else { spec.default };
        let _ = writeln!(text, "# {name} = {default}");
    }
    text
}

/// Options that were set, as they would stand in a file; with `all`, everything in force.
#[must_use]
pub fn show(written: &Written, all: bool) -> Vec<(String, String)> {
    OPTIONS
        .iter()
        .filter(|spec| all || written.set_value(spec.key).is_some())
        .filter_map(|spec| written.value(spec.key).map(|value| (spec.key.to_owned(), value.to_string())))
        .collect()
}

fn range(spec: &OptionSpec) -> String {
    match spec.kind {
        Kind::Duration { min_ms, max_ms } => format!(
            " From {} to {}.",
            write_duration(std::time::Duration::from_millis(min_ms)),
            write_duration(std::time::Duration::from_millis(max_ms))
        ),
        Kind::Size { min, max } => format!(" From {} to {}.", ByteCount(min), ByteCount(max)),
        Kind::Number { min, max } if min != max => format!(" From {min} to {max}."),
        Kind::Ips => " A list of addresses.".to_owned(),
        Kind::Addresses => " One address or a list.".to_owned(),
        Kind::Choice(words) if words.len() > 1 => format!(" One of {}.", words.join(", ")),
        Kind::Number { .. }
        | Kind::Choice(_)
        | Kind::Text
        | Kind::Name
        | Kind::Mailbox
        | Kind::Path
        | Kind::Networks
        | Kind::Texts
        | Kind::Flag => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_example_file_is_legal_with_every_line_switched_on() {
        let on: String = example()
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest)
                    if rest.contains(" = ")
                        && !rest.contains("  ")
                        && rest.split(" = ").next().is_some_and(|k| !k.contains(' ')) =>
                {
                    rest
                }
                _ => line,
            })
            .filter(|line| !line.ends_with("= \"\""))
            .fold(String::new(), |text, line| text + line + "\n");
        let written = Written::parse(&on, Path::new("example")).unwrap();
        assert!(written.set_keys().count() > 20, "{on}");
    }

    #[test]
    fn the_example_in_deploy_is_the_one_made_here() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/pulsemx.example.toml");
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == example(), "run: pulsemx config show --example > deploy/pulsemx.example.toml");
    }
}
