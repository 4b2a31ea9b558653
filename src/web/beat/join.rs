//! One-time codes with which a new client fetches its token, so that no token is pasted or mailed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::{EndpointId, WallTime};
use crate::web::sign_in;

/// How long a code is good. Kept in memory only: a restart of the server ends it earlier.
pub const JOIN_LIFETIME: Duration = Duration::from_secs(3_600);
/// Codes that wait to be used. More are refused: an operator makes them by hand.
const CODES_MAX: usize = 1_000;

/// The codes that were given out and not used.
#[derive(Debug, Default)]
pub struct JoinCodes(Mutex<HashMap<[u8; 32], (EndpointId, WallTime)>>);

impl JoinCodes {
    fn codes(&self) -> MutexGuard<'_, HashMap<[u8; 32], (EndpointId, WallTime)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the code with this hash ([`sign_in::new_secret`]) for an hour; false if too many wait already.
    #[must_use]
    pub fn keep(&self, hash: [u8; 32], endpoint: EndpointId, now: WallTime) -> bool {
        let mut codes = self.codes();
        codes.retain(|_, (_, at)| is_good(*at, now));
        let has_room = codes.len() < CODES_MAX;
        if has_room {
            codes.insert(hash, (endpoint, now));
        }
        has_room
    }

    /// Uses up a code; for which server it was made.
    #[must_use]
    pub fn redeem(&self, code: &str, now: WallTime) -> Option<EndpointId> {
        // Found by its SHA-256, so the time of the look-up tells nothing of the code.
        let (endpoint, at) = self.codes().remove(&sign_in::secret_hash(code)?)?;
        is_good(at, now).then_some(endpoint)
    }
}

fn is_good(made: WallTime, now: WallTime) -> bool {
    now < made + JOIN_LIFETIME
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_good_once_and_for_an_hour() {
        let codes = JoinCodes::default();
        let start = crate::base::Clock.wall();
        let (text, hash) = sign_in::new_secret().unwrap();
        let (late, late_hash) = sign_in::new_secret().unwrap();
        assert!(codes.keep(hash, EndpointId(4), start) && codes.keep(late_hash, EndpointId(5), start));
        assert_eq!(codes.redeem("nonsense", start), None);
        assert_eq!(codes.redeem(&text, start + Duration::from_secs(3_599)), Some(EndpointId(4)));
        assert_eq!(codes.redeem(&text, start), None);
        assert_eq!(codes.redeem(&late, start + JOIN_LIFETIME), None);
    }
}
