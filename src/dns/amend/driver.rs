//! Carries updates out: all that wait at one time are stored together, then answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_proto::rr::RecordType;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::scope::StoredScope;
use super::{Dynamic, Outcome, Update, View};
use crate::base::{AccountId, Clock, DomainName};
use crate::dns::check::{Finding, Surroundings, check, target_of};
use crate::dns::driver::Dns;
use crate::dns::front::Front;
use crate::dns::owner::Owner;
use crate::dns::query::Code;
use crate::dns::revision::{difference, serial_after, soa_serial, with_serial};
use crate::dns::store::{NameError, RECORDS_PER_ZONE_MAX, StoredZone, ZoneChange};
use crate::dns::tsig::Signed;
use crate::dns::zone::{Zone, ZoneRecord};
use crate::update::{AddressReport, HostName};

/// Updates that wait, at most; further ones are answered with SERVFAIL.
pub const WAITING_MAX: usize = 1_024;
/// Updates that are stored together, at most.
const TOGETHER_MAX: usize = 256;

/// Records of zones that are kept in memory for the next update, at most: some 300 octets each.
const KEPT_RECORDS_MAX: usize = 2 * RECORDS_PER_ZONE_MAX;

/// Sends an answer on its way.
pub type Reply = Box<dyn FnOnce(Vec<u8>) + Send + Sync>;

/// An update with a good signature.
pub struct Job {
    /// What it asks.
    pub update: Update,
    /// Who asks, and how its answer is signed.
    pub signed: Signed,
    /// Where it came from.
    pub peer: SocketAddr,
    /// An answer without its signature, its code still to be set.
    pub answer: Vec<u8>,
    /// Where the answer goes.
    pub reply: Reply,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("update", &self.update).field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// A zone in the course of a batch.
struct Draft {
    /// As stored.
    before: StoredZone,
    /// With the updates of this batch.
    records: Vec<ZoneRecord>,
    /// Keys that changed it.
    keys: BTreeSet<Owner>,
    /// Updates whose answer waits for the zone to be stored.
    jobs: Vec<Job>,
}

/// Zones that were changed lately, as stored, so that the next update need not read them: valid as long as the catalog
/// serves that version, since whoever changes a zone takes its turn.
#[derive(Default)]
struct Kept(VecDeque<(Owner, u64, StoredZone)>);

impl Kept {
    /// The stored zone, if it is still the one that is served.
    fn take(&mut self, dns: &Dns, apex: &Owner) -> Option<StoredZone> {
        let at = self.0.iter().position(|(kept, ..)| kept == apex)?;
        let (_, version, stored) = self.0.remove(at)?;
        let served = dns.desk().catalog().zone(apex).map(Zone::version);
        (served == Some(version)).then_some(stored)
    }

