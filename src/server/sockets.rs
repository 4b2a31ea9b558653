//! Opens every socket before any room starts.

use std::net::SocketAddr;

use super::assemble::StartError;
use super::inherited::Inherited;
use super::listen;
use super::names::NameSockets;
use crate::config::Config;
use crate::{heartbeat, smtp};

/// The sockets of all rooms, bound before anything else starts, so that a taken port costs nothing.
pub(super) struct Sockets {
    pub(super) heartbeat: Vec<std::net::UdpSocket>,
    pub(super) smtp: Vec<tokio::net::TcpListener>,
    pub(super) web: Vec<std::net::TcpListener>,
    pub(super) update: Vec<std::net::TcpListener>,
    pub(super) metrics: Vec<std::net::TcpListener>,
    pub(super) names: NameSockets,
}

impl Sockets {
    /// What systemd opened is taken in the place of what the configuration names.
    pub(super) fn bind(config: &Config, inherited: Inherited) -> Result<Self, StartError> {
        let words = |e: smtp::BindError| StartError::Listen(e.to_string());
        let tokio = |listener| tokio::net::TcpListener::from_std(listener);
        let smtp: Result<Vec<_>, _> = inherited.smtp.into_iter().map(tokio).collect();
        let mut open = Self {
            heartbeat: inherited.heartbeat,
            smtp: smtp.map_err(|e| StartError::Listen(e.to_string()))?,
            web: inherited.web,
            update: inherited.update,
            metrics: bind_http(&config.metrics_listen, "metrics", "metrics.listen")?,
            names: NameSockets::bind(config)?,
        };
        if open.heartbeat.is_empty() {
            open.heartbeat = listen::bind_all(&config.heartbeat_listen, heartbeat::server::driver::bind)?;
        }
        if open.smtp.is_empty() {
            open.smtp = listen::bind_all(&config.smtp_listen, smtp::driver::bind).map_err(words)?;
        }
        if open.web.is_empty() {
            open.web = bind_http(&config.web_listen, "browsers", "web.listen")?;
        }
        if open.update.is_empty() {
            open.update = bind_http(&config.web_update_listen, "updates", "web.update_listen")?;
        }
        Ok(open)
    }

    pub(super) fn smtp_addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.smtp, tokio::net::TcpListener::local_addr)
    }
}

fn bind_http(addresses: &[SocketAddr], whom: &str, option: &str) -> Result<Vec<std::net::TcpListener>, StartError> {
    listen::bind_all(addresses, |address| {
        listen::tcp(address)
            .map_err(|e| StartError::Listen(format!("cannot listen for {whom} on {address}: {e}; set {option}")))
    })
}

pub(super) fn addresses<L>(listeners: &[L], local: impl Fn(&L) -> std::io::Result<SocketAddr>) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| local(listener).ok()).collect()
}
