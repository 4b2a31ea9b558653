//! What kinds of alerts there are, and which of them a channel wants.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A kind of trouble. Its end has the same kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// No heartbeats any more.
    Silent,
    /// Said goodbye and did not come back.
    StaysAway,
    /// Comes and goes.
    Flapping,
    /// Refuses recipients that it took before.
    PrimaryBroken,
    /// Whoever answers is not taken to be the customer's server.
    Stranger,
    /// The key by which it proves itself is another one.
    PinMoved,
    /// It greylists us.
    Greylisted,
    /// The oldest mail comes to the end of its time.
    Expiring,
    /// The account's storage is nearly full.
    Quota,
    /// A list of recipients is too old to refuse anybody.
    ListStale,
    /// So many lines are silent that the fault is taken to be ours, or beats are dropped before they are read.
    MassMiss,
    /// Our own timers came late.
    TimersLate,
    /// Mail that waited too long went to quarantine.
    Expired,
    /// Our own certificate cannot be renewed.
    Certificate,
}

/// All of them, in the order of [`Kind`].
pub const KINDS: [Kind; 14] = [
    Kind::Silent,
    Kind::StaysAway,
    Kind::Flapping,
    Kind::PrimaryBroken,
    Kind::Stranger,
    Kind::PinMoved,
    Kind::Greylisted,
    Kind::Expiring,
    Kind::Quota,
    Kind::ListStale,
    Kind::MassMiss,
    Kind::TimersLate,
    Kind::Expired,
    Kind::Certificate,
];

impl Kind {
    /// As in the database, in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::StaysAway => "stays_away",
            Self::Flapping => "flapping",
            Self::PrimaryBroken => "primary_broken",
            Self::Stranger => "stranger",
            Self::PinMoved => "pin_moved",
            Self::Greylisted => "greylisted",
            Self::Expiring => "expiring",
            Self::Quota => "quota",
            Self::ListStale => "list_stale",
            Self::MassMiss => "mass_miss",
            Self::TimersLate => "timers_late",
            Self::Expired => "expired",
            Self::Certificate => "certificate",
        }
    }

    /// Whether it is about this service, the operator's matter alone.
    #[must_use]
    pub const fn is_of_the_service(self) -> bool {
        matches!(self, Self::MassMiss | Self::TimersLate | Self::Expired | Self::Certificate)
    }

    const fn bit(self) -> u16 {
        1 << (self as u16)
    }
}

/// A set of kinds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kinds(u16);

impl Kinds {
    /// None; to begin with.
    pub const NONE: Self = Self(0);

    /// Those of accounts, or those of the service.
    #[must_use]
    pub fn ordinary(is_operators: bool) -> Self {
        KINDS
            .iter()
            .filter(|kind| kind.is_of_the_service() == is_operators)
            .fold(Self::NONE, |all, kind| all.with(*kind))
    }

    /// These and one more.
    #[must_use]
    pub const fn with(self, kind: Kind) -> Self {
        Self(self.0 | kind.bit())
    }

    /// Whether it is one of these.
    #[must_use]
    pub const fn has(self, kind: Kind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those in it.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        KINDS.into_iter().filter(move |kind| self.has(*kind))
    }
}

/// `silent,quota`.
impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = self.iter().map(Kind::as_str).collect();
        f.write_str(&words.join(","))
    }
}

/// Not a list of kinds.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{0}' is no kind of alert; there are all, {all}", all = KINDS.map(Kind::as_str).join(", "))]
pub struct KindError(String);

/// Words with commas between them; `all` is all of them.
impl FromStr for Kinds {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        text.split(',').map(str::trim).try_fold(Self::NONE, |all, word| match word {
            "all" => Ok(KINDS.iter().fold(all, |all, kind| all.with(*kind))),
            _ => KINDS
                .iter()
                .find(|kind| kind.as_str() == word)
                .map(|kind| all.with(*kind))
                .ok_or_else(|| KindError(word.chars().take(40).collect())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        assert_eq!("quota, silent".parse::<Kinds>().unwrap().to_string(), "silent,quota");
        assert_eq!("all".parse::<Kinds>().unwrap().iter().count(), KINDS.len());
        assert!("silent,loud".parse::<Kinds>().unwrap_err().to_string().contains("'loud' is no kind"));
        let both = Kinds::ordinary(true).iter().chain(Kinds::ordinary(false).iter());
        assert_eq!(both.count(), KINDS.len());
    }
}
