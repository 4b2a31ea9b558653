//! One transaction of a sender who waits, command by command: the replies are the sender's as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{BodyEnd, Connection, Lost, Pieces, Unsaid};
use crate::base::Mailbox;
use crate::delivery::dialogue::{Script, Unsendable, script};
use crate::delivery::outcome::Verdict;
use crate::delivery::wire::{Capabilities, Reply};
use crate::spool::{Claimed, ClaimedRecipient, DeliveryReply};

/// What came of the content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Passed {
    /// The server's final reply.
    Replied(Reply),
    /// Another reply than 354 to DATA: no content was sent.
    NotWanted(Reply),
    /// The connection is over.
    Lost(DeliveryReply),
    /// The message must not leave as it is, or the server spoke in the middle of it.
    Withheld(Verdict),
}

/// Why a transaction did not begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotBegun {
    /// The connection is over.
    Lost(DeliveryReply),
    /// The message cannot be offered to this server.
    Unsendable(Unsendable),
}

impl Connection {
    /// Whether the server judges the sender and not us.
    #[must_use]
    pub const fn is_client_handed_on(&self) -> bool {
        self.client.is_some()
    }

    /// Set once the final dot may have been sent.
    #[must_use]
    pub fn dot_sent(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.dot_sent)
    }

    /// Tells who the sender is and says MAIL for this message, of which only envelope and client are known.
    /// `knows_octets`: its size is, too.
    ///
    /// # Errors
    /// [`NotBegun`]; after [`NotBegun::Lost`] the connection is of no use.
    pub async fn begin_passing(&mut self, message: &Claimed, knows_octets: bool) -> Result<Reply, NotBegun> {
        let lost = |Lost(why): Lost| NotBegun::Lost(why);
        self.dot_sent.store(false, Ordering::Release);
        self.reset().await.map_err(lost)?;
        match self.hand_on(message).await {
            Ok(()) => {}
            Err(Unsaid::Lost(Lost(why)) | Unsaid::Refused(why)) => return Err(NotBegun::Lost(why)),
        }
        let Script { mail, .. } = self.script(message, &[], knows_octets)?;
        let reply = self.ask(mail, self.timeouts.mail).await.map_err(lost)?;
        self.needs_rset = reply.class() == 2;
        Ok(reply)
    }

    /// Says RCPT.
    ///
    /// # Errors
    /// As of [`begin_passing`](Self::begin_passing).
    pub async fn pass_recipient(&mut self, message: &Claimed, recipient: &ClaimedRecipient) -> Result<Reply, NotBegun> {
        let said = self.script(message, &[recipient], false)?.rcpts.concat();
        self.ask(said, self.timeouts.rcpt).await.map_err(|Lost(why)| NotBegun::Lost(why))
    }

    /// DATA, content and final dot.
    pub async fn pass_content(&mut self, message: &Claimed, pieces: &dyn Pieces) -> Passed {
        let data = lettre::transport::smtp::commands::Data.to_string();
        match self.ask(data, self.timeouts.data).await {
            Ok(reply) if reply.class() == 3 => {}
            Ok(reply) => return Passed::NotWanted(reply),
            Err(Lost(why)) => return Passed::Lost(why),
        }
        match self.body(message, pieces, None).await {
            BodyEnd::Replied(reply) => {
                self.needs_rset = false;
                Passed::Replied(reply)
            }
            BodyEnd::Lost(Lost(why)) => Passed::Lost(why),
            BodyEnd::Withheld(verdict) => Passed::Withheld(verdict),
            BodyEnd::NotNoted => Passed::Lost(crate::delivery::outcome::silence("nothing can be written now")),
        }
    }

    /// Ends the transaction, so that another one may begin. False if the connection is of no use any more.
    pub async fn end_passing(&mut self) -> bool {
        self.reset().await.is_ok()
    }

    /// Whether it took a message in this connection.
    #[must_use]
    pub const fn has_taken_mail(&self) -> bool {
        self.has_taken_mail
    }

    /// Asks whether mail for `stranger` would be taken, in a transaction that ends there. Whether it would; nothing where the
    /// reply tells nothing of the address.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn call_out(&mut self, stranger: &Mailbox) -> Result<Option<bool>, DeliveryReply> {
        let lost = |Lost(why): Lost| why;
        self.reset().await.map_err(lost)?;
        let mail = self.ask("MAIL FROM:<>\r\n".to_owned(), self.timeouts.mail).await.map_err(lost)?;
        if mail.class() != 2 {
            return Ok(None);
        }
        self.needs_rset = true;
        let said = self.ask(format!("RCPT TO:<{stranger}>\r\n"), self.timeouts.rcpt).await.map_err(lost)?;
        self.reset().await.map_err(lost)?;
        Ok(takes_everybody(&said))
    }

    fn script(
        &self,
        message: &Claimed,
        recipients: &[&ClaimedRecipient],
        knows_octets: bool,
    ) -> Result<Script, NotBegun> {
        let size = self.offered.size.filter(|_| knows_octets);
        script(message, recipients, Capabilities { size, ..self.offered }).map_err(NotBegun::Unsendable)
    }
}

/// What the reply to an address that nobody has tells: a yes, a clear "no such mailbox", or nothing (RFC 3463 §3.2).
fn takes_everybody(said: &Reply) -> Option<bool> {
    match (said.class(), said.enhanced()) {
        (2, _) => Some(true),
        (5, Some("5.1.1" | "5.1.2" | "5.1.10")) => Some(false),
        (5, None) if matches!(said.code, 550 | 551 | 553) => Some(false),
        _ => None,
    }
}
