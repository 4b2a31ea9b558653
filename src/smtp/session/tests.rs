//! Conversations without sockets.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

mod chunks;
mod etrn;
mod forwarders;
mod listed;
mod through;
mod village;

use super::*;
use crate::account::{Account, AccountStatus, Directory, Domain};
use crate::base::{AccountId, ByteCount, EndpointId, SpoolIds, WallTime};
use crate::liveness::{LineState, LineView};
use crate::recipient::Judgement;
use crate::smtp::rates::Deed;
use crate::spool::Usage;
use village::{Village, name};

/// A session with its input, and everything it asked the driver to do.
struct Talk {
    session: Session,
    input: BytesMut,
    world: Village,
    now: Moment,
    replies: String,
    committed: Vec<NewMessage>,
    pieces: Vec<(u32, usize)>,
    abandoned: Vec<SpoolId>,
    paused: Vec<Duration>,
    commit_as: Committed,
    piece: PieceOutcome,
    writes: u32,
    last: &'static str,
    primary: through::Primary,
}

fn talk_with(change: impl FnOnce(&mut Settings)) -> Talk {
    let mut settings = Settings::new(name("mx.example"));
    settings.message_octets_max = ByteCount(300_000);
    change(&mut settings);
    let now = Moment::from_millis(1_000_000);
    let mut talk = Talk {
        session: Session::new(Arc::new(settings), Arc::default(), "192.0.2.1".parse().unwrap(), true, now),
        input: BytesMut::new(),
        world: Village::new(),
        now,
        replies: String::new(),
        committed: vec![],
        pieces: vec![],
        abandoned: vec![],
        paused: vec![],
        commit_as: Committed::Stored,
        piece: PieceOutcome::Stored,
        writes: 0,
        last: "",
        primary: through::Primary::default(),
    };
    talk.say("");
    talk
}

fn talk() -> Talk {
    talk_with(|_| {})
}

impl Talk {
    /// Says this; the codes of the replies, in order.
    fn say(&mut self, text: &str) -> Vec<u16> {
        self.say_octets(text.as_bytes())
    }

    fn say_octets(&mut self, octets: &[u8]) -> Vec<u16> {
        self.input.extend_from_slice(octets);
        self.replies.clear();
        loop {
            let action = self.session.advance(&mut self.input, &self.world, self.now);
            match action {
                Action::Read | Action::Flush | Action::Close | Action::StartTls => {
                    let output = self.session.output().split();
                    self.writes += u32::from(!output.is_empty());
                    self.replies.push_str(std::str::from_utf8(&output).unwrap());
                    if matches!(action, Action::Flush) {
                        continue;
                    }
                    self.last = if matches!(action, Action::Close) {
                        "close"
                    } else if matches!(action, Action::StartTls) {
                        "starttls"
                    } else {
                        "read"
                    };
                    break;
                }
                Action::StorePiece { ordinal, bytes, .. } => {
                    self.pieces.push((ordinal, bytes.len()));
                    self.session.handle_piece(self.piece);
                }
                Action::Commit(message) => {
                    let said = String::from_utf8_lossy(self.session.output()).into_owned();
                    assert!(!said.contains(&message.id.to_string()), "250 before the commit");
                    self.committed.push(*message);
                    self.session.handle_committed(self.commit_as, &self.world, self.now);
                }
                Action::Pause(until) => {
                    let output = self.session.output().split();
                    self.replies.push_str(std::str::from_utf8(&output).unwrap());
                    self.paused.push(until.since(self.now));
                    self.now = until;
                }
                Action::Abandon(id) => self.abandoned.push(id),
                Action::AskPrimary(question) => self.ask_primary(*question),
                Action::HandOver(message) => self.hand_over(*message),
            }
        }
        self.replies.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| line[..3].parse().unwrap()).collect()
    }

    fn greeted(mut self) -> Self {
        assert_eq!(self.say("EHLO mail.sender.example\r\n"), [250]);
        self
    }
}

