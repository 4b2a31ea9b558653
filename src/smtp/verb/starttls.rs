//! STARTTLS: from here on nobody on the way reads along (RFC 3207 §4).

use bytes::BytesMut;

use crate::smtp::reply;
use crate::smtp::session::{Security, Session, State};

impl Session {
    /// `behind` is what was read behind the command. A peer waits for the 220 (RFC 3207 §4.1); octets that are there
    /// already were put in by somebody on the way, or by a client that could be made to: the session ends.
    pub(in crate::smtp) fn starttls(&mut self, behind: &BytesMut) {
        match self.security {
            Security::Plain { offers_tls: true } => {}
            Security::Plain { offers_tls: false } => return self.refuse(&reply::NO_TLS),
            Security::Tls { .. } => return self.refuse(&reply::TLS_ALREADY),
        }
        if matches!(self.state, State::Fresh) {
            return self.refuse(&reply::EHLO_FIRST);
        }
        if !behind.is_empty() {
            tracing::warn!(peer = %self.peer, "octets behind STARTTLS before the handshake, session closed");
            return self.close(&reply::TLS_INJECTION);
        }
        self.say(&reply::START_TLS);
        self.forget_content();
        self.state = State::Handshake;
    }
}
