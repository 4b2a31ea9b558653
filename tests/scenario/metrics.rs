//! Figures for Prometheus: they move with what happens, and name no customer.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::{Beats, Sender, Server, free_port, http_get, mail, wait_for};

/// The value of a figure with all its labels; none while it has not been counted.
fn value(at: SocketAddr, figure: &str) -> Option<f64> {
    let (head, text) = http_get(at, "/metrics");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(text.trim_end().ends_with("# EOF"), "{text}");
    assert!(!text.contains("firma"), "a customer is named: {text}");
    text.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn figures_follow_an_outage() {
    let free = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let server = Server::start("1s", &format!("[metrics]\nlisten = \"{free}\""));
    let token = server.add_account("firma", 25);
    let figure = |name: &str| value(free, name);
    let reaches = |name: &'static str, wanted: f64| {
        wait_for(name, Duration::from_secs(40), || figure(name).filter(|value| (value - wanted).abs() < 0.01));
    };
    reaches("pulsemx_accounts{state=\"new\"}", 1.0);
    reaches("pulsemx_parts_missing", 0.0);
    let beats = Beats::start(&server, "firma", &token, "127.0.0.11", None);
    reaches("pulsemx_accounts{state=\"online\"}", 1.0);
    beats.kill();
    reaches("pulsemx_accounts{state=\"offline\"}", 1.0);
    reaches("pulsemx_state_changes_total{to=\"offline\",cause=\"missed_beats\"}", 1.0);
    reaches("pulsemx_neutralise_seconds_count", 1.0);
    let mut sender = Sender::connect(server.smtp).unwrap();
    assert!(sender.send("a@b.example", "x@firma.example", &mail("one")).unwrap().starts_with("250"));
    assert!(sender.send("a@b.example", "x@fremd.example", &mail("two")).unwrap().starts_with("550"));
    reaches("pulsemx_spool_messages{kind=\"waiting\"}", 1.0);
    reaches("pulsemx_smtp_messages_stored_total", 1.0);
    reaches("pulsemx_smtp_refused_total{reason=\"not_served\"}", 1.0);
    assert!(figure("pulsemx_heartbeat_results_total{result=\"replied\"}").unwrap() >= 1.0);
}
