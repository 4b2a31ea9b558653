//! The other rooms as plain tables in memory, set by the test and asked by the pages.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pulsemx::account::{
    Account, AccountError, AccountName, AccountStatus, AccountStore, AuditEntry, BeatKeyRecord, Change, Directory,
    Domain, Endpoint, Manners, Membership, NewAccount, Person, Role, SignInLink, WebSession,
};
use pulsemx::base::{AccountId, Clock, DomainName, EndpointId, Moment, PersonId, SpoolId, SpoolIds, WallTime};
use pulsemx::delivery::view::{FlushSummary, FlushView, Flushes};
use pulsemx::dns::amend::scope::StoredScope;
use pulsemx::dns::front::Front;
use pulsemx::dns::owner::Owner;
use pulsemx::dns::{NameError, NameStore, StoredKey, StoredSecondary, StoredZone, ZoneChange, zone_file};
use pulsemx::liveness::day;
use pulsemx::liveness::{
    AddressChange, Cause, HistoryRow, LineEvent, LineState, LineView, Lines, LogError, Transition, TransitionLog,
    WatchedEndpoint,
};
use pulsemx::spool::*;
use tokio::sync::broadcast;

pub const FIRMA: AccountId = AccountId(1);
pub const OTHER: AccountId = AccountId(2);
pub const OWNER: PersonId = PersonId(1);
pub const VIEWER: PersonId = PersonId(2);
pub const OPERATOR: PersonId = PersonId(3);

/// Text that must stay text wherever a stranger can put it.
pub const HOSTILE: &str =
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><svg/onload=alert(3)>{{7*7}}${1}&lt;b&gt;\u{202e}gpj.exe";

pub fn ago(seconds: i64) -> WallTime {
    Clock.wall() - chrono::Duration::seconds(seconds)
}

fn unused<T>() -> T {
    panic!("the pages do not use this")
}

pub fn directory() -> Directory {
    let account = |id, name: &str| Account {
        id,
        name: name.parse::<AccountName>().unwrap(),
        status: AccountStatus::Active,
        status_since: ago(9_000_000),
        online_mode: None,
        created_at: ago(9_000_000),
    };
    let endpoint = |id, account, host: &str, port| Endpoint {
        id: EndpointId(id),
        account,
        host: DomainName::parse(host).unwrap(),
        smtp_port: port,
        address_v4: Some("203.0.113.87".parse().unwrap()),
        address_v6: None,
        pin: None,
        manners: None,
    };
    let domain = |name: &str, account, id| Domain {
        name: DomainName::parse(name).unwrap(),
        account,
        endpoints: vec![EndpointId(id)],
    };
    Directory::new(
        vec![account(FIRMA, "firma"), account(OTHER, "praxis-beispiel")],
        vec![endpoint(1, FIRMA, "firma.dyn.example", 25), endpoint(2, OTHER, "praxis.dyn.example", 2525)],
        vec![domain("firma.example", FIRMA, 1), domain("praxis.example", OTHER, 2)],
        Vec::new(),
    )
}

#[derive(Default)]
pub struct FakeAccounts {
    pub links: Mutex<HashMap<[u8; 32], (PersonId, WallTime)>>,
    pub sessions: Mutex<HashMap<[u8; 32], (PersonId, WallTime)>>,
    /// Newest first.
    pub audit: Mutex<Vec<AuditEntry>>,
}

