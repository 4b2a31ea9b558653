//! Carries out the commands about customers' zones.

use std::collections::BTreeSet;
use std::sync::Arc;

use hickory_proto::rr::rdata::{MX, NS, SOA};
use hickory_proto::rr::{RData, RecordType};

use super::desk::{Desk, find};
use super::reply::{CommandError, Reply, ZoneChangeShown, ZoneShown};
use super::request::ZoneRequest;
use crate::account::{AccountName, Change};
use crate::base::{AccountId, DomainName};
use crate::dns::check::{Finding, Surroundings, check};
use crate::dns::owner::Owner;
use crate::dns::revision::{difference, serial_after, soa_serial, with_serial};
use crate::dns::zone::ZoneRecord;
use crate::dns::zone_file::{self, ZoneFileError};
use crate::dns::{Dns, NameError, StoredZone, ZoneChange};

/// TTL of the records that `zone add` makes, s: short while everything is still being set up.
const FIRST_TTL_S: u32 = 300;
/// How long it is remembered that there is no such name, s.
const NEGATIVE_TTL_S: u32 = 300;
/// Timers of the SOA record that `zone add` makes, s (RFC 1912 §2.2).
const TIMERS_S: [i32; 3] = [14_400, 3_600, 1_209_600];
/// Changes that `zone show` shows.
const CHANGES_SHOWN: u32 = 20;

impl From<NameError> for CommandError {
    fn from(error: NameError) -> Self {
        Self::of(&error, matches!(error, NameError::Engine(_)))
    }
}

impl From<ZoneFileError> for CommandError {
    fn from(error: ZoneFileError) -> Self {
        Self::new(error.to_string())
    }
}

/// What a change is noted with.
struct Note {
    why: String,
    by: Change,
    done: String,
}

impl Desk {
    /// Carries out a command about zones on behalf of whoever `by` names. Whether a zone is his is for the caller to know.
    ///
    /// # Errors
    /// [`CommandError`] with one sentence.
    pub async fn carry_out_zone(&self, request: ZoneRequest, by: Change) -> Result<Reply, CommandError> {
        let _turn = self.zone_turn.lock().await;
        // Updates over DNS read and write zones as well.
        let dns = self.running.as_ref().and_then(|running| running.dns.clone());
        let _other_turn = match &dns {
            Some(dns) => Some(dns.zone_turn().await),
            None => None,
        };
        match request {
            ZoneRequest::Add { account, zone, why } => self.add_zone(&account, zone, why, by).await,
            ZoneRequest::Import { account, zone, text, why } => {
                let owner = find(&self.directory.load(), &account)?.id;
                let records = zone_file::read(&text, &Owner::of_domain(&zone))?;
                let done = format!("{zone} is served as imported");
                self.put_zone(owner, &zone, records, Note { why, by, done }).await
            }
            ZoneRequest::Export { zone } => {
                let stored = self.stored_zone(&zone).await?;
                let apex = Owner::of_domain(&zone);
                let dynamic = self.running.as_ref().and_then(|running| running.dns.as_ref());
                let dynamic = dynamic.map(|dns| dns.dynamic_in(&zone)).unwrap_or_default();
                let is_followed = |record: &ZoneRecord| {
                    let kind = record.data.record_type();
                    matches!(kind, RecordType::A | RecordType::AAAA)
                        && dynamic.iter().any(|(name, _)| *name == record.owner)
                };
                let own: Vec<ZoneRecord> = self.as_served(&stored).into_iter().filter(|r| !is_followed(r)).collect();
                let followed: Vec<ZoneRecord> = dynamic.iter().flat_map(|(_, records)| records.clone()).collect();
                Ok(Reply::ZoneText { zone, text: zone_file::write(&apex, &own, &followed) })
            }
            ZoneRequest::Set { zone, name, record_type, data, ttl, why } => {
                self.set_records(&zone, (&name, &record_type), &data, ttl, (why, by)).await
            }
            ZoneRequest::Show { zone } => {
                let stored = self.stored_zone(&zone).await?;
                let changes = self.names.zone_changes(zone, CHANGES_SHOWN).await?;
                let mut shown = self.zone_shown(&stored)?;
                shown.changes = changes.into_iter().map(change_shown).collect();
                Ok(Reply::Zone(Box::new(shown)))
            }
            ZoneRequest::List => {
                let zones = self.names.load_zones().await?;
                zones.iter().map(|zone| self.zone_shown(zone)).collect::<Result<_, _>>().map(Reply::Zones)
            }
            ZoneRequest::Check { zone, text } => {
                let records = match text {
                    Some(text) => zone_file::read(&text, &Owner::of_domain(&zone))?,
                    None => self.stored_zone(&zone).await?.records,
                };
                let findings = self.findings(&*self.dns()?, &zone, &records);
                Ok(Reply::ZoneChecked {
                    is_good: !findings.iter().any(Finding::is_broken),
                    findings: findings.iter().map(|finding| finding.words().to_owned()).collect(),
                })
            }
            ZoneRequest::Remove { account, zone } => {
                let dns = self.dns()?;
                let owner = find(&self.directory.load(), &account)?.id;
                self.names.remove_zone(owner, zone.clone(), by).await?;
                dns.remove_zone(&zone);
                Ok(Reply::Done { message: format!("{zone} is served no more"), warnings: Vec::new() })
            }
        }
    }

