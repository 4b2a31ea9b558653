//! Reads the values of ENVID and ORCPT: xtext (RFC 3461 §4), exactly.
//!
//! Control characters are refused in any disguise: what is kept here leaves in commands to the primary and in reports.

use super::reply::{self, Reply};

/// Longest ENVID as written (RFC 3461 §4.4).
pub const ENVID_OCTETS_MAX: usize = 100;
/// Longest ORCPT as written (RFC 3461 §4.2).
pub const ORCPT_OCTETS_MAX: usize = 500;

/// The value of `ENVID=`.
///
/// # Errors
/// 501.
pub fn envelope_id(value: &str) -> Result<String, Reply> {
    let is_good = !value.is_empty() && value.len() <= ENVID_OCTETS_MAX && value.is_ascii();
    if is_good { xtext(value) } else { Err(reply::BAD_SYNTAX) }
}

/// The value of `ORCPT=`: an address type, `;` and an address. One of type `utf-8` may be beyond ASCII
/// (RFC 6533 §3); whether the transaction is, is judged elsewhere.
///
/// # Errors
/// 501.
pub fn original_recipient(value: &str) -> Result<String, Reply> {
    if value.len() > ORCPT_OCTETS_MAX {
        return Err(reply::BAD_SYNTAX);
    }
    let (kind, address) = value.split_once(';').ok_or(reply::BAD_SYNTAX)?;
    let is_atom =
        !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*-/?^_`{|}~".contains(&b));
    if !is_atom || address.is_empty() || (!address.is_ascii() && !kind.eq_ignore_ascii_case("utf-8")) {
        return Err(reply::BAD_SYNTAX);
    }
    Ok(format!("{kind};{}", xtext(address)?))
}

/// Whether a value could stand behind `AUTH=` (RFC 4954 §5).
#[must_use]
pub fn is_xtext(value: &str) -> bool {
    !value.is_empty() && value.len() <= ORCPT_OCTETS_MAX && value.is_ascii() && xtext(value).is_ok()
}

/// `+` and two capital hexadecimal digits stand for one octet; `=` and blanks are written so only.
fn xtext(text: &str) -> Result<String, Reply> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let c = match c {
            '+' => {
                let high = rest.next().and_then(hex_digit).ok_or(reply::BAD_SYNTAX)?;
                let low = rest.next().and_then(hex_digit).ok_or(reply::BAD_SYNTAX)?;
                match char::from(high << 4 | low) {
                    c @ ' '..='~' => c,
                    _ => return Err(reply::BAD_SYNTAX),
                }
            }
            '=' => return Err(reply::BAD_SYNTAX),
            c if c.is_control() || c.is_whitespace() => return Err(reply::BAD_SYNTAX),
            c => c,
        };
        plain.push(c);
    }
    Ok(plain)
}

fn hex_digit(c: char) -> Option<u8> {
    let value = c.to_digit(16).filter(|_| !c.is_ascii_lowercase())?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_is_read_exactly() {
        assert_eq!(envelope_id("QQ314159"), Ok("QQ314159".to_owned()));
        assert_eq!(envelope_id("a+2Bb+3D+20c"), Ok("a+b= c".to_owned()));
        for text in
            ["", "a+", "a+2", "a+2b", "a+GG", "a=b", "a b", "ä", "+0A", "+0D+0A", "+00", "+7F", "+FF", &"a".repeat(101)]
        {
            assert_eq!(envelope_id(text), Err(reply::BAD_SYNTAX), "{text}");
        }
    }

    #[test]
    fn a_first_sender_is_written_in_xtext() {
        assert!(is_xtext("<>") && is_xtext("e+3Dmc2@a.example"));
        assert!(["", "a=b", "+0A", "ä", &"a".repeat(501)].iter().all(|text| !is_xtext(text)));
    }

    #[test]
    fn an_original_recipient_has_a_type_and_an_address() {
        assert_eq!(original_recipient("rfc822;Bob+2Bx@a.example"), Ok("rfc822;Bob+x@a.example".to_owned()));
        assert_eq!(original_recipient("utf-8;jörg@a.example"), Ok("utf-8;jörg@a.example".to_owned()));
        assert_eq!(original_recipient("utf-8;j\\x{F6}rg@a.example"), Ok("utf-8;j\\x{F6}rg@a.example".to_owned()));
        assert_eq!(original_recipient("rfc822;a;b@c.example"), Ok("rfc822;a;b@c.example".to_owned()));
        let long = format!("rfc822;{}", "a".repeat(500));
        for text in
            ["", "rfc822", "rfc822;", ";a@b.example", "rfc 822;a", "rfc822;jörg@a", "rfc822;a+0Ab", "a.b;c", &long]
        {
            assert_eq!(original_recipient(text), Err(reply::BAD_SYNTAX), "{text}");
        }
    }
}
