//! Seals a message that begins no chain yet (ARC, RFC 8617), so that the primary may believe what we saw although its
//! signature is judged at another address. A message with a chain keeps it: nothing in it was changed.

use std::fmt;

use mail_auth::arc::ArcSealer;
use mail_auth::common::crypto::{Ed25519Key, HashAlgorithm, RsaKey, Sha256};
use mail_auth::common::headers::HeaderWriter;
use mail_auth::dkim::{Canonicalization, Done};
use mail_auth::{ArcOutput, AuthenticationResults, DkimOutput, SpfOutput, SpfResult};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;

use super::sign::KeyError;
use crate::base::{DomainName, ReversePath};
use crate::spool::{Claimed, SpoolStore};
use crate::verdict::content::{Collected, HeaderSection, Signed};
use crate::verdict::finding::tidy_name;
use crate::verdict::{Finding, Verdict};

/// Octets of a message that is read for a seal, at most: larger ones go without.
pub const SEALED_OCTETS_MAX: u64 = 8 * 1024 * 1024;

/// Header fields under the seal (RFC 8617 §4.1.2).
const SEALED: [&str; 7] = ["From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "DKIM-Signature"];

enum Key {
    Rsa(ArcSealer<RsaKey<Sha256>, Done>),
    Ed25519(ArcSealer<Ed25519Key, Done>),
}

/// Seals with one key, for one domain.
pub struct Sealer(Key);

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl Sealer {
    /// Reads a private key, PKCS #1 or PKCS #8.
    ///
    /// # Errors
    /// [`KeyError`] for anything else.
    pub fn new(pem: &[u8], domain: &DomainName, selector: &str) -> Result<Self, KeyError> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|error| KeyError::new(error.to_string()))?;
        if let PrivateKeyDer::Pkcs8(key) = &der
            && let Ok(key) = Ed25519Key::from_pkcs8_maybe_unchecked_der(key.secret_pkcs8_der())
        {
            let sealer = ArcSealer::from_key(key).domain(domain.as_str()).selector(selector).headers(SEALED);
            return Ok(Self(Key::Ed25519(
                sealer
                    .header_canonicalization(Canonicalization::Relaxed)
                    .body_canonicalization(Canonicalization::Relaxed),
            )));
        }
        let key = RsaKey::<Sha256>::from_key_der(der).map_err(|error| KeyError::new(error.to_string()))?;
        let sealer = ArcSealer::from_key(key).domain(domain.as_str()).selector(selector).headers(SEALED);
        Ok(Self(Key::Rsa(
            sealer.header_canonicalization(Canonicalization::Relaxed).body_canonicalization(Canonicalization::Relaxed),
        )))
    }

    /// The three lines of a first seal; `None` for a message that has a chain, is too long, or cannot be read.
    pub async fn seal(
        &self,
        message: &Claimed,
        verdict: &Verdict,
        authserv: &DomainName,
        spool: &dyn SpoolStore,
    ) -> Option<Vec<u8>> {
        if message.octets > SEALED_OCTETS_MAX {
            return None;
        }
        let (mut section, mut body) = (HeaderSection::default(), None::<Vec<Vec<u8>>>);
        for ordinal in 0..message.chunks {
            let piece = spool.body_chunk(message.id, ordinal).await.ok()?;
            match &mut body {
                Some(body) => body.push(piece.to_vec()),
                None => match section.add(&piece) {
                    Collected::NeedMore => {}
                    Collected::End(rest) => body = Some(vec![rest]),
                    Collected::TooLong => return None,
                },
            }
        }
        let mut signed = Signed::read(section.octets())?;
        let has_chain = !signed.message.ams_headers.is_empty()
            || !signed.message.as_headers.is_empty()
            || !signed.message.aar_headers.is_empty()
            || signed.message.has_arc_errors;
        if has_chain {
            return None;
        }
        signed.message.body_hashes.push((Canonicalization::Relaxed, HashAlgorithm::Sha256, 0, Vec::new()));
        let mut hashes = signed.body_hashes();
        body.unwrap_or_default().iter().for_each(|piece| hashes.add(piece));
        signed.set_body(hashes);
        let results = results(&signed, verdict, message, authserv.as_str());
        let nothing = ArcOutput::default();
        let seal = match &self.0 {
            Key::Rsa(sealer) => sealer.seal(&signed.message, &results, &nothing),
            Key::Ed25519(sealer) => sealer.seal(&signed.message, &results, &nothing),
        };
        match seal {
            Ok(set) => Some(set.to_header().into_bytes()),
            Err(error) => {
                tracing::warn!(spool_id = %message.id, %error, "a message leaves without a seal");
                None
            }
        }
    }
}

/// What was found, in the form of the library that seals.
fn results<'x>(
    signed: &Signed<'_>,
    verdict: &Verdict,
    message: &Claimed,
    authserv: &'x str,
) -> AuthenticationResults<'x> {
    let sender = match &message.reverse_path {
        ReversePath::Mailbox(_) => verdict.spf.domain.as_str(),
        ReversePath::Null => "",
    };
    let spf = SpfOutput::new(verdict.spf.domain.clone()).with_result(spf_result(verdict.spf.finding));
    let results = AuthenticationResults::new(authserv).with_spf_mailfrom_result(
        &spf,
        message.peer,
        sender,
        &tidy_name(&message.helo),
    );
    let found = |domain: &str, selector: &str| {
        let (domain, selector) = (tidy_name(domain), tidy_name(selector));
        verdict
            .dkim
            .iter()
            .find(|known| known.domain == domain && known.selector == selector)
            .map(|known| known.finding)
    };
    let outputs: Vec<DkimOutput<'_>> = signed
        .message
        .dkim_headers
        .iter()
        .map(|header| {
            let output = match found(&header.header.d, &header.header.s) {
                Some(Finding::Pass) => DkimOutput::pass(),
                Some(Finding::Fail) => DkimOutput::fail(mail_auth::Error::ParseError),
                Some(Finding::TempError) => DkimOutput::temp_err(mail_auth::Error::ParseError),
                _ => DkimOutput::neutral(mail_auth::Error::ParseError),
            };
            output.with_signature(&header.header)
        })
        .collect();
    results.with_dkim_results(&outputs, &verdict.dmarc.domain)
}

const fn spf_result(finding: Finding) -> SpfResult {
    match finding {
        Finding::None => SpfResult::None,
        Finding::Pass => SpfResult::Pass,
        Finding::Fail => SpfResult::Fail,
        Finding::SoftFail => SpfResult::SoftFail,
        Finding::Neutral => SpfResult::Neutral,
        Finding::TempError => SpfResult::TempError,
        Finding::PermError => SpfResult::PermError,
    }
}
