//! Sends notices to secondaries and reads their answers.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::RecordType;
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::Notices;
use crate::base::Clock;
use crate::dns::desk::Desk;
use crate::dns::owner::Owner;
use crate::dns::query::HEADER_OCTETS;
use crate::dns::secondary::{Access, Secondary};

/// Between two looks at the serials of zones that are followed.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Tells secondaries of changes until `shutdown`.
pub async fn serve(desk: Arc<Desk>, shutdown: CancellationToken) {
    let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await;
    let v6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await;
    if let (Err(error), Err(_)) = (&v4, &v6) {
        tracing::error!(%error, "secondaries are not told of changes; they find them with their own refresh");
        return;
    }
    let sockets = [v4.ok(), v6.ok()];
    let mut notices = Notices::default();
    let (mut four, mut six) = ([0; 512], [0; 512]);
    loop {
        let [v4, v6] = &sockets;
        let is_followed = desk.access().followed().next().is_some();
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = desk.has_new_access.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY), if is_followed => {}
            heard = receive(v4.as_ref(), &mut four) => {
                handle(&mut notices, &four, heard);
                continue;
            }
            heard = receive(v6.as_ref(), &mut six) => {
                handle(&mut notices, &six, heard);
                continue;
            }
        }
        for (address, octets) in due(&desk, &mut notices) {
            let socket = if address.is_ipv4() { v4 } else { v6 };
            if let Some(socket) = socket
                && let Err(error) = socket.send_to(&octets, address).await
            {
                tracing::debug!(%address, %error, "a secondary was not told of a change");
            }
        }
    }
}

async fn receive(socket: Option<&UdpSocket>, to: &mut [u8]) -> Option<(usize, SocketAddr)> {
    match socket {
        // An ICMP error of an earlier notice is none of an answer's.
        Some(socket) => socket.recv_from(to).await.ok(),
        None => std::future::pending().await,
    }
}

fn handle(notices: &mut Notices, octets: &[u8], heard: Option<(usize, SocketAddr)>) {
    let Some((length, from)) = heard else { return };
    let Some(header) = octets.get(..length).and_then(|octets| octets.first_chunk::<HEADER_OCTETS>()) else { return };
    let [high, low, flags, code, ..] = *header;
    // An answer to a notice (RFC 1996 §3.3).
    if flags & 0xf8 == 0xa0 {
        if code & 0xf != 0 {
            tracing::warn!(secondary = %from, code = code & 0xf, "a secondary does not want to hear of changes");
        }
        notices.handle_answer(from, u16::from_be_bytes([high, low]), Clock.monotonic());
    }
}

/// The notices of this moment, with where they go.
fn due(desk: &Desk, notices: &mut Notices) -> Vec<(SocketAddr, Vec<u8>)> {
    let access = desk.access();
    let catalog = desk.catalog();
    let now = Clock.monotonic();
    notices.retain(|apex, address| {
        access.followed().any(|(known, all)| known == apex && all.iter().any(|known| known.address == address))
    });
    let mut all = Vec::new();
    for (apex, secondaries) in access.followed() {
        let Some(zone) = catalog.zone(apex) else { continue };
        for secondary in secondaries {
            let mut random = [0; 2];
            if getrandom::fill(&mut random).is_err() {
                return all;
            }
            let id = u16::from_be_bytes(random);
            if notices.is_due(apex, secondary.address, zone.serial(), id, now) {
                let notice = notice(apex, id);
                all.extend(signed(notice, secondary, &access).map(|octets| (secondary.address, octets)));
            }
        }
    }
    all
}

fn notice(apex: &Owner, id: u16) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Notify);
    message.metadata.authoritative = true;
    message.add_query(Query::query(apex.to_name(), RecordType::SOA));
    message
}

fn signed(mut message: Message, secondary: &Secondary, access: &Access) -> Option<Vec<u8>> {
    if let Some(key) = &secondary.key
        && !access.keys().sign_question(key, &mut message, Clock.wall())
    {
        tracing::error!(secondary = %secondary.address, %key, "a notice is not sent: its key cannot be used");
        return None;
    }
    message.to_vec().ok()
}
