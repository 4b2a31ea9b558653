//! Takes in and sends up to [`BATCH`] datagrams of a socket with one system call each.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

/// Datagrams that one system call takes in.
pub const BATCH: usize = 64;

/// What one system call takes in; each datagram is cut to `OCTETS`.
pub struct Inlet<const OCTETS: usize> {
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Vec<[u8; OCTETS]>,
    /// Octets and source of each datagram of the batch.
    arrived: Vec<(usize, Option<SocketAddr>)>,
}

impl<const OCTETS: usize> Default for Inlet<OCTETS> {
    fn default() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![[0; OCTETS]; BATCH],
            arrived: Vec::with_capacity(BATCH),
        }
    }
}

impl<const OCTETS: usize> Inlet<OCTETS> {
    /// Takes in what is there and waits for nothing.
    ///
    /// # Errors
    /// That of the socket; nothing has arrived then.
    pub fn take(&mut self, socket: &UdpSocket) -> std::io::Result<()> {
        self.receive(socket, MsgFlags::MSG_DONTWAIT)
    }

    /// Waits for the first datagram as long as the socket waits, then takes in what else is there.
    ///
    /// # Errors
    /// That of the socket; nothing has arrived then.
    pub fn wait(&mut self, socket: &UdpSocket) -> std::io::Result<()> {
        self.receive(socket, MsgFlags::MSG_WAITFORONE)
    }

    fn receive(&mut self, socket: &UdpSocket, flags: MsgFlags) -> std::io::Result<()> {
        self.arrived.clear();
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
        match recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None) {
            Ok(messages) => {
                self.arrived.extend(messages.map(|message| (message.bytes, message.address.and_then(address_of))));
                Ok(())
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The datagrams of the batch and where they came from.
    pub fn arrived(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> {
        let all = self.arrived.iter().zip(&self.buffers);
        all.filter_map(|((octets, peer), buffer)| Some((buffer.get(..*octets)?, (*peer)?)))
    }
}

fn address_of(address: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::new(v4.ip().into(), v4.port()));
    v4.or_else(|| {
        let v6 = address.as_sockaddr_in6()?;
        Some(SocketAddrV6::new(v6.ip(), v6.port(), v6.flowinfo(), v6.scope_id()).into())
    })
}

/// Sends all. What the kernel does not take is lost, as on any line.
pub fn send_all(socket: &UdpSocket, datagrams: &[(&[u8], SocketAddr)]) {
    let addresses: Vec<SocketAddrAny> = datagrams.iter().map(|(_, to)| to.as_any()).collect();
    let slices: Vec<[IoSlice<'_>; 1]> = datagrams.iter().map(|(octets, _)| [IoSlice::new(octets)]).collect();
    let mut controls: Vec<SendAncillaryBuffer<'_, '_, '_>> =
        datagrams.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let mut messages: Vec<MMsgHdr<'_>> = addresses
        .iter()
        .zip(&slices)
        .zip(&mut controls)
        .map(|((address, slice), control)| MMsgHdr::new_with_addr(address, slice, control))
        .collect();
    let mut rest = messages.as_mut_slice();
    while !rest.is_empty() {
        let sent = match sendmmsg(socket, rest, SendFlags::DONTWAIT) {
            Ok(sent) => sent.max(1),
            Err(error) => {
                tracing::debug!(%error, "datagram not sent");
                1
            }
        };
        rest = rest.get_mut(sent..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_arrives_as_sent_with_its_sources_and_cut_to_the_buffer() {
        let (here, there) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let to = there.local_addr().unwrap();
        send_all(&here, &[(b"one", to), (b"", to), (b"more than fits", to)]);
        let mut inlet = Inlet::<4>::default();
        there.set_read_timeout(Some(std::time::Duration::from_secs(5))).unwrap();
        let mut seen: Vec<Vec<u8>> = Vec::new();
        while seen.len() < 3 {
            inlet.wait(&there).unwrap();
            assert!(inlet.arrived().all(|(_, from)| from == here.local_addr().unwrap()));
            assert!(inlet.arrived().count() > 0, "nothing came in 5 s");
            seen.extend(inlet.arrived().map(|(octets, _)| octets.to_vec()));
        }
        assert_eq!(seen, [b"one".to_vec(), b"".to_vec(), b"more".to_vec()]);
        inlet.take(&there).unwrap();
        assert_eq!(inlet.arrived().count(), 0);
    }
}
