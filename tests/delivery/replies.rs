//! What replies of the primary mean for each recipient.

use pulsemx::spool::RecipientState::{Delivered, Queued, Refused};

use crate::support::{Act, Heard, TRACE, World, polite, say};

const ONE: &[&str] = &["a@firma.example"];

#[tokio::test]
async fn each_recipient_gets_its_own_outcome() {
    for keywords in [&["PIPELINING"][..], &[]] {
        let world = World::new(move |_, heard| match heard {
            Heard::Line(line) if line.contains("later@") => say("450 4.2.0 later"),
            Heard::Line(line) if line.contains("never@") => say("550 5.1.1 unknown"),
            heard => polite(heard, keywords),
        })
        .await;
        let id = world.store(1, &["ok@firma.example", "later@firma.example", "never@firma.example"], b"x\r\n");
        world.come_back();
        world.bell.until("outcomes", || world.spool.states(id) == [Delivered, Queued, Refused]).await;
        assert_eq!(world.spool.reply(id, 1).unwrap().code, Some(450));
        assert_eq!(world.spool.reply(id, 2).unwrap().text, "5.1.1 unknown");
        assert_eq!(world.primary.contents().len(), 1);
    }
}

#[tokio::test]
async fn too_many_recipients_are_continued_at_once_in_the_next_transaction() {
    let in_transaction = std::sync::atomic::AtomicU32::new(0);
    let world = World::new(move |_, heard| match heard {
        Heard::Line(line) if line.starts_with("MAIL") => {
            in_transaction.store(0, std::sync::atomic::Ordering::SeqCst);
            say("250 ok")
        }
        Heard::Line(line) if line.starts_with("RCPT") => {
            let before = in_transaction.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if before < 2 { say("250 ok") } else { say("452 4.5.3 too many recipients") }
        }
        heard => polite(heard, &["PIPELINING"]),
    })
    .await;
    let to: Vec<String> = (0..5).map(|n| format!("u{n}@firma.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let id = world.store(1, &to, b"x\r\n");
    world.come_back();
    world.until_all(Delivered).await;
    assert_eq!(world.primary.contents().len(), 3);
    assert_eq!(world.primary.connections(), 1);
    assert_eq!(world.spool.attempts(id), 1);
}

#[tokio::test]
async fn all_recipients_refused_after_a_pipelined_data_end_with_a_lone_dot() {
    let world = World::new(|_, heard| match heard {
        Heard::Line(line) if line.contains("never@") => say("550 5.1.1 unknown"),
        Heard::Content => say("554 5.5.1 no valid recipients"),
        heard => polite(heard, &["PIPELINING"]),
    })
    .await;
    let refused = world.store(1, &["never@firma.example"], b"secret\r\n");
    world.come_back();
    world.bell.until("refusal", || world.spool.states(refused) == [Refused]).await;
    assert_eq!(world.primary.contents(), [b"".to_vec()]);
    assert_eq!(world.spool.reply(refused, 0).unwrap().code, Some(550));
}

#[tokio::test]
async fn a_latin_1_octet_in_the_final_reply_is_one_delivery() {
    let world = World::new(|_, heard| match heard {
        Heard::Content => Act::Say(b"250 Nachricht \xfcbernommen\r\n".to_vec()),
        heard => polite(heard, &["PIPELINING"]),
    })
    .await;
    let id = world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.until_all(Delivered).await;
    assert_eq!(world.spool.reply(id, 0).unwrap().text, "Nachricht ?bernommen");
    assert_eq!(world.primary.contents().len(), 1);
}

#[tokio::test]
async fn servers_that_end_lines_with_lf_or_know_only_helo_get_their_mail() {
    let lf = World::new(|_, heard| match polite(heard, &["PIPELINING", "SIZE 1000"]) {
        Act::Say(text) => Act::Say(text.into_iter().filter(|b| *b != b'\r').collect()),
        act => act,
    })
    .await;
    lf.store(1, ONE, b"x\r\n");
    lf.come_back();
    lf.until_all(Delivered).await;

    let helo = World::new(|_, heard| match heard {
        Heard::Connect => say("220"),
        Heard::Line(line) if line.starts_with("EHLO") => say("502 what"),
        heard => polite(heard, &[]),
    })
    .await;
    helo.store(1, ONE, b"x\r\n");
    helo.come_back();
    helo.until_all(Delivered).await;
    assert_eq!(helo.primary.count("HELO mx.pulse.example"), 1);
    assert_eq!(helo.primary.count("MAIL FROM:<sender@a.example>"), 1);
}

#[tokio::test]
async fn without_pipelining_every_command_waits_for_its_reply() {
    let world = World::new(|_, heard| polite(heard, &["SIZE 0"])).await;
    let octets = TRACE.len() + 3;
    world.store(1, &["a@firma.example", "b@firma.example"], b"x\r\n");
    world.come_back();
    world.until_all(Delivered).await;
    let lines = world.primary.lines();
    assert_eq!(lines[1], format!("MAIL FROM:<sender@a.example> SIZE={octets}"));
    assert_eq!(lines[2..5], ["RCPT TO:<a@firma.example>", "RCPT TO:<b@firma.example>", "DATA"]);
}

#[tokio::test]
async fn a_421_defers_and_the_message_goes_with_the_next_connection() {
    let world = World::new(|connection, heard| match heard {
        Heard::Content if connection == 0 => Act::SayAndClose(b"421 4.3.2 shutting down\r\n".to_vec()),
        heard => polite(heard, &["PIPELINING"]),
    })
    .await;
    let id = world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.until_all(Delivered).await;
    assert_eq!(world.primary.connections(), 2);
    assert_eq!(world.spool.attempts(id), 2);
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_content_or_after_the_dot_is_tried_again() {
    for at in [Heard::Part, Heard::Content] {
        let world = World::new(
            move |connection, heard| {
                if connection == 0 && *heard == at { Act::Close } else { polite(heard, &[]) }
            },
        )
        .await;
        let id = world.store(1, ONE, &b"0123456789abcde\r\n".repeat(20_000));
        world.come_back();
        world.until_all(Delivered).await;
        assert_eq!(world.spool.attempts(id), 2);
        assert!(!world.primary.contents().is_empty());
    }
}

#[tokio::test]
async fn a_deferred_message_is_tried_again_by_its_schedule() {
    let deferred = std::sync::atomic::AtomicU32::new(0);
    let world = World::new(move |_, heard| match heard {
        Heard::Content if deferred.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 4 => say("451 4.3.0 later"),
        heard => polite(heard, &["PIPELINING"]),
    })
    .await;
    let id = world.store(1, ONE, b"x\r\n");
    world.come_back();
    world.until_all(Delivered).await;
    assert_eq!(world.spool.attempts(id), 5);
}

#[tokio::test]
async fn smtputf8_mail_is_not_offered_to_a_server_without_it() {
    let world = World::new(|_, heard| polite(heard, &[])).await;
    let id = world.store(1, ONE, b"x\r\n");
    world.spool.edit(id, |message| message.smtputf8 = true);
    world.come_back();
    world.bell.until("refusal", || world.spool.states(id) == [Refused]).await;
    assert!(world.spool.reply(id, 0).unwrap().text.starts_with("5.6.7"));
    assert_eq!(world.primary.count("MAIL"), 0);
}

#[tokio::test]
async fn a_server_that_refuses_in_the_middle_of_the_content_is_heard() {
    let world = World::new(|_, heard| match heard {
        Heard::Part => Act::SayAndClose(b"552 5.3.4 too big\r\n".to_vec()),
        heard => polite(heard, &["PIPELINING"]),
    })
    .await;
    // More than the buffers of both sockets hold, so that the end of the connection is noticed while sending.
    let id = world.spool.store_made(&crate::support::Mail { id: 1, from: "", to: ONE, content: b"" }, 400);
    world.come_back();
    world.bell.until("an outcome", || world.spool.attempts(id) == 1).await;
    // Where the kernel drops the reply together with the connection, the message is tried again.
    let state = world.spool.states(id);
    assert!(state == [Refused] || world.spool.reply(id, 0).is_some_and(|reply| reply.code.is_none()), "{state:?}");
}
