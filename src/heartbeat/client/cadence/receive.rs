//! Which of the server's datagrams a client believes, and what follows from them (docs/PROTOCOL.md §8).

use super::{CHECKS_MAX, Client, Echo, INTERVAL_MAX, INTERVAL_MIN, Mode, STAY, SUPERSEDED_EVERY};
use crate::base::Moment;
use crate::heartbeat::client::event::ClientEvent;
use crate::heartbeat::client::fallback::Way;
use crate::heartbeat::client::news::NewsNumber;
use crate::heartbeat::client::sent::{REPLY_WITHIN, Sent};
use crate::heartbeat::datagram::{
    self, COPY_MAX, Challenge, ClientBody, ClientDatagram, Reason, Reply, ReplyFlags, ReplyState, ServerDatagram,
};

impl Client {
    /// Whether the octets were the server's and for something that was sent this way.
    pub(super) fn handle_octets(&mut self, octets: &[u8], way: Way, now: Moment) -> bool {
        if !self.keys.s2c.vouches_for_server(octets, self.boot, self.keys.locator) {
            return false;
        }
        match ServerDatagram::decode(octets) {
            Some(ServerDatagram::Reply(reply)) => self.handle_reply(&reply, way, now),
            Some(ServerDatagram::Challenge(challenge)) => self.handle_challenge(&challenge, way, now),
            None => false,
        }
    }

    fn handle_reply(&mut self, reply: &Reply, way: Way, now: Moment) -> bool {
        let Some(Sent { beat, news, .. }) = self.sent.take(reply.seq, way, now) else { return false };
        if self.fallback.handle_reply(way, now) {
            self.events.push_back(ClientEvent::WayChanged(way));
        }
        self.accept_reply(reply, beat, news, now);
        true
    }

    fn accept_reply(&mut self, reply: &Reply, beat: u64, news: NewsNumber, now: Moment) {
        self.waiting_since = None;
        self.fallback.handle_window(datagram::from_centiseconds(reply.neutralised_after_cs));
        self.learn_time(reply.server_time, reply.seq, now);
        self.last_heard = now;
        self.unanswered = 0;
        self.is_calm = reply.flags.has(ReplyFlags::CALM);
        self.events.push_back(ClientEvent::Replied(*reply));
        if let Mode::Leaving { .. } = self.mode {
            if reply.flags.has(ReplyFlags::GOODBYE_DONE) {
                self.end(true);
            }
            return;
        }
        if reply.flags.has(ReplyFlags::SUPERSEDED) {
            self.handle_superseded(reply.state, now);
            return;
        }
        if reply.flags.has(ReplyFlags::MORE) {
            self.events.push_back(ClientEvent::MoreToFetch);
        }
        if reply.endpoint_index != STAY {
            self.events.push_back(ClientEvent::EndpointOrdered(reply.endpoint_index));
        }
        self.mode = Mode::Running;
        self.has_changed = false;
        if reply.flags.has(ReplyFlags::PROVEN) {
            self.proven = Some(reply.observed.ip());
        }
        if !self.keeps && reply.interval_cs > 0 {
            self.interval = datagram::from_centiseconds(reply.interval_cs).clamp(INTERVAL_MIN, INTERVAL_MAX);
        }
        self.place_next_beat(reply, beat, now);
        if reply.flags.has(ReplyFlags::PROVEN) {
            self.go_on_with_news(news, now);
        }
    }

    /// The beat that is answered sets the time of the next.
    fn place_next_beat(&mut self, reply: &Reply, beat: u64, now: Moment) {
        let Some(current) = self.beat.as_mut().filter(|current| current.number == beat) else { return };
        if !current.is_answered {
            current.is_answered = true;
            let first_sent = current.first_sent;
            let next = datagram::from_centiseconds(reply.next_cs).clamp(self.interval * 3 / 5, self.interval);
            self.next_beat = self.a_little_before(first_sent + next).max(now);
        }
    }

    /// The server knows the run and took this piece of news: the next piece follows at once.
    fn go_on_with_news(&mut self, told: NewsNumber, now: Moment) {
        let was_open = std::mem::replace(&mut self.is_open, true);
        self.news.handle_told(told);
        if (!was_open || told > 0) && self.news.next().is_some() {
            self.send_soon(now);
        }
    }

    fn handle_superseded(&mut self, state: ReplyState, now: Moment) {
        self.beat = None;
        if state == ReplyState::Offline {
            self.mode = Mode::Running;
            self.renew_boot();
            self.next_beat = now;
            return;
        }
        if self.mode != Mode::Superseded {
            self.mode = Mode::Superseded;
            self.events.push_back(ClientEvent::Superseded);
        }
        self.next_beat = now + SUPERSEDED_EVERY;
    }

    fn handle_challenge(&mut self, challenge: &Challenge, way: Way, now: Moment) -> bool {
        if self.mode == Mode::Ended {
            return false;
        }
        let (beat, copy) = if challenge.seq == 0 {
            let is_proven = self.proven == Some(challenge.observed.ip()) && challenge.path == self.path;
            let is_ours = challenge.reason == Reason::OldAddress && is_proven;
            self.checks.retain(|at| now.since(*at) < REPLY_WITHIN);
            if !is_ours || self.checks.len() >= CHECKS_MAX {
                return false;
            }
            self.checks.push_back(now);
            (self.beats, 0)
        } else {
            let Some(Sent { beat, copy, .. }) = self.sent.take(challenge.seq, way, now) else { return false };
            self.learn_time(challenge.server_time, challenge.seq, now);
            self.hear_again(now);
            if challenge.reason == Reason::BootUnknown {
                self.is_open = false;
                self.news.tell_again();
            }
            (beat, copy)
        };
        let mut header = self.header(copy, now);
        (header.echo, header.hold_ms) = (challenge.server_time, 0);
        let seen = challenge.observed.ip();
        let body = ClientBody::Answer { cookie: challenge.cookie, seen, signature: [0; 64] };
        let signer = challenge.wants_signature.then_some(&self.keys.signer);
        let octets = ClientDatagram { header, body }.encode(&self.keys.c2s, signer);
        self.send(octets, Sent { seq: self.seq, at: now, beat, copy, way, news: 0 });
        true
    }

    /// The server was heard: the beat under way gets all its copies, however long the silence was before.
    fn hear_again(&mut self, now: Moment) {
        self.last_heard = now;
        self.waiting_since = None;
        let has_copies = self.mode == Mode::Running && !self.is_calm && !self.fallback.is_carrying();
        if let Some(beat) = self.beat.as_mut().filter(|_| has_copies) {
            beat.copies_left = COPY_MAX.saturating_sub(beat.copy);
        }
    }

    fn learn_time(&mut self, server_time: u32, seq: u32, now: Moment) {
        if self.echo.is_none_or(|echo| seq > echo.seq) {
            self.echo = Some(Echo { server_time, at: now, seq });
        }
    }
}
