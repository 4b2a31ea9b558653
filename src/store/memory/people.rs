//! Sessions, choices and passwords of people, and public pages of accounts, in memory.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;

use super::{MemoryStore, Tables};
use crate::account::people::AGENT_CHARS_MAX;
use crate::account::store::owner_names;
use crate::account::{AccountError, Change, Choice, NewSession, OpenSession, PeopleStore, Publication, Seen, Tongue};
use crate::base::{AccountId, PersonId, WallTime};

type Changed<T> = Result<T, AccountError>;

/// What is kept of people beside their places.
#[derive(Debug, Default)]
pub(super) struct PeopleRows {
    /// When a session was made, and how it was used last.
    seen: HashMap<[u8; 32], (WallTime, Seen)>,
    choices: BTreeMap<PersonId, Choice>,
    passwords: BTreeMap<PersonId, String>,
    publications: BTreeMap<AccountId, Publication>,
}

impl PeopleRows {
    pub(super) fn seen_at(&self, session: [u8; 32]) -> Option<WallTime> {
        self.seen.get(&session).map(|(_, seen)| seen.at)
    }
}

impl Tables {
    /// As in the engine on disk: what hangs on a person or an account goes with them.
    pub(super) fn prune_people(&mut self) {
        let (people, accounts, rows) = (&self.people, &self.accounts, &mut self.people_rows);
        self.passkeys.retain(|_, passkey| people.contains_key(&passkey.person));
        rows.choices.retain(|person, _| people.contains_key(person));
        rows.passwords.retain(|person, _| people.contains_key(person));
        rows.publications.retain(|account, _| accounts.contains_key(account));
    }

    /// A session that was not there before.
    pub(super) fn insert_session(&mut self, new: &NewSession, change: &Change) -> Changed<()> {
        self.person_name(new.person)?;
        self.sessions.retain(|_, (_, ends)| *ends > change.at);
        if self.sessions.contains_key(&new.secret_hash) {
            return Err(AccountError::LinkSpent);
        }
        self.sessions.insert(new.secret_hash, (new.person, new.expires_at));
        Ok(())
    }

    pub(super) fn note_of_person(&mut self, change: &Change, person: PersonId, what: &str) {
        let places: Vec<AccountId> =
            self.memberships.keys().filter(|(member, _)| *member == person).map(|(_, account)| *account).collect();
        if places.is_empty() {
            self.note(change, None, what.to_owned());
        }
        for account in places {
            self.note(change, Some(account), what.to_owned());
        }
    }
}

#[async_trait]
impl PeopleStore for MemoryStore {
    async fn open_session(&self, new: NewSession, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        tables.insert_session(&new, &change)?;
        tables.note_of_person(&change, new.person, "session.password");
        Ok(())
    }

    async fn see_session(&self, secret_hash: [u8; 32], mut seen: Seen) -> Changed<()> {
        let mut tables = self.tables();
        if !tables.sessions.contains_key(&secret_hash) {
            return Ok(());
        }
        seen.agent = seen.agent.chars().take(AGENT_CHARS_MAX).collect();
        let made_at = tables.people_rows.seen.get(&secret_hash).map_or(seen.at, |(made_at, _)| *made_at);
        tables.people_rows.seen.insert(secret_hash, (made_at, seen));
        Ok(())
    }

    async fn sessions_of(&self, person: PersonId, now: WallTime) -> Changed<Vec<OpenSession>> {
        let tables = self.tables();
        let own = tables.sessions.iter().filter(|(_, (whose, ends))| *whose == person && *ends > now);
        let mut open: Vec<OpenSession> = own
            .map(|(hash, (_, expires_at))| {
                let known = tables.people_rows.seen.get(hash);
                OpenSession {
                    secret_hash: *hash,
                    expires_at: *expires_at,
                    made_at: known.map(|(made_at, _)| *made_at),
                    seen: known.map(|(_, seen)| seen.clone()),
                }
            })
            .collect();
        open.sort_by_key(|session| (std::cmp::Reverse(session.seen.as_ref().map(|seen| seen.at)), session.secret_hash));
        Ok(open)
    }

