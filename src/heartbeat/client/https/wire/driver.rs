//! TCP for ureq with an own source address, which ureq's own connector cannot give.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

/// How long one address may take to accept; a request has 4 s in all.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Connects from `bind`, if that is set and of the same family.
#[derive(Debug)]
pub(in crate::heartbeat::client::https) struct Dialer(pub(in crate::heartbeat::client::https) Option<IpAddr>);

/// One connection.
#[derive(Debug)]
pub(in crate::heartbeat::client::https) struct Wire {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Connector for Dialer {
    type Out = Wire;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Wire>, Error> {
        let limit = details.timeout.not_zero().map_or(CONNECT_TIMEOUT, |left| (*left).min(CONNECT_TIMEOUT));
        let mut last = std::io::Error::from(ErrorKind::AddrNotAvailable);
        for address in details.addrs.iter() {
            match open(*address, self.0, limit) {
                Ok(stream) => {
                    let config = details.config;
                    let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
                    return Ok(Some(Wire { stream, buffers }));
                }
                Err(error) => last = error,
            }
        }
        Err(Error::Io(last))
    }
}

fn open(to: SocketAddr, bind: Option<IpAddr>, limit: Duration) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(own) = bind.filter(|own| own.is_ipv4() == to.is_ipv4()) {
        socket.bind(&SocketAddr::new(own, 0).into())?;
    }
    socket.connect_timeout(&to.into(), limit)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn worded(error: std::io::Error, timeout: &NextTimeout) -> Error {
    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
        Error::Timeout(timeout.reason)
    } else {
        Error::Io(error)
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.set_write_timeout(timeout.not_zero().map(|left| *left))?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        self.stream.write_all(output).map_err(|error| worded(error, &timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.set_read_timeout(timeout.not_zero().map(|left| *left))?;
        let input = self.buffers.input_append_buf();
        let count = self.stream.read(input).map_err(|error| worded(error, &timeout))?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    fn is_open(&mut self) -> bool {
        // Octets that nobody asked for, or the end: neither belongs to a connection that waits to be used again.
        let mut octet = [0u8];
        let peeked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut octet));
        let waits = peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).is_ok() && waits
    }
}
