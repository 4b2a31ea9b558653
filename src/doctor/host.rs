//! The machine: the data folder, its modes, and the room left on its disk.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::check::Finding;

/// Free space below which mail of one bad day may not fit: the reserve that intake keeps, 1 GiB, and as much again.
const FREE_OCTETS_MIN: u64 = 2 << 30;

/// Looks at the data folder.
#[must_use]
pub fn examine(data_dir: &Path) -> Vec<Finding> {
    const WHAT: &str = "data folder";
    let shown = data_dir.display();
    let Ok(metadata) = std::fs::metadata(data_dir) else {
        let remedy = "start the server once, or name its configuration with --config";
        return vec![Finding::broken(WHAT, format!("{shown} does not exist or may not be entered"), remedy)];
    };
    let mut findings = vec![match metadata.permissions().mode() & 0o007 {
        0 => Finding::fine(WHAT, format!("{shown} is closed to others")),
        _ => Finding::warning(WHAT, format!("{shown} may be entered by everybody"), format!("chmod o-rwx {shown}")),
    }];
    findings.extend(secret(&data_dir.join("seal.key"), "seal key"));
    findings.push(disk(data_dir));
    findings
}

fn secret(path: &Path, what: &'static str) -> Option<Finding> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    Some(if mode & 0o077 == 0 {
        Finding::fine(what, format!("mode {mode:o}"))
    } else {
        Finding::broken(what, format!("may be read by others (mode {mode:o})"), format!("chmod 600 {}", path.display()))
    })
}

fn disk(data_dir: &Path) -> Finding {
    const WHAT: &str = "disk";
    match rustix::fs::statvfs(data_dir) {
        Ok(volume) => {
            let free = volume.f_bavail.saturating_mul(volume.f_frsize);
            let words = format!("{} MiB free for mail", free >> 20);
            if free < FREE_OCTETS_MIN {
                Finding::warning(WHAT, words, "make room or move data_dir: senders are deferred when it is full")
            } else {
                Finding::fine(WHAT, words)
            }
        }
        Err(error) => Finding::warning(WHAT, format!("free space is not known: {error}"), "look with df"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::check::{Level, worst};

    #[test]
    fn a_secret_that_others_may_read_is_broken() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("seal.key");
        std::fs::write(&key, b"x").unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let findings = examine(folder.path());
        let found = findings.iter().find(|f| f.what == "seal key").unwrap();
        assert_eq!(found.level, Level::Broken);
        assert!(found.remedy.as_ref().is_some_and(|r| r.starts_with("chmod 600 ")));
        assert_eq!(worst(&examine(&folder.path().join("missing"))), Level::Broken);
    }
}
