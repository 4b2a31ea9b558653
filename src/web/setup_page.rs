//! `/a/{name}/setup`: from nothing to a guarded server in three steps, each with a tick: heartbeats, DNS, a rehearsal.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;

use super::beat::join::JoinCodes;
use super::domain_pages::dns_state;
use super::format;
use super::handlers::{Answer, Posted, pressed};
use super::page::Page;
use super::pages::{ClientCommands, SetupTemplate};
use super::request::Shown;
use super::settings::HISTORY_ROWS;
use super::sign_in;
use crate::base::DomainName;
use crate::liveness::{HistoryRow, LineState};

/// Between two codes of one account: each is kept in memory for an hour.
const CODE_EVERY: Duration = Duration::from_secs(60);
/// The domain of an address that a router puts in by itself (FRITZ!Box and most others).
const ROUTER_QUERY: &str = "/nic/update?hostname=<domain>&myip=<ipaddr>&myipv6=<ip6addr>";

/// Where codes for new clients are kept.
#[derive(Clone)]
pub struct JoinRooms {
    /// Waiting codes.
    pub codes: Arc<JoinCodes>,
    /// Address of the pages as clients reach them.
    pub url: String,
    /// `HOST:PORT` of the heartbeat sockets.
    pub udp: Vec<String>,
}

/// What stands on the page besides.
#[derive(Default)]
struct Saying {
    failed: &'static str,
    commands: Option<ClientCommands>,
}

async fn shown(page: &Page, status: StatusCode, saying: Saying) -> Answer {
    let (door, l) = (&page.door, page.visit.locale);
    let rooms = &door.app.rooms;
    let kept = rooms.log.history(page.account.id, HISTORY_ROWS).await.map_err(|error| page.failed(&error))?;
    let (cards, looks) = door.domain_cards(&page.visit, &page.account).await?;
    let typed = page.visit.ask.domain.as_deref().unwrap_or_default().trim().trim_end_matches('.').to_owned();
    let mut look = door.look_card(&page.visit, looks.as_ref(), "setup");
    let (mut wrong, mut proposal) = ("", None);
    if !typed.is_empty() {
        match DomainName::parse(&typed) {
            Err(_) => wrong = l.setup_odd_domain(),
            Ok(domain) if cards.iter().any(|card| card.name == domain.as_str()) => {}
            Ok(domain) => {
                look.domain = domain.to_string();
                proposal = Some(door.proposal(&page.visit, &page.account, &domain, looks.as_ref()).await?);
            }
        }
    }
    let line = rooms.lines.account_line(page.account.id);
    let directory = rooms.directory.load();
    let host = directory.endpoints_of(page.account.id).first().map(|e| e.host.to_string()).unwrap_or_default();
    let (dns_is_right, dns_says) = dns_state(&cards, looks.is_some(), l);
    let template = SetupTemplate {
        shell: door.account_shell(&page.visit, &page.account, l.setup(), "setup"),
        now: door.app.clock.wall().timestamp_millis(),
        last_beat: line.as_ref().and_then(|line| line.last_beat_at).map(format::clock),
        may_act: page.may_change() && rooms.joins.is_some(),
        commands: saying.commands,
        failed: saying.failed,
        router_url: format!("{}{ROUTER_QUERY}", rooms.joins.as_ref().map_or("", |joins| joins.url.as_str())),
        has_router: rooms.updates.is_some() && rooms.joins.is_some(),
        host,
        typed: format::visible(&typed),
        wrong,
        proposal,
        look,
        dns_is_right,
        dns_says,
        cards,
        is_rehearsed: has_passed_drill(page) || has_ended_outage(&kept),
        has_drills: rooms.drills.is_some(),
    };
    Ok(door.page(&page.visit, status, &template))
}

/// Whether the last drill of the account passed.
fn has_passed_drill(page: &Page) -> bool {
    let record = page.door.app.rooms.drills.as_ref().and_then(|drills| drills.record(page.account.id));
    record.is_some_and(|record| record.has_passed())
}

/// Whether an outage is in the history and the line came back from it.
fn has_ended_outage(history: &[HistoryRow]) -> bool {
    history.iter().any(|row| matches!(row, HistoryRow::State(row) if row.from == LineState::Offline))
}

/// `GET /a/{name}/setup`, with `?domain=` for a proposal.
pub(super) async fn setup(page: Page) -> Answer {
    page.seen(Shown::Setup).await?;
    shown(&page, StatusCode::OK, Saying::default()).await
}

/// `POST /a/{name}/setup/code`: a one-time code for a client, shown in this one answer.
pub(super) async fn code(page: Page, form: Posted) -> Answer {
    page.check_change(&pressed(form))?;
    let (door, l) = (&page.door, page.visit.locale);
    let directory = door.app.rooms.directory.load();
    let endpoint = directory.endpoints_of(page.account.id).first().map(|e| (e.id, e.host.to_string()));
    let (Some(joins), Some((endpoint, host))) = (&door.app.rooms.joins, endpoint) else {
        return Err(door.not_found(&page.visit));
    };
    let is_fair = {
        let mut pace = door.app.join_codes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pace.admits(page.account.id, CODE_EVERY, door.app.clock.monotonic())
    };
    if !is_fair {
        let saying = Saying { failed: l.setup_code_soon(), ..Saying::default() };
        return shown(&page, StatusCode::TOO_MANY_REQUESTS, saying).await;
    }
    let (secret, hash) = sign_in::new_secret().map_err(|error| page.failed(&error))?;
    let noted = door.app.rooms.accounts.note_of(page.account.id, format!("join.code {host}"), page.change()).await;
    noted.map_err(|error| page.failed(&error))?;
    if !joins.codes.keep(hash, endpoint, door.app.clock.wall()) {
        let saying = Saying { failed: l.setup_code_full(), ..Saying::default() };
        return shown(&page, StatusCode::SERVICE_UNAVAILABLE, saying).await;
    }
    const FILE: &str = "/etc/pulsemx-beat/token";
    let servers: String = joins.udp.iter().map(|server| format!(" --server {server}")).collect();
    let commands = ClientCommands {
        host,
        join: format!("pulsemx-beat join {}/join/{secret} --token-file {FILE}", joins.url),
        install: format!("pulsemx-beat install{servers} --token-file {FILE} --mail-server 127.0.0.1:25"),
    };
    shown(&page, StatusCode::OK, Saying { commands: Some(commands), ..Saying::default() }).await
}
