//! Answers the devices: who asks, what becomes of each name, stored before it is said.

use std::net::IpAddr;
use std::time::Duration;

use super::servers::{is_main, role};
use super::{Asked, Note, Updates};
use crate::account::Change;
use crate::base::{AccountId, DomainName, EndpointId, WallTime};
use crate::liveness::LineState;
use crate::update::decide::{Known, Verdict, Wish, decide};
use crate::update::ledger::Owned;
use crate::update::limit::network;
use crate::update::model::{AGENT_CHARS_MAX, DeviceRequest, HostName, Policy, Role, TokenKind, TokenRecord, visible};
use crate::update::names::NamesChanged;
use crate::update::reason::Reason;
use crate::update::request::{HOSTS_MAX, Login, Query};
use crate::update::store::UpdateError;
use crate::update::word::{Answer, Word};
/// Characters kept of the names and words of a request.
const TEXT_CHARS_MAX: usize = 200;

/// What was decided under the lock and has to be stored before it is answered.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) words: Vec<Word>,
    pub(super) reason: Option<Reason>,
    /// The name before and after.
    changes: Vec<(HostName, HostName)>,
    policy: Option<Policy>,
    /// Names of this account that an answer of success was given for.
    accepted: Vec<HostName>,
}

impl Outcome {
    fn push(&mut self, verdict: Verdict, before: &HostName) {
        // A refusal among several names is what the customer has to see.
        if self.reason.is_none() || !verdict.word.is_success() {
            self.reason = Some(verdict.reason);
        }
        if verdict.word.is_success() && verdict.reason != Reason::BeatsLead {
            self.accepted.push(verdict.change.clone().unwrap_or_else(|| before.clone()));
        }
        self.words.push(verdict.word);
        self.changes.extend(verdict.change.map(|after| (before.clone(), after)));
    }

    /// Adds what was decided of another name, to be carried out together.
    pub(super) fn take_in(&mut self, other: Self) {
        self.words.extend(other.words);
        self.reason = other.reason;
        self.changes.extend(other.changes);
        self.accepted.extend(other.accepted);
    }
}

impl Updates {
    /// Whether a network asks too often; counted.
    fn is_flooding(&self, peer: IpAddr) -> bool {
        let now = self.clock.monotonic();
        !self.inner().networks.take(network(peer), now)
    }

    /// dyndns2: `/nic/update`.
    pub async fn dyndns2(&self, asked: Asked<'_>, authorization: Option<&str>) -> Answer {
        if self.is_flooding(asked.peer) {
            return Answer::of_words(&[Word::Later]);
        }
        let query = Query::parse(asked.query);
        let login = Login::read(authorization, &query).unwrap_or_default();
        let hosts = query.hosts("hostname");
        let token = match self.admit(&login, asked) {
            Ok(token) => token,
            Err(answer) => return answer,
        };
        let outcome = self.decide_all(&token, &query, &hosts, asked.peer);
        let outcome = self.carry_out(&token, outcome).await;
        self.note(&token, asked, query.value("hostname").unwrap_or_default(), &outcome);
        Answer::of_words(&outcome.words)
    }

    /// The token of a login. Every refusal is one answer, whatever is wrong; only the customer's page says what.
    fn admit(&self, login: &Login, asked: Asked<'_>) -> Result<TokenRecord, Answer> {
        let now = self.clock.wall();
        let directory = self.directory.load();
        let token = self.inner().ledger.token(&login.secret, now).cloned();
        let owner = token.as_ref().and_then(|token| directory.account(token.account));
        let mut user = login.user.trim().to_ascii_lowercase();
        let mut device = String::new();
        let mut reason = Reason::BadToken;
        if let (Some(token), Some(owner)) = (token, owner) {
            let is_own_name = DomainName::parse(&user)
                .is_ok_and(|name| matches!(self.inner().ledger.host(&name, owner.id, &directory), Owned::Own(_)));
            reason = if !(is_own_name || user == owner.name.as_str() || (user.is_empty() && login.is_in_url)) {
                Reason::WrongUser
            } else if login.is_in_url && token.host.is_none() {
                Reason::TokenInUrl
            } else if matches!(token.kind, TokenKind::Ping | TokenKind::Acme) {
                Reason::WrongKind
            } else {
                return Ok(token);
            };
            (device, user) = (format!("token {}", token.id), owner.name.to_string());
        }
        if device.is_empty() {
            device.push_str("unknown token");
        }
        let hosts = Query::parse(asked.query).value("hostname").unwrap_or_default().to_owned();
        let request = self.request(AccountId(0), device, asked, &hosts, &[Word::BadAuth], reason);
        // A full queue costs a line on a page.
        let _ = self.notes.try_send(Note::Refused { user, request });
        Err(Answer::of_words(&[Word::BadAuth]))
    }

