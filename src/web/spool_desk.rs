//! What a person does with held mail: hold, release, try again, delete, download. One message or several at once.

use std::str::FromStr;

use axum::Form;
use axum::extract::Path;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::response::Response;

use super::handlers::Answer;
use super::page::Page;
use super::pages::ConfirmTemplate;
use super::request::{Button, Door, Visit, see_other};
use super::settings::SPOOL_ROWS;
use super::{content, spool_view};
use crate::account::{Account, AccountStatus};
use crate::base::SpoolId;
use crate::spool::{MessageDetail, RecipientRow, RetrySelection, Ruling};

/// Rows of the audit log that a page looks through.
pub(super) const AUDIT_ROWS: u32 = 500;

/// What a button asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    Hold,
    Release,
    Retry,
    Delete,
}

impl Deed {
    fn parse(word: &str) -> Option<Self> {
        [Self::Hold, Self::Release, Self::Retry, Self::Delete].into_iter().find(|deed| deed.as_str() == word)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Retry => "retry",
            Self::Delete => "delete",
        }
    }
}

/// A form as it came.
#[derive(Debug, Default)]
struct Wish {
    button: Button,
    word: String,
    ids: Vec<SpoolId>,
    is_sure: bool,
    filter: &'static str,
    /// The button stands on the page of one message.
    is_of_one: bool,
}

type Fields = Result<Form<Vec<(String, String)>>, FormRejection>;

impl Wish {
    fn read(form: Fields) -> Self {
        let mut wish = Self { filter: "held", ..Self::default() };
        for (name, value) in form.map(|Form(fields)| fields).unwrap_or_default() {
            match name.as_str() {
                "csrf" => wish.button.csrf = value,
                "do" => wish.word = value,
                "sure" => wish.is_sure = true,
                "one" => wish.is_of_one = true,
                "filter" => wish.filter = spool_view::filter(&value).0,
                // More than a page of messages is not offered; what is beyond is left alone.
                "id" if wish.ids.len() < SPOOL_ROWS as usize => wish.ids.extend(SpoolId::from_str(&value)),
                _ => {}
            }
        }
        wish.ids.sort_unstable();
        wish.ids.dedup();
        wish
    }
}

fn is_alone(detail: &MessageDetail, account: &Account) -> bool {
    detail.row.recipients.iter().all(|r: &RecipientRow| r.account == account.id)
}

/// `POST /a/{name}/spool/do`: `do`, one or several `id`, for a deletion `sure`.
pub(super) async fn act(page: Page, form: Fields) -> Answer {
    let Page { door, visit, viewer, account, .. } = &page;
    let wish = Wish::read(form);
    page.check(&wish.button)?;
    if !viewer.may_change(account.id) {
        return Err(door.forbidden(visit));
    }
    let deed = Deed::parse(&wish.word).ok_or_else(|| door.not_found(visit))?;
    let mut own = Vec::with_capacity(wish.ids.len());
    for id in &wish.ids {
        let found = door.app.rooms.spool.show(*id).await.map_err(|error| door.failed(visit, &error))?;
        own.extend(found.filter(|detail| is_alone(detail, account)));
    }
    if own.is_empty() && wish.is_of_one {
        return Err(door.not_found(visit));
    }
    if deed == Deed::Delete && !wish.is_sure && !own.is_empty() {
        return Ok(confirm(door, visit, account, &wish, &own, viewer.sees_header(account.id)));
    }
    let mut changed = 0u64;
    for detail in &own {
        changed += u64::from(carry_out(door, visit, deed, detail.row.id, &viewer.person.name).await?);
    }
    if changed > 0 && account.status != AccountStatus::Suspended && deed != Deed::Hold {
        door.app.rooms.flushes.retry(account.id);
    }
    tracing::info!(account = %account.name, deed = deed.as_str(), messages = changed, "a person ruled about held mail");
    door.app.hub.ring(account.id);
    let base = format!("/a/{}/spool", account.name);
    let done = if own.is_empty() { "none" } else { deed.as_str() };
    Ok(match wish.ids.as_slice() {
        [one] if wish.is_of_one && deed != Deed::Delete => see_other(&format!("{base}/{one}?done={done}&n={changed}")),
        _ => see_other(&format!("{base}?filter={}&done={done}&n={changed}", wish.filter)),
    })
}

/// Whether something changed.
async fn carry_out(door: &Door, visit: &Visit, deed: Deed, id: SpoolId, who: &str) -> Result<bool, Response> {
    let (spool, change) = (&door.app.rooms.spool, door.change(who));
    let changed = match deed {
        Deed::Hold => spool.rule(id, Ruling::Hold, change).await,
        Deed::Release => spool.rule(id, Ruling::Release, change).await,
        Deed::Delete => spool.rule(id, Ruling::Drop, change).await,
        Deed::Retry => spool.retry(RetrySelection::Message(id), change).await,
    };
    Ok(changed.map_err(|error| door.failed(visit, &error))? > 0)
}

/// Asks once more, with the messages in sight.
fn confirm(
    door: &Door,
    visit: &Visit,
    account: &Account,
    wish: &Wish,
    own: &[MessageDetail],
    sees_header: bool,
) -> Response {
    let (l, now) = (visit.locale, door.app.clock.wall());
    let template = ConfirmTemplate {
        shell: door.account_shell(visit, account, l.delete_title(), "spool"),
        filter: wish.filter,
        lines: own.iter().map(|detail| spool_view::line(&detail.row, sees_header, now, l)).collect(),
    };
    door.page(visit, StatusCode::OK, &template)
}

/// `GET /a/{name}/spool/{id}/eml`: the message as it will be handed over. For the customer's own people only; noted in
/// the audit log before the first octet is sent.
pub(super) async fn download(Path((_, id)): Path<(String, String)>, page: Page) -> Answer {
    let Page { door, visit, viewer, account, .. } = &page;
    let id = SpoolId::from_str(&id).map_err(|_| door.not_found(visit))?;
    // The operator reads no content, whatever the address says.
    if !viewer.may_change(account.id) {
        return Err(door.forbidden(visit));
    }
    let rooms = &door.app.rooms;
    let whole = content::whole(&rooms.spool, &*rooms.accounts, (account.id, id), page.change()).await;
    whole.map_err(|error| door.failed(visit, &error))?.ok_or_else(|| door.not_found(visit))
}
