//! Finds the certificate on disk, or makes a self-signed one that later starts find again.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use chrono::Datelike;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::facts::CertificateFacts;
use super::handle::{CertificateHandle, InstallError};
use crate::base::{Clock, DomainName, WallTime};

/// Years for which our own certificate is valid. Nobody checks its end on port 25; pins outlive a short one badly.
pub const SELF_SIGNED_YEARS: i32 = 10;

/// Why there is no certificate. The service does not start with half of a configured one.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// One of the two files was named, the other was not.
    #[error("'{}' is set but its {missing} is not; name both files or none", given.display())]
    HalfConfigured {
        /// The file that was named.
        given: PathBuf,
        /// `certificate` or `key`.
        missing: &'static str,
    },
    /// A file could not be read.
    #[error("cannot read '{}': {source}; check that it exists and that this service's user may read it", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has no PEM block of the kind that belongs there.
    #[error("'{}' has no usable {wanted} in PEM form: {source}", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// Certificate and key do not fit, or the library takes them not.
    #[error("'{}' cannot be used: {source}", path.display())]
    Install {
        /// The certificate.
        path: PathBuf,
        /// Why.
        source: InstallError,
    },
    /// Our own certificate could not be made.
    #[error("cannot make a self-signed certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// Our own certificate could not be kept.
    #[error("cannot write '{}': {source}; check that this service's user may write there", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

pub(super) type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// The configured certificate, else a self-signed one for `hostname` kept in `data_dir/tls`.
///
/// The kept one is used again while it is valid and made out for `hostname`; its key file has mode 0600.
///
/// # Errors
/// [`CertificateError`] names the file and what to do.
pub fn load_or_generate(
    data_dir: &Path,
    hostname: &DomainName,
    cert: Option<&Path>,
    key: Option<&Path>,
) -> Result<CertificateHandle, CertificateError> {
    let now = Clock.wall();
    let handle = match (cert, key) {
        (Some(cert), Some(key)) => configured(cert, key)?,
        (Some(given), None) => {
            return Err(CertificateError::HalfConfigured { given: given.to_owned(), missing: "key" });
        }
        (None, Some(given)) => {
            return Err(CertificateError::HalfConfigured { given: given.to_owned(), missing: "certificate" });
        }
        (None, None) => self_signed(&data_dir.join("tls"), hostname, now)?,
    };
    let facts = handle.facts();
    if facts.not_after <= now {
        tracing::warn!(not_after = %facts.not_after, "the configured certificate has expired");
    }
    Ok(handle)
}

/// Reads the files again and shows them from the next handshake on. On an error the old certificate stays.
///
/// # Errors
/// As [`load_or_generate`].
pub fn reload(handle: &CertificateHandle, cert: &Path, key: &Path) -> Result<(), CertificateError> {
    let (chain, private) = read_pair(cert, key)?;
    handle.replace(chain, private).map_err(|source| CertificateError::Install { path: cert.to_owned(), source })
}

fn configured(cert: &Path, key: &Path) -> Result<CertificateHandle, CertificateError> {
    let (chain, private) = read_pair(cert, key)?;
    CertificateHandle::new(chain, private).map_err(|source| CertificateError::Install { path: cert.to_owned(), source })
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::Read { path: path.to_owned(), source })
}

fn read_pair(cert: &Path, key: &Path) -> Result<Pair, CertificateError> {
    let pem = |path: &Path, wanted| {
        let path = path.to_owned();
        move |source| CertificateError::Pem { path, wanted, source }
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&read(cert)?).collect::<Result<_, _>>().map_err(pem(cert, "certificate"))?;
    if chain.is_empty() {
        return Err(pem(cert, "certificate")(pem::Error::NoItemsFound));
    }
    let private = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(pem(key, "private key"))?;
    Ok((chain, private))
}

/// The certificate that an authority issued to us, while it is valid; else as [`load_or_generate`] without files.
///
/// # Errors
/// As [`load_or_generate`].
pub fn load_issued_or_generate(data_dir: &Path, hostname: &DomainName) -> Result<CertificateHandle, CertificateError> {
    let (folder, now) = (data_dir.join("tls"), Clock.wall());
    let file = folder.join("acme.pem");
    if file.exists() {
        let held = read_together(&file).and_then(|(chain, key)| {
            let source = |source| CertificateError::Install { path: file.clone(), source };
            CertificateHandle::new(chain, key).map_err(source)
        });
        match held {
            Ok(handle) if handle.facts().not_after > now && handle.facts().is_for(hostname.as_str()) => {
                return Ok(handle);
            }
            Ok(_) => tracing::warn!(path = %file.display(), "the issued certificate is out of date"),
            Err(error) => tracing::warn!(%error, "the issued certificate is unusable, asking for another"),
        }
    }
    self_signed(&folder, hostname, now)
}

/// Key and chain out of one file.
pub(super) fn read_together(file: &Path) -> Result<Pair, CertificateError> {
    read_pair(file, file)
}

