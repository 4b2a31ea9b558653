//! What the DNS says of a sender: SPF, DKIM, DMARC, ARC and the name of its address, asked after a message is ours.
//!
//! ```text
//! commit -> Checker (bounded queue) -> question (resolver, mail-auth) -> Verdict -> VerdictStore
//! ```
//!
//! Nothing here delays the reply to a sender and nothing changes an octet: a verdict is a note beside the message. Whether
//! a bounce may go to a sender is answered from it, and only by [`authenticates_sender`].

pub mod authenticated;
pub mod content;
pub mod driver;
pub mod finding;
pub mod lanes;
pub mod question;
pub mod settings;
pub mod store;

pub use authenticated::{SenderCircumstances, authenticates_sender};
pub use driver::{CheckCounts, Checker};
pub use finding::{DkimFinding, DmarcFinding, Finding, IprevFinding, SpfFinding, Verdict};
pub use settings::Settings;
pub use store::{Subject, VerdictStore};
