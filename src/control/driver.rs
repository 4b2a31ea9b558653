//! The control socket: one line of JSON in, one line of JSON out.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::reply::{CommandError, Reply};
use super::request::Request;
use crate::base::Clock;

/// Longest request or reply. A page of 1,000 messages with 100 recipients each stays below.
const LINE_OCTETS_MAX: u64 = 64 * 1024 * 1024;
/// A command that takes longer has met a stuck server.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Commands at one time; an operator is one person.
const CONNECTIONS_MAX: usize = 16;
/// Owner and group may command the server; nobody else may connect.
const SOCKET_MODE: u32 = 0o660;

/// The socket cannot be served or reached.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No server runs behind it.
    #[error("no server answers at {path}; start it with `pulsemx serve`, or name its configuration with --config", path = .0.display())]
    NotRunning(PathBuf),
    /// Somebody else's socket, or no rights.
    #[error("cannot use the control socket {path}: {source}", path = path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The other side speaks differently.
    #[error("the server's answer is not understood; are both of the same version? ({0})")]
    Gibberish(String),
    /// The command was refused.
    #[error(transparent)]
    Refused(#[from] CommandError),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ok(Box<Reply>),
    Error(CommandError),
}

/// Opens the socket, replacing one that a dead server left behind.
///
/// # Errors
/// [`ControlError::Socket`] when the folder is not ours or another server listens.
pub fn bind(path: &Path) -> Result<UnixListener, ControlError> {
    let fault = |source| ControlError::Socket { path: path.to_owned(), source };
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(fault(std::io::Error::new(std::io::ErrorKind::AddrInUse, "another server answers there")));
    }
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(fault(error)),
    }
    let listener = UnixListener::bind(path).map_err(fault)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE)).map_err(fault)?;
    Ok(listener)
}

/// Answers commands until the shutdown.
pub async fn serve(listener: UnixListener, desk: Arc<Desk>, shutdown: CancellationToken) {
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    if let Ok(Err(error)) = tokio::time::timeout(ANSWER_WITHIN, answer(stream, desk)).await {
                        tracing::debug!(%error, "control connection failed");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "control socket cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(stream: UnixStream, desk: Arc<Desk>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read).take(LINE_OCTETS_MAX).read_line(&mut line).await?;
    let answer = match serde_json::from_str::<Request>(&line) {
        // A task of its own: a command that has begun is carried out to its end, whoever still waits for it.
        Ok(request) => match tokio::spawn(async move { desk.carry_out(request, Clock.wall()).await }).await {
            Ok(Ok(reply)) => Answer::Ok(Box::new(reply)),
            Ok(Err(error)) => Answer::Error(error),
            Err(error) => Answer::Error(CommandError::new(format!("the command was broken off: {error}"))),
        },
        Err(error) => Answer::Error(CommandError::new(format!("the server does not know this command: {error}"))),
    };
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    write.write_all(text.as_bytes()).await?;
    write.shutdown().await
}

/// Sends a command to the server behind `path`.
///
/// # Errors
/// [`ControlError`]; [`ControlError::NotRunning`] when nobody listens.
pub async fn ask(path: &Path, request: &Request) -> Result<Reply, ControlError> {
    let fault = |source| ControlError::Socket { path: path.to_owned(), source };
    let stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) => {
            let is_nobody =
                matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused);
            return Err(if is_nobody { ControlError::NotRunning(path.to_owned()) } else { fault(error) });
        }
    };
    let exchange = async {
        let (read, mut write) = stream.into_split();
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        write.write_all(line.as_bytes()).await?;
        let mut text = String::new();
        BufReader::new(read).take(LINE_OCTETS_MAX).read_line(&mut text).await?;
        Ok::<String, std::io::Error>(text)
    };
    let text = tokio::time::timeout(ANSWER_WITHIN, exchange)
        .await
        .map_err(|_| fault(std::io::Error::from(std::io::ErrorKind::TimedOut)))?
        .map_err(fault)?;
    match serde_json::from_str(&text).map_err(|e| ControlError::Gibberish(e.to_string()))? {
        Answer::Ok(reply) => Ok(*reply),
        Answer::Error(error) => Err(error.into()),
    }
}
