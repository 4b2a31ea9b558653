//! Looks at the mail server on a thread of its own, so that a slow greeting delays no beat.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::base::{Clock, Moment};
use crate::heartbeat::client::event::MailReport;

#[cfg(feature = "https")]
mod key;
#[cfg(not(feature = "https"))]
#[path = "driver/no_key.rs"]
mod key;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long one look may take: connection, greeting and, now and then, the certificate.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks at the certificate while it stays the same. It is also looked at when the server greets again.
const KEY_EVERY: Duration = Duration::from_secs(60);
/// Longest reply that is read, octets: some EHLO replies have twenty lines (RFC 5321 §4.5.3.1.5 allows 512 for each).
const REPLY_OCTETS_MAX: usize = 8 * 1024;
/// Addresses of the server's name that are tried and reported.
const ADDRESSES_MAX: usize = 4;

/// What one look has shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::heartbeat::client) struct MailLook {
    /// How it greets.
    pub(in crate::heartbeat::client) report: MailReport,
    /// SHA-256 of the SubjectPublicKeyInfo that it shows after STARTTLS, if that was looked at and there is one.
    pub(in crate::heartbeat::client) key: Option<[u8; 32]>,
    /// Where its name leads.
    pub(in crate::heartbeat::client) addresses: Vec<IpAddr>,
}

/// Starts to look at `server` (`HOST:PORT`); ends with the receiver.
///
/// # Errors
/// The system has no thread left.
pub(in crate::heartbeat::client) fn watch(server: String) -> std::io::Result<Receiver<MailLook>> {
    let (looks, seen) = channel();
    std::thread::Builder::new().name("mail".to_owned()).spawn(move || look_again(&server, &looks))?;
    Ok(seen)
}