#[async_trait]
impl AccountStore for FakeAccounts {
    async fn load_directory(&self, _: WallTime) -> Result<Directory, AccountError> {
        unused()
    }
    async fn create_account(&self, _: NewAccount, _: Change) -> Result<(AccountId, EndpointId), AccountError> {
        unused()
    }
    async fn set_status(&self, _: AccountId, _: AccountStatus, _: Change) -> Result<(), AccountError> {
        unreachable!("pages do not change accounts")
    }
    async fn set_online_mode(
        &self,
        _: AccountId,
        _: Option<pulsemx::account::OnlineMode>,
        _: Change,
    ) -> Result<(), AccountError> {
        unreachable!("pages do not change accounts")
    }
    async fn remove_account(&self, _: AccountId, _: Change) -> Result<(), AccountError> {
        unused()
    }
    async fn add_domain(&self, _: AccountId, _: DomainName, _: Vec<EndpointId>, _: Change) -> Result<(), AccountError> {
        unused()
    }
    async fn remove_domain(&self, _: AccountId, _: DomainName, _: Change) -> Result<(), AccountError> {
        unused()
    }
    async fn set_pin(&self, _: EndpointId, _: Option<[u8; 32]>, _: Change) -> Result<(), AccountError> {
        unused()
    }
    async fn set_manners(&self, _: EndpointId, _: Manners) -> Result<(), AccountError> {
        unused()
    }
    async fn rotate_key(&self, _: BeatKeyRecord, _: WallTime, _: Change) -> Result<(), AccountError> {
        unused()
    }
    async fn set_preferences(
        &self,
        _: AccountId,
        _: pulsemx::account::Preferences,
        _: String,
        _: Change,
    ) -> Result<(), AccountError> {
        unused()
    }
    async fn ensure_person(&self, _: &str, _: bool, _: Change) -> Result<PersonId, AccountError> {
        unused()
    }
    async fn owner_of(&self, _: AccountId) -> Result<Option<PersonId>, AccountError> {
        unused()
    }
    async fn person(&self, person: PersonId) -> Result<Option<(Person, Vec<Membership>)>, AccountError> {
        let (name, is_operator, role) = match person {
            OWNER => ("Eva Chefin", false, Some(Role::Owner)),
            VIEWER => ("Vera Leserin", false, Some(Role::Viewer)),
            OPERATOR => ("operator", true, None),
            _ => return Ok(None),
        };
        let places = role.map(|role| Membership { person, account: FIRMA, role }).into_iter().collect();
        Ok(Some((Person { id: person, name: name.to_owned(), is_operator }, places)))
    }
    async fn set_membership(&self, _: PersonId, _: AccountId, _: Role, _: Change) -> Result<(), AccountError> {
        unused()
    }
    async fn add_link(&self, link: SignInLink, _: Change) -> Result<(), AccountError> {
        self.links.lock().unwrap().insert(link.secret_hash, (link.person, link.expires_at));
        Ok(())
    }
    async fn redeem_link(
        &self,
        link_hash: [u8; 32],
        session_hash: [u8; 32],
        session_expires_at: WallTime,
        now: WallTime,
    ) -> Result<PersonId, AccountError> {
        let link = self.links.lock().unwrap().remove(&link_hash);
        let (person, _) = link.filter(|(_, ends)| *ends > now).ok_or(AccountError::LinkSpent)?;
        self.sessions.lock().unwrap().insert(session_hash, (person, session_expires_at));
        Ok(person)
    }
    async fn session(&self, secret_hash: [u8; 32], now: WallTime) -> Result<Option<WebSession>, AccountError> {
        let found = self.sessions.lock().unwrap().get(&secret_hash).copied().filter(|(_, ends)| *ends > now);
        Ok(found.map(|(person, expires_at)| WebSession { secret_hash, person, expires_at, seen_at: None }))
    }
    async fn end_session(&self, secret_hash: [u8; 32]) -> Result<(), AccountError> {
        self.sessions.lock().unwrap().remove(&secret_hash);
        Ok(())
    }
    async fn note(&self, _: String, _: Change) -> Result<(), AccountError> {
        unused()
    }
    async fn note_of(&self, account: AccountId, what: String, change: Change) -> Result<(), AccountError> {
        let entry = AuditEntry { at: change.at, who: change.who, account: Some(account), what };
        self.audit.lock().unwrap().insert(0, entry);
        Ok(())
    }
    async fn audit(&self, account: Option<AccountId>, limit: u32) -> Result<Vec<AuditEntry>, AccountError> {
        let rows = self.audit.lock().unwrap().clone();
        Ok(rows.into_iter().filter(|row| row.account == account).take(limit as usize).collect())
    }
}

pub struct FakeLines {
    pub line: Mutex<Option<LineView>>,
    pub events: broadcast::Sender<LineEvent>,
}

