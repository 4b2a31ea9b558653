//! Lets a peer from a suspicious network wait a moment for its greeting, and sees whether it can.

use std::net::SocketAddr;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::smtp::driver::Host;
use crate::smtp::reply;
use crate::smtp::settings::{INPUT_OCTETS_MIN, Settings};

/// What the peer has said already; none when the connection is to end. Most peers do not wait at all.
///
/// RFC 5321 §3.1 has the client wait for the greeting, and real mail servers do: they wait minutes where we let them wait
/// half a second.
pub(in crate::smtp) async fn wait<S: AsyncRead + AsyncWrite + Unpin>(
    host: &Host,
    settings: &Settings,
    stream: &mut S,
    peer: SocketAddr,
) -> Option<BytesMut> {
    let mut input = BytesMut::new();
    let pause = settings.greeting_pause;
    let is_trusted = settings.is_without_limits(peer.ip()) || host.rooms.directory.load().is_forwarder(peer.ip());
    if pause.is_zero() || is_trusted || !host.rates.is_suspicious(peer.ip(), host.now()) {
        return Some(input);
    }
    input.reserve(INPUT_OCTETS_MIN);
    match timeout(pause, stream.read_buf(&mut input)).await {
        Err(_) => Some(input),
        Ok(Ok(octets)) if octets > 0 => {
            host.counters.early_talker();
            tracing::info!(%peer, refused = settings.refuses_early_talkers, "peer talked before the greeting");
            if !settings.refuses_early_talkers {
                return Some(input);
            }
            let mut output = BytesMut::new();
            reply::TALKED_EARLY.write_to(&mut output);
            host.counters.said(&reply::TALKED_EARLY);
            // A peer that is gone needs no word.
            let _ = timeout(settings.patience.write, stream.write_all(&output)).await;
            None
        }
        Ok(_) => None,
    }
}
