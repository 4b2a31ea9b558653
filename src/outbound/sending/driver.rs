//! One attempt for one mail: targets one after the other, TLS where it is offered, a login where one is configured.

use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;
use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::base::{DomainName, EndpointId, ReversePath, SpoolId};
use crate::delivery::connection::{Connection, Ledger, Offer};
use crate::delivery::handing::Attributes;
use crate::delivery::opening::{OpenFailure, Opened, Opening};
use crate::delivery::outcome::{Verdict, later};
use crate::delivery::route::Leg;
use crate::delivery::tls::{ClientTls, TlsFacts};
use crate::outbound::lookup::{Lookup, NoHosts, Target};
use crate::outbound::model::{MailEnd, Outgoing};
use crate::outbound::route::{TRIED_FOR, wait_after};
use crate::outbound::settings::{Settings, SmartHost};
use crate::spool::{BodyType, Claimed, ClaimedRecipient, MessageDsn, Notify, RecipientDsn, SpoolStore};
use crate::{base::WallTime, delivery::target::TargetRules};

/// What sending works with.
pub struct Sending<'a> {
    /// Settings of the room.
    pub settings: &'a Settings,
    /// The DNS.
    pub lookup: &'a Lookup,
    /// Client side of TLS.
    pub tls: &'a ClientTls,
    /// Asked by the connection for content that it does not have; it has all of it.
    pub spool: &'a dyn SpoolStore,
}

/// What one target came to.
enum Try {
    Sent(String),
    Refused(String),
    Not(String),
}

/// Nothing has to be written before the dot: a mail that arrives twice has one Message-ID.
struct NoNotes;

#[async_trait]
impl Ledger for NoNotes {
    async fn before_dot(&self, _message: SpoolId) -> bool {
        true
    }
}

impl Sending<'_> {
    /// Makes one attempt. `draw` chooses among hosts of one preference.
    pub async fn attempt(&self, outgoing: &Outgoing, draw: u32, now: WallTime) -> MailEnd {
        let why = match self.targets(outgoing, draw).await {
            Err(NoHosts::ForGood(why)) => return MailEnd::GivenUp(why),
            Err(NoHosts::ForNow(why)) => why,
            Ok(targets) => {
                let mut last = "nowhere to connect to".to_owned();
                for target in targets {
                    match self.try_target(outgoing, &target).await {
                        Try::Sent(words) => return MailEnd::Sent(format!("{}: {words}", target.host)),
                        Try::Refused(words) => return MailEnd::GivenUp(format!("{}: {words}", target.host)),
                        Try::Not(words) => last = format!("{}: {words}", target.host),
                    }
                }
                last
            }
        };
        if now - outgoing.made_at >= chrono::TimeDelta::from_std(TRIED_FOR).unwrap_or(chrono::TimeDelta::MAX) {
            return MailEnd::GivenUp(format!("tried for {} days: {why}", TRIED_FOR.as_secs() / 86_400));
        }
        MailEnd::Later { until: later(now, wait_after(outgoing.attempts.saturating_add(1))), why }
    }

    async fn targets(&self, outgoing: &Outgoing, draw: u32) -> Result<Vec<Target>, NoHosts> {
        let Some(SmartHost { host, port, .. }) = &self.settings.smart_host else {
            let domain = outgoing.mail.recipient.domain();
            let domain = domain.ok_or_else(|| NoHosts::ForGood("no domain to look up".to_owned()))?;
            let rules: TargetRules<'_> = self.settings.delivery.target_rules();
            let own = &self.settings.delivery.hostname;
            return self.lookup.targets(domain, own, (self.settings.mx_port, draw), rules).await;
        };
        let name = DomainName::parse(host).map_err(|_| NoHosts::ForNow(format!("'{host}' is no name of a host")))?;
        // The operator named it, so it may be private; a way back to ourselves is found when it is connected to.
        let addresses = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => self.lookup.addresses(&name).await,
        };
        if addresses.is_empty() {
            return Err(NoHosts::ForNow(format!("{name} has no address")));
        }
        let target = |address| Target { host: name.clone(), address: std::net::SocketAddr::new(address, *port) };
        Ok(addresses.into_iter().map(target).collect())
    }

    async fn try_target(&self, outgoing: &Outgoing, target: &Target) -> Try {
        let login = self.settings.smart_host.as_ref().and_then(|host| host.login.as_ref());
        let opened = match self.open(target, false).await {
            // Opportunistic: better in plain text than not at all (RFC 7435 §1), unless a password is to be said.
            Err(OpenFailure::Handshake(_)) if login.is_none() => self.open(target, true).await,
            opened => opened,
        };
        let mut opened = match opened {
            Ok(opened) => opened,
            Err(failure) => return Try::Not(failure.to_string()),
        };
        if let Some(login) = login
            && let Err(why) = self.log_in(&opened, target, login).await
        {
            return Try::Not(why);
        }
        // Nobody else's mail: there is no client to hand on.
        opened.offered.xclient = Attributes::default();
        opened.offered.xforward = Attributes::default();
        self.deliver(outgoing, opened).await
    }

    async fn open(&self, target: &Target, is_plain: bool) -> Result<Opened, OpenFailure> {
        let settings = &self.settings.delivery;
        let leg = Leg {
            endpoint: EndpointId(0),
            host: target.host.clone(),
            target: target.address,
            pin: None,
            domains: Vec::new(),
            takes_mail: true,
            is_detour: false,
        };
        let greeting = settings.timeouts.greeting;
        Opening { settings, leg: &leg, tls: self.tls, is_plain, greeting }.run().await
    }

    /// `AUTH PLAIN` (RFC 4616), or `AUTH LOGIN` for servers that know no better; over TLS to the named host only, or
    /// within this machine.
    async fn log_in(
        &self,
        opened: &Opened,
        target: &Target,
        (user, password): &(String, String),
    ) -> Result<(), String> {
        if !may_say_password(opened.tls.as_ref(), target.address.ip()) {
            return Err("the login is not said: the connection is not encrypted, or not with that host".to_owned());
        }
        let plain = BASE64.encode(format!("\0{user}\0{password}").as_bytes());
        let reply = self.say(opened, &format!("AUTH PLAIN {plain}\r\n")).await?;
        if reply.class() == 2 {
            return Ok(());
        }
        if reply.code != 504 {
            return Err(format!("the login was refused: {} {}", reply.code, reply.text()));
        }
        for word in ["AUTH LOGIN".to_owned(), BASE64.encode(user.as_bytes()), BASE64.encode(password.as_bytes())] {
            let reply = self.say(opened, &format!("{word}\r\n")).await?;
            if reply.class() == 2 {
                return Ok(());
            }
            if reply.class() != 3 {
                return Err(format!("the login was refused: {} {}", reply.code, reply.text()));
            }
        }
        Err("the login came to no end".to_owned())
    }

    async fn say(&self, opened: &Opened, line: &str) -> Result<crate::delivery::wire::Reply, String> {
        let asked = async {
            opened.stream.send(line.as_bytes()).await.map_err(|error| error.to_string())?;
            opened.stream.read_reply().await.map_err(|error| error.to_string())
        };
        timeout(self.settings.delivery.timeouts.command, asked).await.map_err(|_| "no answer in time".to_owned())?
    }

    async fn deliver(&self, outgoing: &Outgoing, opened: Opened) -> Try {
        let settings = &self.settings.delivery;
        let mut connection = match Connection::begin(opened, &settings.hostname, settings.timeouts, false).await {
            Ok(connection) => connection,
            Err(why) => return Try::Not(why),
        };
        let message = claimed(outgoing);
        let content: Bytes = outgoing.mail.content.clone();
        let offer = Offer { message: &message, head: Some(&content) };
        let forever = std::future::pending::<String>();
        let attempt = connection.deliver(offer, self.spool, &NoNotes, &|| true, forever).await;
        if attempt.ended.is_none() {
            connection.quit().await;
        }
        let verdict = attempt.verdicts.into_iter().next().map(|(_, verdict)| verdict);
        let said = |reply: crate::spool::DeliveryReply| {
            let code = reply.code.map(|code| format!("{code} ")).unwrap_or_default();
            format!("{code}{}", reply.text)
        };
        match verdict {
            Some(Verdict::Delivered(reply)) => Try::Sent(said(reply)),
            Some(Verdict::Refused(reply, _)) => Try::Refused(said(reply)),
            Some(Verdict::Deferred(reply) | Verdict::MailboxFull(reply)) => Try::Not(said(reply)),
            None => Try::Not(attempt.ended.unwrap_or_else(|| "it was not offered".to_owned())),
        }
    }
}

