//! Which server of an account may have which mail now, and at which address?
//!
//! Never by DNS: the target is the address that the newest beat proved.

use std::net::SocketAddr;
use std::time::Duration;

use super::target::{TargetError, TargetRules, check_target};
use crate::account::{AccountStatus, Directory, Endpoint};
use crate::base::{AccountId, DomainName, EndpointId, Moment};
use crate::liveness::{LineState, LineView};

/// Oldest beat that still vouches for an address. Fixed: the 20 s promised to customers.
pub const BEAT_AGE_MAX: Duration = Duration::from_secs(20);

/// One server and the mail it may have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leg {
    /// Which server.
    pub endpoint: EndpointId,
    /// Its registered name, for TLS.
    pub host: DomainName,
    /// Where it is now.
    pub target: SocketAddr,
    /// SHA-256 of the key by which it proves itself, once one was trusted.
    pub pin: Option<[u8; 32]>,
    /// Recipients in these domains; empty for all of the account.
    pub domains: Vec<DomainName>,
    /// Whether any mail goes there now; otherwise the server is only called when it returns.
    pub takes_mail: bool,
    /// The operator sends the account's mail there: no heartbeat vouches for it, and nothing is learned from it.
    pub is_detour: bool,
}

/// Why no mail goes to a server now.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Closed {
    /// Gone from the directory.
    #[error("the mail server is no longer registered")]
    Unknown,
    /// Suspended account.
    #[error("the account is suspended: mail is kept, not delivered")]
    Suspended,
    /// SUSPECT, OFFLINE or NEW.
    #[error("the line is not online")]
    NotDeliverable,
    /// The last beat is older than [`BEAT_AGE_MAX`].
    #[error("the last heartbeat is older than 20 s")]
    BeatTooOld,
    /// No address was proven in this run of the service.
    #[error("no address is proven yet")]
    NoAddress,
    /// Another address than the connection's.
    #[error("the address changed")]
    AddressChanged,
    /// An address nobody may connect to.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// The address of a server now, if its beats vouch for one.
///
/// # Errors
/// [`Closed`] says what is missing.
pub fn locate(
    endpoint: &Endpoint,
    line: Option<&LineView>,
    rules: TargetRules<'_>,
    now: Moment,
) -> Result<SocketAddr, Closed> {
    let line = line.ok_or(Closed::NotDeliverable)?;
    if !line.state.is_deliverable() {
        return Err(Closed::NotDeliverable);
    }
    match line.last_beat {
        Some(beat) if now.since(beat) <= BEAT_AGE_MAX => {}
        Some(_) | None => return Err(Closed::BeatTooOld),
    }
    let address = line.address.ok_or(Closed::NoAddress)?;
    Ok(check_target(SocketAddr::new(address, endpoint.smtp_port), rules)?)
}

/// Whether the account's mail may be delivered at all.
///
/// # Errors
/// [`Closed::Suspended`], or [`Closed::Unknown`] for an account that is gone.
pub fn check_account(directory: &Directory, account: AccountId) -> Result<(), Closed> {
    match directory.account(account).map(|account| account.status) {
        Some(AccountStatus::Active | AccountStatus::Leaving) => Ok(()),
        Some(AccountStatus::Suspended) => Err(Closed::Suspended),
        None => Err(Closed::Unknown),
    }
}

/// The check before each MAIL: everything that let this connection be opened still holds.
///
/// # Errors
/// [`Closed`] says what changed; the connection is closed and its claims return.
pub fn check_connection(
    directory: &Directory,
    leg: &Leg,
    line: Option<&LineView>,
    rules: TargetRules<'_>,
    now: Moment,
) -> Result<(), Closed> {
    let endpoint = directory.endpoint(leg.endpoint).ok_or(Closed::Unknown)?;
    check_account(directory, endpoint.account)?;
    check_line(directory, leg, line, rules, now)
}

