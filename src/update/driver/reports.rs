//! Names for the name server: what it shows of them, and reports of addresses that came over DNS.

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::answers::Outcome;
use super::{Asked, Note, Updates};
use crate::base::{AccountId, DomainName};
use crate::update::decide::Wish;
use crate::update::ledger::Owned;
use crate::update::model::{HostName, Policy, TokenKind, TokenRecord};
use crate::update::names::{AddressReport, Names, NamesChanged};
use crate::update::reason::Reason;
use crate::update::word::Word;

/// What the page shows in place of what a device calls itself.
const AGENT: &str = "DNS update";

#[async_trait]
impl Names for Updates {
    fn all(&self) -> (Vec<HostName>, Vec<(AccountId, Policy)>) {
        self.inner().ledger.all()
    }

    fn subscribe(&self) -> broadcast::Receiver<NamesChanged> {
        self.changes.subscribe()
    }

    fn host(&self, name: &DomainName, account: AccountId) -> Option<HostName> {
        match self.inner().ledger.host(name, account, &self.directory.load()) {
            Owned::Own(host) => Some(*host),
            Owned::Others | Owned::Nobody => None,
        }
    }

    async fn report(&self, reports: Vec<AddressReport>) -> Word {
        let mut decided = Vec::with_capacity(reports.len());
        let mut whole = Outcome::default();
        for AddressReport { account, name, v4, v6, peer, device } in reports {
            let token = self.key_token(account, &name);
            let mut outcome = Outcome::default();
            self.decide_one(&token, Some(&name), Some(Wish::Exactly { v4, v6 }), &mut outcome);
            let (word, reason) = (outcome.words.first().cloned().unwrap_or(Word::Later), outcome.reason);
            whole.take_in(outcome);
            let is_refused = !word.is_success();
            decided.push((token, name, peer, device, word, reason.unwrap_or(Reason::UnknownHost)));
            if is_refused {
                break;
            }
        }
        let Some((token, .., word, reason)) = decided.last() else { return Word::Later };
        let (mut last, mut why) = (word.clone(), *reason);
        if last.is_success() {
            let stored = self.carry_out(token, whole).await;
            if stored.words == [Word::Later] {
                (last, why) = (Word::Later, stored.reason.unwrap_or(Reason::NotStored));
            }
        } else {
            self.undo(&whole);
        }
        let is_done = last.is_success();
        for (token, name, peer, device, word, reason) in decided {
            // What would have been done fails with the rest.
            let (word, reason) = if is_done || !word.is_success() { (word, reason) } else { (last.clone(), why) };
            let asked = Asked { peer, is_encrypted: false, agent: AGENT, query: "" };
            let request = self.request(token.account, device, asked, name.as_str(), &[word], reason);
            if self.show(request.clone()) {
                // A full queue costs a line on a page after the next restart.
                let _ = self.notes.try_send(Note::Known(request));
            }
        }
        last
    }
}

impl Updates {
    /// The key opened this one name: as good as a token for it.
    fn key_token(&self, account: AccountId, name: &DomainName) -> TokenRecord {
        TokenRecord {
            id: 0,
            account,
            kind: TokenKind::Update,
            host: Some(name.clone()),
            verifier: [0; 32],
            created_at: self.clock.wall(),
            expires_at: None,
        }
    }
}
