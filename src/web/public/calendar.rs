//! Writes outages as a calendar (RFC 5545).

use crate::base::WallTime;

/// Octets of a line without its end (RFC 5545 §3.1).
const LINE_OCTETS_MAX: usize = 75;

/// An outage in a calendar.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    /// The same each time it is asked for, so that a calendar replaces and does not add.
    pub(super) uid: String,
    pub(super) since: WallTime,
    pub(super) until: WallTime,
    pub(super) title: String,
    pub(super) text: String,
}

/// Backslash, semicolon, comma and line break of a TEXT (RFC 5545 §3.3.11); other control characters are left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ';' | ',' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

/// Adds a line, folded between characters where it is longer than [`LINE_OCTETS_MAX`].
fn line(out: &mut String, name: &str, value: &str) {
    let mut used = 0;
    for c in name.chars().chain([':']).chain(value.chars()) {
        if used + c.len_utf8() > LINE_OCTETS_MAX {
            out.push_str("\r\n ");
            used = 1;
        }
        out.push(c);
        used += c.len_utf8();
    }
    out.push_str("\r\n");
}

fn utc(at: WallTime) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

/// The whole calendar.
pub(super) fn written(name: &str, entries: &[Entry]) -> String {
    let mut out = String::new();
    line(&mut out, "BEGIN", "VCALENDAR");
    line(&mut out, "VERSION", "2.0");
    line(&mut out, "PRODID", "-//pulsemx//outages//EN");
    line(&mut out, "X-WR-CALNAME", &escaped(name));
    for entry in entries {
        line(&mut out, "BEGIN", "VEVENT");
        line(&mut out, "UID", &escaped(&entry.uid));
        // One without a METHOD has the time of its last change here (RFC 5545 §3.8.7.2).
        line(&mut out, "DTSTAMP", &utc(entry.until));
        line(&mut out, "DTSTART", &utc(entry.since));
        line(&mut out, "DTEND", &utc(entry.until));
        line(&mut out, "SUMMARY", &escaped(&entry.title));
        line(&mut out, "DESCRIPTION", &escaped(&entry.text));
        // It makes nobody busy.
        line(&mut out, "TRANSP", "TRANSPARENT");
        line(&mut out, "END", "VEVENT");
    }
    line(&mut out, "END", "VCALENDAR");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn special_characters_are_escaped_and_control_characters_are_gone() {
        assert_eq!(escaped("a;b,c\\d\r\ne\u{7}"), "a\\;b\\,c\\\\d\\ne");
    }

    #[test]
    fn lines_are_folded_at_75_octets_and_never_within_a_character() {
        let at = |s: i64| chrono::Utc.timestamp_opt(1_795_492_800 + s, 0).unwrap();
        let title = "Störung – ".repeat(20);
        let entry = Entry {
            uid: "1@mx2.example".to_owned(),
            since: at(0),
            until: at(90),
            title: title.clone(),
            text: "x".repeat(200),
        };
        let text = written("Ausfälle", &[entry]);
        assert!(text.ends_with("END:VCALENDAR\r\n") && !text.replace("\r\n", "").contains(['\r', '\n']));
        assert!(text.split("\r\n").all(|line| line.len() <= LINE_OCTETS_MAX), "{text}");
        assert!(text.replace("\r\n ", "").contains(&format!("SUMMARY:{title}\r\n")));
        assert!(text.contains("DTSTART:20261124T040000Z\r\n"), "{text}");
    }

    #[test]
    fn a_line_of_75_octets_stays_whole() {
        let mut out = String::new();
        line(&mut out, "A", &"x".repeat(73));
        assert_eq!(out, format!("A:{}\r\n", "x".repeat(73)));
        let mut out = String::new();
        line(&mut out, "A", &"x".repeat(74));
        assert_eq!(out, format!("A:{}\r\n x\r\n", "x".repeat(73)));
    }
}
