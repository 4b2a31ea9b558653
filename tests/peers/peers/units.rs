//! The systemd units: understood, tight, and calling a binary that exists.

use std::path::Path;
use std::process::Command;

/// Exposure in tenths, at most; a mail server with no sandbox at all scores 96.
const EXPOSURE_TENTHS_MAX: &str = "15";

fn unit_with_our_binary(name: &str, binary: &str, folder: &Path) -> std::path::PathBuf {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd").join(name)).unwrap();
    let shipped = format!("/usr/bin/{}", name.trim_end_matches(".service"));
    assert!(text.contains(&format!("ExecStart={shipped} ")), "{name}");
    let path = folder.join(name);
    std::fs::write(&path, text.replace(&shipped, binary)).unwrap();
    path
}

#[test]
fn units_are_understood_and_tight() {
    let folder = tempfile::tempdir().unwrap();
    for (name, binary) in
        [("pulsemx.service", crate::support::PULSEMX), ("pulsemx-beat.service", crate::support::PULSEMX_BEAT)]
    {
        let unit = unit_with_our_binary(name, binary, folder.path());
        let verify = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
        let words = String::from_utf8_lossy(&verify.stderr).into_owned();
        let ours: Vec<&str> = words.lines().filter(|line| line.contains("pulsemx")).collect();
        assert!(verify.status.success() && ours.is_empty(), "{name}: {words}");
        let security = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE_TENTHS_MAX])
            .arg(&unit)
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&security.stdout).into_owned();
        assert!(security.status.success(), "{name}: {}", words.lines().last().unwrap_or(""));
    }
}

#[test]
fn the_example_configuration_is_accepted_by_the_server() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/pulsemx.example.toml");
    let output = Command::new(crate::support::PULSEMX)
        .arg("--config")
        .arg(example)
        .args(["serve", "--check-config"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
