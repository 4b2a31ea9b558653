//! Every reply a peer can read: code, enhanced status code (RFC 2034 §4, RFC 3463 §3) and text.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

use super::session::Security;
use super::settings::RECIPIENTS_MAX;
use crate::base::{DomainName, SpoolId, WallTime};

/// One reply of one or more lines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Three digits (RFC 5321 §4.2).
    pub code: u16,
    /// `x.y.z`; empty where RFC 2034 §4 wants none (greeting, EHLO, 354).
    pub enhanced: &'static str,
    /// Lines; at least one.
    pub text: Cow<'static, str>,
}

/// How the line to the primary stands, as far as a sender is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whereabouts {
    /// Beats come.
    There,
    /// Beats have stopped, or the line comes and goes.
    Missing {
        /// Since then.
        since: Option<WallTime>,
    },
    /// Beats have stopped, and the customer said that he would be away. Until when is nobody else's business.
    Away,
    /// A beat is missed; nothing is known yet.
    Doubtful,
    /// No beat was ever heard.
    NeverSeen,
    /// It is mail for the postmaster of this host, which no primary gets.
    Here,
}

impl Reply {
    /// A reply that always has the same words.
    #[must_use]
    pub const fn new(code: u16, enhanced: &'static str, text: &'static str) -> Self {
        Self { code, enhanced, text: Cow::Borrowed(text) }
    }

    fn with_text(code: u16, enhanced: &'static str, text: String) -> Self {
        Self { code, enhanced, text: Cow::Owned(text) }
    }

    /// Whether it refuses or defers what was asked.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        self.code >= 400
    }

    /// Appends the reply as it goes over the wire.
    pub fn write_to(&self, output: &mut BytesMut) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let mut digits = [b'0'; 3];
            let mut rest = self.code;
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
                rest /= 10;
            }
            output.put_slice(&digits);
            output.put_u8(if lines.peek().is_some() { b'-' } else { b' ' });
            if !self.enhanced.is_empty() {
                output.put_slice(self.enhanced.as_bytes());
                output.put_u8(b' ');
            }
            output.put_slice(line.as_bytes());
            output.put_slice(b"\r\n");
        }
    }
}

/// The greeting (RFC 5321 §4.3.1).
#[must_use]
pub fn greeting(hostname: &DomainName) -> Reply {
    Reply::with_text(220, "", format!("{hostname} ESMTP pulsemx backup MX"))
}

/// The answer to EHLO: one line for each extension (RFC 5321 §4.1.1.1).
///
/// LIMITS tells what really holds: recipients of a transaction, and no MAILMAX, since a session takes any number of
/// messages (RFC 9422 §4). BINARYMIME is not offered: the way out speaks DATA. `tls`: what the way itself allows,
/// STARTTLS before it and REQUIRETLS under it (RFC 8689 §3). `offers_auth`: a customer may prove himself (RFC 4954 §3).
#[must_use]
pub fn ehlo(hostname: &DomainName, message_octets_max: u64, tls: &Security, offers_auth: bool) -> Reply {
    let tls = match tls {
        Security::Plain { offers_tls: true } => "\nSTARTTLS",
        Security::Plain { offers_tls: false } => "",
        Security::Tls { .. } => "\nREQUIRETLS",
    };
    let auth = if offers_auth { "\nAUTH PLAIN LOGIN" } else { "" };
    Reply::with_text(
        250,
        "",
        format!(
            "{hostname}\nPIPELINING\nSIZE {message_octets_max}\nETRN\n8BITMIME\nSMTPUTF8\nCHUNKING\nDSN{tls}{auth}\nENHANCEDSTATUSCODES\nLIMITS RCPTMAX={RECIPIENTS_MAX}"
        ),
    )
}

/// The answer to HELO.
#[must_use]
pub fn helo(hostname: &DomainName) -> Reply {
    Reply::with_text(250, "", hostname.to_string())
}

