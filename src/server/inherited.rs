//! Sockets that systemd opened for us and keeps open while we restart (socket activation).

use std::net::{TcpListener, UdpSocket};

/// Sockets by what they are for: the `FileDescriptorName=` of their units.
#[derive(Default)]
pub struct Inherited {
    /// `smtp`: TCP.
    pub smtp: Vec<TcpListener>,
    /// `web`: TCP.
    pub web: Vec<TcpListener>,
    /// `update`: TCP.
    pub update: Vec<TcpListener>,
    /// `heartbeat`: UDP.
    pub heartbeat: Vec<UdpSocket>,
}

/// What was handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritedError {
    /// No name, or one that says nothing.
    #[error(
        "systemd handed over socket {place} with the name '{name}'; say FileDescriptorName=smtp, web, update or heartbeat"
    )]
    Name {
        /// Counted from 0.
        place: usize,
        /// Its name.
        name: String,
    },
    /// A stream where datagrams are wanted, or the other way round.
    #[error("systemd handed over socket {place} for {name}, and it is of another kind: {source}")]
    Kind {
        /// Counted from 0.
        place: usize,
        /// What it is said to be for.
        name: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Inherited {
    /// Takes what this process was given; nothing where it was started by hand. Only the first call finds something.
    ///
    /// # Errors
    /// [`InheritedError`] names the socket.
    pub fn take() -> Result<Self, InheritedError> {
        // The names first: `from_env` removes the variables.
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut sockets = listenfd::ListenFd::from_env();
        let mut inherited = Self::default();
        let names: Vec<&str> = names.split(':').collect();
        for place in 0..sockets.len() {
            let name = names.get(place).copied().unwrap_or_default();
            inherited.add(&mut sockets, place, name)?;
        }
        Ok(inherited)
    }

    fn add(&mut self, sockets: &mut listenfd::ListenFd, place: usize, name: &str) -> Result<(), InheritedError> {
        let kind = |source| InheritedError::Kind { place, name: name.to_owned(), source };
        let ready = |source: std::io::Result<()>| source.map_err(kind);
        if name == "heartbeat" {
            if let Some(socket) = sockets.take_udp_socket(place).map_err(kind)? {
                ready(socket.set_nonblocking(true))?;
                self.heartbeat.push(socket);
            }
            return Ok(());
        }
        let listeners = match name {
            "smtp" => &mut self.smtp,
            "web" => &mut self.web,
            "update" => &mut self.update,
            _ => return Err(InheritedError::Name { place, name: name.to_owned() }),
        };
        if let Some(listener) = sockets.take_tcp_listener(place).map_err(kind)? {
            ready(listener.set_nonblocking(true))?;
            listeners.push(listener);
        }
        Ok(())
    }
}
