//! Sends alerts over HTTP, or into a program, and draws the keys of webhooks.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Connector, NextTimeout, RustlsConnector, TcpConnector};
use ureq::{Agent, Error};

use crate::alert::request::Ask;
use crate::delivery::target::{TargetRules, check_target};

/// For one request, from the question for the address to the last octet of the answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Octets of a header of an answer, at most.
const ANSWER_HEADER_MAX: usize = 16 * 1024;
/// Octets of an answer that are read: for the reason in it.
const ANSWER_BODY_MAX: u64 = 1_024;
/// Characters of a reason that are kept.
const REASON_MAX: usize = 160;
/// How long a program may take.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(30);
/// Octets of a drawn key: 256 bits.
const KEY_OCTETS: usize = 32;

/// Where requests may go.
#[derive(Clone, Debug)]
pub(in crate::alert) struct Reach {
    /// Anywhere: a channel of the operator.
    pub(in crate::alert) is_free: bool,
    /// Loopback as well.
    pub(in crate::alert) allow_loopback: bool,
    /// Never here.
    pub(in crate::alert) own_addresses: Vec<SocketAddr>,
}

impl Reach {
    /// Whether a customer's channel may lead there.
    ///
    /// # Errors
    /// Why not, in words.
    pub(in crate::alert) fn check(&self, address: SocketAddr) -> Result<SocketAddr, String> {
        let rules = TargetRules { allow_loopback: self.allow_loopback, own_addresses: &self.own_addresses };
        if self.is_free { Ok(address) } else { check_target(address, rules).map_err(|e| e.to_string()) }
    }
}

/// Resolves a name and leaves out every address that may not be asked; the connection goes to those that are left, so
/// that a name which changes in between leads nowhere else.
#[derive(Debug)]
struct Careful(Reach);

impl Resolver for Careful {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let all = DefaultResolver::default().resolve(uri, config, timeout)?;
        let mut left = self.empty();
        let mut refused = None;
        for address in all.iter() {
            match self.0.check(*address) {
                Ok(address) => left.push(address),
                Err(why) => refused = Some(why),
            }
        }
        match refused {
            Some(why) if left.is_empty() => Err(Error::Io(std::io::Error::other(why))),
            _ => Ok(left),
        }
    }
}

/// Makes one request. Blocks, [`REQUEST_TIMEOUT`] at most; follows no redirect.
///
/// # Errors
/// Why it did not get through, in words, without anything secret.
pub(in crate::alert) fn request(ask: &Ask, secret: Option<&str>, reach: Reach) -> Result<(), String> {
    let hidden = |text: String| match secret {
        Some(secret) if !secret.is_empty() => text.replace(secret, "***"),
        _ => text,
    };
    attempt(ask, reach).map_err(|why| short(&hidden(why)))
}

