//! Asks the DNS for one message, and reads its content piece by piece from the spool.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use mail_auth::common::resolver::ToReverseName;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use mail_auth::hickory_resolver::net::NetError;
use mail_auth::hickory_resolver::system_conf::read_system_conf;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{DkimOutput, DmarcResult, MessageAuthenticator, SpfOutput};
use tokio::time::{Instant, timeout_at};

use super::reading;
use crate::base::{DomainName, Mailbox, ReversePath};
use crate::spool::{SpoolError, SpoolStore};
use crate::verdict::content::{BODY_OCTETS_MAX, Collected, HeaderSection, Signed};
use crate::verdict::finding::{DmarcFinding, Finding, IprevFinding, SpfFinding, Verdict, tidy_name};
use crate::verdict::settings::{CACHED_ANSWERS_MAX, Settings, TRIES};
use crate::verdict::store::Subject;

/// Longest time that an answer is believed.
const ANSWER_KEPT: Duration = Duration::from_secs(3_600);
/// Longest time that a missing name is believed to be missing.
const ABSENCE_KEPT: Duration = Duration::from_secs(300);

/// No resolver could be set up.
#[derive(Debug, thiserror::Error)]
#[error("the resolver cannot be set up: {0}; set checks.resolvers, or checks.enabled = false")]
pub struct ResolverError(#[from] NetError);

/// Puts questions to the DNS.
#[derive(Clone)]
pub struct Resolver {
    asker: MessageAuthenticator,
    hostname: DomainName,
    message_timeout: Duration,
    question_timeout: Duration,
    lists: Arc<[DomainName]>,
}

/// What the envelope came to.
struct Envelope {
    spf_output: Option<SpfOutput>,
    spf: SpfFinding,
    helo: SpfFinding,
    iprev: IprevFinding,
}

impl Resolver {
    /// A resolver for a service that calls itself `hostname`.
    ///
    /// # Errors
    /// [`ResolverError`] when `/etc/resolv.conf` is to be used and cannot be.
    pub fn new(settings: &Settings, hostname: DomainName) -> Result<Self, ResolverError> {
        let asker = asker(settings)?;
        Ok(Self {
            asker,
            hostname,
            message_timeout: settings.message_timeout,
            question_timeout: settings.question_timeout,
            lists: settings.lists.clone().into(),
        })
    }

    /// Everything about one message, within the time for one message.
    pub async fn judge(&self, subject: &Subject, is_forwarded: bool, spool: &dyn SpoolStore) -> Verdict {
        let begun = Instant::now();
        // DMARC needs the other results and keeps a share of the time for itself.
        let until = begun + self.message_timeout.mul_f32(0.7);
        let envelope = self.envelope(subject, is_forwarded, until);
        let section = timeout_at(until, collect(subject, spool));
        let lists = async { if is_forwarded { Vec::new() } else { self.lists_with(subject.peer).await } };
        let (envelope, section, listed_in) = futures_util::join!(envelope, section, lists);
        let mut verdict = Verdict {
            spf: envelope.spf,
            helo: envelope.helo,
            iprev: envelope.iprev,
            is_forwarded,
            listed_in,
            ..Verdict::default()
        };
        match section {
            Ok(Ok(Some(section))) => {
                let until = (until, begun + self.message_timeout);
                self.content(subject, &section, envelope.spf_output.as_ref(), until, spool, &mut verdict).await;
            }
            // Too long, or nothing to read: nothing in it can be trusted.
            Ok(Ok(None)) => verdict.dmarc.finding = Finding::PermError,
            Ok(Err(_)) | Err(_) => verdict.dmarc.finding = Finding::TempError,
        }
        verdict
    }

    /// The lists that have this peer (RFC 5782 §2.1), as far as they answer within the time for one question.
    pub async fn lists_with(&self, peer: IpAddr) -> Vec<String> {
        let peer = peer.to_canonical();
        let until = Instant::now() + self.question_timeout;
        let ask = async |list: &DomainName| {
            let name = format!("{}.{list}.", peer.to_reverse_name());
            let answer = timeout_at(until, self.asker.ipv4_lookup_raw(&name)).await;
            let is_in = matches!(answer, Ok(Ok(found)) if found.entry.iter().any(is_listing));
            is_in.then(|| list.to_string())
        };
        futures_util::future::join_all(self.lists.iter().map(ask)).await.into_iter().flatten().collect()
    }

    /// RFC 7208 §2.3 and RFC 7208 §2.4, and RFC 8601 §3.
    async fn envelope(&self, subject: &Subject, is_forwarded: bool, until: Instant) -> Envelope {
        let (peer, host) = (subject.peer.to_canonical(), self.hostname.as_str());
        if is_forwarded {
            let (spf, helo, iprev) = (SpfFinding::default(), SpfFinding::default(), IprevFinding::default());
            return Envelope { spf_output: None, spf, helo, iprev };
        }
        // An address literal, or a name that is none, has no record to ask for.
        let helo_name = DomainName::parse(&subject.helo).map(|name| name.to_string()).unwrap_or_default();
        let (sender, domain) = match &subject.reverse_path {
            ReversePath::Mailbox(mailbox) => sender_of(mailbox),
            ReversePath::Null => (format!("postmaster@{helo_name}"), helo_name.clone()),
        };
        let (helo, sender) = (helo_name.as_str(), sender.as_str());
        let mail_from = self.asker.verify_spf(SpfParameters::verify_mail_from(peer, helo, host, sender));
        let ehlo = self.asker.verify_spf(SpfParameters::verify_ehlo(peer, helo, host));
        let (mail_from, ehlo, iprev) = futures_util::join!(
            timeout_at(until, mail_from),
            timeout_at(until, ehlo),
            timeout_at(until, self.asker.verify_iprev(peer))
        );
        let late = IprevFinding { finding: Finding::TempError, ..IprevFinding::default() };
        let (mail_from, ehlo) = (mail_from.ok(), ehlo.ok());
        Envelope {
            spf: reading::spf(mail_from.as_ref(), &domain),
            helo: reading::spf(ehlo.as_ref(), helo),
            iprev: iprev.map_or(late, |output| reading::iprev(&output)),
            spf_output: mail_from,
        }
    }

    /// DKIM, ARC and DMARC; `until` for the first two and for all.
    async fn content(
        &self,
        subject: &Subject,
        section: &Section,
        spf: Option<&SpfOutput>,
        until: (Instant, Instant),
        spool: &dyn SpoolStore,
        verdict: &mut Verdict,
    ) {
        let Some(mut signed) = Signed::read(section.header.octets()) else {
            verdict.dmarc.finding = Finding::PermError;
            return;
        };
        let has_body = match timeout_at(until.0, hash_body(&mut signed, section, subject, spool)).await {
            Ok(Ok(has_body)) => has_body,
            Ok(Err(_)) | Err(_) => {
                verdict.dmarc.finding = Finding::TempError;
                return;
            }
        };
        let Signed { message, left_out } = &signed;
        let outputs: Vec<DkimOutput<'_>> = if has_body {
            let asked = futures_util::join!(
                timeout_at(until.0, self.asker.verify_dkim(message)),
                timeout_at(until.0, self.asker.verify_arc(message))
            );
            verdict.arc = asked.1.map_or(Finding::TempError, |output| reading::dkim_result(output.result()));
            asked.0.unwrap_or_else(|_| {
                let open = message.dkim_headers.iter();
                open.map(|header| DkimOutput::temp_err(late()).with_signature(&header.header)).collect()
            })
        } else {
            let unread = message.dkim_headers.iter();
            unread
                .map(|header| DkimOutput::neutral(mail_auth::Error::ParseError).with_signature(&header.header))
                .collect()
        };
        verdict.dkim = outputs.iter().map(reading::dkim).chain(left_out.iter().cloned()).collect();
        let nothing = SpfOutput::default();
        let sender = tidy_name(&verdict.spf.domain);
        let asked = self.asker.verify_dmarc(DmarcParameters {
            message,
            dkim_output: &outputs,
            dkim2_output: None,
            rfc5321_mail_from_domain: &sender,
            spf_output: spf.unwrap_or(&nothing),
        });
        verdict.dmarc = match timeout_at(until.1, asked).await {
            Ok(output) => {
                let mut dmarc = reading::dmarc(&output);
                // Without one of the two it depends on nobody knows that it fails.
                if (spf.is_none() || !has_body) && matches!(output.result(), DmarcResult::Fail(_)) {
                    dmarc.finding = if verdict.is_forwarded { Finding::Neutral } else { Finding::TempError };
                }
                dmarc
            }
            Err(_) => DmarcFinding { finding: Finding::TempError, ..DmarcFinding::default() },
        };
    }
}