/// The message is ours: said only after the commit.
#[must_use]
pub fn stored(id: SpoolId, domain: &DomainName, further_domains: usize, primary: Whereabouts) -> Reply {
    let also = match further_domains {
        0 => String::new(),
        1 => " and 1 more domain".to_owned(),
        n => format!(" and {n} more domains"),
    };
    let text = match primary {
        Whereabouts::There => format!("{id} stored, on its way to {domain}{also}"),
        Whereabouts::Doubtful => format!("{id} held for {domain}{also}, primary missed a heartbeat"),
        Whereabouts::NeverSeen => format!("{id} held for {domain}{also}, primary not seen yet"),
        Whereabouts::Here => format!("{id} kept for the postmaster of {domain}{also}"),
        Whereabouts::Away => format!("{id} held for {domain}{also}, primary away as announced"),
        Whereabouts::Missing { since: None } => format!("{id} held for {domain}{also}, primary offline"),
        Whereabouts::Missing { since: Some(since) } => {
            format!("{id} held for {domain}{also}, primary offline since {}", since.format("%Y-%m-%dT%H:%MZ"))
        }
    };
    Reply::with_text(250, "2.0.0", text)
}

/// What a primary said, passed on; the text has its enhanced codes.
#[must_use]
pub fn passed(code: u16, text: String) -> Reply {
    Reply::with_text(code, "", text)
}

/// The primary takes mail itself: the sender is to use it (account in mode *defer*).
pub const USE_PRIMARY: Reply = Reply::new(451, "4.3.2", "primary mail server is online, please use it");
/// Domain of a recipient that we do not serve: we are nobody's relay.
pub const NOT_SERVED: Reply =
    Reply::new(550, "5.7.1", "we take mail only for our customers' domains; outgoing mail is not handled here");
/// A recipient with a route to somebody else.
pub const ROUTED: Reply =
    Reply::new(550, "5.7.1", "addresses that name a route are not taken; we take mail only for our customers");
/// The customer leaves; senders come again until the MX record is gone.
pub const LEAVING: Reply = Reply::new(450, "4.3.2", "this domain is leaving our service; try its own mail server");
/// The customer left; the grace for stale MX records is over (RFC 3463 §3.2: X.1.2).
pub const GONE: Reply =
    Reply::new(550, "5.1.2", "this domain is not served here any more; look up its MX records again");
/// The contract rests and no more is taken; what is held stays. Never a refusal: the sender would give up.
pub const SUSPENDED: Reply = Reply::new(450, "4.3.2", "the service for this domain is suspended; try again later");
/// What we know of the domain cannot be read just now.
pub const UNREADABLE: Reply = Reply::new(451, "4.3.0", "local trouble with this domain; try again later");
/// The customer has no such mailbox, as far as his list or his server told us (RFC 3463 §3.2: X.1.1).
pub const NO_MAILBOX: Reply = Reply::new(550, "5.1.1", "there is no such mailbox at this customer");
/// Nobody here can tell whether the mailbox exists.
pub const UNVERIFIED: Reply =
    Reply::new(450, "4.1.1", "this mailbox cannot be verified while its own server is away; try again later");
/// Free space is down to the reserve that flushes and history need (RFC 3463 §3.4: X.3.1).
pub const DISK_FULL: Reply = Reply::new(452, "4.3.1", "not enough disk space here; try again later");
/// The account's share of the spool is used up.
pub const ACCOUNT_FULL: Reply = Reply::new(452, "4.2.2", "too much mail is waiting for this customer; try again later");
/// The mailbox named for `<Postmaster>` is in no served domain.
pub const NO_POSTMASTER: Reply = Reply::new(450, "4.2.1", "postmaster mailbox is not set up; try again later");
/// More recipients than one transaction takes.
pub const TOO_MANY_RECIPIENTS: Reply =
    Reply::new(452, "4.5.3", "too many recipients; send to the others in another transaction");
/// RCPT accepted.
pub const RECIPIENT_OK: Reply = Reply::new(250, "2.1.5", "recipient OK");
/// MAIL accepted.
pub const SENDER_OK: Reply = Reply::new(250, "2.1.0", "sender OK");
/// RSET, NOOP.
pub const OK: Reply = Reply::new(250, "2.0.0", "OK");
/// DATA accepted.
pub const START_CONTENT: Reply = Reply::new(354, "", "end with <CRLF>.<CRLF>");
/// BDAT accepted, more to come.
pub const CHUNK_OK: Reply = Reply::new(250, "2.0.0", "chunk received");
/// QUIT.
pub const BYE: Reply = Reply::new(221, "2.0.0", "bye");
/// VRFY: the same for every address, so that nothing is learned from it (RFC 5321 §7.3).
pub const VERIFY: Reply = Reply::new(252, "2.0.0", "cannot verify, but send it and we shall try");
/// HELP.
pub const HELP: Reply = Reply::new(
    214,
    "2.0.0",
    "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY ETRN STARTTLS QUIT\nthis host takes mail for its customers while their own server is away",
);
/// STARTTLS accepted.
pub const START_TLS: Reply = Reply::new(220, "2.0.0", "ready for TLS");
/// STARTTLS without a certificate.
pub const NO_TLS: Reply = Reply::new(502, "5.5.1", "STARTTLS is not offered here");
/// STARTTLS in a session that has TLS (RFC 3207 §4.2: it is not offered again).
pub const TLS_ALREADY: Reply = Reply::new(503, "5.5.1", "this session has TLS already");
/// Octets came behind STARTTLS before the handshake: somebody injects (RFC 3207 §6).
pub const TLS_INJECTION: Reply = Reply::new(554, "5.5.1", "nothing may follow STARTTLS before the handshake");

