//! The spool: which states a stored message may have, and who may deliver it now.
//!
//! A message is ours from the moment [`SpoolStore::intake_commit`] has returned `Ok` and until each of its
//! recipients has reached an end. Nothing is deleted on an error.

pub mod dsn;
pub mod hold;
pub mod message;
pub mod notice;
pub mod search;
pub mod state;
pub mod store;

pub use dsn::{DsnValueError, MessageDsn, Notify, RecipientDsn, Return};
pub use hold::{DotNote, Expiry, ExpiryTerms, Hold, HoldKind, HoldKindError, OldestWaiting, Ruling};
pub use message::{BodyType, Claimed, ClaimedRecipient, HeaderSummary, NewMessage, NewRecipient};
pub use notice::{AttemptRow, NoticeKind, NoticeKindError, NoticeRow, Trace, Via};
pub use search::{SearchPage, SearchQuery, Words};
pub use state::{DeliveryReply, Outcome, RecipientState, RecipientStateError};
pub use store::{
    CANARY_ROWS_MAX, ClaimOrder, ClaimQuery, CommitError, IntakeStatus, ListCursor, ListPage, ListQuery, MessageDetail,
    MessageRow, RecipientRow, Recovered, Report, RetrySelection, SpoolError, SpoolStore, StateFilter, Tally, Usage,
};

/// Octets of one stored piece of content, at most. A body is never in memory whole: a session holds one piece.
pub const CHUNK_OCTETS_MAX: usize = 64 * 1024;
