//! Carries the requests of the ACME library over ureq, which alerts use as well: TLS by rustls and ring, no proxy.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, Request};
use bytes::Bytes;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// For one request, from the question for the address to the last octet of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Octets of a request: a signed request for a certificate with 50 names has some 8,000.
const QUESTION_OCTETS_MAX: usize = 1 << 16;
/// Octets of an answer: a chain of certificates has some 10,000.
const ANSWER_OCTETS_MAX: u64 = 1 << 20;

/// See the file.
pub(in crate::certificate::acme) struct Wire(Agent);

impl Wire {
    /// Trusts the public authorities, or only those of a PEM file.
    ///
    /// # Errors
    /// In words, if that holds no certificate.
    pub(in crate::certificate::acme) fn new(trusted_pem: Option<&[u8]>) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
        if let Some(pem) = trusted_pem {
            let roots: Vec<Certificate<'static>> = ureq::tls::parse_pem(pem)
                .filter_map(|item| match item {
                    Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
                    Ok(_) | Err(_) => None,
                })
                .collect();
            if roots.is_empty() {
                return Err("there is no certificate in it".to_owned());
            }
            tls = tls.root_certs(RootCerts::Specific(Arc::new(roots)));
        }
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(REQUEST_TIMEOUT))
            .user_agent(concat!("pulsemx/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self(config.into()))
    }
}

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let agent = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(axum::body::Body::new(body), QUESTION_OCTETS_MAX).await;
            let body = body.map_err(|error| Error::Other(Box::new(error)))?;
            let asked = tokio::task::spawn_blocking(move || {
                let response = if parts.method == Method::POST {
                    agent.run(Request::from_parts(parts, body.to_vec()))
                } else {
                    agent.run(Request::from_parts(parts, ()))
                }?;
                let (parts, body) = response.into_parts();
                let octets = body.into_with_config().limit(ANSWER_OCTETS_MAX).read_to_vec()?;
                Ok::<_, ureq::Error>(BytesResponse { parts, body: Box::new(Bytes::from(octets)) })
            });
            let answered = asked.await.map_err(|error| Error::Other(Box::new(error)))?;
            answered.map_err(|error| Error::Other(Box::new(error)))
        })
    }
}
