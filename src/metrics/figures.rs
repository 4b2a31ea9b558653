//! What the rooms know when they are asked, as a page in the OpenMetrics text format.

use std::fmt;

use async_trait::async_trait;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Watched;
use crate::control::reply::StatusShown;
use crate::heartbeat;
use crate::store::sqlite::Statistics;

/// Prefix of every name.
const PREFIX: &str = "pulsemx";

/// Gives the figures of this moment.
#[async_trait]
pub trait FiguresSource: Send + Sync {
    /// # Errors
    /// In words, when the store cannot be read.
    async fn figures(&self) -> Result<Figures, String>;
}

/// The figures of one moment.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Accounts, mail and the SMTP door.
    pub status: StatusShown,
    /// Datagrams of heartbeats.
    pub beats: heartbeat::server::Counters,
    /// What the store wrote since the start.
    pub store: Statistics,
    /// Octets that mail may still take.
    pub room: u64,
    /// Age of the oldest message that waits, s.
    pub oldest_waiting: Option<u64>,
    /// Seconds since the start.
    pub uptime: u64,
    /// Seconds until our own certificate ends, where an authority issues it.
    pub certificate_left: Option<u64>,
    /// Parts that do not work.
    pub parts_missing: u64,
    /// Whether the silence of many is taken to be our own fault.
    pub is_own_outage: bool,
}

/// The page that Prometheus reads.
///
/// # Errors
/// Never for the text that is written here; the encoder's type has one.
pub fn page(figures: Figures, watched: &Watched) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(PREFIX);
    watched.register(&mut registry);
    registry.register_collector(Box::new(figures));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

/// Writes figures one by one.
struct Writer<'a>(DescriptorEncoder<'a>);

impl Writer<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let gauge = ConstGauge::new(value);
        gauge.encode(self.0.encode_descriptor(name, help, None, gauge.metric_type())?)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(name, help, None, counter.metric_type())?)
    }

    fn gauges(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) -> fmt::Result {
        let kind = ConstGauge::new(0_u64).metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        values
            .iter()
            .try_for_each(|(word, value)| ConstGauge::new(*value).encode(family.encode_family(&[(label, *word)])?))
    }

    fn counters(&mut self, name: &str, help: &str, label: &str, values: &[(&str, u64)]) -> fmt::Result {
        let kind = ConstCounter::new(0_u64).metric_type();
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        values
            .iter()
            .try_for_each(|(word, value)| ConstCounter::new(*value).encode(family.encode_family(&[(label, *word)])?))
    }
}

impl Collector for Figures {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut writer = Writer(encoder);
        self.write_service(&mut writer)?;
        self.write_certificate(&mut writer)?;
        self.write_mail(&mut writer)?;
        self.write_door(&mut writer)?;
        self.write_beats(&mut writer)
    }
}

impl Figures {
    fn write_service(&self, to: &mut Writer<'_>) -> fmt::Result {
        let s = &self.status;
        to.gauge("uptime_seconds", "Since the start", self.uptime)?;
        to.gauge("parts_missing", "Parts of the service that do not work, as /ready tells them", self.parts_missing)?;
        to.gauge(
            "own_outage",
            "1 while the silence of many is taken to be our own fault",
            u64::from(self.is_own_outage),
        )?;
        let by_state = [
            ("new", s.new),
            ("online", s.online),
            ("suspect", s.suspect),
            ("offline", s.offline),
            ("returning", s.returning),
        ];
        to.gauges("accounts", "Accounts by state", "state", &by_state)?;
        to.gauge("alert_channels_failing", "Channels of alerts whose last attempt failed", s.alerts_failing)?;
        to.gauge(
            "accounts_unreached",
            "Accounts, and the operator, whose channels of alerts all fail",
            s.alerts_unreached.len() as u64,
        )?;
        to.gauge("accounts_delivering", "Accounts that are being delivered to", s.delivering)?;
        to.counter("store_commits", "Transactions of the database", self.store.commits)?;
        to.counter("store_synced_commits", "Transactions synced before they were answered", self.store.synced_commits)
    }

    fn write_certificate(&self, to: &mut Writer<'_>) -> fmt::Result {
        let Some(certificate) = &self.status.certificate else { return Ok(()) };
        to.gauge("certificate_expires_seconds", "Until our own certificate ends", self.certificate_left.unwrap_or(0))?;
        to.gauge(
            "certificate_failures",
            "Tries to renew it that failed since the last success",
            u64::from(certificate.failures),
        )?;
        to.counter("certificates_issued", "Certificates that an authority issued to us", certificate.issued)
    }

    fn write_mail(&self, to: &mut Writer<'_>) -> fmt::Result {
        let s = &self.status;
        to.gauges("spool_messages", "Messages kept", "kind", &[("waiting", s.held), ("refused", s.refused)])?;
        to.gauge("spool_bytes", "Octets of the messages kept", s.held_bytes)?;
        to.gauge("spool_oldest_seconds", "Age of the oldest message that waits", self.oldest_waiting.unwrap_or(0))?;
        to.gauge("spool_room_bytes", "Octets that mail may still take", self.room)?;
        let outcomes =
            [("delivered", self.store.delivered), ("deferred", self.store.deferred), ("refused", self.store.refused)];
        to.counters(
            "delivery_recipients",
            "What primaries said, counted by recipient and attempt",
            "outcome",
            &outcomes,
        )
    }

