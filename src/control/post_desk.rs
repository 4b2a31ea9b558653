//! Carries out the commands about what became of mail, mail of our own, and how an account's mail is handed on.

use std::net::SocketAddr;

use super::desk::{Desk, find, reload, spool_id};
use super::post_reply::{MessageTraceShown, OutageRowShown, OutageShown, OutgoingShown, StepShown};
use super::post_request::PostRequest;
use super::reply::{CommandError, Reply};
use super::trust_text::{Told, configuration};
use crate::account::{AccountName, Detour, Preferences, Rewrite};
use crate::base::{AccountId, DomainName, Mailbox, SpoolId, WallTime};
use crate::delivery::target::{TargetRules, check_target};
use crate::liveness::{HistoryRow, LineState};
use crate::outbound::model::OutgoingRow;
use crate::spool::{DeliveryReply, ListCursor, ListQuery, RecipientState, StateFilter};
use crate::update::TokenKind;
use crate::update::token::new_token;

/// Recipients of one outage report.
const OUTAGE_ROWS_MAX: usize = 10_000;
/// Rows of a page while they are collected.
const PAGE: u32 = 1_000;
/// Changes of the line in which the last outage is looked for.
const HISTORY_ROWS: u32 = 500;
/// Characters of chance in an authserv-id: 80 bits.
const AUTHSERV_CHARS: usize = 16;
/// Mails of our own about one message.
const MAILS_MAX: u32 = 100;

fn words(reply: &DeliveryReply) -> String {
    match reply.code {
        Some(code) => format!("{code} {}", reply.text),
        None => reply.text.clone(),
    }
}

fn step(at: Option<WallTime>, what: &str, words: String) -> StepShown {
    let what = what.to_owned();
    StepShown { at, what, to: None, attempt: None, words, peer: None, tls: None, proof: None }
}

impl Desk {
    pub(super) async fn carry_out_post(&self, request: PostRequest, now: WallTime) -> Result<Reply, CommandError> {
        match request {
            PostRequest::Trace { id } => self.trace_message(&id).await,
            PostRequest::Content { id } => self.operator_content(&id).await,
            PostRequest::Outgoing { limit } => {
                let rows = self.post.outgoing(None, limit).await?;
                Ok(Reply::Outgoing(rows.into_iter().map(|row| self.outgoing_shown(row)).collect()))
            }
            PostRequest::Outage { account, since, until } => self.outage(account, since, until).await,
            PostRequest::AlertAddress { account, address } => self.set_alert_address(&account, address, now).await,
            PostRequest::Trust { account, is_on } => self.set_trust(&account, is_on, now).await,
            PostRequest::Route { account, address, host } => self.set_route(&account, address, host, now).await,
            PostRequest::Rewrite { account, domains } => self.set_rewrite(&account, domains, now).await,
            PostRequest::Holiday { account, until } => self.set_holiday(&account, until, now).await,
            PostRequest::Public { account, is_on } => self.set_public(&account, is_on, now).await,
            PostRequest::Forwarders { account, networks } => self.set_forwarders(&account, networks, now).await,
            PostRequest::TrustText { program, account, addresses } => {
                let directory = self.directory.load();
                let authserv = match &account {
                    Some(name) => directory.preferences(find(&directory, name)?.id).trust.clone(),
                    None => None,
                };
                let addresses = if addresses.is_empty() { self.public_addresses.clone() } else { addresses };
                let told = Told { hostname: &self.hostname, addresses: &addresses, authserv: authserv.as_ref() };
                Ok(Reply::Text { text: configuration(program, told) })
            }
        }
    }

