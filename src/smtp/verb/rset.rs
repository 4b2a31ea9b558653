//! RSET: the open transaction is forgotten (RFC 5321 §4.1.1.5).

use crate::smtp::reply;
use crate::smtp::session::{Session, State};

impl Session {
    pub(in crate::smtp) fn rset(&mut self) {
        self.forget_content();
        self.state = match std::mem::replace(&mut self.state, State::Closed) {
            State::Transaction(greeting, _) | State::Chunks(greeting, ..) => State::Greeted(greeting),
            state @ (State::Fresh
            | State::Greeted(_)
            | State::Content(..)
            | State::Swallow(_)
            | State::Committing(..)
            | State::Handshake
            | State::Closed) => state,
        };
        self.say(&reply::OK);
    }
}