    async fn end_sessions(&self, person: PersonId, which: Vec<[u8; 32]>, change: Change) -> Changed<u64> {
        let mut tables = self.tables();
        let before = tables.sessions.len();
        tables.sessions.retain(|hash, (whose, _)| *whose != person || !which.contains(hash));
        let ended = before - tables.sessions.len();
        if ended > 0 {
            tables.note_of_person(&change, person, &format!("session.end {ended}"));
        }
        Ok(ended as u64)
    }

    async fn choice_of(&self, person: PersonId) -> Changed<Choice> {
        Ok(self.tables().people_rows.choices.get(&person).copied().unwrap_or_default())
    }

    async fn set_choice(&self, person: PersonId, new: Choice, change: Change) -> Changed<()> {
        let mut tables = self.tables();
        tables.person_name(person)?;
        if tables.people_rows.choices.get(&person).copied().unwrap_or_default() == new {
            return Ok(());
        }
        tables.people_rows.choices.insert(person, new);
        let (tongue, zone) = (new.tongue.map(Tongue::as_str), new.zone.map(chrono_tz::Tz::name));
        let what = format!("person.choice {} {}", tongue.unwrap_or("auto"), zone.unwrap_or("auto"));
        tables.note_of_person(&change, person, &what);
        Ok(())
    }

    async fn password_of(&self, name: &str) -> Changed<Option<(PersonId, String)>> {
        let tables = self.tables();
        let owner = owner_names(name).next().unwrap_or_default();
        let has_password = |text: &str| {
            let person = tables.people.values().find(|person| person.name == text)?.id;
            tables.people_rows.passwords.get(&person).map(|hash| (person, hash.clone()))
        };
        Ok(has_password(name).or_else(|| has_password(&owner)))
    }

    async fn has_password(&self, person: PersonId) -> Changed<bool> {
        Ok(self.tables().people_rows.passwords.contains_key(&person))
    }

    async fn set_password(
        &self,
        person: PersonId,
        hash: Option<String>,
        keep: [u8; 32],
        change: Change,
    ) -> Changed<()> {
        let mut tables = self.tables();
        tables.person_name(person)?;
        let what = match hash {
            Some(hash) => {
                tables.people_rows.passwords.insert(person, hash);
                "password.set"
            }
            None => {
                tables.people_rows.passwords.remove(&person);
                "password.remove"
            }
        };
        tables.sessions.retain(|session, (whose, _)| *whose != person || *session == keep);
        tables.note_of_person(&change, person, what);
        Ok(())
    }

    async fn publication(&self, account: AccountId) -> Changed<Option<Publication>> {
        Ok(self.tables().people_rows.publications.get(&account).cloned())
    }

    async fn set_publication(
        &self,
        account: AccountId,
        publication: Option<Publication>,
        change: Change,
    ) -> Changed<()> {
        let mut tables = self.tables();
        tables.require_account(account)?;
        let removed = tables.people_rows.publications.remove(&account);
        let what = match publication {
            Some(new) => {
                tables.people_rows.publications.insert(account, new);
                "public.on"
            }
            None if removed.is_none() => return Ok(()),
            None => "public.off",
        };
        tables.note(&change, Some(account), what.to_owned());
        Ok(())
    }

    async fn published_page(&self, page_id: &str) -> Changed<Option<AccountId>> {
        let tables = self.tables();
        let mut pages = tables.people_rows.publications.iter();
        Ok(pages.find(|(_, page)| page.page_id == page_id).map(|(account, _)| *account))
    }

    async fn published_badge(&self, badge_id: &str) -> Changed<Option<AccountId>> {
        let tables = self.tables();
        let mut pages = tables.people_rows.publications.iter();
        Ok(pages.find(|(_, page)| page.badge_id == badge_id).map(|(account, _)| *account))
    }
}