/// Verb that no SMTP server has, or we do not.
pub const UNKNOWN_VERB: Reply = Reply::new(500, "5.5.1", "command not recognised");
/// Verb known but not offered (EXPN, TURN, AUTH, ...).
pub const NOT_OFFERED: Reply = Reply::new(502, "5.5.1", "command not offered here");
/// ETRN by somebody who is not the server behind the heartbeat (RFC 1985 §5.3).
pub const ETRN_NOT_ALLOWED: Reply =
    Reply::new(459, "4.7.1", "only the server whose heartbeats come from your address may ask for its mail");
/// ETRN with the name of a queue.
pub const ETRN_NO_QUEUE: Reply = Reply::new(458, "4.5.4", "queues have no names here; say the domain");
/// ETRN again and again.
pub const ETRN_TOO_OFTEN: Reply = Reply::new(458, "4.7.0", "asked too often; the mail is on its way");
/// ETRN for a server that is not there.
pub const ETRN_UNREACHABLE: Reply =
    Reply::new(458, "4.4.1", "no heartbeat comes from that server; its mail follows once one does");
/// ETRN without mail.
pub const ETRN_NOTHING: Reply = Reply::new(251, "2.0.0", "no messages waiting");

/// ETRN accepted.
#[must_use]
pub fn etrn_started(domain: &DomainName, waiting: u64) -> Reply {
    Reply::with_text(253, "2.0.0", format!("{waiting} pending messages for {domain} started"))
}

/// AUTH PLAIN without a response: it is asked for with an empty challenge (RFC 4616 §2).
pub const AUTH_GO_ON: Reply = Reply::new(334, "", "");
/// AUTH LOGIN: `Username:`.
pub const AUTH_NAME: Reply = Reply::new(334, "", "VXNlcm5hbWU6");
/// AUTH LOGIN: `Password:`.
pub const AUTH_SECRET: Reply = Reply::new(334, "", "UGFzc3dvcmQ6");
/// AUTH was right.
pub const AUTH_DONE: Reply = Reply::new(235, "2.7.0", "you may ask for your mail with ETRN");
/// AUTH was wrong, whatever was wrong about it.
pub const AUTH_WRONG: Reply = Reply::new(535, "5.7.8", "account or token is wrong");
/// AUTH was wrong too often.
pub const AUTH_TOO_OFTEN: Reply = Reply::new(421, "4.7.0", "account or token is wrong, once too often; closing");
/// AUTH again.
pub const AUTH_ALREADY: Reply = Reply::new(503, "5.5.1", "you have proven who you are already");
/// AUTH without TLS.
pub const AUTH_NEEDS_TLS: Reply = Reply::new(538, "5.7.11", "say STARTTLS first");
/// AUTH in a way that we have not.
pub const AUTH_UNKNOWN: Reply = Reply::new(504, "5.5.4", "there are PLAIN and LOGIN");
/// An answer to 334 that cannot be read.
pub const AUTH_NOT_BASE64: Reply = Reply::new(501, "5.5.2", "that is no response of this mechanism in base64");
/// `*` (RFC 4954 §4).
pub const AUTH_CANCELLED: Reply = Reply::new(501, "5.7.0", "cancelled");
/// Line beyond [`COMMAND_OCTETS_MAX`](super::settings::COMMAND_OCTETS_MAX).
pub const LINE_TOO_LONG: Reply = Reply::new(500, "5.5.6", "line too long");
/// A lone CR, NUL or another control character, or octets that are no UTF-8.
pub const BAD_OCTETS: Reply = Reply::new(500, "5.5.2", "line has characters that no command has");
/// A line that ends with LF alone (RFC 5321 §2.3.8).
pub const BARE_LF_COMMAND: Reply = Reply::new(500, "5.5.2", "lines end with CR and LF, not with LF alone");
/// An HTTP request.
pub const NOT_HTTP: Reply = Reply::new(554, "5.5.1", "this is a mail server");
/// TLS from the first octet on, as on port 465.
pub const NOT_TLS_YET: Reply = Reply::new(554, "5.5.1", "TLS begins with STARTTLS here");
/// Parameters of a command that are not as the RFC has them.
pub const BAD_SYNTAX: Reply = Reply::new(501, "5.5.4", "syntax error in parameters");
/// Something that is no domain name or address literal after EHLO.
pub const BAD_HELO: Reply = Reply::new(501, "5.5.4", "say a host name or an address literal");
/// MAIL with something that is no path.
pub const BAD_SENDER: Reply = Reply::new(501, "5.1.7", "syntax error in the sender's address");
/// RCPT with something that is no path.
pub const BAD_RECIPIENT: Reply = Reply::new(501, "5.1.3", "syntax error in the recipient's address");
/// An address beyond ASCII in a transaction without SMTPUTF8 (RFC 6531 §3.5).
pub const NEEDS_SMTPUTF8: Reply = Reply::new(553, "5.6.7", "address beyond ASCII needs SMTPUTF8");
/// Parameter of MAIL or RCPT that belongs to no extension offered (RFC 5321 §4.1.1.11).
pub const UNKNOWN_PARAMETER: Reply = Reply::new(555, "5.5.4", "parameter not recognised");
/// Declared or real size above the limit (RFC 1870 §6.1, §6.3).
pub const TOO_BIG: Reply = Reply::new(552, "5.3.4", "message is bigger than this host takes");

