//! DNS cookies: who shows one of ours has received an answer at his address, so it is his.

use std::net::IpAddr;

use super::query::Cookie;
use crate::base::WallTime;

/// Age up to which a cookie of ours is taken, s (RFC 9018 §4.3).
const AGE_MAX_S: u32 = 3_600;
/// How far ahead of our clock its time may lie, s (RFC 9018 §4.3).
const AHEAD_MAX_S: u32 = 300;
const VERSION: u8 = 1;

/// Makes and checks server cookies of RFC 9018 §4: version, time, SipHash-2-4 over the client's cookie, these, and
/// the client's address.
#[derive(Clone)]
pub struct CookieKey {
    secret: [u8; 16],
}

impl std::fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CookieKey")
    }
}

impl CookieKey {
    /// A key of random octets.
    #[must_use]
    pub const fn new(secret: [u8; 16]) -> Self {
        Self { secret }
    }

    /// The client's cookie and ours behind it, as sent.
    #[must_use]
    pub fn answer(&self, cookie: &Cookie, peer: IpAddr, now: WallTime) -> [u8; 24] {
        let client = cookie.client();
        let server = self.server_cookie(client, seconds(now), peer);
        let mut both = [0; 24];
        both.iter_mut().zip(client.into_iter().chain(server)).for_each(|(to, octet)| *to = octet);
        both
    }

    /// Whether the cookie that came along is one that we gave to this address not long ago.
    #[must_use]
    pub fn is_ours(&self, cookie: &Cookie, peer: IpAddr, now: WallTime) -> bool {
        let Ok(theirs) = <[u8; 16]>::try_from(cookie.server()) else { return false };
        let [_, _, _, _, a, b, c, d, ..] = theirs;
        let made_at = u32::from_be_bytes([a, b, c, d]);
        // Times wrap like serials (RFC 9018 §4.3).
        let (age, ahead) = (seconds(now).wrapping_sub(made_at), made_at.wrapping_sub(seconds(now)));
        let is_in_time = age <= AGE_MAX_S || ahead <= AHEAD_MAX_S;
        let ours = self.server_cookie(cookie.client(), made_at, peer);
        is_in_time && bool::from(subtle::ConstantTimeEq::ct_eq(&ours[..], &theirs[..]))
    }

    fn server_cookie(&self, client: [u8; 8], time: u32, peer: IpAddr) -> [u8; 16] {
        let [t0, t1, t2, t3] = time.to_be_bytes();
        let head = [VERSION, 0, 0, 0, t0, t1, t2, t3];
        let mut input = Vec::with_capacity(32);
        input.extend_from_slice(&client);
        input.extend_from_slice(&head);
        match peer.to_canonical() {
            IpAddr::V4(v4) => input.extend_from_slice(&v4.octets()),
            IpAddr::V6(v6) => input.extend_from_slice(&v6.octets()),
        }
        let hash = siphash(&self.secret, &input).to_le_bytes();
        let mut cookie = [0; 16];
        cookie.iter_mut().zip(head.into_iter().chain(hash)).for_each(|(to, octet)| *to = octet);
        cookie
    }
}

/// SipHash-2-4, which the standard library has under a name that it would rather have others not use.
#[expect(deprecated, reason = "the one SipHash-2-4 with a key in the standard library")]
fn siphash(key: &[u8; 16], input: &[u8]) -> u64 {
    use std::hash::{Hasher, SipHasher};
    let [low, high] =
        [0, 8].map(|at| key.get(at..).and_then(|rest| rest.first_chunk::<8>()).copied().unwrap_or_default());
    let mut hasher = SipHasher::new_with_keys(u64::from_le_bytes(low), u64::from_le_bytes(high));
    hasher.write(input);
    hasher.finish()
}

fn seconds(now: WallTime) -> u32 {
    u32::try_from(now.timestamp() & 0xffff_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::query;
    use chrono::TimeZone;

    fn cookie(octets: &[u8]) -> Cookie {
        let mut message = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0];
        message.push(u8::try_from(octets.len() + 4).unwrap());
        message.extend([0, 10, 0, u8::try_from(octets.len()).unwrap()]);
        message.extend_from_slice(octets);
        query::read(&message).unwrap().edns.unwrap().cookie.unwrap()
    }

    fn hex(text: &str) -> Vec<u8> {
        data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
    }

    fn key() -> CookieKey {
        CookieKey::new(hex("e5e973e5a6b2a43f48e7dc849e37bfcf").try_into().unwrap())
    }

    fn at(seconds: i64) -> WallTime {
        chrono::Utc.timestamp_opt(seconds, 0).unwrap()
    }

    #[test]
    fn cookies_are_those_of_rfc_9018_appendix_a_1() {
        let peer = "198.51.100.100".parse().unwrap();
        let made = key().answer(&cookie(&hex("2464c4abcf10c957")), peer, at(1_559_731_985));
        assert_eq!(made.to_vec(), hex("2464c4abcf10c957010000005cf79f111f8130c3eee29480"));
    }

    #[test]
    fn a_cookie_counts_for_an_hour_at_its_address_under_its_key() {
        let (peer, other): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let now = 1_795_492_800;
        let shown = cookie(&key().answer(&cookie(&[7; 8]), peer, at(now)));
        assert!(key().is_ours(&shown, peer, at(now)) && key().is_ours(&shown, peer, at(now + 3_600)));
        assert!(key().is_ours(&shown, peer, at(now - 300)), "our clock was set back a little");
        assert!(!key().is_ours(&shown, peer, at(now + 3_601)) && !key().is_ours(&shown, peer, at(now - 301)));
        assert!(!key().is_ours(&shown, other, at(now)));
        assert!(!CookieKey::new([1; 16]).is_ours(&shown, peer, at(now)));
        assert!(!key().is_ours(&cookie(&[7; 8]), peer, at(now)), "the client's part alone");
    }
}
