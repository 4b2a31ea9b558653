//! One domain as the world sees it: what stands in the store and what the server says is compared with the public view.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;

use crate::account::{AccountStore, Directory};
use crate::base::{Clock, DomainName};
use crate::control::driver::ask;
use crate::control::{Reply, Request};
use crate::dns::{NameStore, Offline};
use crate::liveness::LineState;
use crate::store::sqlite::SqliteStore;
use crate::survey::driver::Calls;
use crate::survey::facts::{Expected, Primary};
use crate::survey::matter::Shown;
use crate::survey::propose::{Way, dynamic_name, propose};
use crate::survey::{Depth, Level, Surveyor, judge, worst};
use crate::verdict;
use crate::verdict::question::driver::ResolverError;

/// What is looked at, and with what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The domain.
    pub domain: DomainName,
    /// The customer's server where the store does not say.
    pub primary: Option<DomainName>,
    /// Our public name.
    pub hostname: DomainName,
    /// Our public addresses.
    pub own_addresses: Vec<IpAddr>,
    /// The zone of dynamic names, if one is served.
    pub zone: Option<DomainName>,
    /// Its name servers; empty without one.
    pub name_servers: Vec<DomainName>,
    /// What a name does while its server is away.
    pub offline: Offline,
    /// The database.
    pub database: PathBuf,
    /// The socket of the running server, which knows where names should lead just now.
    pub control_socket: PathBuf,
    /// Who is asked.
    pub resolver: verdict::Settings,
    /// Where calls may go.
    pub calls: Calls,
}

/// Everything about one domain. The fields stay.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which.
    pub domain: DomainName,
    /// Whether an account has it.
    pub is_served: bool,
    /// In the order in which things build on one another.
    pub findings: Vec<Shown>,
    /// Decides the exit code.
    pub worst: Level,
    /// For a domain that nobody has yet: the ways to set it up.
    pub proposal: Vec<Way>,
}

/// The domain cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum SurveyError {
    /// Nobody to ask.
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    /// The database is there and cannot be read.
    #[error("the database cannot be read: {0}")]
    Store(String),
}

/// Looks at the domain. Takes a minute at most.
///
/// # Errors
/// [`SurveyError`].
pub async fn examine(settings: &Settings) -> Result<Report, SurveyError> {
    let expected = expected(settings).await?;
    let surveyor = Surveyor::new(&settings.resolver, settings.calls.clone())?;
    let facts = surveyor.look(&expected, Depth::Servers).await;
    let findings = judge(&expected, &facts, Clock.wall());
    let proposal = if expected.is_served { Vec::new() } else { propose(&expected, &settings.name_servers) };
    Ok(Report {
        domain: expected.domain,
        is_served: expected.is_served,
        worst: worst(&findings),
        findings: findings.iter().map(crate::survey::Finding::shown).collect(),
        proposal,
    })
}

async fn expected(settings: &Settings) -> Result<Expected, SurveyError> {
    let mut expected = Expected {
        domain: settings.domain.clone(),
        is_served: false,
        primaries: Vec::new(),
        hostname: settings.hostname.clone(),
        own_addresses: settings.own_addresses.clone(),
        zone_servers: None,
    };
    if settings.database.exists() {
        read(settings, &mut expected).await?;
    }
    let is_dynamic = |host: &DomainName| is_below(host, settings.zone.as_ref());
    if !expected.is_served {
        let made = settings.zone.as_ref().and_then(|zone| dynamic_name(&settings.domain, zone));
        let host = settings.primary.clone().or(made);
        expected.primaries = host.into_iter().map(|host| primary(host, &is_dynamic)).collect();
    }
    Ok(expected)
}

async fn read(settings: &Settings, expected: &mut Expected) -> Result<(), SurveyError> {
    let store_error = |error: &dyn std::fmt::Display| SurveyError::Store(error.to_string());
    let path = settings.database.clone();
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open_read_only(&path)).await;
    let store = opened.map_err(|error| store_error(&error))?.map_err(|error| store_error(&error))?;
    let directory = store.load_directory(Clock.wall()).await.map_err(|error| store_error(&error))?;
    let Some(account) = directory.served(&settings.domain).map(|served| served.account.id) else { return Ok(()) };
    let zones = store.zones_of(account).await.map_err(|error| store_error(&error))?;
    if zones.iter().any(|zone| zone.apex == settings.domain) {
        expected.zone_servers = Some(settings.name_servers.clone());
    }
    expected.is_served = true;
    expected.primaries = hosts(&directory, &settings.domain)
        .into_iter()
        .map(|host| primary(host, &|host| is_below(host, settings.zone.as_ref())))
        .collect();
    let Some(name) = directory.account(account).map(|account| account.name.clone()) else { return Ok(()) };
    // Without a running server it stays unknown where a dynamic name should lead now.
    if let Ok(Reply::Account(shown)) = ask(&settings.control_socket, &Request::AccountShow { name }).await {
        for primary in expected.primaries.iter_mut().filter(|primary| primary.host == shown.host) {
            let is_away = matches!(shown.state, LineState::New | LineState::Offline);
            primary.is_parked = is_away && primary.is_dynamic && settings.offline == Offline::Park;
            if !is_away {
                primary.addresses =
                    shown.families.iter().map(|family| family.mail_host.unwrap_or(family.address)).collect();
            }
        }
    }
    Ok(())
}

/// The servers of a domain, the first one first.
fn hosts(directory: &Directory, domain: &DomainName) -> Vec<DomainName> {
    let Some(served) = directory.served(domain) else { return Vec::new() };
    let endpoints = served.endpoints.iter().filter_map(|id| directory.endpoint(*id));
    endpoints.map(|endpoint| endpoint.host.clone()).collect()
}

fn is_below(host: &DomainName, zone: Option<&DomainName>) -> bool {
    zone.is_some_and(|zone| {
        host.as_str().strip_suffix(zone.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

fn primary(host: DomainName, is_dynamic: &dyn Fn(&DomainName) -> bool) -> Primary {
    let is_dynamic = is_dynamic(&host);
    Primary { host, addresses: Vec::new(), is_dynamic, is_parked: false }
}
