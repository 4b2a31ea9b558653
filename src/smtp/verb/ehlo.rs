//! EHLO and HELO: who are you, and what do we offer? (RFC 5321 §4.1.1.1)

use crate::smtp::reply;
use crate::smtp::session::{Greeting, Session, State, World};

impl Session {
    /// Also ends an open transaction (RFC 5321 §4.1.4).
    pub(in crate::smtp) fn ehlo(&mut self, name: String, world: &dyn World) {
        self.forget_content();
        self.state = State::Greeted(Greeting { name, is_extended: true });
        let offers_auth = self.offers_auth(world);
        self.say(&reply::ehlo(&self.settings.hostname, self.octets_max(world), &self.security, offers_auth));
    }

    /// Largest message that can come to any of our customers, octets.
    pub(super) fn octets_max(&self, world: &dyn World) -> u64 {
        let own = self.settings.message_octets_max.0;
        world.directory().primary_octets_max().map_or(own, |theirs| own.min(theirs))
    }

    pub(in crate::smtp) fn helo(&mut self, name: String) {
        self.forget_content();
        self.state = State::Greeted(Greeting { name, is_extended: false });
        self.say(&reply::helo(&self.settings.hostname));
    }
}
