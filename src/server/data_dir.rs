//! The folder with everything that must survive: made with tight modes, and the server's own secret in it.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::account::SealKey;
use crate::account::seal::SEAL_KEY_OCTETS;

/// The folder or a file in it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A system call failed.
    #[error("cannot use {path}: {source}. Set data_dir to a folder that this user may write", path = path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others may read the secret.
    #[error("{path} may be read by others; run: chmod 600 {path}", path = .0.display())]
    OpenToOthers(PathBuf),
    /// The file is not a key.
    #[error("{path} is not a seal key of {SEAL_KEY_OCTETS} octets; restore it from a backup, heartbeat keys cannot be opened without it", path = .0.display())]
    NotAKey(PathBuf),
    /// No random bytes.
    #[error("the system has no random numbers")]
    NoRandomness,
}

/// Makes the folder if it is missing; only its owner, and a group the operator chose, may enter.
///
/// # Errors
/// [`DataDirError::Io`] with the path.
pub fn prepare(folder: &Path) -> Result<(), DataDirError> {
    let fault = |source| DataDirError::Io { path: folder.to_owned(), source };
    if !folder.exists() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fault)?;
    }
    Ok(())
}

/// The server's secret that seals heartbeat keys; made at the first start.
///
/// # Errors
/// [`DataDirError`]; a file that others may read is refused.
pub fn seal_key(folder: &Path) -> Result<SealKey, DataDirError> {
    let path = folder.join("seal.key");
    let fault = |source| DataDirError::Io { path: path.clone(), source };
    match std::fs::read(&path).map(Zeroizing::new) {
        Ok(octets) => {
            let mode = std::fs::metadata(&path).map_err(fault)?.permissions().mode();
            if mode & 0o077 != 0 {
                return Err(DataDirError::OpenToOthers(path));
            }
            let key: [u8; SEAL_KEY_OCTETS] =
                octets.as_slice().try_into().map_err(|_| DataDirError::NotAKey(path.clone()))?;
            Ok(SealKey::new(key))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut key = Zeroizing::new([0u8; SEAL_KEY_OCTETS]);
            getrandom::fill(key.as_mut_slice()).map_err(|_| DataDirError::NoRandomness)?;
            let mut file =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(fault)?;
            file.write_all(key.as_slice()).map_err(fault)?;
            // A key that a power cut takes away would make every stored heartbeat key useless.
            file.sync_all().map_err(fault)?;
            std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault)?;
            Ok(SealKey::new(*key))
        }
        Err(error) => Err(fault(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seal_key_is_made_once_and_kept_to_ourselves() {
        let folder = tempfile::tempdir().unwrap();
        let first = seal_key(folder.path()).unwrap();
        let sealed = first.seal(b"x", b"y").unwrap();
        assert_eq!(seal_key(folder.path()).unwrap().open(&sealed, b"y").unwrap().as_slice(), b"x");
        let path = folder.path().join("seal.key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(seal_key(folder.path()), Err(DataDirError::OpenToOthers(_))));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, b"short").unwrap();
        assert!(matches!(seal_key(folder.path()), Err(DataDirError::NotAKey(_))));
    }
}
