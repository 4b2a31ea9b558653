//! What does it mean that a connection did not come about? Never the fate of a message.

use crate::delivery::identity::Doubt;
use crate::delivery::stream::StreamError;
use crate::delivery::wire::Reply;

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenFailure {
    /// Nobody answers, or the answer broke off.
    #[error("{0}")]
    Unreachable(String),
    /// The server asks for patience.
    #[error("the server defers us: {0}")]
    Busy(String),
    /// Somebody else answers, or ours refuses us: all mail is held.
    #[error("this does not look like the customer's mail server: {0}")]
    Identity(String),
    /// It has another key than the one that was trusted before.
    #[error("this is not the customer's mail server: {0}")]
    Stranger(Doubt),
    /// STARTTLS was offered and the handshake failed; the next connection is plain.
    #[error("the TLS handshake failed, the next connection is in plain text: {0}")]
    Handshake(String),
}

impl OpenFailure {
    /// Judges a reply on first contact that is no 2yz.
    #[must_use]
    pub fn of_reply(step: &str, reply: &Reply) -> Self {
        let words = format!("{step} was answered with {} {}", reply.code, reply.text());
        match reply.class() {
            4 => Self::Busy(words),
            _ => Self::Identity(words),
        }
    }

    /// Judges a stream that broke on first contact: a peer that speaks something else is somebody else.
    #[must_use]
    pub fn of_stream(step: &str, error: &StreamError) -> Self {
        let words = format!("{step}: {error}");
        match error {
            StreamError::Io(_) | StreamError::Closed => Self::Unreachable(words),
            StreamError::Wire(_) => Self::Identity(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::wire::WireError;

    #[test]
    fn a_refusal_on_first_contact_is_a_matter_of_identity() {
        let reply = |code| Reply { code, lines: vec!["x".to_owned()] };
        assert!(matches!(OpenFailure::of_reply("the greeting", &reply(554)), OpenFailure::Identity(_)));
        assert!(matches!(OpenFailure::of_reply("the greeting", &reply(421)), OpenFailure::Busy(_)));
        let malformed = StreamError::Wire(WireError::Malformed);
        assert!(matches!(OpenFailure::of_stream("the greeting", &malformed), OpenFailure::Identity(_)));
        assert!(matches!(OpenFailure::of_stream("the greeting", &StreamError::Closed), OpenFailure::Unreachable(_)));
    }
}