const ENVELOPE: &str = "MAIL FROM:<a@sender.example>\r\nRCPT TO:<b@firma.example>\r\nDATA\r\n";

#[test]
fn a_message_is_acknowledged_after_the_commit_with_its_whereabouts() {
    let mut talk = talk().greeted();
    assert_eq!(talk.say(ENVELOPE), [250, 250, 354]);
    assert_eq!(talk.say("Subject: hi\r\n\r\n..dot\r\n.\r\n"), [250]);
    assert!(talk.replies.contains("held for firma.example, primary offline since 2026-11-24T"), "{}", talk.replies);
    let message = &talk.committed[0];
    assert_eq!(message.tail.concat(), b"Subject: hi\r\n\r\n.dot\r\n");
    assert_eq!((message.octets, message.chunks_ahead), (21, 0));
    assert_eq!(message.header.subject, "hi");
    assert_eq!(message.reverse_path.to_string(), "a@sender.example");
    let trace = String::from_utf8(message.trace.to_vec()).unwrap();
    assert!(trace.contains("with ESMTP id ") && trace.contains(&message.id.to_string()));
    assert!(talk.replies.contains(&message.id.to_string()));
}

#[test]
fn every_state_of_the_line_has_its_words() {
    for (state, words) in [
        (Some(LineState::Online), "stored, on its way to firma.example"),
        (Some(LineState::Returning), "stored, on its way to firma.example"),
        (Some(LineState::Suspect), "primary missed a heartbeat"),
        (Some(LineState::New), "primary not seen yet"),
        (None, "primary not seen yet"),
    ] {
        let mut talk = talk().greeted();
        talk.world.state.set(state);
        talk.say(ENVELOPE);
        assert_eq!(talk.say(".\r\n"), [250]);
        assert!(talk.replies.contains(words), "{state:?}: {}", talk.replies);
    }
}

#[test]
fn a_failed_commit_is_never_a_250() {
    for outcome in [Committed::NotStored, Committed::Unknown] {
        let mut talk = talk().greeted();
        talk.commit_as = outcome;
        talk.say(ENVELOPE);
        assert_eq!(talk.say("x\r\n.\r\n"), [451]);
        talk.commit_as = Committed::Stored;
        talk.say(ENVELOPE);
        assert_eq!(talk.say("x\r\n.\r\n"), [250]);
    }
}

#[test]
fn pieces_go_ahead_and_are_taken_back_when_the_message_fails() {
    let body = format!("{}\r\n", "x".repeat(150_000));
    let mut talk = talk().greeted();
    talk.say(ENVELOPE);
    assert_eq!(talk.say(&format!("{body}.\r\n")), [250]);
    assert_eq!(talk.pieces, [(0, 65536), (1, 65536)]);
    assert_eq!(talk.committed[0].chunks_ahead, 2);
    assert_eq!(talk.committed[0].tail.concat().len(), 150_002 - 2 * 65536);
    talk.commit_as = Committed::NotStored;
    talk.say(ENVELOPE);
    assert_eq!(talk.say(&format!("{body}.\r\n")), [451]);
    assert_eq!(talk.abandoned, [talk.committed[1].id]);
    talk.commit_as = Committed::Unknown;
    talk.say(ENVELOPE);
    assert_eq!(talk.say(&format!("{body}.\r\n")), [451]);
    assert_eq!(talk.abandoned.len(), 1, "a message that may be stored keeps its pieces");
}

#[test]
fn a_piece_that_was_not_stored_defers_the_message() {
    let mut talk = talk().greeted();
    talk.piece = PieceOutcome::NotStored;
    talk.say(ENVELOPE);
    assert_eq!(talk.say(&format!("{}\r\n.\r\n", "x".repeat(250_000))), [451]);
    assert_eq!((talk.committed.len(), talk.abandoned.len(), talk.pieces.len()), (0, 1, 1));
    talk.piece = PieceOutcome::NoRoom;
    talk.say(ENVELOPE);
    assert_eq!(talk.say(&format!("{}\r\n.\r\n", "x".repeat(250_000))), [452]);
    assert!(talk.replies.contains("4.3.1"));
}

