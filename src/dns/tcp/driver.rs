//! TCP and TLS connections of the name server: a length, a question, a length, the answer (RFC 7766, RFC 7858).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::Seats;
use crate::base::Clock;
use crate::dns::desk::{Desk, push_framed};

/// Connections at one time, unless the process may have too few open files; further ones wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 1_000;
/// Silence after which a connection is closed (RFC 7766 §6.2.3: a few seconds).
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Time for a TLS handshake, and for the asker to take an answer.
const STEP_MAX: Duration = Duration::from_secs(10);
/// Questions on one connection.
const QUESTIONS_MAX: usize = 10_000;
/// Longest message: an update with some hundred records.
const QUESTION_OCTETS_MAX: usize = 16_384;

/// Transfers that are made at one time; further ones wait.
const TRANSFERS_MAX: usize = 4;
/// Octets that are written at once.
const PART_OCTETS: usize = 65_536;

/// What all connections share.
pub struct Streams {
    desk: Arc<Desk>,
    transfers: Semaphore,
    places: Arc<Semaphore>,
    seats: Mutex<Seats>,
}

impl Streams {
    /// For all listeners of a server, with so many connections at one time.
    #[must_use]
    pub fn new(desk: Arc<Desk>, connections_max: usize) -> Arc<Self> {
        Arc::new(Self {
            desk,
            transfers: Semaphore::new(TRANSFERS_MAX),
            places: Arc::new(Semaphore::new(connections_max)),
            seats: Mutex::default(),
        })
    }

    /// Serves a listener until `shutdown`; with `tls` each connection begins with a handshake.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, tls: Option<TlsAcceptor>, shutdown: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = self.accept(&listener) => accepted,
            };
            let Some((stream, peer, place)) = accepted else { continue };
            let Some(seat) = Seat::take(&self, peer.ip()) else { continue };
            let (streams, tls, shutdown) = (Arc::clone(&self), tls.clone(), shutdown.clone());
            tokio::spawn(async move {
                let _ = stream.set_nodelay(true);
                let served = async {
                    match tls {
                        None => streams.converse(stream, peer).await,
                        Some(tls) => {
                            let stream = timeout(STEP_MAX, tls.accept(stream)).await??;
                            streams.converse(stream, peer).await
                        }
                    }
                };
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    ended = served => if let Err(error) = ended {
                        tracing::debug!(%peer, %error, "connection of the name server ended");
                    }
                }
                drop((seat, place));
            });
        }
    }

    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> Option<(tokio::net::TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        let place = Arc::clone(&self.places).acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, peer)) => Some((stream, peer, place)),
            Err(error) => {
                // Mostly out of descriptors: others have to end first.
                tracing::warn!(%error, "the name server cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                None
            }
        }
    }

    async fn converse(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr) -> std::io::Result<()> {
        let mut question = Vec::new();
        let mut answer = Vec::new();
        for _ in 0..QUESTIONS_MAX {
            let read = timeout(IDLE_MAX, read_question(&mut stream, &mut question)).await;
            if !matches!(read, Ok(Ok(true))) {
                break;
            }
            answer.clear();
            let wall = Clock.wall();
            if Desk::is_update(&question) {
                let (reply, answered) = oneshot::channel();
                // Nobody waits any more when the connection has ended.
                let reply = Box::new(move |octets| drop(reply.send(octets)));
                self.desk.take_update(&question, peer, (Clock.monotonic(), wall), true, reply);
                let Ok(octets) = answered.await else { break };
                push_framed(&octets, &mut answer);
                write_all(&mut stream, &answer).await?;
            } else if Desk::is_transfer(&question) {
                // Off the threads on which all others wait.
                let Ok(_turn) = self.transfers.acquire().await else { break };
                let (desk, question) = (Arc::clone(&self.desk), question.clone());
                let made = tokio::task::spawn_blocking(move || {
                    let mut answer = Vec::new();
                    desk.answer_stream(&question, peer.ip(), wall, &mut answer);
                    answer
                });
                answer = made.await?;
                write_all(&mut stream, &answer).await?;
            } else {
                self.desk.answer_stream(&question, peer.ip(), wall, &mut answer);
                write_all(&mut stream, &answer).await?;
            }
            if answer.is_empty() {
                break;
            }
        }
        timeout(STEP_MAX, stream.shutdown()).await?
    }
}

/// Ends when the asker takes nothing for [`STEP_MAX`], however long the whole takes.
async fn write_all(stream: &mut (impl AsyncWrite + Unpin), octets: &[u8]) -> std::io::Result<()> {
    for part in octets.chunks(PART_OCTETS) {
        timeout(STEP_MAX, stream.write_all(part)).await??;
    }
    timeout(STEP_MAX, stream.flush()).await?
}

/// One question; false at the end, and for a length that no question has.
async fn read_question(stream: &mut (impl AsyncRead + Unpin), to: &mut Vec<u8>) -> std::io::Result<bool> {
    let length = match stream.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error),
    };
    if length > QUESTION_OCTETS_MAX {
        return Ok(false);
    }
    to.resize(length, 0);
    stream.read_exact(to).await?;
    Ok(true)
}

/// One connection of a network, counted until dropped.
struct Seat {
    streams: Arc<Streams>,
    peer: IpAddr,
}

impl Seat {
    fn take(streams: &Arc<Streams>, peer: IpAddr) -> Option<Self> {
        let is_free = streams.seats.lock().unwrap_or_else(PoisonError::into_inner).take(peer);
        is_free.then(|| Self { streams: Arc::clone(streams), peer })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.streams.seats.lock().unwrap_or_else(PoisonError::into_inner).give_back(self.peer);
    }
}