fn attempt(ask: &Ask, reach: Reach) -> Result<(), String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = Agent::config_builder()
        .tls_config(TlsConfig::builder().unversioned_rustls_crypto_provider(provider).build())
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(REQUEST_TIMEOUT))
        .max_response_header_size(ANSWER_HEADER_MAX)
        .user_agent(concat!("pulsemx/", env!("CARGO_PKG_VERSION")))
        .build();
    let connector = TcpConnector::default().chain(RustlsConnector::default());
    let agent = Agent::with_parts(config, connector, Careful(reach));
    let mut request = if ask.is_put { agent.put(&ask.url) } else { agent.post(&ask.url) };
    request = request.content_type("application/json");
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    let mut response = request.send(&ask.body).map_err(|error| {
        if let Error::Timeout(_) = error {
            return format!("no answer within {} s", REQUEST_TIMEOUT.as_secs());
        }
        if let Error::Io(io) = &error { io.to_string() } else { error.to_string() }
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    if status.is_redirection() {
        return Err(format!("answers {} with another address; give that one", status.as_u16()));
    }
    // What cannot be read is left out: the status has said enough.
    let mut body = Vec::new();
    let reader = response.body_mut().with_config().limit(ANSWER_BODY_MAX).reader();
    let _ = std::io::Read::read_to_end(&mut std::io::Read::take(reader, ANSWER_BODY_MAX), &mut body);
    let text = String::from_utf8_lossy(&body).into_owned();
    Err(format!("answers {} {text}", status.as_u16()))
}

/// One line without control characters, cut.
fn short(text: &str) -> String {
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_MAX).collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Starts a program without a shell and with an empty environment but `PATH`, gives it `text` on its standard input
/// and waits for its end, [`PROGRAM_TIMEOUT`] at most.
///
/// # Errors
/// Why it did not work, in words.
pub(in crate::alert) async fn program(words: &[String], text: String) -> Result<(), String> {
    run(words, text, PROGRAM_TIMEOUT).await
}

async fn run(words: &[String], text: String, limit: Duration) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("no program is named")?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{program} does not start: {error}"))?;
    let input = child.stdin.take();
    let whole = async {
        if let Some(mut input) = input {
            // A program need not read: its exit status says whether it worked.
            let _ = input.write_all(text.as_bytes()).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(limit, whole).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("{program}: {status}")),
        Ok(Err(error)) => Err(format!("{program}: {error}")),
        Err(_) => {
            let _ = child.kill().await;
            Err(format!("{program} did not end within {} s", limit.as_secs()))
        }
    }
}

/// A key for a webhook: 256 bits in hex.
///
/// # Errors
/// The system gave no random bytes.
pub(in crate::alert) fn draw_key() -> Result<String, String> {
    let mut octets = [0u8; KEY_OCTETS];
    getrandom::fill(&mut octets).map_err(|_| "the system has no random numbers".to_owned())?;
    Ok(data_encoding::HEXLOWER.encode(&octets))
}

/// A number to spread retries by; without random bytes they are not spread.
pub(in crate::alert) fn draw() -> u32 {
    let mut octets = [0u8; 4];
    let _ = getrandom::fill(&mut octets);
    u32::from_le_bytes(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(is_free: bool, allow_loopback: bool) -> Reach {
        Reach { is_free, allow_loopback, own_addresses: Vec::new() }
    }

    fn ask(url: &str) -> Ask {
        Ask { is_put: false, url: url.to_owned(), headers: Vec::new(), body: "{}".to_owned() }
    }

    #[test]
    fn a_customers_channel_reaches_nothing_beside_us() {
        for url in [
            "http://127.0.0.1:9/",
            "http://[::1]:9/",
            "http://169.254.169.254/",
            "http://10.0.0.1/",
            "http://localhost:9/",
        ] {
            let error = request(&ask(url), None, reach(false, false)).unwrap_err();
            assert!(
                error.contains("is a loopback address") || error.contains("is not a public address"),
                "{url}: {error}"
            );
        }
        let error = request(&ask("http://10.0.0.1:9/"), None, reach(false, true)).unwrap_err();
        assert!(error.contains("is not a public address"), "{error}");
    }

    #[test]
    fn a_secret_is_no_part_of_an_error() {
        let error = request(&ask("http://127.0.0.1:1/bot123:abc/x y"), Some("123:abc"), reach(true, true)).unwrap_err();
        assert!(!error.contains("123:abc"), "{error}");
    }

    #[tokio::test]
    async fn a_program_gets_the_text_and_no_shell() {
        let folder = tempfile::tempdir().unwrap();
        let words = |words: &[&str]| -> Vec<String> { words.iter().map(ToString::to_string).collect() };
        let file = folder.path().join("$HOME; true").display().to_string();
        program(&words(&["/usr/bin/tee", &file]), "text\n".to_owned()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "text\n");
        assert!(program(&words(&["/bin/false"]), String::new()).await.unwrap_err().contains("exit status: 1"));
        assert!(program(&words(&["/no/such"]), String::new()).await.unwrap_err().contains("does not start"));
        let slow = run(&words(&["/bin/sleep", "600"]), String::new(), Duration::from_millis(50)).await;
        assert!(slow.unwrap_err().contains("did not end"));
    }
}
