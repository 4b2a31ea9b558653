//! `/a/{name}/domains`: which records each domain needs, which of them stand in zones of ours, who lives there.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Form;
use axum::extract::Path;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use hickory_proto::rr::{RData, RecordType};

use serde::{Deserialize, Serialize};

use super::format::{self, Stamp};
use super::handlers::Answer;
use super::looks::{Begin, Kept, Looked};
use super::page::Page;
use super::pages::{DomainCard, DomainsTemplate, LookCard, NameLine, Proposal, WayCard, ZoneCard};
use super::record_view::{Badge, RecordRow, Remark};
use super::request::{Button, Door, Shown, Visit, see_other};
use super::words::Locale;
use crate::account::{Account, Directory, Endpoint};
use crate::base::{AccountId, DomainName, EndpointId};
use crate::dns::owner::Owner;
use crate::dns::zone::ZoneRecord;
use crate::dns::{Dns, NameStore, StoredZone, zone_file};
use crate::survey::propose::propose;
use crate::survey::{Level, worst};

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
        (name, hosts): (&DomainName, &[String]),
        zones: &[StoredZone],
        looked: Option<&Looked>,
        l: Locale,
    ) -> DomainCard {
        let rows: Vec<RecordRow> = match looked {
            Some(looked) => looked.rows.iter().map(|row| RecordRow::seen(row, l)).collect(),
            None => {
                let all = wanted(name, hosts, &self.app.settings.hostname, zones);
                all.iter().map(|wanted| RecordRow::wanted(name, wanted, l)).collect()
            }
        };
        let recipients = self.app.rooms.recipients.as_ref();
        let listed = recipients.and_then(|r| r.list_of(account.id, name));
        DomainCard {
            name: name.to_string(),
            badges: vec![looked.map_or_else(|| Badge::of("none", l.look_never()), |looked| badge(looked, l))],
            rows,
            besides: looked.iter().flat_map(|looked| &looked.besides).map(|finding| Remark::of(finding, l)).collect(),
            listed: listed
                .map(|(n, at)| l.recipients_listed(n, &format::date(at, l)))
                .unwrap_or_else(|| l.recipients_none().to_owned()),
            unknown: listed
                .and_then(|_| recipients.map(|r| l.unknown_recipient(r.policy(account.id, name).unknown)))
                .unwrap_or_default(),
        }
    }

    /// Every served domain of an account but its dynamic names.
    fn cards(&self, account: &Account, zones: &[StoredZone], kept: Option<&Kept>, l: Locale) -> Vec<DomainCard> {
        let served = mail_domains(&self.app.rooms.directory.load(), account.id);
        let card = |(name, targets): &(DomainName, Vec<String>)| {
            // One that was seen while it did not belong to the account was held against something else.
            let looked = kept.and_then(|kept| kept.domains.get(name)).filter(|looked| looked.is_served);
            self.domain_card(account, (name, targets), zones, looked, l)
        };
        served.iter().map(card).collect()
    }

    /// The same, with the zones read, and what was seen last.
    ///
    /// # Errors
    /// The page to answer with when the store fails.
    pub(super) async fn domain_cards(
        &self,
        visit: &Visit,
        account: &Account,
    ) -> Result<(Vec<DomainCard>, Option<Kept>), Response> {
        let kept = self.app.looked(account.id);
        let cards = self.cards(account, &self.zones(visit, account).await?, kept.as_ref(), visit.locale);
        Ok((cards, kept))
    }

    /// The ways for a domain that is not served yet: its mail goes to the account's first server.
    ///
    /// # Errors
    /// The page to answer with when the store fails.
    pub(super) async fn proposal(
        &self,
        visit: &Visit,
        account: &Account,
        domain: &DomainName,
        kept: Option<&Kept>,
    ) -> Result<Proposal, Response> {
        let l = visit.locale;
        let looked = kept.and_then(|kept| kept.domains.get(domain));
        let mut proposal = Proposal {
            name: domain.to_string(),
            title: l.setup_proposed(domain.as_str()),
            today: looked.map(|looked| today(looked, l)).unwrap_or_default(),
            ways: Vec::new(),
        };
        let Some(surveys) = &self.app.rooms.surveys else { return Ok(proposal) };
        let expected = surveys.expected(account.id, domain).await.map_err(|error| self.failed(visit, &error))?;
        let host = expected.primaries.first().map(|primary| primary.host.to_string()).unwrap_or_default();
        proposal.ways = propose(&expected, &surveys.name_servers())
            .into_iter()
            .map(|way| {
                let (title, text) = match way.letter {
                    'A' => (l.way_zone_title(), l.way_zone_text().to_owned()),
                    'B' => (l.way_mx_title(), l.way_mx_text().to_owned()),
                    'C' => (l.way_name_title(), l.way_c_text(domain.as_str(), &host)),
                    _ => (l.way_pull_title(), l.way_pull_text().to_owned()),
                };
                let rows = way.records.iter().map(|record| RecordRow::proposed(record, l)).collect();
                WayCard { letter: way.letter, title, text, rows }
            })
            .collect();
        Ok(proposal)
    }

    /// Whether somebody looks, and who may ask for it.
    pub(super) fn look_card(&self, visit: &Visit, kept: Option<&Kept>, back: &'static str) -> LookCard {
        LookCard {
            may_ask: self.app.rooms.surveys.is_some(),
            is_running: kept.is_some_and(|kept| kept.is_running),
            seen: kept.and_then(|kept| kept.seen_at).map(|at| format::day(at, visit.locale)),
            is_soon: visit.ask.done.as_deref() == Some("soon"),
            domain: String::new(),
            back,
        }
    }

    /// What an open page is sent of looks at domains; `typed` is shown besides.
    ///
    /// # Errors
    /// The sentence for the log.
    pub(super) async fn look_news(
        &self,
        account: &Account,
        typed: Option<&str>,
        l: Locale,
    ) -> Result<LookNews, String> {
        let zones = match &self.app.rooms.names {
            Some(names) => names.store.zones_of(account.id).await.map_err(|error| error.to_string())?,
            None => Vec::new(),
        };
        let kept = self.app.looked(account.id);
        let cards = self.cards(account, &zones, kept.as_ref(), l);
        let (dns_ok, dns_says) = dns_state(&cards, kept.is_some(), l);
        let typed = typed.and_then(|name| DomainName::parse(name).ok());
        let looked = kept.as_ref().zip(typed).and_then(|(kept, name)| kept.domains.get(&name));
        Ok(LookNews {
            looking: kept.as_ref().is_some_and(|kept| kept.is_running),
            looked: kept.as_ref().and_then(|kept| kept.seen_at).map(|at| format::day(at, l)),
            dns_ok,
            dns_says,
            today: looked.map(|looked| today(looked, l)).unwrap_or_default(),
            cards: cards.into_iter().map(CardNews::of).collect(),
        })
    }
}

