//! Names of rows: accounts, endpoints, people, spooled messages.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::WallTime;

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[cfg_attr(feature = "server", derive(serde::Serialize, serde::Deserialize))]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

row_id! {
    /// One customer's account: the unit of quota, rights and history.
    AccountId
}
row_id! {
    /// One mail server of an account: has a heartbeat key, an address per family and a port.
    EndpointId
}
row_id! {
    /// A person who may sign in.
    PersonId
}

/// Bits of a [`SpoolId`] below the millisecond.
const SPOOL_ID_LOW_BITS: u32 = 19;

/// Name of one spooled message, given before it is stored and valid for ever.
///
/// 44 bits of milliseconds since 1970 and 19 bits that keep ids of one millisecond apart, so that ids sort by time
/// of acceptance and the sign bit of an SQL integer stays free. Written as 13 characters of Crockford's base32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpoolId(u64);

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SPOOL_ID_CHARS: usize = 13;

impl SpoolId {
    /// The id as stored. Always non-negative.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// The least id of a message accepted at this time.
    #[must_use]
    pub fn first_of(time: crate::base::WallTime) -> Self {
        let millis = u64::try_from(time.timestamp_millis()).unwrap_or(0);
        Self((millis << SPOOL_ID_LOW_BITS) & (u64::MAX >> 1))
    }

    /// The id of a stored row.
    #[must_use]
    pub const fn from_i64(stored: i64) -> Self {
        Self(stored.cast_unsigned() & (u64::MAX >> 1))
    }
}

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..SPOOL_ID_CHARS).rev() {
            let digit = (self.0 >> (5 * place)) & 31;
            let letter = usize::try_from(digit).ok().and_then(|d| ALPHABET.get(d)).copied().unwrap_or(b'?');
            write!(f, "{}", char::from(letter))?;
        }
        Ok(())
    }
}

/// The text is not a spool id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a spool id is 13 letters and digits, as in the reply to the sender and in `pulsemx queue list`")]
pub struct SpoolIdError;

impl FromStr for SpoolId {
    type Err = SpoolIdError;

    fn from_str(text: &str) -> Result<Self, SpoolIdError> {
        if text.len() != SPOOL_ID_CHARS {
            return Err(SpoolIdError);
        }
        let mut value: u64 = 0;
        for byte in text.bytes() {
            let digit = ALPHABET.iter().position(|a| *a == byte.to_ascii_lowercase()).ok_or(SpoolIdError)?;
            value = (value << 5) | u64::try_from(digit).map_err(|_| SpoolIdError)?;
        }
        if value > u64::MAX >> 1 { Err(SpoolIdError) } else { Ok(Self(value)) }
    }
}

/// Gives out spool ids of one process, strictly rising even when the wall clock steps back.
#[derive(Debug, Default)]
pub struct SpoolIds {
    last: AtomicU64,
}

impl SpoolIds {
    /// The next id; `random` fills the low bits so that two processes do not meet.
    pub fn next(&self, now: WallTime, random: u32) -> SpoolId {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        let low = u64::from(random) & ((1 << (SPOOL_ID_LOW_BITS - 1)) - 1);
        let wanted = ((millis << SPOOL_ID_LOW_BITS) | low) & (u64::MAX >> 1);
        let mut given = wanted;
        // The closure never returns None, so the result is always Ok.
        let _ = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            given = wanted.max(last + 1);
            Some(given)
        });
        SpoolId(given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn spool_ids_rise_even_when_the_clock_steps_back() {
        let ids = SpoolIds::default();
        let late = chrono::Utc.timestamp_opt(1_800_000_000, 0).unwrap();
        let early = chrono::Utc.timestamp_opt(1_700_000_000, 0).unwrap();
        let a = ids.next(late, 77);
        let b = ids.next(early, 5);
        let c = ids.next(early, 5);
        assert!(a < b && b < c);
    }

    #[test]
    fn a_spool_id_survives_text_and_storage() {
        let id = SpoolIds::default().next(chrono::Utc.timestamp_opt(1_795_492_800, 1).unwrap(), 123);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        assert_eq!(SpoolId::from_i64(id.as_i64()), id);
        assert_eq!("short".parse::<SpoolId>(), Err(SpoolIdError));
        assert_eq!("zzzzzzzzzzzzz".parse::<SpoolId>(), Err(SpoolIdError));
        assert_eq!("0000000000oou".parse::<SpoolId>(), Err(SpoolIdError));
    }
}