impl Lines for FakeLines {
    fn line(&self, _: EndpointId) -> Option<LineView> {
        self.line.lock().unwrap().clone()
    }
    fn account_line(&self, account: AccountId) -> Option<LineView> {
        self.line.lock().unwrap().clone().filter(|line| line.account == account)
    }
    fn primary_greeted(&self, _: EndpointId, _: std::net::IpAddr) {}
    fn subscribe(&self) -> broadcast::Receiver<LineEvent> {
        self.events.subscribe()
    }
}

pub struct FakeFlushes {
    pub view: Mutex<FlushView>,
    pub retried: Mutex<Vec<AccountId>>,
    pub events: broadcast::Sender<AccountId>,
}

impl Flushes for FakeFlushes {
    fn hold(&self, _: AccountId, _: Option<Hold>) {}
    fn mail_stored(&self, _: &[AccountId]) {}
    fn retry(&self, account: AccountId) {
        self.retried.lock().unwrap().push(account);
    }
    fn view(&self, _: AccountId) -> FlushView {
        self.view.lock().unwrap().clone()
    }
    fn subscribe(&self) -> broadcast::Receiver<AccountId> {
        self.events.subscribe()
    }
}

#[derive(Default)]
pub struct FakeLog {
    pub rows: Mutex<Vec<HistoryRow>>,
    pub days: Mutex<Vec<day::DayRow>>,
}

#[async_trait]
impl TransitionLog for FakeLog {
    async fn append(&self, _: Vec<HistoryRow>) -> Result<(), LogError> {
        unused()
    }
    async fn load(&self) -> Result<Vec<WatchedEndpoint>, LogError> {
        unused()
    }
    async fn history(&self, _: AccountId, limit: u32) -> Result<Vec<HistoryRow>, LogError> {
        Ok(self.rows.lock().unwrap().iter().take(limit as usize).cloned().collect())
    }
    async fn days(
        &self,
        _: AccountId,
        from: chrono::NaiveDate,
        to: chrono::NaiveDate,
        now: pulsemx::base::WallTime,
    ) -> Result<Vec<pulsemx::liveness::DaySummary>, LogError> {
        Ok(day::filled(&self.days.lock().unwrap(), from, to, now))
    }
    async fn purge_history(&self, _: pulsemx::base::WallTime) -> Result<u64, LogError> {
        unused()
    }
}

#[derive(Default)]
pub struct FakeSpool {
    pub messages: Mutex<Vec<MessageDetail>>,
    pub retried: Mutex<Vec<String>>,
    pub is_broken: Mutex<bool>,
    pub ruled: Mutex<Vec<String>>,
    /// Pieces of content of every message. Only a download reads them: without them a reader panics.
    pub content: Mutex<Option<Vec<Bytes>>>,
}

fn fits(row: &MessageRow, filter: StateFilter) -> bool {
    let any = |state: RecipientState| row.recipients.iter().any(|r| r.state == state);
    let waiting = any(RecipientState::Queued) || any(RecipientState::Claimed) || any(RecipientState::Held);
    match filter {
        StateFilter::Held => waiting || any(RecipientState::Refused),
        StateFilter::Waiting => waiting,
        StateFilter::KeptBack => any(RecipientState::Held),
        StateFilter::Refused => any(RecipientState::Refused),
        StateFilter::Delivered => row.recipients.iter().all(|r| r.state == RecipientState::Delivered),
        StateFilter::Any => true,
    }
}

