//! Carries out the commands about mail that is kept and about the server it is kept for.

use super::desk::{Desk, find, reload, spool_id};
use super::mail_request::{MailRequest, MessageRuling};
use super::print::safe;
use super::reply::{CommandError, PinShown, Reply};
use crate::account::{AccountName, Change, Endpoint, OPERATOR};
use crate::base::WallTime;
use crate::delivery::identity::fingerprint;
use crate::spool::{Hold, HoldKind, MessageDetail, Ruling, SpoolError};

/// Characters kept of a reason.
const REASON_CHARS_MAX: usize = 200;

/// Octets of a message that are printed.
const CONTENT_SHOWN_MAX: usize = 256 * 1024;

impl Desk {
    /// A message that is kept for the operator, as it came, with our trace lines.
    pub(super) async fn operator_content(&self, id: &str) -> Result<Reply, CommandError> {
        let id = spool_id(id)?;
        let is_his = |detail: &MessageDetail| detail.row.recipients.iter().any(|one| one.account == OPERATOR);
        let detail = self.spool.show(id).await?.filter(is_his).ok_or_else(|| {
            CommandError::new(format!(
                "no message {id} is kept for the operator; see `pulsemx queue list --account operator`"
            ))
        })?;
        let (mut octets, mut read, mut ordinal) = (detail.trace.to_vec(), 0, 0);
        while read < detail.row.octets && octets.len() < CONTENT_SHOWN_MAX {
            let piece = match self.spool.body_chunk(id, ordinal).await {
                Ok(piece) => piece,
                Err(SpoolError::ChunkMissing(_)) => return Err(CommandError::new("its content is no longer here")),
                Err(error) => return Err(error.into()),
            };
            read += piece.len() as u64;
            octets.extend_from_slice(&piece);
            ordinal += 1;
        }
        let is_cut = octets.len() > CONTENT_SHOWN_MAX || read < detail.row.octets;
        octets.truncate(CONTENT_SHOWN_MAX);
        let mut text = on_a_terminal(&octets);
        if is_cut {
            text.push_str(&format!("\n[only the first {CONTENT_SHOWN_MAX} octets are shown]\n"));
        }
        Ok(Reply::Text { text })
    }

