//! What the configuration says to each room.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::config::Config;
use crate::delivery::AfterRefusal;
use crate::heartbeat::server::BeatServer;
use crate::update::probe::Rhythm;
use crate::update::probe::driver::Caller;
use crate::web::{BeatRooms, TokenDesk};
use crate::{delivery, liveness, smtp, update, verdict};

pub(super) fn liveness_settings(config: &Config) -> liveness::Settings {
    liveness::Settings {
        interval: config.heartbeat_interval,
        misses: config.heartbeat_misses,
        grace: config.heartbeat_grace,
    }
}

pub(super) fn delivery_settings(config: &Config, own_addresses: Vec<SocketAddr>) -> delivery::Settings {
    delivery::Settings {
        allow_loopback_targets: config.delivery_allow_loopback_targets,
        own_addresses,
        connections_max: config.delivery_connections,
        lanes_max: config.delivery_per_account,
        online_mode: config.smtp_online_mode,
        after_refusal: if config.spool_hold_after_5xx { AfterRefusal::Hold } else { AfterRefusal::Judge },
        ..delivery::Settings::new(config.hostname.clone())
    }
}

pub(super) fn update_settings(config: &Config, own_addresses: Vec<SocketAddr>) -> update::Settings {
    let caller = Caller {
        hostname: config.hostname.clone(),
        allow_loopback: config.delivery_allow_loopback_targets,
        own_addresses,
    };
    update::Settings { caller, rhythm: Rhythm::of_beats(config.heartbeat_interval) }
}

pub(super) fn smtp_settings(config: &Config) -> smtp::Settings {
    smtp::Settings {
        message_octets_max: config.smtp_size_max,
        sessions_max: config.smtp_sessions_max,
        sessions_per_network_max: config.smtp_sessions_per_peer_max,
        connections_per_minute_max: config.smtp_connections_per_minute_max,
        messages_per_minute_max: config.smtp_messages_per_minute_max,
        recipients_per_minute_max: config.smtp_recipients_per_minute_max,
        exempt_networks: config.smtp_exempt_networks.iter().chain(&config.smtp_forwarders).copied().collect(),
        greeting_pause: config.smtp_greeting_pause,
        refuses_early_talkers: config.smtp_refuses_early_talkers,
        defers_listed: config.checks_defers_listed,
        defers_listed_while_offline: config.checks_defers_listed_while_offline,
        postmaster: config.smtp_postmaster.clone(),
        account_octets_max: config.spool_per_account,
        ..smtp::Settings::new(config.hostname.clone())
    }
}

pub(super) fn checks_settings(config: &Config) -> verdict::Settings {
    verdict::Settings {
        is_on: config.checks_enabled,
        resolvers: config.checks_resolvers.clone(),
        question_timeout: config.checks_question_timeout,
        message_timeout: config.checks_message_timeout,
        lists: config.checks_lists.clone(),
        exempt_networks: config.checks_exempt_networks.clone(),
        forwarders: config.smtp_forwarders.clone(),
    }
}

/// The addresses at which we are known, as far as the configuration names them.
pub(super) fn public_addresses(config: &Config) -> Vec<IpAddr> {
    let listened = || config.smtp_listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).collect();
    config.names.as_ref().map(|names| names.own.clone()).filter(|own| !own.is_empty()).unwrap_or_else(listened)
}

/// `https://mx2.example.net` of `https://mx2.example.net/mail`.
pub(super) fn origin_of(url: &str) -> String {
    let host_at = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(host_at..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| host_at + at);
    url.get(..end).unwrap_or(url).to_owned()
}

/// What a beat over HTTP, and a new client, is told by.
pub(super) fn beat_rooms(
    config: &Config,
    beats: &Arc<BeatServer>,
    desk: Arc<dyn TokenDesk>,
    https: String,
) -> BeatRooms {
    let named = |address: SocketAddr| match address.ip() {
        ip if ip.is_unspecified() => format!("{}:{}", config.hostname, address.port()),
        _ => address.to_string(),
    };
    let mut udp: Vec<String> = beats.addresses().into_iter().map(named).collect();
    udp.dedup();
    BeatRooms {
        server: Arc::clone(beats),
        desk,
        joins: Arc::default(),
        udp,
        https,
        interval: config.heartbeat_interval,
        allows_loopback: config.delivery_allow_loopback_targets,
    }
}