#[async_trait]
impl SpoolStore for FakeSpool {
    async fn intake_chunk(&self, _: SpoolId, _: u32, _: Bytes) -> Result<(), SpoolError> {
        unused()
    }
    async fn intake_commit(&self, _: NewMessage) -> Result<(), CommitError> {
        unused()
    }
    async fn intake_abandon(&self, _: SpoolId) -> Result<(), SpoolError> {
        unused()
    }
    async fn intake_status(&self, _: SpoolId) -> Result<IntakeStatus, SpoolError> {
        unused()
    }
    async fn claim(&self, _: ClaimQuery) -> Result<Vec<Claimed>, SpoolError> {
        unused()
    }
    async fn settle(&self, _: Vec<Report>, _: Vec<DotNote>, _: WallTime) -> Result<(), SpoolError> {
        unused()
    }
    async fn next_due(&self, _: AccountId) -> Result<Option<WallTime>, SpoolError> {
        unused()
    }
    async fn make_due(&self, _: AccountId, _: WallTime) -> Result<u64, SpoolError> {
        unused()
    }
    async fn body_chunk(&self, id: SpoolId, ordinal: u32) -> Result<Bytes, SpoolError> {
        let pieces = self.content.lock().unwrap().clone().expect("no page reads content");
        pieces.get(ordinal as usize).cloned().ok_or(SpoolError::ChunkMissing(id))
    }
    async fn list(&self, query: ListQuery) -> Result<ListPage, SpoolError> {
        if *self.is_broken.lock().unwrap() {
            return Err(SpoolError::Engine("disk is gone".into()));
        }
        let account = query.account.expect("a page asks for one account");
        let all = self.messages.lock().unwrap();
        let mut rows: Vec<MessageRow> = all
            .iter()
            .map(|m| {
                let mut row = m.row.clone();
                row.recipients.retain(|r| r.account == account);
                row
            })
            .filter(|row| !row.recipients.is_empty() && fits(row, query.filter))
            .filter(|row| query.after.is_none_or(|cursor| row.id > cursor.0))
            .collect();
        let has_more = rows.len() > query.limit as usize;
        rows.truncate(query.limit as usize);
        let next = rows.last().filter(|_| has_more).map(|row| ListCursor(row.id));
        Ok(ListPage { rows, next })
    }
    async fn show(&self, id: SpoolId) -> Result<Option<MessageDetail>, SpoolError> {
        Ok(self.messages.lock().unwrap().iter().find(|m| m.row.id == id).cloned())
    }
    async fn retry(&self, selection: RetrySelection, change: Change) -> Result<u64, SpoolError> {
        self.retried.lock().unwrap().push(format!("{selection:?} by {}", change.who));
        Ok(1)
    }
    fn usage(&self, account: AccountId) -> Usage {
        let all = self.messages.lock().unwrap();
        let own = |m: &&MessageDetail| m.row.recipients.iter().any(|r| r.account == account);
        let held: Vec<_> = all.iter().filter(own).filter(|m| fits(&m.row, StateFilter::Held)).collect();
        let waiting = held.iter().filter(|m| fits(&m.row, StateFilter::Waiting)).count() as u64;
        Usage { waiting, refused: held.len() as u64 - waiting, octets: held.iter().map(|m| m.row.octets).sum() }
    }
    async fn tally(&self, _: AccountId) -> Result<Tally, SpoolError> {
        unused()
    }
    async fn rule(&self, id: SpoolId, ruling: Ruling, change: Change) -> Result<u64, SpoolError> {
        self.ruled.lock().unwrap().push(format!("{} {id} by {}", ruling.as_str(), change.who));
        Ok(1)
    }
    async fn holds(&self) -> Result<Vec<(AccountId, Hold)>, SpoolError> {
        Ok(Vec::new())
    }
    async fn set_hold(&self, _: AccountId, _: Option<Hold>, _: Change) -> Result<(), SpoolError> {
        Ok(())
    }
    async fn expire(&self, _: ExpiryTerms, _: WallTime) -> Result<Expiry, SpoolError> {
        Ok(Expiry::default())
    }
    async fn oldest_waiting(&self) -> Result<Vec<OldestWaiting>, SpoolError> {
        Ok(Vec::new())
    }
    async fn recover(&self) -> Result<Recovered, SpoolError> {
        unused()
    }
    async fn return_claims(&self, _: AccountId) -> Result<u64, SpoolError> {
        Ok(0)
    }
    async fn purge_delivered(&self, _: WallTime) -> Result<u64, SpoolError> {
        unused()
    }
}

/// Zones as a customer would write them.
#[derive(Default)]
pub struct FakeNames {
    pub zones: Mutex<Vec<StoredZone>>,
}

