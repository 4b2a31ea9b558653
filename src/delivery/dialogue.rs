//! The envelope of one transaction: what is said, and what the replies settle for each recipient.

use lettre::Address;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{MailBodyParameter, MailParameter, RcptParameter};

use super::outcome::{RecipientVerdict, Stage, Verdict, is_about_one_of_several, judge, judge_recipient, silence};
use super::wire::{Capabilities, Reply};
use crate::base::{Mailbox, ReversePath};
use crate::spool::{BodyType, Claimed, ClaimedRecipient, MessageDsn, RecipientDsn};

/// Why a message cannot be offered to this server. It is kept and shown.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unsendable {
    /// RFC 6531 §3.5 in the words of `553 5.6.7`.
    #[error("5.6.7 the mail server does not offer SMTPUTF8, which this message needs; the message is kept")]
    NeedsSmtpUtf8,
    /// RFC 8689 §4.2.1: the sender demands a way that stays proven and encrypted.
    #[error(
        "5.7.30 the sender demands TLS (REQUIRETLS), which the mail server does not offer over a connection whose key is proven; the message is kept"
    )]
    NeedsRequireTls,
    /// A character that could end the command early.
    #[error("an address of the envelope has a character that cannot be sent safely; the message is kept")]
    UnsafeAddress,
}

/// What is said for one transaction, each command with its CRLF.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Script {
    /// MAIL.
    pub mail: String,
    /// One RCPT for each recipient.
    pub rcpts: Vec<String>,
    /// DATA.
    pub data: String,
}

impl Script {
    /// All in one, for a server that offers PIPELINING (RFC 2920 §3.1).
    #[must_use]
    pub fn pipelined(&self) -> String {
        [self.mail.as_str(), &self.rcpts.concat(), &self.data].concat()
    }
}

/// Composes the commands.
///
/// # Errors
/// [`Unsendable`]: the message must not be offered to this server.
pub fn script(
    message: &Claimed,
    recipients: &[&ClaimedRecipient],
    offered: Capabilities,
) -> Result<Script, Unsendable> {
    if message.smtputf8 && !offered.smtputf8 {
        return Err(Unsendable::NeedsSmtpUtf8);
    }
    if message.requires_tls && !offered.require_tls {
        return Err(Unsendable::NeedsRequireTls);
    }
    let mut parameters = Vec::new();
    if offered.size.is_some() {
        let trace = u64::try_from(message.trace.len()).unwrap_or(u64::MAX);
        let octets = usize::try_from(message.octets.saturating_add(trace)).unwrap_or(usize::MAX);
        parameters.push(MailParameter::Size(octets));
    }
    if message.body == BodyType::EightBitMime && offered.eight_bit_mime {
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    if message.smtputf8 {
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if message.requires_tls {
        parameters.push(MailParameter::Other { keyword: "REQUIRETLS".to_owned(), value: None });
    }
    if offered.dsn {
        parameters.extend(mail_dsn(&message.dsn));
    }
    let sender = match &message.reverse_path {
        ReversePath::Null => None,
        ReversePath::Mailbox(mailbox) => Some(address(mailbox, message.smtputf8)?),
    };
    let rcpts = recipients
        .iter()
        .map(|recipient| {
            let wanted = if offered.dsn { rcpt_dsn(&recipient.dsn) } else { Vec::new() };
            Ok(Rcpt::new(address(&recipient.mailbox, message.smtputf8)?, wanted).to_string())
        })
        .collect::<Result<Vec<String>, Unsendable>>()?;
    Ok(Script { mail: Mail::new(sender, parameters).to_string(), rcpts, data: Data.to_string() })
}

/// `RET` and `ENVID`, as the sender said them (RFC 3461 §5.1). Lettre writes values as xtext.
fn mail_dsn(dsn: &MessageDsn) -> Vec<MailParameter> {
    let values = [("RET", dsn.ret.map(|ret| ret.to_string())), ("ENVID", dsn.envelope_id.clone())];
    let said = |(keyword, value): (&str, Option<String>)| {
        let value = Some(value.filter(|value| is_safe(value))?);
        Some(MailParameter::Other { keyword: keyword.to_owned(), value })
    };
    values.into_iter().filter_map(said).collect()
}

/// `NOTIFY` and `ORCPT`, the same.
fn rcpt_dsn(dsn: &RecipientDsn) -> Vec<RcptParameter> {
    let values = [("NOTIFY", dsn.notify.map(|notify| notify.to_string())), ("ORCPT", dsn.original_recipient.clone())];
    let said = |(keyword, value): (&str, Option<String>)| {
        let value = Some(value.filter(|value| is_safe(value))?);
        Some(RcptParameter::Other { keyword: keyword.to_owned(), value })
    };
    values.into_iter().filter_map(said).collect()
}

/// Lettre's xtext has control characters wrong; intake refuses them, and whatever has them all the same stays here.
fn is_safe(value: &str) -> bool {
    !value.chars().any(char::is_control)
}

/// Lettre's own check refuses addresses that exist (`a..b@`); what must not be on the wire is checked here instead.
fn address(mailbox: &Mailbox, smtputf8: bool) -> Result<Address, Unsendable> {
    let local = mailbox.local_part.as_str();
    if local.chars().any(|c| c.is_control() || matches!(c, '<' | '>')) {
        return Err(Unsendable::UnsafeAddress);
    }
    if !smtputf8 && !local.is_ascii() {
        return Err(Unsendable::NeedsSmtpUtf8);
    }
    Ok(Address::new_dangerous(local, mailbox.domain_as_written()))
}

/// Where one recipient stands in the transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stand {
    Open,
    Accepted,
    NextTransaction,
    Settled(Verdict),
}

/// What the replies of one transaction settle.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    recipients: Vec<(u32, Stand)>,
}

