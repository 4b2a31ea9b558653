//! How a running flush stands, and when it has to pause.

use std::time::Duration;

use crate::base::{Moment, WallTime};
use crate::delivery::outcome::{Verdict, is_disk_full};
use crate::delivery::schedule::DEFERRALS_IN_A_ROW_MAX;
use crate::delivery::view::FlushSummary;

/// Counts of one flush.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    started_at: WallTime,
    delivered: u64,
    deferred: u64,
    refused: u64,
    deferred_in_a_row: u32,
    is_disk_full: bool,
    first_delivery_after: Option<Duration>,
}

impl Progress {
    /// The first claim was made.
    #[must_use]
    pub const fn new(started_at: WallTime) -> Self {
        Self {
            started_at,
            delivered: 0,
            deferred: 0,
            refused: 0,
            deferred_in_a_row: 0,
            is_disk_full: false,
            first_delivery_after: None,
        }
    }

    /// One message was settled. `returned_at` is taken by the first delivery.
    pub fn count(&mut self, verdicts: &[(u32, Verdict)], returned_at: &mut Option<Moment>, now: Moment) {
        let mut only_deferred = !verdicts.is_empty();
        for (_, verdict) in verdicts {
            match verdict {
                Verdict::Delivered(_) => {
                    self.delivered += 1;
                    if let Some(beat) = returned_at.take() {
                        self.first_delivery_after = Some(now.since(beat));
                    }
                }
                Verdict::Deferred(reply) => {
                    self.deferred += 1;
                    self.is_disk_full |= is_disk_full(reply);
                }
                Verdict::MailboxFull(_) => self.deferred += 1,
                Verdict::Refused(..) => self.refused += 1,
            }
            only_deferred &= matches!(verdict, Verdict::Deferred(_));
        }
        if !verdicts.is_empty() {
            self.deferred_in_a_row = if only_deferred { self.deferred_in_a_row + 1 } else { 0 };
        }
    }

    /// Why the account has to wait: three messages in a row were deferred, so the server means us, not them; or its
    /// disk is full.
    #[must_use]
    pub const fn must_pause(&self) -> Option<&'static str> {
        if self.is_disk_full {
            Some("its disk is full")
        } else if self.deferred_in_a_row >= DEFERRALS_IN_A_ROW_MAX {
            Some("it deferred three messages in a row")
        } else {
            None
        }
    }

    /// Recipients delivered so far.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// What the page shows, if anything came of it.
    #[must_use]
    pub fn summary(&self, ended_at: WallTime) -> Option<FlushSummary> {
        (self.delivered + self.refused > 0).then_some(FlushSummary {
            started_at: self.started_at,
            ended_at,
            delivered: self.delivered,
            deferred: self.deferred,
            refused: self.refused,
            first_delivery_after: self.first_delivery_after,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::outcome::silence;

    fn settled(verdict: fn(crate::spool::DeliveryReply) -> Verdict) -> Vec<(u32, Verdict)> {
        vec![(0, verdict(silence("x")))]
    }

    #[test]
    fn three_deferrals_in_a_row_pause_the_account_and_full_mailboxes_do_not() {
        let mut progress = Progress::new(chrono::DateTime::UNIX_EPOCH);
        let mut none = None;
        for verdict in
            [Verdict::Deferred, Verdict::Deferred, Verdict::MailboxFull, Verdict::Deferred, Verdict::Deferred]
        {
            progress.count(&settled(verdict), &mut none, Moment::default());
            assert_eq!(progress.must_pause(), None);
        }
        progress.count(&settled(Verdict::Deferred), &mut none, Moment::default());
        assert!(progress.must_pause().is_some());
        assert_eq!(progress.summary(chrono::DateTime::UNIX_EPOCH), None);
    }

    #[test]
    fn the_first_delivery_is_measured_from_the_beat_of_the_return_and_only_once() {
        let mut progress = Progress::new(chrono::DateTime::UNIX_EPOCH);
        let mut returned = Some(Moment::from_millis(1_000));
        let refused = vec![(0, Verdict::Refused(silence("x"), crate::delivery::outcome::Refusal::Message))];
        progress.count(&refused, &mut returned, Moment::from_millis(1_500));
        progress.count(&settled(Verdict::Delivered), &mut returned, Moment::from_millis(1_900));
        progress.count(&settled(Verdict::Delivered), &mut returned, Moment::from_millis(9_000));
        let summary = progress.summary(chrono::DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(summary.first_delivery_after, Some(Duration::from_millis(900)));
        assert_eq!((summary.delivered, summary.refused, returned), (2, 1, None));
    }
}
