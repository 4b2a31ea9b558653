//! Which of the own datagrams may still have a reply, and how many never got one.

use std::collections::VecDeque;
use std::time::Duration;

use super::fallback::Way;
use super::news::NewsNumber;
use crate::base::Moment;

/// A reply is believed for a datagram this young.
pub(super) const REPLY_WITHIN: Duration = Duration::from_secs(10);
/// Datagrams remembered for their replies; at an interval of 1 s fewer than 90 fall into [`REPLY_WITHIN`].
const SENT_MAX: usize = 256;

/// One datagram.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) seq: u32,
    pub(super) at: Moment,
    pub(super) beat: u64,
    pub(super) copy: u8,
    pub(super) way: Way,
    /// The piece of news in it.
    pub(super) news: NewsNumber,
}

/// The datagrams of the last 10 s.
#[derive(Default)]
pub(super) struct SentLog {
    young: VecDeque<(Sent, bool)>,
    /// One bit for each of the last 64 datagrams that is old enough: 1 if it was not answered.
    lost: u64,
    judged: u32,
}

impl SentLog {
    pub(super) fn note(&mut self, sent: Sent) {
        self.young.push_back((sent, false));
        if self.young.len() > SENT_MAX {
            self.young.pop_front();
        }
    }

    /// Uses up the one reply that a datagram may have, the way it was sent.
    pub(super) fn take(&mut self, seq: u32, way: Way, now: Moment) -> Option<Sent> {
        let waits = |(sent, is_answered): &&mut (Sent, bool)| {
            sent.seq == seq && sent.way == way && now.since(sent.at) <= REPLY_WITHIN && !*is_answered
        };
        let (sent, is_answered) = self.young.iter_mut().rev().find(waits)?;
        *is_answered = true;
        Some(*sent)
    }

    /// Forgets what is too old for a reply and counts what had none.
    pub(super) fn judge(&mut self, now: Moment) {
        while let Some((_, is_answered)) = self.young.front().filter(|(sent, _)| now.since(sent.at) > REPLY_WITHIN) {
            self.lost = (self.lost << 1) | u64::from(!is_answered);
            self.judged = (self.judged + 1).min(u64::BITS);
            self.young.pop_front();
        }
    }

    /// A new run: nothing that was sent before can have a reply any more.
    pub(super) fn forget(&mut self) {
        self.young.clear();
    }

    /// Lost replies in 0.5 %.
    pub(super) fn loss(&self) -> u8 {
        u8::try_from(self.lost.count_ones() * 200 / self.judged.max(1)).unwrap_or(200)
    }
}