/// Bigger than the recipient's own server said that it takes: it could only be refused later (RFC 1870 §6.2).
pub const TOO_BIG_THERE: Reply = Reply::new(552, "5.3.4", "message is bigger than the recipient's own server takes");
/// The recipient's own server does not know SMTPUTF8 (RFC 6531 §3.5).
pub const NO_SMTPUTF8_THERE: Reply =
    Reply::new(553, "5.6.7", "the recipient's own server does not take mail that needs SMTPUTF8");

/// MAIL, RCPT or DATA before EHLO.
pub const EHLO_FIRST: Reply = Reply::new(503, "5.5.1", "say EHLO first");
/// MAIL in a transaction.
pub const NESTED_MAIL: Reply = Reply::new(503, "5.5.1", "a transaction is open; finish it or say RSET");
/// RCPT or DATA without MAIL.
pub const MAIL_FIRST: Reply = Reply::new(503, "5.5.1", "say MAIL first");
/// DATA with no accepted recipient.
pub const NO_RECIPIENTS: Reply = Reply::new(554, "5.5.1", "no valid recipients");

/// Another command than BDAT or RSET between the chunks of a message (RFC 3030 §2).
pub const CHUNKS_OPEN: Reply = Reply::new(503, "5.5.1", "a message is arriving by BDAT; finish it or say RSET");
/// BDAT whose length cannot be read: what follows would be taken for commands.
pub const ENDLESS_CHUNK: Reply =
    Reply::new(501, "5.5.4", "say BDAT, a number of octets, and LAST with the last chunk; closing");

/// Content with a CR or LF that stands alone: whoever reads it otherwise could be smuggled to.
pub const BARE_LINE_END: Reply = Reply::new(550, "5.6.11", "content has a CR or LF that stands alone");
/// Content with too many `Received` lines.
pub const LOOP: Reply = Reply::new(554, "5.4.6", "mail loop: more than 100 Received lines");
/// The spool did not take it.
pub const NOT_STORED: Reply = Reply::new(451, "4.3.0", "could not store the message; try again later");

/// Too many errors.
pub const TOO_MANY_ERRORS: Reply = Reply::new(421, "4.7.0", "too many errors; closing");
/// The server is full and this session has been silent longest.
pub const PLACE_NEEDED: Reply = Reply::new(421, "4.3.2", "too busy to wait for you; try again later");
/// Too many commands without mail.
pub const TOO_MANY_COMMANDS: Reply = Reply::new(421, "4.7.0", "too many commands without mail; closing");
/// A deadline passed (RFC 5321 §3.8).
pub const TIMED_OUT: Reply = Reply::new(421, "4.4.2", "waited too long; closing");
/// The service stops (RFC 5321 §3.8).
pub const SHUTTING_DOWN: Reply = Reply::new(421, "4.3.2", "service is restarting; try again in a moment");
/// A network that connects too often.
pub const CONNECTS_TOO_OFTEN: Reply =
    Reply::new(421, "4.7.0", "too many connections from your network at once; try again later");