    pub(super) fn dns(&self) -> Result<Arc<Dns>, CommandError> {
        let absent = || CommandError::new("this server serves no names; set dns.zone in its configuration");
        self.running()?.dns.clone().ok_or_else(absent)
    }

    async fn stored_zone(&self, zone: &DomainName) -> Result<StoredZone, CommandError> {
        let unknown = || CommandError::new(format!("there is no zone '{zone}'; see `pulsemx zone list`"));
        self.names.load_zones().await?.into_iter().find(|known| known.apex == *zone).ok_or_else(unknown)
    }

    /// The records with the serial that is shown to the world.
    fn as_served(&self, stored: &StoredZone) -> Vec<ZoneRecord> {
        let dns = self.running.as_ref().and_then(|running| running.dns.as_ref());
        let serial = dns.and_then(|dns| dns.serial(&stored.apex)).unwrap_or(stored.serial);
        with_serial(stored.records.clone(), serial)
    }

    fn findings(&self, dns: &Dns, zone: &DomainName, records: &[ZoneRecord]) -> Vec<Finding> {
        let (servers, _) = dns.servers_and_contact();
        let name_servers: Vec<Owner> = servers.iter().map(Owner::of_domain).collect();
        let apex = Owner::of_domain(zone);
        let directory = self.directory.load();
        // Also names that will follow once the zone is served.
        let hosts = directory.endpoints().into_iter().map(|endpoint| Owner::of_domain(&endpoint.host));
        let further = dns.dynamic_in(zone).into_iter().map(|(name, _)| name);
        let dynamic: BTreeSet<Owner> = hosts.chain(further).filter(|name| name.is_within(&apex)).collect();
        check(&apex, records, &Surroundings { name_servers: &name_servers, dynamic: &dynamic })
    }

    async fn add_zone(
        &self,
        account: &AccountName,
        zone: DomainName,
        why: String,
        by: Change,
    ) -> Result<Reply, CommandError> {
        let dns = self.dns()?;
        let directory = self.directory.load();
        let owner = find(&directory, account)?.id;
        if self.names.load_zones().await?.iter().any(|known| known.apex == zone) {
            return Err(CommandError::new(format!("'{zone}' is served already; see `pulsemx zone show {zone}`")));
        }
        let apex = Owner::of_domain(&zone);
        let name = |domain: &DomainName| Owner::of_domain(domain).to_name();
        let (servers, contact) = dns.servers_and_contact();
        let primary = servers.first().unwrap_or(&self.hostname);
        let [refresh, retry, expire] = TIMERS_S;
        let soa = SOA::new(name(primary), name(&contact), 0, refresh, retry, expire, NEGATIVE_TTL_S);
        let mut data = vec![RData::SOA(soa)];
        data.extend(servers.iter().map(|server| RData::NS(NS(name(server)))));
        data.extend(directory.endpoints_of(owner).iter().take(1).map(|e| RData::MX(MX::new(10, name(&e.host)))));
        data.push(RData::MX(MX::new(20, name(&self.hostname))));
        let record = |data| ZoneRecord { owner: apex.clone(), ttl: FIRST_TTL_S, data };
        let done = format!("{zone} is served; delegate it to {primary}");
        self.put_zone(owner, &zone, data.into_iter().map(record).collect(), Note { why, by, done }).await
    }

    async fn set_records(
        &self,
        zone: &DomainName,
        (name, kind): (&str, &str),
        data: &[String],
        ttl: u32,
        (why, by): (String, Change),
    ) -> Result<Reply, CommandError> {
        let stored = self.stored_zone(zone).await?;
        let apex = Owner::of_domain(zone);
        let kind = kind.to_ascii_uppercase();
        let kind: RecordType =
            kind.parse().map_err(|_| CommandError::new(format!("'{kind}' is no type of records")))?;
        // A line feed would begin another record.
        if data.iter().any(|text| text.contains('\n')) || name.chars().any(char::is_whitespace) {
            return Err(CommandError::new("name and data stand on one line"));
        }
        let lines: String = data.iter().map(|text| format!("{name} {ttl} IN {kind} {text}\n")).collect();
        let fresh = zone_file::read(&lines, &apex)?;
        let probe = zone_file::read(&format!("{name} {ttl} IN TXT x\n"), &apex)?;
        let owner = probe.first().map(|record| record.owner.clone()).unwrap_or_else(|| apex.clone());
        let mut records = stored.records.clone();
        records.retain(|record| record.owner != owner || record.data.record_type() != kind);
        if records.len() == stored.records.len() && fresh.is_empty() {
            return Err(CommandError::new(format!("{owner} has no {kind} record")));
        }
        let done = format!("{owner} has {} {kind} records", fresh.len());
        records.extend(fresh);
        self.put_zone(stored.account, zone, records, Note { why, by, done }).await
    }