/// What asks: the operator's resolvers, or those of the system.
///
/// # Errors
/// [`ResolverError`] when `/etc/resolv.conf` is to be used and cannot be.
pub fn asker(settings: &Settings) -> Result<MessageAuthenticator, ResolverError> {
    let (config, mut options) = if settings.resolvers.is_empty() {
        let (read, options) = read_system_conf()?;
        // Names asked here are always whole: no search list is to lead elsewhere.
        (ResolverConfig::from_name_servers(read.name_servers().to_vec()), options)
    } else {
        let servers = settings.resolvers.iter().map(server).collect();
        (ResolverConfig::from_name_servers(servers), ResolverOpts::default())
    };
    options.timeout = settings.question_timeout;
    options.attempts = TRIES;
    options.cache_size = CACHED_ANSWERS_MAX;
    options.use_hosts_file = ResolveHosts::Never;
    options.positive_max_ttl = Some(ANSWER_KEPT);
    options.negative_max_ttl = Some(ABSENCE_KEPT);
    options.case_randomization = true;
    Ok(MessageAuthenticator::new(config, options)?)
}

/// Whether an answer of a list says "listed": some address in 127.0.0.0/8, but none of those with which lists say that they
/// do not answer this resolver (127.255.255.0/24), and not 127.0.0.1, which a list has for itself (RFC 5782 §5).
fn is_listing(answer: &Ipv4Addr) -> bool {
    let octets = answer.octets();
    answer.is_loopback() && *answer != Ipv4Addr::LOCALHOST && octets.get(..3) != Some(&[127, 255, 255])
}

