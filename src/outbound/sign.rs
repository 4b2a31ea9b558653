//! Signs mail of our own (DKIM, RFC 6376) so that its readers can tell it from forgeries.

use std::fmt;

use mail_auth::common::crypto::{Ed25519Key, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{DkimSigner, Done};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use crate::base::DomainName;

/// Header fields that are signed (RFC 6376 §5.4.1).
const SIGNED: [&str; 8] =
    ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"];

/// The key is of no use.
#[derive(Debug, thiserror::Error)]
#[error("no RSA or Ed25519 key in PEM: {0}")]
pub struct KeyError(String);

impl KeyError {
    pub(super) const fn new(why: String) -> Self {
        Self(why)
    }
}

enum Key {
    Rsa(DkimSigner<RsaKey<Sha256>, Done>),
    Ed25519(DkimSigner<Ed25519Key, Done>),
}

/// Signs with one key, for one domain.
pub struct Signer(Key);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads a private key, PKCS #1 or PKCS #8.
    ///
    /// # Errors
    /// [`KeyError`] for anything else.
    pub fn new(pem: &[u8], domain: &DomainName, selector: &str) -> Result<Self, KeyError> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|error| KeyError(error.to_string()))?;
        if let PrivateKeyDer::Pkcs8(key) = &der
            && let Ok(key) = Ed25519Key::from_pkcs8_maybe_unchecked_der(key.secret_pkcs8_der())
        {
            let signer = DkimSigner::from_key(key).domain(domain.as_str()).selector(selector).headers(SIGNED);
            return Ok(Self(Key::Ed25519(signer)));
        }
        let key = RsaKey::<Sha256>::from_key_der(der).map_err(|error| KeyError(error.to_string()))?;
        Ok(Self(Key::Rsa(DkimSigner::from_key(key).domain(domain.as_str()).selector(selector).headers(SIGNED))))
    }

    /// The message with its signature before it; unsigned where that fails.
    #[must_use]
    pub fn sign(&self, message: Vec<u8>) -> Vec<u8> {
        let signature = match &self.0 {
            Key::Rsa(signer) => signer.sign(&message),
            Key::Ed25519(signer) => signer.sign(&message),
        };
        match signature {
            Ok(signature) => [signature.to_header().into_bytes(), message].concat(),
            Err(error) => {
                tracing::error!(%error, "mail of our own leaves without a signature");
                message
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(der: &[u8], label: &str) -> Vec<u8> {
        let text = data_encoding::BASE64.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n").into_bytes()
    }

    #[test]
    fn a_signature_stands_before_the_message_and_names_its_domain() {
        let key = Ed25519Key::generate_pkcs8().unwrap();
        let domain = DomainName::parse("mx2.example").unwrap();
        let signer = Signer::new(&pem(&key, "PRIVATE KEY"), &domain, "s1").unwrap();
        let message = b"From: a@mx2.example\r\nTo: b@c.example\r\nSubject: x\r\n\r\ntext\r\n".to_vec();
        let signed = String::from_utf8(signer.sign(message.clone())).unwrap();
        assert!(signed.starts_with("DKIM-Signature:") && signed.ends_with(std::str::from_utf8(&message).unwrap()));
        assert!(signed.contains("d=mx2.example") && signed.contains("s=s1") && signed.contains("a=ed25519-sha256"));
        assert!(!signed.replace("\r\n", "").contains(['\r', '\n']));
    }

    #[test]
    fn what_is_no_key_is_said() {
        let domain = DomainName::parse("mx2.example").unwrap();
        assert!(Signer::new(b"nothing", &domain, "s").is_err());
        assert!(Signer::new(&pem(b"nothing", "PRIVATE KEY"), &domain, "s").is_err());
    }
}
