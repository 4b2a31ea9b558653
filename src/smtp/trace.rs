//! The `Received` line that we put before each content (RFC 5321 §4.4).

use std::fmt::Write as _;
use std::net::IpAddr;

use bytes::Bytes;

use crate::base::{DomainName, Mailbox, SpoolId, WallTime};

/// What the line tells.
pub struct Trace<'a> {
    /// What the peer called itself; already checked to be a name or literal.
    pub helo: &'a str,
    /// Where it really was.
    pub peer: IpAddr,
    /// Us.
    pub hostname: &'a DomainName,
    /// `ESMTP` and the like.
    pub protocol: &'static str,
    /// TLS version and cipher, if any.
    pub tls: Option<&'a str>,
    /// The message's name.
    pub id: SpoolId,
    /// The recipient, where there is only one: several would be shown to each other (RFC 5321 §7.6).
    pub only_recipient: Option<&'a Mailbox>,
    /// When the final dot was read.
    pub at: WallTime,
}

/// The keyword behind `with` (RFC 3848 §1, RFC 6531 §4.3).
#[must_use]
pub const fn protocol(is_extended: bool, has_tls: bool, smtputf8: bool, is_proven: bool) -> &'static str {
    match (is_extended, has_tls, smtputf8) {
        (_, true, true) if is_proven => "UTF8SMTPSA",
        (true, true, false) if is_proven => "ESMTPSA",
        (false, false, false) => "SMTP",
        (_, false, true) => "UTF8SMTP",
        (_, true, true) => "UTF8SMTPS",
        (true, false, false) => "ESMTP",
        (_, true, false) => "ESMTPS",
    }
}

impl Trace<'_> {
    /// The line, folded, with its CRLF.
    #[must_use]
    pub fn to_line(&self) -> Bytes {
        let mut line = String::with_capacity(256);
        // Writing to a String does not fail.
        let _ = match self.peer {
            IpAddr::V4(v4) => write!(line, "Received: from {} ([{v4}])", self.helo),
            IpAddr::V6(v6) => write!(line, "Received: from {} ([IPv6:{v6}])", self.helo),
        };
        let _ = write!(line, "\r\n\tby {} with {}", self.hostname, self.protocol);
        if let Some(tls) = self.tls {
            let _ = write!(line, " ({tls})");
        }
        let _ = write!(line, " id {}", self.id);
        if let Some(mailbox) = self.only_recipient {
            let _ = write!(line, "\r\n\tfor <{mailbox}>");
        }
        let _ = write!(line, ";\r\n\t{}\r\n", self.at.format("%a, %d %b %Y %H:%M:%S +0000"));
        Bytes::from(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn trace(mailbox: Option<&Mailbox>, tls: Option<&str>, peer: &str) -> String {
        let line = Trace {
            helo: "mail.sender.example",
            peer: peer.parse().unwrap(),
            hostname: &DomainName::parse("mx.example").unwrap(),
            protocol: protocol(true, tls.is_some(), false, false),
            tls,
            id: SpoolId::from_i64(1),
            only_recipient: mailbox,
            at: chrono::Utc.with_ymd_and_hms(2026, 11, 24, 4, 39, 3).unwrap(),
        }
        .to_line();
        String::from_utf8(line.to_vec()).unwrap()
    }

    #[test]
    fn the_line_names_peer_protocol_and_id() {
        let mailbox = Mailbox::parse("a@firma.example", false).unwrap();
        assert_eq!(
            trace(Some(&mailbox), Some("TLSv1_3 TLS13_AES_256_GCM_SHA384"), "192.0.2.7"),
            "Received: from mail.sender.example ([192.0.2.7])\r\n\tby mx.example with ESMTPS (TLSv1_3 TLS13_AES_256_GCM_SHA384) id 0000000000001\r\n\tfor <a@firma.example>;\r\n\tTue, 24 Nov 2026 04:39:03 +0000\r\n"
        );
        assert_eq!(
            trace(None, None, "2001:db8::1"),
            "Received: from mail.sender.example ([IPv6:2001:db8::1])\r\n\tby mx.example with ESMTP id 0000000000001;\r\n\tTue, 24 Nov 2026 04:39:03 +0000\r\n"
        );
    }

    #[test]
    fn the_protocol_keyword_follows_the_session() {
        assert_eq!(protocol(false, false, false, false), "SMTP");
        assert_eq!(protocol(true, false, false, false), "ESMTP");
        assert_eq!(protocol(true, true, false, false), "ESMTPS");
        assert_eq!(protocol(true, false, true, false), "UTF8SMTP");
        assert_eq!(protocol(true, true, true, false), "UTF8SMTPS");
        assert_eq!(protocol(true, true, false, true), "ESMTPSA");
        assert_eq!(protocol(true, true, true, true), "UTF8SMTPSA");
    }
}
