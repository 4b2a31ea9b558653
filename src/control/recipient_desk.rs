//! Carries out the commands about recipients.

use super::desk::{Desk, find};
use super::reply::{CommandError, RecipientDomainShown, RecipientsShown, Reply};
use super::request::RecipientRequest;
use crate::account::{Account, AccountName, Change, Directory};
use crate::base::{DomainName, Mailbox, WallTime};
use crate::recipient::model::LIST_FRESH_FOR;
use crate::recipient::{DomainRow, Judgement, Knowledge, RecipientError, list};

impl From<RecipientError> for CommandError {
    fn from(error: RecipientError) -> Self {
        Self::of(&error, matches!(error, RecipientError::Engine(_)))
    }
}

fn own<'a>(directory: &'a Directory, account: &'a Account) -> impl Fn(&DomainName) -> bool + 'a {
    |domain| directory.served(domain).is_some_and(|served| served.account.id == account.id)
}

fn require_own(directory: &Directory, account: &Account, domain: &DomainName) -> Result<(), CommandError> {
    if own(directory, account)(domain) {
        return Ok(());
    }
    Err(CommandError::new(format!("{domain} is no domain of {}; see `pulsemx account show`", account.name)))
}

fn done(message: String) -> Reply {
    Reply::Done { message, warnings: Vec::new() }
}

impl Desk {
    /// Carries out a command about recipients on behalf of whoever `by` names.
    ///
    /// # Errors
    /// [`CommandError`] with one sentence.
    pub async fn carry_out_recipients(&self, request: RecipientRequest, by: Change) -> Result<Reply, CommandError> {
        let now = by.at;
        let directory = self.directory.load();
        match request {
            RecipientRequest::Import { account, list, domain, hash_key } => {
                let running = self.running()?;
                let account = find(&directory, &account)?;
                let key = hash_key.as_deref().map(str::as_bytes);
                let lists = list::parse(&list, &own(&directory, account), domain.as_ref(), key)
                    .map_err(|error| CommandError::new(error.to_string()))?;
                let told: Vec<String> =
                    lists.iter().map(|(domain, list)| format!("{} of {domain}", list.entries.len())).collect();
                running.recipients.replace_lists(account.id, lists, &by).await?;
                Ok(done(format!("recipients listed: {}", told.join(", "))))
            }
            RecipientRequest::List { account, domain, after, limit } => {
                let account = find(&directory, &account)?;
                self.list_recipients(&directory, account, domain, after, limit, now).await
            }
            RecipientRequest::Check { account, address } => self.check_recipient(&directory, &account, &address, now),
            RecipientRequest::Forget { account, domain } => {
                let running = self.running()?;
                let account = find(&directory, &account)?;
                require_own(&directory, account, &domain)?;
                running.recipients.forget_list(account.id, domain.clone(), by).await?;
                Ok(done(format!(
                    "the list of {domain} is forgotten: while the server is away its rule for strangers holds, or smtp.unknown_recipients"
                )))
            }
            RecipientRequest::Set { account, domain, unknown, separator } => {
                let running = self.running()?;
                let account = find(&directory, &account)?;
                require_own(&directory, account, &domain)?;
                let mut policy = running.recipients.policy(account.id, &domain);
                policy.unknown = unknown.unwrap_or(policy.unknown);
                if let Some(separator) = separator {
                    policy.separator = separator.chars().next().filter(|_| separator != "none");
                }
                let words = format!(
                    "{domain}: unknown recipients {}, detail behind {}",
                    policy.unknown.as_str(),
                    policy.separator.map_or_else(|| "nothing".to_owned(), String::from)
                );
                running.recipients.set_policy(account.id, domain, policy, by).await?;
                Ok(done(words))
            }
        }
    }

    async fn list_recipients(
        &self,
        directory: &Directory,
        account: &Account,
        domain: Option<DomainName>,
        after: Option<String>,
        limit: u32,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        if let Some(domain) = &domain {
            require_own(directory, account, domain)?;
        }
        let rows = self.recipients.load_recipients(now).await?;
        let is_own = |row: &DomainRow, name: &DomainName| row.account == account.id && row.domain == *name;
        let domains = directory.domains_of(account.id).into_iter().map(|served| {
            let known = rows.domains.iter().find(|(row, _)| is_own(row, &served.name));
            let learned = rows.learned.iter().filter(|l| l.account == account.id && l.domain == served.name);
            let (accepted, refused): (Vec<_>, Vec<_>) = learned.partition(|learned| learned.is_accepted);
            let row = known.map(|(row, _)| row);
            RecipientDomainShown {
                domain: served.name.clone(),
                listed: known.map_or(0, |(_, entries)| super::desk::len(entries.len())),
                list_at: row.and_then(|row| row.list_at),
                is_stale: row.and_then(|row| row.list_at).is_some_and(|at| at + LIST_FRESH_FOR <= now),
                accepted: super::desk::len(accepted.len()),
                refused: super::desk::len(refused.len()),
                unknown: row.map(|row| row.policy.unknown).unwrap_or_default(),
                separator: row.and_then(|row| row.policy.separator),
                takes_everybody: row.and_then(|row| row.call_out).map(|said| said.takes_everybody),
            }
        });
        let domains = domains.collect();
        let entries = match domain {
            Some(domain) => self.recipients.list_entries(account.id, domain, after, limit).await?,
            None => Vec::new(),
        };
        Ok(Reply::Recipients(RecipientsShown {
            account: account.name.clone(),
            domains,
            entries: entries.iter().map(ToString::to_string).collect(),
        }))
    }

    fn check_recipient(
        &self,
        directory: &Directory,
        account: &AccountName,
        address: &str,
        now: WallTime,
    ) -> Result<Reply, CommandError> {
        let running = self.running()?;
        let account = find(directory, account)?;
        let mailbox = Mailbox::parse(address, true).map_err(|error| CommandError::new(error.to_string()))?;
        let domain = mailbox.domain().ok_or_else(|| CommandError::new("say name@domain"))?;
        require_own(directory, account, domain)?;
        let because = match running.recipients.knowledge(account.id, &mailbox) {
            Knowledge::Listed => "it is on the list",
            Knowledge::Accepted => "the mail server accepted it",
            Knowledge::Refused => "the mail server refused it a moment ago",
            Knowledge::Covered => "a pattern of the list covers it",
            Knowledge::Unlisted => "it is not on the list",
            Knowledge::Doubtful => "it is not on the list, and the list is older than 7 days",
            Knowledge::Unknown if running.recipients.takes_everybody(account.id, domain) => {
                "there is no list for this domain, and its mail server takes everybody"
            }
            Knowledge::Unknown => "there is no list for this domain",
        };
        let judged = running.recipients.book().read().judge(account.id, domain, &mailbox.local_part, false, now);
        let said = match judged {
            Judgement::Accept => "taken",
            Judgement::Defer => "put off (450 4.1.1)",
            Judgement::Reject => "refused (550 5.1.1)",
        };
        Ok(done(format!("{mailbox} is {said} while the mail server is away: {because}")))
    }
}
