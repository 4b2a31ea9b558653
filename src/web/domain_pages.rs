//! `/a/{name}/domains`: which records each domain needs, which of them stand in zones of ours, who lives there.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use hickory_proto::rr::{RData, RecordType};

use super::format;
use super::handlers::Answer;
use super::page::Page;
use super::pages::{DomainCard, DomainsTemplate, NameLine, WantedRecord, ZoneCard};
use super::request::{Door, Shown, Visit};
use super::words::Locale;
use crate::account::{Account, Directory, Endpoint};
use crate::base::{AccountId, DomainName, EndpointId};
use crate::dns::owner::Owner;
use crate::dns::zone::ZoneRecord;
use crate::dns::{Dns, NameStore, StoredZone, zone_file};

/// Records of a zone that the page shows; the download has all.
const RECORDS_SHOWN_MAX: usize = 300;
/// Preference of the customer's first server and of us.
const PREFERENCES: (u16, u16) = (10, 20);

/// Where names point and what stands in zones.
#[derive(Clone)]
pub struct NameRooms {
    /// The zones as stored.
    pub store: Arc<dyn NameStore>,
    /// The name server; absent where none runs.
    pub dns: Option<Arc<Dns>>,
}

/// An MX record that a domain needs.
pub(crate) struct Wanted {
    pub(crate) preference: u16,
    pub(crate) target: String,
    /// Whether it stands there; unknown where the zone is not served here.
    pub(crate) found: Option<bool>,
}

/// The records that `name` needs: the account's own servers first, then us.
pub(crate) fn wanted(name: &DomainName, hosts: &[String], ours: &str, zones: &[StoredZone]) -> Vec<Wanted> {
    let owner = Owner::of_domain(name);
    let zone = zones.iter().find(|zone| owner.is_within(&Owner::of_domain(&zone.apex)));
    let found: Option<Vec<String>> =
        zone.map(|zone| zone.records.iter().filter(|r| r.owner == owner).filter_map(exchange).collect());
    let (first, last) = PREFERENCES;
    let all = (first..).zip(hosts.iter().cloned()).chain([(last, ours.to_owned())]);
    all.map(|(preference, target)| {
        let found = found.as_ref().map(|found| found.contains(&target.to_ascii_lowercase()));
        Wanted { preference, target, found }
    })
    .collect()
}

/// Every served domain of an account but its dynamic names, with the servers that have its mail, in order.
pub(crate) fn mail_domains(directory: &Directory, account: AccountId) -> Vec<(DomainName, Vec<String>)> {
    let endpoints = directory.endpoints_of(account);
    let hosts: BTreeMap<_, String> = endpoints.iter().map(|e| (e.id, e.host.to_string())).collect();
    let is_host = |name: &DomainName| endpoints.iter().any(|endpoint| endpoint.host == *name);
    let served = directory.domains_of(account).into_iter().filter(|served| !is_host(&served.name));
    let targets = |ids: &[EndpointId]| ids.iter().filter_map(|id| hosts.get(id).cloned()).collect();
    served.map(|served| (served.name.clone(), targets(&served.endpoints))).collect()
}

impl Door {
    async fn zones(&self, visit: &Visit, account: &Account) -> Result<Vec<StoredZone>, Response> {
        let Some(names) = &self.app.rooms.names else { return Ok(Vec::new()) };
        names.store.zones_of(account.id).await.map_err(|error| self.failed(visit, &error))
    }

    fn dns(&self) -> Option<&Dns> {
        self.app.rooms.names.as_ref().and_then(|names| names.dns.as_deref())
    }

    /// As the world sees it now: with the serial of dynamic changes and the addresses of names that follow a server.
    fn zone_text(&self, zone: &StoredZone) -> String {
        let mut records = zone.records.clone();
        let serial = self.dns().and_then(|dns| dns.serial(&zone.apex)).unwrap_or(zone.serial);
        for record in &mut records {
            if let RData::SOA(soa) = &mut record.data {
                soa.serial = serial;
            }
        }
        let dynamic = self.dns().map(|dns| dns.dynamic_in(&zone.apex)).unwrap_or_default();
        let is_followed = |record: &ZoneRecord| {
            matches!(record.data.record_type(), RecordType::A | RecordType::AAAA)
                && dynamic.iter().any(|(name, _)| *name == record.owner)
        };
        records.retain(|record| !is_followed(record));
        let followed: Vec<ZoneRecord> = dynamic.iter().flat_map(|(_, records)| records.clone()).collect();
        zone_file::write(&Owner::of_domain(&zone.apex), &records, &followed)
    }

    fn name_line(&self, endpoint: &Endpoint, l: Locale) -> NameLine {
        let front = self.dns().map(|dns| dns.front(endpoint.id));
        let (tone, points) = match front {
            None | Some(None) => ("none", l.name_elsewhere().to_owned()),
            Some(Some(front)) if front.is_parked() => ("warn", l.name_parked().to_owned()),
            Some(Some(front)) => {
                let all = [front.v4.map(|a| a.to_string()), front.v6.map(|a| a.to_string())];
                ("ok", format!("{} {}", l.name_points(), all.into_iter().flatten().collect::<Vec<_>>().join(", ")))
            }
        };
        NameLine { host: endpoint.host.to_string(), tone, points }
    }