#[async_trait]
impl NameStore for FakeNames {
    async fn load_fronts(&self) -> Result<Vec<(EndpointId, Front)>, NameError> {
        unused()
    }
    async fn set_fronts(&self, _: Vec<(EndpointId, Front)>) -> Result<(), NameError> {
        unused()
    }
    async fn load_zones(&self) -> Result<Vec<StoredZone>, NameError> {
        Ok(self.zones.lock().unwrap().clone())
    }
    async fn put_zone(&self, _: StoredZone, _: ZoneChange) -> Result<(), NameError> {
        unused()
    }
    async fn remove_zone(&self, _: AccountId, _: DomainName, _: Change) -> Result<(), NameError> {
        unused()
    }
    async fn load_keys(&self) -> Result<Vec<StoredKey>, NameError> {
        unused()
    }
    async fn add_key(&self, _: StoredKey, _: Change) -> Result<(), NameError> {
        unused()
    }
    async fn load_scopes(&self) -> Result<Vec<StoredScope>, NameError> {
        unused()
    }
    async fn put_scope(&self, _: StoredScope, _: Change) -> Result<(), NameError> {
        unused()
    }
    async fn remove_scope(&self, _: DomainName, _: DomainName, _: Change) -> Result<(), NameError> {
        unused()
    }
    async fn remove_key(&self, _: DomainName, _: Change) -> Result<(), NameError> {
        unused()
    }
    async fn load_secondaries(&self) -> Result<Vec<StoredSecondary>, NameError> {
        unused()
    }
    async fn put_secondary(&self, _: StoredSecondary, _: Change) -> Result<(), NameError> {
        unused()
    }
    async fn remove_secondary(&self, _: DomainName, _: SocketAddr, _: Change) -> Result<(), NameError> {
        unused()
    }
    async fn load_serials(&self) -> Result<Vec<(DomainName, u32)>, NameError> {
        unused()
    }
    async fn set_serials(&self, _: Vec<(DomainName, u32)>) -> Result<(), NameError> {
        unused()
    }
    async fn zone_changes(&self, _: DomainName, _: u32) -> Result<Vec<ZoneChange>, NameError> {
        unused()
    }
}

/// A zone with these lines besides SOA and NS.
pub fn zone(account: AccountId, apex: &str, lines: &str) -> StoredZone {
    let apex = DomainName::parse(apex).unwrap();
    let text = format!(
        "@ 300 IN SOA ns.pulse.example. ops.pulse.example. 7 14400 3600 1209600 300\n@ 300 IN NS ns.pulse.example.\n{lines}\n"
    );
    let records = zone_file::read(&text, &Owner::of_domain(&apex)).unwrap();
    StoredZone { apex, account, serial: 7, records }
}

/// A line in `state`; for OFFLINE and SUSPECT the last beat lies `silent` seconds back.
pub fn line(state: LineState, silent: i64) -> LineView {
    let last = ago(silent);
    let never = state == LineState::New;
    LineView {
        account: FIRMA,
        endpoint: EndpointId(1),
        state,
        since: (!never).then(|| ago(if state == LineState::Online { 7_300 } else { silent - 5 })),
        last_beat: (!never).then(|| Moment::from_millis(3_600_000)),
        last_beat_at: (!never).then_some(last),
        address: (!never).then(|| IpAddr::from([203, 0, 113, 87])),
        interval: Duration::from_secs(5),
        missed: u32::try_from(silent / 5).unwrap_or(0),
        mail_ok: (!never).then_some(true),
        loss_percent: 1.6,
        unanswered_percent: Some(2.0),
        name_held_until: None,
        recent_beats: if never {
            Vec::new()
        } else {
            (0..60)
                .rev()
                .filter(|n| *n != 23)
                .map(|n| last - chrono::Duration::milliseconds(n * 5_000 + n % 3 * 90))
                .collect()
        },
    }
}

/// A message with one recipient of `account`.
pub fn message(
    ids: &SpoolIds,
    account: AccountId,
    seconds_ago: i64,
    from: &str,
    to: &str,
    subject: &str,
) -> MessageDetail {
    let accepted_at = ago(seconds_ago);
    MessageDetail {
        row: MessageRow {
            id: ids.next(accepted_at, 7),
            accepted_at,
            reverse_path: from.to_owned(),
            octets: 18_000 + u64::try_from(seconds_ago).unwrap() * 4_321,
            subject: subject.to_owned(),
            smtputf8: !from.is_ascii(),
            tls: Some("TLSv1.3, TLS13_AES_256_GCM_SHA384".to_owned()),
            recipients: vec![RecipientRow {
                ordinal: 0,
                account,
                mailbox: to.to_owned(),
                state: RecipientState::Queued,
                due_at: Some(ago(-300)),
                attempts: 0,
                last_reply: None,
                last_attempt_at: None,
            }],
        },
        header_from: format!("Jemand <{from}>"),
        message_id: format!("<{seconds_ago}@{}>", from.split('@').nth(1).unwrap_or("x.example")),
        peer: IpAddr::from([198, 51, 100, 23]),
        helo: "mail.notar-beispiel.example".to_owned(),
        sha256: [0xab; 32],
        trace: Bytes::from_static(
            b"Received: from mail.notar-beispiel.example (198.51.100.23)\r\n\tby mx2.pulse.example with ESMTPS id 1;\r\n\tTue, 24 Nov 2026 14:32:11 +0000\r\n",
        ),
    }
}