    /// Shows a refused request to the account whose name or dynamic name the device gave; to be stored if returned.
    pub(super) fn refused(&self, user: &str, mut request: DeviceRequest) -> Option<DeviceRequest> {
        let directory = self.directory.load();
        request.account = directory.account_named(user).map(|account| account.id).or_else(|| {
            let name = DomainName::parse(user).ok()?;
            directory.served(&name).map(|served| served.account.id)
        })?;
        let now = self.clock.monotonic();
        let is_new = self.show(request.clone());
        (is_new && self.inner().refusals.take(request.account, now)).then_some(request)
    }

    /// One word for each name of a request with a good token.
    fn decide_all(
        &self,
        token: &TokenRecord,
        query: &Query,
        hosts: &[Result<DomainName, String>],
        peer: IpAddr,
    ) -> Outcome {
        let refused = |word, reason| Outcome { words: vec![word], reason: Some(reason), ..Outcome::default() };
        if hosts.is_empty() {
            return refused(Word::NotFqdn, Reason::NoHostGiven);
        }
        if hosts.len() > HOSTS_MAX {
            return refused(Word::TooManyHosts, Reason::TooManyHosts);
        }
        let wish = if query.is_yes("offline") {
            Some(Wish::Withdraw)
        } else {
            query.addresses().ok().map(|mut wanted| {
                if wanted.is_empty() {
                    wanted.add_peer(peer);
                }
                Wish::Point(wanted)
            })
        };
        let mut outcome = Outcome { policy: self.policy_wish(token, query), ..Outcome::default() };
        for host in hosts {
            self.decide_one(token, host.as_ref().ok(), wish, &mut outcome);
        }
        outcome
    }

    /// `backmx` is the account's own switch: a token for one name does not turn it.
    fn policy_wish(&self, token: &TokenRecord, query: &Query) -> Option<Policy> {
        let word = query.value("backmx").map(str::to_ascii_uppercase)?;
        let policy = self.inner().ledger.policy(token.account);
        let backup_mx = match word.as_str() {
            "YES" => true,
            "NO" => false,
            _ => policy.backup_mx,
        };
        (token.host.is_none() && backup_mx != policy.backup_mx).then_some(Policy { backup_mx, ..policy })
    }

    pub(super) fn decide_one(
        &self,
        token: &TokenRecord,
        name: Option<&DomainName>,
        wish: Option<Wish>,
        outcome: &mut Outcome,
    ) {
        let nowhere = HostName::new(self.settings.caller.hostname.clone(), token.account, EndpointId(0));
        let mut refuse = |word, reason| outcome.push(Verdict::refused(word, reason), &nowhere);
        let Some(name) = name else { return refuse(Word::NotFqdn, Reason::NoHostGiven) };
        let directory = self.directory.load();
        let owned = self.inner().ledger.host(name, token.account, &directory);
        let host = match owned {
            Owned::Own(host) if token.host.as_ref().is_none_or(|only| only == name) => *host,
            Owned::Own(_) => return refuse(Word::NoHost, Reason::OutOfScope),
            Owned::Others => return refuse(Word::NotYours, Reason::OtherAccount),
            Owned::Nobody => return refuse(Word::NoHost, Reason::UnknownHost),
        };
        let Some(wish) = wish else { return refuse(Word::DnsError, Reason::BadAddress) };
        let line = self.lines.line(host.endpoint);
        let is_main = is_main(&directory, &host);
        let mut inner = self.inner();
        let is_offline = line.as_ref().is_some_and(|line| line.state == LineState::Offline);
        let role = role(&inner.ledger, &inner.plan, host.endpoint, line.as_ref());
        let beats_at = line
            .filter(|line| is_main && role == Role::Beats && !matches!(line.state, LineState::Offline | LineState::New))
            .and_then(|line| line.address);
        let known = Known { host: &host, beats_at, is_parked: is_offline };
        let mut verdict = decide(wish, known, self.settings.caller.rules(), self.stamp(&host));
        if let Some(after) = &verdict.change {
            let now = self.clock.monotonic();
            let mut may = |is_v6: bool, is_changed: bool| !is_changed || inner.values.take((name.clone(), is_v6), now);
            let is_allowed = may(false, after.address_v4 != host.address_v4 || after.is_withdrawn != host.is_withdrawn)
                && may(true, after.address_v6 != host.address_v6);
            if is_allowed {
                // Known at once, so that the next request does not change it again; taken back if it is not stored.
                inner.ledger.set_host(after.clone());
            } else {
                verdict = Verdict::refused(Word::Later, Reason::TooOften);
            }
        }
        drop(inner);
        outcome.push(verdict, &host);
    }

