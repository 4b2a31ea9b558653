//! What a sender wants to be told of its mail (RFC 3461 §4): kept with the message and passed on as it was said.

use std::fmt;
use std::str::FromStr;

/// How much of the message a DSN brings back (`RET`, RFC 3461 §4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Return {
    /// `FULL`.
    Full,
    /// `HDRS`.
    Headers,
}

/// What is asked for the whole message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MessageDsn {
    /// `RET`, if said.
    pub ret: Option<Return>,
    /// `ENVID` without its xtext (RFC 3461 §4.4): printable ASCII and blanks, at most 100 octets.
    pub envelope_id: Option<String>,
}

/// When a DSN is wanted (`NOTIFY`, RFC 3461 §4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notify {
    /// `NEVER`.
    Never,
    /// At least one of them.
    When {
        /// `SUCCESS`.
        success: bool,
        /// `FAILURE`.
        failure: bool,
        /// `DELAY`.
        delay: bool,
    },
}

/// What is asked for one recipient.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecipientDsn {
    /// `NOTIFY`, if said.
    pub notify: Option<Notify>,
    /// `ORCPT` as `type;address` without its xtext (RFC 3461 §4.2): no control characters, at most 500 octets.
    pub original_recipient: Option<String>,
}

/// A word that RFC 3461 does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no value of this DSN parameter")]
pub struct DsnValueError;

impl fmt::Display for Return {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        })
    }
}

impl FromStr for Return {
    type Err = DsnValueError;

    fn from_str(text: &str) -> Result<Self, DsnValueError> {
        if text.eq_ignore_ascii_case("FULL") {
            Ok(Self::Full)
        } else if text.eq_ignore_ascii_case("HDRS") {
            Ok(Self::Headers)
        } else {
            Err(DsnValueError)
        }
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::When { success, failure, delay } = *self else { return f.write_str("NEVER") };
        let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
        let mut comma = "";
        for (_, word) in words.iter().filter(|(is_wanted, _)| *is_wanted) {
            write!(f, "{comma}{word}")?;
            comma = ",";
        }
        Ok(())
    }
}

impl FromStr for Notify {
    type Err = DsnValueError;

    /// `NEVER` stands alone (RFC 3461 §4.1).
    fn from_str(text: &str) -> Result<Self, DsnValueError> {
        if text.eq_ignore_ascii_case("NEVER") {
            return Ok(Self::Never);
        }
        let (mut success, mut failure, mut delay) = (false, false, false);
        for word in text.split(',') {
            let place = if word.eq_ignore_ascii_case("SUCCESS") {
                &mut success
            } else if word.eq_ignore_ascii_case("FAILURE") {
                &mut failure
            } else if word.eq_ignore_ascii_case("DELAY") {
                &mut delay
            } else {
                return Err(DsnValueError);
            };
            *place = true;
        }
        Ok(Self::When { success, failure, delay })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_case_and_written_in_one() {
        for (text, written) in
            [("never", "NEVER"), ("delay,Success", "SUCCESS,DELAY"), ("FAILURE,FAILURE", "FAILURE"), ("DELAY", "DELAY")]
        {
            let notify: Notify = text.parse().unwrap();
            assert_eq!(notify.to_string(), written);
            assert_eq!(written.parse(), Ok(notify));
        }
        for text in ["", "NEVER,DELAY", "SUCCESS,", ",DELAY", "SUCCESS DELAY", "ALWAYS"] {
            assert_eq!(text.parse::<Notify>(), Err(DsnValueError), "{text}");
        }
        assert_eq!("hdrs".parse::<Return>().unwrap().to_string(), "HDRS");
        assert_eq!("full".parse::<Return>().unwrap().to_string(), "FULL");
        assert!("BODY".parse::<Return>().is_err());
    }
}