impl Transaction {
    /// Nothing was said yet.
    #[must_use]
    pub fn new(recipients: &[&ClaimedRecipient]) -> Self {
        Self { recipients: recipients.iter().map(|recipient| (recipient.ordinal, Stand::Open)).collect() }
    }

    /// The reply to MAIL; anything but 2yz settles every recipient.
    pub fn handle_mail(&mut self, reply: &Reply) {
        if reply.class() != 2 {
            self.settle(&judge(reply, Stage::Mail));
        }
    }

    /// The reply to the RCPT at this place. After a refused MAIL it means nothing.
    pub fn handle_rcpt(&mut self, place: usize, reply: &Reply) {
        let others_accepted = self.has_accepted();
        let Some((_, stand)) = self.recipients.get_mut(place) else { return };
        if *stand == Stand::Open {
            *stand = match judge_recipient(reply, others_accepted) {
                RecipientVerdict::Accepted => Stand::Accepted,
                RecipientVerdict::NextTransaction => Stand::NextTransaction,
                RecipientVerdict::Settled(verdict) => Stand::Settled(verdict),
            };
        }
    }

    /// Another reply than 354 to DATA.
    pub fn handle_data_refused(&mut self, reply: &Reply) {
        self.settle(&judge(reply, Stage::Data));
    }

    /// The reply to the final dot. `true` if it is about one of several recipients: they go one by one from now on.
    pub fn handle_final(&mut self, reply: &Reply) -> bool {
        let is_split = is_about_one_of_several(reply, self.accepted().len());
        for (_, stand) in &mut self.recipients {
            match stand {
                Stand::Accepted if is_split => *stand = Stand::NextTransaction,
                Stand::Accepted => *stand = Stand::Settled(judge(reply, Stage::Final)),
                // Never part of the transaction, so a 2yz says nothing of it.
                Stand::Open => *stand = Stand::Settled(Verdict::Deferred(silence("no reply came to RCPT"))),
                Stand::NextTransaction | Stand::Settled(_) => {}
            }
        }
        is_split
    }

