//! Who a peer says it is, and what it sends to prove that (RFC 4954, RFC 4616).
//!
//! ```text
//! AUTH PLAIN -> 334 -> base64(NUL account NUL token)           -> 235 | 535
//! AUTH LOGIN -> 334 -> base64(account) -> 334 -> base64(token) -> 235 | 535
//! ```

use std::fmt;

use data_encoding::BASE64;
use zeroize::Zeroizing;

use super::command::Mechanism;
use super::reply::{self, Reply};
use crate::base::AccountId;

/// Wrong proofs in one session, then 421. Each is answered after a pause.
pub const WRONG_MAX: u32 = 3;

/// A name and a secret that are still to be looked at.
#[derive(PartialEq, Eq)]
pub struct Credentials {
    /// The account.
    pub name: String,
    /// Its token.
    pub secret: Zeroizing<String>,
}

/// Without the secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What is said to one line.
#[derive(PartialEq, Eq, Debug)]
pub enum Step {
    /// Ask on.
    Ask(Reply),
    /// All is there.
    Judge(Credentials),
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Asked {
    Plain,
    Name,
    Secret(String),
}

/// Where a session stands with it.
#[derive(Debug, Default)]
pub struct Login {
    asked: Option<Asked>,
    account: Option<AccountId>,
    wrong: u32,
}

impl Login {
    /// The next line is an answer and no command.
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// What was asked is not asked any more.
    pub fn cancel(&mut self) {
        self.asked = None;
    }

    /// Whose server this is, once that is proven.
    #[must_use]
    pub const fn account(&self) -> Option<AccountId> {
        self.account
    }

    /// AUTH with what came in the same line, if anything did: `=` for nothing (RFC 4954 §4).
    ///
    /// # Errors
    /// The reply that ends the exchange.
    pub fn begin(&mut self, mechanism: Mechanism, response: Option<&str>) -> Result<Step, Reply> {
        self.asked = Some(match mechanism {
            Mechanism::Plain => Asked::Plain,
            Mechanism::Login => Asked::Name,
        });
        match (response, mechanism) {
            (Some("="), _) => self.answer(b""),
            (Some(response), _) => self.answer(response.as_bytes()),
            (None, Mechanism::Plain) => Ok(Step::Ask(reply::AUTH_GO_ON)),
            (None, Mechanism::Login) => Ok(Step::Ask(reply::AUTH_NAME)),
        }
    }

    /// A line that was asked for.
    ///
    /// # Errors
    /// The reply that ends the exchange.
    pub fn answer(&mut self, line: &[u8]) -> Result<Step, Reply> {
        let Some(asked) = self.asked.take() else { return Err(reply::BAD_SYNTAX) };
        if line == b"*" {
            return Err(reply::AUTH_CANCELLED);
        }
        let octets = Zeroizing::new(BASE64.decode(line).map_err(|_| reply::AUTH_NOT_BASE64)?);
        let text = std::str::from_utf8(&octets).map_err(|_| reply::AUTH_WRONG)?;
        match asked {
            Asked::Plain => plain(text).map(Step::Judge).ok_or(reply::AUTH_NOT_BASE64),
            Asked::Name => {
                self.asked = Some(Asked::Secret(text.to_owned()));
                Ok(Step::Ask(reply::AUTH_SECRET))
            }
            Asked::Secret(name) => Ok(Step::Judge(Credentials { name, secret: Zeroizing::new(text.to_owned()) })),
        }
    }

    /// The proof was good.
    pub const fn succeed(&mut self, account: AccountId) {
        self.account = Some(account);
    }

    /// It was not; true when that was once too often.
    pub const fn fail(&mut self) -> bool {
        self.wrong = self.wrong.saturating_add(1);
        self.wrong >= WRONG_MAX
    }
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 §2). Nobody acts for another here.
fn plain(text: &str) -> Option<Credentials> {
    let mut parts = text.split('\0');
    let (acts_for, name, secret) = (parts.next()?, parts.next()?, parts.next()?);
    let is_good = parts.next().is_none() && !name.is_empty() && (acts_for.is_empty() || acts_for == name);
    is_good.then(|| Credentials { name: name.to_owned(), secret: Zeroizing::new(secret.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(name: &str, secret: &str) -> Step {
        Step::Judge(Credentials { name: name.to_owned(), secret: Zeroizing::new(secret.to_owned()) })
    }

    fn encoded(text: &str) -> String {
        BASE64.encode(text.as_bytes())
    }

    #[test]
    fn plain_takes_one_line_with_or_without_a_question() {
        let mut login = Login::default();
        assert_eq!(login.begin(Mechanism::Plain, Some(&encoded("\0firma\0pma-x"))), Ok(credentials("firma", "pma-x")));
        assert_eq!(login.begin(Mechanism::Plain, None), Ok(Step::Ask(reply::AUTH_GO_ON)));
        assert!(login.is_asked());
        assert_eq!(login.answer(encoded("firma\0firma\0pma-x").as_bytes()), Ok(credentials("firma", "pma-x")));
        assert!(!login.is_asked());
        for wrong in ["", "firma", "\0firma", "other\0firma\0pma-x", "\0\0x", "\0firma\0x\0y"] {
            assert!(login.begin(Mechanism::Plain, Some(&encoded(wrong))).is_err(), "{wrong:?}");
            assert!(!login.is_asked());
        }
        assert_eq!(login.begin(Mechanism::Plain, Some("=")), Err(reply::AUTH_NOT_BASE64));
    }

    #[test]
    fn login_asks_twice() {
        let mut login = Login::default();
        assert_eq!(login.begin(Mechanism::Login, None), Ok(Step::Ask(reply::AUTH_NAME)));
        assert_eq!(login.answer(encoded("firma").as_bytes()), Ok(Step::Ask(reply::AUTH_SECRET)));
        assert_eq!(login.answer(encoded("pma-x").as_bytes()), Ok(credentials("firma", "pma-x")));
        assert_eq!(login.begin(Mechanism::Login, Some(&encoded("firma"))), Ok(Step::Ask(reply::AUTH_SECRET)));
        assert_eq!(login.answer(b"*"), Err(reply::AUTH_CANCELLED));
        assert!(!login.is_asked());
    }

    #[test]
    fn what_is_no_base64_ends_the_exchange() {
        let mut login = Login::default();
        for line in [&b"firma!"[..], b"Zg", b"\xff\xfe", b"Zg== "] {
            login.begin(Mechanism::Login, None).unwrap();
            assert_eq!(login.answer(line), Err(reply::AUTH_NOT_BASE64));
            assert!(!login.is_asked());
        }
        login.begin(Mechanism::Login, None).unwrap();
        assert_eq!(login.answer(BASE64.encode(b"\xff").as_bytes()), Err(reply::AUTH_WRONG));
    }
}