/// Fourteen messages as a day brings them, the hostile and the odd ones among them.
pub fn busy_spool() -> Vec<MessageDetail> {
    let ids = SpoolIds::default();
    let mut all = Vec::new();
    let mut add =
        |ago: i64, from: &str, to: &str, subject: &str| all.push(message(&ids, FIRMA, ago, from, to, subject));
    add(9_000, "scan@drucker.example", "archiv@firma.example", "Scan vom 24. November");
    add(68, "einkauf@lieferant.example", "auftrag@firma.example", "Bestellung 4711");
    add(
        64,
        "k.sommer@notar-beispiel.example",
        "geschaeftsleitung@firma.example",
        "=?UTF-8?Q?Vertragsentwurf_zur_Pr=C3=BCfung?=",
    );
    add(60, "noreply@bank.example", "buchhaltung@firma.example", "Kontoauszug 11/2026");
    add(57, "a\"><script>alert(1)</script>@evil.example", "service@firma.example", HOSTILE);
    add(49, "", "versand@firma.example", "Undelivered Mail Returned to Sender");
    add(44, "newsletter@shop.example", "info@firma.example", "Nur heute: alles muss raus");
    add(40, "jörg@bücher.example", "info@firma.example", "Grüße aus Köln");
    add(33, "bewerbung@post.example", "personal@firma.example", "Bewerbung als Zerspanungsmechaniker");
    add(29, "termin@praxis-beispiel.example", "auftrag@firma.example", "Re: Termin am Donnerstag");
    add(21, "alice@kunde.example", "service@firma.example", "Wo bleibt meine Lieferung?");
    add(17, "bob@kunde.example", "service@firma.example", "=?iso-8859-1?Q?R=FCckfrage?=");
    add(
        9,
        "a.very.long.local.part.that.never.seems.to.end.because.it.is.made.by.a.machine@bounces.list.example",
        "info@firma.example",
        "Averyveryverylongwordwithoutanyspacewhichmustnotbreakthelayoutofthetableonasmalltelephone",
    );
    add(3, "carol@kunde.example", "auftrag@firma.example", "Danke");
    let refused = &mut all[0].row.recipients[0];
    refused.state = RecipientState::Refused;
    refused.attempts = 2;
    refused.due_at = None;
    refused.last_attempt_at = Some(ago(8_800));
    refused.last_reply =
        Some(DeliveryReply { code: Some(552), text: "5.2.2 <archiv@firma.example>: mailbox full".to_owned() });
    let more =
        RecipientRow { ordinal: 1, mailbox: "einkauf@firma.example".to_owned(), ..all[1].row.recipients[0].clone() };
    all[1].row.recipients.push(more);
    let odd = &mut all[4].row.recipients[0];
    odd.attempts = 1;
    odd.last_attempt_at = Some(ago(50));
    odd.last_reply = Some(DeliveryReply { code: Some(451), text: HOSTILE.to_owned() });
    all
}

/// What people and the operator did to firma, newest first; one row is of a verb that has no words yet.
pub fn audit(held: SpoolId) -> Vec<AuditEntry> {
    let row = |seconds, who: &str, what: String| AuditEntry {
        at: ago(seconds),
        who: who.to_owned(),
        account: Some(FIRMA),
        what,
    };
    vec![
        row(20, "operator", format!("look.message {held}")),
        row(45, "Eva Chefin", format!("queue.release {held}")),
        row(50, "Eva Chefin", format!("queue.hold {held}")),
        row(400, HOSTILE, format!("odd.verb {HOSTILE}")),
        row(90_000, "operator", "domain.add firma.example".to_owned()),
        row(90_001, "operator", "account.add firma".to_owned()),
    ]
}