#[test]
fn a_peer_that_leaves_in_the_middle_leaves_nothing_behind() {
    let mut talk = talk().greeted();
    talk.say(ENVELOPE);
    talk.say(&"x".repeat(100_000));
    assert!(talk.session.handle_disconnect().is_some());
    assert!(talk.session.handle_disconnect().is_none());
}

#[test]
fn pipelined_replies_leave_in_one_write() {
    let mut talk = talk().greeted();
    let before = talk.writes;
    assert_eq!(talk.say(ENVELOPE), [250, 250, 354]);
    assert_eq!(talk.writes, before + 1);
    assert_eq!(talk.say(&format!("x\r\n.\r\n{ENVELOPE}y\r\n.\r\nQUIT\r\n")), [250, 250, 250, 354, 250, 221]);
    assert_eq!((talk.writes, talk.last), (before + 2, "close"));
}

#[test]
fn data_without_a_recipient_takes_no_content() {
    let mut talk = talk().greeted();
    let codes =
        talk.say("MAIL FROM:<a@b.example>\r\nRCPT TO:<x@elsewhere.example>\r\nDATA\r\nNOOP\r\nRSET\r\nDATA\r\n");
    assert_eq!(codes, [250, 550, 554, 250, 250, 503]);
    assert!(talk.committed.is_empty());
}

#[test]
fn commands_out_of_order_are_refused() {
    let mut talk = talk();
    assert_eq!(
        talk.say("MAIL FROM:<>\r\nRCPT TO:<b@firma.example>\r\nDATA\r\nSTARTTLS\r\nRSET\r\n"),
        [503, 503, 503, 503, 250]
    );
    let mut talk = talk.greeted();
    assert_eq!(talk.say("RCPT TO:<b@firma.example>\r\nDATA\r\n"), [503, 503]);
    assert_eq!(talk.say("MAIL FROM:<>\r\nMAIL FROM:<>\r\n"), [250, 503]);
    assert_eq!(talk.say("EHLO again.example\r\nMAIL FROM:<>\r\n"), [250, 250], "EHLO ends the transaction");
    assert_eq!(talk.say("RSET\r\nMAIL FROM:<>\r\n"), [250, 250]);
}

#[test]
fn declared_size_is_refused_early_and_real_size_late() {
    let mut talk = talk().greeted();
    assert_eq!(talk.say("MAIL FROM:<> SIZE=300001\r\n"), [552]);
    talk.say(ENVELOPE);
    assert_eq!(talk.say(&format!("{}\r\n.\r\nNOOP\r\n", "x".repeat(300_000))), [552, 250]);
    assert_eq!((talk.committed.len(), talk.abandoned.len()), (0, 1));
}

#[test]
fn what_is_on_the_disk_already_is_not_asked_for_again() {
    let mut talk = talk().greeted();
    talk.world.room.set(100_000);
    talk.say(ENVELOPE);
    assert_eq!(talk.say(&format!("{}\r\n.\r\n", "x".repeat(250_000))), [250]);
}

#[test]
fn below_the_disk_reserve_mail_is_deferred_before_and_after_its_content() {
    let mut talk = talk().greeted();
    talk.world.room.set(1_000);
    assert_eq!(talk.say("MAIL FROM:<> SIZE=1000\r\n"), [452]);
    assert!(talk.replies.contains("4.3.1"));
    talk.say(ENVELOPE);
    assert_eq!(talk.say(&format!("{}\r\n.\r\n", "x".repeat(1_000))), [452]);
    talk.world.room.set(0);
    assert_eq!(talk.say("MAIL FROM:<>\r\n"), [452]);
    assert!(talk.committed.is_empty());
}

