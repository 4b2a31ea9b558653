//! Looks at a customer's domain for the pages, as `pulsemx doctor --domain` does for the operator: what should stand comes
//! from the directory, the zones and the names that are served, what stands from the public DNS.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;

use super::room_settings::{checks_settings, public_addresses};
use crate::account::{DirectoryHandle, Endpoint};
use crate::base::{AccountId, DomainName};
use crate::config::Config;
use crate::dns::Offline;
use crate::liveness::Lines;
use crate::survey::driver::Calls;
use crate::survey::facts::{Expected, Facts, Primary};
use crate::survey::{Depth, Look, Surveyor};
use crate::web::{NameRooms, WebRooms};

/// Port of mail, and of MTA-STS policies.
const PORTS: (u16, u16) = (25, 443);

/// See the file.
struct Looker {
    surveyor: Surveyor,
    directory: DirectoryHandle,
    lines: Arc<dyn Lines>,
    names: Option<NameRooms>,
    hostname: DomainName,
    own_addresses: Vec<IpAddr>,
    name_servers: Vec<DomainName>,
    offline: Offline,
}

/// The pages with somebody who looks; without, if no resolver can be set up.
pub(super) fn beside(config: &Config, pages: WebRooms) -> WebRooms {
    let calls = Calls {
        port: PORTS.0,
        https_port: PORTS.1,
        allow_loopback: config.delivery_allow_loopback_targets,
        own_addresses: super::listen::expand(&config.smtp_listen),
    };
    let surveyor = match Surveyor::new(&checks_settings(config), calls) {
        Ok(surveyor) => surveyor,
        Err(error) => {
            tracing::warn!(%error, "the pages do not look at domains");
            return pages;
        }
    };
    let names = config.names.as_ref();
    let looker = Looker {
        surveyor,
        directory: pages.directory.clone(),
        lines: Arc::clone(&pages.lines),
        names: pages.names.clone(),
        hostname: config.hostname.clone(),
        own_addresses: public_addresses(config),
        name_servers: names.map(|names| names.name_servers.clone()).unwrap_or_default(),
        offline: names.map_or(Offline::Park, |names| names.offline),
    };
    WebRooms { surveys: Some(Arc::new(looker)), ..pages }
}

impl Looker {
    /// Where the name of a server should lead now.
    fn primary(&self, endpoint: &Endpoint) -> Primary {
        let dns = self.names.as_ref().and_then(|names| names.dns.as_ref());
        let front = dns.and_then(|dns| dns.front(endpoint.id));
        let host = endpoint.host.clone();
        let Some(front) = front else {
            let families = self.lines.families(endpoint.id);
            let all = [families.v4, families.v6].into_iter().flatten();
            let addresses = all.map(|family| family.mail_host.unwrap_or(family.address)).collect();
            return Primary { host, addresses, is_dynamic: false, is_parked: false };
        };
        let v4 = front.v4.map(IpAddr::V4);
        let addresses = v4.into_iter().chain(front.v6.map(IpAddr::V6)).collect();
        Primary { host, addresses, is_dynamic: true, is_parked: front.is_parked() && self.offline == Offline::Park }
    }

    /// Our name servers, if the domain is a zone that we host for the account.
    async fn zone_servers(&self, account: AccountId, domain: &DomainName) -> Result<Option<Vec<DomainName>>, String> {
        let Some(names) = self.names.as_ref().filter(|names| names.dns.is_some()) else { return Ok(None) };
        let zones = names.store.zones_of(account).await.map_err(|error| error.to_string())?;
        Ok(zones.iter().any(|zone| zone.apex == *domain).then(|| self.name_servers.clone()))
    }
}

#[async_trait]
impl Look for Looker {
    async fn expected(&self, account: AccountId, domain: &DomainName) -> Result<Expected, String> {
        let zone_servers = self.zone_servers(account, domain).await?;
        let directory = self.directory.load();
        let served = directory.served(domain).filter(|served| served.account.id == account);
        let primaries = match &served {
            Some(served) => {
                let all = served.endpoints.iter().filter_map(|id| directory.endpoint(*id));
                all.map(|endpoint| self.primary(endpoint)).collect()
            }
            None => directory.endpoints_of(account).first().map(|e| self.primary(e)).into_iter().collect(),
        };
        Ok(Expected {
            domain: domain.clone(),
            is_served: served.is_some(),
            primaries,
            hostname: self.hostname.clone(),
            own_addresses: self.own_addresses.clone(),
            zone_servers,
        })
    }

    async fn facts(&self, expected: &Expected) -> Facts {
        self.surveyor.look(expected, Depth::Servers).await
    }

    fn name_servers(&self) -> Vec<DomainName> {
        self.name_servers.clone()
    }
}