    async fn trace_message(&self, id: &str) -> Result<Reply, CommandError> {
        let spool_id = spool_id(id)?;
        let detail = self.spool.show(spool_id).await?.ok_or_else(|| {
            CommandError::new(format!("there is no message {id}; see `pulsemx queue list --state any`"))
        })?;
        let trace = self.spool.trace(spool_id).await?;
        let to = |ordinal: u32| {
            detail.row.recipients.iter().find(|known| known.ordinal == ordinal).map(|known| known.mailbox.clone())
        };
        let mut accepted = step(
            Some(detail.row.accepted_at),
            "accepted",
            format!("{} octets, helo {}", detail.row.octets, detail.helo),
        );
        accepted.peer = Some(detail.peer.to_string());
        accepted.tls.clone_from(&detail.row.tls);
        let mut steps = vec![accepted];
        if let Some(verdict) = self.verdicts.verdict(spool_id).await? {
            steps.push(step(None, "checked", verdict.to_line()));
        }
        let mut later: Vec<StepShown> = Vec::new();
        later.extend(trace.attempts.into_iter().map(|attempt| StepShown {
            at: Some(attempt.at),
            what: attempt.result,
            to: to(attempt.ordinal),
            attempt: Some(attempt.number),
            words: words(&attempt.reply),
            peer: attempt.peer,
            tls: attempt.tls,
            proof: attempt.proof,
        }));
        for notice in trace.notices {
            let (at, said) = match notice.done {
                Some((at, result)) => (at, format!("{}: {result}", notice.kind)),
                None => (notice.at, format!("{}: not decided yet, or no mail of our own leaves", notice.kind)),
            };
            later.push(StepShown { to: to(notice.ordinal), ..step(Some(at), "notice", said) });
        }
        for mail in self.post.outgoing(Some(spool_id), MAILS_MAX).await? {
            let shown = self.outgoing_shown(mail);
            let said = shown.last_words.map(|said| format!(": {said}")).unwrap_or_default();
            let said = format!("{} {}, {} attempts{said}", shown.kind, shown.state, shown.attempts);
            later.push(StepShown { to: Some(shown.to), ..step(Some(shown.made_at), "report", said) });
        }
        later.sort_by_key(|step| step.at);
        steps.extend(later);
        Ok(Reply::MessageTrace(Box::new(MessageTraceShown {
            id: spool_id.to_string(),
            from: detail.row.reverse_path,
            steps,
        })))
    }

    fn outgoing_shown(&self, row: OutgoingRow) -> OutgoingShown {
        let directory = self.directory.load();
        let account = row.account.and_then(|account| directory.account(account)).map(|account| account.name.clone());
        let state = match (row.is_sent, row.due_at) {
            (true, _) => "sent",
            (false, Some(_)) => "waiting",
            (false, None) => "given up",
        };
        OutgoingShown {
            id: row.id,
            kind: row.kind.as_str().to_owned(),
            account,
            message: row.message.map(|id| id.to_string()),
            to: row.recipient,
            made_at: row.made_at,
            state: state.to_owned(),
            due_at: row.due_at,
            attempts: row.attempts,
            last_words: row.reply,
        }
    }

    async fn outage(
        &self,
        name: AccountName,
        since: Option<WallTime>,
        until: Option<WallTime>,
    ) -> Result<Reply, CommandError> {
        let account = find(&self.directory.load(), &name)?.id;
        let (since, until) = match since {
            Some(since) => (since, until),
            None => self.last_outage(account).await?.ok_or_else(|| {
                CommandError::new(format!(
                    "no outage of {name} is known; give --since, such as --since 2026-11-24T08:00:00Z"
                ))
            })?,
        };
        let mut rows = Vec::new();
        // Ids rise with the time of acceptance: everything before is skipped by the index.
        let mut after = SpoolId::first_of(since).as_i64().checked_sub(1).map(|id| ListCursor(SpoolId::from_i64(id)));
        loop {
            let query = ListQuery { account: Some(account), filter: StateFilter::Any, after, limit: PAGE };
            let page = self.spool.list(query).await?;
            let in_time = page.rows.iter().filter(|row| until.is_none_or(|until| row.accepted_at <= until));
            for row in in_time {
                rows.extend(row.recipients.iter().map(|recipient| OutageRowShown {
                    id: row.id.to_string(),
                    accepted_at: row.accepted_at,
                    from: row.reverse_path.clone(),
                    to: recipient.mailbox.clone(),
                    bytes: row.octets,
                    state: recipient.state.to_string(),
                    ended_at:
                        recipient.last_attempt_at.filter(|_| {
                            recipient.state == RecipientState::Delivered || recipient.state.is_quarantined()
                        }),
                    last_reply: recipient.last_reply.as_ref().map(words),
                }));
            }
            let is_past = page.rows.last().is_some_and(|row| until.is_some_and(|until| row.accepted_at > until));
            after = page.next.filter(|_| !is_past && rows.len() < OUTAGE_ROWS_MAX);
            if after.is_none() {
                break;
            }
        }
        let is_cut = rows.len() >= OUTAGE_ROWS_MAX;
        rows.truncate(OUTAGE_ROWS_MAX);
        Ok(Reply::Outage(Box::new(OutageShown { account: name, since, until, messages: rows, is_cut })))
    }

    /// From the first missed beat of the last outage to the beat that ended it.
    async fn last_outage(&self, account: AccountId) -> Result<Option<(WallTime, Option<WallTime>)>, CommandError> {
        let history = self.log.history(account, HISTORY_ROWS).await.map_err(|e| CommandError::new(e.to_string()))?;
        let mut until = None;
        for row in history {
            let HistoryRow::State(change) = row else { continue };
            match change.to {
                LineState::Offline => return Ok(Some((change.since, until))),
                LineState::Returning | LineState::Online => until = Some(change.at),
                LineState::New | LineState::Suspect => {}
            }
        }
        Ok(None)
    }

