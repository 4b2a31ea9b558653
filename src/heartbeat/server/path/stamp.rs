//! What a datagram is worth: when it was due, which rhythm counts, what the reply says of it.

use std::time::Duration;

use super::{Answer, DELAY_FREE, Genuine, INTERVAL_MAX, INTERVAL_MIN, ReplyFacts, Source};
use crate::base::Moment;
use crate::heartbeat::datagram::{self, ClientFlags, Header, ReplyFlags};
use crate::heartbeat::server::cookie::Clockwork;
use crate::heartbeat::server::event::BeatKind;
use crate::heartbeat::window::Window;

/// A header with the circumstances that give it its worth.
pub(super) struct Stamp<'a> {
    pub(super) header: &'a Header,
    pub(super) source: Source,
    pub(super) now: Moment,
    pub(super) clockwork: &'a Clockwork,
    /// What a client is told to keep that did not fix its interval.
    pub(super) interval: Duration,
}

impl Stamp<'_> {
    fn kept(&self) -> Duration {
        datagram::from_centiseconds(self.header.interval_cs).clamp(INTERVAL_MIN, INTERVAL_MAX)
    }

    /// What the client is told to keep: its own choice if the user made it and it is within bounds.
    fn ordered(&self) -> Duration {
        let wished = datagram::from_centiseconds(self.header.interval_cs);
        if self.header.flags.has(ClientFlags::KEEPS) && (INTERVAL_MIN..=INTERVAL_MAX).contains(&wished) {
            wished
        } else {
            self.interval
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.kept().max(self.ordered())
    }

    /// When the beat was due: arrival, less what the copy came later, less excess delay on the way.
    fn base(&self) -> Moment {
        let since_echo = self.clockwork.server_time(self.now).wrapping_sub(self.header.echo);
        let on_the_way = since_echo.wrapping_sub(self.header.hold_ms).cast_signed();
        let delay = Duration::from_millis(u64::try_from(on_the_way).unwrap_or(0));
        let late = if self.header.echo == 0 { Duration::ZERO } else { delay.saturating_sub(DELAY_FREE) };
        self.now - self.kept() * u32::from(self.header.copy) / 5 - late
    }

    pub(super) fn beat(&self, window: &Window) -> BeatKind {
        let flags = self.header.flags;
        BeatKind::Beat {
            base: self.base(),
            address: self.source.address(),
            interval: self.interval(),
            mail_ok: flags.has(ClientFlags::MAIL_KNOWN).then(|| flags.has(ClientFlags::MAIL_OK)),
            loss_percent_up: f32::from(loss(window)) / 2.0,
            unanswered_percent: Some(f32::from(self.header.replies_lost.min(200)) / 2.0),
        }
    }

    pub(super) fn facts(&self, flags: ReplyFlags, window: Option<&Window>) -> ReplyFacts {
        ReplyFacts {
            flags,
            ordered: self.ordered(),
            base: self.base(),
            loss: window.map_or(0, loss),
            is_newest: window.is_some_and(|window| window.top() == self.header.seq),
        }
    }
}

impl Genuine<'_> {
    pub(super) fn stamp(&self) -> Stamp<'_> {
        let (source, now, clockwork, interval) = (self.source, self.now, self.clockwork, self.interval);
        Stamp { header: &self.datagram.header, source, now, clockwork, interval }
    }

    pub(super) fn reply(&self, flags: ReplyFlags, window: Option<&Window>) -> Answer {
        Answer::Reply(self.stamp().facts(flags, window))
    }
}

/// Loss in 0.5 % of the last 64 datagrams.
fn loss(window: &Window) -> u8 {
    let (missing, of) = window.missing();
    u8::try_from(missing * 200 / of.max(1)).unwrap_or(200)
}
