//! The senders of the demo: other people's mail servers that find the backup MX.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A mail of the demo.
#[derive(Clone, Debug)]
pub struct Mail {
    /// Envelope sender without brackets; empty for the null reverse-path.
    pub reverse_path: String,
    /// Envelope recipient.
    pub recipient: String,
    /// SMTPUTF8 has to be asked for.
    pub smtputf8: bool,
    /// Whole content with CRLF line ends.
    pub content: String,
}

/// The MX did not take a mail.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection, or it broke.
    #[error("the backup MX cannot be reached: {0}")]
    Io(#[from] std::io::Error),
    /// A reply that was not the one hoped for.
    #[error("the backup MX said: {0}")]
    Refused(String),
}

/// Mails of a morning: `count` of them, the first few with the oddities of real life.
#[must_use]
pub fn mails(wave: &str, count: usize, domain: &str) -> Vec<Mail> {
    let ordinary = [
        ("einkauf@lieferant.example", "info", "Order 4711 for Thursday"),
        ("k.sommer@notar.example", "chefin", "Contract, second draft"),
        ("noreply@bank.example", "buchhaltung", "Statement of the month"),
        ("newsletter@shop.example", "info", "Everything must go"),
        ("mueller@kunde-nord.example", "service", "The machine is standing still"),
    ];
    (0..count)
        .map(|at| match at {
            1 => mail(
                wave,
                at,
                "angreifer@fremd.example",
                &format!("info@{domain}"),
                "<script>alert(1)</script> \"><img src=x onerror=alert(2)>",
                false,
            ),
            3 => mail(wave, at, "", &format!("info@{domain}"), "Undelivered Mail Returned to Sender", false),
            5 => mail(wave, at, "jörg@bücher.example", &format!("grüße@{domain}"), "Grüße aus Köln, 你好", true),
            _ => {
                let (from, to, subject) =
                    ordinary.get(at % ordinary.len()).copied().unwrap_or(("a@b.example", "info", "Hello"));
                mail(wave, at, from, &format!("{to}@{domain}"), subject, false)
            }
        })
        .collect()
}

fn mail(wave: &str, at: usize, from: &str, to: &str, subject: &str, smtputf8: bool) -> Mail {
    let sender = if from.is_empty() { "MAILER-DAEMON@mx.fremd.example" } else { from };
    // The first one is the smallest: a flush begins with such a one, before it has more connections and larger mail.
    let dots = if at == 0 { "" } else { ".\r\n..a line that begins with dots\r\n" };
    let content = format!(
        "From: <{sender}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nMessage-ID: <{wave}-{at}@demo.pulsemx.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
         Mail {at} of wave {wave}.\r\n{dots}The end.\r\n"
    );
    Mail { reverse_path: from.to_owned(), recipient: to.to_owned(), smtputf8, content }
}

/// Sends one mail to the MX and returns the words of its final reply.
///
/// # Errors
/// [`SendError`]; a real sender would keep the mail and come again.
pub async fn send(mx: SocketAddr, mail: &Mail) -> Result<String, SendError> {
    let stream = TcpStream::connect(mx).await?;
    stream.set_nodelay(true)?;
    let mut dialogue = BufReader::new(stream);
    expect(&mut dialogue, "220").await?;
    command(&mut dialogue, "EHLO mx.fremd.example", "250").await?;
    let extension = if mail.smtputf8 { " SMTPUTF8" } else { "" };
    command(&mut dialogue, &format!("MAIL FROM:<{}> BODY=8BITMIME{extension}", mail.reverse_path), "250").await?;
    command(&mut dialogue, &format!("RCPT TO:<{}>", mail.recipient), "250").await?;
    command(&mut dialogue, "DATA", "354").await?;
    let stuffed: String = mail
        .content
        .split_inclusive("\r\n")
        .map(|line| if line.starts_with('.') { format!(".{line}") } else { line.to_owned() })
        .collect();
    let reply = command(&mut dialogue, &format!("{stuffed}."), "250").await?;
    command(&mut dialogue, "QUIT", "221").await?;
    Ok(reply)
}

async fn command(dialogue: &mut BufReader<TcpStream>, line: &str, wanted: &str) -> Result<String, SendError> {
    dialogue.write_all(format!("{line}\r\n").as_bytes()).await?;
    expect(dialogue, wanted).await
}

async fn expect(dialogue: &mut BufReader<TcpStream>, wanted: &str) -> Result<String, SendError> {
    loop {
        let mut line = String::new();
        if dialogue.read_line(&mut line).await? == 0 {
            return Err(SendError::Refused("nothing; the connection was closed".to_owned()));
        }
        if line.get(3..4) == Some("-") {
            continue;
        }
        let line = line.trim_end().to_owned();
        return if line.starts_with(wanted) { Ok(line) } else { Err(SendError::Refused(line)) };
    }
}
