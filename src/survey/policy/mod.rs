//! A domain's MTA-STS policy.

pub(super) mod driver;

use super::facts::Sts;

/// Lines of a policy that are read.
const LINES_MAX: usize = 200;

/// Reads a policy (RFC 8461 §3.2). Unknown keys are passed over.
#[must_use]
pub(super) fn read(text: &str) -> Sts {
    let (mut is_sts, mut mode, mut hosts) = (false, None, Vec::new());
    for line in text.lines().take(LINES_MAX) {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match key.trim() {
            "version" => is_sts = value == "STSv1",
            "mode" => mode = Some(value.to_owned()),
            "mx" => hosts.push(super::driver::clean(value).to_ascii_lowercase()),
            _ => {}
        }
    }
    match mode.as_deref() {
        _ if !is_sts => Sts::Unread("it has no line version: STSv1".to_owned()),
        Some("none") => Sts::Absent,
        Some(mode @ ("enforce" | "testing")) => Sts::Policy { is_enforced: mode == "enforce", hosts },
        Some(_) | None => Sts::Unread("it has no mode that is known".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_and_what_is_none_is_said_so() {
        let text = "version: STSv1\r\nmode: enforce\r\nmx: Mail.Firma.example\r\nmx: *.example.net\r\nmax_age: 604800\r\nodd\r\n";
        let hosts = vec!["mail.firma.example".to_owned(), "*.example.net".to_owned()];
        assert_eq!(read(text), Sts::Policy { is_enforced: true, hosts });
        assert_eq!(read("version: STSv1\nmode: none\n"), Sts::Absent);
        for odd in ["", "<html>", "version: STSv1\nmode: \u{1b}[31m\n", "mode: enforce\nmx: a\n"] {
            assert!(matches!(read(odd), Sts::Unread(_)), "{odd:?}");
        }
    }
}