    /// Settles every recipient that no reply has settled, be it accepted or not.
    pub fn settle(&mut self, verdict: &Verdict) {
        for (_, stand) in &mut self.recipients {
            if matches!(stand, Stand::Open | Stand::Accepted) {
                *stand = Stand::Settled(verdict.clone());
            }
        }
    }

    /// Whether DATA has anybody to go to.
    #[must_use]
    pub fn has_accepted(&self) -> bool {
        self.recipients.iter().any(|(_, stand)| *stand == Stand::Accepted)
    }

    /// Ordinals of those that were accepted and wait for the final reply.
    #[must_use]
    pub fn accepted(&self) -> Vec<u32> {
        self.recipients.iter().filter(|(_, stand)| *stand == Stand::Accepted).map(|(ordinal, _)| *ordinal).collect()
    }

    /// Ordinals with their verdicts. The others are for the next transaction, or the attempt never came to them.
    #[must_use]
    pub fn into_verdicts(self) -> Vec<(u32, Verdict)> {
        self.recipients
            .into_iter()
            .filter_map(|(ordinal, stand)| match stand {
                Stand::Settled(verdict) => Some((ordinal, verdict)),
                Stand::Open | Stand::Accepted | Stand::NextTransaction => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::SpoolId;
    use crate::spool::{Notify, Return};

    fn message(reverse_path: &str, to: &[&str], smtputf8: bool) -> Claimed {
        let recipients = to
            .iter()
            .zip(0..)
            .map(|(text, ordinal)| ClaimedRecipient {
                ordinal,
                mailbox: Mailbox::parse(text, true).unwrap(),
                attempts: 0,
                refusals: 0,
                dsn: RecipientDsn::default(),
                is_known_good: false,
            })
            .collect();
        Claimed {
            id: SpoolId::from_i64(1),
            accepted_at: chrono::DateTime::UNIX_EPOCH,
            reverse_path: ReversePath::parse(reverse_path, true).unwrap(),
            smtputf8,
            requires_tls: false,
            body: BodyType::EightBitMime,
            dsn: MessageDsn::default(),
            trace: bytes::Bytes::from_static(b"R: x\r\n"),
            sha256: [0; 32],
            octets: 10,
            chunks: 1,
            peer: std::net::IpAddr::from([192, 0, 2, 7]),
            helo: "mx.x.example".to_owned(),
            recipients,
        }
    }

    fn compose(message: &Claimed, offered: Capabilities) -> Result<String, Unsendable> {
        let recipients: Vec<&ClaimedRecipient> = message.recipients.iter().collect();
        Ok(script(message, &recipients, offered)?.pipelined())
    }

    #[test]
    fn the_envelope_uses_what_the_server_offers() {
        let mail = message("a..b@x.example", &["\"c d\"@firma.example"], false);
        assert_eq!(
            compose(&mail, Capabilities::default()).unwrap(),
            "MAIL FROM:<a..b@x.example>\r\nRCPT TO:<\"c d\"@firma.example>\r\nDATA\r\n"
        );
        let offered = Capabilities { size: Some(0), eight_bit_mime: true, smtputf8: true, ..Capabilities::default() };
        let bounce = message("", &["jörg@firma.example"], true);
        assert_eq!(
            compose(&bounce, offered).unwrap(),
            "MAIL FROM:<> SIZE=16 BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<jörg@firma.example>\r\nDATA\r\n"
        );
    }

    #[test]
    fn what_the_sender_wants_to_be_told_goes_on_to_a_server_that_offers_dsn() {
        let mut mail = message("a@x.example", &["b@firma.example", "c@firma.example"], false);
        mail.dsn = MessageDsn { ret: Some(Return::Headers), envelope_id: Some("a+b= c".to_owned()) };
        mail.recipients[0].dsn = RecipientDsn {
            notify: Some(Notify::When { success: true, failure: true, delay: false }),
            original_recipient: Some("rfc822;Bob+x@a.example".to_owned()),
        };
        mail.recipients[1].dsn.notify = Some(Notify::Never);
        let offered = Capabilities { dsn: true, ..Capabilities::default() };
        assert_eq!(
            compose(&mail, offered).unwrap(),
            "MAIL FROM:<a@x.example> RET=HDRS ENVID=a+2Bb+3D+20c\r\n\
             RCPT TO:<b@firma.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+2Bx@a.example\r\n\
             RCPT TO:<c@firma.example> NOTIFY=NEVER\r\nDATA\r\n"
        );
        assert!(!compose(&mail, Capabilities::default()).unwrap().contains('='));
        mail.dsn.envelope_id = Some("a\r\nQUIT".to_owned());
        assert!(compose(&mail, offered).unwrap().starts_with("MAIL FROM:<a@x.example> RET=HDRS\r\n"));
    }

    #[test]
    fn what_the_server_cannot_take_is_not_offered() {
        let utf8 = message("", &["a@firma.example"], true);
        assert_eq!(compose(&utf8, Capabilities::default()), Err(Unsendable::NeedsSmtpUtf8));
        let odd = message("", &["\"a>b\"@firma.example"], false);
        assert_eq!(compose(&odd, Capabilities::default()), Err(Unsendable::UnsafeAddress));
    }

    #[test]
    fn mail_that_demands_tls_leaves_with_its_demand_or_stays() {
        let mut mail = message("a@x.example", &["b@firma.example"], false);
        mail.requires_tls = true;
        assert_eq!(
            compose(&mail, Capabilities { dsn: true, ..Capabilities::default() }),
            Err(Unsendable::NeedsRequireTls)
        );
        assert!(Unsendable::NeedsRequireTls.to_string().starts_with("5.7.30 "));
        let offered = Capabilities { require_tls: true, ..Capabilities::default() };
        assert!(compose(&mail, offered).unwrap().starts_with("MAIL FROM:<a@x.example> REQUIRETLS\r\n"));
        mail.requires_tls = false;
        assert!(!compose(&mail, offered).unwrap().contains("REQUIRETLS"));
    }

    #[test]
    fn each_recipient_has_its_own_verdict() {
        let mail = message("", &["a@x.example", "b@x.example", "c@x.example", "d@x.example"], false);
        let recipients: Vec<&ClaimedRecipient> = mail.recipients.iter().collect();
        let reply = |code, text: &str| Reply { code, lines: vec![text.to_owned()] };
        let mut transaction = Transaction::new(&recipients);
        transaction.handle_mail(&reply(250, "ok"));
        transaction.handle_rcpt(0, &reply(250, "ok"));
        transaction.handle_rcpt(1, &reply(550, "no"));
        transaction.handle_rcpt(2, &reply(452, "too many"));
        assert!(transaction.has_accepted());
        let mut lost = transaction.clone();
        transaction.handle_final(&reply(250, "taken"));
        let verdicts = transaction.into_verdicts();
        assert!(matches!(verdicts[0], (0, Verdict::Delivered(_))));
        assert!(matches!(verdicts[1], (1, Verdict::Refused(..))));
        assert!(matches!(verdicts[2], (3, Verdict::Deferred(_))), "a 250 after the dot for an open one is no delivery");
        lost.settle(&Verdict::Deferred(silence("lost")));
        assert!(matches!(lost.into_verdicts()[0], (0, Verdict::Deferred(_))));
    }

    #[test]
    fn a_refused_mail_settles_everybody_whatever_rcpt_says() {
        let mail = message("", &["a@x.example"], false);
        let recipients: Vec<&ClaimedRecipient> = mail.recipients.iter().collect();
        let mut transaction = Transaction::new(&recipients);
        transaction.handle_mail(&Reply { code: 451, lines: vec!["later".to_owned()] });
        transaction.handle_rcpt(0, &Reply { code: 503, lines: vec!["MAIL first".to_owned()] });
        assert!(!transaction.has_accepted());
        assert!(matches!(transaction.into_verdicts()[0], (0, Verdict::Deferred(_))));
    }
}