/// Two months with a few outages, one time without data and an address that changes now and then.
pub fn days() -> Vec<day::DayRow> {
    let row = |back: u64, offline_s: u32, no_data_s: u32, address_changes: u32| {
        let counted = pulsemx::liveness::DaySummary {
            day: ago(0).date_naive() - chrono::Days::new(back),
            online_s: 86_400 - offline_s - no_data_s,
            offline_s,
            no_data_s,
            outages: u32::from(offline_s > 0),
            address_changes,
        };
        day::DayRow { counted, until_s: 86_400, then: day::Standing::Online }
    };
    vec![
        row(60, 0, 0, 0),
        row(48, 11_520, 0, 0),
        row(31, 90, 0, 1),
        row(20, 0, 7_200, 0),
        row(12, 0, 0, 2),
        row(5, 600, 0, 0),
    ]
}

/// A first beat, an outage with a new address, a short change of address. Newest first.
pub fn history(is_offline_since: Option<i64>) -> Vec<HistoryRow> {
    let state = |from, to, cause, at, since| {
        HistoryRow::State(Transition {
            account: FIRMA,
            endpoint: EndpointId(1),
            from,
            to,
            cause,
            at: ago(at),
            since: ago(since),
            address: Some(IpAddr::from([203, 0, 113, 14])),
        })
    };
    let moved = |from: [u8; 4], to: [u8; 4], at| {
        HistoryRow::Address(AddressChange {
            account: FIRMA,
            endpoint: EndpointId(1),
            from: Some(from.into()),
            to: to.into(),
            at: ago(at),
        })
    };
    use LineState::{New, Offline, Online, Returning};
    let mut rows = vec![
        state(New, Online, Cause::Beat, 900_000, 900_000),
        state(Online, Offline, Cause::MissedBeats, 430_000, 430_015),
        state(Offline, Returning, Cause::Beat, 418_455, 418_455),
        state(Returning, Online, Cause::Confirmed, 418_453, 418_453),
        state(Online, Offline, Cause::Goodbye, 200_000, 200_000),
        state(Offline, Returning, Cause::Beat, 199_400, 199_400),
        state(Returning, Online, Cause::Confirmed, 199_399, 199_399),
        moved([203, 0, 113, 2], [203, 0, 113, 14], 86_000),
        state(Online, Offline, Cause::MissedBeats, 38_000, 38_014),
        state(Offline, Returning, Cause::Beat, 37_878, 37_878),
        moved([203, 0, 113, 14], [203, 0, 113, 87], 37_877),
        state(Returning, Online, Cause::Confirmed, 37_872, 37_872),
    ];
    if let Some(since) = is_offline_since {
        rows.push(state(Online, Offline, Cause::MissedBeats, since - 12, since));
    }
    rows.reverse();
    rows
}

/// The end of the last flush: 12 delivered in 0.6 s.
pub fn flushed() -> FlushView {
    let ended_at = ago(37_870);
    FlushView {
        last: Some(FlushSummary {
            started_at: ended_at - chrono::Duration::milliseconds(600),
            ended_at,
            delivered: 12,
            deferred: 0,
            refused: 0,
            first_delivery_after: Some(Duration::from_millis(240)),
        }),
        last_tls: Some("TLS 1.3, AES-256-GCM, key 7f3a…c2".to_owned()),
        ..FlushView::default()
    }
}

/// One of each table.
pub type Fakes = (Arc<FakeAccounts>, Arc<FakeLines>, Arc<FakeLog>, Arc<FakeSpool>, Arc<FakeFlushes>);

pub fn fakes() -> Fakes {
    (
        Arc::default(),
        Arc::new(FakeLines { line: Mutex::new(Some(line(LineState::Online, 2))), events: broadcast::channel(64).0 }),
        Arc::default(),
        Arc::default(),
        Arc::new(FakeFlushes { view: Mutex::default(), retried: Mutex::default(), events: broadcast::channel(64).0 }),
    )
}
