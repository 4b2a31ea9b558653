//! What a primary gets beside the message as it was taken: another domain in forward-paths, a word about the sender. The
//! content is never touched.

use async_trait::async_trait;

use crate::account::Rewrite;
use crate::base::{DomainName, Mailbox};
use crate::spool::Claimed;

/// Vouches for senders towards primaries that trust us.
#[async_trait]
pub trait Voucher: Send + Sync {
    /// Header lines that go before our trace fields, each with its CRLF; none where nothing is known in time.
    async fn lines(&self, message: &Claimed, authserv: &DomainName) -> Vec<u8>;
}

/// The message with the domain of its forward-paths replaced; `None` where none is concerned.
#[must_use]
pub fn rewritten(message: &Claimed, rewrite: &Rewrite) -> Option<Claimed> {
    let is_concerned = |mailbox: &Mailbox| mailbox.domain() == Some(&rewrite.from);
    if !message.recipients.iter().any(|recipient| is_concerned(&recipient.mailbox)) {
        return None;
    }
    let mut message = message.clone();
    for recipient in message.recipients.iter_mut().filter(|recipient| is_concerned(&recipient.mailbox)) {
        // What was a mailbox is one in the other domain as well; the local part stays as it was written.
        if let Ok(mailbox) = Mailbox::parse(&format!("{}@{}", recipient.mailbox.local_part, rewrite.to), true) {
            recipient.mailbox = mailbox;
        }
    }
    Some(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ReversePath, SpoolId, WallTime};
    use crate::spool::{BodyType, ClaimedRecipient, MessageDsn, RecipientDsn};

    fn message(recipients: &[&str]) -> Claimed {
        Claimed {
            id: SpoolId::from_i64(1),
            accepted_at: WallTime::UNIX_EPOCH,
            reverse_path: ReversePath::Null,
            smtputf8: false,
            requires_tls: false,
            body: BodyType::SevenBit,
            dsn: MessageDsn::default(),
            trace: bytes::Bytes::new(),
            sha256: [0; 32],
            octets: 0,
            chunks: 0,
            peer: std::net::Ipv4Addr::LOCALHOST.into(),
            helo: String::new(),
            recipients: (0u32..)
                .zip(recipients)
                .map(|(ordinal, mailbox)| ClaimedRecipient {
                    ordinal,
                    mailbox: Mailbox::parse(mailbox, true).unwrap(),
                    dsn: RecipientDsn::default(),
                    attempts: 0,
                    refusals: 0,
                    is_known_good: false,
                })
                .collect(),
        }
    }

    #[test]
    fn the_domain_of_a_forward_path_is_replaced_and_nothing_else() {
        let rewrite = Rewrite {
            from: DomainName::parse("firma.dyn.example").unwrap(),
            to: DomainName::parse("firma.example").unwrap(),
        };
        let taken = message(&["User1+x@FIRMA.dyn.example", "\"a b\"@firma.dyn.example", "c@other.example"]);
        let dressed = rewritten(&taken, &rewrite).unwrap();
        let said: Vec<String> = dressed.recipients.iter().map(|recipient| recipient.mailbox.to_string()).collect();
        assert_eq!(said, ["User1+x@firma.example", "\"a b\"@firma.example", "c@other.example"]);
        assert_eq!((dressed.sha256, dressed.trace), (taken.sha256, taken.trace));
        assert!(rewritten(&message(&["c@other.example", "d@sub.firma.dyn.example"]), &rewrite).is_none());
    }
}
