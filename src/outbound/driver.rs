//! The post office: decides open notices, writes digests, and sends what is due, round after round.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::Timelike;
use tokio_util::sync::CancellationToken;

use super::compose::{self, DIGEST_ROWS_MAX, DigestRow, Report, Writer};
use super::decide::{Around, CAP_PERIOD, Decision, Silence, decide, is_of_a_list};
use super::lookup::Lookup;
use super::model::{CONTENT_OCTETS_MAX, Case, CaseRecipient, Conclusion, MailKind, NewMail, Outgoing};
use super::operator::Pace;
use super::sending::Sending;
use super::settings::Settings;
use super::store::OutboundStore;
use crate::account::{Account, Directory, DirectoryHandle};
use crate::base::{Clock, DomainName, Mailbox, ReversePath, WallTime};
use crate::delivery::outcome::later;
use crate::delivery::tls::ClientTls;
use crate::spool::{ListQuery, MessageRow, SpoolError, SpoolStore, StateFilter};
use crate::verdict;
use crate::verdict::content::{Collected, HeaderSection};
use crate::verdict::question::driver::ResolverError;

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(2);

/// Between two looks at what is done by the hour or day.
const DAILY_ROUND: Duration = Duration::from_secs(10);

/// Cases of one round.
const CASES_MAX: u32 = 100;

/// Mails of one round.
const MAILS_MAX: u32 = 200;

/// Mails that are sent side by side.
const SENDING_MAX: usize = 32;

/// The same to one domain: a host that answers slowly leaves places for others.
const SENDING_TO_DOMAIN_MAX: usize = 4;

/// How long rows of mail that ended are kept.
const KEEP_ROWS: Duration = Duration::from_secs(30 * 86_400);

