//! A case for the tests of this room.

use super::model::{Case, CaseRecipient};
use crate::base::{AccountId, Mailbox, ReversePath, SpoolId, WallTime};
use crate::spool::{DeliveryReply, HeaderSummary, MessageDsn, NoticeKind, RecipientDsn, RecipientState};
use crate::verdict::{Finding, SpfFinding, Verdict};

pub(super) fn at(second: i64) -> WallTime {
    chrono::DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

pub(super) fn spf(domain: &str) -> Verdict {
    Verdict { spf: SpfFinding { finding: Finding::Pass, domain: domain.to_owned() }, ..Verdict::default() }
}

pub(super) fn recipient(ordinal: u32, mailbox: &str, code: u16, text: &str) -> CaseRecipient {
    CaseRecipient {
        ordinal,
        account: AccountId(1),
        mailbox: Mailbox::parse(mailbox, true).unwrap(),
        dsn: RecipientDsn::default(),
        state: RecipientState::Refused,
        reply: Some(DeliveryReply { code: Some(code), text: text.to_owned() }),
        last_attempt_at: Some(at(60)),
    }
}

/// One refused recipient, an authenticated sender.
pub(super) fn case() -> Case {
    Case {
        message: SpoolId::from_i64(7),
        kind: NoticeKind::Failed,
        first_at: at(60),
        is_unfinished: false,
        accepted_at: at(0),
        reverse_path: ReversePath::parse("alice@sender.example", false).unwrap(),
        smtputf8: false,
        dsn: MessageDsn::default(),
        is_automatic: false,
        header: HeaderSummary {
            subject: " Angebot".to_owned(),
            from: " Alice <alice@sender.example>".to_owned(),
            message_id: " <1@sender.example>".to_owned(),
            is_bulk: false,
        },
        chunks: 1,
        verdict: Some(spf("sender.example")),
        recipients: vec![recipient(0, "bob@firma.example", 550, "5.1.1 no such user")],
    }
}
