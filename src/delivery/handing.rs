//! How the primary is told who the sender was, so that it judges him and not us: XCLIENT where it offers that, else
//! XFORWARD. Servers offer either only to machines that they were told to trust (`pulsemx trust`).

use std::net::IpAddr;

/// Octets of a command line that every server takes, CRLF included (RFC 5321 §4.5.3.1.4).
const COMMAND_OCTETS_MAX: usize = 512;

/// Said for what is not known: the name of the client by reverse DNS.
const UNAVAILABLE: &str = "[UNAVAILABLE]";

/// Attributes that a server takes with XCLIENT or XFORWARD.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Attributes {
    /// Name of the client.
    pub name: bool,
    /// Its address. Without it nothing is handed on.
    pub addr: bool,
    /// `SMTP` or `ESMTP`.
    pub proto: bool,
    /// What it called itself.
    pub helo: bool,
    /// `LOCAL` or `REMOTE`.
    pub source: bool,
}

impl Attributes {
    /// Reads the words after the keyword in the reply to EHLO.
    #[must_use]
    pub fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut offered = Self::default();
        for word in words {
            match word.to_ascii_uppercase().as_str() {
                "NAME" => offered.name = true,
                "ADDR" => offered.addr = true,
                "PROTO" => offered.proto = true,
                "HELO" => offered.helo = true,
                "SOURCE" => offered.source = true,
                _ => {}
            }
        }
        offered
    }
}

/// The sender as we met him.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    /// Where he came from.
    pub address: IpAddr,
    /// What he called himself.
    pub helo: String,
}

impl Client {
    /// The command that hands him on: `verb` is XCLIENT or XFORWARD. `None` where the server does not take an address.
    #[must_use]
    pub fn command(&self, verb: &str, offered: Attributes) -> Option<String> {
        if !offered.addr {
            return None;
        }
        let address = match self.address.to_canonical() {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("IPV6:{v6}"),
        };
        let mut text = verb.to_owned();
        let pairs = [
            (offered.name, "NAME", UNAVAILABLE.to_owned()),
            (offered.addr, "ADDR", address),
            (offered.proto, "PROTO", "ESMTP".to_owned()),
            (offered.source, "SOURCE", "REMOTE".to_owned()),
            (offered.helo, "HELO", xtext(&self.helo)),
        ];
        for (_, name, value) in pairs.iter().filter(|(is_offered, ..)| *is_offered) {
            if text.len() + name.len() + value.len() + 4 <= COMMAND_OCTETS_MAX {
                text.push_str(&format!(" {name}={value}"));
            }
        }
        text.push_str("\r\n");
        Some(text)
    }

    /// What is said with the EHLO that follows XCLIENT: the client's own name, if it can stand there; else ours.
    #[must_use]
    pub fn hello<'a>(&'a self, own: &'a str) -> &'a str {
        let is_good =
            |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_' | b':' | b'[' | b']');
        let is_name = (1..=255).contains(&self.helo.len()) && self.helo.bytes().all(is_good);
        if is_name { &self.helo } else { own }
    }
}

/// RFC 3461 §4: everything that is not plain becomes `+` and two hexadecimal digits.
fn xtext(value: &str) -> String {
    if value.is_empty() {
        return UNAVAILABLE.to_owned();
    }
    let mut text = String::new();
    for octet in value.bytes() {
        match octet {
            b'+' | b'=' => text.push_str(&format!("+{octet:02X}")),
            b'!'..=b'~' => text.push(char::from(octet)),
            _ => text.push_str(&format!("+{octet:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Attributes = Attributes { name: true, addr: true, proto: true, helo: true, source: false };

    fn client(address: &str, helo: &str) -> Client {
        Client { address: address.parse().unwrap(), helo: helo.to_owned() }
    }

    #[test]
    fn what_the_server_takes_is_said() {
        let offered = Attributes::parse("name ADDR PROTO HELO REVERSE_NAME PORT".split(' '));
        assert_eq!(offered, ALL);
        assert_eq!(
            client("192.0.2.9", "mx.x.example").command("XCLIENT", offered).unwrap(),
            "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.9 PROTO=ESMTP HELO=mx.x.example\r\n"
        );
        let some = Attributes { addr: true, source: true, ..Attributes::default() };
        assert_eq!(
            client("2001:db8::1", "").command("XFORWARD", some).unwrap(),
            "XFORWARD ADDR=IPV6:2001:db8::1 SOURCE=REMOTE\r\n"
        );
        assert_eq!(client("192.0.2.9", "x").command("XCLIENT", Attributes { addr: false, ..ALL }), None);
    }

    #[test]
    fn nothing_in_a_name_ends_the_command_early() {
        let evil = client("::ffff:192.0.2.9", "a b\r\nMAIL=x+");
        let said = evil.command("XCLIENT", ALL).unwrap();
        assert_eq!(said, "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.9 PROTO=ESMTP HELO=a+20b+0D+0AMAIL+3Dx+2B\r\n");
        assert_eq!(evil.hello("mx.own.example"), "mx.own.example");
        assert_eq!(client("192.0.2.9", "[192.0.2.9]").hello("mx.own.example"), "[192.0.2.9]");
        let long = client("192.0.2.9", &"a".repeat(600));
        assert!(long.command("XCLIENT", ALL).unwrap().len() <= COMMAND_OCTETS_MAX);
        assert_eq!(long.hello("mx.own.example"), "mx.own.example");
    }
}
