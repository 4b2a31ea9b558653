//! Handing on the client: the primary is told who the sender was, where it wants to know.

use pulsemx::spool::RecipientState::Delivered;

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
