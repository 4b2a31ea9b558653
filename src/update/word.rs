//! What a device reads: the words of dyndns2, and the whole answers made of them.
//!
//! Clients take a body that holds `good`, `nochg` or `OK` for a success, wherever it stands; errors are bare words.

use std::net::IpAddr;

/// Seconds that a device is asked to wait where it may come again by itself.
pub const RETRY_AFTER_S: u32 = 60;

/// One word for one name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Word {
    /// Changed.
    Good(Vec<IpAddr>),
    /// Already so.
    NoChange(Vec<IpAddr>),
    /// Not in this account.
    NoHost,
    /// Of another account.
    NotYours,
    /// No name.
    NotFqdn,
    /// Too many names.
    TooManyHosts,
    /// The token.
    BadAuth,
    /// The method.
    BadAgent,
    /// The address.
    DnsError,
    /// Come again later.
    Later,
}

impl Word {
    /// As in the body.
    #[must_use]
    pub fn text(&self) -> String {
        let with = |word: &str, addresses: &[IpAddr]| {
            let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            if list.is_empty() { word.to_owned() } else { format!("{word} {}", list.join(",")) }
        };
        match self {
            Self::Good(addresses) => with("good", addresses),
            Self::NoChange(addresses) => with("nochg", addresses),
            Self::NoHost => "nohost".to_owned(),
            Self::NotYours => "!yours".to_owned(),
            Self::NotFqdn => "notfqdn".to_owned(),
            Self::TooManyHosts => "numhost".to_owned(),
            Self::BadAuth => "badauth".to_owned(),
            Self::BadAgent => "badagent".to_owned(),
            Self::DnsError => "dnserr".to_owned(),
            Self::Later => "911".to_owned(),
        }
    }

    /// Whether the name points where the device wants.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Good(_) | Self::NoChange(_))
    }
}

/// An answer ready to be sent as text/plain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// 200 for every word but `badauth`, and 503 where clients come again by themselves.
    pub status: u16,
    /// Lines.
    pub body: String,
    /// Asks for a user name and password.
    pub wants_login: bool,
}

impl Answer {
    /// A body with status 200.
    #[must_use]
    pub const fn plain(body: String) -> Self {
        Self { status: 200, body, wants_login: false }
    }

    /// One line per name, in the order asked.
    #[must_use]
    pub fn of_words(words: &[Word]) -> Self {
        let body: String = words.iter().map(|word| word.text() + "\n").collect();
        let status = match words {
            [Word::BadAuth] => 401,
            [Word::Later] => 503,
            _ => 200,
        };
        Self { status, body, wants_login: status == 401 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_holds_a_word_that_clients_take_for_success() {
        for word in [
            Word::NoHost,
            Word::NotYours,
            Word::NotFqdn,
            Word::TooManyHosts,
            Word::BadAuth,
            Word::BadAgent,
            Word::DnsError,
            Word::Later,
        ] {
            let text = word.text();
            assert!(!["good", "nochg", "OK"].iter().any(|success| text.contains(success)), "{text}");
            assert!(!word.is_success());
        }
    }

    #[test]
    fn only_a_bad_token_is_401_and_only_a_lone_later_is_503() {
        assert_eq!(Answer::of_words(&[Word::BadAuth]).status, 401);
        assert_eq!(Answer::of_words(&[Word::Later]).status, 503);
        let two = Answer::of_words(&[Word::Good(vec![[203, 0, 113, 7].into()]), Word::Later]);
        assert_eq!((two.status, two.body.as_str()), (200, "good 203.0.113.7\n911\n"));
    }
}