    /// Changes what an account chose; `what` goes into the audit log.
    pub(super) async fn change_preferences(
        &self,
        name: &AccountName,
        (what, message): (String, String),
        now: WallTime,
        change: impl FnOnce(&mut Preferences),
    ) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let directory = self.directory.load();
        let account = find(&directory, name)?.id;
        let mut preferences = directory.preferences(account).clone();
        change(&mut preferences);
        self.accounts.set_preferences(account, preferences, what, Self::change(now)).await?;
        let warnings = reload(running).await;
        running.flushes.retry(account);
        Ok(Reply::Done { message, warnings })
    }

    async fn set_alert_address(
        &self,
        name: &AccountName,
        address: Option<String>,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let Some(text) = address else {
            let words = (format!("account.alert {name} off"), format!("nobody is written to about mail of {name}"));
            return self.change_preferences(name, words, now, |chosen| chosen.alert_address = None).await;
        };
        let mailbox = Mailbox::parse(&text, true)
            .map_err(|error| CommandError::new(format!("'{text}' is no mailbox: {error}")))?;
        let directory = self.directory.load();
        let account = find(&directory, name)?.id;
        let domain = mailbox.domain().ok_or_else(|| CommandError::new("a mailbox at a domain name is needed"))?;
        if directory.served(domain).is_some_and(|served| served.account.id == account) {
            return Err(CommandError::new(format!(
                "{domain} is one of the account's own domains: a warning there would be held together with the mail it speaks of; name a mailbox elsewhere"
            )));
        }
        let words = (
            format!("account.alert {name} {mailbox}"),
            format!("digests of mail that {name}'s server refused go to {mailbox}"),
        );
        self.change_preferences(name, words, now, |chosen| chosen.alert_address = Some(mailbox)).await
    }

    async fn set_trust(&self, name: &AccountName, is_on: bool, now: WallTime) -> Result<Reply, CommandError> {
        if !is_on {
            let words =
                (format!("account.trust {name} off"), format!("the server of {name} gets our trace line alone"));
            return self.change_preferences(name, words, now, |chosen| chosen.trust = None).await;
        }
        let (secret, _) = new_token(TokenKind::Ping).map_err(|error| CommandError::new(error.to_string()))?;
        let label: String = secret.chars().skip(4).take(AUTHSERV_CHARS).collect();
        let authserv = DomainName::parse(&format!("a{label}.{}", self.hostname))
            .map_err(|error| CommandError::new(format!("no authserv-id can be made: {error}")))?;
        let words = (
            format!("account.trust {name} on"),
            format!(
                "the server of {name} gets Authentication-Results of {authserv}; `pulsemx trust PROGRAM --account {name}` prints what it has to be told"
            ),
        );
        self.change_preferences(name, words, now, |chosen| chosen.trust = Some(authserv)).await
    }

    async fn set_route(
        &self,
        name: &AccountName,
        address: Option<SocketAddr>,
        host: Option<DomainName>,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let Some(address) = address else {
            let words =
                (format!("account.route {name} off"), format!("mail of {name} goes where its heartbeats come from"));
            return self.change_preferences(name, words, now, |chosen| chosen.detour = None).await;
        };
        // Loopback and our own address are looked at by delivery, which knows them.
        check_target(address, TargetRules { allow_loopback: true, own_addresses: &[] })
            .map_err(|error| CommandError::new(format!("no mail may go there: {error}")))?;
        let words = (
            format!(
                "account.route {name} {address}{}",
                host.as_ref().map(|host| format!(" {host}")).unwrap_or_default()
            ),
            format!(
                "all mail of {name} goes to {address} by your word, heartbeats or not, until `pulsemx account route {name} --off`"
            ),
        );
        self.change_preferences(name, words, now, |chosen| chosen.detour = Some(Detour { address, host })).await
    }

    async fn set_rewrite(
        &self,
        name: &AccountName,
        domains: Option<(DomainName, DomainName)>,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let Some((from, to)) = domains else {
            let words = (format!("account.rewrite {name} off"), format!("recipients of {name} stay as they are"));
            return self.change_preferences(name, words, now, |chosen| chosen.rewrite = None).await;
        };
        let directory = self.directory.load();
        let account = find(&directory, name)?.id;
        if directory.served(&from).is_none_or(|served| served.account.id != account) {
            return Err(CommandError::new(format!(
                "no mail for {from} is taken for {name}; see `pulsemx account show {name}`"
            )));
        }
        let words = (
            format!("account.rewrite {name} {from} {to}"),
            format!("mail for {from} is delivered to the same names at {to}"),
        );
        self.change_preferences(name, words, now, |chosen| chosen.rewrite = Some(Rewrite { from, to })).await
    }
}
