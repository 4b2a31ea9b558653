//! What a certificate says about itself, for the page, the log and pins.

use chrono::DateTime;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::base::WallTime;

/// Fields of one certificate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFacts {
    /// Valid from then on.
    pub not_before: WallTime,
    /// Valid until then.
    pub not_after: WallTime,
    /// SHA-256 of the SubjectPublicKeyInfo: stays the same over renewals that keep the key.
    pub spki_sha256: [u8; 32],
    /// The DNS names it is made out for.
    pub names: Vec<String>,
    /// Issuer and subject are one: no authority vouches for it.
    pub is_self_signed: bool,
}

/// The octets are no certificate.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an X.509 certificate: {0}")]
pub struct FactsError(String);

impl CertificateFacts {
    /// Reads the fields of a certificate in DER.
    ///
    /// # Errors
    /// [`FactsError`] when it is none, or ends at a time that no calendar has.
    pub fn read(der: &[u8]) -> Result<Self, FactsError> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| FactsError(error.to_string()))?;
        let (begins, ends) =
            (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
        let date = |seconds, which: &str| {
            DateTime::from_timestamp(seconds, 0).ok_or_else(|| FactsError(format!("its {which} is no date")))
        };
        let names = match certificate.subject_alternative_name() {
            Ok(Some(extension)) => extension.value.general_names.iter().filter_map(dns_name).collect(),
            Ok(None) | Err(_) => Vec::new(),
        };
        Ok(Self {
            not_before: date(begins, "beginning")?,
            not_after: date(ends, "end")?,
            spki_sha256: Sha256::digest(certificate.tbs_certificate.subject_pki.raw).into(),
            names,
            is_self_signed: certificate.issuer() == certificate.subject(),
        })
    }

    /// Whether it is made out for exactly this name.
    #[must_use]
    pub fn is_for(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    /// The SHA-256 of the key in hexadecimal, as pins are written.
    #[must_use]
    pub fn spki_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.spki_sha256)
    }
}

fn dns_name(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(name) = name { Some((*name).to_owned()) } else { None }
}
