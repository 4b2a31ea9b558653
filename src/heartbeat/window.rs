//! Whether a sequence number is new: the last 64 of one boot id, so that late arrivals count and copies do not.

/// Numbers that are remembered below the highest.
pub const WINDOW_WIDTH: u32 = 64;

/// What a sequence number is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Never seen.
    Fresh,
    /// Marked before: a copy.
    Seen,
    /// Too far below the highest to know.
    TooOld,
}

/// The numbers seen of one boot id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    top: u32,
    /// Bit `i` is the number `top - i`.
    seen: u64,
    /// How many of the bits stand for numbers since the opening.
    span: u32,
}

impl Window {
    /// A window that begins with `seq`; nothing at or below it is ever fresh, since it may be a recording.
    #[must_use]
    pub const fn opened_by(seq: u32) -> Self {
        Self { top: seq, seen: u64::MAX, span: 1 }
    }

    /// The window of these parts, as [`parts`](Self::parts) gave them.
    #[must_use]
    pub const fn from_parts(top: u32, seen: u64, span: u8) -> Self {
        Self { top, seen, span: span as u32 }
    }

    /// The highest number, the bits below it, and how many of those stand for numbers since the opening.
    #[must_use]
    pub fn parts(&self) -> (u32, u64, u8) {
        (self.top, self.seen, u8::try_from(self.span).unwrap_or(64))
    }

    /// The highest number marked.
    #[must_use]
    pub const fn top(&self) -> u32 {
        self.top
    }

    /// What `seq` is, without marking it.
    #[must_use]
    pub const fn check(&self, seq: u32) -> Verdict {
        if seq > self.top {
            return Verdict::Fresh;
        }
        let below = self.top - seq;
        if below >= WINDOW_WIDTH {
            Verdict::TooOld
        } else if self.seen & (1 << below) == 0 {
            Verdict::Fresh
        } else {
            Verdict::Seen
        }
    }

    /// Marks `seq` as seen. Of no effect for numbers that are too old.
    pub const fn mark(&mut self, seq: u32) {
        if seq > self.top {
            let up = seq - self.top;
            self.seen = if up >= WINDOW_WIDTH { 1 } else { (self.seen << up) | 1 };
            let span = self.span.saturating_add(up);
            self.span = if span > WINDOW_WIDTH { WINDOW_WIDTH } else { span };
            self.top = seq;
        } else if self.top - seq < WINDOW_WIDTH {
            self.seen |= 1 << (self.top - seq);
        }
    }

    /// How many of the last numbers (64 at most) are missing, and of how many.
    #[must_use]
    pub const fn missing(&self) -> (u32, u32) {
        let mask = if self.span >= WINDOW_WIDTH { u64::MAX } else { (1 << self.span) - 1 };
        (self.span - (self.seen & mask).count_ones(), self.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Fresh, Seen, TooOld};

    #[test]
    fn late_arrivals_are_fresh_once_and_copies_never() {
        let mut window = Window::opened_by(10);
        let steps =
            [(10, Seen), (9, Seen), (13, Fresh), (13, Seen), (11, Fresh), (11, Seen), (80, Fresh), (12, TooOld)];
        for (seq, expected) in steps {
            assert_eq!(window.check(seq), expected, "{seq}");
            window.mark(seq);
        }
        assert_eq!(window.check(17), Fresh);
        assert_eq!(window.check(16), TooOld);
        assert_eq!(window.check(u32::MAX), Fresh);
        window.mark(u32::MAX);
        assert_eq!(window.check(80), TooOld);
    }

    #[test]
    fn the_loss_figure_counts_only_numbers_since_the_opening() {
        let mut window = Window::opened_by(100);
        assert_eq!(window.missing(), (0, 1));
        window.mark(104);
        assert_eq!(window.missing(), (3, 5));
        window.mark(102);
        assert_eq!(window.missing(), (2, 5));
        window.mark(500);
        assert_eq!(window.missing(), (63, 64));
    }
}