    /// A time for a change that is later than that of the change before, whatever the wall clock does.
    fn stamp(&self, host: &HostName) -> WallTime {
        let now = self.clock.wall();
        host.changed_at.map_or(now, |before| now.max(before + Duration::from_millis(1)))
    }

    /// Stores what was decided, then tells the others. What cannot be stored is taken back and answered with `911`.
    pub(super) async fn carry_out(&self, token: &TokenRecord, mut outcome: Outcome) -> Outcome {
        let is_stored = self.store_changes(token, &outcome).await;
        if let Err(error) = is_stored {
            tracing::error!(account = %token.account, %error, "an update was not stored");
            self.undo(&outcome);
            outcome = Outcome { words: vec![Word::Later], reason: Some(Reason::NotStored), ..Outcome::default() };
            return outcome;
        }
        if let Some(policy) = outcome.policy {
            self.inner().ledger.set_policy(token.account, policy);
            self.tell_change(NamesChanged::Policy(token.account, policy));
            tracing::info!(account = %token.account, backup_mx = policy.backup_mx, "backup MX switched by a device");
        }
        if !outcome.changes.is_empty() {
            self.tell_change(NamesChanged::Hosts(outcome.changes.iter().map(|(_, after)| after.clone()).collect()));
        }
        for host in &outcome.accepted {
            let before = outcome.changes.iter().find(|(_, after)| after == host).map(|(before, _)| before);
            self.accept(host, before).await;
        }
        outcome
    }

    /// What was decided does not happen.
    pub(super) fn undo(&self, outcome: &Outcome) {
        let mut inner = self.inner();
        for (before, after) in &outcome.changes {
            inner.ledger.take_back(after, before);
        }
    }

    async fn store_changes(&self, token: &TokenRecord, outcome: &Outcome) -> Result<(), UpdateError> {
        if !outcome.changes.is_empty() {
            self.store.set_hosts(outcome.changes.iter().map(|(_, after)| after.clone()).collect()).await?;
        }
        if let Some(policy) = outcome.policy {
            let change = Change { at: self.clock.wall(), who: format!("device token {}", token.id) };
            self.store.set_policy(token.account, policy, change).await?;
        }
        Ok(())
    }

    /// Shown at once, stored a little later and only if it says something new: a device waits for neither.
    fn note(&self, token: &TokenRecord, asked: Asked<'_>, hosts: &str, outcome: &Outcome) {
        let reason = outcome.reason.unwrap_or(Reason::NoHostGiven);
        let device = format!("token {}", token.id);
        let request = self.request(token.account, device, asked, hosts, &outcome.words, reason);
        if self.show(request.clone()) {
            // A full queue costs a line on a page after the next restart.
            let _ = self.notes.try_send(Note::Known(request));
        }
    }

    pub(super) fn request(
        &self,
        account: AccountId,
        device: String,
        asked: Asked<'_>,
        hosts: &str,
        words: &[Word],
        reason: Reason,
    ) -> DeviceRequest {
        let answer: Vec<String> = words.iter().map(Word::text).collect();
        DeviceRequest {
            account,
            device,
            at: self.clock.wall(),
            peer: asked.peer.to_canonical(),
            agent: visible(asked.agent, AGENT_CHARS_MAX),
            is_encrypted: asked.is_encrypted,
            hosts: visible(hosts, TEXT_CHARS_MAX),
            answer: visible(&answer.join("; "), TEXT_CHARS_MAX),
            reason,
        }
    }
}