fn late() -> mail_auth::Error {
    mail_auth::Error::Dns(mail_auth::DnsError::Resolver("the time for this message was over".to_owned()))
}

/// A resolver of the operator, over UDP and for long answers TCP.
fn server(address: &SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    NameServerConfig::new(address.ip(), true, vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())])
}

/// The sender as SPF's macros see it, and its domain; empty for an address literal.
fn sender_of(mailbox: &Mailbox) -> (String, String) {
    let Some(domain) = mailbox.domain() else { return (String::new(), String::new()) };
    (format!("{}@{domain}", mailbox.local_part.unquoted()), domain.to_string())
}

/// A header section, and how far the content was read for it.
struct Section {
    header: HeaderSection,
    body_begins: Vec<u8>,
    pieces_read: u32,
}

/// None when there is no end of it within reason.
async fn collect(subject: &Subject, spool: &dyn SpoolStore) -> Result<Option<Section>, SpoolError> {
    let mut header = HeaderSection::default();
    for ordinal in 0..subject.chunks {
        let piece = spool.body_chunk(subject.id, ordinal).await?;
        match header.add(&piece) {
            Collected::NeedMore => {}
            Collected::End(body_begins) => {
                return Ok(Some(Section { header, body_begins, pieces_read: ordinal + 1 }));
            }
            Collected::TooLong => return Ok(None),
        }
    }
    // A header section alone, without an empty line, is a message too.
    Ok(Some(Section { header, body_begins: Vec::new(), pieces_read: subject.chunks }))
}

/// False when the body is larger than what is hashed.
async fn hash_body(
    signed: &mut Signed<'_>,
    section: &Section,
    subject: &Subject,
    spool: &dyn SpoolStore,
) -> Result<bool, SpoolError> {
    if !signed.needs_body() {
        return Ok(true);
    }
    let mut hashes = signed.body_hashes();
    hashes.add(&section.body_begins);
    let mut octets = section.body_begins.len() as u64;
    for ordinal in section.pieces_read..subject.chunks {
        let piece = spool.body_chunk(subject.id, ordinal).await?;
        octets += piece.len() as u64;
        if octets > BODY_OCTETS_MAX {
            return Ok(false);
        }
        hashes.add(&piece);
    }
    signed.set_body(hashes);
    Ok(true)
}
