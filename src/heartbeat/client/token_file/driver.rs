//! Reads and replaces the file that holds the token.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::heartbeat::client::driver::ClientError;
use crate::heartbeat::token::Token;

/// Longest first line of a token file that is looked at, octets.
pub(in crate::heartbeat::client) const TOKEN_LINE_OCTETS_MAX: u64 = 256;

/// Reads the token of a file that only its owner may read.
///
/// # Errors
/// [`ClientError::TokenFile`], [`ClientError::TokenFileOpen`], [`ClientError::Token`].
pub fn read_token(path: &Path) -> Result<Token, ClientError> {
    let failed = |source| ClientError::TokenFile { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    refuse_open_file(path, &file.metadata().map_err(failed)?)?;
    let mut line = Zeroizing::new(String::new());
    let limited = io::Read::take(file, TOKEN_LINE_OCTETS_MAX);
    BufReader::new(limited).read_line(&mut line).map_err(failed)?;
    Token::parse(&line).map_err(|source| ClientError::Token { path: path.to_owned(), source })
}

#[cfg(unix)]
fn refuse_open_file(path: &Path, metadata: &fs::Metadata) -> Result<(), ClientError> {
    use std::os::unix::fs::PermissionsExt;
    if metadata.permissions().mode() & 0o077 == 0 || is_credential(path) {
        Ok(())
    } else {
        Err(ClientError::TokenFileOpen { path: path.to_owned() })
    }
}

/// Whether the file is a credential that systemd handed to this unit: access to it is granted by a list of its own,
/// and the mode shows the mask of that list instead of who may read.
#[cfg(unix)]
fn is_credential(path: &Path) -> bool {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").and_then(|folder| fs::canonicalize(folder).ok());
    let own = path.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned));
    folder.is_some() && folder == own
}

#[cfg(not(unix))]
fn refuse_open_file(_: &Path, _: &fs::Metadata) -> Result<(), ClientError> {
    Ok(())
}

/// A new token file that does not stand in its place yet. Made before a token is asked for, so that none is lost for
/// want of a place. Removed when dropped unkept.
#[derive(Debug)]
pub struct Draft {
    place: PathBuf,
    draft: PathBuf,
    file: File,
    is_kept: bool,
}

impl Draft {
    /// A draft beside `path`, which may not exist yet.
    ///
    /// # Errors
    /// The folder is missing or cannot be written to.
    pub fn begin(path: &Path) -> io::Result<Self> {
        // Behind a link stands the file that is meant.
        let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let name = place.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy().into_owned();
        let draft = place.with_file_name(format!(".{name}.new"));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = match options.open(&draft) {
            // Left behind by a client that was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(&draft)?;
                options.open(&draft)?
            }
            opened => opened?,
        };
        Ok(Self { place, draft, file, is_kept: false })
    }

    /// Puts `token` into the place of the old file, which stands until then.
    ///
    /// # Errors
    /// The old file still stands.
    pub fn keep(mut self, token: &Token) -> io::Result<()> {
        let line = Zeroizing::new(format!("{}\n", *token.text()));
        self.file.write_all(line.as_bytes())?;
        self.file.sync_all()?;
        fs::rename(&self.draft, &self.place)?;
        self.is_kept = true;
        #[cfg(unix)]
        if let Some(folder) = self.place.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept {
            // Empty or of no use; the next draft replaces it.
            let _ = fs::remove_file(&self.draft);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_kept_draft_replaces_the_file_for_its_owner_alone_and_a_dropped_one_leaves_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let (old, new) = (Token::from_octets([1; 32]), Token::from_octets([2; 32]));
        Draft::begin(&path).unwrap().keep(&old).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(Draft::begin(&path).unwrap());
        assert_eq!(*read_token(&path).unwrap().text(), *old.text());
        // One that was left behind is in nobody's way, and a link is followed.
        fs::write(folder.path().join(".token.new"), "half").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        Draft::begin(&link).unwrap().keep(&new).unwrap();
        assert_eq!(*read_token(&path).unwrap().text(), *new.text());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(Draft::begin(&folder.path().join("missing/token")).is_err());
    }
}
