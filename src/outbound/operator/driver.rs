//! Looks through the operator's mail and has what is new sent on, each message once.

use bytes::Bytes;

use super::{ATTACHED_OCTETS_MAX, Letter, Pace, admitted, is_circling, letter};
use crate::account::OPERATOR;
use crate::base::{Clock, Mailbox, SpoolId, WallTime};
use crate::outbound::driver::PostOffice;
use crate::outbound::model::{MailKind, NewMail};
use crate::spool::{ListCursor, ListQuery, MessageRow, SpoolError, StateFilter};
use crate::verdict::content::{Collected, HeaderSection};

/// Rows of a page.
const PAGE: u32 = 100;

impl PostOffice {
    /// One look. What cannot be read now is looked at again in the next.
    pub(in crate::outbound) async fn send_on(&self) -> Result<(), SpoolError> {
        let directory = self.rooms.directory.load();
        let to = admitted(&self.settings.operator, &directory, &self.settings.delivery.hostname);
        if to.is_empty() || self.rooms.spool.usage(OPERATOR).waiting == 0 {
            return Ok(());
        }
        let mut pace = self.pace.lock().await;
        let now = Clock.wall();
        let before = pace.floor().as_i64().checked_sub(1).map(|id| ListCursor(SpoolId::from_i64(id)));
        let (mut after, mut open) = (before, None);
        while open.is_none() {
            let query = ListQuery { account: Some(OPERATOR), filter: StateFilter::Waiting, after, limit: PAGE };
            let page = self.rooms.spool.list(query).await?;
            for row in &page.rows {
                if pace.is_new(row.id) && !self.send_row_on(row, &to, &mut pace, now).await? {
                    open = Some(row.id);
                    break;
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        pace.end_round(open, now);
        Ok(())
    }

    /// False when it has to wait for the next hour.
    async fn send_row_on(
        &self,
        row: &MessageRow,
        to: &[&Mailbox],
        pace: &mut Pace,
        now: WallTime,
    ) -> Result<bool, SpoolError> {
        let mut content: Option<Vec<u8>> = None;
        for mailbox in to {
            let tag = format!("operator.{}.{mailbox}", row.id);
            if self.rooms.store.is_made(&tag).await? {
                continue;
            }
            if !pace.may_send(now) {
                return Ok(false);
            }
            let beginning = match &content {
                Some(beginning) => beginning,
                None => content.insert(self.beginning(row).await?),
            };
            if is_circling(&header_of(beginning), &row.reverse_path, to, self.writer()) {
                tracing::warn!(spool_id = %row.id, "mail for the operator came back from where it was sent on to, and is kept here");
                break;
            }
            let written = letter(Letter {
                writer: self.writer(),
                to: mailbox,
                id: row.id,
                accepted_at: row.accepted_at,
                sender: &row.reverse_path,
                recipient: row.recipients.first().map(|recipient| recipient.mailbox.as_str()).unwrap_or_default(),
                subject: &row.subject,
                octets: row.octets,
                attached: beginning,
                now,
            });
            let Some((content, smtputf8)) = written else { continue };
            let mail = self.mail(NewMail {
                tag,
                kind: MailKind::Operator,
                account: None,
                message: Some(row.id),
                recipient: Mailbox::clone(mailbox),
                smtputf8,
                content: Bytes::from(content),
            });
            if let Some(mail) = mail
                && self.rooms.store.enqueue(mail, now).await?
            {
                pace.note_sent(now);
                tracing::info!(spool_id = %row.id, to = %mailbox, "mail for the operator is sent on");
            }
        }
        pace.note_looked_at(row.id);
        Ok(true)
    }

    async fn beginning(&self, row: &MessageRow) -> Result<Vec<u8>, SpoolError> {
        let (mut octets, mut ordinal) = (Vec::new(), 0);
        while (octets.len() as u64) < row.octets && octets.len() < ATTACHED_OCTETS_MAX {
            match self.rooms.spool.body_chunk(row.id, ordinal).await {
                Ok(piece) => octets.extend_from_slice(&piece),
                // Damaged: what is here goes, and must not hold up the rest.
                Err(SpoolError::ChunkMissing(_)) => break,
                Err(error) => return Err(error),
            }
            ordinal += 1;
        }
        octets.truncate(ATTACHED_OCTETS_MAX);
        Ok(octets)
    }
}

/// As far as it is there.
fn header_of(content: &[u8]) -> Vec<u8> {
    let mut section = HeaderSection::default();
    match section.add(content) {
        Collected::NeedMore | Collected::End(_) | Collected::TooLong => section.octets().to_vec(),
    }
}
