//! Who holds a whole token: reads it from a request and checks it in constant time. One answer for unknown and wrong.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use data_encoding::BASE64;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::account::Directory;
use crate::heartbeat::Token;
use crate::heartbeat::datagram::Locator;

/// Longest `Authorization` value that is looked at, octets: a token and a name beside it.
const AUTHORIZATION_OCTETS_MAX: usize = 512;

/// The token of `Authorization: Bearer TOKEN` or `Basic base64(ANYTHING:TOKEN)`.
pub(super) fn token(headers: &HeaderMap) -> Option<Token> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok().filter(|value| value.len() <= AUTHORIZATION_OCTETS_MAX)?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Token::parse(rest).ok();
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = Zeroizing::new(BASE64.decode(rest.trim().as_bytes()).ok()?);
    let pair = std::str::from_utf8(&pair).ok()?;
    Token::parse(pair.split_once(':')?.1).ok()
}

/// Whether the directory knows this token, and whether it is the current one (not one on its way out).
pub(super) fn verified(token: &Token, directory: &Directory) -> Option<(Locator, bool)> {
    let locator = token.locator();
    let record = directory.beat_key(&locator.0);
    let known = record.map_or([0; 32], |record| record.bearer_verifier);
    let is_right = bool::from(token.bearer_verifier().ct_eq(&known));
    record.filter(|_| is_right).map(|record| (locator, record.expires_at.is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn read(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        token(&headers).map(|token| token.text().to_string())
    }

    #[test]
    fn a_token_is_read_from_bearer_and_basic_whatever_the_name_beside_it() {
        let text = Token::from_octets([7; 32]).text().to_string();
        assert_eq!(read(&format!("Bearer {text}")).as_deref(), Some(text.as_str()));
        assert_eq!(read(&format!("bearer {text}")).as_deref(), Some(text.as_str()));
        for name in ["firma", "", "a b"] {
            let pair = BASE64.encode(format!("{name}:{text}").as_bytes());
            assert_eq!(read(&format!("Basic {pair}")).as_deref(), Some(text.as_str()), "{name}");
        }
        for wrong in ["Bearer", "Bearer x", "Basic x", "Digest abc", &format!("Basic {text}"), &"Bearer ".repeat(200)] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
