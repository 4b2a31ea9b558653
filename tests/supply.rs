//! What we build from: licences, sources and known holes, checked offline against the lock file.
//!
//! The same rules stand in `deny.toml` for those who have cargo-deny and the advisory database at hand; this test
//! needs neither and so runs everywhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Licences that may be linked into an Apache-2.0 binary.
const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "CC0-1.0",
    "Unicode-3.0",
    "Zlib",
    "0BSD",
    "BSL-1.0",
    "MIT-0",
    "Unlicense",
    "CDLA-Permissive-2.0",
    "Apache-2.0 WITH LLVM-exception",
];

/// Crates that must not come in, with the reason.
const BANNED: &[(&str, &str)] = &[
    ("openssl-sys", "TLS is rustls with ring"),
    ("native-tls", "TLS is rustls with ring"),
    ("aws-lc-sys", "one crypto provider; two make rustls refuse to choose"),
    ("rsa", "RUSTSEC-2023-0071, timing"),
];

/// Least versions that are free of known holes.
const LEAST: &[(&str, [u64; 3], &str)] = &[
    ("rustls", [0, 23, 46], "four advisories of 2026"),
    ("hickory-proto", [0, 26, 3], "forged counts, retry loop"),
    (
        "lettre",
        [0, 11, 23],
        "dot-stuffing; RUSTSEC-2026-0561 is met by our own check of the wire (src/delivery/wire.rs)",
    ),
];

fn metadata() -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn packages() -> Vec<Value> {
    let data = metadata();
    let used: Vec<&str> =
        data["resolve"]["nodes"].as_array().unwrap().iter().map(|n| n["id"].as_str().unwrap()).collect();
    data["packages"].as_array().unwrap().iter().filter(|p| used.contains(&p["id"].as_str().unwrap())).cloned().collect()
}

/// Whether an SPDX expression can be met by [`LICENCES`]: any arm of OR, all of AND.
fn is_allowed(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
    plain.split(" AND ").all(|all| all.split(" OR ").any(|one| LICENCES.contains(&one.trim())))
}

#[test]
fn licences_may_be_linked() {
    let faults: Vec<String> = packages()
        .iter()
        .filter(|p| !p["license"].as_str().is_some_and(is_allowed))
        .map(|p| format!("{} {}: {}", p["name"], p["version"], p["license"]))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_crate_comes_from_the_registry() {
    for package in packages() {
        let source = package["source"].as_str();
        let own = package["name"] == "pulsemx";
        assert!(own || source.is_some_and(|s| s.starts_with("registry+")), "{}: {source:?}", package["name"]);
    }
}

#[test]
fn banned_crates_stay_out() {
    for package in packages() {
        for (banned, reason) in BANNED {
            assert!(package["name"] != *banned, "{banned}: {reason}");
        }
    }
}

#[test]
fn crates_with_known_holes_are_new_enough() {
    for package in packages() {
        let Some((name, least, reason)) = LEAST.iter().find(|(name, ..)| package["name"] == *name) else { continue };
        let version: Vec<u64> =
            package["version"].as_str().unwrap().split(['.', '-', '+']).take(3).map(|p| p.parse().unwrap()).collect();
        assert!(version.as_slice() >= least.as_slice(), "{name} {version:?}: {reason}");
    }
}

#[test]
fn an_expression_of_licences_is_read_right() {
    assert!(
        is_allowed("MIT OR GPL-3.0")
            && is_allowed("MIT/Apache-2.0")
            && is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0")
    );
    assert!(!is_allowed("GPL-3.0-only") && !is_allowed("MIT AND GPL-3.0-only"));
}