fn self_signed(folder: &Path, hostname: &DomainName, now: WallTime) -> Result<CertificateHandle, CertificateError> {
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    if cert.exists() && key.exists() {
        match kept(&cert, &key, hostname, now) {
            Ok(Some(handle)) => return Ok(handle),
            Ok(None) => {
                tracing::info!(path = %cert.display(), "self-signed certificate is out of date, making another")
            }
            Err(error) => tracing::warn!(%error, "self-signed certificate is unusable, making another"),
        }
    }
    generate(folder, &cert, &key, hostname, now)?;
    configured(&cert, &key)
}

/// The certificate of an earlier start, if it still serves.
fn kept(
    cert: &Path,
    key: &Path,
    hostname: &DomainName,
    now: WallTime,
) -> Result<Option<CertificateHandle>, CertificateError> {
    let handle = configured(cert, key)?;
    let facts: CertificateFacts = handle.facts();
    let serves = facts.not_after > now && facts.is_for(hostname.as_str());
    Ok(serves.then_some(handle))
}

fn generate(
    folder: &Path,
    cert: &Path,
    key: &Path,
    hostname: &DomainName,
    now: WallTime,
) -> Result<(), CertificateError> {
    let mut params = rcgen::CertificateParams::new(vec![hostname.as_str().to_owned()])?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, hostname.as_str().chars().take(64).collect::<String>());
    // From the start of last year: neither a slow clock here nor one at the peer makes it "not yet valid".
    params.not_before = rcgen::date_time_ymd(now.year() - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(now.year() + SELF_SIGNED_YEARS, 1, 1);
    let pair = rcgen::KeyPair::generate()?;
    let certificate = params.self_signed(&pair)?;
    fs::create_dir_all(folder).map_err(|source| CertificateError::Write { path: folder.to_owned(), source })?;
    write(key, pair.serialize_pem().as_bytes(), 0o600)?;
    write(cert, certificate.pem().as_bytes(), 0o644)
}

/// Writes beside the file and renames, so that a crash leaves the old one or the new one.
pub(super) fn write(path: &Path, octets: &[u8], mode: u32) -> Result<(), CertificateError> {
    let beside = path.with_extension("new");
    let attempt = || -> io::Result<()> {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(octets)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    attempt().map_err(|source| CertificateError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    #[test]
    fn a_self_signed_certificate_is_found_again_by_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_generate(dir.path(), &name("mx.example"), None, None).unwrap().facts();
        let second = load_or_generate(dir.path(), &name("mx.example"), None, None).unwrap().facts();
        assert_eq!(first, second);
        assert!(first.is_self_signed && first.is_for("MX.example"));
        assert!(first.not_after > Clock.wall() + chrono::Duration::days(365 * 8));
        let mode = fs::metadata(dir.path().join("tls/key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn another_name_or_a_damaged_file_makes_another_certificate() {
        let dir = tempfile::tempdir().unwrap();
        let first = load_or_generate(dir.path(), &name("mx.example"), None, None).unwrap().facts();
        let other = load_or_generate(dir.path(), &name("mx2.example"), None, None).unwrap().facts();
        assert_ne!(first.spki_sha256, other.spki_sha256);
        fs::write(dir.path().join("tls/cert.pem"), "rubbish").unwrap();
        let third = load_or_generate(dir.path(), &name("mx2.example"), None, None).unwrap().facts();
        assert_ne!(third.spki_sha256, other.spki_sha256);
    }

    #[test]
    fn half_a_configuration_and_foreign_keys_are_refused_by_name() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        load_or_generate(a.path(), &name("a.example"), None, None).unwrap();
        load_or_generate(b.path(), &name("b.example"), None, None).unwrap();
        let (cert, key) = (a.path().join("tls/cert.pem"), b.path().join("tls/key.pem"));
        let load = |cert: Option<&Path>, key: Option<&Path>| load_or_generate(a.path(), &name("a.example"), cert, key);
        assert!(matches!(load(Some(&cert), None), Err(CertificateError::HalfConfigured { .. })));
        assert!(matches!(load(None, Some(&key)), Err(CertificateError::HalfConfigured { .. })));
        assert!(matches!(load(Some(&cert), Some(&key)), Err(CertificateError::Install { .. })));
        assert!(matches!(load(Some(&key), Some(&key)), Err(CertificateError::Pem { .. })));
        let missing = load(Some(&a.path().join("none.pem")), Some(&key)).unwrap_err().to_string();
        assert!(missing.contains("none.pem"), "{missing}");
    }

    #[test]
    fn a_reload_shows_the_new_certificate_and_a_bad_one_changes_nothing() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let handle = load_or_generate(a.path(), &name("a.example"), None, None).unwrap();
        let other = load_or_generate(b.path(), &name("b.example"), None, None).unwrap();
        let (cert, key) = (b.path().join("tls/cert.pem"), b.path().join("tls/key.pem"));
        assert!(reload(&handle, &cert, &a.path().join("tls/key.pem")).is_err());
        assert!(handle.facts().is_for("a.example"));
        reload(&handle, &cert, &key).unwrap();
        assert_eq!(handle.facts(), other.facts());
    }
}