fn look_again(server: &str, looks: &Sender<MailLook>) {
    let (mut key_due, mut was_ok) = (Moment::default(), false);
    loop {
        let now = Clock.monotonic();
        let wants_key = now >= key_due || !was_ok;
        let look = look(server, wants_key);
        was_ok = look.report.is_ok;
        if wants_key && was_ok {
            key_due = now + KEY_EVERY;
        }
        if looks.send(look).is_err() {
            return;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// One connection, one greeting, and the certificate if that is wanted.
fn look(server: &str, wants_key: bool) -> MailLook {
    let begun = Clock.monotonic();
    let found: Vec<SocketAddr> =
        server.to_socket_addrs().map(|found| found.take(ADDRESSES_MAX).collect()).unwrap_or_default();
    let greeted = connect(&found, begun).and_then(|mut dialogue| Ok((dialogue.reply()?.0, dialogue)));
    let millis = u16::try_from(Clock.monotonic().since(begun).as_millis()).unwrap_or(u16::MAX);
    let (code, dialogue) = match greeted {
        Ok((code, dialogue)) => (code, Some(dialogue)),
        Err(error) if is_late(&error) => (MailReport::TIMED_OUT, None),
        Err(_) => (MailReport::REFUSED, None),
    };
    let report = MailReport { is_ok: (200..300).contains(&code), code, millis };
    let key = dialogue.and_then(|mut dialogue| {
        let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
        // A server that does not show a certificate is looked at again in a minute.
        let key = if report.is_ok && wants_key { dialogue.key(host).ok().flatten() } else { None };
        if key.is_none() {
            // Polite, and of no consequence if it fails.
            let _ = dialogue.say("QUIT");
        }
        key
    });
    MailLook { report, key, addresses: found.iter().map(|found| found.ip().to_canonical()).collect() }
}

fn is_late(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// The first of the addresses that accepts.
fn connect(found: &[SocketAddr], begun: Moment) -> std::io::Result<Dialogue> {
    let mut last = std::io::Error::from(ErrorKind::NotFound);
    for address in found {
        match TcpStream::connect_timeout(address, left_of(begun)?) {
            Ok(stream) => return Ok(Dialogue { stream, begun }),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What is left of the time for one look.
fn left_of(begun: Moment) -> std::io::Result<Duration> {
    let left = (begun + LOOK_TIMEOUT).since(Clock.monotonic());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// One connection to a mail server.
struct Dialogue {
    stream: TcpStream,
    begun: Moment,
}

impl Dialogue {
    fn say(&mut self, line: &str) -> std::io::Result<()> {
        self.stream.set_write_timeout(Some(left_of(self.begun)?))?;
        self.stream.write_all(format!("{line}\r\n").as_bytes())
    }

    /// Code and lines of one reply (RFC 5321 §4.2); [`MailReport::REFUSED`] for what is none.
    fn reply(&mut self) -> std::io::Result<(u16, String)> {
        let (mut text, mut begin) = (Vec::new(), 0);
        let mut octet = [0u8; 1];
        while text.len() < REPLY_OCTETS_MAX {
            self.stream.set_read_timeout(Some(left_of(self.begun)?))?;
            if self.stream.read(&mut octet)? == 0 {
                break;
            }
            text.extend_from_slice(&octet);
            if octet == *b"\n" {
                let line = text.get(begin..).unwrap_or_default();
                let is_reply = line.first_chunk::<3>().is_some_and(|code| code.iter().all(u8::is_ascii_digit));
                if !is_reply || line.get(3) != Some(&b'-') {
                    break;
                }
                begin = text.len();
            }
        }
        let code = text.get(begin..begin + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| digits.parse().ok()).unwrap_or(MailReport::REFUSED);
        Ok((code, String::from_utf8_lossy(&text).into_owned()))
    }

    /// Goes on to STARTTLS and reads the key; nothing if the server offers none.
    fn key(&mut self, host: &str) -> std::io::Result<Option<[u8; 32]>> {
        let own = match self.stream.local_addr()?.ip().to_canonical() {
            IpAddr::V4(v4) => format!("[{v4}]"),
            IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
        };
        self.say(&format!("EHLO {own}"))?;
        let (code, offered) = self.reply()?;
        let offers = |line: &str| line.get(4..).is_some_and(|word| word.trim_end().eq_ignore_ascii_case("STARTTLS"));
        if code != 250 || !offered.lines().any(offers) {
            return Ok(None);
        }
        self.say("STARTTLS")?;
        if self.reply()?.0 != 220 {
            return Ok(None);
        }
        self.stream.set_read_timeout(Some(left_of(self.begun)?))?;
        self.stream.set_write_timeout(Some(left_of(self.begun)?))?;
        key::shown_by(&mut self.stream, host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn greeted_with(greeting: &'static [u8]) -> MailReport {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(greeting).unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
        });
        let look = look(&address, false);
        server.join().unwrap();
        assert_eq!(look.addresses, ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        look.report
    }

    #[test]
    fn only_a_greeting_of_2yz_is_a_server_that_takes_mail() {
        let fine = greeted_with(b"220-mail.firma.example\r\n220 ready\r\n");
        assert_eq!((fine.is_ok, fine.code), (true, 220));
        let busy = greeted_with(b"421 too busy\r\n");
        assert_eq!((busy.is_ok, busy.code), (false, 421));
        assert_eq!(greeted_with(b"SSH-2.0\r\n").code, MailReport::REFUSED);
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        assert_eq!(look(&closed, true).report.code, MailReport::REFUSED);
        assert_eq!(look("no..such..name:25", true).report.code, MailReport::REFUSED);
    }

    #[test]
    fn a_server_without_starttls_is_a_good_server_without_a_key() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"220 ready\r\n250-mail\r\n250-SIZE 10\r\n250 8BITMIME\r\n").unwrap();
            let mut said = String::new();
            let _ = stream.read_to_string(&mut said);
            said
        });
        let look = look(&address, true);
        assert_eq!((look.report.is_ok, look.key), (true, None));
        assert_eq!(server.join().unwrap(), "EHLO [127.0.0.1]\r\nQUIT\r\n");
    }
}
