//! The property list that macOS runs the client by.

use std::path::Path;

use super::{ServiceError, absolute, words};
use crate::heartbeat::client::arguments::RunArguments;

/// The service's name.
pub(super) const LABEL: &str = "net.pulsemx.beat";

/// The list that runs `program` with these arguments: from the start of the machine, again whenever it ends, and with
/// time for its goodbye.
///
/// # Errors
/// [`ServiceError::Relative`].
pub(super) fn list(program: &Path, run: &RunArguments) -> Result<String, ServiceError> {
    let ca = run.ca_file.as_deref().map(absolute).transpose()?;
    let mut all = vec![absolute(program)?];
    all.extend(words(run, &absolute(&run.token_file)?, ca.as_deref()));
    let strings: String = all.iter().map(|word| format!("        <string>{}</string>\n", escaped(word))).collect();
    Ok(format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
    <key>Label</key>
    <string>{LABEL}</string>
    <key>ProgramArguments</key>
    <array>
{strings}    </array>
    <key>RunAtLoad</key>
    <true/>
    <key>KeepAlive</key>
    <true/>
    <key>ThrottleInterval</key>
    <integer>1</integer>
    <key>ExitTimeOut</key>
    <integer>5</integer>
    <key>ProcessType</key>
    <string>Background</string>
    <key>StandardOutPath</key>
    <string>/var/log/pulsemx-beat.log</string>
    <key>StandardErrorPath</key>
    <string>/var/log/pulsemx-beat.log</string>
</dict>
</plist>
"#
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heartbeat::client::service::arguments;

    #[test]
    fn each_word_is_a_string_of_its_own_and_none_ends_its_string() {
        let run = RunArguments { account: Some("A & <B>".to_owned()), ..arguments() };
        let list = list(Path::new("/usr/local/bin/pulsemx-beat"), &run).unwrap();
        let strings: Vec<&str> = list
            .lines()
            .skip_while(|line| !line.contains("<array>"))
            .take_while(|line| !line.contains("</array>"))
            .filter_map(|line| line.trim().strip_prefix("<string>")?.strip_suffix("</string>"))
            .collect();
        assert_eq!(strings[..4], ["/usr/local/bin/pulsemx-beat", "run", "--server", "mx2.example:5525"]);
        assert!(strings.windows(2).any(|pair| pair == ["--account", "A &amp; &lt;B&gt;"]), "{strings:?}");
        assert!(strings.windows(2).any(|pair| pair == ["--token-file", "/etc/pulsemx-beat/token"]), "{strings:?}");
        let run = RunArguments { token_file: "token".into(), ..arguments() };
        assert_eq!(super::list(Path::new("/p"), &run), Err(ServiceError::Relative("token".to_owned())));
    }
}