/// Whether an answer may still come on a connection that is open. Doubt about the line is no reason to give up a
/// conversation under way; its end and a move are.
///
/// # Errors
/// [`Closed`] says what changed.
pub fn check_conversation(directory: &Directory, leg: &Leg, line: Option<&LineView>) -> Result<(), Closed> {
    if directory.endpoint(leg.endpoint).is_none() {
        return Err(Closed::Unknown);
    }
    if leg.is_detour {
        return Ok(());
    }
    let line = line.ok_or(Closed::NotDeliverable)?;
    match line.state {
        LineState::Online | LineState::Returning | LineState::Suspect => {}
        LineState::New | LineState::Offline => return Err(Closed::NotDeliverable),
    }
    match line.address {
        Some(address) if address != leg.target.ip() => Err(Closed::AddressChanged),
        Some(_) | None => Ok(()),
    }
}

/// The part of [`check_connection`] that also holds for a mere call: beats still vouch for this address.
///
/// # Errors
/// [`Closed`] says what changed.
pub fn check_line(
    directory: &Directory,
    leg: &Leg,
    line: Option<&LineView>,
    rules: TargetRules<'_>,
    now: Moment,
) -> Result<(), Closed> {
    let endpoint = directory.endpoint(leg.endpoint).ok_or(Closed::Unknown)?;
    if let Some(detour) = directory.preferences(endpoint.account).detour.as_ref() {
        let target = check_target(detour.address, rules)?;
        return if leg.is_detour && target == leg.target { Ok(()) } else { Err(Closed::AddressChanged) };
    }
    if leg.is_detour {
        return Err(Closed::AddressChanged);
    }
    let target = locate(endpoint, line, rules, now)?;
    if target == leg.target { Ok(()) } else { Err(Closed::AddressChanged) }
}

/// What an account may deliver now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routes {
    /// Servers with an address, each with its domains.
    pub legs: Vec<Leg>,
    /// Why a server has none, in the order of the directory.
    pub closed: Vec<(EndpointId, Closed)>,
}

