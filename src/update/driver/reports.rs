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

    async fn report(&self, report: AddressReport) -> Word {
        let AddressReport { account, name, v4, v6, peer, device } = report;
        // The key opened this one name: as good as a token for it.
        let token = TokenRecord {
            id: 0,
            account,
            kind: TokenKind::Update,
            host: Some(name.clone()),
            verifier: [0; 32],
            created_at: self.clock.wall(),
            expires_at: None,
        };
        let mut outcome = Outcome::default();
        self.decide_one(&token, Some(&name), Some(Wish::Exactly { v4, v6 }), &mut outcome);
        let outcome = self.carry_out(&token, outcome).await;
        let reason = outcome.reason.unwrap_or(Reason::UnknownHost);
        let asked = Asked { peer, is_encrypted: false, agent: AGENT, query: "" };
        let request = self.request(account, device, asked, name.as_str(), &outcome.words, reason);
        if self.show(request.clone()) {
            // A full queue costs a line on a page after the next restart.
            let _ = self.notes.try_send(Note::Known(request));
        }
        outcome.words.into_iter().next().unwrap_or(Word::Later)
    }
}