/// What an open page is sent of looks at domains.
#[derive(Debug, Serialize)]
pub(super) struct LookNews {
    looking: bool,
    looked: Option<Stamp>,
    dns_ok: bool,
    dns_says: &'static str,
    today: String,
    cards: Vec<CardNews>,
}

#[derive(Debug, Serialize)]
struct CardNews {
    badges: Vec<Badge>,
    rows: Vec<RecordRow>,
    besides: Vec<Remark>,
}

impl CardNews {
    fn of(DomainCard { badges, rows, besides, .. }: DomainCard) -> Self {
        Self { badges, rows, besides }
    }
}

/// How a whole domain stands: the worst of its records.
fn badge(looked: &Looked, l: Locale) -> Badge {
    let levels = || looked.rows.iter().map(|row| row.verdict.level());
    if levels().any(|level| level == Some(Level::Broken)) {
        Badge::of("bad", l.look_wrong())
    } else if looked.rows.is_empty() || levels().any(|level| level.is_none()) {
        Badge::of("none", l.look_silent())
    } else if levels().any(|level| level == Some(Level::Warning)) || worst(&looked.besides) > Level::Fine {
        Badge::of("warn", l.look_mind())
    } else {
        Badge::of("ok", l.look_right())
    }
}

/// What of the records can be known of all domains: whether everything required stands, and how to say that.
pub(super) fn dns_state(cards: &[DomainCard], has_looked: bool, l: Locale) -> (bool, &'static str) {
    let states: Vec<&str> = cards.iter().flat_map(|card| &card.rows).map(|record| record.tone).collect();
    if states.contains(&"bad") {
        (false, if has_looked { l.setup_dns_wrong() } else { l.setup_dns_missing() })
    } else if states.is_empty() || states.contains(&"none") {
        (false, if has_looked { l.setup_dns_silent() } else { l.setup_dns_foreign() })
    } else {
        (true, l.setup_dns_ok())
    }
}

/// Where the mail of a domain goes now, in words.
fn today(looked: &Looked, l: Locale) -> String {
    let is_gone = looked.besides.first();
    let hosts: Vec<String> = looked.today.iter().map(|host| format::visible(host)).collect();
    is_gone.map_or_else(|| l.mail_today(&hosts.join(", ")), |finding| format!("{}.", Remark::of(finding, l).what))
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
    let kept = door.app.looked(account.id);
    let cards = door.cards(account, &zones, kept.as_ref(), l);
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
        now: door.app.clock.wall().timestamp_millis(),
        look: door.look_card(visit, kept.as_ref(), "domains"),
        names: endpoints.iter().map(|endpoint| door.name_line(endpoint, l)).collect(),
        cards,
        zones,
        learned: if learned == 0 { String::new() } else { l.recipients_learned(learned) },
    };
    Ok(door.page(visit, StatusCode::OK, &template))
}

/// The button that asks for a look.
#[derive(Debug, Default, Deserialize)]
pub(super) struct LookForm {
    #[serde(default)]
    csrf: String,
    /// A domain that is not served yet, to be looked at besides.
    #[serde(default)]
    domain: String,
    /// The page to come back to.
    #[serde(default)]
    back: String,
}

/// `POST /a/{name}/domains/look`: looks in the background; the page follows by itself.
pub(super) async fn look(page: Page, form: Result<Form<LookForm>, FormRejection>) -> Answer {
    let form = form.map(|Form(form)| form).unwrap_or_default();
    page.check(&Button { csrf: form.csrf })?;
    page.seen(Shown::Domains).await?;
    let typed = DomainName::parse(&form.domain).ok();
    let begun = page.door.app.look(&page.account, typed.clone()).ok_or_else(|| page.door.not_found(&page.visit))?;
    let mut target = format!("/a/{}/{}?", page.account.name, if form.back == "setup" { "setup" } else { "domains" });
    if let Some(domain) = typed {
        target.push_str(&format!("domain={domain}&"));
    }
    if begun == Begin::Soon {
        target.push_str("done=soon");
    }
    Ok(see_other(target.trim_end_matches(['?', '&'])))
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