    fn domain_card(
        &self,
        account: &Account,
        name: &DomainName,
        hosts: &[String],
        zones: &[StoredZone],
        l: Locale,
    ) -> DomainCard {
        let records = wanted(name, hosts, &self.app.settings.hostname, zones)
            .into_iter()
            .map(|Wanted { preference, target, found }| {
                let (tone, verdict) = match found {
                    None => ("none", l.record_foreign()),
                    Some(true) => ("ok", l.record_found()),
                    Some(false) => ("bad", l.record_missing()),
                };
                WantedRecord { owner: name.to_string(), data: format!("{preference} {target}."), tone, verdict }
            })
            .collect();
        let recipients = self.app.rooms.recipients.as_ref();
        let listed = recipients.and_then(|r| r.list_of(account.id, name));
        DomainCard {
            name: name.to_string(),
            records,
            listed: listed
                .map(|(n, at)| l.recipients_listed(n, &format::date(at, l)))
                .unwrap_or_else(|| l.recipients_none().to_owned()),
            unknown: listed
                .and_then(|_| recipients.map(|r| l.unknown_recipient(r.policy(account.id, name).unknown)))
                .unwrap_or_default(),
        }
    }

    /// Every served domain of an account but its dynamic names.
    fn cards(&self, account: &Account, zones: &[StoredZone], l: Locale) -> Vec<DomainCard> {
        let served = mail_domains(&self.app.rooms.directory.load(), account.id);
        served.iter().map(|(name, targets)| self.domain_card(account, name, targets, zones, l)).collect()
    }

    /// The same, with the zones read.
    ///
    /// # Errors
    /// The page to answer with when the store fails.
    pub(super) async fn domain_cards(&self, visit: &Visit, account: &Account) -> Result<Vec<DomainCard>, Response> {
        Ok(self.cards(account, &self.zones(visit, account).await?, visit.locale))
    }

    /// What a domain would need that is not served yet: its mail goes to the account's first server.
    ///
    /// # Errors
    /// The page to answer with when the store fails.
    pub(super) async fn proposed_card(
        &self,
        visit: &Visit,
        account: &Account,
        domain: &DomainName,
    ) -> Result<DomainCard, Response> {
        let zones = self.zones(visit, account).await?;
        let directory = self.app.rooms.directory.load();
        let first: Vec<String> =
            directory.endpoints_of(account.id).first().map(|e| e.host.to_string()).into_iter().collect();
        Ok(self.domain_card(account, domain, &first, &zones, visit.locale))
    }
}

/// Where an MX record leads, in lower case without the last dot.
fn exchange(record: &ZoneRecord) -> Option<String> {
    if let RData::MX(mx) = &record.data {
        return Some(mx.exchange.to_ascii().trim_end_matches('.').to_ascii_lowercase());
    }
    None
}

/// `/a/{name}/domains`
pub(super) async fn domains(page: Page) -> Answer {
    let Page { door, visit, account, .. } = &page;
    page.seen(Shown::Domains).await?;
    let l = visit.locale;
    let zones = door.zones(visit, account).await?;
    let directory = door.app.rooms.directory.load();
    let endpoints = directory.endpoints_of(account.id);
    let cards = door.cards(account, &zones, l);
    let learned = door.app.rooms.recipients.as_ref().map_or(0, |r| r.book().read().learned_of(account.id));
    let zones = zones
        .iter()
        .map(|zone| {
            let text = door.zone_text(zone);
            let mut lines = text.lines();
            let shown: Vec<&str> = lines.by_ref().take(RECORDS_SHOWN_MAX).collect();
            let rest = if lines.next().is_some() { "\n…" } else { "" };
            let serial = door.dns().and_then(|dns| dns.serial(&zone.apex)).unwrap_or(zone.serial);
            ZoneCard {
                apex: zone.apex.to_string(),
                summary: l.zone_serial(serial, zone.records.len()),
                text: format!("{}{rest}", shown.join("\n")),
            }
        })
        .collect();
    let template = DomainsTemplate {
        shell: door.account_shell(visit, account, l.domains(), "domains"),
        names: endpoints.iter().map(|endpoint| door.name_line(endpoint, l)).collect(),
        cards,
        zones,
        learned: if learned == 0 { String::new() } else { l.recipients_learned(learned) },
    };
    Ok(door.page(visit, StatusCode::OK, &template))
}

/// `/a/{name}/zones/{apex}`: a zone file.
pub(super) async fn zone(Path((_, apex)): Path<(String, String)>, page: Page) -> Answer {
    let Page { door, visit, account, .. } = &page;
    page.seen(Shown::Domains).await?;
    let zones = door.zones(visit, account).await?;
    let apex = DomainName::parse(&apex).map_err(|_| door.not_found(visit))?;
    let zone = zones.iter().find(|zone| zone.apex == apex).ok_or_else(|| door.not_found(visit))?;
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{apex}.zone\"")),
    ];
    Ok((headers, door.zone_text(zone)).into_response())
}
