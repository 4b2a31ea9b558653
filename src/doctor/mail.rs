//! The listeners as a sender and a browser on this machine see them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Settings;
use super::check::{Finding, Level};

/// A local listener that takes longer is stuck.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Octets of one reply, at most.
const REPLY_OCTETS_MAX: u64 = 64 * 1024;

/// Talks to each listener once.
pub async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    for address in &settings.smtp_listen {
        let finding = smtp(local(*address), settings.hostname.as_str()).await;
        findings.push(forgive(*address, finding));
    }
    for address in &settings.web_listen {
        let finding = web(local(*address), address.ip().is_loopback()).await;
        findings.push(forgive(*address, finding));
    }
    findings
}

/// A machine without IPv6 serves no IPv6 wildcard, and need not.
fn forgive(address: SocketAddr, finding: Finding) -> Finding {
    let is_optional = address.is_ipv6() && address.ip().is_unspecified() && finding.level == Level::Broken;
    if is_optional { Finding { level: Level::Warning, ..finding } } else { finding }
}

/// Where a wildcard address is reached from this machine.
fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn smtp(address: SocketAddr, hostname: &str) -> Finding {
    const WHAT: &str = "smtp";
    match tokio::time::timeout(ANSWER_WITHIN, greeting_and_extensions(address)).await {
        Ok(Ok((greeting, extensions))) => {
            if !greeting.contains(hostname) {
                let words = format!("{address} greets with '{}'", greeting.trim_end());
                return Finding::broken(
                    WHAT,
                    words,
                    "another mail server listens there, or the server runs with another configuration",
                );
            }
            if extensions.contains("STARTTLS") {
                Finding::fine(WHAT, format!("{address} greets as {hostname} and offers STARTTLS"))
            } else {
                Finding::warning(WHAT, format!("{address} offers no STARTTLS"), "look into the log for the certificate")
            }
        }
        Ok(Err(error)) => {
            Finding::broken(WHAT, format!("{address}: {error}"), "is the server running? start it with `pulsemx serve`")
        }
        Err(_) => Finding::broken(
            WHAT,
            format!("{address} does not answer within {} s", ANSWER_WITHIN.as_secs()),
            "look into the log",
        ),
    }
}

async fn greeting_and_extensions(address: SocketAddr) -> std::io::Result<(String, String)> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    let greeting = reply(&mut stream).await?;
    stream.write_all(b"EHLO doctor.localhost\r\n").await?;
    let extensions = reply(&mut stream).await?;
    stream.write_all(b"QUIT\r\n").await?;
    Ok((greeting, extensions))
}

async fn reply(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut whole = String::new();
    loop {
        let mut line = String::new();
        if (&mut *stream).take(REPLY_OCTETS_MAX).read_line(&mut line).await? == 0 {
            return Ok(whole);
        }
        let is_last = line.get(3..4) != Some("-");
        whole.push_str(&line);
        if is_last {
            return Ok(whole);
        }
    }
}

async fn web(address: SocketAddr, speaks_http: bool) -> Finding {
    const WHAT: &str = "web";
    let remedy = "is the server running? start it with `pulsemx serve`";
    let connected = tokio::time::timeout(ANSWER_WITHIN, TcpStream::connect(address)).await;
    let mut stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Finding::broken(WHAT, format!("{address}: {error}"), remedy),
        Err(_) => return Finding::broken(WHAT, format!("{address} does not answer"), remedy),
    };
    if !speaks_http {
        return Finding::fine(WHAT, format!("{address} accepts"));
    }
    let ask = async {
        stream
            .write_all(format!("GET /ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
            .await?;
        let mut text = String::new();
        stream.take(REPLY_OCTETS_MAX).read_to_string(&mut text).await?;
        Ok::<String, std::io::Error>(text)
    };
    match tokio::time::timeout(ANSWER_WITHIN, ask).await {
        Ok(Ok(text)) if text.starts_with("HTTP/1.1 200") => Finding::fine(WHAT, format!("{address} is ready")),
        Ok(Ok(text)) => {
            let body = text.split("\r\n\r\n").nth(1).unwrap_or_default().trim().to_owned();
            Finding::broken(
                WHAT,
                format!("{address} is not ready: {body}"),
                "look into the log for the part that is named",
            )
        }
        Ok(Err(error)) => Finding::broken(WHAT, format!("{address}: {error}"), "look into the log"),
        Err(_) => Finding::broken(WHAT, format!("{address} does not answer"), "look into the log"),
    }
}
