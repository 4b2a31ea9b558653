//! Moves octets between one socket and lettre: our replies-in-strict-form inwards, everything untouched outwards.
//!
//! Lettre owns one handle and this room another one on the same socket: lettre says commands and reads replies, the
//! content is written past it (its own way needs a synchronous source, copies octet by octet and ends every message
//! with an extra CRLF).

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::delivery::tls::{ClientTls, TlsFacts, spki_sha256};
use crate::delivery::wire::{Reply, ReplyReader, WireError};

/// Octets read from the socket at once: replies are short.
const READ_OCTETS: usize = 4096;

/// Why the stream is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The server closed it.
    #[error("the server closed the connection")]
    Closed,
    /// The peer is no SMTP server.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// A handle on the socket; clones share it. Only one task uses it at a time.
#[derive(Clone)]
pub struct WireStream {
    inner: Arc<Mutex<Inner>>,
    peer: SocketAddr,
}

enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Taken out for a handshake that failed.
    Gone,
}

struct Inner {
    socket: Socket,
    /// Read from the socket, not yet part of a reply.
    raw: VecDeque<u8>,
    reader: ReplyReader,
    /// Replies in strict form, for lettre.
    ready: VecDeque<u8>,
    /// Lettre believes that it says EHLO: what it writes goes nowhere.
    is_presenting: bool,
}

impl WireStream {
    /// Takes a connected socket.
    #[must_use]
    pub fn new(socket: TcpStream, peer: SocketAddr) -> Self {
        let inner = Inner {
            socket: Socket::Plain(socket),
            raw: VecDeque::new(),
            reader: ReplyReader::default(),
            ready: VecDeque::new(),
            is_presenting: false,
        };
        Self { inner: Arc::new(Mutex::new(inner)), peer }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads one reply, past lettre.
    ///
    /// # Errors
    /// [`StreamError`]; nothing more can be read then.
    pub async fn read_reply(&self) -> Result<Reply, StreamError> {
        poll_fn(|cx| self.lock().poll_reply(cx)).await?.ok_or(StreamError::Closed)
    }

    /// Writes octets, past lettre, and flushes them.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn send(&self, octets: &[u8]) -> io::Result<()> {
        let mut handle = self.clone();
        handle.write_all(octets).await?;
        handle.flush().await
    }

    /// Whether octets have arrived that no reply accounts for.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        let inner = self.lock();
        !inner.raw.is_empty() || !inner.ready.is_empty() || inner.reader.is_within_reply()
    }

    /// Turns the plain socket into an encrypted one. The caller made sure that nothing is unread.
    ///
    /// # Errors
    /// Those of the handshake; the stream is dead then.
    pub async fn encrypt(&self, tls: &ClientTls, name: ServerName<'static>) -> io::Result<TlsFacts> {
        let socket = std::mem::replace(&mut self.lock().socket, Socket::Gone);
        let Socket::Plain(socket) = socket else {
            return Err(io::Error::other("the connection is encrypted already"));
        };
        let stream = TlsConnector::from(Arc::clone(&tls.config)).connect(name.clone(), socket).await?;
        let (_, session) = stream.get_ref();
        let facts = TlsFacts {
            version: session.protocol_version().map(|v| format!("{v:?}")).unwrap_or_default(),
            cipher: session.negotiated_cipher_suite().map(|c| format!("{:?}", c.suite())).unwrap_or_default(),
            spki_sha256: session.peer_certificates().and_then(<[_]>::first).and_then(|der| spki_sha256(der)),
            is_name_valid: session.peer_certificates().is_some_and(|chain| tls.is_name_valid(chain, &name)),
        };
        self.lock().socket = Socket::Tls(Box::new(stream));
        Ok(facts)
    }

    /// Shows lettre a greeting and a reply to EHLO of our making, and swallows its EHLO, until [`end_presenting`].
    ///
    /// [`end_presenting`]: Self::end_presenting
    pub fn begin_presenting(&self) {
        let mut inner = self.lock();
        inner.is_presenting = true;
        inner.ready.extend(b"220 primary\r\n250 primary\r\n");
    }

    /// From now on lettre talks to the server.
    pub fn end_presenting(&self) {
        self.lock().is_presenting = false;
    }
}

impl Inner {
    /// The next reply; `None` when the server has closed.
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Reply>, StreamError>> {
        loop {
            let (consumed, reply) = self.reader.feed(self.raw.make_contiguous())?;
            self.raw.drain(..consumed);
            if let Some(reply) = reply {
                return Poll::Ready(Ok(Some(reply)));
            }
            let mut octets = [0; READ_OCTETS];
            let mut buffer = ReadBuf::new(&mut octets);
            ready!(self.socket.poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(None));
            }
            self.raw.extend(buffer.filled());
        }
    }
}

impl Socket {
    fn gone() -> io::Error {
        io::Error::new(io::ErrorKind::NotConnected, "the handshake failed")
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
            Self::Gone => Poll::Ready(Err(Self::gone())),
        }
    }
}

impl AsyncRead for WireStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        if inner.ready.is_empty() {
            match ready!(inner.poll_reply(cx)) {
                Ok(Some(reply)) => inner.ready.extend(reply.canonical().as_bytes()),
                Ok(None) => return Poll::Ready(Ok(())),
                Err(StreamError::Io(error)) => return Poll::Ready(Err(error)),
                Err(error @ (StreamError::Closed | StreamError::Wire(_))) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
            }
        }
        let wanted = buffer.remaining().min(inner.ready.len());
        for octet in inner.ready.drain(..wanted) {
            buffer.put_slice(&[octet]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WireStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.lock();
        if inner.is_presenting {
            return Poll::Ready(Ok(octets.len()));
        }
        match &mut inner.socket {
            Socket::Plain(socket) => Pin::new(socket).poll_write(cx, octets),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, octets),
            Socket::Gone => Poll::Ready(Err(Socket::gone())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.lock().socket {
            Socket::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Socket::Gone => Poll::Ready(Err(Socket::gone())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.lock().socket {
            Socket::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Socket::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl fmt::Debug for WireStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl AsyncTokioStream for WireStream {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}
