//! Mail for a server that is asked while the sender waits.

use std::collections::VecDeque;

use super::*;
use crate::smtp::reply::{self, Reply};
use crate::smtp::through::{Answer, Question, passed_on};

/// A primary, and what it was asked.
#[derive(Default)]
pub(super) struct Primary {
    answers: VecDeque<Answer>,
    /// Absent: stored.
    last: Option<Reply>,
    asked: Vec<String>,
    handed: Vec<NewMessage>,
}

impl Talk {
    pub(super) fn ask_primary(&mut self, question: Question) {
        assert!(self.session.is_passing());
        self.primary.asked.push(question.recipient.mailbox.to_string());
        let answer = self.primary.answers.pop_front().unwrap_or(Answer::Taken(reply::RECIPIENT_OK));
        self.session.handle_asked(answer, &self.world, self.now);
    }

    pub(super) fn hand_over(&mut self, message: NewMessage) {
        assert!(self.session.is_passing());
        self.primary.handed.push(message);
        match self.primary.last.clone() {
            Some(words) => self.session.handle_passed(&words, self.now),
            None => self.session.handle_committed(self.commit_as, &self.world, self.now),
        }
    }
}

fn words(code: u16, text: &str) -> Reply {
    passed_on(code, None, &[text.to_owned()])
}

fn talk_through(answers: impl IntoIterator<Item = Answer>, last: Option<Reply>) -> Talk {
    let mut talk = talk().greeted();
    talk.world.through.set(true);
    talk.primary = Primary { answers: answers.into_iter().collect(), last, ..Primary::default() };
    talk
}

#[test]
fn the_primarys_words_are_the_senders_and_nothing_is_stored() {
    let answers = [Answer::Refused(words(550, "no such user")), Answer::Taken(words(250, "fine by me"))];
    let mut talk = talk_through(answers, Some(words(250, "queued as 77")));
    let envelope = "MAIL FROM:<a@b.example>\r\nRCPT TO:<x@firma.example>\r\nRCPT TO:<y@firma.example>\r\nDATA\r\n";
    assert_eq!(talk.say(envelope), [250, 550, 250, 354]);
    assert!(talk.replies.contains("550 5.0.0 no such user\r\n250 2.0.0 fine by me\r\n"), "{}", talk.replies);
    assert_eq!(talk.say("hello\r\n.\r\n"), [250]);
    assert_eq!(talk.replies, "250 2.0.0 queued as 77\r\n");
    assert_eq!(talk.primary.asked, ["x@firma.example", "y@firma.example"]);
    assert_eq!(talk.primary.handed[0].recipients.len(), 1);
    assert!(talk.committed.is_empty() && !talk.session.is_passing());
    talk.primary.last = Some(words(554, "spam"));
    assert_eq!(talk.say(ENVELOPE), [250, 250, 354]);
    assert_eq!(talk.say("hello\r\n.\r\n"), [554]);
}

#[test]
fn a_message_that_could_not_be_passed_is_ours_only_after_the_commit() {
    for (outcome, code) in [(Committed::Stored, 250), (Committed::NotStored, 451), (Committed::Unknown, 451)] {
        let mut talk = talk_through([], None);
        talk.commit_as = outcome;
        assert_eq!(talk.say(ENVELOPE), [250, 250, 354]);
        assert_eq!(talk.say("hello\r\n.\r\n"), [code]);
    }
}

#[test]
fn a_recipient_of_another_account_has_the_whole_message_stored() {
    let mut talk = talk_through([], Some(words(250, "not to be heard")));
    let envelope = "MAIL FROM:<>\r\nRCPT TO:<x@firma.example>\r\nRCPT TO:<y@verein.example>\r\nRCPT TO:<z@firma.example>\r\nDATA\r\n";
    assert_eq!(talk.say(envelope), [250, 250, 250, 250, 354]);
    assert!(!talk.session.is_passing());
    assert_eq!(talk.say("hello\r\n.\r\n"), [250]);
    assert_eq!((talk.primary.asked.len(), talk.primary.handed.len()), (1, 0));
    assert_eq!(talk.committed[0].recipients.len(), 3);
}

#[test]
fn what_is_wrong_with_a_content_is_said_before_the_primary_hears_of_it() {
    let mut talk = talk_through([], Some(words(250, "not to be heard")));
    assert_eq!(talk.say(ENVELOPE), [250, 250, 354]);
    assert_eq!(talk.say("a\nb\r\n.\r\n"), [550]);
    assert!(talk.primary.handed.is_empty() && !talk.session.is_passing());
    talk.say("MAIL FROM:<>\r\nRCPT TO:<x@firma.example>\r\n");
    assert!(talk.session.is_passing());
    talk.say("RSET\r\n");
    assert!(!talk.session.is_passing(), "the primary's session is free again");
}

#[test]
fn pieces_of_a_large_content_are_taken_back_where_the_primary_refused_it() {
    for (code, abandoned) in [(250, 0), (554, 1)] {
        let mut talk = talk_through([], Some(words(code, "said")));
        talk.say(ENVELOPE);
        let line = format!("{}\r\n", "x".repeat(998));
        assert_eq!(talk.say(&format!("{}.\r\n", line.repeat(100))), [code]);
        assert!(!talk.pieces.is_empty());
        talk.say("NOOP\r\n");
        assert_eq!(talk.abandoned.len(), abandoned, "of one that the primary has they go with its record");
    }
}

#[test]
fn refusals_of_the_primary_slow_harvesters_like_ours() {
    let refused = (0..12).map(|_| Answer::Refused(words(550, "no such user")));
    let mut talk = talk_through(refused, None);
    talk.say("MAIL FROM:<>\r\n");
    for n in 0..12 {
        talk.say(&format!("RCPT TO:<u{n}@firma.example>\r\n"));
    }
    assert!(!talk.paused.is_empty());
}
