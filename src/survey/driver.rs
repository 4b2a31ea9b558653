//! Asks the DNS and calls at port 25, within a bounded time and a bounded number of questions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use mail_auth::MessageAuthenticator;
use mail_auth::common::resolver::ToReverseName;
use mail_auth::hickory_resolver::proto::rr::{RData, Record, RecordType};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::facts::{Answer, Exchange, Expected, Facts, Host, Port, Sts};
use crate::base::DomainName;
use crate::certificate::facts::CertificateFacts;
use crate::delivery::target::{TargetRules, check_target};
use crate::delivery::tls::ClientTls;
use crate::verdict;
use crate::verdict::question::driver::{ResolverError, asker};

/// Longest wait for one answer, all tries together.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest call at one address, greeting to certificate.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// MX hosts that are looked at: the first by preference. A domain with more is told of the first.
const HOSTS_MAX: usize = 8;
/// Records of one answer that are looked at.
const RECORDS_MAX: usize = 32;
/// Addresses of one host that are called.
const CALLS_PER_HOST_MAX: usize = 4;
/// Characters of a name or a text of a stranger that are kept.
const CHARACTERS_MAX: usize = 255;
/// Octets of one reply of a mail server, and of a whole policy (RFC 8461 §3.2 lets fetchers set a limit).
const REPLY_OCTETS_MAX: u64 = 64 * 1_024;
/// Lines of one reply.
const REPLY_LINES_MAX: usize = 100;

/// How much is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// The DNS alone.
    Names,
    /// Mail servers are called too, and the MTA-STS policy is fetched.
    Servers,
}

/// Where calls go.
#[derive(Clone, Debug)]
pub struct Calls {
    /// 25 but in tests.
    pub port: u16,
    /// 443 but in tests.
    pub https_port: u16,
    /// Loopback may be called.
    pub allow_loopback: bool,
    /// Never called: this service.
    pub own_addresses: Vec<SocketAddr>,
}

/// Looks at domains.
pub struct Surveyor {
    asker: MessageAuthenticator,
    calls: Calls,
}

/// A text of a stranger in one line, printable and short.
#[must_use]
pub(super) fn clean(text: &str) -> String {
    text.chars().take(CHARACTERS_MAX).map(|c| if c.is_control() || c == '\u{fffd}' { '?' } else { c }).collect()
}

fn name(text: &str) -> String {
    clean(text.trim_end_matches('.')).to_ascii_lowercase()
}

impl Surveyor {
    /// With the resolvers of the checks.
    ///
    /// # Errors
    /// No resolver can be set up.
    pub fn new(settings: &verdict::Settings, calls: Calls) -> Result<Self, ResolverError> {
        Ok(Self { asker: asker(settings)?, calls })
    }

    /// Everything that is to be seen of a domain.
    pub async fn look(&self, expected: &Expected, depth: Depth) -> Facts {
        let domain = expected.domain.as_str();
        let (name_servers, exchanges, spf, own_spf) = futures_util::join!(
            self.ask(domain, RecordType::NS, |record| {
                if let RData::NS(server) = &record.data { Some(name(&server.0.to_ascii())) } else { None }
            }),
            self.ask(domain, RecordType::MX, |record| {
                let RData::MX(mx) = &record.data else { return None };
                Some(Exchange { preference: mx.preference, host: name(&mx.exchange.to_ascii()) })
            }),
            self.spf(domain),
            self.spf(expected.hostname.as_str()),
        );
        let mut exchanges = exchanges;
        if let Answer::Found { values, .. } = &mut exchanges {
            values.sort();
        }
        let primaries = expected.primaries.iter().map(|primary| primary.host.to_string());
        let ours = [expected.hostname.to_string()];
        let listed = exchanges.values().iter().take(HOSTS_MAX).map(|exchange| exchange.host.clone());
        let names: BTreeSet<String> = primaries.chain(ours).chain(listed).collect();
        // What no host name is has no address; it is reported as it stands.
        let names: Vec<DomainName> = names
            .iter()
            .filter(|host| host.parse::<IpAddr>().is_err())
            .filter_map(|host| DomainName::parse(host).ok())
            .collect();
        let (hosts, pointers) = futures_util::join!(
            join_all(names.iter().map(|host| async move { (host.to_string(), self.host(host).await) })),
            join_all(
                expected.own_addresses.iter().take(RECORDS_MAX).map(|a| async move { (*a, self.pointer(*a).await) })
            )
        );
        let hosts: BTreeMap<String, Host> = hosts.into_iter().collect();
        let (sts, ports) = match depth {
            Depth::Names => (Sts::Absent, BTreeMap::new()),
            Depth::Servers => futures_util::join!(self.sts(domain), self.ports(expected, &hosts)),
        };
        let pointers = pointers.into_iter().collect();
        Facts { name_servers, exchanges, spf, sts, hosts, ports, pointers, own_spf }
    }