/// The mail as a connection takes it.
fn claimed(outgoing: &Outgoing) -> Claimed {
    let content = &outgoing.mail.content;
    Claimed {
        id: SpoolId::from_i64(outgoing.id),
        accepted_at: outgoing.made_at,
        reverse_path: ReversePath::Null,
        smtputf8: outgoing.mail.smtputf8,
        requires_tls: false,
        body: if content.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
        dsn: MessageDsn::default(),
        trace: Bytes::new(),
        sha256: Sha256::digest(content).into(),
        octets: u64::try_from(content.len()).unwrap_or(u64::MAX),
        chunks: 1,
        peer: std::net::Ipv4Addr::UNSPECIFIED.into(),
        helo: String::new(),
        recipients: vec![ClaimedRecipient {
            ordinal: 0,
            mailbox: outgoing.mail.recipient.clone(),
            // RFC 3461 §6.1: no report about a report.
            dsn: RecipientDsn { notify: Some(Notify::Never), original_recipient: None },
            attempts: 0,
            refusals: 0,
            is_known_good: false,
        }],
    }
}

/// Whether a password may be said: to the host whose name an authority vouches for, or within this machine.
fn may_say_password(tls: Option<&TlsFacts>, peer: IpAddr) -> bool {
    tls.is_some_and(|tls| tls.is_name_valid) || peer.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_said_to_the_named_host_or_to_nobody() {
        let far: IpAddr = "192.0.2.1".parse().unwrap();
        let tls = |is_name_valid| TlsFacts {
            version: "TLSv1_3".to_owned(),
            cipher: String::new(),
            spki_sha256: None,
            is_name_valid,
        };
        assert!(!may_say_password(None, far));
        assert!(!may_say_password(Some(&tls(false)), far));
        assert!(may_say_password(Some(&tls(true)), far));
        assert!(may_say_password(None, IpAddr::from([127, 0, 0, 1])));
    }
}