/// Why the post office cannot open.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No resolver.
    #[error(transparent)]
    Resolver(#[from] ResolverError),
    /// TLS cannot be set up.
    #[error("TLS for outgoing mail cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// What the post office works with.
pub struct Rooms {
    /// Notices and mails.
    pub store: Arc<dyn OutboundStore>,
    /// Messages.
    pub spool: Arc<dyn SpoolStore>,
    /// Accounts.
    pub directory: DirectoryHandle,
}

/// Sends what has to be sent by itself.
pub struct PostOffice {
    pub(super) settings: Settings,
    pub(super) rooms: Rooms,
    lookup: Lookup,
    tls: ClientTls,
    /// Mails that are being sent, with their domains.
    busy: Mutex<BTreeMap<i64, String>>,
    /// Of mail that is sent on to the operator.
    pub(super) pace: tokio::sync::Mutex<Pace>,
}

impl PostOffice {
    /// Ready to [`run`](Self::run).
    ///
    /// # Errors
    /// [`StartError`].
    pub fn new(settings: Settings, rooms: Rooms, checks: &verdict::Settings) -> Result<Self, StartError> {
        let lookup = Lookup::new(checks)?;
        let tls = ClientTls::new(&settings.delivery.authorities)?;
        let pace = tokio::sync::Mutex::new(Pace::new(Clock.wall()));
        Ok(Self { settings, rooms, lookup, tls, busy: Mutex::default(), pace })
    }

    /// Rounds until the shutdown. An attempt that is cut short is made again after the next start.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let office = self;
        let mut daily_at = Clock.monotonic();
        loop {
            let now = Clock.monotonic();
            let is_daily = now >= daily_at;
            if is_daily {
                daily_at = now + DAILY_ROUND;
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = office.round(is_daily) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(ROUND) => {}
            }
        }
    }

    /// One round; what fails is logged and done again in the next.
    async fn round(self: &Arc<Self>, is_daily: bool) {
        if is_daily && let Err(error) = self.daily().await {
            tracing::error!(%error, "delays and digests were not looked at");
        }
        if let Err(error) = self.send_on().await {
            tracing::error!(%error, "mail for the operator was not sent on");
        }
        if let Err(error) = self.decide_cases().await {
            tracing::error!(%error, "notices to senders were not decided");
        }
        if let Err(error) = self.send_due().await {
            tracing::error!(%error, "outgoing mail was not sent");
        }
    }

    // ---- notices ----

    async fn decide_cases(&self) -> Result<(), SpoolError> {
        for case in self.rooms.store.open_cases(CASES_MAX).await? {
            self.decide_case(&case).await?;
        }
        Ok(())
    }

    async fn decide_case(&self, case: &Case) -> Result<(), SpoolError> {
        let now = Clock.wall();
        let domain = match &case.reverse_path {
            ReversePath::Mailbox(sender) => sender.domain(),
            ReversePath::Null => None,
        };
        let made_for_domain = match domain {
            Some(domain) => self.rooms.store.made_for(domain, now - CAP_PERIOD).await?,
            None => 0,
        };
        let directory = self.rooms.directory.load();
        let cap = self.settings.per_domain_hour;
        let decision = decide(case, Around { directory: &directory, made_for_domain, cap, now });
        let Decision::Settled { told, silent } = decision else { return Ok(()) };
        let header = if told.is_empty() { Vec::new() } else { self.header(case).await? };
        let (told, silent) = match is_of_a_list(&header) {
            true => (Vec::new(), case.recipients.iter().map(|one| (one.ordinal, Silence::Automatic)).collect()),
            false => (told, silent),
        };
        let mail = self.write_report(case, &told, &header, &directory, now);
        let mut results: Vec<(u32, String)> =
            silent.iter().map(|(ordinal, silence)| (*ordinal, silence.to_string())).collect();
        let words = if mail.is_some() { "told" } else { "not told: the sender's address cannot be written to" };
        results.extend(told.iter().map(|ordinal| (*ordinal, words.to_owned())));
        results.sort();
        let conclusion = Conclusion { message: case.message, kind: case.kind, results, mail };
        let is_told = conclusion.mail.is_some();
        if self.rooms.store.conclude(conclusion, now).await? {
            let silence = silent.first().map(|(_, silence)| silence.words());
            tracing::info!(spool_id = %case.message, kind = %case.kind, is_told, silence, "a notice to a sender was decided");
        }
        Ok(())
    }

    /// The header section as far as it is here; what is damaged or gone is left out of the report.
    async fn header(&self, case: &Case) -> Result<Vec<u8>, SpoolError> {
        let mut section = HeaderSection::default();
        for ordinal in 0..case.chunks {
            match self.rooms.spool.body_chunk(case.message, ordinal).await {
                Ok(piece) => match section.add(&piece) {
                    Collected::NeedMore => {}
                    Collected::End(_) | Collected::TooLong => break,
                },
                Err(SpoolError::ChunkMissing(_)) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(section.octets().to_vec())
    }

    fn write_report(
        &self,
        case: &Case,
        told: &[u32],
        header: &[u8],
        directory: &Directory,
        now: WallTime,
    ) -> Option<NewMail> {
        let first = told.first()?;
        let ReversePath::Mailbox(sender) = &case.reverse_path else { return None };
        let remote = |recipient: &CaseRecipient| remote_of(directory, recipient);
        let retry_until = later(case.accepted_at, self.settings.keep);
        let report = Report { writer: self.writer(), told, header, remote: &remote, retry_until, now };
        let (content, smtputf8) = compose::report(case, report)?;
        self.mail(NewMail {
            tag: format!("{}.{}.{first}", case.kind, case.message),
            kind: MailKind::Notice(case.kind),
            account: case.recipients.iter().find(|one| one.ordinal == *first).map(|one| one.account),
            message: Some(case.message),
            recipient: sender.clone(),
            smtputf8,
            content: Bytes::from(content),
        })
    }

    pub(super) const fn writer(&self) -> Writer<'_> {
        Writer { from: &self.settings.from, hostname: &self.settings.delivery.hostname }
    }

    /// Signed, and not too long.
    pub(super) fn mail(&self, mut mail: NewMail) -> Option<NewMail> {
        if let Some(signer) = &self.settings.signer {
            mail.content = Bytes::from(signer.sign(mail.content.to_vec()));
        }
        (mail.content.len() <= CONTENT_OCTETS_MAX).then_some(mail)
    }

    // ---- by the day ----

    async fn daily(&self) -> Result<(), SpoolError> {
        let now = Clock.wall();
        if let Some(after) = self.settings.warn_sender_after {
            self.rooms.store.note_delays(now - after, now).await?;
        }
        self.rooms.store.purge_outgoing(now - KEEP_ROWS).await?;
        if now.hour() >= self.settings.digest_hour {
            let directory = self.rooms.directory.load();
            for account in directory.accounts() {
                self.write_digest(&directory, account, now).await?;
            }
        }
        Ok(())
    }

    async fn write_digest(&self, directory: &Directory, account: &Account, now: WallTime) -> Result<(), SpoolError> {
        let Some(to) = &directory.preferences(account.id).alert_address else { return Ok(()) };
        let is_own =
            to.domain().and_then(|domain| directory.served(domain)).is_some_and(|s| s.account.id == account.id);
        let total = self.rooms.spool.usage(account.id).refused;
        if is_own || total == 0 {
            return Ok(());
        }
        let tag = format!("digest.{}.{}", account.id, now.format("%Y-%m-%d"));
        if self.rooms.store.is_made(&tag).await? {
            return Ok(());
        }
        let query = ListQuery {
            account: Some(account.id),
            filter: StateFilter::Refused,
            after: None,
            limit: u32::try_from(DIGEST_ROWS_MAX).unwrap_or(u32::MAX),
        };
        let page = self.rooms.spool.list(query).await?;
        let rows: Vec<DigestRow> = page.rows.iter().map(digest_row).collect();
        let digest = compose::Digest {
            writer: self.writer(),
            to,
            account: account.name.as_str(),
            total,
            rows: &rows,
            page: &self.settings.page,
            days: self.settings.keep.as_secs() / 86_400,
            tag: &tag,
            now,
        };
        let Some((content, smtputf8)) = compose::digest(digest) else { return Ok(()) };
        let recipient: Mailbox = to.clone();
        let mail = NewMail {
            tag,
            kind: MailKind::Digest,
            account: Some(account.id),
            message: None,
            recipient,
            smtputf8,
            content: Bytes::from(content),
        };
        if let Some(mail) = self.mail(mail) {
            self.rooms.store.enqueue(mail, now).await?;
        }
        Ok(())
    }

    // ---- alerts ----

    /// Takes an alert for good: it is on the disk when this returns.
    ///
    /// # Errors
    /// In words; nothing was taken then.
    pub async fn write_alert(&self, to: &Mailbox, subject: &str, text: &str) -> Result<(), String> {
        let mut name = [0; 12];
        getrandom::fill(&mut name).map_err(|error| error.to_string())?;
        let (now, tag) = (Clock.wall(), format!("alert.{}", data_encoding::HEXLOWER.encode(&name)));
        let unwritten = || "the alert cannot be written to this address".to_owned();
        let (content, smtputf8) =
            compose::alert(self.writer(), to, (subject, text), &tag, now).ok_or_else(unwritten)?;
        let (kind, recipient, content) = (MailKind::Alert, to.clone(), Bytes::from(content));
        let mail = NewMail { tag, kind, account: None, message: None, recipient, smtputf8, content };
        let mail = self.mail(mail).ok_or_else(unwritten)?;
        self.rooms.store.enqueue(mail, now).await.map_err(|error| error.to_string())?;
        Ok(())
    }

    // ---- sending ----

    /// Sends what is due in tasks of its own, so that a host that answers slowly holds up nobody else.
    async fn send_due(self: &Arc<Self>) -> Result<(), SpoolError> {
        for outgoing in self.rooms.store.due(Clock.wall(), MAILS_MAX).await? {
            let Some(place) = self.take_place(&outgoing) else { continue };
            let office = Arc::clone(self);
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = office.send(&outgoing).await {
                    tracing::error!(id = outgoing.id, %error, "what came of an outgoing mail was not written");
                }
            });
        }
        Ok(())
    }

    /// `None` while this mail is being sent already, or too many are, to its domain or in all.
    fn take_place(self: &Arc<Self>, outgoing: &Outgoing) -> Option<Place> {
        let domain = outgoing.mail.recipient.domain()?.to_string();
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let to_domain = busy.values().filter(|known| **known == domain).count();
        let is_free = busy.len() < SENDING_MAX
            && (to_domain < SENDING_TO_DOMAIN_MAX || self.settings.smart_host.is_some())
            && !busy.contains_key(&outgoing.id);
        is_free.then(|| {
            busy.insert(outgoing.id, domain);
            Place { office: Arc::clone(self), id: outgoing.id }
        })
    }

    async fn send(&self, outgoing: &Outgoing) -> Result<(), SpoolError> {
        let Self { settings, lookup, tls, rooms, .. } = self;
        let sending = Sending { settings, lookup, tls, spool: rooms.spool.as_ref() };
        // Any number does: it spreads mails over hosts of one preference.
        let draw = u32::try_from(outgoing.id).unwrap_or(0).wrapping_add(outgoing.attempts);
        let end = sending.attempt(outgoing, draw, Clock.wall()).await;
        let (kind, to) = (outgoing.mail.kind.as_str(), outgoing.mail.recipient.to_string());
        tracing::info!(id = outgoing.id, kind, to, end = ?end, "outgoing mail was tried");
        self.rooms.store.settle_mail(outgoing.id, end, Clock.wall()).await
    }
}

