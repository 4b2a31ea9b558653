//! Senders who wait while the primary is asked: what it must not cost them, and what becomes of a reply that comes late.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pulsemx::account::OnlineMode;
use pulsemx::base::{Clock, Mailbox, ReversePath, SpoolId};
use pulsemx::delivery::through::Passages;
use pulsemx::delivery::{Flushes, Passing};
use pulsemx::liveness::LineState;
use pulsemx::smtp::through::{Answer, Handed, Introduction, Passage, Primaries};
use pulsemx::spool::RecipientState::{Delivered, Queued, Refused};
use pulsemx::spool::{
    BodyType, HeaderSummary, MessageDsn, NewMessage, NewRecipient, RecipientDsn, RecipientState, SpoolStore,
};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::support::{ACCOUNT, Act, Heard, TRACE, World, new_identity, polite, say};

#[tokio::test]
async fn a_reply_that_comes_too_late_for_the_sender_decides_about_the_stored_copy() {
    let outcomes: [(&str, RecipientState); 3] =
        [("250 2.0.0 taken", Delivered), ("554 5.7.1 spam", Refused), ("451 4.3.0 later", Queued)];
    for (late, state) in outcomes {
        let ring = Arc::new(Notify::new());
        let in_manner = Arc::clone(&ring);
        let world = online(move |connection, heard| match heard {
            Heard::Content if connection == 0 => {
                Act::SayAfter(Arc::clone(&in_manner), format!("{late}\r\n").into_bytes())
            }
            heard => polite(heard, &[]),
        })
        .await;
        let mut passage = begin(&world);
        assert!(matches!(passage.recipient(recipient("a@firma.example")).await, Answer::Taken(_)));
        let Handed::Store(message, Some(note)) = passage.hand_over(Box::new(message(1))).await else {
            panic!("stored with its note")
        };
        assert_eq!((note.message, note.peer), (message.id, world.primary.address));
        let id = message.id;
        world.spool.intake_awaited(*message, note).await.unwrap();
        // Whoever looks for work now finds none: the message is in the hands of the one who waits.
        world.deliveries.mail_stored(&[ACCOUNT]);
        passage.stored(true);
        ring.notify_one();
        // What is deferred is tried again at once in these tests.
        let is_so = || world.spool.states(id) == [state] || (state == Queued && world.spool.attempts(id) > 0);
        world.bell.until(late, is_so).await;
        if state != Queued {
            assert_eq!((world.primary.count("MAIL"), world.primary.contents().len()), (1, 1), "{late}: not sent twice");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_that_is_lost_while_its_reply_is_awaited_has_the_message_sent_again() {
    let ring = Arc::new(Notify::new());
    let in_manner = Arc::clone(&ring);
    let world = online(move |connection, heard| match heard {
        Heard::Content if connection == 0 => Act::CloseAfter(Arc::clone(&in_manner)),
        heard => polite(heard, &[]),
    })
    .await;
    let mut passage = begin(&world);
    passage.recipient(recipient("a@firma.example")).await;
    let Handed::Store(message, Some(note)) = passage.hand_over(Box::new(message(1))).await else { panic!("stored") };
    world.spool.intake_awaited(*message, note).await.unwrap();
    passage.stored(true);
    ring.notify_one();
    world.until_all(Delivered).await;
    assert_eq!(world.primary.contents().len(), 2, "at least once");
}

#[tokio::test]
async fn a_primary_that_never_answers_costs_the_budget_and_no_mail() {
    let world = online(|_, heard| match heard {
        Heard::Line(line) if line.starts_with("RCPT") => Act::Nothing,
        heard => polite(heard, &[]),
    })
    .await;
    let mut passage = begin(&world);
    for to in ["a@firma.example", "b@firma.example"] {
        let Answer::Taken(words) = passage.recipient(recipient(to)).await else { panic!("taken, to be stored") };
        assert_eq!(words.code, 250);
    }
    assert!(matches!(passage.hand_over(Box::new(message(1))).await, Handed::Store(_, None)));
    assert!(!Passages(Arc::clone(&world.deliveries)).may_ask(ACCOUNT, &domain()), "not tried again for a while");
}

#[tokio::test]
async fn a_line_that_moves_between_recipient_and_content_gets_no_content() {
    let world = online(|_, heard| polite(heard, &[])).await;
    let mut passage = begin(&world);
    passage.recipient(recipient("a@firma.example")).await;
    world.lines.edit(|view| view.last_beat = Some(Clock.monotonic() - Duration::from_secs(21)));
    assert!(matches!(passage.hand_over(Box::new(message(1))).await, Handed::Store(_, None)));
    assert_eq!((world.primary.count("DATA"), world.primary.contents().len()), (0, 0));
}

#[tokio::test]
async fn a_stranger_with_another_key_hears_no_mail_command() {
    let known = new_identity("primary.example");
    let manner = |_: usize, heard: &Heard| polite(heard, &["STARTTLS"]);
    let world = World::known_by(new_identity("primary.example"), manner, |_, _| {}).await;
    world.pin(Some(crate::support::key_digest(&known)));
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    let mut passage = begin(&world);
    assert!(matches!(passage.recipient(recipient("a@firma.example")).await, Answer::Taken(_)));
    assert!(matches!(passage.hand_over(Box::new(message(1))).await, Handed::Store(_, None)));
    assert_eq!((world.primary.count("MAIL"), world.primary.contents().len()), (0, 0));
    assert!(world.view().doubt.is_some());
}

#[tokio::test]
async fn what_waits_goes_first_and_a_state_that_is_not_online_asks_nobody() {
    let world = online(|_, heard| polite(heard, &[])).await;
    let passages = Passages(Arc::clone(&world.deliveries));
    assert!(passages.may_ask(ACCOUNT, &domain()));
    for state in [LineState::Suspect, LineState::Returning, LineState::Offline, LineState::New] {
        world.lines.edit(|view| view.state = state);
        assert!(!passages.may_ask(ACCOUNT, &domain()), "{state:?}");
    }
    world.lines.edit(|view| view.state = LineState::Online);
    let id = world.store(7, &["a@firma.example"], b"x\r\n");
    assert!(!passages.may_ask(ACCOUNT, &domain()), "order");
    world.deliveries.mail_stored(&[ACCOUNT]);
    world.bell.until("delivery", || world.spool.states(id) == [Delivered]).await;
    assert!(passages.may_ask(ACCOUNT, &domain()));
}

#[tokio::test]
async fn a_broken_primary_is_told_by_the_senders_it_refuses_and_the_third_is_stored() {
    let world = online(|_, heard| match heard {
        Heard::Line(line) if line.starts_with("RCPT") => say("550 5.1.1 unknown user"),
        heard => polite(heard, &[]),
    })
    .await;
    world.deliveries.tell_of_recipients(Arc::new(crate::breaker::Listed));
    let mut said = Vec::new();
    for to in ["a@firma.example", "b@firma.example", "c@firma.example"] {
        let mut passage = begin(&world);
        said.push(matches!(passage.recipient(recipient(to)).await, Answer::Refused(_)));
    }
    assert_eq!(said, [true, true, false], "the one that shows it is not refused");
    assert!(!Passages(Arc::clone(&world.deliveries)).may_ask(ACCOUNT, &domain()), "held");
}

#[tokio::test]
async fn a_sender_is_sent_to_a_primary_whose_port_is_open_for_others() {
    let world =
        World::with(|_, heard| polite(heard, &[]), |settings, _| settings.online_mode = OnlineMode::Defer).await;
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    for (age, code) in [(60, 250), (3_600, 451)] {
        world.lines.edit(|view| view.since = Some(Clock.wall() - Duration::from_secs(age)));
        let mut passage = begin(&world);
        let words = match passage.recipient(recipient("a@firma.example")).await {
            Answer::Taken(words) | Answer::Refused(words) => words,
        };
        assert_eq!(words.code, code, "{age} s after the last change");
    }
    let mut passage = begin(&world);
    assert!(matches!(passage.recipient(recipient("postmaster@firma.example")).await, Answer::Taken(_)));
    assert_eq!(world.primary.count("MAIL"), 0);
}

// ---- support ----

async fn online(manner: impl Fn(usize, &Heard) -> Act + Send + Sync + 'static) -> World {
    let passing = Passing { budget: Duration::from_millis(1_500), sender: Duration::from_secs(10) };
    let world = World::with(manner, |settings, _| {
        (settings.passing, settings.lanes_max) = (passing, 4);
    })
    .await;
    world.lines.become_state(LineState::Online, world.primary.address.ip());
    world
}

fn domain() -> pulsemx::base::DomainName {
    pulsemx::base::DomainName::parse("firma.example").unwrap()
}

fn begin(world: &World) -> Box<dyn Passage> {
    Passages(Arc::clone(&world.deliveries)).begin(Introduction {
        peer: "192.0.2.7".parse().unwrap(),
        helo: "mx.a.example".to_owned(),
        reverse_path: ReversePath::parse("a@b.example", false).unwrap(),
        declared_octets: None,
        body: BodyType::SevenBit,
        smtputf8: false,
        requires_tls: false,
        dsn: MessageDsn::default(),
    })
}

fn recipient(to: &str) -> NewRecipient {
    NewRecipient { account: ACCOUNT, mailbox: Mailbox::parse(to, false).unwrap(), dsn: RecipientDsn::default() }
}

fn message(id: i64) -> NewMessage {
    let content = Bytes::from_static(b"Subject: x\r\n\r\nhello\r\n");
    NewMessage {
        id: SpoolId::from_i64(id),
        accepted_at: Clock.wall(),
        reverse_path: ReversePath::parse("a@b.example", false).unwrap(),
        recipients: vec![recipient("a@firma.example")],
        smtputf8: false,
        requires_tls: false,
        body: BodyType::SevenBit,
        dsn: MessageDsn::default(),
        trace: Bytes::from_static(TRACE),
        sha256: Sha256::digest(&content).into(),
        octets: content.len() as u64,
        header: HeaderSummary::default(),
        peer: "192.0.2.7".parse().unwrap(),
        helo: "mx.a.example".to_owned(),
        tls: None,
        chunks_ahead: 0,
        tail: vec![content],
    }
}