    fn put(&mut self, dns: &Dns, apex: &Owner, stored: StoredZone) {
        let served = dns.desk().catalog().zone(apex).map(Zone::version);
        let Some(version) = served else { return };
        self.0.push_back((apex.clone(), version, stored));
        while self.0.iter().map(|(.., stored)| stored.records.len()).sum::<usize>() > KEPT_RECORDS_MAX {
            self.0.pop_front();
        }
    }
}

/// Works until `shutdown`, and then on what was taken in before.
pub(in crate::dns) async fn serve(dns: Arc<Dns>, mut waiting: mpsc::Receiver<Job>, shutdown: CancellationToken) {
    let mut batch = Vec::with_capacity(TOGETHER_MAX);
    let mut kept = Kept::default();
    loop {
        tokio::select! {
            () = shutdown.cancelled(), if !waiting.is_closed() => waiting.close(),
            taken = waiting.recv_many(&mut batch, TOGETHER_MAX) => if taken == 0 { return },
        }
        let turn = dns.zone_turn().await;
        carry_out(&dns, &mut kept, std::mem::take(&mut batch)).await;
        drop(turn);
    }
}

async fn carry_out(dns: &Arc<Dns>, kept: &mut Kept, batch: Vec<Job>) {
    let mut drafts: BTreeMap<Owner, Draft> = BTreeMap::new();
    let mut reports = JoinSet::new();
    for job in batch {
        let apex = job.update.apex.clone();
        match decide(dns, (kept, &mut drafts), &job).await {
            Err(code) => answer(dns, job, code),
            Ok(Outcome::Unchanged) => match drafts.get_mut(&apex) {
                // It may rest on what is not stored yet.
                Some(draft) => draft.jobs.push(job),
                None => answer(dns, job, Code::NoError),
            },
            Ok(Outcome::Records(records)) => {
                if let Some(draft) = drafts.get_mut(&apex) {
                    draft.records = records;
                    draft.keys.insert(job.signed.key().clone());
                    draft.jobs.push(job);
                }
            }
            Ok(Outcome::Addresses(all)) => {
                let (dns, key, peer) = (Arc::clone(dns), job.signed.key().clone(), job.peer.ip().to_canonical());
                reports.spawn(async move {
                    let code = report(&dns, key, peer, all).await;
                    answer(&dns, job, code);
                });
            }
        }
    }
    for (apex, draft) in drafts {
        let code = if draft.keys.is_empty() {
            kept.put(dns, &apex, draft.before);
            Code::NoError
        } else {
            store(dns, kept, &apex, &draft).await
        };
        draft.jobs.into_iter().for_each(|job| answer(dns, job, code));
    }
    while reports.join_next().await.is_some() {}
}

/// What one update comes to, with those before it in this batch.
async fn decide(
    dns: &Dns,
    (kept, drafts): (&mut Kept, &mut BTreeMap<Owner, Draft>),
    job: &Job,
) -> Result<Outcome, Code> {
    let (apex, update) = (&job.update.apex, &job.update);
    let scopes: Vec<StoredScope> = dns.desk().access().scopes(job.signed.key()).to_vec();
    // Without any name in this zone it is not said what stands in it.
    if !scopes.iter().any(|scope| Owner::of_domain(&scope.name).is_within(apex)) {
        return Err(if dns.desk().catalog().zone(apex).is_none() { Code::NotAuth } else { Code::Refused });
    }
    let account = dns.desk().catalog().zone(apex).ok_or(Code::NotAuth)?.account();
    if account.is_some() && !drafts.contains_key(apex) {
        let domain = apex.to_domain().ok_or(Code::NotAuth)?;
        let before = match kept.take(dns, apex) {
            Some(before) => before,
            None => dns.store().zone(domain).await.map_err(failed)?.ok_or(Code::NotAuth)?,
        };
        let served = dns.serial(&before.apex).unwrap_or(before.serial);
        let records = with_serial(before.records.clone(), served);
        drafts.insert(apex.clone(), Draft { before, records, keys: BTreeSet::new(), jobs: Vec::new() });
    }
    let (owners, dynamic) = dynamic_of(dns, update);
    let standing;
    let records = match drafts.get(apex) {
        Some(draft) if account.is_some() => draft.records.as_slice(),
        _ => {
            standing = standing_of(dns, update);
            standing.as_slice()
        }
    };
    let may = |owner: &Owner, kind: RecordType| {
        let whose = owners.get(owner).copied().or(account);
        whose.is_some_and(|whose| scopes.iter().any(|scope| scope.opens(owner, kind, whose)))
    };
    let view = View { records, dynamic: &dynamic, is_fixed: account.is_none() };
    let outcome = update.evaluate(view, may)?;
    if let Outcome::Records(after) = &outcome
        && let Some(fault) = new_fault(dns, apex, records, after)
    {
        tracing::warn!(zone = %apex, key = %job.signed.key(), fault = fault.words(), "an update was refused");
        return Err(Code::Refused);
    }
    Ok(outcome)
}

/// The dynamic names that an update speaks of, with whose they are.
fn dynamic_of(dns: &Dns, update: &Update) -> (BTreeMap<Owner, AccountId>, BTreeMap<Owner, Dynamic>) {
    let mut owners = BTreeMap::new();
    let mut all = BTreeMap::new();
    for owner in update.owners() {
        let Some((account, visible)) = dns.desk().catalog().answered_at(&owner) else { continue };
        let host = owner.to_domain().and_then(|name| dns.names()?.host(&name, account));
        let set = host.map(|host: HostName| Front {
            v4: host.address_v4.filter(|_| !host.is_withdrawn),
            v6: host.address_v6.filter(|_| !host.is_withdrawn),
        });
        owners.insert(owner.clone(), account);
        all.insert(owner, Dynamic { visible, set: set.unwrap_or_default() });
    }
    (owners, all)
}

/// What stands in the zone of the dynamic names at the names that an update speaks of.
fn standing_of(dns: &Dns, update: &Update) -> Vec<ZoneRecord> {
    let owners: BTreeSet<Owner> = update.owners().collect();
    let catalog = dns.desk().catalog();
    let zone = catalog.zone(&update.apex);
    owners.iter().flat_map(|owner| zone.map(|zone| zone.records_at(owner)).unwrap_or_default()).collect()
}

/// Something that makes the zone unusable and did not stand in it before.
fn new_fault(dns: &Dns, apex: &Owner, before: &[ZoneRecord], after: &[ZoneRecord]) -> Option<Finding> {
    let (servers, _) = dns.servers_and_contact();
    let name_servers: Vec<Owner> = servers.iter().map(Owner::of_domain).collect();
    let targets = after.iter().chain(before).filter_map(|record| target_of(&record.data)).map(Owner::of_name);
    let named = after.iter().map(|record| record.owner.clone()).chain(targets);
    let dynamic: BTreeSet<Owner> = {
        let catalog = dns.desk().catalog();
        named.filter(|owner| catalog.names().find(owner.octets()).is_some()).collect()
    };
    let around = Surroundings { name_servers: &name_servers, dynamic: &dynamic };
    let mut broken: Vec<Finding> = check(apex, after, &around).into_iter().filter(Finding::is_broken).collect();
    if !broken.is_empty() {
        let known = check(apex, before, &around);
        broken.retain(|finding| !known.contains(finding));
    }
    broken.into_iter().next()
}

/// Stores a zone with all updates of a batch, and serves it.
async fn store(dns: &Dns, kept: &mut Kept, apex: &Owner, draft: &Draft) -> Code {
    let now = Clock.wall();
    let StoredZone { apex: name, account, serial, .. } = &draft.before;
    let served = dns.serial(name).unwrap_or(*serial);
    let serial = serial_after(served, soa_serial(&draft.records).unwrap_or(0), now.timestamp());
    let records = with_serial(draft.records.clone(), serial);
    let stored = StoredZone { apex: name.clone(), account: *account, serial, records };
    if let Err(error) = Zone::of_customer(&stored) {
        tracing::warn!(zone = %apex, %error, "an update was refused");
        return Code::Refused;
    }
    let keys: Vec<String> = draft.keys.iter().map(|key| key.to_string().trim_end_matches('.').to_owned()).collect();
    let change = ZoneChange {
        at: now,
        who: format!("key {}", keys.join(", ")),
        why: "DNS update".to_owned(),
        serial,
        what: difference(&draft.before.records, &stored.records),
    };
    if let Err(error) = dns.store().put_zone(stored.clone(), change).await {
        return failed(error);
    }
    tracing::info!(zone = %apex, serial, keys = keys.join(" "), "zone changed by DNS updates");
    match dns.set_zone(&stored) {
        Ok(()) => {
            kept.put(dns, apex, stored);
            Code::NoError
        }
        Err(error) => {
            tracing::error!(zone = %apex, %error, "a stored zone is not served");
            Code::ServFail
        }
    }
}

/// Addresses of dynamic names, as a router would report them: all of them or none (RFC 2136 §3.7).
async fn report(dns: &Dns, key: Owner, peer: IpAddr, all: BTreeMap<Owner, Front>) -> Code {
    let Some(names) = dns.names() else { return Code::ServFail };
    let device = format!("key {}", key.to_string().trim_end_matches('.'));
    let mut reports = Vec::with_capacity(all.len());
    for (owner, Front { v4, v6 }) in all {
        let account = dns.desk().catalog().names().find(owner.octets()).map(|row| row.account);
        let name: Option<DomainName> = owner.to_domain();
        let (Some(account), Some(name)) = (account, name) else { return Code::ServFail };
        reports.push(AddressReport { account, name, v4, v6, peer, device: device.clone() });
    }
    let word = names.report(reports).await;
    if word.is_success() {
        return Code::NoError;
    }
    if word == crate::update::word::Word::Later { Code::ServFail } else { Code::Refused }
}

fn failed(error: NameError) -> Code {
    tracing::error!(%error, "an update was not carried out");
    Code::ServFail
}

fn answer(dns: &Dns, job: Job, code: Code) {
    let Job { mut signed, mut answer, reply, .. } = job;
    let mac = signed.mac().to_vec();
    {
        let mut memory = dns.desk().replays();
        if code == Code::ServFail {
            memory.forget(signed.key(), &mac);
        } else {
            memory.answered(signed.key(), &mac, code);
        }
    }
    set_code(&mut answer, code);
    match signed.seal(&mut answer, Clock.wall()) {
        Ok(()) => reply(answer),
        Err(error) => tracing::error!(%error, "an answer is not signed and not sent"),
    }
}

/// All codes of updates fit the header.
pub(in crate::dns) fn set_code(answer: &mut [u8], code: Code) {
    if let Some(flags) = answer.get_mut(3) {
        *flags = (*flags & 0xf0) | u8::try_from(code as u16 & 0xf).unwrap_or(0);
    }
}