/// Each domain goes to the first of its servers that beats vouch for. An account with one server sends it everything,
/// also mail of domains that were removed since.
#[must_use]
pub fn routes(
    directory: &Directory,
    account: AccountId,
    line: &dyn Fn(EndpointId) -> Option<LineView>,
    rules: TargetRules<'_>,
    now: Moment,
) -> Routes {
    let mut routes = Routes::default();
    let endpoints = directory.endpoints_of(account);
    if let (Some(detour), Some(first)) = (&directory.preferences(account).detour, endpoints.first()) {
        match check_target(detour.address, rules) {
            Ok(target) => routes.legs.push(Leg {
                endpoint: first.id,
                host: detour.host.clone().unwrap_or_else(|| first.host.clone()),
                target,
                pin: None,
                domains: Vec::new(),
                takes_mail: true,
                is_detour: true,
            }),
            Err(error) => routes.closed.push((first.id, Closed::Target(error))),
        }
        return routes;
    }
    for endpoint in &endpoints {
        match locate(endpoint, line(endpoint.id).as_ref(), rules, now) {
            Ok(target) => routes.legs.push(Leg {
                endpoint: endpoint.id,
                host: endpoint.host.clone(),
                target,
                pin: endpoint.pin,
                domains: Vec::new(),
                takes_mail: endpoints.len() == 1,
                is_detour: false,
            }),
            Err(closed) => routes.closed.push((endpoint.id, closed)),
        }
    }
    if endpoints.len() > 1 {
        for domain in directory.domains_of(account) {
            let best = domain.endpoints.iter().find_map(|id| routes.legs.iter().position(|leg| leg.endpoint == *id));
            if let Some(leg) = best.and_then(|place| routes.legs.get_mut(place)) {
                leg.domains.push(domain.name.clone());
                leg.takes_mail = true;
            }
        }
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Account, Domain};
    use std::net::IpAddr;

    const RULES: TargetRules<'static> = TargetRules { allow_loopback: false, own_addresses: &[] };

    fn now() -> Moment {
        Moment::from_millis(4_000_000)
    }

    fn line(endpoint: i64, state: LineState, beat_age_s: u64) -> LineView {
        LineView {
            account: AccountId(1),
            endpoint: EndpointId(endpoint),
            state,
            since: None,
            last_beat: Some(now() - Duration::from_secs(beat_age_s)),
            last_beat_at: None,
            address: Some(IpAddr::from([203, 0, 113, 9])),
            interval: Duration::from_secs(5),
            missed: 0,
            mail_ok: None,
            loss_percent: 0.0,
            unanswered_percent: None,
            name_held_until: None,
            recent_beats: Vec::new(),
        }
    }

    fn directory(status: AccountStatus, endpoints: i64) -> Directory {
        let name = |text: &str| DomainName::parse(text).unwrap();
        let account = Account {
            id: AccountId(1),
            name: "firma".parse().unwrap(),
            status,
            status_since: chrono::DateTime::UNIX_EPOCH,
            online_mode: None,
            created_at: chrono::DateTime::UNIX_EPOCH,
        };
        let endpoints: Vec<Endpoint> = (1..=endpoints)
            .map(|id| Endpoint {
                id: EndpointId(id),
                account: AccountId(1),
                host: name(&format!("s{id}.dyn.example")),
                smtp_port: 25,
                address_v4: None,
                address_v6: None,
                pin: None,
                manners: None,
            })
            .collect();
        let ids = endpoints.iter().map(|endpoint| endpoint.id).collect();
        let domain = Domain { name: name("firma.example"), account: AccountId(1), endpoints: ids };
        Directory::new(vec![account], endpoints, vec![domain], Vec::new())
    }

    fn check(directory: &Directory, line: &LineView) -> Result<(), Closed> {
        let leg = Leg {
            endpoint: EndpointId(1),
            host: DomainName::parse("s1.dyn.example").unwrap(),
            target: "203.0.113.9:25".parse().unwrap(),
            pin: None,
            domains: Vec::new(),
            takes_mail: true,
            is_detour: false,
        };
        check_connection(directory, &leg, Some(line), RULES, now())
    }

    #[test]
    fn mail_goes_only_where_a_beat_of_the_last_20_s_came_from() {
        let active = directory(AccountStatus::Active, 1);
        assert_eq!(check(&active, &line(1, LineState::Online, 20)), Ok(()));
        assert_eq!(check(&active, &line(1, LineState::Returning, 1)), Ok(()));
        assert_eq!(check(&active, &line(1, LineState::Online, 21)), Err(Closed::BeatTooOld));
        assert_eq!(check(&active, &line(1, LineState::Suspect, 8)), Err(Closed::NotDeliverable));
        let moved = LineView { address: Some(IpAddr::from([203, 0, 113, 10])), ..line(1, LineState::Online, 1) };
        assert_eq!(check(&active, &moved), Err(Closed::AddressChanged));
        let unproven = LineView { address: None, ..line(1, LineState::Online, 1) };
        assert_eq!(check(&active, &unproven), Err(Closed::NoAddress));
    }

    #[test]
    fn a_suspended_account_keeps_its_mail_and_a_leaving_one_gets_it() {
        let online = line(1, LineState::Online, 1);
        assert_eq!(check(&directory(AccountStatus::Suspended, 1), &online), Err(Closed::Suspended));
        assert_eq!(check(&directory(AccountStatus::Leaving, 1), &online), Ok(()));
    }

    #[test]
    fn a_domain_goes_to_the_first_of_its_servers_that_is_there() {
        let two = directory(AccountStatus::Active, 2);
        let lines = |id: EndpointId| {
            let state = if id == EndpointId(1) { LineState::Offline } else { LineState::Online };
            Some(line(id.0, state, 1))
        };
        let routes = routes(&two, AccountId(1), &lines, RULES, now());
        assert_eq!(routes.closed, [(EndpointId(1), Closed::NotDeliverable)]);
        assert_eq!(routes.legs.len(), 1);
        assert_eq!(routes.legs[0].endpoint, EndpointId(2));
        let names: Vec<&str> = routes.legs[0].domains.iter().map(DomainName::as_str).collect();
        assert_eq!(names, ["firma.example", "s2.dyn.example"]);
    }

    #[test]
    fn a_single_server_gets_everything_of_its_account() {
        let lines = |id: EndpointId| Some(line(id.0, LineState::Online, 1));
        let routes = routes(&directory(AccountStatus::Active, 1), AccountId(1), &lines, RULES, now());
        assert!(routes.legs[0].domains.is_empty());
    }
}