#[test]
fn bare_line_ends_and_loops_are_refused_after_the_end() {
    let mut talk = talk().greeted();
    talk.say(ENVELOPE);
    assert_eq!(talk.say("x\n.\nMAIL FROM:<>\r\n.\r\n"), [550]);
    assert!(talk.replies.contains("5.6.11"));
    talk.say(ENVELOPE);
    assert_eq!(talk.say(&format!("{}\r\n.\r\n", "Received: x\r\n".repeat(101))), [554]);
    assert!(talk.replies.contains("5.4.6"));
    assert!(talk.committed.is_empty());
}

#[test]
fn one_transaction_may_reach_several_customers_and_each_mailbox_once() {
    let mut talk = talk().greeted();
    let codes = talk.say("MAIL FROM:<>\r\nRCPT TO:<b@firma.example>\r\nRCPT TO:<b@FIRMA.example>\r\nRCPT TO:<B@firma.example>\r\nRCPT TO:<c@verein.example>\r\nDATA\r\n");
    assert_eq!(codes, [250, 250, 250, 250, 250, 354]);
    assert_eq!(talk.say(".\r\n"), [250]);
    assert!(talk.replies.contains("held for firma.example and 1 more domain"), "{}", talk.replies);
    let accounts: Vec<i64> = talk.committed[0].recipients.iter().map(|r| r.account.0).collect();
    assert_eq!(accounts, [1, 1, 2]);
    assert!(!String::from_utf8_lossy(&talk.committed[0].trace).contains("for <"));
}

#[test]
fn a_transaction_takes_1000_recipients() {
    let mut talk = talk().greeted();
    talk.say("MAIL FROM:<>\r\n");
    for n in 0..1000 {
        assert_eq!(talk.say(&format!("RCPT TO:<b{n}@firma.example>\r\n")), [250]);
    }
    assert_eq!(talk.say("RCPT TO:<more@firma.example>\r\nRCPT TO:<b1@firma.example>\r\nDATA\r\n"), [452, 250, 354]);
    assert_eq!(talk.say(".\r\n"), [250]);
    assert_eq!(talk.committed[0].recipients.len(), 1000);
}

#[test]
fn an_account_that_fills_up_meanwhile_defers_after_the_dot() {
    let mut talk = talk_with(|settings| settings.account_octets_max = ByteCount(1000)).greeted();
    talk.world.held.insert(AccountId(1), 990);
    assert_eq!(talk.say("MAIL FROM:<> SIZE=500\r\nRCPT TO:<b@firma.example>\r\nRSET\r\n"), [250, 452, 250]);
    assert_eq!(talk.say(ENVELOPE), [250, 250, 354]);
    assert_eq!(talk.say(&format!("{}\r\n.\r\n", "x".repeat(50))), [452]);
    assert!(talk.committed.is_empty());
}

#[test]
fn too_many_errors_or_idle_commands_end_the_session() {
    let mut talk = talk().greeted();
    let codes = talk.say(&"XYZZY\r\n".repeat(50));
    assert_eq!((codes.len(), codes.last(), talk.last), (21, Some(&421), "close"));
    let mut talk = self::talk().greeted();
    let codes = talk.say(&"NOOP\r\n".repeat(500));
    assert_eq!((codes.last(), talk.last), (Some(&421), "close"));
    assert!(codes.len() <= 101);
}

#[test]
fn who_looks_for_addresses_is_slowed_and_then_sent_away() {
    let tries = "RCPT TO:<x@elsewhere.example>\r\n".repeat(30);
    let mut talk = talk().greeted();
    talk.say("MAIL FROM:<>\r\n");
    let codes = talk.say(&tries);
    assert_eq!((codes.len(), codes.last(), talk.last), (21, Some(&421), "close"));
    assert_eq!(talk.paused, [Duration::from_secs(5); 15]);
    let mut talk = talk_with(|settings| settings.exempt_networks = vec!["192.0.2.0/24".parse().unwrap()]).greeted();
    talk.say("MAIL FROM:<>\r\n");
    talk.say(&tries);
    assert!(talk.paused.is_empty());
}

