//! The customer's mail server of the demo: takes mail, records what arrived, and can be told to misbehave.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Octets of one command or text line, at most.
const LINE_OCTETS_MAX: u64 = 64 * 1024;

/// How the mail server behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// Takes everything.
    Accept,
    /// `452` to every recipient: the disk is full.
    DiskFull,
    /// `550` to every recipient: somebody reinstalled it.
    RefuseAll,
}

impl Manner {
    const fn code(self) -> u8 {
        match self {
            Self::Accept => 0,
            Self::DiskFull => 1,
            Self::RefuseAll => 2,
        }
    }

    const fn of_code(code: u8) -> Self {
        match code {
            1 => Self::DiskFull,
            2 => Self::RefuseAll,
            _ => Self::Accept,
        }
    }
}

/// One message as it arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Envelope sender without brackets.
    pub reverse_path: String,
    /// Content with all header fields, dots undone.
    pub content: Vec<u8>,
}

/// What one or several listeners have received.
#[derive(Debug, Default)]
pub struct Mailroom {
    manner: AtomicU8,
    connections: AtomicU64,
    arrived: Mutex<Vec<Arrived>>,
}

impl Mailroom {
    /// Changes how the next commands are answered.
    pub fn behave(&self, manner: Manner) {
        self.manner.store(manner.code(), Ordering::Relaxed);
    }

    /// How commands are answered now.
    #[must_use]
    pub fn manner(&self) -> Manner {
        Manner::of_code(self.manner.load(Ordering::Relaxed))
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Copies of everything that arrived, in order.
    #[must_use]
    pub fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn take(&self, message: Arrived) {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }
}

/// A listening mail server; stops listening, and drops its connections, when dropped.
#[derive(Debug)]
pub struct Primary {
    /// Where it listens.
    pub address: SocketAddr,
    plug: CancellationToken,
}

impl Primary {
    /// Listens at `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn listen(address: SocketAddr, name: &'static str, room: Arc<Mailroom>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let plug = CancellationToken::new();
        let pulled = plug.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = pulled.cancelled() => return,
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { continue };
                        room.connections.fetch_add(1, Ordering::Relaxed);
                        let (room, pulled) = (Arc::clone(&room), pulled.clone());
                        tokio::spawn(async move {
                            tokio::select! {
                                () = pulled.cancelled() => {}
                                _ = converse(stream, name, &room) => {}
                            }
                        });
                    }
                }
            }
        });
        Ok(Self { address, plug })
    }
}

impl Drop for Primary {
    fn drop(&mut self) {
        self.plug.cancel();
    }
}

async fn read_line(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = reader.take(LINE_OCTETS_MAX).read_until(b'\n', &mut line).await?;
    Ok(if read == 0 { None } else { Some(line) })
}

async fn converse(stream: TcpStream, name: &str, room: &Mailroom) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut reverse_path = String::new();
    let mut recipients = 0u32;
    reader.write_all(format!("220 {name} ESMTP demo\r\n").as_bytes()).await?;
    while let Some(line) = read_line(&mut reader).await? {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        let verb = text.get(..4).unwrap_or(&text).to_ascii_uppercase();
        let reply: String = match verb.as_str() {
            "EHLO" => format!("250-{name}\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 67108864\r\n"),
            "HELO" => format!("250 {name}\r\n"),
            "MAIL" => {
                recipients = 0;
                reverse_path = text.split(['<', '>']).nth(1).unwrap_or("").to_owned();
                "250 2.1.0 ok\r\n".to_owned()
            }
            "RCPT" => match room.manner() {
                Manner::Accept => {
                    recipients += 1;
                    "250 2.1.5 ok\r\n".to_owned()
                }
                Manner::DiskFull => "452 4.3.1 the disk is full\r\n".to_owned(),
                Manner::RefuseAll => "550 5.1.1 no such user here\r\n".to_owned(),
            },
            "DATA" if recipients == 0 => "503 5.5.1 no recipients\r\n".to_owned(),
            "DATA" => {
                reader.write_all(b"354 go ahead\r\n").await?;
                let Some(content) = read_content(&mut reader).await? else { return Ok(()) };
                room.take(Arrived { reverse_path: std::mem::take(&mut reverse_path), content });
                recipients = 0;
                "250 2.0.0 in the mailbox\r\n".to_owned()
            }
            "RSET" | "NOOP" => "250 2.0.0 ok\r\n".to_owned(),
            "QUIT" => {
                reader.write_all(b"221 2.0.0 bye\r\n").await?;
                return Ok(());
            }
            _ => "502 5.5.1 not here\r\n".to_owned(),
        };
        reader.write_all(reply.as_bytes()).await?;
    }
    Ok(())
}

/// Reads up to the final dot and undoes the dots; `None` when the connection ends first.
async fn read_content(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    while let Some(line) = read_line(reader).await? {
        if line == b".\r\n" {
            return Ok(Some(content));
        }
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
    Ok(None)
}