/// A network that brings too much at once.
pub const BRINGS_TOO_MUCH: Reply = Reply::new(450, "4.7.1", "too much mail from your network at once; try again later");
/// A network that was refused too many recipients.
pub const TOO_MANY_UNKNOWN: Reply = Reply::new(421, "4.7.1", "too many refused recipients from your network; closing");
/// As many transactions as memory is meant for.
pub const TOO_BUSY: Reply = Reply::new(451, "4.3.2", "too busy to take another message now; try again in a moment");
/// A sender on a list of bad ones, whose mail the primary can judge itself.
pub const LISTED: Reply = Reply::new(451, "4.7.1", "your address is on a list of bad senders; try again later");
/// A peer that did not wait for the greeting, where the operator refuses such.
pub const TALKED_EARLY: Reply = Reply::new(554, "5.5.1", "wait for the greeting before you talk; closing");
/// Too many sessions.
pub const TOO_MANY_SESSIONS: Reply = Reply::new(421, "4.3.2", "too many connections; try again later");

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn wire(reply: &Reply) -> String {
        let mut output = BytesMut::new();
        reply.write_to(&mut output);
        String::from_utf8(output.to_vec()).unwrap()
    }

    #[test]
    fn every_line_carries_code_and_enhanced_code() {
        assert_eq!(wire(&OK), "250 2.0.0 OK\r\n");
        assert!(wire(&HELP).starts_with("214-2.0.0 EHLO"));
        assert!(wire(&HELP).lines().last().unwrap().starts_with("214 2.0.0 "));
    }

    #[test]
    fn ehlo_lists_starttls_only_where_it_is_offered() {
        let name = DomainName::parse("mx.example").unwrap();
        assert_eq!(
            wire(&ehlo(&name, 1000, &Security::Plain { offers_tls: true }, false)),
            "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-ETRN\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-DSN\r\n250-STARTTLS\r\n250-ENHANCEDSTATUSCODES\r\n250 LIMITS RCPTMAX=1000\r\n"
        );
        assert!(!wire(&ehlo(&name, 1000, &Security::Plain { offers_tls: false }, false)).contains("TLS"));
        let under_tls = wire(&ehlo(&name, 1000, &Security::Tls { facts: String::new() }, false));
        assert!(under_tls.contains("250-REQUIRETLS\r\n") && !under_tls.contains("STARTTLS"));
    }

    #[test]
    fn a_sender_is_told_where_the_primary_is() {
        let (id, domain) = (SpoolId::from_i64(1), DomainName::parse("firma.example").unwrap());
        let since = chrono::Utc.with_ymd_and_hms(2026, 11, 24, 4, 39, 59).unwrap();
        assert_eq!(
            wire(&stored(id, &domain, 0, Whereabouts::Missing { since: Some(since) })),
            "250 2.0.0 0000000000001 held for firma.example, primary offline since 2026-11-24T04:39Z\r\n"
        );
        assert_eq!(
            wire(&stored(id, &domain, 0, Whereabouts::Away)),
            "250 2.0.0 0000000000001 held for firma.example, primary away as announced\r\n"
        );
        assert_eq!(
            wire(&stored(id, &domain, 2, Whereabouts::NeverSeen)),
            "250 2.0.0 0000000000001 held for firma.example and 2 more domains, primary not seen yet\r\n"
        );
        assert_eq!(
            wire(&stored(id, &domain, 0, Whereabouts::There)),
            "250 2.0.0 0000000000001 stored, on its way to firma.example\r\n"
        );
    }

    #[test]
    fn the_longest_reply_keeps_to_512_octets() {
        let long =
            DomainName::parse(&["a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(60)].join(".")).unwrap();
        let since = chrono::Utc.with_ymd_and_hms(2026, 11, 24, 4, 39, 59).unwrap();
        let reply = stored(SpoolId::from_i64(1), &long, 999, Whereabouts::Missing { since: Some(since) });
        assert!(wire(&reply).len() <= 512);
    }
}
