//! Handing on the client: the primary is told who the sender was, where it wants to know.

use pulsemx::spool::RecipientState::{Delivered, Queued};

use crate::support::{Heard, Mail, World, polite, say};

const ONE: &[&str] = &["a@firma.example"];

fn said(heard: &Heard, verb: &str) -> bool {
    matches!(heard, Heard::Line(line) if line.starts_with(verb))
}

#[tokio::test]
async fn xclient_is_said_once_for_each_client_and_begins_a_new_session() {
    let world = World::new(|_, heard| match heard {
        heard if said(heard, "XCLIENT") => say("220 primary.example ESMTP"),
        heard => polite(heard, &["PIPELINING", "XCLIENT NAME ADDR PROTO HELO"]),
    })
    .await;
    for id in 1..=4 {
        let id = world.spool.store(&Mail { id, from: "s@a.example", to: ONE, content: b"x\r\n" });
        world.spool.edit(id, |message| {
            if id.as_i64() > 2 {
                message.peer = "2001:db8::9".parse().unwrap();
                message.helo = "b.example".to_owned();
            }
        });
    }
    world.come_back();
    world.until_all(Delivered).await;
    let lines = world.primary.lines();
    let handed: Vec<&String> = lines.iter().filter(|line| line.starts_with("XCLIENT")).collect();
    assert_eq!(
        handed,
        [
            "XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.7 PROTO=ESMTP HELO=mx.a.example",
            "XCLIENT NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::9 PROTO=ESMTP HELO=b.example"
        ]
    );
    let after = lines.iter().position(|line| line.starts_with("XCLIENT")).unwrap() + 1;
    assert_eq!(lines[after..after + 2], ["EHLO mx.a.example", "MAIL FROM:<s@a.example>"]);
    assert_eq!(world.primary.connections(), 1);
}

#[tokio::test]
async fn xforward_is_said_before_each_message_and_a_refusal_of_either_harms_none() {
    for (keyword, refusal, times) in [
        ("XFORWARD NAME ADDR PROTO HELO SOURCE", "250 ok", 2),
        ("XFORWARD NAME ADDR PROTO HELO SOURCE", "550 5.7.0 not you", 1),
        ("XCLIENT NAME ADDR", "550 5.7.0 not you", 1),
        ("XCLIENT NAME", "250 ok", 0),
    ] {
        let verb = keyword.split(' ').next().unwrap();
        let world = World::new(move |_, heard| match heard {
            heard if said(heard, "X") => say(refusal),
            heard => polite(heard, &["PIPELINING", keyword]),
        })
        .await;
        world.store(1, ONE, b"x\r\n");
        world.store(2, ONE, b"y\r\n");
        world.come_back();
        world.until_all(Delivered).await;
        assert_eq!(world.primary.count(verb), times, "{keyword} {refusal}");
        assert_eq!(world.primary.contents().len(), 2);
    }
}

#[tokio::test]
async fn a_sender_whose_name_the_primary_refuses_holds_up_nobody_else() {
    let world = World::new(|_, heard| match heard {
        heard if said(heard, "XCLIENT") => say("220 primary.example ESMTP"),
        heard if said(heard, "EHLO bad.example") => say("504 5.5.2 Helo command rejected"),
        heard => polite(heard, &["PIPELINING", "XCLIENT NAME ADDR PROTO HELO"]),
    })
    .await;
    let bad = world.spool.store(&Mail { id: 1, from: "s@a.example", to: ONE, content: b"x\r\n" });
    world.spool.edit(bad, |message| message.helo = "bad.example".to_owned());
    let good: Vec<_> = (2..=5).map(|id| world.store(id, ONE, b"y\r\n")).collect();
    world.come_back();
    let is_through = || good.iter().all(|id| world.spool.states(*id) == [Delivered]);
    world.bell.until("the others are delivered", is_through).await;
    assert_eq!(world.spool.states(bad), [Queued], "it waits for its next try");
}

#[tokio::test]
async fn nothing_is_sent_in_the_session_of_another_sender() {
    let world = World::new(|_, heard| match heard {
        heard if said(heard, "XCLIENT") && matches!(heard, Heard::Line(line) if line.contains("b.example")) => {
            say("550 5.7.0 not this one")
        }
        heard if said(heard, "XCLIENT") => say("220 primary.example ESMTP"),
        heard => polite(heard, &["PIPELINING", "XCLIENT NAME ADDR PROTO HELO"]),
    })
    .await;
    for id in 1..=2 {
        let id = world.spool.store(&Mail { id, from: "s@a.example", to: ONE, content: b"x\r\n" });
        world.spool.edit(id, |message| {
            if id.as_i64() == 2 {
                message.helo = "b.example".to_owned();
            }
        });
    }
    world.come_back();
    world.until_all(Delivered).await;
    let lines = world.primary.lines();
    let mails: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].starts_with("MAIL")).collect();
    let hellos = lines.iter().skip(mails[0]).take(mails[1] - mails[0]).filter(|line| line.starts_with("EHLO")).count();
    assert!(hellos >= 1, "a new connection stands between the two: {lines:?}");
}