/// The narrow ways: one name, the token in the address.
impl Updates {
    /// DuckDNS: `/update?domains=...&token=...`.
    pub async fn duckdns(&self, asked: Asked<'_>) -> Answer {
        if self.is_flooding(asked.peer) {
            return Answer::of_words(&[Word::Later]);
        }
        let query = Query::parse(asked.query);
        let secret = query.value("token").unwrap_or_default().to_owned();
        let wish = if query.is_yes("clear") { Some(Wish::Withdraw) } else { narrow_wish(&query, asked.peer) };
        let domains = query.value("domains").unwrap_or_default().to_owned();
        let done = self.narrow(asked, TokenKind::Duckdns, &secret, Some(&domains), wish).await;
        let Some((word, host)) = done.filter(|(word, _)| word.is_success()) else {
            return Answer::plain("KO".to_owned());
        };
        if !query.is_yes("verbose") {
            return Answer::plain("OK".to_owned());
        }
        let v4 = host.address_v4.map(|v4| v4.to_string()).unwrap_or_default();
        let v6 = host.address_v6.map(|v6| v6.to_string()).unwrap_or_default();
        let what = if matches!(word, Word::Good(_)) { "UPDATED" } else { "NOCHANGE" };
        Answer::plain(format!("OK\n{v4}\n{v6}\n{what}"))
    }

    /// A ping: `/ping/TOKEN`, the name follows the caller.
    pub async fn ping(&self, asked: Asked<'_>, secret: &str) -> Answer {
        if self.is_flooding(asked.peer) {
            return Answer::of_words(&[Word::Later]);
        }
        let query = Query::parse(asked.query);
        let wish = narrow_wish(&query, asked.peer);
        match self.narrow(asked, TokenKind::Ping, secret, None, wish).await {
            Some((Word::Later, _)) => Answer::of_words(&[Word::Later]),
            Some((word, _)) if word.is_success() => Answer::plain("OK\n".to_owned()),
            Some(_) => Answer { status: 400, body: "KO\n".to_owned(), wants_login: false },
            None => Answer { status: 404, body: "KO\n".to_owned(), wants_login: false },
        }
    }

    /// The word for the one name of the token and the name as it is then; absent without a good token.
    async fn narrow(
        &self,
        asked: Asked<'_>,
        kind: TokenKind,
        secret: &str,
        domains: Option<&str>,
        wish: Option<Wish>,
    ) -> Option<(Word, HostName)> {
        let now = self.clock.wall();
        let token = self.inner().ledger.token(secret, now).cloned()?;
        let Some(only) = token.host.clone().filter(|_| token.kind == kind) else {
            // The device reads that its token is unknown; its owner reads why.
            let reason = Some(Reason::WrongKind);
            let outcome = Outcome { words: vec![Word::BadAuth], reason, ..Outcome::default() };
            self.note(&token, asked, domains.unwrap_or_default(), &outcome);
            return None;
        };
        self.directory.load().account(token.account)?;
        let mut outcome = Outcome::default();
        if domains.is_none_or(|domains| names(domains, &only)) {
            self.decide_one(&token, Some(&only), wish, &mut outcome);
            outcome = self.carry_out(&token, outcome).await;
        } else {
            outcome = Outcome { words: vec![Word::NoHost], reason: Some(Reason::OutOfScope), ..Outcome::default() };
        }
        self.note(&token, asked, only.as_str(), &outcome);
        let host = match self.inner().ledger.host(&only, token.account, &self.directory.load()) {
            Owned::Own(host) => *host,
            Owned::Others | Owned::Nobody => return None,
        };
        outcome.words.into_iter().next().map(|word| (word, host))
    }
}

/// Where a narrow request points the name: as it says, else at the caller.
fn narrow_wish(query: &Query, peer: IpAddr) -> Option<Wish> {
    let mut wanted = query.addresses().ok()?;
    if wanted.is_empty() {
        wanted.add_peer(peer);
    }
    Some(Wish::Point(wanted))
}

/// Whether a DuckDNS list means this one name: whole, or by its first label as these clients do.
fn names(domains: &str, only: &DomainName) -> bool {
    let label = only.as_str().split('.').next().unwrap_or_default();
    let mut list = domains.split(',').map(|name| name.trim().trim_end_matches('.').to_ascii_lowercase());
    list.next().is_some_and(|name| name == only.as_str() || name == label) && list.next().is_none()
}