    /// A zone must hold nothing of another account: its names would answer with what this account says.
    fn require_own(
        &self,
        dns: &Dns,
        account: AccountId,
        zone: &DomainName,
        all: &[StoredZone],
    ) -> Result<(), CommandError> {
        let apex = Owner::of_domain(zone);
        if !zone.as_str().contains('.') {
            return Err(CommandError::new(format!("'{zone}' is a top-level domain; no customer has one")));
        }
        if apex.is_within(&Owner::of_domain(&dns.own_zone())) {
            return Err(CommandError::new(format!(
                "'{zone}' lies in the zone of the dynamic names, which keeps itself"
            )));
        }
        let nested = |other: &Owner| other.is_within(&apex) || apex.is_within(other);
        let is_anothers = |known: &&StoredZone| known.account != account && nested(&Owner::of_domain(&known.apex));
        if let Some(other) = all.iter().find(is_anothers) {
            return Err(CommandError::new(format!("'{zone}' overlaps the zone '{}' of another account", other.apex)));
        }
        let directory = self.directory.load();
        let strangers = directory.accounts().into_iter().filter(|known| known.id != account);
        let inside = strangers
            .flat_map(|known| directory.domains_of(known.id))
            .find(|served| Owner::of_domain(&served.name).is_within(&apex));
        match inside {
            Some(served) => {
                Err(CommandError::new(format!("'{}' lies in '{zone}' and belongs to another account", served.name)))
            }
            None => Ok(()),
        }
    }

    /// Checks a zone, keeps it, serves it.
    async fn put_zone(
        &self,
        account: AccountId,
        zone: &DomainName,
        mut records: Vec<ZoneRecord>,
        note: Note,
    ) -> Result<Reply, CommandError> {
        let dns = self.dns()?;
        if *zone == dns.own_zone() {
            return Err(CommandError::new(format!("'{zone}' is the zone of the dynamic names and keeps itself")));
        }
        let all = self.names.load_zones().await?;
        self.require_own(&dns, account, zone, &all)?;
        let findings = self.findings(&dns, zone, &records);
        if let Some(broken) = findings.iter().find(|finding| finding.is_broken()) {
            return Err(CommandError::new(format!("nothing was changed: {}", broken.words())));
        }
        let before = all.into_iter().find(|known| known.apex == *zone);
        let served = dns.serial(zone).or(before.as_ref().map(|zone| zone.serial)).unwrap_or(0);
        let written = soa_serial(&records).unwrap_or(0);
        let serial = serial_after(served, written, note.by.at.timestamp());
        zone_file::sort(&mut records);
        let records = with_serial(records, serial);
        let old = before.map(|zone| zone.records).unwrap_or_default();
        let what = difference(&old, &records);
        let stored = StoredZone { apex: zone.clone(), account, serial, records };
        let change = ZoneChange { at: note.by.at, who: note.by.who, why: note.why, serial, what };
        self.names.put_zone(stored.clone(), change).await?;
        dns.set_zone(&stored).map_err(|error| CommandError::new(error.to_string()))?;
        let warnings = findings.iter().map(|finding| finding.words().to_owned()).collect();
        Ok(Reply::Done { message: format!("{}; serial {serial}", note.done), warnings })
    }

    fn zone_shown(&self, stored: &StoredZone) -> Result<ZoneShown, CommandError> {
        let directory = self.directory.load();
        let account = directory.account(stored.account).map(|account| account.name.clone());
        let records = self.as_served(stored);
        Ok(ZoneShown {
            zone: stored.apex.clone(),
            account: account.ok_or_else(|| CommandError::new("the account of this zone is gone"))?,
            serial: soa_serial(&records).unwrap_or(stored.serial),
            records: records.iter().map(zone_file::line).collect(),
            changes: Vec::new(),
        })
    }
}

fn change_shown(change: ZoneChange) -> ZoneChangeShown {
    let what = change.what.lines().map(str::to_owned).collect();
    ZoneChangeShown { at: change.at, who: change.who, why: change.why, serial: change.serial, what }
}