    /// One question. Every wait, every record and every text has a maximum.
    pub(super) async fn ask<T>(&self, owner: &str, kind: RecordType, read: impl Fn(&Record) -> Option<T>) -> Answer<T> {
        let asked = timeout(ANSWER_TIMEOUT, self.asker.resolver().lookup(format!("{owner}."), kind)).await;
        let lookup = match asked {
            Err(_) => return Answer::Silent,
            Ok(Err(error)) if error.is_nx_domain() => return Answer::NoName,
            Ok(Err(error)) if error.is_no_records_found() => return Answer::Nothing,
            Ok(Err(_)) => return Answer::Silent,
            Ok(Ok(lookup)) => lookup,
        };
        let mut values = Vec::new();
        let mut ttl_s = u32::MAX;
        for record in lookup.answers().iter().take(RECORDS_MAX) {
            if let Some(value) = read(record) {
                values.push(value);
                ttl_s = ttl_s.min(record.ttl);
            }
        }
        if values.is_empty() { Answer::Nothing } else { Answer::Found { values, ttl_s } }
    }

    async fn texts(&self, owner: &str) -> Answer<String> {
        self.ask(owner, RecordType::TXT, |record| {
            let RData::TXT(txt) = &record.data else { return None };
            Some(clean(&String::from_utf8_lossy(&txt.txt_data.concat())))
        })
        .await
    }

    async fn spf(&self, owner: &str) -> Answer<String> {
        let answer = self.texts(owner).await;
        let Answer::Found { values, ttl_s } = answer else { return answer };
        // RFC 7208 §4.5: the version is followed by a space or the end.
        let is_spf = |text: &String| {
            let version = text.split(' ').next().unwrap_or_default();
            version.eq_ignore_ascii_case("v=spf1")
        };
        let values: Vec<String> = values.into_iter().filter(is_spf).collect();
        if values.is_empty() { Answer::Nothing } else { Answer::Found { values, ttl_s } }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "hickory adds types; only these lead to an address")]
    async fn addresses(&self, host: &str, kind: RecordType) -> Answer<Result<IpAddr, String>> {
        self.ask(host, kind, |record| match &record.data {
            RData::A(a) => Some(Ok(IpAddr::V4(a.0))),
            RData::AAAA(aaaa) => Some(Ok(IpAddr::V6(aaaa.0))),
            RData::CNAME(alias) => Some(Err(name(&alias.0.to_ascii()))),
            _ => None,
        })
        .await
    }

    async fn host(&self, host: &DomainName) -> Host {
        let tlsa = format!("_25._tcp.{host}");
        let (v4, v6, tlsa) = futures_util::join!(
            self.addresses(host.as_str(), RecordType::A),
            self.addresses(host.as_str(), RecordType::AAAA),
            self.ask(&tlsa, RecordType::TLSA, |record| matches!(record.data, RData::TLSA(_)).then_some(()))
        );
        let found: Vec<&Result<IpAddr, String>> = v4.values().iter().chain(v6.values()).collect();
        let alias = found.iter().find_map(|value| value.as_ref().err().cloned());
        let values: Vec<IpAddr> = found.iter().filter_map(|value| value.as_ref().ok().copied()).collect();
        let ttl_s = [v4.ttl_s(), v6.ttl_s()].into_iter().flatten().min();
        let addresses = match (ttl_s, v4.is_silent() || v6.is_silent(), &v4) {
            (Some(ttl_s), _, _) if !values.is_empty() => Answer::Found { values, ttl_s },
            (_, true, _) => Answer::Silent,
            (_, false, Answer::NoName) => Answer::NoName,
            (_, false, _) => Answer::Nothing,
        };
        let has_tlsa = if tlsa.is_silent() { None } else { Some(!tlsa.values().is_empty()) };
        Host { alias, addresses, has_tlsa }
    }

    async fn pointer(&self, address: IpAddr) -> Answer<String> {
        let zone = if address.is_ipv4() { "in-addr.arpa" } else { "ip6.arpa" };
        let reverse = address.to_reverse_name();
        let owner = format!("{}.{zone}", reverse.trim_end_matches('.'));
        self.ask(&owner, RecordType::PTR, |record| {
            if let RData::PTR(pointer) = &record.data { Some(name(&pointer.0.to_ascii())) } else { None }
        })
        .await
    }

    async fn ports(&self, expected: &Expected, hosts: &BTreeMap<String, Host>) -> BTreeMap<(String, IpAddr), Port> {
        let Ok(tls) = ClientTls::new(&[]) else { return BTreeMap::new() };
        let served = expected.primaries.iter().filter(|primary| !primary.is_parked).map(|primary| &primary.host);
        let mut calls = Vec::new();
        for host in served.take(HOSTS_MAX) {
            let addresses = hosts.get(host.as_str()).map(|host| host.addresses.values()).unwrap_or_default();
            for address in addresses.iter().take(CALLS_PER_HOST_MAX) {
                let tls = &tls;
                calls.push(async move {
                    let called = timeout(CALL_TIMEOUT, self.call(host, *address, &expected.hostname, tls)).await;
                    let slow = || Port::Closed(format!("no answer within {} s", CALL_TIMEOUT.as_secs()));
                    ((host.to_string(), *address), called.unwrap_or_else(|_| slow()))
                });
            }
        }
        join_all(calls).await.into_iter().collect()
    }

    async fn call(&self, host: &DomainName, address: IpAddr, own: &DomainName, tls: &ClientTls) -> Port {
        let rules = TargetRules { allow_loopback: self.calls.allow_loopback, own_addresses: &self.calls.own_addresses };
        let target = match check_target(SocketAddr::new(address, self.calls.port), rules) {
            Ok(target) => target,
            Err(error) => return Port::Closed(error.to_string()),
        };
        let stream = match TcpStream::connect(target).await {
            Ok(stream) => stream,
            Err(error) => return Port::Closed(clean(&error.to_string())),
        };
        match talk(stream, host, own, tls).await {
            Ok(port) => port,
            Err(error) => Port::Odd(clean(&error.to_string())),
        }
    }

    /// RFC 8461 §3.
    async fn sts(&self, domain: &str) -> Sts {
        let marks = self.texts(&format!("_mta-sts.{domain}")).await;
        if !marks.values().iter().any(|text| text.starts_with("v=STSv1")) {
            return Sts::Absent;
        }
        let host = format!("mta-sts.{domain}");
        let (v4, v6) =
            futures_util::join!(self.addresses(&host, RecordType::A), self.addresses(&host, RecordType::AAAA));
        let rules = TargetRules { allow_loopback: self.calls.allow_loopback, own_addresses: &self.calls.own_addresses };
        let found = v4.values().iter().chain(v6.values()).filter_map(|value| value.as_ref().ok());
        let places: Vec<SocketAddr> = found
            .filter_map(|address| check_target(SocketAddr::new(*address, self.calls.https_port), rules).ok())
            .take(CALLS_PER_HOST_MAX)
            .collect();
        if places.is_empty() {
            return Sts::Unread(format!("{host} has no address that can be asked"));
        }
        let fetched = tokio::task::spawn_blocking(move || super::policy::driver::fetch(&host, places)).await;
        match fetched {
            Ok(Ok(text)) => super::policy::read(&text),
            Ok(Err(why)) => Sts::Unread(clean(&why)),
            Err(error) => Sts::Unread(error.to_string()),
        }
    }
}

