//! Opens one connection to exactly the checked address and brings it to the point where MAIL may be said.

use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::failure::OpenFailure;
use crate::delivery::route::Leg;
use crate::delivery::settings::Settings;
use crate::delivery::stream::WireStream;
use crate::delivery::target::leads_to_ourselves;
use crate::delivery::tls::{ClientTls, TlsFacts};
use crate::delivery::wire::{Capabilities, Reply};

/// What an opening needs.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Settings of the room.
    pub settings: &'a Settings,
    /// Where to.
    pub leg: &'a Leg,
    /// Client side of TLS.
    pub tls: &'a ClientTls,
    /// The last handshake failed: stay in plain text.
    pub is_plain: bool,
    /// How long to wait for the greeting.
    pub greeting: Duration,
}

/// A server that has greeted us.
#[derive(Debug)]
pub struct Opened {
    /// The socket.
    pub stream: WireStream,
    /// What the last EHLO offered; nothing after HELO.
    pub offered: Capabilities,
    /// Set on an encrypted connection.
    pub tls: Option<TlsFacts>,
    /// The key of that encryption is the server's own, by its pin or by an authority. Set once identity was judged.
    pub is_key_proven: bool,
}

impl Opening<'_> {
    /// Connects, reads the greeting, says EHLO or HELO, and turns to TLS where that is offered.
    ///
    /// # Errors
    /// [`OpenFailure`] says whose matter it is; the socket is closed.
    pub async fn run(&self) -> Result<Opened, OpenFailure> {
        let stream = self.connect().await?;
        let greeting = self.hear(&stream, "the greeting", self.greeting).await?;
        if greeting.class() != 2 {
            return Err(OpenFailure::of_reply("the greeting", &greeting));
        }
        self.check_name(&greeting)?;
        let offered = self.hello(&stream).await?;
        if !offered.starttls || self.is_plain {
            return Ok(Opened { stream, offered, tls: None, is_key_proven: false });
        }
        let reply = self.ask(&stream, "STARTTLS", "STARTTLS\r\n").await?;
        if reply.class() != 2 {
            return Ok(Opened { stream, offered, tls: None, is_key_proven: false });
        }
        if stream.has_unread() {
            // Whoever put these octets there would speak to us as if from inside (RFC 3207 §6, CVE-2011-0411).
            return Err(OpenFailure::Identity("plain text came behind the reply to STARTTLS".to_owned()));
        }
        let facts = self.encrypt(&stream).await?;
        let offered = self.hello(&stream).await?;
        Ok(Opened { stream, offered, tls: Some(facts), is_key_proven: false })
    }

    async fn connect(&self) -> Result<WireStream, OpenFailure> {
        let target = self.leg.target;
        let unreachable = |why: String| OpenFailure::Unreachable(format!("{target} cannot be reached: {why}"));
        let socket = timeout(self.settings.timeouts.connect, TcpStream::connect(target))
            .await
            .map_err(|_| unreachable("no answer in time".to_owned()))?
            .map_err(|error| unreachable(error.to_string()))?;
        // Without it each message waits for the delayed ACK of the one before.
        socket.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
        let local = socket.local_addr().map_err(|error| unreachable(error.to_string()))?;
        if leads_to_ourselves(local, target, &self.settings.own_addresses) {
            return Err(OpenFailure::Identity(format!("{target} is this service itself")));
        }
        Ok(WireStream::new(socket, target))
    }

    /// EHLO, and HELO for a server that does not know it (RFC 5321 §3.2).
    async fn hello(&self, stream: &WireStream) -> Result<Capabilities, OpenFailure> {
        let name = &self.settings.hostname;
        let reply = self.ask(stream, "EHLO", &format!("EHLO {name}\r\n")).await?;
        if reply.class() == 2 {
            self.check_name(&reply)?;
            return Ok(Capabilities::parse(&reply));
        }
        if reply.class() != 5 {
            return Err(OpenFailure::of_reply("EHLO", &reply));
        }
        let reply = self.ask(stream, "HELO", &format!("HELO {name}\r\n")).await?;
        if reply.class() != 2 {
            return Err(OpenFailure::of_reply("HELO", &reply));
        }
        self.check_name(&reply)?;
        Ok(Capabilities::default())
    }

    /// A server that calls itself by our name is ourselves: a loop.
    fn check_name(&self, reply: &Reply) -> Result<(), OpenFailure> {
        let name = reply.lines.first().and_then(|line| line.split(' ').next()).unwrap_or_default();
        if name.eq_ignore_ascii_case(self.settings.hostname.as_str()) {
            return Err(OpenFailure::Identity(format!("it calls itself {name}, which is our own name")));
        }
        Ok(())
    }

    async fn encrypt(&self, stream: &WireStream) -> Result<TlsFacts, OpenFailure> {
        let name = ServerName::try_from(self.leg.host.as_str().to_owned())
            .unwrap_or_else(|_| ServerName::IpAddress(self.leg.target.ip().into()));
        timeout(self.settings.timeouts.handshake, stream.encrypt(self.tls, name))
            .await
            .map_err(|_| OpenFailure::Handshake("no answer in time".to_owned()))?
            .map_err(|error| OpenFailure::Handshake(error.to_string()))
    }

    async fn ask(&self, stream: &WireStream, step: &str, command: &str) -> Result<Reply, OpenFailure> {
        let limit = self.settings.timeouts.command;
        match timeout(limit, stream.send(command.as_bytes())).await {
            Ok(Ok(())) => self.hear(stream, step, limit).await,
            Ok(Err(error)) => Err(OpenFailure::Unreachable(format!("{step}: {error}"))),
            Err(_) => Err(OpenFailure::Unreachable(format!("{step}: no answer in time"))),
        }
    }

    async fn hear(&self, stream: &WireStream, step: &str, limit: Duration) -> Result<Reply, OpenFailure> {
        match timeout(limit, stream.read_reply()).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(OpenFailure::of_stream(step, &error)),
            Err(_) => Err(OpenFailure::Unreachable(format!("{step}: no answer in time"))),
        }
    }
}
