//! `Idempotency-Key`: a request that is repeated with its key is carried out once, and answered the same again.
//!
//! In memory: a restart of the service forgets all keys. Answers other than 2xx are not kept, so that a request that
//! failed may be sent again as it is.

use std::collections::HashMap;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode};

use crate::account::ApiTokenId;
use crate::base::Moment;

/// How long an answer is kept.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(3_600);
/// Answers kept for one token, at most; the oldest goes first.
const PER_TOKEN_MAX: usize = 64;
/// Answers kept in all.
const ANSWERS_MAX: usize = 2_048;
/// Octets of one answer that is kept; a longer one is not.
pub(super) const ANSWER_OCTETS_MAX: usize = 16 * 1024;
/// Characters of a key.
const KEY_CHARS_MAX: usize = 128;

/// A key as it was sent, if it is one.
pub(super) fn key(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?.trim();
    let is_key = (1..=KEY_CHARS_MAX).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic());
    is_key.then_some(text)
}

/// An answer that is given again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: Option<HeaderValue>,
    pub(super) body: Bytes,
}

/// What is to be done with a request that carries a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Begin {
    /// Carry it out and call [`Answers::end`].
    Run,
    /// It was carried out.
    Again(Answer),
    /// It is being carried out.
    Busy,
    /// The key belongs to something else.
    Reused,
    /// No more keys can be remembered now.
    Full,
}

#[derive(Debug)]
struct Kept {
    since: Moment,
    /// Hash of method, address and body.
    of: [u8; 32],
    answer: Option<Answer>,
}

/// The answers of the last hour.
#[derive(Debug, Default)]
pub(super) struct Answers(HashMap<(ApiTokenId, String), Kept>);

impl Answers {
    /// A request with this key of this token comes in; `of` stands for method, address and body.
    pub(super) fn begin(&mut self, token: &ApiTokenId, key: &str, of: [u8; 32], now: Moment) -> Begin {
        let place = (token.clone(), key.to_owned());
        if let Some(kept) = self.0.get(&place).filter(|kept| now.since(kept.since) < KEPT_FOR) {
            return match &kept.answer {
                _ if kept.of != of => Begin::Reused,
                Some(answer) => Begin::Again(answer.clone()),
                None => Begin::Busy,
            };
        }
        if !self.make_room(token, now) {
            return Begin::Full;
        }
        self.0.insert(place, Kept { since: now, of, answer: None });
        Begin::Run
    }

    /// The request was carried out; `None` where its answer is not to be kept.
    pub(super) fn end(&mut self, token: &ApiTokenId, key: &str, answer: Option<Answer>) {
        let place = (token.clone(), key.to_owned());
        match answer {
            Some(answer) => {
                if let Some(kept) = self.0.get_mut(&place) {
                    kept.answer = Some(answer);
                }
            }
            None => drop(self.0.remove(&place)),
        }
    }

    fn make_room(&mut self, token: &ApiTokenId, now: Moment) -> bool {
        let of_token = |map: &HashMap<(ApiTokenId, String), Kept>| map.keys().filter(|(id, _)| id == token).count();
        if self.0.len() < ANSWERS_MAX && of_token(&self.0) < PER_TOKEN_MAX {
            return true;
        }
        self.0.retain(|_, kept| now.since(kept.since) < KEPT_FOR);
        while of_token(&self.0) >= PER_TOKEN_MAX {
            if !self.drop_oldest(Some(token)) {
                return false;
            }
        }
        while self.0.len() >= ANSWERS_MAX {
            if !self.drop_oldest(None) {
                return false;
            }
        }
        true
    }

    /// Forgets the oldest answer, of one token or of all. One that is still being made is not forgotten.
    fn drop_oldest(&mut self, token: Option<&ApiTokenId>) -> bool {
        let done =
            self.0.iter().filter(|(place, kept)| kept.answer.is_some() && token.is_none_or(|token| place.0 == *token));
        let oldest = done.min_by_key(|(_, kept)| kept.since).map(|(place, _)| place.clone());
        oldest.is_some_and(|place| self.0.remove(&place).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::from_millis(3_600_000);

    fn token(letter: char) -> ApiTokenId {
        format!("t{}", letter.to_string().repeat(12)).parse().unwrap()
    }

    fn answer(text: &'static str) -> Answer {
        Answer { status: StatusCode::CREATED, content_type: None, body: Bytes::from_static(text.as_bytes()) }
    }

    #[test]
    fn a_repetition_is_answered_as_the_first_and_only_for_its_own_token_and_request() {
        let mut answers = Answers::default();
        let (one, other) = (token('a'), token('b'));
        assert_eq!(answers.begin(&one, "k", [1; 32], START), Begin::Run);
        assert_eq!(answers.begin(&one, "k", [1; 32], START), Begin::Busy);
        answers.end(&one, "k", Some(answer("done")));
        assert_eq!(answers.begin(&one, "k", [1; 32], START), Begin::Again(answer("done")));
        assert_eq!(answers.begin(&one, "k", [2; 32], START), Begin::Reused);
        assert_eq!(answers.begin(&other, "k", [1; 32], START), Begin::Run);
        assert_eq!(answers.begin(&one, "k", [2; 32], START + KEPT_FOR), Begin::Run);
    }

    #[test]
    fn what_failed_may_be_tried_again_with_the_same_key() {
        let mut answers = Answers::default();
        assert_eq!(answers.begin(&token('a'), "k", [1; 32], START), Begin::Run);
        answers.end(&token('a'), "k", None);
        assert_eq!(answers.begin(&token('a'), "k", [2; 32], START), Begin::Run);
    }

    #[test]
    fn one_token_pushes_out_its_own_answers_alone_and_memory_is_bounded() {
        let mut answers = Answers::default();
        assert_eq!(answers.begin(&token('a'), "mine", [1; 32], START), Begin::Run);
        answers.end(&token('a'), "mine", Some(answer("a")));
        for number in 0..1_000u64 {
            let now = START + Duration::from_millis(number);
            assert_eq!(answers.begin(&token('b'), &number.to_string(), [0; 32], now), Begin::Run);
            answers.end(&token('b'), &number.to_string(), Some(answer("b")));
        }
        assert_eq!(answers.0.len(), 1 + PER_TOKEN_MAX);
        assert_eq!(answers.begin(&token('a'), "mine", [1; 32], START), Begin::Again(answer("a")));
        let mut running = Answers::default();
        let taken = (0..100).filter(|n: &u32| running.begin(&token('c'), &n.to_string(), [0; 32], START) == Begin::Run);
        assert_eq!(taken.count(), PER_TOKEN_MAX, "what runs is not forgotten");
    }

    #[test]
    fn a_key_is_visible_ascii_of_bounded_length() {
        let is_key = |text: &str| key(&HeaderValue::from_str(text).unwrap()).is_some();
        assert!(is_key("8e03978e-40d5-43e8-bc93-6894a57f9324") && is_key(&"k".repeat(128)));
        assert!(!is_key("") && !is_key("a b") && !is_key(&"k".repeat(129)));
    }
}
