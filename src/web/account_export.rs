//! `/a/{name}/account/export`: what is kept about an account as one JSON document, sent as it is read. Text of messages
//! and secrets are not in it.

use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};

use super::handlers::Answer;
use super::page::Page;
use crate::account::{Account, Directory, Role};
use crate::base::AccountId;
use crate::dns::owner::Owner;
use crate::dns::zone_file;
use crate::spool::{ListCursor, ListQuery, MessageRow, SpoolError, StateFilter};

/// Messages read at once.
const MESSAGES_AT_ONCE: u32 = 500;
/// Changes of state and address in an export, newest first. They are kept for 400 days.
const HISTORY_ROWS: u32 = 50_000;
/// Rows of the log in an export, newest first.
const AUDIT_ROWS: u32 = 1_000;
/// Days of which figures are kept on the pages' side.
const DAYS: u64 = 400;

/// Where the stream of messages stands.
struct Messages {
    page: Page,
    after: Option<ListCursor>,
    head: Option<String>,
    is_first: bool,
    is_done: bool,
}

/// `GET /a/{name}/account/export`. For the account's own people, and noted in its log.
pub(super) async fn export(page: Page) -> Answer {
    if page.viewer.role(page.account.id).is_none() {
        return Err(page.door.forbidden(&page.visit));
    }
    let people = &page.door.app.rooms.accounts;
    let noted = people.note_of(page.account.id, "account.export".to_owned(), page.change()).await;
    noted.map_err(|error| page.failed(&error))?;
    let head = document(&page).await.map_err(|error| page.failed(&error))?;
    // The closing brace comes behind the messages.
    let head = head.to_string();
    let head = head.strip_suffix('}').unwrap_or(&head).to_owned() + ",\"messages\":[";
    let name = format!("attachment; filename=\"pulsemx-{}.json\"", page.account.name);
    let mut messages = Messages { page, after: None, head: None, is_first: true, is_done: false };
    // A store that fails at once is said on a page; later it cuts the download off.
    let first = messages.some().await.map_err(|error| messages.page.failed(&error))?;
    messages.head = Some(head + &first);
    let body = Body::from_stream(stream::try_unfold(messages, |mut messages| async move {
        Ok::<_, std::io::Error>(messages.next().await?.map(|piece| (piece, messages)))
    }));
    let mut answer: Response = body.into_response();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(answer)
}

impl Messages {
    /// The next piece of the document. A store that fails cuts the download off, which the browser shows.
    async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        if let Some(head) = self.head.take() {
            return Ok(Some(head.into()));
        }
        if self.is_done {
            return Ok(None);
        }
        self.some().await.map(|piece| Some(piece.into())).map_err(std::io::Error::other)
    }

    /// Some messages more, and the end of the document behind the last.
    async fn some(&mut self) -> Result<String, SpoolError> {
        let account = self.page.account.id;
        let query =
            ListQuery { account: Some(account), filter: StateFilter::Any, after: self.after, limit: MESSAGES_AT_ONCE };
        let found = self.page.door.app.rooms.spool.list(query).await?;
        let mut piece = String::new();
        for row in &found.rows {
            if !std::mem::take(&mut self.is_first) {
                piece.push(',');
            }
            piece.push_str(&message(row, account).to_string());
        }
        self.after = found.next;
        if found.next.is_none() {
            self.is_done = true;
            piece.push_str("]}\n");
        }
        Ok(piece)
    }
}

fn message(row: &MessageRow, account: AccountId) -> Value {
    let own = row.recipients.iter().filter(|recipient| recipient.account == account);
    let recipient = |r: &crate::spool::RecipientRow| {
        json!({
            "mailbox": r.mailbox, "state": r.state, "attempts": r.attempts, "due_at": r.due_at,
            "last_attempt_at": r.last_attempt_at, "last_reply": r.last_reply,
        })
    };
    json!({
        "id": row.id.to_string(), "accepted_at": row.accepted_at, "reverse_path": row.reverse_path,
        "octets": row.octets, "subject": row.subject, "smtputf8": row.smtputf8, "tls": row.tls,
        "recipients": own.map(recipient).collect::<Vec<_>>(),
    })
}

