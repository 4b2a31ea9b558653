//! Looks at the local mail server on a thread of its own, so that a slow greeting delays no beat.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::base::Clock;
use crate::heartbeat::client::event::MailReport;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long the connection, and then the greeting, may take.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a greeting is read: one reply line (RFC 5321 §4.5.3.1.5).
const GREETING_OCTETS_MAX: usize = 512;

/// Starts to look at `address`; ends with the receiver.
///
/// # Errors
/// The system has no thread left.
pub(in crate::heartbeat::client) fn watch(address: String) -> std::io::Result<Receiver<MailReport>> {
    let (reports, seen) = channel();
    std::thread::Builder::new().name("mail".to_owned()).spawn(move || look_again(&address, &reports))?;
    Ok(seen)
}

fn look_again(address: &str, reports: &Sender<MailReport>) {
    while reports.send(look(address)).is_ok() {
        std::thread::sleep(LOOK_EVERY);
    }
}

/// One connection, one greeting.
fn look(address: &str) -> MailReport {
    let clock = Clock;
    let begun = clock.monotonic();
    let code = match greeting_code(address) {
        Ok(code) => code,
        Err(error) if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) => MailReport::TIMED_OUT,
        Err(_) => MailReport::REFUSED,
    };
    let millis = u16::try_from(clock.monotonic().since(begun).as_millis()).unwrap_or(u16::MAX);
    MailReport { is_ok: (200..300).contains(&code), code, millis }
}

fn greeting_code(address: &str) -> std::io::Result<u16> {
    let address = address.to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
    let mut stream = TcpStream::connect_timeout(&address, GREETING_TIMEOUT)?;
    stream.set_read_timeout(Some(GREETING_TIMEOUT))?;
    stream.set_write_timeout(Some(GREETING_TIMEOUT))?;
    let mut greeting = Vec::with_capacity(GREETING_OCTETS_MAX);
    let mut octet = [0u8; 1];
    while greeting.len() < GREETING_OCTETS_MAX && greeting.last() != Some(&b'\n') {
        if stream.read(&mut octet)? == 0 {
            break;
        }
        greeting.extend_from_slice(&octet);
    }
    // Polite, and of no consequence if it fails.
    let _ = stream.write_all(b"QUIT\r\n");
    let digits = greeting.first_chunk::<3>().and_then(|digits| std::str::from_utf8(digits).ok());
    Ok(digits.and_then(|digits| digits.parse().ok()).unwrap_or(MailReport::REFUSED))
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
        let report = look(&address);
        server.join().unwrap();
        report
    }

    #[test]
    fn only_a_greeting_of_2yz_is_a_server_that_takes_mail() {
        let fine = greeted_with(b"220-mail.firma.example\r\n220 ready\r\n");
        assert_eq!((fine.is_ok, fine.code), (true, 220));
        let busy = greeted_with(b"421 too busy\r\n");
        assert_eq!((busy.is_ok, busy.code), (false, 421));
        assert_eq!(greeted_with(b"SSH-2.0\r\n").code, MailReport::REFUSED);
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        assert_eq!(look(&closed).code, MailReport::REFUSED);
    }
}