/// Given back when the attempt is over, however it ends.
struct Place {
    office: Arc<PostOffice>,
    id: i64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.office.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// The registered name of the server that a recipient's mail goes to first.
fn remote_of(directory: &Directory, recipient: &CaseRecipient) -> Option<DomainName> {
    let served = directory.served(recipient.mailbox.domain()?)?;
    let first = directory.endpoint(*served.endpoints.first()?)?;
    Some(first.host.clone())
}

fn digest_row(row: &MessageRow) -> DigestRow {
    let refused = row.recipients.iter().find(|recipient| recipient.state.is_quarantined());
    let more = row.recipients.iter().filter(|recipient| recipient.state.is_quarantined()).count().saturating_sub(1);
    let to = refused.map(|recipient| recipient.mailbox.clone()).unwrap_or_default();
    let why = refused.and_then(|recipient| recipient.last_reply.as_ref()).map(|reply| {
        let code = reply.code.map(|code| format!("{code} ")).unwrap_or_default();
        format!("{code}{}", reply.text)
    });
    DigestRow {
        accepted_at: row.accepted_at,
        from: row.reverse_path.clone(),
        to: if more > 0 { format!("{to} (+{more})") } else { to },
        subject: row.subject.clone(),
        why: why.unwrap_or_default(),
    }
}
