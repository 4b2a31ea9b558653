//! What the demo tells: lines with the time since its start, in the terminal and on the page, and the final count.

use std::sync::{Mutex, PoisonError};

use super::primary::Arrived;
use super::sender::Mail;
use crate::base::{Clock, Moment};

/// Lines kept.
const LINES_MAX: usize = 200;
/// Lines on the page: what happened lately, without pushing the state off a phone.
const LINES_SHOWN: usize = 8;

/// The story so far.
#[derive(Debug)]
pub struct Story {
    began: Moment,
    lines: Mutex<Vec<String>>,
}

impl Story {
    /// A story that begins now.
    #[must_use]
    pub fn begin() -> Self {
        Self { began: Clock.monotonic(), lines: Mutex::new(Vec::new()) }
    }

    /// Tells one line in the terminal alone: sign-in links are for the person in front of it.
    pub fn whisper(&self, text: &str) {
        println!("{}", self.line(text));
    }

    fn line(&self, text: &str) -> String {
        format!("{:6.1} s  {text}", Clock.monotonic().since(self.began).as_secs_f64())
    }

    /// Tells one line, in the terminal and on the page.
    pub fn tell(&self, text: &str) {
        let line = self.line(text);
        println!("{line}");
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_MAX {
            lines.remove(0);
        }
        lines.push(line);
    }

    /// The newest lines, for the page.
    #[must_use]
    pub fn newest(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().skip(lines.len().saturating_sub(LINES_SHOWN)).cloned().collect()
    }
}

/// What became of the mails that the backup MX acknowledged, counted from what really arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Count {
    /// Arrived, octet by octet as sent behind our trace fields.
    pub delivered: usize,
    /// Acknowledged and never arrived.
    pub lost: usize,
    /// Arrivals beyond the first.
    pub twice: usize,
    /// Arrivals that no mail sent matches.
    pub changed: usize,
    /// Whether the first arrivals came in the order of acceptance. Reports with the null sender go last and may be later.
    pub in_order: bool,
}

impl Count {
    /// Compares what was acknowledged, in this order, with what arrived.
    #[must_use]
    pub fn of(acknowledged: &[Mail], arrived: &[Arrived]) -> Self {
        let matches: Vec<Option<usize>> =
            arrived.iter().map(|arrival| acknowledged.iter().position(|mail| is_same(mail, arrival))).collect();
        let mut count = Self { in_order: true, ..Self::default() };
        let mut highest = None;
        for (at, mail) in acknowledged.iter().enumerate() {
            match matches.iter().filter(|matched| **matched == Some(at)).count() {
                0 => count.lost += 1,
                times => {
                    count.delivered += 1;
                    count.twice += times - 1;
                }
            }
            let first = matches.iter().position(|matched| *matched == Some(at));
            if !mail.reverse_path.is_empty() {
                count.in_order &= first >= highest;
                highest = first.max(highest);
            }
        }
        count.changed = matches.iter().filter(|matched| matched.is_none()).count();
        count
    }

    /// Nothing lost, doubled, changed or out of order.
    #[must_use]
    pub const fn is_perfect(&self) -> bool {
        self.lost == 0 && self.twice == 0 && self.changed == 0 && self.in_order
    }
}

/// Whether an arrival is this mail behind trace fields of ours, and nothing else.
fn is_same(mail: &Mail, arrival: &Arrived) -> bool {
    let Some(trace) = arrival.content.strip_suffix(mail.content.as_bytes()) else { return false };
    let trace = String::from_utf8_lossy(trace);
    let only_trace =
        trace.split_inclusive("\r\n").all(|line| line.starts_with("Received:") || line.starts_with(['\t', ' ']));
    arrival.reverse_path == mail.reverse_path && trace.starts_with("Received:") && only_trace
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::sender::mails;

    fn arrival(mail: &Mail) -> Arrived {
        let content = format!("Received: from a\r\n\tby b; now\r\n{}", mail.content).into_bytes();
        Arrived { reverse_path: mail.reverse_path.clone(), content }
    }

    #[test]
    fn what_arrived_as_sent_counts_as_delivered() {
        let sent = mails("w", 12, "firma.example");
        let arrived: Vec<Arrived> = sent.iter().map(arrival).collect();
        let count = Count::of(&sent, &arrived);
        assert_eq!(count, Count { delivered: 12, in_order: true, ..Count::default() });
        assert!(count.is_perfect());
    }

    #[test]
    fn a_lost_a_doubled_a_changed_and_a_late_mail_are_each_seen() {
        let sent = mails("w", 4, "firma.example");
        let all: Vec<Arrived> = sent.iter().map(arrival).collect();
        assert_eq!(Count::of(&sent, &all[1..]).lost, 1);
        assert_eq!(Count::of(&sent, &[all.clone(), vec![all[0].clone()]].concat()).twice, 1);
        let mut changed = all.clone();
        changed[2].content.push(b' ');
        assert_eq!((Count::of(&sent, &changed).changed, Count::of(&sent, &changed).lost), (1, 1));
        let mut header = all.clone();
        header[0].content.splice(0..0, b"X-Evil: 1\r\n".iter().copied());
        assert_eq!(Count::of(&sent, &header).changed, 1);
        let mut late = all;
        late.swap(0, 3);
        assert!(!Count::of(&sent, &late).in_order);
    }
}
