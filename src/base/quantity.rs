//! Sizes and durations as people write them in the configuration and read them on the page.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of octets. Written as `64MiB`, `2GB` or a plain number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct ByteCount(pub u64);

impl ByteCount {
    /// `n` mebibytes.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n * 1024 * 1024)
    }
}

/// The text is not a size or not a duration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum QuantityError {
    /// Not a size.
    #[error("'{0}' is not a size; write a number with KiB, MiB, GiB, kB, MB or GB, such as \"64MiB\"")]
    Size(String),
    /// Not a duration.
    #[error("'{0}' is not a duration; write a number with ms, s, m, h or d, such as \"5s\"")]
    Duration(String),
}

/// Splits `5s` into the number and the unit.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit.trim()))
}

impl FromStr for ByteCount {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let wrong = || QuantityError::Size(text.to_owned());
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let factor: u64 = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            "TiB" => 1 << 40,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            _ => return Err(wrong()),
        };
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteCount {
    /// The shortest exact form, so that a written configuration reads back as the same number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (factor, unit) in [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0 >= factor && self.0.is_multiple_of(factor) {
                return write!(f, "{}{unit}", self.0 / factor);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// Parses `250ms`, `5s`, `2m`, `1h`, `30d`.
///
/// # Errors
/// [`QuantityError::Duration`] for anything else, a plain number included: its unit would be a guess.
pub fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let wrong = || QuantityError::Duration(text.to_owned());
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)
}

/// Writes a duration in the largest unit that is exact, as [`parse_duration`] reads it.
#[must_use]
pub fn write_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (factor, unit) in [(86_400_000u128, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if millis >= factor && millis.is_multiple_of(factor) {
            return format!("{}{unit}", millis / factor);
        }
    }
    format!("{millis}ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_back_as_written() {
        for text in ["64MiB", "2000000000", "1KiB", "0", "1GiB"] {
            let size: ByteCount = text.parse().unwrap();
            assert_eq!(size.to_string().parse::<ByteCount>().unwrap(), size, "{text}");
        }
        assert_eq!("2GB".parse(), Ok(ByteCount(2_000_000_000)));
        assert!("5 parsecs".parse::<ByteCount>().is_err());
        assert!("99999999999999TiB".parse::<ByteCount>().is_err());
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert!(parse_duration("5").is_err());
        assert!(parse_duration("s").is_err());
        assert_eq!(write_duration(Duration::from_millis(1_500)), "1500ms");
        assert_eq!(write_duration(Duration::from_secs(3_600)), "1h");
    }
}
