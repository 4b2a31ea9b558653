//! Keeps the house in order: who imports whom, who touches the outside world, how long a file may be, and that the
//! documents name places that exist. Fails with the name of the offending line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms in the order of imports: a room uses only rooms above it.
const ROOMS: &[&str] = &[
    "base",
    "account",
    "recipient",
    "certificate",
    "heartbeat",
    "liveness",
    "spool",
    "verdict",
    "smtp",
    "delivery",
    "outbound",
    "update",
    "dns",
    "alert",
    "survey",
    "drill",
    "store",
    "web",
    "control",
    "api",
    "metrics",
    "doctor",
    "config",
    "server",
    "demo",
];

/// Lines of one source file, at most; divide by meaning before.
const FILE_LINES_MAX: usize = 600;

/// Words that reach for the outside world; see [`touches_the_world`].
const WORLD: &[&str] = &[
    "tokio::net",
    "tokio::spawn",
    "tokio::time",
    "tokio::fs",
    "tokio::task",
    "tokio::process",
    "std::fs",
    "std::thread",
    "std::process",
    "UdpSocket",
    "TcpStream",
    "TcpListener",
    "UnixStream",
    "UnixListener",
    "Clock.monotonic",
    "Clock.wall",
    "getrandom::fill",
];

/// Files without the name `driver.rs` that may, each with its reason.
const WORLDLY: &[(&str, &str)] = &[
    ("src/base/clock.rs", "reads the clock for everybody"),
    ("src/account/api_token.rs", "draws tokens"),
    ("src/account/seal.rs", "draws nonces"),
    ("src/heartbeat/token.rs", "draws tokens"),
    ("src/update/token.rs", "draws tokens"),
    ("src/dns/challenge/key.rs", "draws keys"),
    ("src/web/sign_in.rs", "draws secrets"),
    ("src/config/file.rs", "reads the file"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}

fn room_of(path: &str) -> Option<&str> {
    path.strip_prefix("src/")?.split(['/', '.']).next().filter(|room| ROOMS.contains(room))
}

/// Source lines that are code, with their numbers; the tests of a file count as well.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line)).filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn a_room_imports_only_rooms_above_it() {
    let rank = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut faults = Vec::new();
    for path in files_below("src", ".rs") {
        let name = relative(&path);
        let Some(own) = room_of(&name).and_then(rank) else { continue };
        for (number, line) in code_lines(&fs::read_to_string(&path).unwrap()) {
            for part in line.split("crate::").skip(1) {
                let used = part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
                if rank(used).is_some_and(|used| used > own) {
                    faults.push(format!("{name}:{number}: {} must not import {used}", ROOMS[own]));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_room_stands_in_the_guided_tour() {
    let tour = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name == "lib" || name == "bin" {
            continue;
        }
        assert!(ROOMS.contains(&name.as_str()), "src/{name} is no room of the floor plan");
        assert!(tour.contains(&format!("[`{name}`]")), "src/lib.rs does not mention {name}");
    }
}

fn touches_the_world(name: &str) -> bool {
    name.ends_with("driver.rs")
        || name.ends_with("tests.rs")
        || name.contains("/driver/")
        || WORLDLY.iter().any(|(allowed, _)| *allowed == name)
        || ["src/store/", "src/server/", "src/demo/", "src/bin/", "src/doctor/"]
            .iter()
            .any(|folder| name.starts_with(folder))
}

#[test]
fn only_drivers_touch_sockets_files_clocks_and_tasks() {
    let mut faults = Vec::new();
    for path in files_below("src", ".rs") {
        let name = relative(&path);
        if touches_the_world(&name) {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or("");
        for (number, line) in code_lines(code) {
            for word in WORLD {
                if line.contains(word) {
                    faults.push(format!("{name}:{number}: {word} belongs into a driver.rs"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn exceptions_to_the_driver_rule_still_exist() {
    for (name, _) in WORLDLY {
        assert!(root().join(name).exists(), "{name} is gone; take it out of the list");
    }
}

#[test]
fn files_have_one_subject() {
    let mut faults = Vec::new();
    for path in files_below("src", ".rs") {
        let text = fs::read_to_string(&path).unwrap();
        let name = relative(&path);
        if !text.starts_with("//!") {
            faults.push(format!("{name}: does not open with a sentence on what it decides"));
        }
        if text.lines().count() > FILE_LINES_MAX {
            faults.push(format!("{name}: {} lines; divide it by meaning", text.lines().count()));
        }
    }
    for name in ["src/bin/pulsemx.rs", "src/bin/pulsemx_beat.rs"] {
        let lines = fs::read_to_string(root().join(name)).unwrap().lines().count();
        if lines > 100 {
            faults.push(format!("{name}: {lines} lines; a binary only calls the library"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn sql_is_never_put_together_from_values() {
    let mut faults = Vec::new();
    for path in files_below("src", ".rs") {
        for (number, line) in code_lines(&fs::read_to_string(&path).unwrap()) {
            let upper = line.to_ascii_uppercase();
            let is_sql = ["SELECT ", "INSERT ", "UPDATE ", "DELETE FROM"].iter().any(|verb| upper.contains(verb));
            if is_sql && line.contains("format!") {
                faults.push(format!("{}:{number}: bind parameters instead", relative(&path)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn pages_hold_no_markup_from_outside() {
    let mut faults = Vec::new();
    for path in [files_below("web", ".html"), files_below("web", ".js"), files_below("src/web", ".rs")].concat() {
        let text = fs::read_to_string(&path).unwrap();
        for (number, line) in code_lines(text.split("#[cfg(test)]").next().unwrap_or("")) {
            for word in ["|safe", "innerHTML", "outerHTML", "insertAdjacentHTML", " style=", " onclick="] {
                if line.contains(word) {
                    faults.push(format!("{}:{number}: {word}", relative(&path)));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Paths in backquotes that look like files of this repository.
fn named_paths(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            ["src/", "tests/", "deploy/", "migrations/", "web/", "docs/"].iter().any(|folder| word.starts_with(folder))
                && !word.contains(['*', '{', ' ', '<'])
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn documents_name_places_that_exist() {
    let mut faults = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap_or_else(|e| panic!("{document}: {e}"));
        for named in named_paths(&text) {
            if !root().join(named.trim_end_matches('/')).exists() {
                faults.push(format!("{document}: {named} does not exist"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn citations_of_rfcs_are_spelled_one_way() {
    let mut faults = Vec::new();
    for path in files_below("src", ".rs") {
        for (number, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            for part in line.split("RFC").skip(1) {
                let digits: String = part.trim_start().chars().take_while(char::is_ascii_digit).collect();
                let rest = part.trim_start().get(digits.len()..).unwrap_or("");
                let one_blank = part.starts_with(' ') && !part.starts_with("  ");
                let section_word =
                    ["section", " section", ", section", " sec.", " Section"].iter().any(|w| rest.starts_with(w));
                if !digits.is_empty() && (!one_blank || section_word) {
                    faults.push(format!("{}:{}: write RFC 5321 §4.1.1.3", relative(&path), number + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