/// Greeting, EHLO, STARTTLS, certificate; never a transaction.
async fn talk(stream: TcpStream, host: &DomainName, own: &DomainName, tls: &ClientTls) -> std::io::Result<Port> {
    let mut stream = BufReader::new(stream);
    let greeting = reply(&mut stream).await?;
    if !greeting.starts_with("220") {
        return Ok(Port::Odd(clean(greeting.lines().next().unwrap_or("silence"))));
    }
    stream.write_all(format!("EHLO {own}\r\n").as_bytes()).await?;
    let offers = reply(&mut stream).await?;
    let has_tls =
        offers.lines().any(|line| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS")));
    if !has_tls {
        stream.write_all(b"QUIT\r\n").await?;
        return Ok(Port::Plain);
    }
    stream.write_all(b"STARTTLS\r\n").await?;
    let said = reply(&mut stream).await?;
    if !said.starts_with("220") {
        return Ok(Port::Failed(clean(said.lines().next().unwrap_or("silence"))));
    }
    let Ok(server) = ServerName::try_from(host.to_string()) else {
        return Ok(Port::Failed("the name of the host cannot stand in a certificate".to_owned()));
    };
    let connector = TlsConnector::from(std::sync::Arc::clone(&tls.config));
    let mut stream = match connector.connect(server.clone(), stream.into_inner()).await {
        Ok(stream) => stream,
        Err(error) => return Ok(Port::Failed(clean(&error.to_string()))),
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
    let facts = chain.first().and_then(|leaf| CertificateFacts::read(leaf).ok());
    let port =
        Port::Tls { is_name_valid: tls.is_name_valid(&chain, &server), not_after: facts.map(|facts| facts.not_after) };
    // It has been seen; how the peer takes the farewell does not matter.
    let _ = stream.write_all(b"QUIT\r\n").await;
    Ok(port)
}

async fn reply(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut whole = String::new();
    for _ in 0..REPLY_LINES_MAX {
        let mut line = Vec::new();
        let left = REPLY_OCTETS_MAX.saturating_sub(whole.len() as u64);
        if (&mut *stream).take(left).read_until(b'\n', &mut line).await? == 0 {
            return Ok(whole);
        }
        let line = String::from_utf8_lossy(&line);
        whole.push_str(&line);
        if line.get(3..4) != Some("-") {
            return Ok(whole);
        }
    }
    Ok(whole)
}
