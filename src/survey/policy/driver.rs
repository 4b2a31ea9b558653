//! Fetches a policy over HTTPS.

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Connector, NextTimeout, RustlsConnector, TcpConnector};
use ureq::{Agent, Error};

/// For the whole fetch.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Octets of a policy that are read.
const POLICY_OCTETS_MAX: u64 = 64 * 1_024;

/// Leads to addresses that were looked up and checked before.
#[derive(Debug)]
struct Fixed(Vec<SocketAddr>);

impl Resolver for Fixed {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let mut left = self.empty();
        for address in &self.0 {
            left.push(*address);
        }
        Ok(left)
    }
}

/// Blocks, [`FETCH_TIMEOUT`] at most; follows no redirect (RFC 8461 §3.3).
///
/// # Errors
/// Why it cannot be read, in words.
pub(in crate::survey) fn fetch(host: &str, places: Vec<SocketAddr>) -> Result<String, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build())
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(FETCH_TIMEOUT))
        .user_agent(concat!("pulsemx/", env!("CARGO_PKG_VERSION")))
        .build();
    let connector = TcpConnector::default().chain(RustlsConnector::default());
    let agent = Agent::with_parts(config, connector, Fixed(places));
    let asked = agent.get(format!("https://{host}/.well-known/mta-sts.txt")).call();
    let mut response = asked.map_err(|error| error.to_string())?;
    if !response.status().is_success() {
        return Err(format!("the web server answers {}", response.status().as_u16()));
    }
    let mut body = Vec::new();
    let reader = response.body_mut().with_config().limit(POLICY_OCTETS_MAX).reader();
    reader.take(POLICY_OCTETS_MAX).read_to_end(&mut body).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}