    pub(super) async fn carry_out_mail(&self, request: MailRequest, now: WallTime) -> Result<Reply, CommandError> {
        match request {
            MailRequest::Rule { id, ruling } => self.rule(&id, ruling, now).await,
            MailRequest::HoldAccount { account, reason } => {
                let reason = reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS_MAX).collect();
                let hold = Hold { kind: HoldKind::Operator, reason, since: now };
                let message =
                    format!("no mail of {account} is delivered until `pulsemx queue release --account {account}`");
                self.set_hold(&account, Some(hold), message, now).await
            }
            MailRequest::ReleaseAccount { account } => {
                let message = format!("mail of {account} is delivered again");
                self.set_hold(&account, None, message, now).await
            }
            MailRequest::PinShow { account } => self.show_pin(account),
            MailRequest::PinAccept { account } => self.accept_pin(&account, now).await,
            MailRequest::PinClear { account } => {
                let endpoint = self.first_endpoint(&account)?;
                let message = format!("the next delivery to {} pins the key it meets", endpoint.host);
                self.set_pin(&endpoint, None, message, now).await
            }
        }
    }

    async fn rule(&self, id: &str, ruling: MessageRuling, now: WallTime) -> Result<Reply, CommandError> {
        let spool_id = spool_id(id)?;
        let detail = self.spool.show(spool_id).await?.ok_or_else(|| {
            CommandError::new(format!("there is no message {id}; see `pulsemx queue list --state any`"))
        })?;
        let done = match ruling {
            MessageRuling::Hold => "kept back",
            MessageRuling::Release => "queued for now",
            MessageRuling::Fail => "given up and kept in quarantine",
            MessageRuling::Drop => "removed for good",
        };
        let recipients = self.rule_message(&detail, ruling, Self::change(now)).await?;
        let mut warnings = Vec::new();
        if recipients == 0 {
            warnings.push("no recipient was in a state that this changes; see `pulsemx queue show`".to_owned());
        }
        Ok(Reply::Done { message: format!("{recipients} recipients {done}"), warnings })
    }

    /// Carries out what a person or a program says about one message; returns how many recipients that changed. Whether
    /// the message is his is for the caller to know.
    ///
    /// # Errors
    /// [`CommandError`]; nothing was changed then.
    pub async fn rule_message(
        &self,
        detail: &MessageDetail,
        ruling: MessageRuling,
        by: Change,
    ) -> Result<u64, CommandError> {
        let running = self.running()?;
        let ruling = match ruling {
            MessageRuling::Hold => Ruling::Hold,
            MessageRuling::Release => Ruling::Release,
            MessageRuling::Fail => Ruling::Fail,
            MessageRuling::Drop => Ruling::Drop,
        };
        let recipients = self.spool.rule(detail.row.id, ruling, by).await?;
        for account in detail.row.recipients.iter().map(|recipient| recipient.account) {
            running.flushes.retry(account);
        }
        Ok(recipients)
    }

    async fn set_hold(
        &self,
        name: &AccountName,
        hold: Option<Hold>,
        message: String,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let account = find(&self.directory.load(), name)?.id;
        self.spool.set_hold(account, hold.clone(), Self::change(now)).await?;
        running.flushes.hold(account, hold);
        Ok(Reply::Done { message, warnings: Vec::new() })
    }

    fn first_endpoint(&self, name: &AccountName) -> Result<Endpoint, CommandError> {
        let directory = self.directory.load();
        let account = find(&directory, name)?.id;
        let endpoints = directory.endpoints_of(account);
        endpoints.first().copied().cloned().ok_or_else(|| CommandError::new("this account has no mail server"))
    }

    fn show_pin(&self, account: AccountName) -> Result<Reply, CommandError> {
        let endpoint = self.first_endpoint(&account)?;
        let view = self.running.as_ref().map(|running| running.flushes.view(endpoint.account)).unwrap_or_default();
        let shown = view.strange_key.filter(|strange| strange.endpoint == endpoint.id);
        Ok(Reply::Pin(PinShown {
            account,
            host: endpoint.host,
            pinned: endpoint.pin.map(|key| fingerprint(&key)),
            vouched: self
                .running
                .as_ref()
                .and_then(|running| running.flushes.vouched_key(endpoint.id))
                .filter(|key| endpoint.pin != Some(*key))
                .map(|key| fingerprint(&key)),
            shown_instead: shown.map(|strange| fingerprint(&strange.key)),
            proof: view.proof.map(str::to_owned),
            doubt: view.doubt,
        }))
    }

    async fn accept_pin(&self, name: &AccountName, now: WallTime) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let endpoint = self.first_endpoint(name)?;
        let strange = running
            .flushes
            .view(endpoint.account)
            .strange_key
            .filter(|strange| strange.endpoint == endpoint.id)
            .ok_or_else(|| CommandError::new("the mail server has shown no other key than the pinned one"))?;
        let message = format!("{} has to show {} from now on", endpoint.host, fingerprint(&strange.key));
        self.set_pin(&endpoint, Some(strange.key), message, now).await
    }

    async fn set_pin(
        &self,
        endpoint: &Endpoint,
        pin: Option<[u8; 32]>,
        message: String,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let running = self.running()?;
        self.accounts.set_pin(endpoint.id, pin, Self::change(now)).await?;
        let warnings = reload(running).await;
        running.flushes.retry(endpoint.account);
        Ok(Reply::Done { message, warnings })
    }
}

/// Lines stay lines; what could move a cursor or change a colour is written out.
fn on_a_terminal(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets).replace("\r\n", "\n");
    text.split('\n')
        .map(|line| line.split('\t').map(safe).collect::<Vec<_>>().join("\t"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_wrote_moves_no_cursor() {
        assert_eq!(on_a_terminal(b"a\tb\r\n\x1b[2Jc\xff\r\n"), "a\tb\n\\u{1b}[2Jc\u{fffd}\n");
    }
}
