//! Carries out `queue trace`: what became of mail from or to one address.

use super::desk::{Desk, message_shown};
use super::reply::{CommandError, RefusedShown, Reply, TraceShown};
use crate::base::{Mailbox, SpoolId, WallTime};
use crate::smtp::refusals::KEPT_FOR;
use crate::spool::{ListCursor, ListQuery, MessageRow, StateFilter};

/// Messages in one answer, and refused recipients.
const SHOWN_MAX: u32 = 200;
/// Messages looked through at a time.
const PAGE: u32 = 1_000;
/// Pages: 100,000 messages.
const PAGES_MAX: u32 = 100;

impl Desk {
    /// Looks through the messages of the last week; those of the address's own account where it is a customer's.
    pub(super) async fn trace(&self, address: &str, now: WallTime) -> Result<Reply, CommandError> {
        let mailbox = Mailbox::parse(address, true).map_err(|error| CommandError::new(error.to_string()))?;
        let directory = self.directory.load();
        let account = mailbox.domain().and_then(|domain| directory.served(domain)).map(|served| served.account.id);
        let is_meant = |row: &MessageRow| {
            row.reverse_path.eq_ignore_ascii_case(address)
                || row.recipients.iter().any(|recipient| recipient.mailbox.eq_ignore_ascii_case(address))
        };
        let (mut messages, mut is_cut) = (Vec::new(), true);
        let mut after = Some(ListCursor(SpoolId::first_of(now - KEPT_FOR)));
        for _ in 0..PAGES_MAX {
            let page = self.spool.list(ListQuery { account, filter: StateFilter::Any, after, limit: PAGE }).await?;
            messages.extend(page.rows.iter().filter(|row| is_meant(row)).map(|row| message_shown(&directory, row)));
            after = page.next;
            if after.is_none() {
                is_cut = false;
                break;
            }
            if messages.len() >= SHOWN_MAX as usize {
                break;
            }
        }
        let refused = self.refusals.refusals(address, SHOWN_MAX).await?;
        let refused = refused.into_iter().map(|one| RefusedShown {
            at: one.at,
            peer: one.peer,
            helo: one.helo,
            from: one.reverse_path,
            to: one.recipient,
            reply: format!("{} {}", one.code, one.text),
        });
        Ok(Reply::Trace(TraceShown { messages, is_cut, refused: refused.collect() }))
    }
}
