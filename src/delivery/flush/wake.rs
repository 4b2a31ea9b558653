//! What happened that delivery of an account has to look at.

use crate::base::{EndpointId, Moment};
use crate::liveness::{HistoryRow, LineEvent, LineState};

/// Reasons to look, merged until somebody looks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wake {
    /// Servers to call at once, even if nothing waits.
    pub calls: Vec<EndpointId>,
    /// The beat that brought the line back.
    pub returned_at: Option<Moment>,
    /// Everything queued is due now.
    pub make_due: bool,
    /// Waits that failures imposed are over.
    pub reset: bool,
    /// The line is back from an outage: its server may know nobody yet.
    pub is_return: bool,
    /// And was never heard before.
    pub is_first: bool,
}

impl Wake {
    /// New mail: nothing but a look.
    #[must_use]
    pub fn look() -> Self {
        Self::default()
    }

    /// A person wants another try.
    #[must_use]
    pub fn retry() -> Self {
        Self { reset: true, ..Self::default() }
    }

    /// What an event of a line means; `beat` is the line's last beat. `None` if delivery has no business with it.
    #[must_use]
    pub fn of_event(event: &LineEvent, beat: Option<Moment>) -> Option<Self> {
        let fresh = Self { make_due: true, reset: true, ..Self::default() };
        match event {
            LineEvent::Changed(HistoryRow::State(row)) if row.to.is_deliverable() => {
                let is_return = !row.from.is_deliverable();
                let calls = if row.to == LineState::Returning { vec![row.endpoint] } else { Vec::new() };
                // A line whose return is confirmed was deliverable before: what was deferred meanwhile keeps its time.
                let is_first = row.from == LineState::New;
                let returned_at = beat.filter(|_| is_return);
                Some(Self { calls, returned_at, make_due: is_return, is_return, is_first, ..fresh })
            }
            // Its name waits for a greeting there.
            LineEvent::Changed(HistoryRow::Address(row)) => Some(Self { calls: vec![row.endpoint], ..fresh }),
            LineEvent::MailAccepted { endpoint, .. } => Some(Self { calls: vec![*endpoint], ..fresh }),
            // Also the end of a line: an attempt that still waits for it gives up.
            LineEvent::Changed(HistoryRow::State(_)) | LineEvent::Suspicion { .. } | LineEvent::Addresses { .. } => {
                Some(Self::look())
            }
            LineEvent::Changed(HistoryRow::NoData(_) | HistoryRow::Interval(_))
            | LineEvent::MailRefused { .. }
            | LineEvent::Greeted { .. } => None,
        }
    }

    /// Takes in another one.
    pub fn merge(&mut self, other: Self) {
        for call in other.calls {
            if !self.calls.contains(&call) {
                self.calls.push(call);
            }
        }
        self.returned_at = other.returned_at.or(self.returned_at);
        self.make_due |= other.make_due;
        self.reset |= other.reset;
        self.is_return |= other.is_return;
        self.is_first |= other.is_first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::AccountId;
    use crate::liveness::{Cause, Transition};

    fn changed(from: LineState, to: LineState) -> LineEvent {
        LineEvent::Changed(HistoryRow::State(Transition {
            account: AccountId(1),
            endpoint: EndpointId(2),
            from,
            to,
            cause: Cause::Beat,
            at: chrono::DateTime::UNIX_EPOCH,
            since: chrono::DateTime::UNIX_EPOCH,
            address: None,
        }))
    }

    #[test]
    fn a_return_calls_the_primary_and_ends_every_wait() {
        let beat = Some(Moment::from_millis(7));
        let wake = Wake::of_event(&changed(LineState::Offline, LineState::Returning), beat).unwrap();
        assert_eq!(
            wake,
            Wake {
                calls: vec![EndpointId(2)],
                returned_at: beat,
                make_due: true,
                reset: true,
                is_return: true,
                is_first: false
            }
        );
        let mut merged = wake.clone();
        merged.merge(Wake::of_event(&changed(LineState::Returning, LineState::Online), beat).unwrap());
        assert_eq!(merged, wake);
        assert_eq!(Wake::of_event(&changed(LineState::Online, LineState::Offline), beat), Some(Wake::look()));
    }

    #[test]
    fn a_confirmed_return_ends_waits_and_repeats_nothing_that_was_just_deferred() {
        let wake = Wake::of_event(&changed(LineState::Returning, LineState::Online), None);
        assert_eq!(wake, Some(Wake { reset: true, ..Wake::default() }));
    }
}