    fn write_door(&self, to: &mut Writer<'_>) -> fmt::Result {
        let Some(smtp) = &self.status.smtp else { return Ok(()) };
        to.counter("smtp_sessions", "Sessions begun", smtp.sessions)?;
        to.counter("smtp_messages_stored", "Messages made durable", smtp.stored)?;
        to.counter("smtp_early_talkers", "Peers that talked before the greeting", smtp.early_talkers)?;
        to.counter(
            "smtp_refusals_delayed",
            "Refusals held back from a peer that looks for addresses",
            smtp.refusals_delayed,
        )?;
        let refused: Vec<(&str, u64)> = smtp.refused.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
        to.counters("smtp_refused", "Replies that deferred, refused or ended a session", "reason", &refused)
    }

    fn write_beats(&self, to: &mut Writer<'_>) -> fmt::Result {
        let b = &self.beats;
        to.counter("heartbeat_datagrams", "Datagrams received", b.received)?;
        let ends = [
            ("replied", b.replied),
            ("challenged", b.challenged),
            ("silent", b.silent),
            ("unknown", b.unknown),
            ("forged", b.forged),
            ("shed", b.shed),
        ];
        to.counters("heartbeat_results", "What became of datagrams", "result", &ends)?;
        to.counter("heartbeat_moves", "Addresses that moved", b.moved)?;
        to.counter("heartbeat_kernel_drops", "Datagrams lost before they were read", b.kernel_drops)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::{AccountId, DomainName, EndpointId};
    use crate::control::certificate_reply::CertificateShown;
    use crate::liveness::{Cause, HistoryRow, LineEvent, LineState, Transition};
    use crate::smtp::CountersShown;

    fn figures() -> Figures {
        let refused = [("not_served".to_owned(), 7), ("too_big".to_owned(), 1)].into();
        Figures {
            status: StatusShown {
                hostname: DomainName::parse("mx2.example.net").unwrap(),
                version: "1".to_owned(),
                running: true,
                started_at: None,
                accounts: 3,
                online: 2,
                suspect: 0,
                offline: 1,
                returning: 0,
                new: 0,
                held: 12,
                refused: 4,
                postmaster: 0,
                held_bytes: 4_096,
                delivering: 1,
                alerts_failing: 2,
                alerts_unreached: Vec::new(),
                certificate: Some(CertificateShown {
                    not_after: None,
                    failures: 3,
                    error: None,
                    next_at: None,
                    issued: 1,
                }),
                smtp: Some(CountersShown { sessions: 20, stored: 12, refused, ..CountersShown::default() }),
            },
            beats: heartbeat::server::Counters { received: 100, replied: 99, forged: 1, ..Default::default() },
            store: Statistics { commits: 30, synced_commits: 20, messages: 12, delivered: 5, deferred: 2, refused: 1 },
            room: 1 << 30,
            oldest_waiting: Some(61),
            uptime: 3_600,
            certificate_left: Some(86_400),
            parts_missing: 0,
            is_own_outage: false,
        }
    }

    #[test]
    fn the_page_says_what_the_rooms_know() {
        let text = page(figures(), &Watched::default()).unwrap();
        for line in [
            "pulsemx_accounts{state=\"offline\"} 1",
            "pulsemx_spool_messages{kind=\"waiting\"} 12",
            "pulsemx_spool_oldest_seconds 61",
            "pulsemx_alert_channels_failing 2",
            "pulsemx_accounts_unreached 0",
            "pulsemx_delivery_recipients_total{outcome=\"delivered\"} 5",
            "pulsemx_smtp_refused_total{reason=\"not_served\"} 7",
            "pulsemx_heartbeat_results_total{result=\"forged\"} 1",
            "# TYPE pulsemx_smtp_messages_stored counter",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    /// Each name beginning with `pulsemx_`, without the endings that the text format adds.
    fn names(text: &str) -> BTreeSet<String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        text.match_indices("pulsemx_")
            .filter_map(|(at, _)| text.get(at..))
            .map(|rest| rest.split(|c| !is_name(c)).next().unwrap_or_default())
            .map(|name| {
                ["_total", "_bucket", "_sum", "_count"].iter().fold(name, |name, end| name.trim_end_matches(end))
            })
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn dashboard_and_rules_ask_only_for_figures_that_exist() {
        let (watched, (account, endpoint)) = (Watched::default(), (AccountId(1), EndpointId(1)));
        let (from, to, cause, at) =
            (LineState::Online, LineState::Offline, Cause::Goodbye, chrono::DateTime::UNIX_EPOCH);
        let change = Transition { account, endpoint, from, to, cause, at, since: at, address: None };
        watched.handle_event(&LineEvent::Changed(HistoryRow::State(change)));
        let known = names(&page(figures(), &watched).unwrap());
        let rules = include_str!("../../deploy/prometheus/pulsemx.rules.yml");
        let dashboard = include_str!("../../deploy/grafana/pulsemx.json");
        let parsed: serde_json::Value = serde_json::from_str(dashboard).unwrap();
        assert!(parsed["panels"].as_array().is_some_and(|panels| panels.len() >= 8));
        for (what, text) in [("rules", rules), ("dashboard", dashboard)] {
            let asked = names(text);
            assert!(asked.len() >= 5, "{what} ask for {asked:?} only");
            let unknown: Vec<_> = asked.difference(&known).collect();
            assert!(unknown.is_empty(), "{what}: {unknown:?}");
        }
    }
}