#[test]
fn a_newcomer_takes_the_place_of_a_session_without_a_transaction() {
    let mut talk = talk().greeted();
    talk.say("MAIL FROM:<>\r\n");
    talk.session.handle_place_needed();
    assert_eq!((talk.say("RSET\r\n"), talk.last), (vec![250], "read"));
    talk.session.handle_place_needed();
    assert_eq!((talk.say(""), talk.last), (vec![421], "close"));
}

#[test]
fn long_lines_and_foreign_protocols_do_no_harm() {
    let mut talk = talk().greeted();
    assert_eq!(talk.say(&"x".repeat(5000)), [0u16; 0]);
    assert_eq!(talk.say(&format!("{}\r\nNOOP\r\n", "y".repeat(100))), [500, 250]);
    assert_eq!(talk.say(&format!("NOOP {}\r\nNOOP\r\n", "y".repeat(5000))), [500, 250]);
    assert_eq!(talk.say("NOOP\nMAIL FROM:<>\r\n"), [500]);
    assert_eq!(talk.last, "close");
    for line in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\n", "CONNECT a:25 HTTP/1.0\r\n"] {
        let mut talk = self::talk();
        assert_eq!((talk.say(line), talk.last), (vec![554], "close"), "{line}");
    }
}

#[test]
fn starttls_forgets_what_was_said_and_refuses_injection() {
    let mut talk = talk().greeted();
    talk.say("MAIL FROM:<>\r\n");
    assert_eq!((talk.say("STARTTLS\r\n"), talk.last), (vec![220], "starttls"));
    talk.session.handle_tls("TLSv1_3 X".to_owned(), talk.now);
    assert_eq!(talk.say("MAIL FROM:<>\r\n"), [503]);
    assert_eq!(talk.say("EHLO a.example\r\n"), [250]);
    assert!(!talk.replies.contains("STARTTLS"));
    assert_eq!(talk.say("STARTTLS\r\n"), [503]);
    talk.say(ENVELOPE);
    talk.say(".\r\n");
    assert_eq!(talk.committed[0].tls.as_deref(), Some("TLSv1_3 X"));
    assert!(String::from_utf8_lossy(&talk.committed[0].trace).contains("with ESMTPS (TLSv1_3 X)"));
    let mut talk = self::talk().greeted();
    assert_eq!((talk.say("STARTTLS\r\nMAIL FROM:<>\r\n"), talk.last), (vec![554], "close"));
}

#[test]
fn a_stopping_service_finishes_transactions_and_says_421() {
    let mut talk = talk().greeted();
    talk.session.handle_shutdown();
    assert_eq!((talk.say(""), talk.last), (vec![421], "close"));
    let mut talk = self::talk().greeted();
    talk.say(ENVELOPE);
    talk.session.handle_shutdown();
    assert_eq!((talk.say("x\r\n.\r\n"), talk.last), (vec![250, 421], "close"));
}

#[test]
fn smtputf8_reaches_the_message_and_its_trace() {
    let mut talk = talk().greeted();
    assert_eq!(talk.say("MAIL FROM:<a@b.example>\r\nRCPT TO:<jörg@firma.example>\r\nRSET\r\n"), [250, 553, 250]);
    let codes = talk.say("MAIL FROM:<ü@b.example> SMTPUTF8 BODY=8BITMIME\r\nRCPT TO:<jörg@firma.example>\r\nDATA\r\n");
    assert_eq!(codes, [250, 250, 354]);
    assert_eq!(talk.say("x\r\n.\r\n"), [250]);
    let message = &talk.committed[0];
    assert!(message.smtputf8 && message.body == BodyType::EightBitMime);
    assert!(String::from_utf8_lossy(&message.trace).contains("with UTF8SMTP id"));
}