/// Everything but the messages.
async fn document(page: &Page) -> Result<Value, String> {
    let Page { door, account, viewer, .. } = page;
    let (rooms, now) = (&door.app.rooms, door.app.clock.wall());
    let to = now.date_naive();
    let from = to.checked_sub_days(chrono::Days::new(DAYS)).unwrap_or(to);
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let days = rooms.log.days(account.id, from, to, now).await.map_err(|error| text(&error))?;
    let history = rooms.log.history(account.id, HISTORY_ROWS).await.map_err(|error| text(&error))?;
    let audit = rooms.accounts.audit(Some(account.id), AUDIT_ROWS).await.map_err(|error| text(&error))?;
    let audit: Vec<Value> = audit.iter().map(|row| json!({ "at": row.at, "who": row.who, "what": row.what })).collect();
    let choice = rooms.people.choice_of(viewer.person.id).await.map_err(|error| text(&error))?;
    let sessions = rooms.people.sessions_of(viewer.person.id, now).await.map_err(|error| text(&error))?;
    let session = |s: &crate::account::OpenSession| {
        let seen = s.seen.as_ref();
        json!({
            "made_at": s.made_at, "expires_at": s.expires_at, "last_used_at": seen.map(|seen| seen.at),
            "browser": seen.map(|seen| &seen.agent), "address": seen.map(|seen| seen.address),
        })
    };
    let alerts = match &rooms.alerts {
        Some(alerts) => alerts.list(Some(account.id)).await.map_err(|error| text(&error))?,
        None => Vec::new(),
    };
    let zones = match &rooms.names {
        Some(names) => names.store.zones_of(account.id).await.map_err(|error| text(&error))?,
        None => Vec::new(),
    };
    let zone = |zone: &crate::dns::StoredZone| {
        let text = zone_file::write(&Owner::of_domain(&zone.apex), &zone.records, &[]);
        json!({ "apex": zone.apex.to_string(), "text": text })
    };
    let public = rooms.people.publication(account.id).await.map_err(|error| text(&error))?;
    let usage = rooms.spool.usage(account.id);
    let mut whole = head(account, &rooms.directory.load());
    let rest = json!({
        "format": "pulsemx account export 1", "made_at": now,
        "you": {
            "name": viewer.person.name, "role": viewer.role(account.id).unwrap_or(Role::Viewer),
            "language": choice.tongue.map(crate::account::Tongue::as_str), "zone": choice.zone.map(chrono_tz::Tz::name),
            "sessions": sessions.iter().map(session).collect::<Vec<_>>(),
        },
        "public_page": public.map(|public| public.page_id),
        "alerts": alerts, "zones": zones.iter().map(zone).collect::<Vec<_>>(),
        "held": { "waiting": usage.waiting, "refused": usage.refused, "octets": usage.octets },
        "days": days, "history": history, "log": audit,
    });
    if let (Some(whole), Value::Object(rest)) = (whole.as_object_mut(), rest) {
        whole.extend(rest);
    }
    Ok(whole)
}

fn head(account: &Account, directory: &Directory) -> Value {
    let server = |server: &&crate::account::Endpoint| {
        json!({
            "host": server.host.to_string(), "port": server.smtp_port, "address_v4": server.address_v4,
            "address_v6": server.address_v6, "pin": server.pin.map(|pin| data_encoding::HEXLOWER.encode(&pin)),
        })
    };
    let domains = directory.domains_of(account.id);
    json!({
        "account": {
            "name": account.name, "status": account.status.as_str(), "created_at": account.created_at,
            "status_since": account.status_since, "preferences": directory.preferences(account.id),
        },
        "mail_servers": directory.endpoints_of(account.id).iter().map(server).collect::<Vec<_>>(),
        "domains": domains.iter().map(|domain| domain.name.to_string()).collect::<Vec<_>>(),
    })
}