#[test]
fn a_conversation_is_the_same_wherever_packets_divide_it() {
    let wire = format!("EHLO a.example\r\n{ENVELOPE}..x\r\n.\r\nNOOP\r\nQUIT\r\n");
    for cut in 0..wire.len() {
        let mut talk = talk();
        let mut codes = talk.say(&wire[..cut]);
        codes.extend(talk.say(&wire[cut..]));
        assert_eq!(codes, [250, 250, 250, 354, 250, 250, 221], "cut at {cut}");
        assert_eq!(talk.committed[0].tail.concat(), b".x\r\n");
    }
}

#[test]
fn a_timeout_takes_stored_pieces_back() {
    let mut talk = talk().greeted();
    talk.say(ENVELOPE);
    talk.say(&"x".repeat(100_000));
    talk.session.handle_timeout();
    assert_eq!((talk.say(""), talk.last, talk.abandoned.len()), (vec![421], "close", 1));
}

proptest! {
    #[test]
    fn no_order_of_commands_takes_a_stranger_or_acknowledges_without_a_commit(
        lines in proptest::collection::vec(
            proptest::sample::select(vec![
                "EHLO a.example\r\n", "HELO a.example\r\n", "MAIL FROM:<>\r\n", "MAIL FROM:<a@b.example> SIZE=5\r\n",
                "RCPT TO:<b@firma.example>\r\n", "RCPT TO:<c@verein.example>\r\n", "RCPT TO:<x@elsewhere.example>\r\n",
                "RCPT TO:<x%elsewhere.example@firma.example>\r\n", "DATA\r\n", "text\r\n", ".\r\n", "..\r\n", "bare\n",
                "BDAT 6\r\ntext\r\n", "BDAT 4 LAST\r\nMAIL", "BDAT 3\r\na\r\n", "BDAT 0 LAST\r\n",
                "RSET\r\n", "NOOP\r\n", "XYZZY\r\n", "STARTTLS\r\n", "\r\n",
            ]),
            0..40,
        ),
        cut in 0usize..400,
        commits in any::<bool>(),
    ) {
        let wire: String = lines.concat();
        let (first, second) = wire.split_at(cut.min(wire.len()));
        let mut talk = talk();
        talk.commit_as = if commits { Committed::Stored } else { Committed::NotStored };
        talk.say(first);
        let mut replies = talk.replies.clone();
        talk.say(second);
        replies.push_str(&talk.replies);
        let acknowledged = replies.matches(" held for ").count();
        prop_assert_eq!(acknowledged, if commits { talk.committed.len() } else { 0 });
        for message in &talk.committed {
            prop_assert!(!message.recipients.is_empty());
            for recipient in &message.recipients {
                let domain = recipient.mailbox.domain().unwrap();
                prop_assert!(talk.world.directory.served(domain).is_some_and(|s| s.account.id == recipient.account));
                prop_assert!(!recipient.mailbox.local_part.as_str().contains('%'));
            }
            let content = message.tail.concat();
            prop_assert_eq!(content.windows(2).filter(|w| *w == b"\r\n").count(), content.iter().filter(|o| **o == b'\n').count());
            prop_assert_eq!(message.octets, content.len() as u64);
        }
    }
}

#[test]
fn a_server_that_is_there_judges_its_mailboxes_itself() {
    let mut talk = talk().greeted();
    let question = "MAIL FROM:<a@b.example>\r\nRCPT TO:<nobody@firma.example>\r\nRSET\r\n";
    assert_eq!(talk.say(question), [250, 550, 250]);
    talk.world.state.set(Some(LineState::Suspect));
    assert_eq!(talk.say(question), [250, 550, 250]);
    talk.world.state.set(Some(LineState::Online));
    assert_eq!(talk.say(question), [250, 250, 250]);
}
